//! The sizes of an image: what is pulled, what is unpacked, which files take
//! it, and what nobody ever sees.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use ounce_oci::layer::LayerError;
use ounce_oci::{ByteSize, Digest, Image};
use ounce_rootfs::content::{self, ContentError};
use ounce_rootfs::package::{Manager, Packages};
use ounce_rootfs::tree::{ContentId, Hidden, Hiding, LookupError, NodeKind, Tree, TreeError};
use ounce_rootfs::wasm::is_wasm;
use ounce_rootfs::{ElfFacts, Script, WasmFacts, name};
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
    let found = pass::pass(image).map_err(MeasureError::of)?;
    let owners = Owners::of(&found.packages, &found.tree);
    let (packages, _) = packages(&found, &owners);
    weight(image, &found, &owners, packages)
}

/// As [`measure`], with every file beside.
///
/// # Errors
/// As [`measure`].
pub fn measure_all(image: &Image) -> Result<(Weight, Inventory), MeasureError> {
    let found = pass::pass(image).map_err(MeasureError::of)?;
    let owners = Owners::of(&found.packages, &found.tree);
    let (packages, places) = packages(&found, &owners);
    let inventory = inventory(&found, &owners, &places);
    Ok((weight(image, &found, &owners, packages)?, inventory))
}

fn weight(
    image: &Image,
    found: &Found,
    owners: &Owners,
    packages: Vec<PackageWeight>,
) -> Result<Weight, MeasureError> {
    let tree = &found.tree;
    let waste = waste(found);
    let count =
        |is: fn(&NodeKind) -> bool| tree.iter().filter(|(_, node)| is(&node.kind)).count() as u64;
    let surface = surface::surface(found, search_path(image));
    Ok(Weight {
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
        largest: heaviest(found, visible(found).map(|(id, path, _)| (id, path))),
        kinds: kinds(found),
        heavy_folders: folders(found),
        packages,
        unpackaged: unpackaged(found, owners),
        distribution: found.packages.distribution_name.clone(),
        overhead_bytes: ByteSize(found.overhead.iter().sum()),
        waste,
        duplicates: duplicates(found),
        surface,
        faults: found.packages.faults.clone(),
        program: program(image, tree)?,
        method: shares::METHOD,
    })
}

/// Every file, with the number of its package among the weights.
fn inventory(found: &Found, owners: &Owners, places: &[usize]) -> Inventory {
    let mut seen = Seen::of(found);
    let files = found.tree.iter().filter_map(|(path, node)| {
        let NodeKind::File(id) = node.kind else {
            return None;
        };
        let facts = found.facts.get(id)?;
        let is_first = seen.insert(id);
        Some(Item {
            path: name::rooted(path),
            bytes: if is_first { node.bytes } else { 0 },
            compressed_bytes: if is_first { facts.compressed } else { 0 },
            kind: facts.kind,
            layer: node.layer,
            mode: node.mode,
            package: owners.get(id).map(|record| places[record]),
            digest: facts.digest,
        })
    });
    Inventory {
        files: files.collect(),
    }
}

/// Each content that can be seen, with its first name, in the order of the paths.
fn visible(found: &Found) -> impl Iterator<Item = (ContentId, &Path, &Facts)> {
    let mut seen = Seen::of(found);
    found.tree.iter().filter_map(move |(path, node)| {
        let NodeKind::File(id) = node.kind else {
            return None;
        };
        let facts = found.facts.get(id)?;
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
    kinds.sort_by_key(|one| Reverse((one.share.compressed_bytes, one.share.bytes)));
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
            path: name::rooted(path),
            share,
        })
        .collect();
    heavy.sort_by(|a, b| {
        (b.share.compressed_bytes, &a.path).cmp(&(a.share.compressed_bytes, &b.path))
    });
    heavy
}

/// Contents that have come, by their numbers.
struct Seen(Vec<bool>);

impl Seen {
    fn of(found: &Found) -> Self {
        Self(vec![false; found.tree.contents().count()])
    }

    /// Whether it comes for the first time.
    fn insert(&mut self, id: ContentId) -> bool {
        !std::mem::replace(&mut self.0[id.index()], true)
    }
}

/// Which package a content belongs to: the first that lists it.
struct Owners(Vec<Option<NonZeroU32>>);

impl Owners {
    fn of(packages: &Packages, tree: &Tree) -> Self {
        let mut owners = vec![None; tree.contents().count()];
        for (number, package) in (1..).zip(&packages.packages) {
            for path in &package.files {
                if let Some(NodeKind::File(id)) = tree.get(path).map(|node| &node.kind) {
                    let owner: &mut Option<NonZeroU32> = &mut owners[id.index()];
                    *owner = owner.or(NonZeroU32::new(number));
                }
            }
        }
        Self(owners)
    }

    fn get(&self, id: ContentId) -> Option<usize> {
        Some(self.0.get(id.index()).copied()??.get() as usize - 1)
    }
}

/// What the packages weigh, heaviest first, and for each record its place there.
fn packages(found: &Found, owners: &Owners) -> (Vec<PackageWeight>, Vec<usize>) {
    let mut shares = vec![Share::default(); found.packages.packages.len()];
    for (id, content) in found.tree.contents() {
        if let (Some(number), Some(facts)) = (owners.get(id), found.facts.get(id)) {
            shares[number].add(content.bytes, facts.compressed);
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
            record: name::rooted(&package.record),
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

fn unpackaged(found: &Found, owners: &Owners) -> Share {
    let mut share = Share::default();
    for (id, _, facts) in visible(found) {
        if owners.get(id).is_none() {
            share.add(found.tree.content(id).bytes, facts.compressed);
        }
    }
    share
}

fn duplicates(found: &Found) -> Duplicates {
    // Most contents are there once: only those are gathered by digest whose first
    // bytes of it come again.
    let start = |facts: &Facts| facts.digest.half();
    let filled = || visible(found).filter(|(id, ..)| found.tree.content(*id).bytes > 0);
    let mut starts: Vec<_> = filled().map(|(_, _, facts)| start(facts)).collect();
    starts.sort_unstable();
    let mut again: Vec<_> = starts
        .windows(2)
        .filter(|two| two[0] == two[1])
        .map(|two| two[0])
        .collect();
    drop(starts);
    again.dedup();
    let mut same: HashMap<Digest, Vec<(ContentId, &Path)>> = HashMap::new();
    for (id, path, facts) in filled() {
        if again.binary_search(&start(facts)).is_ok() {
            same.entry(facts.digest).or_default().push((id, path));
        }
    }
    let mut share = Share::default();
    let bytes = |copies: &[(ContentId, &Path)]| found.tree.content(copies[0].0).bytes;
    let mut groups: Vec<_> = same.into_values().filter(|it| it.len() > 1).collect();
    for copies in &groups {
        for (id, _) in &copies[1..] {
            let compressed = found.facts.get(*id).map_or(0, |facts| facts.compressed);
            share.add(bytes(copies), compressed);
        }
    }
    let wasted = |copies: &[(ContentId, &Path)]| bytes(copies) * (copies.len() as u64 - 1);
    groups.sort_by(|a, b| {
        let paths = |copies: &[(ContentId, &Path)]| {
            copies.first().map(|(_, path)| path.as_os_str().to_owned())
        };
        wasted(b)
            .cmp(&wasted(a))
            .then_with(|| paths(a).cmp(&paths(b)))
    });
    groups.truncate(LISTED);
    let largest = groups.iter().map(|copies| Duplicate {
        bytes: ByteSize(bytes(copies)),
        paths: copies.iter().map(|(_, path)| name::rooted(path)).collect(),
    });
    Duplicates {
        share,
        largest: largest.collect(),
    }
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

/// A content by what it weighs, the heaviest first, and by its path.
type Heavy<'a> = (Reverse<(u64, u64)>, &'a OsStr, ContentId);

/// The heaviest of some contents, by compressed bytes; what weighs the same stands
/// by path. Only these get a text each, of what may be millions.
fn heaviest<'found>(
    found: &'found Found,
    contents: impl Iterator<Item = (ContentId, &'found Path)>,
) -> Vec<FileWeight> {
    let mut top: Vec<Heavy<'_>> = Vec::new();
    for (id, path) in contents {
        let compressed = found.facts.get(id).map_or(0, |facts| facts.compressed);
        let weight = Reverse((compressed, found.tree.content(id).bytes));
        let one = (weight, path.as_os_str(), id);
        if top.len() < LISTED || top.last().is_some_and(|last| one < *last) {
            top.insert(top.partition_point(|other| *other < one), one);
            top.truncate(LISTED);
        }
    }
    let told = |(Reverse((compressed, bytes)), path, id): Heavy<'_>| FileWeight {
        path: name::rooted(Path::new(path)),
        bytes: ByteSize(bytes),
        compressed_bytes: ByteSize(compressed),
        layer: found.tree.content(id).layer,
    };
    top.into_iter().map(told).collect()
}

fn waste(found: &Found) -> Waste {
    let hidden = found.tree.hidden();
    let sum = |how: Hiding| {
        let of_kind = hidden.iter().filter(|one| one.how == how);
        ByteSize(of_kind.map(|one| one.content.bytes).sum())
    };
    let compressed = |one: &Hidden<'_>| found.facts.get(one.id).map_or(0, |it| it.compressed);
    Waste {
        files: hidden.len() as u64,
        bytes: ByteSize(hidden.iter().map(|one| one.content.bytes).sum()),
        compressed_bytes: ByteSize(hidden.iter().map(compressed).sum()),
        overwritten_bytes: sum(Hiding::Overwritten),
        deleted_bytes: sum(Hiding::Deleted),
        largest: heaviest(found, hidden.iter().map(|one| (one.id, one.content.path))),
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
    program.path = Some(name::rooted(&path));
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
