//! A tar writer that can say all that a layer may hold, in pax records where
//! ustar has no room: the project's own writes only what a build needs.

/// An entry of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) time: u64,
    pub(crate) attributes: Vec<(&'static str, Vec<u8>)>,
}

/// What it is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Folder,
    Symlink(Vec<u8>),
    Hardlink(String),
    Fifo,
    Device(u32, u32),
}

/// The archive of these entries.
pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        append(entry, &mut out);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn append(entry: &Entry, out: &mut Vec<u8>) {
    let mut path = entry.path.clone();
    let (flag, link, content): (u8, &[u8], &[u8]) = match &entry.kind {
        Kind::File(content) => (b'0', b"", content),
        Kind::Folder => (b'5', b"", b""),
        Kind::Symlink(target) => (b'2', target, b""),
        Kind::Hardlink(target) => (b'1', target.as_bytes(), b""),
        Kind::Fifo => (b'6', b"", b""),
        Kind::Device(..) => (b'3', b"", b""),
    };
    if flag == b'5' {
        path.push(b'/');
    }
    let mut records = Vec::new();
    let mut record = |key: &str, value: &[u8]| {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        records.extend(format!("{length} {key}=").bytes());
        records.extend(value);
        records.push(b'\n');
    };
    // Names that are no text stand in the header as they are, as GNU tar writes them.
    if path.len() > 100 || (!path.is_ascii() && std::str::from_utf8(&path).is_ok()) {
        record("path", &path);
    }
    if link.len() > 100 {
        record("linkpath", link);
    }
    for (key, value) in [("uid", entry.owner.0), ("gid", entry.owner.1)] {
        if value > 0o7_777_777 {
            record(key, value.to_string().as_bytes());
        }
    }
    for (name, value) in &entry.attributes {
        record(&format!("SCHILY.xattr.{name}"), value);
    }
    if !records.is_empty() {
        header(
            b"pax",
            b'x',
            0o644,
            (0, 0),
            0,
            records.len(),
            b"",
            (0, 0),
            out,
        );
        out.extend(&records);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    let device = match entry.kind {
        Kind::Device(major, minor) => (major, minor),
        _ => (0, 0),
    };
    let size = content.len();
    header(
        &path,
        flag,
        entry.mode,
        entry.owner,
        entry.time,
        size,
        link,
        device,
        out,
    );
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

#[allow(clippy::too_many_arguments, reason = "the fields of a header")]
fn header(
    path: &[u8],
    flag: u8,
    mode: u32,
    owner: (u32, u32),
    time: u64,
    size: usize,
    link: &[u8],
    device: (u32, u32),
    out: &mut Vec<u8>,
) {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8], most: usize| {
        let bytes = &bytes[..bytes.len().min(most)];
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let octal = |value: u64, width: usize| format!("{value:0width$o}");
    put(0, path, 100);
    put(100, octal(u64::from(mode), 7).as_bytes(), 7);
    put(
        108,
        octal(u64::from(owner.0.min(0o7_777_777)), 7).as_bytes(),
        7,
    );
    put(
        116,
        octal(u64::from(owner.1.min(0o7_777_777)), 7).as_bytes(),
        7,
    );
    put(124, octal(size as u64, 11).as_bytes(), 11);
    put(136, octal(time, 11).as_bytes(), 11);
    put(148, b"        ", 8);
    put(156, &[flag], 1);
    put(157, link, 100);
    put(257, b"ustar\x0000", 8);
    put(329, octal(u64::from(device.0), 7).as_bytes(), 7);
    put(337, octal(u64::from(device.1), 7).as_bytes(), 7);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend(block);
}
