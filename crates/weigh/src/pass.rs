//! The one pass over an image's layers: every content is read once, as it
//! streams by, and what will be asked of it later is kept in a few words.
//!
//! Programs are held in memory while they are looked into, one at a time and up
//! to a bound; all else goes by in pieces. So a large image takes memory by its
//! number of files, not by its bytes.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use ounce_oci::layer::{LayerError, ReadKind, ReadLimits};
use ounce_oci::{Digest, Image};
use ounce_rootfs::elf::{ElfFacts, Kind, Relro};
use ounce_rootfs::package::{Catalogue, Packages};
use ounce_rootfs::secret;
use ounce_rootfs::tree::{Builder, ContentId, Tree, TreeError};

use crate::kind::FileKind;
use crate::shares::Boundaries;

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
    pub(crate) elf: Option<ElfSummary>,
    /// Why a program could not be looked into.
    pub(crate) fault: Option<String>,
    /// A private key or a token, by its form.
    pub(crate) secret: Option<&'static str>,
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
    pub(crate) facts: HashMap<ContentId, Facts>,
    pub(crate) packages: Packages,
    /// Entries of each layer.
    pub(crate) entries: Vec<u64>,
    /// Of each layer's blob, what no file's content takes.
    pub(crate) overhead: Vec<u64>,
    /// Files with capabilities (`security.capability`), by path.
    pub(crate) capable: Vec<String>,
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
    let mut facts = HashMap::new();
    let mut found = (Vec::new(), Vec::new(), Vec::new());
    let (entries, overhead, capable) = (&mut found.0, &mut found.1, &mut found.2);
    for layer in &image.layers {
        builder.begin_layer();
        let mut boundaries = Boundaries::default();
        let mut ids = Vec::new();
        let mut unpacked = 0;
        let at = |stop: Stop| (layer.digest, stop);
        let reader = image
            .open_layer(layer, ReadLimits::default())
            .map_err(|error| at(error.into()))?;
        let progress = reader.progress();
        reader
            .for_each(|entry, from| {
                let path = Path::new(&entry.path);
                let content = builder
                    .entry(&entry)
                    .map_err(|error| Stop::Tree(Box::new(error)))?;
                let content = content.filter(|_| entry.kind == ReadKind::File);
                if let Some(id) = content {
                    let one = look(path, entry.size, from, id, &mut catalogue);
                    facts.insert(id, one.map_err(Stop::Read)?);
                }
                if entry
                    .xattrs
                    .iter()
                    .any(|(name, _)| name == "security.capability")
                {
                    capable.push(format!("/{}", entry.path));
                }
                ids.push(content);
                unpacked += 512 + entry.size.next_multiple_of(512);
                boundaries.entry_ends(unpacked, progress.compressed_bytes());
                Ok(())
            })
            .map_err(at)?;
        let blob = layer.descriptor.size();
        let mut files = 0;
        for (id, share) in ids.iter().zip(boundaries.shares(blob)) {
            if let Some(one) = id.and_then(|id| facts.get_mut(&id)) {
                one.compressed = share;
                files += share;
            }
        }
        entries.push(ids.len() as u64);
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
        elf: None,
        fault: None,
        secret: None,
    };
    let is_elf = head.starts_with(b"\x7fELF");
    let is_record = catalogue.wants(path, bytes);
    let may_be_secret = bytes <= SECRET_BYTES && !head.contains(&0);
    if is_elf && bytes > PROGRAM_BYTES {
        facts.fault = Some(format!("too large to be looked into: {bytes} bytes"));
    }
    if is_record || may_be_secret || (is_elf && bytes <= PROGRAM_BYTES) {
        let mut data = head;
        hashing.read_to_end(&mut data)?;
        if is_elf {
            match ElfFacts::read(&data) {
                Ok(elf) => facts.elf = Some(summary(&elf, &data)),
                Err(fault) => facts.fault = Some(fault.to_string()),
            }
            catalogue.program(id, path, &data);
            facts.secret = secret::has_private_key(&data).then_some("a private key");
        } else {
            facts.secret = secret::find(path, &data);
        }
        if is_record {
            catalogue.keep(id, data);
        }
    } else {
        io::copy(&mut hashing, &mut io::sink())?;
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
