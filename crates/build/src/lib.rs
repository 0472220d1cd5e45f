//! Source or a ready binary to an image.
//!
//! [`plan()`] looks at a path and decides everything: the [`Recipe`] is data.
//! [`execute`] does what it says. Neither reads a clock or the environment,
//! and every walk is in order: the same input gives the same digest.
//! What an image weighs, and of what, is `weigh`'s; showing it is `cli`'s.
#![forbid(unsafe_code)]

pub mod again;
mod assemble;
pub mod base;
mod cargo;
pub mod compare;
mod compile;
pub mod config;
mod detect;
pub mod distribution;
mod event;
mod plan;
mod profile;
mod program;
mod project;
mod provenance;
mod recipe;
mod rustflags;
mod secrets;
pub mod settings;
pub mod site;
mod sources;
mod target;

pub use assemble::{Budget, BuildError, Built, BuiltImage, SOCKET_ACTIVATION, execute, execute_on};
pub use cargo::{ProjectError, Toolchain};
pub use compile::{CompileError, Saved};
pub use detect::PlanError;
pub use event::Event;
pub use plan::{Request, plan, stages};
pub use profile::{By, Flag, ProfileError};
pub use program::ProgramError;
pub use provenance::{BUILDER, ProvenanceError, Told, provenance};
pub use recipe::{CargoRecipe, Found, ImageRecipe, ProgramRecipe, ProgramSource, Recipe};
pub use rustflags::{AddedFlags, FlagSource};
pub use secrets::SecretError;
pub use settings::{Measure, Settings};
pub use target::{Linking, TargetError};
