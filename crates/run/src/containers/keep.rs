//! Detached containers: `ounce` starts itself again as `ounce keep`, which
//! starts the container and then executes the keeper in its own place.
//!
//! So the container has one parent all its life: a process of 7 MB for the few
//! milliseconds of a start, and of a few pages from then on; at a restart the
//! other way round. What has to outlive both is open and handed on by number:
//! the folder with its lock, listening sockets, the lock of the unpacked image.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ounce_linux::Errno;
use ounce_linux::descriptor::{close_on_exec_from, inherited};
use ounce_linux::process::{Text, execute_file};
use ounce_linux::signal::{SignalSet, block};
use ounce_oci::causes::in_one_line;
use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

use super::fault::StateError;
use super::folder::{Claim, Containers, kill_all};
use super::record::{Record, Restart, Running};
use crate::failure::StartError;
use crate::lifecycle::{Beginning, Left};
use crate::proxy::{self, Lifetime, Proxy, ProxyError};
use crate::runtime::state::{now, process_start, rfc3339};
use crate::spec::{Root, Socket, Spec};

/// The hidden subcommand under which the command line calls [`main`].
pub const SUBCOMMAND: &str = "keep";

/// How long a program may be on its way out that has no network left to enter.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// The keeper's program, or why there is none.
static KEEPER: Result<&[u8], &str> = include!(concat!(env!("OUT_DIR"), "/keeper.rs"));

/// Why a container could not be detached.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// This ounce was compiled without a keeper.
    #[error("this ounce has no keeper for detached containers: {0}")]
    NoKeeper(&'static str),
    /// Called by hand.
    #[error("`ounce keep` is for `ounce run -d` to call")]
    Words,
    /// The folder or its files.
    #[error(transparent)]
    State(#[from] StateError),
    /// The container did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The port proxy did not start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The unpacked image is gone.
    #[error("the unpacked image {} is gone or being removed", path.display())]
    Image {
        /// Where it was.
        path: PathBuf,
    },
    /// The system refuses something.
    #[error("{action}")]
    System {
        /// What was done.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn system(action: &'static str) -> impl FnOnce(Errno) -> KeepError {
    move |errno| KeepError::System {
        action,
        source: errno.into(),
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> KeepError {
    move |source| KeepError::System { action, source }
}

/// A container on its way to be detached.
#[derive(Debug)]
pub struct Detaching {
    child: Child,
    word: File,
}

/// Has `ounce keep` start the container of this folder, with these listening
/// sockets in the order of the record's ports.
///
/// # Errors
/// The process cannot be started.
pub fn detach(
    ounce: &Path,
    claim: &Claim,
    sockets: &[BorrowedFd<'_>],
) -> Result<Detaching, KeepError> {
    KEEPER.map_err(KeepError::NoKeeper)?;
    let (word, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(system("making a pipe"))?;
    let mut handed = Handed {
        lock: claim.lock().as_raw_fd() as u32,
        word: theirs.as_raw_fd() as u32,
        ..Handed::default()
    };
    for file in sockets
        .iter()
        .copied()
        .chain([claim.lock(), theirs.as_fd()])
    {
        fcntl_setfd(file, FdFlags::empty()).map_err(system("handing a file on"))?;
    }
    handed.sockets = sockets.iter().map(|file| file.as_raw_fd() as u32).collect();
    let child = Command::new(ounce)
        .arg(SUBCOMMAND)
        .args([claim.name(), &handed.text(), "1", "0"])
        .env_clear()
        .current_dir(claim.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed("starting ounce again"))?;
    Ok(Detaching {
        child,
        word: word.into(),
    })
}

impl Detaching {
    /// Waits until the program runs; else how the process ended that was to
    /// start it, which has said why on standard error.
    ///
    /// # Errors
    /// As wait(2) says.
    pub fn wait(mut self) -> io::Result<Result<(), ExitStatus>> {
        let mut word = Vec::new();
        self.word.read_to_end(&mut word)?;
        match word.as_slice() {
            b"ok" => Ok(Ok(())),
            _ => self.child.wait().map(Err),
        }
    }
}

/// Numbers of files that outlive what is executed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Handed {
    lock: u32,
    /// Where the first start tells that it succeeded; 0 for none.
    word: u32,
    /// The lock of the unpacked image; 0 for none.
    image: u32,
    sockets: Vec<u32>,
}

impl Handed {
    fn text(&self) -> String {
        let mut numbers = vec![self.lock, self.word, self.image];
        numbers.extend(&self.sockets);
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        numbers.join(",")
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|one| one.parse().ok()).collect();
        match numbers?.as_slice() {
            [lock, word, image, sockets @ ..] => Some(Self {
                lock: *lock,
                word: *word,
                image: *image,
                sockets: sockets.to_vec(),
            }),
            _ => None,
        }
    }
}

/// The whole of `ounce keep`: starts the container whose folder is the working
/// directory and becomes its keeper. To be called before any thread is started.
///
/// # Errors
/// The container did not start; a restart's reason stands in the log as well.
pub fn main(words: impl Iterator<Item = OsString>) -> Result<Infallible, KeepError> {
    let words: Vec<String> = words.filter_map(|word| word.into_string().ok()).collect();
    let [name, handed, start, failures] = words.as_slice() else {
        return Err(KeepError::Words);
    };
    let (Some(handed), Ok(start), Ok(failures)) =
        (Handed::parse(handed), start.parse(), failures.parse())
    else {
        return Err(KeepError::Words);
    };
    let lock = inherited(handed.lock).ok_or(KeepError::Words)?;
    let path = std::env::current_dir().map_err(failed("finding the container's folder"))?;
    let claim = Claim::inherited(path, name.clone(), lock);
    let kept = keep(&claim, handed, start, failures);
    if let Err(error) = &kept
        && start > 1
    {
        note(claim.path(), error);
    }
    kept
}

/// Tells in the log why there is no further start: nobody reads standard error.
fn note(folder: &Path, error: &KeepError) {
    let why = in_one_line(error);
    let text = format!("{} stderr F ounce: not started again: {why}\n", now());
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.join("log"));
    let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
}

fn keep(
    claim: &Claim,
    mut handed: Handed,
    start: u32,
    failures: u32,
) -> Result<Infallible, KeepError> {
    let keeper = KEEPER.map_err(KeepError::NoKeeper)?;
    // What the caller left open by chance is not for the keeper to hold, nor
    // for any other process that is started here.
    close_on_exec_from(3).map_err(system("closing files"))?;
    // Of no terminal and no group of processes that a shell ends. Fails where
    // this was done before, at a restart.
    let _ = rustix::process::setsid();
    let word = match handed.word {
        0 => None,
        number => inherited(number),
    };
    handed.word = 0;
    let record = Containers::record_in(claim.path(), claim.name())?;
    let mut spec = record.spec.clone().ok_or(KeepError::Words)?;
    // What went beside the former start.
    if let Some(before) = Containers::running_in(claim.path(), claim.name()) {
        kill_all(&before);
    }
    let image = hold_image(&record, &spec, &mut handed)?;
    let mut listeners = Vec::new();
    for number in &handed.sockets {
        listeners.push(Arc::new(inherited(*number).ok_or(KeepError::Words)?));
    }
    let carried = hand_in(&record, &mut spec, &listeners)?;
    let streams = Streams::open(&record, claim.path())?;
    let beginning = Beginning::of(&spec);
    let proxy = match carried.is_empty() {
        true => None,
        false => {
            let exe = std::env::current_exe().map_err(failed("finding ounce"))?;
            Some(Proxy::start(proxy::command(&exe))?)
        }
    };
    let container = beginning.start_unguarded(&spec, streams.inside())?;
    let mut helpers: Vec<_> = container.network_helper().map(alive).into_iter().collect();
    if let Some(mut proxy) = proxy {
        let routes: Vec<_> = carried
            .iter()
            .map(|(file, port)| (file.as_fd(), *port))
            .collect();
        match proxy.serve(&routes, container.pidfd(), Lifetime::Container) {
            Ok(()) => helpers.push(alive(proxy.pid() as i32)),
            // A program that ended at once leaves no network to enter: its own
            // end is what is to be told.
            Err(_) if container.ends_within(LAST_BREATH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let own = alive(std::process::id() as i32);
    let (pid, pid_started) = alive(container.pid());
    claim.write_running(&Running {
        pid,
        pid_started,
        keeper: own.0,
        keeper_started: own.1,
        started: rfc3339(since.as_secs(), since.subsec_nanos()),
        started_seconds: since.as_secs(),
        starts: start,
        groups: container.groups(),
        helpers,
        address: container.address(),
        ..Running::default()
    })?;
    let left = container.leave();
    pass_on(claim.lock())?;
    for file in image.iter().chain(listeners.iter().map(AsRef::as_ref)) {
        pass_on(file.as_fd())?;
    }
    let orders = Orders {
        claim,
        record: &record,
        handed: &handed,
        left,
        start,
        failures,
        streams,
    };
    orders.become_keeper(keeper, word)
}

fn alive(pid: i32) -> (i32, u64) {
    (pid, process_start(pid).map_or(0, |(began, _)| began))
}

/// What is executed next has this file, too.
fn pass_on(file: BorrowedFd<'_>) -> Result<(), KeepError> {
    fcntl_setfd(file, FdFlags::empty()).map_err(system("handing a file on"))
}

/// Keeps the unpacked image from being collected, for as long as the keeper is.
fn hold_image(
    record: &Record,
    spec: &Spec,
    handed: &mut Handed,
) -> Result<Option<OwnedFd>, KeepError> {
    let (Some(_), Root::Folder(root)) = (&record.digest, &spec.root) else {
        return Ok(None);
    };
    if handed.image != 0 {
        return inherited(handed.image).map(Some).ok_or(KeepError::Words);
    }
    // `rootfs::unpack` locks the folder that the root is in.
    let home = root.parent().unwrap_or(root);
    let gone = || KeepError::Image {
        path: home.to_owned(),
    };
    let lock = File::open(home).map_err(|_| gone())?;
    flock(&lock, FlockOperation::NonBlockingLockShared).map_err(|_| gone())?;
    if !root.is_dir() {
        return Err(gone());
    }
    handed.image = lock.as_raw_fd() as u32;
    Ok(Some(lock.into()))
}

/// Gives the program its sockets; those that it cannot take are returned, with
/// their ports inside.
fn hand_in(
    record: &Record,
    spec: &mut Spec,
    listeners: &[Arc<OwnedFd>],
) -> Result<Vec<(Arc<OwnedFd>, u16)>, KeepError> {
    if listeners.len() != record.ports.len() {
        return Err(KeepError::Words);
    }
    let mut carried = Vec::new();
    for (listener, port) in listeners.iter().zip(&record.ports) {
        match port.carried {
            true => carried.push((Arc::clone(listener), port.container_port)),
            false => spec.sockets.push(Socket {
                name: format!("port-{}", port.container_port),
                file: Arc::clone(listener),
            }),
        }
    }
    Ok(carried)
}

/// The program's standard streams, and our ends of them.
struct Streams {
    input: OwnedFd,
    output: OwnedFd,
    error: Option<OwnedFd>,
    ours: [Option<OwnedFd>; 2],
    log: Option<OwnedFd>,
    /// What keeps the input open, where nobody writes to it.
    other_end: Option<OwnedFd>,
}

impl Streams {
    fn open(record: &Record, folder: &Path) -> Result<Self, KeepError> {
        let nothing = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(system("opening /dev/null"))?;
        let terminal = record.spec.as_ref().is_some_and(|spec| spec.terminal);
        let (input, other_end) = match record.interactive && !terminal {
            true => pipe_with(PipeFlags::CLOEXEC)
                .map(|(read, write)| (Some(read), Some(write)))
                .map_err(system("making a pipe"))?,
            false => (None, None),
        };
        if record.log_bytes == 0 && !terminal {
            let output = nothing.try_clone().map_err(failed("copying a file"))?;
            return Ok(Self {
                input: input.unwrap_or(nothing),
                output,
                error: None,
                ours: [None, None],
                log: None,
                other_end,
            });
        }
        let path = folder.join("log");
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(StateError::file("opening", &path))?;
        let log = Some(log.into());
        if terminal {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let action = "making a terminal";
            let master = openpt(flags).map_err(system(action))?;
            unlockpt(&master).map_err(system(action))?;
            let slave = ioctl_tiocgptpeer(&master, flags).map_err(system(action))?;
            let output = slave.try_clone().map_err(failed(action))?;
            return Ok(Self {
                input: slave,
                output,
                error: None,
                ours: [Some(master), None],
                log,
                other_end,
            });
        }
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(system("making a pipe"));
        let (our_output, output) = pipe()?;
        let (our_error, error) = pipe()?;
        Ok(Self {
            input: input.unwrap_or(nothing),
            output,
            error: Some(error),
            ours: [Some(our_output), Some(our_error)],
            log,
            other_end,
        })
    }

    fn inside(&self) -> [BorrowedFd<'_>; 3] {
        let error = self.error.as_ref().unwrap_or(&self.output);
        [self.input.as_fd(), self.output.as_fd(), error.as_fd()]
    }
}

/// What the keeper is told.
struct Orders<'a> {
    claim: &'a Claim,
    record: &'a Record,
    handed: &'a Handed,
    left: Left,
    start: u32,
    failures: u32,
    streams: Streams,
}

impl Orders<'_> {
    /// Executes the keeper; comes back only where that fails. The container ends
    /// with this process then.
    fn become_keeper(self, keeper: &[u8], word: Option<OwnedFd>) -> Result<Infallible, KeepError> {
        let path = self.claim.path().join("exit");
        let exit = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(StateError::file("opening", &path))?;
        let ounce = rustix::fs::open(
            c"/proc/self/exe",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(system("opening ounce"))?;
        let mut words = vec!["ounce-keeper".to_owned(), self.claim.name().to_owned()];
        words.push(self.left.pid.to_string());
        let [output, error] = &self.streams.ours;
        let restarts = self.record.restart != Restart::No;
        let files = [
            Some(exit.as_fd()),
            output.as_ref().map(AsFd::as_fd),
            error.as_ref().map(AsFd::as_fd),
            self.streams.log.as_ref().map(AsFd::as_fd),
        ];
        let number = |file: Option<BorrowedFd<'_>>| -> Result<String, KeepError> {
            if let Some(file) = file {
                pass_on(file)?;
            }
            Ok(file.map_or(0, |file| file.as_raw_fd()).to_string())
        };
        for file in files {
            words.push(number(file)?);
        }
        // The keeper need not know of it to hold it.
        number(self.streams.other_end.as_ref().map(AsFd::as_fd))?;
        let most_log = u32::try_from(self.record.log_bytes).unwrap_or(u32::MAX);
        words.push(most_log.to_string());
        words.push(number(restarts.then(|| ounce.as_fd()))?);
        let stop_timeout = u32::try_from(self.record.stop_timeout_ms).unwrap_or(u32::MAX);
        for value in [
            self.start,
            self.record.restart.most(),
            self.failures,
            stop_timeout,
            u32::from(self.record.remove),
        ] {
            words.push(value.to_string());
        }
        words.push(self.handed.text());
        for group in &self.left.groups {
            words.push(group.to_string_lossy().into_owned());
        }
        let words: Vec<CString> = words
            .into_iter()
            .filter_map(|word| CString::new(word).ok())
            .collect();
        let words: Vec<Text<'_>> = words
            .iter()
            .map(|word| Text::new(word))
            .chain([Text::END])
            .collect();
        let program = sealed(keeper).map_err(system("making the keeper's file"))?;
        // Its own hold on a terminal would keep that from hanging up.
        rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .and_then(|nothing| {
                rustix::stdio::dup2_stdin(&nothing)?;
                rustix::stdio::dup2_stdout(&nothing)?;
                rustix::stdio::dup2_stderr(&nothing)
            })
            .map_err(system("closing the standard streams"))?;
        // From the word on anybody may ask for the end: that waits until the keeper
        // looks, which this is executed as.
        block(SignalSet::of(&[Signal::TERM, Signal::INT])).map_err(system("blocking signals"))?;
        if let Some(word) = word {
            rustix::io::write(&word, b"ok").map_err(system("telling of the start"))?;
        }
        let errno = execute_file(program.as_fd(), &words, &[Text::END]);
        Err(system("executing the keeper")(errno))
    }
}

/// A file in memory that nobody can change.
fn sealed(program: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(c"ounce-keeper", flags)?;
    let mut rest = program;
    while !rest.is_empty() {
        let count = rustix::io::write(&file, rest)?;
        rest = rest.get(count..).unwrap_or_default();
    }
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_reads_back() {
        let handed = Handed {
            lock: 5,
            word: 0,
            image: 7,
            sockets: vec![8, 9],
        };
        assert_eq!(Handed::parse(&handed.text()), Some(handed));
        for wrong in ["", "1", "1,2", "1,2,x", "1,2,3,"] {
            assert_eq!(Handed::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn there_is_a_keeper_and_it_is_small() {
        let keeper = KEEPER.unwrap();
        assert!(keeper.starts_with(b"ELF"));
        assert!(keeper.len() < 16 << 10, "{} bytes", keeper.len());
    }
}
