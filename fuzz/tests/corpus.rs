//! Every seed, and thousands of changes of the seeds, through every target: the
//! same ones at each run, on any toolchain. `OUNCE_FUZZ_ROUNDS` takes more.

use ounce_fuzz::TARGETS;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// A generator of 64 bits (Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit.max(1)
    }
}

/// Bytes that decide something in one of the formats.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"=",
    b"\"",
    b"-",
    b"*",
    b"/",
    b"..",
    b"%2e",
    b"%00",
    b"\x1e",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"9223372036854775808",
    b"4294967296",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"0\r\n\r\n",
    b"bytes=",
    b"W/",
    b";q=0",
    b"sha256:",
    b"\xff\xff\xff\xff",
    b"\x7fELF",
    b"ustar\0",
    b"../",
    b"$1",
    b"#1",
    b".wh.",
    b"SCHILY.xattr.",
];

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.insert(at, random.next() as u8),
            3 if at < end => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at),
            5 if at < end => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let to = random.below(bytes.len() + 1);
                let piece = other[from..].to_vec();
                bytes.splice(to.., piece);
            }
            7 if at + 4 <= bytes.len() => {
                let number = [0, 1, 511, 512, 0x7fff_ffff, u32::MAX][random.below(6)];
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            _ => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes.truncate(1 << 16);
}

#[test]
fn no_seed_and_no_change_of_one_breaks_what_must_hold() {
    let asked = std::env::var("OUNCE_FUZZ_ROUNDS").ok();
    let rounds: usize = asked.and_then(|text| text.parse().ok()).unwrap_or(100_000);
    // In CI a slow machine must not make this the longest test of all.
    let most = Duration::from_secs(if rounds > 100_000 { 3_600 } else { 6 });
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files
            .iter()
            .map(|path| fs::read(path).expect("seed"))
            .collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let run = |what: &str, bytes: &[u8]| {
            let result = catch_unwind(AssertUnwindSafe(|| target(bytes)));
            assert!(
                result.is_ok(),
                "{name} breaks on {what}: {}",
                bytes.escape_ascii()
            );
        };
        for (path, seed) in files.iter().zip(&seeds) {
            run(&path.display().to_string(), seed);
            for end in 0..seed.len().min(2_000) {
                run("a cut seed", &seed[..end]);
            }
        }
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let begin = Instant::now();
        let mut done = 0;
        while done < rounds && begin.elapsed() < most {
            let mut bytes = seeds[random.below(seeds.len())].clone();
            change(&mut bytes, &seeds, &mut random);
            run("a change", &bytes);
            done += 1;
        }
        println!(
            "{name}: {} seeds, {done} changes in {:.1} s",
            seeds.len(),
            begin.elapsed().as_secs_f64()
        );
        assert!(
            done >= rounds.min(1_000),
            "{name}: only {done} rounds in {most:?}"
        );
    }
}
