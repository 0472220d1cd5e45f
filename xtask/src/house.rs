//! Where the parts of the repository stand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The repository: a folder, and how it is laid out beneath.
#[derive(Debug, Clone)]
pub(crate) struct House {
    root: PathBuf,
}

impl House {
    /// The repository this program was built from.
    pub(crate) fn here() -> Result<Self> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.parent().context("xtask stands in no folder")?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// A house at `root`; for tests on small made-up trees.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path beneath the top folder.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// `path` as people write it: relative to the top folder.
    pub(crate) fn name<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// The folder that cargo builds the root workspace into.
    pub(crate) fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }

    /// The folders of `crates/`, sorted.
    pub(crate) fn crates(&self) -> Result<Vec<PathBuf>> {
        folders_with_manifest(&self.root.join("crates"))
    }

    /// The folders of `apps/` and `examples/`: each a workspace of its own.
    pub(crate) fn own_workspaces(&self) -> Result<Vec<PathBuf>> {
        let mut found = folders_with_manifest(&self.root.join("apps"))?;
        found.extend(folders_with_manifest(&self.root.join("examples"))?);
        Ok(found)
    }

    /// Every file of the repository with this extension, sorted; what is built
    /// and what is fetched (`target`, `.git`, `node_modules`) is left out.
    pub(crate) fn files(&self, extension: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        walk(&self.root, &mut |path| {
            if path.extension().is_some_and(|own| own == extension) {
                found.push(path.to_path_buf());
            }
        })?;
        found.sort();
        Ok(found)
    }

    /// The files beneath `folder` with this extension, sorted.
    pub(crate) fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
        Self {
            root: folder.to_path_buf(),
        }
        .files(extension)
    }
}

fn folders_with_manifest(parent: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if parent.is_dir() {
        for entry in fs::read_dir(parent)? {
            let path = entry?.path();
            if path.join("Cargo.toml").is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) -> Result<()> {
    let listing = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in listing {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_file() {
            visit(&path);
        } else if kind.is_dir() {
            let name = entry.file_name();
            if !["target", ".git", "node_modules"]
                .iter()
                .any(|skip| name == *skip)
            {
                walk(&path, visit)?;
            }
        }
    }
    Ok(())
}
