//! The sizes of an image: what is pulled, what is unpacked, which files take
//! it, and what nobody ever sees.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use ounce_oci::layer::LayerError;
use ounce_oci::{ByteSize, Digest, Image};
use ounce_rootfs::content::{self, ContentError};
use ounce_rootfs::package::{Manager, Packages};
use ounce_rootfs::tree::{ContentId, Hiding, LookupError, NodeKind, Tree, TreeError};
use ounce_rootfs::wasm::is_wasm;
use ounce_rootfs::{ElfFacts, Script, WasmFacts};
use serde::Serialize;

use crate::calls::{self, ProgramCalls};
use crate::inventory::{Inventory, Item};
use crate::kind::FileKind;
use crate::pass::{self, Facts, Found, Stop};
use crate::shares;
use crate::surface::{self, Surface};

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
    /// What the files are, heaviest kind first.
    pub kinds: Vec<KindWeight>,
    /// Folders with all that lies beneath, heaviest first, down to a hundredth
    /// of the whole.
    pub heavy_folders: Vec<FolderWeight>,
    /// Packages that package managers and programs record, heaviest first.
    pub packages: Vec<PackageWeight>,
    /// Files that belong to no package with a list of files.
    pub unpackaged: Share,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub distribution: Option<String>,
    /// Of the layers' blobs, headers, folders and links: what no file takes.
    pub overhead_bytes: ByteSize,
    /// What is pulled and never seen.
    pub waste: Waste,
    /// The same contents in several files, each further copy.
    pub duplicates: Duplicates,
    /// What can be attacked.
    pub surface: Surface,
    /// Records that could not be read, one line each.
    pub faults: Vec<String>,
    /// What the image starts.
    pub program: Option<Program>,
    /// How compressed bytes were attributed to files.
    pub method: &'static str,
}

/// Files, and what they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Files; hard links count once.
    pub files: u64,
    /// Their bytes.
    pub bytes: ByteSize,
    /// Their part of the layers' blobs.
    pub compressed_bytes: ByteSize,
}

impl Share {
    fn add(&mut self, bytes: u64, compressed: u64) {
        self.files += 1;
        self.bytes.0 += bytes;
        self.compressed_bytes.0 += compressed;
    }
}

/// What the files of a kind weigh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindWeight {
    /// Which.
    pub kind: FileKind,
    /// Whether a service hardly ever needs them.
    pub is_dispensable: bool,
    /// What they take.
    #[serde(flatten)]
    pub share: Share,
}

/// What a folder weighs, with all beneath.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderWeight {
    /// Its path from the root.
    pub path: String,
    /// What it holds.
    #[serde(flatten)]
    pub share: Share,
}

/// What a package weighs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageWeight {
    /// Who recorded it.
    pub manager: Manager,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, where the record tells it.
    pub license: Option<String>,
    /// Its package URL.
    pub url: String,
    /// Where it is recorded.
    pub record: String,
    /// Its files; none for what is compiled into a program.
    #[serde(flatten)]
    pub share: Share,
}

/// Contents that stand in several files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// The further copies.
    #[serde(flatten)]
    pub share: Share,
    /// The heaviest contents and where they stand.
    pub largest: Vec<Duplicate>,
}

/// A content that stands in several files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// Bytes of one copy.
    pub bytes: ByteSize,
    /// Where they are, sorted.
    pub paths: Vec<String>,
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
    /// Facts of the WebAssembly module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasm: Option<WasmFacts>,
    /// What it can ask of the kernel, where it is static and its code can be read.
    pub system_calls: Option<ProgramCalls>,
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

impl MeasureError {
    fn of((digest, stop): (Digest, Stop)) -> Self {
        match stop {
            Stop::Layer(source) => Self::Layer { digest, source },
            Stop::Tree(source) => Self::Tree { digest, source },
            Stop::Read(source) => Self::Read { digest, source },
        }
    }
}

/// Measures an image. Every layer is read once, whole, and its program once more.
///
/// # Errors
/// A layer is not valid or cannot be read.
pub fn measure(image: &Image) -> Result<Weight, MeasureError> {
    Ok(measure_all(image)?.0)
}

/// As [`measure`], with every file beside.
///
/// # Errors
/// As [`measure`].
pub fn measure_all(image: &Image) -> Result<(Weight, Inventory), MeasureError> {
    let found = pass::pass(image).map_err(MeasureError::of)?;
    let tree = &found.tree;
    let compressed = &found.facts;
    let waste = waste(tree, compressed);
    let count =
        |is: fn(&NodeKind) -> bool| tree.iter().filter(|(_, node)| is(&node.kind)).count() as u64;
    let owners = owners(&found.packages, tree);
    let (packages, places) = packages(&found, &owners);
    let inventory = inventory(&found, &owners, &places);
    let surface = surface::surface(&found, search_path(image));
    let weight = Weight {
        digest: image.digest.to_string(),
        platform: image.platform.to_string(),
        pulled_bytes: ByteSize(image.pulled_bytes()),
        manifest_bytes: ByteSize(image.descriptor.size()),
        config_bytes: ByteSize(image.manifest.config().size()),
        layers: layers(image, tree, &found.entries),
        unpacked_bytes: ByteSize(tree.bytes()),
        files: count(|kind| matches!(kind, NodeKind::File(_))),
        folders: count(|kind| matches!(kind, NodeKind::Folder)),
        symlinks: count(|kind| matches!(kind, NodeKind::Symlink(_))),
        specials: count(|kind| matches!(kind, NodeKind::Device | NodeKind::Pipe)),
        set_id_files: surface.setuid.count,
        largest: largest(tree, compressed),
        kinds: kinds(&found),
        heavy_folders: folders(&found),
        packages,
        unpackaged: unpackaged(&found, &owners),
        distribution: found.packages.distribution_name.clone(),
        overhead_bytes: ByteSize(found.overhead.iter().sum()),
        waste,
        duplicates: duplicates(&found),
        surface,
        faults: found.packages.faults.clone(),
        program: program(image, tree)?,
        method: shares::METHOD,
    };
    Ok((weight, inventory))
}

/// Every file, with the number of its package among the weights.
fn inventory(found: &Found, owners: &HashMap<ContentId, usize>, places: &[usize]) -> Inventory {
    let mut seen = HashSet::new();
    let files = found.tree.iter().filter_map(|(path, node)| {
        let NodeKind::File(id) = node.kind else {
            return None;
        };
        let facts = found.facts.get(&id)?;
        let is_first = seen.insert(id);
        Some(Item {
            path: format!("/{}", path.display()),
            bytes: if is_first { node.bytes } else { 0 },
            compressed_bytes: if is_first { facts.compressed } else { 0 },
            kind: facts.kind,
            layer: node.layer,
            mode: node.mode,
            package: owners.get(&id).map(|&record| places[record]),
            digest: facts.digest,
        })
    });
    Inventory {
        files: files.collect(),
    }
}

/// Each content that can be seen, with its first name, in the order of the paths.
fn visible(found: &Found) -> impl Iterator<Item = (ContentId, &Path, &Facts)> {
    let mut seen = HashSet::new();
    found.tree.iter().filter_map(move |(path, node)| {
        let NodeKind::File(id) = node.kind else {
            return None;
        };
        let facts = found.facts.get(&id)?;
        seen.insert(id).then_some((id, path, facts))
    })
}

fn kinds(found: &Found) -> Vec<KindWeight> {
    let mut kinds: BTreeMap<FileKind, Share> = BTreeMap::new();
    for (id, _, facts) in visible(found) {
        let bytes = found.tree.content(id).bytes;
        kinds
            .entry(facts.kind)
            .or_default()
            .add(bytes, facts.compressed);
    }
    let mut kinds: Vec<_> = kinds
        .into_iter()
        .map(|(kind, share)| KindWeight {
            kind,
            is_dispensable: kind.is_dispensable(),
            share,
        })
        .collect();
    kinds.sort_by_key(|one| std::cmp::Reverse((one.share.compressed_bytes, one.share.bytes)));
    kinds
}

fn folders(found: &Found) -> Vec<FolderWeight> {
    let mut folders: BTreeMap<&Path, Share> = BTreeMap::new();
    let mut all = 0;
    for (id, path, facts) in visible(found) {
        let bytes = found.tree.content(id).bytes;
        all += facts.compressed;
        for folder in path.ancestors().skip(1) {
            if !folder.as_os_str().is_empty() {
                folders
                    .entry(folder)
                    .or_default()
                    .add(bytes, facts.compressed);
            }
        }
    }
    let mut heavy: Vec<_> = folders
        .into_iter()
        .filter(|(_, share)| share.compressed_bytes.0 * 100 >= all && all > 0)
        .map(|(path, share)| FolderWeight {
            path: format!("/{}", path.display()),
            share,
        })
        .collect();
    heavy.sort_by(|a, b| {
        (b.share.compressed_bytes, &a.path).cmp(&(a.share.compressed_bytes, &b.path))
    });
    heavy
}

/// Which package a content belongs to: the first that lists it.
fn owners(packages: &Packages, tree: &Tree) -> HashMap<ContentId, usize> {
    let mut owners = HashMap::new();
    for (number, package) in packages.packages.iter().enumerate() {
        for path in &package.files {
            if let Some(NodeKind::File(id)) = tree.get(path).map(|node| &node.kind) {
                owners.entry(*id).or_insert(number);
            }
        }
    }
    owners
}

/// What the packages weigh, heaviest first, and for each record its place there.
fn packages(found: &Found, owners: &HashMap<ContentId, usize>) -> (Vec<PackageWeight>, Vec<usize>) {
    let mut shares = vec![Share::default(); found.packages.packages.len()];
    for (id, &number) in owners {
        if let Some(facts) = found.facts.get(id) {
            shares[number].add(found.tree.content(*id).bytes, facts.compressed);
        }
    }
    let distribution = found.packages.distribution.as_deref();
    let mut weights: Vec<_> = found
        .packages
        .packages
        .iter()
        .zip(shares)
        .map(|(package, share)| PackageWeight {
            manager: package.manager,
            name: package.name.clone(),
            version: package.version.clone(),
            license: package.license.clone(),
            url: package.url(distribution),
            record: format!("/{}", package.record.display()),
            share,
        })
        .enumerate()
        .collect();
    weights.sort_by(|(_, a), (_, b)| {
        (b.share.compressed_bytes, b.share.bytes)
            .cmp(&(a.share.compressed_bytes, a.share.bytes))
            .then_with(|| (&a.name, &a.version).cmp(&(&b.name, &b.version)))
    });
    let mut places = vec![0; weights.len()];
    for (place, (record, _)) in weights.iter().enumerate() {
        places[*record] = place;
    }
    (weights.into_iter().map(|(_, one)| one).collect(), places)
}

fn unpackaged(found: &Found, owners: &HashMap<ContentId, usize>) -> Share {
    let mut share = Share::default();
    for (id, _, facts) in visible(found) {
        if !owners.contains_key(&id) {
            share.add(found.tree.content(id).bytes, facts.compressed);
        }
    }
    share
}

fn duplicates(found: &Found) -> Duplicates {
    let mut same: HashMap<Digest, Vec<(ContentId, &Path)>> = HashMap::new();
    for (id, path, facts) in visible(found) {
        if found.tree.content(id).bytes > 0 {
            same.entry(facts.digest).or_default().push((id, path));
        }
    }
    let mut share = Share::default();
    let mut largest = Vec::new();
    for copies in same.into_values().filter(|copies| copies.len() > 1) {
        for (id, _) in &copies[1..] {
            share.add(found.tree.content(*id).bytes, found.facts[id].compressed);
        }
        largest.push(Duplicate {
            bytes: ByteSize(found.tree.content(copies[0].0).bytes),
            paths: copies
                .iter()
                .map(|(_, path)| format!("/{}", path.display()))
                .collect(),
        });
    }
    let wasted = |one: &Duplicate| one.bytes.0 * (one.paths.len() as u64 - 1);
    largest.sort_by(|a, b| (wasted(b), &a.paths).cmp(&(wasted(a), &b.paths)));
    largest.truncate(LISTED);
    Duplicates { share, largest }
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
    compressed: &HashMap<ContentId, Facts>,
    path: &Path,
    id: ContentId,
) -> FileWeight {
    let content = tree.content(id);
    FileWeight {
        path: format!("/{}", path.display()),
        bytes: ByteSize(content.bytes),
        compressed_bytes: ByteSize(compressed.get(&id).map_or(0, |facts| facts.compressed)),
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

fn largest(tree: &Tree, compressed: &HashMap<ContentId, Facts>) -> Vec<FileWeight> {
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

fn waste(tree: &Tree, compressed: &HashMap<ContentId, Facts>) -> Waste {
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
        wasm: None,
        system_calls: None,
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
    } else if is_wasm(&data) {
        match WasmFacts::read(&data) {
            Ok(facts) => program.wasm = Some(facts),
            Err(fault) => program.fault = Some(fault.to_string()),
        }
    } else {
        match ElfFacts::read(&data) {
            Ok(facts) => {
                let is_static = facts.kind.runs_alone();
                program.system_calls = is_static.then(|| calls::of(&data)).flatten();
                program.elf = Some(facts);
            }
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
    search_path(image)
        .split(':')
        .map(|folder| tree.lookup(Path::new(folder).join(command)))
        .find(Result::is_ok)
        .unwrap_or_else(|| Err(LookupError::Absent(command.into())))
}

/// The folders in which a bare command is looked for, parted by colons.
fn search_path(image: &Image) -> &str {
    let config = image.config.config().as_ref();
    let variables = config.and_then(|config| config.env().as_deref());
    variables
        .and_then(|all| all.iter().find_map(|one| one.strip_prefix("PATH=")))
        .unwrap_or(PATH)
}
