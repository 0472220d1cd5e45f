//! What a copied unit will be in the new image, and how sure that is.

use crate::format::Region;
use crate::machine::{Form, Unit, Walk, aim, get, set};
use crate::map::{Gone, Map};
use crate::range::Coder;
use crate::symbol::{Flag, Kind, Model};

/// A target that the patch has told.
#[derive(Debug, Clone, Copy)]
pub struct Learned {
    old: u32,
    new: u32,
}

impl Learned {
    /// Zeros: memory that was not begun with.
    pub(crate) const BLANK: Self = Self { old: 0, new: 0 };

    pub(crate) const NONE: Self = Self {
        old: u32::MAX,
        new: 0,
    };
}

/// How sure a guess is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The unit is no reference, and stays what it is.
    Plain,
    /// The target was copied.
    Sure,
    /// The patch says whether it is right. By why it is doubtful.
    Doubtful(usize),
}

/// A unit as it is expected in the new image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess {
    pub(crate) trust: Trust,
    pub(crate) raw: u32,
    /// What it refers to; for a part of an address, that part.
    pub(crate) value: u32,
    upper: u32,
    at: u32,
}

impl Guess {
    /// What the unit refers to when it is `raw` in the new image.
    pub(crate) fn says(&self, unit: &Unit, raw: u32) -> u32 {
        get(unit.form, raw, self.at, self.upper)
    }
}

/// What was learned of references so far.
#[derive(Debug, Clone)]
pub(crate) struct Experience {
    /// What the last wrong guesses were wrong by.
    recent: [u32; 4],
    /// By kind of doubt, whether the last such guess was right.
    was_right: [bool; 4],
}

fn place(learned: &[Learned], target: u32) -> usize {
    // Fibonacci hashing (Knuth, The Art of Computer Programming 3, section 6.4).
    let spread = target.wrapping_mul(0x9e37_79b9) >> 8;
    spread as usize & (learned.len().max(1) - 1)
}

impl Experience {
    /// Zeros.
    pub(crate) const BLANK: Self = Self {
        recent: [0; 4],
        was_right: [false; 4],
    };

    /// As it begins.
    pub(crate) const NEW: Self = Self {
        recent: [0; 4],
        was_right: [true; 4],
    };

    /// What a unit becomes at the address `at` of the new image.
    pub(crate) fn guess(
        map: &Map<'_>,
        learned: &[Learned],
        walk: &Walk,
        region: &Region,
        unit: &Unit,
        at: u32,
    ) -> Guess {
        let plain = Guess {
            trust: Trust::Plain,
            raw: unit.raw,
            value: 0,
            upper: 0,
            at,
        };
        if unit.form == Form::None {
            return plain;
        }
        let known = learned.get(place(learned, unit.target));
        let (target, mut trust) = match known {
            Some(known) if known.old == unit.target => (known.new, Trust::Doubtful(2)),
            _ => match map.gone(unit.target) {
                Gone::Nowhere => return plain,
                Gone::There(target) => (target, Trust::Sure),
                Gone::Perhaps(target) => (target, Trust::Doubtful(0)),
                Gone::Memory(target) => (target, Trust::Doubtful(1)),
            },
        };
        let upper = walk.upper(unit, region);
        let value = aim(unit.form, at, target);
        let raw = set(unit.form, unit.raw, at, upper, value);
        let (raw, value) = match raw {
            // What can be written is what will be read.
            Some(raw) => (raw, value),
            None => {
                // Out of reach.
                trust = Trust::Doubtful(3);
                (unit.raw, get(unit.form, unit.raw, at, upper))
            }
        };
        Guess {
            trust,
            raw,
            value,
            upper,
            at,
        }
    }

    /// Whether a doubtful guess is right.
    pub(crate) fn is_right<C: Coder>(
        &mut self,
        coder: &mut C,
        model: &mut Model,
        why: usize,
        right: bool,
    ) -> bool {
        let context = why * 2 + usize::from(self.was_right[why & 3]);
        let right = model.flag(coder, Flag::Right, context, right);
        self.was_right[why & 3] = right;
        right
    }

    /// Corrects a guess. The encoder gives the unit as it is in the new image, and
    /// gets it back; the decoder gets nothing if the patch asks for what cannot be
    /// written. With it comes whether it is the same instruction.
    pub(crate) fn correct<C: Coder>(
        &mut self,
        coder: &mut C,
        model: &mut Model,
        learned: &mut [Learned],
        unit: &Unit,
        guess: &Guess,
        new: u32,
    ) -> Option<(u32, bool)> {
        if guess.trust == Trust::Plain {
            return Some((changed(coder, model, unit.bytes, guess, new), false));
        }
        let value = get(unit.form, new, guess.at, guess.upper);
        let again = set(unit.form, unit.raw, guess.at, guess.upper, value);
        let wrong = value.wrapping_sub(guess.value);
        // What is wrong by more than there are numbers for is sent as it is.
        let is_far = (wrong as i32).unsigned_abs() >= 1 << 28;
        let other = model.flag(
            coder,
            Flag::Other,
            unit.form as usize & 7,
            is_far || again != Some(new),
        );
        if other {
            return Some((changed(coder, model, unit.bytes, guess, new), false));
        }
        let is_upper = matches!(unit.form, Form::Upper | Form::UpperHere | Form::Page);
        let value = if is_upper {
            let told = model.signed(coder, Kind::WrongUpper, wrong as i32 >> 12);
            guess.value.wrapping_add((told as u32) << 12)
        } else {
            guess
                .value
                .wrapping_add(self.wrong(coder, model, unit.form, wrong))
        };
        let raw = set(unit.form, unit.raw, guess.at, guess.upper, value)?;
        if !is_upper {
            let at = place(learned, unit.target);
            if let Some(known) = learned.get_mut(at) {
                *known = Learned {
                    old: unit.target,
                    new: value,
                };
            }
        }
        Some((raw, true))
    }

    /// What a guess is wrong by.
    fn wrong<C: Coder>(&mut self, coder: &mut C, model: &mut Model, form: Form, wrong: u32) -> u32 {
        let among = self.recent.iter().position(|&recent| recent == wrong);
        let is_recent = model.flag(coder, Flag::Recent, 0, among.is_some());
        let (place, wrong) = if is_recent {
            let among = among.unwrap_or(0);
            let high = model.flag(coder, Flag::Which, 0, among > 1);
            let low = model.flag(coder, Flag::Which, 1 + usize::from(high), among & 1 == 1);
            let place = usize::from(high) * 2 + usize::from(low);
            (place, self.recent[place])
        } else {
            let shift = form.shift();
            let told = model.signed(coder, Kind::Wrong, wrong as i32 >> shift);
            (3, (told as u32) << shift)
        };
        self.recent.copy_within(..place, 1);
        self.recent[0] = wrong;
        wrong
    }
}

/// A unit that has become something else, byte by byte.
fn changed<C: Coder>(coder: &mut C, model: &mut Model, bytes: u32, guess: &Guess, new: u32) -> u32 {
    let mut read = 0;
    for at in 0..bytes {
        let hint = (guess.raw >> (8 * at)) as u8;
        let byte = (new >> (8 * at)) as u8;
        let byte = model.changed(coder, hint, at, byte);
        read |= u32::from(byte) << (8 * at);
    }
    read
}
