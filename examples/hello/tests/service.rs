//! The release program, started for real and asked through a loopback socket.

#[path = "../../service.rs"]
mod service;

use service::Service;

const JSON: &[&str] = &["Content-Type: application/json"];

#[test]
fn every_route_answers_and_hostile_input_is_refused() {
    let service = Service::start(&[]);
    let ask = |line, body: &str| service.ask(line, JSON, body);
    assert_eq!(ask("GET /", "").status, 200);
    let answer = ask("GET /hello/a%22b%C3%A9", "");
    assert_eq!(answer.body, "{\"hello\":\"a\\\"b\u{e9}\"}");
    assert_eq!(answer.field("Content-Type"), "application/json");
    assert_eq!(ask("POST /sum", " [1, 2 ,39] ").body, "{\"sum\":42}");
    assert_eq!(ask("HEAD /hello/you", "").field("Content-Length"), "15");
    let answer = ask("OPTIONS /sum", "");
    assert_eq!(
        (answer.status, answer.field("Allow")),
        (204, "POST, OPTIONS")
    );
    for (line, body, status) in [
        ("POST /sum", "[1,", 400),
        ("POST /sum", "", 400),
        ("POST /sum", "[1] 2", 400),
        ("POST /sum", "{}", 422),
        ("POST /sum", "[-1]", 422),
        ("POST /sum", &"[".repeat(15_000), 422),
        ("POST /sum", &"1".repeat(15_361), 413),
        ("GET /hello/%ff", "", 400),
        ("GET /hello/a/b", "", 404),
        ("GET /hello/", "", 404),
        ("GET /sum", "", 405),
        ("DELETE /", "", 405),
    ] {
        let answer = ask(line, body);
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert_eq!(answer.field("Content-Type"), "application/problem+json");
        assert!(answer.body.contains(&format!("\"status\":{status}")));
    }
    let answer = service.ask("POST /sum", &["Content-Type: text/plain"], "[1]");
    assert_eq!(answer.status, 415);
    let largest = format!("[{}]", "0,".repeat(7_678) + "1 ");
    assert_eq!(ask("POST /sum", &largest).body, "{\"sum\":1}");
}

#[test]
fn requests_may_come_in_one_go_or_byte_by_byte() {
    use std::io::{Read, Write};
    let service = Service::start(&[]);
    let one = "GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "POST /sum HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n";
    let all = one.repeat(100) + last;
    let answer = service.send(all.as_bytes());
    assert_eq!(answer.matches("{\"hello\":\"a\"}").count(), 100);
    assert!(answer.ends_with("\r\n\r\n{\"sum\":1}"), "{answer}");
    let mut stream = service.connect();
    stream.set_nodelay(true).expect("no delay");
    for byte in last.as_bytes() {
        stream.write_all(&[*byte]).expect("send");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("\r\n\r\n{\"sum\":1}"), "{answer}");
}
