//! tar archives. Here: one header, the smallest that every reader takes; reading is in `read`.
//!
//! The format is POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange
//! Format"); a pax record stands before it only for what ustar has no room for.

pub mod read;

/// Size of a header and unit of content.
pub const BLOCK: usize = 512;

/// Largest number of an 11-digit octal field: size and time.
const OCTAL_11: u64 = 0o77_777_777_777;
/// Largest number of a 7-digit octal field: owner and group.
const OCTAL_7: u64 = 0o7_777_777;

/// What a header says.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// Ends with a slash for a folder.
    pub path: &'a str,
    /// The type flag, as of [`read::Raw::kind`].
    pub kind: u8,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content, which the caller writes, and [`pad`] after it.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Target of a link.
    pub link: &'a str,
}

/// Names of a header as the kernel has them: any bytes but zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Ends with a slash for a folder.
    pub(crate) path: &'a [u8],
    /// Target of a link.
    pub(crate) link: &'a [u8],
}

/// What a header can say beyond [`Fields`], to be copied as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Names of owner and group.
    pub(crate) names: [String; 2],
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// Pax records that stand for nothing in [`Fields`]: extended attributes,
    /// times to the nanosecond.
    pub(crate) records: Vec<(String, Vec<u8>)>,
}

/// Appends the header, with a pax record before it where need be.
pub fn emit(fields: &Fields<'_>, out: &mut Vec<u8>) {
    let names = Names {
        path: fields.path.as_bytes(),
        link: fields.link.as_bytes(),
    };
    emit_whole(fields, names, &Extra::default(), out);
}

/// As [`emit`], with all that was read, and with these names.
pub(crate) fn emit_whole(fields: &Fields<'_>, names: Names<'_>, extra: &Extra, out: &mut Vec<u8>) {
    let mut records = Vec::new();
    let split = split_path(names.path);
    let long_path = split.is_none().then_some(names.path);
    let long_link = (names.link.len() > 100).then_some(names.link);
    // Names in records are UTF-8 unless it is said that they are not (POSIX, pax,
    // "pax Header Block"). In the header they are bytes to every reader.
    let mut long = long_path.iter().chain(&long_link);
    if long.any(|name| std::str::from_utf8(name).is_err()) {
        pax_record(&mut records, "hdrcharset", b"BINARY");
    }
    for (key, name) in [("path", long_path), ("linkpath", long_link)] {
        if let Some(name) = name {
            pax_record(&mut records, key, name);
        }
    }
    for (key, value, most) in [
        ("size", fields.size, OCTAL_11),
        ("mtime", fields.mtime, OCTAL_11),
        ("uid", u64::from(fields.uid), OCTAL_7),
        ("gid", u64::from(fields.gid), OCTAL_7),
    ] {
        // A time to the nanosecond is among the records that are copied.
        let copied = extra.records.iter().any(|(name, _)| name == key);
        if value > most && !copied {
            pax_record(&mut records, key, value.to_string().as_bytes());
        }
    }
    for (key, value) in &extra.records {
        pax_record(&mut records, key, value);
    }
    if !records.is_empty() {
        let size = records.len();
        let header = Fields {
            path: "",
            kind: b'x',
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: size as u64,
            mtime: 0,
            link: "",
        };
        block(&header, (b"", b"pax", b""), &Extra::default(), out);
        out.append(&mut records);
        pad(size as u64, out);
    }
    let (prefix, name) = split.unwrap_or((b"", b"pax"));
    block(fields, (prefix, name, names.link), extra, out);
}

/// Appends zeros up to the next block after `size` bytes of content.
pub fn pad(size: u64, out: &mut Vec<u8>) {
    out.resize(out.len() + padding(size), 0);
}

/// Bytes of zeros that follow `size` bytes of content.
pub(crate) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// Parts a path into ustar's prefix of 155 bytes and name of 100 at a slash.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let inner = &path[..path.len() - 1];
    inner
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| !prefix.is_empty() && prefix.len() <= 155 && name.len() <= 100)
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn pax_record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn block(
    fields: &Fields<'_>,
    (prefix, name, link): (&[u8], &[u8], &[u8]),
    extra: &Extra,
    out: &mut Vec<u8>,
) {
    let mut block = [0; BLOCK];
    let mut text = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    let octal = |value: u64, most: u64, width: usize| {
        // What does not fit stands in the pax record, and readers look there first.
        format!("{:0width$o}", if value > most { 0 } else { value })
    };
    text(0, name);
    text(
        100,
        octal(u64::from(fields.mode & 0o7777), OCTAL_7, 7).as_bytes(),
    );
    text(108, octal(u64::from(fields.uid), OCTAL_7, 7).as_bytes());
    text(116, octal(u64::from(fields.gid), OCTAL_7, 7).as_bytes());
    text(124, octal(fields.size, OCTAL_11, 11).as_bytes());
    text(136, octal(fields.mtime, OCTAL_11, 11).as_bytes());
    text(148, b"        ");
    text(156, &[fields.kind]);
    if link.len() <= 100 {
        text(157, link);
    }
    text(257, b"ustar\x0000");
    for (at, name) in [(265, &extra.names[0]), (297, &extra.names[1])] {
        // The last byte is the field's zero.
        text(at, &name.as_bytes()[..name.len().min(31)]);
    }
    if matches!(fields.kind, b'3' | b'4') {
        let (major, minor) = extra.device;
        text(329, octal(u64::from(major), OCTAL_7, 7).as_bytes());
        text(337, octal(u64::from(minor), OCTAL_7, 7).as_bytes());
    }
    text(345, prefix);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&block);
}
