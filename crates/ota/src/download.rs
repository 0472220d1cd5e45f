//! The payload of an update on its way into the slot that is not running.

use embedded_storage::nor_flash::NorFlash;

use crate::boot::{self, Boot};
use crate::device::Device;
use crate::manifest::Manifest;
use crate::refusal::{Error, Refusal};
use crate::signature::Verify;
use crate::state::{Phase, State};

/// Bytes that are gathered to be written at once: a page of common flash chips.
pub(crate) const STAGE: usize = 256;

/// The memory that a delta is applied in. A download borrows it, so that a program may use the same for
/// something else at other times.
#[derive(Debug, Default)]
pub struct Workspace {}

/// An update that is being received.
///
/// The caller fetches the payload from [`Download::wants`] on and pushes it in pieces of any size. When
/// all is there, [`Download::finish`] verifies what stands in the slot and arms it.
#[derive(Debug)]
pub struct Download<'d, 'a, 'w, F, B, V> {
    device: &'d mut Device<'a, F, B, V>,
    _workspace: &'w mut Workspace,
    /// Bytes of the payload, and how many of them came.
    payload: u32,
    received: u32,
    slot: Writer,
    finished: bool,
}

/// Writes a slot in order, erasing each sector right before its first byte.
#[derive(Debug)]
struct Writer {
    offset: u32,
    size: u32,
    /// Bytes on the flash.
    written: u32,
    /// Bytes that are known to be erased.
    erased: u32,
    stage: [u8; STAGE],
    staged: usize,
}

impl Writer {
    /// How many more bytes the image takes.
    fn room(&self) -> u32 {
        self.size - self.written - self.staged as u32
    }

    /// Takes bytes; how many sectors were erased.
    fn put<F: NorFlash>(&mut self, flash: &mut F, mut bytes: &[u8]) -> Result<u32, F::Error> {
        let mut erased = 0;
        while !bytes.is_empty() {
            let count = bytes.len().min(STAGE - self.staged);
            let (now, later) = bytes.split_at(count);
            self.stage[self.staged..self.staged + count].copy_from_slice(now);
            self.staged += count;
            bytes = later;
            if self.staged == STAGE {
                erased += self.flush(flash)?;
            }
        }
        Ok(erased)
    }

    /// Writes what is staged, filled up with ones to a whole unit.
    fn flush<F: NorFlash>(&mut self, flash: &mut F) -> Result<u32, F::Error> {
        if self.staged == 0 {
            return Ok(0);
        }
        let length = self.staged.next_multiple_of(F::WRITE_SIZE);
        self.stage[self.staged..length].fill(0xFF);
        let mut count = 0;
        while self.erased < self.written + length as u32 {
            let from = self.offset + self.erased;
            flash.erase(from, from + F::ERASE_SIZE as u32)?;
            self.erased += F::ERASE_SIZE as u32;
            count += 1;
        }
        flash.write(self.offset + self.written, &self.stage[..length])?;
        self.written += self.staged as u32;
        self.staged = 0;
        Ok(count)
    }
}

impl<'d, 'a, 'w, F: NorFlash, B: Boot, V: Verify> Download<'d, 'a, 'w, F, B, V> {
    pub(crate) fn new(
        device: &'d mut Device<'a, F, B, V>,
        manifest: &Manifest<'_>,
        workspace: &'w mut Workspace,
    ) -> Self {
        let progress = device.state.progress;
        let region = device.layout.slot(device.state.idle());
        Self {
            _workspace: workspace,
            payload: manifest.payload,
            received: progress,
            slot: Writer {
                offset: region.offset,
                size: manifest.size,
                written: progress,
                erased: progress,
                stage: [0; STAGE],
                staged: 0,
            },
            finished: false,
            device,
        }
    }

    /// The first byte of the payload that is wanted next.
    pub fn wants(&self) -> u32 {
        self.received
    }

    /// The flash, for what else stands on it.
    pub fn flash(&mut self) -> &mut F {
        &mut self.device.flash
    }

    /// Bytes of the payload.
    pub fn length(&self) -> u32 {
        self.payload
    }

    /// Takes the next bytes of the payload.
    ///
    /// # Errors
    /// They are more than there should be (then none is taken, and the download may still be finished),
    /// the delta is malformed (then it is given up), or the flash refuses.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        if bytes.len() as u64 > u64::from(self.payload - self.received) || self.finished {
            return Err(Refusal::TooLong.into());
        }
        self.received += bytes.len() as u32;
        for piece in bytes.chunks(STAGE) {
            self.write(piece)?;
        }
        Ok(())
    }

    /// Writes bytes of the image, and notes now and then how far it is.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        if bytes.len() as u32 > self.slot.room() {
            return self.give_up(Refusal::TooLong);
        }
        let erased = self
            .slot
            .put(&mut self.device.flash, bytes)
            .map_err(Error::Flash)?;
        let state = &mut self.device.state;
        let wear = &mut state.wear.slots[state.active.other().index()];
        *wear = wear.saturating_add(erased);
        let sector = F::ERASE_SIZE as u32;
        let whole = self.slot.written / sector * sector;
        if whole >= state.progress + self.device.layout.checkpoint {
            state.progress = whole;
            self.device.save()?;
        }
        Ok(())
    }

    fn give_up(&mut self, refusal: Refusal) -> Result<(), Error<F::Error>> {
        self.device.state.give_up(refusal.code(), false);
        self.finished = true;
        self.device.save()?;
        Err(refusal.into())
    }

    /// Verifies what stands in the slot, and makes the boot loader try it at the next start: reset then.
    ///
    /// # Errors
    /// Bytes are missing (then more may be pushed), or what stands in the slot is not what was signed, or
    /// the boot loader would not take it (then it is given up), or the flash refuses.
    pub fn finish(&mut self) -> Result<(), Error<F::Error>> {
        if self.finished || self.received < self.payload {
            return Err(Refusal::TooShort.into());
        }
        let erased = self
            .slot
            .flush(&mut self.device.flash)
            .map_err(Error::Flash)?;
        if self.slot.room() > 0 {
            return self.give_up(Refusal::TooShort);
        }
        let Device {
            flash,
            layout,
            boot,
            state,
            ..
        } = &mut *self.device;
        let idle = state.idle();
        let wear = &mut state.wear.slots[idle.index()];
        *wear = wear.saturating_add(erased);
        // What stands on the flash counts, not what came over the line.
        if !boot::is_whole(flash, layout, state, idle)? {
            return self.give_up(Refusal::Digest);
        }
        if !boot
            .accepts(flash, layout.slot(idle), self.slot.size)
            .map_err(Error::Flash)?
        {
            return self.give_up(Refusal::NotBootable);
        }
        boot.clear(flash, idle).map_err(Error::Flash)?;
        let trial = State {
            phase: Phase::Trial,
            attempts: 0,
            progress: 0,
            ..*state
        };
        self.finished = true;
        self.device.save_as(trial)?;
        let Device { flash, boot, .. } = &mut *self.device;
        boot.arm(flash, idle).map_err(Error::Flash)
    }
}
