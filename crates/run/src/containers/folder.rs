//! The folder of a container: made whole or not at all, locked (man 2 flock) by
//! whoever watches the container, read by everybody.
//!
//! A new folder is filled and locked under another name and then renamed, so
//! that one of two `ounce` that want the same name wins, and nobody ever sees a
//! half-made one. The lock goes with the open directory: to the keeper, which
//! inherits it, and with it to nobody else. That is what tells a living container
//! from what a `kill -9` left; numbers of processes are used again, so each
//! stands with the time when the process began.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::fault::StateError;
use super::record::{EXIT_BYTES, Ended, Kind, Record, Running, SCHEMA};
use crate::lifecycle::Exit;
use crate::runtime::state::process_start;

/// How long a folder may be locked by one that only looks, or that is ending.
const PATIENCE: Duration = Duration::from_secs(10);
/// Folders that are being made begin so.
const UNFINISHED: &str = ".new-";

/// The runtime directory's part that named containers are in.
#[derive(Debug, Clone)]
pub struct Containers {
    root: PathBuf,
}

/// A folder of ours, locked. Dropping it lets go of the lock and leaves the folder.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    name: String,
    lock: OwnedFd,
}

/// A container as it was found.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its folder.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// What was wanted of it.
    pub record: Record,
    /// What runs, or ran last.
    pub running: Option<Running>,
    /// How it is.
    pub status: Status,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being started.
    Starting,
    /// Its program runs.
    Running,
    /// It ended, and is started again in a moment.
    Restarting,
    /// It ended.
    Exited(Ended),
    /// Whoever watched it was killed, and it with that.
    Dead,
}

impl Status {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Exited(_) => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether somebody watches it.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Restarting)
    }
}

/// Checks a name: it becomes a folder's.
///
/// # Errors
/// [`StateError::Name`].
pub fn check_name(name: &str) -> Result<(), StateError> {
    let first = name.bytes().next();
    let fine = name.len() <= 128
        && first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    fine.then_some(())
        .ok_or_else(|| StateError::Name(name.to_owned()))
}

impl Containers {
    /// Those in this runtime directory, the one that `ounce runtime` has as well:
    /// no container of that can be called as our part of it.
    pub fn new(runtime_dir: &Path) -> Self {
        Self {
            root: runtime_dir.join("@containers"),
        }
    }

    /// The folder that containers' folders are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder of a new container, locked.
    ///
    /// # Errors
    /// The name is none or taken, or the folder cannot be made: nothing is left then.
    pub fn create(&self, record: &Record) -> Result<Claim, StateError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        check_name(&record.name)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.root)
            .map_err(StateError::file("making", &self.root))?;
        let aside = self.root.join(format!(
            "{UNFINISHED}{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let claim = self.fill(record, &aside);
        if claim.is_err() {
            let _ = fs::remove_dir_all(&aside);
        }
        claim
    }

    fn fill(&self, record: &Record, aside: &Path) -> Result<Claim, StateError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(aside)
            .map_err(StateError::file("making", aside))?;
        let lock = File::open(aside).map_err(StateError::file("opening", aside))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| StateError::file("locking", aside)(errno.into()))?;
        let path = self.root.join(&record.name);
        let claim = Claim {
            path: aside.to_owned(),
            name: record.name.clone(),
            lock: lock.into(),
        };
        let text = json(record)?;
        claim.write("container.json", &text)?;
        claim.write("exit", &[b' '; EXIT_BYTES])?;
        match renameat_with(CWD, aside, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Claim { path, ..claim }),
            Err(Errno::EXIST | Errno::NOTEMPTY) => Err(StateError::Taken(record.name.clone())),
            Err(errno) => Err(StateError::file("making", &path)(errno.into())),
        }
    }

    /// A folder for a while, which the next `list` removes where nobody else has.
    pub(super) fn aside(&self, what: &str) -> Result<PathBuf, StateError> {
        let path = self
            .root
            .join(format!("{UNFINISHED}{}-{what}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .map_err(StateError::file("making", &path))?;
        Ok(path)
    }

    /// The container of this name.
    ///
    /// # Errors
    /// There is none, or its files are damaged.
    pub fn find(&self, name: &str) -> Result<Seen, StateError> {
        check_name(name)?;
        let path = self.root.join(name);
        let held = is_held(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StateError::Missing(name.to_owned()),
            _ => StateError::file("opening", &path)(error),
        })?;
        see(path, name, held)
    }

    /// What was wanted of the container in this folder.
    ///
    /// # Errors
    /// It is gone or damaged.
    pub fn record_in(path: &Path, name: &str) -> Result<Record, StateError> {
        Ok(see(path.to_owned(), name, true)?.record)
    }

    /// What runs of the container in this folder, or ran last.
    pub fn running_in(path: &Path, name: &str) -> Option<Running> {
        see(path.to_owned(), name, true).ok()?.running
    }

    /// How the container in this folder ended, though its folder is still locked.
    pub fn end_in(path: &Path, name: &str) -> Option<Exit> {
        match see(path.to_owned(), name, false).ok()?.status {
            Status::Exited(ended) => Some(ended.exit),
            _ => None,
        }
    }

    /// Whether there is something of this name, damaged or not.
    pub fn has(&self, name: &str) -> bool {
        check_name(name).is_ok() && self.root.join(name).is_dir()
    }

    /// All containers by name, and what is wrong with those that are damaged.
    ///
    /// What was left by an `ounce` that was killed while it made one is removed,
    /// and so are control groups of containers whose keeper was killed.
    ///
    /// # Errors
    /// The runtime directory cannot be read; that it is not there is no error.
    pub fn list(&self) -> Result<Vec<Result<Seen, StateError>>, StateError> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(StateError::file("reading", &self.root))?,
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with(UNFINISHED) {
                // One that is just being made has no lock yet, but a maker.
                if !maker_lives(&name) && is_held(&entry.path()).is_ok_and(|held| !held) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            } else if check_name(&name).is_ok() {
                names.push(name);
            }
        }
        names.sort();
        let found = names.into_iter().map(|name| self.find(&name));
        let found = found.inspect(|found| {
            // Nobody was left to remove them.
            if let Ok(Seen {
                status: Status::Dead,
                running: Some(running),
                ..
            }) = found
            {
                for group in &running.groups {
                    let _ = fs::remove_dir(group);
                }
            }
        });
        // One may have been removed meanwhile.
        Ok(found
            .filter(|found| !matches!(found, Err(StateError::Missing(_))))
            .collect())
    }

    /// Locks the folder of a container that nobody watches.
    ///
    /// # Errors
    /// Somebody does, or there is none.
    pub fn claim(&self, name: &str) -> Result<Claim, StateError> {
        check_name(name)?;
        let path = self.root.join(name);
        let lock = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StateError::Missing(name.to_owned()),
            _ => StateError::file("opening", &path)(error),
        })?;
        // Who only looks holds it for a moment.
        let end = Instant::now() + Duration::from_millis(50);
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(Errno::WOULDBLOCK) => return Err(StateError::Alive(name.to_owned())),
                Err(errno) => return Err(StateError::file("locking", &path)(errno.into())),
            }
        }
        Ok(Claim {
            path,
            name: name.to_owned(),
            lock: lock.into(),
        })
    }

    /// Removes a container; with `force` one that runs or is damaged, too.
    ///
    /// # Errors
    /// It runs, it does not end, or its folder cannot be removed.
    pub fn remove(&self, name: &str, force: bool) -> Result<(), StateError> {
        check_name(name)?;
        let seen = self.find(name);
        if let Err(StateError::Missing(_)) = seen {
            return seen.map(drop);
        }
        if !force {
            match &seen {
                Ok(seen) if seen.status.is_alive() => {
                    return Err(StateError::Alive(name.to_owned()));
                }
                Ok(_) => {}
                Err(_) => return seen.map(drop),
            }
        }
        let path = self.root.join(name);
        let running = match &seen {
            Ok(seen) => seen.running.clone(),
            Err(_) => None,
        };
        let end = Instant::now() + PATIENCE;
        let claim = loop {
            match self.claim(name) {
                Err(StateError::Alive(_)) if Instant::now() < end => {
                    for watcher in watchers(&path) {
                        send(watcher, Signal::KILL);
                    }
                    if let Some(running) = &running {
                        kill_all(running);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(StateError::Alive(name)) => return Err(StateError::Stuck(name)),
                // With `--rm` its keeper was quicker.
                Err(StateError::Missing(_)) => return Ok(()),
                other => break other?,
            }
        };
        if let Some(running) = &running {
            kill_all(running);
            sweep(running);
        }
        claim.remove()
    }
}

/// Ends what runs of a container whose watcher does not: nothing, as a rule.
pub(super) fn kill_all(running: &Running) {
    let main = (running.pid, running.pid_started);
    for (pid, started) in running.helpers.iter().copied().chain([main]) {
        if let Some(process) = process_of(pid, started) {
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
    }
}

/// Removes the control groups of a container that has ended.
pub(super) fn sweep(running: &Running) {
    for group in &running.groups {
        // The last process may still be on its way out.
        for _ in 0..500 {
            match fs::remove_dir(group) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => break,
            }
        }
    }
}

/// The process with this number that began at this time, if it is there.
pub fn process_of(pid: i32, started: u64) -> Option<OwnedFd> {
    let number = Pid::from_raw(pid).filter(|_| pid > 0)?;
    let process = pidfd_open(number, PidfdFlags::empty()).ok()?;
    // Looked at after it was opened: it cannot become another one any more.
    match process_start(pid) {
        Some((began, _)) if began == started => Some(process),
        _ => None,
    }
}

/// Processes of ours that watch the container in this folder: keepers are in
/// it, and where there is none an `ounce` in the foreground has it open.
fn watchers(folder: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = std::process::id() as i32;
    let ours: Vec<i32> = numbers
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.starts_with("ounce")
        })
        .collect();
    let leads = |link: &Path| fs::read_link(link).is_ok_and(|target| target == folder);
    let keepers: Vec<i32> = ours
        .iter()
        .copied()
        .filter(|pid| leads(Path::new(&format!("/proc/{pid}/cwd"))))
        .collect();
    if !keepers.is_empty() {
        return keepers;
    }
    ours.into_iter()
        .filter(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd"));
            files.is_ok_and(|files| files.flatten().any(|file| leads(&file.path())))
        })
        .collect()
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn maker_lives(name: &str) -> bool {
    name.strip_prefix(UNFINISHED)
        .and_then(|rest| rest.split('-').next())
        .is_some_and(|pid| Path::new("/proc").join(pid).exists())
}

/// Whether somebody holds the folder's lock.
fn is_held(path: &Path) -> io::Result<bool> {
    let folder = File::open(path)?;
    match flock(&folder, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(&folder, FlockOperation::Unlock);
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StateError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| StateError::File {
        action: "describing",
        path: "a container".into(),
        // Only what is no text has no form.
        source: io::Error::new(io::ErrorKind::InvalidInput, error.to_string()),
    })?;
    text.push(b'\n');
    Ok(text)
}

fn see(path: PathBuf, name: &str, held: bool) -> Result<Seen, StateError> {
    let damaged = |file: &str, reason: String| StateError::Damaged {
        name: name.to_owned(),
        path: path.join(file),
        reason,
    };
    let read = |file: &'static str| match fs::read(path.join(file)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.is_dir() {
            true => Ok(None),
            false => Err(StateError::Missing(name.to_owned())),
        },
        other => other
            .map(Some)
            .map_err(StateError::file("reading", &path.join(file))),
    };
    let record =
        read("container.json")?.ok_or_else(|| damaged("container.json", "it is gone".into()))?;
    let record: Record = serde_json::from_slice(&record)
        .map_err(|error| damaged("container.json", error.to_string()))?;
    if record.schema != SCHEMA {
        let reason = format!("its form is {:?}, not {SCHEMA:?}", record.schema);
        return Err(damaged("container.json", reason));
    }
    if record.name != name {
        let reason = format!("it is of {:?}", record.name);
        return Err(damaged("container.json", reason));
    }
    let running: Option<Running> = match read("running.json")? {
        None => None,
        Some(text) => Some(
            serde_json::from_slice(&text)
                .map_err(|error| damaged("running.json", error.to_string()))?,
        ),
    };
    let exit = read("exit")?.unwrap_or_default();
    let ended = Ended::parse(&exit)
        .map_err(|()| damaged("exit", "it tells neither a code nor a signal".into()))?;
    let ended = ended.map(|ended| Ended {
        exit: meant(&path, ended.exit),
        ..ended
    });
    let starts = running.as_ref().map_or(0, |running| running.starts);
    let over = ended.filter(|ended| ended.start >= starts);
    let status = match (held, over, &running) {
        (true, _, _) if record.kind == Kind::Service => Status::Running,
        (true, _, None) => Status::Starting,
        (true, Some(_), Some(_)) => Status::Restarting,
        (true, None, Some(_)) => Status::Running,
        (false, Some(ended), _) => Status::Exited(ended),
        (false, None, _) => Status::Dead,
    };
    Ok(Seen {
        path,
        name: name.to_owned(),
        record,
        running,
        status,
    })
}

/// The signal that was meant, where SIGKILL was sent in its place: see `act`.
fn meant(path: &Path, exit: Exit) -> Exit {
    if exit != Exit::Signal(9) {
        return exit;
    }
    let asked = fs::read_to_string(path.join("stop")).unwrap_or_default();
    match asked.trim().parse() {
        Ok(signal @ 1..=64) => Exit::Signal(signal),
        _ => exit,
    }
}

impl Claim {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The open folder, which has the lock.
    pub fn lock(&self) -> rustix::fd::BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Takes over a folder whose open directory was inherited; its lock with it.
    pub fn inherited(path: PathBuf, name: String, lock: OwnedFd) -> Self {
        Self { path, name, lock }
    }

    /// Tells what runs.
    ///
    /// # Errors
    /// As the file system says; the former word stands then.
    pub fn write_running(&self, running: &Running) -> Result<(), StateError> {
        self.write("running.json", &json(running)?)
    }

    /// Tells how it ended.
    ///
    /// # Errors
    /// As the file system says. A full one is no reason: the place was taken before.
    pub fn write_ended(&self, ended: Ended) -> Result<(), StateError> {
        use std::os::unix::fs::FileExt as _;
        let path = self.path.join("exit");
        let file = fs::OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.write_all_at(&ended.to_bytes(), 0))
            .map_err(StateError::file("writing", &path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(name);
        let new = self.path.join(format!("{name}.new"));
        let written = || {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            io::Write::write_all(&mut options.open(&new)?, bytes)?;
            fs::rename(&new, &path)
        };
        written().map_err(|error| {
            let _ = fs::remove_file(&new);
            StateError::file("writing", &path)(error)
        })
    }

    /// Removes the folder and all in it.
    ///
    /// # Errors
    /// As the file system says.
    pub fn remove(self) -> Result<(), StateError> {
        // By another name first: nobody sees it half gone.
        let aside = self
            .path
            .with_file_name(format!("{UNFINISHED}{}-gone", std::process::id()));
        let path = match fs::rename(&self.path, &aside) {
            Ok(()) => aside,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => self.path.clone(),
        };
        fs::remove_dir_all(&path).map_err(StateError::file("removing", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Restart;

    fn record(name: &str) -> Record {
        Record {
            schema: SCHEMA.to_owned(),
            name: name.to_owned(),
            kind: Kind::Container,
            image: "hello".to_owned(),
            digest: None,
            command: vec!["/hello".to_owned()],
            created: "2026-01-01T00:00:00Z".to_owned(),
            ports: Vec::new(),
            labels: Default::default(),
            restart: Restart::No,
            stop_timeout_ms: 10_000,
            remove: false,
            interactive: false,
            log_bytes: 1 << 20,
            spec: None,
        }
    }

    fn containers() -> (tempfile::TempDir, Containers) {
        let folder = tempfile::tempdir().unwrap();
        let containers = Containers::new(folder.path());
        (folder, containers)
    }

    #[test]
    fn a_name_is_taken_once_and_free_again_when_removed() {
        let (_folder, containers) = containers();
        let claim = containers.create(&record("web")).unwrap();
        assert_eq!(containers.find("web").unwrap().status, Status::Starting);
        let error = containers.create(&record("web")).unwrap_err();
        assert!(matches!(error, StateError::Taken(_)), "{error}");
        assert!(matches!(
            containers.remove("web", false),
            Err(StateError::Alive(_))
        ));
        drop(claim);
        assert_eq!(containers.find("web").unwrap().status, Status::Dead);
        containers.remove("web", false).unwrap();
        assert!(matches!(
            containers.find("web"),
            Err(StateError::Missing(_))
        ));
        containers.create(&record("web")).unwrap();
        assert_eq!(fs::read_dir(containers.root()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_that_want_one_name_one_gets_it() {
        let (_folder, containers) = containers();
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| containers.create(&record("one")).is_ok()))
                .collect();
            let won = threads.into_iter().map(|thread| thread.join().unwrap());
            won.filter(|won| *won).count()
        });
        assert_eq!(won, 1);
        assert_eq!(fs::read_dir(containers.root()).unwrap().count(), 1);
    }

    #[test]
    fn status_follows_from_the_lock_and_the_record_of_the_end() {
        let (_folder, containers) = containers();
        let claim = containers.create(&record("job")).unwrap();
        let mut running = Running {
            pid: std::process::id() as i32,
            starts: 1,
            ..Running::default()
        };
        claim.write_running(&running).unwrap();
        assert_eq!(containers.find("job").unwrap().status, Status::Running);
        let ended = Ended {
            exit: Exit::Code(3),
            seconds: 5,
            start: 1,
        };
        claim.write_ended(ended).unwrap();
        assert_eq!(containers.find("job").unwrap().status, Status::Restarting);
        running.starts = 2;
        claim.write_running(&running).unwrap();
        assert_eq!(containers.find("job").unwrap().status, Status::Running);
        claim.write_ended(Ended { start: 2, ..ended }).unwrap();
        drop(claim);
        let status = containers.find("job").unwrap().status;
        assert!(matches!(status, Status::Exited(end) if end.exit == Exit::Code(3)));
    }

    #[test]
    fn a_damaged_file_is_told_by_name_and_removed_by_force_alone() {
        let (_folder, containers) = containers();
        for (file, content) in [
            ("container.json", &b"{"[..]),
            ("container.json", b"\xff\xfe"),
            ("running.json", b"[]"),
            ("exit", b"perhaps 5"),
        ] {
            let claim = containers.create(&record("sick")).unwrap();
            fs::write(claim.path().join(file), content).unwrap();
            drop(claim);
            let error = containers.find("sick").unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
            assert!(error.hint().unwrap().contains("rm -f sick"));
            assert_eq!(
                containers
                    .list()
                    .unwrap()
                    .iter()
                    .filter(|found| found.is_err())
                    .count(),
                1
            );
            assert!(containers.remove("sick", false).is_err());
            containers.remove("sick", true).unwrap();
        }
    }

    #[test]
    fn what_a_killed_ounce_left_half_made_is_removed_by_the_next_list() {
        let (_folder, containers) = containers();
        let claim = containers.create(&record("one")).unwrap();
        // No process has this number (PID_MAX_LIMIT is 4194304).
        fs::create_dir(containers.root().join(".new-4194305-0")).unwrap();
        assert_eq!(containers.list().unwrap().len(), 1);
        assert!(!containers.root().join(".new-4194305-0").exists());
        drop(claim);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "a/b", "-f", ".new-1", "@x", "a b", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name(&"a".repeat(129)).is_err());
        assert!(check_name("Web_1.x-2").is_ok());
    }
}
