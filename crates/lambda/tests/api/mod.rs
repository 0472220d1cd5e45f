//! For tests: the Runtime API, as the test says it behaves. What the function asks
//! comes to the test, request by request, and what the test says goes back.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API, with at most one connection that it looks at.
pub(crate) struct Api {
    listener: TcpListener,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

/// What the function asks.
#[derive(Debug)]
pub(crate) struct Request {
    /// Without version: `GET /path`.
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    /// A field's value, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_default()
    }
}

/// An invocation's answer to `next`, with these lines in its head.
pub(crate) fn event(id: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\n{lines}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// What Lambda says where it has what it was told.
pub(crate) const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n\
     {\"status\":\"OK\"}\n";

impl Api {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("not to block");
        Self {
            listener,
            stream: None,
            received: Vec::new(),
        }
    }

    /// As `AWS_LAMBDA_RUNTIME_API` has it.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    /// The next request, on the connection that there is, or on a new one.
    pub(crate) fn request(&mut self) -> Request {
        loop {
            if let Some(request) = self.whole() {
                return request;
            }
            let mut bytes = [0; 65_536];
            match &mut self.stream {
                None => self.accept(),
                Some(stream) => match stream.read(&mut bytes) {
                    Ok(0) => {
                        assert!(self.received.is_empty(), "half a request");
                        self.stream = None;
                    }
                    Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                        self.stream = None;
                    }
                    Err(error) => panic!("no request comes: {error}"),
                },
            }
        }
    }

    /// The next request must be this one.
    pub(crate) fn expect(&mut self, line: &str) -> Request {
        let request = self.request();
        assert_eq!(request.line, line, "{request:?}");
        request
    }

    /// The next request must ask for an invocation.
    pub(crate) fn expect_next(&mut self) {
        self.expect("GET /2018-06-01/runtime/invocation/next");
    }

    /// The next request must answer the invocation of this name; its body.
    pub(crate) fn expect_response(&mut self, id: &str) -> Request {
        let request = self.expect(&format!(
            "POST /2018-06-01/runtime/invocation/{id}/response"
        ));
        self.send(ACCEPTED);
        request
    }

    /// The next request must tell an error of the invocation of this name.
    pub(crate) fn expect_error(&mut self, id: &str) -> Request {
        let request = self.expect(&format!("POST /2018-06-01/runtime/invocation/{id}/error"));
        self.send(ACCEPTED);
        request
    }

    /// Sends bytes to the function, unless it has gone.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.write_all(bytes.as_ref());
        }
    }

    /// Ends the connection.
    pub(crate) fn cut(&mut self) {
        self.stream = None;
        self.received.clear();
    }

    fn accept(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("to block");
                    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                    stream.set_nodelay(true).expect("no delay");
                    self.stream = Some(stream);
                    self.received.clear();
                    return;
                }
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("nobody connects: {error}"),
            }
        }
    }

    /// The first request of what was received, if it is whole.
    fn whole(&mut self) -> Option<Request> {
        let end = self
            .received
            .windows(4)
            .position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
        let (line, head) = head.split_once("\r\n").unwrap_or((&head, ""));
        let mut request = Request {
            line: line
                .strip_suffix(" HTTP/1.1")
                .expect("a version")
                .to_owned(),
            head: head.to_owned(),
            body: String::new(),
        };
        let rest = &self.received[end + 4..];
        let length = if request.field("transfer-encoding") == "chunked" {
            let length = chunked_length(rest)?;
            request.body = String::from_utf8_lossy(&rest[..length]).into_owned();
            length
        } else {
            let length = request.field("content-length").parse().unwrap_or(0);
            request.body = String::from_utf8_lossy(rest.get(..length)?).into_owned();
            length
        };
        self.received.drain(..end + 4 + length);
        Some(request)
    }
}

/// A chunked body's length, trailers included, if it is whole.
fn chunked_length(bytes: &[u8]) -> Option<usize> {
    let line_end = |from: usize| {
        let rest = bytes.get(from..)?;
        Some(from + rest.windows(2).position(|two| two == b"\r\n")? + 2)
    };
    let mut at = 0;
    loop {
        let end = line_end(at)?;
        let size = std::str::from_utf8(&bytes[at..end - 2]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        at = end;
        if size == 0 {
            loop {
                let end = line_end(at)?;
                if end == at + 2 {
                    return Some(end);
                }
                at = end;
            }
        }
        at += size + 2;
    }
}

/// A program that was started as Lambda starts it, until it is dropped.
pub(crate) struct Started(pub(crate) Child);

impl Started {
    pub(crate) fn new(command: &mut Command, api: &Api) -> Self {
        let child = command
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("the program starts"))
    }

    /// How it ends, by itself, and what it says.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let mut stderr = self.0.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("text");
        (self.0.wait().expect("an end"), said)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
