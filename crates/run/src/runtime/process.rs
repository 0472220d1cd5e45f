//! `process` of a bundle, or of an `exec`, as acts: who runs the program, with
//! which rights and limits, from where.

use std::ffi::CString;
use std::path::Path;

use ounce_linux::init::{Act, Capabilities, Scheduler};
use rustix::process::{Resource, Rlimit};

use super::capability::capabilities;
use super::config::{self, Process, Seccomp};
use super::fault::{RuntimeError, text};
use super::pause::{LIMITED, READY};

/// What the program's container adds.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Filter of system calls.
    pub seccomp: Option<&'a Seccomp>,
    /// The file with the word to start, if it waits for that.
    pub start: Option<usize>,
    /// Descriptors from 3 on that the program gets.
    pub preserved: u32,
    /// Whether further groups can be set at all.
    pub groups: bool,
    /// Execution domain.
    pub personality: Option<&'a config::Personality>,
    /// Where memory is taken from.
    pub memory_policy: Option<&'a config::MemoryPolicy>,
}

const SYS_ADMIN: u64 = 1 << 21;

/// Labels of security modules, for the exec.
///
/// # Errors
/// The kernel has no such module.
pub fn labels(process: &Process, acts: &mut Vec<Act<CString>>) -> Result<(), RuntimeError> {
    let given = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
    if let Some(profile) = given(&process.apparmor_profile) {
        if !Path::new("/sys/kernel/security/apparmor").exists() {
            return Err(RuntimeError::config(format!(
                "process.apparmorProfile is {profile:?}, but AppArmor is not enabled on this host"
            )));
        }
        let own = "/proc/self/attr/apparmor/exec";
        let path = match Path::new(own).exists() {
            true => own,
            false => "/proc/self/attr/exec",
        };
        acts.push(Act::Write {
            path: text(path)?,
            text: text(format!("exec {profile}"))?,
        });
    }
    if let Some(label) = given(&process.selinux_label) {
        if !Path::new("/sys/fs/selinux/enforce").exists() {
            return Err(RuntimeError::config(format!(
                "process.selinuxLabel is {label:?}, but SELinux is not enabled on this host"
            )));
        }
        acts.push(Act::Write {
            path: c"/proc/self/attr/exec".to_owned(),
            text: text(label)?,
        });
    }
    Ok(())
}

/// Columns and rows of the terminal.
///
/// # Errors
/// Larger than a terminal can be.
pub fn console_size(process: &Process) -> Result<Option<(u16, u16)>, RuntimeError> {
    let Some(size) = process.console_size else {
        return Ok(None);
    };
    match (u16::try_from(size.width), u16::try_from(size.height)) {
        (Ok(0), Ok(0)) => Ok(None),
        (Ok(columns), Ok(rows)) => Ok(Some((columns, rows))),
        _ => Err(RuntimeError::config("process.consoleSize is above 65535")),
    }
}

/// Checks a process, and adds its acts.
///
/// # Errors
/// It makes no sense.
pub fn acts(
    process: &Process,
    around: &Around<'_>,
    acts: &mut Vec<Act<CString>>,
) -> Result<(), RuntimeError> {
    if process.args.first().is_none_or(String::is_empty) {
        return Err(RuntimeError::config(
            "process.args is empty: no program to run was named",
        ));
    }
    if !process.cwd.starts_with('/') {
        return Err(RuntimeError::config(format!(
            "process.cwd {:?} is not an absolute path",
            process.cwd
        )));
    }
    if let Some(personality) = around.personality {
        acts.push(Act::Personality(domain(personality)?));
    }
    if let Some(policy) = around.memory_policy {
        acts.push(Act::MemoryPolicy(memory_mode(policy)?));
    }
    if let Some(wanted) = &process.scheduler {
        acts.push(Act::Schedule(scheduler(wanted)?));
    }
    if let Some(wanted) = &process.io_priority {
        acts.push(Act::IoPriority(io_priority(wanted)?));
    }
    let cwd = text(&process.cwd)?;
    acts.push(Act::OwnStreams(process.user.uid));
    acts.push(Act::Enter {
        path: cwd.clone(),
        again: false,
    });
    let wanted = capabilities(process);
    let filter = around.seccomp.is_some();
    // Without `no_new_privs` a filter needs this until it is installed.
    let held = match filter && !process.no_new_privileges {
        true => Capabilities {
            effective: wanted.effective | SYS_ADMIN,
            permitted: wanted.permitted | SYS_ADMIN,
            ..wanted
        },
        false => wanted,
    };
    if !process.rlimits.is_empty() {
        // By the maker, who may raise what the container may not; of another
        // user it would need one capability more.
        acts.push(Act::Pause(LIMITED));
    }
    // Needs a capability that may not be among the program's.
    acts.push(Act::Bound(wanted.bounding));
    acts.push(Act::BecomeUser {
        uid: process.user.uid,
        gid: process.user.gid,
        groups: around.groups,
        umask: process.user.umask,
    });
    acts.push(Act::Enter {
        path: cwd,
        again: true,
    });
    acts.push(Act::Capabilities(held));
    if process.no_new_privileges {
        acts.push(Act::NoNewPrivileges);
    }
    acts.push(Act::Find);
    let flags = filter_flags(around.seccomp)?;
    let listener = around.seccomp.is_some_and(super::seccomp::notifies);
    if listener {
        // While somebody is there to hand the listener on.
        acts.push(Act::Filter {
            flags,
            listener: true,
        });
    }
    acts.push(Act::Pause(READY));
    acts.push(Act::Descriptors(around.preserved));
    if let Some(start) = around.start {
        acts.push(Act::AwaitStart {
            file: start,
            preserved: around.preserved,
        });
    }
    if filter && !listener {
        acts.push(Act::Filter {
            flags,
            listener: false,
        });
    }
    if held != wanted {
        acts.push(Act::Capabilities(wanted));
    }
    acts.push(Act::Execute);
    Ok(())
}

fn filter_flags(seccomp: Option<&Seccomp>) -> Result<u32, RuntimeError> {
    let mut flags = 0;
    let Some(seccomp) = seccomp else {
        return Ok(0);
    };
    for flag in &seccomp.flags {
        // linux/seccomp.h
        flags |= match flag.as_str() {
            // Of one thread there is nothing to synchronise.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => 1 << 1,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => 1 << 2,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 1 << 5,
            other => {
                return Err(RuntimeError::config(format!(
                    "linux.seccomp.flags: unknown flag {other:?}"
                )));
            }
        };
    }
    if super::seccomp::notifies(seccomp) {
        flags |= 1 << 3;
    }
    Ok(flags)
}

fn domain(personality: &config::Personality) -> Result<u32, RuntimeError> {
    if let Some(flag) = personality.flags.first() {
        return Err(RuntimeError::config(format!(
            "linux.personality.flags: unknown flag {flag:?}"
        )));
    }
    // linux/personality.h
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(RuntimeError::config(format!(
            "linux.personality.domain: unknown domain {other:?}"
        ))),
    }
}

fn memory_mode(policy: &config::MemoryPolicy) -> Result<u32, RuntimeError> {
    // linux/mempolicy.h
    let mut mode = match policy.mode.as_str() {
        "MPOL_DEFAULT" => 0,
        "MPOL_PREFERRED" => 1,
        "MPOL_BIND" => 2,
        "MPOL_INTERLEAVE" => 3,
        "MPOL_LOCAL" => 4,
        "MPOL_PREFERRED_MANY" => 5,
        "MPOL_WEIGHTED_INTERLEAVE" => 6,
        other => {
            return Err(RuntimeError::config(format!(
                "linux.memoryPolicy.mode: unknown mode {other:?}"
            )));
        }
    };
    for flag in &policy.flags {
        mode |= match flag.as_str() {
            "MPOL_F_STATIC_NODES" => 1 << 15,
            "MPOL_F_RELATIVE_NODES" => 1 << 14,
            "MPOL_F_NUMA_BALANCING" => 1 << 13,
            other => {
                return Err(RuntimeError::config(format!(
                    "linux.memoryPolicy.flags: unknown flag {other:?}"
                )));
            }
        };
    }
    Ok(mode)
}

fn scheduler(wanted: &config::Scheduler) -> Result<Scheduler, RuntimeError> {
    // linux/sched.h
    let policy = match wanted.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => {
            return Err(RuntimeError::config(format!(
                "process.scheduler.policy: unknown policy {other:?}"
            )));
        }
    };
    let mut flags = 0;
    for flag in &wanted.flags {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => {
                return Err(RuntimeError::config(format!(
                    "process.scheduler.flags: unknown flag {other:?}"
                )));
            }
        };
    }
    let priority = u32::try_from(wanted.priority)
        .map_err(|_| RuntimeError::config("process.scheduler.priority is below 0"))?;
    Ok(Scheduler {
        policy,
        flags,
        nice: wanted.nice,
        priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
    })
}

fn io_priority(wanted: &config::IoPriority) -> Result<u32, RuntimeError> {
    // linux/ioprio.h
    let class: u32 = match wanted.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => {
            return Err(RuntimeError::config(format!(
                "process.ioPriority.class: unknown class {other:?}"
            )));
        }
    };
    match u32::try_from(wanted.priority) {
        Ok(priority @ 0..=7) => Ok(class << 13 | priority),
        _ => Err(RuntimeError::config(
            "process.ioPriority.priority is not from 0 to 7",
        )),
    }
}

/// The limits of a process.
///
/// # Errors
/// An unknown name, one that is there twice, a soft limit above the hard one.
pub fn limits(process: &Process) -> Result<Vec<(Resource, Rlimit)>, RuntimeError> {
    let mut limits: Vec<(Resource, Rlimit)> = Vec::new();
    for wanted in &process.rlimits {
        let resource = match wanted.kind.as_str() {
            "RLIMIT_AS" => Resource::As,
            "RLIMIT_CORE" => Resource::Core,
            "RLIMIT_CPU" => Resource::Cpu,
            "RLIMIT_DATA" => Resource::Data,
            "RLIMIT_FSIZE" => Resource::Fsize,
            "RLIMIT_LOCKS" => Resource::Locks,
            "RLIMIT_MEMLOCK" => Resource::Memlock,
            "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
            "RLIMIT_NICE" => Resource::Nice,
            "RLIMIT_NOFILE" => Resource::Nofile,
            "RLIMIT_NPROC" => Resource::Nproc,
            "RLIMIT_RSS" => Resource::Rss,
            "RLIMIT_RTPRIO" => Resource::Rtprio,
            "RLIMIT_RTTIME" => Resource::Rttime,
            "RLIMIT_SIGPENDING" => Resource::Sigpending,
            "RLIMIT_STACK" => Resource::Stack,
            other => {
                return Err(RuntimeError::config(format!(
                    "process.rlimits: unknown type {other:?}"
                )));
            }
        };
        if limits.iter().any(|(known, _)| *known == resource) {
            return Err(RuntimeError::config(format!(
                "process.rlimits: {} is there twice",
                wanted.kind
            )));
        }
        if wanted.soft > wanted.hard {
            return Err(RuntimeError::config(format!(
                "process.rlimits: {}: the soft limit {} is above the hard one, {}",
                wanted.kind, wanted.soft, wanted.hard
            )));
        }
        let value = |value: u64| (value != u64::MAX).then_some(value);
        let limit = Rlimit {
            current: value(wanted.soft),
            maximum: value(wanted.hard),
        };
        limits.push((resource, limit));
    }
    Ok(limits)
}

/// A list such as `0-3,7` as bits.
///
/// # Errors
/// It is none.
pub fn bits(list: &str) -> Result<Vec<u64>, RuntimeError> {
    let wrong = || RuntimeError::config(format!("{list:?} is no list such as 0-3,7"));
    let mut bits: Vec<u64> = Vec::new();
    for part in list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= 8192 {
            return Err(wrong());
        }
        for number in first..=last {
            if bits.len() <= number / 64 {
                bits.resize(number / 64 + 1, 0);
            }
            bits[number / 64] |= 1 << (number % 64);
        }
    }
    Ok(bits)
}

/// Where the program may be, in order.
///
/// # Errors
/// A zero byte.
pub fn programs(process: &Process) -> Result<Vec<CString>, RuntimeError> {
    let program = process.args.first().map_or("", String::as_str);
    if program.contains('/') {
        return Ok(vec![text(program)?]);
    }
    let path = process.env.iter().find_map(|one| one.strip_prefix("PATH="));
    let path = path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':')
        .map(|folder| match folder {
            "" => text(format!("./{program}")),
            folder => text(format!("{folder}/{program}")),
        })
        .collect()
}

/// The environment: what the bundle says, and `HOME` where it says none, from
/// the container's own list of users.
///
/// # Errors
/// A zero byte.
pub fn environment(process: &Process, users: &str) -> Result<Vec<CString>, RuntimeError> {
    let mut list: Vec<String> = Vec::new();
    for one in &process.env {
        // Of two of one name the last counts (execve(2) says nothing, shells differ).
        if let Some((name, _)) = one.split_once('=') {
            list.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
        }
        list.push(one.clone());
    }
    if !list.iter().any(|one| one.starts_with("HOME=")) {
        let home = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let uid = fields.nth(2)?.parse::<u32>().ok()?;
            let home = fields.nth(2)?;
            (uid == process.user.uid && !home.is_empty()).then_some(home)
        });
        list.push(format!("HOME={}", home.unwrap_or("/")));
    }
    list.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_bits() {
        assert_eq!(bits("0-2,5").unwrap(), [0b10_0111]);
        assert_eq!(bits("64").unwrap(), [0, 1]);
        assert!(bits("").unwrap().is_empty());
        for text in ["a", "3-1", "-", "1-99999999"] {
            assert!(bits(text).is_err(), "{text}");
        }
    }

    #[test]
    fn home_comes_from_the_containers_own_list() {
        let process = |env: &[&str], uid| Process {
            env: env.iter().map(|one| (*one).to_owned()).collect(),
            user: config::User {
                uid,
                ..config::User::default()
            },
            ..Process::default()
        };
        let users = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/x\n";
        let of = |env: &[&str], uid| -> Vec<String> {
            let list = environment(&process(env, uid), users).unwrap();
            list.iter()
                .map(|one| one.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(of(&[], 0), ["HOME=/root"]);
        assert_eq!(of(&["A=1", "A=2"], 33), ["A=2", "HOME=/srv"]);
        assert_eq!(of(&["HOME=/x"], 7), ["HOME=/x"]);
        assert_eq!(of(&[], 7), ["HOME=/"]);
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let with = |list: &[(&str, u64, u64)]| {
            let rlimits = list.iter().map(|(kind, soft, hard)| config::Rlimit {
                kind: (*kind).to_owned(),
                soft: *soft,
                hard: *hard,
            });
            limits(&Process {
                rlimits: rlimits.collect(),
                ..Process::default()
            })
        };
        assert!(with(&[("RLIMIT_NOFILE", 1, 2)]).is_ok());
        assert!(with(&[("RLIMIT_NOFILE", 3, 2)]).is_err());
        assert!(with(&[("RLIMIT_TEST", 1, 2)]).is_err());
        assert!(with(&[("RLIMIT_AS", 1, 2), ("RLIMIT_AS", 1, 2)]).is_err());
    }

    #[test]
    fn a_program_without_a_slash_is_looked_for_along_path() {
        let process = |program: &str| Process {
            args: vec![program.to_owned()],
            env: vec!["PATH=/a::/b".to_owned()],
            ..Process::default()
        };
        let shown = |program| -> Vec<String> {
            let list = programs(&process(program)).unwrap();
            list.iter()
                .map(|one| one.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(shown("x"), ["/a/x", "./x", "/b/x"]);
        assert_eq!(shown("./x"), ["./x"]);
    }
}
