//! Patterns of paths, as `--keep` and `--allow-secret` take them: `*` and `?` within
//! a name, `[a-z]` and `[!a-z]`, `**` across names. Matched byte by byte, since names are bytes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A pattern of whole paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// A slash at the front or the end says nothing.
    pub fn new(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    /// As [`Pattern::new`], where it is no text.
    pub fn of_bytes(mut pattern: &[u8]) -> Self {
        while let [b'/', rest @ ..] | [rest @ .., b'/'] = pattern {
            pattern = rest;
        }
        Self(pattern.to_vec())
    }

    /// Whether it means this place or a folder above it.
    pub fn matches(&self, place: &Path) -> bool {
        place.ancestors().any(|place| {
            !place.as_os_str().is_empty() && all(&self.0, place.as_os_str().as_bytes())
        })
    }
}

/// Goes through both at once; after a mismatch, back to the last star, which
/// then takes one byte more. Of two stars only the last has to be tried again,
/// and of `*` and `**` the last of each, so this takes no more than their product.
fn all(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    // Where to go on after a star, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    let mut wide: Option<(usize, usize)> = None;
    loop {
        match pattern.get(at) {
            Some(b'*') if pattern.get(at + 1) == Some(&b'*') => {
                at += 2;
                // `**/x` also means `x`.
                if pattern.get(at) == Some(&b'/') && (here == 0 || text[here - 1] == b'/') {
                    at += 1;
                }
                wide = Some((at, here));
                star = None;
                continue;
            }
            Some(b'*') => {
                at += 1;
                star = Some((at, here));
                continue;
            }
            None if here == text.len() => return true,
            Some(_) if here < text.len() => {
                if let Some(length) = one(&pattern[at..], text[here]) {
                    at += length;
                    here += 1;
                    continue;
                }
            }
            _ => {}
        }
        match (star, wide) {
            (Some((after, taken)), _) if taken < text.len() && text[taken] != b'/' => {
                star = Some((after, taken + 1));
                (at, here) = (after, taken + 1);
            }
            (_, Some((after, taken))) if taken < text.len() => {
                wide = Some((after, taken + 1));
                star = None;
                (at, here) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

/// Whether the pattern begins with something that means this byte, and how long
/// that is.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => (byte != b'/').then_some(1),
        [b'[', rest @ ..] => {
            let (not, set) = match rest {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            // The first may be `]` itself.
            let Some(end) = set.iter().skip(1).position(|end| *end == b']') else {
                return (byte == b'[').then_some(1);
            };
            let set = &set[..=end];
            let mut within = false;
            let mut index = 0;
            while index < set.len() {
                match set[index..] {
                    [low, b'-', high, ..] => {
                        within |= (low..=high).contains(&byte);
                        index += 3;
                    }
                    _ => {
                        within |= set[index] == byte;
                        index += 1;
                    }
                }
            }
            let length = 1 + usize::from(not) + set.len() + 1;
            (within != not && byte != b'/').then_some(length)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [plain, ..] => (*plain == byte).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_name_unless_doubled() {
        let matches = |pattern: &str, path: &str| Pattern::new(pattern).matches(Path::new(path));
        for (pattern, path) in [
            ("/etc/passwd", "etc/passwd"),
            ("etc/*.conf", "etc/ld.so.conf"),
            ("usr/**/*.py", "usr/lib/python3/a/b.py"),
            ("**/*.pem", "a.pem"),
            ("**/*.pem", "etc/ssl/a.pem"),
            ("usr/share/zoneinfo", "usr/share/zoneinfo/Europe/Berlin"),
            ("a/[b-d]?", "a/cx"),
            ("a/[!b]", "a/c"),
            ("a/[]]", "a/]"),
            ("a[", "a["),
            ("x\\*", "x*"),
            ("**", "any/thing"),
            ("a*b*c", "aXbXbXc"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("etc/*", "usr/etc/x"),
            ("etc/*.conf", "etc/a/b.conf2"),
            ("*.py", "a/b.py"),
            ("a/[!b]", "a/b"),
            ("a?", "a/"),
            ("", "a"),
            ("a*b", "a/b"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }
}
