//! `.dockerignore`: which paths of a project are left out when it is packed or
//! copied (Dockerfile reference, ".dockerignore file").
//!
//! A pattern matches a path or a folder above it, always from the project's top;
//! the last one that matches decides, and `!` takes a path in again.

use std::fs;
use std::io;
use std::path::Path;

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    parts: Vec<Vec<u8>>,
    takes_in: bool,
}

/// Most bytes of a `.dockerignore`: it is written by hand.
const LIMIT_BYTES: u64 = 1 << 20;

impl Ignore {
    /// Reads the one of `folder`; a folder without one leaves nothing out.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        use io::Read as _;
        let path = folder.join(".dockerignore");
        match fs::metadata(&path) {
            Ok(data) if data.is_file() => {}
            // Nothing, or what nobody meant as one.
            _ => return Ok(Self::default()),
        }
        let mut bytes = Vec::new();
        fs::File::open(&path)?
            .take(LIMIT_BYTES)
            .read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes))
    }

    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text.split(|byte| *byte == b'\n');
        Self {
            patterns: lines.filter_map(Pattern::parse).collect(),
        }
    }

    /// Whether the path, relative and with `/` between its parts, is left out.
    pub(crate) fn leaves_out(&self, path: &[u8]) -> bool {
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let mut out = false;
        for pattern in &self.patterns {
            let above = (1..=parts.len()).rev();
            if above
                .into_iter()
                .any(|end| matches(&pattern.parts, &parts[..end]))
            {
                out = !pattern.takes_in;
            }
        }
        out
    }

    /// Whether something beneath a folder that is left out may be taken in again.
    pub(crate) fn takes_in(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_in)
    }
}

impl Pattern {
    fn parse(line: &[u8]) -> Option<Self> {
        if line.starts_with(b"#") {
            return None;
        }
        let line = line.trim_ascii();
        let (takes_in, rest) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest.trim_ascii()),
            None => (false, line),
        };
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for part in rest.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part.to_vec()),
            }
        }
        (!parts.is_empty()).then_some(Self { parts, takes_in })
    }
}

fn matches(pattern: &[Vec<u8>], path: &[&[u8]]) -> bool {
    // A row of the table per part of the pattern: no pattern takes long.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        if part == b"**" {
            let mut any = false;
            for (at, before) in reached.iter().enumerate() {
                any |= before;
                next[at] = any;
            }
        } else {
            for at in 0..path.len() {
                next[at + 1] = reached[at] && part_matches(part, path[at]);
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// `*`, `?`, `[a-z]`, `[^a]` and `\x` within one part (Go's filepath.Match).
fn part_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last star stands, and how far the text was then.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match one(&pattern[at..], text[place]) {
            Some(length) => {
                at += length;
                place += 1;
            }
            None if pattern.get(at) == Some(&b'*') => {
                star = Some((at, place));
                at += 1;
            }
            None => match star {
                Some((before, from)) => {
                    star = Some((before, from + 1));
                    at = before + 1;
                    place = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How many bytes of the pattern take this byte of the text, if they do.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'*', ..] | [] => None,
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', class @ ..] => {
            let end = class.iter().skip(1).position(|byte| *byte == b']')? + 1;
            let (negated, set) = match class.first() {
                Some(b'^' | b'!') => (true, &class[1..end]),
                _ => (false, &class[..end]),
            };
            let mut within = false;
            let mut rest = set;
            while let [first, after @ ..] = rest {
                (within, rest) = match after {
                    [b'-', last, after @ ..] => (within | (first..=last).contains(&&byte), after),
                    after => (within | (*first == byte), after),
                };
            }
            (within != negated).then_some(end + 2)
        }
        [plain, ..] => (*plain == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(patterns: &str, path: &str) -> bool {
        Ignore::parse(patterns.as_bytes()).leaves_out(path.as_bytes())
    }

    #[test]
    fn patterns_match_from_the_top_and_take_folders_whole() {
        assert!(out("node_modules", "node_modules/a/b.js"));
        assert!(!out("node_modules", "web/node_modules/a.js"));
        assert!(out("**/node_modules", "web/node_modules/a.js"));
        assert!(out("/docs/", "docs/a"));
        assert!(out("*.log", "a.log") && !out("*.log", "x/a.log"));
        assert!(out("**/*.log", "x/y/a.log") && out("**/*.log", "a.log"));
        assert!(out("a/**/z", "a/z") && out("a/**/z", "a/b/c/z"));
        assert!(out("t?mp[0-9]", "temp7") && !out("t?mp[^0-9]", "temp7"));
        assert!(out("\\!odd", "!odd") && !out("# note", "# note"));
        assert!(!out("[", "[") && !out("..", "a"));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let patterns = "*.md\n!README.md\nREADME-secret.md\n";
        assert!(out(patterns, "notes.md"));
        assert!(!out(patterns, "README.md"));
        assert!(out(patterns, "README-secret.md"));
        assert!(!out("secret\n!secret/public", "secret/public/x"));
        assert!(out("secret\n!secret/public", "secret/other"));
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = "a".repeat(200);
        let pattern = format!("{}b", "a*".repeat(100));
        assert!(!out(&pattern, &text));
    }
}
