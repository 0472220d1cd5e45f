//! The release program, started for real and asked through a loopback socket.

#[path = "../../service.rs"]
mod service;

use service::Service;

const TOKEN: &str = "Authorization: Bearer open sesame";
const JSON: &str = "Content-Type: application/json";

#[test]
fn links_of_the_table_lead_where_they_say_and_count() {
    let service = Service::start(&[]);
    for (name, status, target) in [
        ("docs", 308, "https://example.org/documentation/"),
        ("status", 307, "https://status.example.org/"),
        ("blog", 302, "https://blog.example.org/"),
        ("old", 301, "https://example.org/new"),
    ] {
        let answer = service.ask(&format!("GET /{name}"), &[], "");
        assert_eq!((answer.status, answer.field("Location")), (status, target));
    }
    let answer = service.ask("HEAD /docs?to=https://evil.example", &[], "");
    assert_eq!(
        answer.field("Location"),
        "https://example.org/documentation/"
    );
    assert_eq!(service.ask("GET /other", &[], "").status, 404);
    assert_eq!(service.ask("GET /", &[], "").status, 404);
    let list = service.ask("GET /links", &[], "").body;
    assert!(list.contains("\"to\":\"https://example.org/documentation/\",\"hits\":2}"));
    assert!(
        list.contains("\"to\":\"https://example.org/new\",\"hits\":1}"),
        "{list}"
    );
}

#[test]
fn links_are_changed_by_who_has_the_token_alone() {
    let service = Service::start(&[("TOKEN", "open sesame")]);
    let put = |name: &str, fields: &[&str], body: &str| {
        service.ask(&format!("PUT /links/{name}"), fields, body)
    };
    let body = "{\"to\": \"https://a.example/\\u0078\", \"status\": 307, \"note\": [1]}";
    let answer = put("a", &[JSON], body);
    assert_eq!(
        (answer.status, answer.field("WWW-Authenticate")),
        (401, "Bearer")
    );
    assert_eq!(
        put("a", &[JSON, "Authorization: Bearer open sesamf"], body).status,
        401
    );
    assert_eq!(
        put("a", &[JSON, "Authorization: Basic open sesame"], body).status,
        401
    );
    assert_eq!(put("a", &[JSON, TOKEN], body).status, 201);
    let answer = service.ask("GET /a", &[], "");
    assert_eq!(
        (answer.status, answer.field("Location")),
        (307, "https://a.example/x")
    );
    assert_eq!(
        put("a", &[JSON, TOKEN], "{\"to\":\"http://b.example\"}").status,
        204
    );
    let answer = service.ask("GET /a", &[], "");
    assert_eq!(
        (answer.status, answer.field("Location")),
        (302, "http://b.example")
    );
    assert_eq!(put("docs", &[JSON, TOKEN], body).status, 409);
    assert_eq!(service.ask("DELETE /links/a", &[], "").status, 401);
    assert_eq!(service.ask("DELETE /links/a", &[TOKEN], "").status, 204);
    assert_eq!(service.ask("GET /a", &[], "").status, 404);
    let locked = Service::start(&[]);
    assert_eq!(locked.ask("PUT /links/a", &[JSON, TOKEN], body).status, 403);
    assert_eq!(
        locked
            .ask("PUT /links/a", &[JSON, "Authorization: Bearer "], body)
            .status,
        403
    );
}

#[test]
fn what_is_no_link_is_refused() {
    let service = Service::start(&[("TOKEN", "open sesame")]);
    let put = |name: &str, body: &str| {
        service
            .ask(&format!("PUT /links/{name}"), &[JSON, TOKEN], body)
            .status
    };
    for target in [
        "",
        "/relative",
        "//host",
        "javascript:alert(1)",
        "ftp://host/",
        "https://",
        "http:///x",
        "https://good.example@evil.example/",
        "https://a b/",
        "https://a/\\\\b",
        "https://a/\\r\\nX: y",
        "https://a/\\u00e9",
        "https://a/\\\"",
        "https:/host",
    ] {
        assert_eq!(
            put("a", &format!("{{\"to\":\"{target}\"}}")),
            422,
            "{target}"
        );
    }
    let long = format!("https://a/{}", "x".repeat(247));
    assert_eq!(put("a", &format!("{{\"to\":\"{long}\"}}")), 422);
    assert_eq!(put("a", &format!("{{\"to\":\"{}\"}}", &long[..256])), 201);
    let fine = "{\"to\":\"https://a.example/\"}";
    assert_eq!(
        put("a", "{\"to\":\"https://a.example/\",\"status\":200}"),
        422
    );
    assert_eq!(put("a", "{\"to\":\"https://a.example/\"} x"), 400);
    assert_eq!(put("a", "{\"to\":1}"), 422);
    assert_eq!(
        put("a", &format!("{{\"to\":\"{}\"}}", "x".repeat(1_100))),
        413
    );
    assert_eq!(put("links", fine), 422);
    assert_eq!(put("healthz", fine), 422);
    assert_eq!(put(&"n".repeat(33), fine), 422);
    // With the one above, as many as there is room for.
    for number in 1..32 {
        assert_eq!(put(&format!("n{number}"), fine), 201);
    }
    assert_eq!(put("more", fine), 507);
    assert_eq!(put("n1", fine), 204);
    let list = service.ask("GET /links", &[], "").body;
    assert_eq!(list.matches("\"name\":").count(), 36);
}
