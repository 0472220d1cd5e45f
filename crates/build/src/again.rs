//! The same build once more, elsewhere: the project is copied to a folder with
//! another name, its files in another order and of another day, and compiled there
//! from the start. What stands in the image after that came from the sources and
//! from nothing else.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::plan::Request;
use crate::recipe::{Found, Recipe};
use crate::settings::Measure;
use crate::sources::{self, Sources};

/// How the second build differs from the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum How {
    /// From the sources, in another folder.
    Elsewhere,
    /// From the sources where they are, with nothing kept of what was compiled.
    InPlace {
        /// Why they could not be copied.
        why: String,
    },
    /// A ready program, which was packed again.
    Packed,
}

/// What is to be built the second time.
#[derive(Debug, Clone)]
pub struct Again {
    /// The request.
    pub request: Request,
    /// How it differs.
    pub how: How,
}

/// The request for a second build in `folder`, which is empty and will hold the
/// sources and what is compiled.
///
/// # Errors
/// The sources cannot be read, or copied.
pub fn elsewhere(request: &Request, recipe: &Recipe, folder: &Path) -> io::Result<Again> {
    let path = request.path.canonicalize()?;
    // Longer than any folder a project is likely to lie in, and of another depth.
    let root = folder.join("the/same/sources/in-another-folder");
    if path.is_file() && recipe.found != Found::Program {
        let why = "a source file may include others that lie anywhere".to_owned();
        return Ok(in_place(request, folder, why));
    }
    if path.is_file() {
        let copy = root.join(path.file_name().unwrap_or_default());
        std::fs::create_dir_all(&root)?;
        std::fs::copy(&path, &copy)?;
        return Ok(Again {
            request: moved(request, copy, folder),
            how: How::Packed,
        });
    }
    let is_code = recipe.found != Found::Site;
    let (from, at) = match recipe.found {
        Found::Project(Language::Rust) => match reach(request, &path) {
            Ok(from) => {
                let at = path.strip_prefix(&from).unwrap_or(Path::new("")).to_owned();
                (from, at)
            }
            Err(why) => return Ok(in_place(request, folder, why)),
        },
        _ => (path, PathBuf::new()),
    };
    // A project without a name of its own has its folder's.
    let root = root.join(from.file_name().unwrap_or_default());
    let Some(found) = Sources::walk(&from, is_code)? else {
        let why = format!("{} is too large to be copied", from.display());
        return Ok(in_place(request, folder, why));
    };
    sources::copy(&from, &found, &root)?;
    Ok(Again {
        request: moved(request, root.join(at), folder),
        how: match recipe.found {
            Found::Program => How::Packed,
            _ => How::Elsewhere,
        },
    })
}

/// The request for a second build of sources that stay where they are.
pub fn in_place(request: &Request, folder: &Path, why: String) -> Again {
    Again {
        request: moved(request, request.path.clone(), folder),
        how: How::InPlace { why },
    }
}

/// The request for another path, with an environment in which nothing that was
/// compiled before is found, and clock and language are others.
fn moved(request: &Request, path: PathBuf, folder: &Path) -> Request {
    let mut again = request.clone();
    again.path = path;
    // What the sizes would be without flags is known.
    again.settings.measure = Some(Measure::No);
    let environment = &mut again.toolchain.environment;
    // Caches of what was compiled, by whoever keeps them.
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        environment.remove(&OsString::from(name));
    }
    let made = folder.join("made");
    for (name, value) in [
        ("CARGO_TARGET_DIR", made.join("cargo").into_os_string()),
        // Where the compilers of other languages have their folders.
        ("XDG_CACHE_HOME", made.join("cache").into_os_string()),
        ("GOCACHE", made.join("go").into_os_string()),
        ("ZIG_GLOBAL_CACHE_DIR", made.join("zig").into_os_string()),
        (
            "ZIG_LOCAL_CACHE_DIR",
            made.join("zig-local").into_os_string(),
        ),
        ("CCACHE_DISABLE", "1".into()),
        ("TZ", "Pacific/Chatham".into()),
        ("LC_ALL", "C".into()),
    ] {
        environment.insert(name.into(), value);
    }
    again
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    source: Option<String>,
}

/// The lowest folder that holds the workspace and every package that it names by
/// a path, with the workspaces that these belong to.
fn reach(request: &Request, path: &Path) -> Result<PathBuf, String> {
    let toolchain = &request.toolchain;
    let output = toolchain
        .command(&toolchain.cargo, path)
        .args(["metadata", "--format-version", "1", "--offline"])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("starting cargo: {error}"))?;
    if !output.status.success() {
        return Err("cargo does not tell where its packages are".to_owned());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("reading what cargo metadata wrote: {error}"))?;
    let mut folders = BTreeSet::from([metadata.workspace_root]);
    for package in metadata.packages {
        // One without a source is a folder here.
        if let (None, Some(folder)) = (package.source, package.manifest_path.parent()) {
            folders.insert(workspace_of(folder));
        }
    }
    let mut common: Option<PathBuf> = None;
    for folder in folders {
        common = Some(match common {
            None => folder,
            Some(common) => shared(&common, &folder),
        });
    }
    let common = common.unwrap_or(path.to_owned());
    let common = common.canonicalize().unwrap_or(common);
    match common.parent() {
        None => Err("its packages lie in folders that have nothing in common".to_owned()),
        Some(_) => Ok(common),
    }
}

/// The folder above that says it is a workspace, or the package's own.
fn workspace_of(folder: &Path) -> PathBuf {
    let is_workspace = |above: &&Path| {
        std::fs::read_to_string(above.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
    };
    let own = folder.ancestors().find(is_workspace);
    own.unwrap_or(folder).to_owned()
}

fn shared(one: &Path, other: &Path) -> PathBuf {
    let pairs = one.components().zip(other.components());
    pairs
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_folder_of_paths_is_by_their_parts() {
        for (one, other, common) in [
            ("/a/b/c", "/a/b/d", "/a/b"),
            ("/a/b", "/a/b/d", "/a/b"),
            ("/a/bc", "/a/bd", "/a"),
            ("/a", "/b", "/"),
        ] {
            assert_eq!(shared(Path::new(one), Path::new(other)), Path::new(common));
        }
    }
}
