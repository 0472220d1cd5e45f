//! Versions as apk orders them: `1.2.3b_rc4~1a2b3c-r5`.
//!
//! The grammar and the order of suffixes are those of the manual page
//! apk-package(5); what it leaves open (leading zeros, which part is the newer
//! where two versions differ in kind) is as apk-tools 3 decides it.

use std::cmp::Ordering;

/// Suffixes in their order; those before [`Suffix::Cvs`] stand for what comes
/// before a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Alpha,
    Beta,
    Pre,
    Rc,
    Cvs,
    Svn,
    Git,
    Hg,
    P,
}

const SUFFIXES: [(&str, Suffix); 9] = [
    ("alpha", Suffix::Alpha),
    ("beta", Suffix::Beta),
    ("pre", Suffix::Pre),
    ("rc", Suffix::Rc),
    ("cvs", Suffix::Cvs),
    ("svn", Suffix::Svn),
    ("git", Suffix::Git),
    ("hg", Suffix::Hg),
    ("p", Suffix::P),
];

/// A part of a version. Where two versions differ in the kind of a part, that
/// with the kind named first here is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    First(&'a str),
    Number(&'a str),
    Letter(u8),
    Suffix(Suffix),
    SuffixNumber(&'a str),
    Hash(&'a str),
    Revision(&'a str),
    End,
    Invalid,
}

impl Part<'_> {
    fn rank(self) -> u8 {
        match self {
            Part::First(_) => 0,
            Part::Number(_) => 1,
            Part::Letter(_) => 2,
            Part::Suffix(_) => 3,
            Part::SuffixNumber(_) => 4,
            Part::Hash(_) => 5,
            Part::Revision(_) => 6,
            Part::End => 7,
            Part::Invalid => 8,
        }
    }

    fn is_before_release(self) -> bool {
        matches!(self, Part::Suffix(suffix) if suffix < Suffix::Cvs)
    }
}

/// Takes a version apart. Ends with [`Part::End`] or [`Part::Invalid`].
struct Parts<'a> {
    rest: &'a str,
    last: Option<Part<'a>>,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            last: None,
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }

    fn digits(&mut self) -> Option<&'a str> {
        self.take(|c| c.is_ascii_digit())
    }

    fn next(&mut self) -> Part<'a> {
        let part = self.read().unwrap_or(Part::Invalid);
        self.last = Some(part);
        part
    }

    fn read(&mut self) -> Option<Part<'a>> {
        let Some(last) = self.last else {
            return self.digits().map(Part::First);
        };
        let Some(first) = self.rest.chars().next() else {
            return Some(Part::End);
        };
        let rank = last.rank();
        let (number, suffix_number) = (Part::Number("").rank(), Part::SuffixNumber("").rank());
        match first {
            'a'..='z' if rank <= number => {
                let letter = u8::try_from(first).ok()?;
                self.rest = &self.rest[1..];
                Some(Part::Letter(letter))
            }
            '.' if rank <= number => {
                self.rest = &self.rest[1..];
                self.digits().map(Part::Number)
            }
            '0'..='9' if matches!(last, Part::Suffix(_)) => self.digits().map(Part::SuffixNumber),
            '_' if rank <= suffix_number => {
                self.rest = &self.rest[1..];
                let name = self.take(|c| c.is_ascii_lowercase())?;
                let found = SUFFIXES.iter().find(|(known, _)| *known == name)?;
                Some(Part::Suffix(found.1))
            }
            '~' if rank < Part::Hash("").rank() => {
                self.rest = &self.rest[1..];
                self.take(|c| matches!(c, '0'..='9' | 'a'..='f'))
                    .map(Part::Hash)
            }
            '-' if rank < Part::Revision("").rank() && self.rest.starts_with("-r") => {
                self.rest = &self.rest[2..];
                self.digits().map(Part::Revision)
            }
            _ => None,
        }
    }
}

/// Whether it is a version at all.
pub fn is_valid(text: &str) -> bool {
    let mut parts = Parts::new(text);
    loop {
        match parts.next() {
            Part::End => return true,
            Part::Invalid => return false,
            _ => {}
        }
    }
}

/// Which of two versions is the newer. What is no version is compared as far
/// as it is one.
pub fn compare(a: &str, b: &str) -> Ordering {
    order(a, b, false)
}

/// As [`compare`], but whatever begins with `b` is equal to it: `1.2.3-r4` is
/// `1.2`, and is not `1.20`.
pub fn compare_loosely(a: &str, b: &str) -> Ordering {
    order(a, b, true)
}

fn order(a: &str, b: &str, loosely: bool) -> Ordering {
    let (mut a, mut b) = (Parts::new(a), Parts::new(b));
    let (a, b) = loop {
        let (a, b) = (a.next(), b.next());
        if a.rank() != b.rank() || matches!(a, Part::End | Part::Invalid) {
            break (a, b);
        }
        match same_kind(a, b) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    };
    if loosely && b == Part::End {
        return Ordering::Equal;
    }
    match (a.is_before_release(), b.is_before_release()) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => b.rank().cmp(&a.rank()),
    }
}

fn same_kind(a: Part<'_>, b: Part<'_>) -> Ordering {
    match (a, b) {
        // As digits after a point, 1.09 is less than 1.1.
        (Part::Number(a), Part::Number(b)) if a.starts_with('0') || b.starts_with('0') => a.cmp(b),
        (Part::First(a), Part::First(b))
        | (Part::Number(a), Part::Number(b))
        | (Part::SuffixNumber(a), Part::SuffixNumber(b))
        | (Part::Revision(a), Part::Revision(b)) => numbers(a, b),
        (Part::Letter(a), Part::Letter(b)) => a.cmp(&b),
        (Part::Suffix(a), Part::Suffix(b)) => a.cmp(&b),
        (Part::Hash(a), Part::Hash(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// Numbers of any length.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_in_the_order_of_the_manual() {
        // Each is older than the next.
        let ascending = [
            "0.9",
            "1_alpha",
            "1_alpha2",
            "1_beta",
            "1_pre1",
            "1_rc",
            "1_rc1-r1",
            "1",
            "1-r0",
            "1-r1",
            "1-r10",
            "1_cvs",
            "1_svn",
            "1_git20240101",
            "1_hg",
            "1_p",
            "1_p1",
            "1_p1-r2",
            "1_p2",
            "1a",
            "1b",
            "1b-r1",
            "1.0",
            "1.01",
            "1.09",
            "1.1_rc1",
            "1.1",
            "1.10",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("1.2.3-r4", "1.2.3-r4"), Ordering::Equal);
        assert_eq!(compare("99999999999999999999999", "9"), Ordering::Greater);
        assert_eq!(compare("1.2~0a", "1.2~0b"), Ordering::Less);
        assert_eq!(compare("1.2~0a", "1.2"), Ordering::Greater);
    }

    #[test]
    fn a_loose_version_matches_whatever_begins_with_it() {
        for (version, wanted, equal) in [
            ("1.2.3-r4", "1.2", true),
            ("1.2", "1.2", true),
            ("1.20", "1.2", false),
            ("1", "1.2", false),
            ("1.2_rc1", "1.2", true),
            ("1.2.3", "1.2.3-r1", false),
        ] {
            let found = compare_loosely(version, wanted) == Ordering::Equal;
            assert_eq!(found, equal, "{version} ~ {wanted}");
        }
    }

    #[test]
    fn what_is_no_version_is_told_from_what_is() {
        for good in ["0", "1.2.3", "1.2b_p1-r0", "20240101", "1_git1~ab12-r3"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "", "a", "1.", "1..2", "1-1", "1-r", "1_x", "1.2b3", "1 ", "1~", "../1",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_two_texts_compare_the_same_both_ways(a in "\\PC{0,12}", b in "[0-9a-c._~r-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&b, &b), Ordering::Equal);
        }
    }
}
