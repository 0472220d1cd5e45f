//! From an import statement to the file of the module.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ounce_rootfs::python::{Import, MOST_BYTES, Source, compiled, scan};
use ounce_rootfs::tree::NodeKind;

use super::{Importer, Module};
use crate::reach::Walk;

impl Walk<'_> {
    /// All that a source asks for. What it leads to waits: imports can be deep
    /// and circular.
    pub(super) fn source(&mut self, importer: Importer<'_>, source: &Source) {
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
    pub(super) fn import(
        &mut self,
        importer: Importer<'_>,
        name: &str,
        how: &str,
    ) -> Option<PathBuf> {
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
