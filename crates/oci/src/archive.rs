//! An archive of images as a file: where each member lies in it, so that
//! members are read in any order, and writing one.
//!
//! A compressed archive is first unpacked into a temporary file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blobs::{BlobError, open_plain};
use crate::compression::Compression;
use crate::compression::read::{Bounded, decompress};
use crate::output::Output;
use crate::sink::Scratch;
use crate::tar::read::{Fault, TarReader, normal};
use crate::tar::{self, BLOCK, Fields};

/// Most members. An archive has a few for each layer of each image.
const MOST_MEMBERS: u64 = 1_000_000;

/// Most bytes that a compressed archive may unpack to, beside 1,100 times its size.
const MOST_BYTES: u64 = 256 << 30;

/// Longest chain of links; docker's have one.
const MOST_LINKS: usize = 8;

/// An archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system refused.
    #[error("reading {path}")]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The archive or a member breaks a rule.
    #[error("archive {path}, at member {member:?}")]
    Member {
        /// The archive.
        path: PathBuf,
        /// The member, or the one before.
        member: String,
        /// The rule.
        #[source]
        fault: Fault,
    },
    /// A member is not there.
    #[error("archive {path} has no {member}")]
    Missing {
        /// The archive.
        path: PathBuf,
        /// The member.
        member: String,
    },
    /// A member is larger than what it is may be.
    #[error("archive {path}: {member} is {size_bytes} bytes, more than {limit_bytes}")]
    TooLarge {
        /// The archive.
        path: PathBuf,
        /// The member.
        member: String,
        /// Its size.
        size_bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// A member is not the JSON it should be.
    #[error("archive {path}: {member} is not valid")]
    Json {
        /// The archive.
        path: PathBuf,
        /// The member.
        member: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// It is no archive of images.
    #[error("{path}: {why}")]
    Content {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The temporary file cannot be written.
    #[error(transparent)]
    Write(#[from] BlobError),
}

/// Where a member's content lies, or what it links to.
#[derive(Debug, Clone)]
enum Member {
    Content { from: u64, size: u64 },
    Link(String),
}

/// An archive and where its members are.
pub(crate) struct Archive {
    path: PathBuf,
    file: Arc<File>,
    members: HashMap<String, Member>,
    /// Goes with the archive when that had to be unpacked.
    _scratch: Option<Scratch>,
}

impl Archive {
    /// Opens the archive at `path`; `scratch` is where a compressed one is unpacked.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, ArchiveError> {
        let read_error = |source| ArchiveError::Read {
            path: path.to_owned(),
            source,
        };
        let file = open_plain(path).map_err(read_error)?;
        let size = file.metadata().map_err(read_error)?.len();
        let mut first = [0; 4];
        let count = file.read_at(&mut first, 0).map_err(read_error)?;
        let (file, scratch) = match Compression::sniff(&first[..count]) {
            Compression::None => (Arc::new(file), None),
            compression => {
                let most = size.saturating_mul(1100).clamp(64 << 20, MOST_BYTES);
                let (file, scratch) = unpack(path, file, compression, most, scratch)?;
                (Arc::new(file), Some(scratch))
            }
        };
        let members = members(path, &file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            members,
            _scratch: scratch,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a member, through links, and tells its size.
    pub(crate) fn member(&self, name: &str) -> Result<(MemberReader, u64), ArchiveError> {
        let missing = || ArchiveError::Missing {
            path: self.path.clone(),
            member: name.to_owned(),
        };
        let mut at = normal(name).map_err(|_| missing())?;
        for _ in 0..MOST_LINKS {
            match self.members.get(&at).ok_or_else(missing)? {
                Member::Content { from, size } => {
                    let reader = MemberReader {
                        file: Arc::clone(&self.file),
                        at: *from,
                        left: *size,
                    };
                    return Ok((reader, *size));
                }
                Member::Link(target) => at.clone_from(target),
            }
        }
        Err(missing())
    }

    /// Reads a member whole.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let (mut reader, size) = self.member(name)?;
        if size > limit {
            return Err(ArchiveError::TooLarge {
                path: self.path.clone(),
                member: name.to_owned(),
                size_bytes: size,
                limit_bytes: limit,
            });
        }
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|source| self.read_error(source))?;
        Ok(bytes)
    }

    pub(crate) fn read_error(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Read {
            path: self.path.clone(),
            source,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }
}

/// Whether a file begins as a tar does, or as one that is compressed.
pub(crate) fn is_archive(path: &Path) -> Result<bool, ArchiveError> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BLOCK as u64).read_to_end(&mut head))
        .map_err(|source| ArchiveError::Read {
            path: path.to_owned(),
            source,
        })?;
    // POSIX ustar and GNU tar have it there; RFC 1952; RFC 8878.
    Ok(head.get(257..262) == Some(b"ustar")
        || head.starts_with(b"\x1f\x8b")
        || head.starts_with(b"\x28\xb5\x2f\xfd"))
}

/// Reads one member's bytes, whatever else reads the same file.
pub(crate) struct MemberReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for MemberReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn unpack(
    path: &Path,
    file: File,
    compression: Compression,
    most: u64,
    scratch: &Path,
) -> Result<(File, Scratch), ArchiveError> {
    let member_error = |source: io::Error| ArchiveError::Member {
        path: path.to_owned(),
        member: String::new(),
        fault: source.into(),
    };
    let mut stream = Bounded::new(decompress(file, compression).map_err(member_error)?, most);
    let mut scratch = Scratch::new(scratch)?;
    let target = scratch.path().to_owned();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(member_error(source)),
        };
        scratch
            .file()
            .write_all(&buffer[..count])
            .map_err(|source| BlobError::Write {
                path: target.clone(),
                source,
            })?;
    }
    let file = scratch.file().try_clone().map_err(member_error)?;
    Ok((file, scratch))
}

fn members(path: &Path, file: &Arc<File>) -> Result<HashMap<String, Member>, ArchiveError> {
    let mut last = String::new();
    let whole = MemberReader {
        file: Arc::clone(file),
        at: 0,
        left: u64::MAX,
    };
    // To the scanner the file's end is the archive's.
    let stream = BufReader::with_capacity(64 << 10, UntilEnd(whole));
    let mut tar = TarReader::new(stream, MOST_MEMBERS);
    let mut members = HashMap::new();
    loop {
        let scanned = tar.next().and_then(|raw| {
            let Some(raw) = raw else {
                return Ok(None);
            };
            last.clone_from(&raw.path);
            let name = normal(&raw.path)?;
            let member = match raw.kind {
                b'0' => Some(Member::Content {
                    from: tar.position(),
                    size: raw.size,
                }),
                b'1' => Some(Member::Link(normal(&raw.link)?)),
                b'2' => Some(Member::Link(resolve(&name, &raw.link)?)),
                _ => None,
            };
            Ok(Some((name, member)))
        });
        match scanned {
            Ok(None) => return Ok(members),
            Ok(Some((_, None))) => {}
            Ok(Some((name, Some(member)))) => {
                if members.insert(name, member).is_some() {
                    return Err(ArchiveError::Member {
                        path: path.to_owned(),
                        member: last,
                        fault: Fault::Twice,
                    });
                }
            }
            Err(fault) => {
                return Err(ArchiveError::Member {
                    path: path.to_owned(),
                    member: last,
                    fault,
                });
            }
        }
    }
}

struct UntilEnd(MemberReader);

impl Read for UntilEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result,
        }
    }
}

/// A symbolic link's target as a member's name: `../ID/layer.tar` from `ID2/layer.tar`.
fn resolve(from: &str, target: &str) -> Result<String, Fault> {
    if target.starts_with('/') {
        return Err(Fault::LinkOut(target.to_owned()));
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(Fault::LinkOut(target.to_owned()));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Writes an archive, which is in its place at the end only.
pub(crate) struct ArchiveWriter {
    target: PathBuf,
    out: BufWriter<Output>,
}

impl ArchiveWriter {
    pub(crate) fn new(target: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            target: target.to_owned(),
            out: BufWriter::with_capacity(128 << 10, Output::create(target)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.out
            .write_all(bytes)
            .map_err(|source| BlobError::Write {
                path: self.target.clone(),
                source,
            })
    }

    fn head(&mut self, path: &str, kind: u8, mode: u32, size: u64) -> Result<(), BlobError> {
        let mut head = Vec::new();
        let fields = Fields {
            path,
            kind,
            mode,
            uid: 0,
            gid: 0,
            size,
            mtime: 0,
            link: "",
        };
        tar::emit(&fields, &mut head);
        self.write(&head)
    }

    /// Adds a folder; `path` ends with a slash.
    pub(crate) fn folder(&mut self, path: &str) -> Result<(), BlobError> {
        self.head(path, b'5', 0o755, 0)
    }

    /// Adds a member from memory.
    pub(crate) fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.stream(path, bytes.len() as u64, &mut &*bytes)
    }

    /// Adds a member of `size` bytes from a stream that has as many.
    pub(crate) fn stream(
        &mut self,
        path: &str,
        size: u64,
        from: &mut dyn Read,
    ) -> Result<(), BlobError> {
        self.head(path, b'0', 0o644, size)?;
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = match from.read(&mut buffer[..most]) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result,
            }
            .map_err(|source| BlobError::Read {
                path: PathBuf::from(path),
                source,
            })?;
            self.write(&buffer[..count])?;
            left -= count as u64;
        }
        self.write(&[0; BLOCK][..tar::padding(size)])
    }

    /// Ends the archive and puts it in place.
    pub(crate) fn publish(mut self) -> Result<(), BlobError> {
        self.write(&[0; 2 * BLOCK])?;
        let out = self.out.into_inner();
        let out = out.map_err(|error| BlobError::Write {
            path: self.target,
            source: error.into_error(),
        })?;
        out.publish()
    }
}
