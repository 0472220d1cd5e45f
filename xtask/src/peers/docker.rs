//! A docker daemon of our own: its data, its socket, no bridge, no firewall rules.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::started::Started;
use crate::scratch::Scratch;
use crate::tool::{command, find};

/// A running daemon; dropping it stops the daemon and removes its data.
#[derive(Debug)]
pub(crate) struct Daemon {
    client: PathBuf,
    socket: PathBuf,
    // In this order: the daemon ends before its folder goes.
    _daemon: Started,
    _scratch: Scratch,
}

impl Daemon {
    /// Starts `dockerd` and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        let dockerd = find("dockerd").context("dockerd is not installed")?;
        let scratch = Scratch::new("docker")?;
        let socket = scratch.join("s");
        let log = std::fs::File::create(scratch.join("log"))?;
        let mut start = match find("setpriv") {
            // Ends with us even where we are killed.
            Some(setpriv) => command(&[
                setpriv.as_os_str(),
                "--pdeathsig".as_ref(),
                "TERM".as_ref(),
                dockerd.as_os_str(),
            ]),
            None => command(&[dockerd.as_os_str()]),
        };
        start
            .args([
                "--iptables=false",
                "--bridge=none",
                "--ip-forward=false",
                "--ip-masq=false",
            ])
            .arg("--data-root")
            .arg(scratch.join("data"))
            .arg("--exec-root")
            .arg(scratch.join("exec"))
            .arg("--pidfile")
            .arg(scratch.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut daemon = Started::new(&mut start)?;
        // The client of the daemon's own package knows the daemon's builder; others may not.
        let own = PathBuf::from("/usr/bin/docker");
        let client = if own.is_file() {
            own
        } else {
            find("docker").context("docker is not installed")?
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let probe = command(&[&client])
                .arg("-H")
                .arg(format!("unix://{}", socket.display()))
                .arg("version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if probe.success() {
                return Ok(Self {
                    client,
                    socket,
                    _daemon: daemon,
                    _scratch: scratch,
                });
            }
            if !daemon.runs() || Instant::now() > deadline {
                let log = std::fs::read_to_string(scratch.join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(2).collect();
                bail!("dockerd does not start: {}", last.join(" | "));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A client command for this daemon.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut client = command(&[&self.client]);
        client
            .arg("-H")
            .arg(format!("unix://{}", self.socket.display()))
            .args(arguments);
        client
    }
}
