//! x86-64's instructions, as far as following a number through them needs: how
//! long each is (Intel SDM volume 2, appendix A), where it leads, and which
//! general registers it may write. What an instruction computes is known for
//! moves and the like only.
//!
//! An own decoder instead of a disassembler's crate: those bring their tables
//! of some thousand instructions, about as much as all of `weigh`. The tests
//! hold it against one of them, instruction by instruction.

mod extended;
mod operands;
mod reads;

use super::step::{Change, Does, Flag, Flow, Spot, Step, Value};
use extended::{fourth, second, third, vector};
pub(super) use operands::STACK;
use operands::*;

/// Registers that a function may leave otherwise than it found them (System V
/// ABI for AMD64, figure 3.4): rax, rcx, rdx, rsi, rdi, r8 to r11.
pub(super) const SCRATCH: u32 = 0b1111_1100_0111;
/// Registers in which a function is given something: of those all but r11.
pub(super) const ARGUMENTS: u32 = 0b0111_1100_0111;
/// Registers in which it gives something back: rax, rdx.
pub(super) const RESULTS: u32 = 0b101;

/// The instruction that `bytes` begin with, which stands at `address`; nothing
/// for what is none, or none in 64-bit mode.
pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Step> {
    let mut from = Bytes {
        bytes,
        at: 0,
        named: [0; 3],
        near: None,
    };
    let mut prefixes = Prefixes::default();
    let opcode = loop {
        match from.byte()? {
            0x66 => prefixes.short = true,
            byte @ (0xf2 | 0xf3) => prefixes.repeat = Some(byte),
            0x64 | 0x65 => prefixes.segment = true,
            0x67 => prefixes.narrow = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0xf0 => {}
            // It counts only right before the opcode.
            rex @ 0x40..=0x4f => match from.peek()? {
                0x40..=0x4f
                | 0x66
                | 0xf2
                | 0xf3
                | 0x64
                | 0x65
                | 0x67
                | 0x26
                | 0x2e
                | 0x36
                | 0x3e
                | 0xf0 => {}
                _ => {
                    prefixes.has_rex = true;
                    prefixes.wide = rex & 8 != 0;
                    prefixes.reg = (rex & 4) << 1;
                    prefixes.index = (rex & 2) << 2;
                    prefixes.base = (rex & 1) << 3;
                }
            },
            opcode => break opcode,
        }
    };
    let mut after_0f = None;
    let mut step = match opcode {
        0x0f => match from.byte()? {
            0x38 => {
                let opcode = from.byte()?;
                third(&mut from, prefixes, opcode, 0)?
            }
            0x3a => {
                let opcode = from.byte()?;
                fourth(&mut from, prefixes, opcode)?
            }
            opcode => {
                after_0f = Some(opcode);
                second(&mut from, prefixes, opcode, address)?
            }
        },
        0xc4 | 0xc5 | 0x62 => vector(&mut from, opcode)?,
        opcode => first(&mut from, prefixes, opcode, address)?,
    };
    step.length = u8::try_from(from.at).ok()?;
    step.near = from.near.map(|offset| target(&from, address, offset));
    step.reads = match (after_0f, opcode) {
        (Some(opcode), _) => {
            let of_bytes = matches!(opcode, 0x90..=0x9f | 0xb0 | 0xb6 | 0xbe | 0xc0);
            reads::after_0f(opcode, from.named(of_bytes && !prefixes.has_rex))
        }
        (None, opcode) => {
            let of_bytes = opcode & 1 == 0 && !prefixes.has_rex;
            reads::first(opcode, from.named(of_bytes), &step)
        }
    };
    Some(step)
}

/// One byte of opcode.
fn first(from: &mut Bytes<'_>, prefixes: Prefixes, opcode: u8, address: u64) -> Option<Step> {
    let mut step = Step::plain(0);
    let immediate = match prefixes.short && !prefixes.wide {
        true => 2,
        false => 4,
    };
    let low_bits = opcode & 7;
    let register = low_bits | prefixes.base;
    match opcode {
        0x00..=0x3f => arithmetic(from, prefixes, opcode, immediate, &mut step)?,
        0x50..=0x57 => {
            let value = Value::From(Spot::Register(register), Change::NONE);
            push(&mut step, prefixes, value);
        }
        0x58..=0x5f => pop(&mut step, prefixes, register),
        0x63 => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = operands.reg();
            copy(&mut step, operands, prefixes.short);
        }
        0x68 | 0x6a => {
            let number = from.number(if opcode == 0x6a { 1 } else { immediate })?;
            push(&mut step, prefixes, Value::Number(number.cast_unsigned()));
            step.mentions = Some(number.cast_unsigned());
        }
        0x69 | 0x6b => {
            step.writes = Operands::read(from, prefixes)?.reg();
            from.number(if opcode == 0x6b { 1 } else { immediate })?;
        }
        0x6c..=0x6f => step.writes = RDI | RSI | RCX,
        0x70..=0x7f | 0xe0..=0xe3 => {
            let offset = from.number(1)?;
            step.flow = Flow::Branch(target(from, address, offset));
            step.writes = if opcode >= 0xe0 { RCX } else { 0 };
            step.flag = Flag::Same;
            step.on_equal = match opcode {
                0x74 => Some(true),
                0x75 => Some(false),
                _ => None,
            };
        }
        0x80 | 0x81 | 0x83 => immediately(from, prefixes, opcode, immediate, &mut step)?,
        0x84 | 0x85 => {
            let operands = Operands::read(from, prefixes)?;
            // `test` of a register and itself.
            if opcode == 0x85 && operands.place == Place::Register(operands.reg) && !prefixes.short
            {
                step.flag = Flag::Is(operands.reg, 0);
            }
        }
        0x86 | 0x87 => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = match opcode {
                0x86 => operands.low_rm(prefixes) | 1 << low(operands.reg, prefixes),
                _ => operands.rm() | operands.reg(),
            };
            step.does = forgotten(operands);
        }
        0x88 => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = operands.low_rm(prefixes);
            step.does = forgotten(operands);
            step.flag = Flag::Same;
        }
        0x89 => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = operands.rm();
            step.does = forgotten(operands);
            if let (Some(to), false) = (operands.spot(), prefixes.short) {
                let value = Value::From(Spot::Register(operands.reg), Change::NONE);
                step.does = Does::Set(to, value, None);
            }
            step.flag = Flag::Same;
        }
        0x8a => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = 1 << low(operands.reg, prefixes);
            step.flag = Flag::Same;
        }
        0x8b => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = operands.reg();
            copy(&mut step, operands, prefixes.short);
            step.flag = Flag::Same;
        }
        0x8c => {
            let operands = Operands::read(from, prefixes)?;
            step.writes = operands.rm();
            step.does = forgotten(operands);
        }
        0x8d => {
            let operands = Operands::read(from, prefixes)?;
            // An address it is, whatever segment the prefix names.
            step.writes = operands.reg();
            lea(&mut step, operands, prefixes);
            if let Place::Near(offset) = operands.place {
                let there = target(from, address, offset);
                let to = Spot::Register(operands.reg);
                step.mentions = Some(there);
                step.does = Does::Set(to, Value::Number(there), None);
            }
            step.flag = Flag::Same;
        }
        0x8e => {
            Operands::read(from, prefixes)?;
        }
        0x8f => {
            let operands = Operands::read(from, prefixes)?;
            if operands.digit != 0 {
                return None;
            }
            step.writes = operands.rm() | RSP;
        }
        0x90 if prefixes.base == 0 => {
            step.pads = true;
            step.flag = Flag::Same;
        }
        0x90..=0x97 => step.writes = RAX | 1 << register,
        0x98 => {
            step.writes = RAX;
            // From its lower half, which is all that counts.
            if prefixes.wide {
                let value = Value::From(Spot::Register(0), Change::NONE);
                step.does = Does::Set(Spot::Register(0), value, None);
            }
        }
        0x99 => step.writes = RDX,
        0x9b | 0x9e | 0xf5 | 0xf8..=0xfd => {}
        0x9c | 0x9d => step.writes = RSP,
        0x9f => step.writes = RAX,
        0xa0..=0xa3 => {
            from.number(if prefixes.narrow { 4 } else { 8 })?;
            step.writes = if opcode < 0xa2 { RAX } else { 0 };
        }
        0xa4..=0xa7 => step.writes = RSI | RDI | RCX,
        0xa8 | 0xa9 => {
            from.number(if opcode == 0xa8 { 1 } else { immediate })?;
        }
        0xaa | 0xab | 0xae | 0xaf => step.writes = RDI | RCX,
        0xac | 0xad => step.writes = RAX | RSI | RCX,
        0xb0..=0xb7 => {
            let number = from.number(1)?.cast_unsigned() & 0xff;
            let to = low(register, prefixes);
            step.writes = 1 << to;
            // Of ah, ch, dh and bh too little is known.
            if to == register {
                let changed = Value::From(Spot::Register(to), Change::bits(!0xff, number));
                step.does = Does::Set(Spot::Register(to), changed, None);
            }
        }
        0xb8..=0xbf => {
            let wide = if prefixes.wide { 8 } else { immediate };
            let number = from.number(wide)?.cast_unsigned();
            step.writes = 1 << register;
            step.flag = Flag::Same;
            if !prefixes.short {
                let number = if prefixes.wide {
                    number
                } else {
                    number & 0xffff_ffff
                };
                step.does = Does::Set(Spot::Register(register), Value::Number(number), None);
                step.mentions = Some(number);
            }
        }
        0xc0 | 0xc1 | 0xd0..=0xd3 => {
            let operands = Operands::read(from, prefixes)?;
            if opcode < 0xd0 {
                from.number(1)?;
            }
            step.writes = match opcode & 1 {
                0 => operands.low_rm(prefixes),
                _ => operands.rm(),
            };
            step.does = forgotten(operands);
        }
        0xc2 | 0xca => {
            from.number(2)?;
            step.flow = Flow::Leave;
        }
        // Where nothing is meant to go on, as far as the processor is concerned;
        // compilers put code after it that does.
        0xf4 => step.pads = true,
        0xc3 | 0xcb | 0xcf | 0xf1 => step.flow = Flow::Leave,
        // Debuggers' trap: between functions, where nothing is meant to go.
        0xcc => {
            step.flow = Flow::Leave;
            step.pads = true;
        }
        0xc6 => {
            let operands = Operands::read(from, prefixes)?;
            from.number(1)?;
            step.writes = operands.low_rm(prefixes);
            step.does = forgotten(operands);
        }
        0xc7 => {
            let operands = Operands::read(from, prefixes)?;
            let number = from.number(immediate)?;
            step.writes = operands.rm();
            step.does = forgotten(operands);
            step.mentions = Some(number.cast_unsigned());
            // `xbegin` jumps when the transaction fails.
            if operands.digit == 7 {
                step.flow = Flow::Branch(target(from, address, number));
                step.writes = RAX;
                step.mentions = None;
            } else if let (Some(to), false) = (operands.spot(), prefixes.short) {
                step.does = Does::Set(to, Value::Number(number.cast_unsigned()), None);
            }
            step.flag = Flag::Same;
        }
        0xc8 => {
            from.number(3)?;
            step.writes = RSP | RBP;
        }
        0xc9 => step.writes = RSP | RBP,
        0xcd => {
            let number = from.byte()?;
            step.writes = RAX;
            step.flow = if number == 0x80 {
                Flow::Legacy
            } else {
                Flow::On
            };
        }
        0xd7 => step.writes = RAX,
        0xd8..=0xdf => {
            let operands = Operands::read(from, prefixes)?;
            // `fnstsw ax`.
            step.writes = match (opcode, operands.place) {
                (0xdf, Place::Register(_)) => RAX,
                _ => 0,
            };
            step.does = match operands.place {
                Place::Register(_) => Does::Nothing,
                _ => forgotten(operands),
            };
        }
        0xe4 | 0xe5 => {
            from.number(1)?;
            step.writes = RAX;
        }
        0xe6 | 0xe7 => {
            from.number(1)?;
        }
        0xe8 => {
            let offset = from.number(4)?;
            step.flow = Flow::Call(target(from, address, offset));
        }
        0xe9 | 0xeb => {
            let offset = from.number(if opcode == 0xeb { 1 } else { 4 })?;
            step.flow = Flow::Jump(target(from, address, offset));
        }
        0xec | 0xed => step.writes = RAX,
        0xee | 0xef => {}
        0xf6 | 0xf7 => {
            let operands = Operands::read(from, prefixes)?;
            if operands.digit < 2 {
                from.number(if opcode == 0xf6 { 1 } else { immediate })?;
            }
            step.writes = match (operands.digit, opcode) {
                (0 | 1, _) => 0,
                (2 | 3, 0xf6) => operands.low_rm(prefixes),
                (2 | 3, _) => operands.rm(),
                _ => RAX | RDX,
            };
            if (2..4).contains(&operands.digit) {
                step.does = forgotten(operands);
            }
        }
        0xfe => {
            let operands = Operands::read(from, prefixes)?;
            if operands.digit > 1 {
                return None;
            }
            step.writes = operands.low_rm(prefixes);
            step.does = forgotten(operands);
        }
        0xff => indirectly(from, prefixes, &mut step)?,
        _ => return None,
    }
    Some(step)
}

/// Pushing, or popping, 16 bits moves the stack by two.
fn push(step: &mut Step, prefixes: Prefixes, value: Value) {
    step.writes |= RSP;
    if !prefixes.short {
        step.does = Does::Push(value);
    }
}

fn pop(step: &mut Step, prefixes: Prefixes, to: u8) {
    step.writes |= RSP | 1 << to;
    if !prefixes.short && to != STACK {
        step.does = Does::Pop(to);
    }
}

/// The first operand takes the second; a move of 16 bits keeps the rest of it.
fn copy(step: &mut Step, operands: Operands, short: bool) {
    if let (Some(spot), false) = (operands.spot(), short) {
        let value = Value::From(spot, Change::NONE);
        step.does = Does::Set(Spot::Register(operands.reg), value, None);
    }
}

fn lea(step: &mut Step, operands: Operands, prefixes: Prefixes) {
    let Place::Based(base, offset) = operands.place else {
        return;
    };
    match (operands.reg, base) {
        _ if prefixes.short => {}
        (STACK, STACK) => {
            if let Ok(offset) = i32::try_from(offset) {
                step.does = Does::Shift(offset);
            }
        }
        (STACK, _) | (_, STACK) => {}
        (to, base) => {
            let value = Value::From(Spot::Register(base), Change::add(offset.cast_unsigned()));
            step.does = Does::Set(Spot::Register(to), value, None);
        }
    }
}

/// `add`, `or`, `adc`, `sbb`, `and`, `sub`, `xor`, `cmp`.
fn arithmetic(
    from: &mut Bytes<'_>,
    prefixes: Prefixes,
    opcode: u8,
    immediate: usize,
    step: &mut Step,
) -> Option<()> {
    let (operation, form) = (opcode >> 3, opcode & 7);
    let is_comparison = operation == 7;
    step.writes = match form {
        0..=3 => {
            let operands = Operands::read(from, prefixes)?;
            // `xor` and `sub` of a register and itself, the usual zero.
            if form & 1 == 1
                && matches!(operation, 5 | 6)
                && operands.place == Place::Register(operands.reg)
                && !prefixes.short
            {
                let to = Spot::Register(operands.reg);
                step.does = Does::Set(to, Value::Number(0), None);
            } else if form < 2 && !is_comparison {
                step.does = forgotten(operands);
            }
            let result = match form {
                1 => operands.rm(),
                3 => operands.reg(),
                _ => 0,
            };
            if result != 0 && !is_comparison && !prefixes.short {
                step.flag = Flag::Is(result.trailing_zeros() as u8, 0);
            }
            match form {
                _ if is_comparison => 0,
                0 => operands.low_rm(prefixes),
                1 => operands.rm(),
                2 => 1 << low(operands.reg, prefixes),
                _ => operands.reg(),
            }
        }
        4 | 5 => {
            let number = from.number(if form == 4 { 1 } else { immediate })?;
            if form == 5 && !prefixes.short {
                step.does = worked_out(operation, Spot::Register(0), number);
            }
            if is_comparison { 0 } else { RAX }
        }
        // Prefixes are taken before; the others are not of this mode.
        _ => return None,
    };
    Some(())
}

/// The same with a number that stands in the instruction.
fn immediately(
    from: &mut Bytes<'_>,
    prefixes: Prefixes,
    opcode: u8,
    immediate: usize,
    step: &mut Step,
) -> Option<()> {
    let operands = Operands::read(from, prefixes)?;
    let number = from.number(if opcode == 0x81 { immediate } else { 1 })?;
    let operation = operands.digit;
    let whole = opcode != 0x80 && !prefixes.short;
    if let (Place::Register(register), true) = (operands.place, whole) {
        step.flag = match operation {
            7 => Flag::Is(register, number.cast_unsigned()),
            _ => Flag::Is(register, 0),
        };
    }
    if operation == 7 {
        return Some(());
    }
    step.writes = match opcode {
        0x80 => operands.low_rm(prefixes),
        _ => operands.rm(),
    };
    step.does = match (operands.spot(), operation) {
        _ if !whole => forgotten(operands),
        (Some(Spot::Register(STACK)), 0 | 5) => {
            let by = if operation == 0 { number } else { -number };
            i32::try_from(by).map_or(Does::Nothing, Does::Shift)
        }
        (Some(spot), operation) => worked_out(operation, spot, number),
        (None, _) => Does::Nothing,
    };
    Some(())
}

fn worked_out(operation: u8, spot: Spot, number: i64) -> Does {
    let number = number.cast_unsigned();
    let change = match operation {
        0 => Change::add(number),
        1 => Change::bits(!number, number),
        4 => Change::bits(number, 0),
        5 => Change::add(number.wrapping_neg()),
        7 => return Does::Nothing,
        _ => return Does::Set(spot, Value::Unknown, None),
    };
    Does::Set(spot, Value::From(spot, change), None)
}

/// `inc`, `dec`, `call`, `jmp`, `push` of what a place holds.
fn indirectly(from: &mut Bytes<'_>, prefixes: Prefixes, step: &mut Step) -> Option<()> {
    let operands = Operands::read(from, prefixes)?;
    match operands.digit {
        digit @ (0 | 1) => {
            step.writes = operands.rm();
            step.does = match (operands.spot(), prefixes.short) {
                (Some(spot), false) => worked_out(0, spot, if digit == 0 { 1 } else { -1 }),
                _ => forgotten(operands),
            };
        }
        2 | 3 => {
            step.flow = match operands.place {
                Place::Register(register) => Flow::CallBy(register),
                _ => Flow::CallAway,
            };
        }
        4 | 5 => step.flow = Flow::Leap,
        6 => {
            let value = operands
                .spot()
                .map_or(Value::Unknown, |spot| Value::From(spot, Change::NONE));
            push(step, prefixes, value);
        }
        _ => return None,
    }
    Some(())
}
