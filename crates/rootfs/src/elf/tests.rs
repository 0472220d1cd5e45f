use proptest::prelude::*;

use super::*;

/// A 64-bit little-endian ELF built by hand: header, program headers, content.
struct Sample {
    kind: u16,
    machine: u16,
    entry: u64,
    /// type, flags, offset, address, file bytes, memory bytes
    programs: Vec<(u32, u32, u64, u64, u64, u64)>,
    tail: Vec<u8>,
}

impl Sample {
    fn new(kind: u16) -> Self {
        Self {
            kind,
            machine: 62,
            entry: 0x40_0100,
            programs: vec![(1, 5, 0, 0x40_0000, 0x200, 0x200)],
            tail: Vec::new(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        out.extend(self.kind.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        out.extend(self.entry.to_le_bytes());
        out.extend(64_u64.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        for field in [64, 56, self.programs.len() as u16, 64, 0, 0] {
            out.extend(u16::to_le_bytes(field));
        }
        for &(kind, flags, offset, address, file, memory) in &self.programs {
            out.extend(kind.to_le_bytes());
            out.extend(flags.to_le_bytes());
            for field in [offset, address, address, file, memory, 0x1000] {
                out.extend(field.to_le_bytes());
            }
        }
        out.resize(out.len().max(0x200), 0);
        out.extend(&self.tail);
        out
    }

    fn read(&self) -> Result<ElfFacts, ElfError> {
        Elf::read(&self.bytes())
    }

    /// Adds a dynamic section at 0x200 with its strings behind it.
    fn dynamic(mut self, entries: &[(u64, u64)], strings: &[u8]) -> Self {
        let bytes = (entries.len() as u64 + 3) * 16;
        let mut tail = Vec::new();
        let table = [(5, 0x40_0200 + bytes), (10, strings.len() as u64)];
        for &(tag, value) in entries.iter().chain(&table).chain(&[(0, 0)]) {
            tail.extend(u64::to_le_bytes(tag));
            tail.extend(u64::to_le_bytes(value));
        }
        tail.extend(strings);
        let all = 0x200 + tail.len() as u64;
        self.programs[0].4 = all;
        self.programs[0].5 = all;
        self.programs.push((2, 6, 0x200, 0x40_0200, bytes, bytes));
        self.tail = tail;
        self
    }
}

/// This test's own program: a real one, with sections, symbols and libraries.
fn own() -> Vec<u8> {
    std::fs::read(std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn static_program_without_section_headers_is_whole() {
    let facts = Sample::new(2).read().unwrap();
    assert_eq!(facts.kind, Kind::Static);
    assert!(facts.kind.runs_alone());
    assert_eq!(facts.platform.unwrap().to_string(), "linux/amd64");
    assert!(facts.stripped && facts.faults.is_empty() && facts.sections.is_empty());
    assert!(facts.hardening.nx && !facts.hardening.pie);
    assert_eq!(facts.entry, 0x40_0100);
}

#[test]
fn own_test_program_is_told_as_it_is() {
    let facts = Elf::read(&own()).unwrap();
    assert_eq!(facts.language, Some(Language::Rust));
    assert!(!facts.stripped && facts.symbol_bytes > 0 && facts.debug_bytes > 0);
    assert!(
        facts
            .sections
            .windows(2)
            .all(|two| two[0].bytes >= two[1].bytes)
    );
    assert!(facts.takes_listen_fds, "the name stands in this test");
    assert_eq!(facts.faults, Vec::<String>::new());
}

#[test]
fn dynamic_section_gives_libraries_and_folders() {
    let strings = b"\0libc.so.6\0/opt/a:/opt/b\0";
    let facts = Sample::new(3)
        .dynamic(&[(1, 1), (29, 11), (0x6fff_fffb, 0x0800_0001)], strings)
        .read()
        .unwrap();
    assert_eq!(facts.kind, Kind::Dynamic);
    assert_eq!(facts.needed, ["libc.so.6"]);
    assert_eq!(facts.runpath, ["/opt/a", "/opt/b"]);
    assert!(facts.hardening.pie);
}

#[test]
fn kinds_are_told_apart() {
    let kind = |sample: Sample| sample.read().unwrap().kind;
    let pie = (0x6fff_fffb, 0x0800_0000);
    assert_eq!(kind(Sample::new(1)), Kind::Relocatable);
    assert_eq!(kind(Sample::new(4)), Kind::NotExecutable);
    assert_eq!(kind(Sample::new(3).dynamic(&[pie], b"\0")), Kind::StaticPie);
    assert_eq!(
        kind(Sample::new(3).dynamic(&[(14, 1)], b"\0libx.so\0")),
        Kind::SharedLibrary
    );
    let mut data_only = Sample::new(2);
    data_only.programs[0].1 = 6;
    assert_eq!(kind(data_only), Kind::NotExecutable);
}

#[test]
fn interpreter_makes_a_program_dynamic() {
    let mut sample = Sample::new(2);
    sample.tail = b"/lib/ld-musl-x86_64.so.1\0".to_vec();
    sample.programs.push((3, 4, 0x200, 0, 25, 25));
    let facts = sample.read().unwrap();
    assert_eq!(facts.kind, Kind::Dynamic);
    assert_eq!(
        facts.interpreter.as_deref(),
        Some("/lib/ld-musl-x86_64.so.1")
    );
}

#[test]
fn text_is_no_elf_file_and_the_error_shows_its_start() {
    let error = Elf::read(b"#!/bin/sh\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "not an ELF file: it begins with \"#!/bin/sh\\n\""
    );
    assert!(matches!(Elf::read(b""), Err(ElfError::NotElf(_))));
}

#[test]
fn every_cut_of_a_program_is_an_error() {
    let whole = Sample::new(2).bytes();
    for end in 0..whole.len() {
        assert!(Elf::read(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn lying_program_headers_are_refused() {
    let changed = |change: fn(&mut Sample)| {
        let mut sample = Sample::new(2);
        change(&mut sample);
        sample.read().unwrap_err()
    };
    let past_the_end = changed(|sample| sample.programs[0].4 = 1 << 40);
    assert!(matches!(past_the_end, ElfError::Truncated { .. }));
    let wraps = changed(|sample| sample.programs[0].2 = u64::MAX);
    assert!(matches!(wraps, ElfError::Truncated { .. }));
    let overlap = changed(|sample| sample.programs.push((1, 5, 0, 0x40_0080, 16, 16)));
    assert!(matches!(overlap, ElfError::Segments(_)));
    let endless = changed(|sample| sample.programs[0].5 = u64::MAX);
    assert!(matches!(endless, ElfError::Segments(_)));
    let shrinks = changed(|sample| sample.programs[0].5 = 1);
    assert!(matches!(shrinks, ElfError::Segments(_)));
}

#[test]
fn dynamic_strings_outside_of_the_file_are_refused() {
    let error = Sample::new(3).dynamic(&[(1, 1 << 30)], b"\0").read();
    assert!(matches!(error, Err(ElfError::Dynamic(_))));
    let many: Vec<_> = (0..5000).map(|_| (1, 1)).collect();
    let error = Sample::new(3).dynamic(&many, b"\0a\0").read();
    assert!(matches!(error, Err(ElfError::Dynamic(_))));
}

#[test]
fn lying_section_headers_are_a_fault_and_no_error() {
    let mut bytes = Sample::new(2).bytes();
    bytes[40..48].copy_from_slice(&0x180_u64.to_le_bytes());
    bytes[60..62].copy_from_slice(&u16::MAX.to_le_bytes());
    let facts = Elf::read(&bytes).unwrap();
    assert_eq!(facts.kind, Kind::Static);
    assert!(facts.faults[0].starts_with("section headers cannot be read"));
}

#[test]
fn entry_outside_of_code_is_a_fault() {
    let mut sample = Sample::new(2);
    sample.entry = 0x10;
    assert_eq!(
        sample.read().unwrap().faults,
        ["entry point 0x10 lies in no executable segment"]
    );
}

#[test]
fn machines_have_their_oci_names() {
    let name = |machine| {
        let mut sample = Sample::new(2);
        sample.machine = machine;
        sample.read().unwrap().platform.map(|it| it.to_string())
    };
    assert_eq!(name(183).as_deref(), Some("linux/arm64"));
    assert_eq!(name(243).as_deref(), Some("linux/riscv64"));
    assert_eq!(name(0x1234), None);
}

/// A 32-bit Arm program with build attributes that name an architecture.
fn arm(architecture: u8) -> Vec<u8> {
    // Format A; "aeabi" with one subsubsection for the whole file (tag 1):
    // CPU_name (5, a text), then CPU_arch (6).
    let mut file_part = vec![1, 0, 0, 0, 0, 5, b'x', 0, 6, architecture];
    file_part[1] = file_part.len() as u8;
    let mut attributes = b"A\0\0\0\0aeabi\0".to_vec();
    attributes.extend(&file_part);
    attributes[1] = attributes.len() as u8 - 1;
    let names = b"\0.ARM.attributes\0.names\0";
    let words = |out: &mut Vec<u8>, all: &[u32]| {
        all.iter().for_each(|word| out.extend(word.to_le_bytes()));
    };
    let mut out = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0".to_vec();
    let (content, strings) = (84, 84 + attributes.len() as u32);
    let sections = (strings + names.len() as u32).next_multiple_of(4);
    words(&mut out, &[1, 0x1_0054, 52, sections, 0x0500_0000]);
    for half in [52_u16, 32, 1, 40, 3, 2] {
        out.extend(half.to_le_bytes());
    }
    words(&mut out, &[1, 0, 0x1_0000, 0x1_0000, 100, 100, 5, 0x1000]);
    out.extend(&attributes);
    out.extend(names);
    out.resize(sections as usize, 0);
    words(&mut out, &[0; 10]);
    let bytes = attributes.len() as u32;
    words(
        &mut out,
        &[1, 0x7000_0003, 0, 0, content, bytes, 0, 0, 1, 0],
    );
    words(
        &mut out,
        &[17, 3, 0, 0, strings, names.len() as u32, 0, 0, 1, 0],
    );
    out
}

#[test]
fn arm_attributes_give_the_variant() {
    let platform = |architecture| {
        let facts = Elf::read(&arm(architecture)).unwrap();
        assert_eq!(facts.faults, Vec::<String>::new());
        facts.platform.unwrap().to_string()
    };
    assert_eq!(platform(6), "linux/arm/v6");
    assert_eq!(platform(10), "linux/arm/v7");
    assert_eq!(platform(14), "linux/arm/v8");
    assert_eq!(platform(13), "linux/arm", "a microcontroller's");
}

proptest! {
    #[test]
    fn any_corruption_gives_facts_or_an_error(
        changes in prop::collection::vec((0_usize..0x400, any::<u8>()), 1..12),
    ) {
        let mut bytes = Sample::new(3)
            .dynamic(&[(1, 1), (14, 1), (29, 3), (30, 8)], b"\0a\0b\0")
            .bytes();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _ = Elf::read(&bytes);
    }

    #[test]
    fn any_corruption_of_arm_attributes_gives_facts_or_an_error(
        changes in prop::collection::vec((0_usize..0x400, any::<u8>()), 1..6),
    ) {
        let mut bytes = arm(6);
        let length = bytes.len();
        for (at, value) in changes {
            bytes[at % length] = value;
        }
        let _ = Elf::read(&bytes);
    }

    #[test]
    fn any_bytes_after_the_magic_give_facts_or_an_error(
        class in 1_u8..3, order in 1_u8..3, rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, order, 1];
        bytes.extend(rest);
        let _ = Elf::read(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // The tables of a real program: its head and its section headers.
    #[test]
    fn corruption_of_a_real_program_gives_facts_or_an_error(
        changes in prop::collection::vec((0_usize..8192, any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        static OWN: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(own);
        let mut bytes = OWN.clone();
        let length = bytes.len();
        for (at, value) in changes {
            let at = if at % 2 == 0 { at / 2 % 1024 } else { length - 1 - at / 2 };
            bytes[at] = value;
        }
        let _ = Elf::read(&bytes);
        let _ = Elf::read(&bytes[..cut.index(length)]);
    }
}
