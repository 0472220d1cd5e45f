//! The release program, started for real and asked through a loopback socket.

#[path = "../../service.rs"]
mod service;

use service::{Service, unchunked};

#[test]
fn values_are_kept_replaced_and_dropped() {
    let service = Service::start(&[]);
    let ask = |line: &str, fields: &[&str], body: &str| service.ask(line, fields, body);
    assert_eq!(ask("GET /keys/a", &[], "").status, 404);
    assert_eq!(ask("PUT /keys/a", &[], "one").status, 201);
    let answer = ask("GET /keys/a", &[], "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    assert_eq!(answer.field("ETag"), "\"1\"");
    assert_eq!(ask("PUT /keys/b%C3%A9", &[], "").status, 201);
    assert_eq!(ask("PUT /keys/a", &[], "three").status, 204);
    assert_eq!(ask("GET /keys/a", &[], "").body, "three");
    assert_eq!(ask("HEAD /keys/a", &[], "").field("Content-Length"), "5");
    assert_eq!(
        unchunked(&ask("GET /keys", &[], "").body),
        "[{\"key\":\"bé\",\"bytes\":0,\"version\":2},{\"key\":\"a\",\"bytes\":5,\"version\":3}]\n"
    );
    assert_eq!(ask("DELETE /keys/a", &[], "").status, 204);
    assert_eq!(ask("DELETE /keys/a", &[], "").status, 404);
    assert_eq!(ask("GET /keys/b%C3%A9", &[], "").body, "");
    assert_eq!(
        ask("POST /keys/a", &[], "").field("Allow"),
        "GET, HEAD, PUT, DELETE, OPTIONS"
    );
    let metrics = ask("GET /metrics", &[], "").body;
    assert!(metrics.starts_with("kv_keys 1\nkv_bytes 10\n"), "{metrics}");
}

#[test]
fn rfc9110_13_1_conditions_keep_writers_from_losing_updates() {
    let service = Service::start(&[]);
    let put = |fields: &[&str], body: &str| service.ask("PUT /keys/a", fields, body).status;
    assert_eq!(put(&["If-Match: *"], "x"), 412);
    assert_eq!(put(&["If-None-Match: *"], "one"), 201);
    assert_eq!(put(&["If-None-Match: *"], "x"), 412);
    assert_eq!(put(&["If-Match: \"9\""], "x"), 412);
    assert_eq!(put(&["If-Match: \"7\", \"1\""], "two"), 204);
    assert_eq!(put(&["If-Match: \"1\""], "x"), 412);
    assert_eq!(service.ask("GET /keys/a", &[], "").body, "two");
    let answer = service.ask("GET /keys/a", &["If-None-Match: W/\"2\""], "");
    assert_eq!((answer.status, answer.body.as_str()), (304, ""));
    assert_eq!(
        service
            .ask("DELETE /keys/a", &["If-Match: \"1\""], "")
            .status,
        412
    );
    assert_eq!(
        service
            .ask("DELETE /keys/a", &["If-Match: \"2\""], "")
            .status,
        204
    );
}

#[test]
fn bounds_are_kept_and_told() {
    let service = Service::start(&[]);
    let put = |key: &str, body: &str| service.ask(&format!("PUT /keys/{key}"), &[], body);
    assert_eq!(put(&"k".repeat(64), "").status, 201);
    assert_eq!(put(&"k".repeat(65), "").status, 400);
    let largest = "v".repeat(8_192);
    assert_eq!(put("large", &largest).status, 201);
    assert_eq!(service.ask("GET /keys/large", &[], "").body, largest);
    assert_eq!(put("large", &"v".repeat(8_193)).status, 413);
    // Half a MiB of them and their heads, of which two are there.
    let mut count = 2;
    while put(&format!("{count:04}"), &largest).status == 201 {
        count += 1;
        assert!(count < 200, "the store is never full");
    }
    assert_eq!(count, 1 + (524_288 - 71 - 8_204) / 8_203 + 1);
    let answer = put("more", &largest);
    assert_eq!(answer.status, 507);
    assert!(answer.body.contains("full"), "{answer:?}");
    // What is replaced makes room for what replaces it.
    assert_eq!(put("0002", &largest).status, 204);
    assert_eq!(service.ask("DELETE /keys/0003", &[], "").status, 204);
    assert_eq!(put("more", &largest).status, 201);
    assert_eq!(service.ask("GET /keys/0004", &[], "").body, largest);
    let list = unchunked(&service.ask("GET /keys", &[], "").body);
    assert_eq!(list.matches("\"bytes\":8192").count(), count - 1);
}

#[test]
fn a_long_list_is_whole_though_writers_go_on() {
    use std::io::{Read, Write};
    let service = Service::start(&[]);
    for number in 0..2_000 {
        let line = format!("PUT /keys/a-rather-long-name-for-a-key-{number:05}");
        assert_eq!(service.ask(&line, &[], "x").status, 201);
    }
    let mut stream = service.connect();
    let request = "GET /keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("send");
    let mut first = [0; 100];
    stream.read_exact(&mut first).expect("the beginning");
    // Rewritten, it moves behind all that the list still has to tell.
    let line = "PUT /keys/a-rather-long-name-for-a-key-00000";
    assert_eq!(service.ask(line, &[], "y").status, 204);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the rest");
    let all = String::from_utf8_lossy(&first).into_owned() + &rest;
    let (_, body) = all.split_once("\r\n\r\n").expect("a head");
    let list = unchunked(body);
    assert!(
        list.starts_with("[{") && list.ends_with("}]\n"),
        "{}",
        list.len()
    );
    for number in 1..2_000 {
        assert_eq!(
            list.matches(&format!("key-{number:05}\"")).count(),
            1,
            "{number}"
        );
    }
}
