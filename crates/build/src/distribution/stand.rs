//! Whether a program can stand on a base: its loader and its libraries must be
//! there, and theirs, in versions that are as new as those it was linked against.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use ounce_oci::Image;
use ounce_rootfs::content::{ContentError, read_file};
use ounce_rootfs::elf::versions::Versions;
use ounce_rootfs::elf::{Elf, ElfFacts};
use ounce_rootfs::loader::{Asker, Cache, Flavour, Loader};
use ounce_rootfs::tree::{NodeKind, Tree, TreeError};

/// Most bytes of a library that is looked into.
const LIBRARY_LIMIT_BYTES: u64 = 1 << 30;

/// A program cannot stand on the base.
#[derive(Debug, thiserror::Error)]
pub enum StandError {
    /// The base's files.
    #[error("reading the base")]
    Tree(#[from] TreeError),
    /// A library in it.
    #[error("reading the base's /{}", path.display())]
    Content {
        /// The library.
        path: PathBuf,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// Libraries or the loader are missing.
    #[error("the base has not what {program} needs: {}", missing.join(", "))]
    Missing {
        /// The program.
        program: String,
        /// Each with who needs it.
        missing: Vec<String>,
    },
    /// Libraries are older than what the program was linked against.
    #[error("the base is older than what {program} was linked against: {}", lacking.join(", "))]
    Older {
        /// The program.
        program: String,
        /// Each version with its library, and the newest that this has.
        lacking: Vec<String>,
    },
    /// A file of the base is in the program's place.
    #[error("the base has something at {0} already")]
    Taken(String),
}

/// A library of the base, as far as it matters here.
struct Library {
    path: PathBuf,
    versions: Versions,
}

/// Checks that `facts`, of the program of these `bytes` that will stand at
/// `entrypoint`, finds its loader and libraries in `base`.
///
/// # Errors
/// It does not, or the base cannot be read.
pub(crate) fn check(
    base: &Image,
    entrypoint: &str,
    facts: &ElfFacts,
    program: &[u8],
) -> Result<(), StandError> {
    let tree = Tree::of_image(base)?;
    let inside = Path::new(entrypoint);
    if matches!(tree.get(inside), Some(node) if node.kind == NodeKind::Folder) {
        return Err(StandError::Taken(entrypoint.to_owned()));
    }
    let mut missing = Vec::new();
    if let Some(interpreter) = &facts.interpreter
        && tree.lookup(interpreter).is_err()
    {
        missing.push(format!("the loader {interpreter}"));
    }
    let bytes = |path: &Path| {
        read_file(base, &tree, path, LIBRARY_LIMIT_BYTES).map_err(|source| StandError::Content {
            path: path.to_owned(),
            source,
        })
    };
    let cache = match tree.lookup("/etc/ld.so.cache") {
        Ok((path, _)) => Cache::read(&bytes(&path)?).ok(),
        Err(_) => None,
    };
    let loader = Loader {
        flavour: Flavour::of_interpreter(facts.interpreter.as_deref().unwrap_or("")),
        cache,
        path_file: None,
        library_path: Vec::new(),
    };
    let mut seen = HashSet::new();
    // By the name that is asked for.
    let mut libraries: HashMap<String, Library> = HashMap::new();
    let mut asked: Vec<(PathBuf, Versions)> = vec![(inside.to_owned(), Versions::read(program))];
    let mut waiting = vec![(inside.to_owned(), facts.clone(), Vec::new())];
    while let Some((path, facts, inherited)) = waiting.pop() {
        let asker = Asker {
            path: &path,
            facts: &facts,
            inherited: &inherited,
        };
        let passed_on = loader.inherited(&asker);
        for name in &facts.needed {
            if !seen.insert(name.clone()) {
                continue;
            }
            let found = loader
                .candidates(&asker, name)
                .into_iter()
                .find_map(|candidate| tree.lookup(&candidate).ok().map(|(path, _)| path));
            let Some(library) = found else {
                missing.push(format!("{name} (for {})", path.display()));
                continue;
            };
            let content = bytes(&library)?;
            let whole = Path::new("/").join(library);
            let versions = Versions::read(&content);
            asked.push((whole.clone(), versions.clone()));
            if let Ok(facts) = Elf::read(&content) {
                waiting.push((whole.clone(), facts, passed_on.clone()));
            }
            let library = Library {
                path: whole,
                versions,
            };
            libraries.insert(name.clone(), library);
        }
    }
    if !missing.is_empty() {
        return Err(StandError::Missing {
            program: entrypoint.to_owned(),
            missing,
        });
    }
    let lacking = lacking(&asked, &libraries);
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(StandError::Older {
            program: entrypoint.to_owned(),
            lacking,
        }),
    }
}

/// What each asks of a library that this has not, in words, in order.
fn lacking(asked: &[(PathBuf, Versions)], libraries: &HashMap<String, Library>) -> Vec<String> {
    let mut all = Vec::new();
    for (asker, versions) in asked {
        let found: BTreeMap<_, _> = versions
            .needed
            .iter()
            .filter_map(|(name, needed)| Some((libraries.get(name)?, needed)))
            .map(|(library, needed)| (&library.path, (library, needed)))
            .collect();
        for (path, (library, needed)) in found {
            let of_library = &library.versions;
            // The newest is what has to be there; those before it come with it.
            let Some(newest) = of_library.lacking(needed).pop() else {
                continue;
            };
            let has = match of_library.newest_like(newest) {
                Some(has) => format!(", which has {has} at most"),
                None => String::new(),
            };
            all.push(format!(
                "{newest} of {}{has} (for {})",
                path.display(),
                asker.display()
            ));
        }
    }
    all
}
