//! Writing the smallest valid layer: only the entries given, in one order,
//! with one owner, mode and time each, and two zero blocks at the end instead
//! of the padding to 10 KB that a tape wants.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Content, Entry, EntryKind, LayerError, LayerOptions, Piece, WrittenLayer};
use crate::blobs::{BlobError, open_plain};
use crate::compression::Compression;
use crate::compression::write::{Compress, Effort};
use crate::digest::{Digest, Hashing};
use crate::model::{MediaType, descriptor};
use crate::sink::{Scratch, Sink};
use crate::tar::{self, BLOCK, Fields};

/// An entry with its content opened, so that its size is known.
struct Opened<'a> {
    entry: &'a Entry,
    size: u64,
    file: Option<File>,
}

/// Writes `entries` as a layer into `sink`.
pub(crate) fn write(
    sink: &mut Sink,
    entries: &[Entry],
    options: LayerOptions,
    effort: Effort,
) -> Result<WrittenLayer, LayerError> {
    let entries = ordered(entries)?;
    let size = tar_size(&entries, options.mtime)?;
    let scratch = sink.scratch()?;
    let mut layer = LayerWriter::with(scratch, options.compression, Some(size), effort)?;
    let mut head = Vec::with_capacity(2 * BLOCK);
    for entry in entries {
        let opened = open(entry)?;
        head.clear();
        emit(&opened, options.mtime, &mut head);
        layer.write(&head)?;
        if opened.size > 0 {
            content(opened, &mut layer)?;
        }
    }
    layer.write(&[0; 2 * BLOCK])?;
    layer.finish(sink)
}

/// The bytes of a layer on their way: hashed, compressed, hashed again.
pub(crate) struct LayerWriter {
    path: std::path::PathBuf,
    compression: Compression,
    stream: Hashing<Compress<Hashing<ScratchWriter>>>,
}

/// A temporary file, buffered by what is above it.
struct ScratchWriter(Scratch);

impl Write for ScratchWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LayerWriter {
    pub(crate) fn new(
        scratch: Scratch,
        compression: Compression,
        size: Option<u64>,
    ) -> Result<Self, LayerError> {
        Self::with(scratch, compression, size, Effort::Quick)
    }

    fn with(
        scratch: Scratch,
        compression: Compression,
        size: Option<u64>,
        effort: Effort,
    ) -> Result<Self, LayerError> {
        let path = scratch.path().to_owned();
        let compress = Compress::new(
            Hashing::new(ScratchWriter(scratch)),
            compression,
            size,
            effort,
        )
        .map_err(|source| BlobError::Write {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            compression,
            stream: Hashing::new(compress),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.stream.write_all(bytes).map_err(|source| {
            LayerError::Blob(BlobError::Write {
                path: self.path.clone(),
                source,
            })
        })
    }

    pub(crate) fn finish(self, sink: &mut Sink) -> Result<WrittenLayer, LayerError> {
        let (compress, diff_id, uncompressed_bytes) = self.stream.into_diff_id();
        let hashing = compress.finish().map_err(|source| BlobError::Write {
            path: self.path,
            source,
        })?;
        let (ScratchWriter(scratch), digest, size) = hashing.into_digest();
        sink.place(scratch, &digest, size)?;
        let media_type = match self.compression {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        };
        Ok(WrittenLayer {
            descriptor: descriptor(media_type, &digest, size),
            digest,
            diff_id,
            uncompressed_bytes,
        })
    }
}

/// Sorts by path, so that a folder comes before what is in it; hard links go
/// last, so that their target has come.
fn ordered(entries: &[Entry]) -> Result<Vec<&Entry>, LayerError> {
    let mut paths = HashSet::with_capacity(entries.len());
    for entry in entries {
        check_path(entry.path.as_bytes())?;
        if !paths.insert(entry.path.as_str()) {
            return Err(LayerError::Twice {
                path: (&entry.path).into(),
            });
        }
    }
    let files: HashSet<&str> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File(_) | EntryKind::Symlink(_)))
        .map(|entry| entry.path.as_str())
        .collect();
    for entry in entries {
        match &entry.kind {
            EntryKind::Hardlink(target) if !files.contains(target.as_str()) => {
                return Err(LayerError::Target {
                    path: (&entry.path).into(),
                    target: target.into(),
                });
            }
            EntryKind::Symlink(target) if target.is_empty() || target.contains('\0') => {
                return Err(LayerError::Path {
                    path: (&entry.path).into(),
                    why: "its link target is empty or has a zero byte",
                });
            }
            _ => {}
        }
    }
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| (matches!(entry.kind, EntryKind::Hardlink(_)), &entry.path));
    Ok(sorted)
}

pub(super) fn check_path(path: &[u8]) -> Result<(), LayerError> {
    let mut parts = path.split(|byte| *byte == b'/');
    let why = if path.is_empty() {
        "it is empty"
    } else if path.starts_with(b"/") {
        "it is absolute"
    } else if path.contains(&0) {
        "it has a zero byte"
    } else if parts.any(|part| matches!(part, b"" | b"." | b"..")) {
        "it has an empty, '.' or '..' part"
    } else {
        return Ok(());
    };
    Err(LayerError::Path {
        path: OsStr::from_bytes(path).into(),
        why,
    })
}

fn tar_size(entries: &[&Entry], mtime: u64) -> Result<u64, LayerError> {
    let mut size = 2 * BLOCK as u64;
    for entry in entries {
        let content = match &entry.kind {
            EntryKind::File(Content::Bytes(bytes)) => bytes.len() as u64,
            EntryKind::File(Content::Host(path)) => std::fs::metadata(path)
                .map_err(|source| host_error(path, source))?
                .len(),
            EntryKind::File(Content::Pieces(pieces)) => pieces.iter().map(Piece::bytes).sum(),
            _ => 0,
        };
        size += content.next_multiple_of(BLOCK as u64);
        let mut head = Vec::new();
        emit(
            &Opened {
                entry,
                size: content,
                file: None,
            },
            mtime,
            &mut head,
        );
        size += head.len() as u64;
    }
    Ok(size)
}

fn host_error(path: &Path, source: io::Error) -> LayerError {
    LayerError::Host {
        path: path.to_owned(),
        source,
    }
}

fn open(entry: &Entry) -> Result<Opened<'_>, LayerError> {
    let (size, file) = match &entry.kind {
        EntryKind::File(Content::Bytes(bytes)) => (bytes.len() as u64, None),
        EntryKind::File(Content::Host(path)) => {
            let file = open_plain(path).map_err(|source| host_error(path, source))?;
            let metadata = file.metadata().map_err(|source| host_error(path, source))?;
            (metadata.len(), Some(file))
        }
        EntryKind::File(Content::Pieces(pieces)) => (pieces.iter().map(Piece::bytes).sum(), None),
        _ => (0, None),
    };
    Ok(Opened { entry, size, file })
}

fn emit(opened: &Opened<'_>, mtime: u64, head: &mut Vec<u8>) {
    let entry = opened.entry;
    let (kind, link) = match &entry.kind {
        EntryKind::File(_) => (b'0', ""),
        EntryKind::Hardlink(target) => (b'1', target.as_str()),
        EntryKind::Symlink(target) => (b'2', target.as_str()),
        EntryKind::Directory => (b'5', ""),
    };
    let folder;
    let path: &str = if kind == b'5' {
        folder = format!("{}/", entry.path);
        &folder
    } else {
        &entry.path
    };
    let fields = Fields {
        path,
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: opened.size,
        mtime,
        link,
    };
    tar::emit(&fields, head);
}

fn content(opened: Opened<'_>, layer: &mut LayerWriter) -> Result<(), LayerError> {
    match (&opened.entry.kind, opened.file) {
        (EntryKind::File(Content::Bytes(bytes)), _) => layer.write(bytes)?,
        (EntryKind::File(Content::Host(path)), Some(file)) => {
            copy(path, file, opened.size, |bytes| layer.write(bytes))?;
        }
        (EntryKind::File(Content::Pieces(pieces)), _) => {
            for piece in pieces.iter() {
                match piece {
                    Piece::Bytes(bytes) => layer.write(bytes)?,
                    Piece::Host {
                        path,
                        bytes,
                        digest,
                    } => host_piece(path, *bytes, digest, layer)?,
                }
            }
        }
        _ => {}
    }
    layer.write(&[0; BLOCK][..tar::padding(opened.size)])
}

/// Hashed again on its way: what else stands in the file was made from it.
fn host_piece(
    path: &Path,
    bytes: u64,
    digest: &Digest,
    layer: &mut LayerWriter,
) -> Result<(), LayerError> {
    let file = open_plain(path).map_err(|source| host_error(path, source))?;
    let mut hashing = Hashing::new(io::sink());
    copy(path, file, bytes, |bytes| {
        // A sink takes everything.
        let _ = hashing.write_all(bytes);
        layer.write(bytes)
    })?;
    let (_, now, _) = hashing.into_digest();
    match now == *digest {
        true => Ok(()),
        false => Err(LayerError::Changed {
            path: path.to_owned(),
        }),
    }
}

fn copy(
    path: &Path,
    mut file: File,
    bytes: u64,
    mut write: impl FnMut(&[u8]) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let mut left = bytes;
    let mut buffer = vec![0; 128 << 10];
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match file.read(&mut buffer[..most]) {
            // Somebody cut it short since its size was read.
            Ok(0) => {
                return Err(LayerError::Changed {
                    path: path.to_owned(),
                });
            }
            Ok(count) => {
                write(&buffer[..count])?;
                left -= count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(host_error(path, source)),
        }
    }
    Ok(())
}
