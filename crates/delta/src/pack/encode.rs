//! From a script (the map and what stands between its blocks) to the bytes of a
//! patch: what [`crate::apply`] does, the other way round.

use sha2::{Digest as _, Sha256};

use crate::apply::run_kind;
use crate::format::{Header, Needs, Region};
use crate::guess::{Experience, Learned, Trust};
use crate::machine::{Source, Walk};
use crate::map::{Block, Map, code_block, code_region, order_bytes, sort};
use crate::range::{Chance, Coder, Counter, Encoder};
use crate::symbol::{Flag, Kind, Model};

use super::steps::{Finder, Offer, Step};

/// All that a patch says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) regions: Vec<Region>,
    pub(crate) blocks: Vec<Block>,
    /// The steps of all gaps, in order.
    steps: Vec<Step>,
    /// How many units are as guessed, again and again; nothing for the rest of a block.
    runs: Vec<Option<u32>>,
}

impl Script {
    /// A script that is not planned yet.
    pub(crate) fn new(regions: Vec<Region>, blocks: Vec<Block>) -> Self {
        Self {
            regions,
            blocks,
            ..Self::default()
        }
    }
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Source for Bytes<'_> {
    fn word(&mut self, offset: u32) -> u32 {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        if let Some(word) = rest.first_chunk() {
            return u32::from_le_bytes(*word);
        }
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        u32::from_le_bytes(word)
    }
}

/// Bits of a cost are counted in 65536ths.
const BIT: u64 = 1 << 16;

/// Finds what stands between the blocks and what is not as guessed, and about how
/// many bytes the patch will have.
pub(crate) fn plan(
    script: &mut Script,
    old: &[u8],
    new: &[u8],
    needs: &Needs,
    check_bytes: u32,
    finder: Finder<'_>,
) -> u64 {
    script.steps.clear();
    script.runs.clear();
    let mut pass = Pass::new(Counter::default(), script, old, new, needs, check_bytes);
    pass.finder = Some(finder);
    let pass = pass.walk();
    let (steps, runs, cost) = (pass.steps, pass.runs, pass.coder.cost);
    script.steps = steps;
    script.runs = runs;
    cost / (8 * BIT)
}

/// Writes the patch of a script that was planned.
pub(crate) fn encode(
    script: &Script,
    old: &[u8],
    new: &[u8],
    needs: &Needs,
    check_bytes: u32,
) -> Vec<u8> {
    let pass = Pass::new(Encoder::new(), script, old, new, needs, check_bytes).walk();
    let body = pass.coder.finish();
    let mut old_digest = [0; 8];
    old_digest.copy_from_slice(&Sha256::digest(old)[..8]);
    let header = Header {
        old_bytes: old.len() as u32,
        new_bytes: new.len() as u32,
        body_bytes: body.len() as u32,
        needs: Needs {
            blocks: script.blocks.len() as u32,
            regions: script.regions.len() as u32,
            ..*needs
        },
        check_bytes,
        old_digest,
        new_digest: Sha256::digest(new).into(),
    };
    let mut patch = Vec::with_capacity(body.len() + 80);
    header.emit(&mut patch);
    patch.extend_from_slice(&body);
    patch
}

/// A walk through the whole script.
struct Pass<'a, C> {
    coder: C,
    script: &'a Script,
    old: Bytes<'a>,
    new: &'a [u8],
    /// It plans: steps and runs are found, not told.
    finder: Option<Finder<'a>>,
    steps: Vec<Step>,
    runs: Vec<Option<u32>>,
    /// What a byte as it is has cost lately.
    literal_cost: u64,
    model: Model,
    near: Vec<Chance>,
    learned: Vec<Learned>,
    walk: Walk,
    experience: Experience,
    made: u32,
    checks: u32,
    check_bytes: u32,
    digest: Sha256,
    hashed: usize,
    from: u32,
    last: usize,
    last_old: bool,
    distance: u32,
}

impl<'a, C: Coder> Pass<'a, C> {
    fn new(
        coder: C,
        script: &'a Script,
        old: &'a [u8],
        new: &'a [u8],
        needs: &Needs,
        check_bytes: u32,
    ) -> Self {
        Self {
            coder,
            script,
            old: Bytes(old),
            new,
            finder: None,
            steps: Vec::new(),
            runs: Vec::new(),
            literal_cost: 6 * BIT,
            model: Model::new(),
            near: vec![Chance::EVEN; needs.contexts as usize * 256],
            learned: vec![Learned::NONE; needs.learned as usize],
            walk: Walk::BLANK,
            experience: Experience::NEW,
            made: 0,
            checks: 0,
            check_bytes,
            digest: Sha256::new(),
            hashed: 0,
            from: 0,
            last: 0,
            last_old: false,
            distance: 1,
        }
    }

    fn walk(mut self) -> Self {
        let script = self.script;
        let mut order = vec![0; order_bytes(script.blocks.len())];
        sort(&script.blocks, &mut order);
        let map = Map::new(&script.regions, &script.blocks, &order);
        let mut before = Region::NONE;
        for region in &script.regions {
            self.model.flag(&mut self.coder, Flag::Rest, 0, true);
            let _ = code_region(&mut self.model, &mut self.coder, &before, region);
            before = *region;
        }
        self.model.flag(&mut self.coder, Flag::Rest, 0, false);
        let mut before = Block::NONE;
        for block in &script.blocks {
            code_block(&mut self.model, &mut self.coder, &before, block);
            before = *block;
        }
        let mut steps = script.steps.iter();
        let mut runs = script.runs.iter();
        for block in &script.blocks {
            self.gap(&map, &mut steps, block.new);
            self.copy(&map, &mut runs, block);
        }
        self.gap(&map, &mut steps, self.new.len() as u32);
        self
    }

    fn gap(&mut self, map: &Map<'_>, steps: &mut std::slice::Iter<'_, Step>, end: u32) {
        while self.made < end {
            let step = match self.finder.take() {
                Some(mut finder) => {
                    let offer = self.choose(map, &finder, end);
                    let made = self.made as usize;
                    finder.remember(&self.new[made..made + offer.count as usize]);
                    self.steps.push(offer.step);
                    self.finder = Some(finder);
                    offer.step
                }
                None => match steps.next() {
                    Some(step) => *step,
                    None => return,
                },
            };
            let step = &step;
            let coder = &mut self.coder;
            let is_match = *step != Step::Literal;
            self.model.flag(coder, Flag::Match, self.last, is_match);
            self.last = (self.last << 1 & 3) | usize::from(is_match);
            let count = match *step {
                Step::Literal => {
                    let at = self.made as usize;
                    let before = at.checked_sub(1).map_or(0, |before| self.new[before]);
                    let (near, byte) = (&mut self.near, self.new[at]);
                    if self.finder.is_some() {
                        let mut trial = Counter {
                            cost: 0,
                            is_trial: true,
                        };
                        self.model
                            .literal(&mut trial, near, before, self.made, byte);
                        self.literal_cost = (self.literal_cost * 31 + trial.cost) / 32;
                    }
                    self.model.literal(coder, near, before, self.made, byte);
                    self.from = self.from.wrapping_add(1);
                    self.made += 1;
                    self.check();
                    continue;
                }
                Step::Window { count, .. } | Step::Old { count, .. } => count,
            };
            let is_old = matches!(step, Step::Old { .. });
            let context = usize::from(self.last_old);
            self.model.flag(coder, Flag::Old, context, is_old);
            self.last_old = is_old;
            match *step {
                Step::Old { at, .. } => {
                    let jump = at.wrapping_sub(self.from) as i32;
                    self.model.flag(coder, Flag::GoOn, 0, jump == 0);
                    if jump != 0 {
                        self.model.signed(coder, Kind::Elsewhere, jump);
                    }
                    self.model.number(coder, Kind::Match, count - 1);
                    self.from = at;
                    self.copy_match(map, count);
                }
                Step::Window { distance, .. } => {
                    let again = distance == self.distance;
                    self.model.flag(coder, Flag::Again, 0, again);
                    if !again {
                        self.model.number(coder, Kind::Distance, distance - 1);
                    }
                    self.distance = distance;
                    self.model.number(coder, Kind::Match, count - 1);
                    self.from = self.from.wrapping_add(count);
                    self.made += count;
                    self.check();
                }
                Step::Literal => {}
            }
        }
    }

    /// A match: all is as guessed, or the script is wrong.
    fn copy_match(&mut self, map: &Map<'_>, count: u32) {
        self.walk.restart();
        let mut left = count;
        while left > 0 {
            let bytes = self.unit(map, left, &mut |_, _, _, _| true);
            left -= bytes;
            self.check();
        }
    }

    fn copy(&mut self, map: &Map<'_>, runs: &mut std::slice::Iter<'_, Option<u32>>, block: &Block) {
        self.from = block.old;
        self.walk.restart();
        let mut left = block.bytes;
        let mut had_wrong = false;
        // Whether a run is to be told.
        let mut is_due = true;
        let mut passed = 0;
        let is_plan = self.finder.is_some();
        while left > 0 {
            if is_due && !is_plan {
                self.tell_run(runs.next().copied().flatten(), had_wrong);
            }
            is_due = false;
            let mut is_wrong = false;
            let bytes = self.unit(map, left, &mut |own, trust, guessed, is| {
                let right = guessed == is;
                if let Trust::Doubtful(why) = trust {
                    own.experience
                        .is_right(&mut own.coder, &mut own.model, why, right)
                } else {
                    is_wrong = !right;
                    passed += u32::from(right);
                    right
                }
            });
            if is_wrong {
                if is_plan {
                    self.tell_run(Some(passed), had_wrong);
                    self.runs.push(Some(passed));
                }
                passed = 0;
                is_due = true;
                had_wrong = true;
            }
            left -= bytes;
            self.check();
        }
        // After a wrong unit at the very end nobody asks.
        if is_plan && block.bytes > 0 && !is_due {
            self.tell_run(None, had_wrong);
            self.runs.push(None);
        }
    }

    fn tell_run(&mut self, run: Option<u32>, had_wrong: bool) {
        let context = 1 - usize::from(had_wrong);
        self.model
            .flag(&mut self.coder, Flag::Rest, context, run.is_none());
        if let Some(run) = run {
            self.model.number(&mut self.coder, run_kind(had_wrong), run);
        }
    }

    /// The best step at this place of a gap.
    fn choose(&mut self, map: &Map<'_>, finder: &Finder<'_>, end: u32) -> Offer {
        let literal = Offer {
            step: Step::Literal,
            count: 1,
        };
        let Some((offer, gain)) = self.best(map, finder, self.made, self.from, end) else {
            return literal;
        };
        // A longer match may begin at the next byte.
        if offer.count < 24
            && let Some((_, later)) =
                self.best(map, finder, self.made + 1, self.from.wrapping_add(1), end)
            && later > gain + 4 * BIT as i64
        {
            return literal;
        }
        offer
    }

    /// The match that saves most, and how much that is.
    fn best(
        &mut self,
        map: &Map<'_>,
        finder: &Finder<'_>,
        at: u32,
        from: u32,
        end: u32,
    ) -> Option<(Offer, i64)> {
        let wanted = self.new.get(at as usize..end as usize)?;
        if wanted.is_empty() {
            return None;
        }
        let mut best: Option<(Offer, i64)> = None;
        let mut consider = |own: &mut Self, offer: Offer| {
            let gain = i64::from(offer.count) * own.literal_cost as i64
                - own.cost(&offer.step, from) as i64;
            if gain > 0 && best.is_none_or(|(_, best)| gain > best) {
                best = Some((offer, gain));
            }
        };
        let mut places = [Some(from), None];
        let mut longest = 0;
        for number in 0..2 {
            if let Some(place) = places[number] {
                let count = self.matched(map, place, at, wanted.len() as u32);
                if count > 0 {
                    let step = Step::Old { at: place, count };
                    consider(self, Offer { step, count });
                }
                longest = longest.max(count);
            }
            if number == 0 && longest < 32 {
                places[1] = finder.place(at as usize).filter(|place| *place != from);
            }
        }
        if at == self.made && longest < 64 {
            for offer in finder.window(wanted, self.distance).into_iter().flatten() {
                consider(self, offer);
            }
        }
        best
    }

    /// How many bytes of the old image at `from` become those of the new one at `at`.
    fn matched(&mut self, map: &Map<'_>, from: u32, at: u32, most: u32) -> u32 {
        let most = most.min((self.old.0.len() as u32).saturating_sub(from));
        let mut walk = Walk::BLANK;
        let mut count = 0;
        while count < most {
            let is = Bytes(self.new).word(at + count);
            let place = from + count;
            let Some(region) = map.region_at(place) else {
                if (self.old.word(place) ^ is) & 0xff != 0 {
                    return count;
                }
                count += 1;
                continue;
            };
            let unit = walk.unit(map, region, &mut self.old, place, most - count);
            let new_at = map.address_in_new(at + count);
            let guess = Experience::guess(map, &self.learned, &walk, region, &unit, new_at);
            let different = (guess.raw ^ is) << (32 - 8 * unit.bytes) != 0;
            if different {
                // The first bytes of a unit are copied as they are, if it is cut there.
                let alike = ((unit.raw ^ is).trailing_zeros() / 8).min(unit.bytes - 1);
                return count + alike;
            }
            let same = guess.trust != Trust::Plain;
            let said = same.then(|| guess.says(&unit, guess.raw));
            walk.done(region, &unit, region.old.address_of(place), said);
            count += unit.bytes;
        }
        count
    }

    /// What a step would cost now.
    fn cost(&mut self, step: &Step, from: u32) -> u64 {
        let mut coder = Counter {
            cost: 0,
            is_trial: true,
        };
        let coder = &mut coder;
        self.model.flag(coder, Flag::Match, self.last, true);
        let context = usize::from(self.last_old);
        match *step {
            Step::Literal => {}
            Step::Old { at, count } => {
                self.model.flag(coder, Flag::Old, context, true);
                let jump = at.wrapping_sub(from) as i32;
                self.model.flag(coder, Flag::GoOn, 0, jump == 0);
                if jump != 0 {
                    self.model.signed(coder, Kind::Elsewhere, jump);
                }
                self.model.number(coder, Kind::Match, count - 1);
            }
            Step::Window { distance, count } => {
                self.model.flag(coder, Flag::Old, context, false);
                let again = distance == self.distance;
                self.model.flag(coder, Flag::Again, 0, again);
                if !again {
                    self.model.number(coder, Kind::Distance, distance - 1);
                }
                self.model.number(coder, Kind::Match, count - 1);
            }
        }
        coder.cost
    }

    /// Takes a unit over; `judge` decides, with what is guessed and what is, whether
    /// nothing is said about it.
    fn unit(
        &mut self,
        map: &Map<'_>,
        left: u32,
        judge: &mut dyn FnMut(&mut Self, Trust, u32, u32) -> bool,
    ) -> u32 {
        let is = Bytes(self.new).word(self.made);
        let Some(region) = map.region_at(self.from) else {
            let guessed = self.old.word(self.from) & 0xff;
            let is = is & 0xff;
            if !judge(self, Trust::Plain, guessed, is) {
                self.model
                    .changed(&mut self.coder, guessed as u8, 0, is as u8);
            }
            self.from += 1;
            self.made += 1;
            return 1;
        };
        let unit = self.walk.unit(map, region, &mut self.old, self.from, left);
        let is = is << (32 - 8 * unit.bytes) >> (32 - 8 * unit.bytes);
        let at = map.address_in_new(self.made);
        let guess = Experience::guess(map, &self.learned, &self.walk, region, &unit, at);
        let same = if judge(self, guess.trust, guess.raw, is) {
            guess.trust != Trust::Plain
        } else {
            let corrected = self.experience.correct(
                &mut self.coder,
                &mut self.model,
                &mut self.learned,
                &unit,
                &guess,
                is,
            );
            corrected.is_some_and(|(_, same)| same)
        };
        let old_at = region.old.address_of(self.from);
        let said = same.then(|| guess.says(&unit, is));
        self.walk.done(region, &unit, old_at, said);
        self.from += unit.bytes;
        self.made += unit.bytes;
        unit.bytes
    }

    /// Tells the digest of all so far, where it is due.
    fn check(&mut self) {
        let checks = self.made / self.check_bytes;
        if checks == self.checks {
            return;
        }
        self.checks = checks;
        let made = self.made as usize;
        self.digest.update(&self.new[self.hashed..made]);
        self.hashed = made;
        let digest = self.digest.clone().finalize();
        let first = digest
            .first_chunk()
            .map_or(0, |first| u32::from_be_bytes(*first));
        self.coder.plain(first, 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Content, Span};
    use crate::machine::{Form, aim, set};
    use crate::memory::DEVICE;
    use crate::pack::suffix::Suffixes;

    const FUNCTIONS: u32 = 40;
    const FUNCTION_BYTES: u32 = 64;
    /// Functions from this one on have moved.
    const MOVED: u32 = 15;

    /// Where a function is, when so many bytes were put in before some of them.
    fn place(base: u32, function: u32, inserted: u32) -> u32 {
        let moved = if function >= MOVED { inserted } else { 0 };
        base + function * FUNCTION_BYTES + moved
    }

    /// A program whose functions refer to each other by these instructions: bytes
    /// before, the form, and the instruction without its reference.
    fn program(base: u32, inserted: u32, forms: &[(&[u8], Form, u32, usize)]) -> Vec<u8> {
        let mut image = Vec::new();
        for function in 0..FUNCTIONS {
            let start = image.len();
            let target = place(base, function * 7 % FUNCTIONS, inserted);
            let mut upper = 0;
            for &(before, form, raw, bytes) in forms {
                image.extend_from_slice(before);
                if form == Form::None {
                    continue;
                }
                let at = base + image.len() as u32;
                let value = aim(form, at, target);
                let raw = set(form, raw, at, upper, value).expect("it can be reached");
                upper = value;
                image.extend_from_slice(&raw.to_le_bytes()[..bytes]);
            }
            // Something that refers to nothing in any of the languages.
            image.resize(start + FUNCTION_BYTES as usize, 0x40);
            if function + 1 == MOVED {
                image.resize(image.len() + inserted as usize, 0x40);
            }
        }
        image
    }

    /// All references of code that has moved are guessed right.
    fn assert_all_is_guessed(content: Content, forms: &[(&[u8], Form, u32, usize)]) {
        const INSERTED: u32 = 24;
        for base in [0x1_0000, 0x0800_8000, 0x4200_0000] {
            let (old, new) = (program(base, 0, forms), program(base, INSERTED, forms));
            let span = |image: &[u8]| Span {
                offset: 0,
                address: base,
                bytes: image.len() as u32,
            };
            let region = Region {
                content,
                old: span(&old),
                new: span(&new),
            };
            let first = MOVED * FUNCTION_BYTES;
            let blocks = vec![
                Block {
                    old: 0,
                    new: 0,
                    bytes: first,
                },
                Block {
                    old: first,
                    new: first + INSERTED,
                    bytes: old.len() as u32 - first,
                },
            ];
            let mut script = Script::new(vec![region], blocks);
            let suffixes = Suffixes::new(&old);
            let finder = Finder::new(&suffixes, &new, DEVICE.window_bytes);
            plan(&mut script, &old, &new, &DEVICE, 1 << 16, finder);
            assert_eq!(script.runs, [None, None], "{content:?} at {base:#x}");
            let patch = encode(&script, &old, &new, &DEVICE, 1 << 16);
            let applied = crate::pack::apply_in(&old, &patch, crate::memory::Device::new());
            assert!(
                applied.as_ref() == Ok(&new),
                "{content:?}: {:?}",
                applied.err()
            );
            assert!(patch.len() < 110, "{content:?}: {}", patch.len());
        }
    }

    #[test]
    fn risc_v_code_that_moved_is_guessed_right() {
        for content in [Content::Riscv32, Content::Riscv64] {
            assert_all_is_guessed(
                content,
                &[
                    (b"", Form::Jal, 0xef, 4),
                    (b"", Form::Branch, 0x00b5_0063, 4),
                    (b"", Form::UpperHere, 0x517, 4),
                    (b"", Form::Lower, 0x0005_0513, 4),
                ],
            );
            assert_all_is_guessed(
                content,
                &[
                    (b"", Form::Upper, 0x537, 4),
                    (b"", Form::LowerStore, 0x00b5_2023, 4),
                ],
            );
        }
    }

    #[test]
    fn thumb_code_that_moved_is_guessed_right() {
        assert_all_is_guessed(
            Content::Thumb,
            &[
                (b"", Form::ThumbCall, 0xd000_f000, 4),
                (b"", Form::ThumbBranch, 0x8000_f000, 4),
            ],
        );
    }

    #[test]
    fn aarch64_code_that_moved_is_guessed_right() {
        assert_all_is_guessed(
            Content::Aarch64,
            &[
                (b"", Form::Jump26, 0x9400_0000, 4),
                (b"", Form::Jump19, 0x5400_0001, 4),
                (b"", Form::Jump14, 0x3600_0000, 4),
                (b"", Form::Page, 0x9000_0000, 4),
                (b"", Form::PageLower, 0x9100_0000, 4),
            ],
        );
        assert_all_is_guessed(
            Content::Aarch64,
            &[
                (b"", Form::Page, 0x9000_0003, 4),
                (b"", Form::PageLower8, 0xf940_0064, 4),
            ],
        );
    }

    #[test]
    fn x86_code_that_moved_is_guessed_right() {
        assert_all_is_guessed(
            Content::X86,
            &[
                (b"\xe8", Form::Distance, 0, 4),
                (b"\x48\x8d\x05", Form::Distance, 0, 4),
                (b"\x0f\x84", Form::Distance, 0, 4),
                (b"\xf3\x0f\x10\x05", Form::Distance, 0, 4),
            ],
        );
    }

    #[test]
    fn xtensa_code_that_moved_is_guessed_right() {
        // With two narrow instructions before, the rest is whole ones.
        let call: (&[u8], Form, u32, usize) = (b"\x0d\xf0\x0d\xf0", Form::XtensaCall, 0x25, 3);
        assert_all_is_guessed(Content::Xtensa, &[call]);
    }

    #[test]
    fn tables_of_what_moved_are_guessed_right() {
        let word: &[(&[u8], Form, u32, usize)] = &[(b"", Form::Word, 0, 4)];
        assert_all_is_guessed(Content::Words32, word);
        let wide: &[(&[u8], Form, u32, usize)] = &[
            (b"", Form::Word, 0, 4),
            (b"\0\0\0\0", Form::Word, 0, 4),
            (b"\0\0\0\0", Form::None, 0, 0),
        ];
        assert_all_is_guessed(Content::Words64, wide);
    }
}
