//! Media types: the server's own table, as text.

use ounce_http::content_type::{self, CHARSET, MediaType};

/// The media type of what stands at a path, by its last extension.
pub(super) fn media_type(path: &[u8]) -> String {
    let MediaType { top, subtype } = content_type::of(path);
    let charset = if top == b"text/" { CHARSET } else { b"" };
    String::from_utf8_lossy(&[top, subtype, charset].concat()).into_owned()
}
