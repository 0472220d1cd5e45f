//! `cargo xtask licences`: what may enter the dependency tree, read from `deny.toml`.
//!
//! The same file and the same laws as `cargo deny check` (licences, bans,
//! sources), without the ten minutes that building it costs a bare machine.
//! Advisories are left to `cargo deny` itself: they need a database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::house::House;
use crate::tool::{command, read};

/// The part of `deny.toml` that is read here.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Bans {
    #[serde(default)]
    deny: Vec<Named>,
    /// Crates that may come in more than one version, each with its reason.
    #[serde(default)]
    skip: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Checks the root workspace and every workspace beside it.
pub(crate) fn check(house: &House) -> Result<()> {
    let path = house.path("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let deny: Deny = toml::from_str(&text).context("parsing deny.toml")?;
    let mut folders = vec![house.root().to_path_buf()];
    folders.extend(house.own_workspaces()?);
    let mut faults = Vec::new();
    for folder in folders {
        let text = read(
            command(&["cargo", "metadata", "--format-version", "1", "--locked"])
                .current_dir(&folder),
        )?;
        let metadata: Metadata = serde_json::from_str(&text)?;
        println!(
            "  {}: {} packages",
            house.name(&folder),
            metadata.packages.len()
        );
        let mut found = breaches(&deny, &metadata.packages);
        if is_of_wasm(house, &folder) {
            // Versions are wasmtime's and its tools' to choose; licences are not.
            found.retain(|fault| !fault.contains(" versions: ") && !fault.ends_with(" is banned"));
        }
        faults.extend(found);
    }
    if !faults.is_empty() {
        bail!("against deny.toml:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// The engine and what is compiled for it: nothing of either is in ounce, and
/// the engine waits on many things at once, by tokio.
fn is_of_wasm(house: &House, folder: &std::path::Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    crate::wasmhost::is(house, folder) || name.as_encoded_bytes().starts_with(b"wasm-")
}

fn breaches(deny: &Deny, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let shown = format!("{} {}", package.name, package.version);
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
        match &package.license {
            None => faults.push(format!("{shown} states no licence")),
            Some(text) if !permits(text, &deny.licenses.allow) => {
                faults.push(format!("{shown} is under {text}, which is not allowed"));
            }
            Some(_) => {}
        }
        if package
            .source
            .as_ref()
            .is_some_and(|source| !source.starts_with("registry+"))
        {
            faults.push(format!("{shown} does not come from the registry"));
        }
        if deny
            .bans
            .deny
            .iter()
            .any(|banned| banned.name == package.name)
        {
            faults.push(format!("{shown} is banned"));
        }
    }
    for (name, list) in versions {
        if list.len() > 1 && !deny.bans.skip.iter().any(|skip| skip.name == name) {
            let list: Vec<_> = list.into_iter().collect();
            faults.push(format!(
                "{name} comes in {} versions: {}",
                list.len(),
                list.join(", ")
            ));
        }
    }
    faults
}

/// Whether an SPDX expression can be met by allowed licences; `AND` binds tighter than `OR`.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // `A/B` is the old way to write `A OR B`.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let value = either(&words, &mut at, allowed);
    value && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut value = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        value |= both(words, at, allowed);
    }
    value
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut value = single(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        value &= single(words, at, allowed);
    }
    value
}

fn single(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let value = either(words, at, allowed);
        *at += 1;
        return value;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deny() -> Deny {
        toml::from_str(
            "[licenses]\nallow = [\"MIT\", \"Zlib\", \"Apache-2.0 WITH LLVM-exception\"]\n\
             [bans]\ndeny = [{ name = \"bad\" }]\nskip = [{ name = \"twice\" }]",
        )
        .unwrap()
    }

    #[test]
    fn expressions_are_read_with_their_precedence() {
        let allow = deny().licenses.allow;
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(GPL-3.0 OR MIT) AND Zlib",
            "GPL-3.0 AND X OR MIT",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(permits(good, &allow), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "MIT AND (GPL-3.0 OR X)",
            "MIT )",
        ] {
            assert!(!permits(bad, &allow), "{bad}");
        }
    }

    #[test]
    fn each_law_can_be_broken() {
        let package =
            |name: &str, version: &str, license: Option<&str>, source: Option<&str>| Package {
                name: name.into(),
                version: version.into(),
                license: license.map(String::from),
                source: source.map(String::from),
            };
        let found = breaches(
            &deny(),
            &[
                package("own", "1", Some("MIT"), None),
                package("bad", "1", Some("MIT"), Some("registry+x")),
                package("git", "1", Some("MIT"), Some("git+x")),
                package("gpl", "1", Some("GPL-3.0"), None),
                package("none", "1", None, None),
                package("dup", "1", Some("MIT"), None),
                package("dup", "2", Some("MIT"), None),
                package("twice", "1", Some("MIT"), None),
                package("twice", "2", Some("MIT"), None),
            ],
        );
        assert_eq!(
            found,
            [
                "bad 1 is banned",
                "git 1 does not come from the registry",
                "gpl 1 is under GPL-3.0, which is not allowed",
                "none 1 states no licence",
                "dup comes in 2 versions: 1, 2",
            ]
        );
    }
}
