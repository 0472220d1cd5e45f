//! The payload of an update on its way into the slot that is not running.

use embedded_storage::nor_flash::NorFlash;

use ounce_delta::apply::{Apply, Fault, Images, Refused};
use ounce_delta::memory;

use crate::boot::{self, Boot};
use crate::device::{Device, Update};
use crate::refusal::{Error, Refusal};
use crate::signature::Verify;
use crate::state::{Phase, State};

/// Bytes that are gathered to be written at once: a page of common flash chips.
pub(crate) const STAGE: usize = 256;

/// The memory that a delta is applied in. A download borrows it, so that it need only be there for as long.
#[derive(Debug, Clone)]
pub struct Workspace {
    patcher: Apply<memory::Device>,
}

impl Workspace {
    /// Memory that was not used yet.
    pub fn new() -> Self {
        Self {
            patcher: Apply::new(memory::Device::new()),
        }
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

/// An update that is being received.
///
/// The caller fetches the payload from [`Download::wants`] on and pushes it in pieces of any size. When
/// all is there, [`Download::finish`] verifies what stands in the slot and arms it.
///
/// After a cut a whole image goes on at the last note of how far it was. A delta is sent anew, and what
/// of its result already stands in the slot is passed over.
#[derive(Debug)]
pub struct Download<'d, 'a, 'w, F: NorFlash, B, V> {
    sink: Sink<'d, 'a, F, B, V>,
    patch: Option<&'w mut Apply<memory::Device>>,
    /// Bytes of the payload, and how many of them came.
    payload: u32,
    received: u32,
}

/// Where the image goes.
#[derive(Debug)]
struct Sink<'d, 'a, F: NorFlash, B, V> {
    device: &'d mut Device<'a, F, B, V>,
    slot: Writer,
    /// Bytes that stand in the slot already.
    skip: u32,
    /// Given up, finished, or the flash has failed: nothing more is taken.
    over: bool,
    /// Why the patcher could not read or write.
    fault: Option<Error<F::Error>>,
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

impl<F: NorFlash, B: Boot, V: Verify> Sink<'_, '_, F, B, V> {
    /// Writes bytes of the image, and notes now and then how far it is.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        let passed = bytes.len().min(self.skip as usize);
        self.skip -= passed as u32;
        let bytes = &bytes[passed..];
        if bytes.len() as u32 > self.slot.room() {
            return Err(self.give_up(Refusal::TooLong));
        }
        let erased = self.slot.put(&mut self.device.flash, bytes);
        self.wear(erased)?;
        let progress = self.device.state.progress;
        let sector = F::ERASE_SIZE as u32;
        let whole = self.slot.written / sector * sector;
        if whole >= progress + self.device.layout.checkpoint {
            self.device.state.progress = whole;
            self.save(self.device.state)?;
        }
        Ok(())
    }

    /// Counts sectors that were erased.
    fn wear(&mut self, erased: Result<u32, F::Error>) -> Result<(), Error<F::Error>> {
        let erased = self.flash(erased)?;
        let state = &mut self.device.state;
        let wear = &mut state.wear.slots[state.active.other().index()];
        *wear = wear.saturating_add(erased);
        Ok(())
    }

    /// A flash that has failed in the middle of a write is not written on: the place is unknown.
    fn flash<T>(&mut self, result: Result<T, F::Error>) -> Result<T, Error<F::Error>> {
        self.over |= result.is_err();
        result.map_err(Error::Flash)
    }

    fn save(&mut self, state: State) -> Result<(), Error<F::Error>> {
        let saved = self.device.save_as(state);
        self.over |= saved.is_err();
        saved
    }

    /// Notes that the update is not taken; why.
    fn give_up(&mut self, refusal: Refusal) -> Error<F::Error> {
        let mut state = self.device.state;
        state.give_up(refusal.code(), false);
        self.over = true;
        match self.save(state) {
            Ok(()) => refusal.into(),
            Err(error) => error,
        }
    }
}

impl<F: NorFlash, B: Boot, V: Verify> Images for Sink<'_, '_, F, B, V> {
    fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused> {
        let Device {
            flash,
            layout,
            state,
            ..
        } = &mut *self.device;
        let region = layout.slot(state.active);
        let within = u64::from(at) + into.len() as u64 <= u64::from(region.length);
        let read = match within {
            true => boot::read(flash, region.offset + at, into).map_err(Error::Flash),
            false => Err(Refusal::Delta.into()),
        };
        read.map_err(|error| {
            self.fault = Some(error);
            Refused
        })
    }

    fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.put(bytes).map_err(|error| {
            self.fault = Some(error);
            Refused
        })
    }
}

impl<'d, 'a, 'w, F: NorFlash, B: Boot, V: Verify> Download<'d, 'a, 'w, F, B, V> {
    pub(crate) fn new(
        device: &'d mut Device<'a, F, B, V>,
        update: &Update,
        workspace: &'w mut Workspace,
    ) -> Self {
        let progress = device.state.progress;
        let region = device.layout.slot(device.state.idle());
        let is_delta = update.base.is_some();
        if is_delta {
            workspace.patcher.restart();
        }
        Self {
            patch: is_delta.then_some(&mut workspace.patcher),
            payload: update.payload,
            received: if is_delta { 0 } else { progress },
            sink: Sink {
                slot: Writer {
                    offset: region.offset,
                    size: update.image.size,
                    written: progress,
                    erased: progress,
                    stage: [0; STAGE],
                    staged: 0,
                },
                skip: if is_delta { progress } else { 0 },
                over: false,
                fault: None,
                device,
            },
        }
    }

    /// The first byte of the payload that is wanted next.
    pub fn wants(&self) -> u32 {
        self.received
    }

    /// Bytes of the payload.
    pub fn length(&self) -> u32 {
        self.payload
    }

    /// The flash, for what else stands on it.
    pub fn flash(&mut self) -> &mut F {
        &mut self.sink.device.flash
    }

    /// Takes the next bytes of the payload.
    ///
    /// # Errors
    /// They are more than there should be (then none is taken, and the download may still be finished),
    /// the delta is malformed (then it is given up), or the flash refuses (then a new offer goes on).
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        if bytes.len() as u64 > u64::from(self.payload - self.received) || self.sink.over {
            return Err(Refusal::TooLong.into());
        }
        self.received += bytes.len() as u32;
        match &mut self.patch {
            Some(patch) => match patch.push(bytes, &mut self.sink) {
                Ok(_) => Ok(()),
                Err(fault) => Err(self.failed(fault)),
            },
            None => self.sink.put(bytes),
        }
    }

    /// What the patcher's fault means for the update.
    fn failed(&mut self, fault: Fault) -> Error<F::Error> {
        let refusal = match fault {
            Fault::Read | Fault::Write => match self.sink.fault.take() {
                Some(Error::Refused(refusal)) if !self.sink.over => refusal,
                Some(error) => return error,
                None => Refusal::Delta,
            },
            Fault::OldImage => Refusal::Base,
            Fault::NewImage => Refusal::Digest,
            _ => Refusal::Delta,
        };
        self.sink.give_up(refusal)
    }

    /// Verifies what stands in the slot, and makes the boot loader try it at the next start: reset then.
    ///
    /// # Errors
    /// Bytes are missing (then more may be pushed), or what stands in the slot is not what was signed, or
    /// the boot loader would not take it (then it is given up), or the flash refuses.
    pub fn finish(&mut self) -> Result<(), Error<F::Error>> {
        let sink = &mut self.sink;
        if sink.over || self.received < self.payload {
            return Err(Refusal::TooShort.into());
        }
        if let Some(patch) = &self.patch
            && patch.finish().is_err()
        {
            return Err(sink.give_up(Refusal::Delta));
        }
        let erased = sink.slot.flush(&mut sink.device.flash);
        sink.wear(erased)?;
        if sink.slot.room() > 0 {
            return Err(sink.give_up(Refusal::TooShort));
        }
        let Device {
            flash,
            layout,
            boot,
            state,
            ..
        } = &mut *sink.device;
        let idle = state.idle();
        // What stands on the flash counts, not what came over the line.
        if !boot::is_whole(flash, layout, state, idle)? {
            return Err(sink.give_up(Refusal::Digest));
        }
        let accepted = boot.accepts(flash, layout.slot(idle), sink.slot.size);
        if !accepted.map_err(Error::Flash)? {
            return Err(sink.give_up(Refusal::NotBootable));
        }
        boot.clear(flash, idle).map_err(Error::Flash)?;
        let trial = State {
            phase: Phase::Trial,
            attempts: 0,
            progress: 0,
            ..*state
        };
        sink.over = true;
        sink.save(trial)?;
        let Device { flash, boot, .. } = &mut *sink.device;
        boot.arm(flash, idle).map_err(Error::Flash)
    }
}
