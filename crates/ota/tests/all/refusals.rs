//! Hostile and mistaken updates: each refused with its code, before anything is written.

use ounce_ota::Workspace;
use ounce_ota::boot::JournalBoot;
use ounce_ota::bundle::HEAD_LIMIT;
use ounce_ota::device::Identity;
use ounce_ota::keys::Roots;
use ounce_ota::pack::{KeyRelease, Release};
use ounce_ota::simulate::{Flash, Random};
use ounce_ota::{Device, Error, Refusal, Slot, State};

use crate::world::{
    Behaviour, Format, HARDWARE, LAYOUT, PRODUCT, Program, Quick, QuickRoots, SECTOR, Story,
    record, root, sign,
};

type Simulated = Flash<4, SECTOR>;

fn running() -> Program {
    Program::new(5, 5, Behaviour::Works)
}

/// A device that runs program 5, with a changed journal.
fn device(change: impl FnOnce(&mut State)) -> Simulated {
    let program = running();
    let story = Story {
        name: "",
        format: Format::Journal,
        programs: vec![program.clone()],
        offers: Vec::new(),
        blank: true,
        ends_with: 0,
        tells: None,
    };
    let mut flash = story.delivered();
    let mut state = State::new(Slot::A, program.known());
    change(&mut state);
    let (mut journal, _) = ounce_ota::journal::Journal::open(&mut flash, LAYOUT.journal).unwrap();
    journal.append(&mut flash, &mut state).unwrap();
    flash
}

/// The refusal of an offer, which must leave the flash as it was.
fn refusal(flash: &mut Simulated, head: &[u8]) -> Option<Refusal> {
    let program = running();
    let identity = Identity {
        product: PRODUCT,
        hardware: HARDWARE,
        version: program.version,
        counter: program.counter,
    };
    let before = flash.bytes().to_vec();
    let mut workspace = Workspace::default();
    let (mut device, _) =
        Device::start(&mut *flash, LAYOUT, JournalBoot, Quick, identity, Slot::A).unwrap();
    let result = device.offer(head, Some(1_000), &mut workspace).map(|_| ());
    match result {
        Ok(()) => None,
        Err(Error::Refused(refusal)) => {
            assert_eq!(flash.bytes(), before, "{refusal:?} has changed the flash");
            Some(refusal)
        }
        Err(error) => panic!("{error}"),
    }
}

type Change<'a> = &'a dyn Fn(&mut Release<'_>);

fn refused(change: impl FnOnce(&mut State), release: Change<'_>) -> Option<Refusal> {
    let next = Program::new(6, 6, Behaviour::Works);
    let mut newer = next.release();
    release(&mut newer);
    let bundle = newer
        .whole(&mut sign(usize::from(newer.key.min(1))))
        .unwrap();
    refusal(&mut device(change), bundle.head())
}

#[test]
fn a_good_update_is_taken() {
    assert_eq!(refused(|_| {}, &|_| {}), None);
    assert_eq!(refused(|_| {}, &|release| release.key = 1), None);
    assert_eq!(
        refused(|_| {}, &|release| release.expires = Some(1_000)),
        None
    );
    assert_eq!(refused(|_| {}, &|release| release.hardware = (3, 3)), None);
}

#[test]
fn each_mistake_is_refused_with_its_own_code() {
    use Refusal::*;
    let five = running();
    let big = vec![7; LAYOUT.slots[1].length as usize + 1];
    let cases: [(Refusal, Change<'_>); 8] = [
        (Product, &|release| release.product = "lamps"),
        (Hardware, &|release| release.hardware = (4, 9)),
        (Hardware, &|release| release.hardware = (0, 2)),
        (Expired, &|release| release.expires = Some(999)),
        (RolledBack, &|release| release.counter = 4),
        (KeyUnknown, &|release| release.key = 2),
        (Older, &|release| release.version.patch = 4),
        (Older, &|release| release.version.major = 0),
    ];
    for (refusal, change) in cases {
        assert_eq!(refused(|_| {}, change), Some(refusal));
    }
    let next = Program::new(6, 6, Behaviour::Works);
    let too_big = Release {
        image: &big,
        ..next.release()
    }
    .whole(&mut sign(0))
    .unwrap();
    assert_eq!(refusal(&mut device(|_| {}), too_big.head()), Some(TooBig));
    let same = five.release().whole(&mut sign(0)).unwrap();
    assert_eq!(refusal(&mut device(|_| {}), same.head()), Some(Running));
}

#[test]
fn what_the_journal_knows_is_refused() {
    let next = Program::new(6, 6, Behaviour::Works);
    let digest = next.known().digest;
    let failed = refused(|state| state.failed.copy_from_slice(&digest[..16]), &|_| {});
    assert_eq!(failed, Some(Refusal::FailedBefore));
    assert_eq!(
        refused(|state| state.revoked = 1, &|_| {}),
        Some(Refusal::KeyRevoked)
    );
    assert_eq!(
        refused(|state| state.revoked = 1, &|release| release.key = 1),
        None
    );
    assert_eq!(
        refused(|state| state.floor = 7, &|_| {}),
        Some(Refusal::RolledBack)
    );
}

#[test]
fn no_cut_and_no_changed_bit_of_a_head_is_taken() {
    let next = Program::new(6, 6, Behaviour::Works);
    let bundle = next.release().whole(&mut sign(0)).unwrap();
    let head = bundle.head();
    let mut flash = device(|_| {});
    for end in 0..head.len() {
        assert_eq!(
            refusal(&mut flash, &head[..end]),
            Some(Refusal::Truncated),
            "{end} bytes"
        );
    }
    for bit in 0..head.len() * 8 {
        let mut changed = head.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(refusal(&mut flash, &changed).is_some(), "bit {bit}");
    }
}

#[test]
fn no_noise_is_taken_for_an_update() {
    let next = Program::new(6, 6, Behaviour::Works);
    let bundle = next.release().whole(&mut sign(0)).unwrap();
    let mut flash = device(|_| {});
    let mut random = Random::new(8);
    for _ in 0..2_000 {
        let mut noise = bundle.head().to_vec();
        noise.resize(HEAD_LIMIT, 0);
        // Behind the magic, so that more than the first check sees it.
        let from = random.below(60) as usize;
        for byte in &mut noise[from..] {
            *byte = random.draw() as u8;
        }
        assert!(refusal(&mut flash, &noise).is_some());
    }
}

#[test]
fn an_endless_payload_is_cut_off_and_a_short_one_is_not_armed() {
    let next = Program::new(6, 6, Behaviour::Works);
    let bundle = next.release().whole(&mut sign(0)).unwrap();
    let program = running();
    let identity = Identity {
        product: PRODUCT,
        hardware: HARDWARE,
        version: program.version,
        counter: program.counter,
    };
    let mut flash = device(|_| {});
    let mut workspace = Workspace::default();
    let (mut device, _) =
        Device::start(&mut flash, LAYOUT, JournalBoot, Quick, identity, Slot::A).unwrap();
    let mut download = device.offer(bundle.head(), None, &mut workspace).unwrap();
    assert_eq!(download.finish(), Err(Error::Refused(Refusal::TooShort)));
    let payload = bundle.payload();
    download.push(&payload[..100]).unwrap();
    let endless = vec![0; payload.len()];
    assert_eq!(
        download.push(&endless),
        Err(Error::Refused(Refusal::TooLong))
    );
    // None of it was taken: the rest makes it whole.
    download.push(&payload[100..]).unwrap();
    assert_eq!(download.push(&[0]), Err(Error::Refused(Refusal::TooLong)));
    download.finish().unwrap();
    let other = &flash.bytes()[LAYOUT.slots[0].offset as usize..];
    assert!(other.starts_with(&program.image));
}

/// What becomes of a record of keys, at a time: the flash must be as it was if it is refused.
fn trusted(flash: &mut Simulated, record: &[u8], now: Option<u64>) -> Result<u16, Refusal> {
    let program = running();
    let identity = Identity {
        product: PRODUCT,
        hardware: HARDWARE,
        version: program.version,
        counter: program.counter,
    };
    let before = flash.bytes().to_vec();
    let (mut device, _) =
        Device::start(&mut *flash, LAYOUT, JournalBoot, Quick, identity, Slot::A).unwrap();
    let taken = device.trust(record, &Roots::new(QuickRoots, 2), now);
    match taken {
        Ok(keys) => Ok(keys.version),
        Err(Error::Refused(refusal)) => {
            assert_eq!(flash.bytes(), before, "{refusal:?} has changed the flash");
            Err(refusal)
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn records_of_keys_are_taken_from_two_roots_and_never_an_older_one() {
    use Refusal::*;
    let keys = [(3, [3; 32])];
    let release = KeyRelease {
        product: PRODUCT,
        version: 2,
        issued: 200,
        expires: Some(210),
        keys: &keys,
    };
    let good = release.sign(&mut [root(2), root(1)]).unwrap();
    let none = &mut device(|_| {});
    assert_eq!(trusted(none, &good, None), Ok(2));
    // The same again changes nothing, an older one is refused, a newer one is taken.
    let writes = none.operations();
    assert_eq!(trusted(none, &good, None), Ok(2));
    assert_eq!(none.operations(), writes);
    assert_eq!(trusted(none, &record(1, &[0]), None), Err(KeysOlder));
    assert_eq!(trusted(none, &record(3, &[0]), None), Ok(3));

    let one = release.sign(&mut [root(1)]).unwrap();
    assert_eq!(trusted(&mut device(|_| {}), &one, None), Err(Signature));
    let other = KeyRelease {
        product: "lamps",
        ..release
    };
    let other = other.sign(&mut [root(0), root(1)]).unwrap();
    assert_eq!(trusted(&mut device(|_| {}), &other, None), Err(Product));
    // By the clock, and by what a newer record said of the day.
    let day = |day: u64| Some(day * 86_400);
    assert_eq!(trusted(&mut device(|_| {}), &good, day(210)), Ok(2));
    let late = trusted(&mut device(|_| {}), &good, day(211));
    assert_eq!(late, Err(Expired));
    let later = &mut device(|state| state.day = 211);
    assert_eq!(trusted(later, &good, None), Err(Expired));
    assert_eq!(trusted(later, &good, day(0)), Err(Expired));
    // None that is cut or has a bit changed.
    for end in 0..good.len() {
        assert!(trusted(&mut device(|_| {}), &good[..end], None).is_err());
    }
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let taken = trusted(&mut device(|_| {}), &changed, None);
        assert!(taken.is_err(), "bit {bit}: {taken:?}");
    }
}

#[test]
fn what_no_device_would_take_is_no_record() {
    let key = |number| (number, [7; 32]);
    let release = |version, keys| KeyRelease {
        product: PRODUCT,
        version,
        issued: 9,
        expires: None,
        keys,
    };
    let many: Vec<(u8, [u8; 32])> = (0..9).map(key).collect();
    let (too_high, twice) = ([key(32)], [key(1), key(1)]);
    for wrong in [
        release(0, &many[..1]),
        release(1, &[]),
        release(1, &many),
        release(1, &too_high),
        release(1, &twice),
        KeyRelease {
            expires: Some(8),
            ..release(1, &many[..1])
        },
    ] {
        assert!(wrong.sign(&mut [root(0)]).is_err(), "{wrong:?}");
    }
    let good = release(1, &many[..8]);
    assert!(good.sign(&mut [root(0)]).is_ok());
    assert!(good.sign(&mut [root(0), root(0)]).is_err());
}

#[test]
fn after_a_record_of_keys_those_of_the_program_sign_no_more() {
    let next = Program::new(6, 6, Behaviour::Works);
    let mut flash = device(|state| state.keys = 4);
    let bundle = next.release().whole(&mut sign(0)).unwrap();
    assert_eq!(refusal(&mut flash, bundle.head()), Some(Refusal::KeysOlder));
}

#[test]
fn what_had_expired_before_the_newest_record_is_refused_whatever_the_clock_says() {
    let next = Program::new(6, 6, Behaviour::Works);
    let release = Release {
        expires: Some(300 * 86_400 - 1),
        ..next.release()
    };
    let bundle = release.whole(&mut sign(0)).unwrap();
    for (day, refused) in [(299, None), (300, Some(Refusal::Expired))] {
        let found = refusal(&mut device(|state| state.day = day), bundle.head());
        assert_eq!(found, refused, "day {day}");
    }
}
