//! Flags for rustc that ounce adds, and the one way to add them that leaves
//! the project's own in force.
//!
//! Cargo takes flags from one source only: the environment, else all matching
//! `target` sections, else `build.rustflags` (the Cargo book, "build.rustflags").
//! Within a source `--config` adds to what files say. So ours go where the
//! project's are; where that cannot be told, only what the program cannot be
//! without is added.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::profile::ProjectFiles;
use crate::toolchain::Toolchain;

/// Where the flags are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlagSource {
    /// To those of `CARGO_ENCODED_RUSTFLAGS` or `RUSTFLAGS`.
    Environment,
    /// To those of the target's section.
    Target,
    /// To those of `build.rustflags`, of which there may be none.
    Build,
}

/// What is added, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddedFlags {
    /// Where.
    pub to: FlagSource,
    /// The flags.
    pub flags: Vec<String>,
}

const ENCODED: &str = "CARGO_ENCODED_RUSTFLAGS";

/// Puts `needed` and, where it does no harm, `wished` where the project's flags are.
pub(crate) fn add(
    files: &ProjectFiles,
    toolchain: &Toolchain,
    triple: &str,
    needed: &[String],
    wished: &[String],
) -> AddedFlags {
    let all = [needed, wished].concat();
    if toolchain.has(ENCODED) || toolchain.has("RUSTFLAGS") {
        return AddedFlags {
            to: FlagSource::Environment,
            flags: all,
        };
    }
    let found = files.rustflags(triple);
    let name = triple.to_ascii_uppercase().replace('-', "_");
    let of_target = found.of_triple || toolchain.has(&format!("CARGO_TARGET_{name}_RUSTFLAGS"));
    let of_build = found.of_build || toolchain.has("CARGO_BUILD_RUSTFLAGS");
    let (to, harmless) = match (of_target, found.of_conditions, of_build) {
        (true, ..) | (false, true, false) => (FlagSource::Target, true),
        (false, false, _) => (FlagSource::Build, true),
        // Whether the condition holds, and so which of the two, is cargo's to know.
        (false, true, true) => (FlagSource::Target, false),
    };
    // A list cannot be added to a text.
    let wished_too = harmless && !found.as_text;
    AddedFlags {
        to,
        flags: if wished_too { all } else { needed.to_vec() },
    }
}

impl AddedFlags {
    /// Cargo's arguments for them.
    pub(crate) fn arguments(&self, triple: &str) -> Vec<String> {
        let key = match self.to {
            _ if self.flags.is_empty() => return Vec::new(),
            FlagSource::Environment => return Vec::new(),
            FlagSource::Target => format!("target.{triple}.rustflags"),
            FlagSource::Build => "build.rustflags".to_owned(),
        };
        let list: toml::Value = self.flags.clone().into();
        vec!["--config".to_owned(), format!("{key}={list}")]
    }

    /// The variable that holds them, if they go by the environment.
    pub(crate) fn variable(&self, toolchain: &Toolchain) -> Option<(&'static str, OsString)> {
        if self.to != FlagSource::Environment || self.flags.is_empty() {
            return None;
        }
        let get = |name: &str| toolchain.environment.get(OsStr::new(name));
        let own: Vec<String> = match get(ENCODED).filter(|flags| !flags.is_empty()) {
            Some(flags) => text(flags).split('\x1f').map(str::to_owned).collect(),
            // As cargo parts it.
            None => get("RUSTFLAGS")
                .map(|flags| text(flags).split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
        };
        let flags: Vec<String> = own.into_iter().chain(self.flags.iter().cloned()).collect();
        Some((ENCODED, flags.join("\x1f").into()))
    }
}

fn text(value: &OsString) -> String {
    value.to_string_lossy().into_owned()
}

/// Flags that keep this machine's folders out of the program, where messages
/// of a panic name source files: the same sources then give the same bytes
/// wherever they, cargo's home and the toolchain lie.
pub(crate) fn remaps(toolchain: &Toolchain, folder: &Path, workspace_root: &Path) -> Vec<String> {
    let mut pairs: Vec<(PathBuf, String)> = Vec::new();
    // The last one that fits counts. Above the project, where a dependency by
    // path may lie, folders are told as they lie from it.
    let above: Vec<&Path> = workspace_root.ancestors().collect();
    for (height, ancestor) in above.iter().enumerate().rev() {
        if ancestor.parent().is_some() {
            pairs.push((
                (*ancestor).to_owned(),
                format!("/src{}", "/..".repeat(height)),
            ));
        }
    }
    if let Some(home) = toolchain.cargo_home() {
        pairs.push((home, "/cargo".to_owned()));
    }
    // With the component rust-src the standard library's files have places
    // on this machine; without, they have these names.
    if let (Some(sysroot), Some(commit)) = (
        toolchain.told(folder, &["--print", "sysroot"]),
        toolchain.told(folder, &["-vV"]).and_then(|told| {
            let line = told
                .lines()
                .find_map(|line| line.strip_prefix("commit-hash: "));
            line.map(str::to_owned)
        }),
    ) {
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
        pairs.push((source, format!("/rustc/{}", commit.trim())));
    }
    pairs
        .into_iter()
        .filter_map(|(from, to)| Some(format!("--remap-path-prefix={}={to}", from.to_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLE: &str = "x86_64-unknown-linux-musl";

    fn added(configuration: &str, environment: &[(&str, &str)]) -> AddedFlags {
        let environment = environment.iter().map(|(k, v)| (k.into(), v.into()));
        let files = ProjectFiles::of("", configuration);
        let toolchain = Toolchain::new(environment);
        add(
            &files,
            &toolchain,
            TRIPLE,
            &["-Cneed".to_owned()],
            &["-Cwish".to_owned()],
        )
    }

    #[test]
    fn flags_go_where_the_projects_own_are() {
        let to = |configuration: &str| added(configuration, &[]);
        let all = ["-Cneed", "-Cwish"];
        let plain = to("");
        assert_eq!(
            (plain.to, &plain.flags[..]),
            (FlagSource::Build, &all.map(str::to_owned)[..])
        );
        assert_eq!(to("[build]\nrustflags = ['-Ca']").to, FlagSource::Build);
        let exact = format!("[target.{TRIPLE}]\nrustflags = ['-Ca']\n[build]\nrustflags = ['-Cb']");
        assert_eq!(to(&exact).to, FlagSource::Target);
        let other = "[target.riscv64gc-unknown-linux-gnu]\nrustflags = ['-Ca']";
        assert_eq!(to(other).to, FlagSource::Build);
        let condition = "[target.'cfg(unix)']\nrustflags = ['-Ca']";
        assert_eq!(to(condition).to, FlagSource::Target);
    }

    #[test]
    fn where_ours_could_hide_the_projects_only_the_needed_are_added() {
        for configuration in [
            "[target.'cfg(unix)']\nrustflags = ['-Ca']\n[build]\nrustflags = ['-Cb']",
            "[build]\nrustflags = '-Ca'",
        ] {
            assert_eq!(
                added(configuration, &[]).flags,
                ["-Cneed"],
                "{configuration}"
            );
        }
    }

    #[test]
    fn flags_of_the_environment_are_kept_before_ours() {
        let value = |environment: &[(&str, &str)]| {
            let toolchain = Toolchain::new(environment.iter().map(|(k, v)| (k.into(), v.into())));
            added("", environment).variable(&toolchain).unwrap()
        };
        let (name, flags) = value(&[("RUSTFLAGS", " -C  a ")]);
        assert_eq!(name, ENCODED);
        assert_eq!(flags, "-C\x1fa\x1f-Cneed\x1f-Cwish");
        let both = [("RUSTFLAGS", "-Cx"), (ENCODED, "-C\x1fa b")];
        assert_eq!(value(&both).1, "-C\x1fa b\x1f-Cneed\x1f-Cwish");
    }
}
