//! Sending one blob (OCI distribution spec, "Pushing blobs"): not at all where it
//! is there, by a mount where another repository of the registry has it, else
//! whole in one request; where the line breaks, from where the registry says
//! that it is; in pieces where it takes no large ones.

use std::io::{self, Read};

use ureq::http::Method;
use ureq::http::header::{CONTENT_RANGE, EXPECT, HeaderName, LOCATION, RANGE};

use super::api::{Ask, Session, is_passing};
use super::documents::CONTENT_DIGEST;
use super::fault::RegistryError;
use crate::Digest;
use crate::blobs::{BlobError, Blobs};
use crate::fetch::url::Url;
use crate::fetch::{Body, FetchError, Request, Tries, Watch, What};
use crate::model::{Descriptor, digest_of};

/// How a blob came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was there.
    Present,
    /// Another repository of the registry had it.
    Mounted,
    /// It was sent.
    Whole,
}

/// A piece, where a server refuses the whole (413): what nearly every proxy takes.
const PIECE: u64 = 4 << 20;

/// The least that the registry wants of a piece.
const LEAST_PIECE: HeaderName = HeaderName::from_static("oci-chunk-min-length");

const BYTES: &str = "application/octet-stream";

/// A blob on its way.
struct Upload<'a> {
    session: &'a Session<'a>,
    blobs: &'a Blobs,
    descriptor: &'a Descriptor,
    digest: Digest,
    /// Where the next request goes.
    at: Url,
    /// What the registry has.
    have: u64,
    /// The fewest bytes that it wants of a piece but the last.
    least: u64,
    /// Most bytes of a request, where it takes no larger ones.
    piece: Option<u64>,
    /// Whether sending has failed before: then the registry is let speak before the
    /// body is sent, since it may have said why.
    has_broken: bool,
}

impl Session<'_> {
    /// Whether the repository has a blob.
    pub(super) fn has_blob(
        &self,
        digest: &Digest,
        watch: &mut Watch<'_>,
    ) -> Result<bool, RegistryError> {
        let ask = Ask::new(Method::HEAD, self.url(&format!("blobs/{digest}"))?);
        let answer = self.ask(&ask, watch)?;
        match answer.status {
            200..=299 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refusal(answer, "")),
        }
    }

    /// Sends a blob, unless it is there or can be mounted from one of `others`.
    pub(super) fn send_blob(
        &self,
        blobs: &Blobs,
        descriptor: &Descriptor,
        others: &[String],
        watch: &mut Watch<'_>,
    ) -> Result<Sent, RegistryError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        if self.has_blob(&digest, watch)? {
            (watch.tell)(What::Present);
            return Ok(Sent::Present);
        }
        let mut begun = None;
        if let Some(other) = others.first() {
            match self.begin(Some((&digest, other)), watch)? {
                Begun::Mounted => {
                    (watch.tell)(What::Present);
                    return Ok(Sent::Mounted);
                }
                // It began an upload in place of the mount; that one serves.
                Begun::At(url, least) => begun = Some((url, least)),
            }
        }
        let mut tries = Tries::new(&self.registry.options().fetch);
        let mut upload: Option<Upload<'_>> = None;
        // What was learnt of the registry is of use to a further upload, too.
        let (mut piece, mut has_broken) = (None, false);
        let mut is_broken = false;
        loop {
            let current = match &mut upload {
                Some(upload) => upload,
                none => {
                    let (at, least) = match begun.take() {
                        Some(begun) => begun,
                        None => match self.begin(None, watch)? {
                            Begun::At(at, least) => (at, least),
                            Begun::Mounted => return Ok(Sent::Mounted),
                        },
                    };
                    (watch.tell)(What::Begun {
                        size_bytes: Some(descriptor.size()),
                        have_bytes: 0,
                    });
                    none.insert(Upload {
                        session: self,
                        blobs,
                        descriptor,
                        digest,
                        at,
                        have: 0,
                        least: least.unwrap_or(0),
                        piece,
                        has_broken,
                    })
                }
            };
            let was_broken = std::mem::take(&mut is_broken);
            let result = match was_broken {
                true => current.go_on(watch),
                false => current.send(watch),
            };
            (piece, has_broken) = (current.piece, current.has_broken);
            let error = match result {
                Ok(Step::Done) => {
                    let bytes = descriptor.size();
                    (watch.tell)(What::Done { bytes });
                    return Ok(Sent::Whole);
                }
                Ok(Step::Further) => {
                    tries.progress();
                    continue;
                }
                // The registry has forgotten it, or has nothing of it: after a break that
                // has been paused for.
                Ok(Step::Anew(_)) if was_broken => {
                    upload = None;
                    continue;
                }
                Ok(Step::Anew(error)) => {
                    upload = None;
                    error
                }
                Err(RegistryError::Fetch(error)) => {
                    is_broken = true;
                    error
                }
                Err(error) => return Err(error),
            };
            if watch.is_stopped() {
                return Err(error.into());
            }
            let (pause, error) = tries.after(error)?;
            (watch.tell)(What::Waiting {
                pause,
                why: error.to_string(),
            });
            watch.pause(pause);
        }
    }

    /// Begins an upload, or mounts.
    fn begin(
        &self,
        mount: Option<(&Digest, &str)>,
        watch: &mut Watch<'_>,
    ) -> Result<Begun, RegistryError> {
        let mut url = self.url("blobs/uploads/")?;
        if let Some((digest, from)) = mount {
            let digest = digest.to_string();
            for (name, value) in [("mount", digest.as_str()), ("from", from)] {
                url = url.with_parameter(name, value).map_err(FetchError::from)?;
            }
        }
        let mut ask = Ask::new(Method::POST, url);
        ask.body = Some((BYTES, b""));
        let answer = self.ask(&ask, watch)?;
        match answer.status {
            201 if mount.is_some() => Ok(Begun::Mounted),
            200..=299 => {
                let location = answer.header(&LOCATION);
                let location = location.ok_or_else(|| RegistryError::Answer {
                    url: answer.url.to_string(),
                    why: "it does not say where to send the blob to (Location)".to_owned(),
                })?;
                let least = answer.header(&LEAST_PIECE);
                let least = least.and_then(|text| text.trim().parse().ok());
                Ok(Begun::At(self.location(&answer.url, location)?, least))
            }
            // A mount that is not allowed is no reason not to send it.
            400..=405 if mount.is_some() => self.begin(None, watch),
            _ => Err(self.refusal(answer, "")),
        }
    }
}

/// An upload that can be sent to.
enum Begun {
    Mounted,
    At(Url, Option<u64>),
}

/// How far a request has brought it.
enum Step {
    /// The registry has the blob.
    Done,
    /// There is more to send.
    Further,
    /// It has to begin from the start.
    Anew(FetchError),
}

impl Upload<'_> {
    /// Sends what is left: the whole in one request, if nothing is there yet and it
    /// takes that; else the next piece; at the end what closes the upload.
    fn send(&mut self, watch: &mut Watch<'_>) -> Result<Step, RegistryError> {
        let size = self.descriptor.size();
        let left = size - self.have.min(size);
        // Where a line has broken once it may do so again: of what is sent by PATCH a
        // registry keeps what has come, of a PUT many keep nothing (distribution 2.8).
        let is_whole =
            self.have == 0 && !self.has_broken && self.piece.is_none_or(|piece| piece >= size);
        if is_whole || left == 0 {
            return self.close(left, watch);
        }
        let count = left.min(self.piece.map_or(left, |piece| piece.max(self.least)));
        let mut headers = vec![(
            CONTENT_RANGE,
            format!("{}-{}", self.have, self.have + count - 1),
        )];
        self.expectation(&mut headers);
        let answer = self.request(Method::PATCH, self.at.clone(), headers, count, watch)?;
        match answer.status {
            200..=299 => {
                let have = answer.header(&RANGE).and_then(range_end);
                self.moved(&answer)?;
                let have = have.unwrap_or(self.have + count).min(size);
                if have <= self.have {
                    return Err(RegistryError::Answer {
                        url: answer.url.to_string(),
                        why: "it does not keep what it is sent".to_owned(),
                    });
                }
                self.have = have;
                Ok(Step::Further)
            }
            // It has another part than we think.
            416 => self.go_on(watch),
            _ => self.refused(answer, count),
        }
    }

    /// Sends the last bytes and the digest.
    fn close(&mut self, left: u64, watch: &mut Watch<'_>) -> Result<Step, RegistryError> {
        let url = self.at.with_parameter("digest", &self.digest.to_string());
        let url = url.map_err(FetchError::from)?;
        let mut headers = Vec::new();
        if self.have > 0 && left > 0 {
            let range = format!("{}-{}", self.have, self.have + left - 1);
            headers.push((CONTENT_RANGE, range));
        }
        self.expectation(&mut headers);
        let answer = self.request(Method::PUT, url, headers, left, watch)?;
        match answer.status {
            200..=299 => match answer.header(&CONTENT_DIGEST).map(str::parse::<Digest>) {
                Some(Ok(stated)) if stated != self.digest => Err(RegistryError::Mismatch {
                    what: answer.url.to_string(),
                    stated: self.digest.to_string(),
                    actual: stated.to_string(),
                }),
                _ => Ok(Step::Done),
            },
            _ => self.refused(answer, left),
        }
    }

    fn expectation(&self, headers: &mut Vec<(HeaderName, String)>) {
        if self.has_broken {
            headers.push((EXPECT, "100-continue".to_owned()));
        }
    }

    fn moved(&mut self, answer: &crate::fetch::Answer) -> Result<(), RegistryError> {
        if let Some(location) = answer.header(&LOCATION) {
            self.at = self.session.location(&answer.url, location)?;
        }
        Ok(())
    }

    /// After a break: asks how much is there, and sends the rest.
    fn go_on(&mut self, watch: &mut Watch<'_>) -> Result<Step, RegistryError> {
        let answer = self
            .session
            .ask(&Ask::new(Method::GET, self.at.clone()), watch)?;
        let anew = |why: &str| {
            Step::Anew(FetchError::Connection {
                url: self.at.to_string(),
                doing: "the line broke",
                source: io::Error::new(io::ErrorKind::ConnectionReset, why),
            })
        };
        match answer.status {
            200..=299 => {
                let have = answer.header(&RANGE).and_then(range_end).unwrap_or(0);
                // `0-0` means one byte or none (distribution 2.8).
                if have <= 1 || have > self.descriptor.size() {
                    return Ok(anew("the registry has nothing of it"));
                }
                self.moved(&answer)?;
                self.have = have;
                self.send(watch)
            }
            400..=416 => {
                let mut answer = answer;
                answer.discard();
                Ok(anew("the registry has forgotten the upload"))
            }
            _ => Err(self.session.refusal(answer, "")),
        }
    }

    /// What a refusal means for what comes next.
    fn refused(&mut self, answer: crate::fetch::Answer, sent: u64) -> Result<Step, RegistryError> {
        match answer.status {
            413 if sent > PIECE => {
                self.piece = Some(PIECE);
                let mut answer = answer;
                answer.discard();
                Ok(Step::Further)
            }
            404 => {
                let url = answer.url.to_string();
                let mut answer = answer;
                answer.discard();
                Ok(Step::Anew(FetchError::Connection {
                    url,
                    doing: "the line broke",
                    source: io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "the registry has forgotten the upload",
                    ),
                }))
            }
            status if is_passing(status) => Err(answer.refusal().into()),
            _ => Err(self.session.refusal(answer, "")),
        }
    }

    /// One request with `count` bytes of the blob from where the registry is.
    fn request(
        &mut self,
        method: Method,
        url: Url,
        headers: Vec<(HeaderName, String)>,
        count: u64,
        watch: &mut Watch<'_>,
    ) -> Result<crate::fetch::Answer, RegistryError> {
        loop {
            let authorization = self.session.authorization(&url)?;
            let mut request =
                Request::new(method.clone(), url.clone()).authorization(authorization.as_deref());
            for (name, value) in &headers {
                request = request.header(name.clone(), value);
            }
            let mut blob = self.blobs.open(self.descriptor)?;
            io::copy(&mut (&mut blob).take(self.have), &mut io::sink())
                .map_err(|source| self.broken(source))?;
            let mut source = Told {
                from: blob,
                failed: None,
                count: self.have,
                watch,
            };
            let result = self.session.registry.client().send(match count {
                0 => request.body(BYTES, Body::Bytes(b"")),
                count => request.body(BYTES, Body::Reader(&mut source, count)),
            });
            if let Some(error) = source.failed {
                return Err(self.broken(error));
            }
            match result {
                Ok(answer) if answer.status == 401 => {
                    if !self.session.renew(authorization.as_deref(), Some(&answer)) {
                        return Err(self.session.refusal(answer, ""));
                    }
                }
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    self.has_broken = true;
                    return Err(error.into());
                }
            }
        }
    }

    /// Our own copy is at fault.
    fn broken(&self, source: io::Error) -> RegistryError {
        match source.downcast::<BlobError>() {
            Ok(error) => error.into(),
            Err(source) => BlobError::Copy {
                digest: self.digest,
                source,
            }
            .into(),
        }
    }
}

/// `0-99`: a hundred bytes are there.
fn range_end(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let end: u64 = text.split_once('-')?.1.trim().parse().ok()?;
    end.checked_add(1)
}

/// Tells how much has passed, and remembers what went wrong at our end.
struct Told<'a, 'b, R> {
    from: R,
    failed: Option<io::Error>,
    count: u64,
    watch: &'a mut Watch<'b>,
}

impl<R: Read> Read for Told<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.is_stopped() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.from.read(buffer) {
            Ok(count) => {
                self.count += count as u64;
                (self.watch.tell)(What::Advanced { bytes: self.count });
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

impl Session<'_> {
    /// Sends a few bytes as a blob.
    pub(super) fn send_small(
        &self,
        digest: &Digest,
        bytes: &[u8],
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let Begun::At(at, _) = self.begin(None, watch)? else {
            return Ok(());
        };
        let url = at.with_parameter("digest", &digest.to_string());
        let mut ask = Ask::new(Method::PUT, url.map_err(FetchError::from)?);
        ask.body = Some((BYTES, bytes));
        let answer = self.ask(&ask, watch)?;
        match answer.is_good() {
            true => Ok(()),
            // The first try may have done it, and its answer been lost.
            false if answer.status == 404 && self.has_blob(digest, watch)? => Ok(()),
            false => Err(self.refusal(answer, "")),
        }
    }
}
