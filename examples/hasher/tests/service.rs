//! The release program, started for real and asked through a loopback socket:
//! bodies that go through it piece by piece.

#[path = "../../service.rs"]
mod service;

use service::{Service, unchunked};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits + "\n"
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn bodies_of_any_length_and_framing_are_hashed() {
    let service = Service::start(&[]);
    for length in [0, 1, 63, 64, 16_383, 16_384, 16_385, 3_000_001] {
        let body = noise(length);
        let answer = service.ask("PUT /sha256", &[], &body);
        assert_eq!((answer.status, answer.body), (200, hash(&body)), "{length}");
        let mut request = b"PUT /sha256 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                            Transfer-Encoding: chunked\r\n\r\n"
            .to_vec();
        for chunk in body.chunks(7_001) {
            request.extend_from_slice(format!("{:x};x=y\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
        let answer = service.send(&request);
        assert!(answer.ends_with(&hash(&body)), "{length}: {answer}");
    }
}

#[test]
fn the_next_request_follows_a_streamed_body() {
    let service = Service::start(&[]);
    let body = noise(100_000);
    let mut request = format!(
        "PUT /sha256 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    let next = request.clone();
    request.extend_from_slice(b"GET /numbers/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    request.extend_from_slice(&next);
    request.extend_from_slice(b"GET /numbers/2 HTTP/1.0\r\n\r\n");
    let answer = service.send(&request);
    assert_eq!(answer.matches(&hash(&body)).count(), 2, "{answer}");
    assert!(
        answer.contains("\r\n\r\n0006\r\n1\n2\n3\n\r\n0\r\n\r\n"),
        "{answer}"
    );
    // HTTP/1.0 knows no chunks.
    assert!(answer.ends_with("\r\n\r\n1\n2\n"), "{answer}");
}

#[test]
fn rfc9110_10_1_1_a_body_is_asked_for_when_it_is_wanted() {
    let service = Service::start(&[]);
    let mut stream = service.connect();
    let head =
        "PUT /sha256 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("send");
    let mut line = [0; 25];
    stream.read_exact(&mut line).expect("100");
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").expect("send");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("200");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let answer = service.ask("PUT /sha256", &["Expect: 100-continue"], "");
    assert_eq!(answer.body, hash(b""));
    // Not for what is refused anyway.
    let too_long = "PUT /sha256 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1073741825\r\n\r\n";
    let answer = service.send(too_long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn faulty_framing_is_refused_in_the_midst_of_a_body() {
    let service = Service::start(&[]);
    let head = "PUT /sha256 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, status) in [
        ("5\r\nhelloX", 400),
        ("5\r\nhello\r\nx\r\n", 400),
        ("5\r\nhello\n", 400),
        ("3fffffff\r\n", 0),
        ("1\r\na\r\n40000000\r\n", 413),
        ("1\r\na\r\n0\r\n x\r\n", 400),
    ] {
        let mut stream = service.connect();
        stream
            .write_all((head.to_owned() + body).as_bytes())
            .expect("send");
        let mut answer = [0; 12];
        if status == 0 {
            // That much is allowed: it waits for it.
            stream
                .set_read_timeout(Some(Duration::from_millis(200)))
                .expect("timeout");
            assert!(stream.read_exact(&mut answer).is_err());
            continue;
        }
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[9..], *status.to_string().as_bytes(), "{body}");
    }
}

#[test]
fn an_answer_waits_for_its_reader_and_others_do_not() {
    let service = Service::start(&[]);
    let mut slow = service.connect();
    slow.write_all(b"GET /numbers/4000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("send");
    thread::sleep(Duration::from_millis(100));
    // Less than is on its way: nothing is gathered up in the service.
    let dirty = service.dirty_bytes();
    assert!(dirty < 64_000, "{dirty}");
    assert_eq!(service.ask("PUT /sha256", &[], "abc").body, hash(b"abc"));
    let mut text = String::new();
    slow.read_to_string(&mut text).expect("all");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
    let content = unchunked(body);
    assert!(
        content
            .lines()
            .zip(1..)
            .all(|(line, number)| line == i32::to_string(&number))
    );
    assert_eq!(content.lines().count(), 4_000_000);
}

#[test]
fn places_are_given_back_by_those_who_leave() {
    let service = Service::start(&[]);
    let head = b"PUT /sha256 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    for _ in 0..5 {
        // As many as there are places, and one more.
        let mut streams: Vec<_> = (0..16).map(|_| service.connect()).collect();
        for stream in &mut streams {
            stream.write_all(head).expect("send");
        }
        thread::sleep(Duration::from_millis(50));
        let answer = service.ask("PUT /sha256", &[], "abc");
        assert_eq!((answer.status, answer.field("Retry-After")), (503, "1"));
        drop(streams);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(service.ask("PUT /sha256", &[], "abc").body, hash(b"abc"));
}

#[test]
fn the_page_is_sent_once() {
    let service = Service::start(&[]);
    let answer = service.ask("GET /", &[], "");
    assert_eq!(answer.body, include_str!("../src/index.html"));
    assert_eq!(answer.field("Content-Type"), "text/html; charset=utf-8");
    let tag = format!("If-None-Match: {}", answer.field("ETag"));
    let answer = service.ask("GET /", &[&tag], "");
    assert_eq!((answer.status, answer.body.as_str()), (304, ""));
    assert_eq!(service.ask("HEAD /numbers/9", &[], "").body, "");
    for path in ["/numbers/x", "/numbers/4294967296"] {
        assert_eq!(service.ask(&format!("GET {path}"), &[], "").status, 404);
    }
}
