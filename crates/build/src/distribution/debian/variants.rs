//! Which packages make up each base, as data, and what Google's distroless
//! images have besides packages.

use super::accounts;
use super::effects;
use crate::distribution::Distroless;
use crate::distribution::files::{Files, FilesError, Node};

/// What of Debian is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// All that is required, and apt, with what they need.
    Slim,
    /// The packages named here, as they are.
    Distroless(Distroless),
}

/// Releases name some packages differently: the first that there is is taken.
/// One with a `?` belongs to it only where the release has the package named after that.
const STATIC: &[&str] = &[
    "base-files",
    "ca-certificates",
    "media-types",
    "netbase",
    "tzdata",
];
const BASE: &[&str] = &[
    "libc6",
    "libssl3t64|libssl3",
    "zlib1g?libssl3t64",
    "libzstd1?libssl3t64",
];
const CC: &[&str] = &[
    "gcc-14-base|gcc-13-base|gcc-12-base",
    "libgcc-s1",
    "libgomp1",
    "libstdc++6",
];
const PYTHON3: &[&str] = &[
    "dash",
    "libbz2-1.0",
    "libc-bin",
    "libcom-err2",
    "libcrypt1",
    "libdb5.3t64|libdb5.3",
    "libexpat1",
    "libffi8",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "liblzma5",
    "libncursesw6",
    "libnsl2",
    "libpython3.13-minimal|libpython3.11-minimal",
    "libpython3.13-stdlib|libpython3.11-stdlib",
    "libreadline8t64|libreadline8",
    "libsqlite3-0",
    "libtinfo6",
    "libtirpc3t64|libtirpc3",
    "libuuid1",
    "python3-distutils?python3-distutils",
    "python3.13-minimal|python3.11-minimal",
    "zlib1g",
];

/// A package by the names it has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) names: &'static str,
    /// Only where the release has this one.
    pub(crate) beside: Option<&'static str>,
}

impl Variant {
    /// As `--base` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slim => "debian-slim",
            Self::Distroless(Distroless::Static) => "distroless-static",
            Self::Distroless(Distroless::Base) => "distroless-base",
            Self::Distroless(Distroless::Cc) => "distroless-cc",
            Self::Distroless(Distroless::Python3) => "distroless-python3",
        }
    }

    /// The variable of the environment.
    pub fn environment(self) -> Vec<(String, String)> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mut environment = vec![("PATH".to_owned(), path.to_owned())];
        if let Self::Distroless(_) = self {
            environment.push((
                "SSL_CERT_FILE".to_owned(),
                "/etc/ssl/certs/ca-certificates.crt".to_owned(),
            ));
        }
        environment
    }

    /// What is started where there is no program on the base.
    pub fn command(self) -> Vec<String> {
        match self {
            Self::Slim => vec!["/bin/bash".to_owned()],
            Self::Distroless(Distroless::Python3) => vec!["/usr/bin/python3".to_owned()],
            Self::Distroless(_) => Vec::new(),
        }
    }

    /// The packages of a distroless base.
    pub(crate) fn packages(which: Distroless) -> Vec<Named> {
        let mut all = STATIC.to_vec();
        for (least, more) in [
            (Distroless::Base, BASE),
            (Distroless::Cc, CC),
            (Distroless::Python3, PYTHON3),
        ] {
            if which >= least {
                all.extend(more);
            }
        }
        let mut named: Vec<Named> = Vec::new();
        for names in all {
            let (names, beside) = match names.split_once('?') {
                Some((names, beside)) => (names, Some(beside)),
                None => (names, None),
            };
            match named.iter_mut().find(|known| known.names == names) {
                Some(known) => known.beside = known.beside.and(beside),
                None => named.push(Named { names, beside }),
            }
        }
        named
    }

    /// Whether a file belongs into the base.
    pub(crate) fn wants(self, package: &str, path: &str) -> bool {
        match self {
            Self::Slim => slim_wants(path),
            // The bundle is made of them, and they go.
            Self::Distroless(_) => package != "ca-certificates" || !path.starts_with("usr/sbin/"),
        }
    }
}

/// What `debuerreotype-slimify` leaves, which makes Debian's slim images:
/// licences and the table of locales' names stay.
fn slim_wants(path: &str) -> bool {
    const LEFT_OUT: [&str; 8] = [
        "usr/share/doc/",
        "usr/share/info/",
        "usr/share/linda/",
        "usr/share/lintian/overrides/",
        "usr/share/locale/",
        "usr/share/man/",
        "usr/share/gnome/help/",
        "usr/share/omf/",
    ];
    if !LEFT_OUT.iter().any(|folder| path.starts_with(folder)) {
        return true;
    }
    let is_licence = path.starts_with("usr/share/doc/") && path.ends_with("/copyright");
    is_licence || path == "usr/share/locale/locale.alias"
}

/// The same, told to the image's own dpkg, so that what is installed later is as slim.
const SLIM_DPKG: &str = "\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/overrides/*
path-exclude /usr/share/locale/*
path-include /usr/share/locale/locale.alias
path-exclude /usr/share/man/*
path-exclude /usr/share/gnome/help/*
path-exclude /usr/share/omf/*
";

/// Folders that are links in a merged `/usr`; those of other word lengths
/// only where a package has files there.
pub(crate) const MERGED: [&str; 3] = ["bin", "lib", "sbin"];
pub(crate) const MERGED_IF_USED: [&str; 3] = ["lib32", "lib64", "libx32"];

/// What Debian's slim images have besides packages.
pub(crate) fn finish_slim(files: &mut Files, codename: &str) -> Result<(), FilesError> {
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let mirror = super::MIRROR;
    let sources = format!(
        "Types: deb\nURIs: {mirror}/debian\nSuites: {codename} {codename}-updates\n\
         Components: main\nSigned-By: {keyring}\n\n\
         Types: deb\nURIs: {mirror}/debian-security\nSuites: {codename}-security\n\
         Components: main\nSigned-By: {keyring}\n"
    );
    for (path, mode, text) in [
        (
            "etc/apt/sources.list.d/debian.sources",
            0o644,
            sources.as_str(),
        ),
        ("etc/dpkg/dpkg.cfg.d/slim", 0o644, SLIM_DPKG),
        (
            "etc/apt/apt.conf.d/no-languages",
            0o644,
            "Acquire::Languages \"none\";\n",
        ),
        // No service is started where nothing keeps it.
        ("usr/sbin/policy-rc.d", 0o755, "#!/bin/sh\nexit 101\n"),
        ("etc/environment", 0o644, ""),
    ] {
        if files.get(path).is_none() {
            files.put(path, Node::file(mode, text))?;
        }
    }
    Ok(())
}

const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n\
    nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n";
const NSSWITCH: &str = "hosts: files dns\n";

/// What Google's distroless images have besides packages.
pub(crate) fn finish_distroless(files: &mut Files, which: Distroless) -> Result<(), FilesError> {
    for (path, text) in [
        ("etc/passwd", PASSWD),
        ("etc/group", GROUP),
        ("etc/nsswitch.conf", NSSWITCH),
    ] {
        files.put(path, Node::file(0o644, text))?;
    }
    for (path, mode, owner) in [
        ("root", 0o700, 0),
        ("home", 0o755, 0),
        ("home/nonroot", 0o700, 65532),
        ("tmp", 0o1777, 0),
    ] {
        files.put(path, Node::folder(mode).owned(owner, owner))?;
    }
    effects::certificates(files)?;
    let names: Vec<String> = files
        .within("etc/ssl/certs")
        .map(|(path, _)| path.to_owned())
        .filter(|path| !path.ends_with("ca-certificates.crt"))
        .collect();
    for path in names {
        files.remove(&path);
    }
    for path in [
        "usr/share/ca-certificates",
        "etc/ca-certificates.conf",
        "etc/ca-certificates",
    ] {
        files.remove(path);
    }
    if files
        .open("usr/lib/ssl")
        .is_none_or(|(path, _)| files.within(&path).count() < 2)
    {
        files.remove("usr/lib/ssl/cert.pem");
    }
    if which == Distroless::Python3 {
        let versioned = files
            .within("usr/bin")
            .map(|(path, _)| path["usr/bin/".len()..].to_owned())
            .find(|name| {
                let minor = name.strip_prefix("python3.");
                minor.is_some_and(|minor| minor.bytes().all(|digit| digit.is_ascii_digit()))
            });
        if let Some(name) = versioned {
            for link in ["usr/bin/python", "usr/bin/python3"] {
                files.put(link, Node::link(name.clone()))?;
            }
        }
        if files.get("bin/sh").is_none() {
            files.put("bin/sh", Node::link("dash"))?;
        }
    }
    debug_assert_eq!(accounts::group(files, "nonroot"), 65532);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distroless_base_has_what_the_smaller_has() {
        let of = |which| {
            let names = Variant::packages(which);
            names.iter().map(|one| one.names).collect::<Vec<_>>()
        };
        assert_eq!(of(Distroless::Static), STATIC);
        assert!(of(Distroless::Base).contains(&"libc6"));
        assert!(!of(Distroless::Base).contains(&"libgcc-s1"));
        let python = Variant::packages(Distroless::Python3);
        let zlib: Vec<_> = python.iter().filter(|one| one.names == "zlib1g").collect();
        assert_eq!(zlib.len(), 1);
        assert_eq!(zlib[0].beside, None);
    }

    #[test]
    fn slim_leaves_manuals_out_and_licences_in() {
        assert!(slim_wants("usr/bin/ls") && slim_wants("usr/share/doc/bash/copyright"));
        assert!(slim_wants("usr/share/locale/locale.alias"));
        for path in [
            "usr/share/doc/bash/README",
            "usr/share/man/man1/ls.1.gz",
            "usr/share/locale/de/x.mo",
        ] {
            assert!(!slim_wants(path), "{path}");
        }
    }
}
