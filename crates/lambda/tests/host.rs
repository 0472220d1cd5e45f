//! Functions with the standard library, against an API that behaves in every way
//! that one can.

mod api;

use std::io::Write as _;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use api::{ACCEPTED, Api, event};
use ounce_lambda::Broken;
use ounce_lambda::host::{Event, Failure, Function, Settings, Stop, Stream, run};

fn settings(api: &Api) -> Settings {
    let address = api.address();
    Settings::of(|name| (name == "AWS_LAMBDA_RUNTIME_API").then(|| address.clone()))
        .expect("an address")
}

/// Runs a function beside the test; how it stops comes by the channel.
fn start(settings: Settings, function: impl Function) -> Receiver<Stop> {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(run(&settings, function)));
    told
}

fn stop(told: &Receiver<Stop>) -> Stop {
    told.recv_timeout(Duration::from_secs(60))
        .expect("it stops")
}

/// Does what its event names.
fn obey(event: Event) -> Result<Vec<u8>, Failure> {
    match event.bytes.as_slice() {
        b"\"panic\"" => panic!("as was asked"),
        b"\"error\"" => Err(Failure::new("Function.Odd", "as was asked")),
        b"\"number\"" => Err("x".parse::<u32>().expect_err("no number").into()),
        b"\"sleep\"" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        b"\"long\"" => Ok(vec![b'1'; 100]),
        _ => Ok(format!("{{\"arn\":\"{}\"}}", event.function_arn).into_bytes()),
    }
}

#[test]
fn answers_errors_and_panics_are_told_and_the_next_event_is_asked_for() {
    let mut api = Api::new();
    let told = start(settings(&api), obey);
    api.expect_next();
    api.send(event(
        "1",
        "Lambda-Runtime-Invoked-Function-Arn: arn:x\r\n",
        "{}",
    ));
    assert_eq!(api.expect_response("1").body, "{\"arn\":\"arn:x\"}");
    for (asked, kind, part) in [
        ("\"error\"", "Function.Odd", "\"as was asked\""),
        ("\"number\"", "Function.Error", "invalid digit"),
        (
            "\"panic\"",
            "Function.Panic",
            "the function panicked: as was asked",
        ),
    ] {
        api.expect_next();
        api.send(event("2", "", asked));
        let error = api.expect_error("2");
        assert_eq!(error.field("Lambda-Runtime-Function-Error-Type"), kind);
        assert!(error.body.contains(part), "{error:?}");
    }
    api.expect_next();
    api.send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(stop(&told), Stop::Api(Broken::Status(500)));
}

#[test]
fn an_answer_that_is_not_taken_is_told_as_an_error() {
    let mut api = Api::new();
    let told = start(settings(&api), obey);
    api.expect_next();
    api.send(event("1", "", "\"long\""));
    api.expect("POST /2018-06-01/runtime/invocation/1/response");
    api.send("HTTP/1.1 413 Long\r\nContent-Length: 0\r\n\r\n");
    let error = api.expect_error("1");
    assert!(error.body.contains("Function.AnswerTooLong"), "{error:?}");
    api.expect_next();
    // A cut connection is opened again; one that nobody opens is the end.
    api.cut();
    api.expect_next();
    drop(api);
    assert!(matches!(stop(&told), Stop::Api(Broken::Cut(_))));
}

#[test]
fn a_function_that_overruns_its_deadline_is_told_of_before_it_and_ends() {
    let mut api = Api::new();
    let told = start(settings(&api), obey);
    api.expect_next();
    // By duration, as `cargo lambda` has it: no clock of the test's is in it.
    api.send(event(
        "1",
        "Lambda-Runtime-Deadline-Ms: 300\r\n",
        "\"sleep\"",
    ));
    let error = api.expect_error("1");
    assert!(
        error.body.contains("the function overran its deadline"),
        "{error:?}"
    );
    assert_eq!(stop(&told), Stop::Overrun);
}

#[test]
fn what_a_function_streams_goes_out_as_it_is_written_and_its_error_behind_it() {
    struct Counter;
    impl Function for Counter {
        fn call(&mut self, event: Event, stream: &mut Stream) -> Result<Vec<u8>, Failure> {
            stream.begin("text/plain");
            for word in ["one", "two"] {
                stream.write_all(word.as_bytes())?;
            }
            match event.bytes.as_slice() {
                b"\"error\"" => Err(Failure::new("Function.Odd", "odd")),
                _ => Ok(b"not sent".to_vec()),
            }
        }
    }
    let mut api = Api::new();
    let _told = start(settings(&api), Counter);
    for (asked, end) in [
        ("{}", "0\r\n\r\n"),
        ("\"error\"", "Error-Type: Function.Odd\r\n"),
    ] {
        api.expect_next();
        api.send(event("1", "", asked));
        let response = api.expect_response("1");
        assert_eq!(
            response.field("Lambda-Runtime-Function-Response-Mode"),
            "streaming"
        );
        assert_eq!(response.field("Content-Type"), "text/plain");
        assert!(
            response
                .body
                .contains("3\r\none\r\n00000003\r\ntwo\r\n0\r\n"),
            "{response:?}"
        );
        assert!(response.body.contains(end), "{response:?}");
        assert!(!response.body.contains("not sent"));
    }
}

/// Fails at one of its steps.
struct Failing(&'static str);

impl Failing {
    fn at(&self, step: &str) -> Result<(), Failure> {
        match self.0 == step {
            true => Err(Failure::new("Function.NoDatabase", step)),
            false => Ok(()),
        }
    }
}

impl Function for Failing {
    fn start(&mut self) -> Result<(), Failure> {
        self.at("start")
    }

    fn before_snapshot(&mut self) -> Result<(), Failure> {
        self.at("before")
    }

    fn after_restore(&mut self) -> Result<(), Failure> {
        assert_ne!(self.0, "panic");
        self.at("after")
    }

    fn call(&mut self, _: Event, _: &mut Stream) -> Result<Vec<u8>, Failure> {
        Ok(b"{}".to_vec())
    }
}

#[test]
fn a_start_or_a_thaw_that_fails_is_told_and_ends_it() {
    const INIT: &str = "POST /2018-06-01/runtime/init/error";
    const RESTORE: &str = "POST /2018-06-01/runtime/restore/error";
    for (step, line, kind) in [
        ("start", INIT, "Function.NoDatabase"),
        ("before", INIT, "Function.NoDatabase"),
        ("after", RESTORE, "Function.NoDatabase"),
        ("panic", RESTORE, "Function.Panic"),
    ] {
        let mut api = Api::new();
        let mut settings = settings(&api);
        settings.is_snap_start = true;
        let told = start(settings, Failing(step));
        if line == RESTORE {
            api.expect("GET /2018-06-01/runtime/restore/next");
            api.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        let error = api.expect(line);
        api.send(ACCEPTED);
        assert_eq!(error.field("Lambda-Runtime-Function-Error-Type"), kind);
        assert!(matches!(stop(&told), Stop::Start(_)), "{step}");
    }
}

#[test]
fn a_program_that_lambda_has_not_started_says_so() {
    let missing = Settings::of(|_| None).expect_err("no address");
    assert!(
        missing
            .to_string()
            .contains("AWS_LAMBDA_RUNTIME_API is not set")
    );
    let bad = Settings::of(|_| Some("a b".to_owned())).expect("a text");
    let stop = run(&bad, obey);
    assert_eq!(stop, Stop::Address("a b".to_owned()));
}
