//! Packages of `node_modules`: each folder with a `package.json` that has a
//! name and a version; its files are those beneath it but in nested packages.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Manager, Package};
use crate::tree::{NodeKind, Tree};

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
    license: Option<serde_json::Value>,
}

/// The package of a `package.json`; none where it only sets options, as many
/// inner ones do.
pub(super) fn package(path: &Path, content: &[u8]) -> Option<Package> {
    if !is_root(path.parent()?) {
        return None;
    }
    let manifest: Manifest = serde_json::from_slice(content).ok()?;
    Some(Package {
        manager: Manager::Node,
        name: manifest.name?,
        version: manifest.version?,
        architecture: None,
        license: manifest
            .license
            .and_then(|license| license.as_str().map(str::to_owned)),
        record: path.to_owned(),
        files: Vec::new(),
    })
}

/// Whether a folder lies right in `node_modules`, or in a scope of it.
fn is_root(folder: &Path) -> bool {
    let name = |path: Option<&Path>| {
        path.and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned())
    };
    match name(folder.parent()).as_deref() {
        Some("node_modules") => !name(Some(folder)).is_some_and(|own| own.starts_with('@')),
        Some(scope) if scope.starts_with('@') => {
            name(folder.parent().and_then(Path::parent)).as_deref() == Some("node_modules")
        }
        _ => false,
    }
}

/// What lies beneath the package's folder, but in packages of its own.
pub(super) fn files(tree: &Tree, record: &Path) -> Vec<PathBuf> {
    let Some(folder) = record.parent() else {
        return Vec::new();
    };
    tree.beneath(folder)
        .filter(|(path, node)| {
            let inner = path.strip_prefix(folder).unwrap_or(path);
            let nested = inner
                .components()
                .any(|part| part.as_os_str() == "node_modules");
            !nested && matches!(node.kind, NodeKind::File(_) | NodeKind::Symlink(_))
        })
        .map(|(path, _)| path.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_own_manifest_counts() {
        let json = br#"{"name":"@a/b","version":"1.2.3","license":"MIT"}"#;
        let found = |path: &str| package(Path::new(path), json).map(|one| one.name);
        assert_eq!(
            found("node_modules/@a/b/package.json").as_deref(),
            Some("@a/b")
        );
        assert_eq!(
            found("x/node_modules/c/package.json").as_deref(),
            Some("@a/b")
        );
        assert_eq!(found("x/node_modules/c/lib/package.json"), None);
        assert_eq!(found("x/node_modules/@a/package.json"), None);
        assert!(package(Path::new("node_modules/c/package.json"), b"{}").is_none());
    }
}
