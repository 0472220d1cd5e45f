//! The Runtime API as a hostile peer, byte by byte: what it sends is in the test,
//! what it gets is looked at, and nothing waits.

use std::collections::VecDeque;

use ounce_lambda::address::Api;
use ounce_lambda::exchange::NEVER;
use ounce_lambda::fault::Content;
use ounce_lambda::http::json::Sink;
use ounce_lambda::{Broken, Client, Cut, Fault, Verdict, Wire};
use proptest::prelude::*;

const NOW_MS: u64 = 2_000_000_000_000;
/// The shortest buffer that is used: events that are longer are easily made.
const BUFFER_BYTES: usize = 2_048;

/// Connections, each with what comes on it, and what was sent on all of them.
struct Script {
    connections: VecDeque<Vec<u8>>,
    current: VecDeque<u8>,
    /// The most bytes that come at once.
    step: usize,
    /// At the end of a connection nothing comes any more, and it stays open.
    stays_open: bool,
    sent: Vec<u8>,
    opened: usize,
    has_waited_for_ever: bool,
}

impl Script {
    fn new<B: AsRef<[u8]>>(connections: &[B]) -> Self {
        Self {
            connections: connections
                .iter()
                .map(|bytes| bytes.as_ref().to_vec())
                .collect(),
            current: VecDeque::new(),
            step: usize::MAX,
            stays_open: false,
            sent: Vec::new(),
            opened: 0,
            has_waited_for_ever: false,
        }
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

impl Wire for &mut Script {
    fn connect(&mut self) -> Result<(), Cut> {
        self.current = self.connections.pop_front().ok_or(Cut::Unreachable)?.into();
        self.opened += 1;
        Ok(())
    }

    fn send(&mut self, bytes: &[u8], _: bool) -> Result<(), Cut> {
        self.sent.extend_from_slice(bytes);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], until_ms: u64) -> Result<usize, Cut> {
        assert!(!buffer.is_empty());
        if self.current.is_empty() && self.stays_open {
            self.has_waited_for_ever |= until_ms == NEVER;
            return Err(Cut::Silent);
        }
        let count = buffer.len().min(self.step).min(self.current.len());
        for (place, byte) in buffer.iter_mut().zip(self.current.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn now_ms(&mut self) -> u64 {
        NOW_MS
    }
}

fn client(script: &mut Script) -> Client<'static, &mut Script> {
    Client::new(Api::parse("127.0.0.1:9001").expect("an address"), script)
}

/// A name, for the answer to the next invocation.
const ID: &str = "Lambda-Runtime-Aws-Request-Id: id-1\r\n";
const DONE: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

fn event(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{ID}Content-Length: {length}\r\n\r\n{body}")
}

/// What `next` gives: the event as text, or why there is none.
fn next(script: &mut Script) -> Result<String, Broken> {
    let mut buffer = [0; BUFFER_BYTES];
    let mut client = client(script);
    let invocation = client.next(&mut buffer)?;
    assert_eq!(invocation.context.request_id, "id-1");
    Ok(String::from_utf8_lossy(invocation.event).into_owned())
}

#[test]
fn an_event_comes_the_same_however_it_is_cut_up_and_framed() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\n{ID}Transfer-Encoding: chunked\r\n\r\n\
         3;x=y\r\n{{\"a\r\n4\r\n\":1}}\r\n0\r\nX: y\r\n\r\n"
    );
    let to_the_end = format!("HTTP/1.1 200 OK\r\n{ID}\r\n{{\"a\":1}}");
    let interim = format!(
        "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n{}",
        event("{\"a\":1}")
    );
    for text in [event("{\"a\":1}"), chunked, to_the_end, interim] {
        for step in [1, 2, 3, 7, usize::MAX] {
            let mut script = Script::new(&[&text]);
            script.step = step;
            assert_eq!(
                next(&mut script).as_deref(),
                Ok("{\"a\":1}"),
                "{text} by {step}"
            );
        }
    }
}

#[test]
fn a_head_cut_at_any_byte_is_asked_for_again_three_times_and_no_more() {
    let text = event("{}");
    for end in 0..text.len() - 2 {
        let cut = &text[..end];
        let mut script = Script::new(&[cut, cut, &text]);
        assert_eq!(next(&mut script).as_deref(), Ok("{}"), "{end}");
        let mut script = Script::new(&[cut; 9]);
        assert_eq!(next(&mut script), Err(Broken::Cut(Cut::Lost)), "{end}");
        assert_eq!(script.opened, 3);
    }
}

/// What is told of an event that cannot be had; then another one comes.
fn told(bad: &str) -> String {
    let mut script = Script::new(&[bad, DONE, &event("{}")]);
    assert_eq!(next(&mut script).as_deref(), Ok("{}"), "{bad}");
    let sent = script.sent();
    assert!(sent.contains("POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n"));
    sent
}

#[test]
fn an_event_cut_at_any_byte_is_answered_by_an_error_and_the_next_is_asked_for() {
    let text = event("{\"a\":1}");
    for end in text.len() - 7..text.len() {
        let sent = told(&text[..end]);
        assert!(sent.contains("\r\nLambda-Runtime-Function-Error-Type: Runtime.BadEvent\r\n"));
        assert!(
            sent.contains("\"errorMessage\":\"the event was cut short, or is in faulty HTTP\""),
            "{sent}"
        );
    }
}

#[test]
fn an_event_without_end_or_longer_than_there_is_room_is_answered_by_an_error() {
    let long = "1".repeat(BUFFER_BYTES);
    let chunk = format!("7d0\r\n{}\r\n", "1".repeat(2_000));
    for text in [
        event(&long),
        format!("HTTP/1.1 200 OK\r\n{ID}Content-Length: 99999999999\r\n\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\n{ID}Content-Length: 999999999999999999\r\n\r\n{long}"),
        format!(
            "HTTP/1.1 200 OK\r\n{ID}Transfer-Encoding: chunked\r\n\r\n{}",
            chunk.repeat(9)
        ),
        format!(
            "HTTP/1.1 200 OK\r\n{ID}Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n{long}"
        ),
        format!("HTTP/1.1 200 OK\r\n{ID}\r\n{}", long.repeat(9)),
    ] {
        let sent = told(&text);
        assert!(
            sent.contains("Error-Type: Runtime.EventTooLong\r\n"),
            "{sent}"
        );
    }
}

#[test]
fn an_event_in_faulty_chunks_is_answered_by_an_error() {
    for body in [
        "x\r\n",
        "1\r\n{}\r\n",
        "-1\r\n",
        "2\r\n{}X",
        "0\r\nX : y\r\n\r\n",
    ] {
        let sent = told(&format!(
            "HTTP/1.1 200 OK\r\n{ID}Transfer-Encoding: chunked\r\n\r\n{body}"
        ));
        assert!(
            sent.contains("Error-Type: Runtime.BadEvent\r\n"),
            "{body}: {sent}"
        );
    }
}

#[test]
fn an_event_that_comes_after_its_deadline_is_answered_by_an_error() {
    let late = format!(
        "HTTP/1.1 200 OK\r\n{ID}Lambda-Runtime-Deadline-Ms: {NOW_MS}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let sent = told(&late);
    assert!(
        sent.contains("Error-Type: Runtime.DeadlinePassed\r\n"),
        "{sent}"
    );
}

#[test]
fn what_is_no_answer_ends_it_with_a_reason() {
    let long = "a".repeat(3 * BUFFER_BYTES);
    for (text, broken) in [
        ("SSH-2.0-OpenSSH\r\n".to_owned(), Broken::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned(), Broken::Malformed),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}".to_owned(), Broken::Status(500)),
        ("HTTP/1.1 204 No\r\n\r\n".to_owned(), Broken::Status(204)),
        ("HTTP/1.1 302 To\r\nLocation: http://evil/\r\n\r\n".to_owned(), Broken::Status(302)),
        ("HTTP/1.1 101 Up\r\n\r\n".to_owned(), Broken::Malformed),
        ("HTTP/1.1 100 Go\r\n\r\n".repeat(9), Broken::Malformed),
        (format!("HTTP/1.1 200 OK\r\nX: {long}"), Broken::Malformed),
        (format!("HTTP/1.1 200 OK\r\n{ID}{ID}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
            Broken::Malformed),
        ("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: ../../x\r\nContent-Length: 2\r\n\r\n{}"
            .to_owned(), Broken::Malformed),
    ] {
        let mut script = Script::new(&[&text]);
        assert_eq!(next(&mut script), Err(broken), "{text:.60}");
    }
    let mut script = Script::new::<&str>(&[]);
    assert_eq!(next(&mut script), Err(Broken::Cut(Cut::Unreachable)));
}

#[test]
fn only_the_next_event_is_waited_for_without_end() {
    let mut script = Script::new(&[""]);
    script.stays_open = true;
    assert_eq!(next(&mut script), Err(Broken::Cut(Cut::Silent)));
    assert!(script.has_waited_for_ever);
    // Once it has begun there is an end, and so has every answer to what is told.
    let begun = event("{}");
    for end in 1..begun.len() - 2 {
        let mut script = Script::new(&[&begun[..end]]);
        script.stays_open = true;
        assert_eq!(next(&mut script), Err(Broken::Cut(Cut::Silent)), "{end}");
        assert!(!script.has_waited_for_ever);
    }
    for text in ["", "HTTP/1.1 202 Acc", "HTTP/1.1 202 Accepted\r\n"] {
        let mut script = Script::new(&[text]);
        script.stays_open = true;
        let answered = client(&mut script).respond("id-1", &Text("{}"));
        assert_eq!(answered, Err(Broken::Cut(Cut::Silent)));
        assert!(!script.has_waited_for_ever);
    }
}

struct Text<'a>(&'a str);

impl Content for Text<'_> {
    fn write(&self, sink: &mut dyn Sink) {
        sink.put(self.0.as_bytes());
    }
}

#[test]
fn what_is_told_is_judged_by_its_status() {
    for (status, verdict) in [
        (200, Ok(Verdict::Accepted)),
        (202, Ok(Verdict::Accepted)),
        (400, Ok(Verdict::Refused(400))),
        (403, Ok(Verdict::Refused(403))),
        (413, Ok(Verdict::Refused(413))),
        (500, Err(Broken::Status(500))),
        (302, Err(Broken::Status(302))),
    ] {
        let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 3\r\n\r\nabc");
        let mut script = Script::new(&[&text]);
        assert_eq!(client(&mut script).respond("id-1", &Text("{}")), verdict);
        assert_eq!(
            script.sent(),
            "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n\
             Host: 127.0.0.1:9001\r\n\
             Content-Length: 2\r\n\r\n{}"
        );
    }
}

#[test]
fn a_connection_is_kept_while_answers_are_whole_and_nothing_is_behind_them() {
    let opened = |texts: &[&str]| {
        let mut script = Script::new(texts);
        let mut client = client(&mut script);
        for _ in 0..2 {
            assert_eq!(client.respond("id-1", &Text("{}")), Ok(Verdict::Accepted));
        }
        script.opened
    };
    // Both answers would come on the first: what is behind an answer before it was
    // asked for is nobody's.
    assert_eq!(opened(&[&DONE.repeat(2), DONE]), 2);
    assert_eq!(
        opened(&[
            "HTTP/1.1 202 A\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            DONE
        ]),
        2
    );
    assert_eq!(
        opened(&["HTTP/1.0 202 A\r\nContent-Length: 0\r\n\r\n", DONE]),
        2
    );
    assert_eq!(opened(&["HTTP/1.1 202 A\r\n\r\n", DONE]), 2);
    // A kept one turns out to be closed.
    assert_eq!(opened(&[DONE, DONE]), 2);
    let long = format!(
        "HTTP/1.1 202 A\r\nContent-Length: 99999\r\n\r\n{}",
        "a".repeat(99_999)
    );
    assert_eq!(opened(&[&long, DONE]), 2);
}

#[test]
fn pieces_are_chunks_and_an_error_behind_them_is_in_the_trailers() {
    let mut script = Script::new(&[DONE]);
    let mut client = client(&mut script);
    client.begin_pieces("id-1", "text/plain").expect("begun");
    for piece in ["hello", "", "a".repeat(5_000).as_str()] {
        client.piece(&Text(piece)).expect("sent");
    }
    let fault = Fault::new("Function.Odd", "odd");
    assert_eq!(client.end_pieces(Some(&fault)), Ok(Verdict::Accepted));
    let sent = script.sent();
    let (head, body) = sent.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n"));
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\nTrailer: "));
    assert!(head.ends_with("\r\nContent-Type: text/plain"));
    let end = body
        .strip_prefix("00000005\r\nhello\r\n00001388\r\n")
        .and_then(|rest| rest.strip_prefix("a".repeat(5_000).as_str()))
        .expect("two chunks");
    assert_eq!(
        end,
        "\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Odd\r\n\
         Lambda-Runtime-Function-Error-Body: \
         eyJlcnJvck1lc3NhZ2UiOiJvZGQiLCJlcnJvclR5cGUiOiJGdW5jdGlvbi5PZGQiLCJzdGFja1RyYWNlIjpbXX0=\
         \r\n\r\n"
    );
}

#[test]
fn start_and_snapshot_are_told_where_lambda_looks() {
    let mut script = Script::new(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", DONE]);
    let mut one = client(&mut script);
    assert_eq!(one.restored(), Ok(()));
    let fault = Fault::new("Function.Odd", "odd");
    assert_eq!(one.restore_failed(&fault), Ok(Verdict::Accepted));
    let sent = script.sent();
    assert!(
        sent.starts_with("GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(
        sent.contains("POST /2018-06-01/runtime/restore/error HTTP/1.1\r\n"),
        "{sent}"
    );
    let mut script = Script::new(&[DONE]);
    let prefixed = Api::parse("http://127.0.0.1:9001/.rt/hello").expect("an address");
    let told = Client::new(prefixed, &mut script).fail("", &fault);
    assert_eq!(told, Ok(Verdict::Accepted));
    let sent = script.sent();
    assert!(
        sent.starts_with("POST /.rt/hello/2018-06-01/runtime/init/error HTTP/1.1\r\n"),
        "{sent}"
    );
}

/// Something like answers, in pieces that a fuzzer would need long to find.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 202 A\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 C\r\n",
        ID,
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Lambda-Runtime-Deadline-Ms: 1\r\n",
        "\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "hello",
        "ffff\r\n",
        "\r",
        "\n",
        ":",
        " ",
        "\0",
    ]);
    prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn whatever_it_sends_ends_and_nothing_panics(
        connections in prop::collection::vec(answers(), 0..6),
        step in 1_usize..40,
    ) {
        let mut script = Script::new(&connections);
        script.step = step;
        let mut buffer = [0; 64];
        let mut client = client(&mut script);
        for _ in 0..4 {
            if let Ok(invocation) = client.next(&mut buffer) {
                let id = invocation.context.request_id;
                let _ = client.respond(id, &Text("{}"));
            }
        }
        let _ = client.begin_pieces("id-1", "a/b");
        let _ = client.piece(&Text("x"));
        let _ = client.end_pieces(None);
        prop_assert!(script.opened <= 6);
    }
}
