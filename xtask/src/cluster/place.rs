//! Places apart from the machine: a network, mounts and processes of their own,
//! held by one process whose end is the end of everything in them.
//!
//! What outlives them (folders, control groups) is taken away by a guard, a process
//! that does so when this one ends in whatever way, `kill -9` and Ctrl-C included.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tool::{command, read};

/// Does at the end what it was told, the latest first.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    orders: Option<ChildStdin>,
}

impl Guard {
    pub(super) fn start() -> Result<Self> {
        // It knows nothing of the end but that nobody holds the pipe any more. A
        // group of its own: a terminal's Ctrl-C does not reach it.
        let mut process = Command::new("sh")
            .args(["-c", "trap '' INT TERM HUP; tac | sh"])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting the guard")?;
        let orders = process.stdin.take();
        Ok(Self { process, orders })
    }

    /// A line of shell for the end.
    pub(super) fn at_the_end(&mut self, line: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the guard has ended")?;
        writeln!(orders, "{line}").context("telling the guard")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

/// A network, mounts and processes apart.
#[derive(Debug)]
pub(super) struct Place {
    holder: Child,
    /// Its first process, as the machine counts.
    init: u32,
}

impl Place {
    /// Held by `wait`. The folders named are empty there, and in memory.
    pub(super) fn new(wait: &Path, empty: &[&str], guard: &mut Guard) -> Result<Self> {
        // It ends with us, and all there with it.
        let mut holder = command(&["setpriv", "--pdeathsig", "KILL", "unshare"]);
        holder.args(["--mount", "--net", "--pid", "--fork", "--kill-child"]);
        let holder = holder
            .arg("--mount-proc")
            .arg(wait)
            .process_group(0)
            .spawn()
            .context("starting unshare")?;
        let id = holder.id();
        let mut place = Self { holder, init: 0 };
        guard.at_the_end(&format!(
            "kill -KILL {id} 2>/dev/null && while kill -0 {id} 2>/dev/null; do sleep 0.1; done"
        ))?;
        let children = format!("/proc/{id}/task/{id}/children");
        for _ in 0..200 {
            let text = std::fs::read_to_string(&children).unwrap_or_default();
            if let Ok(init) = text.trim().parse() {
                place.init = init;
                // Executed, and so with all mounts done.
                let program = std::fs::read_link(format!("/proc/{init}/exe"));
                if program.is_ok_and(|program| program == wait) {
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        anyhow::ensure!(place.init != 0, "unshare has made no namespaces");
        read(&mut place.command(&["ip", "link", "set", "lo", "up"]))?;
        for folder in empty {
            read(&mut place.command(&["mount", "-t", "tmpfs", "tmpfs", folder]))?;
        }
        Ok(place)
    }

    /// A command in there.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let init = self.init.to_string();
        let mut all = command(&["nsenter", "-t", &init, "-m", "-n", "-p", "--"]);
        all.args(words);
        all
    }

    /// A command in its network, with the machine's own files and processes.
    pub(super) fn in_network(&self) -> Command {
        command(&["nsenter", "-t", &self.init.to_string(), "-n", "--"])
    }

    /// Joins `other` by a cable; the names of its two ends.
    pub(super) fn join(&self, own: &str, other: &Self, theirs: &str) -> Result<()> {
        let mut ip = self.in_network();
        ip.args(["ip", "link", "add", own, "type", "veth", "peer", "name"]);
        let init = other.init.to_string();
        read(ip.args([theirs, "netns", &init])).map(|_| ())
    }

    /// Its first process: what another thread enters it by.
    pub(super) fn init(&self) -> u32 {
        self.init
    }
}

/// Takes this thread into the network of a process, for good.
pub(super) fn enter(init: u32) -> Result<()> {
    let file = std::fs::File::open(format!("/proc/{init}/ns/net"))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .context("entering a network")
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
