//! A layer made of entries of other layers, each with all that its header said:
//! owners, extended attributes, times to the nanosecond. Which entries, and
//! under which paths, is the caller's to choose.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::read::LayerReader;
use super::write::{LayerWriter, check_path};
use super::{CopyEntry, Layer, LayerError, ReadKind, ReadLimits, WrittenLayer};
use crate::blobs::Blobs;
use crate::compression::Compression;
use crate::sink::Sink;
use crate::tar::{self, BLOCK, Fields, Names};

/// Writes `entries`: what has no content first, as given, then files in the
/// order of their layers, then hard links.
pub(crate) fn write(
    sink: &mut Sink,
    (blobs, layers): (&Blobs, &[Layer]),
    entries: &[CopyEntry],
    compression: Compression,
) -> Result<WrittenLayer, LayerError> {
    check(entries)?;
    let is_link = |one: &&CopyEntry| matches!(one.entry.kind, ReadKind::Hardlink(_));
    let plain = entries.iter().filter(|one| one.content.is_none());
    let (links, first): (Vec<_>, Vec<_>) = plain.partition(is_link);
    let mut files: Vec<_> = entries.iter().filter(|one| one.content.is_some()).collect();
    files.sort_by_key(|one| one.content);
    let mut size = 2 * BLOCK as u64;
    let mut head = Vec::new();
    for one in entries {
        head.clear();
        emit(one, &mut head);
        let content = length(one);
        size += head.len() as u64 + content.next_multiple_of(BLOCK as u64);
    }
    let mut layer = LayerWriter::new(sink.scratch()?, compression, Some(size))?;
    for one in first {
        write_head(one, &mut layer)?;
    }
    let mut files = files.into_iter().peekable();
    while let Some(number) = files.peek().and_then(|one| one.content).map(|at| at.0) {
        let absent = |one: &CopyEntry| LayerError::Absent {
            path: one.entry.path.clone(),
        };
        let Some(from) = layers.get(number) else {
            return Err(files.next().map_or_else(
                || LayerError::Absent {
                    path: PathBuf::new(),
                },
                absent,
            ));
        };
        let mut count = 0;
        LayerReader::open(blobs, from, ReadLimits::default())?.for_each::<LayerError>(
            |entry, content| {
                let here = Some((number, count));
                count += 1;
                let Some(one) = files.next_if(|one| one.content == here) else {
                    return Ok(());
                };
                if entry.kind != ReadKind::File || entry.size != one.entry.size {
                    return Err(absent(one));
                }
                write_head(one, &mut layer)?;
                copy(content, one, &mut layer)
            },
        )?;
        if let Some(one) = files.peek()
            && one.content.is_some_and(|at| at.0 == number)
        {
            return Err(absent(one));
        }
    }
    for one in links {
        write_head(one, &mut layer)?;
    }
    layer.write(&[0; 2 * BLOCK])?;
    layer.finish(sink)
}

/// Each path once and plain, and each hard link to a file that is there.
fn check(entries: &[CopyEntry]) -> Result<(), LayerError> {
    let mut paths = HashSet::with_capacity(entries.len());
    let mut files = HashSet::new();
    for one in entries {
        let path = one.entry.path.as_path();
        let bytes = path.as_os_str().as_bytes();
        // The root may have an entry of its own.
        if !bytes.is_empty() || one.entry.kind != ReadKind::Directory {
            check_path(bytes)?;
        }
        if !paths.insert(path) {
            return Err(LayerError::Twice {
                path: path.to_owned(),
            });
        }
        match (&one.entry.kind, one.content) {
            (ReadKind::File, Some(_)) => {
                files.insert(path);
            }
            (ReadKind::File, None) | (ReadKind::Whiteout | ReadKind::Opaque, _) => {
                return Err(LayerError::Absent {
                    path: path.to_owned(),
                });
            }
            _ => {}
        }
    }
    for one in entries {
        if let ReadKind::Hardlink(target) = &one.entry.kind
            && !files.contains(target.as_path())
        {
            return Err(LayerError::Target {
                path: one.entry.path.clone(),
                target: target.clone(),
            });
        }
    }
    Ok(())
}

fn emit(one: &CopyEntry, head: &mut Vec<u8>) {
    let entry = &one.entry;
    let (kind, link) = match &entry.kind {
        ReadKind::File | ReadKind::Whiteout | ReadKind::Opaque => (b'0', OsStr::new("")),
        ReadKind::Hardlink(target) => (b'1', target.as_os_str()),
        ReadKind::Symlink(target) => (b'2', target.as_os_str()),
        ReadKind::CharDevice(..) => (b'3', OsStr::new("")),
        ReadKind::BlockDevice(..) => (b'4', OsStr::new("")),
        ReadKind::Directory => (b'5', OsStr::new("")),
        ReadKind::Fifo => (b'6', OsStr::new("")),
    };
    let folder;
    let path: &[u8] = match (kind, entry.path.as_os_str().as_bytes()) {
        (b'5', b"") => b"./",
        (b'5', path) => {
            folder = [path, b"/"].concat();
            &folder
        }
        (_, path) => path,
    };
    let fields = Fields {
        path: "",
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: length(one),
        mtime: entry.mtime,
        link: "",
    };
    let link = link.as_bytes();
    tar::emit_whole(&fields, Names { path, link }, &one.besides.0, head);
}

/// Bytes of content that are written.
fn length(one: &CopyEntry) -> u64 {
    let whole = one.content.map_or(0, |_| one.entry.size);
    let patched = one.patch.as_ref().map_or(whole, |patch| patch.bytes);
    patched.min(whole)
}

fn write_head(one: &CopyEntry, layer: &mut LayerWriter) -> Result<(), LayerError> {
    let mut head = Vec::with_capacity(2 * BLOCK);
    emit(one, &mut head);
    layer.write(&head)
}

fn copy(from: &mut dyn Read, one: &CopyEntry, layer: &mut LayerWriter) -> Result<(), LayerError> {
    let mut buffer = vec![0; 128 << 10];
    let start = one.patch.as_ref().map_or(&[][..], |patch| &patch.start);
    let (mut at, end) = (0u64, length(one));
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                // The rest is read and left, so that the layer is verified whole.
                let left = usize::try_from(end.saturating_sub(at)).unwrap_or(count);
                let bytes = &mut buffer[..count.min(left)];
                let patched = start.get(at as usize..).unwrap_or_default();
                for (byte, new) in bytes.iter_mut().zip(patched) {
                    *byte = *new;
                }
                layer.write(bytes)?;
                at += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // The reader keeps the fault itself, and tells it.
            Err(source) => {
                return Err(LayerError::Host {
                    path: one.entry.path.clone(),
                    source,
                });
            }
        }
    }
    layer.write(&[0; BLOCK][..tar::padding(end)])
}
