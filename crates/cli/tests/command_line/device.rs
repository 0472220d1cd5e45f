//! `ship --to device`: what is written, that a device takes it, and what is refused.

use serde_json::Value;

use crate::harness::Workbench;

const RELEASE: [&str; 6] = [
    "--product",
    "lamp",
    "--firmware-version",
    "1.0.1",
    "--key",
    "updates.key",
];

fn bench() -> Workbench {
    let bench = Workbench::new();
    let old: Vec<u8> = (0..40_000u32).map(|n| ((n * n) >> 5) as u8).collect();
    let mut new = old.clone();
    new[20_000] ^= 1;
    bench.file("old.bin", old);
    bench.file("new.bin", new);
    bench.succeed(&["key", "new", "updates", "--algorithm", "ed25519"]);
    bench
}

fn code(bench: &Workbench, words: &[&str]) -> (Option<i32>, String) {
    let output = bench.output(words);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_release_for_a_device_is_a_folder_that_a_file_server_serves() {
    let bench = bench();
    let words = [
        "--json", "ship", "new.bin", "--to", "device", "--chip", "none", "--from", "old.bin",
    ];
    let more = [
        "--rollout",
        "12.5",
        "--expires",
        "2030-01-01",
        "--channel",
        "beta",
        "-o",
        "out",
    ];
    let text = bench.succeed(&[&words[..], &RELEASE, &more].concat());
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "ounce.ship.device/1");
    assert_eq!(document["public_key"].as_str().unwrap().len(), 64);
    let index = std::fs::read(bench.path("out/beta.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(
        (index["share"].as_u64(), index["expires"].as_u64()),
        (Some(1_250), Some(1_893_542_399))
    );
    let delta = index["deltas"][0]["file"].as_str().unwrap();
    let delta = std::fs::read(bench.path("out").join(delta)).unwrap();
    assert!(delta.len() < 500, "{} bytes", delta.len());
    let whole = std::fs::read(bench.path("out/lamp-1.0.1.ota")).unwrap();
    let new = std::fs::read(bench.path("new.bin")).unwrap();
    assert!(whole.ends_with(&new) && whole.starts_with(b"ounceOTA"));
}

/// What names the keys of a release, with the last words left out.
fn keys(words: usize) -> Vec<&'static str> {
    let all = [
        "--keys-version",
        "2",
        "--keys-made",
        "2026-11-22",
        "--root",
        "0=first.key",
        "--root",
        "2=third.key",
        "--key-number",
        "5",
        "--trust",
        "5=updates.pub",
    ];
    all[..words].to_vec()
}

#[test]
fn root_keys_name_the_keys_of_a_release_and_a_device_takes_what_they_say() {
    use ounce_ota::keys::{KeySet, Roots};
    use ounce_ota::signature::Keyring;

    let bench = bench();
    let mut roots = Vec::new();
    for root in ["first", "second", "third"] {
        let text = bench.succeed(&["--json", "key", "new", root, "--algorithm", "ed25519"]);
        let document: Value = serde_json::from_str(&text).unwrap();
        let pem = document["public"].as_str().unwrap();
        let key = ounce_oci::signature::PublicKey::from_pem(pem).unwrap();
        roots.push(<[u8; 32]>::try_from(key.to_bytes().as_slice()).unwrap());
    }
    let ship = ["ship", "new.bin", "--to", "device", "--chip", "none"];
    let out = ["-o", "out"];
    bench.succeed(&[&ship[..], &RELEASE, &keys(12), &out].concat());
    let index = std::fs::read(bench.path("out/stable.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["keys"]["version"], 2);
    let file = index["keys"]["file"].as_str().unwrap();
    assert_eq!(file, "lamp-keys-2.bin");
    let record = std::fs::read(bench.path("out").join(file)).unwrap();
    let set = KeySet::open(&record, &Roots::new(Keyring::new(&roots), 2)).unwrap();
    assert_eq!((set.product, set.version, set.issued), ("lamp", 2, 20_779));
    assert!(set.key(5).is_some() && set.key(0).is_none());
    // Three of three have not signed, and others have not either.
    assert!(KeySet::open(&record, &Roots::new(Keyring::new(&roots), 3)).is_err());
    roots.rotate_left(1);
    assert!(KeySet::open(&record, &Roots::new(Keyring::new(&roots), 2)).is_err());

    // A record that lacks a root, a key, or the key that signs the update.
    let other = [&keys(10)[..], &["--trust", "5=first.pub"]].concat();
    for (words, said) in [(keys(4), "--root"), (keys(10), "--trust"), (other, "--key")] {
        let all = [&ship[..], &RELEASE, &words, &["-o", "none"]].concat();
        let (status, text) = code(&bench, &all);
        assert!(status == Some(2) && text.contains(said), "{text}");
    }
    assert!(!bench.path("none").exists());
}

#[test]
fn what_a_release_lacks_is_asked_for_by_name() {
    let bench = bench();
    let ship = ["ship", "new.bin", "--to", "device", "--chip", "none"];
    let without = |left_out: &str| {
        let pairs = RELEASE.chunks(2).filter(|pair| pair[0] != left_out);
        let words: Vec<&str> = pairs.flatten().copied().collect();
        code(&bench, &[&ship[..], &words, &["-o", "out"]].concat())
    };
    for left_out in ["--product", "--firmware-version", "--key"] {
        let (status, text) = without(left_out);
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains(left_out) && text.contains("hint: "), "{text}");
    }
    let (status, text) = code(&bench, &[&ship[..], &RELEASE].concat());
    assert!(status == Some(2) && text.contains("--output"), "{text}");
    assert!(!bench.path("out").exists());
}

#[test]
fn a_wrong_key_chip_or_firmware_is_refused_and_nothing_is_written() {
    let bench = bench();
    bench.succeed(&["key", "new", "other"]);
    bench.file("empty.bin", "");
    let release = |firmware: &str, chip: &str, key: &str| {
        let words = [
            "ship",
            firmware,
            "--to",
            "device",
            "--chip",
            chip,
            "--product",
            "lamp",
        ];
        let more = ["--firmware-version", "1.0.1", "--key", key, "-o", "out"];
        code(&bench, &[&words[..], &more].concat())
    };
    for (firmware, chip, key, status, word) in [
        ("new.bin", "esp32c3", "updates.key", 3, "app image"),
        ("new.bin", "z80", "updates.key", 2, "z80"),
        ("new.bin", "none", "other.key", 3, "ed25519"),
        ("new.bin", "none", "updates.pub", 3, "private"),
        ("empty.bin", "none", "updates.key", 3, "empty"),
        ("gone.bin", "none", "updates.key", 3, "gone.bin"),
        ("new.bin", "none", "gone.key", 3, "--algorithm ed25519"),
    ] {
        let (found, text) = release(firmware, chip, key);
        assert_eq!(found, Some(status), "{text}");
        assert!(text.contains(word) && text.contains("error: "), "{text}");
    }
    assert!(!bench.path("out").exists());
    let (status, text) = code(&bench, &["ship", "./new.bin", "--to", "compose"]);
    assert!(status == Some(2) && text.contains("not an image"), "{text}");
}

#[test]
fn a_channel_goes_forward_with_deltas_from_what_it_had() {
    let bench = bench();
    let ship = |firmware: &str, version: &str| {
        let words = [
            "ship",
            firmware,
            "--to",
            "device",
            "--chip",
            "none",
            "--product",
            "lamp",
            "--key",
            "updates.key",
            "-o",
            "out",
            "--firmware-version",
            version,
        ];
        code(&bench, &words)
    };
    let index = || -> Value {
        serde_json::from_slice(&std::fs::read(bench.path("out/stable.json")).unwrap()).unwrap()
    };
    assert_eq!(ship("old.bin", "1.0.0").0, Some(0));
    assert_eq!(index()["deltas"].as_array().unwrap().len(), 0);
    assert_eq!(ship("new.bin", "1.0.1").0, Some(0));
    let after = index();
    assert_eq!(after["deltas"].as_array().unwrap().len(), 1, "{after}");
    // Again the same, then what devices would refuse or never tell apart.
    assert_eq!(ship("new.bin", "1.0.1").0, Some(0));
    for (firmware, version, word) in [
        ("old.bin", "1.0.1", "another program"),
        ("old.bin", "0.9.0", "already"),
    ] {
        let (status, text) = ship(firmware, version);
        assert_eq!(status, Some(3), "{text}");
        assert!(text.contains(word) && text.contains("hint: "), "{text}");
    }
    // Half written, the index names what was there before.
    std::fs::create_dir_all(bench.path("out/lamp-1.0.2.ota/in")).unwrap();
    assert_eq!(ship("old.bin", "1.0.2").0, Some(4));
    assert_eq!(index(), after);
    bench.file("out/stable.json", "{}");
    let (status, text) = ship("old.bin", "1.0.3");
    assert!(status == Some(3) && text.contains("index"), "{text}");
}
