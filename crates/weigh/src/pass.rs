//! The one pass over an image's layers: every content is read once, as it
//! streams by, and what will be asked of it later is kept in a few words.
//!
//! Programs are held in memory while they are looked into, one at a time and up
//! to a bound; all else goes by in pieces. So a large image takes memory by its
//! number of files, not by its bytes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ounce_oci::layer::{LayerError, ReadKind, ReadLimits};
use ounce_oci::{Digest, Image};
use ounce_rootfs::elf::{ElfFacts, Kind, Relro};
use ounce_rootfs::package::{Catalogue, Packages};
use ounce_rootfs::secret;
use ounce_rootfs::tree::{Builder, ContentId, Tree, TreeError};

use crate::kind::FileKind;
use crate::shares::Sharing;

/// Bytes by which a file's kind is told.
const HEAD: usize = 512;
/// Largest program that is looked into.
const PROGRAM_BYTES: u64 = 128 << 20;
/// Bytes of a file whose first ones say that it may hold a secret.
const SECRET_BYTES: u64 = 64 << 10;

/// What is kept of a content.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Its part of the layer's blob.
    pub(crate) compressed: u64,
    pub(crate) kind: FileKind,
    /// To find the same bytes again.
    pub(crate) digest: Digest,
    /// What few files have.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Default)]
struct Rare {
    elf: Option<ElfSummary>,
    /// Why a program could not be looked into.
    fault: Option<String>,
    /// A private key or a token, by its form.
    secret: Option<&'static str>,
}

impl Facts {
    pub(crate) fn elf(&self) -> Option<&ElfSummary> {
        self.rare.as_ref()?.elf.as_ref()
    }

    pub(crate) fn fault(&self) -> Option<&str> {
        self.rare.as_ref()?.fault.as_deref()
    }

    pub(crate) fn secret(&self) -> Option<&'static str> {
        self.rare.as_ref()?.secret
    }
}

/// The facts of all contents, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct AllFacts(Vec<Facts>);

impl AllFacts {
    pub(crate) fn get(&self, id: ContentId) -> Option<&Facts> {
        self.0.get(id.index())
    }
}

/// What is kept of a program or library.
#[derive(Debug, Clone)]
pub(crate) struct ElfSummary {
    pub(crate) kind: Kind,
    pub(crate) pie: bool,
    pub(crate) relro: Relro,
    pub(crate) nx: bool,
    pub(crate) writable_code: bool,
    /// It checks its stack on return.
    pub(crate) canary: bool,
    /// It calls the checked forms of libc's functions.
    pub(crate) fortify: bool,
    /// Symbols and debug information that stripping takes away.
    pub(crate) strippable_bytes: u64,
}

/// All that one pass finds.
pub(crate) struct Found {
    pub(crate) tree: Tree,
    pub(crate) facts: AllFacts,
    pub(crate) packages: Packages,
    /// Entries of each layer.
    pub(crate) entries: Vec<u64>,
    /// Of each layer's blob, what no file's content takes.
    pub(crate) overhead: Vec<u64>,
    /// Files with capabilities (`security.capability`), by path.
    pub(crate) capable: Vec<PathBuf>,
}

/// What ends the walk over a layer.
pub(crate) enum Stop {
    Layer(Box<LayerError>),
    Tree(Box<TreeError>),
    Read(io::Error),
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        Self::Layer(Box::new(error))
    }
}

/// Reads every layer once, whole.
pub(crate) fn pass(image: &Image) -> Result<Found, (Digest, Stop)> {
    let mut builder = Builder::default();
    let mut catalogue = Catalogue::default();
    let mut facts = AllFacts::default();
    let mut found = (Vec::new(), Vec::new(), Vec::new());
    let (entries, overhead, capable) = (&mut found.0, &mut found.1, &mut found.2);
    for layer in &image.layers {
        builder.begin_layer();
        let blob = layer.descriptor.size();
        let mut sharing = Sharing::new(blob);
        let (mut unpacked, mut count, mut files) = (0, 0, 0);
        let at = |stop: Stop| (layer.digest, stop);
        let reader = image
            .open_layer(layer, ReadLimits::default())
            .map_err(|error| at(error.into()))?;
        let progress = reader.progress();
        let give = |facts: &mut AllFacts, files: &mut u64, id: Option<ContentId>, share| {
            if let Some(one) = id.and_then(|id| facts.0.get_mut(id.index())) {
                one.compressed = share;
                *files += share;
            }
        };
        reader
            .for_each(|entry, from| {
                let (path, size) = (entry.path.as_path(), entry.size);
                let content = builder
                    .entry(&entry)
                    .map_err(|error| Stop::Tree(Box::new(error)))?;
                let content = content.filter(|_| entry.kind == ReadKind::File);
                if let Some(id) = content {
                    let one = look(path, entry.size, from, id, &mut catalogue);
                    // Contents are numbered as they come.
                    facts.0.push(one.map_err(Stop::Read)?);
                }
                if entry
                    .xattrs
                    .iter()
                    .any(|(name, _)| name == "security.capability")
                {
                    capable.push(entry.path);
                }
                count += 1;
                unpacked += 512 + size.next_multiple_of(512);
                let end = (unpacked, progress.compressed_bytes());
                sharing.entry_ends(content, end, |id, share| {
                    give(&mut facts, &mut files, id, share);
                });
                Ok(())
            })
            .map_err(at)?;
        sharing.finish(|id, share| give(&mut facts, &mut files, id, share));
        entries.push(count);
        overhead.push(blob.saturating_sub(files));
    }
    let tree = builder.finish();
    let packages = catalogue.finish(&tree);
    let (entries, overhead, capable) = found;
    Ok(Found {
        tree,
        facts,
        packages,
        entries,
        overhead,
        capable,
    })
}

/// Reads a content to its end.
fn look(
    path: &Path,
    bytes: u64,
    from: &mut dyn Read,
    id: ContentId,
    catalogue: &mut Catalogue,
) -> io::Result<Facts> {
    let mut hashing = ounce_oci::digest::Hashing::new(from);
    let mut head = Vec::with_capacity(HEAD);
    (&mut hashing).take(HEAD as u64).read_to_end(&mut head)?;
    let mut facts = Facts {
        compressed: 0,
        kind: FileKind::of(path, &head, bytes == 0),
        digest: Digest::of(b""),
        rare: None,
    };
    let mut rare = Rare::default();
    let is_elf = head.starts_with(b"\x7fELF");
    let is_record = catalogue.wants(path, bytes);
    let may_be_secret = bytes <= SECRET_BYTES && !head.contains(&0);
    if is_elf && bytes > PROGRAM_BYTES {
        rare.fault = Some(format!("too large to be looked into: {bytes} bytes"));
    }
    if is_record || may_be_secret || (is_elf && bytes <= PROGRAM_BYTES) {
        let mut data = head;
        hashing.read_to_end(&mut data)?;
        if is_elf {
            match ElfFacts::read(&data) {
                Ok(elf) => rare.elf = Some(summary(&elf, &data)),
                Err(fault) => rare.fault = Some(fault.to_string()),
            }
            catalogue.program(id, path, &data);
            rare.secret = secret::has_private_key(&data).then_some("a private key");
        } else {
            rare.secret = secret::find(path, &data);
        }
        if is_record {
            catalogue.keep(id, data);
        }
    } else {
        io::copy(&mut hashing, &mut io::sink())?;
    }
    let Rare { elf, fault, secret } = &rare;
    if elf.is_some() || fault.is_some() || secret.is_some() {
        facts.rare = Some(Box::new(rare));
    }
    facts.digest = hashing.into_digest().1;
    Ok(facts)
}

fn summary(elf: &ElfFacts, data: &[u8]) -> ElfSummary {
    let holds = |text: &[u8]| memchr::memmem::find(data, text).is_some();
    ElfSummary {
        kind: elf.kind,
        pie: elf.hardening.pie,
        relro: elf.hardening.relro,
        nx: elf.hardening.nx,
        writable_code: elf.hardening.writable_code,
        canary: holds(b"__stack_chk_fail"),
        fortify: holds(b"_chk\0"),
        strippable_bytes: elf.symbol_bytes + elf.debug_bytes,
    }
}
