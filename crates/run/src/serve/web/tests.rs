//! The proxy between a client and a service that both are written down here,
//! byte by byte.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Route, Routes, Web};
use crate::serve::metrics::{Board, Counters};
use crate::serve::route::Place;

const PATIENCE: Duration = Duration::from_secs(20);
const LOCAL: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The proxy, with one service behind it.
struct Bench {
    address: SocketAddr,
    service: TcpListener,
    counters: Arc<Counters>,
    web: Web,
}

impl Bench {
    fn new(most: Option<u32>) -> Self {
        let front = TcpListener::bind(LOCAL).unwrap();
        let service = TcpListener::bind(LOCAL).unwrap();
        let address = front.local_addr().unwrap();
        let counters = Counters::new("one");
        let route = Route {
            place: Place {
                hosts: vec![],
                prefix: "/".to_owned(),
            },
            address: service.local_addr().unwrap(),
            most,
            busy: AtomicU32::new(0),
            counters: Arc::clone(&counters),
        };
        let web = Web::start(Board::default()).unwrap();
        web.routes(Routes::from([(address, vec![Arc::new(route)])]));
        web.front(address, front.into());
        Self {
            address,
            service,
            counters,
            web,
        }
    }

    fn client(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    /// A service that reads until its request ends so, and answers with this.
    fn once(&self, ends: &'static str, answer: &'static [u8]) -> JoinHandle<String> {
        let listener = self.service.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = until(&mut stream, ends);
            stream.write_all(answer).unwrap();
            request
        })
    }
}

/// Reads until the text ends so.
fn until(stream: &mut TcpStream, ends: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.ends_with(ends.as_bytes()) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(bytes).unwrap()
}

fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_body_in_chunks_passes_as_it_is_however_it_is_cut() {
    let bench = Bench::new(None);
    let service = bench.once(
        "0\r\nX-Sum: 7\r\n\r\n",
        b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let mut client =
        bench.client("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for byte in b"4;x=y\r\nwiki\r\n0\r\nX-Sum: 7\r\n\r\n" {
        client.write_all(&[*byte]).unwrap();
    }
    let answer = until(&mut client, "0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 201 Made\r\n"), "{answer}");
    assert!(answer.contains("Connection: keep-alive\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{answer}"
    );
    let request = service.join().unwrap();
    assert!(
        request.starts_with("POST /x HTTP/1.1\r\nHost: a\r\n"),
        "{request}"
    );
    assert!(
        request.contains("X-Forwarded-For: 127.0.0.1\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\n4;x=y\r\nwiki\r\n0\r\nX-Sum: 7\r\n\r\n"));
    // And the next request on the same connection.
    let service = bench.once("\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n");
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(rest(client).starts_with("HTTP/1.1 204 No\r\n"));
    service.join().unwrap();
    assert_eq!(bench.counters.requests[1].load(Ordering::Relaxed), 2);
}

#[test]
fn a_large_body_passes_both_ways_at_once() {
    const BYTES: usize = 5_000_000;
    let bench = Bench::new(None);
    let listener = bench.service.try_clone().unwrap();
    // It sends every byte back as it comes.
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = until(&mut stream, "\r\n\r\n");
        let head_bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        stream.write_all(head_bytes.as_bytes()).unwrap();
        let mut buffer = vec![0; 100_000];
        let mut left = BYTES;
        while left > 0 {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0);
            stream.write_all(&buffer[..count]).unwrap();
            left -= count;
        }
        head
    });
    let head = format!(
        "PUT /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {BYTES}\r\n\r\n"
    );
    let mut client = bench.client(&head);
    let mut writer = client.try_clone().unwrap();
    let body: Vec<u8> = (0..BYTES).map(|index| (index / 7) as u8).collect();
    let sent = body.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    writing.join().unwrap();
    service.join().unwrap();
    let start = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert!(bytes[start..] == body, "{} bytes", bytes.len() - start);
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    let bench = Bench::new(None);
    let service = bench.once("\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nabc");
    let answer = rest(bench.client("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    service.join().unwrap();
}

#[test]
fn an_answer_that_is_cut_off_is_not_passed_for_a_whole_one() {
    let bench = Bench::new(None);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let service = bench.once("\r\n\r\n", answer);
    let text = rest(bench.client("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(text.is_empty() || text.ends_with("\r\n\r\nabc"), "{text}");
    service.join().unwrap();
    // Nothing at all, and nothing that is HTTP, are told.
    for answer in [&b""[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101 Up\r\n\r\n"] {
        let service = bench.once("\r\n\r\n", answer);
        let text = rest(bench.client("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(text.starts_with("HTTP/1.1 502 "), "{text}");
        service.join().unwrap();
    }
}

#[test]
fn a_connection_that_is_upgraded_carries_whatever_it_likes() {
    let bench = Bench::new(None);
    let listener = bench.service.try_clone().unwrap();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = until(&mut stream, "\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 101 Up\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n\x00hi")
            .unwrap();
        assert_eq!(until(&mut stream, "ping"), "ping");
        stream.write_all(b"pong").unwrap();
        request
    });
    let mut client =
        bench.client("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n");
    let answer = until(&mut client, "\r\n\r\n\0hi");
    assert!(answer.starts_with("HTTP/1.1 101 Up\r\n"), "{answer}");
    assert!(
        answer.contains("Upgrade: echo\r\nConnection: upgrade\r\n"),
        "{answer}"
    );
    client.write_all(b"ping").unwrap();
    assert_eq!(rest(client), "pong");
    let request = service.join().unwrap();
    assert!(
        request.contains("Upgrade: echo\r\nConnection: upgrade\r\n"),
        "{request}"
    );
}

#[test]
fn word_for_the_meantime_is_passed_on_before_the_body() {
    let bench = Bench::new(None);
    let listener = bench.service.try_clone().unwrap();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = until(&mut stream, "\r\n\r\n");
        assert!(request.contains("Expect: 100-continue\r\n"), "{request}");
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        assert_eq!(until(&mut stream, "abc"), "abc");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let mut client = bench.client(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\
         Connection: close\r\n\r\n",
    );
    assert_eq!(
        until(&mut client, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write_all(b"abc").unwrap();
    let answer = rest(client);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    service.join().unwrap();
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() {
    let bench = Bench::new(None);
    let service = bench.once("\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    let mut client = bench.client("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = until(&mut client, "\r\n\r\n");
    assert_eq!(
        answer.matches("Content-Length: 9\r\n").count(),
        1,
        "{answer}"
    );
    service.join().unwrap();
    let service = bench.once("\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n");
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(rest(client).starts_with("HTTP/1.1 304 "));
    service.join().unwrap();
}

#[test]
fn requests_that_are_faulty_never_reach_a_service() {
    let bench = Bench::new(None);
    bench.service.set_nonblocking(true).unwrap();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("\x16\x03\x01\r\n", 400),
    ] {
        let mut client = bench.client(request);
        let answer = until(&mut client, "\n");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    assert!(bench.service.accept().is_err(), "nobody has connected");
    // One whose body turns out faulty is cut off.
    bench.service.set_nonblocking(false).unwrap();
    let client =
        bench.client("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert!(rest(client).starts_with("HTTP/1.1 400 "));
}

#[test]
fn no_more_requests_at_once_than_a_service_may_have() {
    let bench = Bench::new(Some(2));
    let clients: Vec<TcpStream> = (0..6)
        .map(|_| bench.client("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        .collect();
    let mut most = 0;
    let mut open: Vec<TcpStream> = Vec::new();
    let mut served = 0;
    while served < clients.len() {
        let (mut stream, _) = bench.service.accept().unwrap();
        until(&mut stream, "\r\n\r\n");
        open.push(stream);
        // Whoever else there may be would come now.
        std::thread::sleep(Duration::from_millis(20));
        bench.service.set_nonblocking(true).unwrap();
        while let Ok((stream, _)) = bench.service.accept() {
            stream.set_nonblocking(false).unwrap();
            open.push(stream);
        }
        bench.service.set_nonblocking(false).unwrap();
        most = most.max(open.len());
        served += open.len();
        for mut stream in open.drain(..) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        }
    }
    assert!(most <= 2, "{most} at once");
    for client in clients {
        assert!(rest(client).starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn an_end_lets_finish_what_is_on_its_way() {
    let bench = Bench::new(None);
    let mut waiting = bench.client("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut stream, _) = bench.service.accept().unwrap();
    until(&mut stream, "\r\n\r\n");
    bench.web.end();
    let end = std::time::Instant::now() + PATIENCE;
    while TcpStream::connect(bench.address).is_ok() && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    let answer = until(&mut waiting, "ok");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(bench);
    assert_eq!(rest(waiting), "", "it is closed after that");
}
