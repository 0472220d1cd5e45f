//! `/etc/ld.so.cache`: which library lies where, as `ldconfig` found it.
//!
//! glibc's `sysdeps/generic/dl-cache.h`: the old table (`ld.so-1.7.0`), with or
//! without the new one (`glibc-ld.so.cache1.1`) behind it, or the new one alone.

use std::path::PathBuf;

const OLD: &[u8] = b"ld.so-1.7.0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes before the entries of the new table.
const NEW_HEAD: usize = 48;
/// Bytes of an entry of the new table.
const NEW_ENTRY: usize = 24;
/// Bytes of an entry of the old table.
const OLD_ENTRY: usize = 12;
/// Longest name: the kernel's `PATH_MAX`.
const NAME_BYTES: usize = 4096;

/// What the cache holds, in its order: the loader takes the first that fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache {
    entries: Vec<Cached>,
}

/// A library of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Its name, as `DT_NEEDED` has it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is only for processors with certain abilities.
    pub special: bool,
}

/// Bytes that are no cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Neither of the two beginnings.
    #[error("it begins like no cache of glibc's loader")]
    Magic,
    /// It says it holds more than it does.
    #[error("it is cut short: {what} ends at byte {end} of {bytes}")]
    Truncated {
        /// Which part.
        what: &'static str,
        /// Where it would end.
        end: usize,
        /// Where the file ends.
        bytes: usize,
    },
    /// A name that lies elsewhere or does not end.
    #[error("entry {0} points to no name")]
    Name(usize),
}

impl Cache {
    /// Reads a cache of either form.
    ///
    /// # Errors
    /// It is none, or lies about what it holds.
    pub fn read(data: &[u8]) -> Result<Self, CacheError> {
        if data.starts_with(NEW) {
            return new(data);
        }
        if !data.starts_with(OLD) {
            return Err(CacheError::Magic);
        }
        // struct cache_file: magic of 11, padded to 12, then the count.
        let count = number(data, 12, false).ok_or(short("the head", 16, data))? as usize;
        let end = table("the old table", 16, count, OLD_ENTRY, data)?;
        // The new table is aligned to 8.
        let behind = end.next_multiple_of(8);
        if data.get(behind..).is_some_and(|rest| rest.starts_with(NEW)) {
            return new(&data[behind..]);
        }
        let entries = (0..count)
            .map(|index| {
                let at = 16 + index * OLD_ENTRY;
                let text = |field: usize| {
                    let offset = number(data, at + field, false)? as usize;
                    name(data, end.checked_add(offset)?)
                };
                entry(text(4), text(8), false).ok_or(CacheError::Name(index))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Where a library may be, best first.
    pub fn find<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Cached> {
        self.entries.iter().filter(move |one| one.name == name)
    }

    /// All that it holds.
    pub fn entries(&self) -> &[Cached] {
        &self.entries
    }
}

fn new(data: &[u8]) -> Result<Cache, CacheError> {
    if data.len() < NEW_HEAD {
        return Err(short("the head", NEW_HEAD, data));
    }
    // Flags: 3 is big-endian, all else little or not said.
    let big = data[28] & 3 == 3;
    let count = number(data, 20, big).unwrap_or(0) as usize;
    table("the table", NEW_HEAD, count, NEW_ENTRY, data)?;
    let entries = (0..count)
        .map(|index| {
            let at = NEW_HEAD + index * NEW_ENTRY;
            let text = |field: usize| name(data, number(data, at + field, big)? as usize);
            let special = data[at + 16..at + NEW_ENTRY].iter().any(|byte| *byte != 0);
            entry(text(4), text(8), special).ok_or(CacheError::Name(index))
        })
        .collect::<Result<_, _>>()?;
    Ok(Cache { entries })
}

fn entry(name: Option<String>, path: Option<String>, special: bool) -> Option<Cached> {
    Some(Cached {
        name: name?,
        path: path?.into(),
        special,
    })
}

fn short(what: &'static str, end: usize, data: &[u8]) -> CacheError {
    CacheError::Truncated {
        what,
        end,
        bytes: data.len(),
    }
}

/// Checks a table's bounds before anything is made for it; its end.
fn table(
    what: &'static str,
    begin: usize,
    count: usize,
    entry: usize,
    data: &[u8],
) -> Result<usize, CacheError> {
    let end = count
        .checked_mul(entry)
        .and_then(|bytes| bytes.checked_add(begin))
        .unwrap_or(usize::MAX);
    match end <= data.len() {
        true => Ok(end),
        false => Err(short(what, end, data)),
    }
}

fn number(data: &[u8], at: usize, big: bool) -> Option<u32> {
    let bytes: [u8; 4] = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(match big {
        true => u32::from_be_bytes(bytes),
        false => u32::from_le_bytes(bytes),
    })
}

fn name(data: &[u8], at: usize) -> Option<String> {
    let rest = data.get(at..)?;
    let head = &rest[..rest.len().min(NAME_BYTES)];
    let end = memchr::memchr(0, head)?;
    Some(String::from_utf8_lossy(&head[..end]).into_owned())
}
