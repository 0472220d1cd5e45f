//! Which proxy leads to a host: values as curl and Go take them from the environment.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use super::url::Url;

/// Proxies, and who is reached without one. Loopback never goes through a proxy.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` addresses, as `http://[USER:PASSWORD@]HOST:PORT`; or `socks5h://…`,
    /// `socks4a://…`, which find hosts' addresses themselves, `socks5://…`, `socks4://…`.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts to reach directly: `host`, `.domain`, `host:port`, an address, a
    /// network (`10.0.0.0/8`), parted by commas; `*` is all.
    pub none_for: String,
}

/// A proxy's address has its password in it.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

impl Proxies {
    /// The proxy for `url`, if there is one.
    pub(super) fn for_url(&self, url: &Url) -> Option<&str> {
        let proxy = match url.is_secure() {
            true => &self.https,
            false => &self.http,
        };
        let proxy = proxy.as_deref().filter(|proxy| !proxy.is_empty())?;
        let direct = url.is_loopback()
            || self
                .none_for
                .split(',')
                .any(|pattern| matches(pattern.trim(), url));
        (!direct).then_some(proxy)
    }

    /// Whether this is what a SOCKS proxy says on the way to `url`: it has no status, so
    /// its words are the client's own, not the system's.
    pub(super) fn is_refusal(&self, url: &Url, error: &io::Error) -> bool {
        let is_socks = |proxy: &str| proxy.to_ascii_lowercase().starts_with("socks");
        self.for_url(url).is_some_and(is_socks)
            && error.raw_os_error().is_none()
            && matches!(
                error.kind(),
                ErrorKind::Other
                    | ErrorKind::PermissionDenied
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
            )
    }
}

fn matches(pattern: &str, url: &Url) -> bool {
    let host = url.host();
    if pattern.is_empty() {
        return false;
    }
    if pattern == "*" {
        return true;
    }
    if let Some((network, bits)) = pattern.split_once('/') {
        return match (network.parse(), bits.parse(), host.parse()) {
            (Ok(network), Ok(bits), Ok(address)) => within(network, bits, address),
            _ => false,
        };
    }
    if let (Ok(pattern), Ok(address)) = (pattern.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        return pattern == address;
    }
    let pattern = match pattern.rsplit_once(':') {
        Some((name, port)) if port.parse() == Ok(url.port()) => name,
        Some((_, port)) if port.parse::<u16>().is_ok() => return false,
        _ => pattern,
    };
    let pattern = pattern.trim_start_matches("*.").trim_start_matches('.');
    let host = host.to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    host == pattern
        || host
            .strip_suffix(&pattern)
            .is_some_and(|front| front.ends_with('.'))
}

fn within(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_the_list_and_loopback_are_reached_directly() {
        let proxies = Proxies {
            http: Some("http://p:1".to_owned()),
            https: Some("http://s:2".to_owned()),
            none_for: "near.example, .inner.example,*.wild.example,10.0.0.0/8,h.example:81,::1/128"
                .to_owned(),
        };
        for (url, proxy) in [
            ("http://far.example/", Some("http://p:1")),
            ("https://far.example/", Some("http://s:2")),
            ("https://near.example/", None),
            ("https://a.near.example/", None),
            ("https://notnear.example/", Some("http://s:2")),
            ("https://a.inner.example/", None),
            ("https://a.wild.example/", None),
            ("https://NEAR.example/", None),
            ("http://10.1.2.3/", None),
            ("http://11.1.2.3/", Some("http://p:1")),
            ("http://h.example:81/", None),
            ("http://h.example:82/", Some("http://p:1")),
            ("http://127.0.0.1:5000/", None),
            ("http://localhost/", None),
            ("http://[::1]:80/", None),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(proxies.for_url(&parsed), proxy, "{url}");
        }
        let all = Proxies {
            none_for: "*".to_owned(),
            ..proxies
        };
        assert_eq!(all.for_url(&Url::parse("http://x.example/").unwrap()), None);
    }
}
