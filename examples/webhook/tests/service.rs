//! The release program, started for real and asked through a loopback socket.

#[path = "../../service.rs"]
mod service;

use hmac::{Hmac, KeyInit, Mac};
use service::{Answer, Service};
use sha2::Sha256;

const SECRET: &str = "It's a Secret to Everybody";

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    let code = mac.finalize().into_bytes();
    let digits: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X-Hub-Signature-256: sha256={digits}")
}

fn deliver(service: &Service, id: &str, body: &str) -> Answer {
    let fields = [
        &signature(body),
        &format!("X-GitHub-Delivery: {id}"),
        "X-GitHub-Event: push",
        "Content-Type: application/json",
    ];
    service.ask("POST /hook", &fields, body)
}

fn list(service: &Service) -> String {
    service.ask("GET /deliveries", &[], "").body
}

#[test]
fn a_signed_delivery_is_taken_once() {
    let service = Service::start(&[("SECRET", SECRET)]);
    assert_eq!(list(&service), "[]");
    let body = "{\"action\":\"opened\",\"sender\":{\"id\":1,\"x\":[{}]},\"repository\":{\"id\":2,\"full_name\":\"a\\/b\"}}";
    let answer = deliver(&service, "one", body);
    assert_eq!((answer.status, answer.body.as_str()), (202, "taken\n"));
    let answer = deliver(&service, "one", body);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "known already\n")
    );
    assert_eq!(deliver(&service, "two", "{}").status, 202);
    assert_eq!(
        list(&service),
        "[{\"number\":1,\"id\":\"two\",\"event\":\"push\",\"action\":\"\",\"repository\":\"\"},\
         {\"number\":0,\"id\":\"one\",\"event\":\"push\",\"action\":\"opened\",\"repository\":\"a/b\"}]"
    );
}

#[test]
fn the_example_of_the_senders_documentation_is_verified() {
    // docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    let service = Service::start(&[("SECRET", SECRET)]);
    let fields = [
        "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "X-GitHub-Delivery: one",
        "Content-Type: application/json",
    ];
    // It is signed, and no JSON.
    assert_eq!(
        service.ask("POST /hook", &fields, "Hello, World!").status,
        400
    );
    assert_eq!(
        service.ask("POST /hook", &fields, "Hello, World?").status,
        401
    );
}

#[test]
fn what_is_not_signed_or_not_whole_leaves_no_trace() {
    let service = Service::start(&[("SECRET", SECRET)]);
    let body = "{\"action\":\"opened\"}";
    let good = signature(body);
    let id = "X-GitHub-Delivery: one";
    let json = "Content-Type: application/json";
    let wrong = good.replace("sha256=", "sha256=0")[..good.len()].to_owned();
    for (fields, status) in [
        (&[id, json][..], 401),
        (&[id, json, "X-Hub-Signature-256: sha256="], 401),
        (&[id, json, &wrong], 401),
        (&[id, json, &good[..good.len() - 1]], 401),
        (&[id, json, &good.to_uppercase()], 401),
        (&[json, &good], 400),
        (&[json, &good, "X-GitHub-Delivery:"], 400),
        (
            &[
                json,
                &good,
                &format!("X-GitHub-Delivery: {}", "x".repeat(49)),
            ],
            400,
        ),
        (&[id, &good], 415),
    ] {
        let answer = service.ask("POST /hook", fields, body);
        assert_eq!(answer.status, status, "{fields:?} {answer:?}");
    }
    for body in [
        "",
        "[]",
        "{\"action\":1}",
        "{\"action\":\"a\"",
        "{} x",
        "{\"repository\":[]}",
    ] {
        assert!(
            matches!(deliver(&service, "one", body).status, 400 | 422),
            "{body}"
        );
    }
    assert_eq!(deliver(&service, "one", &" ".repeat(15_361)).status, 413);
    assert_eq!(list(&service), "[]");
    assert_eq!(
        deliver(&service, "one", &format!("{{{}}}", " ".repeat(15_358))).status,
        202
    );
}

#[test]
fn the_last_20_are_remembered() {
    let service = Service::start(&[("SECRET", SECRET)]);
    for number in 0..26 {
        assert_eq!(deliver(&service, &format!("id{number}"), "{}").status, 202);
    }
    let text = list(&service);
    assert_eq!(text.matches("\"number\":").count(), 20);
    assert!(text.starts_with("[{\"number\":25,\"id\":\"id25\"") && text.contains("\"id6\""));
    assert!(!text.contains("\"id5\""));
    // Forgotten, so it is news again.
    assert_eq!(deliver(&service, "id0", "{}").status, 202);
    assert_eq!(deliver(&service, "id25", "{}").status, 200);
}

#[test]
fn without_a_secret_it_does_not_start() {
    let output = std::process::Command::new(service::build())
        .env_remove("SECRET")
        .output()
        .expect("start");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("SECRET is not set"), "{text}");
}
