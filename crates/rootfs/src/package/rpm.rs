//! RPM's record of what is installed: one header for each package, kept in a
//! table of SQLite (`rpmdb.sqlite`) or in RPM's own format (`Packages.db`).
//!
//! The form of a header is what `lib/header.c` of RPM reads: a count of entries,
//! a size of data, the entries (tag, type, offset, count), the data; all numbers
//! big-endian. Berkeley DB (`Packages`), which RPM left in 2020, is not read.

mod ndb;
mod sqlite;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Manager, Package};

/// Most packages of one database; Fedora has about 70,000 in all.
const PACKAGES: usize = 200_000;
/// Most files of one package; the largest of Fedora's have about 40,000.
const FILES: usize = 1 << 20;

/// The packages of a database, and what is wrong with it. What could be read is
/// there even if there is something wrong.
pub(super) fn installed(path: &Path, database: &[u8]) -> (Vec<Package>, Option<String>) {
    let mut packages = Vec::new();
    let mut unread = 0_usize;
    let mut take = |blob: &[u8]| match package(path, blob) {
        Some(package) => packages.extend(package.filter(|_| packages.len() < PACKAGES)),
        None => unread += 1,
    };
    let read = if database.starts_with(sqlite::MARK) {
        sqlite::rows(database, "Packages", &mut take)
    } else if database.starts_with(ndb::MARK) {
        ndb::blobs(database, &mut take)
    } else {
        Err("it is neither of SQLite nor of RPM's own form")
    };
    let fault = match (read, unread) {
        (Err(fault), _) => Some(format!("RPM's database is damaged: {fault}")),
        (Ok(()), 0) => None,
        (Ok(()), some) => Some(format!("{some} of RPM's headers are damaged")),
    };
    (packages, fault)
}

/// A package of its header; the inner nothing for a key, which is recorded as if
/// it were one.
fn package(path: &Path, blob: &[u8]) -> Option<Option<Package>> {
    let header = Header::read(blob)?;
    let text = |tag| {
        header
            .text(tag)
            .map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let (name, version) = (text(NAME)?, text(VERSION)?);
    if name == "gpg-pubkey" {
        return Some(None);
    }
    let release = text(RELEASE).map_or(String::new(), |release| format!("-{release}"));
    let epoch = header.numbers(EPOCH).and_then(|all| all.first().copied());
    let epoch = epoch.map_or(String::new(), |epoch| format!("{epoch}:"));
    Some(Some(Package {
        manager: Manager::Rpm,
        name,
        version: format!("{epoch}{version}{release}"),
        architecture: text(ARCHITECTURE),
        license: text(LICENSE),
        record: path.to_owned(),
        files: files(&header),
    }))
}

/// Its files: folders are listed once, and named by their numbers.
fn files(header: &Header<'_>) -> Vec<PathBuf> {
    let relative = |name: &[u8]| -> PathBuf {
        let start = name.iter().position(|byte| *byte != b'/');
        PathBuf::from(OsStr::from_bytes(&name[start.unwrap_or(name.len())..]))
    };
    let (Some(names), Some(folders), Some(numbers)) = (
        header.texts(BASE_NAMES),
        header.texts(FOLDER_NAMES),
        header.numbers(FOLDER_NUMBERS),
    ) else {
        let whole = header.texts(WHOLE_NAMES).unwrap_or_default();
        return whole.into_iter().map(relative).collect();
    };
    let each = names.into_iter().zip(numbers);
    each.filter_map(|(name, number)| {
        let folder = folders.get(usize::try_from(number).ok()?)?;
        Some(relative(folder).join(OsStr::from_bytes(name)))
    })
    .collect()
}

// lib/rpmtag.h
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENSE: u32 = 1014;
const ARCHITECTURE: u32 = 1022;
const WHOLE_NAMES: u32 = 1027;
const FOLDER_NUMBERS: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const FOLDER_NAMES: u32 = 1118;

const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

struct Header<'data> {
    entries: &'data [u8],
    data: &'data [u8],
}

impl<'data> Header<'data> {
    fn read(blob: &'data [u8]) -> Option<Self> {
        let count = usize::try_from(number(blob, 0)?).ok()?;
        let size = usize::try_from(number(blob, 4)?).ok()?;
        let table = count.checked_mul(16)?.checked_add(8)?;
        let entries = blob.get(8..table)?;
        let data = blob.get(table..table.checked_add(size)?)?;
        Some(Self { entries, data })
    }

    /// Type, count and data from its beginning on.
    fn find(&self, tag: u32) -> Option<(u32, usize, &'data [u8])> {
        let mut entries = self.entries.chunks_exact(16);
        let entry = entries.find(|entry| number(entry, 0) == Some(tag))?;
        let at = usize::try_from(number(entry, 8)?).ok()?;
        let count = usize::try_from(number(entry, 12)?).ok()?;
        Some((number(entry, 4)?, count, self.data.get(at..)?))
    }

    fn text(&self, tag: u32) -> Option<&'data [u8]> {
        let (kind, count, data) = self.find(tag)?;
        // Of a text in several languages the first is nobody's in particular.
        let is_text = matches!(kind, STRING | I18N_STRING | STRING_ARRAY) && count > 0;
        is_text.then(|| until_zero(data)).flatten()
    }

    fn texts(&self, tag: u32) -> Option<Vec<&'data [u8]>> {
        let (kind, count, mut data) = self.find(tag)?;
        if !matches!(kind, STRING_ARRAY | STRING) || count > FILES.min(data.len()) {
            return None;
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let text = until_zero(data)?;
            data = &data[text.len() + 1..];
            all.push(text);
        }
        Some(all)
    }

    fn numbers(&self, tag: u32) -> Option<Vec<u32>> {
        let (kind, count, data) = self.find(tag)?;
        let bytes = data.get(..count.checked_mul(4)?)?;
        let words = bytes.chunks_exact(4);
        (kind == INT32).then(|| words.filter_map(|word| number(word, 0)).collect())
    }
}

fn until_zero(data: &[u8]) -> Option<&[u8]> {
    Some(&data[..memchr::memchr(0, data)?])
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
