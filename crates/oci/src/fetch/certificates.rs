//! Whom a client trusts: the host's own bundle of certificates, or another, and
//! those of one's own authority beside it. None are built in: what an
//! administrator has taken out of the bundle stays out.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, ClientCert, PemItem, parse_pem};

use super::{FetchError, Identity};

/// Where systems keep their bundle; the first that is there is taken.
const BUNDLES: [&str; 6] = [
    // Debian, Ubuntu, Alpine, Arch, and what follows them.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL 6.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // OpenSUSE.
    "/etc/ssl/ca-bundle.pem",
    // OpenELEC.
    "/etc/pki/tls/cacert.pem",
    // CentOS and RHEL 7 and later.
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // Alpine, BSDs.
    "/etc/ssl/cert.pem",
];

/// Most bytes of a bundle: the usual ones have 200 KB.
const MOST_BYTES: u64 = 16 << 20;

/// Files of certificates, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The first of these that is there is the bundle.
    pub bundles: Vec<PathBuf>,
    /// Folders of certificates, a file each, besides. What is no certificate there
    /// is passed by.
    pub folders: Vec<PathBuf>,
    /// Further files, which have to be there: one's own authority.
    pub further: Vec<PathBuf>,
    /// Certificates at hand, PEM: those that a file of settings holds within it.
    pub given: Vec<Vec<u8>>,
    /// Folders that have one for each host with certificates of its own, `HOST[:PORT]`:
    /// authorities (`*.crt`), and who we are there (`*.cert` and `*.key`). The first
    /// that speaks of a host is taken.
    pub hosts: Vec<PathBuf>,
}

impl Certificates {
    /// Those of this machine, where systems usually keep them.
    pub fn host() -> Self {
        Self {
            bundles: BUNDLES.iter().map(PathBuf::from).collect(),
            ..Self::default()
        }
    }

    /// Reads all of them but the hosts' own, of which `of_host` are given.
    pub(super) fn load(
        &self,
        of_host: Vec<Certificate<'static>>,
    ) -> Result<Vec<Certificate<'static>>, FetchError> {
        let mut found = of_host;
        for path in &self.bundles {
            match read(path) {
                Ok(bytes) => {
                    add(path, &bytes, &mut found)?;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(unreadable(path, source)),
            }
        }
        for folder in &self.folders {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                if let Ok(bytes) = read(&path) {
                    // Such a folder also has hashes' links, keys and readmes.
                    let _ = add(&path, &bytes, &mut found);
                }
            }
        }
        for path in &self.further {
            let bytes = read(path).map_err(|source| unreadable(path, source))?;
            add(path, &bytes, &mut found)?;
        }
        for bytes in &self.given {
            add(Path::new("the settings"), bytes, &mut found)?;
        }
        match found.is_empty() {
            true => Err(FetchError::NoCertificates {
                looked: self.bundles.first().cloned().unwrap_or_default(),
            }),
            false => Ok(found),
        }
    }
}

/// A certificate and its key, read.
pub(super) fn identity(identity: &Identity) -> Result<ClientCert, FetchError> {
    let place = Path::new("the client's certificate");
    let mut chain = Vec::new();
    add(place, &identity.certificate, &mut chain)?;
    let key = parse_pem(&identity.key).find_map(|item| match item {
        Ok(PemItem::PrivateKey(key)) => Some(key),
        _ => None,
    });
    let missing = || io::Error::new(ErrorKind::InvalidData, "there is no private key (PEM)");
    let key = key.ok_or_else(|| unreadable(place, missing()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = crate::blobs::open_plain(path)?;
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> FetchError {
    FetchError::Certificates {
        path: path.to_owned(),
        source,
    }
}

pub(super) fn add(
    path: &Path,
    bytes: &[u8],
    found: &mut Vec<Certificate<'static>>,
) -> Result<(), FetchError> {
    let before = found.len();
    for item in parse_pem(bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unreadable(path, io::Error::other(error.to_string()))),
        }
    }
    match found.len() == before {
        true => Err(unreadable(
            path,
            io::Error::new(
                ErrorKind::InvalidData,
                "there is no certificate in it (PEM)",
            ),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bundle_anywhere_is_told_with_where_it_was_looked_for() {
        let none = Certificates {
            bundles: vec!["/nowhere/bundle.pem".into()],
            ..Certificates::default()
        };
        let error = none.load(Vec::new()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/bundle.pem"), "{error}");
    }

    #[test]
    fn authority_of_ones_own_has_to_be_there_and_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let own = Certificates {
            further: vec![file.clone()],
            ..Certificates::default()
        };
        assert!(matches!(
            own.load(Vec::new()),
            Err(FetchError::Certificates { .. })
        ));
        fs::write(&file, "no certificate").unwrap();
        assert!(matches!(
            own.load(Vec::new()),
            Err(FetchError::Certificates { .. })
        ));
        fs::write(
            &file,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert_eq!(own.load(Vec::new()).unwrap().len(), 1);
    }
}
