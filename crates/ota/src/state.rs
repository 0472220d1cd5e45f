//! What a device knows about its slots: the content of one record of the journal.
//!
//! Every record holds the whole state, so the newest valid one is all that has to be found, and each
//! transition is one write.

use crate::Digest;
use crate::crc::crc32;
use crate::layout::{RECORD, Slot};
use crate::manifest::Version;

const MAGIC: [u8; 4] = *b"oST1";
const SUM_AT: usize = RECORD - 4;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: the active slot runs.
    Idle,
    /// The other slot is being written.
    Downloading,
    /// The other slot holds a verified program that has not confirmed itself.
    Trial,
}

/// What stands in a slot, as its manifest said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Image {
    /// Its bytes; 0 where nothing is known of the slot.
    pub size: u32,
    /// Its anti-rollback counter.
    pub counter: u32,
    /// Its version.
    pub version: Version,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

impl Image {
    /// Whether anything is known of it.
    pub fn is_known(&self) -> bool {
        self.size > 0
    }
}

/// How often sectors were erased, since the journal began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wear {
    /// Of each slot.
    pub slots: [u32; 2],
    /// Of the journal.
    pub journal: u32,
}

/// The state of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The slot whose program is confirmed.
    pub active: Slot,
    /// What is going on with the other.
    pub phase: Phase,
    /// How often the program on trial was started.
    pub attempts: u8,
    /// The code of the last failure, 0 for none; see [`Refusal`](crate::Refusal).
    pub report: u8,
    /// No program with a lower anti-rollback counter is taken.
    pub floor: u32,
    /// A bit for each key that is revoked.
    pub revoked: u32,
    /// Keys that are revoked once the program on trial is confirmed.
    pub revokes: u32,
    /// How often sectors were erased.
    pub wear: Wear,
    /// How much of the other slot is written, in whole sectors.
    pub progress: u32,
    /// What stands in the slots.
    pub images: [Image; 2],
    /// The beginning of the digest of the image that failed last; zeros for none.
    pub failed: [u8; 16],
    /// The version of the newest record of keys that was taken; 0 for none.
    pub keys: u16,
    /// The latest day, from 1970 on, that a record of keys was made: it is this day or later.
    pub day: u16,
}

impl State {
    /// A device that runs `image` in `active`, and has seen no update.
    pub fn new(active: Slot, image: Image) -> Self {
        let mut images = [Image::default(); 2];
        images[active.index()] = image;
        Self {
            active,
            phase: Phase::Idle,
            attempts: 0,
            report: 0,
            floor: image.counter,
            revoked: 0,
            revokes: 0,
            wear: Wear::default(),
            progress: 0,
            images,
            failed: [0; 16],
            keys: 0,
            day: 0,
        }
    }

    /// What stands in a slot.
    pub fn image(&self, slot: Slot) -> &Image {
        &self.images[slot.index()]
    }

    pub(crate) fn image_mut(&mut self, slot: Slot) -> &mut Image {
        &mut self.images[slot.index()]
    }

    /// The slot that is not active.
    pub fn idle(&self) -> Slot {
        self.active.other()
    }

    /// Ends a trial or a download without the new program: what stands in the idle slot is forgotten.
    pub(crate) fn give_up(&mut self, code: u8, never_again: bool) {
        let idle = self.idle();
        if never_again {
            self.failed
                .copy_from_slice(&self.images[idle.index()].digest[..16]);
        }
        *self.image_mut(idle) = Image::default();
        self.phase = Phase::Idle;
        self.attempts = 0;
        self.progress = 0;
        self.revokes = 0;
        self.report = code;
    }

    /// Makes the program on trial the active one.
    pub(crate) fn confirm(&mut self) {
        self.active = self.idle();
        self.phase = Phase::Idle;
        self.attempts = 0;
        self.progress = 0;
        self.report = 0;
        self.floor = self.floor.max(self.image(self.active).counter);
        self.revoked |= self.revokes;
        self.revokes = 0;
    }

    /// The record that says this, with a sequence number.
    pub(crate) fn encode(&self, sequence: u32) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            record[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&sequence.to_le_bytes());
        let phase = match self.phase {
            Phase::Idle => 0,
            Phase::Downloading => 1,
            Phase::Trial => 2,
        };
        put(&[self.active.index() as u8, phase, self.attempts, self.report]);
        for word in [
            self.floor,
            self.revoked,
            self.revokes,
            self.wear.slots[0],
            self.wear.slots[1],
            self.wear.journal,
            self.progress,
        ] {
            put(&word.to_le_bytes());
        }
        for image in &self.images {
            put(&image.size.to_le_bytes());
            put(&image.counter.to_le_bytes());
            put(&image.version.major.to_le_bytes());
            put(&image.version.minor.to_le_bytes());
            put(&image.version.patch.to_le_bytes());
            put(&image.digest);
        }
        put(&self.failed);
        put(&self.keys.to_le_bytes());
        put(&self.day.to_le_bytes());
        let sum = crc32(&record[..SUM_AT]);
        record[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        record
    }

    /// The sequence number and state of a record; `None` where it is none, or torn.
    pub(crate) fn decode(record: &[u8; RECORD]) -> Option<(u32, Self)> {
        let mut fields = Fields { rest: record };
        if fields.take()? != MAGIC || record[SUM_AT..] != crc32(&record[..SUM_AT]).to_le_bytes() {
            return None;
        }
        let sequence = fields.u32()?;
        let [active, phase, attempts, report] = fields.take()?;
        let active = Slot::of(u32::from(active))?;
        let phase = match phase {
            0 => Phase::Idle,
            1 => Phase::Downloading,
            2 => Phase::Trial,
            _ => return None,
        };
        let state = Self {
            active,
            phase,
            attempts,
            report,
            floor: fields.u32()?,
            revoked: fields.u32()?,
            revokes: fields.u32()?,
            wear: Wear {
                slots: [fields.u32()?, fields.u32()?],
                journal: fields.u32()?,
            },
            progress: fields.u32()?,
            images: [fields.image()?, fields.image()?],
            failed: fields.take()?,
            keys: fields.u16()?,
            day: fields.u16()?,
        };
        Some((sequence, state))
    }
}

/// Fields of a record, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take()?))
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take()?))
    }

    fn image(&mut self) -> Option<Image> {
        Some(Image {
            size: self.u32()?,
            counter: self.u32()?,
            version: Version {
                major: self.u16()?,
                minor: self.u16()?,
                patch: self.u32()?,
            },
            digest: self.take()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> State {
        let image = |n: u8| Image {
            size: 1000 + u32::from(n),
            counter: 7,
            version: Version {
                major: 1,
                minor: 2,
                patch: u32::from(n),
            },
            digest: [n; 32],
        };
        State {
            phase: Phase::Trial,
            attempts: 2,
            report: 24,
            revoked: 4,
            revokes: 2,
            wear: Wear {
                slots: [5, 6],
                journal: 9,
            },
            progress: 4096,
            images: [image(1), image(2)],
            failed: [9; 16],
            keys: 0x1234,
            day: 0x5678,
            ..State::new(Slot::B, image(2))
        }
    }

    #[test]
    fn a_record_says_what_was_put_into_it() {
        assert_eq!(State::decode(&some().encode(77)), Some((77, some())));
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_none() {
        let record = some().encode(77);
        for bit in 0..RECORD * 8 {
            let mut torn = record;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::decode(&torn), None, "bit {bit}");
        }
        assert_eq!(State::decode(&[0xFF; RECORD]), None);
        assert_eq!(State::decode(&[0; RECORD]), None);
    }

    #[test]
    fn a_confirmed_program_raises_the_floor_and_revokes_keys() {
        let mut state = some();
        state.images[0].counter = 9;
        state.confirm();
        assert_eq!(
            (state.active, state.phase, state.floor),
            (Slot::A, Phase::Idle, 9)
        );
        assert_eq!((state.revoked, state.revokes, state.report), (6, 0, 0));
    }
}
