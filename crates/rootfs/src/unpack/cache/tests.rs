use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use ounce_oci::layer::{ReadEntry, ReadKind};

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn entry(path: &str, kind: ReadKind, mode: u32) -> ReadEntry {
    ReadEntry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: 0,
        xattrs: Vec::new(),
    }
}

/// Puts one file, `app`, and counts how often.
fn fill(extractor: &mut Extractor, count: &AtomicUsize) -> Result<(), UnpackError> {
    count.fetch_add(1, Ordering::SeqCst);
    extractor.begin_layer();
    extractor.entry(&entry("app", ReadKind::File, 0o500), &mut &b"program"[..])
}

fn made(cache: &Path, name: &str, count: &AtomicUsize) -> PathBuf {
    ensure_with(cache, &digest(name), &Options::default(), |extractor| {
        fill(extractor, count)
    })
    .unwrap()
}

#[test]
fn image_is_unpacked_once_with_its_mount_points() {
    let temporary = tempfile::tempdir().unwrap();
    let cache = temporary.path().join("deep/cache");
    let count = AtomicUsize::new(0);
    let root = made(&cache, "a", &count);
    assert_eq!(made(&cache, "a", &count), root);
    assert_eq!(count.into_inner(), 1);
    let mut names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["app", "dev", "etc", "proc", "tmp"]);
}

#[test]
fn many_at_once_unpack_once_and_get_the_same_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let root = made(temporary.path(), "a", &count);
                assert_eq!(fs::read(root.join("app")).unwrap(), b"program");
            });
        }
    });
    assert_eq!(count.into_inner(), 1);
}

#[test]
fn half_made_image_is_never_used() {
    let temporary = tempfile::tempdir().unwrap();
    let failed = ensure_with(
        temporary.path(),
        &digest("a"),
        &Options::default(),
        |extractor| {
            fill(extractor, &AtomicUsize::new(0))?;
            extractor.entry(&entry("../out", ReadKind::File, 0o644), &mut io::empty())
        },
    );
    assert!(matches!(failed, Err(UnpackError::Path { .. })));
    let hex = digest("a").hex();
    assert!(!temporary.path().join(&hex).exists());
    assert!(!temporary.path().join(format!("{hex}.making")).exists());

    // What a killed process leaves behind: half of it, and nobody holds the lock.
    let half = temporary.path().join(format!("{hex}.making/root/old"));
    fs::create_dir_all(half).unwrap();
    let root = made(temporary.path(), "a", &AtomicUsize::new(0));
    assert!(!root.join("old").exists());
}

#[test]
fn image_of_another_boot_or_without_a_mark_is_made_anew() {
    let temporary = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let root = made(temporary.path(), "a", &count);
    let mark = root.with_file_name("made");
    for since in ["boot:of-yesterday", ""] {
        fs::write(root.join("app"), "torn").unwrap();
        fs::remove_file(&mark).unwrap();
        if !since.is_empty() {
            std::os::unix::fs::symlink(since, &mark).unwrap();
        }
        made(temporary.path(), "a", &count);
        assert_eq!(fs::read(root.join("app")).unwrap(), b"program");
    }
    assert_eq!(count.into_inner(), 3);
}

#[test]
fn large_image_is_flushed_and_outlives_the_boot() {
    let temporary = tempfile::tempdir().unwrap();
    let root = ensure_with(
        temporary.path(),
        &digest("a"),
        &Options::default(),
        |extractor| {
            extractor.begin_layer();
            let zeros = vec![0; FLUSH_BYTES as usize];
            extractor.entry(&entry("app", ReadKind::File, 0o755), &mut &*zeros)
        },
    )
    .unwrap();
    let mark = fs::read_link(root.with_file_name("made")).unwrap();
    assert_eq!(mark, Path::new(DURABLE));
}

#[test]
fn collecting_keeps_what_is_named_and_what_is_busy() {
    let temporary = tempfile::tempdir().unwrap();
    let cache = temporary.path();
    for name in ["kept", "old", "busy"] {
        made(cache, name, &AtomicUsize::new(0));
    }
    fs::write(cache.join("not-ours"), "").unwrap();
    let held = lock(cache, &digest("busy"), Instant::now()).unwrap();
    let swept = collect(cache, &[digest("kept")]).unwrap();
    assert_eq!((swept.removed, swept.busy), (1, 1));
    drop(held);
    let there = |name: &str| cache.join(digest(name).hex()).exists();
    assert_eq!(
        (there("kept"), there("old"), there("busy")),
        (true, false, true)
    );
    assert!(cache.join("not-ours").exists());
    assert!(!lock_path(cache, &digest("old")).exists());
    assert_eq!(
        collect(&cache.join("absent"), &[]).unwrap(),
        Swept::default()
    );
}

#[test]
fn held_image_is_busy_to_collect_and_goes_when_let_go() {
    let temporary = tempfile::tempdir().unwrap();
    let cache = temporary.path().join("cache");
    let count = AtomicUsize::new(0);
    let hold = || hold_with(&cache, &digest("a"), || Ok(made(&cache, "a", &count))).unwrap();
    let (one, other) = (hold(), hold());
    assert_eq!(one.root, other.root);
    assert_eq!(
        collect(&cache, &[]).unwrap(),
        Swept {
            removed: 0,
            busy: 1
        }
    );
    drop(one);
    assert_eq!(
        collect(&cache, &[]).unwrap(),
        Swept {
            removed: 0,
            busy: 1
        }
    );
    assert!(other.root.join("app").exists());
    drop(other);
    assert_eq!(
        collect(&cache, &[]).unwrap(),
        Swept {
            removed: 1,
            busy: 0
        }
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn image_collected_between_making_and_holding_is_made_again() {
    let temporary = tempfile::tempdir().unwrap();
    let cache = temporary.path().join("cache");
    let count = AtomicUsize::new(0);
    let held = hold_with(&cache, &digest("a"), || {
        let root = made(&cache, "a", &count);
        if count.load(Ordering::SeqCst) == 1 {
            assert_eq!(collect(&cache, &[]).unwrap().removed, 1);
        }
        Ok(root)
    });
    assert!(held.unwrap().root.join("app").exists());
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
