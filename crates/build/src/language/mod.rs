//! The languages a program may be written in, one module each.
//!
//! A module has `project`: from a [`Source`] it makes a [`Detected`] (the name,
//! and for each platform how the language's own tools are called, as data, with
//! each size flag and who chose it). Which language it is, `known` tells from
//! the files; what is done with the answer is `plan`'s and `compile`'s.

mod c;
mod go;
pub(crate) mod known;
pub(crate) mod python;
pub(crate) mod rust;
pub(crate) mod source;
mod zig;

pub use known::Language;
pub(crate) use source::Source;
pub use source::ToolError;

use crate::detect::{Detected, PlanError};

/// How the project becomes a program.
///
/// # Errors
/// A tool is missing, or does not take the project.
pub(crate) fn project(language: Language, source: &Source<'_>) -> Result<Detected, PlanError> {
    match language {
        Language::Rust => rust::project(source),
        Language::Go => go::project(source),
        Language::Python => python::project(source),
        Language::Zig => zig::project(source),
        Language::C => c::project(source),
    }
}
