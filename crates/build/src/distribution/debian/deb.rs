//! A package's file (deb(5)): an `ar` archive of two tars. All of it may be
//! hostile: sizes are bounded, paths are plain, and nothing is written here.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ounce_oci::layer::{Content, EntryKind};
use ounce_oci::tar::read::{Fault, TarReader, normal};

use crate::distribution::files::Node;

/// Most bytes that one package may unpack to, past which it is taken for a
/// bomb: Debian's largest have 2 GB.
const DATA_LIMIT_BYTES: u64 = 4 << 30;

/// And how many times its own size, past the first 16 MiB: what xz makes of
/// zeros is 7,000, of real packages 30.
const DATA_RATIO: u64 = 200;

/// Most bytes of the control part: scripts, lists of sums.
const CONTROL_LIMIT_BYTES: u64 = 64 << 20;

/// Most files of a package.
const MOST_ENTRIES: u64 = 1_000_000;

/// A package as it was read.
#[derive(Debug, Default)]
pub(crate) struct Deb {
    /// `control`, `md5sums`, `postinst`, ...: names and contents, in order.
    pub(crate) control: Vec<(String, Vec<u8>)>,
    /// Paths relative to the root, and what stands there, in order.
    pub(crate) data: Vec<(String, Node)>,
    /// All paths, with those that were not wanted.
    pub(crate) paths: Vec<String>,
}

/// A package that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// Not an `ar` archive, or not of these parts.
    #[error("it is no Debian package: {0}")]
    Malformed(&'static str),
    /// A part is compressed in a way that is not read here.
    #[error("its {0} is compressed by none of xz, zstd, gzip")]
    Compression(String),
    /// The tar within, at an entry.
    #[error("its {part}, {}", at(.path))]
    Tar {
        /// Which part.
        part: &'static str,
        /// The entry, or the one before.
        path: String,
        /// The rule it breaks.
        #[source]
        fault: Fault,
    },
    /// A device or a pipe.
    #[error("its /{0} is a device or a pipe, which only root can make")]
    Device(String),
}

fn at(path: &str) -> String {
    match path {
        "" => "at its beginning".to_owned(),
        path => format!("at {path:?}"),
    }
}

impl Deb {
    /// The text of a control file.
    pub(crate) fn control_text(&self, name: &str) -> Option<&str> {
        let (_, bytes) = self.control.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(bytes).ok()
    }

    /// Reads a whole package; what `wanted` refuses is not kept in memory.
    ///
    /// # Errors
    /// Anything but a plain package.
    pub(crate) fn read(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Self, DebError> {
        let mut deb = Self::default();
        let mut rest = bytes
            .strip_prefix(b"!<arch>\n")
            .ok_or(DebError::Malformed("it does not begin as an ar archive"))?;
        let mut parts = 0;
        while !rest.is_empty() {
            let (name, body, after) =
                member(rest).ok_or(DebError::Malformed("a member is cut short"))?;
            rest = after;
            match (parts, name.split('.').next().unwrap_or("")) {
                (0, "debian-binary") if body.starts_with(b"2.") => parts = 1,
                (1, "control") => {
                    deb.read_control(&name, body)?;
                    parts = 2;
                }
                (2, "data") => {
                    deb.read_data(&name, body, wanted)?;
                    parts = 3;
                }
                // Others may stand between and after: deb(5).
                (1 | 3, _) | (2, _) if name.starts_with('_') || parts == 3 => {}
                _ => return Err(DebError::Malformed("its parts are not in their order")),
            }
        }
        match parts {
            3 => Ok(deb),
            _ => Err(DebError::Malformed("a part is missing")),
        }
    }

    fn read_control(&mut self, name: &str, body: &[u8]) -> Result<(), DebError> {
        let part = "control part";
        let stream = unpacked(name, body, CONTROL_LIMIT_BYTES)?;
        let mut tar = TarReader::new(stream, 10_000);
        let mut last = String::new();
        loop {
            let failed = |path: &str, fault| DebError::Tar {
                part,
                path: path.to_owned(),
                fault,
            };
            let Some(raw) = tar.next().map_err(|fault| failed(&last, fault))? else {
                return Ok(());
            };
            last = raw.path.clone();
            let path = normal(&raw.path).map_err(|fault| failed(&last, fault))?;
            if raw.kind != b'0' || path.contains('/') {
                continue;
            }
            let mut content = Vec::new();
            tar.read_to_end(&mut content)
                .map_err(|error| failed(&last, error.into()))?;
            if self.control.iter().any(|(known, _)| *known == path) {
                return Err(failed(&last, Fault::Twice));
            }
            self.control.push((path, content));
        }
    }

    fn read_data(
        &mut self,
        name: &str,
        body: &[u8],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(), DebError> {
        let part = "data part";
        let most = (16 << 20) + body.len() as u64 * DATA_RATIO;
        let stream = unpacked(name, body, most.min(DATA_LIMIT_BYTES))?;
        let mut tar = TarReader::new(stream, MOST_ENTRIES);
        let mut last = String::new();
        loop {
            let failed = |path: &str, fault| DebError::Tar {
                part,
                path: path.to_owned(),
                fault,
            };
            let Some(raw) = tar.next().map_err(|fault| failed(&last, fault))? else {
                return Ok(());
            };
            last = raw.path.clone();
            let path = normal(&raw.path).map_err(|fault| failed(&last, fault))?;
            if path.is_empty() {
                continue;
            }
            self.paths.push(path.clone());
            if !wanted(&path) {
                continue;
            }
            let kind = match raw.kind {
                b'5' => EntryKind::Directory,
                b'2' if raw.link.is_empty() => return Err(failed(&last, Fault::Empty)),
                b'2' => EntryKind::Symlink(raw.link),
                b'1' => EntryKind::Hardlink(
                    normal(&raw.link).map_err(|_| failed(&last, Fault::LinkOut(raw.link)))?,
                ),
                b'0' => {
                    // Grows as bytes come, whatever the header says.
                    let mut content = Vec::new();
                    if raw.size < 1 << 20 {
                        content.reserve_exact(raw.size as usize);
                    }
                    tar.read_to_end(&mut content)
                        .map_err(|error| failed(&last, error.into()))?;
                    content.shrink_to_fit();
                    EntryKind::File(Content::Bytes(content))
                }
                _ => return Err(DebError::Device(path)),
            };
            let node = Node {
                kind,
                mode: raw.mode & 0o7777,
                uid: raw.uid,
                gid: raw.gid,
            };
            self.data.push((path, node));
        }
    }
}

/// A member of an `ar` archive: name, content, what follows.
fn member(bytes: &[u8]) -> Option<(String, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(60)?;
    if !head.ends_with(b"`\n") {
        return None;
    }
    let field = |range: std::ops::Range<usize>| std::str::from_utf8(&head[range]).ok();
    let name = field(0..16)?.trim_end().trim_end_matches('/').to_owned();
    let size: usize = field(48..58)?.trim_end().parse().ok()?;
    let (body, rest) = rest.split_at_checked(size)?;
    let rest = match size % 2 {
        1 => rest.get(1..).unwrap_or(&[]),
        _ => rest,
    };
    Some((name, body, rest))
}

/// A member's tar.
fn unpacked<'b>(
    name: &str,
    body: &'b [u8],
    limit_bytes: u64,
) -> Result<Box<dyn Read + 'b>, DebError> {
    let suffix = name.split_once(".tar").map(|(_, suffix)| suffix);
    let stream: Box<dyn Read + 'b> = match suffix {
        Some("") => Box::new(body),
        Some(suffix) => decompressed(suffix.trim_start_matches('.'), body)
            .ok_or_else(|| DebError::Compression(name.to_owned()))?
            .map_err(|_| DebError::Malformed("a part is damaged"))?,
        None => return Err(DebError::Compression(name.to_owned())),
    };
    Ok(Box::new(Bounded {
        stream,
        left: limit_bytes,
        limit_bytes,
    }))
}

/// What a file with this ending unpacks to; `None` for an ending not known.
pub(crate) fn decompressed<'b>(
    ending: &str,
    body: &'b [u8],
) -> Option<io::Result<Box<dyn Read + 'b>>> {
    Some(Ok(match ending {
        // Streams may follow one another.
        "xz" => Box::new(XzReader::new(body, true)),
        "gz" => Box::new(MultiGzDecoder::new(body)),
        "zst" => match zstd::stream::read::Decoder::with_buffer(body) {
            Ok(decoder) => Box::new(decoder),
            Err(error) => return Some(Err(error)),
        },
        _ => return None,
    }))
}

/// Gives so much and no more.
struct Bounded<R> {
    stream: R,
    left: u64,
    limit_bytes: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => Err(io::Error::other(Fault::Bomb(self.limit_bytes))),
        }
    }
}
