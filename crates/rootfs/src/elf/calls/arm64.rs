//! A64 instructions, as far as following a number through them needs (Arm
//! Architecture Reference Manual, chapter C4): four bytes each, so only where
//! they lead and what they may write has to be told.

use super::step::{Change, Does, Flag, Flow, Spot, Step, Value};

/// The stack pointer's number; as a second operand it is the register of zero.
pub(super) const STACK: u8 = 31;
/// Registers that a function may leave otherwise than it found them (Procedure
/// Call Standard for the Arm 64-bit Architecture, 6.1.1): x0 to x18, and x30.
pub(super) const SCRATCH: u32 = 0x4007_ffff;
/// Registers in which a function is given something: x0 to x8.
pub(super) const ARGUMENTS: u32 = 0x1ff;
/// Registers in which it gives something back: x0 to x7.
pub(super) const RESULTS: u32 = 0xff;

/// Bits of an instruction.
fn bits(word: u32, from: u32, count: u32) -> u32 {
    word >> from & ((1 << count) - 1)
}

/// The same as a signed number, four times.
fn offset(word: u32, from: u32, count: u32) -> i64 {
    let unused = 64 - count;
    ((u64::from(bits(word, from, count)) << unused).cast_signed() >> unused) * 4
}

fn register(word: u32, from: u32) -> u8 {
    bits(word, from, 5) as u8
}

/// What a source register holds; 31 is zero.
fn source(register: u8) -> Value {
    match register {
        31 => Value::Number(0),
        register => Value::From(Spot::Register(register), Change::NONE),
    }
}

/// The instruction at `address`, and the page that its `adrp` names, if it is one.
pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Step> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    let mut step = Step::plain(4);
    let there = |offset: i64| address.wrapping_add_signed(offset);
    let to = register(word, 0);
    let tests = (
        bits(word, 25, 6) == 0b01_1010,
        bits(word, 25, 6) == 0b01_1011,
    );
    if word >> 16 == 0 {
        // `udf`, and zeros between functions.
        step.flow = Flow::Leave;
        step.pads = true;
    } else if word & 0xffe0_001f == 0xd400_0001 {
        step.flow = Flow::System;
        step.writes = 1;
    } else if word & 0xffe0_001f == 0xd420_0000 || word & 0xffe0_001f == 0xd440_0000 {
        step.flow = Flow::Leave;
    } else if word == 0xd503_201f {
        step.pads = true;
    } else if word >> 26 == 0b00_0101 {
        step.flow = Flow::Jump(there(offset(word, 0, 26)));
    } else if word >> 26 == 0b10_0101 {
        step.flow = Flow::Call(there(offset(word, 0, 26)));
    } else if word >> 24 == 0x54 {
        step.flow = Flow::Branch(there(offset(word, 5, 19)));
        step.flag = Flag::Same;
        step.on_equal = match bits(word, 0, 4) {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        };
    } else if tests.0 {
        // It looks at a register itself.
        step.flow = Flow::Branch(there(offset(word, 5, 19)));
        step.flag = Flag::Is(to, 0);
        step.on_equal = Some(bits(word, 24, 1) == 0);
    } else if tests.1 {
        step.flow = Flow::Branch(there(offset(word, 5, 14)));
    } else if word >> 25 == 0b110_1011 {
        step.flow = match bits(word, 21, 4) {
            1 => Flow::CallBy(register(word, 5)),
            9 => Flow::CallAway,
            0 | 8 => Flow::Leap,
            _ => Flow::Leave,
        };
    } else if word >> 22 == 0b11_0101_0100 {
        // System registers and hints: only reading one writes a general register.
        step.writes = if bits(word, 21, 1) == 1 {
            written(to)
        } else {
            0
        };
    } else {
        match bits(word, 25, 4) {
            0b1000 | 0b1001 => immediate(word, address, &mut step),
            0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word, &mut step),
            0b0101 | 0b1101 => registers(word, &mut step),
            // Vectors: those that move to general registers among them.
            0b0111 | 0b1111 => step.writes = written(to),
            // SVE and SME: some count into a general register.
            0b0010 | 0b0000 => step.writes = written(to),
            _ => return None,
        }
    }
    step.reads = reads(word, &step);
    Some(step)
}

/// Registers that an instruction may look at: those whose numbers stand where
/// operands stand, whether they are operands of this one or not.
fn reads(word: u32, step: &Step) -> u32 {
    match step.flow {
        Flow::Jump(_) | Flow::Call(_) | Flow::System => return 0,
        Flow::Branch(_) if word >> 24 == 0x54 => return 0,
        Flow::Branch(_) => return written(register(word, 0)),
        _ => {}
    }
    if step.pads {
        return 0;
    }
    let to = written(register(word, 0));
    let group = bits(word, 25, 4);
    let others = written(register(word, 5)) | written(register(word, 10));
    let others = others | written(register(word, 16));
    let is_load = group & 0b0101 == 0b0100 && bits(word, 22, 1) == 1 && bits(word, 27, 1) == 1;
    match (group, step.does) {
        // Numbers and addresses: no register, and of moves of 16 bits their own.
        (0b1000 | 0b1001, Does::Set(_, Value::Number(_), None)) => 0,
        (0b1000, _) if bits(word, 24, 5) == 0b1_0000 => 0,
        (0b1000 | 0b1001, Does::Set(_, Value::From(from, _), None)) => match from {
            Spot::Register(from) => written(from),
            Spot::Stack(_) => 0,
        },
        (0b1000 | 0b1001, _) => to | written(register(word, 5)),
        (0b0101 | 0b1101, _) => others,
        // One register by a number, or a pair.
        (0b1100 | 0b1110, _) if is_load && bits(word, 28, 2) == 3 => written(register(word, 5)),
        _ => to | others,
    }
}

/// The page that an `adrp` puts into a register.
pub(super) fn page(bytes: &[u8], address: u64) -> Option<(u8, u64)> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    (word & 0x9f00_0000 == 0x9000_0000).then(|| {
        let pages = u64::from(bits(word, 5, 19) << 2 | bits(word, 29, 2));
        let pages = (pages << 43).cast_signed() >> 43;
        (
            register(word, 0),
            (address & !0xfff).wrapping_add_signed(pages << 12),
        )
    })
}

/// The registers of an `add` of a number, and the number.
pub(super) fn added(bytes: &[u8]) -> Option<(u8, u8, u64)> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    (word & 0xff80_0000 == 0x9100_0000).then(|| {
        let number = u64::from(bits(word, 10, 12)) << (12 * bits(word, 22, 1));
        (register(word, 0), register(word, 5), number)
    })
}

/// The bit of a register that is written, if it is one.
fn written(to: u8) -> u32 {
    1 << (to & 31) & 0x7fff_ffff
}

/// Data processing with a number.
fn immediate(word: u32, address: u64, step: &mut Step) {
    let (to, from) = (register(word, 0), register(word, 5));
    step.writes = written(to);
    step.flag = Flag::Same;
    match bits(word, 23, 6) {
        // `adr`; what an `adrp` names is asked for by itself.
        0b10_0000 | 0b10_0001 if word >> 31 == 0 => {
            let near = u64::from(bits(word, 5, 19) << 2 | bits(word, 29, 2));
            let near = (near << 43).cast_signed() >> 43;
            step.mentions = Some(address.wrapping_add_signed(near));
        }
        // `add` and `sub`.
        0b10_0010 => {
            let number = u64::from(bits(word, 10, 12)) << (12 * bits(word, 22, 1));
            let (flags, minus) = (bits(word, 29, 1) == 1, bits(word, 30, 1) == 1);
            if flags {
                step.flag = match (to, minus, from) {
                    (31, true, from) if from != 31 => Flag::Is(from, number),
                    (0..31, ..) => Flag::Is(to, 0),
                    _ => Flag::Unknown,
                };
            }
            match (flags, to, from) {
                (true, 31, _) => {}
                (false, 31, 31) => {
                    // Less than 2^24.
                    let by = number as i32;
                    step.does = Does::Shift(if minus { -by } else { by });
                    step.writes = 1 << STACK;
                }
                (false, 31, _) => step.writes = 1 << STACK,
                (_, _, 31) => {}
                _ => {
                    let add = if minus { number.wrapping_neg() } else { number };
                    let value = Value::From(Spot::Register(from), Change::add(add));
                    step.does = Does::Set(Spot::Register(to), value, None);
                }
            }
        }
        // `and`, `orr`, `eor`, `ands`: of which the stack pointer may come out.
        0b10_0100 => match bits(word, 29, 2) {
            3 => step.flag = Flag::Unknown,
            _ if to == 31 => step.writes = 1 << STACK,
            _ => {}
        },
        // `movn`, `movz`, `movk`.
        0b10_0101 => {
            let shift = 16 * bits(word, 21, 2);
            let number = u64::from(bits(word, 5, 16)) << shift;
            let spot = Spot::Register(to);
            let value = match bits(word, 29, 2) {
                0 => Value::Number(!number),
                2 => Value::Number(number),
                3 => Value::From(spot, Change::bits(!(0xffff << shift), number)),
                _ => Value::Unknown,
            };
            if to != 31 {
                step.does = Does::Set(spot, value, None);
            }
        }
        _ => {}
    }
}

/// Data processing of registers.
fn registers(word: u32, step: &mut Step) {
    let (to, one, other) = (register(word, 0), register(word, 5), register(word, 16));
    step.writes = written(to);
    if to == 31 {
        return;
    }
    let spot = Spot::Register(to);
    // `orr` with the register of zero, not shifted: `mov`.
    if word & 0x7fe0_fc00 == 0x2a00_0000 && one == 31 {
        step.does = Does::Set(spot, source(other), None);
        step.flag = Flag::Same;
    } else if word & 0x7fe0_0c00 == 0x1a80_0000 {
        // `csel`
        step.does = Does::Set(spot, source(one), Some(source(other)));
    } else if word & 0x7fe0_0c00 == 0x1a80_0400 {
        // `csinc`
        let more = match other {
            31 => Value::Number(1),
            other => Value::From(Spot::Register(other), Change::add(1)),
        };
        step.does = Does::Set(spot, source(one), Some(more));
    }
}

/// Loads and stores.
fn memory(word: u32, step: &mut Step) {
    let (first, base) = (register(word, 0), register(word, 5));
    let (second, status) = (register(word, 10), register(word, 16));
    let of_vectors = bits(word, 26, 1) == 1;
    let group = bits(word, 27, 3);
    let is_load = bits(word, 22, 1) == 1;
    let wide = word >> 30;
    step.flag = Flag::Same;
    match group {
        // Pairs.
        0b101 => {
            let moves_base = bits(word, 23, 1) == 1;
            if is_load && !of_vectors {
                step.writes = written(first) | written(second);
            }
            let bytes = offset(word, 15, 7) * if wide == 2 { 2 } else { 1 };
            // Not more than ten bits.
            let bytes = bytes as i32;
            match (moves_base, base == STACK) {
                (true, false) => step.writes |= written(base),
                // What it puts there is not followed: frames are set up so.
                (true, true) => {
                    step.writes |= 1 << STACK;
                    if !is_load {
                        step.does = Does::Shift(bytes);
                    }
                }
                (false, true) if wide == 2 && !of_vectors && !is_load => {
                    step.does = Does::Pair(bytes, source(first), source(second));
                }
                (false, true) if !is_load => {
                    step.does = Does::Pair(bytes, Value::Unknown, Value::Unknown);
                }
                _ => {}
            }
        }
        0b111 => one(word, step, (first, base, status)),
        // Literals, exclusive and compound ones: whatever they may write.
        _ => {
            let all = written(first) | written(second) | written(status);
            step.writes = match group {
                0b011 if of_vectors => 0,
                0b011 if bits(word, 24, 1) == 0 => written(first),
                _ if of_vectors => written(base),
                _ => all | written(base),
            };
        }
    }
}

/// Loads and stores of one register.
fn one(word: u32, step: &mut Step, (first, base, status): (u8, u8, u8)) {
    let of_vectors = bits(word, 26, 1) == 1;
    let size = word >> 30;
    // 00 stores; for vectors 10 does too.
    let operation = bits(word, 22, 2);
    let is_store = operation == 0 || of_vectors && operation == 2;
    let target = match of_vectors || is_store {
        true => 0,
        false => written(first),
    };
    let by_number = bits(word, 24, 1) == 1;
    step.writes = target;
    if by_number {
        let at = (bits(word, 10, 12) << size).cast_signed();
        if base != STACK || of_vectors && !is_store {
            return;
        }
        step.does = match (is_store, operation, size) {
            (true, 0, 2 | 3) if !of_vectors => Does::Set(Spot::Stack(at), source(first), None),
            (true, ..) if of_vectors && operation == 2 => {
                let at = (bits(word, 10, 12) << 4).cast_signed();
                Does::Pair(at, Value::Unknown, Value::Unknown)
            }
            (true, ..) => Does::Set(Spot::Stack(at), Value::Unknown, None),
            (false, 1, 2 | 3) if first != 31 => {
                let value = Value::From(Spot::Stack(at), Change::NONE);
                Does::Set(Spot::Register(first), value, None)
            }
            _ => Does::Nothing,
        };
        return;
    }
    match (bits(word, 21, 1), bits(word, 10, 2)) {
        (0, 0b01 | 0b11) => {
            // The base moves with it.
            let by = (offset(word, 12, 9) / 4) as i32;
            match base {
                STACK => {
                    step.writes |= 1 << STACK;
                    if is_store {
                        step.does = Does::Shift(by);
                    }
                }
                base => step.writes |= written(base),
            }
        }
        (0, _) if base == STACK && is_store => {
            let at = (offset(word, 12, 9) / 4) as i32;
            step.does = Does::Pair(at, Value::Unknown, Value::Unknown);
        }
        // Atomic ones, and loads with a signed pointer.
        (1, 0b00) => step.writes = written(first) | written(status),
        (1, 0b01 | 0b11) => step.writes |= written(base),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(word: u32) -> Step {
        decode(&word.to_le_bytes(), 0x1000).unwrap()
    }

    #[test]
    fn moves_calls_and_branches_are_what_the_manual_says() {
        let eight = Spot::Register(8);
        for (word, does) in [
            (0x5280_0708, Value::Number(56)),       // mov w8, #56
            (0xd280_0b28, Value::Number(89)),       // mov x8, #89
            (0x1280_0008, Value::Number(u64::MAX)), // mov w8, #-1
            (0xaa00_03e8, Value::From(Spot::Register(0), Change::NONE)), // mov x8, x0
            (0x9100_0528, Value::From(Spot::Register(9), Change::add(1))), // add x8, x9, #1
            (0xf940_0be8, Value::From(Spot::Stack(16), Change::NONE)), // ldr x8, [sp, #16]
            (0x7280_0708, Value::From(eight, Change::bits(!0xffff, 56))), // movk w8, #56
        ] {
            assert_eq!(step(word).does, Does::Set(eight, does, None), "{word:x}");
        }
        for (word, flow) in [
            (0xd400_0001, Flow::System),
            (0x9400_0002, Flow::Call(0x1008)),
            (0x17ff_ffff, Flow::Jump(0xffc)),
            (0x5400_0041, Flow::Branch(0x1008)), // b.ne
            (0xb4ff_ffe0, Flow::Branch(0xffc)),  // cbz x0
            (0x3600_0040, Flow::Branch(0x1008)), // tbz w0, #0
            (0xd65f_03c0, Flow::Leave),          // ret
            (0xd61f_0200, Flow::Leap),           // br x16
            (0xd63f_0200, Flow::CallBy(16)),     // blr x16
            (0xd420_0020, Flow::Leave),          // brk #1
            (0, Flow::Leave),
            (0xd503_201f, Flow::On),
        ] {
            assert_eq!(step(word).flow, flow, "{word:x}");
        }
        assert_eq!(step(0xa9bf_7bfd).does, Does::Shift(-16)); // stp x29, x30, [sp, #-16]!
        assert_eq!(step(0xd100_83ff).does, Does::Shift(-32)); // sub sp, sp, #32
        assert_eq!(
            page(&0xb000_0008_u32.to_le_bytes(), 0x1234),
            Some((8, 0x2000))
        );
        assert_eq!(added(&0x9100_4108_u32.to_le_bytes()), Some((8, 8, 16)));
    }

    #[test]
    fn what_an_instruction_may_write_is_told() {
        for (word, writes) in [
            (0xf940_0108_u32, 1 << 8),      // ldr x8, [x8]
            (0xf900_0108, 0),               // str x8, [x8]
            (0xf840_8408, 1 << 8 | 1),      // ldr x8, [x0], #8
            (0xa940_0408, 1 << 8 | 1 << 1), // ldp x8, x1, [x0]
            (0x885f_fc08, 1 << 8),          // ldaxr w8, [x0]
            (0x8808_fc01, 1 << 8),          // stlxr w8, w1, [x0]
            (0xb8e8_0001, 1 << 1),          // ldaddal w8, w1, [x0]
            (0x8b01_0008, 1 << 8),          // add x8, x0, x1
            (0xeb01_001f, 0),               // cmp x0, x1
            (0xd53b_d048, 1 << 8),          // mrs x8, tpidr_el0
            (0x9e66_0008, 1 << 8),          // fmov x8, d0
            (0x3dc0_0008, 0),               // ldr q8, [x0]
            (0x5800_0008, 1 << 8),          // ldr x8, literal
        ] {
            assert_eq!(step(word).writes & writes, writes, "{word:x}");
        }
        assert_eq!(step(0xf900_0108).writes | step(0xeb01_001f).writes, 0);
    }
}
