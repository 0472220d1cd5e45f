//! The programs of a cluster: Kubernetes compiled from Debian's own source package,
//! the rest unpacked from Debian's packages, all kept in `target/cluster`.
//!
//! Nothing of it is installed: a package of a daemon would start it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::house::House;
use crate::setup::{self, Need, need};
use crate::tool::{command, read, run, stage};

/// What is compiled.
const COMPILED: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
];
/// Packages that are unpacked.
const PACKAGES: &[&str] = &[
    "containerd",
    "containernetworking-plugins",
    "etcd-server",
    "kubernetes-client",
];
/// Programs that unpacking and compiling take, and the nodes themselves.
const NEEDS: &[Need] = &[
    need("dpkg-source", "dpkg-dev"),
    need("patch", "patch"),
    need("go", "golang-go"),
    need("musl-gcc", "musl-tools"),
    need("iptables", "iptables"),
    need("openssl", "openssl"),
    need("runc", "runc"),
    need("docker-registry", "docker-registry"),
    // The libraries that containerd is linked to.
    need("containerd", "containerd"),
];
/// Where Debian's keys are.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What is not compiled: drivers of clouds, and the kubelet's own way to Docker.
const TAGS: &str = "providerless dockerless";
/// Sources that are made by a program; Debian's package is without them.
const GENERATED: &str = "pkg/generated/openapi/zz_generated.openapi.go";

/// The programs, each by its name.
#[derive(Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// Debian's version of Kubernetes.
    pub(super) version: String,
}

impl Programs {
    /// Looks in `target/cluster`, and makes there what is missing.
    pub(super) fn get(house: &House) -> Result<Self> {
        setup::install(NEEDS)?;
        let folder = house.target().join("cluster");
        fs::create_dir_all(&folder)?;
        let version = match fs::read_to_string(folder.join("version")) {
            Ok(version) => version,
            Err(_) => {
                let version = stage("Kubernetes from Debian's sources", || compile(&folder))?;
                fs::write(folder.join("version"), &version)?;
                version
            }
        };
        if !folder.join("debian").is_dir() {
            stage("the rest from Debian's packages", || unpack(&folder))?;
        }
        let wait = folder.join("bin/wait");
        let source = house.path("xtask/src/cluster/data/wait.c");
        let words = ["musl-gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o"];
        read(command(&words).arg(&wait).arg(source))?;
        Ok(Self { folder, version })
    }

    /// Where a program is.
    pub(super) fn path(&self, name: &str) -> Result<PathBuf> {
        let places = [
            format!("bin/{name}"),
            format!("debian/usr/bin/{name}"),
            format!("debian/usr/lib/cni/{name}"),
        ];
        places
            .iter()
            .map(|place| self.folder.join(place))
            .find(|path| path.is_file())
            .with_context(|| format!("{name} is not in {}", self.folder.display()))
    }

    /// The folder of the plugins that connect pods.
    pub(super) fn plugins(&self) -> PathBuf {
        self.folder.join("debian/usr/lib/cni")
    }

    /// Where what the daemons said is kept if a check fails.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }
}

fn unpack(folder: &Path) -> Result<()> {
    let packed = folder.join("packed");
    let to = folder.join("debian.new");
    for path in [&packed, &to] {
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path)?;
    }
    // Its own user may not write here.
    let words = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root"];
    run(command(&words)
        .arg("download")
        .args(PACKAGES)
        .current_dir(&packed))?;
    for entry in fs::read_dir(&packed)? {
        read(command(&["dpkg-deb", "-x"]).arg(entry?.path()).arg(&to))?;
    }
    fs::remove_dir_all(&packed)?;
    Ok(fs::rename(to, folder.join("debian"))?)
}

/// Fetches, unpacks and compiles; Debian's version of it.
fn compile(folder: &Path) -> Result<String> {
    let work = folder.join("work");
    let _ = fs::remove_dir_all(&work);
    let tree = work.join("gopath/src/k8s.io/kubernetes");
    fs::create_dir_all(work.join("gopath/src/k8s.io"))?;
    let version = fetch(&work)?;
    unpack_source(&work, &tree)?;
    let go = Go {
        work: &work,
        tree: &tree,
    };
    fs::create_dir_all(folder.join("bin"))?;
    if !tree.join(GENERATED).exists() {
        generate(&go)?;
    }
    let upstream = upstream(&version);
    let flags = flags(upstream)?;
    for name in COMPILED {
        println!("   {name}");
        let mut build = go.command(&["build", "-tags", TAGS, "-ldflags", &flags, "-o"]);
        run(build
            .arg(folder.join("bin").join(name))
            .arg(format!("./cmd/{name}")))?;
    }
    // A gigabyte and more, and of no use any more.
    fs::remove_dir_all(&work)?;
    Ok(version)
}

/// The source package, by a list of sources of our own: the machine's stays as it is.
fn fetch(work: &Path) -> Result<String> {
    let lists = work.join("lists");
    fs::create_dir_all(lists.join("partial"))?;
    let targets = read(&mut command(&[
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
        "Origin: Debian",
    ]))?;
    let mut text = String::new();
    for line in targets.lines() {
        text.push_str(&format!("deb-src [signed-by={KEYRING}] {line}\n"));
    }
    ensure!(
        !text.is_empty(),
        "apt knows no packages of Debian; the sources of Kubernetes are Debian's"
    );
    let list = work.join("sources.list");
    fs::write(&list, text)?;
    let apt = |words: &[&str]| {
        let mut apt = command(words);
        apt.current_dir(work).arg("-qq");
        for (name, value) in [
            ("Dir::Etc::sourcelist", list.as_path()),
            ("Dir::Etc::sourceparts", Path::new("/dev/null")),
            ("Dir::State::lists", &lists),
        ] {
            apt.arg("-o").arg(format!("{name}={}", value.display()));
        }
        // Its own user may not write here.
        apt.args(["-o", "APT::Sandbox::User=root"]);
        apt
    };
    read(apt(&["apt-get"]).arg("update"))?;
    let shown = read(apt(&["apt-cache"]).args(["showsrc", "--only-source", "kubernetes"]))?;
    let mut versions = shown
        .lines()
        .filter_map(|line| line.strip_prefix("Version: "));
    let Some(version) = versions.next_back().map(str::to_owned) else {
        bail!("this Debian has no sources of Kubernetes; Debian 12 has");
    };
    let source = format!("kubernetes={version}");
    run(apt(&["apt-get"]).args(["source", "--download-only", &source]))?;
    Ok(version)
}

fn unpack_source(work: &Path, tree: &Path) -> Result<()> {
    let description = fs::read_dir(work)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|kind| kind == "dsc"));
    let description = description.context("there is no .dsc among the sources")?;
    // Their hashes were in apt's signed lists.
    let words = ["dpkg-source", "--no-check", "-x"];
    read(command(&words).arg(description).arg(tree))?;
    Ok(())
}

/// Go, in a tree as Kubernetes 1.20 was built in.
struct Go<'a> {
    work: &'a Path,
    tree: &'a Path,
}

impl Go<'_> {
    fn command(&self, words: &[&str]) -> std::process::Command {
        // The longest thing that any task does: whoever else works here goes first.
        let mut go = command(&["nice", "-n", "10", "go"]);
        go.args(words)
            .current_dir(self.tree)
            .env("GOPATH", self.work.join("gopath"))
            .env("GOCACHE", self.work.join("cache"))
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("CGO_ENABLED", "0");
        go
    }
}

/// Makes what API server and kubectl tell of every field.
fn generate(go: &Go<'_>) -> Result<()> {
    let generator = go.work.join("openapi-gen");
    let source = "./vendor/k8s.io/kube-openapi/cmd/openapi-gen";
    run(go.command(&["build", "-o"]).arg(&generator).arg(source))?;
    // `vendor/k8s.io` is links into `staging`.
    let list = "find -L vendor/k8s.io pkg cmd -name '*.go' -print0 \
                | xargs -0 grep -l '+k8s:openapi-gen=' \
                | grep -v -e code-generator/ -e sample-apiserver/ \
                | xargs -n1 dirname | LC_ALL=C sort -u";
    let found = read(command(&["sh", "-c", list]).current_dir(go.tree))?;
    let packages: Vec<String> = found
        .lines()
        .map(|line| format!("k8s.io/kubernetes/{line}"))
        .collect();
    let generated = GENERATED.trim_end_matches(".go");
    let (package, name) = generated.rsplit_once('/').unwrap_or_default();
    let mut make = command(&[&generator]);
    make.current_dir(go.tree)
        .env("GOPATH", go.work.join("gopath"))
        .env("GO111MODULE", "off")
        .args(["--logtostderr", "-O", name, "-p"])
        .arg(format!("k8s.io/kubernetes/{package}"))
        .args(["-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"])
        .arg("-r")
        .arg(go.work.join("violations"))
        .arg("-i")
        .arg(packages.join(","));
    read(&mut make)?;
    ensure!(
        go.tree.join(GENERATED).is_file(),
        "openapi-gen has not made {GENERATED}"
    );
    Ok(())
}

/// What Kubernetes calls Debian's `1.20.5+really1.20.2-1.1+deb12u1`.
fn upstream(version: &str) -> &str {
    let version = version
        .rsplit_once('-')
        .map_or(version, |(version, _)| version);
    version
        .rsplit_once("+really")
        .map_or(version, |(_, version)| version)
}

/// What tells the programs who they are.
fn flags(version: &str) -> Result<String> {
    let mut parts = version.split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("{version} is no version of Kubernetes");
    };
    let mut flags = "-s -w".to_owned();
    for package in [
        "k8s.io/kubernetes/vendor/k8s.io/component-base/version",
        "k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version",
    ] {
        for (name, value) in [
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitVersion", &format!("v{version}")),
            ("gitTreeState", "archive"),
        ] {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_versions_are_told_as_kubernetes_has_them() {
        for (debians, own) in [
            ("1.20.5+really1.20.2-1.1+deb12u1", "1.20.2"),
            ("1.20.2-1", "1.20.2"),
            ("1.30.4", "1.30.4"),
        ] {
            assert_eq!(upstream(debians), own);
        }
        let flags = flags("1.20.2").unwrap();
        assert!(flags.contains("component-base/version.gitMinor=20"));
        assert!(super::flags("new").is_err());
    }
}
