//! What `ship` reads that others have written: YAML, and a machine's answer.

use std::collections::BTreeMap;

use ounce_ship::reading::{documents, scalars};
use ounce_ship::resolve::{paths, replaced};
use ounce_ship::ssh::Machine;

/// Reads the bytes as YAML, replaces every image in it, and takes it for what a
/// machine says of itself.
///
/// # Panics
/// A scalar stands outside the text or overlaps another, or what is replaced by itself
/// changes the text.
pub fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = documents(text);
    let _ = Machine::read(text);
    let Ok(found) = scalars(text) else { return };
    let mut end = 0;
    for scalar in &found {
        assert!(scalar.bytes.start <= scalar.bytes.end && scalar.bytes.end <= text.len());
        assert!(text.get(scalar.bytes.clone()).is_some(), "{scalar:?}");
        if scalar.text.starts_with("ounce://") {
            assert!(scalar.bytes.start >= end, "{scalar:?}");
            end = scalar.bytes.end;
        }
    }
    let Ok(named) = paths(text) else { return };
    let images: BTreeMap<String, String> = named
        .iter()
        .map(|path| (path.clone(), "r.example/a@sha256:0".to_owned()))
        .collect();
    let out = replaced(text, &images).expect("every path has an image");
    if named.is_empty() {
        assert_eq!(out, text);
    }
}
