//! What ounce itself can put into an image: the web server it carries, and
//! the few files of a system that a lone program may ask for.

use std::fs;
use std::path::{Path, PathBuf};

use ounce_oci::Platform;
use ounce_oci::layer::{Content, Entry, EntryKind};
use serde::Serialize;

use crate::settings::{Certificates, Zones};

/// The servers for each architecture by their names, or how to come by them.
type Embedded = &'static [(
    &'static str,
    &'static str,
    Result<&'static [u8], &'static str>,
)];

#[rustfmt::skip]
const HTTPD: Embedded = include!(concat!(env!("OUT_DIR"), "/httpd.rs"));

/// Where the server looks for its files: a folder, or one packed file.
pub const SITE_ROOT: &str = "public";

/// The port that the server listens on unless told otherwise.
pub const SITE_PORT: u16 = 8080;

/// Where programs look for certificates; Go, OpenSSL and rustls-native-certs all do.
const CERTIFICATES_PATH: &str = "etc/ssl/certs/ca-certificates.crt";

/// Where distributions keep the bundle: Debian, Fedora, openSUSE, Alpine.
const HOST_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const ZONES_FOLDER: &str = "/usr/share/zoneinfo";

/// Something that was asked for cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// This ounce carries no server for the platform.
    #[error("this ounce was compiled without its web server for {platform}")]
    NoHttpd {
        /// What was asked.
        platform: Platform,
        /// What to do before compiling ounce again.
        remedy: String,
    },
    /// The host has no bundle.
    #[error("no certificates of authorities on this host, looked in {}", HOST_BUNDLES.join(", "))]
    NoBundle,
    /// Not PEM.
    #[error("{} holds no PEM certificate", .0.display())]
    NotPem(PathBuf),
    /// No such zone.
    #[error("no time zone {name:?} in {ZONES_FOLDER}")]
    NoZone {
        /// As asked.
        name: String,
    },
    /// A file could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl BaseError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoHttpd { remedy, .. } => vec![format!("{remedy}, then compile ounce again")],
            Self::NoBundle => vec!["apt install ca-certificates, or name a PEM file".to_owned()],
            Self::NoZone { .. } => vec!["apt install tzdata, or mend the name".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// Which of the servers that ounce carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// Of folders, and of packed sites, too.
    Folder,
    /// Of packed sites alone, which is smaller.
    Packed,
}

/// The embedded web server for a platform.
///
/// # Errors
/// It was not there when ounce was compiled.
pub fn httpd(platform: &Platform, server: Server) -> Result<&'static [u8], BaseError> {
    let wanted = match server {
        Server::Folder => "httpd",
        Server::Packed => "httpd-packed",
    };
    let mut remedy = "choose linux/amd64 or linux/arm64";
    let found = HTTPD.iter().find(|(architecture, program, _)| {
        platform.os == "linux" && platform.architecture == *architecture && *program == wanted
    });
    match found {
        Some((.., Ok(bytes))) => return Ok(bytes),
        Some((.., Err(reason))) => remedy = reason,
        None => {}
    }
    Err(BaseError::NoHttpd {
        platform: platform.clone(),
        remedy: remedy.to_owned(),
    })
}

/// A file of root's, readable by all.
pub(crate) fn file(path: impl Into<String>, mode: u32, bytes: Vec<u8>) -> Entry {
    Entry {
        path: path.into(),
        kind: EntryKind::File(Content::Bytes(bytes)),
        mode,
        uid: 0,
        gid: 0,
    }
}

/// `/etc/passwd` and `/etc/group` with root and the image's own user.
pub(crate) fn passwd(uid: u32, gid: u32) -> [Entry; 2] {
    let mut users = "root:x:0:0:root:/:/sbin/nologin\n".to_owned();
    let mut groups = "root:x:0:\n".to_owned();
    if uid != 0 {
        users.push_str(&format!("app:x:{uid}:{gid}:app:/:/sbin/nologin\n"));
    }
    if gid != 0 {
        groups.push_str(&format!("app:x:{gid}:\n"));
    }
    [
        file("etc/passwd", 0o644, users.into_bytes()),
        file("etc/group", 0o644, groups.into_bytes()),
    ]
}

/// A folder that all may read and only root may write.
pub(crate) fn folder(path: String) -> Entry {
    Entry {
        path,
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
    }
}

/// `/tmp`, writable by all.
pub(crate) fn tmp() -> Entry {
    Entry {
        path: "tmp".to_owned(),
        kind: EntryKind::Directory,
        mode: 0o1777,
        uid: 0,
        gid: 0,
    }
}

/// The certificates asked for.
pub(crate) fn certificates(which: &Certificates) -> Result<Option<Entry>, BaseError> {
    let path = match which {
        Certificates::None => return Ok(None),
        Certificates::File(path) => path.clone(),
        Certificates::Host => HOST_BUNDLES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
            .ok_or(BaseError::NoBundle)?,
    };
    let bytes = read(&path)?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !bytes.windows(marker.len()).any(|window| window == marker) {
        return Err(BaseError::NotPem(path));
    }
    Ok(Some(file(CERTIFICATES_PATH, 0o644, bytes)))
}

/// The time zones asked for, sorted by name.
pub(crate) fn zones(which: &Zones) -> Result<Vec<Entry>, BaseError> {
    let folder = Path::new(ZONES_FOLDER);
    let mut names = match which {
        Zones::None => return Ok(Vec::new()),
        Zones::Named(names) => names.clone(),
        Zones::All => all_zones(folder)?,
    };
    names.sort();
    names.dedup();
    names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            let bytes = match fs::read(&path) {
                Ok(bytes) if bytes.starts_with(b"TZif") => bytes,
                _ => return Err(BaseError::NoZone { name: name.clone() }),
            };
            Ok(file(format!("usr/share/zoneinfo/{name}"), 0o644, bytes))
        })
        .collect()
}

fn all_zones(root: &Path) -> Result<Vec<String>, BaseError> {
    let mut names = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(prefix) = pending.pop() {
        let folder = root.join(&prefix);
        let failed = |source| BaseError::Read {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let name = match prefix.as_str() {
                "" => name,
                prefix => format!("{prefix}/{name}"),
            };
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                // Copies of the whole: without and with leap seconds.
                if name != "posix" && name != "right" {
                    pending.push(name);
                }
            } else if fs::read(entry.path()).is_ok_and(|bytes| bytes.starts_with(b"TZif")) {
                names.push(name);
            }
        }
    }
    if names.is_empty() {
        return Err(BaseError::NoZone {
            name: "*".to_owned(),
        });
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, BaseError> {
    fs::read(path).map_err(|source| BaseError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_names_root_and_the_user_and_root_only_once() {
        let text = |entry: &Entry| match &entry.kind {
            EntryKind::File(Content::Bytes(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
            _ => panic!("not a file"),
        };
        let [users, groups] = passwd(65532, 65532);
        assert!(text(&users).ends_with("app:x:65532:65532:app:/:/sbin/nologin\n"));
        assert_eq!(text(&groups), "root:x:0:\napp:x:65532:\n");
        let [users, _] = passwd(0, 0);
        assert_eq!(text(&users).lines().count(), 1);
    }

    #[test]
    fn a_platform_without_a_server_is_refused_with_a_remedy() {
        let error = httpd(&"linux/riscv64".parse().unwrap(), Server::Folder).unwrap_err();
        assert!(error.hints()[0].contains("linux/amd64"));
    }

    #[test]
    fn a_certificate_file_without_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        fs::write(&path, "nothing").unwrap();
        let error = certificates(&Certificates::File(path)).unwrap_err();
        assert!(matches!(error, BaseError::NotPem(_)));
    }
}
