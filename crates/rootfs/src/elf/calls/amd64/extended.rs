//! Instructions whose opcodes have more than one byte: those after 0F, 0F 38 and
//! 0F 3A, and those of vectors.

use super::operands::{
    Bytes, Operands, Place, Prefixes, R11, RAX, RBX, RCX, RDX, RSP, forgotten, low, target,
};
use crate::elf::calls::step::{Change, Does, Flag, Flow, Spot, Step, Value};

/// Opcodes after 0F.
pub(super) fn second(
    from: &mut Bytes<'_>,
    prefixes: Prefixes,
    opcode: u8,
    address: u64,
) -> Option<Step> {
    let mut step = Step::plain(0);
    match opcode {
        0x05 => {
            step.flow = Flow::System;
            step.writes = RAX | RCX | R11;
        }
        0x34 => step.flow = Flow::Legacy,
        0x0b => step.flow = Flow::Leave,
        0x07 | 0x35 | 0xaa => step.flow = Flow::Leave,
        0x06 | 0x08 | 0x09 | 0x0e | 0x30 | 0x77 => {}
        // Control registers: the operand is a register, whatever its byte says.
        0x20..=0x23 => {
            let register = from.byte()? & 7 | prefixes.base;
            step.writes = if opcode < 0x22 { 1 << register } else { 0 };
        }
        0x31..=0x33 => step.writes = RAX | RDX,
        0x37 => step.writes = RAX | RBX | RCX | RDX,
        0x80..=0x8f => {
            let offset = from.number(4)?;
            step.flow = Flow::Branch(target(from, address, offset));
            step.flag = Flag::Same;
            step.on_equal = match opcode {
                0x84 => Some(true),
                0x85 => Some(false),
                _ => None,
            };
        }
        0xa0 | 0xa1 | 0xa8 | 0xa9 => step.writes = RSP,
        0xa2 => step.writes = RAX | RBX | RCX | RDX,
        0xc8..=0xcf => step.writes = 1 << (opcode & 7 | prefixes.base),
        0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x36 | 0x39 | 0x3b..=0x3f | 0xa6 | 0xa7 => return None,
        // AMD's SSE4a, which no compiler writes unasked.
        0x78 if prefixes.short || prefixes.repeat.is_some() => return None,
        _ => {
            let operands = Operands::read(from, prefixes)?;
            if matches!(
                opcode,
                0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6
            ) {
                from.number(1)?;
            }
            two_operands(&mut step, prefixes, opcode, operands)?;
        }
    }
    Some(step)
}

/// Those of them that have operands.
fn two_operands(step: &mut Step, prefixes: Prefixes, opcode: u8, operands: Operands) -> Option<()> {
    let to = Spot::Register(operands.reg);
    step.writes = match opcode {
        0x00 | 0x78 | 0x7e => operands.rm(),
        // Many of them; those of two registers are one instruction each.
        0x01 => match operands.place {
            // `skinit`, which begins another system.
            Place::Register(6) if operands.digit == 3 => {
                step.flow = Flow::Leave;
                0
            }
            Place::Register(_) => operands.rm() | RAX | RBX | RCX | RDX,
            _ => 0,
        },
        0x02 | 0x03 | 0x2c | 0x2d | 0x50 | 0xaf | 0xb2 | 0xb4 | 0xb5 | 0xb8 | 0xbc | 0xbd
        | 0xc5 | 0xd7 => operands.reg(),
        // `rdsspq`, and no other of the hints.
        0x1e => match (prefixes.repeat, operands.digit) {
            (Some(0xf3), 1) => operands.rm(),
            _ => 0,
        },
        0x40..=0x4f => {
            let other = operands
                .spot()
                .map_or(Value::Unknown, |spot| Value::From(spot, Change::NONE));
            if !prefixes.short {
                step.does = Does::Set(to, Value::From(to, Change::NONE), Some(other));
            }
            step.flag = Flag::Same;
            operands.reg()
        }
        0x90..=0x9f => {
            step.flag = Flag::Same;
            operands.low_rm(prefixes)
        }
        0xa4 | 0xa5 | 0xac | 0xad | 0xab | 0xb3 | 0xbb => operands.rm(),
        0xba if operands.digit > 4 => operands.rm(),
        0xae => match operands.place {
            Place::Register(_) if prefixes.repeat.is_some() => operands.rm(),
            _ => 0,
        },
        0xb0 => operands.low_rm(prefixes) | RAX,
        0xb1 => operands.rm() | RAX,
        0xb6 | 0xb7 => {
            let and = if opcode == 0xb6 { 0xff } else { 0xffff };
            match operands.place {
                Place::Register(register)
                    if !prefixes.short
                        && (opcode == 0xb7 || low(register, prefixes) == register) =>
                {
                    let value = Value::From(Spot::Register(register), Change::bits(and, 0));
                    step.does = Does::Set(to, value, None);
                }
                _ => {}
            }
            operands.reg()
        }
        0xbe | 0xbf => {
            step.flag = Flag::Same;
            operands.reg()
        }
        0xc0 => operands.low_rm(prefixes) | 1 << low(operands.reg, prefixes),
        0xc1 => operands.rm() | operands.reg(),
        0xc7 => match operands.place {
            Place::Register(_) => operands.rm(),
            _ => RAX | RDX,
        },
        0xb9 | 0xff => {
            step.flow = Flow::Leave;
            0
        }
        0x7a | 0x7b => return None,
        0x1f => {
            step.pads = true;
            0
        }
        _ => 0,
    };
    if step.does == Does::Nothing && step.writes & operands.rm() == 0 {
        // Stores of vectors, and of all else that is put into memory.
        step.does = match opcode {
            0x1e | 0x1f | 0x10 | 0x12 | 0x14 | 0x16 | 0x28 => Does::Nothing,
            _ => forgotten(operands),
        };
    }
    Some(())
}

/// Opcodes after 0F 38, or of the vector prefixes' map 2; `third_operand` is the
/// register that those name besides.
pub(super) fn third(
    from: &mut Bytes<'_>,
    prefixes: Prefixes,
    opcode: u8,
    third_operand: u32,
) -> Option<Step> {
    let operands = Operands::read(from, prefixes)?;
    let mut step = Step::plain(0);
    step.writes = match opcode {
        0xe0..=0xef if third_operand != 0 => operands.reg(),
        0xf0..=0xf7 => operands.reg() | third_operand,
        _ => 0,
    };
    step.does = forgotten(operands);
    Some(step)
}

/// Opcodes after 0F 3A, or of map 3: all with a byte at their end.
pub(super) fn fourth(from: &mut Bytes<'_>, prefixes: Prefixes, opcode: u8) -> Option<Step> {
    let operands = Operands::read(from, prefixes)?;
    from.number(1)?;
    let mut step = Step::plain(0);
    step.writes = match opcode {
        0x14..=0x17 => operands.rm(),
        0x61 | 0x63 => RCX,
        0xf0 => operands.reg(),
        _ => 0,
    };
    step.does = forgotten(operands);
    Some(step)
}

/// Instructions with the prefixes VEX (two or three bytes) and EVEX (four).
pub(super) fn vector(from: &mut Bytes<'_>, kind: u8) -> Option<Step> {
    let one = from.byte()?;
    // Bits that make numbers of registers are kept inverted.
    let mut prefixes = Prefixes {
        has_rex: true,
        reg: (!one >> 7 & 1) << 3,
        ..Prefixes::default()
    };
    let (map, fields) = match kind {
        0xc5 => (1, one),
        _ => {
            prefixes.index = (!one >> 6 & 1) << 3;
            prefixes.base = (!one >> 5 & 1) << 3;
            (one & if kind == 0x62 { 7 } else { 31 }, from.byte()?)
        }
    };
    if kind == 0x62 {
        from.byte()?;
    }
    let third_operand = 1 << (!fields >> 3 & 15);
    let opcode = from.byte()?;
    match map {
        1 | 5 | 6 => {
            let mut step = Step::plain(0);
            if opcode == 0x77 && map == 1 && kind != 0x62 {
                return Some(step);
            }
            let operands = Operands::read(from, prefixes)?;
            if map == 1 && matches!(opcode, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6) {
                from.number(1)?;
            }
            step.writes = match opcode {
                0x2c | 0x2d | 0x78 | 0x79 | 0x50 | 0x93 | 0xc5 | 0xd7 => operands.reg(),
                0x7e => operands.rm(),
                _ => 0,
            };
            step.does = forgotten(operands);
            Some(step)
        }
        2 => third(from, prefixes, opcode, third_operand),
        3 => fourth(from, prefixes, opcode),
        _ => None,
    }
}
