//! Being let in: by user and password with each request, or by a token for them
//! (distribution's `spec/auth/token` and `spec/auth/oauth`).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use ureq::http::Method;

use super::challenge::Challenge;
use super::credentials::{Credential, Credentials, Secret};
use super::fault::RegistryError;
use super::said::said;
use crate::fetch::url::{Url, encoded};
use crate::fetch::{Body, Client, FetchError, Request, Tries};

/// What is wished for.
pub(super) struct Wish {
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) scopes: Vec<String>,
    /// Whether secrets may go over a line without TLS, to any host.
    pub(super) plain_http: bool,
}

/// What we are let do, as far as is known yet.
pub(super) struct Grant {
    wish: Wish,
    challenge: Option<Challenge>,
    /// Looked up at the first challenge: a registry that wants nobody's name is
    /// told none.
    credential: Option<Option<Credential>>,
    token: Option<(Secret, Instant)>,
    renewed: bool,
    /// However it goes on in between.
    renewals: u32,
}

/// Most times that one command is sent for a new token.
const MOST_RENEWALS: u32 = 50;

/// How long a token lasts that does not say so (`spec/auth/token`).
const USUAL_SECONDS: u64 = 60;

/// One that ends so soon is not used any more.
const MARGIN: Duration = Duration::from_secs(5);

/// Most bytes of an answer with a token.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct Answered {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Grant {
    pub(super) fn new(wish: Wish, challenge: Option<Challenge>) -> Self {
        Self {
            wish,
            challenge,
            credential: None,
            token: None,
            renewed: false,
            renewals: 0,
        }
    }

    /// Whether a user stands behind it.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.credential, Some(Some(_)))
    }

    /// An answer was had: the next refusal is a new one.
    pub(super) fn settled(&mut self) {
        self.renewed = false;
    }

    /// After a refusal of `used`: whether it is worth asking again, with what the
    /// server now says it wants.
    pub(super) fn renew(&mut self, used: Option<&str>, challenge: Option<Challenge>) -> bool {
        self.renewals += 1;
        if self.renewals > MOST_RENEWALS {
            return false;
        }
        let now = self.token.as_ref().map(|(token, _)| bearer(token));
        if now.is_some() && now.as_deref() != used {
            return true;
        }
        let had_token = self.token.take();
        // A token that had run out is no refusal.
        let was_over = had_token
            .as_ref()
            .is_some_and(|(_, until)| *until <= Instant::now());
        if std::mem::replace(&mut self.renewed, true) && !was_over {
            return false;
        }
        if let Some(Challenge::Bearer {
            realm,
            service,
            scope,
        }) = challenge
        {
            // What it names is what is missing.
            for scope in scope.iter().flat_map(|scope| scope.split(' ')) {
                if !scope.is_empty() && !self.wish.scopes.iter().any(|known| known == scope) {
                    self.wish.scopes.push(scope.to_owned());
                }
            }
            self.challenge = Some(Challenge::Bearer {
                realm,
                service,
                scope: None,
            });
            return true;
        }
        let is_new = challenge.is_some() && self.challenge != challenge;
        self.challenge = challenge.or(self.challenge.take());
        is_new || had_token.is_some()
    }

    /// The `Authorization` header, if there is one.
    pub(super) fn header(
        &mut self,
        client: &Client,
        credentials: &Credentials,
    ) -> Result<Option<String>, RegistryError> {
        let Some(challenge) = self.challenge.clone() else {
            return Ok(None);
        };
        if let Some((token, until)) = &self.token
            && *until > Instant::now()
        {
            return Ok(Some(bearer(token)));
        }
        let credential = match &self.credential {
            Some(credential) => credential.clone(),
            None => {
                let found = credentials.find(&self.wish.host, &self.wish.repository)?;
                self.credential = Some(found.clone());
                found
            }
        };
        let Challenge::Bearer { realm, service, .. } = challenge else {
            return Ok(match &credential {
                Some(Credential::Basic(user, secret)) => Some(basic(user, secret)),
                Some(Credential::Identity(_)) | None => None,
            });
        };
        let fetch = |wish: &Wish| {
            let service = service.as_deref();
            token(client, wish, &realm, service, credential.as_ref())
        };
        let (token, lasts) = match fetch(&self.wish) {
            // What is wished for besides, to read another repository, may be refused:
            // that is no reason not to do what was asked for.
            Err(RegistryError::Denied { .. }) if self.wish.scopes.len() > 1 => {
                self.wish.scopes.truncate(1);
                fetch(&self.wish)?
            }
            result => result?,
        };
        let header = bearer(&token);
        let until = Instant::now() + lasts.saturating_sub(MARGIN);
        self.token = Some((token, until));
        Ok(Some(header))
    }
}

/// RFC 6750, section 2.1.
pub(super) fn bearer(token: &Secret) -> String {
    format!("Bearer {}", token.text())
}

/// RFC 7617.
pub(super) fn basic(user: &str, secret: &Secret) -> String {
    let text = format!("{user}:{}", secret.text());
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

/// Fetches a token, and how long it lasts.
pub(super) fn token(
    client: &Client,
    wish: &Wish,
    realm: &str,
    service: Option<&str>,
    credential: Option<&Credential>,
) -> Result<(Secret, Duration), RegistryError> {
    let mut url = Url::parse(realm).map_err(FetchError::from)?;
    if !url.is_secure() && !url.is_loopback() && !wish.plain_http {
        return Err(RegistryError::InsecureRealm {
            host: wish.host.clone(),
            realm: url.to_string(),
        });
    }
    let mut form = String::new();
    if let Some(Credential::Identity(token)) = credential {
        form = format!(
            "grant_type=refresh_token&client_id=ounce&refresh_token={}",
            encoded(token.text())
        );
        if let Some(service) = service {
            form.push_str(&format!("&service={}", encoded(service)));
        }
        if !wish.scopes.is_empty() {
            form.push_str(&format!("&scope={}", encoded(&wish.scopes.join(" "))));
        }
    } else {
        if let Some(service) = service {
            url = url
                .with_parameter("service", service)
                .map_err(FetchError::from)?;
        }
        for scope in &wish.scopes {
            url = url
                .with_parameter("scope", scope)
                .map_err(FetchError::from)?;
        }
    }
    let mut tries = Tries::new(client.options());
    loop {
        let request = match credential {
            Some(Credential::Identity(_)) => Request::new(Method::POST, url.clone()).body(
                "application/x-www-form-urlencoded",
                Body::Bytes(form.as_bytes()),
            ),
            Some(Credential::Basic(user, secret)) => {
                Request::new(Method::GET, url.clone()).authorization(Some(&basic(user, secret)))
            }
            None => Request::new(Method::GET, url.clone()),
        };
        let error = match client.send(request) {
            Ok(mut answer) if answer.is_good() => {
                let bytes = answer.bytes(MOST_BYTES)?;
                return read(&bytes).ok_or_else(|| RegistryError::Answer {
                    url: answer.url.to_string(),
                    why: "it has no token".to_owned(),
                });
            }
            Ok(mut answer) if matches!(answer.status, 400 | 401 | 403) => {
                let said = said(&mut answer);
                return Err(match credential {
                    Some(_) if answer.status == 401 => RegistryError::WrongPassword {
                        host: wish.host.clone(),
                        said,
                    },
                    _ => RegistryError::Denied {
                        host: wish.host.clone(),
                        action: "use",
                        what: wish.repository.clone(),
                        known: credential.is_some(),
                        said,
                    },
                });
            }
            Ok(answer) => answer.refusal(),
            Err(error) => error,
        };
        let (pause, _) = tries.after(error)?;
        std::thread::sleep(pause);
    }
}

fn read(bytes: &[u8]) -> Option<(Secret, Duration)> {
    let answered: Answered = serde_json::from_slice(bytes).ok()?;
    let token = answered.token.or(answered.access_token)?;
    // What cannot stand in a header is none.
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let seconds = answered
        .expires_in
        .unwrap_or(USUAL_SECONDS)
        .clamp(1, 86_400);
    is_token.then(|| (Secret::new(token), Duration::from_secs(seconds)))
}
