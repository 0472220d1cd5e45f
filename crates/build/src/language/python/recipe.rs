//! A Python application as data: what is fetched, what is taken, what is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::lock::Requirements;

/// Where the application lies, without the leading slash.
pub(crate) const APP: &str = "app";
/// Where its packages lie.
pub(crate) const LIBRARIES: &str = "app/lib";

/// How an application is put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PythonRecipe {
    /// What it is called.
    pub name: String,
    /// The project.
    pub folder: PathBuf,
    /// What it depends on.
    pub requirements: Requirements,
    /// A folder of wheels beside the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wheels: Option<PathBuf>,
    /// pip, which fetches them.
    pub pip: PathBuf,
    /// What stands before pip's own arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pip_arguments: Vec<String>,
    /// Whether the network may not be used.
    pub offline: bool,
    /// Whether the project itself becomes a wheel.
    pub package: bool,
    /// Files of the project, by their path in the application; none of a package.
    pub sources: BTreeMap<String, PathBuf>,
    /// What is started.
    pub start: Start,
    /// Whether sources are compiled.
    pub bytecode: bool,
    /// Whether tests, stubs and sources of compiled modules stay in.
    pub keep_tests: bool,
    /// Where wheels and bytecode are put meanwhile; one build at a time has it.
    pub work: PathBuf,
}

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// A file of the project.
    File(String),
    /// A module, as `python -m` does.
    Module(String),
    /// A function without arguments.
    Function {
        /// Where it is.
        module: String,
        /// Its name.
        function: String,
    },
    /// A command that a package brings.
    Script(String),
}
