//! The size flags: which of them the project has chosen itself, in its
//! manifest, its cargo configuration or the environment, and which are left
//! for ounce to add.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::flag::Flag;
use crate::toolchain::Toolchain;

/// The flags in the order they are added, cheapest and surest first.
///
/// `opt-level` is "s", not "z": std's hello world is 372,184 bytes with "s"
/// and 371,576 with "z", and "z" also turns loop vectorisation off.
const SIZE_FLAGS: [(&str, &str, &str); 5] = [
    (
        "strip",
        "true",
        "symbols and debug information are for debuggers",
    ),
    (
        "panic",
        "\"abort\"",
        "no tables and no code to unwind the stack",
    ),
    ("lto", "\"fat\"", "what no crate calls goes"),
    ("codegen-units", "1", "one unit shares and inlines more"),
    ("opt-level", "\"s\"", "smaller code before faster code"),
];

/// A manifest or a configuration of cargo's could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{} is not TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// No such profile.
    #[error("profile {name:?} is defined neither in {} nor in cargo's configuration", manifest.display())]
    Unknown {
        /// As asked.
        name: String,
        /// Where it was looked for.
        manifest: PathBuf,
    },
}

/// What the project says to cargo: the root manifest and every configuration
/// file that cargo would read in `folder`, nearest first.
pub(crate) struct ProjectFiles {
    manifest_path: PathBuf,
    manifest: Table,
    configurations: Vec<Table>,
}

/// Where the project's configuration has flags for rustc.
#[derive(Debug, Default)]
pub(crate) struct OwnFlags {
    /// `[target.TRIPLE]`.
    pub(crate) of_triple: bool,
    /// `[target.'cfg(…)']`.
    pub(crate) of_conditions: bool,
    /// `[build]`.
    pub(crate) of_build: bool,
    /// One text instead of a list.
    pub(crate) as_text: bool,
}

impl ProjectFiles {
    /// From texts, for tests.
    #[cfg(test)]
    pub(crate) fn of(manifest: &str, configuration: &str) -> Self {
        Self {
            manifest_path: PathBuf::from("Cargo.toml"),
            manifest: manifest.parse().unwrap(),
            configurations: vec![configuration.parse().unwrap()],
        }
    }

    pub(crate) fn read(
        folder: &Path,
        workspace_root: &Path,
        cargo_home: Option<&Path>,
    ) -> Result<Self, ProfileError> {
        let manifest_path = workspace_root.join("Cargo.toml");
        let manifest = read_toml(&manifest_path)?.unwrap_or_default();
        let mut configurations = Vec::new();
        let mut places: Vec<PathBuf> = folder.ancestors().map(|a| a.join(".cargo")).collect();
        if let Some(home) = cargo_home
            && !places.iter().any(|place| place == home)
        {
            places.push(home.to_owned());
        }
        for place in places {
            // Cargo prefers the name without extension where both exist.
            for name in ["config", "config.toml"] {
                if let Some(table) = read_toml(&place.join(name))? {
                    configurations.push(table);
                    break;
                }
            }
        }
        Ok(Self {
            manifest_path,
            manifest,
            configurations,
        })
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.configurations.iter().chain([&self.manifest])
    }

    fn profile<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Table> {
        self.tables()
            .filter_map(move |table| table.get("profile")?.get(name)?.as_table())
    }

    /// Whether a `[target.TRIPLE]` section or `build.target` names the triple.
    pub(crate) fn configures(&self, triple: &str) -> bool {
        self.configurations.iter().any(|table| {
            let section = table.get("target").and_then(|target| target.get(triple));
            let default = table.get("build").and_then(|build| build.get("target"));
            section.is_some() || default.and_then(Value::as_str) == Some(triple)
        })
    }

    /// Whether the project chose a linker for the triple.
    pub(crate) fn has_linker(&self, triple: &str) -> bool {
        self.configurations.iter().any(|table| {
            let section = table.get("target").and_then(|target| target.get(triple));
            section.is_some_and(|section| section.get("linker").is_some())
        })
    }

    /// Which sections hold flags for rustc.
    pub(crate) fn rustflags(&self, triple: &str) -> OwnFlags {
        let mut own = OwnFlags::default();
        for table in &self.configurations {
            if let Some(flags) = table.get("build").and_then(|build| build.get("rustflags")) {
                own.of_build = true;
                own.as_text |= flags.is_str();
            }
            let targets = table.get("target").and_then(Value::as_table);
            for (name, section) in targets.into_iter().flatten() {
                let Some(flags) = section.get("rustflags") else {
                    continue;
                };
                if name == triple {
                    own.of_triple = true;
                    own.as_text |= flags.is_str();
                } else if name.starts_with("cfg(") {
                    own.of_conditions = true;
                }
            }
        }
        own
    }

    /// The size flags of `profile`, each with who chose it.
    pub(crate) fn flags(
        &self,
        profile: &str,
        toolchain: &Toolchain,
    ) -> Result<Vec<Flag>, ProfileError> {
        let chain = self.chain(profile)?;
        let debug_kept = self
            .chosen(&chain, "debug", toolchain)
            .is_some_and(|value| !matches!(value.trim_matches('"'), "false" | "0" | "none"));
        let mut flags = Vec::new();
        for (key, value, why) in SIZE_FLAGS {
            match self.chosen(&chain, key, toolchain) {
                Some(value) => flags.push(Flag::of_project(key, value)),
                // Who asks for debug information wants to keep it.
                None if key == "strip" && debug_kept => {
                    flags.push(Flag::of_project(key, "false"));
                }
                None if chain.iter().any(|name| name == "dev" || name == "test") => {}
                None => flags.push(Flag::of_ounce(key, value, why)),
            }
        }
        Ok(flags)
    }

    /// The profile and those it inherits from.
    fn chain(&self, profile: &str) -> Result<Vec<String>, ProfileError> {
        const BUILT_IN: [&str; 4] = ["dev", "release", "test", "bench"];
        let mut chain = vec![profile.to_owned()];
        loop {
            let name = chain.last().map_or("", String::as_str);
            let inherits = self
                .profile(name)
                .find_map(|table| table.get("inherits")?.as_str());
            match inherits {
                // Inheritance in a circle is cargo's to complain about.
                Some(next) if !chain.iter().any(|seen| seen == next) => {
                    let next = next.to_owned();
                    chain.push(next);
                }
                Some(_) => return Ok(chain),
                None if name == "bench" => chain.push("release".to_owned()),
                None if name == "test" => chain.push("dev".to_owned()),
                None if BUILT_IN.contains(&name) => return Ok(chain),
                None if self.profile(name).next().is_some() => return Ok(chain),
                None => {
                    return Err(ProfileError::Unknown {
                        name: name.to_owned(),
                        manifest: self.manifest_path.clone(),
                    });
                }
            }
        }
    }

    fn chosen(&self, chain: &[String], key: &str, toolchain: &Toolchain) -> Option<String> {
        chain.iter().find_map(|name| {
            let variable = format!("CARGO_PROFILE_{name}_{key}")
                .to_ascii_uppercase()
                .replace('-', "_");
            if let Some(value) = toolchain.get(&variable) {
                return Some(value.to_string_lossy().into_owned());
            }
            self.profile(name)
                .find_map(|table| table.get(key).map(Value::to_string))
        })
    }
}

fn read_toml(path: &Path) -> Result<Option<Table>, ProfileError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(source) => {
            return Err(ProfileError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    text.parse().map(Some).map_err(|source| ProfileError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(manifest: &str, configuration: &str, profile: &str) -> Vec<String> {
        let files = ProjectFiles::of(manifest, configuration);
        let toolchain = Toolchain::new([("CARGO_PROFILE_RELEASE_LTO".into(), "off".into())]);
        files
            .flags(profile, &toolchain)
            .unwrap()
            .iter()
            .map(|flag| format!("{}={} {:?}", flag.key, flag.value, flag.by))
            .collect()
    }

    #[test]
    fn what_the_project_chose_is_left_wherever_it_chose_it() {
        assert_eq!(
            flags(
                "[profile.release]\npanic = 'unwind'\n[profile.tiny]\ninherits = 'release'\n",
                "[profile.release]\nopt-level = 3",
                "tiny"
            ),
            [
                "strip=true Ounce",
                "panic=\"unwind\" Project",
                "lto=off Project",
                "codegen-units=1 Ounce",
                "opt-level=3 Project",
            ]
        );
    }

    #[test]
    fn debug_information_that_was_asked_for_is_not_stripped() {
        assert_eq!(
            flags("[profile.release]\ndebug = true", "", "release")[0],
            "strip=false Project"
        );
        assert_eq!(
            flags("[profile.release]\ndebug = false", "", "release")[0],
            "strip=true Ounce"
        );
    }

    #[test]
    fn a_development_profile_is_left_alone() {
        assert!(flags("", "", "dev").is_empty());
    }
}
