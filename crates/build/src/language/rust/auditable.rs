//! The list of a program's crates, carried in the program itself: the section
//! `.dep-v0` of cargo-auditable, zlib over JSON, which scanners read.
//!
//! The section is linked in as an object file of nothing else; it is not
//! loaded when the program starts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::recipe::CargoRecipe;
use crate::toolchain::Toolchain;

/// Most crates of one program.
const MOST_CRATES: usize = 100_000;

/// The list cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditableError {
    /// Cargo could not be started.
    #[error("asking cargo for the crates of {bin}")]
    Start {
        /// The program.
        bin: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Cargo does not say.
    #[error("cargo does not tell the crates of {bin}: {}", stderr.trim())]
    Metadata {
        /// The program.
        bin: String,
        /// What it said.
        stderr: String,
    },
    /// What it wrote is not what it documents.
    #[error("reading what cargo metadata wrote")]
    Format(#[source] serde_json::Error),
    /// The package is not among those it wrote of.
    #[error("cargo metadata does not know the package {0:?}")]
    NoPackage(String),
    /// A machine that object files are not written for.
    #[error("no crate list can be linked into a program for {0}")]
    Target(String),
    /// More than anybody has.
    #[error("more than {MOST_CRATES} crates")]
    TooMany,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    version: String,
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// As cargo-auditable's format has it: `packages`, each with its dependencies' indices.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct List {
    packages: Vec<Crate>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Crate {
    name: String,
    version: String,
    source: &'static str,
    /// Of what only runs while it is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    root: bool,
}

/// An object file with the list of the crates of `recipe`'s program.
///
/// # Errors
/// Cargo does not tell them, or the target is one that no object is written for.
pub(crate) fn object(
    recipe: &CargoRecipe,
    toolchain: &Toolchain,
) -> Result<Vec<u8>, AuditableError> {
    let machine = machine(&recipe.target)?;
    let bin = || recipe.bin.clone();
    let mut command = toolchain.command(&toolchain.cargo, &recipe.folder);
    command.args(["metadata", "--format-version", "1"]);
    command.args(["--filter-platform", &recipe.target]);
    // What chooses dependencies is told as to the build itself.
    let mut arguments = recipe.arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--features" => {
                command.arg(argument).args(arguments.next());
            }
            "--all-features" | "--no-default-features" | "--offline" => {
                command.arg(argument);
            }
            _ => {}
        }
    }
    let output = command
        .output()
        .map_err(|source| AuditableError::Start { bin: bin(), source })?;
    if !output.status.success() {
        return Err(AuditableError::Metadata {
            bin: bin(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let metadata = serde_json::from_slice(&output.stdout).map_err(AuditableError::Format)?;
    let json =
        serde_json::to_vec(&list(&metadata, &recipe.package)?).map_err(AuditableError::Format)?;
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let mut data = vec![0; compressor.zlib_compress_bound(json.len())];
    // The bound is the compressor's own, so that it fits.
    let bytes = compressor.zlib_compress(&json, &mut data).unwrap_or(0);
    data.truncate(bytes);
    Ok(object_file(machine, &data))
}

fn list(metadata: &Metadata, package: &str) -> Result<List, AuditableError> {
    let by_id: BTreeMap<&str, &MetadataPackage> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package))
        .collect();
    let edges: BTreeMap<&str, &[Edge]> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node.deps.as_slice()))
        .collect();
    let root = metadata
        .workspace_members
        .iter()
        .map(String::as_str)
        .find(|id| by_id.get(id).is_some_and(|found| found.name == package))
        .ok_or_else(|| AuditableError::NoPackage(package.to_owned()))?;
    let is_macro = |id: &str| {
        by_id.get(id).is_some_and(|package| {
            let mut kinds = package.targets.iter().flat_map(|target| &target.kind);
            kinds.any(|kind| kind == "proc-macro")
        })
    };
    // What is in the program first; then what is only reached by building it.
    let mut reached: BTreeMap<&str, bool> = BTreeMap::from([(root, true)]);
    let mut next = vec![root];
    let mut later = Vec::new();
    let mut in_program = true;
    loop {
        while let Some(id) = next.pop() {
            for edge in edges.get(id).copied().unwrap_or_default() {
                let is = |wanted: Option<&str>| {
                    edge.dep_kinds
                        .iter()
                        .any(|kind| kind.kind.as_deref() == wanted)
                };
                let id = edge.pkg.as_str();
                if reached.contains_key(id) {
                    continue;
                }
                if is(None) && (!in_program || !is_macro(id)) {
                    reached.insert(id, in_program);
                    next.push(id);
                } else if is(None) || is(Some("build")) {
                    later.push(id);
                }
            }
        }
        in_program = false;
        while let Some(id) = later.pop() {
            if reached.insert(id, false).is_none() {
                next.push(id);
            } else {
                // It was in the program before, and stays so.
                reached.insert(id, true);
            }
        }
        if next.is_empty() {
            break;
        }
    }
    if reached.len() > MOST_CRATES {
        return Err(AuditableError::TooMany);
    }
    let mut ids: Vec<&str> = reached.keys().copied().collect();
    let order = |id: &str| {
        by_id
            .get(id)
            .map(|one| (one.name.as_str(), one.version.as_str(), source(one)))
    };
    ids.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.cmp(b)));
    let index: BTreeMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let packages = ids
        .iter()
        .filter_map(|id| {
            let package = by_id.get(id)?;
            let dependencies: BTreeSet<usize> = edges
                .get(id)
                .copied()
                .unwrap_or_default()
                .iter()
                .filter(|edge| {
                    let mut kinds = edge.dep_kinds.iter();
                    kinds.any(|kind| kind.kind.as_deref() != Some("dev"))
                })
                .filter_map(|edge| index.get(edge.pkg.as_str()).copied())
                .collect();
            Some(Crate {
                name: package.name.clone(),
                version: package.version.clone(),
                source: source(package),
                kind: (!reached.get(id).copied().unwrap_or(false)).then_some("build"),
                dependencies: dependencies.into_iter().collect(),
                root: *id == root,
            })
        })
        .collect();
    Ok(List { packages })
}

fn source(package: &MetadataPackage) -> &'static str {
    match package.source.as_deref() {
        None => "local",
        Some(source) if source.starts_with("git+") => "git",
        Some(source) if source.trim_end_matches('/').ends_with("crates.io-index") => "crates.io",
        Some(_) => "registry",
    }
}

/// `e_machine` and `e_flags`, of 64-bit little-endian machines.
fn machine(triple: &str) -> Result<(u16, u32), AuditableError> {
    match triple.split('-').next().unwrap_or_default() {
        "x86_64" => Ok((62, 0)),
        "aarch64" => Ok((183, 0)),
        // Compressed instructions, floats of 64 bits in registers.
        "riscv64gc" => Ok((243, 5)),
        // The second ABI.
        "powerpc64le" => Ok((21, 2)),
        _ => Err(AuditableError::Target(triple.to_owned())),
    }
}

/// A relocatable ELF file of one section (elf(5)).
fn object_file((machine, flags): (u16, u32), data: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: u64 = 64;
    const NAMES: &[u8] = b"\0.dep-v0\0.shstrtab\0";
    let mut file = Vec::new();
    let names_at = HEADER_BYTES + data.len() as u64;
    let sections_at = (names_at + NAMES.len() as u64).next_multiple_of(8);
    // ELF, 64 bits, little-endian, version 1.
    file.extend(b"\x7fELF\x02\x01\x01");
    file.resize(16, 0);
    file.extend(1u16.to_le_bytes()); // ET_REL
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend([0; 16]); // no entry, no program headers
    file.extend(sections_at.to_le_bytes());
    file.extend(flags.to_le_bytes());
    for half in [64u16, 0, 0, 64, 3, 2] {
        file.extend(half.to_le_bytes());
    }
    file.extend(data);
    file.extend(NAMES);
    file.resize(sections_at as usize, 0);
    file.extend([0; 64]);
    // Name, kind, offset, length: SHT_PROGBITS that is not loaded, then SHT_STRTAB.
    for (name, kind, at, bytes) in [
        (1u32, 1u32, HEADER_BYTES, data.len() as u64),
        (9, 3, names_at, NAMES.len() as u64),
    ] {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for long in [0, 0, at, bytes, 0, 1, 0] {
            file.extend(long.to_le_bytes());
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id":"app","name":"app","version":"1.0.0","source":null,"targets":[{"kind":["bin"]}]},
            {"id":"run","name":"run","version":"2.0.0","source":"registry+https://a/crates.io-index","targets":[{"kind":["lib"]}]},
            {"id":"mac","name":"mac","version":"3.0.0","source":"git+https://b","targets":[{"kind":["proc-macro"]}]},
            {"id":"both","name":"both","version":"4.0.0","source":"sparse+https://c","targets":[{"kind":["lib"]}]},
            {"id":"syn","name":"syn","version":"5.0.0","source":null,"targets":[{"kind":["lib"]}]},
            {"id":"test","name":"test","version":"6.0.0","source":null,"targets":[{"kind":["lib"]}]}
        ],
        "workspace_members": ["app"],
        "resolve": {"nodes": [
            {"id":"app","deps":[
                {"pkg":"mac","dep_kinds":[{"kind":null}]},
                {"pkg":"both","dep_kinds":[{"kind":"build"}]},
                {"pkg":"run","dep_kinds":[{"kind":null}]},
                {"pkg":"test","dep_kinds":[{"kind":"dev"}]}]},
            {"id":"run","deps":[{"pkg":"both","dep_kinds":[{"kind":null}]}]},
            {"id":"mac","deps":[{"pkg":"syn","dep_kinds":[{"kind":null}]},{"pkg":"both","dep_kinds":[{"kind":null}]}]},
            {"id":"both","deps":[]},{"id":"syn","deps":[]},{"id":"test","deps":[]}
        ]}
    }"#;

    #[test]
    fn what_is_in_the_program_and_what_only_built_it_are_told_apart() {
        let metadata = serde_json::from_str(METADATA).unwrap();
        let found = list(&metadata, "app").unwrap();
        let told: Vec<_> = found
            .packages
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.source,
                    one.kind,
                    one.dependencies.clone(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("app", "local", None, vec![1, 2, 3]),
                ("both", "registry", None, vec![]),
                ("mac", "git", Some("build"), vec![1, 4]),
                ("run", "crates.io", None, vec![1]),
                ("syn", "local", Some("build"), vec![]),
            ]
        );
        assert!(matches!(
            list(&metadata, "other"),
            Err(AuditableError::NoPackage(_))
        ));
    }

    #[test]
    fn machines_without_a_known_object_format_are_refused() {
        assert!(machine("x86_64-unknown-linux-musl").is_ok());
        assert!(machine("s390x-unknown-linux-gnu").is_err());
    }
}
