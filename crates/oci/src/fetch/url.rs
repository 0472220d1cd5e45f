//! Addresses: `http` and `https` only, without user and password, which would
//! turn up in messages.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::PathAndQuery;

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} cannot be fetched: {why}")]
pub struct UrlError {
    /// The address, without what may be secret in it.
    pub url: String,
    /// The rule it breaks.
    pub why: &'static str,
}

/// An absolute address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(Uri);

impl Url {
    /// Reads an absolute address.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let wrong = |why| UrlError {
            url: without_secrets(text),
            why,
        };
        // What follows `#` is the browser's.
        let text_only = text.split('#').next().unwrap_or_default();
        let uri: Uri = text_only
            .parse()
            .map_err(|_| wrong("it is not an address"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("it begins with neither http:// nor https://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user's name in it"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        Ok(Self(uri))
    }

    /// What a `Location` header means, seen from here (RFC 3986, section 5.2,
    /// as far as registries and mirrors need it).
    pub(crate) fn join(&self, location: &str) -> Result<Self, UrlError> {
        let wrong = |why| UrlError {
            url: without_secrets(location),
            why,
        };
        let is_absolute = location
            .split_once(':')
            .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?', '#']));
        if is_absolute {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        let joined = match location.chars().next() {
            None => return Err(wrong("it is empty")),
            Some('/') => location.to_owned(),
            Some('?') => format!("{}{location}", self.0.path()),
            Some(_) => {
                let folder = self
                    .0
                    .path()
                    .rfind('/')
                    .map_or("/", |at| &self.0.path()[..=at]);
                normal(&format!("{folder}{location}"))
            }
        };
        let joined = joined.split('#').next().unwrap_or_default();
        let path: PathAndQuery = joined.parse().map_err(|_| wrong("it is not an address"))?;
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path);
        Ok(Self(
            Uri::from_parts(parts).map_err(|_| wrong("it is not an address"))?,
        ))
    }

    /// With a further parameter.
    pub(crate) fn with_parameter(&self, name: &str, value: &str) -> Result<Self, UrlError> {
        let separator = if self.0.query().is_some() { '&' } else { '?' };
        let text = format!("{}{separator}{name}={}", self.0, encoded(value));
        Self::parse(&text)
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or("https")
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.scheme() == "https"
    }

    /// Without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.0
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        let usual = if self.is_secure() { 443 } else { 80 };
        self.0.port_u16().unwrap_or(usual)
    }

    /// Whether it leads to this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Whether both lead to the same server, so that a secret for one may go to the other.
    pub(crate) fn same_server(&self, other: &Self) -> bool {
        self.scheme() == other.scheme()
            && self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
    }
}

/// Shown without what follows `?`: signed addresses carry their right to be read there.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0.to_string()))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether a host's name or address is this machine's own.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An address as it may be shown: no user, no password, no parameters.
pub(crate) fn without_secrets(text: &str) -> String {
    let plain = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match plain.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), plain),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}{path}").chars().take(500).collect()
}

/// A parameter's value, percent-encoded but for what is plain in it (RFC 3986,
/// section 2.3), and `:` and `/`, which scopes have.
pub(crate) fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_from_where_it_was_sent() {
        let base = Url::parse("http://a.example:81/v2/x/blobs/uploads/1?s=1").unwrap();
        for (location, meant) in [
            ("http://b.example/p?q=1", "http://b.example/p?q=1"),
            ("//b.example/p", "http://b.example/p"),
            ("/p?q", "http://a.example:81/p?q"),
            ("2?q", "http://a.example:81/v2/x/blobs/uploads/2?q"),
            ("../2", "http://a.example:81/v2/x/blobs/2"),
            (
                "?q=http://x",
                "http://a.example:81/v2/x/blobs/uploads/1?q=http://x",
            ),
            ("/p#f", "http://a.example:81/p"),
        ] {
            assert_eq!(
                base.join(location).unwrap().0.to_string(),
                meant,
                "{location}"
            );
        }
        for location in [
            "",
            "ftp://b.example/",
            "http://",
            "/\u{7f}",
            "http://u:p@b.example/",
        ] {
            assert!(base.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn nothing_secret_of_an_address_is_shown() {
        let shown = without_secrets("https://user:word@a.example/b?X-Signature=secret#x");
        assert_eq!(shown, "https://a.example/b");
        let url = Url::parse("https://a.example/b?token=secret").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "https://a.example/b https://a.example/b"
        );
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            Url::parse(one)
                .unwrap()
                .same_server(&Url::parse(other).unwrap())
        };
        assert!(same("https://a.example/x", "https://A.example:443/y"));
        assert!(!same("https://a.example/", "http://a.example/"));
        assert!(!same("https://a.example/", "https://a.example:444/"));
        assert!(!same("https://a.example/", "https://a.example.evil/"));
    }
}
