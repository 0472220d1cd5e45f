//! What a Python imports: from its start, from scripts and modules named in
//! commands, along import statements, to compiled forms, extensions and data.
//!
//! Modules are looked for as CPython does (`importlib.machinery.PathFinder`,
//! `site`): folders in order, a package before an extension before a source,
//! and folders without `__init__.py` last, as namespaces.

mod imports;
mod packages;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use ounce_rootfs::elf::names;
use ounce_rootfs::python::{MOST_BYTES, PathLine, Source, environment, pth, scan};

use super::{PROGRAM_BYTES, Walk};

/// Modules that every start imports, or the core itself by name
/// (`Python/pylifecycle.c`, `Lib/site.py`, `Modules/main.c`).
const START: [&str; 28] = [
    "abc",
    "codecs",
    "encodings",
    "encodings.aliases",
    "encodings.ascii",
    "encodings.latin_1",
    "encodings.utf_8",
    "genericpath",
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "io",
    "linecache",
    "locale",
    "os",
    "posixpath",
    "runpy",
    "site",
    "sitecustomize",
    "stat",
    "traceback",
    "types",
    "usercustomize",
    "warnings",
    "weakref",
    "zipimport",
    "_collections_abc",
    "_sitebuiltins",
];

/// The Pythons of the image.
#[derive(Debug, Default)]
pub(super) struct Pythons {
    /// By the prefix of the program or environment.
    all: Vec<Python>,
    /// Extensions: folder and module name → file.
    extensions: Option<HashMap<(PathBuf, String), PathBuf>>,
    /// Programs looked at, so that none begins twice.
    programs: HashSet<PathBuf>,
}

/// One Python with its own folders.
#[derive(Debug, Default)]
struct Python {
    /// The program or library that it is.
    place: PathBuf,
    /// `3.11`.
    version: String,
    /// The standard library.
    library: PathBuf,
    /// Folders that modules are looked for in.
    folders: Vec<PathBuf>,
    /// Modules by full name: what they are; none for what is not there.
    modules: BTreeMap<String, Option<Module>>,
    /// Modules that are compiled in, as texts of the program.
    compiled_in: BTreeSet<String>,
    /// Folders of packages that are kept, and their files told apart.
    packages: BTreeSet<PathBuf>,
    /// Files of modules, each taken once.
    places: HashSet<PathBuf>,
    /// Files not scanned yet, with the package that their imports begin at.
    waiting: Vec<(PathBuf, String)>,
    /// Texts of the modules: groups of entry points are named so.
    texts: BTreeSet<String>,
    /// Distributions whose records were kept.
    distributions: HashSet<PathBuf>,
    /// Whether what `sysconfig` imports by a computed name was.
    configured: bool,
}

/// A module that was found.
#[derive(Debug, Clone)]
struct Module {
    /// Its file, or folder for a namespace.
    place: PathBuf,
    /// Folders that its own modules are in; empty for a plain module.
    folders: Vec<PathBuf>,
}

/// Whose module it is that imports.
#[derive(Debug, Clone, Copy)]
struct Importer<'a> {
    python: usize,
    place: &'a Path,
    /// The package that relative imports begin at.
    package: &'a str,
}

impl Walk<'_> {
    /// Whether a program that was read is a Python; then its start is kept.
    pub(super) fn python_program(&mut self, path: &Path, place: &Path, data: &[u8]) {
        let name = place
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let version = name
            .strip_prefix("libpython")
            .and_then(|rest| rest.split(".so").next())
            .or_else(|| name.strip_prefix("python"));
        let Some(version) = version else { return };
        if version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            let texts = names::texts(data).into_iter().map(str::to_owned).collect();
            self.python(path, place, Some(texts));
        }
    }

    /// The Python of a program; made and begun when first met.
    fn python(
        &mut self,
        path: &Path,
        place: &Path,
        texts: Option<BTreeSet<String>>,
    ) -> Option<usize> {
        let bin = path.parent()?;
        let prefix = bin.parent().unwrap_or(Path::new("/")).to_owned();
        let mut bases = vec![prefix.clone()];
        // A virtual environment has its packages, and its base the library.
        let configuration = prefix.join("pyvenv.cfg");
        let mut own_only = false;
        if let Some(text) = self.text(&configuration) {
            self.keep(&configuration, place, "virtual environment");
            if let Some((home, system)) = environment(&text) {
                own_only = !system;
                bases.extend(home.parent().map(Path::to_owned));
            }
        }
        bases.extend(
            place
                .parent()
                .and_then(Path::parent)
                .map(|it| Path::new("/").join(it)),
        );
        bases.extend(["/usr/local", "/usr"].map(PathBuf::from));
        let (base, library) = bases
            .iter()
            .find_map(|base| Some((base, self.library_of(base, place)?)))?;
        let library = library.clone();
        let version = library
            .file_name()?
            .to_str()?
            .strip_prefix("python")?
            .to_owned();

        let known = |one: &Python| one.library == library && one.folders.first() == Some(&prefix);
        let index = match self.pythons.all.iter().position(known) {
            Some(index) => index,
            None => {
                let mut folders = vec![prefix.clone()];
                let path = self
                    .environment
                    .get("PYTHONPATH")
                    .cloned()
                    .unwrap_or_default();
                let named = path.split(':').filter(|it| !it.is_empty());
                folders.extend(named.map(|it| self.absolute(Path::new(it))));
                folders.push(library.clone());
                folders.push(library.join("lib-dynload"));
                let mut code = Vec::new();
                let mut sites = vec![prefix.clone()];
                if !own_only {
                    sites.extend([base.clone(), "/usr/local".into(), "/usr".into()]);
                }
                for site in sites {
                    let versioned = format!("lib/python{version}");
                    for folder in [
                        site.join(&versioned).join("site-packages"),
                        site.join(&versioned).join("dist-packages"),
                        site.join("lib/python3/dist-packages"),
                    ] {
                        self.site(&folder, place, &mut folders, &mut code);
                    }
                }
                let python = self.pythons.all.len();
                self.pythons.all.push(Python {
                    place: place.to_owned(),
                    version,
                    library,
                    folders,
                    ..Python::default()
                });
                for (file, source) in code {
                    let importer = Importer {
                        python,
                        place: &file,
                        package: "",
                    };
                    self.source(importer, &source);
                }
                python
            }
        };
        if let Some(texts) = texts {
            self.pythons.all[index].compiled_in.extend(texts);
            if self.pythons.programs.insert(path.to_owned()) {
                let importer = Importer {
                    python: index,
                    place,
                    package: "",
                };
                for module in START {
                    self.import(importer, module, "start of Python");
                }
            }
        }
        Some(index)
    }

    /// `lib/python3.N` of a prefix: of the version that the program's name
    /// tells, else the only one.
    fn library_of(&self, base: &Path, place: &Path) -> Option<PathBuf> {
        let name = place.file_name()?.to_str()?;
        let version = name.trim_start_matches("lib").strip_prefix("python")?;
        let version = version.split(".so").next()?;
        let is_library = |path: &PathBuf| {
            self.file(&path.join("os.py")).is_some() || self.file(&path.join("os.pyc")).is_some()
        };
        let exact = base.join("lib").join(format!("python{version}"));
        if version.contains('.') {
            return Some(exact).filter(is_library);
        }
        (0..40)
            .rev()
            .map(|minor| base.join(format!("lib/python3.{minor}")))
            .find(is_library)
    }

    /// A folder of packages and those that its `.pth` files add.
    fn site(
        &mut self,
        folder: &Path,
        by: &Path,
        folders: &mut Vec<PathBuf>,
        code: &mut Vec<(PathBuf, Source)>,
    ) {
        let Ok((place, _)) = self.tree.lookup(folder) else {
            return;
        };
        if folders.iter().any(|known| known == folder) {
            return;
        }
        folders.push(folder.to_owned());
        let is_pth = |path: &Path| {
            path.parent() == Some(&*place) && path.extension().is_some_and(|end| end == "pth")
        };
        let tree = self.tree;
        let files = tree.beneath(&place).map(|(path, _)| path);
        let files: Vec<PathBuf> = files
            .filter(|path| is_pth(path))
            .map(Path::to_owned)
            .collect();
        for file in files {
            let Some(text) = self.text(&file) else {
                continue;
            };
            self.keep(&file, by, ".pth file");
            for line in pth(&text) {
                match line {
                    PathLine::Folder(more) => {
                        let more = plain(&folder.join(more));
                        if self.is_folder(&more) && !folders.contains(&more) {
                            folders.push(more);
                        }
                    }
                    PathLine::Code(line) => code.push((file.clone(), scan(line.as_bytes()))),
                }
            }
        }
    }

    /// `python3 -m x`, `python3 script`, `python3 -c code`.
    pub(super) fn python_command(&mut self, path: &Path, place: &Path, rest: &[String]) {
        if !self.options.sources {
            return;
        }
        let Some(python) = self.python(path, place, None) else {
            return self.tell(place, "its standard library is not in the image");
        };
        let workdir = self.absolute(Path::new(""));
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-m" => {
                    let Some(module) = words.next() else { return };
                    self.first_folder(python, &workdir);
                    let importer = Importer {
                        python,
                        place,
                        package: "",
                    };
                    let how = format!("python -m {module}");
                    if self.import(importer, module, &how).is_none() {
                        self.tell(place, format!("the module {module} is not in the image"));
                    }
                    self.import(importer, &format!("{module}.__main__"), &how);
                    return;
                }
                "-c" => {
                    let Some(code) = words.next() else { return };
                    self.first_folder(python, &workdir);
                    let importer = Importer {
                        python,
                        place,
                        package: "",
                    };
                    self.source(importer, &scan(code.as_bytes()));
                    return;
                }
                "-X" | "-W" => {
                    words.next();
                }
                option if option.starts_with('-') => {}
                script => {
                    let script = self.absolute(Path::new(script));
                    match self.keep(&script, place, "script of Python") {
                        Some(found) if self.is_folder(&script) => {
                            self.first_folder(python, &script);
                            self.module_file(python, &found.join("__main__.py"), place);
                        }
                        Some(found) => self.python_script(path, place, &found, &script),
                        None => self.tell(&script, "is not in the image"),
                    }
                    return;
                }
            }
        }
    }

    /// Puts a folder before all others.
    fn first_folder(&mut self, python: usize, folder: &Path) {
        let folders = &mut self.pythons.all[python].folders;
        if !folders.iter().any(|known| known == folder) {
            // The first is the prefix, which names this Python and holds no modules.
            folders.insert(1, folder.to_owned());
        }
    }

    /// A script, run by the Python at `path`.
    pub(super) fn python_script(&mut self, path: &Path, runs: &Path, place: &Path, opened: &Path) {
        let Some(python) = self.python(path, runs, None) else {
            return self.tell(place, "no standard library is there for its Python");
        };
        if let Some(folder) = opened.parent() {
            self.first_folder(python, &Path::new("/").join(folder));
        }
        self.module_file(python, place, place);
    }

    /// A Python source that is kept for whatever reason is followed as what it is.
    pub(super) fn python_source(&mut self, place: &Path, path: &Path) {
        if place.extension().is_none_or(|end| end != "py") {
            return;
        }
        let known = |python: &Python| python.places.contains(place);
        if self.pythons.all.is_empty() || self.pythons.all.iter().any(known) {
            return;
        }
        if let Some(folder) = path.parent() {
            self.first_folder(0, &Path::new("/").join(folder));
        }
        self.module_file(0, place, place);
    }

    /// A file that is run or read by itself, and so is of no package.
    fn module_file(&mut self, python: usize, place: &Path, by: &Path) {
        self.keep(place, by, "script of Python");
        let python = &mut self.pythons.all[python];
        if python.places.insert(place.to_owned()) {
            python.waiting.push((place.to_owned(), String::new()));
        }
    }

    /// Scans what waits, until nothing new comes of it; then what goes with the
    /// packages that are kept. Whether there was anything.
    pub(super) fn settle_python(&mut self) -> bool {
        let mut any = false;
        for python in 0..self.pythons.all.len() {
            while let Some((place, package)) = self.pythons.all[python].waiting.pop() {
                any = true;
                self.scan_module(python, &place, &package);
            }
            any |= self.settle_packages(python);
        }
        any
    }

    fn scan_module(&mut self, python: usize, place: &Path, package: &str) {
        let importer = Importer {
            python,
            place,
            package,
        };
        let ends = place.extension().and_then(|end| end.to_str());
        if ends == Some("pyc") {
            return self.tell(place, "is compiled Python without its source: not followed");
        }
        if ends == Some("so") {
            // An extension imports by names that stand among its texts.
            let Ok(data) = self.files.read(place, PROGRAM_BYTES) else {
                return;
            };
            for text in names::texts(&data) {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
                let letters = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
                if letters && text.len() < 64 && text.bytes().all(plain) {
                    self.import(importer, text, "named by the extension");
                }
            }
            return;
        }
        match self.tree.get(place).map(|node| node.bytes) {
            Some(bytes) if bytes <= MOST_BYTES => {}
            Some(bytes) => {
                return self.tell(place, format!("is too large to be read: {bytes} bytes"));
            }
            None => return,
        }
        match self.files.read(place, MOST_BYTES) {
            Ok(data) => self.source(importer, &scan(&data)),
            Err(error) => self.tell(place, format!("cannot be read: {error}")),
        }
    }
}

/// Without `.` and `..`, as text.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}
