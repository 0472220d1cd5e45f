//! The state directory: `ROOT/ID/` with what a later command has to know.
//!
//! `state.json` is replaced as a whole, never written in place; the folder is
//! locked (man 2 flock) by whoever changes anything. `config.json` is the copy
//! made at `create`, which later changes of the bundle do not touch. `start`
//! is the pipe that the container's first process waits on, there as long as
//! it was not started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::cgroup::Groups;
use super::config::Config;
use super::fault::RuntimeError;

/// How far a container is (runtime.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Made, not started.
    Created,
    /// Its program runs.
    Running,
    /// The same, but all its processes are frozen.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl Status {
    /// As the specification writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What is kept of a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Version of the specification that the bundle was written for.
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// Its first process, in the namespace of who made it.
    pub pid: i32,
    /// When that began, in ticks since the boot: with the number it is unique.
    pub pid_started: u64,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root.
    pub rootfs: PathBuf,
    /// When it was made (RFC 3339).
    pub created: String,
    /// User who made it.
    pub owner: u32,
    /// The bundle's.
    pub annotations: BTreeMap<String, String>,
    /// Its control groups.
    pub groups: Groups,
    /// Whether it has a user namespace of its own.
    pub user_namespace: bool,
    /// Whether its root is bound on itself, in the host's mounts.
    pub bound_root: bool,
}

/// A container's folder, locked.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

/// How long another command may hold a container.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks an id: it becomes a folder's name.
///
/// # Errors
/// [`RuntimeError::Id`].
pub fn check_id(id: &str) -> Result<(), RuntimeError> {
    let fine = !id.is_empty()
        && id.len() <= 1024
        && id != "."
        && id != ".."
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte));
    fine.then_some(())
        .ok_or_else(|| RuntimeError::Id(id.to_owned()))
}

impl Folder {
    /// Makes the folder of a new container.
    ///
    /// # Errors
    /// The id is taken, or the folder cannot be made.
    pub fn make(root: &Path, id: &str) -> Result<Self, RuntimeError> {
        check_id(id)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(root)
            .map_err(RuntimeError::file("making", root))?;
        let path = root.join(id);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RuntimeError::Exists(id.to_owned()));
            }
            other => other.map_err(RuntimeError::file("making", &path))?,
        }
        let lock = lock(&path, id)?;
        Ok(Self { path, lock })
    }

    /// Opens the folder of a container that is there, and waits for its lock.
    ///
    /// # Errors
    /// There is none, or another command holds it for long.
    pub fn open(root: &Path, id: &str) -> Result<Self, RuntimeError> {
        check_id(id)?;
        let path = root.join(id);
        let lock = lock(&path, id)?;
        // While we waited it may have been removed.
        if !path.is_dir() {
            return Err(RuntimeError::Missing(id.to_owned()));
        }
        Ok(Self { path, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, record: &Record) -> Result<(), RuntimeError> {
        let path = self.path.join("state.json");
        let text = serde_json::to_vec(record).map_err(|source| RuntimeError::Json {
            path: path.clone(),
            source,
        })?;
        let new = self.path.join("state.json.new");
        fs::write(&new, text).map_err(RuntimeError::file("writing", &new))?;
        fs::rename(&new, &path).map_err(RuntimeError::file("writing", &path))
    }

    /// Removes the folder and all in it.
    ///
    /// # Errors
    /// As the file system says.
    pub fn remove(self) -> Result<(), RuntimeError> {
        // The record first: a folder without one is a left-over that `delete
        // --force` removes.
        let _ = fs::remove_file(self.path.join("state.json"));
        fs::remove_dir_all(&self.path).map_err(RuntimeError::file("removing", &self.path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing is not enough: a container's first process has a copy of all
        // our descriptors until it waits for its start.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

fn lock(path: &Path, id: &str) -> Result<File, RuntimeError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RuntimeError::Missing(id.to_owned()));
        }
        other => other.map_err(RuntimeError::file("opening", path))?,
    };
    let begin = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if begin.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(errno) => return Err(RuntimeError::errno("locking", path)(errno)),
        }
    }
}

/// The ids of all containers below a root.
///
/// # Errors
/// The folder cannot be read; that it is not there is no error.
pub fn ids(root: &Path) -> Result<Vec<String>, RuntimeError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(RuntimeError::file("reading", root))?,
    };
    let mut ids: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("state.json").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    ids.sort();
    Ok(ids)
}

/// Reads a record, without the lock: it is replaced as a whole.
///
/// # Errors
/// There is no such container, or its record is damaged.
pub fn read(root: &Path, id: &str) -> Result<Record, RuntimeError> {
    check_id(id)?;
    let path = root.join(id).join("state.json");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RuntimeError::Missing(id.to_owned()));
        }
        other => other.map_err(RuntimeError::file("reading", &path))?,
    };
    serde_json::from_slice(&text).map_err(|source| RuntimeError::Json { path, source })
}

/// Reads the copy of the bundle's configuration.
///
/// # Errors
/// It is not there or damaged.
pub fn read_config(folder: &Path) -> Result<Config, RuntimeError> {
    let path = folder.join("config.json");
    let text = fs::read(&path).map_err(RuntimeError::file("reading", &path))?;
    parse_config(&text).map_err(|source| RuntimeError::Json { path, source })
}

/// Reads a configuration.
///
/// # Errors
/// It is no JSON, or of other types than the specification has.
pub fn parse_config(text: &[u8]) -> Result<Config, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_slice(text)?;
    super::config::without_nulls(&mut value);
    serde_json::from_value(value)
}

impl Record {
    /// How far it is now.
    pub fn status(&self, root: &Path) -> Status {
        if self.pid == 0 {
            return Status::Creating;
        }
        if !self.is_alive() {
            return Status::Stopped;
        }
        if self.groups.is_frozen() {
            return Status::Paused;
        }
        if root.join(&self.id).join("start").exists() {
            return Status::Created;
        }
        Status::Running
    }

    /// Whether its first process lives.
    pub fn is_alive(&self) -> bool {
        process_start(self.pid) == Some((self.pid_started, true))
    }
}

/// When a process began, in ticks since the boot, and whether it runs, as far
/// as /proc/PID/stat tells (man 5 proc_pid_stat).
pub fn process_start(pid: i32) -> Option<(u64, bool)> {
    /// The process is ending (PF_EXITING, linux/sched.h): what is left is for
    /// its parent to reap, and for those of its namespace to go.
    const EXITING: u64 = 4;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ending = matches!(fields.first()?, &"Z" | &"X") || number(6)? & EXITING != 0;
    // The first thread may have ended before others.
    let threads = number(17)?;
    Some((number(19)?, !ending || threads > 1))
}

/// The state as the specification prints it, handed to hooks as well.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Printed<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl<'a> Printed<'a> {
    /// Of a record, with this status.
    pub fn new(record: &'a Record, status: Status) -> Self {
        Self {
            oci_version: &record.oci_version,
            id: &record.id,
            status: status.name(),
            pid: Some(match status {
                Status::Stopped => 0,
                _ => record.pid,
            }),
            bundle: &record.bundle,
            annotations: &record.annotations,
        }
    }
}

/// Now, as RFC 3339 has it.
pub fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_nanos())
}

/// A moment in UTC, by seconds since 1970.
pub fn rfc3339(seconds: u64, nanoseconds: u32) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// The user who owns a container, by name where the host has one.
pub fn owner_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| uid.to_string())
}

/// Who owns a folder.
pub fn owner_of(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.uid())
}

/// The group of a folder.
pub fn group_of(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.gid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_782_400, 7), "2000-02-29T00:00:00.000000007Z");
        assert_eq!(rfc3339(1_767_225_599, 0), "2025-12-31T23:59:59.000000000Z");
        assert_eq!(rfc3339(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
    }

    #[test]
    fn ids_that_lead_out_of_the_root_are_refused() {
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        for id in ["a", "A-b_c.d+1", "0123"] {
            assert!(check_id(id).is_ok(), "{id:?}");
        }
        assert!(check_id(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn an_id_is_taken_once_and_free_again_after_removal() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::make(root.path(), "a").unwrap();
        assert!(matches!(
            Folder::make(root.path(), "a"),
            Err(RuntimeError::Exists(_))
        ));
        let record = Record {
            id: "a".to_owned(),
            ..Record::default()
        };
        folder.write(&record).unwrap();
        assert_eq!(ids(root.path()).unwrap(), ["a"]);
        folder.remove().unwrap();
        assert!(matches!(
            read(root.path(), "a"),
            Err(RuntimeError::Missing(_))
        ));
        assert!(ids(root.path()).unwrap().is_empty());
    }

    #[test]
    fn a_process_is_told_apart_by_when_it_began() {
        let own = std::process::id() as i32;
        let (began, runs) = process_start(own).unwrap();
        assert!(runs);
        let mut record = Record {
            pid: own,
            pid_started: began,
            ..Record::default()
        };
        assert!(record.is_alive());
        record.pid_started += 1;
        assert!(!record.is_alive());
    }
}
