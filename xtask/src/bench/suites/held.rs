//! A running `ounce serve` and what it tells, each event with its moment.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bench::programs::{PAGE, Programs, SITE, Task};
use crate::bench::stage::Stage;

/// Longest that an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Where services listen: each has a loopback address of its own, so that there
/// are as many as one likes.
const PORT: u16 = 8000;

/// ounce with a store that has the server's image.
pub(super) struct Store {
    program: PathBuf,
    folder: PathBuf,
}

impl Store {
    /// Packs the server and its page.
    pub(super) fn prepare(programs: &Programs, stage: &Stage) -> Result<Self> {
        let store = Self {
            program: programs.ounce.clone(),
            folder: stage.subfolder("held")?,
        };
        let page = programs.site.join(PAGE);
        let output = store
            .command(&["build"])
            .arg(programs.of(Task::Http))
            .args(["-t", Task::Http.name(), "--file"])
            .arg(format!("{}:{SITE}/{PAGE}", page.display()))
            .output()
            .context("starting ounce")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ounce build: {said}");
        Ok(store)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .arg("--store")
            .arg(self.folder.join("store"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Serves so many services of the one image; `keys` stand in the defaults.
    pub(super) fn serve(&self, count: usize, keys: &str) -> Result<Held> {
        self.serve_with("", count, keys)
    }

    /// The same with further keys of the whole.
    pub(super) fn serve_with(&self, whole: &str, count: usize, keys: &str) -> Result<Held> {
        self.start(whole, 0, count, keys)
    }

    /// The same with the services from number `first` on.
    pub(super) fn serve_from(&self, first: usize, count: usize, keys: &str) -> Result<Held> {
        self.start("", first, count, keys)
    }

    fn start(&self, whole: &str, first: usize, count: usize, keys: &str) -> Result<Held> {
        let mut text = format!(
            "{whole}[defaults]\nimage = \"{}\"\noutput = \"null\"\n{keys}\n",
            Task::Http.name()
        );
        for number in first..first + count {
            let address = address(number);
            text.push_str(&format!(
                "[[service]]\nname = \"s{number}\"\nlisten = \"{address}\"\n"
            ));
        }
        let file = self.folder.join(format!("ounce-serve-{first}.toml"));
        fs::write(&file, text)?;
        Held::start(self.command(&["serve", "--log", "json"]).arg(&file))
    }
}

/// Where the service of this number is.
pub(super) fn address(number: usize) -> SocketAddr {
    let number = number as u32 + 256;
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 16 + a, b, c), PORT))
}

/// One event.
pub(super) struct Told {
    pub(super) at: Instant,
    pub(super) event: Value,
}

/// A running `ounce serve`; dropping it kills it and its containers.
pub(super) struct Held {
    child: Child,
    told: Receiver<Told>,
}

impl Held {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ounce serve")?;
        let lines = child.stderr.take().context("its stderr is ours")?;
        let (give, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let at = Instant::now();
                if give.send(Told { at, event }).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, told })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event of this name; others before it are passed over, but for
    /// those that tell of a fault.
    pub(super) fn wait(&self, name: &str, limit: Duration) -> Result<Told> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let told = self
                .told
                .recv_timeout(left)
                .with_context(|| format!("ounce serve told of no `{name}`"))?;
            let event = told.event["event"].as_str().unwrap_or_default();
            if event == name {
                return Ok(told);
            }
            let faults = ["start-failed", "crashed", "killed", "stalled"];
            if faults.contains(&event) || told.event.is_string() {
                bail!("ounce serve: {}", told.event);
            }
        }
    }

    /// Asks it to end, and waits until it and all its containers have.
    pub(super) fn end(mut self) -> Result<Duration> {
        let start = Instant::now();
        self.ask_to_end()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "ounce serve ended with {status}");
        Ok(start.elapsed())
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is a good answer at this address.
pub(super) fn answers(address: SocketAddr) -> bool {
    ask(address).is_ok()
}

/// From the connection's start to the first byte of a good answer.
pub(super) fn ask(address: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer)?;
    let elapsed = start.elapsed();
    ensure!(
        answer[..count].starts_with(b"HTTP/1.1 200"),
        "{address} answers {:?}",
        String::from_utf8_lossy(&answer[..count.min(40)])
    );
    Ok(elapsed)
}

/// One figure of /proc/meminfo, in kilobytes.
pub(super) fn meminfo_kb(name: &str) -> Result<f64> {
    figure_kb(Path::new("/proc/meminfo"), name)
}

/// The share of its mapped memory that is a process's own, in kilobytes.
pub(super) fn pss_kb(pid: u32) -> Result<f64> {
    figure_kb(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss")
}

fn figure_kb(file: &Path, name: &str) -> Result<f64> {
    let text = fs::read_to_string(file)?;
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .find_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{} tells no {name}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_an_address_of_its_own() {
        let all: std::collections::BTreeSet<_> = (0..100_000).map(address).collect();
        assert_eq!(all.len(), 100_000);
        assert!(all.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn figures_are_found_by_their_whole_name() {
        assert!(meminfo_kb("MemAvailable").unwrap() > 0.0);
        assert!(meminfo_kb("Mem").is_err());
        assert!(pss_kb(std::process::id()).unwrap() > 0.0);
    }
}
