//! Wheels are zip archives (PEP 427; APPNOTE.TXT of PKWARE): read whole, and
//! trusted in nothing. Every file stands at its own bytes, under a plain
//! relative name, with the length and the checksum that are told; anything
//! else is an error, and nothing is written.

use std::collections::BTreeSet;

use libdeflater::{Crc, Decompressor};

/// Most files of an archive.
const MOST_FILES: usize = 200_000;
/// Most bytes of one file.
const FILE_BYTES: u64 = 1 << 30;
/// Most bytes of all files of an archive.
const ALL_BYTES: u64 = 4 << 30;
/// Deflate gives at most 1,032 bytes for one (RFC 1951: 258 bytes in 2 bits).
const MOST_RATIO: u64 = 1_032;

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// An archive, its list of files read.
#[derive(Debug)]
pub(crate) struct Zip<'a> {
    bytes: &'a [u8],
    pub(crate) files: Vec<ZipFile>,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZipFile {
    /// Relative, plain.
    pub(crate) name: String,
    /// Whether somebody may execute it.
    pub(crate) executable: bool,
    /// Bytes, unpacked.
    pub(crate) bytes: u64,
    checksum: u32,
    deflated: bool,
    /// Where its data stands, and how long it is there.
    at: usize,
    packed_bytes: usize,
}

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// No list at its end, or it leads out of the archive.
    #[error("no zip archive: {0}")]
    Format(&'static str),
    /// A name that leads elsewhere.
    #[error("a file with the name {0:?}, which leads elsewhere")]
    Name(String),
    /// A name twice.
    #[error("{0:?} stands in it twice")]
    Twice(String),
    /// A symbolic link, a device.
    #[error("{0:?} is a link or a device, and a wheel has files only")]
    Kind(String),
    /// Encryption, other compressions, archives over 4 GiB.
    #[error("{name:?} {what}")]
    Unsupported {
        /// The file.
        name: String,
        /// What of it.
        what: &'static str,
    },
    /// More than anybody needs.
    #[error("{0}: a bomb")]
    TooLarge(String),
    /// What is unpacked is not what was told.
    #[error("{0:?} is not what the list says of it")]
    Content(String),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ZipError> {
        let taken = self.0.split_at_checked(count);
        let (taken, rest) = taken.ok_or(ZipError::Format("it ends in the middle"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn half(&mut self) -> Result<u16, ZipError> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn word(&mut self) -> Result<u32, ZipError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

impl<'a> Zip<'a> {
    /// Reads the list of files, and that each stands where it says.
    ///
    /// # Errors
    /// Anything that could lead elsewhere or become much more than it is.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, ZipError> {
        // Behind the list is its end, and behind that only a comment, whose
        // length fits: so no second end can hide in it.
        let from = bytes
            .len()
            .saturating_sub(END_BYTES + usize::from(u16::MAX));
        let end = (from..=bytes.len().saturating_sub(END_BYTES))
            .rev()
            .find(|at| bytes[*at..].starts_with(END))
            .ok_or(ZipError::Format("no list of files at its end"))?;
        let mut reader = Reader(&bytes[end + END.len()..]);
        let (disk, first_disk) = (reader.half()?, reader.half()?);
        let (here, count) = (reader.half()?, reader.half()?);
        let (list_bytes, list_at) = (reader.word()?, reader.word()?);
        let comment = reader.half()?;
        if reader.0.len() != usize::from(comment) {
            return Err(ZipError::Format("bytes behind its end"));
        }
        if disk != 0 || first_disk != 0 || here != count {
            return Err(ZipError::Format("it stands in several parts"));
        }
        if list_at == u32::MAX || list_bytes == u32::MAX || count == u16::MAX {
            return Err(ZipError::Format(
                "zip64, for 4 GiB or 65,535 files and more",
            ));
        }
        let list = (list_at as usize)
            .checked_add(list_bytes as usize)
            .filter(|list_end| *list_end <= end)
            .and_then(|list_end| bytes.get(list_at as usize..list_end))
            .ok_or(ZipError::Format("its list leads out of it"))?;
        let mut reader = Reader(list);
        let mut files = Vec::new();
        let mut names = BTreeSet::new();
        let mut ranges = Vec::new();
        let mut all_bytes = 0u64;
        for _ in 0..count {
            let Some((file, range)) = entry(&mut reader, bytes, list_at as usize)? else {
                continue;
            };
            all_bytes += file.bytes;
            if all_bytes > ALL_BYTES || files.len() >= MOST_FILES {
                let files = files.len();
                return Err(ZipError::TooLarge(format!(
                    "{files} files and {all_bytes} bytes, and still more"
                )));
            }
            if !names.insert(file.name.clone()) {
                return Err(ZipError::Twice(file.name));
            }
            ranges.push((range, file.name.clone()));
            files.push(file);
        }
        if !reader.0.is_empty() {
            return Err(ZipError::Format("its list is longer than it says"));
        }
        // Files that share bytes make a small archive a large one.
        ranges.sort_by_key(|((from, _), _)| *from);
        if let Some(pair) = ranges.windows(2).find(|pair| pair[0].0.1 > pair[1].0.0) {
            return Err(ZipError::TooLarge(format!("{:?} shares bytes", pair[1].1)));
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { bytes, files })
    }

    /// A file's content, verified.
    ///
    /// # Errors
    /// It is not what the list says.
    pub(crate) fn content(&self, file: &ZipFile) -> Result<Vec<u8>, ZipError> {
        let wrong = || ZipError::Content(file.name.clone());
        let packed = self
            .bytes
            .get(file.at..file.at + file.packed_bytes)
            .ok_or_else(wrong)?;
        let content = match file.deflated {
            false => packed.to_vec(),
            true => {
                let mut content = vec![0; file.bytes as usize];
                let got = Decompressor::new()
                    .deflate_decompress(packed, &mut content)
                    .map_err(|_| wrong())?;
                if got != content.len() {
                    return Err(wrong());
                }
                content
            }
        };
        let mut crc = Crc::new();
        crc.update(&content);
        match crc.sum() == file.checksum {
            true => Ok(content),
            false => Err(wrong()),
        }
    }
}

/// One entry of the list; `None` for a folder.
#[expect(clippy::type_complexity, reason = "a file and the bytes it takes")]
fn entry(
    reader: &mut Reader<'_>,
    bytes: &[u8],
    list_at: usize,
) -> Result<Option<(ZipFile, (usize, usize))>, ZipError> {
    let mut head = Reader(reader.take(CENTRAL_BYTES)?);
    if head.take(4)? != CENTRAL {
        return Err(ZipError::Format("an entry of its list is none"));
    }
    let made_by = head.half()?;
    head.half()?;
    let (flags, method) = (head.half()?, head.half()?);
    head.take(4)?;
    let (checksum, packed_bytes, file_bytes) = (head.word()?, head.word()?, head.word()?);
    let (name_bytes, extra_bytes, comment_bytes) = (head.half()?, head.half()?, head.half()?);
    head.take(4)?;
    let (attributes, at) = (head.word()?, head.word()?);
    let name = reader.take(name_bytes.into())?;
    reader.take(extra_bytes.into())?;
    reader.take(comment_bytes.into())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => return Err(ZipError::Name(text(name))),
    };
    let folder = name.ends_with('/');
    if !is_plain(name.strip_suffix('/').unwrap_or(&name)) {
        return Err(ZipError::Name(name));
    }
    let unsupported = |what| ZipError::Unsupported {
        name: name.clone(),
        what,
    };
    // Bit 0: encrypted; bit 5: patches; bit 13: a hidden list.
    if flags & (1 | 1 << 5 | 1 << 13) != 0 {
        return Err(unsupported("is encrypted"));
    }
    // Made on Unix, the mode stands in the upper half.
    let mode = if made_by >> 8 == 3 {
        attributes >> 16
    } else {
        0
    };
    if !matches!(mode & 0o170_000, 0 | 0o100_000 | 0o040_000) {
        return Err(ZipError::Kind(name));
    }
    if folder {
        return match file_bytes {
            0 => Ok(None),
            _ => Err(ZipError::Kind(name)),
        };
    }
    let deflated = match method {
        0 => false,
        8 => true,
        _ => return Err(unsupported("is compressed by other means than deflate")),
    };
    let file_bytes = u64::from(file_bytes);
    let most = u64::from(packed_bytes).saturating_mul(MOST_RATIO);
    if file_bytes > FILE_BYTES || (deflated && file_bytes > most) {
        return Err(ZipError::TooLarge(format!(
            "{name:?} says it becomes {file_bytes} bytes of {packed_bytes}"
        )));
    }
    if !deflated && file_bytes != u64::from(packed_bytes) {
        return Err(ZipError::Content(name));
    }
    let at = at as usize;
    let mut local = Reader(
        bytes
            .get(at..list_at)
            .ok_or(ZipError::Format("its list names a place out of it"))?,
    );
    let mut head = Reader(local.take(LOCAL_BYTES)?);
    if head.take(4)? != LOCAL {
        return Err(ZipError::Format("its list names a place where no file is"));
    }
    head.take(22)?;
    let (local_name, local_extra) = (head.half()?, head.half()?);
    if local.take(local_name.into())? != name.as_bytes() {
        return Err(ZipError::Content(name));
    }
    local.take(local_extra.into())?;
    let data_at = at + LOCAL_BYTES + usize::from(local_name) + usize::from(local_extra);
    let packed_bytes = packed_bytes as usize;
    local.take(packed_bytes)?;
    let file = ZipFile {
        executable: mode & 0o111 != 0,
        bytes: file_bytes,
        checksum,
        deflated,
        at: data_at,
        packed_bytes,
        name,
    };
    Ok(Some((file, (at, data_at + packed_bytes))))
}

/// Whether a name is relative, and no part of it leads up or means something
/// to another system.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 4_000
        && !name.contains(['\\', '\0', ':'])
        && !name.chars().any(char::is_control)
        && name
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file as it is written by tests: name, mode, content.
    pub(crate) type Written<'a> = (&'a str, u32, &'a [u8]);

    /// An archive with these files, deflated.
    pub(crate) fn zip(files: &[Written<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut list = Vec::new();
        for (name, mode, content) in files {
            let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
            let mut packed = vec![0; compressor.deflate_compress_bound(content.len())];
            let count = compressor.deflate_compress(content, &mut packed).unwrap();
            packed.truncate(count);
            let mut crc = Crc::new();
            crc.update(content);
            let at = bytes.len() as u32;
            let mut common = Vec::new();
            common.extend([20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0]);
            common.extend(crc.sum().to_le_bytes());
            common.extend((packed.len() as u32).to_le_bytes());
            common.extend((content.len() as u32).to_le_bytes());
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0, 0]);
            bytes.extend(LOCAL);
            bytes.extend(&common);
            bytes.extend(name.as_bytes());
            bytes.extend(&packed);
            list.extend(CENTRAL);
            list.extend([20, 3]);
            list.extend(&common);
            list.extend([0; 6]);
            list.extend((mode << 16).to_le_bytes());
            list.extend(at.to_le_bytes());
            list.extend(name.as_bytes());
        }
        let at = bytes.len() as u32;
        bytes.extend(&list);
        bytes.extend(END);
        bytes.extend([0; 4]);
        bytes.extend((files.len() as u16).to_le_bytes());
        bytes.extend((files.len() as u16).to_le_bytes());
        bytes.extend((list.len() as u32).to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn files_come_out_as_they_went_in() {
        let bytes = zip(&[("b/c", 0o100_755, b"two"), ("a", 0o100_644, b"one")]);
        let zip = Zip::read(&bytes).unwrap();
        let files: Vec<_> = zip
            .files
            .iter()
            .map(|file| {
                (
                    file.name.as_str(),
                    file.executable,
                    zip.content(file).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            files,
            [
                ("a", false, b"one".to_vec()),
                ("b/c", true, b"two".to_vec())
            ]
        );
    }

    #[test]
    fn names_that_lead_elsewhere_links_and_repetitions_are_refused() {
        for name in [
            "../a",
            "/a",
            "a/../../b",
            "a//b",
            "a\\b",
            "C:a",
            "a\0",
            "./a",
            "a\n",
        ] {
            let error = Zip::read(&zip(&[(name, 0o100_644, b"")])).unwrap_err();
            assert!(matches!(error, ZipError::Name(_)), "{name:?}: {error}");
        }
        let error = Zip::read(&zip(&[("a", 0o120_777, b"/etc/passwd")])).unwrap_err();
        assert_eq!(error, ZipError::Kind("a".to_owned()));
        let twice = [("a", 0, &b"1"[..]), ("a", 0, &b"2"[..])];
        assert_eq!(
            Zip::read(&zip(&twice)).unwrap_err(),
            ZipError::Twice("a".to_owned())
        );
    }

    #[test]
    fn a_bomb_is_told_by_its_lengths_before_anything_is_unpacked() {
        let mut bytes = zip(&[("a", 0, b"0")]);
        let at = bytes.windows(4).position(|four| four == CENTRAL).unwrap() + 24;
        bytes[at..at + 4].copy_from_slice(&900_000_000u32.to_le_bytes());
        let error = Zip::read(&bytes).unwrap_err();
        assert!(matches!(error, ZipError::TooLarge(_)), "{error}");

        // Two names for the same bytes.
        let mut bytes = zip(&[("a", 0, b"0"), ("b", 0, b"0")]);
        let second = bytes.windows(4).rposition(|four| four == CENTRAL).unwrap();
        bytes[second + 42..second + 46].copy_from_slice(&0u32.to_le_bytes());
        assert!(Zip::read(&bytes).is_err());
    }

    #[test]
    fn any_cut_and_any_changed_byte_is_an_error_or_another_archive_but_no_panic() {
        let bytes = zip(&[("a", 0o100_644, b"one one one"), ("b", 0, b"two")]);
        for end in 0..bytes.len() {
            assert!(Zip::read(&bytes[..end]).is_err());
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Ok(zip) = Zip::read(&changed) {
                    for file in &zip.files {
                        let _ = zip.content(file);
                    }
                }
            }
        }
    }
}
