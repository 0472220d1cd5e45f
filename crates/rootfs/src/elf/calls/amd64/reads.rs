//! Which general registers an instruction may look at.

use super::operands::{RAX, RCX, RDI, RDX, RSI};
use crate::elf::calls::step::{Does, Spot, Step, Value};

/// What an instruction of one byte of opcode may look at; all registers for
/// those that are seldom, and for those that name none of what they take.
pub(super) fn first(opcode: u8, [reg, rm, based]: [u32; 3], step: &Step) -> u32 {
    let is_zeroed = matches!(
        step.does,
        Does::Set(Spot::Register(_), Value::Number(_), None)
    );
    match opcode {
        0x00..=0x3f if is_zeroed => 0,
        0x00..=0x3f if opcode & 7 < 4 => reg | rm | based,
        0x00..=0x3f if opcode & 7 < 6 => RAX,
        0x50..=0x57 => match step.does {
            Does::Push(Value::From(Spot::Register(register), _)) => 1 << register,
            _ => u32::MAX,
        },
        0x58..=0x5f | 0x68 | 0x6a | 0x70..=0x7f | 0xb8..=0xbf | 0xc3 | 0xe8 | 0xe9 | 0xeb => 0,
        0x90 if step.pads => 0,
        0x63 | 0x69 | 0x6b | 0x8b | 0x8d => rm | based,
        0x80 | 0x81 | 0x83 | 0xc0 | 0xc1 | 0xd0 | 0xd1 | 0xfe | 0xff => rm | based,
        0x84..=0x88 | 0x8a => reg | rm | based,
        0x89 => reg | based,
        0x98 | 0x99 | 0xa8 | 0xa9 => RAX,
        0xa4 | 0xa5 => RSI | RDI | RCX,
        0xaa | 0xab => RAX | RDI | RCX,
        0xb0..=0xb7 => step.writes,
        0xc5 => rm | based,
        0xd2 | 0xd3 => rm | based | RCX,
        0xc6 => rm | based,
        0xc7 => based,
        // The first four of the group; the others take rax and rdx.
        0xf6 | 0xf7 if step.writes & (RAX | RDX) != RAX | RDX => rm | based,
        _ => u32::MAX,
    }
}

/// What an instruction after 0F may look at. Of vectors' registers none is
/// general; only their addresses are.
pub(super) fn after_0f(opcode: u8, [reg, rm, based]: [u32; 3]) -> u32 {
    match opcode {
        // What the kernel is given it does not call.
        0x05 | 0x0b | 0x1e | 0x1f | 0x80..=0x8f => 0,
        0x10..=0x17 | 0x28 | 0x29 | 0x2e | 0x2f => based,
        0x51..=0x6d | 0x6f..=0x76 | 0x7e | 0x7f | 0xc2 | 0xc6 | 0xd0..=0xf6 | 0xf8..=0xfe => based,
        0x2a | 0x6e | 0x90..=0x9f | 0xb6 | 0xb7 | 0xba | 0xbe | 0xbf => rm | based,
        0xb0 | 0xb1 => reg | rm | based | RAX,
        0x40..=0x4f | 0xa3 | 0xab | 0xaf | 0xb3 | 0xbb | 0xc0 | 0xc1 => reg | rm | based,
        _ => u32::MAX,
    }
}
