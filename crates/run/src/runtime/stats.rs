//! `events` and `update`: what a container uses, and new limits for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Runtime;
use super::cgroup::{Groups, limits};
use super::config::Resources;
use super::fault::RuntimeError;
use super::state::{self, Folder, Status};

/// One event, as runc prints it.
#[derive(Debug, Serialize)]
pub struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    data: Stats,
}

/// What a container uses.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    cpu: Cpu,
    memory: Memory,
    pids: Pids,
    blkio: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
}

/// Nanoseconds.
#[derive(Debug, Default, Serialize)]
struct CpuUsage {
    total: u64,
    percpu: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    cache: u64,
    usage: MemoryUsage,
    swap: MemoryUsage,
    raw: BTreeMap<String, u64>,
}

/// Bytes.
#[derive(Debug, Default, Serialize)]
struct MemoryUsage {
    limit: u64,
    usage: u64,
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    current: u64,
    limit: u64,
}

/// A file of one number; `max` is the largest there is, and absence 0.
fn number(folder: Option<&Path>, file: &str) -> u64 {
    let text = folder.and_then(|folder| fs::read_to_string(folder.join(file)).ok());
    match text.as_deref().map(str::trim) {
        Some("max") => u64::MAX,
        Some(text) => text.parse().unwrap_or(0),
        None => 0,
    }
}

/// A file of a name and a number in each line.
fn pairs(folder: Option<&Path>, file: &str) -> BTreeMap<String, u64> {
    let text = folder.and_then(|folder| fs::read_to_string(folder.join(file)).ok());
    let text = text.unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

impl Stats {
    fn of(groups: &Groups) -> Self {
        match groups.separate.is_empty() {
            true => Self::unified(groups.unified.as_deref()),
            false => Self::separate(groups),
        }
    }

    fn separate(groups: &Groups) -> Self {
        let cpu = groups.folder("cpuacct");
        // User and kernel time are in ticks of a hundredth of a second (USER_HZ).
        let ticks = pairs(cpu, "cpuacct.stat");
        let nanoseconds = |name: &str| ticks.get(name).copied().unwrap_or(0) * 10_000_000;
        let each = cpu.and_then(|cpu| fs::read_to_string(cpu.join("cpuacct.usage_percpu")).ok());
        let throttled = pairs(groups.folder("cpu"), "cpu.stat");
        let memory = groups.folder("memory");
        let raw = pairs(memory, "memory.stat");
        let usage = |prefix: &str| MemoryUsage {
            limit: number(memory, &format!("{prefix}limit_in_bytes")),
            usage: number(memory, &format!("{prefix}usage_in_bytes")),
            max: number(memory, &format!("{prefix}max_usage_in_bytes")),
            failcnt: number(memory, &format!("{prefix}failcnt")),
        };
        let of = |map: &BTreeMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
        Self {
            cpu: Cpu {
                usage: CpuUsage {
                    total: number(cpu, "cpuacct.usage"),
                    percpu: each
                        .unwrap_or_default()
                        .split_whitespace()
                        .filter_map(|one| one.parse().ok())
                        .collect(),
                    kernel: nanoseconds("system"),
                    user: nanoseconds("user"),
                },
                throttling: Throttling {
                    periods: of(&throttled, "nr_periods"),
                    throttled_periods: of(&throttled, "nr_throttled"),
                    throttled_time: of(&throttled, "throttled_time"),
                },
            },
            memory: Memory {
                cache: of(&raw, "cache"),
                usage: usage("memory."),
                swap: usage("memory.memsw."),
                raw,
            },
            pids: Pids {
                current: number(groups.folder("pids"), "pids.current"),
                limit: number(groups.folder("pids"), "pids.max"),
            },
            blkio: BTreeMap::new(),
        }
    }

    fn unified(folder: Option<&Path>) -> Self {
        let cpu = pairs(folder, "cpu.stat");
        let raw = pairs(folder, "memory.stat");
        let events = pairs(folder, "memory.events");
        let of = |map: &BTreeMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
        Self {
            cpu: Cpu {
                usage: CpuUsage {
                    total: of(&cpu, "usage_usec") * 1000,
                    percpu: Vec::new(),
                    kernel: of(&cpu, "system_usec") * 1000,
                    user: of(&cpu, "user_usec") * 1000,
                },
                throttling: Throttling {
                    periods: of(&cpu, "nr_periods"),
                    throttled_periods: of(&cpu, "nr_throttled"),
                    throttled_time: of(&cpu, "throttled_usec") * 1000,
                },
            },
            memory: Memory {
                cache: of(&raw, "file"),
                usage: MemoryUsage {
                    limit: number(folder, "memory.max"),
                    usage: number(folder, "memory.current"),
                    max: number(folder, "memory.peak"),
                    failcnt: of(&events, "max"),
                },
                swap: MemoryUsage {
                    limit: number(folder, "memory.swap.max"),
                    usage: number(folder, "memory.swap.current"),
                    max: number(folder, "memory.swap.peak"),
                    failcnt: 0,
                },
                raw,
            },
            pids: Pids {
                current: number(folder, "pids.current"),
                limit: number(folder, "pids.max"),
            },
            blkio: BTreeMap::new(),
        }
    }
}

impl Runtime {
    /// What a container uses now; `None` when it has ended.
    ///
    /// # Errors
    /// There is none by this id.
    pub fn event(&self, id: &str) -> Result<Option<Event>, RuntimeError> {
        let record = state::read(&self.root, id)?;
        if record.status(&self.root) == Status::Stopped {
            return Ok(None);
        }
        Ok(Some(Event {
            kind: "stats",
            id: record.id,
            data: Stats::of(&record.groups),
        }))
    }

    /// Sets new limits.
    ///
    /// # Errors
    /// It has ended, or a limit is refused.
    pub fn update(&self, id: &str, resources: &Resources) -> Result<(), RuntimeError> {
        let _folder = Folder::open(&self.root, id)?;
        let record = state::read(&self.root, id)?;
        let status = record.status(&self.root);
        if matches!(status, Status::Stopped | Status::Creating) {
            return Err(RuntimeError::Status {
                id: id.to_owned(),
                action: "update",
                status: status.name(),
            });
        }
        limits::apply(&record.groups, resources, true)
    }
}

/// Reads `linux.resources` by itself.
///
/// # Errors
/// It is no JSON, or of other types than the specification has.
pub fn parse_resources(text: &[u8]) -> Result<Resources, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_slice(text)?;
    super::config::without_nulls(&mut value);
    serde_json::from_value(value)
}
