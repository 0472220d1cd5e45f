//! Debian packages: what is missing is installed where we are root and named
//! otherwise. Nothing here fails a benchmark: who stays missing is listed there.

use std::path::Path;
use std::process::Command;

/// The peers' packages and a program that shows each is there.
pub(crate) const PEERS: &[(&str, &str)] = &[
    ("bubblewrap", "bwrap"),
    ("buildah", "buildah"),
    ("crun", "crun"),
    ("docker.io", "dockerd"),
    ("podman", "podman"),
    ("runc", "runc"),
    ("umoci", "umoci"),
];

/// The web servers' packages.
pub(crate) const SERVERS: &[(&str, &str)] = &[
    ("busybox-static", "busybox"),
    ("darkhttpd", "darkhttpd"),
    ("lighttpd", "lighttpd"),
    ("nginx-light", "nginx"),
];

/// Who puts trees of Debian's packages together besides us.
pub(crate) const BASES: &[(&str, &str)] = &[("mmdebstrap", "mmdebstrap")];

/// A registry, what makes it ready, and who speaks with it besides us.
pub(crate) const REGISTRIES: &[(&str, &str)] = &[
    ("apache2-utils", "htpasswd"),
    ("docker-registry", "docker-registry"),
    ("openssl", "openssl"),
    ("skopeo", "skopeo"),
];

/// Who makes deltas besides us, and what fetches the pairs.
pub(crate) const DELTAS: &[(&str, &str)] = &[
    ("bsdiff", "bsdiff"),
    ("npm", "npm"),
    ("python3-venv", "python3"),
    ("xdelta3", "xdelta3"),
    ("zstd", "zstd"),
];

/// Installs what is missing if it may; what is missing still, as packages.
pub(crate) fn ensure_packages(wanted: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let missing = missing(wanted);
    if missing.is_empty()
        || !rustix::process::geteuid().is_root()
        || !Path::new("/usr/bin/apt-get").exists()
    {
        return missing;
    }
    eprintln!("installing {}", missing.join(" "));
    let install = || {
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !install() {
        // The lists may be old or missing.
        let _ = Command::new("apt-get")
            .args(["update", "--quiet"])
            .stdout(std::process::Stdio::null())
            .status();
        install();
    }
    self::missing(wanted)
}

fn missing(wanted: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    wanted
        .iter()
        .filter(|(_, program)| {
            !folders
                .iter()
                .any(|folder| Path::new(folder).join(program).exists())
        })
        .map(|(package, _)| *package)
        .collect()
}
