//! A call of an API that speaks HTTP and is no registry: one request, one answer,
//! both held in memory. What they mean is the caller's; how they travel (trust,
//! proxies, deadlines, bounds) is as for all that is fetched.

use std::fmt;

use ureq::http::Method;
use ureq::http::header::ACCEPT;

use super::url::Url;
use super::{Body, Client, FetchError, Request};

/// Most bytes of an answer: an API server's list of everything is larger than
/// anything that is asked for here.
const MOST_BYTES: u64 = 32 << 20;

/// A certificate and its key, by which a client says who it is. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority, PEM.
    pub certificate: Vec<u8>,
    /// Its key, PEM.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// What is asked.
#[derive(Clone)]
pub struct Call<'a> {
    /// `GET`, `PATCH`.
    pub method: &'a str,
    /// Where.
    pub url: &'a str,
    /// The `Authorization`, if any; never shown, never sent elsewhere.
    pub authorization: Option<&'a str>,
    /// What is sent along, and its type.
    pub body: Option<(&'a str, &'a [u8])>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code, whatever it is.
    pub status: u16,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Client {
    /// Asks once; a status that is no success is an answer, too.
    ///
    /// # Errors
    /// The address or the method is none, nobody answers, or more than 32 MiB come.
    pub fn call(&self, call: &Call<'_>) -> Result<Reply, FetchError> {
        let url = Url::parse(call.url)?;
        let method = Method::from_bytes(call.method.as_bytes());
        let method = method.map_err(|_| super::UrlError {
            url: url.to_string(),
            why: "there is no such method",
        })?;
        let mut request = Request::new(method, url)
            .header(ACCEPT, "application/json")
            .authorization(call.authorization);
        if let Some((kind, bytes)) = call.body {
            request = request.body(kind, Body::Bytes(bytes));
        }
        let mut answer = self.send(request)?;
        Ok(Reply {
            status: answer.status,
            bytes: answer.bytes(MOST_BYTES)?,
        })
    }
}
