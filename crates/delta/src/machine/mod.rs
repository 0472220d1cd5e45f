//! References in machine code and in words: where they are, where they point, and
//! how they are written so that they point elsewhere.
//!
//! A [`Walk`] takes an image apart into units, each of at most four bytes: an
//! instruction, a word, a byte. It need not be right: what it takes for a
//! reference and is none is sent as it is, if the guess is wrong. It must only be
//! the same for who makes a patch and who applies it.

mod field;
mod walk;

#[cfg(feature = "pack")]
pub(crate) use field::bits;
pub(crate) use field::{Form, aim, get, set};
pub(crate) use walk::{Source, Unit, Walk};
