//! Which service a request is for, where several share an address.

/// Which requests are a service's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host names, in lower case; all, if there is none. One that starts with
    /// `*.` is all names below the rest.
    pub hosts: Vec<String>,
    /// What the path begins with: whole segments, without a slash at the end
    /// but for `/` itself.
    pub prefix: String,
}

impl Place {
    /// Reads host names.
    ///
    /// # Errors
    /// One is not a name.
    pub fn hosts(names: Vec<String>) -> Result<Vec<String>, String> {
        if names.is_empty() {
            return Err("the list is empty".to_owned());
        }
        names
            .into_iter()
            .map(|name| {
                let plain = name.strip_prefix("*.").unwrap_or(&name);
                let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
                // A port is not part of it: the address has that.
                let port = !plain.starts_with('[') && plain.contains(':');
                match !plain.is_empty() && plain.bytes().all(letters) && !port {
                    true => Ok(name.to_ascii_lowercase()),
                    false => Err(format!(
                        "{name:?} is not a host name, such as example.org or *.example.org"
                    )),
                }
            })
            .collect()
    }

    /// Reads a path prefix.
    ///
    /// # Errors
    /// It does not start with `/`, or holds what no path in a request does.
    pub fn prefix(text: &str) -> Result<String, String> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
        let dots = text
            .split('/')
            .any(|segment| segment == "." || segment == "..");
        if !text.starts_with('/') || !text.bytes().all(plain) || dots {
            return Err(format!(
                "{text:?} is not the beginning of a path, such as /api"
            ));
        }
        Ok(match text.trim_end_matches('/') {
            "" => "/".to_owned(),
            text => text.to_owned(),
        })
    }

    /// How well it fits a request: the more of host and path it says, the
    /// better; nothing, if it does not. `host` is in lower case and without a port.
    pub fn fits(&self, host: &[u8], path: &[u8]) -> Option<(usize, usize)> {
        let by_host = match self.hosts.is_empty() {
            true => 0,
            false => self
                .hosts
                .iter()
                .filter_map(|name| host_fits(name, host))
                .max()?,
        };
        let prefix = self.prefix.as_bytes();
        let by_path = match prefix {
            b"/" => 1,
            prefix => match path.strip_prefix(prefix)? {
                [] | [b'/', ..] => prefix.len(),
                _ => return None,
            },
        };
        Some((by_host, by_path))
    }
}

fn host_fits(name: &str, host: &[u8]) -> Option<usize> {
    match name.strip_prefix('*') {
        None => (name.as_bytes() == host).then_some(usize::MAX),
        Some(end) => {
            (host.len() > end.len() && host.ends_with(end.as_bytes())).then_some(name.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, prefix: &str) -> Place {
        Place {
            hosts: match host {
                "" => vec![],
                host => Place::hosts(vec![host.to_owned()]).unwrap(),
            },
            prefix: Place::prefix(prefix).unwrap(),
        }
    }

    #[test]
    fn a_prefix_is_of_whole_segments() {
        let api = place("", "/api/");
        assert_eq!(api.prefix, "/api");
        for path in ["/api", "/api/", "/api/x"] {
            assert!(api.fits(b"", path.as_bytes()).is_some(), "{path}");
        }
        for path in ["/", "/apis", "/ap", "/x/api", "*"] {
            assert!(api.fits(b"", path.as_bytes()).is_none(), "{path}");
        }
        assert!(place("", "/").fits(b"", b"*").is_some());
    }

    #[test]
    fn the_one_that_says_more_fits_better_host_before_path() {
        let places = [
            place("", "/"),
            place("", "/long/path"),
            place("*.example.org", "/"),
            place("*.b.example.org", "/"),
            place("a.b.example.org", "/"),
            place("a.b.example.org", "/x"),
        ];
        let best = |host: &str, path: &str| {
            (0..places.len())
                .filter(|index| {
                    places[*index]
                        .fits(host.as_bytes(), path.as_bytes())
                        .is_some()
                })
                .max_by_key(|index| places[*index].fits(host.as_bytes(), path.as_bytes()))
        };
        assert_eq!(best("a.b.example.org", "/x/y"), Some(5));
        assert_eq!(best("a.b.example.org", "/y"), Some(4));
        assert_eq!(best("c.b.example.org", "/x"), Some(3));
        assert_eq!(best("c.example.org", "/x"), Some(2));
        assert_eq!(best("example.org", "/long/path/x"), Some(1));
        assert_eq!(best("", "/x"), Some(0));
    }

    #[test]
    fn what_is_no_host_or_path_is_refused() {
        for name in ["", "*.", "a b", "a/b", "a:80", "ex\u{e4}mple"] {
            assert!(Place::hosts(vec![name.to_owned()]).is_err(), "{name}");
        }
        assert!(Place::hosts(vec!["[::1]".to_owned()]).is_ok());
        for prefix in ["", "a", "/a b", "/a?b", "/../a", "/a/.", "/\u{e4}"] {
            assert!(Place::prefix(prefix).is_err(), "{prefix}");
        }
    }
}
