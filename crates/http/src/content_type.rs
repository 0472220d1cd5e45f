//! Media types by file name. The list is short on purpose: what the web is made
//! of; all else is `application/octet-stream`, which no browser runs.

use crate::ascii::{Lines, is_same, take_until};

/// One text, since a table of references would take a kilobyte more.
const TYPES: &str = "\
html=text/html; charset=utf-8\n\
htm=text/html; charset=utf-8\n\
css=text/css; charset=utf-8\n\
js=text/javascript; charset=utf-8\n\
mjs=text/javascript; charset=utf-8\n\
json=application/json\n\
map=application/json\n\
txt=text/plain; charset=utf-8\n\
md=text/markdown; charset=utf-8\n\
csv=text/csv; charset=utf-8\n\
xml=application/xml\n\
svg=image/svg+xml\n\
png=image/png\n\
jpg=image/jpeg\n\
jpeg=image/jpeg\n\
gif=image/gif\n\
webp=image/webp\n\
avif=image/avif\n\
ico=image/vnd.microsoft.icon\n\
woff2=font/woff2\n\
woff=font/woff\n\
ttf=font/ttf\n\
wasm=application/wasm\n\
pdf=application/pdf\n\
zip=application/zip\n\
mp3=audio/mpeg\n\
mp4=video/mp4\n\
webm=video/webm\n\
webmanifest=application/manifest+json\n\
ics=text/calendar; charset=utf-8\n\
";

/// What a file without a known extension is served as.
pub const UNKNOWN: &str = "application/octet-stream";
/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// JSON, which is UTF-8 by definition (RFC 8259 section 8.1).
pub const JSON: &str = "application/json";

/// The media type for a path, by the extension of its last segment.
pub fn of(path: &[u8]) -> &'static str {
    // Behind the last dot, and not in a folder's name.
    let extension = path.rsplit(|&byte| byte == b'/' || byte == b'.').next();
    let extension = extension.unwrap_or_default();
    let dot = path.len().wrapping_sub(extension.len() + 1);
    if path.get(dot) != Some(&b'.') {
        return UNKNOWN;
    }
    for line in Lines(TYPES) {
        let mut known = line.as_bytes();
        if let Some(name) = take_until(&mut known, b'=')
            && is_same(name, extension)
        {
            return line.get(name.len() + 1..).unwrap_or_default();
        }
    }
    UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_is_looked_up_without_regard_to_case() {
        assert_eq!(of(b"/a/INDEX.HTML"), "text/html; charset=utf-8");
        assert_eq!(of(b"app.tar.js"), "text/javascript; charset=utf-8");
    }

    #[test]
    fn the_first_and_the_last_type_are_found() {
        assert_eq!(of(b"a.html"), "text/html; charset=utf-8");
        assert_eq!(of(b"a.ics"), "text/calendar; charset=utf-8");
        assert_eq!(of(b"a.html=text"), UNKNOWN);
    }

    #[test]
    fn a_dot_in_a_directory_is_no_extension() {
        assert_eq!(of(b"/site.html/readme"), UNKNOWN);
        assert_eq!(of(b"name."), UNKNOWN);
        assert_eq!(of(b""), UNKNOWN);
    }
}
