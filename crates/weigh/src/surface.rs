//! What in an image can be attacked, as counts and names: programs, those that
//! raise rights, shells, interpreters, package managers, writable places, secrets
//! left behind, and how the programs were hardened.
//!
//! Known vulnerabilities are not looked up: without a database the honest answer
//! is "not scanned", never "none".

use std::path::Path;

use ounce_rootfs::elf::{Kind, Relro};
use ounce_rootfs::tree::NodeKind;
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

/// Looks at all that can be seen.
pub(crate) fn surface(found: &Found) -> Surface {
    let tree = &found.tree;
    let mut lists: [Vec<String>; 10] = Default::default();
    let [
        executables,
        setuid,
        shells,
        interpreters,
        managers,
        tools,
        writable,
        secrets,
        data,
        unread,
    ] = &mut lists;
    let mut hardening = Hardening::default();
    let mut libraries = 0;
    for (path, node) in tree.iter() {
        let shown = || format!("/{}", path.display());
        let is_sticky = node.mode & 0o1000 != 0;
        let is_link = matches!(node.kind, NodeKind::Symlink(_));
        if !is_link && node.mode & 0o002 != 0 && !is_sticky && node.kind != NodeKind::Device {
            writable.push(shown());
        }
        if let Some(facts) = facts_of(found, path) {
            let runs = node.mode & 0o111 != 0;
            let is_code = matches!(facts.kind, FileKind::Program | FileKind::Script)
                || facts.elf.as_ref().is_some_and(|elf| is_program(elf.kind));
            if runs && is_code && !is_link {
                executables.push(shown());
            }
            libraries += u64::from(facts.kind == FileKind::Library && !is_link);
            if node.mode & 0o6000 != 0 && !is_link {
                setuid.push(shown());
            }
            // A link counts by its name: /bin/sh is a shell whatever it leads to.
            if is_code
                && (runs || is_link)
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
            {
                for (list, is) in [
                    (&mut *shells, SHELLS.contains(&name)),
                    (&mut *managers, MANAGERS.contains(&name)),
                    (&mut *tools, TOOLS.contains(&name)),
                    (&mut *interpreters, is_interpreter(name)),
                ] {
                    if is {
                        list.push(shown());
                    }
                }
            }
            if !is_link {
                if let Some(what) = facts.secret {
                    secrets.push(format!("{}: {what}", shown()));
                }
                if let Some(fault) = &facts.fault {
                    unread.push(format!("{}: {fault}", shown()));
                }
            }
        }
    }
    // Hard links are one file here.
    let mut seen: Vec<_> = tree
        .iter()
        .filter_map(|(path, node)| match node.kind {
            NodeKind::File(id) => Some((id, path)),
            _ => None,
        })
        .collect();
    seen.sort_by_key(|&(id, _)| id);
    seen.dedup_by_key(|&mut (id, _)| id);
    for (id, path) in seen {
        let Some(elf) = found.facts.get(&id).and_then(|facts| facts.elf.as_ref()) else {
            continue;
        };
        if elf.kind == Kind::Relocatable {
            continue;
        }
        if is_program(elf.kind) && found.facts[&id].kind != FileKind::Library {
            hardening.programs += 1;
            hardening.pie += u64::from(elf.pie);
        }
        hardening.files += 1;
        hardening.relro += u64::from(elf.relro != Relro::None);
        hardening.canary += u64::from(elf.canary);
        hardening.fortify += u64::from(elf.fortify);
        hardening.strippable_bytes += elf.strippable_bytes;
        if !elf.nx || elf.writable_code {
            data.push(format!("/{}", path.display()));
        }
    }
    let [
        executables,
        setuid,
        shells,
        interpreters,
        managers,
        tools,
        writable,
        secrets,
        data,
        unread,
    ] = lists.map(List::of);
    Surface {
        executables,
        libraries,
        setuid,
        capabilities: List::of(
            found
                .capable
                .iter()
                .filter(|path| tree.get(path).is_some())
                .cloned()
                .collect(),
        ),
        shells,
        interpreters,
        package_managers: managers,
        tools,
        world_writable: writable,
        users: users(found),
        secrets,
        hardening: Hardening {
            executable_data: data,
            unread,
            ..hardening
        },
        vulnerabilities: "not scanned",
    }
}

fn is_program(kind: Kind) -> bool {
    matches!(kind, Kind::Static | Kind::StaticPie | Kind::Dynamic)
}

/// What is known of the file that a path leads to.
fn facts_of<'found>(found: &'found Found, path: &Path) -> Option<&'found Facts> {
    let (_, node) = found.tree.lookup(path).ok()?;
    match node.kind {
        NodeKind::File(id) => found.facts.get(&id),
        _ => None,
    }
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
    fn list_keeps_the_count_of_what_it_does_not_name() {
        let all = (0..50).map(|number| format!("{number:02}")).collect();
        let list = List::of(all);
        assert_eq!((list.count, list.first.len()), (50, NAMED));
        assert_eq!(list.first[0], "00");
    }
}
