//! Media types by file name. The list is short on purpose: what the web is made
//! of; all else is `application/octet-stream`, which no browser runs.

use crate::ascii::{from, is_same, take_until};
use crate::words::{Words, words};

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// JSON, which is UTF-8 by definition (RFC 8259 section 8.1).
pub const JSON: &str = "application/json";

/// What is said of text (and need not be said of anything else).
pub const CHARSET: &[u8] = b"; charset=utf-8";

/// A top-level type, or an extension that is also the subtype, or an extension
/// and its subtype.
const TYPES: Words = words![
    "text/",
    "html",
    "css",
    "js=javascript",
    "mjs=javascript",
    "txt=plain",
    "md=markdown",
    "csv",
    "htm=html",
    "ics=calendar",
    "image/",
    "svg=svg+xml",
    "png",
    "jpg=jpeg",
    "jpeg",
    "webp",
    "avif",
    "gif",
    "ico=vnd.microsoft.icon",
    "font/",
    "woff2",
    "woff",
    "ttf",
    "otf",
    "application/",
    "json",
    "wasm",
    "xml",
    "pdf",
    "zip",
    "map=json",
    "webmanifest=manifest+json",
    "gz=gzip",
    "audio/",
    "mp3=mpeg",
    "ogg",
    "wav",
    "video/",
    "mp4",
    "webm",
];

const UNKNOWN: MediaType = MediaType {
    top: b"application/",
    subtype: b"octet-stream",
};

/// A media type in two parts; where the first is `text/`, [`CHARSET`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The top-level type with its slash: `text/`.
    pub top: &'static [u8],
    /// The subtype: `html`.
    pub subtype: &'static [u8],
}

/// What follows the last dot of a path's last segment, and the dot; nothing where
/// there is none.
#[inline(always)]
pub fn extension(path: &[u8]) -> &[u8] {
    let mark = path.iter().rposition(|&byte| byte == b'/' || byte == b'.');
    match from(path, mark.unwrap_or(path.len())) {
        extension @ [b'.', ..] => extension,
        _ => &[],
    }
}

/// The media type for a path, by the extension of its last segment.
#[inline(never)]
pub fn of(path: &[u8]) -> MediaType {
    let extension = from(extension(path), 1);
    let mut found = UNKNOWN;
    for word in TYPES {
        found.subtype = word;
        let known = take_until(&mut found.subtype, b'=');
        if word.ends_with(b"/") {
            found.top = word;
        } else if is_same(known, extension) {
            if found.subtype.is_empty() {
                found.subtype = known;
            }
            return found;
        }
    }
    UNKNOWN
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn text(path: &[u8]) -> String {
        let MediaType { top, subtype } = of(path);
        let charset = if top == b"text/" { CHARSET } else { b"" };
        String::from_utf8([top, subtype, charset].concat()).unwrap()
    }

    #[test]
    fn extension_is_looked_up_without_regard_to_case() {
        assert_eq!(text(b"/a/INDEX.HTML"), "text/html; charset=utf-8");
        assert_eq!(text(b"app.tar.js"), "text/javascript; charset=utf-8");
        assert_eq!(text(b"a.png"), "image/png");
        assert_eq!(text(b"a.svg"), "image/svg+xml");
    }

    #[test]
    fn the_first_and_the_last_type_are_found() {
        assert_eq!(text(b"a.html"), "text/html; charset=utf-8");
        assert_eq!(text(b"a.webm"), "video/webm");
    }

    #[test]
    fn all_else_is_bytes() {
        for path in [
            "/site.html/readme",
            "name.",
            "",
            "html",
            "/html",
            "/a.text/",
            "a.js=javascript",
            "/.text/",
        ] {
            assert_eq!(text(path.as_bytes()), "application/octet-stream", "{path}");
        }
    }
}
