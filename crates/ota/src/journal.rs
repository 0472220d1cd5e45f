//! The journal: records of the whole [`State`], in sectors that are used in turn.
//!
//! Power may go in the middle of a write or an erase, and what that leaves need not even be stable: bits
//! that were on their way can be read as done at one start and as not done at the next. Three rules make
//! that harmless:
//!
//! 1. The first record of a session (a start of the boot loader or of the program) goes into a sector
//!    that this session has erased itself, to the end. So no record shares a sector with a torn write or
//!    stands on a torn erase.
//! 2. That first record is written twice. A record that another follows in its sector was certainly
//!    finished: it is *solid*.
//! 3. The sector with the newest solid record is never the one that is erased.
//!
//! So there is always a solid record, and a transition that was told to be done is in one. An erase for
//! each session that writes is the price; a device that only starts and runs writes nothing.

use embedded_storage::nor_flash::NorFlash;

use crate::layout::Region;
use crate::state::{RECORD, State};

/// Where in the journal the next record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Into a sector that this session has erased.
    Record { sector: u32, index: u32 },
    /// Into another sector than this one, which is erased first.
    Other { than: Option<u32> },
}

/// A journal, opened for one session.
#[derive(Debug)]
pub struct Journal {
    region: Region,
    /// The last sequence number seen or written.
    sequence: u32,
    next: Next,
}

impl Journal {
    /// Reads the whole journal; the newest state, or `None` where there is none at all.
    ///
    /// # Errors
    /// The flash cannot be read.
    pub fn open<F: NorFlash>(
        flash: &mut F,
        region: Region,
    ) -> Result<(Self, Option<State>), F::Error> {
        let mut newest: Option<(u32, State)> = None;
        let mut solid: Option<(u32, u32)> = None;
        for sector in 0..region.length / F::ERASE_SIZE as u32 {
            let mut before: Option<u32> = None;
            for index in 0..records::<F>() {
                let mut record = [0; RECORD];
                flash.read(place::<F>(region, sector, index), &mut record)?;
                let Some((sequence, state)) = State::decode(&record) else {
                    before = None;
                    continue;
                };
                if let Some(before) = before
                    && solid.is_none_or(|(best, _)| before > best)
                {
                    solid = Some((before, sector));
                }
                if newest.is_none_or(|(best, _)| sequence > best) {
                    newest = Some((sequence, state));
                }
                before = Some(sequence);
            }
        }
        let journal = Self {
            region,
            sequence: newest.map_or(0, |(sequence, _)| sequence),
            next: Next::Other {
                than: solid.map(|(_, sector)| sector),
            },
        };
        Ok((journal, newest.map(|(_, state)| state)))
    }

    /// Writes a state; once this returns it is what [`Journal::open`] will find. Counts the wear in it.
    ///
    /// # Errors
    /// The flash refuses. Then the state before still stands.
    pub fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        state: &mut State,
    ) -> Result<(), F::Error> {
        match self.next {
            Next::Record { sector, index } if index < records::<F>() => {
                self.write(flash, state, sector, index)
            }
            Next::Record { sector, .. } => self.begin(flash, state, Some(sector)),
            Next::Other { than } => self.begin(flash, state, than),
        }
    }

    /// Erases another sector `than` this, and begins it with two records.
    fn begin<F: NorFlash>(
        &mut self,
        flash: &mut F,
        state: &mut State,
        than: Option<u32>,
    ) -> Result<(), F::Error> {
        let sectors = self.region.length / F::ERASE_SIZE as u32;
        let sector = than.map_or(0, |than| (than + 1) % sectors);
        let from = place::<F>(self.region, sector, 0);
        state.wear.journal = state.wear.journal.saturating_add(1);
        flash.erase(from, from + F::ERASE_SIZE as u32)?;
        self.write(flash, state, sector, 0)?;
        self.write(flash, state, sector, 1)
    }

    fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        state: &State,
        sector: u32,
        index: u32,
    ) -> Result<(), F::Error> {
        let sequence = self.sequence.saturating_add(1);
        flash.write(
            place::<F>(self.region, sector, index),
            &state.encode(sequence),
        )?;
        self.sequence = sequence;
        self.next = Next::Record {
            sector,
            index: index + 1,
        };
        Ok(())
    }
}

fn records<F: NorFlash>() -> u32 {
    (F::ERASE_SIZE / RECORD) as u32
}

fn place<F: NorFlash>(region: Region, sector: u32, index: u32) -> u32 {
    region.offset + sector * F::ERASE_SIZE as u32 + index * RECORD as u32
}

/// The bytes of a journal that holds one state, as the packer puts it on a new device: its first sector.
#[cfg(feature = "pack")]
pub(crate) fn first_sector(state: &State, sector: &mut [u8]) {
    for (index, record) in sector.chunks_exact_mut(RECORD).take(2).enumerate() {
        record.copy_from_slice(&state.encode(index as u32 + 1));
    }
}
