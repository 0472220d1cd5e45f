//! `APKINDEX`: the list of a repository's packages, one paragraph of `X:value`
//! lines each, and the same lines at the head of a package in the database of
//! what is installed.

use std::fmt::Write as _;

use super::base64;
use super::dependency::{Dependency, DependencyError, list_text, parse_list};
use super::version;

/// SHA-1, by which apk knows packages and files.
pub type Checksum = [u8; 20];

/// What an index says of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// `C`: of the compressed control part.
    pub identity: Checksum,
    /// `P`.
    pub name: String,
    /// `V`.
    pub version: String,
    /// `A`.
    pub architecture: Option<String>,
    /// `S`: of the file.
    pub size_bytes: u64,
    /// `I`: about so many once installed.
    pub installed_bytes: u64,
    /// `T`.
    pub description: String,
    /// `U`.
    pub url: String,
    /// `L`.
    pub license: String,
    /// `o`: the source package.
    pub origin: Option<String>,
    /// `m`.
    pub maintainer: Option<String>,
    /// `t`: seconds since 1970.
    pub build_time: u64,
    /// `c`.
    pub commit: Option<String>,
    /// `k`: which of several packages that provide a name is taken.
    pub priority: u64,
    /// `D`.
    pub depends: Vec<Dependency>,
    /// `p`.
    pub provides: Vec<Dependency>,
    /// `i`: it comes by itself once all of these are there.
    pub install_if: Vec<Dependency>,
}

/// An index that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the index: {fault}")]
pub struct IndexError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: IndexFault,
}

/// What is wrong in an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexFault {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// Not `X:value`.
    #[error("not a field, a colon and a value")]
    Line,
    /// A value that its field does not take.
    #[error("field {field} is {value:?}, which is no {wanted}")]
    Value {
        /// The field's letter.
        field: char,
        /// As it stands there.
        value: String,
        /// In words.
        wanted: &'static str,
    },
    /// A dependency that is none.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// A package without one of its fields.
    #[error("the package that ends here has no field {0}")]
    Missing(char),
}

/// Reads the whole of an `APKINDEX`.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(bytes: &[u8]) -> Result<Vec<Package>, IndexError> {
    let at = |line: usize| move |fault| IndexError { line, fault };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        at(line)(IndexFault::NotText)
    })?;
    let mut packages = Vec::new();
    let mut open: Option<(Package, String)> = None;
    let mut last = 0;
    for (line, content) in text.lines().enumerate() {
        last = line + 1;
        if content.is_empty() {
            if let Some((package, seen)) = open.take() {
                packages.push(complete(package, &seen).map_err(at(last))?);
            }
            continue;
        }
        let mut chars = content.chars();
        let (Some(field), Some(':')) = (chars.next(), chars.next()) else {
            return Err(at(last)(IndexFault::Line));
        };
        let (package, seen) = open.get_or_insert_default();
        seen.push(field);
        take(package, field, chars.as_str()).map_err(at(last))?;
    }
    if let Some((package, seen)) = open {
        packages.push(complete(package, &seen).map_err(at(last))?);
    }
    Ok(packages)
}

fn complete(package: Package, seen: &str) -> Result<Package, IndexFault> {
    match "CPVS".chars().find(|field| !seen.contains(*field)) {
        Some(field) => Err(IndexFault::Missing(field)),
        None => Ok(package),
    }
}

fn take(package: &mut Package, field: char, value: &str) -> Result<(), IndexFault> {
    let wrong = |wanted| IndexFault::Value {
        field,
        value: value.chars().take(80).collect(),
        wanted,
    };
    let number = || value.parse().map_err(|_| wrong("number"));
    let text = || Some(value.to_owned());
    match field {
        'C' => package.identity = checksum(value).ok_or_else(|| wrong("SHA-1 checksum (Q1…)"))?,
        'P' if is_name(value) => value.clone_into(&mut package.name),
        'P' => return Err(wrong("name")),
        'V' if version::is_valid(value) => value.clone_into(&mut package.version),
        'V' => return Err(wrong("version")),
        'A' if is_name(value) => package.architecture = text(),
        'A' => return Err(wrong("architecture")),
        'S' => package.size_bytes = number()?,
        'I' => package.installed_bytes = number()?,
        'T' => value.clone_into(&mut package.description),
        'U' => value.clone_into(&mut package.url),
        'L' => value.clone_into(&mut package.license),
        'o' => package.origin = text(),
        'm' => package.maintainer = text(),
        't' => package.build_time = number()?,
        'c' => package.commit = text(),
        'k' => package.priority = number()?,
        'D' => package.depends = parse_list(value)?,
        'p' => package.provides = parse_list(value)?,
        'i' => package.install_if = parse_list(value)?,
        // Fields to come, and those that only the database of the installed has.
        _ => {}
    }
    Ok(())
}

/// A package's name, which is a part of its file's: no slash, no `..`.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && !text.starts_with("..")
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-'))
}

/// Reads `Q1` and base64.
pub(super) fn checksum(text: &str) -> Option<Checksum> {
    let bytes = base64::decode(text.strip_prefix("Q1")?)?;
    bytes.try_into().ok()
}

/// Writes `Q1` and base64.
pub(super) fn checksum_text(checksum: &Checksum) -> String {
    format!("Q1{}", base64::encode(checksum))
}

impl Package {
    /// The file's name in the repository.
    pub fn file_name(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }

    /// Name and version, as apk shows it.
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The head of its paragraph, fields in apk's order.
    pub(super) fn head(&self) -> String {
        let mut text = String::new();
        let mut line = |field: char, value: &str| {
            let _ = writeln!(text, "{field}:{value}");
        };
        line('C', &checksum_text(&self.identity));
        line('P', &self.name);
        line('V', &self.version);
        if let Some(architecture) = &self.architecture {
            line('A', architecture);
        }
        line('S', &self.size_bytes.to_string());
        line('I', &self.installed_bytes.to_string());
        line('T', &self.description);
        line('U', &self.url);
        line('L', &self.license);
        for (field, value) in [('o', &self.origin), ('m', &self.maintainer)] {
            if let Some(value) = value {
                line(field, value);
            }
        }
        if self.build_time != 0 {
            line('t', &self.build_time.to_string());
        }
        if let Some(commit) = &self.commit {
            line('c', commit);
        }
        if self.priority != 0 {
            line('k', &self.priority.to_string());
        }
        for (field, list) in [
            ('D', &self.depends),
            ('p', &self.provides),
            ('i', &self.install_if),
        ] {
            if !list.is_empty() {
                line(field, &list_text(list));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUSYBOX: &str = "C:Q1/jYLaX3sKXLcZjSRcVfUMBzb3n0=\nP:busybox\nV:1.36.1-r29\nA:x86_64\n\
        S:509600\nI:962560\nT:Size optimized toolbox\nU:https://busybox.net/\nL:GPL-2.0-only\n\
        o:busybox\nm:Somebody <a@example.org>\nt:1718264240\nc:1747c01fb96905f101c25609011589d2\n\
        k:7\nD:so:libc.musl-x86_64.so.1\np:cmd:busybox=1.36.1-r29 /bin/sh\ni:a b=1\n";

    #[test]
    fn a_paragraph_is_read_and_written_again() {
        let packages = parse(format!("{BUSYBOX}\n{BUSYBOX}\n\n").as_bytes()).unwrap();
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[0].head(), BUSYBOX);
        assert_eq!(packages[0].file_name(), "busybox-1.36.1-r29.apk");
        assert_eq!(packages[0].provides[1].provided_version(), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let said = |text: String| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            said(BUSYBOX.replace("P:busybox", "P:../busybox")),
            "line 2 of the index: field P is \"../busybox\", which is no name"
        );
        assert_eq!(
            said(BUSYBOX.replace("V:1.36.1-r29", "V:1/../../x")),
            "line 3 of the index: field V is \"1/../../x\", which is no version"
        );
        assert!(said(BUSYBOX.replace("S:509600", "S:-1")).contains("which is no number"));
        assert!(said(BUSYBOX.replace("C:Q1", "C:Q2")).contains("no SHA-1 checksum"));
        assert!(said("P:a\nV:1\nS:1\n".to_owned()).ends_with("has no field C"));
        assert!(said("nothing".to_owned()).ends_with("a colon and a value"));
        assert_eq!(
            parse(b"P:a\n\xff").unwrap_err().to_string(),
            "line 2 of the index: not UTF-8"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
