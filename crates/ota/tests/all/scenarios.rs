//! The scenarios that are cut at every operation.

use ounce_ota::Refusal;
use ounce_ota::pack::Release;

use crate::world::{Behaviour, Format, Offer, Program, Story, record, sign};

use Behaviour::{Crashes, CrashesLate, Withdraws, Works};

fn program(number: u32, behaviour: Behaviour) -> Program {
    Program::new(number, number, behaviour)
}

fn whole(programs: &[Program], program: usize) -> Offer {
    let bundle = programs[program].release().whole(&mut sign(0)).unwrap();
    Offer {
        bundle,
        program,
        drops: Vec::new(),
        damaged: false,
        keys: None,
    }
}

fn delta(programs: &[Program], from: usize, program: usize) -> Offer {
    let old = &programs[from].image;
    let bundle = programs[program]
        .release()
        .delta(old, &mut sign(0))
        .unwrap();
    assert!(
        bundle.bytes.len() < 1_000,
        "a delta of {} bytes",
        bundle.bytes.len()
    );
    Offer {
        bundle,
        program,
        drops: Vec::new(),
        damaged: false,
        keys: None,
    }
}

/// All of them, for one boot loader.
pub(crate) fn all(format: Format) -> Vec<Story> {
    let story = |name, programs: Vec<Program>, offers: Vec<Offer>, ends_with| Story {
        name,
        format,
        programs,
        offers,
        blank: false,
        ends_with,
        tells: None,
    };
    let mut all = Vec::new();

    let programs = vec![program(5, Works), program(6, Works)];
    let offers = vec![whole(&programs, 1)];
    all.push(story("whole image", programs.clone(), offers, 1));
    // Our own loader starts no device without a journal: the packer puts one there.
    if format == Format::EspIdf {
        let offers = vec![whole(&programs, 1)];
        let blank = story(
            "fresh device without any record",
            programs.clone(),
            offers,
            1,
        );
        all.push(Story {
            blank: true,
            ..blank
        });
    }
    let drops = vec![700, 999, 1];
    let offers = vec![Offer {
        drops,
        ..whole(&programs, 1)
    }];
    all.push(story("interrupted download", programs.clone(), offers, 1));

    let offers = vec![Offer {
        damaged: true,
        ..whole(&programs, 1)
    }];
    let damaged = story(
        "damaged payload, then a good one",
        programs.clone(),
        offers,
        1,
    );
    all.push(Story {
        tells: Some(Refusal::Digest),
        ..damaged
    });

    let mut forged = whole(&programs, 1);
    let last = forged.bundle.head_bytes - 1;
    forged.bundle.bytes[last] ^= 1;
    let forged = story(
        "bad signature, then a good update",
        programs.clone(),
        vec![forged, whole(&programs, 1)],
        1,
    );
    all.push(Story {
        tells: Some(Refusal::Signature),
        ..forged
    });

    // Index 0 is what the device has: an older one is offered, then a newer one.
    let programs = vec![program(5, Works), program(4, Works), program(6, Works)];
    let offers = vec![
        whole(&programs, 1),
        whole(&programs, 2),
        whole(&programs, 1),
    ];
    let downgrade = story(
        "downgrade try before and after an update",
        programs,
        offers,
        2,
    );
    all.push(Story {
        tells: Some(Refusal::RolledBack),
        ..downgrade
    });

    let programs = vec![program(5, Works), program(6, Works), program(7, Works)];
    let offers = vec![whole(&programs, 2), whole(&programs, 1)];
    let mut chain = story("two updates, there and back", programs.clone(), offers, 2);
    chain.offers.swap(0, 1);
    all.push(chain);

    // The first is dropped half way, and the server has another one then.
    let offers = vec![
        Offer {
            drops: vec![0, 0, 0],
            ..whole(&programs, 1)
        },
        whole(&programs, 2),
    ];
    let mut replaced = story("another update replaces a download", programs, offers, 2);
    replaced.offers[0].drops = vec![1200];
    all.push(replaced);

    let first = program(5, Works);
    let second = Program::after(&first, 6, Works);
    let third = Program::after(&second, 7, Works);
    let programs = vec![first, second, third];
    let offers = vec![delta(&programs, 0, 1)];
    all.push(story("delta", programs[..2].to_vec(), offers, 1));
    let drops = vec![100, 200, 50];
    let offers = vec![Offer {
        drops,
        ..delta(&programs, 0, 1)
    }];
    all.push(story(
        "interrupted delta",
        programs[..2].to_vec(),
        offers,
        1,
    ));
    let offers = vec![delta(&programs, 1, 2), delta(&programs, 0, 1)];
    let two = story("two deltas, there and back", programs.clone(), offers, 2);
    all.push(Story {
        tells: Some(Refusal::Base),
        ..two
    });
    let offers = vec![
        Offer {
            damaged: true,
            ..delta(&programs, 0, 1)
        },
        whole(&programs, 1),
    ];
    all.push(story(
        "damaged delta, then a good one",
        programs[..2].to_vec(),
        offers,
        1,
    ));

    for (name, behaviour, tells) in [
        (
            "program that crashes at once",
            Crashes,
            Refusal::NotConfirmed,
        ),
        (
            "program that crashes later",
            CrashesLate,
            Refusal::NotConfirmed,
        ),
        (
            "program that finds itself broken",
            Withdraws,
            Refusal::Withdrawn,
        ),
    ] {
        let programs = vec![program(5, Works), program(6, behaviour)];
        let offers = vec![whole(&programs, 1)];
        let bad = story(name, programs, offers, 0);
        all.push(Story {
            tells: Some(tells),
            ..bad
        });
    }

    let programs = vec![program(5, Works), program(6, Crashes), program(7, Works)];
    let offers = vec![whole(&programs, 1), whole(&programs, 2)];
    let after = story("good update after one that crashes", programs, offers, 2);
    all.push(Story {
        tells: Some(Refusal::NotConfirmed),
        ..after
    });

    // The first key signs until a record names the second: what it signs then is not taken any more, not
    // even with the record that named it.
    let programs = vec![
        program(5, Works),
        program(6, Works),
        program(7, Works),
        program(8, Works),
    ];
    let signed = |program: usize, key: u8, version: u16| {
        let release = Release {
            key,
            ..programs[program].release()
        };
        Offer {
            bundle: release.whole(&mut sign(key.into())).unwrap(),
            keys: Some(record(version, &[key])),
            ..whole(&programs, program)
        }
    };
    let offers = vec![signed(1, 0, 1), signed(2, 1, 2), signed(3, 0, 1)];
    let rotation = story("keys that are replaced", programs.clone(), offers, 2);
    all.push(Story {
        tells: Some(Refusal::KeysOlder),
        ..rotation
    });
    all
}
