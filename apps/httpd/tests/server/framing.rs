//! RFC 9112, case by case: where a body ends and the next request begins, and
//! what becomes of the connection.

use crate::cases::{After, Case, case, judge};
use crate::harness::{Server, Site};
use crate::packed::serve_alone;
use std::time::Duration;

fn server() -> Server {
    Site::new().serve(&[])
}

/// A GET with these field lines, each with its CRLF.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    request.extend_from_slice(fields.as_ref());
    request.extend_from_slice(b"\r\n");
    request
}

/// A GET with a chunked body as given.
fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = get("Transfer-Encoding: chunked\r\n");
    request.extend_from_slice(body.as_ref());
    request
}

#[test]
fn rfc9112_6_3_a_body_has_one_length() {
    const SECTION: &str = "RFC 9112 section 6.3";
    let mut cases = Vec::new();
    let with = |fields: &str, body: &str| {
        get(fields)
            .into_iter()
            .chain(body.bytes())
            .collect::<Vec<_>>()
    };
    for value in [
        "5,5",
        "5, 5",
        "5,6",
        "5,",
        ",5",
        "+5",
        "-5",
        "-1234",
        "+1_0",
        "0x5",
        "0x10",
        "5_0",
        "1Z",
        "5 5",
        "5;a",
        "5.0",
        "1e1",
        "\u{665}",
        "a",
        "-48",
        "",
        " ",
        "\"5\"",
        "5\0",
        "0b1",
        "0o5",
        "-0",
        "+0",
        "NaN",
        "-123456789123456789123456789",
        "18446744073709551616",
        "99999999999999999999999999",
        "00000000000000000000000000000000000000000000000000000000000000005 5",
    ] {
        let request = with(&format!("Content-Length: {value}\r\n"), "0123456789");
        cases.push(case(SECTION, format!("Content-Length: {value:?}"), request).refused(&[400]));
    }
    for value in [
        "18446744073709551615",
        "9223372036854775808",
        "4294967296",
        "100000000",
    ] {
        // Good numbers, but more than anybody takes: 413, or not read and closed.
        let request = with(&format!("Content-Length: {value}\r\n"), "");
        cases.push(
            case(
                "RFC 9110 section 15.5.14",
                format!("Content-Length: {value}"),
                request,
            )
            .refused(&[200, 400, 413]),
        );
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 0\r\n",
        "Content-Length: \r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nX: y\r\nContent-Length: 5\r\n",
    ] {
        cases.push(case(SECTION, format!("{fields:?}"), with(fields, "01234")).refused(&[400]));
    }
    // One number in decimal, however many zeros are ahead, or refused.
    for (value, body) in [("010", "0123456789"), ("0005", "01234"), ("00", "")] {
        let request = with(&format!("Content-Length: {value}\r\n"), body);
        cases.push(
            case(SECTION, format!("Content-Length: {value}"), request)
                .gives(&[200, 400], After::Either),
        );
    }
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: {}\r\n",
        "content-length:{}\r\n",
        "CONTENT-LENGTH: \t{} \t\r\n",
    ] {
        let fields = fields.replace("{}", &smuggled.len().to_string());
        for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "BREW"] {
            // The body is no request: it is read over, or the connection closes.
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{smuggled}");
            let status = match method {
                "GET" | "HEAD" => 200,
                "OPTIONS" => 204,
                "BREW" => 501,
                _ => 405,
            };
            let name = format!("{method} with a request as body, {fields:?}");
            cases
                .push(case("RFC 9112 section 11.2", name, request).gives(&[status], After::Either));
        }
    }
    judge(&server(), &cases);
    judge(&serve_alone(), &cases);
}

#[test]
fn rfc9112_6_1_transfer_encoding_is_chunked_once_and_alone() {
    const SECTION: &str = "RFC 9112 section 6.1";
    let mut cases = Vec::new();
    for method in ["GET", "POST"] {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "content-LengtH: 5\r\nTransFer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: ,chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding:\r\nContent-Length: 5\r\n",
        ] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
            let statuses = if ["gzip", "identity", ",chunked"]
                .iter()
                .any(|odd| fields.contains(odd))
            {
                &[400, 501][..]
            } else {
                &[400]
            };
            cases.push(case(SECTION, format!("{method} {fields:?}"), request).refused(statuses));
        }
    }
    for value in [
        "chunked, chunked",
        "chunked,chunked",
        "chunked, gzip",
        "chunked, identity",
        ",chunked",
        "chunked,",
        "chunked, ,",
        "",
        " ",
        ",",
        "chunked\x0b",
        "\x0bchunked",
        "\x0cchunked",
        "\x01chunked",
        "chunked\0",
        "xchunked",
        "chunkedx",
        "chunk",
        "\"chunked\"",
        "'chunked'",
        "chunked;",
        "chunked;q=1",
        "chunked; a=b",
        "x chunked",
        "chunked x",
        "cow",
        "identity",
        "gzip",
        "gzip, chunked",
        "deflate, gzip",
        "identity, chunked",
        "chunKed, chunKed",
        "{chunked}",
        "chunked:",
        ": chunked",
    ] {
        // Section 6.1: an unknown coding is 501; all else is 400.
        let request = chunked("").into_iter().collect::<Vec<_>>();
        let request = String::from_utf8(request).expect("text");
        let request = request.replace(": chunked", &format!(": {value}")) + "0\r\n\r\n";
        let is_odd = value.is_empty() || value.bytes().any(|byte| byte < b' ');
        let statuses = if is_odd { &[400][..] } else { &[400, 501] };
        cases.push(
            case(SECTION, format!("Transfer-Encoding: {value:?}"), request).refused(statuses),
        );
    }
    let request = get("Transfer-Encoding: gzip, chunked\r\n");
    cases.push(case(SECTION, "an unknown coding", request).refused(&[501]));
    for value in [
        &b"\xa0chunked\xa0"[..],
        b"\xffchunked\xff",
        b"\x85chunked",
        b"chunked\x85",
    ] {
        let request = get([b"Transfer-Encoding: ", value, b"\r\n"].concat());
        let request = [&request[..], b"0\r\n\r\n"].concat();
        cases.push(case(SECTION, format!("{value:?}"), request).refused(&[400, 501]));
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let request = [get(fields), b"0\r\n\r\n".to_vec()].concat();
        cases.push(case(SECTION, format!("{fields:?}"), request).refused(&[400, 501]));
    }
    for fields in ["", "Connection: keep-alive\r\n", "Host: a\r\n"] {
        let request =
            format!("POST / HTTP/1.0\r\n{fields}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        cases.push(case(SECTION, format!("chunked in 1.0, {fields:?}"), request).refused(&[400]));
    }
    for name in [
        "Transfer-Encoding",
        "transfer-encoding",
        "TRANSFER-ENCODING",
    ] {
        for value in ["chunked", "Chunked", "CHUNKED", "\tchunked", " chunked \t"] {
            let request = [get(format!("{name}:{value}\r\n")), b"0\r\n\r\n".to_vec()].concat();
            cases.push(
                case(SECTION, format!("{name}:{value:?}"), request).gives(&[200], After::Either),
            );
        }
    }
    judge(&server(), &cases);
}

#[test]
fn rfc9112_7_1_chunks_are_exact() {
    const SECTION: &str = "RFC 9112 section 7.1";
    let mut cases = Vec::new();
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n",
        "A\r\n0123456789\r\n0\r\n\r\n",
        "a\r\n0123456789\r\n0\r\n\r\n",
        "005\r\nhello\r\n00\r\n\r\n",
        "1;a\r\n1\r\n0\r\n\r\n",
        "1;a=b\r\n1\r\n0;c=d\r\n\r\n",
        "1;a=\"b c\"\r\n1\r\n0\r\n\r\n",
        "1\r\n1\r\n0\r\nX: y\r\n\r\n",
        "1\r\n1\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        "17\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
        "2\r\n\r\n\r\n0\r\n\r\n",
    ] {
        cases.push(case(SECTION, format!("{body:?}"), chunked(body)).gives(&[200], After::Either));
    }
    for body in [
        "\r\n\r\n",
        "\r\n",
        "g\r\n\r\n",
        "-1\r\n",
        "-0\r\n\r\n",
        "+0\r\n\r\n",
        "+1\r\n1\r\n0\r\n\r\n",
        "0x0\r\n\r\n",
        "-0x0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "0_2e\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        " 0\r\n\r\n",
        "           0\r\n\r\n",
        "\t0\r\n\r\n",
        "0 \r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "5.0\r\nhello\r\n0\r\n\r\n",
        "\"5\"\r\nhello\r\n0\r\n\r\n",
        ";a\r\n\r\n",
        "1these-bytes-never-get-validated\r\nZ\r\n0\r\n\r\n",
        "INVALID!!!\r\n",
        "Z\r\nZZ\r\nZZZ\r\n\r\n",
        // Line ends.
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "a\r\n0123456789\n0\r\n\r\n",
        "0\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\r\r\n\r\n",
        "0\r\n\rX",
        "1\r0\nx\r\n0\r\n\r\n",
        "5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n",
        "2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n",
        "41;a=b\r\rdata\r\n0\r\n\r\n",
        // Extensions with controls or line ends in them.
        "1;a\nb\r\n1\r\n0\r\n\r\n",
        "1;\n1\r\n0\r\n\r\n",
        "1;a=\"\0\"\r\n1\r\n0\r\n\r\n",
        "1;\x01\r\n1\r\n0\r\n\r\n",
        "1;a\x7f\r\n1\r\n0\r\n\r\n",
        // Trailers that are no fields.
        "0\r\nX : y\r\n\r\n",
        "0\r\n y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX:POST / HTTP/1.1\n\r\n",
    ] {
        cases.push(case(SECTION, format!("{body:?}"), chunked(body)).refused(&[400]));
    }
    for size in [
        "10000000000000000",
        "fffffffffffffffff",
        "FFFFFFFFFFFFFFFF",
        "7fffffffffffffff",
        "8000000000000000",
        "ffffffff",
        "100000000",
        "00000000000000000000000000000000000000005",
    ] {
        // More than 64 bits must not wrap; what fits is more than anybody takes.
        let request = chunked(format!("{size}\r\nhello\r\n0\r\n\r\n"));
        cases.push(case(SECTION, format!("a chunk of {size}"), request).refused(&[400, 413]));
    }
    let long = chunked(format!("1;{}\r\n1\r\n0\r\n\r\n", "a".repeat(20_000)));
    cases
        .push(case("RFC 9112 section 7.1.1", "20 KB of extension", long).refused(&[400, 413, 431]));
    let long = chunked(format!("0\r\n{}\r\n", "X: y\r\n".repeat(4_000)));
    cases.push(
        case("RFC 9112 section 7.1.2", "4,000 trailer fields", long).refused(&[400, 413, 431]),
    );
    judge(&server(), &cases);
}

#[test]
fn rfc9112_7_1_many_small_chunks_are_bounded_or_read_to_their_end() {
    let server = server();
    for count in [100, 2_000, 20_000] {
        let request = chunked("1;abc\r\nx\r\n".repeat(count) + "0\r\n\r\n");
        let case = case("RFC 9112 section 7.1", format!("{count} chunks"), request);
        let statuses = if count == 100 {
            &[200][..]
        } else {
            &[200, 400, 413]
        };
        judge(&server, &[case.gives(statuses, After::Either)]);
    }
}

#[test]
fn rfc9112_9_3_connections_persist_as_said() {
    const SECTION: &str = "RFC 9112 section 9.3";
    let old = |fields: &str| format!("GET / HTTP/1.0\r\n{fields}\r\n");
    let mut cases = vec![
        case(SECTION, "1.1", get("")).kept(200),
        case(SECTION, "1.0", old("")).refused(&[200]),
        case(SECTION, "1.0 with Host", old("Host: a\r\n")).refused(&[200]),
    ];
    for value in [
        "close",
        "Close",
        "CLOSE",
        "close, x",
        "x, close",
        "x,close,y",
        "\tclose\t",
        ",close",
    ] {
        let fields = format!("Connection: {value}\r\n");
        cases.push(case(SECTION, fields.clone(), get(&fields)).refused(&[200]));
    }
    for fields in [
        "Connection: keep-alive, close\r\n",
        "Connection: close, keep-alive\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
    ] {
        cases.push(case(SECTION, fields, get(fields)).refused(&[200]));
        cases.push(case(SECTION, format!("1.0 {fields}"), old(fields)).refused(&[200]));
    }
    for value in [
        "keep-alive",
        "upgrade",
        "closed",
        "x-close",
        "",
        "close-x",
        "Keep-Alive",
    ] {
        let fields = format!("Connection: {value}\r\n");
        cases.push(case(SECTION, fields.clone(), get(&fields)).kept(200));
    }
    for value in ["keep-alive", "Keep-Alive", "x, keep-alive"] {
        let fields = format!("Connection: {value}\r\n");
        // Kept only if the answer says so; or closed, which is always right.
        cases.push(
            case(SECTION, format!("1.0 {fields}"), old(&fields)).gives(&[200], After::Either),
        );
    }
    judge(&server(), &cases);
    let answer = server().ask(old("Connection: keep-alive\r\n"));
    assert!(
        answer.says_close()
            || answer
                .field("Connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")),
        "{answer:?}"
    );
}

#[test]
fn rfc9112_9_6_nothing_behind_a_closing_request_is_answered() {
    let server = server();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nInvalid\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        judge(
            &server,
            &[case("RFC 9112 section 9.6", request, request)
                .refused(&[200])
                .body("<p>hi\n")],
        );
    }
}

#[test]
fn rfc9112_9_3_2_pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let server = server();
    let paths = [
        "/",
        "/d/",
        "/healthz",
        "/text.txt",
        "/nothing",
        "/a%20b.css",
        "/d",
        "/",
        "/d/",
        "/healthz",
    ];
    let statuses = [200, 200, 200, 200, 404, 200, 308, 200, 200, 200];
    let requests: Vec<String> = (0..)
        .zip(paths)
        .map(|(number, path)| {
            let method = if number == 3 { "HEAD" } else { "GET" };
            // Bodies of each framing between them.
            let (fields, body) = match number {
                1 => ("Content-Length: 4\r\n", "body"),
                6 => ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
                _ => ("", ""),
            };
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
        })
        .collect();
    let bytes = requests.concat();
    let mut first = Vec::new();
    for cut in 0..bytes.len() {
        let (front, back) = bytes.split_at(cut);
        let mut client = server.connect();
        client.send(front);
        if cut % 8 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
        client.send(back);
        let mut answers = Vec::new();
        for number in 0..requests.len() {
            let answer = client.answer_to(number == 3);
            let answer =
                answer.unwrap_or_else(|fault| panic!("cut at {cut}, answer {number}: {fault}"));
            if answer.says_close() {
                // Closing behind a body is right, too: the rest is asked again.
                client = server.connect();
                client.send(requests[number + 1..].concat());
            }
            answers.push((answer.status, answer.body));
        }
        let found: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(found, statuses, "cut at {cut}");
        if first.is_empty() {
            first = answers;
        } else {
            assert!(first == answers, "cut at {cut} makes a difference");
        }
    }
}

#[test]
fn rfc9112_9_3_2_thousands_of_pipelined_requests_are_answered() {
    let server = server();
    let mut client = server.connect();
    let many = "GET /d/ HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5_000) + "GET / HTTP/1.0\r\n\r\n";
    let mut writer = client.stream.try_clone().expect("clone");
    let sender = std::thread::spawn(move || {
        use std::io::Write as _;
        writer.write_all(many.as_bytes()).expect("send");
    });
    for number in 0..5_000 {
        let answer = client
            .answer()
            .unwrap_or_else(|fault| panic!("{number}: {fault}"));
        assert_eq!(answer.body, b"in d\n");
    }
    assert!(client.answer().expect("the last").says_close());
    sender.join().expect("sender");
}

fn expectations() -> Vec<Case> {
    const SECTION: &str = "RFC 9110 section 10.1.1";
    let body = |version: &str, expect: &str| {
        format!(
            "GET / HTTP/{version}\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\nhello"
        )
    };
    vec![
        case(
            SECTION,
            "100-continue with its body",
            body("1.1", "100-continue"),
        )
        .gives(&[200], After::Either),
        case(SECTION, "in any case", body("1.1", "100-Continue")).gives(&[200], After::Either),
        case(SECTION, "without a body", get("Expect: 100-continue\r\n"))
            .gives(&[200], After::Either),
        case(SECTION, "ignored in 1.0", body("1.0", "100-continue")).refused(&[200]),
        case(SECTION, "unknown", get("Expect: x\r\n")).gives(&[417], After::Either),
        case(SECTION, "unknown with a body", body("1.1", "200-ok")).gives(&[417], After::Either),
        case(
            SECTION,
            "a list with an unknown one",
            get("Expect: 100-continue, x\r\n"),
        )
        .gives(&[417], After::Either),
        case(
            SECTION,
            "POST is refused without its body",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .gives(&[405], After::Either)
        .unfinished(),
    ]
}

#[test]
fn rfc9110_10_1_1_expectations_are_met_or_refused() {
    let server = server();
    let mut cases = expectations();
    // The last one's body never comes: only its first answer can be judged.
    let refused = cases.pop().expect("case");
    judge(&server, &cases);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let answer = client.answer().expect("an answer, final or not");
    assert!(
        [100, 405].contains(&answer.status),
        "{refused:?}: {answer:?}"
    );
    // A body that waits to be asked for is asked for, or the answer is final.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let answer = client.answer().expect("an answer, final or not");
    if answer.status == 100 {
        client.send("hello");
        let answer = client.answer().expect("the final one");
        assert_eq!((answer.status, answer.body), (200, b"<p>hi\n".to_vec()));
        assert_eq!(client.get("/healthz").body, b"ok\n");
    } else {
        assert_eq!(answer.status, 200);
    }
}
