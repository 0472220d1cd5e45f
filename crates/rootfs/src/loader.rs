//! Where a dynamic loader looks for a library: `ld.so.cache`, musl's path file,
//! the folders that a program names itself, and the ones built in.
//!
//! Search rules follow `ld.so(8)` and glibc's `elf/dl-load.c`, and musl's
//! `ldso/dynlink.c`. Which file is taken of several depends on the processor
//! (`glibc-hwcaps`); an image may run on any, so all of them are told. Only
//! rules are here; whether a file is there is asked of the caller.

mod cache;

use std::path::{Component, Path, PathBuf};

use crate::elf::ElfFacts;

pub use cache::{Cache, CacheError, Cached};

/// Folders that glibc and musl look in last, for a machine whose libraries lie
/// in `multiarch` folders (Debian's) as well as for all others.
const BUILT_IN: [&str; 7] = [
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/lib32",
    "/usr/lib32",
];

/// Which loader searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// GNU's: rpath, `LD_LIBRARY_PATH`, runpath, cache, built-in folders.
    Gnu,
    /// musl's: `LD_LIBRARY_PATH`, rpath and runpath alike, its path file.
    Musl,
}

impl Flavour {
    /// By the interpreter that a program names; without one, GNU's.
    pub fn of_interpreter(interpreter: &str) -> Self {
        match interpreter.rsplit('/').next() {
            Some(name) if name.starts_with("ld-musl-") => Self::Musl,
            _ => Self::Gnu,
        }
    }
}

/// What decides where a library is looked for.
#[derive(Debug, Clone)]
pub struct Loader {
    /// Whose rules.
    pub flavour: Flavour,
    /// What `/etc/ld.so.cache` holds.
    pub cache: Option<Cache>,
    /// Folders of `/etc/ld-musl-ARCH.path`.
    pub path_file: Option<Vec<PathBuf>>,
    /// Folders of `LD_LIBRARY_PATH`.
    pub library_path: Vec<String>,
}

/// Who asks for a library.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The path it was opened under.
    pub path: &'a Path,
    /// What it says.
    pub facts: &'a ElfFacts,
    /// `DT_RPATH` of those that loaded it, nearest first, expanded already.
    pub inherited: &'a [PathBuf],
}

impl Loader {
    /// Paths, in the order they are tried, that a name may be found under.
    /// With a slash in it, the name itself.
    pub fn candidates(&self, asker: &Asker<'_>, name: &str) -> Vec<PathBuf> {
        if name.contains('/') {
            return self.expand(asker, name).into_iter().collect();
        }
        let mut out = Vec::new();
        let facts = asker.facts;
        let folders = |list: &[String]| -> Vec<PathBuf> {
            list.iter()
                .filter_map(|one| self.expand(asker, one))
                .collect()
        };
        let library_path = folders(&self.library_path);
        match self.flavour {
            Flavour::Gnu => {
                if facts.runpath.is_empty() {
                    self.offer(&folders(&facts.rpath), name, facts, &mut out);
                    self.offer(asker.inherited, name, facts, &mut out);
                }
                self.offer(&library_path, name, facts, &mut out);
                self.offer(&folders(&facts.runpath), name, facts, &mut out);
                if let Some(cache) = &self.cache {
                    out.extend(cache.find(name).map(|one| one.path.clone()));
                }
                self.offer(&built_in(facts), name, facts, &mut out);
            }
            Flavour::Musl => {
                self.offer(&library_path, name, facts, &mut out);
                self.offer(&folders(&facts.rpath), name, facts, &mut out);
                self.offer(&folders(&facts.runpath), name, facts, &mut out);
                self.offer(asker.inherited, name, facts, &mut out);
                match &self.path_file {
                    Some(folders) => self.offer(folders, name, facts, &mut out),
                    None => {
                        let usual = ["/lib", "/usr/local/lib", "/usr/lib"].map(PathBuf::from);
                        self.offer(&usual, name, facts, &mut out);
                    }
                }
            }
        }
        out
    }

    /// Folders that what `asker` loads inherits: its own `DT_RPATH`, then what
    /// it inherited. GNU's loader ignores it beside a `DT_RUNPATH`.
    pub fn inherited(&self, asker: &Asker<'_>) -> Vec<PathBuf> {
        let mut out = Vec::new();
        let facts = asker.facts;
        let own: &[String] = match self.flavour {
            Flavour::Gnu if !facts.runpath.is_empty() => &[],
            _ => &facts.rpath,
        };
        let musl: &[String] = match self.flavour {
            Flavour::Musl => &facts.runpath,
            Flavour::Gnu => &[],
        };
        for one in own.iter().chain(musl) {
            out.extend(self.expand(asker, one));
        }
        out.extend(asker.inherited.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        out.retain(|folder| seen.insert(folder.clone()));
        out
    }

    fn offer(&self, folders: &[PathBuf], name: &str, facts: &ElfFacts, out: &mut Vec<PathBuf>) {
        for folder in folders {
            if self.flavour == Flavour::Gnu {
                for level in hwcaps(facts) {
                    out.push(folder.join("glibc-hwcaps").join(level).join(name));
                }
            }
            out.push(folder.join(name));
        }
    }

    /// Replaces `$ORIGIN`, `$LIB` and `$PLATFORM`; none for what stays relative:
    /// it would be looked up in whatever folder the program stands in.
    fn expand(&self, asker: &Asker<'_>, text: &str) -> Option<PathBuf> {
        let origin = asker.path.parent().unwrap_or(Path::new(""));
        let origin = format!("/{}", origin.to_string_lossy().trim_start_matches('/'));
        let mut out = text.to_owned();
        let all = [
            ("ORIGIN", origin.as_str()),
            ("LIB", multiarch(asker.facts).map_or("lib", |one| one.1)),
            ("PLATFORM", platform(asker.facts)),
        ];
        for (name, value) in all {
            out = out.replace(&format!("${{{name}}}"), value);
            out = out.replace(&format!("${name}"), value);
        }
        let path = PathBuf::from(out);
        path.is_absolute().then(|| normal(&path))
    }
}

/// Without `.` and with `..` taken back, as text: for folders whose links are
/// followed by whoever looks.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}

/// Debian's folder for a machine, and what its loader puts for `$LIB`.
fn multiarch(facts: &ElfFacts) -> Option<(&'static str, &'static str)> {
    let architecture = facts.platform.as_ref()?.architecture.as_str();
    Some(match architecture {
        "amd64" => ("x86_64-linux-gnu", "lib/x86_64-linux-gnu"),
        "arm64" => ("aarch64-linux-gnu", "lib/aarch64-linux-gnu"),
        "386" => ("i386-linux-gnu", "lib/i386-linux-gnu"),
        "arm" => ("arm-linux-gnueabihf", "lib/arm-linux-gnueabihf"),
        "riscv64" => ("riscv64-linux-gnu", "lib/riscv64-linux-gnu"),
        "ppc64le" => ("powerpc64le-linux-gnu", "lib/powerpc64le-linux-gnu"),
        "s390x" => ("s390x-linux-gnu", "lib/s390x-linux-gnu"),
        _ => return None,
    })
}

fn platform(facts: &ElfFacts) -> &'static str {
    match facts.platform.as_ref().map(|it| it.architecture.as_str()) {
        Some("amd64") => "haswell",
        Some("arm64") => "aarch64",
        Some("386") => "i686",
        Some("arm") => "v7l",
        _ => "",
    }
}

fn built_in(facts: &ElfFacts) -> Vec<PathBuf> {
    let mut out = Vec::new();
    if let Some((folder, _)) = multiarch(facts) {
        out.push(Path::new("/lib").join(folder));
        out.push(Path::new("/usr/lib").join(folder));
    }
    out.extend(BUILT_IN.map(PathBuf::from));
    out
}

/// Subfolders of `glibc-hwcaps`, best first (glibc's `sysdeps/*/dl-hwcap*`).
fn hwcaps(facts: &ElfFacts) -> &'static [&'static str] {
    match facts.platform.as_ref().map(|it| it.architecture.as_str()) {
        Some("amd64") => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        Some("ppc64le") => &["power10", "power9"],
        Some("s390x") => &["z16", "z15", "z14", "z13"],
        _ => &[],
    }
}

/// The folders of a musl path file: one a line, or parted by colons.
pub fn path_file(text: &str) -> Vec<PathBuf> {
    text.split([':', '\n'])
        .map(str::trim)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// Names of `/etc/ld.so.preload`, parted by blanks or colons; `#` begins a comment.
pub fn preload(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.split([' ', '\t', ':']))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
