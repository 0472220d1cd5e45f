//! Deltas of what is made of files, such as a layer: file by file, each by what
//! makes it smallest, and the rest in one piece.
//!
//! A bundle is a head, an index, patches, and bytes that stand in no old file. It
//! says with which method each stretch of the new bytes is made. See docs/delta.md.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::{DiffError, Options, zstd_patch};
use crate::apply::Fault;
use crate::format::Header;

/// The first bytes of a bundle.
pub const MAGIC: [u8; 4] = *b"oz\xd2\x01";

/// A file within the old or the new bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// By which it is found on the other side.
    pub name: String,
    /// Where its content is.
    pub range: Range<usize>,
}

/// What a bundle came to, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that are as they were.
    pub same: usize,
    /// Files sent as patches of ours.
    pub patched: usize,
    /// Files sent as patches of zstd's.
    pub zstd: usize,
    /// Files sent whole.
    pub whole: usize,
}

/// A stretch of the new bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stretch {
    /// As in the old bytes.
    Copy { from: usize, bytes: usize },
    /// A patch on a range of the old bytes.
    Patch {
        from: usize,
        old_bytes: usize,
        bytes: usize,
        is_zstd: bool,
        patch: Vec<u8>,
    },
    /// Bytes of the rest.
    Rest { bytes: usize },
}

impl Stretch {
    fn bytes(&self) -> usize {
        match self {
            Self::Copy { bytes, .. } | Self::Patch { bytes, .. } | Self::Rest { bytes } => *bytes,
        }
    }
}

/// Files above this are not tried with zstd, too, if they are code.
const BOTH: usize = 8 << 20;

/// The level of zstd: up to so many bytes the highest.
fn level(bytes: usize) -> i32 {
    match bytes {
        0..=0x200_0000 => 19,
        _ => 12,
    }
}

/// Makes a bundle.
///
/// # Errors
/// As [`super::diff`].
pub fn bundle(
    old: &[u8],
    old_files: &[File],
    new: &[u8],
    new_files: &[File],
) -> Result<(Vec<u8>, Tally), DiffError> {
    let digest =
        |file: &File, bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(&bytes[file.range.clone()]));
    let mut by_digest = HashMap::new();
    let mut by_name: HashMap<&str, &File> = HashMap::new();
    let mut by_base: BTreeMap<&str, &File> = BTreeMap::new();
    for file in old_files.iter().filter(|file| !file.range.is_empty()) {
        by_digest.entry(digest(file, old)).or_insert(file);
        // The last layer has the file that is seen.
        by_name.insert(&file.name, file);
        by_base.insert(base(&file.name), file);
    }
    let mut jobs: Vec<(usize, &File, &File)> = Vec::new();
    let mut made: Vec<Option<Stretch>> = Vec::with_capacity(new_files.len());
    let mut tally = Tally::default();
    for file in new_files {
        let same = by_digest.get(&digest(file, new));
        made.push(same.map(|same| Stretch::Copy {
            from: same.range.start,
            bytes: file.range.len(),
        }));
        if same.is_some() {
            tally.same += 1;
            continue;
        }
        let known = by_name.get(file.name.as_str());
        let known = known.or_else(|| by_base.get(base(&file.name)));
        if let Some(known) = known.filter(|_| !file.range.is_empty()) {
            jobs.push((made.len() - 1, known, file));
        }
    }
    for (number, stretch) in patches(old, new, &jobs)? {
        made[number] = stretch;
    }
    for stretch in &made {
        match stretch {
            Some(Stretch::Patch { is_zstd: true, .. }) => tally.zstd += 1,
            Some(Stretch::Patch { .. }) => tally.patched += 1,
            Some(_) => {}
            None => tally.whole += 1,
        }
    }
    Ok((emit(old, old_files, new, new_files, made), tally))
}

/// The last part of a name, without what looks like a version.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

type Job<'a> = (usize, &'a File, &'a File);

/// Makes the patches of files, on all processors.
fn patches(
    old: &[u8],
    new: &[u8],
    jobs: &[Job<'_>],
) -> Result<Vec<(usize, Option<Stretch>)>, DiffError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        while let Some((number, before, after)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stretch = patch(old, before, new, after);
            let mut done = done.lock().unwrap_or_else(|broken| broken.into_inner());
            done.push(stretch.map(|stretch| (*number, stretch)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()).min(8) {
            scope.spawn(work);
        }
        work();
    });
    let done = done
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    done.into_iter().collect()
}

/// The smallest patch of a file; nothing if it is better sent whole.
fn patch(
    old: &[u8],
    before: &File,
    new: &[u8],
    after: &File,
) -> Result<Option<Stretch>, DiffError> {
    let (from, to) = (&old[before.range.clone()], &new[after.range.clone()]);
    let ours = super::diff(from, to, &Options::default())?.patch;
    let zstd = match from.len().max(to.len()) > BOTH && ours.len() * 4 < to.len() {
        true => None,
        false => zstd_patch::encode(from, to, level(to.len())),
    };
    let is_zstd = zstd.as_ref().is_some_and(|zstd| zstd.len() < ours.len());
    let patch = zstd.filter(|_| is_zstd).unwrap_or(ours);
    let whole = match patch.len() * 8 < to.len() {
        true => usize::MAX,
        false => zstd_patch::encode(b"", to, level(to.len())).map_or(to.len(), |whole| whole.len()),
    };
    Ok((patch.len() < whole).then_some(Stretch::Patch {
        from: before.range.start,
        old_bytes: before.range.len(),
        bytes: to.len(),
        is_zstd,
        patch,
    }))
}

/// What is in no file: one after the other.
fn between(bytes: &[u8], files: &[File]) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut at = 0;
    for file in files {
        rest.extend_from_slice(bytes.get(at..file.range.start).unwrap_or_default());
        at = at.max(file.range.end);
    }
    rest.extend_from_slice(bytes.get(at..).unwrap_or_default());
    rest
}

fn emit(
    old: &[u8],
    old_files: &[File],
    new: &[u8],
    new_files: &[File],
    made: Vec<Option<Stretch>>,
) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut at = 0;
    let add_rest = |stretches: &mut Vec<Stretch>, rest: &mut Vec<u8>, bytes: &[u8]| {
        rest.extend_from_slice(bytes);
        match stretches.last_mut() {
            Some(Stretch::Rest { bytes: more }) => *more += bytes.len(),
            _ if bytes.is_empty() => {}
            _ => stretches.push(Stretch::Rest { bytes: bytes.len() }),
        }
    };
    for (file, stretch) in new_files.iter().zip(made) {
        if file.range.start < at {
            continue;
        }
        add_rest(&mut stretches, &mut rest, &new[at..file.range.start]);
        match stretch {
            Some(stretch) => stretches.push(stretch),
            None => add_rest(&mut stretches, &mut rest, &new[file.range.clone()]),
        }
        at = file.range.end;
    }
    add_rest(&mut stretches, &mut rest, &new[at..]);
    let prefix = between(old, old_files);
    let prefix = prefix.as_slice();
    let mut index = Vec::new();
    number(&mut index, stretches.len());
    let mut patches = Vec::new();
    let mut expected = 0;
    // Where the old side's rest is made from.
    number(&mut index, old_files.len());
    let mut before = 0;
    for file in old_files {
        number(&mut index, file.range.start - before);
        number(&mut index, file.range.len());
        before = file.range.end;
    }
    for stretch in &stretches {
        number(&mut index, stretch.bytes());
        match stretch {
            Stretch::Rest { .. } => index.push(0),
            Stretch::Copy { from, bytes } => {
                index.push(1);
                signed(&mut index, *from as i64 - expected);
                expected = (from + bytes) as i64;
            }
            Stretch::Patch {
                from,
                old_bytes,
                is_zstd,
                patch,
                ..
            } => {
                index.push(2 + u8::from(*is_zstd));
                signed(&mut index, *from as i64 - expected);
                number(&mut index, *old_bytes);
                number(&mut index, patch.len());
                patches.extend_from_slice(patch);
                expected = (from + old_bytes) as i64;
            }
        }
    }
    let index_bytes = index.len();
    let index = zstd_patch::encode(b"", &index, 19).unwrap_or_default();
    let rest_bytes = rest.len();
    let rest = zstd_patch::encode(prefix, &rest, level(rest.len())).unwrap_or_default();
    let mut out = MAGIC.to_vec();
    number(&mut out, old.len());
    number(&mut out, new.len());
    number(&mut out, index_bytes);
    number(&mut out, index.len());
    number(&mut out, patches.len());
    number(&mut out, rest_bytes);
    number(&mut out, rest.len());
    out.extend_from_slice(&Sha256::digest(old)[..8]);
    out.extend_from_slice(&Sha256::digest(new));
    out.extend_from_slice(&index);
    out.extend_from_slice(&patches);
    out.extend_from_slice(&rest);
    out
}

fn number(out: &mut Vec<u8>, value: usize) {
    let mut value = value;
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, (value << 1 ^ value >> 63) as usize);
}

/// Reads a bundle; everything in it may be wrong.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.0.split_first().ok_or(Fault::TooShort)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<usize, Fault> {
        let mut value = 0_usize;
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(Fault::Damaged)
    }

    fn signed(&mut self) -> Result<i64, Fault> {
        let value = self.number()? as i64;
        Ok(value >> 1 ^ -(value & 1))
    }

    /// The files of the old bytes, of which there are so many.
    fn files(&mut self, most: usize) -> Result<Vec<File>, Fault> {
        let mut files = Vec::new();
        let mut at = 0_usize;
        for _ in 0..self.number()? {
            let start = at.checked_add(self.number()?).ok_or(Fault::Damaged)?;
            at = start.checked_add(self.number()?).ok_or(Fault::Damaged)?;
            if at > most {
                return Err(Fault::Damaged);
            }
            files.push(File {
                name: String::new(),
                range: start..at,
            });
        }
        Ok(files)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (first, rest) = self.0.split_at_checked(count).ok_or(Fault::TooShort)?;
        self.0 = rest;
        Ok(first)
    }
}

/// Most patches that are applied at once: each may want the memory of profile `host`, 26 MB.
const MOST_PATCHERS: usize = 2;

/// The sizes that a bundle states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of what it is applied to.
    pub old_bytes: usize,
    /// Bytes of what comes out.
    pub new_bytes: usize,
}

/// Most bytes of an index, unpacked: 200,000 files.
const MOST_INDEX: usize = 8 << 20;

/// The sizes at the head of a bundle.
///
/// # Errors
/// It is none.
pub fn sizes(bundle: &[u8]) -> Result<Sizes, Fault> {
    let mut reader = head(bundle)?;
    Ok(Sizes {
        old_bytes: reader.number()?,
        new_bytes: reader.number()?,
    })
}

fn head(bundle: &[u8]) -> Result<Reader<'_>, Fault> {
    let mut reader = Reader(bundle);
    if reader.take(4).map_err(|_| Fault::NoPatch)? != MAGIC {
        return Err(Fault::NoPatch);
    }
    Ok(reader)
}

/// Applies a bundle, two patches at once. `most` bounds the bytes that may come out.
///
/// # Errors
/// It is none, not for these bytes, or damaged.
pub fn unbundle(old: &[u8], bundle: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let mut reader = head(bundle)?;
    let head = Head {
        old_bytes: reader.number()?,
        new_bytes: reader.number()?,
        index_bytes: reader.number()?,
        index_packed: reader.number()?,
        patches_bytes: reader.number()?,
        rest_bytes: reader.number()?,
        rest_packed: reader.number()?,
        old_digest: reader.take(8)?,
        new_digest: reader.take(32)?,
    };
    if head.old_bytes != old.len() {
        return Err(Fault::OldImage);
    }
    if head.index_bytes > MOST_INDEX || head.rest_bytes > head.new_bytes {
        return Err(Fault::Damaged);
    }
    if head.new_bytes > most {
        return Err(Fault::Memory);
    }
    match head.make(old, reader) {
        // Whatever else is wrong then, it is for others.
        Err(_) if !head.is_of(old) => Err(Fault::OldImage),
        made => made,
    }
}

/// What a bundle says of itself first.
struct Head<'a> {
    old_bytes: usize,
    new_bytes: usize,
    index_bytes: usize,
    index_packed: usize,
    patches_bytes: usize,
    rest_bytes: usize,
    rest_packed: usize,
    old_digest: &'a [u8],
    new_digest: &'a [u8],
}

/// A stretch that a patch makes of a range of the old bytes.
struct Patched<'a> {
    before: &'a [u8],
    patch: &'a [u8],
    bytes: usize,
    is_zstd: bool,
}

impl Patched<'_> {
    fn make(&self) -> Result<Vec<u8>, Fault> {
        let made = match self.is_zstd {
            false => ours(self.before, self.patch, self.bytes)?,
            true => {
                zstd_patch::decode(self.before, self.patch, self.bytes).ok_or(Fault::Damaged)?
            }
        };
        match made.len() == self.bytes {
            true => Ok(made),
            false => Err(Fault::Damaged),
        }
    }
}

/// A stretch of the new bytes on its way.
enum Piece<'a> {
    There(&'a [u8]),
    /// The number of its patch.
    Patch(usize),
}

impl Head<'_> {
    /// Whether it was made from these bytes.
    fn is_of(&self, old: &[u8]) -> bool {
        Sha256::digest(old)[..8] == *self.old_digest
    }

    /// Whether a patch states the digests that this does, and is of all of the old bytes:
    /// then applying it has checked them.
    fn is_all(&self, old: &[u8], patched: &Patched<'_>) -> bool {
        let stated = Header::parse(patched.patch);
        let same = stated.is_ok_and(|(header, _)| {
            header.old_digest[..] == *self.old_digest && header.new_digest[..] == *self.new_digest
        });
        same && patched.before.len() == old.len() && !patched.is_zstd
    }

    /// The new bytes; they and the old ones are checked.
    fn make(&self, old: &[u8], mut reader: Reader<'_>) -> Result<Vec<u8>, Fault> {
        let index = zstd_patch::decode(b"", reader.take(self.index_packed)?, self.index_bytes);
        let index = index.ok_or(Fault::Damaged)?;
        let mut patches = Reader(reader.take(self.patches_bytes)?);
        let rest = reader.take(self.rest_packed)?;
        if !reader.0.is_empty() {
            return Err(Fault::TooLong);
        }
        let mut index = Reader(&index);
        let count = index.number()?;
        let prefix = between(old, &index.files(old.len())?);
        let rest = zstd_patch::decode(&prefix, rest, self.rest_bytes).ok_or(Fault::Damaged)?;
        drop(prefix);
        let mut rest = Reader(&rest);
        let mut pieces = Vec::new();
        let mut patched = Vec::new();
        let (mut made, mut expected) = (0, 0_i64);
        for _ in 0..count {
            let bytes = index.number()?;
            if bytes > self.new_bytes - made {
                return Err(Fault::Damaged);
            }
            made += bytes;
            let kind = index.byte()?;
            if kind == 0 {
                pieces.push(Piece::There(rest.take(bytes)?));
                continue;
            }
            let from = expected.checked_add(index.signed()?);
            let from = from.and_then(|from| usize::try_from(from).ok());
            let from = from.ok_or(Fault::Damaged)?;
            let old_bytes = if kind == 1 { bytes } else { index.number()? };
            let end = from.checked_add(old_bytes).ok_or(Fault::Damaged)?;
            let before = old.get(from..end).ok_or(Fault::Damaged)?;
            expected = end as i64;
            match kind {
                1 => pieces.push(Piece::There(before)),
                2 | 3 => {
                    pieces.push(Piece::Patch(patched.len()));
                    patched.push(Patched {
                        before,
                        patch: patches.take(index.number()?)?,
                        bytes,
                        is_zstd: kind == 3,
                    });
                }
                _ => return Err(Fault::Damaged),
            }
        }
        if made != self.new_bytes {
            return Err(Fault::NewImage);
        }
        if let ([Piece::Patch(0)], [only]) = (&pieces[..], &patched[..])
            && self.is_all(old, only)
        {
            return only.make();
        }
        // Nothing of the result leaves before this is known; it need not be waited for.
        let (is_of, made) = std::thread::scope(|scope| {
            let is_of = scope.spawn(|| self.is_of(old));
            let made = side_by_side(&patched);
            (is_of.join(), made)
        });
        if !matches!(is_of, Ok(true)) {
            return Err(Fault::OldImage);
        }
        let made = made?;
        let mut new = Vec::new();
        for piece in pieces {
            match piece {
                Piece::There(bytes) => new.extend_from_slice(bytes),
                Piece::Patch(number) => {
                    new.extend_from_slice(made.get(number).ok_or(Fault::Damaged)?);
                }
            }
        }
        match Sha256::digest(&new)[..] == *self.new_digest {
            true => Ok(new),
            false => Err(Fault::NewImage),
        }
    }
}

/// Makes all stretches that are patched, in their order.
fn side_by_side(patched: &[Patched<'_>]) -> Result<Vec<Vec<u8>>, Fault> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(patched.len()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = patched.get(number) else {
                return;
            };
            let made = one.make();
            if made.is_err() {
                // The others need not go on.
                next.store(patched.len(), Ordering::Relaxed);
            }
            let mut done = done.lock().unwrap_or_else(|broken| broken.into_inner());
            done.push((number, made));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        for _ in 1..threads.min(patched.len()).min(MOST_PATCHERS) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, made)| made).collect()
}

fn ours(before: &[u8], patch: &[u8], bytes: usize) -> Result<Vec<u8>, Fault> {
    let (header, _) = Header::parse(patch).map_err(|_| Fault::Damaged)?;
    if header.new_bytes as usize != bytes {
        return Err(Fault::Damaged);
    }
    super::apply(before, patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, range: Range<usize>) -> File {
        File {
            name: name.to_owned(),
            range,
        }
    }

    #[test]
    fn files_that_moved_changed_came_and_went_come_out_right() {
        let text = |seed: u32| -> Vec<u8> {
            (0..3_000_u32)
                .map(|at| (at.wrapping_mul(seed) >> 7) as u8)
                .collect()
        };
        let (a, b, c) = (text(0x9e37), text(0x1234_5677), text(77));
        let mut changed = b.clone();
        changed[1_500] ^= 1;
        let old = [&b"head a"[..], &a, b"head b", &b].concat();
        let new = [
            &b"head b"[..],
            &changed,
            b"head c",
            &c,
            b"head a",
            &a,
            b"end",
        ]
        .concat();
        let old_files = [file("a", 6..3_006), file("b", 3_012..6_012)];
        let new_files = [
            file("b", 6..3_006),
            file("c", 3_012..6_012),
            file("x/a", 6_018..9_018),
        ];
        let (made, tally) = bundle(&old, &old_files, &new, &new_files).expect("a bundle");
        assert_eq!(
            (tally.same, tally.patched + tally.zstd, tally.whole),
            (1, 1, 1)
        );
        assert_eq!(unbundle(&old, &made, 1 << 20), Ok(new.clone()));
        assert_eq!(unbundle(&old, &made, new.len() - 1), Err(Fault::Memory));
        assert_eq!(unbundle(&new, &made, 1 << 20), Err(Fault::OldImage));
        for at in 0..made.len() {
            let mut bad = made.clone();
            bad[at] ^= 0x41;
            if let Ok(result) = unbundle(&old, &bad, 1 << 20) {
                assert_eq!(result, new, "{at}");
            }
            assert!(unbundle(&old, &made[..at], 1 << 20).is_err());
        }
    }

    #[test]
    fn nothing_can_be_bundled_too() {
        let (made, _) = bundle(b"", &[], b"", &[]).expect("a bundle");
        assert_eq!(unbundle(b"", &made, 0), Ok(Vec::new()));
    }
}
