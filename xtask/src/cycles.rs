//! `cargo xtask cycles`: thousands of containers come and go, and nothing is
//! left of them: no mount, process, control group, namespace, descriptor, file
//! or memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::programs;
use crate::scratch::Scratch;
use crate::tool::{command, read};

/// How many containers, unless told.
pub(crate) const COUNT: usize = 10_000;

/// What is counted may differ by so many for other reasons: the kernel frees in
/// batches and counts whole pages of objects. A leak would be one each time.
const SLACK: f64 = 0.05;

/// Runs the containers, some with a control group, some from a pool, and
/// compares what there is before and after.
pub(crate) fn run(ounce: &Path, count: usize) -> Result<()> {
    ensure!(count >= 1000, "fewer than 1,000 would prove nothing");
    let scratch = Scratch::new("cycles")?;
    let line = programs::line(&scratch.join(""))?;
    let place = Place {
        ounce,
        scratch: &scratch,
        // A name that no other process has, within the 15 bytes that the kernel keeps.
        program: format!("cycle-{}", std::process::id()),
    };
    let program = scratch.join(&place.program);
    fs::rename(line, &program)?;
    let program = program.display().to_string();
    read(&mut place.command(&["build", &program, "-t", "line"]))?;
    // What the first starts leave for the later ones is there before: also what is
    // kept only of a name that has been the same for two seconds.
    std::thread::sleep(std::time::Duration::from_secs(3));
    place.starts(50)?;
    let before = Counts::take(&place)?;
    place.starts(count)?;
    let pool = place.pooled(count / 10)?;
    // The kernel takes namespaces down by and by.
    let mut after = Counts::take(&place)?;
    for _ in 0..100 {
        if before.grown(&after, count).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        after = Counts::take(&place)?;
    }
    let grown = before.grown(&after, count);
    if !grown.is_empty() {
        bail!("{count} starts leave behind: {}", grown.join(", "));
    }
    println!("       {count} starts: {}", before.beside(&after));
    println!("       {} starts of one pool: {pool}", count / 10);
    Ok(())
}

struct Place<'a> {
    ounce: &'a Path,
    scratch: &'a Scratch,
    /// What runs in the containers.
    program: String,
}

impl Place<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut ounce = command(&[self.ounce]);
        ounce.env("XDG_CACHE_HOME", self.scratch.join("cache"));
        ounce.env("XDG_RUNTIME_DIR", self.scratch.join("runtime"));
        ounce.arg("--store").arg(self.scratch.join("store"));
        ounce.args(words);
        ounce
    }

    /// Every fourth with a control group, every tenth killed.
    fn starts(&self, count: usize) -> Result<()> {
        for number in 0..count {
            let words: &[&str] = match number % 4 {
                0 => &["run", "--pids", "16", "line"],
                _ => &["run", "line"],
            };
            if number % 10 == 1 {
                let mut child = self.command(words).stdout(Stdio::null()).spawn()?;
                // At another moment each time: now before the clone, now after the exec.
                for _ in 0..number % 97 {
                    std::thread::yield_now();
                }
                child.kill()?;
                child.wait()?;
            } else {
                let said = read(&mut self.command(words))?;
                ensure!(said == "ready\n", "start {number} said {said:?}");
            }
        }
        Ok(())
    }

    /// Starts from one pool: what its `ounce` holds at the end and held at the tenth start.
    fn pooled(&self, count: usize) -> Result<String> {
        let mut child = self
            .command(&["run", "--pool", "2", "line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the pool has no input or output");
        };
        let mut lines = BufReader::new(output).lines();
        let mut early = (0, 0);
        for number in 0..count {
            input.write_all(b"\n")?;
            let said = lines.next().context("the pool has ended")??;
            ensure!(said == "ready", "start {number} of the pool said {said:?}");
            if number == 10 {
                early = held(child.id())?;
            }
        }
        let late = held(child.id())?;
        drop(input);
        let status = child.wait()?;
        ensure!(status.success(), "the pool ended with {status}");
        // Two starts are kept ready, and one may just be going: their descriptors.
        ensure!(
            late.0 <= early.0 + 32 && late.1 <= early.1 + 1024,
            "the pool grew from {early:?} to {late:?} (descriptors, KB resident)"
        );
        Ok(format!(
            "descriptors {} → {}, resident {} → {} KB",
            early.0, late.0, early.1, late.1
        ))
    }
}

/// Open descriptors, and resident memory in KB.
fn held(process: u32) -> Result<(usize, usize)> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let status = fs::read_to_string(folder.join("status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .context("no VmRSS in /proc/PID/status")?;
    Ok((fs::read_dir(folder.join("fd"))?.count(), resident))
}

/// Numbers by what they count.
struct Counts(BTreeMap<&'static str, usize>);

/// The kernel's objects, where it tells them (root alone may read), one a
/// container at least.
const OBJECTS: [&str; 5] = [
    "net_namespace",
    "pid_namespace",
    "user_namespace",
    "uts_namespace",
    "mnt_cache",
];

impl Counts {
    fn take(place: &Place<'_>) -> Result<Self> {
        let mut counts = BTreeMap::new();
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        counts.insert("mounts", table.lines().count());
        counts.insert("processes", processes(place)?);
        counts.insert("control groups", orphans(Path::new("/sys/fs/cgroup")));
        counts.insert("files", files(&place.scratch.join("")));
        let slabs = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        for line in slabs.lines() {
            let mut words = line.split_ascii_whitespace();
            let name = words.next().unwrap_or_default();
            if let Some(name) = OBJECTS.into_iter().find(|one| *one == name)
                && let Some(active) = words.next().and_then(|word| word.parse().ok())
            {
                counts.insert(name, active);
            }
        }
        let memory = fs::read_to_string("/proc/meminfo")?;
        let unreclaimable = memory
            .lines()
            .find_map(|line| line.strip_prefix("SUnreclaim:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .context("no SUnreclaim in /proc/meminfo")?;
        counts.insert("KB of the kernel", unreclaimable);
        Ok(Self(counts))
    }

    /// What there is more of than before by more than the slack.
    fn grown(&self, after: &Self, count: usize) -> Vec<String> {
        let mut grown = Vec::new();
        for (name, &now) in &after.0 {
            let then = self.0.get(name).copied().unwrap_or(0);
            let slack = match *name {
                // None of these is made for any other reason here.
                "mounts" | "processes" | "control groups" | "files" => 0,
                // A namespace takes more than a KB.
                "KB of the kernel" => count,
                _ => (count as f64 * SLACK) as usize + 100,
            };
            if now > then + slack {
                grown.push(format!("{name} {then} → {now}"));
            }
        }
        grown
    }

    fn beside(&self, after: &Self) -> String {
        let all: Vec<String> = after
            .0
            .iter()
            .map(|(name, now)| format!("{name} {} → {now}", self.0.get(name).unwrap_or(&0)))
            .collect();
        all.join(", ")
    }
}

/// Processes of these starts: ounce by the folders in its environment, what runs
/// in a container by its name.
fn processes(place: &Place<'_>) -> Result<usize> {
    let folder = place.scratch.join("runtime");
    let mark = folder.as_os_str().as_encoded_bytes();
    let is_ours = |process: &Path| {
        let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
        read("comm").starts_with(place.program.as_bytes())
            || read("environ")
                .windows(mark.len())
                .any(|window| window == mark)
    };
    let found = fs::read_dir("/proc")?.flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit) && is_ours(&entry.path())
    });
    Ok(found.count())
}

/// Control groups beneath of an `ounce` that is no more, by the id in their names.
fn orphans(folder: &Path) -> usize {
    let is_orphan = |name: &str| {
        let id = name
            .strip_prefix("ounce-")
            .and_then(|rest| rest.split('-').next());
        id.and_then(|id| id.parse::<u32>().ok())
            .is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists())
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let name = entry.file_name();
            usize::from(is_orphan(&name.to_string_lossy())) + orphans(&entry.path())
        })
        .sum()
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + files(&entry.path()),
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_each_time_is_told_and_a_few_by_chance_are_not() {
        let counts =
            |mounts, spaces| Counts([("mounts", mounts), ("net_namespace", spaces)].into());
        let before = counts(20, 40);
        assert!(before.grown(&counts(20, 300), 10_000).is_empty());
        assert_eq!(
            before.grown(&counts(21, 9_000), 10_000),
            ["mounts 20 → 21", "net_namespace 40 → 9000"]
        );
    }
}
