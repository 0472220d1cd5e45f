//! What Kubernetes is asked for beside the application itself, held to the API's
//! rules for names.

use super::version::Version;
use crate::application::Application;

/// What is wanted beside the application itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Where it is put; where the context says, unless told.
    pub namespace: Option<String>,
    /// The host name under which the world asks for it.
    pub host: Option<String>,
    /// Which Gateway leads to it, `[NAMESPACE/]NAME`, in place of an Ingress.
    pub gateway: Option<String>,
    /// Whose Ingress it is.
    pub ingress_class: Option<String>,
    /// The Secret with the certificate of the host.
    pub tls_secret: Option<String>,
    /// Which runtime runs it; a RuntimeClass of this name and handler is made.
    pub runtime_class: Option<String>,
    /// Whom it may speak to.
    pub egress: Egress,
    /// Which Kubernetes it is for; the newest unless told.
    pub version: Option<Version>,
    /// What in the image waits before a replica is told to end, where the kubelet
    /// does not by itself.
    pub pause_command: Option<Vec<String>>,
}

/// Whom an application may open connections to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Egress {
    /// The cluster's name servers and nobody else.
    #[default]
    Names,
    /// These too.
    To(Vec<Peer>),
    /// Anybody.
    Any,
}

/// A network that may be reached, perhaps on one port only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// An address with the length of its prefix.
    pub cidr: String,
    /// The port; all of them unless told.
    pub port: Option<u16>,
}

/// An option that Kubernetes has no use for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A name that the API refuses.
    #[error("{what} {name:?} is not a name that Kubernetes takes")]
    Name {
        /// Of what.
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// A text that is no network.
    #[error("{0:?} is no network: write it as ADDRESS/LENGTH or ADDRESS/LENGTH:PORT, or any")]
    Peer(String),
    /// A host or a gateway without a port to lead to.
    #[error("{0} leads to a port, and the application has none")]
    NoPort(&'static str),
}

impl std::str::FromStr for Peer {
    type Err = OptionsError;

    /// `ADDRESS/LENGTH[:PORT]`; an IPv6 address in brackets where a port follows.
    fn from_str(text: &str) -> Result<Self, OptionsError> {
        let wrong = || OptionsError::Peer(text.to_owned());
        let (address, rest) = text.rsplit_once('/').ok_or_else(wrong)?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
        let (length, port) = match rest.split_once(':') {
            Some((length, port)) => (length, Some(port.parse().map_err(|_| wrong())?)),
            None => (rest, None),
        };
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length > most || port == Some(0) {
            return Err(wrong());
        }
        Ok(Self {
            cidr: format!("{address}/{length}"),
            port,
        })
    }
}

impl Options {
    /// Holds names to the API's rules.
    ///
    /// # Errors
    /// The first that breaks them.
    pub fn check(&self, application: &Application) -> Result<(), OptionsError> {
        let label = |text: &str, longest: usize, dots: bool| {
            let own = |byte: u8| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || byte == b'-'
                    || (dots && byte == b'.')
            };
            !text.is_empty()
                && text.len() <= longest
                && text.bytes().all(own)
                && text
                    .split('.')
                    .all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-'))
        };
        let held = |what, name: Option<&String>, longest, dots| match name {
            Some(name) if !label(name, longest, dots) => Err(OptionsError::Name {
                what,
                name: name.clone(),
            }),
            _ => Ok(()),
        };
        held("namespace", self.namespace.as_ref(), 63, false)?;
        let host = self.host.as_ref();
        let plain = host.map(|host| host.strip_prefix("*.").unwrap_or(host).to_owned());
        held("host", plain.as_ref(), 253, true)?;
        held("ingress class", self.ingress_class.as_ref(), 253, true)?;
        held("secret", self.tls_secret.as_ref(), 253, true)?;
        held("runtime class", self.runtime_class.as_ref(), 253, true)?;
        for part in self.gateway.iter().flat_map(|text| text.splitn(2, '/')) {
            held("gateway", Some(&part.to_owned()), 253, true)?;
        }
        for secret in &application.secrets {
            held("secret", Some(&secret.from), 253, true)?;
        }
        if application.port.is_none() {
            for (what, is_set) in [
                ("--host", self.host.is_some()),
                ("--gateway", self.gateway.is_some()),
            ] {
                if is_set {
                    return Err(OptionsError::NoPort(what));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::tests::shop;

    #[test]
    fn names_that_the_api_refuses_are_refused_here() {
        for options in [
            Options {
                namespace: Some("Shop".to_owned()),
                ..Options::default()
            },
            Options {
                host: Some("shop..example".to_owned()),
                ..Options::default()
            },
            Options {
                gateway: Some("/public".to_owned()),
                ..Options::default()
            },
            Options {
                tls_secret: Some("-x".to_owned()),
                ..Options::default()
            },
        ] {
            assert!(options.check(&shop()).is_err(), "{options:?}");
        }
        let mut worker = shop();
        worker.port = None;
        let host = Options {
            host: Some("*.shop.example".to_owned()),
            ..Options::default()
        };
        assert_eq!(host.check(&shop()), Ok(()));
        assert_eq!(host.check(&worker), Err(OptionsError::NoPort("--host")));
    }

    #[test]
    fn networks_are_read_with_and_without_a_port() {
        let peer: Peer = "10.1.0.0/16:5432".parse().unwrap();
        assert_eq!((peer.cidr.as_str(), peer.port), ("10.1.0.0/16", Some(5432)));
        let peer: Peer = "fd00::/8".parse().unwrap();
        assert_eq!((peer.cidr.as_str(), peer.port), ("fd00::/8", None));
        for text in [
            "10.0.0.1",
            "10.0.0.0/33",
            "x/8",
            "10.0.0.0/8:0",
            "10.0.0.0/8:x",
        ] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }
}
