//! What a component may put on a page, as `web/src/policy.ts` has it: a server
//! writes no markup that the page itself would refuse.

/// Elements that load, run or are something else than content, or in which
/// HTML's parser reads no markup, so that no text can be said in them.
const DENIED_TAGS: &[&str] = &[
    "portal",
    "object",
    "applet",
    "base",
    "meta",
    "link",
    "style",
    "template",
    "plaintext",
    "xmp",
    "listing",
    "set",
    "use",
    "foreignobject",
    "html",
    "head",
    "body",
];

/// Attributes that are code, or make an element another.
const DENIED_ATTRIBUTES: &[&str] = &["srcdoc", "is", "nonce", "ping", "style", "http-equiv"];

/// Attributes whose values are addresses.
const ADDRESSES: &[&str] = &[
    "href",
    "xlink:href",
    "src",
    "action",
    "formaction",
    "poster",
    "data",
    "cite",
    "background",
];

/// Schemes of addresses that run no code.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel"];

/// Whether an element of this name may be made.
pub(super) fn permits_tag(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !name.starts_with("animate")
        && !name.ends_with("script")
        && !name.ends_with("embed")
        && !name.contains("frame")
        && !DENIED_TAGS.contains(&name.as_str())
}

/// Whether an attribute may have this value.
pub(super) fn permits_attribute(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_:.-".contains(&byte));
    is_plain
        && !name.starts_with("on")
        && !DENIED_ATTRIBUTES.contains(&name.as_str())
        && (!ADDRESSES.contains(&name.as_str()) || permits_address(value))
}

/// Whether an address is relative, or of a scheme that runs no code.
fn permits_address(value: &str) -> bool {
    // Browsers leave these out before they look for a scheme.
    let plain: String = value.chars().filter(|char| *char > ' ').collect();
    let end = plain.find(['/', '?', '#', ':']);
    match end.and_then(|end| plain.split_at_checked(end)) {
        Some((scheme, rest)) if rest.starts_with(':') => SCHEMES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(scheme)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a regular expression `^(a|b|c)$` of the page's own policy.
    fn words_of(name: &str) -> Vec<&'static str> {
        let source = include_str!("../../../../web/src/policy.ts");
        let (_, rest) = source
            .split_once(&format!("const {name} ="))
            .expect("the list");
        let (_, rest) = rest.split_once("/^(").expect("its words");
        let (words, _) = rest
            .split_once(")$/i")
            .or_else(|| rest.split_once("):/i"))
            .expect("its end");
        words.split('|').collect()
    }

    #[test]
    fn the_page_refuses_the_same_elements_and_attributes() {
        for word in words_of("DENIED_TAGS") {
            // One of the names that a pattern stands for.
            let tag = word.replace("i?", "").replace(['.', '*', '(', ')'], "");
            assert!(!permits_tag(&tag), "{word}");
        }
        let made = [
            "script",
            "NoScript",
            "iframe",
            "frameset",
            "noframes",
            "fencedframe",
            "embed",
            "noembed",
            "animate",
            "animateMotion",
            "Style",
        ];
        for tag in made.iter().chain(DENIED_TAGS) {
            assert!(!permits_tag(tag), "{tag}");
        }
        for tag in ["p", "H1", "section", "svg", "textarea"] {
            assert!(permits_tag(tag), "{tag}");
        }
        for word in words_of("DENIED_ATTRIBUTES") {
            assert!(
                !permits_attribute(word.trim_end_matches(".*"), ""),
                "{word}"
            );
        }
        assert_eq!(
            words_of("DENIED_ATTRIBUTES").len(),
            DENIED_ATTRIBUTES.len() + 1
        );
        for word in words_of("ADDRESSES") {
            let word = word.replace("(xlink:)?", "xlink:");
            assert!(permits_attribute(&word, "/a"), "{word}");
            assert!(!permits_attribute(&word, "javascript:1"), "{word}");
        }
        assert_eq!(words_of("ADDRESSES").len() + 1, ADDRESSES.len());
        assert_eq!(words_of("SCHEMES"), ["https?", "mailto", "tel"]);
    }

    #[test]
    fn addresses_that_run_code_are_refused_however_they_are_written() {
        for bad in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\nscript:alert(1)",
            "\u{1} javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "blob:x",
            ":x",
        ] {
            assert!(!permits_attribute("href", bad), "{bad:?}");
        }
        for good in [
            "",
            "a",
            "/a:b",
            "?a:b",
            "#a:b",
            "HTTPS://x/",
            "mailto:a@b",
            "tel:1",
            "//x/y:z",
        ] {
            assert!(permits_attribute("href", good), "{good:?}");
        }
        assert!(permits_attribute("title", "javascript:alert(1)"));
        for name in ["", "1a", "a b", "a=b", "a\"", "a>", "é", "-a"] {
            assert!(!permits_attribute(name, ""), "{name:?}");
            assert!(!permits_tag(name), "{name:?}");
        }
    }
}
