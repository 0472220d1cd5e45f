//! Components of web pages: a module with a memory of its own that never sees the DOM.
//!
//! It gets events and answers with a [`Patch`]: commands and their texts, in its own memory,
//! which the page's host (`@ounce/web`) checks and applies in one pass. There are no HTML
//! strings, so no text can become script.
//!
//! Two ways to write one. A [`Component`] writes its commands itself: a few hundred bytes. With
//! the feature `view`, an [`App`] has a function that says what is to be seen, and the commands
//! are the difference to what was seen before.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "view")]
mod app;
mod bare;
#[cfg(feature = "view")]
mod difference;
mod entry;
mod event;
mod names;
mod op;
mod patch;
#[cfg(feature = "view")]
mod view;

#[cfg(feature = "view")]
pub use app::{App, Shown};
pub use entry::Stage;
pub use event::{Component, Event, HIDE, RESTORE, SAVE, SHOW, START};
pub use names::NAMES;
pub use op::Op;
pub use patch::Patch;
#[cfg(feature = "view")]
pub use view::View;
