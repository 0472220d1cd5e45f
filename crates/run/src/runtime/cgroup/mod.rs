//! A container's control groups, of version 1, of version 2, or of both side
//! by side. Which file says what is left to `limits`.

pub mod devices;
pub mod limits;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::fault::RuntimeError;

/// The folders of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Groups {
    /// Version 1: a folder for each hierarchy, by its name: `cpu,cpuacct`,
    /// `memory`, `name=systemd`.
    pub separate: BTreeMap<String, PathBuf>,
    /// Version 2; beside version 1 it limits nothing, but counts and freezes.
    pub unified: Option<PathBuf>,
    /// Path below each hierarchy.
    pub path: PathBuf,
}

/// Where the host has its hierarchies mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1: name and mount point.
    pub separate: Vec<(String, PathBuf)>,
    /// Version 2.
    pub unified: Option<PathBuf>,
}

impl Hierarchies {
    /// Looks at the host.
    pub fn probe() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::of(&mounts)
    }

    /// From the text of /proc/self/mountinfo (man 5 proc_pid_mountinfo).
    fn of(mounts: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = left.split(' ').nth(4).map(PathBuf::from) else {
                continue;
            };
            let mut right = right.split(' ');
            match right.next() {
                Some("cgroup2") if found.unified.is_none() => found.unified = Some(point),
                Some("cgroup") => {
                    let names: Vec<&str> = right
                        .nth(1)
                        .unwrap_or_default()
                        .split(',')
                        .filter(|name| name.starts_with("name=") || CONTROLLERS.contains(name))
                        .collect();
                    let names = names.join(",");
                    if !names.is_empty() && !found.separate.iter().any(|(name, _)| *name == names) {
                        found.separate.push((names, point));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Whether version 2 is all there is.
    pub fn is_unified(&self) -> bool {
        self.separate.is_empty() && self.unified.is_some()
    }
}

/// Controllers of version 1.
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// Controllers of version 2 that are passed on to a container's group.
const UNIFIED_CONTROLLERS: [&str; 8] = [
    "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc",
];

impl Groups {
    /// Where the groups will be: `wanted` is `linux.cgroupsPath`.
    ///
    /// # Errors
    /// The path leads out of the hierarchies.
    pub fn place(
        hierarchies: &Hierarchies,
        wanted: Option<&str>,
        id: &str,
    ) -> Result<Self, RuntimeError> {
        let wanted = wanted.filter(|path| !path.is_empty());
        let path = wanted.map_or_else(|| id.to_owned(), str::to_owned);
        let mut clean = PathBuf::new();
        for part in Path::new(&path).components() {
            match part {
                std::path::Component::Normal(part) => clean.push(part),
                std::path::Component::ParentDir if !clean.pop() => {
                    return Err(RuntimeError::config(format!(
                        "linux.cgroupsPath {path:?} leads out of the control groups"
                    )));
                }
                _ => {}
            }
        }
        let separate = hierarchies
            .separate
            .iter()
            .map(|(name, point)| (name.clone(), point.join(&clean)));
        Ok(Self {
            separate: separate.collect(),
            unified: hierarchies.unified.as_ref().map(|point| point.join(&clean)),
            path: clean,
        })
    }

    /// Makes the folders. One that is not allowed is left out with `lenient`,
    /// as without root.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn make(&mut self, hierarchies: &Hierarchies, lenient: bool) -> Result<(), RuntimeError> {
        let mut refused = Vec::new();
        for (name, folder) in &self.separate {
            let made = fs::create_dir_all(folder).and_then(|()| match name.as_str() {
                "cpuset" => inherit_cpuset(hierarchies, folder),
                _ => Ok(()),
            });
            match made {
                Err(error) if lenient && is_refusal(&error) => refused.push(name.clone()),
                other => other.map_err(RuntimeError::file("making", folder))?,
            }
        }
        for name in refused {
            self.separate.remove(&name);
        }
        if let Some(folder) = self.unified.clone() {
            let point = hierarchies.unified.as_deref().unwrap_or(Path::new("/"));
            // Beside version 1 nothing is limited here, and crun refuses hosts
            // where something is.
            let made = match self.separate.is_empty() {
                true => make_unified(point, &folder),
                false => fs::create_dir_all(&folder),
            };
            match made {
                Err(error) if lenient && is_refusal(&error) => self.unified = None,
                other => other.map_err(RuntimeError::file("making", &folder))?,
            }
        }
        Ok(())
    }

    /// The folder of version 2, to be born in.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn birthplace(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let Some(folder) = &self.unified else {
            return Ok(None);
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(folder, flags, Mode::empty())
            .map(Some)
            .map_err(RuntimeError::errno("opening", folder))
    }

    /// The files that a process writes `0` to, to move itself.
    pub fn doors(&self) -> Vec<PathBuf> {
        self.separate
            .values()
            .map(|folder| folder.join("tasks"))
            .collect()
    }

    /// The folder of a controller: of its own hierarchy, or of version 2.
    pub fn folder(&self, controller: &str) -> Option<&Path> {
        let own = self
            .separate
            .iter()
            .find(|(names, _)| names.split(',').any(|name| name == controller));
        match own {
            Some((_, folder)) => Some(folder),
            None if self.separate.is_empty() => self.unified.as_deref(),
            None => None,
        }
    }

    /// Whether there is no group at all.
    pub fn is_empty(&self) -> bool {
        self.separate.is_empty() && self.unified.is_none()
    }

    /// Whether all processes are frozen.
    pub fn is_frozen(&self) -> bool {
        match self.freezer() {
            Some((Freezer::Separate, folder)) => fs::read_to_string(folder.join("freezer.state"))
                .is_ok_and(|state| state.trim() == "FROZEN"),
            Some((Freezer::Unified, folder)) => fs::read_to_string(folder.join("cgroup.freeze"))
                .is_ok_and(|state| state.trim() == "1"),
            None => false,
        }
    }

    fn freezer(&self) -> Option<(Freezer, &Path)> {
        if let Some(folder) = self.separate.get("freezer") {
            return Some((Freezer::Separate, folder));
        }
        let folder = self.unified.as_deref()?;
        folder
            .join("cgroup.freeze")
            .exists()
            .then_some((Freezer::Unified, folder))
    }

    /// Freezes or thaws all processes, and waits until they are.
    ///
    /// # Errors
    /// There is no freezer, or it takes longer than ten seconds.
    pub fn freeze(&self, frozen: bool) -> Result<(), RuntimeError> {
        let Some((kind, folder)) = self.freezer() else {
            return Err(RuntimeError::Argument(
                "no control group of the container can be frozen here".to_owned(),
            ));
        };
        let (file, value, shown, expected) = match (kind, frozen) {
            (Freezer::Separate, true) => ("freezer.state", "FROZEN", "freezer.state", "FROZEN"),
            (Freezer::Separate, false) => ("freezer.state", "THAWED", "freezer.state", "THAWED"),
            (Freezer::Unified, true) => ("cgroup.freeze", "1", "cgroup.events", "frozen 1"),
            (Freezer::Unified, false) => ("cgroup.freeze", "0", "cgroup.events", "frozen 0"),
        };
        let path = folder.join(file);
        let begin = Instant::now();
        loop {
            fs::write(&path, value).map_err(RuntimeError::file("writing", &path))?;
            let state = fs::read_to_string(folder.join(shown))
                .map_err(RuntimeError::file("reading", &path))?;
            if state.lines().any(|line| line.trim() == expected) {
                return Ok(());
            }
            if begin.elapsed() > Duration::from_secs(10) {
                return Err(RuntimeError::Argument(format!(
                    "{} did not become {expected} within 10 s",
                    path.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// All processes in the groups and in those below, as we number them.
    pub fn processes(&self) -> Vec<i32> {
        let Some(folder) = self
            .unified
            .as_ref()
            .filter(|folder| folder.exists())
            .or_else(|| self.folder("pids").map(|_| &self.separate["pids"]))
            .or_else(|| self.separate.values().next())
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        collect(folder, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Sends a signal to all processes; how many there were.
    pub fn signal(&self, signal: Signal) -> usize {
        if signal == Signal::KILL
            && let Some(folder) = &self.unified
            && !self.processes().is_empty()
            && fs::write(folder.join("cgroup.kill"), "1").is_ok()
        {
            return 1;
        }
        let processes = self.processes();
        for pid in processes.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, signal);
        }
        processes.len()
    }

    /// Removes the folders and those below; waits a while for the last processes.
    ///
    /// # Errors
    /// Something still runs in them after ten seconds.
    pub fn remove(&self) -> Result<(), RuntimeError> {
        for folder in self.separate.values().chain(&self.unified) {
            let begin = Instant::now();
            loop {
                match remove_all(folder) {
                    Ok(()) => break,
                    Err(error)
                        if error.kind() == io::ErrorKind::ResourceBusy
                            && begin.elapsed() < Duration::from_secs(10) =>
                    {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => return Err(RuntimeError::file("removing", folder)(error)),
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Freezer {
    Separate,
    Unified,
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn collect(folder: &Path, found: &mut Vec<i32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}

fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        other => return other,
    }
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_all(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// A new cpuset has no processors and no memory, and takes no process so.
fn inherit_cpuset(hierarchies: &Hierarchies, folder: &Path) -> io::Result<()> {
    let point = hierarchies
        .separate
        .iter()
        .find(|(name, _)| name == "cpuset")
        .map(|(_, point)| point.as_path());
    let Some(parent) = folder.parent() else {
        return Ok(());
    };
    if Some(folder) == point {
        return Ok(());
    }
    inherit_cpuset(hierarchies, parent)?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(folder.join(file))?;
        if own.trim().is_empty() {
            let above = fs::read_to_string(parent.join(file))?;
            fs::write(folder.join(file), above.trim())?;
        }
    }
    Ok(())
}

/// Makes the folder and has each one above pass its controllers on.
fn make_unified(point: &Path, folder: &Path) -> io::Result<()> {
    let below = folder.strip_prefix(point).unwrap_or(folder);
    let mut path = point.to_owned();
    for part in below.components() {
        let have = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        for name in have
            .split_whitespace()
            .filter(|name| UNIFIED_CONTROLLERS.contains(name))
        {
            // One at a time: a controller that cannot be passed on, such as
            // `cpu` with real-time processes about, is missed when it is used.
            let _ = fs::write(path.join("cgroup.subtree_control"), format!("+{name}"));
        }
        path.push(part);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    #[test]
    fn hierarchies_are_read_from_the_table_of_mounts() {
        let found = Hierarchies::of(HYBRID);
        let expected = [
            (
                "cpu,cpuacct".to_owned(),
                "/sys/fs/cgroup/cpu,cpuacct".into(),
            ),
            ("name=systemd".to_owned(), "/sys/fs/cgroup/systemd".into()),
        ];
        assert_eq!(found.separate, expected);
        assert_eq!(found.unified, Some("/sys/fs/cgroup/unified".into()));
        assert!(!found.is_unified());
    }

    #[test]
    fn a_path_stays_below_the_hierarchies() {
        let hierarchies = Hierarchies::of(HYBRID);
        let groups = Groups::place(&hierarchies, Some("/a/../b"), "x").unwrap();
        assert_eq!(groups.unified, Some("/sys/fs/cgroup/unified/b".into()));
        assert_eq!(
            groups.folder("cpu").unwrap(),
            Path::new("/sys/fs/cgroup/cpu,cpuacct/b")
        );
        assert_eq!(groups.folder("memory"), None);
        let groups = Groups::place(&hierarchies, None, "x").unwrap();
        assert_eq!(groups.path, Path::new("x"));
        assert!(Groups::place(&hierarchies, Some("/../../etc"), "x").is_err());
    }
}
