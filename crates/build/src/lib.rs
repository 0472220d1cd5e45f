//! Source or a ready binary to an image.
//!
//! [`plan()`] looks at a path and decides everything: the [`Recipe`] is data.
//! [`execute`] does what it says. Neither reads a clock or the environment,
//! and every walk is in order: the same input gives the same digest.
//! What an image weighs, and of what, is `weigh`'s; showing it is `cli`'s.
#![forbid(unsafe_code)]

pub mod again;
mod alone;
mod artifact;
mod assemble;
pub mod base;
pub mod compare;
mod compile;
pub mod config;
mod context;
mod detect;
pub mod distribution;
mod event;
mod flag;
mod go_info;
mod ignore;
mod language;
pub mod page;
mod plan;
mod program;
mod provenance;
mod recipe;
mod secrets;
pub mod settings;
pub mod site;
mod sources;
mod tool;
mod toolchain;
pub mod wasm;

pub use artifact::ArtifactError;
pub use assemble::{Budget, BuildError, Built, BuiltImage, SOCKET_ACTIVATION, execute, execute_on};
pub use compile::{CompileError, Refusal, Saved};
pub use context::{Context, ContextError};
pub use detect::PlanError;
pub use event::Event;
pub use flag::{By, Flag};
pub use language::python::install::PythonError;
pub use language::python::interpreter::{Interpreter, InterpreterError, Libc};
pub use language::python::recipe::{PythonRecipe, Start};
pub use language::python::start::PythonPlanError;
pub use language::rust::auditable::AuditableError;
pub use language::rust::cargo::ProjectError;
pub use language::rust::profile::ProfileError;
pub use language::rust::rustflags::{AddedFlags, FlagSource};
pub use language::rust::smallest::{Smallest, SmallestError};
pub use language::rust::target::{Linking, MissingLinker, TargetError};
pub use language::{Language, ToolError};
pub use plan::{Request, plan, stages};
pub use program::ProgramError;
pub use provenance::{BUILDER, ProvenanceError, Told, provenance};
pub use recipe::{
    CargoRecipe, Found, ImageRecipe, ProgramRecipe, ProgramSource, Recipe, WasmRecipe,
};
pub use secrets::SecretError;
pub use settings::{Measure, Settings};
pub use tool::{Call, Copied, Output, Rung, Steps, ToolRecipe, Written};
pub use toolchain::Toolchain;
pub use wasm::WasmBuildError;
