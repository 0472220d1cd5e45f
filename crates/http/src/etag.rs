//! Entity tags and the conditions on them (RFC 9110 sections 8.8.3 and 13.1).

/// Whether a field's list of entity tags has this one, by weak comparison where
/// `is_weak_fine` (`If-None-Match`), else by strong (`If-Match`). `*` has all.
#[inline(never)]
pub fn lists(mut list: &[u8], tag: &[u8], is_weak_fine: bool) -> bool {
    if list == b"*" {
        return true;
    }
    loop {
        while let [b' ' | b'\t' | b',', rest @ ..] = list {
            list = rest;
        }
        let is_weak = list.starts_with(b"W/");
        if is_weak {
            list = list.get(2..).unwrap_or_default();
        }
        // A comma may stand within the quotes.
        let Some(rest) = list.strip_prefix(b"\"") else {
            return false;
        };
        let Some(end) = rest.iter().position(|&byte| byte == b'"') else {
            return false;
        };
        let (opaque, rest) = rest.split_at_checked(end).unwrap_or_default();
        list = rest.get(1..).unwrap_or_default();
        let own = tag.strip_prefix(b"W/").unwrap_or(tag);
        let is_strong = !is_weak && own.len() == tag.len();
        let is_equal = own
            .strip_prefix(b"\"")
            .and_then(|own| own.strip_suffix(b"\""));
        if is_equal == Some(opaque) && (is_strong || is_weak_fine) {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_8_3_2_tags_are_compared_strongly_or_weakly() {
        for (list, tag, strong, weak) in [
            ("\"1\"", "\"1\"", true, true),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
        ] {
            assert_eq!(
                lists(list.as_bytes(), tag.as_bytes(), false),
                strong,
                "{list} {tag}"
            );
            assert_eq!(
                lists(list.as_bytes(), tag.as_bytes(), true),
                weak,
                "{list} {tag}"
            );
        }
    }

    #[test]
    fn lists_are_searched_and_junk_matches_nothing() {
        let has = |list: &str| lists(list.as_bytes(), b"\"a,b\"", true);
        assert!(has("*"));
        assert!(has("\"x\", \"a,b\""));
        assert!(has(", ,W/\"x\" ,\"a,b\",\"y\""));
        for list in [
            "",
            "a,b",
            "\"a",
            "\"a\",b\"",
            "x, \"a,b\"",
            "\"a\", \"b\"",
            "w/\"a,b\"",
        ] {
            assert!(!has(list), "{list}");
        }
    }
}
