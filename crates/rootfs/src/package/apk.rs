//! apk's record of what is installed: paragraphs of `X:value`, in which `F:`
//! opens a folder and `R:` names a file in it.

use std::path::{Path, PathBuf};

use super::{Manager, Package};

/// The packages of `lib/apk/db/installed`.
pub(super) fn installed(path: &Path, text: &str) -> Vec<Package> {
    text.split("\n\n")
        .filter_map(|paragraph| package(path, paragraph))
        .collect()
}

fn package(path: &Path, paragraph: &str) -> Option<Package> {
    let mut package = Package {
        manager: Manager::Apk,
        name: String::new(),
        version: String::new(),
        architecture: None,
        license: None,
        record: path.to_owned(),
        files: Vec::new(),
    };
    let mut folder = PathBuf::new();
    for line in paragraph.lines() {
        let Some((field, value)) = line.split_once(':') else {
            continue;
        };
        match field {
            "P" => package.name = value.to_owned(),
            "V" => package.version = value.to_owned(),
            "A" => package.architecture = Some(value.to_owned()),
            "L" => package.license = Some(value.to_owned()),
            "F" => folder = PathBuf::from(value),
            "R" => package.files.push(folder.join(value)),
            _ => {}
        }
    }
    (!package.name.is_empty()).then_some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_belong_together() {
        let text = "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\nF:lib\nR:ld-musl-x86_64.so.1\nF:\n\
            R:top\n\nP:busybox\nV:1\nF:bin\nR:busybox\n";
        let found = installed(Path::new("lib/apk/db/installed"), text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].license.as_deref(), Some("MIT"));
        assert_eq!(
            found[0].files,
            [
                PathBuf::from("lib/ld-musl-x86_64.so.1"),
                PathBuf::from("top")
            ]
        );
        assert_eq!(found[1].files, [PathBuf::from("bin/busybox")]);
    }
}
