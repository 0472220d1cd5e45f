//! What starts a slot: the choice of a boot loader that reads the journal, and the trait for loaders
//! that have records of their own.

use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::journal::Journal;
use crate::layout::{Layout, Region, Slot};
use crate::refusal::{Error, Refusal};
use crate::state::{Phase, State};

/// What a boot loader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Starts the program in this slot.
    Start {
        /// Where it is.
        slot: Slot,
        /// Its size; what is behind it is not part of it.
        size: u32,
        /// The how manieth start of a program on trial this is, from 1; `None`: it is confirmed.
        attempt: Option<u8>,
    },
    /// No slot holds what it should: power cuts do not lead here, worn or broken flash does.
    Nothing,
}

/// Chooses the slot to start, for a boot loader that reads the journal.
///
/// A start of a program on trial is counted before it happens. The program is hashed before it is
/// chosen; one that is damaged is not started.
///
/// # Errors
/// The flash refuses.
pub fn choose<F: NorFlash>(flash: &mut F, layout: &Layout) -> Result<Choice, Error<F::Error>> {
    let (mut journal, state) = Journal::open(flash, layout.journal).map_err(Error::Flash)?;
    let Some(mut state) = state else {
        return Ok(Choice::Nothing);
    };
    if state.phase == Phase::Trial {
        if state.attempts >= layout.attempts {
            state.give_up(Refusal::NotConfirmed.code(), true);
        } else if is_whole(flash, layout, &state, state.idle())? {
            state.attempts += 1;
            journal.append(flash, &mut state).map_err(Error::Flash)?;
            return Ok(Choice::Start {
                slot: state.idle(),
                size: state.image(state.idle()).size,
                attempt: Some(state.attempts),
            });
        } else {
            state.give_up(Refusal::Damaged.code(), false);
        }
        journal.append(flash, &mut state).map_err(Error::Flash)?;
    }
    if !is_whole(flash, layout, &state, state.active)? {
        let idle = *state.image(state.idle());
        let may = state.phase == Phase::Idle && idle.counter >= state.floor;
        if !may || !is_whole(flash, layout, &state, state.idle())? {
            return Ok(Choice::Nothing);
        }
        state.active = state.idle();
        state.report = Refusal::Damaged.code();
        journal.append(flash, &mut state).map_err(Error::Flash)?;
    }
    Ok(Choice::Start {
        slot: state.active,
        size: state.image(state.active).size,
        attempt: None,
    })
}

/// Whether the slot holds the image that the state says, to the last bit.
pub(crate) fn is_whole<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    state: &State,
    slot: Slot,
) -> Result<bool, Error<F::Error>> {
    let (image, region) = (state.image(slot), layout.slot(slot));
    if !image.is_known() || image.size > region.length {
        return Ok(false);
    }
    let digest = hash(flash, region, image.size).map_err(Error::Flash)?;
    Ok(digest == image.digest)
}

/// SHA-256 of the first `size` bytes of a region.
pub(crate) fn hash<F: NorFlash>(
    flash: &mut F,
    region: Region,
    size: u32,
) -> Result<Digest, F::Error> {
    let mut sha = Sha256::new();
    let mut buffer = [0; BUFFER];
    let mut at = 0;
    while at < size {
        let left = (size - at).min(BUFFER as u32) as usize;
        read(flash, region.offset + at, &mut buffer[..left])?;
        sha.update(&buffer[..left]);
        at += left as u32;
    }
    Ok(sha.finalize().into())
}

/// Bytes that are read at once.
const BUFFER: usize = 256;

/// Reads any bytes, where the driver may read whole units only.
pub(crate) fn read<F: NorFlash>(
    flash: &mut F,
    offset: u32,
    into: &mut [u8],
) -> Result<(), F::Error> {
    let unit = F::READ_SIZE as u32;
    let is_whole = offset.is_multiple_of(unit) && into.len().is_multiple_of(F::READ_SIZE);
    if is_whole {
        return flash.read(offset, into);
    }
    let mut buffer = [0; 64];
    let mut done = 0;
    while done < into.len() {
        let at = offset + done as u32;
        let before = (at % unit) as usize;
        let count = (into.len() - done).min(buffer.len() - before);
        let units = (before + count).next_multiple_of(F::READ_SIZE);
        flash.read(at - before as u32, &mut buffer[..units])?;
        into[done..done + count].copy_from_slice(&buffer[before..before + count]);
        done += count;
    }
    Ok(())
}

/// What a boot loader's own record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It has none: it reads the journal.
    Journal,
    /// It has one.
    Record {
        /// The slot that it would start, where one is recorded.
        selected: Option<Slot>,
        /// The program on trial was started and did not confirm itself.
        failed: bool,
    },
}

/// A boot loader, as the running program deals with it.
///
/// The journal says what is meant; a boot loader with a record of its own is made to follow it, at the
/// end of a download and at every start where the two disagree.
pub trait Boot {
    /// Where its record stands, if it has one.
    fn region(&self) -> Option<Region>;

    /// What its record says, `trial` being the slot that may be on trial.
    ///
    /// # Errors
    /// The flash cannot be read.
    fn look<F: NorFlash>(&mut self, flash: &mut F, trial: Slot) -> Result<Look, F::Error>;

    /// Forgets that a program in this slot failed, before another one is armed there.
    ///
    /// # Errors
    /// The flash refuses.
    fn clear<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error>;

    /// Makes it start this slot next, on trial.
    ///
    /// # Errors
    /// The flash refuses.
    fn arm<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error>;

    /// Makes it start this slot from now on.
    ///
    /// # Errors
    /// The flash refuses.
    fn settle<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error>;

    /// Makes it start this slot, which is on trial, no more.
    ///
    /// # Errors
    /// The flash refuses.
    fn withdraw<F: NorFlash>(&mut self, flash: &mut F, slot: Slot) -> Result<(), F::Error>;

    /// The size of the image in a region, where its format tells and it is one that would be started.
    ///
    /// # Errors
    /// The flash cannot be read.
    fn measure<F: NorFlash>(
        &mut self,
        flash: &mut F,
        region: Region,
    ) -> Result<Option<u32>, F::Error>;

    /// Whether it would start what stands in the region, of this size.
    ///
    /// # Errors
    /// The flash cannot be read.
    fn accepts<F: NorFlash>(
        &mut self,
        flash: &mut F,
        region: Region,
        size: u32,
    ) -> Result<bool, F::Error>;
}

/// A boot loader that calls [`choose`]: the journal is its record, so there is nothing to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct JournalBoot;

impl Boot for JournalBoot {
    fn region(&self) -> Option<Region> {
        None
    }

    fn look<F: NorFlash>(&mut self, _: &mut F, _: Slot) -> Result<Look, F::Error> {
        Ok(Look::Journal)
    }

    fn clear<F: NorFlash>(&mut self, _: &mut F, _: Slot) -> Result<(), F::Error> {
        Ok(())
    }

    fn arm<F: NorFlash>(&mut self, _: &mut F, _: Slot) -> Result<(), F::Error> {
        Ok(())
    }

    fn settle<F: NorFlash>(&mut self, _: &mut F, _: Slot) -> Result<(), F::Error> {
        Ok(())
    }

    fn withdraw<F: NorFlash>(&mut self, _: &mut F, _: Slot) -> Result<(), F::Error> {
        Ok(())
    }

    fn measure<F: NorFlash>(&mut self, _: &mut F, _: Region) -> Result<Option<u32>, F::Error> {
        Ok(None)
    }

    fn accepts<F: NorFlash>(&mut self, _: &mut F, _: Region, _: u32) -> Result<bool, F::Error> {
        Ok(true)
    }
}
