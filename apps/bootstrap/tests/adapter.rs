//! The adapter, started for real: between an API that the test plays and a server
//! that does what its path names.

#[path = "../../../crates/lambda/tests/api/mod.rs"]
mod api;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use api::{ACCEPTED, Api, Started, event};

/// The release program, built once.
fn adapter() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
        let folder = env!("CARGO_MANIFEST_DIR");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--bin", "bootstrap"])
            .args(["--target", &target, "--target-dir", "target/real"])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(folder)
            .status();
        assert!(status.expect("cargo starts").success());
        format!("{folder}/target/real/{target}/release/bootstrap")
    })
}

/// The server, which cargo has built beside the tests.
fn server() -> PathBuf {
    let own = env::current_exe().expect("a path");
    let folder = own.parent().and_then(|deps| deps.parent());
    folder.expect("a folder").join("examples/server")
}

/// A port below those that the kernel hands out, which nobody listens on.
fn port() -> u16 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 32;
        let port = 10_000 + (number % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn start(api: &Api, variables: &[(&str, &str)]) -> Started {
    let mut command = Command::new(adapter());
    command
        .arg(server())
        .env("PORT", port().to_string())
        .envs(variables.iter().copied());
    Started::new(&mut command, api)
}

/// A request through a function's own URL.
fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        r#"{{"version":"2.0","rawPath":"{path}","rawQueryString":"q=1","headers":{{"host":"h","x-a":"b"}},
        "requestContext":{{"http":{{"method":"{method}"}}}},"body":"{body}","isBase64Encoded":false}}"#
    )
}

/// Asks for a path; what is answered.
fn ask(api: &mut Api, path: &str) -> String {
    api.expect_next();
    api.send(event("1", "", &request("GET", path, "")));
    api.expect_response("1").body
}

/// Asks for a path; what error is told.
fn fail(api: &mut Api, path: &str, lines: &str) -> String {
    api.expect_next();
    api.send(event("1", lines, &request("GET", path, "")));
    api.expect_error("1").body
}

#[test]
fn requests_reach_the_server_and_its_answers_lambda() {
    let mut api = Api::new();
    let _adapter = start(&api, &[("AWS_LWA_READINESS_CHECK_PATH", "/ready")]);
    api.expect_next();
    let line = "Lambda-Runtime-Trace-Id: Root=1-2\r\n";
    api.send(event("1", line, &request("POST", "/echo", "h\\u00e9llo")));
    let answer = api.expect_response("1").body;
    for part in [
        r#"{"statusCode":200,"headers":{"Content-Type":"text/plain"},"cookies":["a=b"],"#,
        r#""body":"POST /echo?q=1 HTTP/1.1\u000d\u000ahost: h\u000d\u000ax-a: b\u000d\u000a"#,
        "X-Amzn-Trace-Id: Root=1-2",
        r"Content-Length: 6\u000d\u000aConnection: close",
        "h\u{e9}llo\"}",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(ask(&mut api, "/chunked").contains(r#""body":"onetwo""#));
    let answer = ask(&mut api, "/old");
    assert!(
        answer.contains(r#"{"statusCode":404"#) && answer.contains("to the end"),
        "{answer}"
    );
}

#[test]
fn what_a_bad_server_does_is_told_and_the_next_event_is_asked_for() {
    let mut api = Api::new();
    let _adapter = start(&api, &[]);
    for (path, kind) in [
        ("/cut", "Adapter.Cut"),
        ("/cut-chunks", "Adapter.Cut"),
        ("/nothing", "Adapter.Cut"),
        ("/garbage", "Adapter.Malformed"),
        ("/smuggle", "Adapter.Malformed"),
        ("/long", "Function.AnswerTooLong"),
    ] {
        let error = fail(&mut api, path, "");
        assert!(error.contains(kind), "{path}: {error}");
    }
    // By duration: no clock of the test's is in it.
    let error = fail(&mut api, "/slow", "Lambda-Runtime-Deadline-Ms: 300\r\n");
    assert!(error.contains("Adapter.Overrun"), "{error}");
    for (bad, kind) in [
        ("{", "Function.BadEvent"),
        (r#"{"httpMethod":"GET","path":7}"#, "Function.BadEvent"),
        (
            r#"{"httpMethod":"GET","path":"/","headers":{"a":"b\r\nc: d"}}"#,
            "Adapter.BadEvent",
        ),
        (
            r#"{"httpMethod":"GET","path":"/","body":"a","isBase64Encoded":true}"#,
            "Adapter.BadEvent",
        ),
    ] {
        api.expect_next();
        api.send(event("1", "", bad));
        let error = api.expect_error("1").body;
        assert!(error.contains(kind), "{bad}: {error}");
    }
    assert!(ask(&mut api, "/echo").contains("GET /echo"));
}

#[test]
fn a_server_that_ends_is_told_of_and_ends_the_adapter() {
    for (path, part) in [
        ("/end", "the server ended with status 3"),
        ("/abort", "the server was ended by signal 6"),
    ] {
        let mut api = Api::new();
        let adapter = start(&api, &[]);
        let error = fail(&mut api, path, "");
        assert!(error.contains(part), "{error}");
        let (status, said) = adapter.end();
        assert_eq!(
            (status.code(), said.as_str()),
            (Some(1), "error: the server has ended\n")
        );
    }
}

/// What is told of a start that fails.
fn init_error(command: &mut Command) -> String {
    let mut api = Api::new();
    let started = Started::new(command, &api);
    let error = api.expect("POST /2018-06-01/runtime/init/error");
    api.send(ACCEPTED);
    assert_eq!(started.end().0.code(), Some(1));
    error.body
}

#[test]
fn a_start_that_fails_is_told_with_its_reason() {
    let nothing = env::temp_dir().join(format!("ounce-adapter-{}", std::process::id()));
    fs::create_dir_all(&nothing).expect("a folder");
    let new = || {
        let mut command = Command::new(adapter());
        command.current_dir(&nothing);
        command
    };
    let error = init_error(&mut new());
    assert!(error.contains("Adapter.NoCommand"), "{error}");
    let error = init_error(new().arg("/nothing/here"));
    assert!(
        error.contains("the server's program is not there"),
        "{error}"
    );
    let text = nothing.join("text");
    fs::write(&text, "no program").expect("a file");
    let error = init_error(new().arg(&text));
    assert!(
        error.contains("the server's program cannot be executed"),
        "{error}"
    );
    let error = init_error(new().arg(server()).env("SERVER_ENDS", "1"));
    assert!(error.contains("the server ended with status 7"), "{error}");
    let error = init_error(new().args(vec!["a"; 65]));
    assert!(error.contains("more than 64 words"), "{error}");
    for (name, value) in [
        ("PORT", "0"),
        ("PORT", "x"),
        ("AWS_LWA_PORT", "65536"),
        ("AWS_LWA_INVOKE_MODE", "x"),
    ] {
        let error = init_error(new().arg(server()).env(name, value));
        assert!(
            error.contains("Adapter.BadOption"),
            "{name}={value}: {error}"
        );
    }
    fs::remove_dir_all(&nothing).expect("a folder");
}

#[test]
fn the_command_may_stand_in_a_file_beside_the_program() {
    let folder = env::temp_dir().join(format!("ounce-adapter-file-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let words = format!("{}\0--word\0", server().display());
    fs::write(folder.join("bootstrap.args"), words).expect("a file");
    let mut api = Api::new();
    let mut command = Command::new(adapter());
    command.current_dir(&folder).env("PORT", port().to_string());
    let _adapter = Started::new(&mut command, &api);
    assert!(ask(&mut api, "/echo").contains("GET /echo"));
    fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn streamed_answers_go_on_piece_by_piece_and_a_cut_is_told_behind_them() {
    let mut api = Api::new();
    let _adapter = start(&api, &[("AWS_LWA_INVOKE_MODE", "response_stream")]);
    for (path, end) in [
        ("/chunked", "3\r\none\r\n00000003\r\ntwo\r\n0\r\n\r\n"),
        (
            "/cut",
            "5\r\nshort\r\n0\r\nLambda-Runtime-Function-Error-Type: Adapter.Cut\r\n",
        ),
    ] {
        api.expect_next();
        api.send(event("1", "", &request("GET", path, "")));
        let response = api.expect_response("1");
        assert_eq!(
            response.field("Lambda-Runtime-Function-Response-Mode"),
            "streaming"
        );
        let kind = "application/vnd.awslambda.http-integration-response";
        assert_eq!(response.field("Content-Type"), kind);
        assert!(
            response.body.contains("{\"statusCode\":200"),
            "{response:?}"
        );
        assert!(response.body.contains("\0\0\0\0\0\0\0\0"), "{response:?}");
        assert!(response.body.contains(end), "{response:?}");
    }
    // More than there is room for, but never at once.
    api.expect_next();
    api.send(event("1", "", &request("GET", "/long", "")));
    assert!(api.expect_response("1").body.matches('a').count() > 8 << 20);
}

#[test]
fn other_events_are_posted_and_what_fails_there_fails() {
    let mut api = Api::new();
    let _adapter = start(&api, &[]);
    let queue = r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":"{\"a\":\"b\"}"}]}"#;
    api.expect_next();
    api.send(event("1", "", queue));
    assert_eq!(api.expect_response("1").body, queue);
    api.expect_next();
    api.send(event("2", "", "\"bad\""));
    let error = api.expect_error("2").body;
    assert!(
        error.contains("the server answers an event with status 500"),
        "{error}"
    );
}

#[test]
fn a_program_that_lambda_has_not_started_says_so() {
    let output = Command::new(adapter())
        .env_remove("AWS_LAMBDA_RUNTIME_API")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("hint: this program is a function of AWS Lambda"),
        "{said}"
    );
    let help = Command::new(adapter())
        .arg("--help")
        .output()
        .expect("it starts");
    assert!(help.stdout.starts_with(b"usage: bootstrap PROGRAM"));
}
