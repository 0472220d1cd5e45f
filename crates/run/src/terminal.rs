//! The terminal and the signals while a container runs in the foreground.
//!
//! What people expect of `docker run` and `podman run`, and where this differs:
//!
//! - Signals to ounce go to the program. One that the kernel raised for the
//!   whole process group (Ctrl-C, a change of size) is not sent a second time
//!   to a program of the same group.
//! - A program that is process 1 of its namespace and has no handler ignores
//!   SIGTERM and SIGINT, which leaves users of docker with a Ctrl-C that does
//!   nothing. Here such a signal does what it does outside a container: the
//!   program is killed, and [`End::killed_by`] tells for which signal.
//! - A program that has asked to ignore the signal, or handles it and goes on,
//!   is left alone; after 10 s [`Event::StillRunning`] says so once, and then
//!   the next Ctrl-C kills, as does the third one within 3 s at any time.
//! - With a terminal of its own (`-t`) the keys are the program's, Ctrl-C
//!   too, under the same rules.
//! - The settings of the user's terminal are put back at every end: normal, by
//!   error, by panic, by signal. `kill -9` of ounce alone escapes this.
//!
//! The value [`Signals`] blocks the signals of the calling thread and is to be
//! made before the container: a child starts with an empty mask
//! (`ounce_linux::signal::set_mask`, or [`Signals::mask_before`]). For a [`Tty`]
//! the child calls setsid(2), then ioctl TIOCSCTTY on it, and makes it its
//! standard input, output and error. Reaping is left to `lifecycle`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use ounce_linux::signal::{BlockedSignals, SignalSet, Taken, is_ignored};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgid, getpgrp, pidfd_send_signal};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp,
    tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// How long a program may take after it was asked to end.
const GRACE: Duration = Duration::from_secs(10);
/// Three Ctrl-C within this time kill.
const IMPATIENCE: Duration = Duration::from_secs(3);
const CHUNK: usize = 4096;

const FORWARDED: [Signal; 9] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::CONT,
    Signal::ALARM,
];

/// The settings to put back when the process panics, which under
/// `panic = "abort"` runs no destructor.
static AT_PANIC: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// The user's terminal, with the settings it had.
///
/// Dropped, it puts them back. One such value at a time.
#[derive(Debug)]
pub struct Terminal {
    file: OwnedFd,
    saved: Termios,
}

impl Terminal {
    /// Saves the settings, if `file` (standard input, as a rule) is a terminal.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn save(file: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        if !isatty(file) {
            return Ok(None);
        }
        let terminal = Self {
            file: file.try_clone_to_owned()?,
            saved: tcgetattr(file)?,
        };
        let spare = (file.try_clone_to_owned()?, terminal.saved.clone());
        *AT_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if let Ok(spare) = AT_PANIC.try_lock()
                    && let Some((file, settings)) = &*spare
                {
                    let _ = tcsetattr(file, OptionalActions::Now, settings);
                }
                before(info);
            }));
        });
        Ok(Some(terminal))
    }

    /// Passes every key on as it is, for a program with a terminal of its own.
    ///
    /// # Errors
    /// As tcsetattr(3) says, such as EIO when the terminal has hung up.
    pub fn raw(&self) -> io::Result<()> {
        let mut settings = self.saved.clone();
        settings.make_raw();
        Ok(tcsetattr(&self.file, OptionalActions::Now, &settings)?)
    }

    /// Puts the saved settings back.
    ///
    /// # Errors
    /// As tcsetattr(3) says.
    pub fn restore(&self) -> io::Result<()> {
        Ok(tcsetattr(&self.file, OptionalActions::Now, &self.saved)?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // From the background this would stop us by SIGTTOU; a shell that put
        // us there has its own settings by now.
        if tcgetpgrp(&self.file).is_ok_and(|group| group == getpgrp()) {
            let _ = self.restore();
        }
        *AT_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The program's end of a terminal made for it; see the module on what the child does with it.
/// To be closed here once the child has it.
#[derive(Debug)]
pub struct Tty {
    /// Read and write, closed on exec.
    pub slave: OwnedFd,
}

/// Our end of a terminal made for a program.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    input: Option<OwnedFd>,
    output: OwnedFd,
    to_program: Vec<u8>,
    to_user: Vec<u8>,
    hung_up: bool,
}

impl Pty {
    /// Makes a terminal of the same size as `input` (if that is one), to which
    /// `input` is passed on, and whose output goes to `output`.
    ///
    /// # Errors
    /// There is no devpts, or no terminal is left.
    pub fn open(input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> io::Result<(Self, Tty)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let pty = Self {
            master,
            input: Some(input.try_clone_to_owned()?),
            output: output.try_clone_to_owned()?,
            to_program: Vec::new(),
            to_user: Vec::new(),
            hung_up: false,
        };
        pty.resize();
        Ok((pty, Tty { slave }))
    }

    /// The same for a terminal that was made elsewhere, by our end of it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn of_master(
        master: OwnedFd,
        input: BorrowedFd<'_>,
        output: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let pty = Self {
            master,
            input: Some(input.try_clone_to_owned()?),
            output: output.try_clone_to_owned()?,
            to_program: Vec::new(),
            to_user: Vec::new(),
            hung_up: false,
        };
        pty.resize();
        Ok(pty)
    }

    /// Gives the program's terminal the size of the user's.
    pub fn resize(&self) {
        // Without a terminal there is no size, and the default stays.
        if let Some(input) = &self.input
            && let Ok(size) = tcgetwinsize(input)
        {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// Adds what there is to wait for; [`Self::relay`] takes the answers.
    fn wanted(&self) -> [(Option<BorrowedFd<'_>>, PollFlags); 3] {
        let read = |idle: bool| {
            if idle {
                PollFlags::IN
            } else {
                PollFlags::empty()
            }
        };
        let mut master = read(self.to_user.is_empty());
        master.set(PollFlags::OUT, !self.to_program.is_empty());
        let input = self.input.as_ref().filter(|_| self.to_program.is_empty());
        [
            ((!self.hung_up).then_some(self.master.as_fd()), master),
            (input.map(AsFd::as_fd), PollFlags::IN),
            (
                (!self.to_user.is_empty()).then_some(self.output.as_fd()),
                PollFlags::OUT,
            ),
        ]
    }

    /// Copies what can be copied without waiting; tells how often the key for
    /// an interrupt was among it.
    fn relay(&mut self, ready: [PollFlags; 3]) -> io::Result<usize> {
        let [master, input, output] = ready;
        let mut interrupts = 0;
        let over = PollFlags::HUP | PollFlags::ERR;
        if input.intersects(PollFlags::IN | over)
            && let Some(file) = &self.input
        {
            let mut buffer = [0; CHUNK];
            match rustix::io::read(file, &mut buffer) {
                Ok(0) | Err(Errno::IO) => {
                    self.input = None;
                    // A pipe's end is told as a terminal tells it.
                    self.to_program.push(self.key(SpecialCodeIndex::VEOF, 4));
                }
                Ok(count) => {
                    interrupts = self.interrupts(&buffer[..count]);
                    self.to_program.extend_from_slice(&buffer[..count]);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if !self.to_program.is_empty() && !self.hung_up {
            match rustix::io::write(&self.master, &self.to_program) {
                Ok(count) => drop(self.to_program.drain(..count)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.to_program.clear(),
            }
        }
        if master.intersects(PollFlags::IN | over) && self.to_user.is_empty() {
            self.take_output();
        }
        if output.intersects(PollFlags::OUT | over) {
            self.give_output()?;
        }
        Ok(interrupts)
    }

    fn take_output(&mut self) {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&self.master, &mut buffer) {
            // EIO says that the program's side is closed.
            Ok(0) | Err(Errno::IO) => self.hung_up = true,
            Ok(count) => self.to_user.extend_from_slice(&buffer[..count]),
            Err(_) => {}
        }
    }

    fn give_output(&mut self) -> io::Result<()> {
        if self.to_user.is_empty() {
            return Ok(());
        }
        match rustix::io::write(&self.output, &self.to_user) {
            Ok(count) => drop(self.to_user.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Delivers what the program wrote before its end.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            while !self.to_user.is_empty() {
                let mut wait = [PollFd::new(&self.output, PollFlags::OUT)];
                poll(&mut wait, None)?;
                self.give_output()?;
            }
            if !self.hung_up {
                self.take_output();
            }
            if self.to_user.is_empty() {
                return Ok(());
            }
        }
    }

    fn key(&self, index: SpecialCodeIndex, otherwise: u8) -> u8 {
        // The master answers with the program's settings.
        tcgetattr(&self.master).map_or(otherwise, |settings| settings.special_codes[index])
    }

    fn interrupts(&self, keys: &[u8]) -> usize {
        let Ok(settings) = tcgetattr(&self.master) else {
            return 0;
        };
        if !settings.local_modes.contains(LocalModes::ISIG) {
            return 0;
        }
        let key = settings.special_codes[SpecialCodeIndex::VINTR];
        keys.iter().filter(|byte| **byte == key).count()
    }
}

/// The signals that are passed on, taken away from this process until dropped.
#[derive(Debug)]
pub struct Signals {
    blocked: BlockedSignals,
}

impl Signals {
    /// Blocks them. To be called before the container is started, so that none is lost.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn block() -> io::Result<Self> {
        // What this process was started to ignore, as by nohup, stays ignored.
        let taken: Vec<Signal> = FORWARDED
            .into_iter()
            .filter(|signal| !is_ignored(*signal))
            .collect();
        let blocked = BlockedSignals::new(SignalSet::of(&taken))?;
        Ok(Self { blocked })
    }

    /// The first signal that asks for an end among those that have come since
    /// the last look; the others are dropped. For a wait before [`supervise`].
    ///
    /// # Errors
    /// As signalfd(2) says.
    pub fn asked_to_end(&self) -> io::Result<Option<Signal>> {
        let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
        while let Some(taken) = self.blocked.take()? {
            if ends.contains(&taken.signal) {
                return Ok(Some(taken.signal));
            }
        }
        Ok(None)
    }

    /// The mask from before, for a child.
    pub fn mask_before(&self) -> SignalSet {
        self.blocked.before()
    }
}

/// What [`supervise`] tells while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The program was asked to end by this signal 10 s ago. The next Ctrl-C kills it.
    StillRunning(Signal),
    /// The program is being killed: it has no handler for this signal, or the user insisted.
    Killing(Signal),
}

/// How the wait ended: the program has, and is to be reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Set where the program was killed in place of a signal that it has no
    /// handler for: the exit code is 128 and its number, as outside a container.
    pub killed_by: Option<Signal>,
}

/// A further file to watch; the callback says whether to go on watching it.
pub struct Extra<'a> {
    /// Watched for reading.
    pub file: BorrowedFd<'a>,
    /// Called when there is something to read, or the other end is closed.
    pub ready: &'a mut dyn FnMut() -> io::Result<bool>,
}

/// Waits for the end of the program with this pid (as seen from here) and
/// pidfd, passes signals on, relays the terminal and serves the extra files.
///
/// # Errors
/// poll(2) fails, standard output is closed on us, or what a callback returns.
pub fn supervise(
    pid: Pid,
    pidfd: BorrowedFd<'_>,
    signals: &Signals,
    mut pty: Option<&mut Pty>,
    extras: &mut [Extra<'_>],
    tell: &mut dyn FnMut(Event),
) -> io::Result<End> {
    let mut watch = Watch {
        pid,
        pidfd,
        asked: None,
        told: false,
        interrupts: Vec::new(),
        killed_by: None,
    };
    let mut live = vec![true; extras.len()];
    loop {
        let mut files = vec![
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
            PollFd::new(&signals.blocked, PollFlags::IN),
        ];
        let mut kinds = Vec::new();
        for (index, extra) in extras.iter().enumerate().filter(|(index, _)| live[*index]) {
            kinds.push(index);
            files.push(PollFd::from_borrowed_fd(extra.file, PollFlags::IN));
        }
        let wanted = pty.as_deref().map(Pty::wanted);
        let mut places = [None; 3];
        for (place, (file, flags)) in places.iter_mut().zip(wanted.into_iter().flatten()) {
            if let Some(file) = file {
                *place = Some(files.len());
                files.push(PollFd::from_borrowed_fd(file, flags));
            }
        }
        match poll(&mut files, watch.timeout().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<PollFlags> = files.iter().map(PollFd::revents).collect();
        drop(files);
        if let Some(pty) = pty.as_deref_mut() {
            let answers = places.map(|place| place.map_or(PollFlags::empty(), |at| ready[at]));
            for _ in 0..pty.relay(answers)? {
                // The terminal raises it for its foreground group; a program
                // in another one than process 1 gets it by itself.
                let group = tcgetpgrp(&pty.master).ok();
                let by_default = by_default(pid, Signal::INT);
                watch.interrupted(group == Some(pid), by_default, tell);
            }
        }
        for (place, index) in kinds.into_iter().enumerate() {
            if !ready[2 + place].is_empty() {
                live[index] = (extras[index].ready)()?;
            }
        }
        if !ready[0].is_empty() {
            if let Some(pty) = pty {
                pty.drain()?;
            }
            return Ok(End {
                killed_by: watch.killed_by,
            });
        }
        while let Some(taken) = signals.blocked.take()? {
            match pty.as_deref() {
                // The change of size raises the program's own signal.
                Some(pty) if taken.signal == Signal::WINCH => pty.resize(),
                _ => watch.forward(taken, tell),
            }
        }
        watch.remind(tell);
    }
}

struct Watch<'a> {
    pid: Pid,
    pidfd: BorrowedFd<'a>,
    asked: Option<(Signal, Instant)>,
    told: bool,
    interrupts: Vec<Instant>,
    killed_by: Option<Signal>,
}

impl Watch<'_> {
    fn timeout(&self) -> Option<Timespec> {
        let (_, since) = self.asked.filter(|_| !self.told)?;
        let left = (since + GRACE).saturating_duration_since(Instant::now());
        Some(Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    fn forward(&mut self, taken: Taken, tell: &mut dyn FnMut(Event)) {
        let signal = taken.signal;
        // Looked at before it is sent: one that has handled it may give the
        // handler back on its way out, as Python does.
        let by_default = by_default(self.pid, signal);
        // Asked each time: a program may change its group.
        let there =
            taken.by_kernel && getpgid(Some(self.pid)).is_ok_and(|group| group == getpgrp());
        if !there {
            // It fails when the program has ended, which the pidfd tells next.
            let _ = pidfd_send_signal(self.pidfd, signal);
        }
        match signal {
            Signal::INT => self.interrupted(true, by_default, tell),
            Signal::TERM | Signal::HUP | Signal::QUIT => self.ask(signal, by_default, tell),
            // What a program without a handler for these does outside, too.
            Signal::USR1 | Signal::USR2 | Signal::ALARM if by_default => self.kill(signal, tell),
            _ => {}
        }
    }

    fn interrupted(&mut self, first_process: bool, by_default: bool, tell: &mut dyn FnMut(Event)) {
        let now = Instant::now();
        self.interrupts.retain(|at| now - *at < IMPATIENCE);
        self.interrupts.push(now);
        if self.told || self.interrupts.len() >= 3 {
            self.kill(Signal::KILL, tell);
        } else if first_process {
            self.ask(Signal::INT, by_default, tell);
        }
    }

    fn ask(&mut self, signal: Signal, by_default: bool, tell: &mut dyn FnMut(Event)) {
        self.asked.get_or_insert((signal, Instant::now()));
        if by_default {
            self.kill(signal, tell);
        }
    }

    fn kill(&mut self, signal: Signal, tell: &mut dyn FnMut(Event)) {
        if pidfd_send_signal(self.pidfd, Signal::KILL).is_ok() && self.killed_by.is_none() {
            self.killed_by = Some(signal);
            tell(Event::Killing(signal));
        }
    }

    fn remind(&mut self, tell: &mut dyn FnMut(Event)) {
        if let Some((signal, since)) = self.asked
            && !self.told
            && since.elapsed() >= GRACE
        {
            self.told = true;
            tell(Event::StillRunning(signal));
        }
    }
}

/// Whether the process neither handles, ignores nor blocks the signal (one that
/// it blocks it takes by sigwait or signalfd). Not known counts as no.
fn by_default(pid: Pid, signal: Signal) -> bool {
    let pid = pid.as_raw_nonzero();
    // One reading, so that the three belong together.
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    ["SigBlk:", "SigIgn:", "SigCgt:"]
        .into_iter()
        .all(|name| set_of(&status, name).is_some_and(|set| !set.contains(signal)))
}

/// A set of signals in the status of a process (man 5 proc_pid_status).
fn set_of(status: &str, name: &str) -> Option<SignalSet> {
    let text = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(text.trim(), 16)
        .ok()
        .map(SignalSet::from_bits)
}
