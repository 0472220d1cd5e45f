//! Processes that write at once and die at any moment.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ounce_oci::Store;

use crate::store::{add, amd64, file, name, noise};

/// Rounds of the kill test; in each, two writers are killed.
const ROUNDS: u64 = 160;

/// Starts one of the ignored tests below as a process of its own.
fn spawn(test: &str, folder: &std::path::Path, number: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .env("OUNCE_TEST_STORE", folder)
        .env("OUNCE_TEST_NUMBER", number.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn told() -> (Store, u64) {
    let folder = std::env::var_os("OUNCE_TEST_STORE").expect("is run by another test");
    let number = std::env::var("OUNCE_TEST_NUMBER").unwrap().parse().unwrap();
    let store = Store::open(folder)
        .unwrap()
        .lock_timeout(Duration::from_secs(60));
    (store, number)
}

/// Adds images until it is killed, and tells of each when it is in.
#[test]
#[ignore = "is run and killed by a_writer_killed_at_any_moment_leaves_the_store_whole"]
fn writer() {
    let (store, number) = told();
    for round in 0.. {
        let image = format!("w{}:{}", number % 24, round % 4);
        // New content each time, so that every kind of write happens.
        let bytes = noise(
            200 + usize::try_from(round % 7).unwrap() * 9_000,
            number * 1_000 + round,
        );
        add(&store, &image, &[file("hello", &bytes)]).unwrap();
        println!("committed {image}");
        std::io::stdout().flush().unwrap();
    }
}

/// Reads, verifies and collects until a file `stop` appears; says what is wrong.
#[test]
#[ignore = "is run by a_writer_killed_at_any_moment_leaves_the_store_whole"]
fn keeper() {
    let (store, _) = told();
    let mut rounds = 0;
    while !store.root().with_extension("stop").exists() {
        for named in store.names().unwrap() {
            let image = store.image(&named.reference, &amd64()).unwrap();
            assert_eq!(image.layers.len(), 1);
        }
        assert_eq!(store.verify().unwrap().faults, Vec::<String>::new());
        store.gc().unwrap();
        rounds += 1;
    }
    println!("kept {rounds}");
}

#[test]
fn a_writer_killed_at_any_moment_leaves_the_store_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let keeper = spawn("crash::keeper", &root, 0);
    let (mut committed, mut kills) = (BTreeSet::new(), 0);
    let mut dice = noise(usize::try_from(ROUNDS).unwrap() * 2, 77).into_iter();
    for round in 0..ROUNDS {
        let writers =
            [2 * round, 2 * round + 1].map(|number| spawn("crash::writer", &root, number));
        for mut writer in writers {
            // The first images come after some milliseconds; die around there.
            let pause = u64::from(dice.next().unwrap()) * 60;
            std::thread::sleep(Duration::from_micros(pause));
            writer.kill().unwrap();
            let mut said = String::new();
            writer
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            let status = writer.wait().unwrap();
            assert!(status.code().is_none(), "a writer ended by itself: {said}");
            kills += 1;
            committed.extend(
                said.lines()
                    .filter_map(|line| Some(line.split_once("committed ")?.1.to_owned())),
            );
        }
    }
    std::fs::write(root.with_extension("stop"), "").unwrap();
    let output = keeper.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let store = Store::open(&root).unwrap();
    assert_eq!(store.verify().unwrap().faults, Vec::<String>::new());
    store.gc().unwrap();
    let scratch = std::fs::read_dir(root.join(".ounce/scratch")).unwrap();
    assert_eq!(scratch.count(), 0, "gc left what dead writers had left");
    let names: BTreeSet<String> = store
        .names()
        .unwrap()
        .into_iter()
        .map(|named| named.reference.to_string())
        .collect();
    assert!(
        kills >= 300 && committed.len() > 20,
        "{kills} kills, {}",
        committed.len()
    );
    let lost: Vec<_> = committed.difference(&names).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Adds ten names and ends.
#[test]
#[ignore = "is run by processes_that_add_names_at_once_lose_none"]
fn adder() {
    let (store, number) = told();
    for round in 0..10 {
        add(
            &store,
            &format!("a{number}:{round}"),
            &[file("hello", &noise(500, number))],
        )
        .unwrap();
    }
}

#[test]
fn processes_that_add_names_at_once_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let adders: Vec<Child> = (0..8)
        .map(|number| spawn("crash::adder", &root, number))
        .collect();
    for adder in adders {
        let output = adder.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let store = Store::open(&root).unwrap();
    assert_eq!(store.names().unwrap().len(), 80);
    assert_eq!(store.gc().unwrap().blobs, 0);
    for number in 0..8 {
        store
            .image(&name(&format!("a{number}:9")), &amd64())
            .unwrap();
    }
}
