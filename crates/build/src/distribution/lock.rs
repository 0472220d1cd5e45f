//! `ounce.lock`: which packages a base is put together from, by digest, so that
//! the same lock gives the same layer. Text in, text out; always written the
//! same way.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ounce_oci::Digest;
use toml::de::{DeTable, DeValue};

/// Most bytes of a lock: some thousand packages.
pub const LOCK_LIMIT_BYTES: u64 = 16 << 20;

/// What the file is called beside `ounce.toml`.
pub const LOCK_NAME: &str = "ounce.lock";

const VERSION: i64 = 1;

/// The whole file: each base for each architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    bases: BTreeMap<(String, String), LockedBase>,
}

/// One base's packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockedBase {
    /// The base as it was asked for: `debian-slim`.
    pub name: String,
    /// The distribution's name of the architecture: `amd64`, `x86_64`.
    pub architecture: String,
    /// Of which release, and what besides decided the packages, in words that
    /// must be the same for the lock to hold: `debian bookworm main`.
    pub from: String,
    /// Sorted by name.
    pub packages: Vec<LockedPackage>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version, as the distribution writes it.
    pub version: String,
    /// Its own architecture: `all`, `amd64`.
    pub architecture: String,
    /// Of the file.
    pub digest: Digest,
    /// Of the file.
    pub size_bytes: u64,
    /// Which archive it is in: `debian`, `debian-security`.
    pub archive: String,
    /// Where in the archive.
    pub path: String,
}

/// A lock that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not TOML.
    #[error("line {line}: not TOML: {why}")]
    Syntax {
        /// From 1.
        line: usize,
        /// In words.
        why: String,
    },
    /// Written by another ounce.
    #[error("its version is {0}, this ounce writes {VERSION}")]
    Version(String),
    /// A key that is missing or of the wrong kind.
    #[error("{place}: `{key}` is missing or no {wanted}")]
    Key {
        /// Which table.
        place: String,
        /// The key.
        key: &'static str,
        /// What should stand there.
        wanted: &'static str,
    },
}

impl Lock {
    /// The base, if it is locked.
    pub fn base(&self, name: &str, architecture: &str) -> Option<&LockedBase> {
        self.bases.get(&(name.to_owned(), architecture.to_owned()))
    }

    /// All of them, sorted by name and architecture.
    pub fn bases(&self) -> impl Iterator<Item = &LockedBase> {
        self.bases.values()
    }

    /// Locks a base, in place of what was locked of it.
    pub fn set(&mut self, mut base: LockedBase) {
        base.packages.sort();
        let key = (base.name.clone(), base.architecture.clone());
        self.bases.insert(key, base);
    }

    /// As it is written.
    pub fn to_text(&self) -> String {
        let mut text =
            "# What the bases are put together from. `ounce update` moves it.\n".to_owned();
        let _ = writeln!(text, "version = {VERSION}");
        for base in self.bases.values() {
            text.push_str("\n[[base]]\n");
            for (key, value) in [
                ("name", &base.name),
                ("architecture", &base.architecture),
                ("from", &base.from),
            ] {
                let _ = writeln!(text, "{key} = {}", quoted(value));
            }
            for package in &base.packages {
                text.push_str("\n[[base.package]]\n");
                for (key, value) in [
                    ("name", package.name.clone()),
                    ("version", package.version.clone()),
                    ("architecture", package.architecture.clone()),
                    ("digest", package.digest.to_string()),
                    ("archive", package.archive.clone()),
                    ("path", package.path.clone()),
                ] {
                    let _ = writeln!(text, "{key} = {}", quoted(&value));
                }
                let _ = writeln!(text, "size = {}", package.size_bytes);
            }
        }
        text
    }

    /// Reads what [`Lock::to_text`] wrote, or a person changed.
    ///
    /// # Errors
    /// Not TOML, another version, a key missing or of the wrong kind.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let document = DeTable::parse(text).map_err(|error| LockError::Syntax {
            line: text
                .get(..error.span().map_or(0, |span| span.start))
                .map_or(1, |before| before.matches('\n').count() + 1),
            why: error.message().to_owned(),
        })?;
        let document = document.get_ref();
        match document.get("version").map(|value| value.get_ref()) {
            Some(DeValue::Integer(number)) if number.as_str() == VERSION.to_string() => {}
            Some(DeValue::Integer(number)) => {
                return Err(LockError::Version(number.as_str().to_owned()));
            }
            _ => return Err(missing("the top", "version", "number")),
        }
        let mut lock = Self::default();
        for (at, base) in tables(document, "base", "the top")?.into_iter().enumerate() {
            let place = format!("base {}", at + 1);
            let mut locked = LockedBase {
                name: string(base, "name", &place)?,
                architecture: string(base, "architecture", &place)?,
                from: string(base, "from", &place)?,
                packages: Vec::new(),
            };
            for package in tables(base, "package", &place)? {
                let name = string(package, "name", &place)?;
                let place = format!("package {name} of {}", locked.name);
                locked.packages.push(LockedPackage {
                    version: string(package, "version", &place)?,
                    architecture: string(package, "architecture", &place)?,
                    digest: string(package, "digest", &place)?
                        .parse()
                        .map_err(|_| missing(&place, "digest", "digest"))?,
                    size_bytes: match package.get("size").map(|value| value.get_ref()) {
                        Some(DeValue::Integer(number)) => number
                            .as_str()
                            .parse()
                            .map_err(|_| missing(&place, "size", "number of bytes"))?,
                        _ => return Err(missing(&place, "size", "number of bytes")),
                    },
                    archive: string(package, "archive", &place)?,
                    path: string(package, "path", &place)?,
                    name,
                });
            }
            lock.set(locked);
        }
        Ok(lock)
    }
}

fn missing(place: &str, key: &'static str, wanted: &'static str) -> LockError {
    LockError::Key {
        place: place.to_owned(),
        key,
        wanted,
    }
}

fn string(table: &DeTable<'_>, key: &'static str, place: &str) -> Result<String, LockError> {
    match table.get(key).map(|value| value.get_ref()) {
        Some(DeValue::String(text)) => Ok(text.to_string()),
        _ => Err(missing(place, key, "text")),
    }
}

fn tables<'t, 'a>(
    table: &'t DeTable<'a>,
    key: &'static str,
    place: &str,
) -> Result<Vec<&'t DeTable<'a>>, LockError> {
    let wrong = || missing(place, key, "list of tables");
    match table.get(key).map(|value| value.get_ref()) {
        None => Ok(Vec::new()),
        Some(DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::Table(table) => Ok(table),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "all".to_owned(),
            digest: Digest::of(name.as_bytes()),
            size_bytes: 12,
            archive: "debian".to_owned(),
            path: format!("pool/{name}.deb"),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in proptest::collection::vec(".{0,12}", 0..5)) {
            let mut lock = Lock::default();
            for name in &names {
                lock.set(LockedBase {
                    name: name.clone(),
                    architecture: "amd64".to_owned(),
                    from: "debian \"x\"\n".to_owned(),
                    packages: names.iter().map(|name| package(name, "1:2~3")).collect(),
                });
            }
            prop_assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
        }
    }

    #[test]
    fn the_order_in_which_packages_came_does_not_show() {
        let text = |packages: Vec<LockedPackage>| {
            let mut lock = Lock::default();
            lock.set(LockedBase {
                packages,
                ..LockedBase::default()
            });
            lock.to_text()
        };
        assert_eq!(
            text(vec![package("b", "1"), package("a", "1")]),
            text(vec![package("a", "1"), package("b", "1")])
        );
    }

    #[test]
    fn a_broken_lock_says_where() {
        let error = |text: &str| Lock::parse(text).unwrap_err().to_string();
        assert!(error("version = 1\n[[base").starts_with("line 2: not TOML"));
        assert_eq!(
            error("version = 2"),
            "its version is 2, this ounce writes 1"
        );
        assert_eq!(error(""), "the top: `version` is missing or no number");
        assert_eq!(
            error("version = 1\n[[base]]\nname='a'\narchitecture='b'"),
            "base 1: `from` is missing or no text"
        );
        let package = "version = 1\n[[base]]\nname='a'\narchitecture='b'\nfrom='c'\n\
            [[base.package]]\nname='d'\nversion='1'\narchitecture='all'\ndigest='sha256:12'";
        assert_eq!(
            error(package),
            "package d of a: `digest` is missing or no digest"
        );
    }
}
