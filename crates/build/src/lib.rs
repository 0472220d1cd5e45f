//! Source or a ready binary to an image.
//!
//! [`plan()`] looks at a path and decides everything: the [`Recipe`] is data.
//! [`execute`] does what it says. Neither reads a clock or the environment,
//! and every walk is in order: the same input gives the same digest.
//! What an image weighs, and of what, is `weigh`'s; showing it is `cli`'s.
#![forbid(unsafe_code)]

mod assemble;
mod auditable;
pub mod base;
mod cargo;
mod compile;
pub mod config;
mod detect;
mod event;
mod plan;
mod profile;
mod program;
mod project;
mod recipe;
mod rustflags;
pub mod settings;
pub mod site;
mod smallest;
mod target;

pub use assemble::{Budget, BuildError, Built, BuiltImage, SOCKET_ACTIVATION, execute};
pub use auditable::AuditableError;
pub use cargo::{ProjectError, Toolchain};
pub use compile::{CompileError, Saved};
pub use detect::PlanError;
pub use event::Event;
pub use plan::{Request, plan};
pub use profile::{By, Flag, FlagOf, ProfileError};
pub use program::ProgramError;
pub use recipe::{CargoRecipe, Found, ImageRecipe, ProgramRecipe, ProgramSource, Recipe};
pub use rustflags::{AddedFlags, FlagSource};
pub use settings::{Measure, Settings};
pub use smallest::{Smallest, SmallestError};
pub use target::{Linking, TargetError};
