//! Binary decisions to bytes and back: a range coder with adaptive chances.
//!
//! The coder is that of G. N. N. Martin ("Range encoding", 1979) in the carry-less
//! decoding form of LZMA. A chance keeps how often it was asked, so that it learns
//! quickly at first: patches are short, and most of their decisions are among the
//! first of their kind.

/// The chance that a bit is set: twelve bits of probability and four of age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(u16);

/// How far a chance moves towards what came, by its age, in 256ths.
const RATE: [u8; 16] = [
    128, 85, 64, 52, 43, 37, 32, 29, 26, 24, 22, 20, 18, 16, 14, 11,
];

impl Chance {
    /// Zeros: memory that was not begun with.
    pub(crate) const BLANK: Self = Self(0);

    /// Nothing is known yet.
    pub(crate) const EVEN: Self = Self(2_048 << 4);

    /// The probability of a set bit in 4096ths, between 1 and 4095.
    fn of_one(self) -> u32 {
        u32::from(self.0 >> 4)
    }

    fn learn(&mut self, bit: bool) {
        let age = self.0 & 15;
        let rate = u32::from(RATE[usize::from(age)]);
        let before = self.of_one();
        let after = if bit {
            before + (((4_095 - before) * rate) >> 8)
        } else {
            before - ((before * rate) >> 8)
        };
        self.0 = (after as u16) << 4 | (age + 1).min(15);
    }
}

/// Below this the range is widened by a byte.
const LOW: u32 = 1 << 24;

/// One who codes decisions: the encoder writes the bit it is given, the decoder
/// ignores it and returns the one it has read. What is made of bits is so written
/// once for both.
pub(crate) trait Coder {
    /// A decision by one chance.
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool;
    /// A decision by the mean of two.
    fn mixed(&mut self, a: &mut Chance, b: &mut Chance, bit: bool) -> bool;
    /// The low `count` bits of a number, all alike.
    fn plain(&mut self, value: u32, count: u32) -> u32;
}

/// Bytes that wait to be decoded.
pub(crate) const INPUT_BYTES: usize = 192;

/// The decoder and its input, which is topped up from outside.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    range: u32,
    code: u32,
    input: [u8; INPUT_BYTES],
    start: usize,
    end: usize,
}

impl Decoder {
    /// Zeros: nothing waits.
    pub(crate) const BLANK: Self = Self {
        range: 0,
        code: 0,
        input: [0; INPUT_BYTES],
        start: 0,
        end: 0,
    };

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Takes what fits of `bytes` and returns how much that was.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let count = bytes.len().min(INPUT_BYTES - self.end);
        self.input[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.end - self.start
    }

    /// What waits.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// The next byte as it is. Past the end of the patch there are zeros, which the
    /// encoder leaves out.
    pub(crate) fn byte(&mut self) -> u8 {
        if self.start == self.end {
            return 0;
        }
        let byte = self.input[self.start];
        self.start += 1;
        byte
    }

    /// Begins to decode at the next byte.
    pub(crate) fn begin(&mut self) {
        self.range = u32::MAX;
        self.code = 0;
        for _ in 0..4 {
            self.code = self.code << 8 | u32::from(self.byte());
        }
    }

    fn decide(&mut self, of_one: u32) -> bool {
        let bound = (self.range >> 12) * of_one;
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < LOW {
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(self.byte());
        }
        bit
    }
}

impl Coder for Decoder {
    fn bit(&mut self, chance: &mut Chance, _: bool) -> bool {
        let bit = self.decide(chance.of_one());
        chance.learn(bit);
        bit
    }

    fn mixed(&mut self, a: &mut Chance, b: &mut Chance, _: bool) -> bool {
        let bit = self.decide((a.of_one() + b.of_one()) >> 1);
        a.learn(bit);
        b.learn(bit);
        bit
    }

    fn plain(&mut self, _: u32, count: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.decide(2_048));
        }
        value
    }
}

/// The encoder, with everything that it has written.
#[cfg(feature = "pack")]
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    low: u64,
    range: u32,
    /// The last byte, which a carry may still change, and how many 0xff follow it.
    last: Option<u8>,
    full: usize,
    out: Vec<u8>,
}

#[cfg(feature = "pack")]
impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            low: 0,
            range: u32::MAX,
            last: None,
            full: 0,
            out: Vec::new(),
        }
    }

    fn decide(&mut self, of_one: u32, bit: bool) {
        let bound = (self.range >> 12) * of_one;
        if bit {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        while self.range < LOW {
            self.range <<= 8;
            self.shift();
        }
    }

    /// Gives the highest byte of `low` away, carries included.
    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        let top = (self.low >> 24) as u8;
        if carry == 1 || top != 0xff {
            if let Some(last) = self.last {
                self.out.push(last.wrapping_add(carry));
            }
            for _ in 0..self.full {
                self.out.push(0xff_u8.wrapping_add(carry));
            }
            self.full = 0;
            self.last = Some(top);
        } else {
            self.full += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// The bytes, without the zeros at the end, which the decoder adds.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // Any number in the range will do: the one with most zeros at its end.
        let most = self.low + u64::from(self.range) - 1;
        for zeros in (0..32).rev() {
            let rounded = most >> zeros << zeros;
            if rounded >= self.low {
                self.low = rounded;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        // The decoder begins with four bytes, the first of them being `last`.
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

#[cfg(feature = "pack")]
impl Coder for Encoder {
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool {
        self.decide(chance.of_one(), bit);
        chance.learn(bit);
        bit
    }

    fn mixed(&mut self, a: &mut Chance, b: &mut Chance, bit: bool) -> bool {
        self.decide((a.of_one() + b.of_one()) >> 1, bit);
        a.learn(bit);
        b.learn(bit);
        bit
    }

    fn plain(&mut self, value: u32, count: u32) -> u32 {
        for at in (0..count).rev() {
            self.decide(2_048, value >> at & 1 == 1);
        }
        value
    }
}

/// One who only adds up what decisions would cost, in 65536ths of a bit.
#[cfg(feature = "pack")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter {
    pub(crate) cost: u64,
    /// Chances stay as they are: it is only asked.
    pub(crate) is_trial: bool,
}

#[cfg(feature = "pack")]
impl Counter {
    fn add(&mut self, of_one: u32, bit: bool) {
        let chance = if bit { of_one } else { 4_096 - of_one };
        self.cost += u64::from(cost_of(chance));
    }
}

/// What a decision of this chance (in 4096ths) costs, in 65536ths of a bit.
#[cfg(feature = "pack")]
fn cost_of(chance: u32) -> u32 {
    use std::sync::OnceLock;
    static TABLE: OnceLock<Vec<u32>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        (0..=4_096_u32)
            .map(|chance| (-(f64::from(chance.max(1)) / 4096.0).log2() * 65536.0) as u32)
            .collect()
    });
    table[chance.min(4_096) as usize]
}

#[cfg(feature = "pack")]
impl Coder for Counter {
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool {
        self.add(chance.of_one(), bit);
        if !self.is_trial {
            chance.learn(bit);
        }
        bit
    }

    fn mixed(&mut self, a: &mut Chance, b: &mut Chance, bit: bool) -> bool {
        self.add((a.of_one() + b.of_one()) >> 1, bit);
        if !self.is_trial {
            a.learn(bit);
            b.learn(bit);
        }
        bit
    }

    fn plain(&mut self, value: u32, count: u32) -> u32 {
        self.cost += u64::from(count) << 16;
        value
    }
}

#[cfg(all(test, feature = "pack"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let bits: Vec<(usize, bool, u32)> = (0..20_000)
            .map(|_| (next() as usize % 5, next() % 50 == 0, next() & 0xff))
            .collect();
        let mut chances = [Chance::EVEN; 6];
        let mut encoder = Encoder::new();
        for &(at, bit, value) in &bits {
            encoder.bit(&mut chances[at], bit);
            let (a, b) = chances.split_at_mut(3);
            encoder.mixed(&mut a[at % 3], &mut b[at % 3], !bit);
            if value < 20 {
                encoder.plain(value, 8);
            }
        }
        let bytes = encoder.finish();
        let mut chances = [Chance::EVEN; 6];
        let mut decoder = Decoder::BLANK;
        let mut rest = &bytes[..];
        rest = &rest[decoder.fill(rest)..];
        decoder.begin();
        for &(at, bit, value) in &bits {
            rest = &rest[decoder.fill(rest)..];
            assert_eq!(decoder.bit(&mut chances[at], false), bit);
            let (a, b) = chances.split_at_mut(3);
            assert_eq!(decoder.mixed(&mut a[at % 3], &mut b[at % 3], false), !bit);
            if value < 20 {
                assert_eq!(decoder.plain(0, 8), value);
            }
        }
    }
}
