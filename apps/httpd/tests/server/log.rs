//! The access log: its form, what hostile requests may write into it, and that
//! it never holds anybody up.

use crate::harness::{HANG, Server, Site, free_port};
use crate::program::program;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn logged(options: &[&str]) -> Server {
    let site = Site::new();
    let log = fs::File::create(site.folder.join("log")).expect("file");
    let mut command = Command::new(program());
    command.arg("--log").args(options).stdout(log);
    Server::start(site, &mut command)
}

/// The lines that are there once so many are.
fn lines(server: &Server, count: usize) -> Vec<Vec<u8>> {
    let start = Instant::now();
    loop {
        let log = fs::read(server.site.folder.join("log")).expect("log");
        let lines: Vec<Vec<u8>> = log
            .split_inclusive(|&byte| byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        if lines.len() >= count || start.elapsed() > HANG {
            return lines;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One line of the Common Log Format: address, time, request, status, bytes.
fn parse(line: &[u8]) -> Option<(String, String, String, u16, String)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    if !line.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return None;
    }
    let (address, rest) = line.split_once(" - - [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let (request, rest) = rest.rsplit_once("\" ")?;
    let (status, bytes) = rest.split_once(' ')?;
    let is_escaped = !request
        .replace("\\\\", "")
        .replace("\\\"", "")
        .contains('"');
    is_escaped.then(|| {
        Some((
            address.to_owned(),
            time.to_owned(),
            request.to_owned(),
            status.parse().ok()?,
            bytes.to_owned(),
        ))
    })?
}

#[test]
fn a_line_of_the_log_tells_who_when_what_and_how_much() {
    let server = logged(&[]);
    let before = lines(&server, 0).len();
    server.get("/text.txt?x=y");
    server.get("/nothing");
    server.ask("HEAD / HTTP/1.0\r\n\r\n");
    server.get_with("/text.txt", "Range: bytes=0-4\r\n");
    let lines = lines(&server, before + 4);
    let found: Vec<_> = lines
        .iter()
        .map(|line| parse(line).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(line))))
        .collect();
    let found = &found[found.len() - 4..];
    let [first, missing, head, part] = found else {
        panic!("{found:?}")
    };
    assert!(
        first.0 == "127.0.0.1" || first.0 == "::ffff:127.0.0.1",
        "{}",
        first.0
    );
    // strftime's "%d/%b/%Y:%H:%M:%S +0000".
    let time = &first.1;
    assert!(
        time.len() == 26
            && time.ends_with(" +0000")
            && time.as_bytes()[2] == b'/'
            && time.as_bytes()[11] == b':',
        "{time}"
    );
    assert_eq!(
        (first.2.as_str(), first.3, first.4.as_str()),
        ("GET /text.txt?x=y HTTP/1.1", 200, "36")
    );
    assert_eq!(
        (missing.2.as_str(), missing.3),
        ("GET /nothing HTTP/1.1", 404)
    );
    assert_eq!((head.2.as_str(), head.3), ("HEAD / HTTP/1.0", 200));
    assert!(head.4 == "0" || head.4 == "-", "{head:?}");
    assert_eq!((part.3, part.4.as_str()), (206, "5"));
}

#[test]
fn nothing_that_is_sent_forges_a_line() {
    let server = logged(&[]);
    for request in [
        &b"GET /\"%20200%200 HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET /a\\\" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%0a127.0.0.1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET /\\ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\"\"\" / HTTP/1.1\r\n\r\n",
        b"GET /\nforged HTTP/1.1\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request);
        let _ = client.answer();
    }
    server.get("/");
    let last = lines(&server, 10);
    for line in &last {
        assert!(parse(line).is_some(), "{:?}", String::from_utf8_lossy(line));
    }
    assert!(
        last.len() >= 10,
        "refused requests are told, too: {} lines",
        last.len()
    );
    // A very long target may be cut, but the line stays one.
    let long = format!("/{}", "a".repeat(6_000));
    server.get(&long);
    std::thread::sleep(Duration::from_millis(500));
    for line in lines(&server, last.len()) {
        assert!(
            parse(&line).is_some(),
            "{:?}",
            String::from_utf8_lossy(&line)
        );
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let site = Site::new();
    let mut command = Command::new(program());
    command.arg("--log").stdout(Stdio::piped());
    let mut server = Server::start(site, &mut command);
    // 64 KB of pipe are full after about 700 lines.
    let mut client = server.connect();
    for _ in 0..3_000 {
        assert_eq!(client.get("/d/").text(), "in d\n");
    }
    // Whole lines alone are in the pipe, and it goes on once there is room.
    let mut pipe = server.child.stdout.take().expect("pipe");
    let mut bytes = vec![0; 1 << 20];
    let mut read = pipe.read(&mut bytes).expect("read");
    client.get("/text.txt");
    read += pipe.read(&mut bytes[read..]).expect("read");
    for line in bytes[..read].split_inclusive(|&byte| byte == b'\n') {
        assert!(parse(line).is_some(), "{:?}", String::from_utf8_lossy(line));
    }
    assert!(bytes[..read].ends_with(b"\n"));
    // And where the reader is gone.
    drop(pipe);
    for _ in 0..100 {
        assert_eq!(client.get("/d/").text(), "in d\n");
    }
    assert_eq!(server.get("/healthz").text(), "ok\n");
}

#[test]
fn a_log_to_a_full_disk_or_to_nothing_holds_nobody_up() {
    for target in ["/dev/full", "/dev/null"] {
        let site = Site::new();
        let mut command = Command::new(program());
        command.arg("--log").stdout(
            fs::File::options()
                .write(true)
                .open(target)
                .expect("device"),
        );
        let server = Server::start(site, &mut command);
        let mut client = server.connect();
        for _ in 0..50 {
            assert_eq!(client.get("/").text(), "<p>hi\n", "{target}");
        }
    }
    let site = Site::new();
    let port = free_port();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" --log --port \"$1\" \"$2\" >&-"])
        .arg(program())
        .arg(port.to_string())
        .arg(site.root());
    let server = Server::start_as_is(site, &mut command, port);
    for _ in 0..50 {
        assert_eq!(
            server.get("/").text(),
            "<p>hi\n",
            "no standard output at all"
        );
    }
}

#[test]
fn nothing_is_logged_unless_asked_for() {
    let site = Site::new();
    let log = site.folder.join("log");
    let mut command = Command::new(program());
    command.stdout(fs::File::create(&log).expect("file"));
    let server = Server::start(site, &mut command);
    server.get("/");
    server.get("/nothing");
    assert_eq!(fs::read(&log).expect("log"), b"");
}
