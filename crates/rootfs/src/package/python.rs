//! Python distributions: `METADATA` and `RECORD` of dist-info (the Python
//! packaging specification "Recording installed projects"), and egg-info.

use std::path::{Component, Path, PathBuf};

use super::{Manager, Package};

/// The distribution that a `METADATA` or `PKG-INFO` describes.
pub(super) fn metadata(path: &Path, text: &str) -> Option<Package> {
    let field = |name: &str| {
        // Fields end at the first empty line; the description follows.
        text.lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::trim)
    };
    let license = field("License-Expression").or(field("License"));
    Some(Package {
        manager: Manager::Python,
        name: field("Name")?.to_owned(),
        version: field("Version").unwrap_or_default().to_owned(),
        architecture: None,
        license: license
            .filter(|text| !text.is_empty() && *text != "UNKNOWN" && text.len() < 100)
            .map(str::to_owned),
        record: path.to_owned(),
        files: Vec::new(),
    })
}

/// The files that a `RECORD` (beside `folder`) or an `installed-files.txt`
/// (in it) names; paths may climb out of the library folder.
pub(super) fn files(folder: &Path, text: &str) -> Vec<PathBuf> {
    let is_egg = folder.extension().is_some_and(|name| name == "egg-info");
    let base = match is_egg {
        true => folder,
        false => folder.parent().unwrap_or(Path::new("")),
    };
    text.lines()
        .filter_map(|line| {
            let name = match line.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next()?,
                None if is_egg => line,
                None => line.split(',').next()?,
            };
            (!name.is_empty()).then(|| normal(&base.join(name)))?
        })
        .collect()
}

/// Without `.` and `..`; none where it leaves the root.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir if !out.pop() => return None,
            Component::RootDir => out = PathBuf::new(),
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_names_files_beside_it_above_it_and_with_commas() {
        let folder = Path::new("usr/lib/python3/site-packages/flask-3.0.dist-info");
        let text =
            "flask/app.py,sha256=x,12\n../../../bin/flask,,\n\"a,b.py\",,\n../../../../../x,,\n";
        assert_eq!(
            files(folder, text),
            [
                PathBuf::from("usr/lib/python3/site-packages/flask/app.py"),
                PathBuf::from("usr/bin/flask"),
                PathBuf::from("usr/lib/python3/site-packages/a,b.py"),
            ]
        );
    }

    #[test]
    fn metadata_ends_where_the_description_begins() {
        let text = "Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.0\nLicense: BSD-3-Clause\n\n\
            Name: other\n";
        let found = metadata(Path::new("a.dist-info/METADATA"), text).unwrap();
        assert_eq!((&*found.name, &*found.version), ("Flask", "3.0.0"));
        assert_eq!(found.license.as_deref(), Some("BSD-3-Clause"));
        assert!(metadata(Path::new("x"), "\nName: a\n").is_none());
    }
}
