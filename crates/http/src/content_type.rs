//! Media types by file name. The list is short on purpose: what the web is made
//! of; all else is `application/octet-stream`, which no browser runs.

const TYPES: [(&str, &str); 30] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("xml", "application/xml"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/vnd.microsoft.icon"),
    ("woff2", "font/woff2"),
    ("woff", "font/woff"),
    ("ttf", "font/ttf"),
    ("wasm", "application/wasm"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("ics", "text/calendar; charset=utf-8"),
];

/// What a file without a known extension is served as.
pub const UNKNOWN: &str = "application/octet-stream";
/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// JSON, which is UTF-8 by definition (RFC 8259 section 8.1).
pub const JSON: &str = "application/json";

/// The media type for a path, by the extension of its last segment.
pub fn of(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return UNKNOWN;
    };
    let extension = name.get(dot + 1..).unwrap_or_default();
    TYPES
        .iter()
        .find(|(known, _)| extension.eq_ignore_ascii_case(known.as_bytes()))
        .map_or(UNKNOWN, |&(_, media_type)| media_type)
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
    fn a_dot_in_a_directory_is_no_extension() {
        assert_eq!(of(b"/site.html/readme"), UNKNOWN);
        assert_eq!(of(b"name."), UNKNOWN);
        assert_eq!(of(b""), UNKNOWN);
    }
}
