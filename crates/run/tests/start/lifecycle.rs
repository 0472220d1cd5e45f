//! How containers end, and that nothing of them is left.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ounce_run::terminal::{Pty, Signals, supervise};
use ounce_run::{Beginning, Exit};
use rustix::process::Signal;

use crate::program::{begin, folder, in_folder, probe, read, rootfs, run, spec, words};

#[test]
fn a_programs_code_is_passed_on() {
    assert_eq!(run(&spec(&["hello"])).output, "hello\n");
    assert_eq!(run(&spec(&["exit", "0"])).exit.code(), 0);
    assert_eq!(run(&spec(&["exit", "1"])).exit.code(), 1);
    assert_eq!(run(&spec(&["exit", "255"])).exit.code(), 255);
}

#[test]
fn what_cannot_be_executed_is_126_and_what_is_not_there_127() {
    let root = rootfs();
    fs::write(root.path().join("text"), "no program").unwrap();
    let code = |program: &str| {
        let mut spec = in_folder(root.path(), &[]);
        spec.arguments = words(&[program]);
        let error = begin(&spec).unwrap_err();
        assert!(error.hint().is_some());
        (error.exit_code(), error.to_string())
    };
    let denied = (126, "executing /text: permission denied".to_owned());
    assert_eq!(code("/text"), denied);
    let missing = (
        127,
        "executing nothing: no such file or directory".to_owned(),
    );
    assert_eq!(code("nothing"), missing);
    let mut spec = in_folder(root.path(), &[]);
    spec.workdir = "/absent".into();
    let error = begin(&spec).unwrap_err();
    let text = "entering the folder /absent: no such file or directory";
    assert_eq!((error.exit_code(), error.to_string().as_str()), (125, text));
}

fn until_up(output: &fs::File) {
    let end = Instant::now() + Duration::from_secs(20);
    while !read(output).contains("up") {
        assert!(Instant::now() < end, "the program did not come up");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_signal_ends_a_program_that_does_not_look_after_it() {
    let (mut container, output) = begin(&spec(&["pause"])).unwrap();
    until_up(&output);
    container.kill(Signal::INT).unwrap();
    let exit = container.wait().unwrap();
    assert_eq!((exit, exit.code()), (Exit::Signal(2), 130));
    let (mut container, _output) = begin(&spec(&["pause"])).unwrap();
    container.kill(Signal::KILL).unwrap();
    assert_eq!(container.wait().unwrap().code(), 137);
}

#[test]
fn a_program_that_handles_sigterm_ends_by_itself() {
    let (mut container, output) = begin(&spec(&["polite"])).unwrap();
    until_up(&output);
    let exit = container.stop(Duration::from_secs(20)).unwrap();
    assert_eq!(exit, Exit::Code(7));
    assert_eq!(read(&output), "up\nterm\n");
    assert!(container.kill(Signal::TERM).is_err());
}

#[test]
fn memory_is_told_while_it_runs() {
    let (container, output) = begin(&spec(&["pause"])).unwrap();
    until_up(&output);
    let memory = container.memory().unwrap();
    assert!(memory.private_dirty_bytes > 0 && memory.rss_bytes >= memory.private_dirty_bytes);
}

/// Names of ours among the processes' control groups.
fn groups(pid: u32) -> Vec<String> {
    let mut found = vec![];
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next().unwrap(), fields.next().unwrap());
        for base in [
            Path::new("/sys/fs/cgroup").join(names),
            "/sys/fs/cgroup/ounce".into(),
        ] {
            for folder in [base.join(path.trim_start_matches('/')), base] {
                for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name.starts_with(&format!("ounce-{pid}-")) {
                        found.push(name);
                    }
                }
            }
        }
    }
    found
}

fn role(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "role",
            "--ignored",
            "--test-threads=1",
            "--nocapture",
        ])
        .env("OUNCE_ROLE", role)
        .env("OUNCE_PROBE", probe());
    command
}

/// What a process has, besides memory.
fn counts() -> (usize, usize, usize) {
    let lines = |file: &str| fs::read_to_string(file).unwrap().lines().count();
    let files = fs::read_dir("/proc/self/fd").unwrap().count();
    (
        files,
        lines("/proc/self/mountinfo"),
        lines("/proc/self/maps"),
    )
}

/// In a process of its own: 1,000 starts, or as many as `OUNCE_CYCLES` says; of
/// ten, one with a control group where one can be had, one that fails at its
/// last step, and one that is dropped before it is told what to run.
pub(crate) fn cycles() {
    let plain = spec(&["exit", "3"]);
    let mut grouped = plain.clone();
    grouped.limits.pids = Some(100);
    let root = rustix::process::geteuid().is_root();
    let mut absent = plain.clone();
    absent.arguments = vec!["/absent".into()];
    let round = |number: usize| match number % 10 {
        0 if root => assert_eq!(run(&grouped).exit, Exit::Code(3)),
        1 => assert_eq!(begin(&absent).unwrap_err().exit_code(), 127),
        2 => drop(Beginning::new(plain.network, &plain.limits)),
        _ => assert_eq!(run(&plain).exit, Exit::Code(3)),
    };
    (0..10).for_each(round);
    let before = counts();
    let cycles = std::env::var("OUNCE_CYCLES").ok();
    (0..cycles.map_or(1000, |count| count.parse().unwrap())).for_each(round);
    let after = counts();
    assert_eq!((before.0, before.1), (after.0, after.1));
    // The allocator may map another piece or two.
    assert!(after.2 <= before.2 + 3, "{before:?} {after:?}");
    assert_eq!(groups(std::process::id()), Vec::<String>::new());
    // One janitor at most; every container has been reaped.
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
    assert!(children.unwrap_or_default().split_whitespace().count() <= 1);
}

#[test]
fn a_thousand_starts_of_a_program_that_ends_at_once_leave_nothing() {
    let output = role("cycles").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// In a process of its own: a container that goes on until this is killed.
pub(crate) fn keeper() {
    let mut spec = spec(&["pause"]);
    if rustix::process::geteuid().is_root() {
        spec.limits.pids = Some(100);
    }
    let (mut container, output) = begin(&spec).unwrap();
    until_up(&output);
    println!("\nPID {}", container.pid());
    std::io::stdout().flush().unwrap();
    let _ = container.wait();
}

#[test]
fn killing_ounce_leaves_neither_process_nor_group() {
    let _ = folder();
    for _ in 0..10 {
        let mut keeper = role("keeper").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        let pid = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("PID ").map(str::to_owned))
            .unwrap();
        let root = rustix::process::geteuid().is_root();
        assert_eq!(
            !groups(keeper.id()).is_empty(),
            root,
            "groups while it runs"
        );
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let alive = || {
            // A zombie waits only for whoever inherits it.
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
        };
        while alive() || !groups(keeper.id()).is_empty() {
            assert!(
                Instant::now() < end,
                "left: {} {:?}",
                alive(),
                groups(keeper.id())
            );
            sleep(Duration::from_millis(5));
        }
    }
}

/// In a process of its own: a container on a terminal of its own.
pub(crate) fn terminal() {
    let signals = Signals::block().unwrap();
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let (mut pty, tty) = Pty::open(stdin.as_fd(), stdout.as_fd()).unwrap();
    let mut spec = spec(&["terminal"]);
    spec.terminal = true;
    let mut container = ounce_run::start_with(&spec, [tty.slave.as_fd(); 3]).unwrap();
    drop(tty);
    let pty = Some(&mut pty);
    supervise(
        container.id(),
        container.pidfd(),
        &signals,
        pty,
        &mut [],
        &mut |_| (),
    )
    .unwrap();
    let exit = container.wait().unwrap();
    println!("\nCODE {}", exit.code());
}

#[test]
fn a_terminal_is_the_programs_own_and_its_last_words_come_through() {
    let output = role("terminal").stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("terminal: 1 1 1, controlling\r\n"), "{text}");
    assert!(text.contains("CODE 0"), "{text}");
}
