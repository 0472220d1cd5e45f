//! What an image is called: `name[:tag]` or `name@digest`.

use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// A name in the store: repository and tag (`latest` unless told), or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// `hello`, `team/hello`, `host:5000/team/hello`.
    pub name: String,
    /// The tag; `latest` when neither tag nor digest was written.
    pub tag: Option<String>,
    /// The digest, when the reference is pinned.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image name: {why}")]
pub struct ReferenceError {
    /// What was written.
    pub text: String,
    /// Which rule it breaks (OCI distribution spec, "Pulling manifests").
    pub why: &'static str,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|why| ReferenceError {
            text: text.chars().take(300).collect(),
            why,
        })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            let digest = digest.parse().map_err(
                |_| "what follows @ is not sha256: and 64 lower-case hexadecimal digits",
            )?;
            (rest, Some(digest))
        }
        None => (text, None),
    };
    // A colon before the last slash is a host's port.
    let tag_at = rest
        .rfind(':')
        .filter(|&colon| !rest[colon..].contains('/'));
    let (name, tag) = match tag_at {
        Some(colon) => (&rest[..colon], Some(&rest[colon + 1..])),
        None => (rest, None),
    };
    check_name(name)?;
    tag.map_or(Ok(()), check_tag)?;
    let tag = match (tag, &digest) {
        (None, None) => Some("latest"),
        (tag, _) => tag,
    };
    Ok(Reference {
        name: name.to_owned(),
        tag: tag.map(str::to_owned),
        digest,
    })
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.len() > 255 {
        return Err("the name is longer than 255 characters");
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    let is_host = parts.len() > 1
        && (parts[0].contains(['.', ':'])
            || parts[0] == "localhost"
            || parts[0].bytes().any(|byte| byte.is_ascii_uppercase()));
    if is_host {
        check_host(parts[0])?;
        parts.remove(0);
    }
    parts.into_iter().try_for_each(check_component)
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (host, port) = match host.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (host, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !host.split('.').all(label) {
        return Err("the host has a part that is not letters, digits and inner hyphens");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() || port.starts_with('+') => {
            Err("the host's port is not a number up to 65535")
        }
        _ => Ok(()),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn check_component(component: &str) -> Result<(), &'static str> {
    if component.is_empty() {
        return Err("a part of the name is empty");
    }
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if component.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a name has no upper-case letters");
    }
    if !component
        .bytes()
        .all(|byte| alphanumeric(byte) || b"._-".contains(&byte))
    {
        return Err("a name has only lower-case letters, digits, '.', '_', '-' and '/'");
    }
    let edge = |byte: Option<&u8>| byte.copied().is_some_and(alphanumeric);
    if !edge(component.as_bytes().first()) || !edge(component.as_bytes().last()) {
        return Err("a part of the name starts and ends with a letter or a digit");
    }
    let separators = component.split(|letter: char| letter.is_ascii_alphanumeric());
    for separator in separators {
        let valid =
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
        if !valid {
            return Err(
                "letters and digits of a name are parted by one '.', one or two '_', or '-'",
            );
        }
    }
    Ok(())
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn check_tag(tag: &str) -> Result<(), &'static str> {
    if tag.is_empty() {
        return Err("the tag is empty");
    }
    if tag.len() > 128 {
        return Err("the tag is longer than 128 characters");
    }
    if tag.starts_with(['.', '-'])
        || !tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        return Err("a tag has only letters, digits, '_', '.' and '-', the last two not in front");
    }
    Ok(())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first few names, and how many more there are: a hostile index has thousands.
pub(crate) fn some_names(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_name_is_parted_into_repository_tag_and_digest() {
        for (text, name, tag, pinned) in [
            ("hello", "hello", Some("latest"), false),
            ("hello:1.0", "hello", Some("1.0"), false),
            ("team/hello", "team/hello", Some("latest"), false),
            (
                "localhost:5000/a/b:V1",
                "localhost:5000/a/b",
                Some("V1"),
                false,
            ),
            (
                "localhost:5000/a",
                "localhost:5000/a",
                Some("latest"),
                false,
            ),
            (
                "Registry.example/a__b-c.d",
                "Registry.example/a__b-c.d",
                Some("latest"),
                false,
            ),
            (&format!("hello@{DIGEST}"), "hello", None, true),
            (&format!("hello:2@{DIGEST}"), "hello", Some("2"), true),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                (
                    reference.name.as_str(),
                    reference.tag.as_deref(),
                    reference.digest.is_some()
                ),
                (name, tag, pinned),
                "{text}"
            );
            assert_eq!(
                reference.to_string().parse::<Reference>().unwrap(),
                reference
            );
        }
    }

    #[test]
    fn a_text_that_is_no_name_is_refused_with_the_rule_it_breaks() {
        for (text, word) in [
            ("", "empty"),
            (":1", "empty"),
            ("Hello", "upper-case"),
            ("a//b", "empty"),
            ("a/../b", "starts and ends"),
            ("-a", "starts and ends"),
            ("a._b", "parted"),
            ("a___b", "parted"),
            ("a:", "tag is empty"),
            ("a:.b", "tag"),
            ("a@sha256:00", "64"),
            ("a b", "only"),
            ("host:99999/a", "port"),
            ("ho..st/a", "host"),
            (&"a".repeat(256), "255"),
            (&format!("a:{}", "b".repeat(129)), "128"),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.why.contains(word), "{text}: {error}");
        }
    }
}
