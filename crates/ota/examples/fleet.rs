//! A fleet of devices that is updated over a bad link: `cargo xtask fleet [DEVICES]`.
//!
//! Every device is the real code on a simulated flash, with its own versions, losses and power cuts. Two
//! releases are published in stages of 1, 10, 50 and 100 %: the first does not work, and must be stopped
//! in its first stage; the second is to reach everyone. Time is reckoned, not waited for.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a simulation stops at what cannot be")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::AddAssign;
use std::process::ExitCode;

use ounce_ota::boot::{Choice, JournalBoot, choose};
use ounce_ota::device::Identity;
use ounce_ota::pack::{Bundle, Release, digest, flash};
use ounce_ota::signature::Verify;
use ounce_ota::simulate::{Fault, Flash, Random, Torn};
use ounce_ota::{
    Device, Digest, Error, Layout, Refusal, Region, Standing, Version, Workspace, rollout,
};

const DEVICES: u64 = 100_000;

/// Of 1,000 pieces of an update: so many are lost on the way, and asked for again.
const LOST: u64 = 30;
/// Of 1,000 pieces: so many at which the connection breaks, and the device tries another day.
const BROKEN: u64 = 2;
/// Of 1,000 pieces: so many at which the power goes.
const CUT: u64 = 4;
/// Bytes of a piece, bytes a second of the link, and what a piece waits for the answer or its loss.
const PIECE: usize = 256;
const RATE: f64 = 20_000.0;
const ANSWER_S: f64 = 0.05;
const LOSS_S: f64 = 1.0;
/// Failed trials of a hundred devices of a stage at which a release is stopped.
const STOP_PERCENT: u64 = 2;
/// Days that a stage takes: a device that fails to load it tries again the next.
const DAYS: u32 = 6;

const SECTOR: usize = 1024;
const LAYOUT: Layout = Layout {
    journal: Region::new(0, 2 * SECTOR as u32),
    slots: [
        Region::new(2 * SECTOR as u32, 8 * SECTOR as u32),
        Region::new(10 * SECTOR as u32, 8 * SECTOR as u32),
    ],
    checkpoint: SECTOR as u32,
    attempts: 3,
};

type Chip = Flash<4, SECTOR>;

struct Program {
    image: Vec<u8>,
    version: Version,
    works: bool,
}

impl Program {
    fn release(&self) -> Release<'_> {
        Release {
            product: "lamp",
            hardware: (1, 1),
            version: self.version,
            counter: self.version.patch,
            expires: None,
            revokes: 0,
            key: 0,
            image: &self.image,
        }
    }
}

/// Quicker than Ed25519, and as hard to forge for who does not know the secret.
struct Quick;

fn sign(message: &[u8]) -> Result<[u8; 64], Infallible> {
    let half = digest(&[b"a secret", message].concat());
    Ok(std::array::from_fn(|at| half[at % 32]))
}

impl Verify for Quick {
    fn knows(&self, key: u8) -> bool {
        key == 0
    }

    fn verify(&self, _: u8, message: &[u8], signature: &[u8; 64]) -> bool {
        sign(message) == Ok(*signature)
    }
}

/// What a release's channel serves.
struct Channel {
    digest: Digest,
    share: u16,
    whole: Bundle,
    /// By what the device runs.
    deltas: BTreeMap<Digest, Bundle>,
}

/// What came of it.
#[derive(Default)]
struct Sum {
    bytes: u64,
    cuts: u64,
    breaks: u64,
    seconds: f64,
    longest: f64,
    updated: u64,
    rolled_back: u64,
    bricked: u64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.cuts += more.cuts;
        self.breaks += more.breaks;
        self.seconds += more.seconds;
        self.longest = self.longest.max(more.longest);
        self.updated += more.updated;
        self.rolled_back += more.rolled_back;
        self.bricked += more.bricked;
    }
}

/// One of the fleet.
struct One {
    id: u64,
    chip: Chip,
    random: Random,
    /// The reports that it has sent.
    reports: Vec<Refusal>,
}

/// How a start ends.
enum End {
    Reset,
    Idle,
    Bricked,
}

impl One {
    fn new(id: u64, programs: &[Program]) -> Self {
        let mut random = Random::new(id);
        // Most run the newest, some an older one, a few one that no delta is made for.
        let program = &programs[match random.below(100) {
            0..5 => 0,
            5..30 => 1,
            _ => 2,
        }];
        let mut chip = Chip::new(18);
        chip.put(LAYOUT.slots[0].offset, &program.image);
        chip.put(
            LAYOUT.journal.offset,
            &flash::journal(program.release().known(), SECTOR),
        );
        Self {
            id,
            chip,
            random,
            reports: Vec::new(),
        }
    }

    /// The device for a day: until it has nothing to do, or gives up.
    fn day(&mut self, programs: &[Program], channel: &Channel, sum: &mut Sum) {
        let mut seconds = 0.0;
        for _ in 0..40 {
            if self.chip.is_dead() {
                sum.cuts += 1;
                self.chip.power_up(self.random.draw());
            }
            match self.start(programs, channel, sum, &mut seconds) {
                Ok(End::Reset) | Err(Error::Flash(Fault::Cut)) => {}
                Ok(End::Idle) => break,
                Ok(End::Bricked) => {
                    sum.bricked += 1;
                    break;
                }
                Err(error) => panic!("device {}: {error}", self.id),
            }
        }
        sum.seconds += seconds;
        sum.longest = sum.longest.max(seconds);
    }

    fn start(
        &mut self,
        programs: &[Program],
        channel: &Channel,
        sum: &mut Sum,
        seconds: &mut f64,
    ) -> Result<End, Error<Fault>> {
        let Choice::Start { slot, .. } = choose(&mut self.chip, &LAYOUT)? else {
            return Ok(End::Bricked);
        };
        let from = LAYOUT.slot(slot).offset as usize;
        let is_it = |program: &&Program| self.chip.bytes()[from..].starts_with(&program.image);
        let Some(program) = programs.iter().find(is_it) else {
            return Ok(End::Bricked);
        };
        let identity = Identity {
            product: "lamp",
            hardware: 1,
            version: program.version,
            counter: program.version.patch,
        };
        let (mut device, standing) =
            Device::start(&mut self.chip, LAYOUT, JournalBoot, Quick, identity, slot)?;
        match standing {
            Standing::Reset => return Ok(End::Reset),
            Standing::OnTrial { .. } if !program.works => return Ok(End::Reset),
            Standing::OnTrial { .. } => {
                device.confirm()?;
                sum.updated += 1;
            }
            Standing::Confirmed {
                report: Some(report),
            } => {
                if report == Refusal::NotConfirmed {
                    sum.rolled_back += 1;
                }
                self.reports.push(report);
                device.acknowledge()?;
            }
            Standing::Confirmed { report: None } => {}
        }
        let state = *device.state();
        let own = state.image(state.active).digest;
        if own == channel.digest
            || !rollout::takes_part(&self.id.to_le_bytes(), &channel.digest, channel.share)
        {
            return Ok(End::Idle);
        }
        let bundle = channel.deltas.get(&own).unwrap_or(&channel.whole);
        sum.bytes += bundle.head().len() as u64;
        let mut workspace = Workspace::new();
        let mut download = match device.offer(bundle.head(), None, &mut workspace) {
            Ok(download) => download,
            Err(Error::Refused(_)) => return Ok(End::Idle),
            Err(error) => return Err(error),
        };
        while download.wants() < download.length() {
            let at = download.wants() as usize;
            let piece = &bundle.payload()[at..bundle.payload().len().min(at + PIECE)];
            sum.bytes += piece.len() as u64;
            *seconds += ANSWER_S + piece.len() as f64 / RATE;
            match self.random.below(1_000) {
                luck if luck < LOST => {
                    *seconds += LOSS_S;
                    continue;
                }
                luck if luck < LOST + BROKEN => {
                    sum.breaks += 1;
                    return Ok(End::Idle);
                }
                luck if luck < LOST + BROKEN + CUT => {
                    let torn = Torn::ALL[self.random.below(5) as usize];
                    let operation = self.random.below(6);
                    download.flash().cut_at(operation, torn);
                }
                _ => {}
            }
            download.push(piece)?;
        }
        download.finish()?;
        Ok(End::Reset)
    }
}

/// Publishes a release in stages; whether it reached the last.
fn publish(fleet: &mut [One], programs: &[Program], release: usize, total: &mut Sum) -> bool {
    let program = &programs[release];
    let whole = program.release().whole(&mut sign).unwrap();
    let mut deltas = BTreeMap::new();
    for old in &programs[1..release] {
        let made = program.release().delta(&old.image, &mut sign).unwrap();
        deltas.insert(digest(&old.image), made);
    }
    let sizes: Vec<usize> = deltas.values().map(|delta| delta.bytes.len()).collect();
    println!(
        "{}: whole {} bytes, deltas {sizes:?}",
        program.version,
        whole.bytes.len()
    );
    let mut channel = Channel {
        digest: digest(&program.image),
        share: 0,
        whole,
        deltas,
    };
    for percent in [1u16, 10, 50, 100] {
        channel.share = percent * (rollout::WHOLE / 100);
        let mut sum = Sum::default();
        for day in 1..=DAYS {
            let half = fleet.len().div_ceil(2);
            let sums = std::thread::scope(|scope| {
                let threads: Vec<_> = fleet
                    .chunks_mut(half)
                    .map(|part| {
                        let channel = &channel;
                        scope.spawn(move || {
                            let mut sum = Sum::default();
                            for one in part {
                                one.day(programs, channel, &mut sum);
                            }
                            sum
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect::<Vec<_>>()
            });
            let before = sum.updated + sum.rolled_back;
            for part in sums {
                sum += part;
            }
            if day > 1 && sum.updated + sum.rolled_back == before {
                break;
            }
        }
        let tried = sum.updated + sum.rolled_back;
        println!(
            "  {percent:>3} %: {} confirmed, {} rolled back, {} bytes, {} power cuts, {} broken \
             connections, {:.1} s each, {:.0} s the longest, {} bricked",
            sum.updated,
            sum.rolled_back,
            sum.bytes,
            sum.cuts,
            sum.breaks,
            sum.seconds / tried.max(1) as f64,
            sum.longest,
            sum.bricked,
        );
        let stopped = sum.rolled_back * 100 > tried * STOP_PERCENT;
        *total += sum;
        if stopped {
            println!("  stopped: {STOP_PERCENT} % and more do not work");
            return false;
        }
    }
    true
}

fn main() -> ExitCode {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let devices = asked.unwrap_or(DEVICES);
    let mut random = Random::new(1);
    let mut image: Vec<u8> = (0..7_000).map(|_| random.draw() as u8).collect();
    let mut programs = Vec::new();
    for patch in 3..8 {
        // A release: some bytes changed, some put in.
        for _ in 0..12 {
            let at = random.below(image.len() as u64) as usize;
            image[at] = image[at].wrapping_add(1);
        }
        let at = random.below(image.len() as u64) as usize;
        image.splice(at..at, (0..100).map(|_| random.draw() as u8));
        programs.push(Program {
            image: image.clone(),
            version: Version {
                major: 1,
                minor: 0,
                patch,
            },
            works: patch != 6,
        });
    }
    let mut fleet: Vec<One> = (0..devices).map(|id| One::new(id, &programs)).collect();
    let mut total = Sum::default();
    let bad = publish(&mut fleet, &programs, 3, &mut total);
    let good = publish(&mut fleet, &programs, 4, &mut total);
    // Who runs what, by the bytes that would be started now.
    let mut runs: BTreeMap<Version, u64> = BTreeMap::new();
    let mut dead = 0;
    for one in &mut fleet {
        one.chip.power_up(one.id);
        let Ok(Choice::Start { slot, .. }) = choose(&mut one.chip, &LAYOUT) else {
            dead += 1;
            continue;
        };
        let bytes = &one.chip.bytes()[LAYOUT.slot(slot).offset as usize..];
        match programs
            .iter()
            .find(|program| bytes.starts_with(&program.image))
        {
            Some(program) => *runs.entry(program.version).or_default() += 1,
            None => dead += 1,
        }
    }
    let last = programs[4].version;
    for (version, count) in &runs {
        println!("{count} of {devices} run {version}");
    }
    let whole = total.updated * programs[4].image.len() as u64;
    println!(
        "{} bytes sent, {:.1} % of {whole} for whole images without a loss; {} power cuts; {} bricked",
        total.bytes,
        total.bytes as f64 * 100.0 / whole.max(1) as f64,
        total.cuts,
        total.bricked + dead,
    );
    let reached = runs.get(&last).copied().unwrap_or(0);
    // A device whose connection breaks on six days in a row, or whose power goes at each of three
    // trials, is told of, not lost.
    let good = good && !bad && dead + total.bricked == 0 && reached * 1_000 >= devices * 999;
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
