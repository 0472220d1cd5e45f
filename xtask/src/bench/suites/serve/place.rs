//! Where servers run: the folder they serve, the processors, starting one and
//! waiting until it answers.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::account;
use crate::bench::load::{self, Load};
use crate::bench::servers::Start;
use crate::bench::stage::{Stage, free_port};
use crate::peers::started::Started;

/// The small file's path and length.
pub(super) const SMALL: (&str, usize) = ("/1k.html", 1_024);
/// The large one's.
pub(super) const LARGE: (&str, usize) = ("/100k.bin", 102_400);

/// The place that the suite has.
pub(super) struct Place {
    /// The processor of the server under load, and that of the load.
    pub(super) processors: (usize, usize),
}

impl Place {
    /// Starts a server on its processor, and waits until it answers.
    pub(super) fn start(&self, start: &Start) -> Result<Running> {
        let port = free_port()?;
        let mut command = start(port)?;
        let process = self.spawn(&mut command)?;
        let mut running = Running { process, port };
        let request = Load {
            port,
            path: SMALL.0,
            body_bytes: SMALL.1,
            connections: 1,
            depth: 1,
            closes: false,
            rate: None,
            time: Duration::from_millis(1),
        };
        let begun = Instant::now();
        loop {
            match request.run(&mut |_| Ok(())) {
                Ok(_) => return Ok(running),
                Err(error) if begun.elapsed() > Duration::from_secs(5) => {
                    return Err(error.context("no answer"));
                }
                Err(_) => ensure!(
                    running.process.runs(),
                    "it ended at its start; perhaps the port was taken"
                ),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What is started inherits the processor of the thread that starts it.
    fn spawn(&self, command: &mut Command) -> Result<Started> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        load::bind_to(self.processors.0)?;
        let started = Started::new(command);
        load::bind_to(self.processors.1)?;
        started
    }
}

/// A server that serves.
pub(super) struct Running {
    process: Started,
    pub(super) port: u16,
}

impl Running {
    /// Its process and all that it has started.
    pub(super) fn family(&mut self) -> Vec<u32> {
        account::family(self.process.child().id())
    }
}

/// The folder that all serve, in memory where that can be had, and what servers write.
pub(super) fn folders(stage: &Stage) -> Result<(PathBuf, PathBuf, bool)> {
    let folder = stage.subfolder("serve")?;
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"])
        .arg(&folder);
    // Inside the stage the mount ends with the benchmark.
    let in_memory = stage.is_isolated() && mount.status().is_ok_and(|status| status.success());
    let site = folder.join("site");
    fs::create_dir_all(&site)?;
    fs::write(site.join("1k.html"), page(SMALL.1))?;
    fs::write(site.join("index.html"), page(SMALL.1))?;
    fs::write(site.join("100k.bin"), noise(LARGE.1))?;
    Ok((site, folder.join("own"), in_memory))
}

/// A page of so many bytes.
fn page(bytes: usize) -> Vec<u8> {
    let mut text = b"<!doctype html><title>bench</title><p>".to_vec();
    let words = b"one static file, served again and again; ";
    text.extend(words.iter().cycle().take(bytes - text.len()));
    text
}

/// Bytes that do not compress (xorshift64, Marsaglia 2003).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// As many descriptors as this process may have: servers inherit it, too.
pub(super) fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
