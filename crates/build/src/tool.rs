//! How a language's own tools are called, as data: what is written first, the
//! calls in their order, and where the program then is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::context::Context;
use crate::flag::Flag;
use crate::language::known::Language;

/// How a program is made by the tools of its language.
#[derive(Debug, Clone, Serialize)]
pub struct ToolRecipe {
    /// The language.
    pub language: Language,
    /// What to call the program while it is compiled.
    pub bin: String,
    /// For what, in the tools' words.
    pub target: String,
    /// The size flags.
    pub flags: Vec<Flag>,
    /// What is done.
    pub build: Steps,
    /// What is done to know what flags save: the same with fewer of them, fewest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Rung>,
    /// The project's folder among those of the compilers, for this platform;
    /// one build at a time has it.
    pub work: PathBuf,
    /// What to do about a failure with these last words.
    #[serde(skip)]
    pub(crate) explain: fn(&str) -> Vec<String>,
}

/// A build with fewer flags, to see what one of them does.
#[derive(Debug, Clone, Serialize)]
pub struct Rung {
    /// The flag that the next rung, or the program itself, has more.
    pub flag: String,
    /// What is done.
    pub build: Steps,
}

/// What is done to make a program.
#[derive(Debug, Clone, Serialize)]
pub struct Steps {
    /// What is copied first, and where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<Copied>,
    /// Small files that are written for the tools, as a description of the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Written>,
    /// What is called, one after the other.
    pub calls: Vec<Call>,
    /// Where the program is.
    pub output: Output,
}

/// A project's files in a folder of the tools' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Which.
    pub context: Context,
    /// Where to.
    pub to: PathBuf,
}

/// A file that is written before anything is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The program, as it was found.
    pub tool: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those of the environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Where it is called.
    pub folder: PathBuf,
}

/// Where a program is once the tools are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// This file.
    File(PathBuf),
    /// The one program in a folder, or of several the one of this name.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// As asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Likewise, anywhere beneath it.
    Tree {
        /// The folder.
        folder: PathBuf,
        /// As asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// What CMake tells of its targets.
    #[serde(rename = "cmake")]
    CMake {
        /// The folder that is built in.
        folder: PathBuf,
        /// As asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// What Meson tells of its targets.
    Meson {
        /// The folder that is built in.
        folder: PathBuf,
        /// As asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}
