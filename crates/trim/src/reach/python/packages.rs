//! What goes with packages that are kept: data beside the code, records of
//! distributions, entry points, settings of the build.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ounce_rootfs::python::entry_points;
use ounce_rootfs::tree::NodeKind;

use super::Importer;
use crate::reach::Walk;

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

impl Walk<'_> {
    /// Data of packages, records of distributions, entry points.
    pub(super) fn settle_packages(&mut self, index: usize) -> bool {
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
