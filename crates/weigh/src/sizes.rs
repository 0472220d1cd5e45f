//! The sizes of an image: what is pulled, what is unpacked, which files take
//! it, and what nobody ever sees.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use ounce_oci::layer::{LayerError, ReadKind, ReadLimits};
use ounce_oci::{ByteSize, Digest, Image};
use ounce_rootfs::content::{self, ContentError};
use ounce_rootfs::tree::{Builder, ContentId, Hiding, LookupError, NodeKind, Tree, TreeError};
use ounce_rootfs::{ElfFacts, Script};
use serde::Serialize;

use crate::deflated;

/// Files and wasted contents that are listed one by one.
const LISTED: usize = 20;
/// Largest program that is read into memory to be looked into.
const PROGRAM_BYTES: u64 = 1 << 30;
/// Where a bare command is looked for when the image sets no `PATH`: as
/// docker and containerd do.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What one image, for one platform, weighs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weight {
    /// The manifest's digest.
    pub digest: String,
    /// What it is for.
    pub platform: String,
    /// What a registry sends: manifest, configuration and layers.
    pub pulled_bytes: ByteSize,
    /// The manifest.
    pub manifest_bytes: ByteSize,
    /// The configuration.
    pub config_bytes: ByteSize,
    /// The layers, lowest first.
    pub layers: Vec<LayerWeight>,
    /// Contents of all files that can be seen; hard links count once.
    pub unpacked_bytes: ByteSize,
    /// Files, every name.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Device nodes and named pipes.
    pub specials: u64,
    /// Programs that run as another user than the one who starts them.
    pub set_id_files: u64,
    /// The largest files, by compressed bytes.
    pub largest: Vec<FileWeight>,
    /// What is pulled and never seen.
    pub waste: Waste,
    /// What the image starts.
    pub program: Option<Program>,
    /// How compressed bytes were attributed to files.
    pub method: &'static str,
}

/// What a layer weighs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerWeight {
    /// The blob's digest.
    pub digest: String,
    /// The blob.
    pub compressed_bytes: ByteSize,
    /// Contents of its files.
    pub content_bytes: ByteSize,
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Of its contents, what other layers hide.
    pub hidden_bytes: ByteSize,
}

/// What a file weighs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileWeight {
    /// Its path from the root.
    pub path: String,
    /// Its content.
    pub bytes: ByteSize,
    /// Its share of the layer's blob.
    pub compressed_bytes: ByteSize,
    /// Which layer, from 0, the lowest.
    pub layer: usize,
}

/// What is pulled and never seen, each content once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waste {
    /// Contents.
    pub files: u64,
    /// Their bytes.
    pub bytes: ByteSize,
    /// Their share of the layers' blobs.
    pub compressed_bytes: ByteSize,
    /// Of the bytes, those something else took the path of.
    pub overwritten_bytes: ByteSize,
    /// Of the bytes, those a whiteout took away.
    pub deleted_bytes: ByteSize,
    /// The largest.
    pub largest: Vec<FileWeight>,
}

/// What the image starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// As the configuration names it.
    pub command: String,
    /// Where that leads.
    pub path: Option<String>,
    /// Its size.
    pub bytes: ByteSize,
    /// Facts of the ELF file.
    pub elf: Option<ElfFacts>,
    /// For a script, the program that runs it.
    pub interpreter: Option<String>,
    /// Why nothing is known of it.
    pub fault: Option<String>,
}

/// An image could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A layer cannot be opened or read.
    #[error("reading layer {digest}")]
    Layer {
        /// The layer's blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: Box<LayerError>,
    },
    /// A layer names what cannot be.
    #[error("merging layer {digest}")]
    Tree {
        /// The layer's blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: Box<TreeError>,
    },
    /// A file in a layer cannot be read.
    #[error("reading the files of layer {digest}")]
    Read {
        /// The layer's blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The program cannot be read.
    #[error("reading the program of the image")]
    Program(#[source] Box<ContentError>),
}

/// What ends the walk over a layer.
enum Stop {
    Layer(Box<LayerError>),
    Tree(Box<TreeError>),
    Read(io::Error),
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        Self::Layer(Box::new(error))
    }
}

impl Stop {
    fn of(self, digest: Digest) -> MeasureError {
        match self {
            Self::Layer(source) => MeasureError::Layer { digest, source },
            Self::Tree(source) => MeasureError::Tree { digest, source },
            Self::Read(source) => MeasureError::Read { digest, source },
        }
    }
}

/// Measures an image. Every layer is read once, whole, and its program once more.
///
/// # Errors
/// A layer is not valid or cannot be read.
pub fn measure(image: &Image) -> Result<Weight, MeasureError> {
    let mut builder = Builder::default();
    let mut compressed: HashMap<ContentId, u64> = HashMap::new();
    let mut entries = Vec::with_capacity(image.layers.len());
    for layer in &image.layers {
        builder.begin_layer();
        let mut count = 0;
        let mut ids = Vec::new();
        let mut alone = Vec::new();
        image
            .open_layer(layer, ReadLimits::default())
            .map_err(|source| Stop::from(source).of(layer.digest))?
            .for_each(|entry, from| {
                count += 1;
                let content = builder
                    .entry(&entry)
                    .map_err(|error| Stop::Tree(Box::new(error)))?;
                if let (Some(id), ReadKind::File) = (content, &entry.kind) {
                    ids.push(id);
                    alone.push(deflated::size(from).map_err(Stop::Read)?);
                }
                Ok(())
            })
            .map_err(|stop: Stop| stop.of(layer.digest))?;
        let shares = deflated::share(layer.descriptor.size(), &alone);
        compressed.extend(ids.into_iter().zip(shares));
        entries.push(count);
    }
    let tree = builder.finish();
    let waste = waste(&tree, &compressed);
    let count =
        |is: fn(&NodeKind) -> bool| tree.iter().filter(|(_, node)| is(&node.kind)).count() as u64;
    let set_id = |mode: u32| mode & 0o6000 != 0;
    Ok(Weight {
        digest: image.digest.to_string(),
        platform: image.platform.to_string(),
        pulled_bytes: ByteSize(image.pulled_bytes()),
        manifest_bytes: ByteSize(image.descriptor.size()),
        config_bytes: ByteSize(image.manifest.config().size()),
        layers: layers(image, &tree, &entries),
        unpacked_bytes: ByteSize(tree.bytes()),
        files: count(|kind| matches!(kind, NodeKind::File(_))),
        folders: count(|kind| matches!(kind, NodeKind::Folder)),
        symlinks: count(|kind| matches!(kind, NodeKind::Symlink(_))),
        specials: count(|kind| matches!(kind, NodeKind::Device | NodeKind::Pipe)),
        set_id_files: tree
            .iter()
            .filter(|(_, node)| matches!(node.kind, NodeKind::File(_)) && set_id(node.mode))
            .count() as u64,
        largest: largest(&tree, &compressed),
        waste,
        program: program(image, &tree)?,
        method: deflated::METHOD,
    })
}

fn layers(image: &Image, tree: &Tree, entries: &[u64]) -> Vec<LayerWeight> {
    let mut content = vec![0; image.layers.len()];
    for (_, one) in tree.contents() {
        content[one.layer] += one.bytes;
    }
    let mut hidden = vec![0; image.layers.len()];
    for one in tree.hidden() {
        hidden[one.content.layer] += one.content.bytes;
    }
    let each = image.layers.iter().enumerate();
    each.map(|(index, layer)| LayerWeight {
        digest: layer.digest.to_string(),
        compressed_bytes: ByteSize(layer.descriptor.size()),
        content_bytes: ByteSize(content[index]),
        entries: entries[index],
        hidden_bytes: ByteSize(hidden[index]),
    })
    .collect()
}

fn weight_of(
    tree: &Tree,
    compressed: &HashMap<ContentId, u64>,
    path: &Path,
    id: ContentId,
) -> FileWeight {
    let content = tree.content(id);
    FileWeight {
        path: format!("/{}", path.display()),
        bytes: ByteSize(content.bytes),
        compressed_bytes: ByteSize(compressed.get(&id).copied().unwrap_or(0)),
        layer: content.layer,
    }
}

/// Largest compressed first; what weighs the same stands by path.
fn sort(files: &mut [FileWeight]) {
    files.sort_by(|a, b| {
        (b.compressed_bytes, b.bytes)
            .cmp(&(a.compressed_bytes, a.bytes))
            .then_with(|| a.path.cmp(&b.path))
    });
}

fn largest(tree: &Tree, compressed: &HashMap<ContentId, u64>) -> Vec<FileWeight> {
    let mut first_names = HashMap::new();
    for (path, node) in tree.iter() {
        if let NodeKind::File(id) = node.kind {
            first_names.entry(id).or_insert(path);
        }
    }
    let mut files: Vec<_> = first_names
        .into_iter()
        .map(|(id, path)| weight_of(tree, compressed, path, id))
        .collect();
    sort(&mut files);
    files.truncate(LISTED);
    files
}

fn waste(tree: &Tree, compressed: &HashMap<ContentId, u64>) -> Waste {
    let hidden = tree.hidden();
    let sum = |how: Hiding| {
        let of_kind = hidden.iter().filter(|one| one.how == how);
        ByteSize(of_kind.map(|one| one.content.bytes).sum())
    };
    let mut files: Vec<_> = hidden
        .iter()
        .map(|one| weight_of(tree, compressed, &one.content.path, one.id))
        .collect();
    sort(&mut files);
    let waste = Waste {
        files: files.len() as u64,
        bytes: ByteSize(files.iter().map(|file| file.bytes.0).sum()),
        compressed_bytes: ByteSize(files.iter().map(|file| file.compressed_bytes.0).sum()),
        overwritten_bytes: sum(Hiding::Overwritten),
        deleted_bytes: sum(Hiding::Deleted),
        largest: Vec::new(),
    };
    files.truncate(LISTED);
    Waste {
        largest: files,
        ..waste
    }
}

/// Looks into what the image starts; an odd program is told, not refused.
fn program(image: &Image, tree: &Tree) -> Result<Option<Program>, MeasureError> {
    let Some(command) = command(image) else {
        return Ok(None);
    };
    let mut program = Program {
        path: None,
        bytes: ByteSize(0),
        elf: None,
        interpreter: None,
        fault: None,
        command,
    };
    let (path, bytes) = match find(image, tree, &program.command) {
        Ok((path, node)) => (path, node.bytes),
        Err(fault) => {
            program.fault = Some(fault.to_string());
            return Ok(Some(program));
        }
    };
    program.path = Some(format!("/{}", path.display()));
    program.bytes = ByteSize(bytes);
    let data = match content::read_file(image, tree, &path, PROGRAM_BYTES) {
        Ok(data) => data,
        Err(fault @ (ContentError::NotAFile(_) | ContentError::TooLarge { .. })) => {
            program.fault = Some(fault.to_string());
            return Ok(Some(program));
        }
        Err(fault) => return Err(MeasureError::Program(Box::new(fault))),
    };
    if let Some(script) = Script::read(&data) {
        program.interpreter = Some(script.program().to_owned());
    } else {
        match ElfFacts::read(&data) {
            Ok(facts) => program.elf = Some(facts),
            Err(fault) => program.fault = Some(fault.to_string()),
        }
    }
    Ok(Some(program))
}

/// The first word of the entry point, else of the command.
fn command(image: &Image) -> Option<String> {
    let config = image.config.config().as_ref()?;
    let first = |words: &Option<Vec<String>>| words.as_ref().and_then(|all| all.first().cloned());
    first(config.entrypoint()).or_else(|| first(config.cmd()))
}

fn find<'tree>(
    image: &Image,
    tree: &'tree Tree,
    command: &str,
) -> Result<(PathBuf, &'tree ounce_rootfs::tree::Node), LookupError> {
    let config = image.config.config().as_ref();
    if command.contains('/') {
        let folder = config.and_then(|config| config.working_dir().as_deref());
        return tree.lookup(Path::new(folder.unwrap_or("/")).join(command));
    }
    let variables = config.and_then(|config| config.env().as_deref());
    let path = variables
        .and_then(|all| all.iter().find_map(|one| one.strip_prefix("PATH=")))
        .unwrap_or(PATH);
    path.split(':')
        .map(|folder| tree.lookup(Path::new(folder).join(command)))
        .find(Result::is_ok)
        .unwrap_or_else(|| Err(LookupError::Absent(command.into())))
}
