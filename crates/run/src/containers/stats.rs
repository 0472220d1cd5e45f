//! What a container uses: counted by /proc over all processes of its process
//! namespace, and by its control groups where it has some.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;

use super::act::main_process;
use super::exec::groups;
use super::fault::StateError;
use super::folder::Containers;
use crate::lifecycle::memory;

/// What it uses at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Time of processors so far, in nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Bytes of memory: the proportional share of what its processes have mapped.
    pub memory_bytes: u64,
    /// What its control group counts, caches and the kernel's part included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_memory_bytes: Option<u64>,
    /// What that may be at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Threads.
    pub threads: u32,
    /// Bytes received, without its own loopback; none on the host's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u64>,
    /// Bytes sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
    /// Bytes that were fetched from a disk for it.
    pub read_bytes: u64,
    /// Bytes that were given to a disk for it.
    pub written_bytes: u64,
}

impl Containers {
    /// What a container uses now.
    ///
    /// # Errors
    /// It does not run.
    pub fn usage(&self, name: &str) -> Result<Usage, StateError> {
        let seen = self.running(name)?;
        let (_process, running) = main_process(&seen)?;
        let mut usage = Usage::default();
        for pid in members(running.pid) {
            usage.add(pid);
        }
        if let Some((received, sent)) = network(running.pid) {
            usage.received_bytes = Some(received);
            usage.sent_bytes = Some(sent);
        }
        let groups = groups(running);
        if let Some(folder) = groups.folder("memory") {
            let number = |files: [&str; 2]| -> Option<u64> {
                let text = files
                    .iter()
                    .find_map(|file| fs::read_to_string(folder.join(file)).ok())?;
                text.trim().parse().ok()
            };
            usage.group_memory_bytes = number(["memory.current", "memory.usage_in_bytes"]);
            usage.memory_limit_bytes = number(["memory.max", "memory.limit_in_bytes"]);
        }
        Ok(usage)
    }
}

/// All processes in the process namespace of this one.
fn members(first: i32) -> Vec<i32> {
    let space = |pid: i32| {
        let data = fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?;
        Some((data.dev(), data.ino()))
    };
    let Some(own) = space(first) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| space(*pid) == Some(own)).collect()
}

impl Usage {
    /// Adds what one process uses; one that has just ended adds nothing.
    fn add(&mut self, pid: i32) {
        let Some(process) = Counted::of(pid) else {
            return;
        };
        // The unit of all times in /proc, whatever the kernel's own (USER_HZ).
        const TICK: u64 = 10_000_000;
        self.cpu_nanoseconds += process.ticks * TICK;
        self.processes += 1;
        self.threads += process.threads;
        self.memory_bytes += memory(pid).map_or(0, |memory| memory.pss_bytes);
        let io = pairs(Path::new(&format!("/proc/{pid}/io")));
        self.read_bytes += io.get("read_bytes").copied().unwrap_or(0);
        self.written_bytes += io.get("write_bytes").copied().unwrap_or(0);
    }
}

struct Counted {
    /// Of its own and of its children that it has reaped.
    ticks: u64,
    threads: u32,
}

impl Counted {
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&text)
    }

    /// man 5 proc_pid_stat: utime, stime, cutime and cstime are 14 to 17.
    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may hold anything.
        let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks: Option<u64> = (14..=17).map(number).sum();
        Some(Self {
            ticks: ticks?,
            threads: u32::try_from(number(20)?).ok()?,
        })
    }
}

/// A file of `name: number` in each line.
fn pairs(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

/// Bytes received and sent in the network of a process, if that is not ours.
fn network(pid: i32) -> Option<(u64, u64)> {
    let space = |pid: &str| {
        let data = fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
        Some((data.dev(), data.ino()))
    };
    if space(&pid.to_string())? == space("self")? {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    Some(interfaces(&text))
}

/// The sums over /proc/net/dev, but for `lo` (man 5 proc_pid_net).
fn interfaces(text: &str) -> (u64, u64) {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let others = lines.filter(|(name, _)| name.trim() != "lo");
    others.fold((0, 0), |(received, sent), (_, fields)| {
        let fields: Vec<u64> = fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let of = |at: usize| fields.get(at).copied().unwrap_or(0);
        (received + of(0), sent + of(8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_process_and_of_its_reaped_children() {
        let text = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 30 400 20 0 5 0 99 1 1";
        let counted = Counted::parse(text).unwrap();
        assert_eq!((counted.ticks, counted.threads), (433, 5));
        for wrong in ["", "7 (a", "7 (a) S 1"] {
            assert!(Counted::parse(wrong).is_none(), "{wrong}");
        }
        assert!(Counted::of(std::process::id() as i32).is_some());
    }

    #[test]
    fn the_loopback_does_not_count_as_network() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets\n\
            \x20   lo:  100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n  eth0: 20 1 0 0 0 0 0 0 3 1 0 0 0 0 0 0\n";
        assert_eq!(interfaces(text), (20, 3));
        assert_eq!(interfaces(""), (0, 0));
    }
}
