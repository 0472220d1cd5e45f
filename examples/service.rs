//! For the tests of the examples: builds the release program, starts it for
//! real and asks it through loopback sockets.
#![allow(dead_code, reason = "each example uses what it needs")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, thread};

/// A program that runs, until it is dropped.
pub struct Service {
    child: Child,
    port: u16,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A field's value; it must be there.
    pub fn field(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        Self {
            status: head[9..12].parse().expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// Builds the example; where its program stands.
pub fn build() -> String {
    let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
    let (folder, name) = (env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_NAME"));
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--bin", name])
        .args(["--target", &target, "--target-dir", "target/real"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(folder)
        .status();
    assert!(status.expect("cargo starts").success());
    format!("{folder}/target/real/{target}/release/{name}")
}

impl Service {
    /// Builds and starts the example with these variables.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        /// Tests run side by side, and below what the kernel hands out.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let program = build();
        for _ in 0..50 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 16;
            let port = 10_000 + (number % 20_000) as u16;
            let mut child = Command::new(&program)
                .env("PORT", port.to_string())
                .envs(variables.iter().copied())
                .spawn()
                .expect("start");
            // Until it answers, or has found the port taken.
            while child.try_wait().expect("wait").is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("no port is free");
    }

    /// A connection, on which nothing takes longer than ten seconds.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        let ten = Some(Duration::from_secs(10));
        stream.set_read_timeout(ten).expect("timeout");
        stream.set_write_timeout(ten).expect("timeout");
        stream
    }

    /// Sends `GET /path`, with these fields and this body, on a connection of
    /// its own.
    pub fn ask(&self, line: &str, fields: &[&str], body: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        let body = body.as_ref();
        let mut request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
        for field in fields {
            request += field;
            request += "\r\n";
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(request.as_bytes()).expect("send");
        // One that refuses may close before it has read all.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        Answer::read(&bytes)
    }

    /// Sends these bytes, and returns all that comes until the service closes.
    pub fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("send");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Private memory that is written to, in bytes.
    pub fn dirty_bytes(&self) -> u64 {
        let path = format!("/proc/{}/smaps", self.child.id());
        let text = std::fs::read_to_string(path).expect("smaps");
        let (mut is_writable, mut kilobytes) = (false, 0);
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("Private_Dirty:"), Some(number)) if is_writable => {
                    kilobytes += number.parse::<u64>().expect("a number");
                }
                // A mapping begins: its place and how it may be used.
                (Some(_), Some(rights)) if rights.len() == 4 && rights.ends_with('p') => {
                    is_writable = rights.starts_with("rw");
                }
                _ => {}
            }
        }
        kilobytes * 1_024
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The content of a chunked body.
pub fn unchunked(mut body: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            assert_eq!(rest, "\r\n");
            return content;
        }
        content += &rest[..size];
        body = rest[size..].strip_prefix("\r\n").expect("a chunk's end");
    }
}
