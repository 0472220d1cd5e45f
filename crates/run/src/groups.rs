//! Control groups: making, filling, reading and removing them.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::plan::Group;

/// The groups of one container; dropping removes them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    made: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    folder: PathBuf,
    unified: bool,
}

/// A control group could not be made or filled.
#[derive(Debug)]
pub(crate) struct GroupFault {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> GroupFault {
    let path = path.to_owned();
    move |source| GroupFault { path, source }
}

/// Names of this process's groups begin so, and its janitor removes those.
fn prefix() -> String {
    format!("ounce-{}-", std::process::id())
}

/// A name that no group of this process has yet.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}{}", prefix(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The `tasks` files of groups that are to be made by this name.
pub(crate) fn tasks(wanted: &[Group], name: &str) -> Result<Vec<CString>, GroupFault> {
    let files = wanted.iter().map(|group| {
        let path = group.parent.join(name).join("tasks");
        CString::new(path.as_os_str().as_bytes()).map_err(|error| fault(&path)(error.into()))
    });
    files.collect()
}

impl Groups {
    /// Makes the groups and sets their limits.
    pub(crate) fn make(wanted: &[Group], name: &str) -> Result<Self, GroupFault> {
        let mut groups = Self::default();
        if wanted.is_empty() {
            return Ok(groups);
        }
        for group in wanted {
            prepare(group)?;
            let folder = group.parent.join(name);
            fs::create_dir(&folder).map_err(fault(&folder))?;
            groups.made.push(Made {
                folder: folder.clone(),
                unified: group.unified,
            });
            for (file, value) in &group.settings {
                let (file, optional) = match file.strip_prefix('?') {
                    Some(file) => (file, true),
                    None => (file.as_str(), false),
                };
                let path = folder.join(file);
                let written = fs::write(&path, value);
                if !optional {
                    written.map_err(fault(&path))?;
                }
            }
        }
        Ok(groups)
    }

    /// The folder to be born in.
    pub(crate) fn birthplace(&self) -> Result<Option<OwnedFd>, GroupFault> {
        let Some(group) = self.made.iter().find(|group| group.unified) else {
            return Ok(None);
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&group.folder, flags, Mode::empty())
            .map(Some)
            .map_err(|errno| fault(&group.folder)(errno.into()))
    }

    /// Bytes of memory in use, where a group counts them.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.made.iter().find_map(|group| {
            ["memory.current", "memory.usage_in_bytes"]
                .iter()
                .find_map(|file| fs::read_to_string(group.folder.join(file)).ok())
                .and_then(|text| text.trim().parse().ok())
        })
    }

    /// The folders.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.made.iter().map(|group| group.folder.clone()).collect()
    }

    /// Gives the folders up, to be removed by others.
    pub(crate) fn leave(&mut self) -> Vec<PathBuf> {
        self.made.drain(..).map(|group| group.folder).collect()
    }

    /// Has a janitor look after the groups, should this process be killed.
    pub(crate) fn guard(&self) {
        if !self.made.is_empty() {
            watch(&self.made);
        }
    }

    fn remove(&mut self) {
        for group in self.made.drain(..) {
            // The last process may still be on its way out of the group.
            for _ in 0..200 {
                match fs::remove_dir(&group.folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    _ => break,
                }
            }
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Version 2 as root: our parent group, and its controllers passed on to it and by it.
fn prepare(group: &Group) -> Result<(), GroupFault> {
    if group.enable.is_empty() || !group.unified {
        return Ok(());
    }
    let enabled = |folder: &Path| {
        let have = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        group
            .enable
            .iter()
            .all(|name| have.split_whitespace().any(|other| other == name))
    };
    if enabled(&group.parent) {
        return Ok(());
    }
    match fs::create_dir(&group.parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(fault(&group.parent)(error));
        }
        _ => {}
    }
    let above = group.parent.parent().unwrap_or(&group.parent);
    for folder in [above, &group.parent] {
        if enabled(folder) {
            continue;
        }
        let wanted: Vec<String> = group.enable.iter().map(|name| format!("+{name}")).collect();
        let path = folder.join("cgroup.subtree_control");
        fs::write(&path, wanted.join(" ")).map_err(fault(&path))?;
    }
    Ok(())
}

/// One janitor for this process, whatever the number of containers.
fn watch(made: &[Made]) {
    /// Write end of the pipe: closed by the kernel when this process ends.
    static PIPE: Mutex<Vec<(Vec<PathBuf>, OwnedFd)>> = Mutex::new(Vec::new());
    let mut parents: Vec<PathBuf> = made
        .iter()
        .filter_map(|group| group.folder.parent().map(Path::to_owned))
        .collect();
    parents.sort();
    let Ok(mut pipes) = PIPE.lock() else { return };
    if pipes.iter().any(|(known, _)| *known == parents) {
        return;
    }
    for parent in &parents {
        sweep(parent);
    }
    let folders: Vec<OwnedFd> = parents
        .iter()
        .filter_map(|parent| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(parent, flags, Mode::empty()).ok()
        })
        .collect();
    let borrowed: Vec<_> = folders.iter().map(AsFd::as_fd).collect();
    let Ok(name) = CString::new(prefix()) else {
        return;
    };
    if let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC)
        && ounce_linux::janitor::start(read.as_fd(), &borrowed, &name).is_ok()
    {
        pipes.push((parents, write));
    }
}

/// Removes what an ounce left whose janitor was killed as well. A group in use
/// cannot be removed; one that is just being made belongs to a living process.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix("ounce-"))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if let Some(pid) = owner
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
