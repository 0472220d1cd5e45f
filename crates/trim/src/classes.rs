//! Kinds of files that a test may never touch and every program in earnest
//! does: one GET over plain HTTP does not notice that TLS is gone.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A class that a proof leaves alone unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Certificates, OpenSSL's libraries and settings, and what binds them.
    Tls,
    /// How names of hosts, users and services are looked up.
    Nss,
    /// Time zones.
    Zones,
    /// Compiled Python: without it a start takes four times the processor time
    /// (measured), and a test would not notice.
    Bytecode,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tls, Self::Nss, Self::Zones, Self::Bytecode];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Nss => "nss",
            Self::Zones => "zones",
            Self::Bytecode => "bytecode",
        }
    }

    /// The class of a place, if it has one.
    pub fn of(place: &Path) -> Option<Self> {
        let name = place.file_name()?.to_string_lossy();
        let begins = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
        let within = |folders: &[&str]| folders.iter().any(|folder| place.starts_with(folder));
        let is = |paths: &[&str]| paths.iter().any(|path| place == Path::new(path));
        if name.ends_with(".pyc") || name == "__pycache__" {
            Some(Self::Bytecode)
        } else if within(&["usr/share/zoneinfo", "usr/lib/zoneinfo"])
            || is(&["etc/localtime", "etc/timezone"])
        {
            Some(Self::Zones)
        } else if within(&[
            "etc/ssl",
            "etc/pki",
            "etc/ca-certificates",
            "usr/lib/ssl",
            "usr/share/ca-certificates",
            "usr/local/share/ca-certificates",
        ]) || begins(&[
            "libssl.",
            "libssl-",
            "libcrypto.",
            "libcrypto-",
            "_ssl.",
            "libgnutls.",
        ]) || ["ssl.py", "cacert.pem", "ca-bundle.crt", "ossl-modules"].contains(&&*name)
        {
            Some(Self::Tls)
        } else if begins(&["libnss_", "libresolv."])
            || is(&[
                "etc/nsswitch.conf",
                "etc/hosts",
                "etc/host.conf",
                "etc/gai.conf",
                "etc/resolv.conf",
                "etc/services",
                "etc/protocols",
                "etc/passwd",
                "etc/group",
            ])
        {
            Some(Self::Nss)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_by_place_and_name() {
        for (path, class) in [
            (
                "usr/lib/python3.11/__pycache__/ssl.cpython-311.pyc",
                Some(Class::Bytecode),
            ),
            ("usr/lib/python3.11/ssl.py", Some(Class::Tls)),
            ("etc/ssl/certs/x.pem", Some(Class::Tls)),
            ("usr/lib/x86_64-linux-gnu/libssl.so.3", Some(Class::Tls)),
            ("usr/share/zoneinfo/Europe/Berlin", Some(Class::Zones)),
            ("lib/x86_64-linux-gnu/libnss_files.so.2", Some(Class::Nss)),
            ("usr/bin/nginx", None),
            ("etc/nginx/nginx.conf", None),
            ("", None),
        ] {
            assert_eq!(Class::of(Path::new(path)), class, "{path}");
        }
    }
}
