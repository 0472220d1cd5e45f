//! What a patch is written in: numbers, signs, flags and bytes, each by chances of
//! its own. Written once for encoder and decoder (see [`Coder`]).

use crate::range::{Chance, Coder};

/// The chances of one kind of number: its length in bits, and its second bit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    length: [Chance; 32],
    second: [Chance; 32],
}

/// The largest number that can be sent.
pub(crate) const LARGEST: u32 = (1 << 31) - 2;

impl Number {
    const BLANK: Self = Self {
        length: [Chance::BLANK; 32],
        second: [Chance::BLANK; 32],
    };

    /// Codes a number up to [`LARGEST`].
    pub(crate) fn code<C: Coder>(&mut self, coder: &mut C, value: u32) -> u32 {
        let value = value.min(LARGEST) + 1;
        let wanted = 31 - value.leading_zeros();
        let mut node = 1_usize;
        for at in (0..5).rev() {
            let bit = coder.bit(&mut self.length[node], wanted >> at & 1 == 1);
            node = node << 1 | usize::from(bit);
        }
        // 31 bits make a number that is larger than any, but never too long a shift.
        let length = (node as u32 & 31).min(30);
        let mut read = 1_u32;
        if length > 0 {
            let bit = value >> (length - 1) & 1 == 1;
            let bit = coder.bit(&mut self.second[length as usize], bit);
            read = 2 | u32::from(bit);
        }
        if length > 1 {
            let rest = length - 1;
            read = read << rest | coder.plain(value & ((1 << rest) - 1), rest);
        }
        read - 1
    }

    /// Codes a number that may be negative: the sign is the lowest bit.
    pub(crate) fn signed<C: Coder>(&mut self, coder: &mut C, value: i32) -> i32 {
        let folded = (value << 1 ^ value >> 31) as u32;
        let read = self.code(coder, folded);
        (read >> 1) as i32 ^ -((read & 1) as i32)
    }
}

/// The kinds of numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Bytes of the new image before a block.
    Gap,
    /// From where the last block ended in the old image to where this begins.
    Jump,
    /// A block's length.
    Length,
    /// Units until the next that is not as guessed.
    Run,
    /// The same, after one that was not.
    ShortRun,
    /// What a guessed target is wrong by.
    Wrong,
    /// The same for the upper part of an address.
    WrongUpper,
    /// The length of a match.
    Match,
    /// How far back in the window it is.
    Distance,
    /// Where in the old image it is, as seen from the last.
    Elsewhere,
}

/// How many kinds of numbers there are.
const NUMBERS: usize = 10;

/// The kinds of flags, with the number of each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flag {
    /// In a gap: a match, not a byte. By what the last two were.
    Match = 0,
    /// A match in the old image, not in the window. By what the last match was.
    Old = 4,
    /// A match in the old image that goes on where the last has ended.
    GoOn = 6,
    /// A match in the window at the last distance.
    Again = 8,
    /// Nothing more is wrong in this block. By whether something was.
    Rest = 10,
    /// A doubtful guess is right. By why it is doubtful and whether the last was right.
    Right = 12,
    /// A wrong guess is of another instruction. By the group of its kind.
    Other = 20,
    /// A wrong guess is wrong by as much as a recent one.
    Recent = 28,
    /// By which.
    Which = 30,
}

const FLAGS: usize = 34;

/// Bytes of the table of the smaller literal contexts.
const LANES: usize = 2;

/// Every chance but those of literals after their neighbours, whose number
/// depends on the profile.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    numbers: [Number; NUMBERS],
    flags: [Chance; FLAGS],
    lanes: [[Chance; 256]; LANES],
    matched: [[Chance; 256]; 2],
}

impl Model {
    /// Zeros, to be [reset](Self::reset) where it stands: neither do 3 KB of one number over and over
    /// stand on a device's flash, nor is a model on its stack once more.
    pub(crate) const BLANK: Self = Self {
        numbers: [Number::BLANK; NUMBERS],
        flags: [Chance::BLANK; FLAGS],
        lanes: [[Chance::BLANK; 256]; LANES],
        matched: [[Chance::BLANK; 256]; 2],
    };

    /// As it begins.
    #[cfg(any(feature = "pack", test))]
    pub(crate) fn new() -> Self {
        let mut model = Self::BLANK;
        model.reset();
        model
    }

    /// Begins: all is as likely as not.
    pub(crate) fn reset(&mut self) {
        for number in &mut self.numbers {
            number.length.fill(Chance::EVEN);
            number.second.fill(Chance::EVEN);
        }
        self.flags.fill(Chance::EVEN);
        self.lanes.as_flattened_mut().fill(Chance::EVEN);
        self.matched.as_flattened_mut().fill(Chance::EVEN);
    }

    pub(crate) fn number<C: Coder>(&mut self, coder: &mut C, kind: Kind, value: u32) -> u32 {
        self.numbers[kind as usize].code(coder, value)
    }

    pub(crate) fn signed<C: Coder>(&mut self, coder: &mut C, kind: Kind, value: i32) -> i32 {
        self.numbers[kind as usize].signed(coder, value)
    }

    pub(crate) fn flag<C: Coder>(
        &mut self,
        coder: &mut C,
        flag: Flag,
        context: usize,
        bit: bool,
    ) -> bool {
        coder.bit(&mut self.flags[flag as usize + context], bit)
    }

    /// A byte that comes after `before` at the place `at` of the new image.
    /// `near` has a tree of 256 chances for each of its contexts.
    pub(crate) fn literal<C: Coder>(
        &mut self,
        coder: &mut C,
        near: &mut [Chance],
        before: u8,
        at: u32,
        byte: u8,
    ) -> u8 {
        let lane = &mut self.lanes[at as usize & 1];
        let near = tree(near, before);
        let mut node = 1_usize;
        for shift in (0..8).rev() {
            let bit = byte >> shift & 1 == 1;
            // `near` is cut to 256 chances, so that both are there for all nodes.
            let bit = match near.get_mut(node) {
                Some(near) => coder.mixed(&mut lane[node & 255], near, bit),
                None => coder.bit(&mut lane[node & 255], bit),
            };
            node = node << 1 | usize::from(bit);
        }
        node as u8
    }

    /// A byte where `guess` was guessed: as long as the bits are the guess's,
    /// it is the context.
    pub(crate) fn changed<C: Coder>(&mut self, coder: &mut C, guess: u8, at: u32, byte: u8) -> u8 {
        let mut node = 1_usize;
        let mut same = true;
        for shift in (0..8).rev() {
            let hint = guess >> shift & 1 == 1;
            let bit = byte >> shift & 1 == 1;
            let bit = if same {
                let own = &mut self.matched[usize::from(hint)][node & 255];
                coder.bit(own, bit)
            } else {
                coder.bit(&mut self.lanes[at as usize & 1][node & 255], bit)
            };
            same &= bit == hint;
            node = node << 1 | usize::from(bit);
        }
        node as u8
    }
}

/// The tree for what comes after `before`: its high bits choose, as many as there are.
fn tree(near: &mut [Chance], before: u8) -> &mut [Chance] {
    let count = near.len() / 256;
    if count == 0 {
        return &mut [];
    }
    let at = usize::from(before) * count / 256;
    &mut near[at * 256..at * 256 + 256]
}

#[cfg(all(test, feature = "pack"))]
mod tests {
    use super::*;
    use crate::range::{Decoder, Encoder};

    #[test]
    fn numbers_and_bytes_come_back() {
        let numbers = [0, 1, 2, 3, 7, 8, 255, 256, 65_535, 1 << 20, LARGEST];
        let signs = [0, -1, 1, 17, -4_000, 1 << 29, -(1 << 29)];
        let mut model = Model::new();
        let mut near = [Chance::EVEN; 512];
        let mut encoder = Encoder::new();
        for &number in &numbers {
            model.number(&mut encoder, Kind::Gap, number);
        }
        for &number in &signs {
            model.signed(&mut encoder, Kind::Jump, number);
        }
        for byte in 0..=255 {
            model.literal(&mut encoder, &mut near, byte / 2, 0, byte);
            model.changed(&mut encoder, byte ^ 4, 1, byte);
        }
        let bytes = encoder.finish();
        let mut model = Model::new();
        let mut near = [Chance::EVEN; 512];
        let mut decoder = Decoder::BLANK;
        let mut rest = &bytes[decoder.fill(&bytes)..];
        decoder.begin();
        for &number in &numbers {
            assert_eq!(model.number(&mut decoder, Kind::Gap, 0), number);
        }
        for &number in &signs {
            assert_eq!(model.signed(&mut decoder, Kind::Jump, 0), number);
        }
        for byte in 0..=255 {
            rest = &rest[decoder.fill(rest)..];
            let read = model.literal(&mut decoder, &mut near, byte / 2, 0, 0);
            assert_eq!(read, byte);
            assert_eq!(model.changed(&mut decoder, byte ^ 4, 1, 0), byte);
        }
    }
}
