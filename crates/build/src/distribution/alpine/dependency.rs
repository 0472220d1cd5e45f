//! What a package needs, provides or cannot bear: `busybox>=1.36`,
//! `so:libc.musl-x86_64.so.1`, `!uclibc`, `openssl~3.3`.

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// One entry of a list of dependencies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// `!`: it must not be there.
    pub conflict: bool,
    /// The name, with its namespace: `so:libz.so.1`, `cmd:awk`, `/bin/sh`.
    pub name: String,
    /// Which versions, if not all.
    pub versions: Option<Versions>,
}

/// Which versions are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Versions {
    /// `<`, `<=`, `=`, `~`, `>=`, `>`, `<~`, `>~` or `><`.
    pub operator: Operator,
    /// What is compared with.
    pub version: String,
}

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named by its sign")]
pub enum Operator {
    Less,
    LessOrEqual,
    LessOrLike,
    Equal,
    Like,
    GreaterOrLike,
    GreaterOrEqual,
    Greater,
    Checksum,
}

const OPERATORS: [(&str, Operator); 11] = [
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    ("<~", Operator::LessOrLike),
    ("=", Operator::Equal),
    ("==", Operator::Equal),
    ("~", Operator::Like),
    ("=~", Operator::Like),
    (">~", Operator::GreaterOrLike),
    (">=", Operator::GreaterOrEqual),
    (">", Operator::Greater),
    ("><", Operator::Checksum),
];

/// An entry that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no dependency")]
pub struct DependencyError(pub String);

impl std::str::FromStr for Dependency {
    type Err = DependencyError;

    fn from_str(text: &str) -> Result<Self, DependencyError> {
        let wrong = || DependencyError(text.to_owned());
        let (conflict, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_sign = |c: char| matches!(c, '<' | '>' | '=' | '~');
        let at = rest.find(is_sign).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(at);
        // `name@tag` pins a repository; there are no tagged ones here.
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '!' | '"' | '\'');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(wrong());
        }
        let versions = match rest {
            "" => None,
            rest => {
                let end = rest.find(|c| !is_sign(c)).ok_or_else(wrong)?;
                let (sign, version) = rest.split_at(end);
                let known = OPERATORS.iter().find(|(known, _)| *known == sign);
                let operator = known.ok_or_else(wrong)?.1;
                if !version.chars().all(|c| c.is_ascii_graphic()) {
                    return Err(wrong());
                }
                Some(Versions {
                    operator,
                    version: version.to_owned(),
                })
            }
        };
        Ok(Self {
            conflict,
            name: name.to_owned(),
            versions,
        })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.conflict {
            f.write_str("!")?;
        }
        f.write_str(&self.name)?;
        if let Some(versions) = &self.versions {
            let sign = OPERATORS
                .iter()
                .find(|(_, operator)| *operator == versions.operator)
                .map_or("=", |(sign, _)| sign);
            write!(f, "{sign}{}", versions.version)?;
        }
        Ok(())
    }
}

impl Dependency {
    /// Whether it speaks of something that is there under its name with this
    /// version; `None` is a name that is provided without any. Which side a
    /// `!` is on is not asked here.
    pub fn covers(&self, provided: Option<&str>) -> bool {
        let Some(versions) = &self.versions else {
            return true;
        };
        let Some(provided) = provided else {
            return false;
        };
        let wanted = versions.version.as_str();
        let exactly = || version::compare(provided, wanted);
        let loosely = || version::compare_loosely(provided, wanted);
        match versions.operator {
            Operator::Less => exactly() == Ordering::Less,
            Operator::LessOrEqual => exactly() != Ordering::Greater,
            Operator::LessOrLike => loosely() != Ordering::Greater,
            Operator::Equal => exactly() == Ordering::Equal,
            Operator::Like => loosely() == Ordering::Equal,
            Operator::GreaterOrLike => loosely() != Ordering::Less,
            Operator::GreaterOrEqual => exactly() != Ordering::Less,
            Operator::Greater => exactly() == Ordering::Greater,
            // Only an installation that is there has these; a repository has none.
            Operator::Checksum => false,
        }
    }

    /// The version that a provided name has.
    pub fn provided_version(&self) -> Option<&str> {
        self.versions
            .as_ref()
            .map(|versions| versions.version.as_str())
    }
}

/// Reads a list that is separated by spaces.
///
/// # Errors
/// An entry is no dependency.
pub fn parse_list(text: &str) -> Result<Vec<Dependency>, DependencyError> {
    text.split_ascii_whitespace().map(str::parse).collect()
}

/// The list as apk writes it.
pub fn list_text(list: &[Dependency]) -> String {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        let text = "musl>=1.2 so:libc.musl-x86_64.so.1 !uclibc<1-r2 cmd:[=1.36 /bin/sh a~1 b<~2";
        assert_eq!(list_text(&parse_list(text).unwrap()), text);
        for wrong in ["", "!", ">=1", "a>=", "a=<1", "a@edge", "a\"b"] {
            assert!(wrong.parse::<Dependency>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_sign() {
        for (text, provided, covered) in [
            ("a", None, true),
            ("a=1", None, false),
            ("a=1", Some("1"), true),
            ("a<1", Some("1_rc1"), true),
            ("a>=1.2", Some("1.10-r0"), true),
            ("a>1.2-r0", Some("1.2-r0"), false),
            ("a~1.2", Some("1.2.9-r7"), true),
            ("a~1.2", Some("1.21"), false),
            ("a>~1.2", Some("1.2_rc1"), true),
            ("a><Q1abc", Some("1"), false),
        ] {
            let dependency: Dependency = text.parse().unwrap();
            assert_eq!(dependency.covers(provided), covered, "{text} {provided:?}");
        }
    }
}
