//! What stands in an instruction besides its opcode: prefixes, operands, numbers.

use crate::elf::calls::step::{Does, Spot, Value};

/// The stack pointer's number.
pub(in crate::elf::calls) const STACK: u8 = 4;

pub(super) const RAX: u32 = 1;
pub(super) const RCX: u32 = 1 << 1;
pub(super) const RDX: u32 = 1 << 2;
pub(super) const RBX: u32 = 1 << 3;
pub(super) const RSP: u32 = 1 << 4;
pub(super) const RBP: u32 = 1 << 5;
pub(super) const RSI: u32 = 1 << 6;
pub(super) const RDI: u32 = 1 << 7;
pub(super) const R11: u32 = 1 << 11;

/// Longest instruction (Intel SDM volume 2, 2.3.11).
pub(super) const LONGEST: usize = 15;

/// Takes bytes one after the other.
pub(super) struct Bytes<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Registers that were named so far: as the first operand, as the second, and
    /// in the address of the second.
    pub(super) named: [u32; 3],
    /// How far from the next instruction the second operand is in memory.
    pub(super) near: Option<i64>,
}

impl Bytes<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at).filter(|_| self.at < LONGEST)?;
        self.at += 1;
        Some(byte)
    }

    /// The registers that were named; of operands of one byte, those whose second
    /// bytes they may be.
    pub(super) fn named(&self, of_bytes: bool) -> [u32; 3] {
        let whole = |named: u32| match of_bytes {
            true => named | named >> 4 & 15,
            false => named,
        };
        let [reg, rm, based] = self.named;
        [whole(reg), whole(rm), based]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// A signed number of so many bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Option<i64> {
        let mut number = 0_u64;
        for index in 0..bytes {
            number |= u64::from(self.byte()?) << (8 * index);
        }
        if bytes == 0 {
            return Some(0);
        }
        let unused = 64 - 8 * bytes as u32;
        Some((number << unused).cast_signed() >> unused)
    }
}

/// What stands before the opcode.
#[derive(Clone, Copy, Default)]
pub(super) struct Prefixes {
    /// 66: operands of 16 bits, or part of the opcode.
    pub(super) short: bool,
    /// F2 or F3, part of some opcodes.
    pub(super) repeat: Option<u8>,
    /// 64 or 65: an address in thread-local memory.
    pub(super) segment: bool,
    /// 67: addresses, and what counts, of 32 bits.
    pub(super) narrow: bool,
    pub(super) has_rex: bool,
    /// Operands of 64 bits.
    pub(super) wide: bool,
    /// Bits that make registers' numbers out of three bits.
    pub(super) reg: u8,
    pub(super) index: u8,
    pub(super) base: u8,
}

/// The second operand of the `ModRM` byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Register(u8),
    /// Relative to the next instruction.
    Near(i64),
    /// A register and so much.
    Based(u8, i64),
    Memory,
}

#[derive(Clone, Copy)]
pub(super) struct Operands {
    /// The three bits of the register, which are part of some opcodes.
    pub(super) digit: u8,
    pub(super) reg: u8,
    pub(super) place: Place,
}

impl Operands {
    pub(super) fn read(from: &mut Bytes<'_>, prefixes: Prefixes) -> Option<Self> {
        let byte = from.byte()?;
        let (mode, digit, low) = (byte >> 6, byte >> 3 & 7, byte & 7);
        from.named[0] = 1 << (digit | prefixes.reg);
        match (mode, low) {
            (3, _) => from.named[1] = 1 << (low | prefixes.base),
            (0, 5) | (_, 4) => {}
            _ => from.named[2] = 1 << (low | prefixes.base),
        }
        let place = match (mode, low) {
            (3, _) => Place::Register(low | prefixes.base),
            (0, 5) => Place::Near(from.number(4)?),
            (_, 4) => {
                let sib = from.byte()?;
                let (index, base) = (sib >> 3 & 7 | prefixes.index, sib & 7);
                from.named[2] = 1 << index | 1 << (base | prefixes.base);
                let offset = match (mode, base) {
                    (0, 5) => {
                        from.number(4)?;
                        return Some(Self {
                            digit,
                            reg: digit | prefixes.reg,
                            place: Place::Memory,
                        });
                    }
                    _ => from.number(displacement(mode))?,
                };
                match index {
                    4 => Place::Based(base | prefixes.base, offset),
                    _ => Place::Memory,
                }
            }
            _ => Place::Based(low | prefixes.base, from.number(displacement(mode))?),
        };
        if let (Place::Near(offset), false) = (place, prefixes.segment || prefixes.narrow) {
            from.near = Some(offset);
        }
        Some(Self {
            digit,
            reg: digit | prefixes.reg,
            place: match place {
                Place::Based(..) | Place::Near(_) if prefixes.segment || prefixes.narrow => {
                    Place::Memory
                }
                place => place,
            },
        })
    }

    pub(super) fn reg(&self) -> u32 {
        1 << self.reg
    }

    /// The register that the second operand is, if it is one.
    pub(super) fn rm(&self) -> u32 {
        match self.place {
            Place::Register(register) => 1 << register,
            _ => 0,
        }
    }

    /// As [`Operands::rm`] and [`Operands::reg`] for operands of one byte: four
    /// of them are the second bytes of the first four registers.
    pub(super) fn low_rm(&self, prefixes: Prefixes) -> u32 {
        match self.place {
            Place::Register(register) => 1 << low(register, prefixes),
            _ => 0,
        }
    }

    /// What can be followed of the second operand.
    pub(super) fn spot(&self) -> Option<Spot> {
        match self.place {
            Place::Register(register) => Some(Spot::Register(register)),
            Place::Based(STACK, offset) => i32::try_from(offset).ok().map(Spot::Stack),
            _ => None,
        }
    }
}

pub(super) fn displacement(mode: u8) -> usize {
    match mode {
        1 => 1,
        2 => 4,
        _ => 0,
    }
}

pub(super) fn low(register: u8, prefixes: Prefixes) -> u8 {
    match prefixes.has_rex {
        false if (4..8).contains(&register) => register - 4,
        _ => register,
    }
}

/// Where a relative jump leads; it counts from the next instruction.
pub(super) fn target(from: &Bytes<'_>, address: u64, offset: i64) -> u64 {
    address
        .wrapping_add(from.at as u64)
        .wrapping_add_signed(offset)
}

/// What a slot of the stack holds after an instruction that may write it.
pub(super) fn forgotten(operands: Operands) -> Does {
    match operands.spot() {
        Some(slot @ Spot::Stack(_)) => Does::Set(slot, Value::Unknown, None),
        _ => Does::Nothing,
    }
}
