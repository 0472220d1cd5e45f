//! What one package says of others: `Depends: awk, libc6 (>= 2.36) | musl`.

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// Alternatives, any of which will do.
pub(crate) type Clause<'t> = Vec<Relation<'t>>;

/// A package, perhaps of certain versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation<'t> {
    pub(crate) name: &'t str,
    pub(crate) version: Option<(Operator, &'t str)>,
}

/// How a version must stand to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Before,
    UpTo,
    Exactly,
    From,
    After,
}

impl Operator {
    fn text(self) -> &'static str {
        match self {
            Self::Before => "<<",
            Self::UpTo => "<=",
            Self::Exactly => "=",
            Self::From => ">=",
            Self::After => ">>",
        }
    }
}

impl Relation<'_> {
    /// Whether a version will do.
    pub(crate) fn takes(&self, found: &str) -> bool {
        let Some((operator, wanted)) = self.version else {
            return true;
        };
        let order = version::compare(found, wanted);
        match operator {
            Operator::Before => order == Ordering::Less,
            Operator::UpTo => order != Ordering::Greater,
            Operator::Exactly => order == Ordering::Equal,
            Operator::From => order != Ordering::Less,
            Operator::After => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.version {
            Some((operator, version)) => write!(f, " ({} {version})", operator.text()),
            None => Ok(()),
        }
    }
}

/// The clauses of a field. What is malformed is taken for a name that nothing
/// has, so that it is told as what is missing.
pub(crate) fn clauses<'t>(field: &'t str) -> impl Iterator<Item = Clause<'t>> {
    field
        .split(',')
        .map(|clause| {
            let relations = clause.split('|').filter_map(relation);
            relations.collect::<Clause<'t>>()
        })
        .filter(|clause| !clause.is_empty())
}

fn relation(text: &str) -> Option<Relation<'_>> {
    let text = text.trim();
    // Architectures and build profiles stand in source packages only.
    let text = text.split(['[', '<']).next().map_or(text, |before| {
        // `(<< 1)` is no profile.
        if text.contains('(') {
            text
        } else {
            before.trim()
        }
    });
    if text.is_empty() {
        return None;
    }
    let (name, version) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => {
            let rest = rest.split(')').next().unwrap_or("").trim();
            let (operator, length) = match rest.as_bytes() {
                [b'<', b'<', ..] => (Operator::Before, 2),
                [b'<', b'=', ..] => (Operator::UpTo, 2),
                [b'>', b'=', ..] => (Operator::From, 2),
                [b'>', b'>', ..] => (Operator::After, 2),
                [b'=', ..] => (Operator::Exactly, 1),
                // Long deprecated, and meant so: deb-control(5).
                [b'<', ..] => (Operator::UpTo, 1),
                [b'>', ..] => (Operator::From, 1),
                _ => (Operator::Exactly, 0),
            };
            (name, Some((operator, rest[length..].trim())))
        }
    };
    // `python3:any` is python3 of any architecture; there is one only here.
    let name = name.trim();
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    Some(Relation { name, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_versions_and_architectures_are_read() {
        let text = "a, b (>= 1:2) | c:any (<< 3),\n d (= 4~5) , e";
        let told: Vec<String> = clauses(text)
            .map(|clause| {
                clause
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" | ")
            })
            .collect();
        assert_eq!(told, ["a", "b (>= 1:2) | c (<< 3)", "d (= 4~5)", "e"]);
        let b = clauses("b (<< 2)").next().unwrap()[0];
        assert!(b.takes("2~rc1") && !b.takes("2") && !b.takes("3"));
        assert_eq!(clauses(" , ,|").count(), 0);
        assert_eq!(clauses("x (").next().unwrap()[0].name, "x");
    }
}
