//! The packages that archives offer: `Packages` indexes, by name and by what
//! they provide.

use std::cmp::Ordering;
use std::collections::HashMap;

use ounce_oci::Digest;

use super::control::paragraphs;
use super::relation::{Relation, clauses};
use super::version;

/// A package as an index describes it; everything is borrowed from its text.
#[derive(Debug, Clone)]
pub(crate) struct Package<'t> {
    pub(crate) name: &'t str,
    pub(crate) version: &'t str,
    pub(crate) architecture: &'t str,
    pub(crate) path: &'t str,
    pub(crate) size_bytes: u64,
    pub(crate) digest: Digest,
    pub(crate) essential: bool,
    pub(crate) priority: &'t str,
    depends: [&'t str; 2],
    conflicts: [&'t str; 2],
    provides: &'t str,
    /// Which archive it is in: an index that the caller gave.
    pub(crate) archive: usize,
}

/// All packages of all indexes.
#[derive(Debug, Default)]
pub(crate) struct Universe<'t> {
    pub(crate) packages: Vec<Package<'t>>,
    /// Newest first.
    by_name: HashMap<&'t str, Vec<usize>>,
    /// With the version that is provided, if one is said.
    providers: HashMap<&'t str, Vec<(usize, Option<&'t str>)>>,
}

impl<'t> Package<'t> {
    /// What it needs, first what it needs to be unpacked.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Vec<Relation<'t>>> + use<'t> {
        let [first, second] = self.depends;
        clauses(first).chain(clauses(second))
    }

    /// What it cannot stand beside.
    pub(crate) fn refuses(&self) -> impl Iterator<Item = Relation<'t>> + use<'t> {
        let [first, second] = self.conflicts;
        clauses(first).chain(clauses(second)).flatten()
    }

    /// The names it goes by besides its own, some with a version.
    pub(crate) fn provides(&self) -> impl Iterator<Item = (&'t str, Option<&'t str>)> + use<'t> {
        clauses(self.provides)
            .flatten()
            .map(|one| (one.name, one.version.map(|(_, version)| version)))
    }

    /// Whether it is what `relation` asks for, by its own name or another.
    pub(crate) fn is(&self, relation: &Relation<'_>) -> bool {
        if self.name == relation.name && relation.takes(self.version) {
            return true;
        }
        // A name that is provided without version satisfies none: Debian Policy, 7.5.
        let mut provides = self.provides();
        provides.any(|(name, version)| {
            name == relation.name
                && (relation.version.is_none() || version.is_some_and(|one| relation.takes(one)))
        })
    }

    fn rank(&self) -> u8 {
        match self.priority {
            "required" => 0,
            "important" => 1,
            "standard" => 2,
            "optional" => 3,
            _ => 4,
        }
    }
}

impl<'t> Universe<'t> {
    /// Adds an index; paragraphs without a name, a version or a digest are
    /// passed over: nothing could be fetched of them.
    pub(crate) fn add(&mut self, text: &'t str, archive: usize) {
        for paragraph in paragraphs(text) {
            let (mut name, mut version, mut architecture, mut path) = ("", "", "", "");
            let (mut size_bytes, mut digest, mut essential) = (None, None, false);
            let (mut priority, mut provides) = ("", "");
            let (mut depends, mut conflicts) = ([""; 2], [""; 2]);
            for (field, value) in paragraph.fields() {
                match field {
                    "Package" => name = value,
                    "Version" => version = value,
                    "Architecture" => architecture = value,
                    "Filename" => path = value,
                    "Size" => size_bytes = value.parse().ok(),
                    "SHA256" => digest = format!("sha256:{value}").parse().ok(),
                    "Essential" => essential = value == "yes",
                    "Priority" => priority = value,
                    "Pre-Depends" => depends[0] = value,
                    "Depends" => depends[1] = value,
                    "Conflicts" => conflicts[0] = value,
                    "Breaks" => conflicts[1] = value,
                    "Provides" => provides = value,
                    _ => {}
                }
            }
            let (Some(size_bytes), Some(digest)) = (size_bytes, digest) else {
                continue;
            };
            if !name.is_empty() && !version.is_empty() && is_plain(path) {
                self.push(Package {
                    name,
                    version,
                    architecture,
                    path,
                    size_bytes,
                    digest,
                    essential,
                    priority,
                    depends,
                    conflicts,
                    provides,
                    archive,
                });
            }
        }
    }

    fn push(&mut self, package: Package<'t>) {
        let at = self.packages.len();
        for (name, version) in package.provides() {
            self.providers.entry(name).or_default().push((at, version));
        }
        let versions = self.by_name.entry(package.name).or_default();
        let place = versions.partition_point(|known| {
            version::compare(self.packages[*known].version, package.version) != Ordering::Less
        });
        versions.insert(place, at);
        self.packages.push(package);
    }

    /// The newest of this name.
    pub(crate) fn newest(&self, name: &str) -> Option<usize> {
        self.by_name.get(name)?.first().copied()
    }

    /// All of this name, newest first.
    pub(crate) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// What would do, best first: those of the name, newest first, then those
    /// that provide it, the more important first.
    pub(crate) fn candidates(&self, relation: &Relation<'_>) -> Vec<usize> {
        let own = self.named(relation.name).iter().copied();
        let mut found: Vec<usize> = own
            .filter(|at| relation.takes(self.packages[*at].version))
            .collect();
        let providers = self.providers.get(relation.name).into_iter().flatten();
        let mut others: Vec<usize> = providers
            .filter(|(_, version)| {
                relation.version.is_none() || version.is_some_and(|one| relation.takes(one))
            })
            .map(|(at, _)| *at)
            .filter(|at| !found.contains(at))
            .collect();
        others.sort_by(|a, b| {
            let (a, b) = (&self.packages[*a], &self.packages[*b]);
            (a.rank(), a.name)
                .cmp(&(b.rank(), b.name))
                .then_with(|| version::compare(b.version, a.version))
        });
        found.extend(others);
        found
    }
}

/// A path that stays in the archive.
pub(crate) fn is_plain(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(plain) && !path.contains(['\0', '?', '#', '\\', ' '])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An index of packages, each given as its fields.
    pub(crate) fn index(packages: &[&str]) -> String {
        let one = |fields: &&str| {
            format!(
                "{fields}\nArchitecture: all\nFilename: pool/x.deb\nSize: 1\nSHA256: {}\n\n",
                "0".repeat(64)
            )
        };
        packages.iter().map(one).collect()
    }

    #[test]
    fn the_newest_comes_first_and_providers_after_it_by_importance() {
        let text = index(&[
            "Package: a\nVersion: 1",
            "Package: a\nVersion: 2~rc1",
            "Package: c\nVersion: 1\nProvides: a (= 3), z\nPriority: optional",
            "Package: b\nVersion: 1\nProvides: a\nPriority: required",
        ]);
        let mut universe = Universe::default();
        universe.add(&text, 0);
        let names = |relation: &str| -> Vec<String> {
            let relation = clauses(relation).next().unwrap()[0];
            let found = universe.candidates(&relation);
            let told = |at: usize| {
                let package = &universe.packages[at];
                format!("{} {}", package.name, package.version)
            };
            found.into_iter().map(told).collect()
        };
        assert_eq!(names("a"), ["a 2~rc1", "a 1", "b 1", "c 1"]);
        assert_eq!(names("a (>= 2)"), ["c 1"]);
        assert_eq!(names("a (<< 2)"), ["a 2~rc1", "a 1"]);
    }

    #[test]
    fn a_path_out_of_the_archive_is_no_package() {
        let mut universe = Universe::default();
        let text = format!(
            "Package: a\nVersion: 1\nFilename: ../../etc/passwd\nSize: 1\nSHA256: {}\n",
            "0".repeat(64)
        );
        universe.add(&text, 0);
        universe.add(
            "Package: b\nVersion: 1\nFilename: b.deb\nSize: x\nSHA256: zz\n",
            0,
        );
        assert!(universe.packages.is_empty());
    }
}
