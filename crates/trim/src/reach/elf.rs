//! What a loader loads for a program: its interpreter, the libraries it needs
//! and theirs, and libraries that it names in its texts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use ounce_rootfs::Elf;
use ounce_rootfs::elf::{ElfFacts, Endian, names};
use ounce_rootfs::loader::{Asker, Cache, Flavour, Loader, path_file, preload};

use super::{HEAD_BYTES, Opened, PROGRAM_BYTES, TEXT_BYTES, Walk};

/// What of an ELF file decides whether a loader takes it.
type Machine = (u8, Endian, u16);

/// What is known of libraries so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// Names that kept libraries answer to.
    provided: HashSet<String>,
    /// Names that nobody answered to, and who asked.
    missing: BTreeMap<String, PathBuf>,
    /// The two loaders, made when first asked for.
    gnu: Option<Loader>,
    musl: HashMap<String, Loader>,
    /// What kind of ELF file is at a place; none if it is none.
    machines: HashMap<PathBuf, Option<Machine>>,
    /// Whether any program of the image is musl's.
    any_musl: bool,
    preloaded: bool,
}

impl Walk<'_> {
    pub(super) fn elf(&mut self, opened: &Opened) {
        let place = &opened.place;
        let bytes = self.tree.get(place).map_or(0, |node| node.bytes);
        if bytes > PROGRAM_BYTES {
            return self.tell(
                place,
                format!("is too large to be looked into: {bytes} bytes"),
            );
        }
        let data = match self.files.read(place, PROGRAM_BYTES) {
            Ok(data) => data,
            Err(error) => return self.tell(place, format!("cannot be read: {error}")),
        };
        let facts = match Elf::read(&data) {
            Ok(facts) => facts,
            Err(error) => return self.tell(place, error.to_string()),
        };
        let name = place
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        self.loading.provided.extend(name);
        let opened_as = opened.path.file_name();
        let opened_as = opened_as.map(|name| name.to_string_lossy().into_owned());
        self.loading.provided.extend(opened_as);
        self.loading.provided.extend(facts.soname.clone());

        let musl = match &facts.interpreter {
            Some(path) => {
                let musl = Flavour::of_interpreter(path) == Flavour::Musl;
                self.loading.any_musl |= musl;
                if self
                    .keep(Path::new(path), place, "ELF interpreter")
                    .is_none()
                {
                    self.tell(
                        place,
                        format!("its ELF interpreter {path} is not in the image"),
                    );
                }
                musl
            }
            None => opened.musl.unwrap_or(self.loading.any_musl),
        };
        let asker = Asker {
            path: &opened.path,
            facts: &facts,
            inherited: &opened.inherited,
        };
        let loader = self.loader(musl, &facts);
        let inherited = loader.inherited(&asker);
        if !musl && !facts.needed.is_empty() {
            self.preload(place, &loader, &asker);
        }
        for name in &facts.needed {
            if musl && is_musl_itself(name) {
                continue;
            }
            let found = self.library(&loader, &asker, name, "library (DT_NEEDED)", &inherited);
            if !found {
                self.loading.missing.insert(name.clone(), place.clone());
            }
        }
        if self.options.names {
            self.named(opened, &data, &loader, &asker, &inherited);
        }
        if self.options.system {
            self.system_of(place, &facts, &data);
        }
        if self.options.sources {
            self.python_program(&opened.path, place, &data);
        }
    }

    /// Keeps what a name leads to: every variant for newer processors that is
    /// there, then the first plain one.
    fn library(
        &mut self,
        loader: &Loader,
        asker: &Asker<'_>,
        name: &str,
        how: &str,
        inherited: &[PathBuf],
    ) -> bool {
        let wanted = (asker.facts.bits, asker.facts.endian, asker.facts.machine);
        let by = self.tree.lookup(asker.path).map(|found| found.0);
        let by = by.unwrap_or_else(|_| asker.path.to_owned());
        let musl = Some(loader.flavour == Flavour::Musl);
        let mut found = false;
        for path in loader.candidates(asker, name) {
            let Some(place) = self.file(&path) else {
                continue;
            };
            if self.machine(&place) != Some(wanted) {
                continue;
            }
            let variant = path
                .components()
                .any(|part| part.as_os_str() == "glibc-hwcaps");
            let how = match variant {
                true => format!("{how}, for newer processors"),
                false => how.to_owned(),
            };
            self.keep_loaded(&path, &by, how, inherited, musl);
            found = true;
            if !variant {
                break;
            }
        }
        found
    }

    /// What kind of ELF file is at a place.
    fn machine(&mut self, place: &Path) -> Option<Machine> {
        if let Some(known) = self.loading.machines.get(place) {
            return *known;
        }
        let head = self.files.read(place, HEAD_BYTES).unwrap_or_default();
        let machine = machine(&head);
        self.loading.machines.insert(place.to_owned(), machine);
        machine
    }

    /// The loader's rules in this image.
    fn loader(&mut self, musl: bool, facts: &ElfFacts) -> Loader {
        let library_path: Vec<String> = self
            .environment
            .get("LD_LIBRARY_PATH")
            .map(|folders| folders.split([':', ';']).map(str::to_owned).collect())
            .unwrap_or_default();
        if musl {
            let name = match facts.platform.as_ref().map(|it| it.architecture.as_str()) {
                Some("arm64") => "aarch64",
                Some("amd64") => "x86_64",
                Some("386") => "i386",
                Some("arm") => "armhf",
                Some(other) => other,
                None => "",
            };
            if let Some(loader) = self.loading.musl.get(name) {
                return loader.clone();
            }
            let file = PathBuf::from(format!("/etc/ld-musl-{name}.path"));
            let text = self.text(&file);
            let loader = Loader {
                flavour: Flavour::Musl,
                cache: None,
                path_file: text.as_deref().map(path_file),
                library_path,
            };
            self.loading.musl.insert(name.to_owned(), loader.clone());
            return loader;
        }
        if let Some(loader) = &self.loading.gnu {
            return loader.clone();
        }
        let path = Path::new("/etc/ld.so.cache");
        let data = self
            .file(path)
            .and_then(|place| self.files.read(&place, TEXT_BYTES).ok());
        let cache = data.and_then(|data| match Cache::read(&data) {
            Ok(cache) => Some(cache),
            Err(error) => {
                self.tell(Path::new("etc/ld.so.cache"), error.to_string());
                None
            }
        });
        let loader = Loader {
            flavour: Flavour::Gnu,
            cache,
            path_file: None,
            library_path,
        };
        self.loading.gnu = Some(loader.clone());
        loader
    }

    /// What the loader itself opens: its cache, and what is loaded before all.
    fn preload(&mut self, place: &Path, loader: &Loader, asker: &Asker<'_>) {
        if std::mem::replace(&mut self.loading.preloaded, true) {
            return;
        }
        self.keep(Path::new("/etc/ld.so.cache"), place, "cache of the loader");
        let list = Path::new("/etc/ld.so.preload");
        let mut all = Vec::new();
        if let Some(text) = self.text(list) {
            self.keep(list, place, "list of libraries loaded first");
            all.extend(preload(&text));
        }
        if let Some(text) = self.environment.get("LD_PRELOAD") {
            all.extend(preload(text));
        }
        for name in all {
            if !self.library(loader, asker, &name, "library loaded first", &[]) {
                self.tell(
                    place,
                    format!("the library to be loaded first, {name}, is not there"),
                );
            }
        }
    }

    /// Libraries and files named in a program's texts.
    fn named(
        &mut self,
        opened: &Opened,
        data: &[u8],
        loader: &Loader,
        asker: &Asker<'_>,
        inherited: &[PathBuf],
    ) {
        let facts = asker.facts;
        let own = facts.soname.as_deref();
        for name in names::libraries(data) {
            if Some(name.as_str()) != own && !facts.needed.contains(&name) {
                self.library(
                    loader,
                    asker,
                    &name,
                    "library that it names (dlopen)",
                    inherited,
                );
            }
        }
        let texts = names::texts(data);
        let puts_together = texts
            .iter()
            .find(|text| text.contains('%') && text.contains(".so"))
            .map(|text| (*text).to_owned());
        let is_c_library = own.is_some_and(|name| name.starts_with("libc."));
        if let (Some(text), false) = (puts_together, is_c_library) {
            self.tell(
                &opened.place,
                format!("puts names of libraries together: {text:?}"),
            );
        }
        // The C library names files of functions that few call; `system` knows which.
        if !is_c_library {
            let searched = [facts.rpath.as_slice(), &facts.runpath].concat();
            self.named_paths(&opened.place, data, &searched);
        }
    }

    /// Names that nobody answers to, once all is known.
    pub(super) fn tell_missing_libraries(&mut self) {
        let missing = std::mem::take(&mut self.loading.missing);
        for (name, by) in missing {
            if !self.loading.provided.contains(&name) {
                self.tell(
                    &by,
                    format!("the library {name} that it needs is not in the image"),
                );
            }
        }
    }

    /// A library by its name alone, as glibc loads its own plug-ins.
    pub(super) fn plug_in(&mut self, name: &str, by: &Path, how: &str) -> bool {
        let Ok(data) = self.files.read(by, PROGRAM_BYTES) else {
            return false;
        };
        let Ok(facts) = Elf::read(&data) else {
            return false;
        };
        let path = Path::new("/").join(by);
        let asker = Asker {
            path: &path,
            facts: &facts,
            inherited: &[],
        };
        let loader = self.loader(false, &facts);
        self.library(&loader, &asker, name, how, &[])
    }
}

/// Class, byte order and machine off the first 20 bytes.
fn machine(head: &[u8]) -> Option<Machine> {
    if !head.starts_with(b"\x7fELF") || head.len() < 20 {
        return None;
    }
    let bits = match head[4] {
        1 => 32,
        2 => 64,
        _ => return None,
    };
    let two = [head[18], head[19]];
    match head[5] {
        1 => Some((bits, Endian::Little, u16::from_le_bytes(two))),
        2 => Some((bits, Endian::Big, u16::from_be_bytes(two))),
        _ => None,
    }
}

/// Libraries that musl's loader is itself (`ldso/dynlink.c`, `load_library`).
fn is_musl_itself(name: &str) -> bool {
    let parts = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
    name.strip_prefix("lib")
        .is_some_and(|rest| parts.iter().any(|part| rest.starts_with(part)))
}
