//! Reading a tar archive that may be hostile: every number, name and length
//! is checked, nothing is allocated because a header says so, and what one
//! reader would take differently from another is refused.
//!
//! The `tar` crate reads long names and pax records whole, whatever their
//! size, so it serves as the tests' oracle only. Formats: POSIX ustar and pax,
//! GNU's long names and base-256 numbers, and plain v7.

use std::io::{self, Read};

use super::{BLOCK, Extra};

/// Most bytes of a pax record or a GNU long name: Go's `archive/tar`, and so
/// every container engine, draws the line at the same place.
const LONGEST_RECORD: u64 = 1 << 20;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It ends in the middle.
    #[error("the archive ends in the middle")]
    Truncated,
    /// Anything but zeros after the end-of-archive blocks.
    #[error("there is something after the end of the archive")]
    Trailing,
    /// A header's checksum is wrong.
    #[error("the header's checksum is wrong")]
    Checksum,
    /// A number that is none, negative or too large.
    #[error("the {0} is not a number in range")]
    Number(&'static str),
    /// A pax record that is not `length key=value`.
    #[error("its pax record is malformed")]
    Pax,
    /// A pax record or long name beyond reason.
    #[error("its extended header is {0} bytes, more than 1 MiB")]
    LongRecord(u64),
    /// A name that is not UTF-8, where that is asked for.
    #[error("its name or link target is not UTF-8")]
    NotText,
    /// A zero byte in a name.
    #[error("its name or link target has a zero byte")]
    Zero,
    /// A path from the root of the file system.
    #[error("its path is absolute")]
    Absolute,
    /// A path that leaves the root by `..`.
    #[error("its path has a '..' part")]
    Parent,
    /// A link without a target, a whiteout without a name, a file without a path.
    #[error("its path or link target is empty")]
    Empty,
    /// A hard link out of the root.
    #[error("it is a hard link to {0:?}, which is absolute or has a '..' part")]
    LinkOut(String),
    /// The same path twice, at least once not as a folder.
    #[error("the same path has come before")]
    Twice,
    /// A sparse file.
    #[error("it is a sparse file, which image layers do not have")]
    Sparse,
    /// An entry type that is none of POSIX's.
    #[error("its type {0:?} is unknown")]
    Kind(char),
    /// More entries than allowed.
    #[error("there are more than {0} entries")]
    Entries(u64),
    /// More uncompressed bytes than allowed.
    #[error("it unpacks to more than {0} bytes")]
    Bomb(u64),
    /// The stream beneath failed.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => error.downcast::<Fault>().unwrap_or_else(Self::Io),
        }
    }
}

/// A header with what pax and GNU records said about it. Names are bytes to the
/// kernel, and to [`TarReader::next_of_bytes`]; to [`TarReader::next`] they are text.
#[derive(Debug, Default)]
pub struct Raw<Name = String> {
    /// As it stands there: see [`normal`].
    pub path: Name,
    /// A link's target.
    pub link: Name,
    /// The type flag: `b'0'` a file, `b'1'` a hard link, `b'2'` a symbolic one,
    /// `b'3'` and `b'4'` devices, `b'5'` a folder, `b'6'` a pipe.
    pub kind: u8,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time in seconds since 1970.
    pub mtime: u64,
    /// Bytes of content.
    pub size: u64,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// What a copy of it has to say besides.
    pub(crate) extra: Extra,
}

impl<Name> Raw<Name> {
    /// A pax record that says what no field does, as `APK-TOOLS.checksum.SHA1`.
    pub fn record(&self, key: &str) -> Option<&[u8]> {
        let mut records = self.extra.records.iter();
        let found = records.find(|(known, _)| known == key)?;
        Some(&found.1)
    }

    /// Names of owner and group; empty where the header has none.
    pub fn owners(&self) -> [&str; 2] {
        let [owner, group] = &self.extra.names;
        [owner, group]
    }
}

impl Raw<Vec<u8>> {
    /// The same with names as text.
    fn into_text(self) -> Result<Raw, Fault> {
        let text = |name: Vec<u8>| String::from_utf8(name).map_err(|_| Fault::NotText);
        Ok(Raw {
            path: text(self.path)?,
            link: text(self.link)?,
            kind: self.kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            size: self.size,
            device: self.device,
            xattrs: self.xattrs,
            extra: self.extra,
        })
    }
}

/// An archive being read. After [`TarReader::next`] its `Read` gives the
/// entry's content.
pub struct TarReader<R> {
    stream: R,
    position: u64,
    left: u64,
    padding: u64,
    headers: u64,
    most_headers: u64,
}

/// What extended headers said about the entry to come.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<u64>,
    xattrs: Vec<(String, Vec<u8>)>,
    records: Vec<(String, Vec<u8>)>,
}

impl<R: Read> TarReader<R> {
    /// Reads `stream`, and at most so many headers.
    pub fn new(stream: R, most_headers: u64) -> Self {
        Self {
            stream,
            position: 0,
            left: 0,
            padding: 0,
            headers: 0,
            most_headers,
        }
    }

    /// Bytes read so far: after [`TarReader::next`], where the content begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The stream, where it stands.
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// The next entry; `None` at the end, when all has been read.
    ///
    /// # Errors
    /// A hostile or broken archive, a name that is not UTF-8, or the stream's.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend its content"
    )]
    pub fn next(&mut self) -> Result<Option<Raw>, Fault> {
        self.next_of_bytes()?.map(Raw::into_text).transpose()
    }

    /// As [`TarReader::next`], with names of any bytes but zero.
    ///
    /// # Errors
    /// A hostile or broken archive, or the stream's.
    pub fn next_of_bytes(&mut self) -> Result<Option<Raw<Vec<u8>>>, Fault> {
        let mut extended = Extended::default();
        let mut awaited = false;
        loop {
            self.skip_content()?;
            let block = match self.block()? {
                Some(block) => block,
                // A record without the entry that it speaks of.
                None if awaited => return Err(Fault::Truncated),
                None => return Ok(None),
            };
            if block.iter().all(|byte| *byte == 0) {
                self.expect_end()?;
                return Ok(None);
            }
            self.headers += 1;
            if self.headers > self.most_headers {
                return Err(Fault::Entries(self.most_headers));
            }
            let mut raw = parse(&block)?;
            match raw.kind {
                b'x' | b'L' | b'K' => {
                    awaited = true;
                    let record = self.record(raw.size)?;
                    match raw.kind {
                        b'x' => extended.pax(&record)?,
                        b'L' => extended.path = Some(until_zero(&record).to_vec()),
                        _ => extended.link = Some(until_zero(&record).to_vec()),
                    }
                }
                // Global records hold comments (git's commit); engines ignore them.
                b'g' => self.expect_content(raw.size),
                _ => {
                    extended.apply(&mut raw);
                    // Links, folders and devices have no content, whatever
                    // the field says (as Go's archive/tar reads them).
                    if !matches!(raw.kind, b'0') {
                        raw.size = 0;
                    }
                    self.expect_content(raw.size);
                    return Ok(Some(raw));
                }
            }
        }
    }

    fn expect_content(&mut self, size: u64) {
        self.left = size;
        self.padding = super::padding(size) as u64;
    }

    fn skip_content(&mut self) -> Result<(), Fault> {
        let mut waste = [0; 16 << 10];
        loop {
            let left = self.left + self.padding;
            if left == 0 {
                return Ok(());
            }
            let most = usize::try_from(left).map_or(waste.len(), |left| left.min(waste.len()));
            let count = self.some(&mut waste[..most])?;
            if count == 0 {
                if self.left > 0 {
                    return Err(Fault::Truncated);
                }
                // `umoci insert` 0.4.7 leaves the last padding and the end
                // blocks out. All content has come; that it is all the writer
                // meant is what digest and diff ID say.
                self.padding = 0;
                return Ok(());
            }
            let from_content = self.left.min(count as u64);
            self.left -= from_content;
            self.padding -= count as u64 - from_content;
        }
    }

    fn some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    self.position += *result.as_ref().unwrap_or(&0) as u64;
                    return result;
                }
            }
        }
    }

    /// A block; `None` where the stream ends at its edge.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.some(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(Fault::Truncated),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// After the first zero block: only zeros until the stream ends.
    fn expect_end(&mut self) -> Result<(), Fault> {
        let mut rest = [0; 16 << 10];
        loop {
            let count = self.some(&mut rest)?;
            if count == 0 {
                return Ok(());
            }
            if rest[..count].iter().any(|byte| *byte != 0) {
                return Err(Fault::Trailing);
            }
        }
    }

    /// The content of an extended header; grows only as bytes come.
    fn record(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > LONGEST_RECORD {
            return Err(Fault::LongRecord(size));
        }
        self.expect_content(size);
        let mut record = Vec::new();
        self.read_to_end(&mut record)?;
        Ok(record)
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        match self.some(&mut buffer[..most])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}

impl Extended {
    fn pax(&mut self, mut record: &[u8]) -> Result<(), Fault> {
        while !record.is_empty() {
            let space = record.iter().take(20).position(|byte| *byte == b' ');
            let length: usize = space
                .and_then(|space| std::str::from_utf8(&record[..space]).ok())
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .ok_or(Fault::Pax)?;
            let (Some(space), Some(one)) = (space, record.get(..length)) else {
                return Err(Fault::Pax);
            };
            let pair = one
                .get(space + 1..)
                .and_then(|pair| pair.strip_suffix(b"\n"))
                .ok_or(Fault::Pax)?;
            let equals = pair
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or(Fault::Pax)?;
            let key = std::str::from_utf8(&pair[..equals]).map_err(|_| Fault::Pax)?;
            self.pair(key, &pair[equals + 1..])?;
            record = &record[length..];
        }
        Ok(())
    }

    fn pair(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        // What the fields say, or what only says how another record is written.
        let said = ["path", "linkpath", "size", "uid", "gid", "hdrcharset"];
        if !said.contains(&key) && !key.starts_with("GNU.sparse.") {
            self.records.retain(|(known, _)| known != key);
            self.records.push((key.to_owned(), value.to_vec()));
        }
        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
            self.xattrs.retain(|(known, _)| known != name);
            self.xattrs.push((name.to_owned(), value.to_vec()));
            return Ok(());
        }
        if key.starts_with("GNU.sparse.") {
            return Err(Fault::Sparse);
        }
        if value.is_empty() {
            return Ok(()); // POSIX: as if the record were not there.
        }
        match key {
            "path" => self.path = Some(without_zero(value)?),
            "linkpath" => self.link = Some(without_zero(value)?),
            "size" => self.size = Some(decimal(value, "size")?),
            "uid" => self.uid = Some(narrow(decimal(value, "owner")?, "owner")?),
            "gid" => self.gid = Some(narrow(decimal(value, "group")?, "group")?),
            "mtime" => self.mtime = Some(seconds(value)?),
            _ => {}
        }
        Ok(())
    }

    fn apply(self, raw: &mut Raw<Vec<u8>>) {
        let Self {
            path,
            link,
            size,
            uid,
            gid,
            mtime,
            xattrs,
            records,
        } = self;
        raw.extra.records = records;
        raw.path = path.unwrap_or_else(|| std::mem::take(&mut raw.path));
        raw.link = link.unwrap_or_else(|| std::mem::take(&mut raw.link));
        raw.size = size.unwrap_or(raw.size);
        raw.uid = uid.unwrap_or(raw.uid);
        raw.gid = gid.unwrap_or(raw.gid);
        raw.mtime = mtime.unwrap_or(raw.mtime);
        raw.xattrs = xattrs;
        if raw.kind == 0 {
            // v7 marks a folder by a slash at the end.
            raw.kind = if raw.path.ends_with(b"/") { b'5' } else { b'0' };
        }
    }
}

fn without_zero(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    match bytes.contains(&0) {
        false => Ok(bytes.to_vec()),
        true => Err(Fault::Zero),
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

/// The name of an owner; one that is no text is left out, since no engine reads it.
fn name_in(field: &[u8]) -> String {
    String::from_utf8(until_zero(field).to_vec()).unwrap_or_default()
}

fn decimal(value: &[u8], field: &'static str) -> Result<u64, Fault> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Fault::Number(field))
}

fn narrow(value: u64, field: &'static str) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| Fault::Number(field))
}

/// `1700000000.123456789`; a time before 1970 counts as 1970.
fn seconds(value: &[u8]) -> Result<u64, Fault> {
    let negative = value.first() == Some(&b'-');
    let whole = value
        .strip_prefix(b"-")
        .unwrap_or(value)
        .split(|byte| *byte == b'.')
        .next()
        .unwrap_or(value);
    let seconds = decimal(whole, "time")?;
    Ok(if negative { 0 } else { seconds })
}

/// A numeric field: octal digits with spaces or zeros around them, or base-256
/// with the high bit set. A negative number is `None`.
fn number(field: &[u8], name: &'static str) -> Result<Option<u64>, Fault> {
    let error = Fault::Number(name);
    if field[0] & 0x80 != 0 {
        if field[0] & 0x40 != 0 {
            return Ok(None);
        }
        let mut value: u64 = u64::from(field[0] & 0x3f);
        for byte in &field[1..] {
            if value >> 56 != 0 {
                return Err(error);
            }
            value = value << 8 | u64::from(*byte);
        }
        return Ok(Some(value));
    }
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let from = field.iter().position(|byte| !is_padding(byte));
    let digits = from.map_or(&field[..0], |from| &field[from..]);
    let digits = until_padding(digits);
    let rest = &field[from.unwrap_or(0) + digits.len()..];
    if !rest.iter().all(is_padding) {
        return Err(error);
    }
    let mut value: u64 = 0;
    for digit in digits {
        if !matches!(digit, b'0'..=b'7') || value >> 61 != 0 {
            return Err(error);
        }
        value = value << 3 | u64::from(digit - b'0');
    }
    Ok(Some(value))
}

fn until_padding(bytes: &[u8]) -> &[u8] {
    bytes
        .split(|byte| matches!(byte, b' ' | 0))
        .next()
        .unwrap_or(bytes)
}

fn positive(field: &[u8], name: &'static str) -> Result<u64, Fault> {
    number(field, name)?.ok_or(Fault::Number(name))
}

fn parse(block: &[u8; BLOCK]) -> Result<Raw<Vec<u8>>, Fault> {
    let stated = positive(&block[148..156], "checksum").map_err(|_| Fault::Checksum)?;
    let (mut unsigned, mut signed) = (0_u64, 0_i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        };
        unsigned += u64::from(byte);
        // Some old archivers summed signed bytes.
        signed += i64::from(byte.cast_signed());
    }
    if stated != unsigned && i64::try_from(stated) != Ok(signed) {
        return Err(Fault::Checksum);
    }
    let kind = match block[156] {
        // Contiguous files are plain ones (POSIX: treat '7' as '0').
        b'7' => b'0',
        b'S' => return Err(Fault::Sparse),
        kind @ (0 | b'0'..=b'6' | b'x' | b'g' | b'L' | b'K') => kind,
        other => return Err(Fault::Kind(char::from(other))),
    };
    let name = until_zero(&block[..100]);
    // GNU has other things where POSIX has the prefix.
    let prefix = if &block[257..263] == b"ustar\0" {
        until_zero(&block[345..500])
    } else {
        &[]
    };
    let device = |at: usize| {
        if matches!(kind, b'3' | b'4') {
            narrow(positive(&block[at..at + 8], "device")?, "device")
        } else {
            Ok(0)
        }
    };
    Ok(Raw {
        path: if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        },
        link: until_zero(&block[157..257]).to_vec(),
        kind,
        mode: u32::try_from(positive(&block[100..108], "mode")? & 0o7777).unwrap_or(0),
        uid: narrow(positive(&block[108..116], "owner")?, "owner")?,
        gid: narrow(positive(&block[116..124], "group")?, "group")?,
        size: positive(&block[124..136], "size")?,
        mtime: number(&block[136..148], "time")?.unwrap_or(0),
        device: (device(329)?, device(337)?),
        xattrs: Vec::new(),
        extra: Extra {
            names: [name_in(&block[265..297]), name_in(&block[297..329])],
            device: (device(329)?, device(337)?),
            records: Vec::new(),
        },
    })
}

/// A path without `.` and empty parts; the root itself is the empty path.
///
/// # Errors
/// It is absolute, empty or has a `..` part.
pub fn normal(path: &str) -> Result<String, Fault> {
    String::from_utf8(normal_bytes(path.as_bytes())?).map_err(|_| Fault::NotText)
}

/// As [`normal`], of any bytes.
///
/// # Errors
/// As there.
pub fn normal_bytes(path: &[u8]) -> Result<Vec<u8>, Fault> {
    if path.is_empty() {
        return Err(Fault::Empty);
    }
    if path.starts_with(b"/") {
        return Err(Fault::Absolute);
    }
    let mut normal = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Fault::Parent),
            part => {
                if !normal.is_empty() {
                    normal.push(b'/');
                }
                normal.extend_from_slice(part);
            }
        }
    }
    Ok(normal)
}
