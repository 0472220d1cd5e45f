//! The release program, started for real and asked through a loopback socket.

#[path = "../../service.rs"]
mod service;

use service::Service;

const TOKEN: &str = "Authorization: Bearer open sesame";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

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
    let body = "to=https%3a//a.example/%78&status=307&note=1";
    let answer = put("a", &[FORM], body);
    assert_eq!(
        (answer.status, answer.field("WWW-Authenticate")),
        (401, "Bearer")
    );
    assert_eq!(
        put("a", &[FORM, "Authorization: Bearer open sesamf"], body).status,
        401
    );
    assert_eq!(
        put("a", &[FORM, "Authorization: Basic open sesame"], body).status,
        401
    );
    assert_eq!(put("a", &[FORM, TOKEN], body).status, 201);
    let answer = service.ask("GET /a", &[], "");
    assert_eq!(
        (answer.status, answer.field("Location")),
        (307, "https://a.example/x")
    );
    assert_eq!(put("a", &[FORM, TOKEN], "to=http://b.example").status, 204);
    let answer = service.ask("GET /a", &[], "");
    assert_eq!(
        (answer.status, answer.field("Location")),
        (302, "http://b.example")
    );
    assert_eq!(put("docs", &[FORM, TOKEN], body).status, 409);
    assert_eq!(service.ask("DELETE /links/a", &[], "").status, 401);
    assert_eq!(service.ask("DELETE /links/a", &[TOKEN], "").status, 204);
    assert_eq!(service.ask("GET /a", &[], "").status, 404);
    let locked = Service::start(&[]);
    assert_eq!(locked.ask("PUT /links/a", &[FORM, TOKEN], body).status, 403);
    assert_eq!(
        locked
            .ask("PUT /links/a", &[FORM, "Authorization: Bearer "], body)
            .status,
        403
    );
}

#[test]
fn what_is_no_link_is_refused() {
    let service = Service::start(&[("TOKEN", "open sesame")]);
    let put = |name: &str, body: &str| {
        service
            .ask(&format!("PUT /links/{name}"), &[FORM, TOKEN], body)
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
        "https://a/\\b",
        "https://a/%0d%0aX: y",
        "https://a/%c3%a9",
        "https://a/%22",
        "https:/host",
    ] {
        assert_eq!(put("a", &format!("to={target}")), 422, "{target}");
    }
    let long = format!("https://a/{}", "x".repeat(247));
    assert_eq!(put("a", &format!("to={long}")), 422);
    assert_eq!(put("a", &format!("to={}", &long[..256])), 201);
    let fine = "to=https://a.example/";
    for status in ["200", "", "x", "65837", "99999999999999999999"] {
        let body = format!("to=https://a.example/&status={status}");
        assert_eq!(put("a", &body), 422, "{status}");
    }
    assert_eq!(put("a", "to=https://a.example/%zz"), 400);
    assert_eq!(put("a", "to=https://a.example/%ff"), 400);
    assert_eq!(put("a", "{\"to\":\"https://a.example/\"}"), 422);
    assert_eq!(put("a", &format!("to={}", "x".repeat(1_100))), 413);
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
