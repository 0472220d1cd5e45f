//! Packages of an image, as package managers and language tools recorded them:
//! dpkg (Debian's and distroless' form), apk, RPM, Python's dist-info,
//! node_modules, and the module lists that Go and cargo-auditable put into programs.
//!
//! [`Catalogue`] says which files it wants to see while layers are read, and
//! makes of them what the merged tree still holds. What no record names belongs
//! to no package; nothing is guessed.

mod apk;
mod binary;
mod dpkg;
mod node;
mod python;
mod rpm;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::name;
use crate::tree::{ContentId, NodeKind, Tree};

/// Most bytes of one record that is kept.
const RECORD_BYTES: u64 = 32 << 20;
/// Most bytes of a database of RPM; one of 500 packages has about 30 MB.
const DATABASE_BYTES: u64 = 96 << 20;
/// Most bytes of all records together; beyond it they are told as not read.
const RECORDS_BYTES: u64 = 128 << 20;

/// Who recorded a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// Debian's dpkg.
    Dpkg,
    /// Alpine's apk.
    Apk,
    /// RPM, of Fedora, Red Hat, SUSE and others.
    Rpm,
    /// A Python distribution (dist-info or egg-info).
    Python,
    /// A folder of `node_modules`.
    Node,
    /// A module that a Go program says it was built of.
    Go,
    /// A crate that a program says it was built of (cargo-auditable).
    Cargo,
}

impl Manager {
    /// As people call it, and as `packageURL` types it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Python => "pypi",
            Self::Node => "npm",
            Self::Go => "golang",
            Self::Cargo => "cargo",
        }
    }
}

/// A package and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Who recorded it.
    pub manager: Manager,
    /// Its name.
    pub name: String,
    /// Its version; empty where none is recorded.
    pub version: String,
    /// For which processor, where that is recorded.
    pub architecture: Option<String>,
    /// Its licence, as the record has it.
    pub license: Option<String>,
    /// Where the record is, from the root, without a leading slash.
    pub record: PathBuf,
    /// Its files that are there, without a leading slash; none for what is
    /// compiled into a program.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
}

impl Package {
    /// The package URL (purl specification), without namespace guesses but the
    /// one that the manager implies.
    pub fn url(&self, distribution: Option<&str>) -> String {
        let escape = |text: &str| {
            text.bytes()
                .map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                        char::from(byte).to_string()
                    }
                    b'/' if self.manager == Manager::Go => "/".to_owned(),
                    other => format!("%{other:02X}"),
                })
                .collect::<String>()
        };
        let namespace = match self.manager {
            Manager::Dpkg => format!("{}/", distribution.unwrap_or("debian")),
            Manager::Apk => format!("{}/", distribution.unwrap_or("alpine")),
            Manager::Rpm => distribution.map_or(String::new(), |name| format!("{name}/")),
            _ => String::new(),
        };
        let name = match self.manager {
            // As PyPI normalises names (PEP 503).
            Manager::Python => self.name.to_lowercase().replace(['_', '.'], "-"),
            _ => self.name.clone(),
        };
        let mut url = format!("pkg:{}/{namespace}{}", self.manager.name(), escape(&name));
        // What counts before the version has a place of its own in RPM's form.
        let (epoch, version) = match self.version.split_once(':') {
            Some((epoch, version)) if self.manager == Manager::Rpm => (Some(epoch), version),
            _ => (None, self.version.as_str()),
        };
        if !version.is_empty() {
            url.push('@');
            url.push_str(&escape(version));
        }
        let qualifiers = [("arch", self.architecture.as_deref()), ("epoch", epoch)];
        let mut mark = '?';
        for (name, value) in qualifiers {
            if let Some(value) = value {
                url.push_str(&format!("{mark}{name}={}", escape(value)));
                mark = '&';
            }
        }
        url
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    DpkgStatus,
    DpkgFiles,
    Apk,
    PythonMetadata,
    PythonFiles,
    Node,
    Rpm,
    /// Of Berkeley DB, which RPM wrote before 2020.
    OldRpm,
    OsRelease,
    Users,
}

/// Which record a path is, if any.
fn record(path: &Path) -> Option<Record> {
    let text = path.to_str()?;
    let name = path.file_name()?.to_str()?;
    let parent = path.parent()?.file_name().and_then(|name| name.to_str());
    Some(match text {
        "var/lib/dpkg/status" => Record::DpkgStatus,
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => Record::Apk,
        "etc/passwd" => Record::Users,
        "etc/os-release" | "usr/lib/os-release" => Record::OsRelease,
        _ if text.starts_with("var/lib/dpkg/status.d/") && name.ends_with(".md5sums") => {
            Record::DpkgFiles
        }
        _ if text.starts_with("var/lib/dpkg/status.d/") => Record::DpkgStatus,
        _ if text.starts_with("var/lib/dpkg/info/") && name.ends_with(".list") => Record::DpkgFiles,
        _ if name == "package.json" && text.contains("node_modules/") => Record::Node,
        _ if text.ends_with("lib/rpm/Packages") || text.ends_with("sysimage/rpm/Packages") => {
            Record::OldRpm
        }
        _ if matches!(name, "rpmdb.sqlite" | "Packages.db")
            && (text.contains("lib/rpm/") || text.contains("sysimage/rpm/")) =>
        {
            Record::Rpm
        }
        _ => match (parent, name) {
            (Some(folder), "METADATA") if folder.ends_with(".dist-info") => Record::PythonMetadata,
            (Some(folder), "PKG-INFO") if folder.ends_with(".egg-info") => Record::PythonMetadata,
            (Some(folder), "RECORD") if folder.ends_with(".dist-info") => Record::PythonFiles,
            (Some(folder), "installed-files.txt") if folder.ends_with(".egg-info") => {
                Record::PythonFiles
            }
            _ => return None,
        },
    })
}

/// Collects records while layers are read.
#[derive(Debug, Default)]
pub struct Catalogue {
    records: HashMap<ContentId, Vec<u8>>,
    programs: HashMap<ContentId, Vec<Package>>,
    bytes: u64,
    faults: Vec<String>,
}

/// The packages of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// By manager, then name.
    pub packages: Vec<Package>,
    /// `ID` of `/etc/os-release`: `debian`, `alpine`, ...
    pub distribution: Option<String>,
    /// `PRETTY_NAME` of it.
    pub distribution_name: Option<String>,
    /// Names in `/etc/passwd`.
    pub users: Vec<String>,
    /// What could not be read, one line each.
    pub faults: Vec<String>,
}

impl Catalogue {
    /// Whether a file's content should be shown to [`Catalogue::keep`].
    pub fn wants(&mut self, path: &Path, bytes: u64) -> bool {
        let Some(record) = record(path) else {
            return false;
        };
        let most = match record {
            Record::Rpm => DATABASE_BYTES,
            _ => RECORD_BYTES,
        };
        match record {
            Record::OldRpm => {
                let why = "RPM's database in the form of Berkeley DB is not read";
                self.faults.push(format!("{}: {why}", name::rooted(path)));
                false
            }
            _ if bytes > most || self.bytes + bytes > RECORDS_BYTES => {
                self.faults
                    .push(format!("{}: too large to be read", name::rooted(path)));
                false
            }
            _ => {
                self.bytes += bytes;
                true
            }
        }
    }

    /// Takes the content of a file that was wanted.
    pub fn keep(&mut self, id: ContentId, content: Vec<u8>) {
        self.records.insert(id, content);
    }

    /// Looks into a program for a list of what it was built of.
    pub fn program(&mut self, id: ContentId, path: &Path, data: &[u8]) {
        let found = binary::packages(path, data);
        if !found.is_empty() {
            self.programs.insert(id, found);
        }
    }

    /// What the merged tree still holds of it.
    pub fn finish(self, tree: &Tree) -> Packages {
        let mut packages = Packages {
            faults: self.faults,
            ..Packages::default()
        };
        let mut dpkg_files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let mut python_files: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
        for (path, node) in tree.iter() {
            let NodeKind::File(id) = node.kind else {
                continue;
            };
            if let Some(found) = self.programs.get(&id) {
                packages
                    .packages
                    .extend(found.iter().cloned().map(|one| Package {
                        record: path.to_owned(),
                        ..one
                    }));
            }
            let (Some(kind), Some(content)) = (record(path), self.records.get(&id)) else {
                continue;
            };
            if kind == Record::Rpm {
                let (found, fault) = rpm::installed(path, content);
                packages.packages.extend(found);
                let log = path.with_file_name("rpmdb.sqlite-wal");
                let late = tree.get(&log).is_some_and(|node| node.bytes > 0);
                let late = late.then(|| "what its log beside it says is not read".to_owned());
                for fault in fault.into_iter().chain(late) {
                    let fault = format!("{}: {fault}", name::rooted(path));
                    packages.faults.push(fault);
                }
                continue;
            }
            let text = String::from_utf8_lossy(content);
            match kind {
                Record::DpkgStatus => packages.packages.extend(dpkg::status(path, &text)),
                Record::DpkgFiles => {
                    let (name, files) = dpkg::files(path, &text);
                    dpkg_files.insert(name, files);
                }
                Record::Apk => packages.packages.extend(apk::installed(path, &text)),
                Record::PythonMetadata => packages.packages.extend(python::metadata(path, &text)),
                Record::PythonFiles => {
                    if let Some(folder) = path.parent() {
                        python_files.insert(folder.to_owned(), python::files(folder, &text));
                    }
                }
                Record::Node => packages.packages.extend(node::package(path, content)),
                Record::OsRelease => os_release(&text, &mut packages),
                Record::Users => {
                    let names = text.lines().filter_map(|line| line.split(':').next());
                    packages.users = names
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned)
                        .collect();
                }
                Record::Rpm | Record::OldRpm => {}
            }
        }
        for package in &mut packages.packages {
            match package.manager {
                Manager::Dpkg => {
                    let listed = [
                        Some(package.name.clone()),
                        package
                            .architecture
                            .as_ref()
                            .map(|arch| format!("{}:{arch}", package.name)),
                    ];
                    let named = listed
                        .iter()
                        .flatten()
                        .find_map(|key| dpkg_files.remove(key));
                    package.files = named.unwrap_or_default();
                }
                Manager::Python => {
                    let folder = package.record.parent().unwrap_or(Path::new(""));
                    package.files = python_files.remove(folder).unwrap_or_default();
                }
                Manager::Node => package.files = node::files(tree, &package.record),
                Manager::Apk | Manager::Rpm | Manager::Go | Manager::Cargo => {}
            }
            package.files = present(tree, std::mem::take(&mut package.files));
        }
        packages.packages.sort_by(|a, b| {
            (a.manager, &a.name, &a.version, &a.record)
                .cmp(&(b.manager, &b.name, &b.version, &b.record))
        });
        packages.packages.dedup();
        packages
    }
}

/// Those of the paths that are files or links here, by the path they really
/// have: with a merged `/usr`, `bin/sh` is recorded and `usr/bin/sh` is there.
fn present(tree: &Tree, files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = files
        .into_iter()
        .filter_map(|path| {
            let (folder, name) = (path.parent()?, path.file_name()?);
            let real = match tree.get(&path) {
                Some(_) => path,
                None => tree.lookup(folder).ok()?.0.join(name),
            };
            match tree.get(&real)?.kind {
                NodeKind::File(_) | NodeKind::Symlink(_) => Some(real),
                _ => None,
            }
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn os_release(text: &str, packages: &mut Packages) {
    for line in text.lines() {
        let value = |value: &str| Some(value.trim_matches(['"', '\'']).to_owned());
        match line.split_once('=') {
            Some(("ID", id)) => packages.distribution = value(id),
            Some(("PRETTY_NAME", name)) => packages.distribution_name = value(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_other_files_by_their_path() {
        for (path, expected) in [
            ("var/lib/dpkg/status", Some(Record::DpkgStatus)),
            ("var/lib/dpkg/status.d/base", Some(Record::DpkgStatus)),
            (
                "var/lib/dpkg/status.d/base.md5sums",
                Some(Record::DpkgFiles),
            ),
            (
                "var/lib/dpkg/info/libc6:amd64.list",
                Some(Record::DpkgFiles),
            ),
            ("var/lib/dpkg/status-old", None),
            ("lib/apk/db/installed", Some(Record::Apk)),
            (
                "usr/lib/python3/dist-packages/a.dist-info/METADATA",
                Some(Record::PythonMetadata),
            ),
            ("app/node_modules/@a/b/package.json", Some(Record::Node)),
            ("app/package.json", None),
            ("var/lib/rpm/rpmdb.sqlite", Some(Record::Rpm)),
            ("usr/lib/sysimage/rpm/Packages.db", Some(Record::Rpm)),
            ("var/lib/rpm/Packages", Some(Record::OldRpm)),
            ("var/lib/rpm/Name", None),
            ("METADATA", None),
        ] {
            assert_eq!(record(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn package_url_escapes_and_names_the_distribution() {
        let package = Package {
            manager: Manager::Dpkg,
            name: "libstdc++6".into(),
            version: "12.2.0-14+deb12u1".into(),
            architecture: Some("amd64".into()),
            license: None,
            record: "var/lib/dpkg/status".into(),
            files: Vec::new(),
        };
        assert_eq!(
            package.url(Some("debian")),
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64"
        );
        let python = Package {
            manager: Manager::Python,
            name: "Zope.Interface_x".into(),
            version: "1".into(),
            architecture: None,
            ..package.clone()
        };
        assert_eq!(python.url(None), "pkg:pypi/zope-interface-x@1");
        let rpm = Package {
            manager: Manager::Rpm,
            name: "openssl".into(),
            version: "1:3.2.2-6.el9".into(),
            architecture: Some("x86_64".into()),
            ..package
        };
        assert_eq!(
            rpm.url(Some("rhel")),
            "pkg:rpm/rhel/openssl@3.2.2-6.el9?arch=x86_64&epoch=1"
        );
        assert_eq!(
            rpm.url(None),
            "pkg:rpm/openssl@3.2.2-6.el9?arch=x86_64&epoch=1"
        );
    }
}
