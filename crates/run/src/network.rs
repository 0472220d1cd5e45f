//! A network with a way out, for a container's own network namespace.
//!
//! As root it is a bridge of this machine with a pair of veth interfaces and a
//! rule of nftables (`bridge`), by `ip` and `nft`; else a process beside the
//! container that speaks for it, `pasta` or `slirp4netns` (`user`). All of them
//! are the field's own tools, and are looked for where distributions put them.

mod bridge;
mod user;

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use user::{SUBCOMMAND, main};

/// Where tools are, whatever `PATH` says: a container's keeper has none.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Why a container has no way out.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A tool is not installed.
    #[error("a network with a way out needs {0}, which is not installed")]
    Missing(&'static str),
    /// A tool refuses.
    #[error("{tool}: {said}")]
    Tool {
        /// Which.
        tool: &'static str,
        /// What it said.
        said: String,
    },
    /// A tool could not be started or talked with.
    #[error("starting {tool}")]
    Start {
        /// Which.
        tool: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The container's namespace does not come to be.
    #[error("waiting for the container's network namespace")]
    Namespace,
    /// No address is free.
    #[error("no address of {0} is free")]
    Full(&'static str),
}

impl NetworkError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing("ip" | "nft") => {
                Some("Debian: apt-get install iproute2 nftables; or use --network private or host")
            }
            Self::Missing(_) => {
                Some("Debian: apt-get install passt; or use --network private or host")
            }
            Self::Tool {
                tool: "pasta" | "slirp4netns",
                said,
            } if said.contains("tun") => Some(
                "it needs /dev/net/tun: have root load it and open it to you: modprobe tun; chmod 666 /dev/net/tun",
            ),
            Self::Tool { .. } => Some("use --network private or host"),
            _ => None,
        }
    }
}

/// A container's way out. Dropping it ends the process beside it, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    helper: Option<Child>,
    /// Its address, where it is of the bridge.
    pub(crate) address: Option<String>,
}

impl Connection {
    /// The process beside it, which ends with its maker.
    pub(crate) fn helper(&self) -> Option<i32> {
        self.helper.as_ref().map(|child| child.id() as i32)
    }

    /// Leaves that running.
    pub(crate) fn leave(&mut self) {
        self.helper = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(mut helper) = self.helper.take() {
            let _ = helper.kill();
            let _ = helper.wait();
        }
    }
}

/// Connects the network of a process that is just being started, once it has one.
pub(crate) fn connect(pid: i32, root: bool) -> Result<Connection, NetworkError> {
    await_namespace(pid)?;
    match root {
        true => bridge::connect(pid),
        false => user::connect(pid),
    }
}

fn await_namespace(pid: i32) -> Result<(), NetworkError> {
    let inode = |of: &str| {
        let data = fs::metadata(format!("/proc/{of}/ns/net")).ok()?;
        Some((data.dev(), data.ino()))
    };
    let (own, end) = (inode("self"), Instant::now() + Duration::from_secs(5));
    loop {
        match inode(&pid.to_string()) {
            None => return Err(NetworkError::Namespace),
            theirs if theirs != own => return Ok(()),
            _ if Instant::now() > end => return Err(NetworkError::Namespace),
            _ => std::thread::sleep(Duration::from_micros(100)),
        }
    }
}

/// Where a tool is.
fn find(tool: &'static str) -> Option<PathBuf> {
    let mut places = FOLDERS
        .iter()
        .map(|folder| PathBuf::from(folder).join(tool));
    places.find(|path| path.is_file())
}

/// Runs a tool that is told by its standard input what to do.
fn tell(tool: &'static str, words: &[&str], orders: &str) -> Result<(), NetworkError> {
    let path = find(tool).ok_or(NetworkError::Missing(tool))?;
    let failed = |source| NetworkError::Start { tool, source };
    let mut input = memory_file().map_err(failed)?;
    input.write_all(orders.as_bytes()).map_err(failed)?;
    input.rewind().map_err(failed)?;
    let output = Command::new(path)
        .args(words)
        .stdin(Stdio::from(input))
        .output()
        .map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(NetworkError::Tool {
            tool,
            said: one_line(&output.stderr),
        }),
    }
}

/// A file without a name, for a tool to read or write.
fn memory_file() -> io::Result<fs::File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    Ok(rustix::fs::memfd_create(c"ounce-network", flags)?.into())
}

/// What was written to such a file, on one line.
fn said_in(file: &mut fs::File) -> String {
    let mut said = Vec::new();
    let _ = file.rewind();
    let _ = file.take(4096).read_to_end(&mut said);
    one_line(&said)
}

fn one_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match lines.is_empty() {
        true => "it failed without a word".to_owned(),
        false => lines.join("; "),
    }
}
