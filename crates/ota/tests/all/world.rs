//! A device and what is around it: programs, a server, a link, and the promises that must be kept at
//! every start.

use ounce_ota::Workspace;
use ounce_ota::boot::{Choice, JournalBoot, choose};
use ounce_ota::bundle::SIGNATURE;
use ounce_ota::device::Identity;
use ounce_ota::esp::Otadata;
use ounce_ota::keys::{KeySet, Roots};
use ounce_ota::pack::{Bundle, KeyRelease, Release, digest, esp_image};
use ounce_ota::signature::Verify;
use ounce_ota::simulate::{Fault, Flash, Random, Torn};
use ounce_ota::{
    Device, Error, Image, Layout, Refusal, Region, Slot, Standing, Version, boot::Boot,
};

use crate::esp_idf::{self, CHIP};

/// Bytes of an erasable sector: small, so that there are many and little is copied.
pub(crate) const SECTOR: usize = 1024;
const SLOT_SECTORS: usize = 4;
const OTADATA: Region = Region::new(0, 2 * SECTOR as u32);
const SECTORS: usize = 4 + 2 * SLOT_SECTORS;

/// Starts after which a device that has not settled is taken for dead.
const STARTS: u32 = 60;

pub(crate) const LAYOUT: Layout = Layout {
    journal: Region::new(2 * SECTOR as u32, 2 * SECTOR as u32),
    slots: [
        Region::new(4 * SECTOR as u32, (SLOT_SECTORS * SECTOR) as u32),
        Region::new(
            (4 + SLOT_SECTORS) as u32 * SECTOR as u32,
            (SLOT_SECTORS * SECTOR) as u32,
        ),
    ],
    checkpoint: SECTOR as u32,
    attempts: 3,
};

pub(crate) const PRODUCT: &str = "lamp";
pub(crate) const HARDWARE: u32 = 3;

/// Who boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Our own loader, by the journal.
    Journal,
    /// ESP-IDF's.
    EspIdf,
}

/// How a program behaves when it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It confirms itself and looks for updates.
    Works,
    /// It resets before it does anything.
    Crashes,
    /// It resets after it has looked at its state.
    CrashesLate,
    /// It finds that it does not work, and says so.
    Withdraws,
}

#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) image: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) counter: u32,
    pub(crate) behaviour: Behaviour,
}

impl Program {
    /// A program whose bytes are its own, valid for ESP-IDF as well.
    pub(crate) fn new(number: u32, counter: u32, behaviour: Behaviour) -> Self {
        let mut random = Random::new(u64::from(number));
        let length = 1900 + random.below(1200) as usize;
        let bytes = (0..length).map(|_| random.draw() as u8).collect();
        let segment = esp_image::Segment {
            address: 0x3FC8_0000,
            bytes,
        };
        let image = esp_image::encode(CHIP, 0x4038_0000, &[segment]).unwrap();
        let version = Version {
            major: 1,
            minor: 0,
            patch: number,
        };
        Self {
            image,
            version,
            counter,
            behaviour,
        }
    }

    /// A later version of another: some bytes changed, some put in.
    pub(crate) fn after(old: &Self, number: u32, behaviour: Behaviour) -> Self {
        let mut random = Random::new(u64::from(number));
        let head = 24 + 8;
        let mut bytes = old.image[head..old.image.len() - 48].to_vec();
        for _ in 0..6 {
            let at = random.below(bytes.len() as u64 - 8) as usize;
            bytes[at] = bytes[at].wrapping_add(1);
        }
        let at = random.below(bytes.len() as u64) as usize;
        let more: Vec<u8> = (0..60).map(|_| random.draw() as u8).collect();
        bytes.splice(at..at, more);
        let address = 0x3FC8_0000;
        let segment = esp_image::Segment { address, bytes };
        let image = esp_image::encode(CHIP, 0x4038_0000, &[segment]).unwrap();
        let version = Version {
            patch: number,
            ..old.version
        };
        Self {
            image,
            version,
            counter: number,
            behaviour,
        }
    }

    pub(crate) fn release(&self) -> Release<'_> {
        Release {
            product: PRODUCT,
            hardware: (1, 5),
            version: self.version,
            counter: self.counter,
            expires: None,
            revokes: 0,
            key: 0,
            image: &self.image,
        }
    }

    pub(crate) fn known(&self) -> Image {
        self.release().known()
    }
}

/// What the server has.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) bundle: Bundle,
    /// Which program it holds.
    pub(crate) program: usize,
    /// The first so many times the link drops after so many bytes.
    pub(crate) drops: Vec<u32>,
    /// The first time the payload arrives damaged.
    pub(crate) damaged: bool,
    /// The record of keys that it comes with.
    pub(crate) keys: Option<Vec<u8>>,
}

/// A scenario.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    /// The first is what the device is delivered with, in slot A.
    pub(crate) programs: Vec<Program>,
    pub(crate) offers: Vec<Offer>,
    /// Neither journal nor record of the boot loader on the new device.
    pub(crate) blank: bool,
    /// What runs when all is over.
    pub(crate) ends_with: usize,
    /// What the device must have told at some time.
    pub(crate) tells: Option<Refusal>,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing can be started, or what was started is no program whole.
    Brick(&'static str),
    /// It neither settles nor dies.
    Restless,
    /// An older program than one that was confirmed was started.
    Older,
    /// A good update is gone, and nobody was told.
    Lost(&'static str),
    /// The device settled with another program.
    Ended(usize),
    /// The device did not say why.
    Untold,
    /// An operation fails that should not.
    Fails(String),
    /// A refused update has changed the flash.
    Touched,
}

/// Honest, and a hundred times quicker than Ed25519: who does not know the secret cannot sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quick;

/// Of two keys for updates, and of three root keys.
const SECRETS: [&[u8]; 5] = [
    b"the secret of the first key",
    b"the secret of the second",
    b"the secret of the first root",
    b"the secret of the second root",
    b"the secret of the third root",
];

/// How many of them are keys for updates.
const FOR_UPDATES: u8 = 2;

/// The root keys, two of which sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuickRoots;

impl Verify for QuickRoots {
    fn knows(&self, key: u8) -> bool {
        usize::from(key + FOR_UPDATES) < SECRETS.len()
    }

    fn verify(&self, key: u8, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        Quick::sign(usize::from(key + FOR_UPDATES), message) == *signature
    }
}

/// What root keys sign by.
pub(crate) fn root(
    number: u8,
) -> (
    u8,
    impl FnMut(&[u8]) -> Result<[u8; SIGNATURE], std::convert::Infallible>,
) {
    (number, sign(usize::from(number + FOR_UPDATES)))
}

/// A record of these keys, signed by roots 0 and 2.
pub(crate) fn record(version: u16, numbers: &[u8]) -> Vec<u8> {
    // The key of a number says no more than the number.
    let keys: Vec<(u8, [u8; 32])> = numbers.iter().map(|n| (*n, [*n; 32])).collect();
    let release = KeyRelease {
        product: PRODUCT,
        version,
        issued: 100 + version,
        expires: None,
        keys: &keys,
    };
    release.sign(&mut [root(0), root(2)]).unwrap()
}

impl Quick {
    pub(crate) fn sign(key: usize, message: &[u8]) -> [u8; SIGNATURE] {
        let mut out = [0; SIGNATURE];
        let (first, second) = out.split_at_mut(32);
        first.copy_from_slice(&digest(&[SECRETS[key], message].concat()));
        second.copy_from_slice(&digest(&[message, SECRETS[key]].concat()));
        out
    }
}

impl Verify for Quick {
    fn knows(&self, key: u8) -> bool {
        key < FOR_UPDATES
    }

    fn verify(&self, key: u8, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        Self::sign(key.into(), message) == *signature
    }

    fn verify_by(&self, key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        self.verify(key[0], message, signature)
    }
}

pub(crate) fn sign(
    key: usize,
) -> impl FnMut(&[u8]) -> Result<[u8; SIGNATURE], std::convert::Infallible> {
    move |message| Ok(Quick::sign(key, message))
}

/// What the world outside remembers, in the flash's note: it goes with the copies.
#[derive(Clone, Copy, Default)]
struct Note {
    /// The program whose confirmation was told to be done.
    confirmed: u8,
    /// The program that was told to be armed, plus one.
    armed: u8,
    /// How often the link has dropped, or the payload was damaged.
    drops: u8,
    /// The version of the record of keys that was told to be taken.
    keys: u8,
    /// The codes that were told.
    told: u32,
}

impl Note {
    fn of(bits: u64) -> Self {
        let [confirmed, armed, drops, keys, told @ ..] = bits.to_le_bytes();
        Self {
            confirmed,
            armed,
            drops,
            keys,
            told: u32::from_le_bytes(told),
        }
    }

    fn bits(self) -> u64 {
        let [a, b, c, d] = self.told.to_le_bytes();
        u64::from_le_bytes([
            self.confirmed,
            self.armed,
            self.drops,
            self.keys,
            a,
            b,
            c,
            d,
        ])
    }
}

fn note<const W: usize>(flash: &mut Flash<W, SECTOR>, change: impl FnOnce(&mut Note)) -> Note {
    let mut note = Note::of(flash.note);
    change(&mut note);
    flash.note = note.bits();
    note
}

/// How a start of a program ends.
enum End {
    Reset,
    Settled,
}

/// What stops a start: a cut, or a promise that is broken.
enum Stop {
    Cut,
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Cut => Self::Cut,
            other => Self::Broken(Broken::Fails(format!("{other:?}"))),
        }
    }
}

impl From<Error<Fault>> for Stop {
    fn from(error: Error<Fault>) -> Self {
        match error {
            Error::Flash(fault) => fault.into(),
            other => Self::Broken(Broken::Fails(other.to_string())),
        }
    }
}

impl Story {
    /// A new device's flash.
    pub(crate) fn delivered<const W: usize>(&self) -> Flash<W, SECTOR> {
        let mut flash = Flash::new(SECTORS);
        let first = &self.programs[0];
        flash.put(LAYOUT.slots[0].offset, &first.image);
        if !self.blank {
            let journal = ounce_ota::pack::flash::journal(first.known(), SECTOR);
            flash.put(LAYOUT.journal.offset, &journal);
            if self.format == Format::EspIdf {
                use ounce_ota::esp::otadata::{Entry, state};
                let entry = Entry {
                    sequence: 1,
                    state: state::VALID,
                };
                flash.put(OTADATA.offset, &entry.encode());
            }
        }
        flash
    }

    /// Runs the device until it settles.
    pub(crate) fn run<const W: usize>(
        &self,
        flash: &mut Flash<W, SECTOR>,
        seed: u64,
    ) -> Result<u32, Broken> {
        self.run_with(flash, seed, Quick)
    }

    pub(crate) fn run_with<const W: usize, V: Verify + Copy>(
        &self,
        flash: &mut Flash<W, SECTOR>,
        seed: u64,
        verify: V,
    ) -> Result<u32, Broken> {
        let mut random = Random::new(seed);
        for start in 0..STARTS {
            if flash.is_dead() {
                flash.power_up(random.draw());
            }
            match self.start(flash, verify) {
                Err(Stop::Cut) | Ok(End::Reset) => {}
                Err(Stop::Broken(broken)) => return Err(broken),
                Ok(End::Settled) => return Ok(start + 1),
            }
        }
        Err(Broken::Restless)
    }

    /// Runs the device while the power is cut again and again, at operations that chance chooses, until
    /// `cuts` cuts were made and it settles.
    pub(crate) fn storm<const W: usize>(
        &self,
        flash: &mut Flash<W, SECTOR>,
        seed: u64,
        cuts: u64,
    ) -> Result<u32, Broken> {
        let mut random = Random::new(seed);
        flash.seed(random.draw());
        for start in 0..STARTS + cuts as u32 {
            if flash.is_dead() {
                flash.power_up(random.draw());
            }
            if u64::from(start) < cuts {
                flash.cut_at(random.below(24), Torn::ALL[random.below(5) as usize]);
            }
            match self.start(flash, Quick) {
                Err(Stop::Cut) | Ok(End::Reset) => {}
                // Power that fails at every start of a trial uses up its attempts: that must be told, and
                // is told instead of what the program had found itself.
                Err(Stop::Broken(Broken::Ended(_) | Broken::Untold))
                    if Note::of(flash.note).told >> Refusal::NotConfirmed.code() & 1 == 1 =>
                {
                    return Ok(start + 1);
                }
                Err(Stop::Broken(broken)) => return Err(broken),
                Ok(End::Settled) if u64::from(start) >= cuts => return Ok(start + 1),
                Ok(End::Settled) => {}
            }
        }
        Err(Broken::Restless)
    }

    fn start<const W: usize, V: Verify>(
        &self,
        flash: &mut Flash<W, SECTOR>,
        verify: V,
    ) -> Result<End, Stop> {
        let slot = match self.format {
            Format::Journal => match choose(flash, &LAYOUT)? {
                Choice::Start { slot, .. } => Some(slot),
                Choice::Nothing => None,
            },
            Format::EspIdf => esp_idf::choose(flash, &LAYOUT, OTADATA)?,
        };
        let slot = slot.ok_or(Broken::Brick("nothing can be started"))?;
        let from = LAYOUT.slot(slot).offset as usize;
        let is_it = |program: &Program| flash.bytes()[from..].starts_with(&program.image);
        let program = self.programs.iter().position(is_it);
        let program = program.ok_or(Broken::Brick("what was started is no program"))?;
        let confirmed = &self.programs[usize::from(Note::of(flash.note).confirmed)];
        let own = &self.programs[program];
        if own.version < confirmed.version || own.counter < confirmed.counter {
            return Err(Broken::Older.into());
        }
        match self.format {
            Format::Journal => self.program(flash, program, slot, JournalBoot, verify),
            Format::EspIdf => {
                self.program(flash, program, slot, Otadata::new(OTADATA, CHIP), verify)
            }
        }
    }

    fn program<const W: usize, B: Boot, V: Verify>(
        &self,
        flash: &mut Flash<W, SECTOR>,
        number: usize,
        slot: Slot,
        boot: B,
        verify: V,
    ) -> Result<End, Stop> {
        let own = &self.programs[number];
        if own.behaviour == Behaviour::Crashes {
            return Ok(End::Reset);
        }
        let identity = Identity {
            product: PRODUCT,
            hardware: HARDWARE,
            version: own.version,
            counter: own.counter,
        };
        let (mut device, standing) = Device::start(flash, LAYOUT, boot, verify, identity, slot)?;
        let armed = usize::from(Note::of(device.flash().note).armed);
        let is_armed = armed == number + 1;
        match standing {
            Standing::Reset => {
                if self.format == Format::Journal {
                    return Err(Broken::Lost("our own loader started another slot").into());
                }
                return Ok(End::Reset);
            }
            Standing::OnTrial { .. } => match own.behaviour {
                Behaviour::Works => {
                    device.confirm()?;
                    note(device.flash(), |note| {
                        note.confirmed = number as u8;
                        note.armed = 0;
                    });
                }
                Behaviour::Withdraws => {
                    device.withdraw()?;
                    return Ok(End::Reset);
                }
                Behaviour::Crashes | Behaviour::CrashesLate => return Ok(End::Reset),
            },
            Standing::Confirmed { report } => {
                if armed > 0 && !is_armed && report.is_none() {
                    return Err(Broken::Lost("nobody was told").into());
                }
                note(device.flash(), |note| {
                    note.armed = 0;
                    note.confirmed = number as u8;
                    note.told |= report.map_or(0, |report| 1 << report.code());
                });
                if own.behaviour != Behaviour::Works {
                    return Err(Broken::Fails("a broken program was confirmed".into()).into());
                }
            }
        }
        self.look_for_updates(&mut device, number)
    }

    /// Takes a record of keys: what the world was told of it never goes back.
    fn trust<'k, const W: usize, B: Boot, V: Verify>(
        &self,
        device: &mut Device<'_, &mut Flash<W, SECTOR>, B, V>,
        record: &'k [u8],
    ) -> Result<Option<KeySet<'k>>, Stop> {
        let before = device.flash().operations();
        let keys = match device.trust(record, &Roots::new(QuickRoots, 2), Some(1_000)) {
            Ok(keys) => keys,
            Err(Error::Refused(refusal)) => {
                if before != device.flash().operations() {
                    return Err(Broken::Touched.into());
                }
                note(device.flash(), |note| note.told |= 1 << refusal.code());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let known = Note::of(device.flash().note).keys;
        if keys.version < u16::from(known) {
            return Err(Broken::Older.into());
        }
        note(device.flash(), |note| note.keys = keys.version as u8);
        Ok(Some(keys))
    }

    fn look_for_updates<const W: usize, B: Boot, V: Verify>(
        &self,
        device: &mut Device<'_, &mut Flash<W, SECTOR>, B, V>,
        number: usize,
    ) -> Result<End, Stop> {
        let mut workspace = Workspace::default();
        for offer in &self.offers {
            let head = offer.bundle.head();
            let trusted = match &offer.keys {
                Some(record) => match self.trust(device, record)? {
                    Some(keys) => Some(keys),
                    None => continue,
                },
                None => None,
            };
            let before = (device.flash().operations(), device.flash().is_dead());
            let considered = match &trusted {
                Some(keys) => device.consider_with(keys, head, Some(1_000)),
                None => device.consider(head, Some(1_000)),
            };
            let taken = considered
                .map_err(Error::Refused)
                .and_then(|update| device.download(&update, &mut workspace));
            let mut download = match taken {
                Ok(download) => download,
                Err(Error::Refused(refusal)) => {
                    if before.0 != device.flash().operations() {
                        return Err(Broken::Touched.into());
                    }
                    // What runs already is no news.
                    if refusal != Refusal::Running {
                        note(device.flash(), |note| note.told |= 1 << refusal.code());
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let payload = offer.bundle.payload();
            let drops = usize::from(Note::of(download.flash().note).drops);
            let until = offer
                .drops
                .get(drops)
                .map_or(payload.len(), |drop| *drop as usize);
            let piece = if offer.bundle.is_delta { 37 } else { 333 };
            let is_damaged = offer.damaged && drops == 0;
            let (mut came, mut result) = (0, Ok(()));
            while (download.wants() as usize) < payload.len() {
                let from = download.wants() as usize;
                let to = (from + piece).min(payload.len());
                if came >= until {
                    note(download.flash(), |note| note.drops += 1);
                    return Ok(End::Reset);
                }
                let mut piece = payload[from..to].to_vec();
                piece[0] ^= u8::from(is_damaged);
                result = download.push(&piece);
                if result.is_err() {
                    break;
                }
                came += to - from;
            }
            match result.and_then(|()| download.finish()) {
                Ok(()) => {}
                Err(Error::Refused(refusal)) if is_damaged => {
                    note(download.flash(), |note| {
                        note.drops += 1;
                        note.told |= 1 << refusal.code();
                    });
                    return Ok(End::Reset);
                }
                Err(error) => return Err(error.into()),
            }
            note(download.flash(), |note| {
                note.armed = offer.program as u8 + 1;
            });
            return Ok(End::Reset);
        }
        if number != self.ends_with {
            return Err(Broken::Ended(number).into());
        }
        let told = Note::of(device.flash().note).told;
        if self
            .tells
            .is_some_and(|refusal| told >> refusal.code() & 1 == 0)
        {
            return Err(Broken::Untold.into());
        }
        Ok(End::Settled)
    }
}
