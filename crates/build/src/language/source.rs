//! What a language's module is given, and what it may find missing.

use std::path::{Path, PathBuf};

use ounce_oci::{Digest, Platform};

use super::known::Language;
use crate::settings::Settings;
use crate::toolchain::Toolchain;

/// What a language's module is asked to make a program of.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    /// The project, without links in its path.
    pub(crate) folder: PathBuf,
    /// The one source file that was given in place of a project.
    pub(crate) file: Option<PathBuf>,
    /// What was chosen.
    pub(crate) settings: &'a Settings,
    /// The compilers.
    pub(crate) toolchain: &'a Toolchain,
    /// Whether the network may not be used.
    pub(crate) offline: bool,
}

impl<'a> Source<'a> {
    /// What is at `path`, a project's folder or one source file.
    pub(crate) fn at(
        path: &Path,
        settings: &'a Settings,
        toolchain: &'a Toolchain,
        offline: bool,
    ) -> std::io::Result<Self> {
        let whole = path.canonicalize()?;
        let (folder, file) = match whole.is_file() {
            true => {
                let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
                (folder, Some(whole))
            }
            false => (whole, None),
        };
        Ok(Self {
            folder,
            file,
            settings,
            toolchain,
            offline,
        })
    }

    /// What the program is called unless the language knows better: as the
    /// file without its ending, or as the folder.
    pub(crate) fn name(&self) -> String {
        let name = match &self.file {
            Some(file) => file.file_stem(),
            None => self.folder.file_name(),
        };
        name.map_or_else(
            || "program".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Whether what is asked for is a WebAssembly module.
    pub(crate) fn is_for_wasm(&self) -> bool {
        self.settings.platforms.iter().any(crate::wasm::is_wasm)
    }

    /// A tool by the first of these names that there is.
    pub(crate) fn tool(
        &self,
        language: Language,
        names: &[&str],
        install: &'static str,
    ) -> Result<PathBuf, ToolError> {
        let found = names.iter().find_map(|name| self.toolchain.find(name));
        found.ok_or_else(|| ToolError::Missing {
            language,
            tools: names.iter().map(|name| (*name).to_owned()).collect(),
            install,
        })
    }

    /// The compilers' folder for this project on one platform: of its path, so
    /// that two projects do not meet.
    pub(crate) fn work(&self, platform: &Platform) -> Result<PathBuf, ToolError> {
        let work = self.toolchain.work().ok_or(ToolError::NoWork)?;
        let whole = self.file.as_ref().unwrap_or(&self.folder);
        let digest = Digest::of(whole.as_os_str().as_encoded_bytes()).to_string();
        let hex = digest.split(':').next_back().unwrap_or(&digest);
        // Without blanks and the like, which some tools do not take in a path.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = self.name().replace(|c| !plain(c), "-");
        let name = format!("{name}-{}", hex.get(..12).unwrap_or(hex));
        Ok(work.join(name).join(platform.to_string().replace('/', "-")))
    }
}

/// The tools of a language cannot make the program.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// One is not there.
    #[error("this is a {language} project, and {} is not installed", tools.join(" or "))]
    Missing {
        /// The language.
        language: Language,
        /// The names that were looked for along `PATH`.
        tools: Vec<String>,
        /// What to do.
        install: &'static str,
    },
    /// There is no folder for what they make.
    #[error(
        "no folder for what compilers make: neither $XDG_CACHE_HOME nor $HOME is set to an absolute path"
    )]
    NoWork,
    /// They do not know the platform.
    #[error("{language} has no target for {platform}")]
    Platform {
        /// The language.
        language: Language,
        /// What was asked.
        platform: Platform,
    },
    /// One could not say what the project is.
    #[error("{tool} does not take the project in {}: {said}", folder.display())]
    Refused {
        /// The tool.
        tool: String,
        /// The project.
        folder: PathBuf,
        /// Its words.
        said: String,
    },
    /// There is no program in the project, only libraries.
    #[error("{} has no {language} program, only libraries", folder.display())]
    NoPrograms {
        /// The language.
        language: Language,
        /// The project.
        folder: PathBuf,
    },
    /// Several programs and no choice.
    #[error("{} programs here, and an image holds one: {}", known.len(), known.join(", "))]
    Several {
        /// Those there are.
        known: Vec<String>,
    },
    /// No such program.
    #[error("no program {name:?} here, only {}", known.join(", "))]
    NoBin {
        /// As asked.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
}

impl ToolError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Missing { install, .. } => vec![(*install).to_owned()],
            Self::NoWork => vec!["set HOME or XDG_CACHE_HOME".to_owned()],
            Self::Platform { .. } => vec!["give a ready static program for it instead".to_owned()],
            Self::Several { .. } => vec!["choose one with --bin NAME".to_owned()],
            Self::Refused { .. } | Self::NoPrograms { .. } | Self::NoBin { .. } => Vec::new(),
        }
    }
}
