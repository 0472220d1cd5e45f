//! A folder of web files as one packed file: every answer's head and body are
//! made here, once, and not for each request.
//!
//! The bytes depend on names, contents and rules alone: no clock, no order of
//! the file system, no number of processors. Bodies stay on the host until the
//! layer is written and are checked by their digest then; compressed variants
//! are in memory, since there is no other place for them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ounce_http::packed::{ETAG_BYTES, Encoding, FALLBACK, FIELDS_BYTES, Kind, NOT_FOUND};
use ounce_oci::Digest;
use ounce_oci::digest::Hashing;
use ounce_oci::layer::Piece;
use serde::Serialize;

use super::fields::{Fields, Writer};
use super::follow::Followed;
use super::layout::{self, Entry, Variant};
use super::rules::SiteRules;
use super::variants::{self, COMPRESSED};

/// Longer bodies stand behind all shorter ones: the server maps those, and has
/// the kernel send these.
const LARGE_BYTES: u64 = 64 << 10;

/// What is to be packed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packing {
    /// The files.
    #[serde(flatten)]
    pub site: Followed,
    /// How they are served.
    pub rules: SiteRules,
}

/// A packed site, to be written piece by piece.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The file.
    pub pieces: Arc<[Piece]>,
    /// What is in it.
    pub summary: Summary,
}

/// What a packed site is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files of the folder.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Bytes of the packed file.
    pub packed_bytes: u64,
    /// Those of them that are not compressed variants made here.
    pub plain_bytes: u64,
    /// Files whose content another has, too, so that it stands once.
    pub repeated_files: u64,
    /// Folders that redirect to themselves with a slash.
    pub redirects: u64,
    /// What was compressed, by coding.
    pub variants: Vec<CodingSummary>,
}

/// The variants of one coding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodingSummary {
    /// As in `Content-Encoding`.
    pub coding: &'static str,
    /// How many files have one.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Bytes of their variants.
    pub variant_bytes: u64,
}

/// A site could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Reading a file.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A compressed file beside another that it is not.
    #[error(
        "{} is not {} compressed: {why}", coded.display(), plain.display()
    )]
    Sibling {
        /// The compressed one.
        coded: PathBuf,
        /// The other.
        plain: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A single-page application without its page.
    #[error("site.spa wants an index.html in the folder")]
    NoIndex,
    /// A path that makes a head too long.
    #[error("the head of {path} would have {bytes} bytes, and {FIELDS_BYTES} is the most")]
    LongHead {
        /// The path.
        path: String,
        /// How long.
        bytes: usize,
    },
    /// Past the format's bound.
    #[error("the packed site would have 4 GiB or more")]
    TooLong,
}

impl PackError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Sibling { .. } => {
                "compress it anew, or delete it: ounce makes compressed variants itself"
            }
            Self::LongHead { .. } => "a shorter name, or fewer headers in ounce.toml",
            Self::TooLong => {
                "--plain keeps the folder as files; large downloads are better kept elsewhere"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// A body that is stored, once for all that share it.
struct Body {
    digest: Digest,
    bytes: u64,
    piece: Piece,
    /// Where it is put: the short before the long, the plain before the
    /// compressed, and like to like, which the layer's compression thanks.
    rank: (bool, Encoding, Vec<u8>, Vec<u8>),
}

/// The bodies, by digest.
#[derive(Default)]
struct Bodies {
    all: Vec<Body>,
    numbers: BTreeMap<Digest, usize>,
}

impl Bodies {
    /// The number of a body, which is kept if it is new.
    fn keep(&mut self, digest: Digest, piece: Piece, coding: Encoding, path: &[u8]) -> usize {
        *self.numbers.entry(digest).or_insert_with(|| {
            let bytes = piece.bytes();
            let dot = path.iter().rposition(|&byte| byte == b'.' || byte == b'/');
            let extension = path[dot.unwrap_or(0)..].to_ascii_lowercase();
            self.all.push(Body {
                digest,
                bytes,
                piece,
                rank: (bytes > LARGE_BYTES, coding, extension, path.to_owned()),
            });
            self.all.len() - 1
        })
    }
}

/// A file and what was found out about it.
struct File<'f> {
    path: &'f [u8],
    from: &'f Path,
    body: usize,
    /// Numbers of bodies by coding, that of the plain one last.
    variants: BTreeMap<Encoding, usize>,
}

/// Packs.
///
/// # Errors
/// A file that cannot be read or has changed, a compressed file that is not
/// the one it stands beside, or more than the format holds.
pub fn pack(packing: &Packing) -> Result<Packed, PackError> {
    let mut bodies = Bodies::default();
    let mut files = Vec::with_capacity(packing.site.files.len());
    for file in &packing.site.files {
        let digest = digest(&file.from, file.bytes)?;
        let piece = Piece::Host {
            path: file.from.clone(),
            bytes: file.bytes,
            digest,
        };
        let body = bodies.keep(digest, piece, Encoding::Identity, &file.path);
        files.push(File {
            path: &file.path,
            from: &file.from,
            body,
            variants: BTreeMap::from([(Encoding::Identity, body)]),
        });
    }
    let repeated_files = (files.len() - bodies.all.len()) as u64;
    siblings(&mut files, &bodies)?;
    if packing.rules.compress != Some(false) {
        compress(&mut files, &mut bodies)?;
    }
    let map = map(packing, &files, &bodies)?;
    let order = order(&bodies.all);
    let mut groups = map.groups;
    for variant in groups.iter_mut().flatten() {
        variant.body = variant.body.map(|body| order.place[body]);
    }
    let lengths: Vec<u64> = order
        .bodies
        .iter()
        .map(|&body| bodies.all[body].bytes)
        .collect();
    let tables = layout::tables(&map.entries, &groups, &lengths).ok_or(PackError::TooLong)?;
    let packed_bytes = tables.len() as u64 + lengths.iter().sum::<u64>();
    let made = bodies.all.iter();
    let made = made.filter(|body| body.rank.1 != Encoding::Identity);
    let made_bytes: u64 = made.map(|body| body.bytes).sum();
    let summary = Summary {
        files: files.len() as u64,
        file_bytes: packing.site.files.iter().map(|file| file.bytes).sum(),
        packed_bytes,
        plain_bytes: packed_bytes - made_bytes,
        repeated_files,
        redirects: map.redirects,
        variants: summaries(&files, &bodies.all),
    };
    let mut by_number: Vec<Option<Piece>> = bodies
        .all
        .into_iter()
        .map(|body| Some(body.piece))
        .collect();
    let stored = order
        .bodies
        .iter()
        .filter_map(|&body| by_number[body].take());
    Ok(Packed {
        pieces: std::iter::once(Piece::Bytes(tables))
            .chain(stored)
            .collect(),
        summary,
    })
}

impl Packed {
    /// Writes the packed file.
    ///
    /// # Errors
    /// A file that cannot be read or has changed, or `to` fails.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        for piece in self.pieces.iter() {
            match piece {
                Piece::Bytes(bytes) => to.write_all(bytes)?,
                Piece::Host { path, digest, .. } => {
                    let mut hashing = Hashing::new(&mut *to);
                    io::copy(&mut fs::File::open(path)?, &mut hashing)?;
                    if hashing.into_digest().1 != *digest {
                        return Err(changed());
                    }
                }
            }
        }
        Ok(())
    }
}

fn changed() -> io::Error {
    io::Error::other("it changed while it was packed")
}

fn read(path: &Path, wanted: Option<u64>) -> Result<Vec<u8>, PackError> {
    let bytes = match fs::read(path) {
        Ok(bytes) if wanted.is_none_or(|wanted| wanted == bytes.len() as u64) => Ok(bytes),
        Ok(_) => Err(changed()),
        Err(error) => Err(error),
    };
    bytes.map_err(|source| PackError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The digest of a file, which may be larger than memory.
fn digest(path: &Path, wanted: u64) -> Result<Digest, PackError> {
    let hashed = fs::File::open(path).and_then(|mut file| {
        let mut hashing = Hashing::new(io::sink());
        io::copy(&mut file, &mut hashing)?;
        Ok(hashing.into_digest())
    });
    match hashed {
        Ok((_, digest, bytes)) if bytes == wanted => Ok(digest),
        Ok(_) => Err(changed()),
        Err(error) => Err(error),
    }
    .map_err(|source| PackError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Finds the compressed files that the folder brings, and checks them.
fn siblings(files: &mut [File<'_>], bodies: &Bodies) -> Result<(), PackError> {
    let numbers: BTreeMap<&[u8], usize> = files
        .iter()
        .zip(0..)
        .map(|(file, number)| (file.path, number))
        .collect();
    let mut pairs = Vec::new();
    for (number, file) in files.iter().enumerate() {
        if bodies.all[file.body].bytes > variants::MOST_BYTES {
            continue;
        }
        for coding in COMPRESSED {
            let path = [file.path, variants::suffix(coding).as_bytes()].concat();
            if let Some(&coded) = numbers.get(&path[..]) {
                pairs.push((number, coding, coded));
            }
        }
    }
    let checked = in_parallel(pairs.len(), |at| {
        let (number, coding, coded) = pairs[at];
        let (plain, coded) = (&files[number], &files[coded]);
        variants::is_same(&read(plain.from, None)?, &read(coded.from, None)?, coding).map_err(
            |why| PackError::Sibling {
                coded: coded.from.to_owned(),
                plain: plain.from.to_owned(),
                why,
            },
        )
    });
    for ((number, coding, coded), result) in pairs.into_iter().zip(checked) {
        result?;
        let body = files[coded].body;
        files[number].variants.insert(coding, body);
    }
    Ok(())
}

/// Makes the variants that are worth having, each body's once.
fn compress(files: &mut [File<'_>], bodies: &mut Bodies) -> Result<(), PackError> {
    // By body: a path that makes it worth trying, and the codings that some
    // file lacks.
    let mut jobs: BTreeMap<usize, (&Path, Vec<Encoding>)> = BTreeMap::new();
    for file in files.iter() {
        if !variants::is_worth_trying(file.path, bodies.all[file.body].bytes) {
            continue;
        }
        let (_, wanted) = jobs.entry(file.body).or_insert((file.from, Vec::new()));
        for coding in COMPRESSED {
            if !file.variants.contains_key(&coding) && !wanted.contains(&coding) {
                wanted.push(coding);
            }
        }
    }
    // The longest first, so that no processor is left with it at the end.
    let mut jobs: Vec<_> = jobs.into_iter().collect();
    jobs.sort_by_key(|(body, _)| std::cmp::Reverse(bodies.all[*body].bytes));
    let made = in_parallel(jobs.len(), |at| {
        let (body, (from, wanted)) = &jobs[at];
        let plain = read(from, Some(bodies.all[*body].bytes))?;
        if Digest::of(&plain) != bodies.all[*body].digest {
            let (path, source) = (from.to_path_buf(), changed());
            return Err(PackError::Read { path, source });
        }
        Ok(variants_of(&plain, wanted))
    });
    let mut found: BTreeMap<usize, Vec<(Encoding, Vec<u8>)>> = BTreeMap::new();
    for ((body, _), made) in jobs.into_iter().zip(made) {
        found.insert(body, made?);
    }
    for file in files {
        if !variants::is_worth_trying(file.path, bodies.all[file.body].bytes) {
            continue;
        }
        for (coding, bytes) in found.get(&file.body).into_iter().flatten() {
            if !file.variants.contains_key(coding) {
                let piece = Piece::Bytes(bytes.clone());
                let body = bodies.keep(Digest::of(bytes), piece, *coding, file.path);
                file.variants.insert(*coding, body);
            }
        }
    }
    Ok(())
}

fn variants_of(plain: &[u8], wanted: &[Encoding]) -> Vec<(Encoding, Vec<u8>)> {
    // First, since it is quick and tells whether the rest is worth the time.
    let Some(gzip) = variants::compress(plain, Encoding::Gzip, None) else {
        return Vec::new();
    };
    let mut made = Vec::new();
    for coding in [Encoding::Br, Encoding::Zstd] {
        if wanted.contains(&coding)
            && let Some(bytes) = variants::compress(plain, coding, Some(gzip.len()))
        {
            made.push((coding, bytes));
        }
    }
    if wanted.contains(&Encoding::Gzip) {
        made.push((Encoding::Gzip, gzip));
    }
    made
}

/// Does `count` jobs on all processors; the results are in the jobs' order.
fn in_parallel<T: Send>(count: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(count);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return done;
            }
            done.push((at, job(at)));
        }
    };
    let mut done = thread::scope(|scope| {
        // This thread is one of them.
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What is answered where.
struct Map {
    entries: BTreeMap<Vec<u8>, Entry>,
    groups: Vec<Vec<Variant>>,
    redirects: u64,
}

impl Map {
    fn add(&mut self, path: &[u8], kind: Kind, group: usize) {
        self.entries.insert(path.to_owned(), Entry { kind, group });
    }

    /// Adds a group of variants and gives its number.
    fn group(&mut self, path: &[u8], group: Vec<Variant>) -> Result<usize, PackError> {
        for variant in &group {
            let bytes = variant.fields.bytes.len();
            if bytes > FIELDS_BYTES {
                let path = String::from_utf8_lossy(path).into_owned();
                return Err(PackError::LongHead { path, bytes });
            }
        }
        self.groups.push(group);
        Ok(self.groups.len() - 1)
    }
}

fn map(packing: &Packing, files: &[File<'_>], bodies: &Bodies) -> Result<Map, PackError> {
    const INDEX: &[u8] = b"/index.html";
    let writer = Writer::new(&packing.rules);
    let variants = |file: &File<'_>, fields: &dyn Fn(Encoding, usize) -> Fields| {
        let all = file.variants.iter();
        all.map(|(&coding, &body)| Variant {
            coding,
            fields: fields(coding, body),
            body: Some(body),
        })
        .collect::<Vec<_>>()
    };
    let mut map = Map {
        entries: BTreeMap::new(),
        groups: Vec::new(),
        redirects: 0,
    };
    let mut fallback = None;
    for file in files {
        let varies = file.variants.len() > 1;
        let group = variants(file, &|coding, body| {
            let etag = etag(&bodies.all[body].digest);
            writer.file(file.path, coding, varies, &etag)
        });
        let group = map.group(file.path, group)?;
        map.add(file.path, Kind::File, group);
        if let Some(folder) = file.path.strip_suffix(INDEX) {
            let slashed = [folder, b"/"].concat();
            map.add(&slashed, Kind::File, group);
            if folder.is_empty() {
                fallback = Some((Kind::File, group));
            } else {
                let fields = writer.redirect(&slashed);
                let redirect = Variant {
                    coding: Encoding::Identity,
                    fields,
                    body: None,
                };
                let group = map.group(folder, vec![redirect])?;
                map.add(folder, Kind::Redirect, group);
                map.redirects += 1;
            }
        }
    }
    if packing.rules.spa != Some(true) {
        fallback = None;
    } else if fallback.is_none() {
        return Err(PackError::NoIndex);
    }
    if let Some(file) = files.iter().find(|file| file.path == b"/404.html") {
        let varies = file.variants.len() > 1;
        let group = variants(file, &|coding, _| {
            writer.not_found(file.path, coding, varies)
        });
        let group = map.group(file.path, group)?;
        map.add(NOT_FOUND, Kind::NotFound, group);
        fallback = fallback.or(Some((Kind::NotFound, group)));
    }
    if let Some((kind, group)) = fallback {
        map.add(FALLBACK, kind, group);
    }
    Ok(map)
}

/// Bodies in the order they are stored, and each one's place in it.
struct Order {
    bodies: Vec<usize>,
    place: Vec<usize>,
}

fn order(bodies: &[Body]) -> Order {
    let mut order: Vec<usize> = (0..bodies.len()).collect();
    order.sort_by_key(|&body| {
        let (is_large, coding, extension, path) = &bodies[body].rank;
        // What is not compressed comes first.
        (
            *is_large,
            *coding != Encoding::Identity,
            extension,
            path,
            *coding,
        )
    });
    let mut place = vec![0; bodies.len()];
    for (at, &body) in order.iter().enumerate() {
        place[body] = at;
    }
    Order {
        bodies: order,
        place,
    }
}

/// The entity tag of a body: 96 bits of its SHA-256 in base64url, in quotes.
fn etag(digest: &Digest) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hex = digest.hex();
    let mut tag = String::with_capacity(ETAG_BYTES);
    tag.push('"');
    // Three hexadecimal digits are two of base64.
    for three in hex.as_bytes()[..24].chunks_exact(3) {
        let value = three.iter().fold(0, |value, &digit| {
            value << 4 | char::from(digit).to_digit(16).unwrap_or(0) as usize
        });
        tag.extend([value >> 6, value & 63].map(|digit| char::from(DIGITS[digit])));
    }
    tag.push('"');
    tag
}

fn summaries(files: &[File<'_>], bodies: &[Body]) -> Vec<CodingSummary> {
    let of = |coding: Encoding| {
        let having: Vec<(u64, u64)> = files
            .iter()
            .filter_map(|file| {
                let variant = *file.variants.get(&coding)?;
                Some((bodies[file.body].bytes, bodies[variant].bytes))
            })
            .collect();
        CodingSummary {
            coding: variants::name(coding).unwrap_or("identity"),
            files: having.len() as u64,
            file_bytes: having.iter().map(|(plain, _)| plain).sum(),
            variant_bytes: having.iter().map(|(_, coded)| coded).sum(),
        }
    };
    let all = COMPRESSED.map(of);
    all.into_iter()
        .filter(|summary| summary.files > 0)
        .collect()
}
