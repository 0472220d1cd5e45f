//! One download: resumed, tried again, bounded, verified.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::Method;
use ureq::http::header::{
    AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderName, HeaderValue, IF_RANGE, RANGE,
};

use super::file::{Landing, Part, is_there};
use super::url::Url;
use super::{Answer, BUFFER_BYTES, Client, FetchError, Request, Tries, What};
use crate::Digest;

/// What is to be fetched, and what is known of it.
#[derive(Debug, Clone)]
pub struct Download {
    url: String,
    digest: Option<Digest>,
    size: Option<u64>,
    limit: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Where nothing else is said.
const USUAL_LIMIT: u64 = 4 << 30;

impl Download {
    /// Of an `http` or `https` address; at most 4 GiB unless told otherwise.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            digest: None,
            size: None,
            limit: USUAL_LIMIT,
            headers: Vec::new(),
        }
    }

    /// Of an address that is one.
    pub(crate) fn at(url: &Url) -> Self {
        Self::new(url.uri().to_string())
    }

    /// Which has to hash to this. Then a file that is there already is left as it
    /// is, and what a broken download has left is taken up by the next.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Which has exactly so many bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Which may have so many bytes at most.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// With who we are, as an `Authorization` header has it; never shown, and never
    /// sent to another server by a redirect.
    #[must_use]
    pub fn authorization(mut self, value: &str) -> Self {
        self.set_authorization(Some(value));
        self
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes the place of the authorization that is there.
    pub(crate) fn set_authorization(&mut self, value: Option<&str>) {
        self.headers.retain(|(name, _)| name != AUTHORIZATION);
        if let Some(Ok(mut value)) = value.map(HeaderValue::from_str) {
            value.set_sensitive(true);
            self.headers.push((AUTHORIZATION, value));
        }
    }

    pub(crate) fn most_bytes(&self) -> u64 {
        self.size.unwrap_or(self.limit)
    }
}

/// Tells what happens, and hears whether to go on.
pub(crate) struct Watch<'a> {
    pub(crate) tell: &'a mut dyn FnMut(What),
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl<'a> Watch<'a> {
    /// Of something that nobody stops.
    pub(crate) fn none(tell: &'a mut dyn FnMut(What)) -> Self {
        Self { tell, stop: None }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Sleeps, unless stopped.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_stopped() {
            match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => break,
                left => thread::sleep(left.min(Duration::from_millis(50))),
            }
        }
    }
}

impl Client {
    /// Downloads into memory.
    ///
    /// # Errors
    /// It cannot be had, or is not what was said: size, digest or limit differ.
    pub fn to_memory(
        &self,
        download: &Download,
        tell: &mut dyn FnMut(super::Event),
    ) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let mut tell = |what| tell(super::Event { item: 0, what });
        let mut watch = Watch {
            tell: &mut tell,
            stop: None,
        };
        self.land(download, &mut Landing::memory(&mut bytes), &mut watch)?;
        Ok(bytes)
    }

    /// Downloads to a file, which is whole and verified when it appears at `path`;
    /// its folder is made if need be.
    ///
    /// # Errors
    /// As [`Client::to_memory`], or the disk refuses. Nothing is at `path` then
    /// that was not there before.
    pub fn to_file(
        &self,
        download: &Download,
        path: &Path,
        tell: &mut dyn FnMut(super::Event),
    ) -> Result<(), FetchError> {
        let mut tell = |what| tell(super::Event { item: 0, what });
        self.file(
            download,
            path,
            &mut Watch {
                tell: &mut tell,
                stop: None,
            },
        )
    }

    pub(super) fn file(
        &self,
        download: &Download,
        path: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<(), FetchError> {
        let there = |download: &Download| {
            let digest = download.digest.as_ref();
            digest.is_some_and(|digest| is_there(path, digest, download.size))
        };
        if there(download) {
            (watch.tell)(What::Present);
            return Ok(());
        }
        let mut part = Part::open(path, download.digest.is_some())?;
        // Another process may have brought it while its lock was waited for.
        if there(download) {
            (watch.tell)(What::Present);
            part.give_up();
            return Ok(());
        }
        let result = part
            .landing()
            .and_then(|mut landing| self.land(download, &mut landing, watch));
        match result {
            Ok(()) => part.publish(),
            Err(error) => {
                part.give_up();
                Err(error)
            }
        }
    }

    /// Downloads to where it lands, again and again while that may help.
    pub(crate) fn land(
        &self,
        download: &Download,
        landing: &mut Landing<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<(), FetchError> {
        let mut tries = Tries::new(self.options());
        let mut transfer = Transfer::default();
        // What was there from an earlier download, or came from an address that
        // has changed meanwhile, may be of other bytes: then once from the start.
        let mut was_resumed = landing.count() > 0;
        if landing.count() > download.most_bytes() {
            landing.restart()?;
        }
        loop {
            let before = landing.count();
            let result = match landing.count() == download.size.unwrap_or(u64::MAX) {
                true => Ok(()),
                false => self.land_once(download, landing, &mut transfer, watch),
            };
            was_resumed |= before > 0;
            match result {
                Ok(()) => {
                    let bytes = landing.count();
                    let Some(expected) = download.digest else {
                        (watch.tell)(What::Done { bytes });
                        return Ok(());
                    };
                    let actual = landing.digest_so_far();
                    if actual == expected {
                        (watch.tell)(What::Done { bytes });
                        return Ok(());
                    }
                    landing.restart()?;
                    if !std::mem::take(&mut was_resumed) {
                        return Err(FetchError::Corrupt {
                            url: super::url::without_secrets(&download.url),
                            expected,
                            actual,
                        });
                    }
                    transfer = Transfer::default();
                }
                Err(_) if watch.is_stopped() => return Err(given_up(download)),
                Err(error) => {
                    if landing.count() > before {
                        tries.progress();
                    }
                    let (pause, error) = tries.after(error)?;
                    (watch.tell)(What::Waiting {
                        pause,
                        why: error.to_string(),
                    });
                    watch.pause(pause);
                }
            }
        }
    }

    fn land_once(
        &self,
        download: &Download,
        landing: &mut Landing<'_>,
        transfer: &mut Transfer,
        watch: &mut Watch<'_>,
    ) -> Result<(), FetchError> {
        // Without a digest or a name for this very version, the rest may be of another.
        if landing.count() > 0 && download.digest.is_none() && transfer.tag.is_none() {
            landing.restart()?;
        }
        let have = landing.count();
        let mut request = Request::new(Method::GET, Url::parse(&download.url)?);
        request.headers.clone_from(&download.headers);
        if have > 0 {
            request = request.header(RANGE, &format!("bytes={have}-"));
            if let Some(tag) = &transfer.tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        let mut answer = self.send(request)?;
        match answer.status {
            200 => {
                if have > 0 {
                    landing.restart()?;
                }
                // A weak one does not say that the bytes are the same.
                let tag = answer.header(&ETAG).filter(|tag| !tag.starts_with("W/"));
                transfer.tag = tag.map(str::to_owned);
            }
            206 if have > 0 && range_start(&answer) == Some(have) => {}
            // It gives another part than was asked for, or none at all.
            206 | 416 if have > 0 => {
                landing.restart()?;
                answer.discard();
                return Err(FetchError::Protocol {
                    url: answer.url.to_string(),
                    why: "it does not give the part of the file that was asked for".to_owned(),
                });
            }
            _ => return Err(answer.refusal()),
        }
        receive(download, &mut answer, landing, watch)
    }
}

/// What is known of a download from its first answer.
#[derive(Default)]
struct Transfer {
    /// The version's name, so that parts of two are never joined.
    tag: Option<String>,
}

/// Reads an answer's body to its end, within the bounds.
fn receive(
    download: &Download,
    answer: &mut Answer,
    landing: &mut Landing<'_>,
    watch: &mut Watch<'_>,
) -> Result<(), FetchError> {
    let url = answer.url.to_string();
    let have_bytes = landing.count();
    let stated = answer
        .length()
        .map(|length| length.saturating_add(have_bytes));
    if let (Some(stated_bytes), Some(actual_bytes)) = (download.size, stated)
        && stated_bytes != actual_bytes
    {
        return Err(FetchError::Size {
            url,
            stated_bytes,
            actual_bytes,
        });
    }
    let too_large = |url| FetchError::TooLarge {
        url,
        limit_bytes: download.limit,
    };
    if stated.is_some_and(|stated| stated > download.limit) {
        return Err(too_large(url));
    }
    (watch.tell)(What::Begun {
        size_bytes: download.size.or(stated),
        have_bytes,
    });
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if watch.is_stopped() {
            return Err(given_up(download));
        }
        let count = answer.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let bytes = landing.count() + count as u64;
        if let Some(stated_bytes) = download.size
            && bytes > stated_bytes
        {
            landing.restart()?;
            return Err(FetchError::Size {
                url,
                stated_bytes,
                actual_bytes: bytes,
            });
        }
        if bytes > download.limit {
            landing.restart()?;
            return Err(too_large(url));
        }
        landing.write(&buffer[..count])?;
        (watch.tell)(What::Advanced { bytes });
    }
    match download.size {
        // A body without a stated length, whose line broke, looks like this.
        Some(size) if landing.count() < size => Err(FetchError::Connection {
            url,
            doing: "the line broke",
            source: std::io::ErrorKind::UnexpectedEof.into(),
        }),
        _ => Ok(()),
    }
}

fn given_up(download: &Download) -> FetchError {
    FetchError::GivenUp {
        url: super::url::without_secrets(&download.url),
    }
}

/// `bytes START-END/ALL` (RFC 9110, section 14.4).
fn range_start(answer: &Answer) -> Option<u64> {
    let text = answer
        .header(&CONTENT_RANGE)?
        .trim()
        .strip_prefix("bytes ")?;
    text.split_once('-')?.0.trim().parse().ok()
}
