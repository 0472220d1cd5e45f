//! What a person may say about how a site is served: one type for `[site]` in
//! `ounce.toml`, checked here so that no head can be broken by it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Most bytes of all added fields together, so that a whole head stays within
/// what servers have room for.
const HEADERS_BYTES: usize = 1_500;

/// Fields that the server or the packer writes, and what to use instead.
const OWN: [(&str, &str); 19] = [
    ("accept-ranges", "the server knows it"),
    ("age", "only caches know it"),
    ("allow", "the server knows it"),
    ("cache-control", "use site.cache and site.immutable"),
    ("connection", "the server decides about its connections"),
    ("content-encoding", "use site.compress"),
    ("content-length", "the server knows it"),
    ("content-range", "the server knows it"),
    ("content-type", "it follows from the file's name"),
    ("date", "the server has a clock"),
    ("etag", "it follows from the file's content"),
    ("keep-alive", "the server decides about its connections"),
    (
        "last-modified",
        "images have no times: the ETag stands for it",
    ),
    ("location", "a folder's redirect is made from its name"),
    ("trailer", "the server sends none"),
    ("transfer-encoding", "the server decides about it"),
    ("upgrade", "the server speaks HTTP/1.1 only"),
    ("vary", "it follows from the variants that there are"),
    ("x-content-type-options", "nosniff always stays"),
];

/// How a site is packed and served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteRules {
    /// Pack it into one file; yes unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<bool>,
    /// Answer unknown paths without a dot in the last segment with `/index.html`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spa: Option<bool>,
    /// List folders that have no index; only a folder that is not packed can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing: Option<bool>,
    /// Cache-Control of every file; empty for none, `no-cache` unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Files below this folder never change under their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<String>,
    /// Further fields of every answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Send X-Frame-Options and Referrer-Policy; yes unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_headers: Option<bool>,
    /// Make compressed variants; yes unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
}

/// A rule that would break a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not a token (RFC 9110 section 5.1).
    #[error("{0:?} is not the name of a header: letters, digits and -, and no space or colon")]
    Name(String),
    /// Not plain text (RFC 9110 section 5.5).
    #[error(
        "the value of {name} has a {what}, which no header can: visible ASCII and single spaces are wanted"
    )]
    Value {
        /// The header, or the key.
        name: String,
        /// What it has.
        what: &'static str,
    },
    /// One that is not to be set by hand.
    #[error("the header {name} cannot be set: {instead}")]
    Own {
        /// The header.
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// The same, written twice.
    #[error("the header {0} stands twice, in different cases")]
    Twice(String),
    /// Too much of it.
    #[error("the headers have {bytes} bytes in all, and {HEADERS_BYTES} is the most")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Not a prefix.
    #[error("{0:?} is not a folder of the site: write it as assets/, without `..` and empty parts")]
    Prefix(String),
}

impl SiteRules {
    /// These rules, and `lower` where they say nothing; headers are joined.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        let mut headers = lower.headers;
        headers.extend(self.headers);
        Self {
            pack: self.pack.or(lower.pack),
            spa: self.spa.or(lower.spa),
            listing: self.listing.or(lower.listing),
            cache: self.cache.or(lower.cache),
            immutable: self.immutable.or(lower.immutable),
            headers,
            security_headers: self.security_headers.or(lower.security_headers),
            compress: self.compress.or(lower.compress),
        }
    }

    /// Checks what goes into heads.
    ///
    /// # Errors
    /// The first that a head cannot hold.
    pub fn check(&self) -> Result<(), RuleError> {
        if let Some(cache) = &self.cache {
            plain("site.cache", cache)?;
        }
        if let Some(prefix) = &self.immutable {
            let inner = prefix.strip_prefix('/').unwrap_or(prefix);
            let inner = inner.strip_suffix('/').unwrap_or(inner);
            let mut parts = inner.split('/');
            let is_odd = |part| matches!(part, "" | "." | "..");
            if parts.any(is_odd) || prefix.chars().any(char::is_control) {
                return Err(RuleError::Prefix(prefix.clone()));
            }
        }
        let mut names: Vec<String> = Vec::new();
        let mut bytes = 0;
        for (name, value) in &self.headers {
            let is_token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(RuleError::Name(name.clone()));
            }
            let lower = name.to_ascii_lowercase();
            if let Some((_, instead)) = OWN.iter().find(|(own, _)| *own == lower) {
                return Err(RuleError::Own {
                    name: name.clone(),
                    instead,
                });
            }
            if names.contains(&lower) {
                return Err(RuleError::Twice(name.clone()));
            }
            names.push(lower);
            plain(name, value)?;
            bytes += name.len() + value.len() + ": \r\n".len();
        }
        bytes += self.cache.as_ref().map_or(0, String::len);
        match bytes > HEADERS_BYTES {
            true => Err(RuleError::TooLong { bytes }),
            false => Ok(()),
        }
    }

    /// The folder of what never changes, as paths start: `/assets/`.
    pub fn immutable_prefix(&self) -> Option<String> {
        let folder = self.immutable.as_ref()?;
        Some(format!("/{}/", folder.trim_matches('/')))
    }

    /// The server's own arguments for a folder that is not packed.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |flag: &str, value: Option<String>| {
            arguments.push(flag.to_owned());
            arguments.extend(value);
        };
        if self.spa == Some(true) {
            add("--spa", None);
        }
        if self.listing == Some(true) {
            add("--listing", None);
        }
        if let Some(cache) = &self.cache {
            add("--cache", Some(cache.clone()));
        }
        if let Some(prefix) = self.immutable_prefix() {
            add("--immutable", Some(prefix));
        }
        for (name, value) in &self.headers {
            add("--header", Some(format!("{name}: {value}")));
        }
        if self.security_headers == Some(false) {
            add("--no-security-headers", None);
        }
        arguments
    }
}

fn plain(name: &str, value: &str) -> Result<(), RuleError> {
    let what = value.bytes().find_map(|byte| match byte {
        b'\r' | b'\n' => Some("line break"),
        b' '..=b'~' | b'\t' => None,
        0x80.. => Some("letter outside of ASCII"),
        _ => Some("control character"),
    });
    let padded = value != value.trim_matches([' ', '\t']);
    match what.or(padded.then_some("space at its start or end")) {
        None => Ok(()),
        Some(what) => Err(RuleError::Value {
            name: name.to_owned(),
            what,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<(), RuleError> {
        SiteRules {
            headers: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..SiteRules::default()
        }
        .check()
    }

    #[test]
    fn headers_that_could_split_an_answer_are_refused() {
        assert_eq!(with("X-Team", "one, two"), Ok(()));
        for value in [
            "a\r\nSet-Cookie: b",
            "a\nb",
            "a\rb",
            "a\0b",
            "caf\u{e9}",
            " a",
            "a\t",
        ] {
            assert!(
                matches!(with("X-Team", value), Err(RuleError::Value { .. })),
                "{value:?}"
            );
        }
        for name in ["", "a b", "a:b", "a\r\nb", "(a)", "\u{e9}"] {
            assert!(
                matches!(with(name, "x"), Err(RuleError::Name(_))),
                "{name:?}"
            );
        }
        let cache = SiteRules {
            cache: Some("no-cache\r\nX: y".to_owned()),
            ..SiteRules::default()
        };
        assert!(cache.check().is_err());
    }

    #[test]
    fn headers_that_the_server_writes_are_refused_with_what_to_use() {
        for name in ["Content-Length", "transfer-encoding", "ETag", "VARY"] {
            assert!(
                matches!(with(name, "x"), Err(RuleError::Own { .. })),
                "{name}"
            );
        }
        let error = with("Cache-Control", "x").unwrap_err().to_string();
        assert!(
            error.ends_with("use site.cache and site.immutable"),
            "{error}"
        );
    }

    #[test]
    fn headers_stand_once_and_within_their_bound() {
        let mut rules = SiteRules::default();
        rules.headers.insert("X-A".to_owned(), "1".to_owned());
        rules.headers.insert("x-a".to_owned(), "2".to_owned());
        assert!(matches!(rules.check(), Err(RuleError::Twice(_))));
        assert!(with("X-A", &"x".repeat(1_490)).is_ok());
        assert!(matches!(
            with("X-A", &"x".repeat(1_500)),
            Err(RuleError::TooLong { bytes: 1_507 })
        ));
    }

    #[test]
    fn what_is_immutable_is_a_plain_folder() {
        for (prefix, is_good) in [
            ("assets/", true),
            ("/assets", true),
            ("a/b/", true),
            ("", false),
            ("/", false),
            ("../a", false),
            ("a//b", false),
            ("a\n", false),
        ] {
            let rules = SiteRules {
                immutable: Some(prefix.to_owned()),
                ..SiteRules::default()
            };
            assert_eq!(rules.check().is_ok(), is_good, "{prefix:?}");
        }
    }
}
