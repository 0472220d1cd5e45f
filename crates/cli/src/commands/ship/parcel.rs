//! What of an image's files goes to a machine: all of them, or what differs from those
//! that the machine has said to have.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ounce_delta::pack::bundle::{self, File};
use ounce_oci::Digest;
use ounce_ship::ssh::{self, ASSEMBLY, Made};
use serde::Serialize;

/// A tar stream on its way.
pub(super) type Archive<'a> = tar::Builder<&'a mut dyn io::Write>;

/// Larger files are sent whole: a delta takes eight times their size in memory.
const MOST_PATCHED: u64 = 128 << 20;

/// How many files come in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// As they are there.
    pub(super) same_files: usize,
    /// By a delta from what is there.
    pub(super) patched_files: usize,
    /// Whole.
    pub(super) sent_files: usize,
}

/// Files on their way.
pub(super) struct Parcel<'a> {
    root: &'a Path,
    /// What is sent as it is, from the root on; folders before what is in them.
    sent: Vec<PathBuf>,
    /// What is made there, by which deltas, and the digests of it.
    made: Vec<Made>,
    deltas: Vec<Vec<u8>>,
    sums: String,
    /// Bytes of all files.
    pub(super) whole_bytes: u64,
    pub(super) tally: Tally,
}

impl<'a> Parcel<'a> {
    /// All files below a folder.
    pub(super) fn whole(root: &'a Path) -> io::Result<Self> {
        let mut parcel = Self {
            root,
            sent: Vec::new(),
            made: Vec::new(),
            deltas: Vec::new(),
            sums: String::new(),
            whole_bytes: 0,
            tally: Tally::default(),
        };
        walk(root, Path::new(""), &mut |path, metadata| {
            if metadata.is_file() {
                parcel.whole_bytes += metadata.len();
                parcel.tally.sent_files += 1;
            }
            parcel.sent.push(path);
            Ok(())
        })?;
        Ok(parcel)
    }

    /// What differs from files of which `sums` tells, as `sha256sum` does. Those below
    /// `old`, if it is known here, are what deltas begin at. None if nothing is alike, or
    /// a file cannot be read.
    pub(super) fn new(root: &'a Path, sums: &str, old: Option<&Path>) -> Option<Self> {
        let there: HashMap<&str, &str> = sums.lines().filter_map(line).collect();
        let by_digest: HashMap<&str, &str> = there
            .iter()
            .map(|(path, digest)| (*digest, *path))
            .collect();
        let whole = Self::whole(root).ok()?;
        let mut parcel = Self {
            sent: Vec::new(),
            tally: Tally::default(),
            ..whole
        };
        for path in whole.sent {
            if path.starts_with(ASSEMBLY) {
                return None;
            }
            let full = root.join(&path);
            let metadata = fs::symlink_metadata(&full).ok()?;
            let name = path.to_str().filter(|name| is_plain(name));
            let (true, Some(name)) = (metadata.is_file(), name) else {
                parcel.tally.sent_files += usize::from(metadata.is_file());
                parcel.sent.push(path);
                continue;
            };
            let bytes = fs::read(&full).ok()?;
            let digest = Digest::of(&bytes).hex();
            let made = |from: &str, delta| Made {
                from: from.to_owned(),
                to: name.to_owned(),
                delta,
                executable: is_program(&metadata),
            };
            if let Some(from) = by_digest.get(&*digest) {
                parcel.tally.same_files += 1;
                parcel.made.push(made(from, None));
            } else if let Some(delta) = delta(old, name, there.get(name).copied(), &bytes) {
                parcel.tally.patched_files += 1;
                parcel.made.push(made(name, Some(parcel.deltas.len())));
                parcel.deltas.push(delta);
            } else {
                parcel.tally.sent_files += 1;
                parcel.sent.push(path);
                continue;
            }
            parcel.sums.push_str(&format!("{digest}  {name}\n"));
        }
        (!parcel.made.is_empty()).then_some(parcel)
    }

    /// Writes what is sent.
    pub(super) fn write(&self, archive: &mut Archive<'_>) -> io::Result<()> {
        if !self.made.is_empty() {
            let script = ssh::assembly(&self.made);
            add(archive, "script", script.as_bytes())?;
            add(archive, "sums", self.sums.as_bytes())?;
        }
        for (number, delta) in self.deltas.iter().enumerate() {
            add(archive, &number.to_string(), delta)?;
        }
        for path in &self.sent {
            archive.append_path_with_name(self.root.join(path), path)?;
        }
        Ok(())
    }
}

/// A file of the assembly.
fn add(archive: &mut Archive<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, format!("{ASSEMBLY}/{name}"), bytes)
}

/// `DIGEST  ./PATH`. A name that `sha256sum` writes otherwise is none of ours.
fn line(line: &str) -> Option<(&str, &str)> {
    let (digest, path) = line.split_once("  ./")?;
    (digest.len() == 64 && is_plain(path)).then_some((path, digest))
}

fn is_plain(name: &str) -> bool {
    !name.contains(['\n', '\r', '\\'])
}

fn is_program(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // As a tar stream without a mode of its own has it.
    metadata.permissions().mode() & 0o100 != 0
}

/// The delta to a file from the one of that name that the machine has, if it is known
/// here and the delta is smaller than the file.
fn delta(old: Option<&Path>, name: &str, digest: Option<&str>, new: &[u8]) -> Option<Vec<u8>> {
    let path = old?.join(name);
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len().max(new.len() as u64) > MOST_PATCHED {
        return None;
    }
    let old = fs::read(path).ok()?;
    if Digest::of(&old).hex() != digest? {
        return None;
    }
    let whole = |bytes: &[u8]| File {
        name: "file".to_owned(),
        range: 0..bytes.len(),
    };
    let (delta, _) = bundle::bundle(&old, &[whole(&old)], new, &[whole(new)]).ok()?;
    (delta.len() < new.len()).then_some(delta)
}

type See<'s> = dyn FnMut(PathBuf, &fs::Metadata) -> io::Result<()> + 's;

/// Shows everything below a folder, sorted, folders before what is in them.
fn walk(root: &Path, below: &Path, see: &mut See<'_>) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(below))? {
        names.push(entry?.file_name());
    }
    names.sort();
    for name in names {
        let path = below.join(name);
        let metadata = fs::symlink_metadata(root.join(&path))?;
        let is_folder = metadata.is_dir();
        see(path.clone(), &metadata)?;
        if is_folder {
            walk(root, &path, see)?;
        }
    }
    Ok(())
}
