//! What the files of an image say they need, found without running anything.
//!
//! From the programs that an image starts, along what each file names: ELF
//! libraries and interpreters, `#!` lines, imports of Python and Node, and what
//! the C library opens on behalf of its callers. One module for each; this one
//! holds the walk. Everything is read as data that may lie: no recursion, every
//! file once, sizes bounded. What cannot be known from files is told in
//! [`Reached::unresolved`] and never guessed.

mod configuration;
mod elf;
mod node;
mod program;
mod python;
mod system;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ounce_rootfs::Tree;
use ounce_rootfs::elf::names;
use ounce_rootfs::tree::NodeKind;
use serde::Serialize;

use crate::{Files, Kept, Reason};

/// Bytes of a file that tell what it is.
const HEAD_BYTES: u64 = 4096;
/// Most bytes of a program or library that are looked into: torch's largest
/// library has 0.9 GB.
const PROGRAM_BYTES: u64 = 1 << 30;
/// Most bytes of a text file of the system.
const TEXT_BYTES: u64 = 4 << 20;
/// Most places told as unresolved; beyond it the count alone is of use.
const MOST_UNRESOLVED: usize = 10_000;

/// What to begin from, as the image's configuration and the tests have it.
#[derive(Debug, Clone, Default)]
pub struct Seeds {
    /// Programs and files, as a program inside would write them.
    pub paths: Vec<PathBuf>,
    /// Whole commands, the program first: arguments name scripts and modules.
    pub commands: Vec<Vec<OsString>>,
    /// `NAME=VALUE` of the image.
    pub environment: Vec<OsString>,
    /// The folder they start in.
    pub workdir: PathBuf,
    /// `config.User`: a name makes the account files needed.
    pub user: String,
}

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Libraries and files that a program names in its texts (`dlopen`, `open`).
    pub names: bool,
    /// Python and Node sources.
    pub sources: bool,
    /// What the C library opens for its callers: names, character sets, time
    /// zones, locales; certificates for TLS libraries.
    pub system: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            names: true,
            sources: true,
            system: true,
        }
    }
}

impl Options {
    /// Only what kernel and loader take without being asked again: ELF and `#!`
    /// interpreters, needed libraries.
    pub fn linked() -> Self {
        Self {
            names: false,
            sources: false,
            system: false,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// What is needed, each with who needs it.
    pub kept: Kept,
    /// What could not be followed.
    pub unresolved: Vec<Unresolved>,
}

/// A place where files alone do not say what is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unresolved {
    /// The file.
    pub at: PathBuf,
    /// What it does there.
    pub what: String,
}

/// Finds everything that the seeds need.
pub fn reach(tree: &Tree, files: &mut dyn Files, seeds: &Seeds, options: &Options) -> Reached {
    let mut walk = Walk::new(tree, files, seeds, options);
    walk.begin();
    loop {
        while let Some(opened) = walk.queue.pop_front() {
            walk.look_into(&opened);
        }
        // What depends on all that is known so far; it may add to the queue.
        if !walk.settle() && walk.queue.is_empty() {
            break;
        }
    }
    walk.finish()
}

/// A file on its way to be looked into.
#[derive(Debug, Clone)]
struct Opened {
    /// Where it is.
    place: PathBuf,
    /// The path it was opened by, absolute: `$ORIGIN` and `pyvenv.cfg` go by it.
    path: PathBuf,
    /// Folders inherited from the programs that load it.
    inherited: Vec<PathBuf>,
    /// Whether musl's loader loads it; none where nobody says.
    musl: Option<bool>,
}

struct Walk<'a> {
    tree: &'a Tree,
    files: &'a mut dyn Files,
    seeds: &'a Seeds,
    options: Options,
    kept: Kept,
    unresolved: BTreeSet<Unresolved>,
    queue: VecDeque<Opened>,
    /// Places and inherited folders looked into.
    seen: HashSet<(PathBuf, Vec<PathBuf>)>,
    loading: elf::Loading,
    system: system::System,
    pythons: python::Pythons,
    node: node::Node,
    environment: HashMap<String, String>,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree, files: &'a mut dyn Files, seeds: &'a Seeds, options: &Options) -> Self {
        let environment = seeds
            .environment
            .iter()
            .filter_map(|one| {
                let text = one.to_string_lossy();
                let (name, value) = text.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        Self {
            tree,
            files,
            seeds,
            options: *options,
            kept: Kept::default(),
            unresolved: BTreeSet::new(),
            queue: VecDeque::new(),
            seen: HashSet::new(),
            loading: elf::Loading::default(),
            system: system::System::default(),
            pythons: python::Pythons::default(),
            node: node::Node::default(),
            environment,
        }
    }

    fn begin(&mut self) {
        let seeds = self.seeds;
        for path in &seeds.paths {
            self.seed(path);
        }
        for command in &seeds.commands {
            self.command(command);
        }
        self.account();
        self.named_by_environment();
    }

    fn finish(mut self) -> Reached {
        self.tell_missing_libraries();
        Reached {
            kept: self.kept,
            unresolved: self.unresolved.into_iter().collect(),
        }
    }

    /// What needs the whole picture: name services, character sets, partners of
    /// Python's modules.
    /// Whether it found more.
    fn settle(&mut self) -> bool {
        if self.options.system {
            self.settle_system();
        }
        self.options.sources && (self.settle_python() | self.settle_node())
    }

    fn tell(&mut self, at: &Path, what: impl Into<String>) {
        if self.unresolved.len() < MOST_UNRESOLVED {
            self.unresolved.insert(Unresolved {
                at: at.to_owned(),
                what: what.into(),
            });
        }
    }

    /// The path as one from the root.
    fn absolute(&self, path: &Path) -> PathBuf {
        Path::new("/").join(&self.seeds.workdir).join(path)
    }

    /// Keeps what a path leads to and looks into it later.
    fn keep(&mut self, path: &Path, by: &Path, how: impl Into<String>) -> Option<PathBuf> {
        self.keep_loaded(path, by, how, &[], None)
    }

    /// As [`Walk::keep`], for what a loader loads.
    fn keep_loaded(
        &mut self,
        path: &Path,
        by: &Path,
        how: impl Into<String>,
        inherited: &[PathBuf],
        musl: Option<bool>,
    ) -> Option<PathBuf> {
        let how = how.into();
        let reason = match by.as_os_str().is_empty() {
            true => Reason::Configured,
            false => Reason::Needed {
                by: by.to_owned(),
                how,
            },
        };
        // Nothing is there: nothing is kept, not even half of the way.
        self.tree.lookup(path).ok()?;
        let place = self.kept.path(self.tree, path, reason)?;
        self.look_later(&place, path, inherited, musl);
        Some(place)
    }

    fn look_later(&mut self, place: &Path, path: &Path, inherited: &[PathBuf], musl: Option<bool>) {
        let is_file = matches!(
            self.tree.get(place).map(|node| &node.kind),
            Some(NodeKind::File(_))
        );
        let key = (place.to_owned(), inherited.to_vec());
        if is_file && self.seen.insert(key) {
            self.queue.push_back(Opened {
                place: place.to_owned(),
                path: path.to_owned(),
                inherited: inherited.to_vec(),
                musl,
            });
        }
    }

    /// Keeps all that lies beneath a folder.
    fn keep_beneath(&mut self, folder: &Path, by: &Path, how: &str) {
        let Some(place) = self.keep(folder, by, how) else {
            return;
        };
        let tree = self.tree;
        for (path, _) in tree.beneath(&place) {
            self.keep(path, by, how);
        }
    }

    /// The place of a file, if there is one.
    fn file(&self, path: &Path) -> Option<PathBuf> {
        let (place, node) = self.tree.lookup(path).ok()?;
        matches!(node.kind, NodeKind::File(_)).then_some(place)
    }

    fn is_folder(&self, path: &Path) -> bool {
        let found = self.tree.lookup(path);
        matches!(found, Ok((_, node)) if node.kind == NodeKind::Folder)
    }

    /// A text file of the system, if it is there and of a sane size.
    fn text(&mut self, path: &Path) -> Option<String> {
        let place = self.file(path)?;
        let data = self.files.read(&place, TEXT_BYTES).ok()?;
        Some(String::from_utf8_lossy(&data).into_owned())
    }

    fn look_into(&mut self, opened: &Opened) {
        let place = &opened.place;
        let head = match self.files.read(place, HEAD_BYTES) {
            Ok(head) => head,
            Err(error) => return self.tell(place, format!("cannot be read: {error}")),
        };
        if head.starts_with(b"\x7fELF") {
            return self.elf(opened);
        }
        if head.starts_with(b"#!") {
            self.script(place, &opened.path, &head);
        }
        if self.options.names && configuration::is_one(place, &head) {
            self.configuration(place);
        }
        if self.options.sources {
            self.python_source(place, &opened.path);
            self.node_source(place);
        }
    }

    /// Texts of a program that are whole paths: files are kept, folders as such.
    /// `searched` are those that only say where libraries are looked for.
    fn named_paths(&mut self, place: &Path, data: &[u8], searched: &[String]) {
        for path in names::paths(data) {
            let path = Path::new(&path);
            // What is mounted over at the start is not the image's.
            let mounted = ["/proc", "/sys", "/dev"];
            if mounted.iter().any(|root| path.starts_with(root)) {
                continue;
            }
            match self.tree.lookup(path) {
                Ok((found, node)) if node.kind == NodeKind::Folder => {
                    self.keep(path, place, "folder that it names");
                    let is_searched =
                        |text: &String| text.split(':').any(|one| Path::new(one) == path);
                    if !searched.iter().any(is_searched) {
                        self.tell_libraries_of(place, &found);
                    }
                }
                Ok(_) => {
                    self.keep(path, place, "file that it names");
                }
                Err(_) => {}
            }
        }
    }

    /// A folder of plug-ins: which are loaded, a configuration says.
    fn tell_libraries_of(&mut self, place: &Path, folder: &Path) {
        let is_library = |path: &Path| {
            path.parent() == Some(folder) && path.extension().is_some_and(|end| end == "so")
        };
        let usual = folder.ends_with("lib") || folder.ends_with("lib64");
        let multiarch = folder.parent().is_some_and(|above| above.ends_with("lib"));
        let all = self.tree.beneath(folder).map(|(path, _)| path);
        let count = if usual {
            0
        } else {
            all.filter(|path| is_library(path)).count()
        };
        let named = folder.to_string_lossy().contains("linux-gnu") && multiarch;
        if count > 0 && !named {
            self.tell(
                place,
                format!("may load any of {count} libraries in /{}", folder.display()),
            );
        }
    }
}

#[cfg(test)]
mod tests;
