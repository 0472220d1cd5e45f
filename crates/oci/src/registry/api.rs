//! The client itself: where a registry answers, and one request after the other
//! to one repository of it, tried again and let in as far as we are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::http::Method;
use ureq::http::header::{HeaderName, WWW_AUTHENTICATE};

use super::access::{Grant, Wish};
use super::challenge::{Challenge, challenge};
use super::credentials::Credentials;
use super::fault::RegistryError;
use super::remote::{Remote, server};
use super::said::said;
use crate::fetch::url::{Url, is_loopback};
use crate::fetch::{self, Answer, Body, Client, FetchError, Request, Tries, Watch, What};

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// The network.
    pub fetch: fetch::Options,
    /// Who we are.
    pub credentials: Credentials,
    /// Whether to speak HTTP without TLS to any host; to this machine's own it is
    /// tried in any case.
    pub plain_http: bool,
    /// Most blobs that are sent or fetched at once.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fetch: fetch::Options::default(),
            credentials: Credentials::default(),
            plain_http: false,
            connections: 4,
        }
    }
}

/// A client of registries.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    options: Options,
    hosts: Mutex<HashMap<String, Host>>,
}

/// What a registry has said of itself.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// `https://HOST/`
    pub(super) base: Url,
    pub(super) challenge: Option<Challenge>,
}

/// What is to be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    /// As scopes have it (distribution's `spec/auth/scope`).
    fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "pull,delete",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Pull => "read",
            Self::Push => "write to",
            Self::Delete => "delete from",
        }
    }
}

/// One request, which can be made again.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, String)>,
    /// A media type and bytes, perhaps none.
    pub(super) body: Option<(&'a str, &'a [u8])>,
}

impl Ask<'_> {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: None,
        }
    }
}

impl Registry {
    /// A client; nothing is read or opened before its first use.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Inner {
            client: Client::new(options.fetch.clone()),
            options,
            hosts: Mutex::default(),
        }))
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The client under it.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Where a registry answers and what it wants, asked once.
    pub(super) fn host(&self, host: &str) -> Result<Host, RegistryError> {
        let known = |hosts: &HashMap<String, Host>| hosts.get(host).cloned();
        let hosts = &self.0.hosts;
        if let Some(found) = known(&hosts.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let found = self.look_up(host)?;
        let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(host.to_owned(), found.clone());
        Ok(found)
    }

    fn look_up(&self, host: &str) -> Result<Host, RegistryError> {
        let name = server(host);
        let bare = match name.rsplit_once(':') {
            Some((bare, port)) if port.parse::<u16>().is_ok() => bare,
            _ => name,
        };
        if self.options().plain_http {
            return self.ping(&format!("http://{name}/"));
        }
        if !is_loopback(bare) {
            return self.ping(&format!("https://{name}/"));
        }
        // On this machine both are usual. Nothing secret is sent by asking.
        let plain = self.ping_once(&format!("http://{name}/"));
        let secure = match plain {
            Ok(found) => return Ok(found),
            // It speaks plainly, but stumbles. A server that wants TLS says 400.
            Err(RegistryError::Fetch(FetchError::Status { status, .. })) if status != 400 => {
                return self.ping(&format!("http://{name}/"));
            }
            // Nobody is there: there is no use in asking again otherwise.
            Err(RegistryError::Fetch(FetchError::Connection { source, .. }))
                if source.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                return self.ping(&format!("http://{name}/"));
            }
            Err(_) => self.ping_once(&format!("https://{name}/")),
        };
        match secure {
            // It speaks no TLS: then what it said without was meant.
            Err(RegistryError::Fetch(FetchError::Tls { why, .. }))
                if why.contains("corrupt message") =>
            {
                self.ping(&format!("http://{name}/"))
            }
            secure => secure,
        }
    }

    fn ping(&self, base: &str) -> Result<Host, RegistryError> {
        let mut tries = Tries::new(&self.options().fetch);
        loop {
            match self.ping_once(base) {
                Err(RegistryError::Fetch(error)) => {
                    let (pause, _) = tries.after(error)?;
                    std::thread::sleep(pause);
                }
                result => return result,
            }
        }
    }

    /// `GET /v2/` (OCI distribution spec, "Determining Support").
    fn ping_once(&self, base: &str) -> Result<Host, RegistryError> {
        let base = Url::parse(base).map_err(FetchError::from)?;
        let url = base.join("/v2/").map_err(FetchError::from)?;
        let mut answer = self.client().send(Request::new(Method::GET, url))?;
        match answer.status {
            200..=299 | 404 => {
                answer.discard();
                Ok(Host {
                    base,
                    challenge: None,
                })
            }
            401 => {
                answer.discard();
                Ok(Host {
                    base,
                    challenge: challenge_of(&answer),
                })
            }
            _ => Err(answer.refusal().into()),
        }
    }

    /// Begins to speak about a repository; `further` are scopes beside its own.
    pub(super) fn session(
        &self,
        remote: &Remote,
        action: Action,
        further: &[String],
    ) -> Result<Session<'_>, RegistryError> {
        let host = self.host(remote.host())?;
        let own = format!("repository:{}:{}", remote.repository(), action.scope());
        let mut scopes = vec![own];
        scopes.extend_from_slice(further);
        let wish = Wish {
            host: remote.host().to_owned(),
            repository: remote.repository().to_owned(),
            scopes,
            plain_http: self.options().plain_http,
        };
        Ok(Session {
            registry: self,
            base: host.base,
            remote: remote.clone(),
            action,
            grant: Mutex::new(Grant::new(wish, host.challenge)),
        })
    }
}

fn challenge_of(answer: &Answer) -> Option<Challenge> {
    let values = answer.headers.get_all(WWW_AUTHENTICATE).iter();
    challenge(values.filter_map(|value| value.to_str().ok()))
}

/// Requests to one repository.
pub(super) struct Session<'a> {
    pub(super) registry: &'a Registry,
    base: Url,
    remote: Remote,
    action: Action,
    grant: Mutex<Grant>,
}

impl Session<'_> {
    /// The address of something of the repository: `manifests/latest`.
    pub(super) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let path = format!("/v2/{}/{path}", self.remote.repository());
        Ok(self.base.join(&path).map_err(FetchError::from)?)
    }

    /// Where an upload goes on. A registry behind a proxy that ends TLS often names
    /// itself without it: then it is still reached as it was.
    pub(super) fn location(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let url = from.join(location).map_err(FetchError::from)?;
        if self.base.is_secure() && !url.is_secure() {
            if !url.host().eq_ignore_ascii_case(self.base.host()) {
                return Err(FetchError::Downgrade {
                    url: from.to_string(),
                    to: url.to_string(),
                }
                .into());
            }
            let path = url.uri().path_and_query().map_or("/", |path| path.as_str());
            return Ok(self.base.join(path).map_err(FetchError::from)?);
        }
        Ok(url)
    }

    /// What to say about who we are to whoever is at `url`: nothing to others than
    /// the registry.
    pub(super) fn authorization(&self, url: &Url) -> Result<Option<String>, RegistryError> {
        if !url.same_server(&self.base) {
            return Ok(None);
        }
        let mut grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
        let options = self.registry.options();
        grant.header(self.registry.client(), &options.credentials)
    }

    /// After a refusal: forgets the token; `false` where a new one was of no use.
    /// `used` is what was refused: another thread may have got a new one meanwhile.
    pub(super) fn renew(&self, used: Option<&str>, answer: Option<&Answer>) -> bool {
        let mut grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
        grant.renew(used, answer.and_then(challenge_of))
    }

    /// Sends a request until it is answered; whatever the answer is, but for "wait"
    /// and "who are you?".
    pub(super) fn ask(
        &self,
        ask: &Ask<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Answer, RegistryError> {
        self.ask_for(ask, watch, |_| Ok(()))
    }

    /// As [`Session::ask`], with the body of a good answer, of at most `limit` bytes.
    pub(super) fn ask_bytes(
        &self,
        ask: &Ask<'_>,
        limit: u64,
        watch: &mut Watch<'_>,
    ) -> Result<(Answer, Vec<u8>), RegistryError> {
        let mut bytes = Vec::new();
        let answer = self.ask_for(ask, watch, |answer| {
            if answer.is_good() {
                bytes = answer.bytes(limit)?;
            }
            Ok(())
        })?;
        Ok((answer, bytes))
    }

    fn ask_for(
        &self,
        ask: &Ask<'_>,
        watch: &mut Watch<'_>,
        mut read: impl FnMut(&mut Answer) -> Result<(), FetchError>,
    ) -> Result<Answer, RegistryError> {
        let mut tries = Tries::new(&self.registry.options().fetch);
        loop {
            let authorization = self.authorization(&ask.url)?;
            let mut request = Request::new(ask.method.clone(), ask.url.clone())
                .authorization(authorization.as_deref());
            for (name, value) in &ask.headers {
                request = request.header(name.clone(), value);
            }
            if let Some((media_type, bytes)) = ask.body {
                request = request.body(media_type, Body::Bytes(bytes));
            }
            let result = self.registry.client().send(request);
            let error = match result {
                Ok(answer) if answer.status == 401 => {
                    match self.renew(authorization.as_deref(), Some(&answer)) {
                        true => continue,
                        false => return Err(self.refusal(answer, "")),
                    }
                }
                Ok(answer) if is_passing(answer.status) => answer.refusal(),
                Ok(mut answer) => match read(&mut answer) {
                    Ok(()) => {
                        self.settled();
                        return Ok(answer);
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let (pause, error) = tries.after(error)?;
            (watch.tell)(What::Waiting {
                pause,
                why: error.to_string(),
            });
            watch.pause(pause);
            if watch.is_stopped() {
                return Err(error.into());
            }
        }
    }

    /// The error that an answer is; `what` was asked for.
    pub(super) fn refusal(&self, mut answer: Answer, what: &str) -> RegistryError {
        let said = said(&mut answer);
        match answer.status {
            401 | 403 | 404 => self.refused(answer.status, what, said, || answer.url.to_string()),
            _ => answer.refused(said).into(),
        }
    }

    /// As [`Session::refusal`], of an answer that is not at hand any more.
    pub(super) fn refused(
        &self,
        status: u16,
        what: &str,
        said: String,
        url: impl FnOnce() -> String,
    ) -> RegistryError {
        match status {
            401 | 403 => RegistryError::Denied {
                host: self.remote.host().to_owned(),
                action: self.action.text(),
                what: self.remote.repository().to_owned(),
                known: self.is_known(),
                said,
            },
            404 if !what.is_empty() => RegistryError::NotFound {
                what: what.to_owned(),
                said,
            },
            _ => FetchError::Status {
                url: url(),
                status,
                said,
                retry_after: None,
            }
            .into(),
        }
    }

    /// The registry has let us in: its next refusal is a new one.
    fn settled(&self) {
        let mut grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
        grant.settled();
    }

    fn is_known(&self) -> bool {
        let grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
        grant.is_known()
    }
}

/// Whether it may be over in a moment.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504)
}
