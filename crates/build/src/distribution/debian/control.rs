//! Debian's control files (deb822): paragraphs of fields, read in place.
//!
//! The field's own crates copy each field of each of 60,000 packages; here a
//! paragraph borrows from the text, and an index of 50 MB is read once.

/// Fields of one package, of a release, of a source of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paragraph<'t>(&'t str);

/// The paragraphs of a text, comments and empty lines left out.
pub(crate) fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\n', '\r']);
        if rest.is_empty() {
            return None;
        }
        let end = blank_line(rest);
        let (one, after) = rest.split_at(end);
        rest = after;
        Some(Paragraph(one))
    })
}

/// Where the first empty line begins, or the text ends.
fn blank_line(text: &str) -> usize {
    let mut from = 0;
    while let Some(found) = text[from..].find('\n') {
        let next = from + found + 1;
        let line = text[next..].lines().next().unwrap_or("");
        if next < text.len() && line.trim().is_empty() {
            return next;
        }
        from = next;
    }
    text.len()
}

impl<'t> Paragraph<'t> {
    /// All fields in order: the name, then the value with its continuation
    /// lines as they stand, without the blank before it.
    pub(crate) fn fields(self) -> impl Iterator<Item = (&'t str, &'t str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let mut end = line_end(rest);
                while matches!(rest.as_bytes().get(end), Some(b' ' | b'\t')) {
                    end += line_end(&rest[end..]);
                }
                let (field, after) = rest.split_at(end);
                rest = after;
                if field.starts_with('#') {
                    continue;
                }
                if let Some((name, value)) = field.split_once(':') {
                    return Some((name.trim(), value.trim()));
                }
            }
            None
        })
    }

    /// The value of a field, whatever the case of its name.
    pub(crate) fn get(self, name: &str) -> Option<&'t str> {
        self.fields()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// As it stands.
    pub(crate) fn text(self) -> &'t str {
        self.0
    }
}

fn line_end(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_keep_their_continuation_lines_and_comments_are_left_out() {
        let text = "\n# note\nPackage: a\nDescription: one\n two\n .\n three\n# a: b\nsize: 3\n\n\nPackage: b\n";
        let found: Vec<_> = paragraphs(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("Package"), Some("a"));
        assert_eq!(found[0].get("Description"), Some("one\n two\n .\n three"));
        assert_eq!(found[0].get("Size"), Some("3"));
        assert_eq!(found[1].get("package"), Some("b"));
        assert_eq!(found[1].get("Size"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~\n\t#:é]{0,200}") {
            for paragraph in paragraphs(&text) {
                prop_assert!(paragraph.fields().count() <= text.len());
            }
        }
    }
}
