//! The proof: every scenario, cut at every write and erase in five ways, and cut once more at every
//! write and erase of the recovery in five ways. `OUNCE_OTA_CASE=NUMBER` runs one case alone, aloud.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ounce_ota::signature::Keyring;
use ounce_ota::simulate::{Branch, Flash};

use crate::scenarios;
use crate::world::{Format, SECTOR, Story};

/// Cuts that a run makes at least, in two levels.
const CUTS: u64 = 1_000_000;

/// A case: a story, a cut in it, and a cut in the recovery from that; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    story: usize,
    first: usize,
    second: usize,
}

const EACH: u64 = 100_000;

impl Case {
    fn number(self) -> u64 {
        (self.story as u64 * EACH + self.first as u64) * EACH + self.second as u64
    }

    fn of(number: u64) -> Self {
        Self {
            story: (number / EACH / EACH) as usize,
            first: (number / EACH % EACH) as usize,
            second: (number % EACH) as usize,
        }
    }
}

/// Every story, for each boot loader and some units of writing.
fn stories() -> Vec<(Story, usize)> {
    let mut all = Vec::new();
    for unit in [4, 32] {
        for format in [Format::Journal, Format::EspIdf] {
            all.extend(
                scenarios::all(format)
                    .into_iter()
                    .map(|story| (story, unit)),
            );
        }
    }
    all
}

/// What a run of the proof found.
#[derive(Default)]
struct Found {
    cuts: AtomicU64,
    stories: Mutex<BTreeMap<usize, u64>>,
    broken: Mutex<Vec<(Case, String)>>,
}

impl Found {
    fn note(&self, case: Case, result: Result<u32, crate::world::Broken>) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        if let Err(broken) = result {
            self.broken
                .lock()
                .unwrap()
                .push((case, format!("{broken:?}")));
        }
    }
}

/// Runs a story to its end; a copy of the flash for every cut.
fn branches<const W: usize>(
    story: &Story,
    flash: &mut Flash<W, SECTOR>,
    seed: u64,
) -> (Result<u32, crate::world::Broken>, Vec<Branch<W, SECTOR>>) {
    flash.record();
    let result = story.run(flash, seed);
    (result, flash.branches())
}

/// All cuts of one story, by two threads.
fn prove<const W: usize>(number: usize, story: &Story, found: &Found) {
    let mut flash = story.delivered::<W>();
    flash.seed(number as u64);
    let whole = Case {
        story: number,
        first: 0,
        second: 0,
    };
    let (result, firsts) = branches(story, &mut flash, number as u64);
    if let Err(broken) = result {
        found
            .broken
            .lock()
            .unwrap()
            .push((whole, format!("without a cut: {broken:?}")));
        return;
    }
    let next = AtomicUsize::new(0);
    let cuts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(1, Ordering::Relaxed);
                    let Some(branch) = firsts.get(first) else {
                        break;
                    };
                    let case = Case {
                        first: first + 1,
                        ..whole
                    };
                    let (result, seconds) =
                        branches(story, &mut branch.flash.clone(), case.number());
                    found.note(case, result);
                    for (second, branch) in seconds.into_iter().enumerate() {
                        let case = Case {
                            second: second + 1,
                            ..case
                        };
                        let mut flash = branch.flash;
                        found.note(case, story.run(&mut flash, case.number()));
                        cuts.fetch_add(1, Ordering::Relaxed);
                    }
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    found
        .stories
        .lock()
        .unwrap()
        .insert(number, cuts.into_inner());
}

/// One case alone, with what happens told.
fn replay<const W: usize>(case: Case, story: &Story) {
    eprintln!("{:?}, writing {W} bytes: {}", story.format, story.name);
    let mut flash = story.delivered::<W>();
    flash.seed(case.story as u64);
    let (result, firsts) = branches(story, &mut flash, case.story as u64);
    eprintln!("without a cut: {result:?}, {} cuts", firsts.len());
    if case.first == 0 {
        return;
    }
    let branch = &firsts[case.first - 1];
    let told = |branch: &Branch<W, SECTOR>| {
        let what = if branch.erase { "erase" } else { "write" };
        eprintln!(
            "cut at operation {}, {what}, {:?}",
            branch.operation, branch.torn
        );
    };
    told(branch);
    let first = Case { second: 0, ..case };
    let (result, seconds) = branches(story, &mut branch.flash.clone(), first.number());
    eprintln!("recovery: {result:?}, {} cuts", seconds.len());
    if case.second == 0 {
        result.unwrap();
        return;
    }
    let branch = &seconds[case.second - 1];
    told(branch);
    let result = story.run(&mut branch.flash.clone(), case.number());
    eprintln!("recovery: {result:?}");
    result.unwrap();
}

#[test]
fn no_cut_and_no_second_cut_bricks_loses_or_downgrades() {
    let stories = stories();
    let asked = std::env::var("OUNCE_OTA_CASE").ok();
    if let Some(number) = asked.and_then(|text| text.parse().ok()) {
        let case = Case::of(number);
        match &stories[case.story] {
            (story, 4) => replay::<4>(case, story),
            (story, _) => replay::<32>(case, story),
        }
        return;
    }
    let found = Found::default();
    let begun = std::time::Instant::now();
    for (number, (story, unit)) in stories.iter().enumerate() {
        match unit {
            4 => prove::<4>(number, story, &found),
            _ => prove::<32>(number, story, &found),
        }
    }
    for (number, cuts) in found.stories.into_inner().unwrap() {
        let (story, unit) = &stories[number];
        println!(
            "{:?}, unit {unit}, {}: {cuts} cuts",
            story.format, story.name
        );
    }
    let cuts = found.cuts.into_inner();
    println!("{cuts} cuts in {:.1} s", begun.elapsed().as_secs_f64());
    let mut broken = found.broken.into_inner().unwrap();
    broken.sort();
    for (case, what) in broken.iter().take(20) {
        println!(
            "OUNCE_OTA_CASE={}: {}: {what}",
            case.number(),
            stories[case.story].0.name
        );
    }
    assert!(
        broken.is_empty(),
        "{} of {cuts} cuts break a promise",
        broken.len()
    );
    assert!(cuts >= CUTS, "only {cuts} cuts");
}

/// Storms of each story: many cuts one after the other, at operations that chance chooses.
const STORMS: u64 = 400;

#[test]
fn no_storm_of_cuts_bricks_loses_or_downgrades() {
    for (number, (story, _)) in stories().iter().enumerate() {
        for storm in 0..STORMS {
            let seed = number as u64 * STORMS + storm;
            let result = story.storm(&mut story.delivered::<4>(), seed, 3 + storm % 10);
            assert!(
                result.is_ok(),
                "{:?}, {}, seed {seed}: {result:?}",
                story.format,
                story.name
            );
        }
    }
}

#[test]
fn every_cut_with_true_signatures_is_survived() {
    // The secret of RFC 8032 §7.1, test 1.
    let seed: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let pair = salty::Keypair::from(&seed);
    let keys = [pair.public.to_bytes()];
    for format in [Format::Journal, Format::EspIdf] {
        let mut story = scenarios::all(format).swap_remove(0);
        for offer in &mut story.offers {
            let mut sign =
                |message: &[u8]| Ok::<_, std::convert::Infallible>(pair.sign(message).to_bytes());
            offer.bundle = story.programs[offer.program]
                .release()
                .whole(&mut sign)
                .unwrap();
        }
        let mut flash = story.delivered::<4>();
        flash.record();
        story.run_with(&mut flash, 1, Keyring::new(&keys)).unwrap();
        let branches = flash.branches();
        assert!(branches.len() > 100);
        for (index, mut branch) in branches.into_iter().enumerate() {
            let result = story.run_with(&mut branch.flash, index as u64, Keyring::new(&keys));
            assert!(result.is_ok(), "{format:?}, cut {index}: {result:?}");
        }
    }
}

#[test]
fn the_wear_that_is_counted_is_no_less_than_the_wear_that_was() {
    use ounce_ota::journal::Journal;
    for story in scenarios::all(Format::Journal) {
        let mut flash = story.delivered::<4>();
        story.run(&mut flash, 0).unwrap();
        let layout = crate::world::LAYOUT;
        let (_, state) = Journal::open(&mut flash, layout.journal).unwrap();
        let wear = state.unwrap().wear;
        let erased = |region: ounce_ota::Region| -> u32 {
            let sectors = region.offset as usize / SECTOR..region.end() as usize / SECTOR;
            flash.erases[sectors].iter().sum()
        };
        let counted = [wear.slots[0], wear.slots[1], wear.journal];
        let was = [
            erased(layout.slots[0]),
            erased(layout.slots[1]),
            erased(layout.journal),
        ];
        // What a download erased after its last note is counted when the next one begins, as a
        // checkpoint: here a sector, for each time that the link drops.
        let more: u32 = story
            .offers
            .iter()
            .map(|offer| offer.drops.len() as u32)
            .sum();
        for (counted, was) in counted.into_iter().zip(was) {
            assert!(
                (was..=was + more).contains(&counted),
                "{}: {counted} of {was}",
                story.name
            );
        }
    }
}
