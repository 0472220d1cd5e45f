//! Logging in: whether a registry takes a user and a password.

use ureq::http::Method;

use super::access::{Wish, basic, bearer, token};
use super::api::Registry;
use super::challenge::Challenge;
use super::credentials::{Credential, Secret};
use super::fault::RegistryError;
use super::remote::plain_host;
use super::said::said;
use crate::fetch::{FetchError, Request};

impl Registry {
    /// Asks the registry whether it knows this user by this password; nothing is
    /// kept. `false` where it lets everybody in and looks at neither.
    ///
    /// # Errors
    /// It does not take them, or cannot be reached.
    pub fn log_in(&self, host: &str, user: &str, secret: &Secret) -> Result<bool, RegistryError> {
        let host = plain_host(host);
        let found = self.host(&host)?;
        let url = found.base.join("/v2/").map_err(FetchError::from)?;
        if !url.is_secure() && !url.is_loopback() && !self.options().plain_http {
            return Err(RegistryError::InsecureRealm {
                host,
                realm: url.to_string(),
            });
        }
        let authorization = match found.challenge {
            None => return Ok(false),
            Some(Challenge::Basic) => basic(user, secret),
            Some(Challenge::Bearer { realm, service, .. }) => {
                let wish = Wish {
                    host: host.clone(),
                    repository: String::new(),
                    scopes: Vec::new(),
                    plain_http: self.options().plain_http,
                };
                let credential = Credential::Basic(user.to_owned(), secret.clone());
                let service = service.as_deref();
                let (token, _) = token(self.client(), &wish, &realm, service, Some(&credential))?;
                bearer(&token)
            }
        };
        let request = Request::new(Method::GET, url).authorization(Some(&authorization));
        let mut answer = self.client().send(request)?;
        match answer.status {
            200..=299 => {
                answer.discard();
                Ok(true)
            }
            401 | 403 => Err(RegistryError::WrongPassword {
                host,
                said: said(&mut answer),
            }),
            _ => Err(answer.refusal().into()),
        }
    }
}
