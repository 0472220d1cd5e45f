//! YAML that others have written, with `ounce://PATH` where an image belongs: which
//! places there are, and the same text with digests there.
//!
//! Every other byte stays: comments, order, blanks, documents that are nothing of
//! ours.

use std::collections::BTreeMap;

use crate::reading::{ReadingError, Scalar, scalars};

/// What such a place begins with.
pub const SCHEME: &str = "ounce://";

/// A file cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It is no YAML.
    #[error(transparent)]
    Reading(#[from] ReadingError),
    /// Nothing stands after the scheme.
    #[error("line {line}: {SCHEME} names no path")]
    Empty {
        /// From 1.
        line: usize,
    },
    /// No image was built for a path, which is its caller's fault.
    #[error("line {line}: {SCHEME}{path} was not built")]
    Unbuilt {
        /// From 1.
        line: usize,
        /// The path.
        path: String,
    },
}

fn places(text: &str) -> Result<Vec<(String, Scalar)>, ResolveError> {
    let mut found = Vec::new();
    for scalar in scalars(text)? {
        let Some(path) = scalar.text.strip_prefix(SCHEME) else {
            continue;
        };
        if path.trim().is_empty() {
            return Err(ResolveError::Empty { line: scalar.line });
        }
        found.push((path.to_owned(), scalar));
    }
    Ok(found)
}

/// The paths that are named, each once, in the order in which they stand there.
///
/// # Errors
/// The text is no YAML, or a path is empty.
pub fn paths(text: &str) -> Result<Vec<String>, ResolveError> {
    let mut paths = Vec::new();
    for (path, _) in places(text)? {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The text with each path's image in its place.
///
/// # Errors
/// As [`paths`], or a path is not among the images.
pub fn replaced(text: &str, images: &BTreeMap<String, String>) -> Result<String, ResolveError> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (path, scalar) in places(text)? {
        let line = scalar.line;
        let image = images
            .get(&path)
            .ok_or(ResolveError::Unbuilt { line, path })?;
        out.push_str(&text[at..scalar.bytes.start]);
        out.push_str(image);
        at = scalar.bytes.end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_images_changes() {
        let text = "# ounce://not-this, a comment\nkind: Pod # kept\nspec:\n  containers:\n  - {image: 'ounce://./api',   name: a}\n  - image: ounce://web   # and this\n  - image: \"ounce://./api\"\n---\nkind: Other\nnote: see ounce://web\ntext: |\n  ounce\n";
        assert_eq!(paths(text).unwrap(), ["./api", "web"]);
        let images = BTreeMap::from([
            ("./api".to_owned(), "r.example/api@sha256:1".to_owned()),
            ("web".to_owned(), "r.example/web@sha256:2".to_owned()),
        ]);
        let expected = text
            .replace("'ounce://./api'", "r.example/api@sha256:1")
            .replace("\"ounce://./api\"", "r.example/api@sha256:1")
            .replace("image: ounce://web", "image: r.example/web@sha256:2");
        assert_eq!(replaced(text, &images).unwrap(), expected);
        assert_eq!(replaced("a: [b]\n", &images).unwrap(), "a: [b]\n");
    }

    #[test]
    fn text_that_cannot_be_resolved_is_refused_with_its_line() {
        let error = paths("a: 1\nimage: 'ounce://'\n").unwrap_err();
        assert_eq!(error, ResolveError::Empty { line: 2 });
        assert!(paths("a: [").is_err());
        let error = replaced("a: ounce://x\n", &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
