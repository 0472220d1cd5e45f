//! Where the references are: images taken apart into units, one after the other.

use crate::format::{Content, Region};
use crate::map::Map;

use super::field::{Form, get};

/// Where the bytes of an image come from.
pub(crate) trait Source {
    /// The four bytes at a place as a little-endian word, zeros past the end.
    fn word(&mut self, offset: u32) -> u32;
}

/// Some bytes that belong together, and what they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// 1 to 4.
    pub(crate) bytes: u32,
    /// How the reference is written, if it is one.
    pub(crate) form: Form,
    /// What it refers to in the old image.
    pub(crate) target: u32,
    /// The bytes, the first lowest.
    pub(crate) raw: u32,
}

/// What an instruction has loaded into a register's upper bits, in both images.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    old: u32,
    new: u32,
}

/// Instructions after a `lui` that are looked at for the one that completes it.
const AHEAD: u32 = 12;

/// Words of a Thumb pool that are remembered, as bits: all that a short load reaches.
const POOL_WORDS: u32 = 256;

/// A walk through a stretch of the old image.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    pairs: [Pair; 32],
    /// Registers whose pair counts.
    known: u32,
    /// The next unit is the distance of an x86 instruction.
    is_distance: bool,
    pool: [u32; POOL_WORDS as usize / 32],
}

impl Walk {
    /// Nothing was seen yet.
    pub(crate) const BLANK: Self = Self {
        pairs: [Pair { old: 0, new: 0 }; 32],
        known: 0,
        is_distance: false,
        pool: [0; POOL_WORDS as usize / 32],
    };

    /// Forgets what was seen, as at the start of a block.
    pub(crate) fn restart(&mut self) {
        self.known = 0;
        self.is_distance = false;
        self.pool = [0; POOL_WORDS as usize / 32];
    }

    /// The unit at a place of the old image, which lies in `region`, of at most
    /// `left` bytes.
    pub(crate) fn unit<S: Source>(
        &mut self,
        map: &Map<'_>,
        region: &Region,
        source: &mut S,
        offset: u32,
        left: u32,
    ) -> Unit {
        let raw = source.word(offset);
        let at = region.old.address_of(offset);
        let mut unit = match region.content {
            // No region has what was not built in: that code goes with the condition.
            content if !content.is_built() => plain(raw, 1),
            Content::Bytes | Content::Memory => plain(raw, 1),
            Content::Words32 => self.words(map, raw, at, false),
            Content::Words64 => {
                if at & 7 == 0 && source.word(offset + 4) != 0 {
                    // Not an address below 4 GB, but two words or text.
                    self.distances(map, raw, at)
                } else {
                    self.words(map, raw, at, true)
                }
            }
            Content::Frames => self.frames(map, raw, at),
            Content::FrameIndex => start(raw, at, region),
            Content::Riscv32 => self.riscv(source, raw, at, offset, true),
            Content::Riscv64 => self.riscv(source, raw, at, offset, false),
            Content::Thumb => self.thumb(raw, at),
            Content::Aarch64 => self.aarch64(source, raw, at, offset),
            Content::X86 => self.x86(raw, at),
            Content::Xtensa => xtensa(map, raw, at),
        };
        if unit.bytes > left {
            unit = plain(raw, left);
        }
        unit
    }

    /// What `lower` instructions add to in the new image, or what distances count from.
    pub(crate) fn upper(&self, unit: &Unit, region: &Region) -> u32 {
        match unit.form {
            Form::DistanceStart => region.new.address,
            form => match register_read(form, unit.raw) {
                Some(register) => self.pairs[register].new,
                None => 0,
            },
        }
    }

    /// Remembers what came of a unit: `new` is what it says in the new image, nothing
    /// if it has become another instruction.
    pub(crate) fn done(&mut self, region: &Region, unit: &Unit, at: u32, new: Option<u32>) {
        self.passed(region, unit.raw);
        if let Some(register) = register_written(unit.form, unit.raw) {
            self.known &= !(1 << register);
            if let Some(new) = new {
                let old = get(unit.form, unit.raw, at, 0);
                self.pairs[register] = Pair { old, new };
                self.known |= 1 << register;
            }
        }
    }

    /// Forgets what an instruction writes to that is no reference.
    #[inline]
    pub(crate) fn passed(&mut self, region: &Region, raw: u32) {
        if self.known != 0 {
            self.known &= !match region.content {
                Content::Riscv32 | Content::Riscv64 if cfg!(feature = "riscv") => riscv_writes(raw),
                Content::Aarch64 if cfg!(feature = "aarch64") => aarch64_writes(raw),
                _ => 0,
            };
        }
    }

    fn is_known(&self, register: u32) -> bool {
        self.known >> register & 1 == 1
    }

    fn words(&mut self, map: &Map<'_>, raw: u32, at: u32, wide: bool) -> Unit {
        if at & 3 != 0 {
            return plain(raw, 1);
        }
        if raw != 0 && map.is_address(raw) {
            return reference(Form::Word, raw, 4, raw);
        }
        if wide {
            return self.distances(map, raw, at);
        }
        plain(raw, 4)
    }

    /// A word that may be a distance to code, as in the tables of a `switch`.
    fn distances(&mut self, map: &Map<'_>, raw: u32, at: u32) -> Unit {
        if at & 3 != 0 {
            return plain(raw, 1);
        }
        let target = at.wrapping_add(raw);
        if raw.wrapping_add(0x100) > 0x200 && map.is_code(target) {
            return reference(Form::DistanceHere, raw, 4, target);
        }
        plain(raw, 4)
    }

    fn frames(&mut self, map: &Map<'_>, raw: u32, at: u32) -> Unit {
        if at & 3 != 0 {
            return plain(raw, 1);
        }
        let back = at.wrapping_sub(raw);
        // The pointer to the common entry, from each description.
        if raw > 0x10 && raw & 3 == 0 && raw < 0x40_0000 && map.is_address(back) {
            return reference(Form::DistanceBack, raw, 4, back);
        }
        self.distances(map, raw, at)
    }

    fn riscv<S: Source>(
        &mut self,
        source: &mut S,
        raw: u32,
        at: u32,
        offset: u32,
        is_32: bool,
    ) -> Unit {
        if raw & 3 != 3 {
            let form = match (raw & 3, raw >> 13 & 7) {
                (1, 5) => Form::ShortJump,
                (1, 1) if is_32 => Form::ShortJump,
                (1, 6 | 7) => Form::ShortBranch,
                _ => return plain(raw, 2),
            };
            let half = raw & 0xffff;
            return reference(form, half, 2, get(form, half, at, 0));
        }
        match raw & 0x7f {
            0x6f => self.here(Form::Jal, raw, at),
            0x63 => self.here(Form::Branch, raw, at),
            0x17 => self.riscv_upper(source, Form::UpperHere, raw, at, offset),
            0x37 => self.riscv_upper(source, Form::Upper, raw, at, offset),
            _ => match riscv_lower(raw) {
                Some(form) => self.lower(form, raw),
                None => plain(raw, 4),
            },
        }
    }

    fn here(&self, form: Form, raw: u32, at: u32) -> Unit {
        reference(form, raw, 4, get(form, raw, at, 0))
    }

    /// An instruction that completes an address, if the one that began it was seen.
    fn lower(&self, form: Form, raw: u32) -> Unit {
        match register_read(form, raw) {
            Some(register) if self.is_known(register as u32) => {
                let target = get(form, raw, 0, self.pairs[register].old);
                reference(form, raw, 4, target)
            }
            _ => plain(raw, 4),
        }
    }

    /// `lui` and `auipc`: what completes the address decides how the upper part is
    /// rounded, so it is looked for.
    fn riscv_upper<S: Source>(
        &self,
        source: &mut S,
        form: Form,
        raw: u32,
        at: u32,
        offset: u32,
    ) -> Unit {
        let register = raw >> 7 & 31;
        let upper = get(form, raw, at, 0);
        let mut next = offset + 4;
        for _ in 0..AHEAD {
            let later = source.word(next);
            if later & 3 != 3 {
                next += 2;
                continue;
            }
            next += 4;
            if let Some(lower) = riscv_lower(later)
                && later >> 15 & 31 == register
            {
                return reference(form, raw, 4, get(lower, later, 0, upper));
            }
        }
        plain(raw, 4)
    }

    fn aarch64<S: Source>(&mut self, source: &mut S, raw: u32, at: u32, offset: u32) -> Unit {
        if at & 3 != 0 {
            return plain(raw, 1);
        }
        if raw & 0x7c00_0000 == 0x1400_0000 {
            return self.here(Form::Jump26, raw, at);
        }
        if raw & 0xff00_0010 == 0x5400_0000
            || raw & 0x7e00_0000 == 0x3400_0000
            || raw & 0xbf00_0000 == 0x1800_0000
        {
            return self.here(Form::Jump19, raw, at);
        }
        if raw & 0x7e00_0000 == 0x3600_0000 {
            return self.here(Form::Jump14, raw, at);
        }
        if raw & 0x9f00_0000 == 0x9000_0000 {
            let register = raw & 31;
            let page = get(Form::Page, raw, at, 0);
            for ahead in 1..=AHEAD {
                let later = source.word(offset + 4 * ahead);
                if let Some(lower) = aarch64_lower(later)
                    && later >> 5 & 31 == register
                {
                    return reference(Form::Page, raw, 4, get(lower, later, 0, page));
                }
            }
            return plain(raw, 4);
        }
        match aarch64_lower(raw) {
            Some(form) => self.lower(form, raw),
            None => plain(raw, 4),
        }
    }

    fn thumb(&mut self, raw: u32, at: u32) -> Unit {
        if at & 1 != 0 {
            return plain(raw, 1);
        }
        let place = at >> 2 & (POOL_WORDS - 1);
        let bit = &mut self.pool[place as usize / 32];
        let is_pool = *bit >> (place & 31) & 1 == 1;
        if at & 3 == 0 && is_pool {
            *bit &= !(1 << (place & 31));
            return reference(Form::Word, raw, 4, raw);
        }
        let half = raw & 0xffff;
        if half >> 11 >= 0x1d {
            let second = raw >> 16;
            let form = match (half >> 11, second >> 12) {
                (0x1e, 0xd | 0xf | 0x9 | 0xb) => Form::ThumbCall,
                (0x1e, 0x8 | 0xa) if half >> 7 & 7 != 7 => Form::ThumbBranch,
                _ if half == 0xf8df => Form::ThumbFarPool,
                _ => return plain(raw, 4),
            };
            let target = get(form, raw, at, 0);
            if form == Form::ThumbFarPool {
                self.expect(target, at);
            }
            return reference(form, raw, 4, target);
        }
        let form = match half >> 11 {
            0x1c => Form::ThumbShort,
            0x1a | 0x1b if half >> 9 & 7 != 7 => Form::ThumbShortBranch,
            0x09 => Form::ThumbPool,
            _ => return plain(raw, 2),
        };
        let target = get(form, half, at, 0);
        if form == Form::ThumbPool {
            self.expect(target, at);
        }
        reference(form, half, 2, target)
    }

    /// Remembers that there is a word of a pool.
    fn expect(&mut self, target: u32, at: u32) {
        if target & 3 == 0 && target.wrapping_sub(at) < POOL_WORDS * 4 {
            let place = target >> 2 & (POOL_WORDS - 1);
            self.pool[place as usize / 32] |= 1 << (place & 31);
        }
    }

    /// How many of these bytes begin no x86 instruction with a distance, but for the
    /// last three, which are not judged.
    pub(crate) fn plain_x86(&self, bytes: &[u8]) -> usize {
        if self.is_distance {
            return 0;
        }
        let judged = bytes.windows(4).take_while(|window| {
            let word = [window[0], window[1], window[2], window[3]];
            !MAY_BEGIN[usize::from(window[0])] || x86_before_distance(u32::from_le_bytes(word)) == 0
        });
        judged.count()
    }

    fn x86(&mut self, raw: u32, at: u32) -> Unit {
        if self.is_distance {
            self.is_distance = false;
            return reference(Form::Distance, raw, 4, get(Form::Distance, raw, at, 0));
        }
        let before = x86_before_distance(raw);
        self.is_distance = before > 0;
        plain(raw, before.max(1))
    }
}

/// Bytes that may begin an x86 instruction with a distance.
static MAY_BEGIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut first = 0;
    while first < 256 {
        // The second byte makes it one where any does: an operand, or `jcc`.
        let raw = first as u32;
        table[first] =
            x86_before_distance(raw | 0x0500) > 0 || x86_before_distance(raw | 0x8000) > 0;
        first += 1;
    }
    table
};

/// Bytes from here to the distance of the x86 instruction that begins here, if it
/// looks like one that has a distance of 32 bits; else 0. Prefixes may be before.
const fn x86_before_distance(raw: u32) -> u32 {
    let [first, second, third, _] = raw.to_le_bytes();
    match first {
        // call, jmp
        0xe8 | 0xe9 => 1,
        0x0f => match second {
            // jcc
            0x80..=0x8f => 2,
            // movups, movaps, ucomis, cmov, packed arithmetic, setcc, movzx, movsx
            0x10..=0x17
            | 0x28..=0x2f
            | 0x40..=0x7f
            | 0x90..=0x9f
            | 0xa3
            | 0xab
            | 0xaf
            | 0xb0..=0xb7
            | 0xbe..=0xc1
            | 0xc6
            | 0xd0..=0xff
                if is_near(third) =>
            {
                3
            }
            _ => 0,
        },
        // Arithmetic on registers and memory, test, xchg, mov, lea, with immediates, calls through memory.
        0x00..=0x03
        | 0x08..=0x0b
        | 0x10..=0x13
        | 0x18..=0x1b
        | 0x20..=0x23
        | 0x28..=0x2b
        | 0x30..=0x33
        | 0x38..=0x3b
        | 0x63
        | 0x69
        | 0x6b
        | 0x80
        | 0x81
        | 0x83
        | 0x84..=0x8b
        | 0x8d
        | 0xc6
        | 0xc7
        | 0xd1
        | 0xd3
        | 0xf6
        | 0xf7
        | 0xfe
        | 0xff
            if is_near(second) =>
        {
            2
        }
        _ => 0,
    }
}

/// Registers of RISC-V that a called function may change.
const RISCV_CALLER_SAVED: u32 = 0xf003_fce2;

/// The registers whose value is another after this instruction, as bits: all, where
/// what comes next is reached from elsewhere.
fn riscv_writes(raw: u32) -> u32 {
    let full = 1_u32 << (raw >> 7 & 31);
    let high = 0x100_u32 << (raw >> 7 & 7);
    let low = 0x100_u32 << (raw >> 2 & 7);
    match (raw & 3, raw >> 13 & 7) {
        (3, _) => match raw & 0x7f {
            0x63 | 0x23 | 0x27 => 0,
            0x6f | 0x67 if raw >> 7 & 31 == 0 => u32::MAX,
            0x6f | 0x67 => RISCV_CALLER_SAVED,
            _ => full,
        },
        (0, 0 | 2) => low,
        (1, 0 | 2 | 3) | (2, 0 | 2) => full,
        (1, 4) => high,
        (1, 1) => RISCV_CALLER_SAVED,
        (1, 5) => u32::MAX,
        // c.jr, c.jalr, c.mv, c.add
        (2, 4) if raw >> 2 & 31 == 0 => {
            if raw >> 12 & 1 == 0 {
                u32::MAX
            } else {
                RISCV_CALLER_SAVED
            }
        }
        (2, 4) => full,
        _ => 0,
    }
}

/// The same for AArch64.
fn aarch64_writes(raw: u32) -> u32 {
    if raw & 0xfc00_0000 == 0x9400_0000 || raw & 0xffff_fc1f == 0xd63f_0000 {
        return 0x0007_ffff;
    }
    if raw & 0xfc00_0000 == 0x1400_0000 || raw & 0xff9f_fc1f == 0xd61f_0000 {
        return u32::MAX;
    }
    1 << (raw & 31)
}

/// A memory operand that is found by its distance: mod 00, r/m 101.
const fn is_near(modrm: u8) -> bool {
    modrm & 0xc7 == 5
}

fn riscv_lower(raw: u32) -> Option<Form> {
    let third = raw >> 12 & 7;
    match raw & 0x7f {
        0x67 => Some(Form::Lower),
        0x13 if third == 0 => Some(Form::Lower),
        0x03 | 0x07 => Some(Form::Lower),
        0x23 | 0x27 => Some(Form::LowerStore),
        _ => None,
    }
}

fn aarch64_lower(raw: u32) -> Option<Form> {
    if raw & 0x7fc0_0000 == 0x1100_0000 {
        return Some(Form::PageLower);
    }
    // Loads and stores with an unsigned offset.
    if raw & 0x3b00_0000 != 0x3900_0000 {
        return None;
    }
    let is_vector = raw >> 26 & 1 == 1;
    Some(match (raw >> 30, is_vector && raw >> 23 & 1 == 1) {
        (0, true) => Form::PageLower16,
        (0, false) => Form::PageLower,
        (1, _) => Form::PageLower2,
        (2, _) => Form::PageLower4,
        _ => Form::PageLower8,
    })
}

fn xtensa(map: &Map<'_>, raw: u32, at: u32) -> Unit {
    if at & 3 == 0 && map.is_address(raw) {
        return reference(Form::Word, raw, 4, raw);
    }
    let wide = raw & 0xff_ffff;
    let form = match raw & 15 {
        1 => Form::XtensaPool,
        5 => Form::XtensaCall,
        6 if raw >> 4 & 3 == 0 => Form::XtensaJump,
        // The narrow ones of the code density option.
        8..=13 => return plain(raw, 2),
        _ => return plain(raw, 3),
    };
    reference(form, wide, 3, get(form, wide, at, 0))
}

fn start(raw: u32, at: u32, region: &Region) -> Unit {
    if at & 3 != 0 {
        return plain(raw, 1);
    }
    let from = region.old.address;
    reference(Form::DistanceStart, raw, 4, from.wrapping_add(raw))
}

/// The register that a form writes the upper part of an address to.
fn register_written(form: Form, raw: u32) -> Option<usize> {
    match form {
        Form::Upper | Form::UpperHere => Some((raw >> 7 & 31) as usize),
        Form::Page => Some((raw & 31) as usize),
        _ => None,
    }
}

/// The register that a form reads it from.
fn register_read(form: Form, raw: u32) -> Option<usize> {
    match form {
        Form::Lower | Form::LowerStore => Some((raw >> 15 & 31) as usize),
        Form::PageLower
        | Form::PageLower2
        | Form::PageLower4
        | Form::PageLower8
        | Form::PageLower16 => Some((raw >> 5 & 31) as usize),
        _ => None,
    }
}

fn plain(raw: u32, bytes: u32) -> Unit {
    let unused = 32 - 8 * bytes;
    Unit {
        bytes,
        form: Form::None,
        target: 0,
        raw: raw << unused >> unused,
    }
}

fn reference(form: Form, raw: u32, bytes: u32, target: u32) -> Unit {
    Unit {
        bytes,
        form,
        target,
        raw,
    }
}
