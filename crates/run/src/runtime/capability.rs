//! Capabilities by name (linux/capability.h) and as bits.

use ounce_linux::init::Capabilities;

use super::config::Process;

/// Names of capabilities, by their number (linux/capability.h).
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What is told of capabilities that are left out.
pub fn unknown_capabilities(process: &Process) -> Vec<String> {
    let Some(wanted) = &process.capabilities else {
        return Vec::new();
    };
    let sets = [
        &wanted.bounding,
        &wanted.effective,
        &wanted.permitted,
        &wanted.inheritable,
        &wanted.ambient,
    ];
    let mut unknown: Vec<&str> = sets
        .into_iter()
        .flatten()
        .map(String::as_str)
        .filter(|name| !CAPABILITIES.contains(name))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    match unknown.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "ignoring unknown or unavailable capabilities: [{}]",
            unknown.join(" ")
        )],
    }
}

/// Sets of capabilities as bits; names that are not known are left out, as the
/// specification wants.
pub fn capabilities(process: &Process) -> Capabilities {
    let Some(wanted) = &process.capabilities else {
        return Capabilities::default();
    };
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok())
        .unwrap_or(CAPABILITIES.len() - 1);
    let bits = |names: &[String]| {
        names.iter().fold(0u64, |bits, name| {
            match CAPABILITIES.iter().position(|known| known == name) {
                Some(number) if number <= last => bits | 1 << number,
                _ => bits,
            }
        })
    };
    Capabilities {
        bounding: bits(&wanted.bounding),
        effective: bits(&wanted.effective),
        permitted: bits(&wanted.permitted),
        inheritable: bits(&wanted.inheritable),
        ambient: bits(&wanted.ambient),
    }
}
