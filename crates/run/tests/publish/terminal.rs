//! The user's terminal, with a pty in its place.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ounce_run::terminal::{Pty, Signals, Terminal, supervise};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::role_command;

/// What `ounce run` does, with a shell in the container's place.
pub(crate) fn foreground(how: &str, script: &str) -> i32 {
    let stdin = std::io::stdin();
    let terminal = Terminal::save(stdin.as_fd()).unwrap();
    if how == "panic" {
        terminal.as_ref().unwrap().raw().unwrap();
        panic!("on purpose");
    }
    let mut pty = None;
    let mut command;
    if how == "pty" {
        terminal.as_ref().unwrap().raw().unwrap();
        let (ours, tty) = Pty::open(stdin.as_fd(), std::io::stdout().as_fd()).unwrap();
        pty = Some(ours);
        command = Command::new("setsid");
        command
            .args(["-c", "sh", "-c", script])
            .stdin(tty.slave.try_clone().unwrap())
            .stdout(tty.slave.try_clone().unwrap())
            .stderr(tty.slave);
    } else {
        command = Command::new("sh");
        command.args(["-c", script]);
    }
    let mut child = command.spawn().unwrap();
    drop(command);
    // After the start here only because std gives the mask on to the child.
    let signals = Signals::block().unwrap();
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let end = supervise(
        pid,
        pidfd.as_fd(),
        &signals,
        pty.as_mut(),
        &mut [],
        &mut |event| println!("{event:?}"),
    )
    .unwrap();
    let status = child.wait().unwrap();
    drop(terminal);
    match end.killed_by {
        Some(signal) => 128 + signal.as_raw(),
        None => status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap()),
    }
}

struct Session {
    user: File,
    slave: OwnedFd,
    child: Child,
    before: String,
}

fn session(how: &str, script: &str) -> Session {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    let size = Winsize {
        ws_row: 33,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).unwrap();
    let before = format!("{:?}", tcgetattr(&slave).unwrap());
    let role = role_command(&format!("terminal;{how};{script}"));
    let child = Command::new("setsid")
        .args(["-c", "-w"])
        .arg(role.get_program())
        .envs(
            role.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .stdin(Stdio::from(slave.try_clone().unwrap()))
        .stdout(Stdio::from(slave.try_clone().unwrap()))
        .stderr(Stdio::from(slave.try_clone().unwrap()))
        .spawn()
        .unwrap();
    Session {
        user: File::from(master),
        slave,
        child,
        before,
    }
}

impl Session {
    /// Reads what is shown until it has the text.
    fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        let mut buffer = [0; 1024];
        while !seen.contains(text) {
            let count = self.user.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        seen
    }

    fn end(&mut self) -> i32 {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "it goes on");
            thread::sleep(Duration::from_millis(5));
        };
        let after = format!("{:?}", tcgetattr(&self.slave).unwrap());
        assert_eq!(after, self.before);
        status.code().unwrap_or(-1)
    }
}

pub(crate) fn settings_come_back_after_a_killed_program() {
    let mut session = session("plain", "stty raw -echo; echo set; kill -9 $$");
    session.until("set");
    assert_eq!(session.end(), 137);
}

pub(crate) fn settings_come_back_after_a_panic() {
    let mut session = session("panic", "");
    session.until("on purpose");
    assert_eq!(session.end(), 101);
}

pub(crate) fn settings_come_back_after_sigterm() {
    let mut session = session("plain", "stty raw -echo; echo set; exec sleep 60");
    session.until("set");
    thread::sleep(Duration::from_millis(200));
    // setsid forks where it leads a group already; it does not here.
    kill_process(Pid::from_child(&session.child), Signal::TERM).unwrap();
    assert_eq!(session.end(), 143);
}

pub(crate) fn a_handler_has_its_say() {
    let script = "trap 'echo heard; exit 7' INT TERM; echo set; while :; do sleep 0.05; done";
    let mut session = session("plain", script);
    session.until("set");
    thread::sleep(Duration::from_millis(100));
    // Ctrl-C, as the terminal tells it to the whole group.
    session.user.write_all(b"\x03").unwrap();
    session.until("heard");
    assert_eq!(session.end(), 7);
}

pub(crate) fn a_handler_given_back_on_the_way_out_has_its_say() {
    // As Python does when it ends: whoever looks for a handler now finds none.
    let script = "trap 'trap - TERM; sleep 0.1; exit 7' TERM; echo set; sleep 60 & wait";
    for _ in 0..5 {
        let mut session = session("plain", script);
        session.until("set");
        thread::sleep(Duration::from_millis(50));
        kill_process(Pid::from_child(&session.child), Signal::TERM).unwrap();
        assert_eq!(session.end(), 7);
    }
}

pub(crate) fn a_third_interrupt_kills() {
    let script = "trap '' INT; echo set; while :; do sleep 0.05; done";
    let mut session = session("plain", script);
    session.until("set");
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(150));
        assert!(session.child.try_wait().unwrap().is_none());
        session.user.write_all(b"\x03").unwrap();
    }
    session.until("Killing");
    assert_eq!(session.end(), 137);
}

pub(crate) fn a_program_has_a_terminal_of_its_own() {
    let script = "stty size; tty -s && echo terminal; read line; echo \"<$line>\"; exit 5";
    let mut session = session("pty", script);
    let seen = session.until("terminal");
    assert!(seen.contains("33 77"), "{seen}");
    session.user.write_all(b"keys\r").unwrap();
    session.until("<keys>");
    assert_eq!(session.end(), 5);
}
