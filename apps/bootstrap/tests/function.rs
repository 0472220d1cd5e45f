//! Functions without libc that fail in every way: what Lambda is told of it.

#[path = "../../../crates/lambda/tests/api/mod.rs"]
mod api;

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::OnceLock;

use api::{ACCEPTED, Api, Started, event};

/// `fixtures/faulty-function`, built once.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/faulty-function"
        );
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--target", &target])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(folder)
            .status();
        assert!(status.expect("cargo starts").success());
        format!("{folder}/target/{target}/release/faulty-function")
    })
}

#[test]
fn a_panic_is_told_and_ends_the_program() {
    let mut api = Api::new();
    let function = Started::new(&mut Command::new(program()), &api);
    api.expect_next();
    api.send(event("1", "", "\"index\""));
    // It is told on a connection of its own.
    api.cut();
    let error = api.expect_error("1");
    assert_eq!(
        error.field("Lambda-Runtime-Function-Error-Type"),
        "Function.Panic"
    );
    assert!(error.body.contains("the function panicked"), "{error:?}");
    assert_eq!(function.end().0.code(), Some(70));
}

#[test]
fn a_program_that_the_kernel_ends_has_told_nothing_and_answers_nothing_false() {
    let mut api = Api::new();
    let function = Started::new(&mut Command::new(program()), &api);
    api.expect_next();
    api.send(event("1", "", "\"overflow\""));
    let (status, _) = function.end();
    // SIGSEGV: Lambda sees the program's end, and tells Runtime.ExitError itself.
    assert_eq!(status.signal(), Some(11));
}

#[test]
fn errors_and_answers_too_long_are_told_and_the_next_event_is_asked_for() {
    let mut api = Api::new();
    let _function = Started::new(&mut Command::new(program()), &api);
    for (asked, kind) in [
        ("\"error\"", "Function.Odd"),
        ("\"long\"", "Function.AnswerTooLong"),
    ] {
        api.expect_next();
        api.send(event("1", "", asked));
        let error = api.expect_error("1");
        assert_eq!(error.field("Lambda-Runtime-Function-Error-Type"), kind);
    }
    api.expect_next();
    api.send(event("1", "", "[1]"));
    api.expect("POST /2018-06-01/runtime/invocation/1/response");
    api.send("HTTP/1.1 413 Long\r\nContent-Length: 0\r\n\r\n");
    assert!(
        api.expect_error("1")
            .body
            .contains("Function.AnswerTooLong")
    );
    // What Lambda refuses otherwise is over, and no reason to end.
    api.expect_next();
    api.send(event("1", "", "[1]"));
    api.expect("POST /2018-06-01/runtime/invocation/1/response");
    api.send("HTTP/1.1 400 Over\r\nContent-Length: 0\r\n\r\n");
    api.expect_next();
    api.send(event(
        "1",
        "Lambda-Runtime-Deadline-Ms: 300000\r\n",
        "\"left\"",
    ));
    assert_eq!(api.expect_response("1").body, "true");
}

#[test]
fn pieces_go_out_as_they_are_flushed_and_an_error_behind_them() {
    let mut api = Api::new();
    let _function = Started::new(&mut Command::new(program()), &api);
    for (asked, end) in [
        ("\"stream\"", "two\r\n0\r\n\r\n"),
        (
            "\"stream-error\"",
            "two\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Odd\r\n",
        ),
    ] {
        api.expect_next();
        api.send(event("1", "", asked));
        let response = api.expect_response("1");
        assert_eq!(response.field("Content-Type"), "text/plain");
        let body = response.body;
        assert!(
            body.starts_with("00000003\r\none\r\n00000003\r\n"),
            "{body}"
        );
        assert!(body.contains(end), "{body}");
    }
}

#[test]
fn a_start_or_a_thaw_that_fails_is_told_and_ends_the_program() {
    const INIT: &str = "POST /2018-06-01/runtime/init/error";
    const RESTORE: &str = "POST /2018-06-01/runtime/restore/error";
    for (step, line, status) in [
        ("start", INIT, 1),
        ("panic", INIT, 70),
        ("before", INIT, 1),
        ("after", RESTORE, 1),
    ] {
        let mut api = Api::new();
        let mut command = Command::new(program());
        command
            .arg(step)
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start");
        let function = Started::new(&mut command, &api);
        if line == RESTORE {
            api.expect("GET /2018-06-01/runtime/restore/next");
            api.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        let error = api.expect(line);
        api.send(ACCEPTED);
        assert!(
            error.body.contains("\"errorType\":\"Function."),
            "{error:?}"
        );
        assert_eq!(function.end().0.code(), Some(status), "{step}");
    }
}
