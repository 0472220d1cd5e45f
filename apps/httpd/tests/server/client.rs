//! A client that reads answers by the letter of RFC 9112 and audits each one:
//! what holds of every answer is checked here, once.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One answer, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field, if it is there.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self
            .fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the answer says that the connection closes.
    pub(crate) fn says_close(&self) -> bool {
        self.field("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The fields but those that differ from moment to moment.
    pub(crate) fn lasting_fields(&self) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        fields.sort();
        fields
    }
}

/// What went wrong in reading an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The connection ended before the first byte.
    Closed,
    /// Nothing came in time.
    Silent,
    /// What came is not as the RFC wants it.
    Malformed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(out, "closed without an answer"),
            Self::Silent => write!(out, "no answer in time"),
            Self::Malformed(what) => write!(out, "malformed answer: {what}"),
        }
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// What follows when a connection is watched to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Closed,
    Reset,
    Open,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        let client = Self {
            stream,
            buffer: Vec::new(),
        };
        client.patience(Duration::from_secs(60));
        client
    }

    /// How long to wait for bytes.
    pub(crate) fn patience(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("timeout");
    }

    /// Sends; a connection that the server has closed by then is no error here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends each byte in a segment of its own; of what is very long, each 97.
    pub(crate) fn send_bytewise(&mut self, bytes: &[u8]) {
        let size = if bytes.len() > 2_000 { 97 } else { 1 };
        for byte in bytes.chunks(size) {
            if !self.send(byte) {
                return;
            }
        }
    }

    /// Sends a GET of HTTP/1.1 and reads the answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer()
            .unwrap_or_else(|fault| panic!("GET {path}: {fault}"))
    }

    /// The answer to anything but HEAD.
    pub(crate) fn answer(&mut self) -> Result<Answer, Fault> {
        self.answer_to(false)
    }

    /// Reads one answer; `is_head` says that no body follows.
    pub(crate) fn answer_to(&mut self, is_head: bool) -> Result<Answer, Fault> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match self.fill()? {
                0 if self.buffer.is_empty() => return Err(Fault::Closed),
                0 => return Err(malformed(format!("cut in its head: {:?}", self.shown()))),
                _ => {}
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut answer = parse_head(&head)?;
        judge_date(&answer)?;
        let length = answer.field("Content-Length").map(str::to_owned);
        let is_bodiless = is_head || matches!(answer.status, 100..=199 | 204 | 304);
        if is_bodiless {
        } else if answer.field("Transfer-Encoding").is_some() {
            answer.body = self.chunked()?;
        } else if let Some(length) = length {
            let length: usize = length
                .parse()
                .map_err(|_| malformed(format!("Content-Length {length:?}")))?;
            while self.buffer.len() < length {
                if self.fill()? == 0 {
                    let missing = length - self.buffer.len();
                    return Err(malformed(format!(
                        "{missing} of {length} bytes are missing"
                    )));
                }
            }
            answer.body = self.buffer.drain(..length).collect();
        } else {
            if !answer.says_close() {
                return Err(malformed(
                    "no length, and the connection is not closed".to_owned(),
                ));
            }
            while self.fill()? > 0 {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        audit(&answer, is_head)?;
        Ok(answer)
    }

    fn chunked(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16)
                .map_err(|_| malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                return match self.line()?.as_str() {
                    "" => Ok(body),
                    line => Err(malformed(format!("trailer {line:?}"))),
                };
            }
            while self.buffer.len() < size + 2 {
                if self.fill()? == 0 {
                    return Err(malformed("cut in a chunk".to_owned()));
                }
            }
            body.extend(self.buffer.drain(..size));
            if self.buffer.drain(..2).as_slice() != b"\r\n" {
                return Err(malformed("a chunk without its end".to_owned()));
            }
        }
    }

    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill()? == 0 {
                return Err(malformed("cut in a chunk's line".to_owned()));
            }
        }
    }

    fn fill(&mut self) -> Result<usize, Fault> {
        let mut bytes = [0; 65_536];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Fault::Silent);
                }
                Err(_) => return Ok(0),
            }
        }
    }

    fn shown(&self) -> String {
        let end = self.buffer.len().min(300);
        String::from_utf8_lossy(&self.buffer[..end]).into_owned()
    }

    /// Waits for the connection's end; bytes that still come are a fault.
    pub(crate) fn end(&mut self, time: Duration) -> Result<End, Fault> {
        self.patience(time);
        let mut byte = [0; 512];
        if !self.buffer.is_empty() {
            return Err(malformed(format!(
                "bytes behind the answer: {:?}",
                self.shown()
            )));
        }
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(End::Closed),
            Ok(count) => {
                let more = String::from_utf8_lossy(&byte[..count]).into_owned();
                Err(malformed(format!("bytes behind the answer: {more:?}")))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(End::Open)
            }
            Err(_) => Ok(End::Reset),
        }
    }

    /// Reads all that comes until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.buffer)
    }
}

fn malformed(what: String) -> Fault {
    Fault::Malformed(what)
}

/// RFC 9112 sections 4 and 5, by the letter.
fn parse_head(head: &[u8]) -> Result<Answer, Fault> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("a head past ASCII".to_owned()))?;
    let text = text.strip_suffix("\r\n\r\n").unwrap_or(text);
    if text.bytes().any(|byte| byte == 0 || byte == 0x7f) {
        return Err(malformed(format!("control characters in {text:?}")));
    }
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split_once(' '))
        .filter(|(code, _)| code.len() == 3)
        .and_then(|(code, _)| code.parse().ok())
        .ok_or_else(|| malformed(format!("status line {line:?}")))?;
    let mut fields = Vec::new();
    for line in lines {
        if line.contains(['\r', '\n']) {
            return Err(malformed(format!("a bare line end in {line:?}")));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed(format!("field line {line:?}")))?;
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(malformed(format!("field name in {line:?}")));
        }
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Answer {
        status,
        fields,
        body: Vec::new(),
    })
}

/// RFC 9110 section 6.6.1: a server with a clock sends Date. It may have stood in
/// a socket's buffer while other answers were read.
fn judge_date(answer: &Answer) -> Result<(), Fault> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("clock")
        .as_secs();
    let date = answer.field("Date").unwrap_or_default();
    if answer.status == 100 || (0..=60).any(|back| imf_date(now + 1 - back) == date) {
        return Ok(());
    }
    let status = answer.status;
    Err(malformed(format!("{status}: Date is {date:?}, not now")))
}

/// What every answer must be, whatever was asked.
fn audit(answer: &Answer, is_head: bool) -> Result<(), Fault> {
    let status = answer.status;
    let bad = |what: &str| Err(malformed(format!("{status}: {what}: {:?}", answer.fields)));
    for name in [
        "Content-Length",
        "Content-Type",
        "Content-Range",
        "Content-Encoding",
        "Date",
        "ETag",
        "Last-Modified",
        "Location",
        "Vary",
        "Cache-Control",
        "Allow",
        "Retry-After",
        "Connection",
        "Accept-Ranges",
        "Transfer-Encoding",
        "X-Content-Type-Options",
        "X-Frame-Options",
        "Referrer-Policy",
    ] {
        let count = answer
            .fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .count();
        if count > 1 {
            return bad(&format!("{name} stands {count} times"));
        }
    }
    if status == 100 {
        return if answer.fields.is_empty() {
            Ok(())
        } else {
            bad("fields on a 100")
        };
    }
    if answer.field("Server").is_some() {
        return bad("the server names itself");
    }
    if let Some(date) = answer.field("Last-Modified")
        && (date.len() != 29 || !date.ends_with(" GMT"))
    {
        return bad("Last-Modified is no IMF-fixdate");
    }
    let has_length = answer.field("Content-Length").is_some();
    let is_chunked = answer.field("Transfer-Encoding").is_some();
    if has_length && is_chunked {
        return bad("both Content-Length and Transfer-Encoding");
    }
    // RFC 9110 section 8.6 and RFC 9112 section 6.1.
    if matches!(status, 204) && (has_length || is_chunked) {
        return bad("a length on what has no body");
    }
    if !matches!(status, 204 | 304) && !has_length && !is_chunked && !answer.says_close() {
        return bad("no length, and the connection is not closed");
    }
    let has_body = !is_head && !answer.body.is_empty();
    if has_body && answer.field("Content-Type").is_none() {
        return bad("a body without Content-Type");
    }
    if answer.field("Content-Type").is_some()
        && answer.field("X-Content-Type-Options") != Some("nosniff")
    {
        return bad("a type to sniff");
    }
    let demanded = match status {
        206 => "Content-Range",
        301 | 308 => "Location",
        405 => "Allow",
        416 => "Content-Range",
        503 => "Retry-After",
        _ => return Ok(()),
    };
    if answer.field(demanded).is_none() {
        return bad(&format!("no {demanded}"));
    }
    if status == 206 && !is_head {
        let range = answer.field("Content-Range").unwrap_or_default();
        let length = range_length(range);
        if length != Some(answer.body.len()) {
            return bad("Content-Range does not fit the body");
        }
    }
    Ok(())
}

/// How many bytes `bytes FIRST-LAST/WHOLE` names.
fn range_length(range: &str) -> Option<usize> {
    let (range, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let whole: usize = whole.parse().ok()?;
    (first <= last && last < whole).then_some(last - first + 1)
}

/// RFC 9110 section 5.6.7, from seconds since 1970.
pub(crate) fn imf_date(seconds: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!(
        "{weekday}, {:02} {} {year} {:02}:{:02}:{:02} GMT",
        days + 1,
        MONTHS[month],
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}
