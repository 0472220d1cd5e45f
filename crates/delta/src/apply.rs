//! The patcher. It has no input and output of its own:
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

use sha2::{Digest as _, Sha256};

pub use crate::fault::{Fault, Refused};
use crate::format::{Content, Header, HeaderFault, LARGEST_IMAGE, Needs, Region};
use crate::guess::{Experience, Learned, Trust};
use crate::machine::{Source, Walk};
use crate::map::{Block, Map, code_block, code_region, sort};
use crate::memory::{Memory, Parts};
pub use crate::old::Images;
use crate::old::{AHEAD_BYTES, Ahead, Old};
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

/// A patcher in its memory.
#[derive(Debug, Clone)]
pub struct Apply<M> {
    memory: M,
    patcher: Patcher,
}

/// All of a patcher but what the profile decides.
#[derive(Debug, Clone)]
struct Patcher {
    stage: Stage,
    header: Header,
    /// Bytes of the patch that are still to come.
    to_come: u32,
    decoder: Decoder,
    model: Model,
    walk: Walk,
    experience: Experience,
    digest: Sha256,
    /// Bytes made, written or waiting.
    made: u32,
    /// Checks of the digest on the way.
    checks: u32,
    out: [u8; OUT_BYTES],
    waiting: usize,
    ahead: Ahead,
    /// The number of the block that comes or is copied.
    block: u32,
    /// Bytes before it.
    gap: u32,
    /// Where the copy goes on in the old image, and how much there is of it.
    from: u32,
    left: u32,
    run: Run,
    had_wrong: bool,
    /// The region that was copied from last.
    region: Region,
    /// Of matches: the last distance, what the last two steps were.
    distance: u32,
    last: usize,
    last_old: bool,
    window_at: u32,
    before: u8,
}

impl Apply<crate::memory::Device> {
    /// A patcher with the memory of profile `device`, made where it will stand: with [`Apply::new`] the
    /// memory is on the stack once more while it is moved.
    #[inline(never)]
    #[must_use]
    pub fn device() -> Self {
        Self {
            memory: crate::memory::Device::new(),
            patcher: Patcher::new(),
        }
    }
}

impl<M: Memory> Apply<M> {
    /// A patcher at the start of a patch.
    pub fn new(memory: M) -> Self {
        Self {
            memory,
            patcher: Patcher::new(),
        }
    }

    /// Begins anew, with another patch, where it stands: a value of this size is not moved for nothing.
    pub fn restart(&mut self) {
        if self.patcher.stage != Stage::Head || self.patcher.decoder.waiting() > 0 {
            self.begin_anew();
        }
    }

    /// Apart, since a whole patcher is on the stack here.
    #[inline(never)]
    fn begin_anew(&mut self) {
        self.patcher = Patcher::new();
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
    fn new() -> Self {
        Self {
            stage: Stage::Head,
            header: Header {
                old_bytes: 0,
                new_bytes: 0,
                body_bytes: 0,
                needs: Needs::NONE,
                check_bytes: 0,
                old_digest: [0; 8],
                new_digest: [0; 32],
            },
            to_come: 0,
            decoder: Decoder::new(),
            model: Model::BLANK,
            walk: Walk::NEW,
            experience: Experience::NEW,
            digest: Sha256::new(),
            made: 0,
            checks: 0,
            out: [0; OUT_BYTES],
            waiting: 0,
            ahead: Ahead {
                bytes: [0; AHEAD_BYTES],
                start: 0,
                count: 0,
                image_bytes: 0,
                failed: false,
            },
            block: 0,
            gap: 0,
            from: 0,
            left: 0,
            run: Run::Ask,
            had_wrong: false,
            region: Region::NONE,
            distance: 1,
            last: 0,
            last_old: false,
            window_at: 0,
            before: 0,
        }
    }

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
            while self.to_come == 0 || self.decoder.waiting() >= STEP_BYTES {
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
        self.header = header;
        self.model.reset();
        parts.near.fill(Chance::EVEN);
        parts.learned.fill(Learned::NONE);
        self.ahead.image_bytes = header.old_bytes;
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
            self.digest.update(&piece);
            at += count;
        }
        let digest = self.digest.finalize_reset();
        if digest[..8] != self.header.old_digest {
            return Err(Fault::OldImage);
        }
        Ok(())
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
                let digest = self.digest.finalize_reset();
                if digest[..] != self.header.new_digest {
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
        sort(&parts.blocks[..blocks], &mut parts.order[..blocks]);
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
            let (near, before, at) = (&mut *parts.near, self.before, self.made);
            let near = &mut near[..self.header.needs.contexts as usize * 256];
            let byte = self.model.literal(coder, near, before, at, 0);
            self.last = self.last << 1 & 3;
            self.from = self.from.wrapping_add(1);
            self.remember(parts, byte);
            self.gap -= 1;
            return self.emit(images, byte);
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
            self.remember(parts, byte);
            self.emit(images, byte)?;
        }
        Ok(())
    }

    /// Puts a byte into the window.
    fn remember(&mut self, parts: &mut Parts<'_>, byte: u8) {
        let mask = self.header.needs.window_bytes - 1;
        parts.window[(self.window_at & mask) as usize] = byte;
        self.window_at = self.window_at.wrapping_add(1);
    }

    /// A unit of a block, or of a match in the old image.
    fn copy(&mut self, parts: &mut Parts<'_>, images: &mut dyn Images) -> Result<(), Fault> {
        if self.left == 0 {
            if self.run == Run::Match {
                self.stage = Stage::Gap;
            } else {
                self.block += 1;
                self.begin_gap(parts);
            }
            return Ok(());
        }
        let coder = &mut self.decoder;
        if self.run == Run::Ask {
            let context = 1 - usize::from(self.had_wrong);
            self.run = if self.model.flag(coder, Flag::Rest, context, false) {
                Run::Rest
            } else {
                let kind = run_kind(self.had_wrong);
                Run::Units(self.model.number(coder, kind, 0))
            };
        }
        let blocks = self.header.needs.blocks as usize;
        let map = Map {
            regions: &*parts.regions,
            blocks: &parts.blocks[..blocks],
            order: &parts.order[..blocks],
        };
        if !self.region.old.holds_offset(self.from) {
            match map.region_at(self.from) {
                Some(region) => self.region = *region,
                None => return self.copy_bytes(parts, images),
            }
        }
        if self.region.content == Content::X86 && self.copy_plain(parts, images)? {
            return Ok(());
        }
        let coder = &mut self.decoder;
        let map = Map {
            regions: &*parts.regions,
            blocks: &parts.blocks[..blocks],
            order: &parts.order[..blocks],
        };
        let mut old = Old {
            ahead: &mut self.ahead,
            images: &mut *images,
        };
        let region = &self.region;
        let unit = self.walk.unit(&map, region, &mut old, self.from, self.left);
        if self.ahead.failed {
            return Err(Fault::Read);
        }
        let at = match region.new.holds_offset(self.made) {
            true => region.new.address_of(self.made),
            false => map.address_in_new(self.made),
        };
        let learned = &mut parts.learned[..self.header.needs.learned as usize];
        let guess = Experience::guess(&map, learned, &self.walk, region, &unit, at);
        let is_right = match (self.run, guess.trust) {
            (Run::Match, _) | (Run::Rest, Trust::Plain | Trust::Sure) => true,
            (_, Trust::Doubtful(why)) => {
                self.experience.is_right(coder, &mut self.model, why, false)
            }
            (Run::Units(0) | Run::Ask, _) => {
                self.run = Run::Ask;
                self.had_wrong = true;
                false
            }
            (Run::Units(count), _) => {
                self.run = Run::Units(count - 1);
                true
            }
        };
        let old_at = region.old.address_of(self.from);
        let (raw, same) = if is_right {
            (guess.raw, guess.trust != Trust::Plain)
        } else {
            self.experience
                .correct(coder, &mut self.model, learned, &unit, &guess, 0)
                .ok_or(Fault::Damaged)?
        };
        let said = same.then(|| guess.says(&unit, raw));
        self.walk.done(region, &unit, old_at, said);
        self.from += unit.bytes;
        self.left -= unit.bytes;
        for at in 0..unit.bytes {
            let byte = (raw >> (8 * at)) as u8;
            if self.run == Run::Match {
                self.remember(parts, byte);
            }
            self.emit(images, byte)?;
        }
        Ok(())
    }

    /// Takes over bytes of x86 that begin no reference, as many as are at hand: what
    /// `copy` does byte by byte, but quicker. Whether there were any.
    fn copy_plain(
        &mut self,
        parts: &mut Parts<'_>,
        images: &mut dyn Images,
    ) -> Result<bool, Fault> {
        let to_check = self.header.check_bytes - (self.made & (self.header.check_bytes - 1));
        let region = self.region.old;
        let to_end = region.bytes - self.from.wrapping_sub(region.offset);
        let most = match self.run {
            Run::Units(count) => count,
            _ => u32::MAX,
        };
        let room = (OUT_BYTES - self.waiting) as u32;
        let most = most.min(self.left).min(to_check).min(to_end).min(room);
        let mut old = Old {
            ahead: &mut self.ahead,
            images,
        };
        old.word(self.from);
        let into = self.from.wrapping_sub(self.ahead.start) as usize;
        let bytes = self.ahead.bytes.get(into..).unwrap_or_default();
        let count = self.walk.plain_x86(bytes).min(most as usize);
        if count == 0 || self.ahead.failed {
            return Ok(false);
        }
        let bytes = &bytes[..count];
        if self.run == Run::Match {
            let mask = self.header.needs.window_bytes - 1;
            for &byte in bytes {
                parts.window[(self.window_at & mask) as usize] = byte;
                self.window_at = self.window_at.wrapping_add(1);
            }
        }
        self.out[self.waiting..self.waiting + count].copy_from_slice(bytes);
        self.before = bytes[count - 1];
        if let Run::Units(left) = &mut self.run {
            *left -= count as u32;
        }
        self.waiting += count;
        self.made += count as u32;
        self.from += count as u32;
        self.left -= count as u32;
        if self.waiting == OUT_BYTES {
            self.hash();
            self.write(images)?;
        }
        Ok(true)
    }

    /// Takes over bytes in which nothing is looked for, each a unit.
    fn copy_bytes(&mut self, parts: &mut Parts<'_>, images: &mut dyn Images) -> Result<(), Fault> {
        let mut old = Old {
            ahead: &mut self.ahead,
            images: &mut *images,
        };
        let word = old.word(self.from);
        if self.ahead.failed {
            return Err(Fault::Read);
        }
        let mut byte = word as u8;
        match &mut self.run {
            Run::Units(0) | Run::Ask => {
                byte = self.model.changed(&mut self.decoder, byte, 0, 0);
                self.run = Run::Ask;
                self.had_wrong = true;
            }
            Run::Units(count) => *count -= 1,
            Run::Match => self.remember(parts, byte),
            Run::Rest => {}
        }
        self.from += 1;
        self.left -= 1;
        self.emit(images, byte)
    }

    /// Compares the digest of all that is made, where the patch has it.
    fn check(&mut self, images: &mut dyn Images) -> Result<(), Fault> {
        let checks = self.made >> self.header.check_bytes.trailing_zeros();
        if checks == self.checks {
            return Ok(());
        }
        self.checks = checks;
        self.hash();
        let digest = self.digest.clone().finalize();
        let first = digest
            .first_chunk()
            .map_or(0, |first| u32::from_be_bytes(*first));
        if self.decoder.plain(0, 32) != first {
            return Err(Fault::Check);
        }
        self.write(images)
    }

    /// Hands a byte of the new image on. What calls this has seen that there is room.
    fn emit(&mut self, images: &mut dyn Images, byte: u8) -> Result<(), Fault> {
        self.before = byte;
        self.out[self.waiting] = byte;
        self.waiting += 1;
        self.made += 1;
        if self.waiting == OUT_BYTES {
            self.hash();
            self.write(images)?;
        }
        Ok(())
    }

    fn hash(&mut self) {
        self.digest.update(&self.out[..self.waiting]);
    }

    /// Writes what waits.
    fn write(&mut self, images: &mut dyn Images) -> Result<(), Fault> {
        if self.waiting > 0 {
            let bytes = &self.out[..self.waiting];
            images.write_new(bytes).map_err(|Refused| Fault::Write)?;
        }
        self.waiting = 0;
        Ok(())
    }
}

/// What counts the units until the next that is wrong.
pub(crate) fn run_kind(had_wrong: bool) -> Kind {
    if had_wrong { Kind::ShortRun } else { Kind::Run }
}
