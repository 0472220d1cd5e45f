//! HTTP/1.1 on one connection: requests with a length, kept alive (RFC 9112).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Most bytes of a request's head.
const HEAD_BYTES: u64 = 8 * 1024;
/// Most bytes of a request's body.
const BODY_BYTES: u64 = 1024 * 1024;
/// How long a client may let one wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was asked.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    is_last: bool,
}

/// What is answered.
pub struct Response {
    status: u16,
    kind: &'static str,
    body: String,
}

impl Response {
    /// A text.
    pub fn text(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body,
        }
    }

    /// A document.
    pub fn json(body: String) -> Self {
        Self {
            status: 200,
            kind: "application/json",
            body,
        }
    }
}

/// What a connection came to.
enum Asked {
    Request(Request),
    /// The client asked nothing more.
    Nothing,
    /// Not a request as it should be: the status to refuse it with.
    Refused(u16),
}

/// Answers until one side ends.
pub fn serve(
    stream: &TcpStream,
    is_ending: &AtomicBool,
    answer: impl Fn(&Request) -> Response,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        match read(&mut reader, stream)? {
            Asked::Nothing => return Ok(()),
            Asked::Refused(status) => {
                return write(stream, &Response::text(status, "not so\n"), true, true);
            }
            Asked::Request(request) => {
                let is_last = request.is_last || is_ending.load(Ordering::Relaxed);
                let response = answer(&request);
                write(stream, &response, request.method != "HEAD", is_last)?;
                if is_last {
                    return Ok(());
                }
            }
        }
    }
}

/// A line without its end; `None` where the client ended or sent too much.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    reader.read_line(&mut text)?;
    Ok(text
        .strip_suffix('\n')
        .map(|text| text.trim_end_matches('\r').to_owned()))
}

fn read(reader: &mut BufReader<&TcpStream>, mut stream: &TcpStream) -> io::Result<Asked> {
    let mut head = reader.by_ref().take(HEAD_BYTES);
    let Some(first) = line(&mut head)? else {
        return Ok(match head.limit() {
            HEAD_BYTES => Asked::Nothing,
            _ => Asked::Refused(400),
        });
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(Asked::Refused(400));
    };
    let mut is_last = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return Ok(Asked::Refused(505)),
    };
    let mut body_bytes = None;
    let mut is_waiting = false;
    loop {
        let Some(field) = line(&mut head)? else {
            return Ok(Asked::Refused(431));
        };
        if field.is_empty() {
            break;
        }
        let Some((name, value)) = field.split_once(':') else {
            return Ok(Asked::Refused(400));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => match (value.parse::<u64>(), body_bytes) {
                (Ok(bytes), None) if !value.starts_with('+') => body_bytes = Some(bytes),
                _ => return Ok(Asked::Refused(400)),
            },
            "transfer-encoding" => return Ok(Asked::Refused(411)),
            "connection" => is_last |= value.eq_ignore_ascii_case("close"),
            "expect" => is_waiting = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    let body_bytes = body_bytes.unwrap_or(0);
    if body_bytes > BODY_BYTES {
        return Ok(Asked::Refused(413));
    }
    if is_waiting && body_bytes > 0 {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = vec![0; body_bytes as usize];
    reader.read_exact(&mut body)?;
    Ok(Asked::Request(Request {
        method: method.to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        body,
        is_last,
    }))
}

fn write(
    mut stream: &TcpStream,
    response: &Response,
    has_body: bool,
    is_last: bool,
) -> io::Result<()> {
    let Response { status, kind, body } = response;
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        _ => "Bad Request",
    };
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{}\r\n",
        body.len(),
        if is_last { "Connection: close\r\n" } else { "" },
    );
    if has_body {
        text.push_str(body);
    }
    stream.write_all(text.as_bytes())
}
