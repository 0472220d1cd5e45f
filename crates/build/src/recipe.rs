//! The recipe: everything that will be done, as data. `plan` makes it, and
//! `execute` does what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ounce_oci::layer::Compression;
use ounce_oci::{Platform, Reference};
use serde::{Serialize, Serializer};

use crate::base::Server;
use crate::distribution::Base;
use crate::flag::Flag;
use crate::language::Language;
use crate::language::python::recipe::PythonRecipe;
use crate::language::rust::rustflags::AddedFlags;
use crate::language::rust::smallest::Smallest;
use crate::language::rust::target::Linking;
use crate::settings::{AlpineSettings, Certificates, DebianSettings, ExtraFile, Measure, Zones};
use crate::site::pack::Packing;
use crate::site::walk::Site;
use crate::tool::ToolRecipe;
use crate::toolchain::Toolchain;

/// Everything that will be done.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// The image's name in the store.
    #[serde(serialize_with = "as_text")]
    pub reference: Reference,
    /// What was found.
    pub found: Found,
    /// One program per platform.
    pub programs: Vec<ProgramRecipe>,
    /// What stands beside it.
    pub image: ImageRecipe,
    /// How the layer is compressed.
    #[serde(serialize_with = "compression_name")]
    pub compression: Compression,
    /// Time of every file.
    pub mtime: u64,
    /// Most bytes to be pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_bytes: Option<u64>,
    /// Patterns of paths at which what looks like a secret is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_secrets: Vec<String>,
    /// What is done to a WebAssembly module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasm: Option<WasmRecipe>,
    /// What could be better, one sentence each.
    pub advice: Vec<String>,
    /// What the program stands on.
    #[serde(serialize_with = "as_text")]
    pub base: Base,
    /// Where the base's packages come from.
    #[serde(skip)]
    pub debian: DebianSettings,
    /// The same of Alpine's.
    #[serde(skip)]
    pub alpine: AlpineSettings,
    /// The lock of its packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<PathBuf>,
    /// Whether the network may not be used.
    #[serde(skip)]
    pub offline: bool,
    /// Not shown: an environment may hold secrets.
    #[serde(skip)]
    pub(crate) toolchain: Toolchain,
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn compression_name<S: Serializer>(value: &Compression, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match value {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    })
}

/// What is done to a module before it is packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WasmRecipe {
    /// The optimiser, where it is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimiser: Option<PathBuf>,
    /// What makes components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<PathBuf>,
}

/// What was found at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A ready program.
    Program,
    /// A project in this language, or one source file.
    Project(Language),
    /// A folder of web files.
    Site,
}

impl Serialize for Found {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Program => to.serialize_str("program"),
            Self::Project(language) => to.collect_str(&format_args!("{}-project", language.key())),
            Self::Site => to.serialize_str("site"),
        }
    }
}

/// The program for one platform.
#[derive(Debug, Clone, Serialize)]
pub struct ProgramRecipe {
    /// For which.
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
    /// Where it comes from.
    pub from: ProgramSource,
}

/// Where a program comes from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramSource {
    /// A file that is there.
    File(PathBuf),
    /// Cargo makes it.
    Cargo(Box<CargoRecipe>),
    /// The tools of another language make it.
    Tools(Box<ToolRecipe>),
    /// A Python application, which the base's interpreter starts.
    Python(Box<PythonRecipe>),
    /// A web server that ounce carries.
    Httpd(Server),
}

/// How cargo is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CargoRecipe {
    /// Where.
    pub folder: PathBuf,
    /// The package.
    pub package: String,
    /// The program.
    pub bin: String,
    /// The target triple.
    pub target: String,
    /// How it becomes static.
    pub linking: Linking,
    /// The profile.
    pub profile: String,
    /// Its size flags.
    pub flags: Vec<Flag>,
    /// What is measured about them.
    pub measure: Measure,
    /// Cargo's folder for what it makes; the project's own `target/` stays as it is.
    pub target_dir: PathBuf,
    /// All of cargo's arguments but the flags'.
    pub arguments: Vec<String>,
    /// Flags for rustc beside the project's own.
    pub rustflags: AddedFlags,
    /// Where cargo starts rustc, and that the linker.
    #[serde(skip)]
    pub workspace_root: PathBuf,
    /// What the smallest program takes besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest: Option<Smallest>,
    /// Whether the program carries the list of its crates.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auditable: bool,
    /// Whether it is a library that is linked alone, as components are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub library: bool,
}

/// What stands in the image beside the program, and its configuration.
#[derive(Debug, Clone, Serialize)]
pub struct ImageRecipe {
    /// The program's absolute path; empty of an application, whose interpreter
    /// is the base's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entrypoint: String,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `UID:GID`.
    pub user: String,
    /// Environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Folder to start in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Labels; that of socket activation is added once the program is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Certificates.
    pub ca_certificates: Certificates,
    /// Time zones.
    pub timezones: Zones,
    /// `/etc/passwd` and `/etc/group`.
    pub passwd: bool,
    /// `/tmp`.
    pub tmp: bool,
    /// Files of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ExtraFile>,
    /// The web files, beneath `/public`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// The web files, packed into `/public`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packing>,
}
