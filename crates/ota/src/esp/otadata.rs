//! The record that ESP-IDF's boot loader starts slots by: two sectors with an entry of 32 bytes each.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | sequence number; slot = (number − 1) mod slots |
//! | 20 | label, not used |
//! | 4 | state |
//! | 4 | CRC-32 of the sequence number alone |
//!
//! The valid entry with the highest number counts. Its rules are those of ESP-IDF 5
//! (`bootloader_utility.c`, `bootloader_common.c`, `esp_ota_ops.c`), with rollback enabled: the boot
//! loader turns `NEW` into `PENDING` when it starts a slot, and what it finds `PENDING` at the next
//! start into `ABORTED`.
//!
//! A slot is armed by one whole entry, written once, into the sector whose entry does not count; so a
//! torn one leaves the other. A confirmation is written in place, as ESP-IDF does: during a trial the
//! other entry is the way back, and the one that a cut may cost is that of the program on trial. What is
//! lost so, [`Device::start`](crate::Device::start) finds in the journal and arms again.

use embedded_storage::nor_flash::NorFlash;

use super::image;
use crate::boot::{Boot, Look};
use crate::crc::crc32_esp;
use crate::layout::{Region, Slot};

/// Bytes of an entry.
pub const ENTRY: usize = 32;

const SLOTS: u32 = 2;
const NEVER_WRITTEN: u32 = u32::MAX;

/// States of an entry, `esp_ota_img_states_t`.
pub mod state {
    /// To be started for the first time.
    pub const NEW: u32 = 0;
    /// Started once, not confirmed yet.
    pub const PENDING: u32 = 1;
    /// Confirmed.
    pub const VALID: u32 = 2;
    /// The program said that it does not work.
    pub const INVALID: u32 = 3;
    /// It was started and did not confirm itself.
    pub const ABORTED: u32 = 4;
    /// Nothing is known of it: it counts as a valid one.
    pub const UNDEFINED: u32 = u32::MAX;
}

/// An entry whose sum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub sequence: u32,
    /// Its [`state`].
    pub state: u32,
}

impl Entry {
    /// The entry in these bytes; `None` where it is erased or torn.
    pub fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let word = |at: usize| {
            let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(four)
        };
        let sequence = word(0);
        let sound = sequence != NEVER_WRITTEN && word(28) == sum(sequence);
        sound.then(|| Self {
            sequence,
            state: word(24),
        })
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0xFF; ENTRY];
        bytes[..4].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.state.to_le_bytes());
        bytes[28..].copy_from_slice(&sum(self.sequence).to_le_bytes());
        bytes
    }

    /// Whether the boot loader may start what it names.
    pub fn counts(&self) -> bool {
        !matches!(self.state, state::INVALID | state::ABORTED)
    }

    /// The slot that it names.
    pub fn slot(&self) -> Slot {
        match self.sequence.wrapping_sub(1) % SLOTS {
            0 => Slot::A,
            _ => Slot::B,
        }
    }
}

fn sum(sequence: u32) -> u32 {
    crc32_esp(u32::MAX, &sequence.to_le_bytes())
}

/// Which of the two entries counts: the valid one with the highest number.
pub fn active(entries: &[Option<Entry>; 2]) -> Option<usize> {
    let number = |index: usize| {
        entries[index]
            .filter(Entry::counts)
            .map(|entry| entry.sequence)
    };
    match (number(0), number(1)) {
        (None, None) => None,
        (Some(_), None) => Some(0),
        (None, Some(_)) => Some(1),
        (Some(first), Some(second)) => Some(usize::from(second > first)),
    }
}

/// ESP-IDF's boot loader.
#[derive(Debug, Clone, Copy)]
pub struct Otadata {
    region: Region,
    chip: u16,
}

impl Otadata {
    /// The record in `region`, two sectors, for images of this [chip](image::Chip).
    pub fn new(region: Region, chip: image::Chip) -> Self {
        Self {
            region,
            chip: chip.id(),
        }
    }

    fn entries<F: NorFlash>(&self, flash: &mut F) -> Result<[Option<Entry>; 2], F::Error> {
        let mut entries = [None; 2];
        for (index, entry) in entries.iter_mut().enumerate() {
            let mut bytes = [0; ENTRY];
            flash.read(self.sector::<F>(index), &mut bytes)?;
            *entry = Entry::decode(&bytes);
        }
        Ok(entries)
    }

    fn sector<F: NorFlash>(&self, index: usize) -> u32 {
        self.region.offset + (index * F::ERASE_SIZE) as u32
    }

    fn write<F: NorFlash>(
        &self,
        flash: &mut F,
        index: usize,
        entry: Entry,
    ) -> Result<(), F::Error> {
        let from = self.sector::<F>(index);
        flash.erase(from, from + F::ERASE_SIZE as u32)?;
        flash.write(from, &entry.encode())
    }

    /// Writes an entry for the slot into the sector whose entry does not count.
    fn select<F: NorFlash>(&self, flash: &mut F, slot: Slot, state: u32) -> Result<(), F::Error> {
        let entries = self.entries(flash)?;
        let active = active(&entries);
        let last = active
            .and_then(|index| entries[index])
            .map_or(0, |entry| entry.sequence);
        // The next number that names the slot.
        let mut sequence = last.saturating_add(1);
        if (Entry { sequence, state }).slot() != slot {
            sequence = sequence.saturating_add(1);
        }
        let stale = active.map_or(0, |index| 1 - index);
        self.write(flash, stale, Entry { sequence, state })
    }

    /// Changes the state of the entry that counts, if it names the slot; whether it does.
    fn mark<F: NorFlash>(&self, flash: &mut F, slot: Slot, state: u32) -> Result<bool, F::Error> {
        let entries = self.entries(flash)?;
        let Some(index) = active(&entries) else {
            return Ok(false);
        };
        match entries[index].filter(|entry| entry.slot() == slot) {
            Some(entry) => {
                self.write(flash, index, Entry { state, ..entry })?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl Boot for Otadata {
    fn region(&self) -> Option<Region> {
        Some(self.region)
    }

    fn look<F: NorFlash>(&mut self, flash: &mut F, trial: Slot) -> Result<Look, F::Error> {
        let entries = self.entries(flash)?;
        let active = active(&entries).and_then(|index| entries[index]);
        let last = active.map_or(0, |entry| entry.sequence);
        let failed =
            |entry: &Entry| !entry.counts() && entry.slot() == trial && entry.sequence > last;
        Ok(Look::Record {
            selected: active.map(|entry| entry.slot()),
            failed: entries.iter().flatten().any(failed),
        })
    }

    fn clear<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error> {
        let entries = self.entries(flash)?;
        for (index, entry) in entries.iter().enumerate() {
            if entry.is_some_and(|entry| !entry.counts() && entry.slot() == slot) {
                let from = self.sector::<F>(index);
                flash.erase(from, from + F::ERASE_SIZE as u32)?;
            }
        }
        Ok(())
    }

    fn arm<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error> {
        self.select(flash, slot, state::NEW)
    }

    fn settle<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error> {
        match self.mark(flash, slot, state::VALID)? {
            true => Ok(()),
            false => self.select(flash, slot, state::VALID),
        }
    }

    fn withdraw<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error> {
        self.mark(flash, slot, state::INVALID).map(|_| ())
    }

    fn measure<F: NorFlash>(
        &mut self,
        flash: &mut F,
        region: Region,
    ) -> Result<Option<u32>, F::Error> {
        image::measure(flash, region, self.chip)
    }

    fn accepts<F: NorFlash>(
        &mut self,
        flash: &mut F,
        region: Region,
        size: u32,
    ) -> Result<bool, F::Error> {
        Ok(image::measure(flash, region, self.chip)? == Some(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u32, state: u32) -> Option<Entry> {
        Some(Entry { sequence, state })
    }

    #[test]
    fn the_first_entry_is_the_bytes_that_esp_idf_writes() {
        let bytes = Entry {
            sequence: 1,
            state: state::VALID,
        }
        .encode();
        assert_eq!(bytes[..4], [1, 0, 0, 0]);
        assert_eq!(bytes[4..24], [0xFF; 20]);
        assert_eq!(bytes[24..28], [2, 0, 0, 0]);
        assert_eq!(bytes[28..], [0x9A, 0x98, 0x43, 0x47]);
    }

    #[test]
    fn the_valid_entry_with_the_highest_number_counts() {
        use state::*;
        let cases = [
            ([None, None], None),
            ([entry(1, VALID), None], Some(0)),
            ([None, entry(2, NEW)], Some(1)),
            ([entry(3, PENDING), entry(2, VALID)], Some(0)),
            ([entry(3, UNDEFINED), entry(4, UNDEFINED)], Some(1)),
            ([entry(3, ABORTED), entry(2, VALID)], Some(1)),
            ([entry(3, INVALID), entry(4, ABORTED)], None),
            ([entry(5, VALID), entry(5, VALID)], Some(0)),
        ];
        for (entries, index) in cases {
            assert_eq!(active(&entries), index, "{entries:?}");
        }
    }

    #[test]
    fn a_torn_entry_is_none_and_the_other_counts() {
        // 31 of 31: every length but the whole, over an erased sector.
        let whole = Entry {
            sequence: 6,
            state: state::NEW,
        }
        .encode();
        for length in 0..ENTRY {
            let mut torn = [0xFF; ENTRY];
            torn[..length].copy_from_slice(&whole[..length]);
            assert_eq!(Entry::decode(&torn), None, "{length} bytes");
            assert_eq!(
                active(&[Entry::decode(&torn), entry(5, state::VALID)]),
                Some(1)
            );
        }
    }
}
