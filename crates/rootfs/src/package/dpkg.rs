//! dpkg's records: paragraphs of `Field: value` (deb-control(5)), and lists of files.

use std::path::{Path, PathBuf};

use super::{Manager, Package};

/// The installed packages of a status file.
pub(super) fn status(path: &Path, text: &str) -> Vec<Package> {
    text.split("\n\n")
        .filter_map(|paragraph| package(path, paragraph))
        .collect()
}

fn package(path: &Path, paragraph: &str) -> Option<Package> {
    let field = |name: &str| {
        paragraph
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    // distroless' files have no Status; elsewhere removed packages may linger.
    if let Some(status) = field("Status")
        && status.split(' ').next_back() != Some("installed")
    {
        return None;
    }
    Some(Package {
        manager: Manager::Dpkg,
        name: field("Package")?.to_owned(),
        version: field("Version").unwrap_or_default().to_owned(),
        architecture: field("Architecture").map(str::to_owned),
        license: None,
        record: path.to_owned(),
        files: Vec::new(),
    })
}

/// Whose list it is, and what it names: `info/NAME[:ARCH].list` has absolute
/// paths, `status.d/NAME.md5sums` a sum and a path a line.
pub(super) fn files(path: &Path, text: &str) -> (String, Vec<PathBuf>) {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    if let Some(package) = name.strip_suffix(".md5sums") {
        let files = text.lines().filter_map(|line| {
            let (_, file) = line.split_once("  ")?;
            Some(PathBuf::from(file.trim_start_matches("./")))
        });
        return (package.to_owned(), files.collect());
    }
    let files = text
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .filter(|line| !line.is_empty() && *line != ".")
        .map(PathBuf::from);
    let package = name.strip_suffix(".list").unwrap_or(&name);
    (package.to_owned(), files.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\
            Description: x\n Package: not this\n\nPackage: b\nStatus: deinstall ok config-files\n\
            Version: 1\n\nPackage: c\nVersion: 9\n";
        let found = status(Path::new("var/lib/dpkg/status"), text);
        let names: Vec<_> = found
            .iter()
            .map(|one| (&*one.name, &*one.version))
            .collect();
        assert_eq!(names, [("a", "1:2-3"), ("c", "9")]);
    }

    #[test]
    fn both_forms_of_file_lists_are_read() {
        let list = files(
            Path::new("var/lib/dpkg/info/libc6:amd64.list"),
            "/.\n/lib\n/lib/x.so\n",
        );
        assert_eq!(
            list,
            ("libc6:amd64".into(), vec!["lib".into(), "lib/x.so".into()])
        );
        let sums = files(
            Path::new("var/lib/dpkg/status.d/base.md5sums"),
            "d41d8cd98f00b204e9800998ecf8427e  ./etc/a b\n",
        );
        assert_eq!(sums, ("base".into(), vec!["etc/a b".into()]));
    }
}
