//! The one network client: HTTP/1.1 and TLS for whatever is downloaded.
//!
//! [`Client`] fetches a file or a small document so that what arrives is what
//! was meant, or an error that says what and where: bounded in size, verified
//! against size and digest while it is written, resumed where the line broke,
//! tried again with growing pauses, never waiting for ever. Several files come
//! over several connections at once ([`Client::to_files`]).
//!
//! ```no_run
//! use ounce_oci::fetch::{Client, Download, Options};
//!
//! let client = Client::new(Options::default());
//! let index = Download::new("https://packages.example/Packages.xz").limit(64 << 20);
//! let bytes = client.to_memory(&index, &mut |_| {})?;
//! # let (digest, folder) = (ounce_oci::Digest::of(b""), std::path::Path::new("."));
//! let package = Download::new("https://packages.example/a.deb").size(1_234).digest(digest);
//! client.to_files(&[(package, folder.join("a.deb"))], 4, &mut |event| println!("{event:?}"))?;
//! # Ok::<(), ounce_oci::fetch::FetchError>(())
//! ```
//!
//! HTTP and TLS are `ureq`'s and `rustls`'s; redirects are followed here, since
//! a secret must never go to another host with them. What the environment says
//! (proxies, certificates) comes in as values: nothing here reads it. Which
//! requests make a registry is `registry`'s.

mod call;
mod certificates;
mod download;
mod exchange;
mod fault;
mod file;
mod hosts;
mod many;
mod pace;
mod proxies;
mod retry;
pub(crate) mod url;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::config::AutoHeaderValue;
use ureq::tls::{RootCerts, TlsConfig};

pub use call::{Call, Identity, Reply};
pub use certificates::Certificates;
pub use download::Download;
pub(crate) use download::Watch;
pub(crate) use exchange::{Answer, Body, Request};
pub use fault::FetchError;
pub(crate) use file::{Landing, Part};
pub(crate) use many::side_by_side;
pub use proxies::Proxies;
pub(crate) use retry::Tries;
pub use url::UrlError;

/// How downloads are made. The default suits the public network.
#[derive(Debug, Clone)]
pub struct Options {
    /// Until a connection stands: name, TCP and TLS.
    pub connect_timeout: Duration,
    /// Until the head of an answer is there, once a request is sent.
    pub answer_timeout: Duration,
    /// Longest silence within a body, either way.
    pub idle_timeout: Duration,
    /// Fewest bytes within [`Options::slow_window`]: one byte now and then, to
    /// hold a client for ever, is no download.
    pub slowest_bytes: u64,
    /// How long a body may be slower than that.
    pub slow_window: Duration,
    /// Tries in a row without a byte of progress.
    pub tries: u32,
    /// The first pause between two tries; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause that we choose ourselves.
    pub longest_pause: Duration,
    /// The longest pause that a server may ask for (`Retry-After`).
    pub longest_wait: Duration,
    /// Most redirects of one request.
    pub most_redirects: u32,
    /// Whom to trust.
    pub certificates: Certificates,
    /// Who we are to servers that ask for a certificate.
    pub identity: Option<Identity>,
    /// Where to go through.
    pub proxies: Proxies,
    /// How we call ourselves.
    pub user_agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            slowest_bytes: 4 << 10,
            slow_window: Duration::from_secs(60),
            tries: 5,
            first_pause: Duration::from_millis(400),
            longest_pause: Duration::from_secs(20),
            longest_wait: Duration::from_secs(120),
            most_redirects: 8,
            certificates: Certificates::host(),
            identity: None,
            proxies: Proxies::default(),
            user_agent: concat!("ounce/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What happens to one of the downloads that are under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which: its place in the list; 0 where there is one only.
    pub item: usize,
    /// What.
    pub what: What,
}

/// What happens to a download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Its first bytes are about to come.
    Begun {
        /// All of it, where that is known.
        size_bytes: Option<u64>,
        /// What an earlier try has left.
        have_bytes: u64,
    },
    /// So much of it is there, from its beginning.
    Advanced {
        /// Bytes; less than before where it had to begin anew.
        bytes: u64,
    },
    /// It failed, and is tried again after a pause.
    Waiting {
        /// How long.
        pause: Duration,
        /// What went wrong.
        why: String,
    },
    /// It was there before, and is what was asked for.
    Present,
    /// It is there, whole and verified.
    Done {
        /// Its size.
        bytes: u64,
    },
}

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    /// One a way out, made at the first use: reading some hundred certificates
    /// takes longer than many a request.
    agents: Mutex<HashMap<Way, Agent>>,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    proxy: Option<String>,
    with_tls: bool,
    /// The folder of the host's own certificates.
    host: Option<PathBuf>,
}

/// Head of an answer, at most: some hosts send long lists of policies.
const MOST_HEAD_BYTES: usize = 64 << 10;

/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 128 << 10;

impl Client {
    /// A client; nothing is read or opened before its first use.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Inner {
            options,
            agents: Mutex::default(),
        }))
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The connections that lead to `url`.
    fn agent(&self, url: &url::Url) -> Result<Agent, FetchError> {
        let proxy = self.0.options.proxies.for_url(url).map(str::to_owned);
        let with_tls = url.is_secure() || proxy.as_ref().is_some_and(|p| p.starts_with("https:"));
        let host = hosts::folder(&self.0.options.certificates.hosts, url);
        let way = Way {
            proxy,
            with_tls,
            host,
        };
        let mut agents = self.0.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&way) {
            return Ok(agent.clone());
        }
        let agent = self.make_agent(&way)?;
        agents.insert(way, agent.clone());
        Ok(agent)
    }

    fn make_agent(&self, way: &Way) -> Result<Agent, FetchError> {
        let options = &self.0.options;
        let proxy = match &way.proxy {
            None => None,
            Some(text) => Some(ureq::Proxy::new(text).map_err(|_| FetchError::Proxy {
                proxy: url::without_secrets(text),
            })?),
        };
        let own = way.host.as_deref().map(hosts::load).transpose()?;
        let (authorities, own_identity) = match own {
            Some(host) => (host.authorities, host.identity),
            None => (Vec::new(), None),
        };
        let roots = match way.with_tls {
            true => options.certificates.load(authorities)?,
            false => Vec::new(),
        };
        let identity = match (own_identity, &options.identity, way.with_tls) {
            (Some(identity), ..) => Some(identity),
            (None, Some(identity), true) => Some(certificates::identity(identity)?),
            _ => None,
        };
        let tls = TlsConfig::builder()
            .client_cert(identity)
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(proxy)
            .tls_config(tls)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(AutoHeaderValue::Provided(Arc::new(
                options.user_agent.clone(),
            )))
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .allow_non_standard_methods(true)
            .max_response_header_size(MOST_HEAD_BYTES)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(32)
            .max_idle_connections_per_host(16)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_send_request(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.answer_timeout))
            .timeout_per_read(Some(options.idle_timeout))
            .timeout_per_write(Some(options.idle_timeout))
            .build();
        Ok(config.new_agent())
    }
}
