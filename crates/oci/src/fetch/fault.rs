//! Why something could not be fetched, whether it is worth another try, and
//! what to do about it. No text here has a secret: addresses are shown without
//! what follows `?`.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use ureq::Timeout;

use super::Options;
use super::url::{Url, UrlError};
use crate::Digest;

/// Something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// An address that cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A proxy's address that cannot be used.
    #[error("{proxy:?} is not the address of a proxy")]
    Proxy {
        /// The address, without its password.
        proxy: String,
    },
    /// The proxy does not let us through.
    #[error("the proxy does not lead to {url}: {why}")]
    ProxyRefused {
        /// Where to.
        url: String,
        /// What it says.
        why: String,
    },
    /// A file of certificates.
    #[error("reading certificates from {path}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is nobody to trust.
    #[error("this machine has no certificate authorities (looked for {looked})")]
    NoCertificates {
        /// The first place of several.
        looked: PathBuf,
    },
    /// No name server knows the host.
    #[error("{url}: the host is not known")]
    HostNotFound {
        /// The address.
        url: String,
    },
    /// The connection could not be made, or broke.
    #[error("{url}: {doing}")]
    Connection {
        /// The address.
        url: String,
        /// `it cannot be reached`, `the line broke`.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server keeps us waiting.
    #[error("{url}: nothing came for {} s while {doing}", shown_seconds(*.after))]
    Timeout {
        /// The address.
        url: String,
        /// What was waited for.
        doing: &'static str,
        /// How long.
        after: Duration,
    },
    /// Bytes trickle.
    #[error("{url}: only {bytes} bytes came within {} s", shown_seconds(*.within))]
    TooSlow {
        /// The address.
        url: String,
        /// So many.
        bytes: u64,
        /// In this time.
        within: Duration,
    },
    /// The other side is not whom we trust, or speaks no TLS.
    #[error("{url}: no secure connection: {why}")]
    Tls {
        /// The address.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// What came is no HTTP.
    #[error("{url}: the answer is not valid HTTP: {why}")]
    Protocol {
        /// The address.
        url: String,
        /// The rule it breaks.
        why: String,
    },
    /// The server says no.
    #[error("{url}: the server answers {status}{}", said_text(.said))]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// What it said about it; at most a line.
        said: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The server wants to be left alone for longer than we wait.
    #[error("{url}: the server answers {status} and asks to wait {} s", .wait.as_secs())]
    Throttled {
        /// The address.
        url: String,
        /// The status: 429 or 503.
        status: u16,
        /// How long.
        wait: Duration,
    },
    /// One address leads to the next, and so on.
    #[error("{url}: redirected more than {most} times")]
    Redirects {
        /// Where it began.
        url: String,
        /// The bound.
        most: u32,
    },
    /// A redirect that would give up the secure connection.
    #[error("{url}: redirected to {to}, which is not secure")]
    Downgrade {
        /// Where it began.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// More than is allowed here.
    #[error("{url}: more than the {limit_bytes} bytes that are allowed here")]
    TooLarge {
        /// The address.
        url: String,
        /// The bound.
        limit_bytes: u64,
    },
    /// Not as many bytes as there should be.
    #[error("{url}: {actual_bytes} bytes where {stated_bytes} were promised")]
    Size {
        /// The address.
        url: String,
        /// What was promised.
        stated_bytes: u64,
        /// What came, at least.
        actual_bytes: u64,
    },
    /// Not the bytes that were asked for.
    #[error("{url}: the bytes hash to {actual}, not to {expected}")]
    Corrupt {
        /// The address.
        url: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The disk refused.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another download failed, so this one was given up.
    #[error("{url}: given up, since another download failed")]
    GivenUp {
        /// The address.
        url: String,
    },
}

fn said_text(said: &str) -> String {
    match said.is_empty() {
        true => String::new(),
        false => format!(": {said}"),
    }
}

fn shown_seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
        .trim_end_matches(".0")
        .to_owned()
}

/// A failure of a body's reader, as it comes through [`io::Read`].
#[derive(Debug, thiserror::Error)]
#[error("only {bytes} bytes came within {within:?}")]
pub(super) struct Trickle {
    pub(super) bytes: u64,
    pub(super) within: Duration,
}

impl FetchError {
    /// Whether the same request may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. }
            | Self::Timeout { .. }
            | Self::TooSlow { .. }
            | Self::HostNotFound { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            // A line that breaks within a head or a chunk looks like this.
            Self::Protocol { .. } => true,
            _ => false,
        }
    }

    /// Whether it is this machine that refuses, not the network.
    pub fn is_hosts(&self) -> bool {
        matches!(self, Self::Write { .. })
    }

    /// Whether what was asked for, or how, is wrong, not the network.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Url(_) | Self::Proxy { .. } | Self::Certificates { .. }
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoCertificates { .. } => {
                "install the package ca-certificates, or name a file: SSL_CERT_FILE or --ca FILE"
            }
            Self::Tls { why, .. } if why.contains("UnknownIssuer") => {
                "if you trust its authority, name it: --ca FILE"
            }
            // The second is what Go's servers say to who has none (before TLS 1.3).
            Self::Tls { why, .. }
                if why.contains("CertificateRequired") || why.contains("BadCertificate") =>
            {
                "it wants a certificate of you that it knows: NAME.cert and NAME.key in \
                 ~/.config/containers/certs.d/HOST:PORT/, or docker's /etc/docker/certs.d"
            }
            Self::Tls { why, .. } if why.contains("corrupt message") => {
                "it may be a server without TLS: --plain-http, if you trust the way to it"
            }
            Self::Tls { why, .. } if why.contains("Expired") || why.contains("NotValidYet") => {
                "look at this machine's clock"
            }
            Self::HostNotFound { .. } => "look at the name, and at the network",
            Self::Throttled { .. } => "try again later, or log in: many allow more to known users",
            Self::Proxy { .. } => {
                "look at HTTP_PROXY and HTTPS_PROXY: http://HOST:PORT, or socks5h://HOST:PORT"
            }
            Self::ProxyRefused { .. } => "look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
            Self::Corrupt { .. } | Self::Size { .. } => {
                "what is there is not what was published, or a proxy changes it"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// What `ureq` says, in our words.
    pub(super) fn of(url: &Url, error: ureq::Error, options: &Options) -> Self {
        let shown = url.to_string();
        match error {
            ureq::Error::HostNotFound => Self::HostNotFound { url: shown },
            ureq::Error::Io(source) => Self::of_io(url, source, options),
            ureq::Error::Timeout(which) => {
                let (doing, after) = match which {
                    Timeout::Resolve => ("looking up the host", options.connect_timeout),
                    Timeout::Connect | Timeout::SendRequest => {
                        ("connecting", options.connect_timeout)
                    }
                    Timeout::RecvResponse | Timeout::Await100 => {
                        ("waiting for an answer", options.answer_timeout)
                    }
                    Timeout::PerWrite | Timeout::SendBody => ("sending", options.idle_timeout),
                    _ => ("receiving", options.idle_timeout),
                };
                Self::Timeout {
                    url: shown,
                    doing,
                    after,
                }
            }
            ureq::Error::Rustls(error) => Self::Tls {
                url: shown,
                why: error.to_string(),
            },
            ureq::Error::Tls(why) => Self::Tls {
                url: shown,
                why: why.to_owned(),
            },
            ureq::Error::ConnectProxyFailed(why) => Self::ProxyRefused {
                url: shown,
                why: why.split('/').next().unwrap_or_default().to_owned(),
            },
            ureq::Error::ConnectionFailed => Self::Connection {
                url: shown,
                doing: "it cannot be reached",
                source: ErrorKind::NotConnected.into(),
            },
            ureq::Error::LargeResponseHeader(..) => Self::Protocol {
                url: shown,
                why: format!("its head is longer than {} bytes", super::MOST_HEAD_BYTES),
            },
            other => Self::Protocol {
                url: shown,
                why: other
                    .to_string()
                    .trim_start_matches("protocol: ")
                    .to_owned(),
            },
        }
    }

    /// What a body's reader says: it wraps errors of `ureq`, of `rustls` and of ours.
    pub(super) fn of_io(url: &Url, source: io::Error, options: &Options) -> Self {
        let source = match source.downcast::<ureq::Error>() {
            Ok(ureq::Error::Io(inner)) => inner,
            Ok(error) => return Self::of(url, error, options),
            Err(source) => source,
        };
        let source = match source.downcast::<Trickle>() {
            Ok(trickle) => {
                return Self::TooSlow {
                    url: url.to_string(),
                    bytes: trickle.bytes,
                    within: trickle.within,
                };
            }
            Err(source) => source,
        };
        match source.downcast::<rustls::Error>() {
            Ok(error) => Self::Tls {
                url: url.to_string(),
                why: error.to_string(),
            },
            Err(source) if options.proxies.is_refusal(url, &source) => Self::ProxyRefused {
                url: url.to_string(),
                why: source.to_string(),
            },
            Err(source) => Self::Connection {
                url: url.to_string(),
                doing: match source.kind() {
                    ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::AddrNotAvailable => "it cannot be reached",
                    _ => "the line broke",
                },
                source,
            },
        }
    }
}
