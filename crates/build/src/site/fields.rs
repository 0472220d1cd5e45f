//! The ready lines of a head: everything about an answer that is known when
//! the site is packed.
//!
//! What a 304 repeats stands first: ETag, Vary and Cache-Control (RFC 9110
//! section 15.4.5), and what the user added, since caches and CORS look at it.

use ounce_http::packed::Encoding;

use super::media::media_type;
use super::rules::SiteRules;
use super::variants;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const NO_CACHE: &str = "no-cache";

/// Fields, and how many bytes of them a 304 has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fields {
    pub(super) bytes: Vec<u8>,
    pub(super) repeated: usize,
}

/// The rules, ready to be applied to one path after another.
pub(super) struct Writer<'r> {
    cache: &'r str,
    immutable: Option<Vec<u8>>,
    added: Vec<u8>,
    /// What is sent with content and not with a 304.
    security: Vec<u8>,
}

impl<'r> Writer<'r> {
    pub(super) fn new(rules: &'r SiteRules) -> Self {
        let mut added = Vec::new();
        for (name, value) in &rules.headers {
            line(&mut added, name, value.as_bytes());
        }
        let mut security = Vec::new();
        line(&mut security, "X-Content-Type-Options", b"nosniff");
        if rules.security_headers != Some(false) {
            for (name, value) in [
                ("X-Frame-Options", "SAMEORIGIN"),
                ("Referrer-Policy", "strict-origin-when-cross-origin"),
            ] {
                // The user's own wins.
                if !rules
                    .headers
                    .keys()
                    .any(|own| own.eq_ignore_ascii_case(name))
                {
                    line(&mut security, name, value.as_bytes());
                }
            }
        }
        Self {
            cache: rules.cache.as_deref().unwrap_or(NO_CACHE),
            immutable: rules.immutable_prefix().map(String::into_bytes),
            added,
            security,
        }
    }

    /// Of a variant of what stands at `path`.
    pub(super) fn file(&self, path: &[u8], coding: Encoding, varies: bool, etag: &str) -> Fields {
        let is_immutable = self
            .immutable
            .as_ref()
            .is_some_and(|prefix| path.starts_with(prefix));
        let cache = if is_immutable { IMMUTABLE } else { self.cache };
        self.content(path, coding, varies, Some(etag), cache)
    }

    /// Of a variant of the page for 404: without a tag, since nobody asks whether
    /// what is not there has changed, and not kept, since it may be there soon.
    pub(super) fn not_found(&self, path: &[u8], coding: Encoding, varies: bool) -> Fields {
        self.content(path, coding, varies, None, NO_CACHE)
    }

    fn content(
        &self,
        path: &[u8],
        coding: Encoding,
        varies: bool,
        etag: Option<&str>,
        cache: &str,
    ) -> Fields {
        let mut bytes = Vec::new();
        if let Some(etag) = etag {
            line(&mut bytes, "ETag", etag.as_bytes());
        }
        if varies {
            line(&mut bytes, "Vary", b"Accept-Encoding");
        }
        if !cache.is_empty() {
            line(&mut bytes, "Cache-Control", cache.as_bytes());
        }
        bytes.extend(&self.added);
        let repeated = bytes.len();
        line(&mut bytes, "Content-Type", media_type(path).as_bytes());
        if let Some(name) = variants::name(coding) {
            line(&mut bytes, "Content-Encoding", name.as_bytes());
        }
        if etag.is_some() {
            line(&mut bytes, "Accept-Ranges", b"bytes");
        }
        bytes.extend(&self.security);
        Fields { bytes, repeated }
    }

    /// Of a folder's redirect; the last line has no end, since the query of the
    /// request goes there.
    pub(super) fn redirect(&self, folder: &[u8]) -> Fields {
        let mut bytes = Vec::new();
        if !self.cache.is_empty() {
            // A 308 is kept for good where nothing is said; the folder may go.
            line(&mut bytes, "Cache-Control", self.cache.as_bytes());
        }
        bytes.extend(&self.added);
        bytes.extend(b"Location: ");
        for &byte in folder {
            // RFC 3986 section 2.3, and the slash.
            if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
                bytes.push(byte);
            } else {
                bytes.extend(format!("%{byte:02X}").bytes());
            }
        }
        Fields { repeated: 0, bytes }
    }
}

fn line(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend(name.bytes());
    bytes.extend(b": ");
    bytes.extend(value);
    bytes.extend(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn text(fields: &Fields) -> String {
        String::from_utf8(fields.bytes.clone()).unwrap()
    }

    #[test]
    fn a_file_has_all_that_is_known_of_it() {
        let rules = SiteRules::default();
        let fields =
            Writer::new(&rules).file(b"/a.css", Encoding::Br, true, "\"0123456789abcdef\"");
        let head =
            "ETag: \"0123456789abcdef\"\r\nVary: Accept-Encoding\r\nCache-Control: no-cache\r\n";
        assert_eq!(
            text(&fields),
            format!(
                "{head}Content-Type: text/css; charset=utf-8\r\nContent-Encoding: br\r\n\
                 Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n\
                 X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n"
            )
        );
        assert_eq!(fields.repeated, head.len());
    }

    #[test]
    fn rules_change_what_is_sent() {
        let rules = SiteRules {
            cache: Some(String::new()),
            immutable: Some("assets".to_owned()),
            headers: BTreeMap::from([("x-frame-options".to_owned(), "DENY".to_owned())]),
            ..SiteRules::default()
        };
        let writer = Writer::new(&rules);
        let page = text(&writer.file(b"/a.html", Encoding::Identity, false, "\"t\""));
        assert!(
            !page.contains("Cache-Control") && !page.contains("SAMEORIGIN"),
            "{page}"
        );
        assert!(page.contains("x-frame-options: DENY\r\n"), "{page}");
        let asset = text(&writer.file(b"/assets/a.js", Encoding::Identity, false, "\"t\""));
        assert!(asset.contains("Cache-Control: public, max-age=31536000, immutable\r\n"));
        let beside = text(&writer.file(b"/assets.js", Encoding::Identity, false, "\"t\""));
        assert!(!beside.contains("immutable"), "{beside}");
        let lost = text(&writer.not_found(b"/404.html", Encoding::Identity, false));
        assert!(
            !lost.contains("ETag") && lost.contains("Cache-Control: no-cache\r\n"),
            "{lost}"
        );
    }

    #[test]
    fn a_redirect_is_escaped_and_ends_where_the_query_goes() {
        let rules = SiteRules::default();
        let fields = Writer::new(&rules).redirect("/a b\u{e9}\r\n/".as_bytes());
        assert_eq!(
            text(&fields),
            "Cache-Control: no-cache\r\nLocation: /a%20b%C3%A9%0D%0A/"
        );
    }
}
