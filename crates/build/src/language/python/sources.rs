//! Which files of a project belong to the application: all but what tools,
//! tests and versions control have there, and what a name hides.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ignore::Ignore;

/// Most files of a project.
const MOST_FILES: usize = 100_000;
/// Most folders in each other.
const DEEPEST: usize = 64;

/// A project's files cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A link out of the project.
    #[error("{} leads out of the project", path.display())]
    Out {
        /// The link.
        path: PathBuf,
    },
    /// A name that is not UTF-8, or with a control character.
    #[error("{} has a name that no image can tell everywhere", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// More than a project has.
    #[error("more than {MOST_FILES} files, or {DEEPEST} folders in each other: is {} the project?", path.display())]
    TooMany {
        /// Where.
        path: PathBuf,
    },
}

/// Files at the top that only tools read.
const TOP: [&str; 12] = [
    "ounce.toml",
    "ounce.lock",
    "pyproject.toml",
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "poetry.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "Dockerfile",
    "Makefile",
];

/// Folders that only tools make or read.
const FOLDERS: [&str; 8] = [
    "__pycache__",
    "node_modules",
    "venv",
    "build",
    "dist",
    "target",
    "tests",
    "test",
];

/// The files, by their paths relative to the project.
pub(super) fn walk(folder: &Path) -> Result<BTreeMap<String, PathBuf>, SourcesError> {
    let root = folder.canonicalize().map_err(|source| SourcesError::Read {
        path: folder.to_owned(),
        source,
    })?;
    let ignore = Ignore::read(&root).map_err(|source| SourcesError::Read {
        path: root.join(".dockerignore"),
        source,
    })?;
    let mut found = BTreeMap::new();
    let mut next = vec![(root.clone(), String::new(), 0)];
    while let Some((here, prefix, depth)) = next.pop() {
        let failed = |source| SourcesError::Read {
            path: here.clone(),
            source,
        };
        for entry in fs::read_dir(&here).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|name| !name.chars().any(char::is_control)) else {
                return Err(SourcesError::Name { path });
            };
            let below = format!("{prefix}{name}");
            let left_out = ignore.leaves_out(below.as_bytes());
            // What is taken in again may lie in a folder that is left out.
            if left_out && !(path.is_dir() && ignore.takes_in()) {
                continue;
            }
            let real = path.canonicalize().map_err(|source| SourcesError::Read {
                path: path.clone(),
                source,
            })?;
            if !is_wanted(&real, name, prefix.is_empty()) {
                continue;
            }
            if !real.starts_with(&root) {
                return Err(SourcesError::Out { path });
            }
            if real.is_dir() {
                if depth >= DEEPEST {
                    return Err(SourcesError::TooMany { path });
                }
                next.push((path, format!("{below}/"), depth + 1));
            } else if real.is_file() {
                found.insert(below, real);
                if found.len() > MOST_FILES {
                    return Err(SourcesError::TooMany { path: root });
                }
            }
        }
    }
    Ok(found)
}

fn is_wanted(path: &Path, name: &str, top: bool) -> bool {
    if name.starts_with('.') || name.ends_with(".pyc") {
        return false;
    }
    if path.is_dir() {
        let virtual_environment = path.join("pyvenv.cfg").is_file();
        return !virtual_environment && !FOLDERS.contains(&name) && !name.ends_with(".egg-info");
    }
    let requirements =
        name.starts_with("requirements") && (name.ends_with(".txt") || name.ends_with(".in"));
    !(top && (TOP.contains(&name) || requirements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_tests_and_hidden_files_stay_at_home() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "app.py",
            "pkg/__init__.py",
            "pkg/data.json",
            "pkg/__pycache__/a.pyc",
            "tests/test_app.py",
            ".env",
            ".git/config",
            "env/pyvenv.cfg",
            "env/lib/x.py",
            "ounce.toml",
            "requirements-dev.txt",
            "templates/requirements.txt",
            "notes/private.txt",
            ".dockerignore",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::write(folder.path().join(".dockerignore"), "notes\n").unwrap();
        let found = walk(folder.path()).unwrap();
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "app.py",
                "pkg/__init__.py",
                "pkg/data.json",
                "templates/requirements.txt"
            ]
        );
    }

    #[test]
    fn a_link_out_of_the_project_and_one_in_a_circle_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("a")).unwrap();
        assert!(matches!(walk(folder.path()), Err(SourcesError::Out { .. })));
        fs::remove_file(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink(".", folder.path().join("a")).unwrap();
        assert!(walk(folder.path()).is_err());
    }
}
