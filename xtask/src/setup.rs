//! `cargo xtask setup`: brings a bare machine to where every task runs.
//!
//! Installs Rust targets by rustup and Debian packages where it is root; else
//! says in one line what is missing.

use anyhow::{Result, bail};

use crate::tool::{command, find, is_root, read, run};

/// The targets that programs are built for.
pub(crate) const TARGETS: &[&str] = &["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// The targets that modules are built for.
const MODULES: &[&str] = &["wasm32-unknown-unknown", "wasm32-wasip1", "wasm32-wasip2"];

/// Targets that only one example is built for.
const MORE_TARGETS: &[&str] = &[
    "riscv32imc-unknown-none-elf",
    "thumbv7em-none-eabi",
    "wasm32v1-none",
];

/// A program that tasks call, and the Debian package it comes in.
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
}

/// A program and its package.
pub(crate) const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// What building and the judges need; the same in Debian and Ubuntu.
const NEEDS: &[Need] = &[
    need("gcc", "gcc"),
    need("ld", "binutils"),
    need("musl-gcc", "musl-tools"),
    need("setpriv", "util-linux"),
    need("mount", "mount"),
    need("kill", "procps"),
    need("ip", "iproute2"),
    need("skopeo", "skopeo"),
    need("umoci", "umoci"),
    need("buildah", "buildah"),
    need("podman", "podman"),
    need("runc", "runc"),
    need("crun", "crun"),
    need("dockerd", "docker.io"),
    need("slowhttptest", "slowhttptest"),
    need("pip3", "python3-pip"),
    need("slirp4netns", "slirp4netns"),
    need("strace", "strace"),
    need("gzip", "gzip"),
    need("man", "man-db"),
    need("groff", "groff"),
    need("zsh", "zsh"),
    need("qemu-aarch64-static", "qemu-user-static"),
    // Rust for other machines, where rustup has no musl target. The C libraries are only
    // recommended by the compilers, and so are named.
    need("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
    need("arm-linux-gnueabihf-gcc", "libc6-dev-armhf-cross"),
    need("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
    need("riscv64-linux-gnu-gcc", "libc6-dev-riscv64-cross"),
    need("qemu-system-x86_64", "qemu-system-x86"),
    need("qemu-system-riscv32", "qemu-system-misc"),
    need("busybox", "busybox-static"),
    need("cpio", "cpio"),
    need("mmdebstrap", "mmdebstrap"),
    need("go", "golang-go"),
    need("make", "make"),
    need("cmake", "cmake"),
    need("meson", "meson"),
    need("ninja", "ninja-build"),
    need("docker-registry", "docker-registry"),
    need("htpasswd", "apache2-utils"),
    need("openssl", "openssl"),
    need("ssh", "openssh-client"),
    need("sshd", "openssh-server"),
    need("systemd-analyze", "systemd"),
    need("npm", "npm"),
    need("chromium", "chromium"),
    need("rpmbuild", "rpm"),
];

/// What a run of setup would have to install.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    /// The sources of the standard library, for `--smallest`.
    sources: bool,
    targets: Vec<&'static str>,
    packages: Vec<&'static str>,
    /// No distribution has it in its packages; Python's index has.
    zig: bool,
}

/// The Zig that the examples and tests are compiled by.
const ZIG: &str = "ziglang==0.14.1";

fn has_zig() -> bool {
    find("zig").is_some() || read(&mut command(&["python3", "-m", "ziglang", "version"])).is_ok()
}

impl Missing {
    fn look() -> Self {
        let installed = installed_targets();
        Self {
            sources: !has_sources(),
            targets: targets()
                .filter(|t| !installed.iter().any(|own| own == t))
                .collect(),
            packages: NEEDS
                .iter()
                .filter(|n| find(n.program).is_none())
                .map(|n| n.package)
                .collect(),
            zig: !has_zig(),
        }
    }

    fn is_nothing(&self) -> bool {
        !self.sources && self.targets.is_empty() && self.packages.is_empty() && !self.zig
    }

    /// The commands that would bring what is missing.
    fn remedy(&self) -> String {
        let mut commands = Vec::new();
        if self.sources {
            commands.push("rustup component add rust-src".to_owned());
        }
        if !self.targets.is_empty() {
            commands.push(format!("rustup target add {}", self.targets.join(" ")));
        }
        if !self.packages.is_empty() {
            commands.push(format!("apt-get install {}", self.packages.join(" ")));
        }
        if self.zig {
            commands.push(format!("pip3 install {ZIG}"));
        }
        commands.join(" && ")
    }
}

fn targets() -> impl Iterator<Item = &'static str> {
    let all = [TARGETS, MODULES, MORE_TARGETS];
    all.into_iter().flatten().copied()
}

/// The targets whose standard library stands in the toolchain.
fn installed_targets() -> Vec<String> {
    let Ok(sysroot) = read(&mut command(&["rustc", "--print", "sysroot"])) else {
        return Vec::new();
    };
    let libraries = std::path::Path::new(sysroot.trim()).join("lib/rustlib");
    targets()
        .filter(|t| libraries.join(t).join("lib").is_dir())
        .map(str::to_owned)
        .collect()
}

/// Whether the standard library's sources stand in the toolchain.
fn has_sources() -> bool {
    let sysroot = read(&mut command(&["rustc", "--print", "sysroot"])).unwrap_or_default();
    let sources = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    sources.is_dir()
}

/// Installs what is missing, or with `check` only tells.
pub(crate) fn setup(check: bool) -> Result<()> {
    let missing = Missing::look();
    if missing.is_nothing() {
        println!("nothing is missing");
        return Ok(());
    }
    if check {
        bail!("missing; install by: {}", missing.remedy());
    }
    if missing.sources {
        if find("rustup").is_none() {
            bail!("rustup is missing, and with it: rust-src");
        }
        run(&mut command(&["rustup", "component", "add", "rust-src"]))?;
    }
    if !missing.targets.is_empty() {
        if find("rustup").is_none() {
            bail!(
                "rustup is missing, and with it: {}",
                missing.targets.join(" ")
            );
        }
        run(command(&["rustup", "target", "add"]).args(&missing.targets))?;
    }
    if !missing.packages.is_empty() {
        if !is_root() || find("apt-get").is_none() {
            println!("missing: {}", missing.remedy());
            return Ok(());
        }
        fetch(&missing.packages)?;
    }
    if missing.zig && is_root() {
        // Debian's pip asks for the last: it is the system's own Python.
        let words = ["python3", "-m", "pip", "install", "--quiet"];
        run(command(&words).args(["--break-system-packages", ZIG]))?;
    }
    let still = Missing::look();
    if !still.is_nothing() {
        println!("still missing: {}", still.remedy());
    }
    Ok(())
}

fn fetch(packages: &[&str]) -> Result<()> {
    let quiet = "-qq";
    run(&mut command(&["apt-get", quiet, "update"]))?;
    run(
        command(&["apt-get", quiet, "install", "-y", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Installs what a single task needs beyond what all of them do.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    let missing = needs.iter().filter(|need| find(need.program).is_none());
    let packages: Vec<&str> = missing.map(|need| need.package).collect();
    match packages.is_empty() {
        true => Ok(()),
        false => fetch(&packages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_what_is_missing_in_one_line() {
        let missing = Missing {
            sources: true,
            targets: vec!["t1", "t2"],
            packages: vec!["p"],
            zig: true,
        };
        assert_eq!(
            missing.remedy(),
            "rustup component add rust-src && rustup target add t1 t2 && apt-get install p \
             && pip3 install ziglang==0.14.1"
        );
    }
}
