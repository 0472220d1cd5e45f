//! The release program, started for real, and an API that the test plays.

#[path = "../../../crates/lambda/tests/api/mod.rs"]
mod api;
#[path = "../../service.rs"]
mod service;

use std::process::Command;

use api::{Api, Started, event};

#[test]
fn events_are_answered_and_bad_ones_told() {
    let program = service::build();
    let mut api = Api::new();
    let function = Started::new(&mut Command::new(&program), &api);
    for (asked, answer) in [
        ("{}", r#"{"hello":"world"}"#),
        (
            r#"{"name":"\u0022caf\u00e9\u0022","x":[1]}"#,
            "{\"hello\":\"\\\"caf\u{e9}\\\"\"}",
        ),
    ] {
        api.expect_next();
        api.send(event("1", "", asked));
        assert_eq!(api.expect_response("1").body, answer);
    }
    for (asked, part) in [
        ("", "the event is not JSON from byte 0"),
        ("{\"name\":7}", "the event has something else at byte 8"),
        ("[]", "the event has something else at byte 0"),
    ] {
        api.expect_next();
        api.send(event("2", "", asked));
        let error = api.expect_error("2");
        assert_eq!(
            error.field("Lambda-Runtime-Function-Error-Type"),
            "Function.BadEvent"
        );
        assert!(error.body.contains(part), "{asked}: {error:?}");
    }
    let longest = format!("{{\"name\":\"{}\"}}", "a".repeat(6 << 20));
    api.expect_next();
    api.send(event("3", "", &longest));
    assert!(api.expect_response("3").body.len() > 6 << 20);
    let too_long = format!("\"{}\"", "a".repeat(7 << 20));
    api.expect_next();
    api.send(event("4", "", &too_long));
    // It is not read to its end.
    assert!(api.request().body.contains("Runtime.EventTooLong"));
    api.send(api::ACCEPTED);
    api.expect_next();
    api.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    let (status, said) = function.end();
    assert_eq!(status.code(), Some(4));
    assert_eq!(
        said,
        "error: the Runtime API: its answer has the status 403\n"
    );
}
