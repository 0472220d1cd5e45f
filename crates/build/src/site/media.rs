//! Media types: the server's own table, as text.

use ounce_http::content_type;

/// The media type of what stands at a path, by its last extension.
pub(super) fn media_type(path: &[u8]) -> String {
    content_type::of(path).to_owned()
}
