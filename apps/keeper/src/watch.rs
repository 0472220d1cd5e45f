//! The watch itself: until the program's end, and what follows from that.

use core::ffi::CStr;

use ounce_linux::bare::{self, Clock, moment};
use ounce_linux::process::{Text, execute_file};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::{Errno, FdFlags, fcntl_setfd, pwrite};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::log::Log;
use crate::options::Options;
use crate::text::Line;

/// The file whose presence says that the container is meant to end.
const STOP: &CStr = c"stop";
/// A program that ran so long was started well, and the pauses begin anew.
const WELL_MS: u64 = 10_000;
/// The first pause before a restart; each further one is twice as long.
const PAUSE_MS: u64 = 100;
/// The longest one, as docker has it.
const LONGEST_PAUSE_MS: u64 = 60_000;

/// How the program ended.
#[derive(Clone, Copy)]
enum End {
    Code(u32),
    Signal(u32),
}

struct Keeper {
    options: Options,
    log: Log,
    signals: OwnedFd,
    /// When it is to be killed, after it was asked to end.
    deadline: Option<u64>,
    /// Whether it was asked to end.
    asked: bool,
}

/// Watches until the container's end; does not return where it is started again.
pub(crate) fn watch(mut options: Options) -> u8 {
    let Some(signals) = u32::try_from(bare::signals())
        .ok()
        .and_then(ounce_linux::descriptor::inherited)
    else {
        return 1;
    };
    // None of it goes to the next `ounce`, which opens its own.
    let files = [
        Some(&options.exit),
        options.output.as_ref(),
        options.error.as_ref(),
        options.log.as_ref(),
        options.ounce.as_ref(),
    ];
    for file in files.into_iter().flatten() {
        let _ = fcntl_setfd(file, FdFlags::CLOEXEC);
    }
    let log = Log::new(options.log.take(), options.log_bytes);
    let began = now();
    let mut keeper = Keeper {
        options,
        log,
        signals,
        deadline: None,
        asked: false,
    };
    let end = keeper.follow();
    keeper.drain();
    keeper.record(end);
    keeper.remove_groups();
    if now() - began >= WELL_MS {
        keeper.options.failures = 0;
    }
    if keeper.is_to_restart(end) {
        keeper.pause();
        if !keeper.is_asked() {
            keeper.start_again();
        }
    }
    if keeper.options.remove {
        keeper.remove();
    }
    0
}

/// Milliseconds of a clock that never goes back.
fn now() -> u64 {
    let [seconds, nanoseconds] = moment(Clock::Steady);
    seconds * 1000 + nanoseconds / 1_000_000
}

impl Keeper {
    fn follow(&mut self) -> End {
        loop {
            if let Some(end) = self.reap() {
                return end;
            }
            self.wait(self.deadline);
            if self.deadline.is_some_and(|deadline| now() >= deadline) {
                self.deadline = None;
                self.send(Signal::KILL);
            }
        }
    }

    /// Takes in all children that have ended; how the program did.
    fn reap(&self) -> Option<End> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if pid.as_raw_nonzero().get() as u32 == self.options.pid {
                        let code = status.exit_status().map(|code| End::Code(code as u32));
                        let signal = status.terminating_signal();
                        return code.or(signal.map(|signal| End::Signal(signal as u32)));
                    }
                }
                Ok(None) => return None,
                Err(Errno::INTR) => {}
                // It is not ours, or was taken from us: never by `ounce`.
                Err(_) => return Some(End::Signal(9)),
            }
        }
    }

    /// Waits for something to happen, until this moment at the latest, and
    /// deals with it.
    fn wait(&mut self, until: Option<u64>) {
        let timeout = until.map(|until| {
            let left = until.saturating_sub(now());
            Timespec {
                tv_sec: (left / 1000) as i64,
                tv_nsec: ((left % 1000) * 1_000_000) as i64,
            }
        });
        let own = self.signals.as_fd();
        let mut files = [
            PollFd::from_borrowed_fd(own, PollFlags::IN),
            watched(&self.options.output, own),
            watched(&self.options.error, own),
        ];
        if poll(&mut files, timeout.as_ref()).is_err() {
            return;
        }
        let [signals, output, error] = files.map(|file| !file.revents().is_empty());
        if output && !copy(&mut self.log, &self.options.output, b"stdout") {
            self.options.output = None;
        }
        if error && !copy(&mut self.log, &self.options.error, b"stderr") {
            self.options.error = None;
        }
        if signals {
            self.take_signals();
        }
    }

    fn take_signals(&mut self) {
        let mut record = [0; 128];
        loop {
            match rustix::io::read(&self.signals, &mut record) {
                Ok(128) => {}
                _ => return,
            }
            let [signal, ..] = record;
            if u32::from(signal) != bare::CHILD_CHANGED && !self.asked {
                self.ask();
            }
        }
    }

    /// Asks the program to end. One that has no handler for SIGTERM, and as the
    /// first process of its namespace is shielded from it, is killed at once, and
    /// a word left that this is what was meant.
    fn ask(&mut self) {
        self.asked = true;
        if looks_after_its_end(self.options.pid) {
            self.send(Signal::TERM);
            self.deadline = Some(now() + u64::from(self.options.stop_timeout_ms));
            return;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        if let Ok(file) = openat(CWD, STOP, flags, Mode::RUSR | Mode::WUSR) {
            let _ = rustix::io::write(&file, b"15");
        }
        self.send(Signal::KILL);
    }

    fn send(&self, signal: Signal) {
        // Our child, which only we reap: the number is still its own.
        if let Some(pid) = Pid::from_raw(self.options.pid as i32) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Takes over what the program said last.
    fn drain(&mut self) {
        let streams = [
            (self.options.output.take(), &b"stdout"[..]),
            (self.options.error.take(), b"stderr"),
        ];
        for (file, stream) in streams {
            let Some(file) = file else { continue };
            loop {
                let mut files = [PollFd::new(&file, PollFlags::IN)];
                match poll(&mut files, Some(&Timespec::default())) {
                    Ok(1..) if self.log.copy(file.as_fd(), stream) => {}
                    _ => break,
                }
            }
        }
    }

    /// Writes down how it ended, in the place that was taken before the start.
    fn record(&self, end: End) {
        let (kind, number) = match end {
            End::Code(code) => (&b"code "[..], code),
            End::Signal(signal) => (&b"signal "[..], signal),
        };
        let mut line: Line<64> = Line::EMPTY;
        line.put(kind).number(number.into(), 1).put(b" ");
        line.number(bare::time(Clock::Real), 1).put(b" ");
        line.number(self.options.start.into(), 1);
        while line.room() > 1 {
            line.put(b" ");
        }
        line.put(b"\n");
        let _ = pwrite(&self.options.exit, line.bytes(), 0);
    }

    fn is_asked(&self) -> bool {
        self.asked || statat(CWD, STOP, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn is_to_restart(&self, end: End) -> bool {
        !matches!(end, End::Code(0))
            && self.options.ounce.is_some()
            && self.options.start <= self.options.most_restarts
            && !self.is_asked()
    }

    /// Waits before the next start; being asked to end ends the wait.
    fn pause(&mut self) {
        let shift = self.options.failures.min(10);
        let until = now() + (PAUSE_MS << shift).min(LONGEST_PAUSE_MS);
        while now() < until && !self.is_asked() {
            self.wait(Some(until));
            // Helpers that end meanwhile.
            let _ = self.reap_others();
        }
    }

    fn reap_others(&self) -> Result<(), Errno> {
        while wait(WaitOptions::NOHANG)?.is_some() {}
        Ok(())
    }

    /// Executes `ounce` in this place; comes back only where that fails.
    fn start_again(&mut self) {
        let Some(ounce) = self.options.ounce.take() else {
            return;
        };
        let mut start: Line<16> = Line::EMPTY;
        start.number(u64::from(self.options.start) + 1, 1).put(&[0]);
        let mut failures: Line<16> = Line::EMPTY;
        let count = self.options.failures.saturating_add(1);
        failures.number(count.into(), 1).put(&[0]);
        let text = ounce_linux::descriptor::c_str;
        let (Some(start), Some(failures)) = (text(start.bytes()), text(failures.bytes())) else {
            return;
        };
        let arguments = [
            Text::new(c"ounce"),
            Text::new(c"keep"),
            Text::new(self.options.name),
            Text::new(self.options.handed),
            Text::new(start),
            Text::new(failures),
            Text::END,
        ];
        execute_file(ounce.as_fd(), &arguments, &[Text::END]);
        self.log.say(b"ounce itself could not be started again");
    }

    /// The last process may still be on its way out of a group.
    fn remove_groups(&self) {
        for group in self.options.groups.iter().flatten() {
            for _ in 0..500 {
                match unlinkat(CWD, *group, AtFlags::REMOVEDIR) {
                    Err(Errno::BUSY) => {
                        let pause = Timespec {
                            tv_sec: 0,
                            tv_nsec: 2_000_000,
                        };
                        let _ = rustix::thread::nanosleep(&pause);
                    }
                    _ => break,
                }
            }
        }
    }

    /// Removes the container's folder.
    fn remove(&self) {
        const FILES: [&CStr; 10] = [
            // First: without it, it is no container any more.
            c"container.json",
            c"container.json.new",
            c"running.json",
            c"running.json.new",
            STOP,
            c"exit.new",
            c"log.new",
            c"log.1",
            c"log",
            c"exit",
        ];
        // `..` of this folder is the one of all containers, whatever became of
        // the name: only ours is removed.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(above) = openat(CWD, c"..", flags, Mode::empty()) else {
            return;
        };
        for file in FILES {
            let _ = unlinkat(CWD, file, AtFlags::empty());
        }
        let _ = unlinkat(&above, self.options.name, AtFlags::REMOVEDIR);
    }
}

/// Whether a process catches, ignores or blocks SIGTERM (man 5 proc_pid_status);
/// one that cannot be looked at counts as such.
fn looks_after_its_end(pid: u32) -> bool {
    const SIGTERM: u64 = 1 << 14;
    let mut path: Line<32> = Line::EMPTY;
    path.put(b"/proc/").number(pid.into(), 1).put(b"/status\0");
    let Some(path) = ounce_linux::descriptor::c_str(path.bytes()) else {
        return true;
    };
    let mut text = [0; 2048];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let read =
        openat(CWD, path, flags, Mode::empty()).and_then(|file| rustix::io::read(&file, &mut text));
    let text = text.get(..read.unwrap_or(0)).unwrap_or_default();
    let mut known = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let is_set = [&b"SigBlk:\t"[..], b"SigIgn:\t", b"SigCgt:\t"]
            .iter()
            .find_map(|name| line.strip_prefix(*name));
        let Some(digits) = is_set else { continue };
        known += 1;
        let set = digits.iter().fold(0_u64, |set, digit| {
            let value = match digit {
                b'a'..=b'f' => digit - b'a' + 10,
                _ => digit.wrapping_sub(b'0'),
            };
            set << 4 | u64::from(value & 15)
        });
        if set & SIGTERM != 0 {
            return true;
        }
    }
    known < 3
}

/// A stream to wait for; in place of one that is not there, `other` for nothing.
fn watched<'a>(file: &'a Option<OwnedFd>, other: BorrowedFd<'a>) -> PollFd<'a> {
    match file {
        None => PollFd::from_borrowed_fd(other, PollFlags::empty()),
        Some(file) => PollFd::new(file, PollFlags::IN),
    }
}

fn copy(log: &mut Log, file: &Option<OwnedFd>, stream: &[u8]) -> bool {
    match file {
        Some(file) => log.copy(file.as_fd(), stream),
        None => false,
    }
}
