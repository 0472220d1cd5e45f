//! Media types by file name. The list is short on purpose: what the web is made
//! of; all else is `application/octet-stream`, which no browser runs.

use crate::ascii::{is_same, split_at_byte};
use crate::words::{Words, words};

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// JSON, which is UTF-8 by definition (RFC 8259 section 8.1).
pub const JSON: &str = "application/json";

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

/// The media type for a path, by the extension of its last segment, in three
/// parts: `text/`, `html`, `; charset=utf-8`.
#[inline(never)]
pub fn of(path: &[u8]) -> [&'static str; 3] {
    let mut back = path.rsplitn(2, |&byte| byte == b'/' || byte == b'.');
    let extension = back.next().unwrap_or_default();
    let is_extension = path.get(back.next().map_or(0, <[u8]>::len)) == Some(&b'.');
    let mut top = "";
    for word in TYPES {
        let (known, subtype) = split_at_byte(word.as_bytes(), b'=');
        if word.ends_with('/') {
            top = word;
        } else if is_extension && is_same(known, extension) {
            let subtype = word.get(word.len() - subtype.len() + 1..).unwrap_or(word);
            // Without it old browsers guess; subtypes beside `text/` have their own.
            let charset = if top == "text/" {
                "; charset=utf-8"
            } else {
                ""
            };
            return [top, subtype, charset];
        }
    }
    ["application/", "octet-stream", ""]
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn extension_is_looked_up_without_regard_to_case() {
        assert_eq!(of(b"/a/INDEX.HTML").concat(), "text/html; charset=utf-8");
        assert_eq!(of(b"app.tar.js").concat(), "text/javascript; charset=utf-8");
        assert_eq!(of(b"a.png").concat(), "image/png");
        assert_eq!(of(b"a.svg").concat(), "image/svg+xml");
    }

    #[test]
    fn the_first_and_the_last_type_are_found() {
        assert_eq!(of(b"a.html").concat(), "text/html; charset=utf-8");
        assert_eq!(of(b"a.webm").concat(), "video/webm");
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
            assert_eq!(
                of(path.as_bytes()).concat(),
                "application/octet-stream",
                "{path}"
            );
        }
    }
}
