//! `linux.seccomp` of a bundle as a program for the kernel: all actions, all
//! operators, all architectures that this machine's kernel can run.
//!
//! What libseccomp does is the measure: a rule without conditions stands above
//! those with; conditions of one rule hold together, unless two are about the
//! same argument, which makes each a rule of its own; calls of an architecture
//! that is not listed kill.

use std::collections::BTreeMap;

use ounce_linux::seccomp::{Instruction, LONGEST};

use super::config::{Argument, Seccomp, Syscall};
use super::fault::RuntimeError;

/// Names and numbers of all calls: x86-64, i386, x32, arm64, arm; `-` where
/// there is none (from the kernel's headers, by way of linux-raw-sys).
const CALLS: &str = include_str!("calls.txt");

// linux/bpf_common.h
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const ABOVE: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// linux/seccomp.h
const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

// struct seccomp_data; all architectures here have the low word first.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// The bit that x32 calls have.
const X32: u32 = 0x4000_0000;

/// An architecture: its name, its AUDIT_ARCH_* number, its column.
#[derive(Debug, Clone, Copy)]
struct Architecture {
    name: &'static str,
    audit: u32,
    column: usize,
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "SCMP_ARCH_X86_64",
        audit: 0xc000_003e,
        column: 0,
    },
    Architecture {
        name: "SCMP_ARCH_X86",
        audit: 0x4000_0003,
        column: 1,
    },
    Architecture {
        name: "SCMP_ARCH_X32",
        audit: 0xc000_003e,
        column: 2,
    },
];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "SCMP_ARCH_AARCH64",
        audit: 0xc000_00b7,
        column: 3,
    },
    Architecture {
        name: "SCMP_ARCH_ARM",
        audit: 0x4000_0028,
        column: 4,
    },
];

/// Column of the x32 calls.
const X32_COLUMN: usize = 2;

/// Architectures of other machines, which no program here can call in.
const ELSEWHERE: [&str; 18] = [
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
];

/// Names of all actions.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// Names of all operators.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// Names of the architectures of this machine.
pub fn architectures() -> Vec<&'static str> {
    ARCHITECTURES.iter().map(|one| one.name).collect()
}

/// Whether some calls are handed to a listener.
pub fn notifies(seccomp: &Seccomp) -> bool {
    let mut rules = seccomp.syscalls.iter();
    rules.any(|rule| rule.action == "SCMP_ACT_NOTIFY")
}

fn action(name: &str, errno: Option<u32>) -> Result<u32, RuntimeError> {
    let wrong = |problem: String| RuntimeError::config(format!("linux.seccomp: {problem}"));
    let data = errno.unwrap_or(EPERM);
    if data > 0xffff {
        return Err(wrong(format!("{data} is no error number")));
    }
    let plain = match name {
        "SCMP_ACT_ERRNO" => return Ok(ERRNO | data),
        "SCMP_ACT_TRACE" => return Ok(TRACE | data),
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_NOTIFY" => NOTIFY,
        other => return Err(wrong(format!("unknown action {other:?}"))),
    };
    match errno {
        Some(_) => Err(wrong(format!("{name} takes no error number"))),
        None => Ok(plain),
    }
}

/// Makes the program.
///
/// # Errors
/// The list is wrong, or too long for the kernel.
pub fn compile(seccomp: &Seccomp) -> Result<Vec<Instruction>, RuntimeError> {
    let default = action(&seccomp.default_action, seccomp.default_errno_ret)?;
    if default == NOTIFY {
        return Err(RuntimeError::config(
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY would stop ounce's own calls",
        ));
    }
    for rule in &seccomp.syscalls {
        // The call by which the listener is handed over would wait for it.
        if rule.action == "SCMP_ACT_NOTIFY" && rule.names.iter().any(|name| name == "write") {
            return Err(RuntimeError::config(
                "linux.seccomp.syscalls: write cannot be SCMP_ACT_NOTIFY",
            ));
        }
    }
    let mut chosen = vec![];
    for name in &seccomp.architectures {
        match ARCHITECTURES.iter().find(|one| one.name == name) {
            Some(known) => chosen.push(*known),
            None if ELSEWHERE.contains(&name.as_str()) => {}
            None => {
                return Err(RuntimeError::config(format!(
                    "linux.seccomp.architectures: unknown architecture {name:?}"
                )));
            }
        }
    }
    // libseccomp always has the machine's own.
    if !chosen
        .iter()
        .any(|one| one.column == ARCHITECTURES[0].column)
    {
        chosen.insert(0, ARCHITECTURES[0]);
    }
    let mut writer = Writer::default();
    writer.put(LOAD_WORD, 0, 0, OFFSET_ARCHITECTURE);
    let mut audits: Vec<u32> = chosen.iter().map(|one| one.audit).collect();
    audits.sort_unstable();
    audits.dedup();
    for audit in audits {
        let skip = writer.skip_unless(audit);
        writer.put(LOAD_WORD, 0, 0, OFFSET_NUMBER);
        let of = |x32: bool| {
            chosen
                .iter()
                .find(|one| one.audit == audit && (one.column == X32_COLUMN) == x32)
        };
        if audit == 0xc000_003e {
            // Two architectures by one number.
            let jump = writer.len();
            writer.put(AT_LEAST, 0, 1, X32);
            writer.put(JUMP, 0, 0, 0);
            writer.calls(of(false), seccomp, default, 0)?;
            writer.land(jump + 1);
            writer.calls(of(true), seccomp, default, X32)?;
        } else {
            writer.calls(of(false), seccomp, default, 0)?;
        }
        writer.land(skip);
    }
    writer.put(RETURN, 0, 0, KILL_THREAD);
    if writer.0.len() > LONGEST {
        return Err(RuntimeError::config(format!(
            "linux.seccomp: {} instructions are more than the kernel's {LONGEST}",
            writer.0.len()
        )));
    }
    Ok(writer.0)
}

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fate<'a> {
    /// Conditions that hold together, and the action then; the first that fits.
    conditional: Vec<(Vec<&'a Argument>, u32)>,
    /// Without conditions.
    plain: Option<u32>,
}

fn numbers(column: usize) -> BTreeMap<&'static str, u32> {
    CALLS
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let name = fields.next()?;
            Some((name, fields.nth(column)?.parse().ok()?))
        })
        .collect()
}

fn fates<'a>(
    seccomp: &'a Seccomp,
    numbers: &BTreeMap<&str, u32>,
    default: u32,
) -> Result<BTreeMap<u32, Fate<'a>>, RuntimeError> {
    let mut fates: BTreeMap<u32, Fate<'a>> = BTreeMap::new();
    for rule in &seccomp.syscalls {
        let action = action(&rule.action, rule.errno_ret)?;
        check(rule)?;
        if action == default {
            continue;
        }
        // Calls that this kernel's headers do not know cannot be made.
        let known = rule
            .names
            .iter()
            .filter_map(|name| numbers.get(name.as_str()));
        for number in known {
            let fate = fates.entry(*number).or_default();
            if rule.args.is_empty() {
                fate.plain.get_or_insert(action);
                continue;
            }
            let twice = rule.args.iter().any(|one| {
                rule.args
                    .iter()
                    .filter(|other| other.index == one.index)
                    .count()
                    > 1
            });
            if twice {
                let each = rule.args.iter().map(|one| (vec![one], action));
                fate.conditional.extend(each);
            } else {
                fate.conditional.push((rule.args.iter().collect(), action));
            }
        }
    }
    for fate in fates.values_mut() {
        if fate.plain.is_some() {
            fate.conditional.clear();
        }
    }
    Ok(fates)
}

fn check(rule: &Syscall) -> Result<(), RuntimeError> {
    for argument in &rule.args {
        if argument.index > 5 {
            return Err(RuntimeError::config(format!(
                "linux.seccomp.syscalls: a call has no argument {}",
                argument.index
            )));
        }
        if !OPERATORS.contains(&argument.op.as_str()) {
            return Err(RuntimeError::config(format!(
                "linux.seccomp.syscalls: unknown operator {:?}",
                argument.op
            )));
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Writer(Vec<Instruction>);

/// All calls from a number up to the next segment's.
type Segment<'a> = (u32, Fate<'a>);

impl Writer {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn put(&mut self, code: u16, yes: u8, no: u8, operand: u32) {
        self.0.push(Instruction {
            code,
            jump_true: yes,
            jump_false: no,
            operand,
        });
    }

    /// Jumps far unless the word is this; where the jump is, for [`Self::land`].
    fn skip_unless(&mut self, value: u32) -> usize {
        self.put(EQUAL, 1, 0, value);
        self.put(JUMP, 0, 0, 0);
        self.len() - 1
    }

    /// Has the far jump at `from` end here.
    fn land(&mut self, from: usize) {
        let distance = (self.len() - from - 1) as u32;
        if let Some(jump) = self.0.get_mut(from) {
            jump.operand = distance;
        }
    }

    fn calls(
        &mut self,
        architecture: Option<&Architecture>,
        seccomp: &Seccomp,
        default: u32,
        bit: u32,
    ) -> Result<(), RuntimeError> {
        let Some(architecture) = architecture else {
            self.put(RETURN, 0, 0, KILL_THREAD);
            return Ok(());
        };
        let numbers = numbers(architecture.column);
        let fates = fates(seccomp, &numbers, default)?;
        let otherwise = |action| Fate {
            conditional: Vec::new(),
            plain: Some(action),
        };
        let mut segments: Vec<Segment<'_>> = vec![(bit, otherwise(default))];
        let mut next = 0;
        for (number, fate) in &fates {
            if *number > next {
                add(&mut segments, next | bit, otherwise(default));
            }
            add(&mut segments, number | bit, fate.clone());
            next = number + 1;
        }
        // Past the last call that the list knows a program is to find out that
        // there is none, and not that it may not.
        let strict = !matches!(default, ALLOW | LOG) && default & 0xffff_0000 != TRACE;
        let last = match strict && !fates.is_empty() {
            true => otherwise(ERRNO | ENOSYS),
            false => otherwise(default),
        };
        add(&mut segments, next | bit, last);
        self.search(&segments, default);
        Ok(())
    }

    fn search(&mut self, segments: &[Segment<'_>], default: u32) {
        let (low, high) = match segments {
            [] => return,
            [(_, fate)] => return self.fate(fate, default),
            segments => segments.split_at(segments.len() / 2),
        };
        let jump = self.len();
        self.put(AT_LEAST, 0, 1, high[0].0);
        self.put(JUMP, 0, 0, 0);
        self.search(low, default);
        self.land(jump + 1);
        self.search(high, default);
    }

    fn fate(&mut self, fate: &Fate<'_>, default: u32) {
        for (conditions, action) in &fate.conditional {
            let mut misses = Vec::new();
            for condition in conditions {
                self.condition(condition, &mut misses);
            }
            self.put(RETURN, 0, 0, *action);
            for miss in misses {
                self.land(miss);
            }
        }
        self.put(RETURN, 0, 0, fate.plain.unwrap_or(default));
    }

    /// Goes on where the condition holds, and jumps where not: those jumps are
    /// added to `misses`.
    fn condition(&mut self, condition: &Argument, misses: &mut Vec<usize>) {
        let low = OFFSET_ARGUMENTS + 8 * condition.index as u32;
        let high = low + 4;
        let words = |value: u64| ((value >> 32) as u32, value as u32);
        let (value_high, value_low) = words(condition.value);
        let mut miss = |writer: &mut Self| {
            writer.put(JUMP, 0, 0, 0);
            misses.push(writer.len() - 1);
        };
        match condition.op.as_str() {
            "SCMP_CMP_MASKED_EQ" => {
                let (two_high, two_low) = words(condition.value_two);
                for (offset, mask, wanted) in
                    [(high, value_high, two_high), (low, value_low, two_low)]
                {
                    self.put(LOAD_WORD, 0, 0, offset);
                    self.put(AND, 0, 0, mask);
                    self.put(EQUAL, 1, 0, wanted & mask);
                    miss(self);
                }
            }
            "SCMP_CMP_EQ" => {
                for (offset, wanted) in [(high, value_high), (low, value_low)] {
                    self.put(LOAD_WORD, 0, 0, offset);
                    self.put(EQUAL, 1, 0, wanted);
                    miss(self);
                }
            }
            "SCMP_CMP_NE" => {
                // A difference in the upper word is enough.
                self.put(LOAD_WORD, 0, 0, high);
                self.put(EQUAL, 0, 3, value_high);
                self.put(LOAD_WORD, 0, 0, low);
                self.put(EQUAL, 0, 1, value_low);
                miss(self);
            }
            operator @ ("SCMP_CMP_GT" | "SCMP_CMP_GE") => {
                let code = if operator == "SCMP_CMP_GT" {
                    ABOVE
                } else {
                    AT_LEAST
                };
                // high: above goes on, equal looks at the lower word, below misses.
                self.put(LOAD_WORD, 0, 0, high);
                self.put(ABOVE, 4, 0, value_high);
                self.put(EQUAL, 0, 2, value_high);
                self.put(LOAD_WORD, 0, 0, low);
                self.put(code, 1, 0, value_low);
                miss(self);
            }
            operator => {
                // LT is not GE, LE is not GT.
                let code = if operator == "SCMP_CMP_LT" {
                    AT_LEAST
                } else {
                    ABOVE
                };
                self.put(LOAD_WORD, 0, 0, high);
                self.put(ABOVE, 3, 0, value_high);
                self.put(EQUAL, 0, 3, value_high);
                self.put(LOAD_WORD, 0, 0, low);
                self.put(code, 0, 1, value_low);
                miss(self);
            }
        }
    }
}

fn add<'a>(segments: &mut Vec<Segment<'a>>, first: u32, fate: Fate<'a>) {
    match segments.last_mut() {
        Some((known, old)) if *known == first => *old = fate,
        Some((_, old)) if *old == fate => {}
        _ => segments.push((first, fate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would.
    fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut word) = (0, 0u32);
        loop {
            let one = program[at];
            at += 1;
            let holds = match one.code {
                RETURN => return one.operand,
                LOAD_WORD => {
                    word = match one.operand {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        offset => {
                            let value = arguments[(offset as usize - 16) / 8];
                            if offset % 8 == 0 {
                                value as u32
                            } else {
                                (value >> 32) as u32
                            }
                        }
                    };
                    continue;
                }
                AND => {
                    word &= one.operand;
                    continue;
                }
                JUMP => {
                    at += one.operand as usize;
                    continue;
                }
                EQUAL => word == one.operand,
                ABOVE => word > one.operand,
                AT_LEAST => word >= one.operand,
                other => panic!("unknown operation {other:#x}"),
            };
            at += usize::from(if holds { one.jump_true } else { one.jump_false });
        }
    }

    fn compiled(text: &str) -> Vec<Instruction> {
        compile(&serde_json::from_str(text).unwrap()).unwrap()
    }

    fn own() -> (u32, BTreeMap<&'static str, u32>) {
        (ARCHITECTURES[0].audit, numbers(ARCHITECTURES[0].column))
    }

    #[test]
    fn listed_calls_meet_their_action_and_others_the_default() {
        let program = compiled(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
                {"names":["read","write","no_such_call"],"action":"SCMP_ACT_ALLOW"},
                {"names":["getcwd"],"action":"SCMP_ACT_ERRNO","errnoRet":7},
                {"names":["openat2"],"action":"SCMP_ACT_KILL_PROCESS"},
                {"names":["statx"],"action":"SCMP_ACT_LOG"}]}"#,
        );
        let (audit, numbers) = own();
        let meet = |name| run(&program, audit, numbers[name], [0; 6]);
        assert_eq!((meet("read"), meet("write")), (ALLOW, ALLOW));
        assert_eq!(meet("getcwd"), ERRNO | 7);
        assert_eq!(meet("openat2"), KILL_PROCESS);
        assert_eq!(meet("statx"), LOG);
        assert_eq!(meet("mount"), ERRNO | EPERM);
        // Newer than the list: there is no such call.
        assert_eq!(meet("faccessat2"), ERRNO | ENOSYS);
        assert_eq!(run(&program, 0x1234, numbers["read"], [0; 6]), KILL_THREAD);
    }

    #[test]
    fn every_operator_compares_all_64_bits() {
        let big = 0x1_0000_0005u64;
        let cases: [(&str, &[(u64, bool)]); 6] = [
            ("EQ", &[(big, true), (5, false), (big + 1, false)]),
            ("NE", &[(big, false), (5, true), (big - 1, true)]),
            (
                "GT",
                &[(big, false), (big + 1, true), (6, false), (2 << 32, true)],
            ),
            (
                "GE",
                &[(big, true), (big - 1, false), (6, false), (2 << 32, true)],
            ),
            (
                "LT",
                &[(big, false), (big - 1, true), (6, true), (2 << 32, false)],
            ),
            (
                "LE",
                &[(big, true), (big + 1, false), (6, true), (2 << 32, false)],
            ),
        ];
        let (audit, numbers) = own();
        for (operator, values) in cases {
            let program = compiled(&format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ERRNO",
                    "args":[{{"index":2,"value":{big},"op":"SCMP_CMP_{operator}"}}]}}]}}"#
            ));
            for (value, holds) in values {
                let met = run(&program, audit, numbers["read"], [0, 0, *value, 0, 0, 0]);
                let expected = if *holds { ERRNO | EPERM } else { ALLOW };
                assert_eq!(met, expected, "{value:#x} {operator} {big:#x}");
            }
        }
    }

    #[test]
    fn conditions_of_a_rule_hold_together_unless_about_one_argument() {
        let (audit, numbers) = own();
        let program = compiled(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
                {"names":["read"],"action":"SCMP_ACT_ALLOW","args":[
                    {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]},
                {"names":["write"],"action":"SCMP_ACT_ALLOW","args":[
                    {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
                {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[
                    {"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
        );
        let meet = |name: &str, one, two| {
            run(&program, audit, numbers[name], [one, two, 0, 0, 0, 0]) == ALLOW
        };
        assert!(meet("read", 1, 2) && !meet("read", 1, 3) && !meet("read", 0, 2));
        assert!(meet("write", 1, 0) && meet("write", 2, 0) && !meet("write", 3, 0));
        assert!(meet("clone", 17, 0) && !meet("clone", 0x1000_0000, 0));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn each_architecture_has_its_own_numbers() {
        let program = compiled(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],
                "syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ALLOW"}]}"#,
        );
        assert_eq!(run(&program, 0xc000_003e, 39, [0; 6]), ALLOW);
        assert_eq!(run(&program, 0x4000_0003, 20, [0; 6]), ALLOW);
        assert_eq!(run(&program, 0xc000_003e, X32 | 39, [0; 6]), ALLOW);
        assert_ne!(run(&program, 0xc000_003e, 20, [0; 6]), ALLOW);
        // Without x32 in the list its calls kill.
        let program = compiled(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
        assert_eq!(run(&program, 0xc000_003e, X32 | 39, [0; 6]), KILL_THREAD);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#,
            r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_Z80"]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"op":"EQ"}]}]}"#,
        ] {
            assert!(
                compile(&serde_json::from_str(text).unwrap()).is_err(),
                "{text}"
            );
        }
    }
}
