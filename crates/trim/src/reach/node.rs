//! What Node loads: from the script of a command along `require` and `import`,
//! looked for as Node does ("Modules: CommonJS modules", "All together").

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use ounce_rootfs::node::{MOST_BYTES, Manifest, Request, is_builtin, scan};

use super::{TEXT_BYTES, Walk};

/// Endings that `require` adds.
const ADDED: [&str; 3] = ["js", "json", "node"];
/// Endings of sources that are scanned.
const SOURCES: [&str; 3] = ["js", "cjs", "mjs"];
/// How often a name may stand for another: `#a` for `b`, that for its export.
const DEEPEST: usize = 8;
/// Folders that Debian's Node looks into besides (`NODE_PATH` of its build).
const DEBIAN: [&str; 3] = [
    "/usr/share/nodejs",
    "/usr/lib/nodejs",
    "/usr/lib/x86_64-linux-gnu/nodejs",
];

/// What is known of Node's modules so far.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether a Node was started: else sources are pages of a web site.
    started: bool,
    /// Manifests by folder; none where there is none.
    manifests: HashMap<PathBuf, Option<Manifest>>,
    scanned: HashSet<PathBuf>,
    /// Sources waiting to be scanned.
    waiting: Vec<PathBuf>,
    /// Names that lead nowhere, and who asked; told unless it is a choice.
    missing: BTreeMap<(PathBuf, String), usize>,
}

impl Walk<'_> {
    /// `node script`, `node -e code`.
    pub(super) fn node_command(&mut self, node: &Path, rest: &[String]) {
        if !self.options.sources {
            return;
        }
        self.node.started = true;
        let folder = self.absolute(Path::new("x"));
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-r" | "--require" | "--import" => {
                    if let Some(name) = words.next() {
                        self.node_request(&folder, name, word == "--import", 0);
                    }
                }
                "-e" | "--eval" | "-p" | "--print" => {
                    let Some(code) = words.next() else { return };
                    for request in scan(code.as_bytes()).requests {
                        self.node_request(&folder, &request.name, request.import, 0);
                    }
                    return;
                }
                option if option.starts_with('-') => {}
                script => {
                    let path = self.absolute(Path::new(script));
                    let found = self.node_path(&path);
                    match found.and_then(|path| self.keep(&path, node, "script of Node")) {
                        Some(place) => self.node_script(&place),
                        None => self.tell(&path, "is not in the image"),
                    }
                    return;
                }
            }
        }
    }

    /// A script that Node runs.
    pub(super) fn node_script(&mut self, place: &Path) {
        self.node.started = true;
        self.node_wait(place);
    }

    /// A file that is kept for whatever reason.
    pub(super) fn node_source(&mut self, place: &Path) {
        let end = place.extension().and_then(|end| end.to_str());
        if self.node.started && end.is_some_and(|end| SOURCES.contains(&end)) {
            self.node_wait(place);
        }
    }

    fn node_wait(&mut self, place: &Path) {
        if self.node.scanned.insert(place.to_owned()) {
            self.node.waiting.push(place.to_owned());
        }
    }

    /// Scans what waits; whether there was anything.
    pub(super) fn settle_node(&mut self) -> bool {
        let mut any = false;
        while let Some(place) = self.node.waiting.pop() {
            any = true;
            self.node_scan(&place);
        }
        let missing = std::mem::take(&mut self.node.missing);
        for ((place, name), line) in missing {
            self.tell(
                &place,
                format!("line {line}: asks for {name}, which is not in the image"),
            );
        }
        any
    }

    fn node_scan(&mut self, place: &Path) {
        let bytes = self.tree.get(place).map_or(0, |node| node.bytes);
        if bytes > MOST_BYTES {
            return self.tell(place, format!("is too large to be read: {bytes} bytes"));
        }
        let data = match self.files.read(place, MOST_BYTES) {
            Ok(data) => data,
            Err(error) => return self.tell(place, format!("cannot be read: {error}")),
        };
        let path = Path::new("/").join(place);
        // The manifest above decides whether it is a module or a script.
        for folder in path.ancestors().skip(1) {
            if self.manifest(folder).is_some() {
                self.keep(&folder.join("package.json"), place, "package.json above");
                break;
            }
        }
        let found = scan(&data);
        for Request { name, import, line } in &found.requests {
            if !self.node_request(&path, name, *import, 0) {
                let key = (place.to_owned(), name.clone());
                self.node.missing.insert(key, *line);
            }
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        for beside in &found.beside {
            let path = plain(&folder.join(beside));
            self.keep_beneath(&path, place, "path beside it that it names");
        }
        for computed in &found.computed {
            match computed.prefix.as_deref() {
                // All that the name may become, as bundlers take it.
                Some(prefix) if prefix.starts_with('.') && prefix.ends_with('/') => {
                    let within = plain(&folder.join(prefix));
                    self.node_folder(&within, place);
                }
                prefix => {
                    let begin = prefix.map_or(String::new(), |it| format!(" that begins {it:?}"));
                    let what = format!(
                        "line {}: loads a module of a computed name{begin}",
                        computed.line
                    );
                    self.tell(place, what);
                }
            }
        }
    }

    /// What lies in a folder that a computed name begins with, but for packages.
    fn node_folder(&mut self, folder: &Path, by: &Path) {
        const HOW: &str = "folder of a computed name";
        let Some(place) = self.keep(folder, by, HOW) else {
            return;
        };
        let tree = self.tree;
        let is_package = |path: &Path| {
            let inner = path.strip_prefix(&place).unwrap_or(path);
            inner
                .components()
                .any(|part| part.as_os_str() == "node_modules")
        };
        for (path, _) in tree.beneath(&place).filter(|(path, _)| !is_package(path)) {
            self.keep(path, by, HOW);
        }
    }

    /// Finds and keeps what a name leads to; whether something is there.
    fn node_request(&mut self, from: &Path, name: &str, import: bool, depth: usize) -> bool {
        if is_builtin(name) {
            return true;
        }
        let folder = from.parent().unwrap_or(Path::new("/"));
        let name = name.strip_prefix("file://").unwrap_or(name);
        if name.starts_with("data:") || name.is_empty() || depth > DEEPEST {
            return name.starts_with("data:");
        }
        if name.starts_with(['.', '/']) {
            let path = plain(&folder.join(name));
            return self.node_load(from, &path, name);
        }
        if name.starts_with('#') {
            return self.node_imports(from, name, import, depth);
        }
        // A package: `name` or `@scope/name`, and what of it.
        let parts = if name.starts_with('@') { 2 } else { 1 };
        let end = name
            .match_indices('/')
            .nth(parts - 1)
            .map_or(name.len(), |(at, _)| at);
        let (package, rest) = name.split_at(end);
        let subpath = format!(".{rest}");
        for above in folder.ancestors() {
            if above.ends_with("node_modules") {
                continue;
            }
            // A package may ask for itself where it says what it exports.
            let own = self.manifest(above);
            if own.is_some_and(|own| own.has_exports() && own.name.as_deref() == Some(package))
                && self.node_package(from, above, &subpath, name, import)
            {
                return true;
            }
            let modules = above.join("node_modules");
            if self.node_package(from, &modules.join(package), &subpath, name, import)
                || self.node_load(from, &modules.join(name), name)
            {
                return true;
            }
        }
        let more = self
            .environment
            .get("NODE_PATH")
            .cloned()
            .unwrap_or_default();
        let more = more
            .split(':')
            .filter(|it| !it.is_empty())
            .map(PathBuf::from);
        for folder in more.chain(DEBIAN.map(PathBuf::from)) {
            let at = folder.join(package);
            if self.node_package(from, &at, &subpath, name, import)
                || self.node_load(from, &folder.join(name), name)
            {
                return true;
            }
        }
        false
    }

    fn node_imports(&mut self, from: &Path, name: &str, import: bool, depth: usize) -> bool {
        for above in from.ancestors().skip(1) {
            let Some(manifest) = self.manifest(above) else {
                continue;
            };
            let targets = manifest.imported(name, import);
            let mut found = false;
            for target in targets {
                found |= match target.starts_with('.') {
                    true => self.node_load(from, &plain(&above.join(&target)), name),
                    false => self.node_request(from, &target, import, depth + 1),
                };
            }
            return found;
        }
        false
    }

    /// A package's folder and what is asked of it.
    fn node_package(
        &mut self,
        from: &Path,
        folder: &Path,
        subpath: &str,
        name: &str,
        import: bool,
    ) -> bool {
        if !self.is_folder(folder) {
            return false;
        }
        let by = self.place_of(from);
        let manifest = self.manifest(folder);
        let exported = manifest
            .filter(|it| it.has_exports())
            .map(|it| it.exported(subpath, import));
        self.keep(
            &folder.join("package.json"),
            &by,
            format!("package.json of {name}"),
        );
        match exported {
            Some(targets) => {
                let mut found = false;
                for target in targets {
                    found |= self.node_load(from, &plain(&folder.join(&target)), name);
                }
                found
            }
            None => self.node_load(from, &plain(&folder.join(subpath)), name),
        }
    }

    /// A file, as it stands or with an ending, or a folder's main module.
    fn node_load(&mut self, from: &Path, path: &Path, name: &str) -> bool {
        let Some(found) = self.node_path(path) else {
            return false;
        };
        let by = self.place_of(from);
        if self.is_folder(path) {
            self.keep(
                &path.join("package.json"),
                &by,
                format!("package.json of {name}"),
            );
        }
        let Some(place) = self.keep(&found, &by, format!("module {name}")) else {
            return false;
        };
        let end = place.extension().and_then(|end| end.to_str());
        if !matches!(end, Some("json" | "node" | "wasm")) {
            self.node_wait(&place);
        }
        true
    }

    /// `LOAD_AS_FILE`, then `LOAD_AS_DIRECTORY`.
    fn node_path(&mut self, path: &Path) -> Option<PathBuf> {
        if let Some(file) = self.node_file(path) {
            return Some(file);
        }
        if !self.is_folder(path) {
            return None;
        }
        let main = self
            .manifest(path)
            .and_then(|manifest| manifest.main.clone());
        let main = main.map(|main| plain(&path.join(main)));
        let index = path.join("index");
        main.as_deref()
            .and_then(|main| {
                self.node_file(main)
                    .or_else(|| self.node_file(&main.join("index")))
            })
            .or_else(|| self.node_file(&index))
    }

    fn node_file(&self, path: &Path) -> Option<PathBuf> {
        if self.file(path).is_some() {
            return Some(path.to_owned());
        }
        let name = path.file_name()?;
        ADDED
            .iter()
            .map(|end| {
                let mut name = name.to_owned();
                name.push(".");
                name.push(end);
                path.with_file_name(name)
            })
            .find(|path| self.file(path).is_some())
    }

    fn manifest(&mut self, folder: &Path) -> Option<&Manifest> {
        if !self.node.manifests.contains_key(folder) {
            let place = self.file(&folder.join("package.json"));
            let data = place.and_then(|place| self.files.read(&place, TEXT_BYTES).ok());
            let manifest = data.and_then(|data| Manifest::read(&data));
            self.node.manifests.insert(folder.to_owned(), manifest);
        }
        self.node.manifests.get(folder)?.as_ref()
    }

    fn place_of(&self, path: &Path) -> PathBuf {
        match self.tree.lookup(path) {
            Ok((place, _)) => place,
            Err(_) => path.strip_prefix("/").unwrap_or(path).to_owned(),
        }
    }
}

/// Without `.` and `..`, as text; from the root.
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
