//! What a user's project holds.

/// A settings file, ounce.toml.
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ounce_build::config::parse("ounce.toml".as_ref(), text);
    }
}
