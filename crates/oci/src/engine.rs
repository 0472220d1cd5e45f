//! Images of a running docker or podman, by the API on its socket: loaded into
//! it and taken out of it as archives.
//!
//! HTTP/1.1 over a Unix socket, one request a connection: the Docker Engine API
//! (`/images/load`, `/images/NAME/get`) and podman's of the same meaning. What is
//! in an archive is `docker`'s and `place`'s.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Reference;

/// How long an engine may work on an image without a word.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest line of a response's head, and most of them.
const LINE_BYTES: u64 = 16 << 10;
const MOST_LINES: usize = 200;
/// Most bytes of an answer that is no archive.
const ANSWER_BYTES: u64 = 1 << 20;
/// Most bytes of an archive.
const ARCHIVE_BYTES: u64 = 256 << 30;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// dockerd: `docker-daemon:NAME`.
    Docker,
    /// podman's service: `podman:NAME`.
    Podman,
}

impl EngineKind {
    /// What a place in it begins with.
    pub fn transport(self) -> &'static str {
        match self {
            Self::Docker => "docker-daemon",
            Self::Podman => "podman",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// Where its socket is when nobody says otherwise.
    fn usual_socket(self) -> &'static str {
        match self {
            Self::Docker => "/var/run/docker.sock",
            Self::Podman => "/run/podman/podman.sock",
        }
    }

    /// What starts it.
    fn starts(self) -> &'static str {
        match self {
            Self::Docker => "systemctl start docker, or dockerd",
            Self::Podman => {
                "systemctl --user start podman.socket, or podman system service --time 0 &"
            }
        }
    }
}

/// An engine at its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Which.
    pub kind: EngineKind,
    /// Its socket; the usual one unless told.
    pub socket: Option<PathBuf>,
}

/// An engine could not be asked, or says no.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers at the socket.
    #[error("{} does not answer at {socket}", kind.name())]
    Absent {
        /// Which.
        kind: EngineKind,
        /// Its socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("talking with {} at {socket}", kind.name())]
    Broken {
        /// Which.
        kind: EngineKind,
        /// Its socket.
        socket: PathBuf,
        /// How.
        #[source]
        source: io::Error,
    },
    /// It answered that it cannot.
    #[error("{} says: {said}", kind.name())]
    Refused {
        /// Which.
        kind: EngineKind,
        /// HTTP's status.
        status: u16,
        /// Its words.
        said: String,
    },
}

impl EngineError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Absent { kind, source, .. } => Some(match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "whoever may use the socket is root: ask for it, or copy to an archive"
                        .to_owned()
                }
                _ => {
                    let variable = match kind {
                        EngineKind::Docker => "DOCKER_HOST",
                        EngineKind::Podman => "CONTAINER_HOST",
                    };
                    format!(
                        "start it: {}; {variable} says where else it is",
                        kind.starts()
                    )
                }
            }),
            Self::Refused { status: 404, .. } => {
                Some("the engine lists what it has: docker images, podman images".to_owned())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.transport())
    }
}

impl Engine {
    /// Where it is.
    pub fn socket(&self) -> &Path {
        let usual = Path::new(self.kind.usual_socket());
        self.socket.as_deref().unwrap_or(usual)
    }

    /// Loads an archive of an image, which bears its name.
    pub(crate) fn load(&self, archive: &Path) -> Result<(), EngineError> {
        let path = match self.kind {
            EngineKind::Docker => "/images/load?quiet=1",
            EngineKind::Podman => "/v4.0.0/libpod/images/load",
        };
        let mut file = File::open(archive).map_err(|error| self.broken(error))?;
        let size = file.metadata().map_err(|error| self.broken(error))?.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: engine\r\nContent-Type: application/x-tar\r\n\
             Content-Length: {size}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = self.connect()?;
        let sent = stream
            .write_all(head.as_bytes())
            .and_then(|()| io::copy(&mut file, &mut stream));
        // An engine that refuses may answer before it has read all.
        let answer = Answer::read(stream);
        let mut answer = match (sent, answer) {
            (_, Ok(answer)) => answer,
            (Err(error), _) | (_, Err(error)) => return Err(self.broken(error)),
        };
        let text = answer.text().map_err(|error| self.broken(error))?;
        match refusal(&text) {
            _ if answer.status != 200 => Err(self.refused(answer.status, &text)),
            Some(said) => Err(EngineError::Refused {
                kind: self.kind,
                status: answer.status,
                said,
            }),
            None => Ok(()),
        }
    }

    /// Takes an image out, as an archive of docker's form.
    pub(crate) fn save(&self, name: &Reference, to: &mut dyn Write) -> Result<(), EngineError> {
        let path = match self.kind {
            EngineKind::Docker => format!("/images/{name}/get"),
            EngineKind::Podman => {
                format!("/v4.0.0/libpod/images/{name}/get?format=docker-archive")
            }
        };
        let head = format!("GET {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n");
        let mut stream = self.connect()?;
        let answer = stream
            .write_all(head.as_bytes())
            .and_then(|()| Answer::read(stream));
        let mut answer = answer.map_err(|error| self.broken(error))?;
        if answer.status != 200 {
            let text = answer.text().map_err(|error| self.broken(error))?;
            return Err(self.refused(answer.status, &text));
        }
        let copied = io::copy(&mut answer.body.as_mut().take(ARCHIVE_BYTES), to);
        copied.map(drop).map_err(|error| self.broken(error))
    }

    fn connect(&self) -> Result<UnixStream, EngineError> {
        let open = || {
            let stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        open().map_err(|source| EngineError::Absent {
            kind: self.kind,
            socket: self.socket().to_owned(),
            source,
        })
    }

    fn broken(&self, source: io::Error) -> EngineError {
        EngineError::Broken {
            kind: self.kind,
            socket: self.socket().to_owned(),
            source,
        }
    }

    fn refused(&self, status: u16, text: &str) -> EngineError {
        let message = serde_json::from_str::<serde_json::Value>(text).ok();
        let message = message.and_then(|it| Some(it.get("message")?.as_str()?.to_owned()));
        let said = message.unwrap_or_else(|| format!("HTTP {status}: {}", text.trim()));
        EngineError::Refused {
            kind: self.kind,
            status,
            said,
        }
    }
}

/// What went wrong according to a stream of JSON documents, as docker answers
/// after it has said 200.
fn refusal(text: &str) -> Option<String> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    documents
        .map_while(Result::ok)
        .find_map(|document| Some(document.get("error")?.as_str()?.to_owned()))
}

/// The answer to one request.
struct Answer {
    status: u16,
    body: Box<dyn Read>,
}

impl Answer {
    fn read(stream: impl Read + 'static) -> io::Result<Self> {
        let mut from = BufReader::new(stream);
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let first = line(&mut from)?;
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
            .ok_or_else(|| wrong("the answer is not HTTP/1.1"))?;
        let (mut length, mut chunked) = (None, false);
        for count in 0.. {
            let line = line(&mut from)?;
            if line.is_empty() {
                break;
            }
            if count >= MOST_LINES {
                return Err(wrong("the answer has too many headers"));
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(wrong("a header of the answer has no colon"));
            };
            if name.eq_ignore_ascii_case("content-length") {
                let value = value.trim().parse::<u64>();
                length = Some(value.map_err(|_| wrong("the answer's length is no number"))?);
            }
            chunked |= name.eq_ignore_ascii_case("transfer-encoding")
                && value.to_ascii_lowercase().contains("chunked");
        }
        let body: Box<dyn Read> = match (chunked, length) {
            (true, _) => Box::new(Chunks {
                from,
                left: 0,
                state: State::Size,
            }),
            (false, Some(length)) => Box::new(Counted { from, left: length }),
            (false, None) => Box::new(from),
        };
        Ok(Self { status, body })
    }

    fn text(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        let mut body = self.body.as_mut().take(ANSWER_BYTES);
        body.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A line without its end.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A body of a known length: a shorter one is an error.
struct Counted<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// A body in chunks (RFC 9112 §7.1).
struct Chunks<R> {
    from: R,
    left: u64,
    state: State,
}

enum State {
    Size,
    Data,
    Done,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state {
                State::Done => return Ok(0),
                State::Size => {
                    let line = line(&mut self.from)?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    self.left = u64::from_str_radix(size, 16)
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    self.state = match self.left {
                        0 => State::Done,
                        _ => State::Data,
                    };
                }
                State::Data if buffer.is_empty() => return Ok(0),
                State::Data => {
                    let most = usize::try_from(self.left)
                        .map_or(buffer.len(), |left| left.min(buffer.len()));
                    let count = self.from.read(&mut buffer[..most])?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.left -= count as u64;
                    if self.left == 0 {
                        line(&mut self.from)?;
                        self.state = State::Size;
                    }
                    return Ok(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &'static str) -> io::Result<(u16, String)> {
        let mut answer = Answer::read(answer.as_bytes())?;
        Ok((answer.status, answer.text()?))
    }

    #[test]
    fn bodies_of_every_framing_are_read_whole() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nounce and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nou\r\n3;x=y\r\nnce\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nounce",
        ] {
            assert_eq!(body(answer).unwrap(), (200, "ounce".to_owned()), "{answer}");
        }
    }

    #[test]
    fn answers_that_are_cut_or_no_http_are_errors() {
        for answer in [
            "",
            "HTTP/1.1",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nounc",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nounce",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nounc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        ] {
            assert!(body(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn error_that_follows_a_200_is_heard() {
        let text = "{\"stream\":\"x\"}\n{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}";
        assert_eq!(refusal(text), Some("no space".to_owned()));
        assert_eq!(refusal("{\"stream\":\"Loaded image: x\"}"), None);
    }
}
