//! One request and its answer, redirects followed: what all that is fetched is
//! made of.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
};
use ureq::http::{self, HeaderMap, Method};
use ureq::{Agent, AsSendBody, BodyReader, SendBody};

use super::pace::Paced;
use super::retry::retry_after;
use super::url::{Url, UrlError};
use super::{Client, FetchError};

/// Bytes a second that are waited for when something is sent: a server that takes
/// one now and then would hold us for ever.
const SLOWEST_SENDING: u64 = 8 << 10;

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Body<'a>,
}

/// What is sent along.
pub(crate) enum Body<'a> {
    /// Nothing.
    None,
    /// So many bytes, perhaps none.
    Bytes(&'a [u8]),
    /// So many bytes of a reader.
    Reader(&'a mut dyn Read, u64),
}

/// What came back: the head, and a body to be read.
pub(crate) struct Answer {
    /// Where it came from in the end.
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Paced<BodyReader<'static>>,
    options: super::Options,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Body::None,
        }
    }

    /// With a header. A value that cannot stand in one (it has line breaks) is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With who we are; never shown, never sent to another server by a redirect.
    #[must_use]
    pub(crate) fn authorization(mut self, value: Option<&str>) -> Self {
        let value = value.and_then(|value| HeaderValue::from_str(value).ok());
        if let Some(mut value) = value {
            value.set_sensitive(true);
            self.headers.push((AUTHORIZATION, value));
        }
        self
    }

    /// With a body of a type.
    #[must_use]
    pub(crate) fn body(mut self, media_type: &str, body: Body<'a>) -> Self {
        self.body = body;
        self.header(CONTENT_TYPE, media_type)
    }
}

impl Client {
    /// Sends a request once. Redirects of `GET` and `HEAD` are followed, without
    /// the authorization where they lead to another server.
    pub(crate) fn send(&self, request: Request<'_>) -> Result<Answer, FetchError> {
        let Request {
            method,
            mut url,
            mut headers,
            body,
        } = request;
        let begun_at = url.clone();
        let follows = matches!(method, Method::GET | Method::HEAD);
        let mut answer = self.send_once(&method, &url, &headers, body)?;
        let mut redirects = 0;
        while follows && matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            let Some(location) = answer.header(&LOCATION) else {
                break;
            };
            redirects += 1;
            if redirects > self.options().most_redirects {
                return Err(FetchError::Redirects {
                    url: begun_at.to_string(),
                    most: self.options().most_redirects,
                });
            }
            let next = url.join(location)?;
            if url.is_secure() && !next.is_secure() {
                return Err(FetchError::Downgrade {
                    url: url.to_string(),
                    to: next.to_string(),
                });
            }
            if !next.same_server(&url) {
                headers.retain(|(name, _)| name != AUTHORIZATION);
            }
            // What a redirect says for people is read to its end, so that the
            // connection can be used again.
            answer.discard();
            url = next;
            answer = self.send_once(&method, &url, &headers, Body::None)?;
        }
        Ok(answer)
    }

    fn send_once(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        body: Body<'_>,
    ) -> Result<Answer, FetchError> {
        let options = self.options();
        let agent = self.agent(url)?;
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(url.uri().clone());
        for (name, value) in headers {
            request = request.header(name.clone(), value.clone());
        }
        // The bytes as they are stored: digests are of them.
        request = request.header(ACCEPT_ENCODING, "identity");
        let wrong = |_| UrlError {
            url: url.to_string(),
            why: "it makes no request",
        };
        let result = match body {
            Body::None => agent.run(request.body(()).map_err(wrong)?),
            Body::Bytes(bytes) => {
                let size = bytes.len() as u64;
                agent.run(self.patient(&agent, size, request.body(bytes).map_err(wrong)?))
            }
            Body::Reader(reader, size) => {
                let request = request.header(CONTENT_LENGTH, size);
                let mut reader = Exact { reader, left: size };
                let body = SendBody::from_reader(&mut reader);
                agent.run(self.patient(&agent, size, request.body(body).map_err(wrong)?))
            }
        };
        let answer = result.map_err(|error| FetchError::of(url, error, options))?;
        let (parts, body) = answer.into_parts();
        Ok(Answer {
            url: url.clone(),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: Paced::new(body.into_reader(), options),
            options: options.clone(),
        })
    }

    /// What was sent may take the server a while to look through, in silence; what
    /// it then says is short.
    fn patient<S: AsSendBody>(
        &self,
        agent: &Agent,
        size: u64,
        request: http::Request<S>,
    ) -> http::Request<S> {
        let options = self.options();
        let sending = options.slow_window * 10 + Duration::from_secs(size / SLOWEST_SENDING);
        agent
            .configure_request(request)
            .timeout_per_read(None)
            .timeout_send_body(Some(sending))
            // A blob of gigabytes is hashed, or copied to where it stays, before it
            // is acknowledged.
            .timeout_recv_response(Some(options.answer_timeout * 5))
            .timeout_recv_body(Some(options.answer_timeout))
            .build()
    }
}

/// What is sent is as long as was said, or the request fails.
struct Exact<'a> {
    reader: &'a mut dyn Read,
    left: u64,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the server has done as it was asked.
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The stated length of the body.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// Reads some of the body.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FetchError> {
        loop {
            match self.body.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let options = &self.options;
                    return Err(FetchError::of_io(&self.url, error, options));
                }
                Ok(count) => return Ok(count),
            }
        }
    }

    /// Reads the whole body, of at most `limit` bytes.
    pub(crate) fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        let too_large = || FetchError::TooLarge {
            url: self.url.to_string(),
            limit_bytes: limit,
        };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = self.read(&mut buffer)?;
            if count == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&buffer[..count]);
            if bytes.len() as u64 > limit {
                return Err(FetchError::TooLarge {
                    url: self.url.to_string(),
                    limit_bytes: limit,
                });
            }
        }
    }

    /// Reads what is left if it is little: then the connection serves again.
    pub(crate) fn discard(&mut self) {
        const LITTLE: u64 = 64 << 10;
        if self.length().is_none_or(|length| length <= LITTLE) {
            let _ = io::copy(&mut (&mut self.body).take(LITTLE), &mut io::sink());
        }
    }

    /// The error that this answer is, with the first line of what it says where
    /// that is text.
    pub(crate) fn refusal(mut self) -> FetchError {
        let said = match self.header(&CONTENT_TYPE) {
            Some(kind) if kind.starts_with("text/plain") => self.bytes(4 << 10).unwrap_or_default(),
            _ => {
                self.discard();
                Vec::new()
            }
        };
        let said = String::from_utf8_lossy(&said);
        let line = said.trim().lines().next().unwrap_or_default();
        let said = line.chars().take(200).collect();
        self.refused(said)
    }

    /// The error that this answer is.
    pub(crate) fn refused(self, said: String) -> FetchError {
        FetchError::Status {
            url: self.url.to_string(),
            status: self.status,
            said,
            retry_after: retry_after(&self.headers),
        }
    }
}
