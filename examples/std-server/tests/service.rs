//! The release program, started for real and asked through a loopback socket.

#[path = "../../service.rs"]
mod service;

use std::io::{Read as _, Write as _};

use service::Service;

#[test]
fn words_of_all_texts_are_counted() {
    let service = Service::start(&[]);
    let first = service.ask("POST /words", &[], "One, two;\ntwo thrée");
    assert_eq!(first.status, 200);
    assert_eq!(
        first.body,
        "{\"bytes\":20,\"lines\":2,\"words\":4,\"known\":3}\n"
    );
    assert_eq!(service.ask("POST /words", &[], "two").status, 200);
    let all = service.ask("GET /words", &[], "");
    assert_eq!(all.field("Content-Type"), "application/json");
    assert_eq!(
        all.body,
        "[{\"word\":\"two\",\"times\":3},{\"word\":\"one\",\"times\":1},{\"word\":\"thrée\",\"times\":1}]\n"
    );
    assert_eq!(service.ask("POST /words", &[], [0xff]).status, 400);
    assert_eq!(service.ask("GET /nothing", &[], "").status, 404);
    assert_eq!(service.ask("DELETE /words", &[], "").status, 405);
    assert_eq!(service.ask("HEAD /healthz", &[], "").body, "");
}

#[test]
fn a_connection_is_kept_until_either_side_ends() {
    let service = Service::start(&[]);
    let mut stream = service.connect();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
        .expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("two answers");
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answer.matches("Connection: close").count(), 1);
}

#[test]
fn what_is_no_request_is_refused_and_the_service_goes_on() {
    let service = Service::start(&[]);
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    for (bytes, status) in [
        (&b"\r\n\r\n"[..], "400"),
        (b"GET /\r\n\r\n", "400"),
        (b"GET / HTTP/3\r\n\r\n", "505"),
        (
            b"POST /words HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            "400",
        ),
        (
            b"POST /words HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
            "400",
        ),
        (
            b"POST /words HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n",
            "413",
        ),
        (
            b"POST /words HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "411",
        ),
        (long.as_bytes(), "431"),
    ] {
        let mut stream = service.connect();
        stream.write_all(bytes).expect("send");
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(
            text,
            format!("HTTP/1.1 {status}"),
            "{:?}",
            &bytes[..20.min(bytes.len())]
        );
    }
    assert_eq!(service.ask("GET /healthz", &[], "").status, 200);
}
