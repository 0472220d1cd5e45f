//! Seccomp filters: from a table of system calls to a BPF program.
//!
//! Own builder instead of `seccompiler`: that one tests the calls one after
//! the other. At installation the kernel runs the filter once for each call
//! number to learn which are always allowed (`seccomp_cache_prepare_bitmap`),
//! so a list of 300 costs ten times a balanced search, which is built here.
//! Which calls a container may make is data of the `run` crate.

use linux_raw_sys::general::__NR_seccomp;
use rustix::io::Errno;

use crate::syscall::call;

/// One instruction of classic BPF, as `struct sock_filter` (linux/filter.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when the test holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error.
    Fail(Errno),
    /// Whoever holds the filter's listener is told, and the caller waits (see `trace`).
    Notify,
    /// It is made when `argument & mask == 0`, else it fails with EPERM. Only
    /// the low 32 bits are looked at.
    AllowUnlessBits {
        /// Counted from 0.
        argument: u8,
        /// Bits that may not be set.
        mask: u32,
    },
    /// It fails with EPERM when the low 32 bits of an argument are one of these.
    AllowUnless {
        /// Counted from 0.
        argument: u8,
        /// The refused values.
        values: &'static [u32],
    },
    /// It fails with EPERM unless the low 32 bits of an argument are one of these.
    AllowOnly {
        /// Counted from 0.
        argument: u8,
        /// The allowed values.
        values: &'static [u32],
    },
}

/// All calls from `first` up to the next segment's `first` have this verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The lowest call number.
    pub first: u32,
    /// What happens.
    pub verdict: Verdict,
}

/// Why a table gives no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileError {
    /// The table is empty, does not begin at 0 or is not sorted.
    Unsorted,
    /// A jump would be longer than 255 instructions, or the program longer than the buffer.
    TooLong,
}

impl core::fmt::Display for CompileError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unsorted => "the table of system calls is not sorted from 0",
            Self::TooLong => "the table of system calls is too long for one filter",
        })
    }
}

impl core::error::Error for CompileError {}

// linux/bpf_common.h
pub(crate) const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(crate) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(crate) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// linux/seccomp.h
const KILL_PROCESS: u32 = 0x8000_0000;
pub(crate) const ALLOW: u32 = 0x7fff_0000;
pub(crate) const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;

// struct seccomp_data: nr, arch, instruction_pointer, args[6]
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

// linux/audit.h; both are little-endian, so an argument's low word comes first.
#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00b7;

/// The longest program the kernel takes (BPF_MAXINSNS).
pub const LONGEST: usize = 4096;

/// Builds the program into `program` and gives its length. Another
/// architecture's calls (32-bit ones on x86-64) kill the process; x32 calls
/// have numbers past every table and meet the last segment.
///
/// A search of one comparison a level stands first, and behind it what each
/// verdict does, once: the kernel translates a program instruction by
/// instruction at every installation, so half the length is half the time.
///
/// # Errors
/// See [`CompileError`].
pub const fn compile(
    table: &[Segment],
    program: &mut [Instruction],
) -> Result<usize, CompileError> {
    if table.is_empty() || table[0].first != 0 {
        return Err(CompileError::Unsorted);
    }
    let mut index = 1;
    while index < table.len() {
        if table[index - 1].first >= table[index].first {
            return Err(CompileError::Unsorted);
        }
        index += 1;
    }
    let search = HEAD + table.len() - 1;
    let length = search + blocks_before(table, table.len());
    if length > program.len() || length > LONGEST {
        return Err(CompileError::TooLong);
    }
    program[0] = instruction(LOAD_WORD, 0, 0, OFFSET_ARCHITECTURE);
    program[1] = instruction(JUMP_EQUAL, 1, 0, ARCHITECTURE);
    program[2] = instruction(RETURN, 0, 0, KILL_PROCESS);
    program[3] = instruction(LOAD_WORD, 0, 0, OFFSET_NUMBER);
    if let Err(error) = place_search(table, 0, table.len(), HEAD, program) {
        return Err(error);
    }
    let mut index = 0;
    while index < table.len() {
        if !stands_before(table, index) {
            let at = search + blocks_before(table, index);
            if let Err(error) = place_block(table[index].verdict, at, program) {
                return Err(error);
            }
        }
        index += 1;
    }
    Ok(length)
}

/// Instructions in front of the search.
const HEAD: usize = 4;

pub(crate) const fn instruction(
    code: u16,
    jump_true: u8,
    jump_false: u8,
    operand: u32,
) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    }
}

/// Places the search among the segments from `low` up to `high` at `at`; a
/// search among n segments has n - 1 instructions.
const fn place_search(
    table: &[Segment],
    low: usize,
    high: usize,
    at: usize,
    program: &mut [Instruction],
) -> Result<(), CompileError> {
    if high - low < 2 {
        return Ok(());
    }
    let middle = low + (high - low) / 2;
    let search = HEAD + table.len() - 1;
    // What is left of one segment is its verdict's block.
    let below = match middle - low {
        1 => search + block_of(table, low),
        _ => at + 1,
    };
    let above = match high - middle {
        1 => search + block_of(table, middle),
        _ => at + middle - low,
    };
    let (yes, no) = (above - at - 1, below - at - 1);
    if yes > u8::MAX as usize || no > u8::MAX as usize {
        return Err(CompileError::TooLong);
    }
    program[at] = instruction(JUMP_AT_LEAST, yes as u8, no as u8, table[middle].first);
    if let Err(error) = place_search(table, low, middle, at + 1, program) {
        return Err(error);
    }
    place_search(table, middle, high, at + middle - low, program)
}

/// Whether a segment before has the same verdict.
const fn stands_before(table: &[Segment], index: usize) -> bool {
    let mut before = 0;
    while before < index {
        if table[before].verdict.is(table[index].verdict) {
            return true;
        }
        before += 1;
    }
    false
}

/// How many instructions the blocks of the first `count` segments take.
const fn blocks_before(table: &[Segment], count: usize) -> usize {
    let (mut index, mut length) = (0, 0);
    while index < count {
        if !stands_before(table, index) {
            length += table[index].verdict.length();
        }
        index += 1;
    }
    length
}

/// Where the block of a segment's verdict begins, from the end of the search on.
const fn block_of(table: &[Segment], index: usize) -> usize {
    let mut first = 0;
    while !table[first].verdict.is(table[index].verdict) {
        first += 1;
    }
    blocks_before(table, first)
}

impl Verdict {
    /// Equality, in a constant.
    const fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Allow, Self::Allow) | (Self::Notify, Self::Notify) => true,
            (Self::Fail(one), Self::Fail(two)) => one.raw_os_error() == two.raw_os_error(),
            (
                Self::AllowUnlessBits { argument, mask },
                Self::AllowUnlessBits {
                    argument: other,
                    mask: bits,
                },
            ) => argument == other && mask == bits,
            (
                Self::AllowUnless { argument, values },
                Self::AllowUnless {
                    argument: other,
                    values: others,
                },
            )
            | (
                Self::AllowOnly { argument, values },
                Self::AllowOnly {
                    argument: other,
                    values: others,
                },
            ) => argument == other && same(values, others),
            _ => false,
        }
    }

    /// How many instructions it takes.
    const fn length(self) -> usize {
        match self {
            Self::Allow | Self::Fail(_) | Self::Notify => 1,
            Self::AllowUnlessBits { .. } => 4,
            Self::AllowUnless { values, .. } | Self::AllowOnly { values, .. } => values.len() + 3,
        }
    }
}

const fn same(one: &[u32], two: &[u32]) -> bool {
    if one.len() != two.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != two[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn place_block(
    verdict: Verdict,
    at: usize,
    program: &mut [Instruction],
) -> Result<(), CompileError> {
    let refuse = ERRNO | Errno::PERM.raw_os_error() as u32;
    match verdict {
        Verdict::Allow => program[at] = instruction(RETURN, 0, 0, ALLOW),
        Verdict::Notify => program[at] = instruction(RETURN, 0, 0, NOTIFY),
        Verdict::Fail(errno) => {
            let errno = errno.raw_os_error() as u32 & 0xffff;
            program[at] = instruction(RETURN, 0, 0, ERRNO | errno);
        }
        Verdict::AllowUnlessBits { argument, mask } => {
            program[at] = load(argument);
            program[at + 1] = instruction(JUMP_ANY_BIT, 0, 1, mask);
            program[at + 2] = instruction(RETURN, 0, 0, refuse);
            program[at + 3] = instruction(RETURN, 0, 0, ALLOW);
        }
        Verdict::AllowUnless { argument, values } => {
            return place_any_of(argument, values, [refuse, ALLOW], at, program);
        }
        Verdict::AllowOnly { argument, values } => {
            return place_any_of(argument, values, [ALLOW, refuse], at, program);
        }
    }
    Ok(())
}

const fn load(argument: u8) -> Instruction {
    let argument = if argument > 5 { 5 } else { argument };
    instruction(LOAD_WORD, 0, 0, OFFSET_ARGUMENTS + 8 * argument as u32)
}

const fn place_any_of(
    argument: u8,
    values: &[u32],
    [found, absent]: [u32; 2],
    at: usize,
    program: &mut [Instruction],
) -> Result<(), CompileError> {
    program[at] = load(argument);
    let mut index = 0;
    while index < values.len() {
        let distance = values.len() - index;
        if distance > u8::MAX as usize {
            return Err(CompileError::TooLong);
        }
        program[at + 1 + index] = instruction(JUMP_EQUAL, distance as u8, 0, values[index]);
        index += 1;
    }
    program[at + 1 + index] = instruction(RETURN, 0, 0, absent);
    program[at + 2 + index] = instruction(RETURN, 0, 0, found);
    Ok(())
}

/// Installs a program on the calling thread, for good; `no_new_privs` has to
/// be set. From here on even the caller's own calls pass through it.
///
/// # Errors
/// EACCES without `no_new_privs`, EINVAL for a program the kernel refuses.
pub fn install(program: &[Instruction]) -> Result<(), Errno> {
    install_with(program, 0).map(drop)
}

/// As [`install`], with `SECCOMP_FILTER_FLAG_*`; gives the listener's
/// descriptor where one was asked for. In place of `no_new_privs`
/// CAP_SYS_ADMIN will do.
///
/// # Errors
/// As [`install`].
pub fn install_with(program: &[Instruction], flags: u32) -> Result<usize, Errno> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let program = Program {
        length: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        instructions: program.as_ptr(),
    };
    const SET_MODE_FILTER: usize = 1;
    // SAFETY: `program` is laid out as struct sock_fprog, and its pointer and
    // length come from one slice that outlives the call; the kernel copies it.
    unsafe {
        call(
            __NR_seccomp,
            [
                SET_MODE_FILTER,
                flags as usize,
                &raw const program as usize,
                0,
                0,
                0,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// Runs a program as the kernel would.
    fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut word) = (0, 0);
        loop {
            let Instruction {
                code,
                jump_true,
                jump_false,
                operand,
            } = program[at];
            at += 1;
            let holds = match code {
                RETURN => return operand,
                LOAD_WORD => {
                    word = match operand {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        offset => arguments[(offset as usize - 16) / 8] as u32,
                    };
                    continue;
                }
                JUMP_EQUAL => word == operand,
                JUMP_AT_LEAST => word >= operand,
                JUMP_ANY_BIT => word & operand != 0,
                other => panic!("unknown operation {other:#x}"),
            };
            at += usize::from(if holds { jump_true } else { jump_false });
        }
    }

    fn compiled(table: &[Segment]) -> Vec<Instruction> {
        let mut program = vec![Instruction::default(); LONGEST];
        let length = compile(table, &mut program).unwrap();
        program.truncate(length);
        program
    }

    #[test]
    fn every_call_number_meets_the_verdict_of_its_segment() {
        let fail = |errno| Verdict::Fail(errno);
        let table: Vec<Segment> = (0..120)
            .map(|index| Segment {
                first: index * 3 + u32::from(index > 0),
                verdict: if index % 2 == 0 {
                    Verdict::Allow
                } else {
                    fail(Errno::PERM)
                },
            })
            .collect();
        let program = compiled(&table);
        for number in (0..500).chain([0x4000_0000, u32::MAX]) {
            let segment = table.iter().rev().find(|s| s.first <= number).unwrap();
            let expected = match segment.verdict {
                Verdict::Allow => ALLOW,
                _ => ERRNO | 1,
            };
            assert_eq!(
                run(&program, ARCHITECTURE, number, [0; 6]),
                expected,
                "call {number}"
            );
        }
        let told = Segment {
            first: 0,
            verdict: Verdict::Notify,
        };
        let told = compiled(&[told]);
        assert_eq!(run(&told, ARCHITECTURE, 7, [0; 6]), NOTIFY);
        assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]), KILL_PROCESS);
    }

    #[test]
    fn verdicts_on_arguments_look_at_the_low_word_only() {
        let table = [
            Segment {
                first: 0,
                verdict: Verdict::AllowUnlessBits {
                    argument: 0,
                    mask: 0x10,
                },
            },
            Segment {
                first: 1,
                verdict: Verdict::AllowUnless {
                    argument: 1,
                    values: &[7, 9],
                },
            },
            Segment {
                first: 2,
                verdict: Verdict::AllowOnly {
                    argument: 5,
                    values: &[3, 4],
                },
            },
            Segment {
                first: 3,
                verdict: Verdict::Fail(Errno::NOSYS),
            },
        ];
        let program = compiled(&table);
        let verdict = |number, argument: usize, value| {
            let mut arguments = [0; 6];
            arguments[argument] = value;
            run(&program, ARCHITECTURE, number, arguments)
        };
        let (yes, no) = (ALLOW, ERRNO | 1);
        assert_eq!((verdict(0, 0, 0x0f), verdict(0, 0, 0x11)), (yes, no));
        assert_eq!((verdict(1, 1, 8), verdict(1, 1, 9 | 1 << 32)), (yes, no));
        assert_eq!((verdict(2, 5, 4), verdict(2, 5, 5)), (yes, no));
        assert_eq!(verdict(3, 0, 0), ERRNO | 38);
    }

    #[test]
    fn tables_without_order_or_of_excessive_length_are_refused() {
        let allow = |first| Segment {
            first,
            verdict: Verdict::Allow,
        };
        let mut buffer = [Instruction::default(); 2048];
        assert_eq!(compile(&[], &mut buffer), Err(CompileError::Unsorted));
        assert_eq!(
            compile(&[allow(1)], &mut buffer),
            Err(CompileError::Unsorted)
        );
        assert_eq!(
            compile(&[allow(0), allow(5), allow(5)], &mut buffer),
            Err(CompileError::Unsorted)
        );
        let long: Vec<Segment> = (0..800).map(allow).collect();
        assert_eq!(compile(&long, &mut buffer), Err(CompileError::TooLong));
        assert_eq!(
            compile(&[allow(0)], &mut buffer[..3]),
            Err(CompileError::TooLong)
        );
    }
}
