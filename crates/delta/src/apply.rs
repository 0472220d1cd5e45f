//! The patcher: one state, with one step for each thing a patch says. It has no input and
//! output of its own:
//!
//! ```
//! use ounce_delta::apply::{Apply, Images, Refused};
//! use ounce_delta::memory::Device;
//!
//! /// Two slots, here in memory.
//! struct Slots<'a> {
//!     running: &'a [u8],
//!     idle: Vec<u8>,
//! }
//!
//! impl Images for Slots<'_> {
//!     fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused> {
//!         let at = at as usize;
//!         let bytes = self.running.get(at..at + into.len()).ok_or(Refused)?;
//!         into.copy_from_slice(bytes);
//!         Ok(())
//!     }
//!     fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused> {
//!         self.idle.extend_from_slice(bytes);
//!         Ok(())
//!     }
//! }
//!
//! # let (old, new) = (vec![7; 1000], vec![8; 900]);
//! # use ounce_delta::pack::{Options, diff};
//! # let patch = diff(&old, &new, &Options::device()).unwrap().patch;
//! let mut slots = Slots { running: &old, idle: Vec::new() };
//! let mut apply = Apply::new(Device::new());
//! for piece in patch.chunks(100) {
//!     let progress = apply.push(piece, &mut slots).expect("a good patch");
//!     assert!(progress.written_bytes <= progress.new_bytes);
//! }
//! apply.finish().expect("the whole patch was pushed, and the digest is right");
//! assert_eq!(slots.idle, new);
//! ```
//!
//! Before anything is written, the patch's head is checked against the memory that
//! there is, and the old image against the digest in it. The new image comes in
//! order, each byte once, never more than the head says; its digest is checked at
//! steps of [`Header::check_bytes`], and as a whole before [`Progress::is_done`].
//! To see a patch's sizes before a slot is erased, read the head with
//! [`Header::parse`]. After a fault the patcher answers nothing but the fault.
//!
//! The same patch on the same old image gives the same calls of `write_new`, so
//! that an interrupted update is taken up by starting anew and passing over what
//! already stands in the slot.

mod copy;

use sha2::{Digest as _, Sha256};

pub use crate::fault::{Fault, Refused};
use crate::format::{Header, HeaderFault, LARGEST_IMAGE, Region};
use crate::guess::{Experience, Learned};
use crate::machine::Walk;
use crate::map::{Block, code_block, code_region, sort};
use crate::memory::{Memory, Parts};
pub use crate::old::Images;
use crate::old::{AHEAD_BYTES, Ahead};
use crate::range::{Chance, Coder as _, Decoder, INPUT_BYTES};
use crate::symbol::{Flag, Kind, Model};

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes given to [`Images::write_new`]; up to 64 more wait.
    pub written_bytes: u32,
    /// Bytes there will be; 0 while the head is not known.
    pub new_bytes: u32,
    /// All is written and its digest is right.
    pub is_done: bool,
}

/// Bytes of the new image that are written at once.
const OUT_BYTES: usize = 64;

/// Most bytes of a unit.
const UNIT_BYTES: usize = 4;

/// Most bytes of the patch that a step can take. An adaptive decision costs twelve
/// bits at most, a number six of them and 30 plain bits: a region, with its
/// six numbers and two words, takes no more than 83 bytes, a unit with all its
/// bytes changed 70, a check four.
const STEP_BYTES: usize = 112;

const _: () = assert!(STEP_BYTES < INPUT_BYTES);

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    /// The head is good, and the decoder begins.
    Begin,
    /// Region by region.
    Regions(u32),
    /// Block by block of the map.
    Blocks(u32),
    /// Bytes before a block.
    Gap,
    /// A block, or a match in the old image.
    Copy,
    /// All is there but the digest.
    End,
    Done,
    Failed(Fault),
}

/// What is known of the units that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// To be asked.
    Ask,
    /// So many are as guessed, and the next is not.
    Units(u32),
    /// All of the rest are as guessed, but where a doubt is asked about.
    Rest,
    /// The copy is a match: nothing is asked.
    Match,
}

impl Run {
    /// Takes a unit that is as guessed, where no doubt is asked about; whether it is.
    fn takes_one(&mut self) -> bool {
        match self {
            Self::Match | Self::Rest => true,
            Self::Units(0) | Self::Ask => false,
            Self::Units(count) => {
                *count -= 1;
                true
            }
        }
    }
}

/// A patcher in its memory.
#[derive(Debug, Clone)]
pub struct Apply<M> {
    memory: M,
    patcher: Patcher,
}

/// All of a patcher but what the profile decides. In this order: what every unit asks for is within reach
/// of one load, which on RISC-V and Thumb is 2 or 4 KB; the chances come last.
#[derive(Debug, Clone)]
#[repr(C)]
struct Patcher {
    stage: Stage,
    run: Run,
    /// Where the copy goes on in the old image, and how much there is of it.
    from: u32,
    left: u32,
    /// Bytes made, written or waiting.
    made: u32,
    /// How many are made when the digest is compared next.
    next_check: u32,
    waiting: usize,
    /// Bytes of the patch that are still to come.
    to_come: u32,
    /// The region that was copied from last.
    region: Region,
    /// What waits, and room for the unit that fills it up.
    out: [u8; OUT_BYTES + UNIT_BYTES],
    ahead: Ahead,
    decoder: Decoder,
    walk: Walk,
    experience: Experience,
    header: Header,
    /// The number of the block that comes or is copied.
    block: u32,
    /// Bytes before it.
    gap: u32,
    had_wrong: bool,
    /// Of matches: the last distance, what the last two steps were.
    distance: u32,
    last: usize,
    last_old: bool,
    window_at: u32,
    /// The last byte that was written.
    before: u8,
    /// Of what is read or made; begun with the first byte.
    digest: Option<Sha256>,
    model: Model,
}

impl Apply<crate::memory::Device> {
    /// A patcher with the memory of profile `device`: all zeros, so that it is neither on a device's flash
    /// nor on its stack once more. It can stand in a `static`.
    #[must_use]
    pub const fn device() -> Self {
        Self {
            memory: crate::memory::Device::BLANK,
            patcher: Patcher::BLANK,
        }
    }
}

impl<M: Memory> Apply<M> {
    /// A patcher at the start of a patch.
    pub fn new(memory: M) -> Self {
        Self {
            memory,
            patcher: Patcher::BLANK,
        }
    }

    /// Begins anew, with another patch, where it stands: a value of this size is not moved for nothing.
    pub fn restart(&mut self) {
        let patcher = &mut self.patcher;
        patcher.stage = Stage::Head;
        patcher.decoder.clear();
        (patcher.made, patcher.waiting) = (0, 0);
        patcher.header = Header::NONE;
    }

    /// Takes the next bytes of the patch, and writes what follows from them.
    ///
    /// # Errors
    /// The patch cannot be applied; every later call says the same.
    pub fn push(&mut self, patch: &[u8], images: &mut dyn Images) -> Result<Progress, Fault> {
        let mut parts = self.memory.parts();
        let pushed = self.patcher.push(&mut parts, patch, images);
        if let Err(fault) = pushed {
            self.patcher.stage = Stage::Failed(fault);
        }
        pushed.map(|()| self.progress())
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            written_bytes: self.patcher.made - self.patcher.waiting as u32,
            new_bytes: self.patcher.header.new_bytes,
            is_done: self.patcher.stage == Stage::Done,
        }
    }

    /// The patch's head, once it is known.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        match self.patcher.stage {
            Stage::Head | Stage::Failed(_) => None,
            _ => Some(&self.patcher.header),
        }
    }

    /// Says that the patch was pushed whole.
    ///
    /// # Errors
    /// [`Fault::TooShort`] if it was not, or the fault that ended it.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.patcher.stage {
            Stage::Done => Ok(()),
            Stage::Failed(fault) => Err(fault),
            _ => Err(Fault::TooShort),
        }
    }

    /// Gives the memory back, to be used for something else or again.
    pub fn into_memory(self) -> M {
        self.memory
    }
}

impl Patcher {
    /// Zeros. What is not to begin so, [`Patcher::begin`] sets.
    const BLANK: Self = Self {
        stage: Stage::Head,
        header: Header::NONE,
        to_come: 0,
        decoder: Decoder::BLANK,
        model: Model::BLANK,
        walk: Walk::BLANK,
        experience: Experience::BLANK,
        digest: None,
        made: 0,
        next_check: 0,
        out: [0; OUT_BYTES + UNIT_BYTES],
        waiting: 0,
        ahead: Ahead::BLANK,
        block: 0,
        gap: 0,
        from: 0,
        left: 0,
        run: Run::Ask,
        had_wrong: false,
        region: Region::NONE,
        distance: 0,
        last: 0,
        last_old: false,
        window_at: 0,
        before: 0,
    };

    /// Begins a patch of this head: everything but the stage, the input and how much of it is to come.
    fn begin(&mut self, header: Header, parts: &mut Parts<'_>) {
        let Self {
            stage: _,
            header: own,
            to_come: _,
            decoder: _,
            model,
            walk,
            experience,
            digest,
            made,
            next_check,
            out: _,
            waiting,
            ahead,
            block,
            gap,
            from,
            left,
            run,
            had_wrong,
            region,
            distance,
            last,
            last_old,
            window_at,
            before,
        } = self;
        *own = header;
        model.reset();
        walk.restart();
        *experience = Experience::NEW;
        *digest = None;
        *next_check = header.check_bytes;
        ahead.begin(header.old_bytes);
        *region = Region::NONE;
        *run = Run::Ask;
        (*had_wrong, *last_old) = (false, false);
        (*made, *block, *gap, *from, *left, *window_at) = (0, 0, 0, 0, 0, 0);
        (*distance, *last, *waiting, *before) = (1, 0, 0, 0);
        parts.near.fill(Chance::EVEN);
        parts.learned.fill(Learned::NONE);
    }

    /// Apart from what holds it, so that its fields are found from its own start.
    #[inline(never)]
    fn push(
        &mut self,
        parts: &mut Parts<'_>,
        mut patch: &[u8],
        images: &mut dyn Images,
    ) -> Result<(), Fault> {
        if let Stage::Failed(fault) = self.stage {
            return Err(fault);
        }
        loop {
            if self.stage == Stage::Head {
                self.head(parts, &mut patch, images)?;
                if self.stage == Stage::Head {
                    return Ok(());
                }
            }
            let taken = patch.len().min(self.to_come as usize);
            let taken = self.decoder.fill(&patch[..taken]);
            patch = &patch[taken..];
            self.to_come -= taken as u32;
            if self.to_come == 0 && !patch.is_empty() {
                return Err(Fault::TooLong);
            }
            while self.may_step() {
                if self.stage == Stage::Done {
                    return Ok(());
                }
                self.step(parts, images)?;
            }
            if patch.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether what a step can take of the patch is there.
    fn may_step(&self) -> bool {
        self.to_come == 0 || self.decoder.waiting() >= STEP_BYTES
    }

    /// Gathers the head, and checks it and the old image.
    fn head(
        &mut self,
        parts: &mut Parts<'_>,
        patch: &mut &[u8],
        images: &mut dyn Images,
    ) -> Result<(), Fault> {
        let taken = self.decoder.fill(patch);
        *patch = &patch[taken..];
        let (header, length) = match Header::parse(self.decoder.peek()) {
            Ok(found) => found,
            Err(HeaderFault::Short) => return Ok(()),
            Err(_) => return Err(Fault::NoPatch),
        };
        if !parts.hold(&header.needs) {
            return Err(Fault::Memory);
        }
        for _ in 0..length {
            self.decoder.byte();
        }
        let waiting = self.decoder.waiting() as u32;
        self.to_come = header
            .body_bytes
            .checked_sub(waiting)
            .ok_or(Fault::TooLong)?;
        self.begin(header, parts);
        self.check_old(images)?;
        self.stage = Stage::Begin;
        Ok(())
    }

    fn check_old(&mut self, images: &mut dyn Images) -> Result<(), Fault> {
        let mut at = 0;
        while at < self.header.old_bytes {
            let count = (self.header.old_bytes - at).min(AHEAD_BYTES as u32);
            let piece = &mut self.ahead.bytes[..count as usize];
            images.read_old(at, piece).map_err(|Refused| Fault::Read)?;
            self.digest.get_or_insert_with(Sha256::new).update(&piece);
            at += count;
        }
        if self.digest()[..8] != self.header.old_digest {
            return Err(Fault::OldImage);
        }
        Ok(())
    }

    /// The digest of all that was hashed since the last.
    fn digest(&mut self) -> [u8; 32] {
        self.digest.take().unwrap_or_default().finalize().into()
    }

    fn step(&mut self, parts: &mut Parts<'_>, images: &mut dyn Images) -> Result<(), Fault> {
        match self.stage {
            Stage::Begin => {
                self.decoder.begin();
                self.stage = Stage::Regions(0);
            }
            Stage::Regions(number) => self.region(parts, number)?,
            Stage::Blocks(number) => self.read_block(parts, number)?,
            Stage::Gap => {
                self.gap(parts, images)?;
                self.check(images)?;
            }
            Stage::Copy => {
                self.copy(parts, images)?;
                self.check(images)?;
            }
            Stage::End => {
                self.hash();
                self.write(images)?;
                if self.digest() != self.header.new_digest {
                    return Err(Fault::NewImage);
                }
                self.stage = Stage::Done;
            }
            Stage::Head | Stage::Done | Stage::Failed(_) => {}
        }
        Ok(())
    }

    fn region(&mut self, parts: &mut Parts<'_>, number: u32) -> Result<(), Fault> {
        let more = self.model.flag(&mut self.decoder, Flag::Rest, 0, false);
        if !more {
            // What is left over is nowhere.
            parts.regions[number as usize..].fill(Region::NONE);
            self.stage = Stage::Blocks(0);
            return Ok(());
        }
        let before = match number.checked_sub(1) {
            Some(before) => parts.regions[before as usize],
            None => Region::NONE,
        };
        let region = code_region(&mut self.model, &mut self.decoder, &before, &Region::NONE)
            .ok_or(Fault::Damaged)?;
        if !region.content.is_built() {
            return Err(Fault::Machine);
        }
        let place = parts.regions.get_mut(number as usize);
        *place.ok_or(Fault::Damaged)? = region;
        self.stage = Stage::Regions(number + 1);
        Ok(())
    }

    /// Reads a block of the map.
    fn read_block(&mut self, parts: &mut Parts<'_>, number: u32) -> Result<(), Fault> {
        let blocks = self.header.needs.blocks;
        if number < blocks {
            let before = match number.checked_sub(1) {
                Some(before) => parts.blocks[before as usize],
                None => Block::NONE,
            };
            let block = code_block(&mut self.model, &mut self.decoder, &before, &Block::NONE);
            let fits = |from: u32, most: u32| {
                from <= LARGEST_IMAGE && block.bytes <= LARGEST_IMAGE && from + block.bytes <= most
            };
            if !fits(block.old, self.header.old_bytes) || !fits(block.new, self.header.new_bytes) {
                return Err(Fault::Damaged);
            }
            parts.blocks[number as usize] = block;
            self.stage = Stage::Blocks(number + 1);
            return Ok(());
        }
        let blocks = blocks as usize;
        sort(&parts.blocks[..blocks], parts.order);
        self.begin_gap(parts);
        Ok(())
    }

    /// Goes to the next block, or to the end.
    fn begin_gap(&mut self, parts: &Parts<'_>) {
        let block = parts.blocks[..self.header.needs.blocks as usize].get(self.block as usize);
        let end = block.map_or(self.header.new_bytes, |block| block.new);
        // Blocks follow each other, as they were read.
        self.gap = end - self.made;
        self.stage = Stage::Gap;
    }

    /// A byte or a match in what comes before a block; the block, if nothing does.
    fn gap(&mut self, parts: &mut Parts<'_>, images: &mut dyn Images) -> Result<(), Fault> {
        if self.gap == 0 {
            let block = parts.blocks[..self.header.needs.blocks as usize].get(self.block as usize);
            let Some(block) = block else {
                self.stage = Stage::End;
                return Ok(());
            };
            self.from = block.old;
            self.left = block.bytes;
            self.run = Run::Ask;
            self.had_wrong = false;
            self.walk.restart();
            self.stage = Stage::Copy;
            return Ok(());
        }
        let coder = &mut self.decoder;
        let mask = self.header.needs.window_bytes - 1;
        if !self.model.flag(coder, Flag::Match, self.last, false) {
            let before = match self.waiting.checked_sub(1) {
                Some(last) => self.out[last],
                None => self.before,
            };
            let (near, at) = (&mut *parts.near, self.made);
            let near = &mut near[..self.header.needs.contexts as usize * 256];
            let byte = self.model.literal(coder, near, before, at, 0);
            self.last = self.last << 1 & 3;
            self.from = self.from.wrapping_add(1);
            self.remember(parts.window, byte);
            self.gap -= 1;
            return self.emit(images, byte.into(), 1);
        }
        self.last = (self.last << 1 & 3) | 1;
        let context = usize::from(self.last_old);
        self.last_old = self.model.flag(coder, Flag::Old, context, false);
        if self.last_old {
            let goes_on = self.model.flag(coder, Flag::GoOn, 0, false);
            if !goes_on {
                let jump = self.model.signed(coder, Kind::Elsewhere, 0);
                self.from = self.from.wrapping_add(jump as u32);
            }
            let count = self.model.number(coder, Kind::Match, 0) + 1;
            let fits = self.from <= self.header.old_bytes
                && count <= self.header.old_bytes - self.from
                && count <= self.gap;
            if !fits {
                return Err(Fault::Damaged);
            }
            self.gap -= count;
            self.left = count;
            self.run = Run::Match;
            self.walk.restart();
            self.stage = Stage::Copy;
            return Ok(());
        }
        let again = self.model.flag(coder, Flag::Again, 0, false);
        if !again {
            self.distance = self.model.number(coder, Kind::Distance, 0) + 1;
        }
        let count = self.model.number(coder, Kind::Match, 0) + 1;
        if count > self.gap || self.distance > mask + 1 {
            return Err(Fault::Damaged);
        }
        self.gap -= count;
        self.from = self.from.wrapping_add(count);
        for _ in 0..count {
            let at = self.window_at.wrapping_sub(self.distance) & mask;
            let byte = parts.window[at as usize];
            self.remember(parts.window, byte);
            self.emit(images, byte.into(), 1)?;
        }
        Ok(())
    }

    /// Puts a byte into the window.
    fn remember(&mut self, window: &mut [u8], byte: u8) {
        let mask = self.header.needs.window_bytes - 1;
        window[(self.window_at & mask) as usize] = byte;
        self.window_at = self.window_at.wrapping_add(1);
    }

    /// Compares the digest of all that is made, where the patch has it.
    fn check(&mut self, images: &mut dyn Images) -> Result<(), Fault> {
        if self.made < self.next_check {
            return Ok(());
        }
        self.next_check = (self.made & !(self.header.check_bytes - 1)) + self.header.check_bytes;
        self.hash();
        let so_far = self.digest.clone();
        let digest = self.digest();
        self.digest = so_far;
        let first = digest
            .first_chunk()
            .map_or(0, |first| u32::from_be_bytes(*first));
        if self.decoder.plain(0, 32) != first {
            return Err(Fault::Check);
        }
        self.write(images)
    }

    /// Hands 1 to 4 bytes of the new image on, the first of them lowest. What calls this has seen that
    /// there is room.
    fn emit(&mut self, images: &mut dyn Images, raw: u32, bytes: u32) -> Result<(), Fault> {
        // As many as there are of a word; those behind are overwritten by what comes next.
        self.out[self.waiting..self.waiting + UNIT_BYTES].copy_from_slice(&raw.to_le_bytes());
        self.waiting += bytes as usize;
        self.made += bytes;
        if self.waiting >= OUT_BYTES {
            let over = self.waiting - OUT_BYTES;
            self.waiting = OUT_BYTES;
            self.hash();
            self.write(images)?;
            for at in 0..over {
                self.out[at] = self.out[OUT_BYTES + at];
            }
            self.waiting = over;
        }
        Ok(())
    }

    fn hash(&mut self) {
        let digest = self.digest.get_or_insert_with(Sha256::new);
        digest.update(&self.out[..self.waiting]);
    }

    /// Writes what waits.
    fn write(&mut self, images: &mut dyn Images) -> Result<(), Fault> {
        if let Some(last) = self.waiting.checked_sub(1) {
            let bytes = &self.out[..self.waiting];
            images.write_new(bytes).map_err(|Refused| Fault::Write)?;
            self.before = self.out[last];
        }
        self.waiting = 0;
        Ok(())
    }
}

/// What counts the units until the next that is wrong.
pub(crate) fn run_kind(had_wrong: bool) -> Kind {
    if had_wrong { Kind::ShortRun } else { Kind::Run }
}
