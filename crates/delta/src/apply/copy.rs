//! The stretches of the old image that stand in the new one: units with the
//! references in them made to fit, and what is wrong in them made right.

use super::{Images, OUT_BYTES, Patcher, Run, Stage, run_kind};
use crate::fault::Fault;
use crate::format::Content;
use crate::guess::{Experience, Learned, Trust};
use crate::machine::{Form, Source as _};
use crate::map::Map;
use crate::memory::Parts;
use crate::old::Old;
use crate::symbol::Flag;

impl Patcher {
    /// A unit of a block, or of a match in the old image.
    pub(super) fn copy(
        &mut self,
        parts: &mut Parts<'_>,
        images: &mut dyn Images,
    ) -> Result<(), Fault> {
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
        let map = Map::new(parts.regions, &parts.blocks[..blocks], parts.order);
        let mut content = self.region.content;
        let mut to_end = self.region.old.left(self.from);
        if to_end == 0 {
            match map.region_at(self.from) {
                Some(region) => {
                    self.region = *region;
                    (content, to_end) = (region.content, region.old.left(self.from));
                }
                None => (content, to_end) = (Content::Bytes, map.free_at(self.from)),
            }
        }
        if content == Content::Bytes || cfg!(feature = "x86") && content == Content::X86 {
            if self.copy_plain(parts.window, images, content, to_end)? {
                return Ok(());
            }
            if content == Content::Bytes {
                return self.copy_byte(images);
            }
        }
        let learned = &mut parts.learned[..self.header.needs.learned as usize];
        // As many units as there is input for: what comes before a unit is looked at once for all of them.
        loop {
            let unit = self.unit(&map, learned, images)?;
            if self.run == Run::Match {
                for at in 0..unit.1 {
                    self.remember(parts.window, (unit.0 >> (8 * at)) as u8);
                }
            }
            self.emit(images, unit.0, unit.1)?;
            let goes_on = self.left > 0
                && self.run != Run::Ask
                && self.made < self.next_check
                && content != Content::X86
                && self.region.old.holds_offset(self.from)
                && self.may_step();
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// A unit of the region: what it becomes, and its bytes.
    fn unit(
        &mut self,
        map: &Map<'_>,
        learned: &mut [Learned],
        images: &mut dyn Images,
    ) -> Result<(u32, u32), Fault> {
        let mut old = Old {
            ahead: &mut self.ahead,
            images,
        };
        let region = &self.region;
        let unit = self.walk.unit(map, region, &mut old, self.from, self.left);
        if self.ahead.failed {
            return Err(Fault::Read);
        }
        let old_at = region.old.address_of(self.from);
        self.from += unit.bytes;
        self.left -= unit.bytes;
        if unit.form == Form::None && self.run.takes_one() {
            // Most units: no reference, and as it was.
            self.walk.passed(region, unit.raw);
            return Ok((unit.raw, unit.bytes));
        }
        let coder = &mut self.decoder;
        let at = match region.new.holds_offset(self.made) {
            true => region.new.address_of(self.made),
            false => map.address_in_new(self.made),
        };
        let guess = Experience::guess(map, learned, &self.walk, region, &unit, at);
        let is_right = match (self.run, guess.trust) {
            (Run::Match, _) | (Run::Rest, Trust::Plain | Trust::Sure) => true,
            (_, Trust::Doubtful(why)) => {
                self.experience.is_right(coder, &mut self.model, why, false)
            }
            _ => self.run.takes_one(),
        };
        let (raw, same) = if is_right {
            (guess.raw, guess.trust != Trust::Plain)
        } else {
            if !matches!(guess.trust, Trust::Doubtful(_)) {
                self.run = Run::Ask;
                self.had_wrong = true;
            }
            self.experience
                .correct(coder, &mut self.model, learned, &unit, &guess, 0)
                .ok_or(Fault::Damaged)?
        };
        let said = same.then(|| match is_right {
            true => guess.value,
            false => guess.says(&unit, raw),
        });
        self.walk.done(region, &unit, old_at, said);
        Ok((raw, unit.bytes))
    }

    /// Takes over bytes that begin no reference, as many as are at hand: what is done unit by unit, but
    /// quicker. Whether there were any.
    fn copy_plain(
        &mut self,
        window: &mut [u8],
        images: &mut dyn Images,
        content: Content,
        to_end: u32,
    ) -> Result<bool, Fault> {
        let most = match self.run {
            Run::Units(count) => count,
            _ => u32::MAX,
        };
        let room = (OUT_BYTES - self.waiting) as u32;
        let to_check = self.next_check - self.made;
        let most = most.min(self.left).min(to_check).min(to_end).min(room);
        let mut old = Old {
            ahead: &mut self.ahead,
            images: &mut *images,
        };
        old.word(self.from);
        if self.ahead.failed {
            return Err(Fault::Read);
        }
        let into = self.from.wrapping_sub(self.ahead.start) as usize;
        let bytes = self.ahead.bytes.get(into..).unwrap_or_default();
        let count = match content {
            Content::X86 if cfg!(feature = "x86") => self.walk.plain_x86(bytes),
            _ => bytes.len(),
        };
        let count = count.min(most as usize);
        if count == 0 {
            return Ok(false);
        }
        let bytes = &bytes[..count];
        if self.run == Run::Match {
            let mask = self.header.needs.window_bytes - 1;
            for &byte in bytes {
                window[(self.window_at & mask) as usize] = byte;
                self.window_at = self.window_at.wrapping_add(1);
            }
        }
        self.out[self.waiting..self.waiting + count].copy_from_slice(bytes);
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

    /// A byte in which nothing is looked for, and that is another one now.
    fn copy_byte(&mut self, images: &mut dyn Images) -> Result<(), Fault> {
        let mut old = Old {
            ahead: &mut self.ahead,
            images: &mut *images,
        };
        let word = old.word(self.from);
        if self.ahead.failed {
            return Err(Fault::Read);
        }
        let byte = self.model.changed(&mut self.decoder, word as u8, 0, 0);
        self.run = Run::Ask;
        self.had_wrong = true;
        self.from += 1;
        self.left -= 1;
        self.emit(images, byte.into(), 1)
    }
}
