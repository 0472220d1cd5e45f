//! What a Python imports: from its start, from scripts and modules named in
//! commands, along import statements, to compiled forms, extensions and data.
//!
//! Modules are looked for as CPython does (`importlib.machinery.PathFinder`,
//! `site`): folders in order, a package before an extension before a source,
//! and folders without `__init__.py` last, as namespaces.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use ounce_rootfs::elf::names;
use ounce_rootfs::python::{
    Import, MOST_BYTES, PathLine, Source, compiled, entry_points, environment, pth, scan,
};
use ounce_rootfs::tree::NodeKind;

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
/// Endings of files that are code, or only make code.
const CODE: [&str; 10] = ["py", "pyc", "pyi", "so", "c", "h", "pyx", "pxd", "cpp", "a"];
/// Files of a distribution's record that are read at run time.
const RECORDS: [&str; 5] = [
    "METADATA",
    "entry_points.txt",
    "top_level.txt",
    "PKG-INFO",
    "WHEEL",
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

    /// All that a source asks for. What it leads to waits: imports can be deep
    /// and circular.
    fn source(&mut self, importer: Importer<'_>, source: &Source) {
        for import in &source.imports {
            self.statement(importer, import);
        }
        for computed in &source.computed {
            // The import system's own functions are made of these calls.
            let library = &self.pythons.all[importer.python].library;
            let own = Path::new("/").join(importer.place).starts_with(library);
            if !own {
                self.tell(
                    importer.place,
                    format!(
                        "line {}: {}() of a computed name",
                        computed.line, computed.call
                    ),
                );
            }
        }
        for text in &source.texts {
            self.encoding(importer, text);
        }
        let texts = source.texts.iter().filter(|text| text.len() < 64).cloned();
        self.pythons.all[importer.python].texts.extend(texts);
    }

    fn statement(&mut self, importer: Importer<'_>, import: &Import) {
        let how = |name: &str| format!("import {name}, line {}", import.line);
        let base = match absolute_name(importer.package, import) {
            Some(base) => base,
            None => {
                let dots = ".".repeat(import.level);
                let what = format!(
                    "line {}: {dots}{} leaves its package",
                    import.line, import.module
                );
                return self.tell(importer.place, what);
            }
        };
        if !base.is_empty() && self.import(importer, &base, &how(&base)).is_none() {
            let python = &self.pythons.all[importer.python];
            let top = base.split('.').next().unwrap_or(&base);
            let within = Path::new("/")
                .join(importer.place)
                .starts_with(&python.library);
            // Texts share their ends: `math` stands in `cmath`.
            let built_in = python.compiled_in.iter().any(|text| text.ends_with(top));
            if !within && !built_in {
                let what = format!(
                    "line {}: imports {base}, which is not in the image",
                    import.line
                );
                self.tell(importer.place, what);
            }
            return;
        }
        for name in &import.names {
            if name == "*" {
                self.all_of(importer, &base, &how(&base));
            } else {
                let full = match base.is_empty() {
                    true => name.clone(),
                    false => format!("{base}.{name}"),
                };
                self.import(importer, &full, &how(&full));
            }
        }
    }

    /// `from x import *` imports the modules that `__all__` names.
    fn all_of(&mut self, importer: Importer<'_>, base: &str, how: &str) {
        let python = &self.pythons.all[importer.python];
        let Some(Some(module)) = python.modules.get(base) else {
            return;
        };
        if module.folders.is_empty() {
            return;
        }
        let place = module.place.clone();
        let Ok(data) = self.files.read(&place, MOST_BYTES) else {
            return;
        };
        for name in scan(&data).all {
            self.import(importer, &format!("{base}.{name}"), how);
        }
    }

    /// A codec is a module that a text names.
    fn encoding(&mut self, importer: Importer<'_>, text: &str) {
        if text.len() > 32 || !text.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return;
        }
        let name = text.to_ascii_lowercase().replace(['-', ' '], "_");
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return;
        }
        for name in [name.replace("iso_8859", "iso8859"), name] {
            let library = &self.pythons.all[importer.python].library;
            if self
                .file(&library.join("encodings").join(format!("{name}.py")))
                .is_some()
            {
                self.import(
                    importer,
                    &format!("encodings.{name}"),
                    "codec that it names",
                );
            }
        }
    }

    /// Imports a module by its full name, its packages first; its file.
    fn import(&mut self, importer: Importer<'_>, name: &str, how: &str) -> Option<PathBuf> {
        let python = importer.python;
        let mut folders: Option<Vec<PathBuf>> = None;
        let mut place = None;
        let mut full = String::new();
        for part in name.split('.') {
            if part.is_empty() {
                return None;
            }
            if !full.is_empty() {
                full.push('.');
            }
            full.push_str(part);
            let module = match self.pythons.all[python].modules.get(&full) {
                Some(known) => known.clone(),
                None => {
                    let within = match &folders {
                        Some(folders) => folders.clone(),
                        None => self.pythons.all[python].folders[1..].to_vec(),
                    };
                    let found = self.find(&within, part);
                    let modules = &mut self.pythons.all[python].modules;
                    modules.insert(full.clone(), found.clone());
                    if let Some(module) = &found {
                        self.found(python, &full, module, importer.place, how);
                    }
                    found
                }
            }?;
            folders = Some(module.folders);
            place = Some(module.place);
        }
        place
    }

    /// Where a module is, if any of the folders has it.
    fn find(&mut self, folders: &[PathBuf], name: &str) -> Option<Module> {
        let mut spaces = Vec::new();
        for folder in folders {
            let Ok((folder, _)) = self.tree.lookup(folder) else {
                continue;
            };
            let package = folder.join(name);
            let inner = |place: PathBuf| Module {
                place,
                folders: vec![Path::new("/").join(&package)],
            };
            let init = ["__init__.py", "__init__.pyc"].map(|init| package.join(init));
            if let Some(place) = init.iter().find_map(|init| self.file(init)) {
                return Some(inner(place));
            }
            if let Some(place) = self.extension(&package, "__init__") {
                return Some(inner(place));
            }
            let lone = |place| Module {
                place,
                folders: Vec::new(),
            };
            if let Some(place) = self.extension(&folder, name) {
                return Some(lone(place));
            }
            let files = ["py", "pyc"].map(|end| folder.join(format!("{name}.{end}")));
            if let Some(place) = files.iter().find_map(|file| self.file(file)) {
                return Some(lone(place));
            }
            if self.is_folder(&package) {
                spaces.push(Path::new("/").join(&package));
            }
        }
        let first = spaces.first()?.clone();
        Some(Module {
            place: first.strip_prefix("/").map(Path::to_owned).unwrap_or(first),
            folders: spaces,
        })
    }

    /// The extension module of this name in a folder, whatever its ABI tag.
    fn extension(&mut self, folder: &Path, name: &str) -> Option<PathBuf> {
        let tree = self.tree;
        let all = self.pythons.extensions.get_or_insert_with(|| {
            let mut all = HashMap::new();
            for (path, node) in tree.iter() {
                let is_library = path.extension().is_some_and(|end| end == "so");
                if !is_library || node.kind == NodeKind::Folder {
                    continue;
                }
                let stem = path.file_name().and_then(|name| name.to_str());
                let stem = stem.and_then(|name| name.split('.').next());
                if let (Some(stem), Some(folder)) = (stem, path.parent()) {
                    all.insert((folder.to_owned(), stem.to_owned()), path.to_owned());
                }
            }
            all
        });
        all.get(&(folder.to_owned(), name.to_owned())).cloned()
    }

    /// Keeps a module that was found and queues what it names.
    fn found(&mut self, python: usize, name: &str, module: &Module, by: &Path, how: &str) {
        let place = &module.place;
        self.keep(place, by, how);
        let is_package = !module.folders.is_empty();
        let version = self.pythons.all[python].version.replace('.', "");
        if let Some(partner) = compiled(place, &format!("cpython-{version}")) {
            self.keep(&partner, place, "compiled form");
        }
        let package = match is_package {
            true => name,
            false => name.rsplit_once('.').map_or("", |(package, _)| package),
        };
        let has_file = self.file(place).is_some();
        let python = &mut self.pythons.all[python];
        if !has_file {
            return;
        }
        if is_package {
            python.packages.extend(module.folders.iter().cloned());
        }
        if python.places.insert(place.clone()) {
            python.waiting.push((place.clone(), package.to_owned()));
        }
    }

    /// Data of packages, records of distributions, entry points.
    fn settle_packages(&mut self, index: usize) -> bool {
        let python = &mut self.pythons.all[index];
        let library = python.library.clone();
        let mut any = false;
        for package in std::mem::take(&mut python.packages) {
            if !package.starts_with(&library) || package.starts_with(library.join("site-packages"))
            {
                self.data_of(&package);
                any = true;
            }
        }
        let python = &mut self.pythons.all[index];
        let is_there = |name: &str| matches!(python.modules.get(name), Some(Some(_)));
        let asks = ["importlib.metadata", "importlib_metadata", "pkg_resources"];
        let asks = asks.iter().any(|name| is_there(name));
        if is_there("sysconfig") && !std::mem::replace(&mut python.configured, true) {
            any |= self.build_settings(index, &library);
        }
        if asks {
            any |= self.distributions(index);
        }
        any
    }

    /// `sysconfig` imports its settings by a computed name.
    fn build_settings(&mut self, python: usize, library: &Path) -> bool {
        let Ok((place, _)) = self.tree.lookup(library) else {
            return false;
        };
        let tree = self.tree;
        let files = tree.beneath(&place).map(|(path, _)| path);
        let stems: Vec<String> = files
            .filter(|path| path.parent() == Some(&*place))
            .filter(|path| path.extension().is_some_and(|end| end == "py"))
            .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
            .filter(|stem| stem.starts_with("_sysconfigdata"))
            .collect();
        let by = self.pythons.all[python].place.clone();
        for stem in &stems {
            let importer = Importer {
                python,
                place: &by,
                package: "",
            };
            self.import(importer, stem, "settings of the build, for sysconfig");
        }
        !stems.is_empty()
    }

    /// Files of a package that are no code: in its folder, and in folders that
    /// are no packages.
    fn data_of(&mut self, package: &Path) {
        let Ok((folder, _)) = self.tree.lookup(package) else {
            return;
        };
        let tree = self.tree;
        let is_package = |path: &Path| tree.get(path.join("__init__.py")).is_some();
        let by = folder.join("__init__.py");
        for (path, node) in tree.beneath(&folder) {
            let code = path.extension().and_then(|end| end.to_str());
            if node.kind == NodeKind::Folder || code.is_some_and(|end| CODE.contains(&end)) {
                continue;
            }
            let above = path
                .ancestors()
                .skip(1)
                .take_while(|above| *above != folder);
            let other = |above: &Path| {
                let name = above.file_name().and_then(|name| name.to_str());
                is_package(above) || matches!(name, Some("tests" | "test" | "__pycache__"))
            };
            let mut above = above;
            if !above.any(other) {
                self.keep(path, &by, "data of the package");
            }
        }
    }

    /// Records that `importlib.metadata` reads, and the entry points of groups
    /// that a kept module names.
    fn distributions(&mut self, python: usize) -> bool {
        let tree = self.tree;
        let folders = self.pythons.all[python].folders[1..].to_vec();
        let mut records: Vec<PathBuf> = Vec::new();
        for folder in folders {
            let Ok((place, _)) = tree.lookup(&folder) else {
                continue;
            };
            let is_record = |path: &Path| {
                path.parent() == Some(&*place)
                    && path
                        .extension()
                        .is_some_and(|end| end == "dist-info" || end == "egg-info")
            };
            let all = tree.beneath(&place).map(|(path, _)| path);
            records.extend(all.filter(|path| is_record(path)).map(Path::to_owned));
        }
        let mut any = false;
        for record in records {
            let points = self
                .text(&record.join("entry_points.txt"))
                .unwrap_or_default();
            let points = entry_points(&points);
            if !self.pythons.all[python].distributions.contains(&record) {
                if !self.is_of_kept_module(python, &record) {
                    continue;
                }
                any = true;
                self.pythons.all[python]
                    .distributions
                    .insert(record.clone());
                let by = self.pythons.all[python].place.clone();
                for name in RECORDS {
                    self.keep(&record.join(name), &by, "record of the distribution");
                }
            }
            for point in points {
                let python_of = &self.pythons.all[python];
                let scripts = matches!(point.group.as_str(), "console_scripts" | "gui_scripts");
                let known = python_of.modules.contains_key(&point.module);
                if scripts || known || !python_of.texts.contains(&point.group) {
                    continue;
                }
                let place = record.join("entry_points.txt");
                let importer = Importer {
                    python,
                    place: &place,
                    package: "",
                };
                self.import(importer, &point.module, "entry point");
                any = true;
            }
        }
        any
    }

    /// Whether a module of a distribution is kept, by the names that it records.
    fn is_of_kept_module(&mut self, python: usize, record: &Path) -> bool {
        let tops = self.text(&record.join("top_level.txt")).unwrap_or_default();
        let mut tops: BTreeSet<String> = tops.lines().map(|line| line.trim().to_owned()).collect();
        if tops.is_empty() {
            let text = self.text(&record.join("RECORD")).unwrap_or_default();
            tops = text
                .lines()
                .filter_map(|line| line.split([',', '/']).next())
                .map(|name| name.trim_end_matches(".py").to_owned())
                .collect();
        }
        if let Some(name) = record.file_name().and_then(|name| name.to_str()) {
            let name = name.split('-').next().unwrap_or(name);
            tops.insert(name.to_lowercase());
        }
        let modules = &self.pythons.all[python].modules;
        tops.iter()
            .any(|top| matches!(modules.get(top), Some(Some(_))))
    }
}

/// The full name that an import statement begins at; none where its dots lead
/// out of the package.
fn absolute_name(package: &str, import: &Import) -> Option<String> {
    if import.level == 0 {
        return Some(import.module.clone());
    }
    let mut parts: Vec<&str> = package.split('.').filter(|part| !part.is_empty()).collect();
    for _ in 1..import.level {
        parts.pop()?;
    }
    parts.extend(import.module.split('.').filter(|part| !part.is_empty()));
    Some(parts.join("."))
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
