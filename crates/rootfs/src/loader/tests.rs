use proptest::prelude::*;

use super::*;
use crate::Elf;

/// A cache in the new form, with the old table in front where asked.
fn cache(entries: &[(&str, &str, u64)], with_old: bool) -> Vec<u8> {
    let mut strings = Vec::new();
    let head = 48 + entries.len() * 24;
    let mut rows = Vec::new();
    for (name, path, hwcap) in entries {
        let at = head + strings.len();
        strings.extend(name.as_bytes());
        strings.push(0);
        let to = head + strings.len();
        strings.extend(path.as_bytes());
        strings.push(0);
        rows.extend(0x0303_u32.to_le_bytes());
        rows.extend((at as u32).to_le_bytes());
        rows.extend((to as u32).to_le_bytes());
        rows.extend(0_u32.to_le_bytes());
        rows.extend(hwcap.to_le_bytes());
    }
    let mut out = Vec::new();
    if with_old {
        out.extend(b"ld.so-1.7.0\0");
        out.extend(0_u32.to_le_bytes());
    }
    out.extend(b"glibc-ld.so.cache1.1");
    out.extend((entries.len() as u32).to_le_bytes());
    out.extend((strings.len() as u32).to_le_bytes());
    out.extend([2, 0, 0, 0]);
    out.extend([0; 16]);
    out.extend(rows);
    out.extend(strings);
    out
}

const SAMPLE: [(&str, &str, u64); 3] = [
    (
        "libz.so.1",
        "/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1",
        1 << 62,
    ),
    ("libz.so.1", "/lib/libz.so.1", 0),
    ("libc.so.6", "/lib/libc.so.6", 0),
];

#[test]
fn cache_tells_all_places_of_a_library_best_first() {
    for with_old in [false, true] {
        let cache = Cache::read(&cache(&SAMPLE, with_old)).unwrap();
        let found: Vec<_> = cache
            .find("libz.so.1")
            .map(|one| one.path.clone())
            .collect();
        assert_eq!(found, [Path::new(SAMPLE[0].1), Path::new("/lib/libz.so.1")]);
        assert!(cache.entries()[0].special && !cache.entries()[1].special);
    }
}

#[test]
fn cache_in_the_old_form_alone_is_read() {
    let mut data = b"ld.so-1.7.0\0".to_vec();
    for word in [1_u32, 0x303, 0, 5] {
        data.extend(word.to_le_bytes());
    }
    data.extend(b"libx\0/lib/libx\0");
    let cache = Cache::read(&data).unwrap();
    assert_eq!(cache.entries()[0].path, Path::new("/lib/libx"));
}

#[test]
fn every_cut_of_a_cache_is_an_error() {
    let whole = cache(&SAMPLE, true);
    // Cut before the new table begins, an empty old one is left.
    for end in (0..16).chain(48..whole.len()) {
        assert!(Cache::read(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn cache_that_claims_billions_of_entries_is_refused() {
    let mut data = cache(&SAMPLE, false);
    data[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        Cache::read(&data),
        Err(CacheError::Truncated { .. })
    ));
    let mut data = cache(&SAMPLE, false);
    data[52..56].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Cache::read(&data), Err(CacheError::Name(0)));
}

/// Facts of a program that looks in these folders.
fn facts(rpath: &[&str], runpath: &[&str]) -> ElfFacts {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    bytes.resize(64, 0);
    bytes[52] = 64;
    bytes[54] = 56;
    let mut facts = Elf::read(&bytes).unwrap();
    facts.rpath = rpath.iter().map(|one| (*one).to_owned()).collect();
    facts.runpath = runpath.iter().map(|one| (*one).to_owned()).collect();
    facts
}

fn loader(flavour: Flavour) -> Loader {
    Loader {
        flavour,
        cache: Some(Cache::read(&cache(&SAMPLE, false)).unwrap()),
        path_file: None,
        library_path: vec!["/env".to_owned()],
    }
}

/// The folders tried first, without the variants for newer processors.
fn folders(loader: &Loader, facts: &ElfFacts, inherited: &[PathBuf]) -> Vec<String> {
    let asker = Asker {
        path: Path::new("opt/app/bin/app"),
        facts,
        inherited,
    };
    loader
        .candidates(&asker, "libq.so")
        .iter()
        .map(|path| path.parent().unwrap().to_str().unwrap().to_owned())
        .filter(|folder| !folder.contains("hwcaps"))
        .collect()
}

#[test]
fn rpath_comes_before_the_environment_and_runpath_after_it() {
    let gnu = loader(Flavour::Gnu);
    let inherited = [PathBuf::from("/parent")];
    let tried = folders(&gnu, &facts(&["$ORIGIN/../lib", "/r"], &[]), &inherited);
    assert_eq!(tried[..4], ["/opt/app/lib", "/r", "/parent", "/env"]);
    let tried = folders(&gnu, &facts(&["/r"], &["${ORIGIN}"]), &inherited);
    assert_eq!(
        tried[..3],
        ["/env", "/opt/app/bin", "/lib/x86_64-linux-gnu"]
    );
}

#[test]
fn musl_looks_into_its_path_file_instead_of_its_own_list() {
    let mut musl = loader(Flavour::Musl);
    assert_eq!(
        folders(&musl, &facts(&[], &["$ORIGIN"]), &[]),
        ["/env", "/opt/app/bin", "/lib", "/usr/local/lib", "/usr/lib"]
    );
    musl.path_file = Some(path_file("/a:/b\n/c\n"));
    assert_eq!(
        folders(&musl, &facts(&[], &[]), &[]),
        ["/env", "/a", "/b", "/c"]
    );
    assert_eq!(
        Flavour::of_interpreter("/lib/ld-musl-x86_64.so.1"),
        Flavour::Musl
    );
    assert_eq!(
        Flavour::of_interpreter("/lib64/ld-linux-x86-64.so.2"),
        Flavour::Gnu
    );
}

#[test]
fn variants_for_newer_processors_come_first_in_each_folder() {
    let gnu = loader(Flavour::Gnu);
    let facts = facts(&[], &[]);
    let asker = Asker {
        path: Path::new("/bin/a"),
        facts: &facts,
        inherited: &[],
    };
    let tried = gnu.candidates(&asker, "libq.so");
    assert_eq!(tried[0], Path::new("/env/glibc-hwcaps/x86-64-v4/libq.so"));
    assert_eq!(tried[3], Path::new("/env/libq.so"));
    assert_eq!(
        gnu.candidates(&asker, "/x/libq.so"),
        [Path::new("/x/libq.so")]
    );
    assert!(gnu.candidates(&asker, "x/libq.so").is_empty());
}

#[test]
fn what_a_program_loads_inherits_its_rpath_and_not_its_runpath() {
    let gnu = loader(Flavour::Gnu);
    let inherited = [PathBuf::from("/parent"), PathBuf::from("/r")];
    let next = |facts: &ElfFacts| {
        gnu.inherited(&Asker {
            path: Path::new("/bin/a"),
            facts,
            inherited: &inherited,
        })
    };
    assert_eq!(
        next(&facts(&["/r"], &[])),
        [Path::new("/r"), Path::new("/parent")]
    );
    assert_eq!(next(&facts(&["/r"], &["/q"])), inherited);
}

#[test]
fn preload_names_end_at_comments() {
    assert_eq!(
        preload("/lib/a.so:/lib/b.so # not /lib/c.so\n\nlibd.so\n"),
        ["/lib/a.so", "/lib/b.so", "libd.so"]
    );
}

proptest! {
    #[test]
    fn any_corruption_of_a_cache_gives_entries_or_an_error(
        changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..12),
    ) {
        let mut data = cache(&SAMPLE, true);
        let length = data.len();
        for (at, value) in changes {
            data[at % length] = value;
        }
        let _ = Cache::read(&data);
    }
}
