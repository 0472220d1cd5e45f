//! What can be seen to be wrong in a bundle before anything is done, and which
//! namespaces it wants.

use std::path::PathBuf;

use ounce_linux::namespace::Namespaces;

use super::config::Config;
use super::fault::RuntimeError;

/// The kind of a namespace by its name.
fn namespace(kind: &str) -> Option<Namespaces> {
    Some(match kind {
        "pid" => Namespaces::PID,
        "network" => Namespaces::NETWORK,
        "mount" => Namespaces::MOUNT,
        "ipc" => Namespaces::IPC,
        "uts" => Namespaces::HOSTNAME,
        "user" => Namespaces::USER,
        "cgroup" => Namespaces::CGROUP,
        "time" => Namespaces::TIME,
        _ => return None,
    })
}

/// Which namespaces are new and which are joined.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    pub(super) new: Namespaces,
    pub(super) joined: Vec<(PathBuf, Namespaces)>,
}

impl Spaces {
    pub(super) fn of(config: &Config) -> Result<Self, RuntimeError> {
        let mut spaces = Self::default();
        let mut seen = Namespaces::NONE;
        let linux = config.linux.as_ref();
        for one in linux.map(|linux| &linux.namespaces).into_iter().flatten() {
            let kind = namespace(&one.kind).ok_or_else(|| {
                RuntimeError::config(format!("linux.namespaces: unknown type {:?}", one.kind))
            })?;
            if seen.contains(kind) {
                return Err(RuntimeError::config(format!(
                    "linux.namespaces: {:?} is there twice",
                    one.kind
                )));
            }
            seen = seen | kind;
            match one
                .path
                .as_ref()
                .filter(|path| !path.as_os_str().is_empty())
            {
                None => spaces.new = spaces.new | kind,
                Some(path) if !path.is_absolute() => {
                    return Err(RuntimeError::config(format!(
                        "linux.namespaces: {} is not an absolute path",
                        path.display()
                    )));
                }
                Some(path) => spaces.joined.push((path.clone(), kind)),
            }
        }
        Ok(spaces)
    }

    pub(super) fn is_new(&self, kind: Namespaces) -> bool {
        self.new.contains(kind)
    }

    pub(super) fn is_joined(&self, kind: Namespaces) -> bool {
        self.joined.iter().any(|(_, one)| *one == kind)
    }

    /// Whether there is one of the container's own.
    pub(super) fn has(&self, kind: Namespaces) -> bool {
        self.is_new(kind) || self.is_joined(kind)
    }
}

/// What can be seen to be wrong before anything is done.
pub(super) fn check(config: &Config, spaces: &Spaces) -> Result<(), RuntimeError> {
    let linux = config.linux();
    let wrong = |problem: &str| Err(RuntimeError::config(problem));
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if spaces.is_new(Namespaces::USER)
        && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty())
    {
        return wrong("linux.uidMappings and gidMappings are needed with a new user namespace");
    }
    if mapped && !spaces.has(Namespaces::USER) {
        return wrong("linux.uidMappings: there is no user namespace for them");
    }
    if !linux.time_offsets.is_empty() && !spaces.is_new(Namespaces::TIME) {
        return wrong("linux.timeOffsets: there is no new time namespace for them");
    }
    if (config.hostname.is_some() || config.domainname.is_some())
        && !spaces.has(Namespaces::HOSTNAME)
    {
        return wrong("hostname and domainname need a uts namespace: the host's would change");
    }
    if !linux.net_devices.is_empty() {
        return wrong("linux.netDevices: moving network interfaces is not supported");
    }
    if linux.intel_rdt.is_some() {
        return wrong("linux.intelRdt: cache allocation is not supported: leave it out");
    }
    for name in linux.sysctl.keys() {
        check_sysctl(name, spaces, config)?;
    }
    Ok(())
}

/// A kernel parameter must be of a namespace that the container has.
fn check_sysctl(name: &str, spaces: &Spaces, config: &Config) -> Result<(), RuntimeError> {
    let wrong = |problem: &str| {
        Err(RuntimeError::config(format!(
            "linux.sysctl: {name} {problem}"
        )))
    };
    let dotted = sysctl_path(name).replace('/', ".");
    let ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    if dotted
        .split('.')
        .any(|part| part.is_empty() || part == "..")
    {
        return wrong("is no kernel parameter");
    }
    let kind = if ipc.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        Namespaces::IPC
    } else if dotted.starts_with("net.") {
        Namespaces::NETWORK
    } else if dotted == "kernel.domainname" {
        Namespaces::HOSTNAME
    } else if dotted == "kernel.hostname" {
        if config.hostname.is_some() {
            return wrong("says the same as hostname");
        }
        Namespaces::HOSTNAME
    } else if dotted.starts_with("user.") && spaces.has(Namespaces::USER) {
        Namespaces::USER
    } else {
        return wrong("is of no namespace: it would change the host");
    };
    match spaces.has(kind) {
        true => Ok(()),
        false => wrong("would change the host: the container has no such namespace of its own"),
    }
}

/// `net.ipv4.ip_forward` or `net/ipv4/conf/eth0.1/x`, below /proc/sys.
pub(super) fn sysctl_path(name: &str) -> String {
    let slash = name.find('/').unwrap_or(usize::MAX);
    let dot = name.find('.').unwrap_or(usize::MAX);
    // Whichever separator is first is one (sysctl.d(5)).
    if slash < dot {
        return name.to_owned();
    }
    let swapped = name.chars().map(|letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    });
    swapped.collect()
}
