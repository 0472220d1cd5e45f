//! What a server costs: processor time and private memory of a process and of
//! all it has started, read from /proc.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Used {
    /// As the scheduler counts it, exactly.
    pub(crate) total_ns: f64,
    /// utime and stime, in ticks: only their proportion is of use over short times.
    pub(crate) user_ticks: f64,
    pub(crate) system_ticks: f64,
}

impl std::ops::Sub for Used {
    type Output = Used;

    fn sub(self, before: Used) -> Used {
        Used {
            total_ns: self.total_ns - before.total_ns,
            user_ticks: self.user_ticks - before.user_ticks,
            system_ticks: self.system_ticks - before.system_ticks,
        }
    }
}

/// The process and all its descendants.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = fields(&stat).get(1).and_then(|parent| parent.parse().ok()) {
            parents.insert(child, parent);
        }
    }
    let belongs = |child: &u32| {
        let mut at = *child;
        loop {
            if at == pid {
                return true;
            }
            match parents.get(&at) {
                Some(parent) if *parent != at => at = *parent,
                _ => return false,
            }
        }
    };
    parents.keys().copied().filter(belongs).collect()
}

/// The processor time of these processes until now.
pub(crate) fn used(family: &[u32]) -> Result<Used> {
    let mut sum = Used::default();
    for pid in family {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} is gone"))?;
        let fields = fields(&stat);
        let number = |index: usize| {
            let field = fields.get(index).and_then(|field| field.parse().ok());
            field.unwrap_or(0.0)
        };
        // Fields 14 and 15 of proc(5), counted from the state, field 3.
        sum.user_ticks += number(11);
        sum.system_ticks += number(12);
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split(' ').next().and_then(|text| text.parse().ok());
            sum.total_ns += first.unwrap_or(0.0);
        }
    }
    Ok(sum)
}

/// Private dirty memory of these processes, in kilobytes: what no other process
/// shares and no file backs.
pub(crate) fn private_dirty_kb(family: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in family {
        // A child may have ended meanwhile.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            continue;
        };
        sum += kilobytes(&text, "Private_Dirty:").unwrap_or(0);
        // Swapped pages are no less its own.
        sum += kilobytes(&text, "Swap:").unwrap_or(0);
    }
    Ok(sum)
}

/// What the kernel keeps to find these processes' pages, in kilobytes.
pub(crate) fn page_tables_kb(family: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        kilobytes(&text, "VmPTE:")
    };
    family.iter().filter_map(of).sum()
}

/// What the kernel's own caches of small objects have, in kilobytes.
pub(crate) fn slab_kb() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let slab = kilobytes(&text, "Slab:").context("/proc/meminfo tells no Slab")?;
    Ok(slab as f64)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of /proc/PID/stat behind the name, which may hold anything.
fn fields(stat: &str) -> Vec<&str> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_moves_no_field() {
        assert_eq!(fields("7 (a) b (c) S 1 2")[..2], ["S", "1"]);
    }

    #[test]
    fn this_process_is_its_own_family_and_has_used_time_and_memory() {
        let own = family(std::process::id());
        assert!(own.contains(&std::process::id()));
        assert!(used(&own).unwrap().total_ns > 0.0);
        assert!(private_dirty_kb(&own).unwrap() > 0);
    }

    #[test]
    fn a_child_belongs_to_the_family() {
        let mut child = std::process::Command::new("sleep")
            .arg("9")
            .spawn()
            .unwrap();
        let found = family(std::process::id()).contains(&child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
    }

    #[test]
    fn memory_is_found_by_its_name() {
        let text = "Rss: 9 kB\nPrivate_Dirty:       12 kB\nSwap: 1 kB\n";
        assert_eq!(kilobytes(text, "Private_Dirty:"), Some(12));
        assert_eq!(kilobytes(text, "Pss:"), None);
    }
}
