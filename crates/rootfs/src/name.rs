//! Paths as text. To the kernel a path is bytes, to documents and people it is
//! text; most are UTF-8 and stand there as they are, and the others still have one
//! form each, from which the bytes come back.
//!
//! In a path that is not UTF-8, `\xff` is a byte that belongs to no character, and
//! a backslash is doubled. The same is done to the few paths that hold such letters
//! themselves (a backslash, an x and two digits from 80 on), so that no two paths
//! look alike; all else stays, a unit `a\x2db.slice` of systemd's too.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path as text; [`read`] gives it back.
pub fn shown(path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    match path.to_str() {
        Some(text) if !holds_escape(text) => text.to_owned(),
        _ => escaped(path.as_bytes()),
    }
}

/// The path that a text stands for.
pub fn read(text: &str) -> PathBuf {
    if !holds_escape(text) {
        return PathBuf::from(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return OsString::from_vec(bytes).into(),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', b'x', high, low, rest @ ..] if escape(*high, *low).is_some() => {
                bytes.extend(escape(*high, *low));
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// The byte of two digits, if it is one that no character of ASCII has.
fn escape(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(high)? * 16 + digit(low)?;
    u8::try_from(byte).ok().filter(|byte| *byte >= 0x80)
}

fn holds_escape(text: &str) -> bool {
    let mut four = text.as_bytes().windows(4);
    four.any(|four| four.starts_with(b"\\x") && escape(four[2], four[3]).is_some())
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // To a text nothing fails.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A path from the root, with the slash in front that it has not in a tree.
pub fn rooted(path: &Path) -> String {
    let mut text = shown(path);
    text.insert(0, '/');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_told_and_all_else_stays() {
        for (path, text) in [
            (&b"etc/\xc3\x9cber"[..], "etc/\u{dc}ber"),
            (b"caf\xe9", "caf\\xe9"),
            (b"a\\b\xff", "a\\\\b\\xff"),
            (b"a\\x2db.slice", "a\\x2db.slice"),
            (b"a\\xffb", "a\\\\xffb"),
            (b"\xe2\x82", "\\xe2\\x82"),
        ] {
            let path = OsStr::from_bytes(path);
            assert_eq!(shown(path), text);
            assert_eq!(read(text), Path::new(path));
        }
        assert_eq!(rooted(Path::new("a")), "/a");
    }

    proptest! {
        #[test]
        fn every_path_comes_back_from_its_text(
            parts in prop::collection::vec(prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                Just(b"\\".to_vec()), Just(b"\\xff".to_vec()), Just(b"x80".to_vec()),
                Just("\u{fc}".as_bytes().to_vec()),
            ], 0..12),
        ) {
            let path = PathBuf::from(OsString::from_vec(parts.concat()));
            prop_assert_eq!(read(&shown(&path)), path);
        }
    }
}
