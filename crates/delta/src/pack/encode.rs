//! From a script (the map and what stands between its blocks) to the bytes of a
//! patch: what [`crate::apply`] does, the other way round.

use sha2::{Digest as _, Sha256};

use crate::apply::run_kind;
use crate::format::{Header, Region};
use crate::guess::{Experience, Learned, Trust};
use crate::machine::{Source, Walk};
use crate::map::{Block, Map, code_block, code_region, sort};
use crate::memory::Needs;
use crate::range::{Chance, Coder, Encoder};
use crate::symbol::{Flag, Kind, Model};

/// What a gap is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A byte as it is.
    Literal,
    /// Bytes that came so far back in the gaps.
    Window { distance: u32, count: u32 },
    /// Bytes of the old image, references made to fit.
    Old { at: u32, count: u32 },
}

/// All that a patch says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) regions: Vec<Region>,
    pub(crate) blocks: Vec<Block>,
    /// The steps of all gaps, in order.
    pub(crate) steps: Vec<Step>,
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

/// How many units are as guessed, again and again: found in a first pass and told
/// in a second.
enum Runs {
    Record(Vec<Option<u32>>),
    Tell(std::vec::IntoIter<Option<u32>>),
}

/// One who tells nothing: the first pass.
struct Silent;

impl Coder for Silent {
    fn bit(&mut self, _: &mut Chance, bit: bool) -> bool {
        bit
    }
    fn mixed(&mut self, _: &mut Chance, _: &mut Chance, bit: bool) -> bool {
        bit
    }
    fn plain(&mut self, value: u32, _: u32) -> u32 {
        value
    }
}

/// Writes the patch.
pub(crate) fn encode(
    script: &Script,
    old: &[u8],
    new: &[u8],
    needs: &Needs,
    check_bytes: u32,
) -> Vec<u8> {
    let runs = Runs::Record(Vec::new());
    let first = Pass::new(Silent, script, old, new, needs, check_bytes, runs).walk();
    let Runs::Record(runs) = first.runs else {
        return Vec::new();
    };
    let runs = Runs::Tell(runs.into_iter());
    let second = Pass::new(Encoder::new(), script, old, new, needs, check_bytes, runs).walk();
    let body = second.coder.finish();
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
    runs: Runs,
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
        runs: Runs,
    ) -> Self {
        Self {
            coder,
            script,
            old: Bytes(old),
            new,
            runs,
            model: Model::NEW,
            near: vec![Chance::EVEN; needs.contexts as usize * 256],
            learned: vec![Learned::NONE; needs.learned as usize],
            walk: Walk::NEW,
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
        let mut order = vec![0; script.blocks.len()];
        sort(&script.blocks, &mut order);
        let map = Map {
            regions: &script.regions,
            blocks: &script.blocks,
            order: &order,
        };
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
        for block in &script.blocks {
            self.gap(&map, &mut steps, block.new);
            self.copy(&map, block);
        }
        self.gap(&map, &mut steps, self.new.len() as u32);
        self
    }

    fn gap(&mut self, map: &Map<'_>, steps: &mut std::slice::Iter<'_, Step>, end: u32) {
        while self.made < end {
            let Some(step) = steps.next() else { return };
            let coder = &mut self.coder;
            let is_match = *step != Step::Literal;
            self.model.flag(coder, Flag::Match, self.last, is_match);
            self.last = (self.last << 1 & 3) | usize::from(is_match);
            let count = match *step {
                Step::Literal => {
                    let at = self.made as usize;
                    let before = at.checked_sub(1).map_or(0, |before| self.new[before]);
                    let (near, byte) = (&mut self.near, self.new[at]);
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

    fn copy(&mut self, map: &Map<'_>, block: &Block) {
        self.from = block.old;
        self.walk.restart();
        let mut left = block.bytes;
        let mut had_wrong = false;
        // What the run has left, and how far it has come.
        let mut told: Option<u32> = None;
        let mut is_rest = false;
        let mut passed = 0;
        let mut ended_wrong = false;
        while left > 0 {
            if let Runs::Tell(runs) = &mut self.runs
                && told.is_none()
                && !is_rest
            {
                let run = runs.next().flatten();
                let context = 1 - usize::from(had_wrong);
                self.model
                    .flag(&mut self.coder, Flag::Rest, context, run.is_none());
                is_rest = run.is_none();
                if let Some(run) = run {
                    let kind = run_kind(had_wrong);
                    self.model.number(&mut self.coder, kind, run);
                }
                told = run;
            }
            let mut is_wrong = false;
            let bytes = self.unit(map, left, &mut |own, trust, guessed, is| {
                let right = guessed == is;
                if let Trust::Doubtful(why) = trust {
                    own.experience
                        .is_right(&mut own.coder, &mut own.model, why, right)
                } else {
                    is_wrong = !right;
                    if right {
                        passed += 1;
                    }
                    right
                }
            });
            ended_wrong = is_wrong;
            if is_wrong {
                if let Runs::Record(runs) = &mut self.runs {
                    runs.push(Some(passed));
                }
                passed = 0;
                told = None;
                had_wrong = true;
            }
            left -= bytes;
            self.check();
        }
        // After a wrong unit at the very end nobody asks.
        if let Runs::Record(runs) = &mut self.runs
            && block.bytes > 0
            && !ended_wrong
        {
            runs.push(None);
        }
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
        self.walk.done(&unit, old_at, said);
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
