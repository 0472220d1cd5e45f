//! A shell with tools at a container that has none, and not one byte of it
//! changed: a further container in the same namespaces of users, processes,
//! network, IPC and names, with mounts of its own. The tools are its root; the
//! other's is at `/target`, by way of `/proc/1/root`.
//!
//! Tools like it write a link into the container's root, which a read-only one
//! refuses; nothing here needs a place there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::act::main_process;
use super::exec::ExecError;
use super::fault::StateError;
use super::folder::Containers;
use crate::runtime::{Options, Runtime, SPECIFICATION};

/// What the shell and its tools come from.
#[derive(Debug, Clone)]
pub enum Tools {
    /// A root file system, such as an unpacked image.
    Root(PathBuf),
    /// A static busybox, and the names that it answers to.
    Busybox(PathBuf, Vec<String>),
}

/// What is to run beside the container.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where its tools are.
    pub tools: Tools,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
}

/// What looking at others takes, and nothing over mounts: all of it holds in the
/// container's user namespace alone.
const CAPABILITIES: [&str; 13] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
];

/// Folders that are the session's own, whatever the tools bring.
const OWN: [&str; 5] = ["proc", "dev", "sys", "tmp", "target"];

impl Containers {
    /// Runs a program with tools beside a container, and gives its exit code.
    ///
    /// # Errors
    /// The container does not run, or the program cannot be started.
    pub fn debug(&self, name: &str, session: &Session) -> Result<u8, ExecError> {
        let seen = self.running(name)?;
        let (_process, running) = main_process(&seen)?;
        let bundle = self.aside("debug")?;
        let result = self.run_beside(&bundle, running.pid, session);
        let _ = fs::remove_dir_all(&bundle);
        result
    }

    fn run_beside(&self, bundle: &Path, pid: i32, session: &Session) -> Result<u8, ExecError> {
        let rootfs = bundle.join("rootfs");
        let mut mounts = own_mounts();
        furnish(&rootfs, &session.tools, &mut mounts)
            .map_err(StateError::file("making a root of tools in", &rootfs))?;
        let config = bundle.join("config.json");
        let text = configuration(pid, session, mounts).to_string();
        fs::write(&config, text).map_err(StateError::file("writing", &config))?;
        let runtime = Runtime {
            root: bundle.join("state"),
            systemd: false,
            no_groups: true,
            rootless: None,
        };
        let options = Options {
            bundle: bundle.to_owned(),
            ..Options::default()
        };
        Ok(runtime.run("debug", &options, false, false, &mut |_| {})?)
    }
}

fn own_mounts() -> Vec<Value> {
    vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=64k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777"]}),
    ]
}

/// Fills a root with what the tools have at their top, as mounts, so that
/// nothing is copied.
fn furnish(rootfs: &Path, tools: &Tools, mounts: &mut Vec<Value>) -> io::Result<()> {
    let folder = |name: &str| {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o755)
            .create(rootfs.join(name))
    };
    for name in ["proc", "dev", "sys", "tmp"] {
        folder(name)?;
    }
    symlink("proc/1/root", rootfs.join("target"))?;
    let mut bind = |from: &Path, to: &str| {
        mounts.push(json!({"destination": format!("/{to}"), "type": "bind",
            "source": from, "options": ["rbind", "rro", "nosuid", "nodev"]}));
    };
    match tools {
        Tools::Busybox(program, names) => {
            folder("bin")?;
            fs::write(rootfs.join("bin/busybox"), "")?;
            bind(program, "bin/busybox");
            for name in names.iter().filter(|name| *name != "busybox") {
                if !name.contains('/') {
                    symlink("busybox", rootfs.join("bin").join(name))?;
                }
            }
        }
        Tools::Root(root) => {
            for entry in fs::read_dir(root)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| !OWN.contains(name)) else {
                    continue;
                };
                let kind = entry.file_type()?;
                if kind.is_symlink() {
                    symlink(fs::read_link(entry.path())?, rootfs.join(name))?;
                } else if kind.is_dir() {
                    folder(name)?;
                    bind(&entry.path(), name);
                } else if kind.is_file() {
                    fs::write(rootfs.join(name), "")?;
                    bind(&entry.path(), name);
                }
            }
        }
    }
    Ok(())
}

fn configuration(pid: i32, session: &Session, mounts: Vec<Value>) -> Value {
    let kinds = [
        ("user", "user"),
        ("pid", "pid"),
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
    ];
    let mut namespaces = vec![json!({"type": "mount"})];
    for (kind, file) in kinds {
        let inode = |of: &str| {
            let data = fs::metadata(format!("/proc/{of}/ns/{file}")).ok()?;
            Some((data.dev(), data.ino()))
        };
        // One that it shares with us needs no joining, and could not be joined
        // from within its user namespace.
        if inode(&pid.to_string()) != inode("self") {
            let path = format!("/proc/{pid}/ns/{file}");
            namespaces.push(json!({"type": kind, "path": path}));
        }
    }
    let (uid, gid) = first_user(pid);
    json!({
        "ociVersion": SPECIFICATION,
        "process": {
            "terminal": session.terminal,
            "user": {"uid": uid, "gid": gid},
            "args": session.command,
            "env": session.environment,
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES,
                "permitted": CAPABILITIES, "inheritable": CAPABILITIES, "ambient": CAPABILITIES},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "mounts": mounts,
        "linux": {"namespaces": namespaces},
    })
}

/// Root of the container's user namespace, or the one user that it has.
fn first_user(pid: i32) -> (u32, u32) {
    let first = |file: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.split_whitespace()
            .next()
            .and_then(|first| first.parse().ok())
            .unwrap_or(0)
    };
    (first("uid_map"), first("gid_map"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_tools_has_what_the_image_has_but_for_the_sessions_own() {
        let folder = tempfile::tempdir().unwrap();
        let (tools, rootfs) = (folder.path().join("tools"), folder.path().join("rootfs"));
        for name in ["usr/bin", "proc/x", "target"] {
            fs::create_dir_all(tools.join(name)).unwrap();
        }
        symlink("usr/bin", tools.join("bin")).unwrap();
        fs::write(tools.join("init"), "x").unwrap();
        let mut mounts = Vec::new();
        furnish(&rootfs, &Tools::Root(tools), &mut mounts).unwrap();
        let mut targets: Vec<&str> = mounts
            .iter()
            .filter_map(|mount| mount["destination"].as_str())
            .collect();
        targets.sort_unstable();
        assert_eq!(targets, ["/init", "/usr"]);
        assert_eq!(
            fs::read_link(rootfs.join("bin")).unwrap(),
            Path::new("usr/bin")
        );
        assert_eq!(
            fs::read_link(rootfs.join("target")).unwrap(),
            Path::new("proc/1/root")
        );
        assert!(!rootfs.join("proc/x").exists());
    }
}
