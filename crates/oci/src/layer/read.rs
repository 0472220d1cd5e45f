//! Reading a layer, whoever wrote it: blob, bounds, archive and diff ID are
//! checked, and whiteouts are told from files.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::{Besides, Compression, Layer, LayerError, ReadEntry, ReadKind, ReadLimits};
use crate::blobs::{BlobError, Blobs};
use crate::compression::read::{Bounded, Progress, Stream, decompress_telling};
use crate::digest::Hashing;
use crate::model::{Role, role};
use crate::tar::read::{Fault, Raw, TarReader, normal_bytes};
use crate::wasm;
use crate::{DiffId, Digest};

/// Bytes that a layer may unpack to whatever its ratio: small layers of zeros are common.
const FREE_BYTES: u64 = 64 << 20;

/// A layer being read: blob digest, diff ID, limits and each header are
/// checked, and the first fault ends it with an error.
pub struct LayerReader {
    tar: TarReader<Hashing<Bounded<Stream>>>,
    digest: Digest,
    /// Of a module there is none: its blob is the digest of what it unpacks to.
    diff_id: Option<DiffId>,
    progress: Progress,
}

impl std::fmt::Debug for LayerReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerReader")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl LayerReader {
    pub(crate) fn open(
        blobs: &Blobs,
        layer: &Layer,
        limits: ReadLimits,
    ) -> Result<Self, LayerError> {
        let compression = match role(layer.descriptor.media_type()) {
            Role::Layer(compression) => compression,
            Role::Module => return Self::module(blobs, layer, limits),
            _ => {
                return Err(LayerError::MediaType {
                    digest: layer.digest,
                    media_type: layer.descriptor.media_type().to_string(),
                });
            }
        };
        let blob = blobs.open(&layer.descriptor)?;
        let most = layer
            .descriptor
            .size()
            .saturating_mul(limits.ratio)
            .max(FREE_BYTES)
            .min(limits.uncompressed_bytes);
        let progress = Progress::default();
        let stream = decompress_telling(blob, compression, &progress).map_err(|source| {
            LayerError::Entry {
                digest: layer.digest,
                path: PathBuf::new(),
                fault: Fault::Io(source),
            }
        })?;
        Ok(Self {
            tar: TarReader::new(Hashing::new(Bounded::new(stream, most)), limits.entries),
            digest: layer.digest,
            diff_id: Some(layer.diff_id),
            progress,
        })
    }

    /// A module, as an archive of one file.
    fn module(blobs: &Blobs, layer: &Layer, limits: ReadLimits) -> Result<Self, LayerError> {
        let size = layer.descriptor.size();
        let progress = Progress::default();
        let blob = blobs.open(&layer.descriptor)?;
        let blob = decompress_telling(blob, Compression::None, &progress).map_err(|source| {
            LayerError::Entry {
                digest: layer.digest,
                path: PathBuf::new(),
                fault: Fault::Io(source),
            }
        })?;
        let most = limits.uncompressed_bytes;
        let archive = Bounded::new(wasm::archive(blob, size), most);
        Ok(Self {
            tar: TarReader::new(Hashing::new(archive), limits.entries),
            digest: layer.digest,
            diff_id: None,
            progress,
        })
    }

    /// How far into the blob the reader is, to be asked while it reads.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Calls `visit` for every entry in order, with the content to be read or left.
    ///
    /// The diff ID is known to be right only when this returns: what `visit`
    /// wrote before is to be thrown away on an error.
    ///
    /// # Errors
    /// What the archive breaks, or what `visit` returned.
    pub fn for_each<E: From<LayerError>>(
        self,
        mut visit: impl FnMut(ReadEntry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_each_whole(|entry, _, content| visit(entry, content))
    }

    /// As [`LayerReader::for_each`], with what a copy of the entry needs besides.
    ///
    /// # Errors
    /// As there.
    pub fn for_each_whole<E: From<LayerError>>(
        mut self,
        mut visit: impl FnMut(ReadEntry, Besides, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let digest = self.digest;
        let mut seen = Seen::default();
        let mut last = Vec::new();
        loop {
            let raw = self
                .tar
                .next_of_bytes()
                .map_err(|fault| error(digest, &last, fault))?;
            let Some(mut raw) = raw else {
                break;
            };
            last.clone_from(&raw.path);
            let besides = Besides(std::mem::take(&mut raw.extra));
            let entry = seen
                .check(&raw)
                .and_then(|()| entry(raw))
                .map_err(|fault| error(digest, &last, fault))?;
            let Some(entry) = entry else {
                continue;
            };
            let mut content = Content {
                tar: &mut self.tar,
                fault: None,
            };
            let visited = visit(entry, besides, &mut content);
            if let Some(fault) = content.fault {
                // Ours names layer and entry; the visitor's is only its echo.
                return Err(error(digest, &last, fault).into());
            }
            visited?;
        }
        let (_, actual, _) = self.tar.into_inner().into_diff_id();
        match self.diff_id {
            Some(stated) if stated != actual => Err(LayerError::DiffId {
                digest,
                stated,
                actual,
            }
            .into()),
            _ => Ok(()),
        }
    }
}

/// `path` is the entry's, as it stands there.
fn error(digest: Digest, path: &[u8], fault: Fault) -> LayerError {
    match fault {
        Fault::Io(source) => match source.downcast::<BlobError>() {
            Ok(error) => LayerError::Blob(error),
            Err(source) => LayerError::Entry {
                digest,
                path: path_of(path.to_vec()),
                fault: Fault::Io(source),
            },
        },
        fault => LayerError::Entry {
            digest,
            path: path_of(path.to_vec()),
            fault,
        },
    }
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// An entry's content, as `visit` sees it.
struct Content<'a, R> {
    tar: &'a mut TarReader<R>,
    fault: Option<Fault>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tar.read(buffer).map_err(|source| {
            let kind = source.kind();
            let fault = Fault::from(source);
            let echo = io::Error::new(kind, fault.to_string());
            self.fault = Some(fault);
            echo
        })
    }
}

/// The paths that have come, as the first half of their hash: a folder may
/// come again (other builders repeat parents), anything else not.
#[derive(Default)]
struct Seen(HashMap<[u8; 16], bool>);

impl Seen {
    fn check(&mut self, raw: &Raw<Vec<u8>>) -> Result<(), Fault> {
        let is_folder = raw.kind == b'5';
        let key = Digest::of(&normal_bytes(&raw.path)?).half();
        match self.0.insert(key, is_folder) {
            Some(was_folder) if !(was_folder && is_folder) => Err(Fault::Twice),
            _ => Ok(()),
        }
    }
}

/// The entry; `None` for what belongs to aufs and to no engine today.
fn entry(raw: Raw<Vec<u8>>) -> Result<Option<ReadEntry>, Fault> {
    let mut path = normal_bytes(&raw.path)?;
    let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b""[..], &path[..]),
    };
    let mut kind = match raw.kind {
        b'0' => ReadKind::File,
        b'5' => ReadKind::Directory,
        b'1' => ReadKind::Hardlink(match normal_bytes(&raw.link) {
            Ok(target) if !target.is_empty() => path_of(target),
            Ok(_) | Err(Fault::Empty) => return Err(Fault::Empty),
            Err(_) => {
                let target = String::from_utf8_lossy(&raw.link);
                return Err(Fault::LinkOut(target.into_owned()));
            }
        }),
        b'2' if raw.link.is_empty() => return Err(Fault::Empty),
        b'2' => ReadKind::Symlink(path_of(raw.link)),
        b'3' => ReadKind::CharDevice(raw.device.0, raw.device.1),
        b'4' => ReadKind::BlockDevice(raw.device.0, raw.device.1),
        b'6' => ReadKind::Fifo,
        other => return Err(Fault::Kind(char::from(other))),
    };
    if path.is_empty() && kind != ReadKind::Directory {
        return Err(Fault::Empty);
    }
    // OCI image spec, layer.md, "Whiteouts".
    if name == b".wh..wh..opq" {
        kind = ReadKind::Opaque;
        path = folder.to_vec();
    } else if name.starts_with(b".wh..wh.") {
        return Ok(None);
    } else if let Some(hidden) = name.strip_prefix(b".wh.") {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Fault::Empty);
        }
        kind = ReadKind::Whiteout;
        path = if folder.is_empty() {
            hidden.to_vec()
        } else {
            [folder, b"/", hidden].concat()
        };
    }
    Ok(Some(ReadEntry {
        path: path_of(path),
        kind,
        mode: raw.mode,
        uid: raw.uid,
        gid: raw.gid,
        mtime: raw.mtime,
        size: raw.size,
        xattrs: raw.xattrs,
    }))
}
