//! What in an image can be attacked, as counts and names: programs, those that
//! raise rights, shells, interpreters, package managers, writable places, secrets
//! left behind, and how the programs were hardened.
//!
//! Known vulnerabilities are not looked up: without a database the honest answer
//! is "not scanned", never "none".

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ounce_rootfs::elf::{Kind, Relro};
use ounce_rootfs::name;
use ounce_rootfs::tree::{Node, NodeKind};
use serde::Serialize;

use crate::kind::FileKind;
use crate::pass::{Facts, Found};

/// Paths that are named one by one in each list; the count tells the rest.
const NAMED: usize = 20;

/// The surface of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Surface {
    /// Files that can be executed: ELF programs and scripts, execute bit set.
    pub executables: List,
    /// Shared libraries.
    pub libraries: u64,
    /// Programs that run as their owner or group (set-user-ID, set-group-ID).
    pub setuid: List,
    /// Programs with file capabilities.
    pub capabilities: List,
    /// Shells.
    pub shells: List,
    /// Interpreters of other languages.
    pub interpreters: List,
    /// Package managers.
    pub package_managers: List,
    /// Programs that fetch from the network, and compilers: an intruder's tools.
    pub tools: List,
    /// Files and folders that anybody may write to; sticky folders are not among them.
    pub world_writable: List,
    /// Users in `/etc/passwd` beyond root; none where there is no such file.
    pub users: u64,
    /// Files that look like secrets, and what they look like.
    pub secrets: List,
    /// How ELF programs and libraries are hardened.
    pub hardening: Hardening,
    /// Always "not scanned": no database of vulnerabilities is asked.
    pub vulnerabilities: &'static str,
}

/// How many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct List {
    /// All of them.
    pub count: u64,
    /// The first, sorted.
    pub first: Vec<String>,
}

impl List {
    fn of(mut all: Vec<String>) -> Self {
        all.sort();
        all.dedup();
        let count = all.len() as u64;
        all.truncate(NAMED);
        Self { count, first: all }
    }
}

/// How many of the ELF files have each protection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hardening {
    /// Programs, libraries not counted.
    pub programs: u64,
    /// Programs loaded at a random address.
    pub pie: u64,
    /// ELF files, libraries counted.
    pub files: u64,
    /// Those whose relocated data is read-only at least in part.
    pub relro: u64,
    /// Those that check their stack.
    pub canary: u64,
    /// Those that call checked functions of libc.
    pub fortify: u64,
    /// Those that ask for an executable stack or have memory that is writable
    /// and executable.
    pub executable_data: List,
    /// Symbols and debug information that could be stripped.
    pub strippable_bytes: u64,
    /// ELF files that could not be looked into.
    pub unread: List,
}

const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox",
];
const MANAGERS: &[&str] = &[
    "apt", "apt-get", "dpkg", "apk", "rpm", "dnf", "yum", "microdnf", "pip", "pip3", "npm", "yarn",
    "pnpm", "gem", "cargo", "conda", "uv",
];
const TOOLS: &[&str] = &[
    "curl", "wget", "nc", "ncat", "netcat", "socat", "ssh", "telnet", "ftp", "gcc", "cc", "clang",
    "ld", "as", "make", "gdb", "strace", "tcpdump", "nmap", "git", "openssl",
];

fn is_interpreter(name: &str) -> bool {
    let versioned = |stem: &str| {
        name.strip_prefix(stem).is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
    };
    [
        "python", "perl", "ruby", "node", "php", "lua", "java", "guile", "tclsh",
    ]
    .iter()
    .any(|stem| versioned(stem))
        || matches!(name, "awk" | "mawk" | "gawk" | "luajit" | "deno" | "bun")
}

/// Paths by what they are, as they are found.
#[derive(Default)]
struct Lists {
    executables: Vec<String>,
    setuid: Vec<String>,
    shells: Vec<String>,
    interpreters: Vec<String>,
    package_managers: Vec<String>,
    tools: Vec<String>,
    world_writable: Vec<String>,
    secrets: Vec<String>,
    unread: Vec<String>,
    libraries: u64,
}

/// Looks at all that can be seen. `search_path` is the image's `PATH`: its
/// folders hold commands, as those named `bin` or `sbin` and the root do.
pub(crate) fn surface(found: &Found, search_path: &str) -> Surface {
    let mut lists = Lists::default();
    for (path, node) in found.tree.iter() {
        lists.add(found, search_path, path, node);
    }
    let capable = found.capable.iter();
    let visible = |path: &&PathBuf| found.tree.get(path).is_some();
    Surface {
        executables: List::of(lists.executables),
        libraries: lists.libraries,
        setuid: List::of(lists.setuid),
        capabilities: List::of(
            capable
                .filter(visible)
                .map(|path| name::rooted(path))
                .collect(),
        ),
        shells: List::of(lists.shells),
        interpreters: List::of(lists.interpreters),
        package_managers: List::of(lists.package_managers),
        tools: List::of(lists.tools),
        world_writable: List::of(lists.world_writable),
        users: users(found),
        secrets: List::of(lists.secrets),
        hardening: hardening(found, lists.unread),
        vulnerabilities: "not scanned",
    }
}

impl Lists {
    fn add(&mut self, found: &Found, search_path: &str, path: &Path, node: &Node) {
        let shown = || name::rooted(path);
        let is_link = matches!(node.kind, NodeKind::Symlink(_));
        let is_sticky = node.mode & 0o1000 != 0;
        if !is_link && node.mode & 0o002 != 0 && !is_sticky && node.kind != NodeKind::Device {
            self.world_writable.push(shown());
        }
        let Some(facts) = facts_of(found, path, node) else {
            return;
        };
        let runs = is_link || node.mode & 0o111 != 0;
        let is_elf = facts.elf().is_some_and(|elf| is_program(elf.kind));
        let is_code = is_elf || matches!(facts.kind, FileKind::Program | FileKind::Script);
        if is_code && runs {
            self.add_command(search_path, path, is_elf && !is_link, &shown);
        }
        if is_link {
            return;
        }
        if is_code && runs {
            self.executables.push(shown());
        }
        if node.mode & 0o6000 != 0 {
            self.setuid.push(shown());
        }
        if let Some(what) = facts.secret() {
            self.secrets.push(format!("{}: {what}", shown()));
        }
        if let Some(fault) = facts.fault() {
            self.unread.push(format!("{}: {fault}", shown()));
        }
        self.libraries += u64::from(facts.kind == FileKind::Library);
    }

    /// What a command is, by its name; a link counts by its own, for `/bin/sh`
    /// is a shell whatever it leads to. Names in other folders are not commands
    /// (`/usr/lib/apt/methods/ftp`, `/etc/cron.daily/dpkg`), but for a shell
    /// that is a program: it serves an intruder wherever it lies.
    fn add_command(
        &mut self,
        search_path: &str,
        path: &Path,
        is_program: bool,
        shown: &dyn Fn() -> String,
    ) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return;
        };
        let is_command = is_of_commands(path.parent().unwrap_or(path), search_path);
        if SHELLS.contains(&name) && (is_command || is_program) {
            self.shells.push(shown());
        }
        for (list, is) in [
            (&mut self.package_managers, MANAGERS.contains(&name)),
            (&mut self.tools, TOOLS.contains(&name)),
            (&mut self.interpreters, is_interpreter(name)),
        ] {
            if is && is_command {
                list.push(shown());
            }
        }
    }
}

/// Whether a folder, without the leading slash, holds commands.
fn is_of_commands(folder: &Path, search_path: &str) -> bool {
    let last = folder.file_name();
    last.is_none_or(|name| name == "bin" || name == "sbin")
        || search_path
            .split(':')
            .any(|one| Path::new(one.trim_start_matches('/')) == folder)
}

/// How the ELF files are hardened; hard links are one file here.
fn hardening(found: &Found, unread: Vec<String>) -> Hardening {
    let mut hardening = Hardening::default();
    let mut executable_data = Vec::new();
    let mut seen = HashSet::new();
    for (path, node) in found.tree.iter() {
        let NodeKind::File(id) = node.kind else {
            continue;
        };
        let Some(facts) = found
            .facts
            .get(id)
            .filter(|facts| facts.elf().is_some() && seen.insert(id))
        else {
            continue;
        };
        let Some(elf) = facts.elf() else {
            continue;
        };
        if elf.kind == Kind::Relocatable {
            continue;
        }
        if is_program(elf.kind) && facts.kind != FileKind::Library {
            hardening.programs += 1;
            hardening.pie += u64::from(elf.pie);
        }
        hardening.files += 1;
        hardening.relro += u64::from(elf.relro != Relro::None);
        hardening.canary += u64::from(elf.canary);
        hardening.fortify += u64::from(elf.fortify);
        hardening.strippable_bytes += elf.strippable_bytes;
        if !elf.nx || elf.writable_code {
            executable_data.push(name::rooted(path));
        }
    }
    Hardening {
        executable_data: List::of(executable_data),
        unread: List::of(unread),
        ..hardening
    }
}

fn is_program(kind: Kind) -> bool {
    matches!(kind, Kind::Static | Kind::StaticPie | Kind::Dynamic)
}

/// What is known of a file, or of the one that a link leads to.
fn facts_of<'found>(found: &'found Found, path: &Path, node: &Node) -> Option<&'found Facts> {
    let id = match node.kind {
        NodeKind::File(id) => id,
        NodeKind::Symlink(_) => match found.tree.lookup(path).ok()?.1.kind {
            NodeKind::File(id) => id,
            _ => return None,
        },
        _ => return None,
    };
    found.facts.get(id)
}

fn users(found: &Found) -> u64 {
    found
        .packages
        .users
        .iter()
        .filter(|name| *name != "root")
        .count() as u64
}

/// What there is of one of [`DENIABLE`]; `None` for another word.
pub fn denied<'surface>(surface: &'surface Surface, what: &str) -> Option<&'surface List> {
    Some(match what {
        "shell" => &surface.shells,
        "setuid" => &surface.setuid,
        "capabilities" => &surface.capabilities,
        "interpreter" => &surface.interpreters,
        "package-manager" => &surface.package_managers,
        "tool" => &surface.tools,
        "secret" => &surface.secrets,
        "world-writable" => &surface.world_writable,
        "executable-data" => &surface.hardening.executable_data,
        _ => return None,
    })
}

/// What `--deny` can be given.
pub const DENIABLE: &[&str] = &[
    "shell",
    "setuid",
    "capabilities",
    "interpreter",
    "package-manager",
    "tool",
    "secret",
    "world-writable",
    "executable-data",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_with_their_versions_only() {
        for (name, is) in [
            ("python3.11", true),
            ("python", true),
            ("python3-config", false),
            ("perl5.36.0", true),
            ("nodejs", false),
            ("node", true),
            ("javac", false),
        ] {
            assert_eq!(is_interpreter(name), is, "{name}");
        }
    }

    #[test]
    fn commands_lie_in_bin_sbin_the_root_and_the_search_path() {
        for (folder, is) in [
            ("", true),
            ("bin", true),
            ("usr/local/sbin", true),
            ("busybox", true),
            ("usr/lib/apt/methods", false),
            ("etc/cron.daily", false),
            ("etc/alternatives", false),
            ("cabin", false),
        ] {
            let on_path = "/usr/bin:/busybox";
            assert_eq!(is_of_commands(Path::new(folder), on_path), is, "{folder}");
        }
    }

    #[test]
    fn list_keeps_the_count_of_what_it_does_not_name() {
        let all = (0..50).map(|number| format!("{number:02}")).collect();
        let list = List::of(all);
        assert_eq!((list.count, list.first.len()), (50, NAMED));
        assert_eq!(list.first[0], "00");
    }
}
