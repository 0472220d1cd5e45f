//! Which devices a container may use: the lists of version 1, or a BPF program
//! of version 2.

use std::fs;
use std::path::Path;

use super::super::config::DeviceRule;
use super::super::fault::RuntimeError;
use super::Groups;

/// A rule with all that was left out filled in; `None` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Given or taken.
    pub allow: bool,
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Major number.
    pub major: Option<u32>,
    /// Minor number.
    pub minor: Option<u32>,
    /// Making a node.
    pub make: bool,
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
}

/// What every container may use: making any node harms nothing, using it is
/// another thing; and the default devices (config-linux.md, "Default Devices"),
/// with the terminals that `/dev/pts` has.
const DEFAULT: [(char, Option<u32>, Option<u32>, &str); 10] = [
    ('c', None, None, "m"),
    ('b', None, None, "m"),
    ('c', Some(1), Some(3), "rwm"),
    ('c', Some(1), Some(5), "rwm"),
    ('c', Some(1), Some(7), "rwm"),
    ('c', Some(1), Some(8), "rwm"),
    ('c', Some(1), Some(9), "rwm"),
    ('c', Some(5), Some(0), "rwm"),
    ('c', Some(5), Some(2), "rwm"),
    ('c', Some(136), None, "rwm"),
];

fn rule(allow: bool, kind: char, major: Option<u32>, minor: Option<u32>, access: &str) -> Rule {
    Rule {
        allow,
        kind,
        major,
        minor,
        make: access.contains('m'),
        read: access.contains('r'),
        write: access.contains('w'),
    }
}

/// The rules of a bundle with the default ones behind.
///
/// # Errors
/// A kind, an access or a number that is none.
pub fn rules(wanted: &[DeviceRule]) -> Result<Vec<Rule>, RuntimeError> {
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| {
            RuntimeError::config(format!(
                "linux.resources.devices: {value} is no number of a device"
            ))
        }),
    };
    let mut rules = Vec::new();
    for one in wanted {
        let kind = match one.kind.as_deref() {
            None | Some("" | "a") => 'a',
            Some("b") => 'b',
            Some("c" | "u") => 'c',
            Some(other) => {
                return Err(RuntimeError::config(format!(
                    "linux.resources.devices: {other:?} is no type of device"
                )));
            }
        };
        let access = one
            .access
            .as_deref()
            .filter(|access| !access.is_empty())
            .unwrap_or("rwm");
        if access.chars().any(|letter| !"rwm".contains(letter)) {
            return Err(RuntimeError::config(format!(
                "linux.resources.devices: {access:?} is no access, such as rwm"
            )));
        }
        rules.push(rule(
            one.allow,
            kind,
            number(one.major)?,
            number(one.minor)?,
            access,
        ));
    }
    rules.extend(
        DEFAULT
            .iter()
            .map(|(kind, major, minor, access)| rule(true, *kind, *major, *minor, access)),
    );
    Ok(rules)
}

/// The line that `devices.allow` and `devices.deny` take.
fn line(rule: &Rule) -> String {
    let number = |value: Option<u32>| value.map_or("*".to_owned(), |value| value.to_string());
    let mut access = String::new();
    for (has, letter) in [(rule.read, 'r'), (rule.write, 'w'), (rule.make, 'm')] {
        if has {
            access.push(letter);
        }
    }
    format!(
        "{} {}:{} {access}",
        rule.kind,
        number(rule.major),
        number(rule.minor)
    )
}

/// Whether a rule is about every device and every access.
fn is_about_all(rule: &Rule) -> bool {
    rule.kind == 'a'
        && rule.major.is_none()
        && rule.minor.is_none()
        && rule.make
        && rule.read
        && rule.write
}

/// Sets the rules of a container. Without any, nothing is forbidden.
///
/// # Errors
/// The kernel refuses.
pub fn apply(groups: &Groups, wanted: &[DeviceRule]) -> Result<(), RuntimeError> {
    let rules = rules(wanted)?;
    if wanted.is_empty() {
        return Ok(());
    }
    match (groups.folder("devices"), &groups.unified) {
        (Some(folder), _) if !groups.separate.is_empty() => separate(folder, &rules),
        (_, Some(folder)) => unified(folder, &rules),
        _ => Ok(()),
    }
}

fn separate(folder: &Path, rules: &[Rule]) -> Result<(), RuntimeError> {
    for rule in rules {
        let file = if rule.allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        let path = folder.join(file);
        let text = match is_about_all(rule) {
            true => "a".to_owned(),
            false => line(rule),
        };
        match fs::write(&path, &text) {
            // In a user namespace of our own the kernel does not let us.
            Err(error)
                if error.kind() == std::io::ErrorKind::PermissionDenied
                    && !rustix::process::geteuid().is_root() => {}
            other => other.map_err(RuntimeError::file("writing a rule to", &path))?,
        }
    }
    Ok(())
}

fn unified(folder: &Path, rules: &[Rule]) -> Result<(), RuntimeError> {
    // A rule about everything makes all before it void.
    let last = rules.iter().rposition(is_about_all);
    let (default, rules) = match last {
        Some(at) => (rules[at].allow, &rules[at + 1..]),
        None => (false, rules),
    };
    let program = program(default, rules);
    let group = fs::File::open(folder).map_err(RuntimeError::file("opening", folder))?;
    ounce_linux::bpf::attach_device_program(&program, std::os::fd::AsFd::as_fd(&group)).map_err(
        RuntimeError::errno("attaching the device program to", folder),
    )
}

// linux/bpf.h: operations of eBPF.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const MOVE_NUMBER: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const UNEQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const UNEQUAL_REGISTERS: u8 = 0x5d; // BPF_JMP | BPF_JNE | BPF_X
const EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// `struct bpf_insn`.
fn instruction(code: u8, to: u8, from: u8, offset: i16, number: u32) -> u64 {
    u64::from(code)
        | u64::from(to) << 8
        | u64::from(from) << 12
        | u64::from(offset as u16) << 16
        | u64::from(number) << 32
}

/// The program: the last rule that fits decides, so it is asked first.
/// `struct bpf_cgroup_dev_ctx` has the access in the upper and the type in the
/// lower half of its first word, then major and minor number.
fn program(default: bool, rules: &[Rule]) -> Vec<u64> {
    const SCRATCH: u8 = 1;
    const KIND: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR: u8 = 4;
    const MINOR: u8 = 5;
    let mut program = vec![
        instruction(LOAD_WORD, KIND, 1, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, ACCESS, 1, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, 1, 4, 0),
        instruction(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let access = u32::from(rule.make) | u32::from(rule.read) << 1 | u32::from(rule.write) << 2;
        // Tests, each a jump past the rule's end, which is filled in below.
        let mut tests = Vec::new();
        match rule.kind {
            'b' => tests.push((UNEQUAL, KIND, 0, 1)),
            'c' => tests.push((UNEQUAL, KIND, 0, 2)),
            _ => {}
        }
        if let Some(major) = rule.major {
            tests.push((UNEQUAL, MAJOR, 0, major));
        }
        if let Some(minor) = rule.minor {
            tests.push((UNEQUAL, MINOR, 0, minor));
        }
        let partial = access != 7;
        let length = tests.len() + if partial { 3 } else { 0 } + 2;
        let begin = program.len();
        let past = |at: usize| (begin + length - at - 1) as i16;
        for (code, register, from, number) in tests {
            let offset = past(program.len());
            program.push(instruction(code, register, from, offset, number));
        }
        if partial {
            program.push(instruction(MOVE, SCRATCH, ACCESS, 0, 0));
            program.push(instruction(AND, SCRATCH, 0, 0, access));
            let offset = past(program.len());
            // Given is what is asked for as a whole, taken is any part of it.
            program.push(match rule.allow {
                true => instruction(UNEQUAL_REGISTERS, SCRATCH, ACCESS, offset, 0),
                false => instruction(EQUAL, SCRATCH, 0, offset, 0),
            });
        }
        program.push(instruction(MOVE_NUMBER, 0, 0, 0, u32::from(rule.allow)));
        program.push(instruction(EXIT, 0, 0, 0, 0));
    }
    program.push(instruction(MOVE_NUMBER, 0, 0, 0, u32::from(default)));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Vec<DeviceRule> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn rules_of_version_1_are_lines() {
        let rules = rules(&wanted(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]"#,
        ))
        .unwrap();
        assert!(is_about_all(&rules[0]));
        assert_eq!(line(&rules[1]), "c 10:229 rw");
        assert_eq!(line(&rules[2]), "c *:* m");
        assert_eq!(rules.len(), 2 + DEFAULT.len());
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            r#"[{"allow":true,"type":"x"}]"#,
            r#"[{"allow":true,"access":"rx"}]"#,
            r#"[{"allow":true,"major":-7}]"#,
        ] {
            assert!(rules(&wanted(text)).is_err(), "{text}");
        }
    }
}
