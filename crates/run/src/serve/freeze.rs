//! Stopping the processes of a container for a moment (SIGSTOP), so that what
//! is seen of it stays true until it is decided what becomes of it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a process may take until it stands; one that is in the middle of
/// reading from a disk takes as long as the disk.
const PATIENCE: Duration = Duration::from_millis(50);
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(50);

/// Processes that stand still as long as this lives.
#[derive(Debug)]
pub(super) struct Frozen {
    /// Each with its number; the first is the one that was named.
    processes: Vec<(i32, OwnedFd)>,
}

/// Stops a child of ours and all that descend from it; nothing if one of them
/// does not come to stand, or has ended. `single` is one that has no children.
pub(super) fn freeze(pid: Pid, pidfd: BorrowedFd<'_>, single: bool) -> Option<Frozen> {
    let pid = pid.as_raw_nonzero().get();
    let mut frozen = Frozen {
        processes: Vec::new(),
    };
    frozen.stop(pid, pidfd.try_clone_to_owned().ok()?)?;
    if single || is_alone(pid) {
        return Some(frozen);
    }
    // Parents first: who stands makes no more children, and reaps none, so
    // that no number of a child passes on to another process meanwhile.
    let mut next = 0;
    while let Some((parent, _)) = frozen.processes.get(next) {
        let parent = *parent;
        for child in children(parent) {
            if let Some(number) = Pid::from_raw(child)
                && let Ok(pidfd) = pidfd_open(number, PidfdFlags::empty())
                && self::parent(child) == Some(parent)
            {
                frozen.stop(child, pidfd)?;
            }
        }
        next += 1;
    }
    Some(frozen)
}

impl Frozen {
    fn stop(&mut self, pid: i32, pidfd: OwnedFd) -> Option<()> {
        let sent = pidfd_send_signal(&pidfd, Signal::STOP);
        self.processes.push((pid, pidfd));
        sent.ok()?;
        let end = Instant::now() + PATIENCE;
        loop {
            match state(pid)? {
                'T' | 't' => return Some(()),
                // One that has ended accepts nothing any more.
                'Z' | 'X' => return Some(()),
                _ if Instant::now() >= end => return None,
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The inodes of all sockets that they have open.
    pub(super) fn sockets(&self) -> Vec<u32> {
        let files = self
            .processes
            .iter()
            .filter_map(|(pid, _)| fs::read_dir(format!("/proc/{pid}/fd")).ok());
        files
            .flatten()
            .flatten()
            .filter_map(|file| {
                let link = fs::read_link(file.path()).ok()?;
                let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                inode.parse().ok()
            })
            .collect()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for (_, pidfd) in &self.processes {
            let _ = pidfd_send_signal(pidfd.as_fd(), Signal::CONT);
        }
    }
}

/// `/proc/PID/stat` from its third field on; the second is the name, in which
/// anything can stand.
fn stat(pid: i32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    String::from_utf8(text.get(end + 2..)?.to_owned()).ok()
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.chars().next()
}

/// Whether a container's first process is its only one, by the container's own
/// /proc, which shows no others.
fn is_alone(pid: i32) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/root/proc")) else {
        return false;
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let numbers = names.filter(|name| {
        let bytes = name.as_encoded_bytes();
        bytes.iter().all(u8::is_ascii_digit)
    });
    numbers.take(2).count() == 1
}

/// By each process's word on its parent: not every kernel lists children.
fn children(pid: i32) -> Vec<i32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|child| parent(*child) == Some(pid))
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_and_its_children_stand_and_go_on() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 100 & sleep 100 & wait"])
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let number = pid.as_raw_nonzero().get();
        let end = Instant::now() + Duration::from_secs(5);
        while children(number).len() < 2 && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let frozen = freeze(pid, pidfd.as_fd(), false).unwrap();
        let all: Vec<i32> = frozen.processes.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|pid| state(*pid) == Some('T')), "{all:?}");
        drop(frozen);
        let end = Instant::now() + Duration::from_secs(5);
        while all.iter().any(|pid| state(*pid) == Some('T')) && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
        assert!(all.iter().all(|pid| state(*pid) != Some('T')), "{all:?}");
        for pid in all.into_iter().rev() {
            let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        let _ = child.wait();
    }
}
