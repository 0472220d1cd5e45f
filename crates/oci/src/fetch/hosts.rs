//! What docker and podman keep for single registries: a folder named `HOST[:PORT]`
//! with authorities to trust there (`*.crt`), and who we are there (`NAME.cert` with
//! its key, `NAME.key`); see containers-certs.d(5). It says nothing of other hosts.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, ClientCert, PemItem, parse_pem};

use super::FetchError;
use super::certificates::{add, read, unreadable};
use super::url::Url;

/// Where a registry without a port answers.
const USUAL_PORT: u16 = 443;

/// The folder that speaks of this host, in the first of `roots` that has one.
///
/// One that may not be looked into is passed by, as podman does: docker's belongs to
/// root on many machines.
pub(super) fn folder(roots: &[PathBuf], url: &Url) -> Option<PathBuf> {
    let host = url.host().to_ascii_lowercase();
    // A name out of an address cannot lead elsewhere: it has no slash.
    if !url.is_secure() || host.is_empty() || host.starts_with('.') || host.contains('/') {
        return None;
    }
    let plain = match host.contains(':') {
        true => format!("[{host}]"),
        false => host,
    };
    let with_port = format!("{plain}:{}", url.port());
    let usual = (url.port() == USUAL_PORT).then_some(plain);
    let names: Vec<String> = [with_port].into_iter().chain(usual).collect();
    roots
        .iter()
        .flat_map(|root| names.iter().map(move |name| root.join(name)))
        .find(|folder| folder.is_dir())
}

/// What a folder says.
pub(super) struct Host {
    /// Whom to trust there, besides all others.
    pub(super) authorities: Vec<Certificate<'static>>,
    /// Who we are there.
    pub(super) identity: Option<ClientCert>,
}

/// Reads a host's folder.
///
/// # Errors
/// A file in it cannot be read or is not what its ending says; a certificate without
/// its key, a key without its certificate, or several of them.
pub(super) fn load(folder: &Path) -> Result<Host, FetchError> {
    let mut host = Host {
        authorities: Vec::new(),
        identity: None,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(host),
        Err(source) => return Err(unreadable(folder, source)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let ending = |path: &PathBuf, wanted: &str| path.extension().is_some_and(|it| it == wanted);
    for path in paths.iter().filter(|path| ending(path, "crt")) {
        let bytes = read(path).map_err(|source| unreadable(path, source))?;
        add(path, &bytes, &mut host.authorities)?;
    }
    let odd =
        |path: &Path, why: String| unreadable(path, io::Error::new(ErrorKind::InvalidData, why));
    for key in paths.iter().filter(|path| ending(path, "key")) {
        let certificate = key.with_extension("cert");
        if !paths.contains(&certificate) {
            let why =
                "its certificate is not beside it, which ends in .cert; .crt is an authority's";
            return Err(odd(key, why.to_owned()));
        }
    }
    for path in paths.iter().filter(|path| ending(path, "cert")) {
        if host.identity.is_some() {
            return Err(odd(
                path,
                "there is another .cert, and who we are is one".to_owned(),
            ));
        }
        let key = path.with_extension("key");
        let key_bytes = match read(&key) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let name = key.file_name().unwrap_or_default().display().to_string();
                return Err(odd(path, format!("its key is not beside it ({name})")));
            }
            Err(source) => return Err(unreadable(&key, source)),
        };
        let mut chain = Vec::new();
        let bytes = read(path).map_err(|source| unreadable(path, source))?;
        add(path, &bytes, &mut chain)?;
        let found = parse_pem(&key_bytes).find_map(|item| match item {
            Ok(PemItem::PrivateKey(key)) => Some(key),
            _ => None,
        });
        let found =
            found.ok_or_else(|| odd(&key, "there is no private key in it (PEM)".to_owned()))?;
        host.identity = Some(ClientCert::new_with_certs(&chain, found));
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(roots: &[PathBuf], url: &str) -> Option<String> {
        let found = folder(roots, &Url::parse(url).unwrap())?;
        Some(found.strip_prefix(&roots[0]).ok()?.to_str()?.to_owned())
    }

    #[test]
    fn a_host_has_the_folder_of_its_name_and_port() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a.example", "a.example:5000", "b.example:443", "c.example"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let roots = [root.path().to_owned(), "/nowhere".into()];
        for (url, meant) in [
            ("https://a.example/v2/", Some("a.example")),
            ("https://A.Example:443/v2/", Some("a.example")),
            ("https://a.example:5000/v2/", Some("a.example:5000")),
            ("https://a.example:5001/v2/", None),
            ("https://b.example/v2/", Some("b.example:443")),
            // A name without a port is of the usual one only.
            ("https://c.example:5000/v2/", None),
            ("http://a.example/v2/", None),
            ("https://other.example/v2/", None),
        ] {
            assert_eq!(named(&roots, url).as_deref(), meant, "{url}");
        }
    }

    #[test]
    fn what_is_missing_or_doubled_in_a_folder_is_named() {
        const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let why = |files: &[(&str, &str)]| -> String {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                fs::write(folder.path().join(name), text).unwrap();
            }
            match load(folder.path()) {
                Ok(host) => format!(
                    "{} authorities, {} identity",
                    host.authorities.len(),
                    usize::from(host.identity.is_some())
                ),
                Err(FetchError::Certificates { path, source }) => {
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    format!("{name}: {source}")
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(why(&[("README", "")]), "0 authorities, 0 identity");
        let pair = [("me.cert", CERTIFICATE), ("me.key", KEY)];
        let all = [pair[0], pair[1], ("ca.crt", CERTIFICATE)];
        assert_eq!(why(&all), "1 authorities, 1 identity");
        assert_eq!(
            why(&pair[..1]),
            "me.cert: its key is not beside it (me.key)"
        );
        assert!(why(&pair[1..]).starts_with("me.key: its certificate is not beside it"));
        let two = [
            pair[0],
            pair[1],
            ("you.cert", CERTIFICATE),
            ("you.key", KEY),
        ];
        assert!(why(&two).starts_with("you.cert: there is another .cert"));
        assert!(why(&[("ca.crt", "none")]).starts_with("ca.crt: there is no certificate"));
        let no_key = [pair[0], ("me.key", CERTIFICATE)];
        assert!(why(&no_key).starts_with("me.key: there is no private key"));
    }
}
