//! The screen on a terminal: what it leaves behind, however it ends.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::harness::Workbench;
use crate::programs::prints;

/// ounce on a terminal of its own.
struct Shown {
    user: File,
    terminal: OwnedFd,
    child: Child,
    before: String,
}

fn settings(terminal: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(terminal).unwrap())
}

/// Whether the terminal is the process's own, as a shell would have it, or one
/// that it was only given: then no signal tells that it has hung up.
#[derive(Clone, Copy, PartialEq)]
enum Terminal {
    Own,
    Given,
}

fn show(bench: &Workbench, whose: Terminal) -> Shown {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let user = openpt(flags).unwrap();
    unlockpt(&user).unwrap();
    let terminal = ioctl_tiocgptpeer(&user, flags).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let before = settings(&terminal);
    let stream = || Stdio::from(terminal.try_clone().unwrap());
    let ounce = bench.ounce(&["weigh", "hi", "--tui"]);
    let mut command = Command::new("setsid");
    if whose == Terminal::Own {
        command.arg("-c");
    }
    let child = command
        .arg("-w")
        .arg(ounce.get_program())
        .args(ounce.get_args())
        .envs(
            ounce
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .env("TERM", "xterm")
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap();
    Shown {
        user: File::from(user),
        terminal,
        child,
        before,
    }
}

impl Shown {
    /// Reads what is shown until it has the text.
    fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        while !seen.contains(text) {
            let count = self.user.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        seen
    }

    /// The process that draws: setsid's child.
    fn ounce(&self) -> Pid {
        let id = self.child.id();
        let path = format!("/proc/{id}/task/{id}/children");
        let begin = Instant::now();
        loop {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some(Ok(id)) = children.split_whitespace().next().map(str::parse) {
                return Pid::from_raw(id).unwrap();
            }
            // setsid that need not fork has become ounce.
            if begin.elapsed() > Duration::from_millis(500) {
                return Pid::from_raw(id as i32).unwrap();
            }
        }
    }
}

#[test]
fn a_signal_during_the_screen_leaves_the_terminal_as_it_was() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    bench.succeed(&["build", "hi"]);
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let mut shown = show(&bench, Terminal::Own);
        shown.until("quit");
        assert_ne!(settings(&shown.terminal), shown.before, "it is raw");
        kill_process(shown.ounce(), signal).unwrap();
        // Back from the other screen, the cursor seen again.
        let seen = shown.until("\u{1b}[?25h");
        assert!(seen.contains("\u{1b}[?1049l"), "{seen:?}");
        assert_eq!(shown.child.wait().unwrap().code(), Some(code));
        assert_eq!(settings(&shown.terminal), shown.before);
    }
    // As by a key.
    let mut shown = show(&bench, Terminal::Own);
    shown.until("quit");
    std::io::Write::write_all(&mut shown.user, b"q").unwrap();
    assert_eq!(shown.child.wait().unwrap().code(), Some(0));
    assert_eq!(settings(&shown.terminal), shown.before);
}

#[test]
fn a_terminal_that_hangs_up_ends_the_screen() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    bench.succeed(&["build", "hi"]);
    for whose in [Terminal::Own, Terminal::Given] {
        let mut shown = show(&bench, whose);
        shown.until("quit");
        let Shown {
            user,
            terminal,
            mut child,
            ..
        } = shown;
        drop((user, terminal));
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
