//! RFC 9112, case by case: the request line, the target, Host and the field
//! lines. What two readers could read in two ways is refused; the shapes
//! published as trophies of HTTP Garden are here and in `framing`.

use crate::cases::{After, Case, case, judge};
use crate::harness::Site;
use crate::packed::serve_alone;

/// Judges the server of folders, and that of packed sites alone: what they read
/// is the same.
fn judge_both(cases: &[Case]) {
    judge(&Site::new().serve(&[]), cases);
    judge(&serve_alone(), cases);
}

/// A GET with these field lines, each with its CRLF.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    request.extend_from_slice(fields.as_ref());
    request.extend_from_slice(b"\r\n");
    request
}

/// A request line alone, with a Host.
fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = line.as_ref().to_vec();
    request.extend_from_slice(b"\r\nHost: a\r\n\r\n");
    request
}

#[test]
fn rfc9112_2_2_only_crlf_ends_a_line() {
    const SECTION: &str = "RFC 9112 section 2.2";
    let mut cases = vec![
        case(
            SECTION,
            "one empty line ahead",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .kept(200),
        case(
            SECTION,
            "two empty lines ahead",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .gives(&[200, 400], After::Either),
    ];
    for request in [
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\nX: y\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\r",
        "GET / HTTP/1.1\r\nHost: a\r\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUseless:\n\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nVisible: :/\rSmuggled: :)\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTe\nst: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHeader: va\rlue\r\n\r\n",
        "GET /\nHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/\r\r1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\x0b\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\x0c\r\nHost: a\r\n\r\n",
    ] {
        cases.push(case(SECTION, format!("{request:?}"), request).refused(&[400]));
    }
    judge_both(&cases);
}

#[test]
fn rfc9112_2_3_the_version_is_exact() {
    const SECTION: &str = "RFC 9112 section 2.3";
    let mut cases = vec![
        case(SECTION, "1.1", line("GET / HTTP/1.1")).kept(200),
        case(SECTION, "1.0", line("GET / HTTP/1.0")).refused(&[200]),
    ];
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"] {
        cases.push(case(SECTION, version, line(format!("GET / {version}"))).refused(&[505]));
    }
    // RFC 9110 section 2.5 lets a server read a later minor version as its own.
    cases.push(case(SECTION, "1.2", line("GET / HTTP/1.2")).gives(&[200, 400, 505], After::Either));
    for version in [
        "http/1.1",
        "Http/1.1",
        "HTTP/1.10",
        "HTTP/1.32",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/11.1",
        "HTTP/1,1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/",
        "HTTP",
        "HTTP/+1.1",
        "HTTP/-1.1",
        "HTTP/1.1.1",
        "HTTP/0x1.1",
        "HTTP/ 1.1",
        "HTTP /1.1",
        "HTTP/1 .1",
        "HTTP/4294967295.255",
        "HTTP/1.\u{661}",
        "HTPP/1.1",
        "ICAP/1.0",
        "RTSP/1.0",
        "HTTPS/1.1",
        "XHTTP/1.1",
        "HTTP/1.1\0",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
    ] {
        let request = line(format!("GET / {version}"));
        cases.push(case(SECTION, format!("{version:?}"), request).refused(&[400]));
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0";
    cases.push(case(SECTION, "the preface of HTTP/2", preface).refused(&[400, 501, 505]));
    judge_both(&cases);
}

#[test]
fn rfc9112_3_the_request_line_has_three_parts_and_two_spaces() {
    const SECTION: &str = "RFC 9112 section 3";
    let mut cases = Vec::new();
    for text in [
        "GET /",
        "GET / ",
        "GET",
        "GET ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET\u{a0}/ HTTP/1.1",
        "GET / HTTP/1.1 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET\0/ HTTP/1.1",
        "\0GET / HTTP/1.1",
        "\0 / HTTP/1.1",
        "Extra lineGET / HTTP/1.1",
        "/ HTTP/1.1",
        "GET HTTP/1.1",
        "{} / HTTP/1.1",
        "G@T / HTTP/1.1",
        "G:T / HTTP/1.1",
        "G=\":<>(e),[T];?\" / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "\"GET\" / HTTP/1.1",
        "GET, / HTTP/1.1",
    ] {
        cases.push(case(SECTION, format!("{text:?}"), line(text)).refused(&[400]));
    }
    cases.push(case(SECTION, "noise", b"\x16\x03\x01\x02\0\x01\0\x01\xfc").refused(&[400]));
    cases.push(case("RFC 1945 section 4.1", "0.9", "GET /\r\n").refused(&[400, 505]));
    // Section 3.1: the method is case-sensitive, and unknown ones are 501.
    for method in [
        "get",
        "Get",
        "BREW",
        "PROPFIND",
        "G",
        "GETT",
        "M-SEARCH",
        "!#$%&'*+-.^_`|~",
    ] {
        let request = line(format!("{method} / HTTP/1.1"));
        cases.push(case("RFC 9112 section 3.1", method, request).gives(&[501], After::Either));
    }
    let long = line(format!("{} / HTTP/1.1", "A".repeat(300)));
    cases.push(
        case("RFC 9112 section 3.1", "a method of 300 letters", long)
            .gives(&[400, 414, 501], After::Either),
    );
    judge_both(&cases);
}

#[test]
fn rfc9112_3_2_targets_have_one_of_four_forms() {
    const SECTION: &str = "RFC 9112 section 3.2";
    let mut cases = Vec::new();
    let get = |target: &str| line(format!("GET {target} HTTP/1.1"));
    for target in [
        "*",
        "a",
        "a:80",
        "example.com:80",
        "index.html",
        "./",
        "../",
        "?",
        "?a",
        "!",
        "#",
        "/#",
        "/#a",
        "/?#",
        "/\"",
        "/<",
        "/>",
        "/\x7f",
        "/\x01",
        "/\0",
        "/a\0b",
        "/\u{e9}",
        "http:",
        "http:/",
        "http://",
        "http:///",
        "http:a/",
        "http:/a/",
        "http://a b/",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:b/",
        "http://a:-1/",
        "http://a#b",
        "http://[::1/",
        "ftp://a/",
        "file:///etc/passwd",
        "//",
        "javascript:alert(1)",
        "://a/",
    ] {
        let mut case = case(SECTION, format!("GET {target:?}"), get(target)).refused(&[400]);
        if target == "//" {
            // A path of two empty segments, not an authority.
            case = case.gives(&[200, 400, 404, 308], After::Either);
        }
        cases.push(case);
    }
    for byte in [0x80, 0xa0, 0xfe, 0xff] {
        let request = line([b"GET /a", &[byte][..], b" HTTP/1.1"].concat());
        cases.push(case(SECTION, format!("raw byte {byte:#x}"), request).refused(&[400]));
    }
    // Section 3.2.2: absolute-form, whose host must be that of the Host field.
    for target in [
        "http://a",
        "http://a/",
        "http://a?q",
        "http://a/?q",
        "HTTP://A/",
        "https://a/",
    ] {
        cases.push(
            case("RFC 9112 section 3.2.2", target, get(target))
                .kept(200)
                .body("<p>hi\n"),
        );
    }
    for target in [
        "http://b/",
        "http://aa/",
        "http://a.b/",
        "http://a:81/",
        "http://[::1]/",
    ] {
        let request = get(target);
        cases.push(case("RFC 9112 section 3.2.2", target, request).refused(&[400]));
    }
    let request = "GET http://a/ HTTP/1.1\r\n\r\n";
    cases.push(case("RFC 9112 section 3.2", "absolute, no Host", request).refused(&[400]));
    let request = "GET http://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n";
    cases.push(case("RFC 9112 section 3.2.2", "absolute with a port", request).kept(200));
    // Section 3.2.3: authority-form is for CONNECT, which is not done here.
    for target in ["a:80", "a", "/", "http://a/"] {
        let request = line(format!("CONNECT {target} HTTP/1.1"));
        cases.push(
            case(
                "RFC 9112 section 3.2.3",
                format!("CONNECT {target}"),
                request,
            )
            .gives(&[400, 405, 501], After::Either),
        );
    }
    // Section 3.2.4: asterisk-form is for OPTIONS.
    cases.push(
        case(
            "RFC 9112 section 3.2.4",
            "OPTIONS *",
            line("OPTIONS * HTTP/1.1"),
        )
        .kept(204),
    );
    for method in ["HEAD", "POST", "PUT", "DELETE"] {
        let request = line(format!("{method} * HTTP/1.1"));
        let statuses = if method == "HEAD" {
            &[400][..]
        } else {
            &[400, 405][..]
        };
        cases.push(
            case("RFC 9112 section 3.2.4", format!("{method} *"), request)
                .gives(statuses, After::Either),
        );
    }
    for target in ["**", "*/", "*?", "/*"] {
        let request = line(format!("OPTIONS {target} HTTP/1.1"));
        let case = case(
            "RFC 9112 section 3.2.4",
            format!("OPTIONS {target}"),
            request,
        );
        cases.push(match target {
            "/*" => case.gives(&[204, 404], After::Either),
            _ => case.refused(&[400]),
        });
    }
    judge_both(&cases);
}

#[test]
fn rfc9112_3_2_host_is_there_once_and_is_a_host() {
    const SECTION: &str = "RFC 9112 section 3.2";
    let with = |hosts: &str| format!("GET / HTTP/1.1\r\n{hosts}\r\n");
    let mut cases = vec![
        case(SECTION, "no Host in 1.0", "GET / HTTP/1.0\r\n\r\n").refused(&[200]),
        case(SECTION, "an empty Host", with("Host:\r\n")).gives(&[200, 400], After::Either),
        case(SECTION, "escaped", with("Host: %41\r\n")).gives(&[200, 400], After::Either),
    ];
    for host in [
        "Host: a\r\n",
        "hOST: a\r\n",
        "Host:a\r\n",
        "Host:\ta\t\r\n",
        "Host:   a   \r\n",
        "Host: a.b-c_d\r\n",
        "Host: a:80\r\n",
        "Host: a:\r\n",
        "Host: a:65535\r\n",
        "Host: [::1]\r\n",
        "Host: [::1]:80\r\n",
        "Host: 127.0.0.1:8080\r\n",
        "Host: localhost.\r\n",
        "Host: xn--e1afmkfd.example\r\n",
    ] {
        cases.push(case(SECTION, format!("{host:?}"), with(host)).kept(200));
    }
    for hosts in [
        "",
        "X: y\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: a\r\n",
        "Host:\r\nHost: a\r\n",
        "Host: a\r\nX: y\r\nHost: b\r\n",
        "Host: a, b\r\n",
        "Host: a,a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a\tb\r\n",
        "Host: a/b\r\n",
        "Host: a/\r\n",
        "Host: /a\r\n",
        "Host: u@a\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: a:b\r\n",
        "Host: a:80:80\r\n",
        "Host: a:-80\r\n",
        "Host: a:8 0\r\n",
        "Host: a:999999999\r\n",
        "Host: [::1\r\n",
        "Host: ::1\r\n",
        "Host: []\r\n",
        "Host: [::1]a\r\n",
        "Host: [::1]:a\r\n",
        "Host: http://a/\r\n",
        "Host: a\\b\r\n",
        "Host: a\"b\r\n",
        "Host: <a>\r\n",
        "Host: a\0.b\r\n",
        "Host : a\r\n",
        "Host\r\n",
        "\u{a0}Host: a\r\n",
    ] {
        cases.push(case(SECTION, format!("{hosts:?}"), with(hosts)).refused(&[400]));
    }
    for host in [
        &b"Host: \xffa\xff\r\n"[..],
        b"Host: a\x85\r\n",
        b"Host: a\xa0\r\n",
    ] {
        let request = [b"GET / HTTP/1.1\r\n", host, b"\r\n"].concat();
        cases.push(case(SECTION, format!("{host:?}"), request).refused(&[400]));
    }
    judge_both(&cases);
}

#[test]
fn rfc9112_5_field_lines_are_name_colon_value() {
    const SECTION: &str = "RFC 9112 section 5";
    let mut cases = Vec::new();
    for fields in [
        "X:\r\n",
        "X: \r\n",
        "X:y\r\n",
        "X:\t y \t\r\n",
        "X: a\tb\r\n",
        "X: a:b\r\n",
        "X::\r\n",
        "!#$%&'*+-.^_`|~: y\r\n",
        "X: \"a\r\n",
        "X: (a\r\n",
        "X: a\r\nX: a\r\n",
        "X: {}[]<>@,;\\\r\n",
    ] {
        cases.push(case(SECTION, format!("{fields:?}"), get(fields)).kept(200));
    }
    for byte in 0x80..=0xff_u8 {
        // RFC 9110 section 5.5, obs-text.
        if byte % 13 == 0 || byte == 0xff {
            let request = get([b"X: a", &[byte][..], b"b\r\n"].concat());
            cases.push(case("RFC 9110 section 5.5", format!("value {byte:#x}"), request).kept(200));
        }
    }
    for byte in (0..0x20)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        let request = get([b"X: a", &[byte][..], b"b\r\n"].concat());
        cases.push(
            case("RFC 9110 section 5.5", format!("value {byte:#x}"), request).refused(&[400]),
        );
    }
    for byte in (0..=0xff_u8)
        .filter(|byte| byte % 16 < 4 || b" (),/;<=>?@[]{}\"\\\x7f\x85\xa0\xef".contains(byte))
    {
        if byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:\r\n".contains(&byte) {
            continue;
        }
        let request = get([b"X", &[byte][..], b"Y: z\r\n"].concat());
        cases
            .push(case("RFC 9110 section 5.1", format!("name {byte:#x}"), request).refused(&[400]));
    }
    for fields in [
        ": y\r\n",
        ":\r\n",
        ":\r\nI: am chopped off\r\n",
        "X\r\n",
        "X y\r\n",
        "Content-Length 10\r\n",
        // Section 5.1: no space before the colon.
        "X : y\r\n",
        "X\t: y\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        // Section 5.2: no folded lines, and none before the first field.
        " X: y\r\n",
        "\tX: y\r\n",
        "X: y\r\n z\r\n",
        "X: y\r\n\tz\r\n",
        "X: y\r\n \r\n",
        "X:\r\n y\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-\r\nEncoding: chunked\r\n",
        "a:b\r\nc\0\r\n",
    ] {
        cases
            .push(case("RFC 9112 section 5.1", format!("{fields:?}"), get(fields)).refused(&[400]));
    }
    for first in [" ", "\t"] {
        let request = format!("GET / HTTP/1.1\r\n{first}Host: a\r\nHost: a\r\n\r\n");
        cases.push(
            case(
                "RFC 9112 section 2.2",
                "space before the first field",
                request,
            )
            .refused(&[400]),
        );
    }
    judge_both(&cases);
}

#[test]
fn rfc9112_3_and_rfc6585_5_heads_past_the_limits_are_refused() {
    let long = |count: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(count));
    let wide =
        |count: usize, size: usize| get(format!("X: {}\r\n", "y".repeat(size)).repeat(count));
    judge_both(&[
        case("RFC 9112 section 3", "a target of 2,000", long(2_000)).kept(404),
        // "recommended ... to support request-line lengths of at least 8000".
        case("RFC 9112 section 3", "a line of 8,000", long(7_985)).gives(&[404], After::Either),
        case(
            "RFC 9110 section 15.5.15",
            "a target of 40,000",
            long(40_000),
        )
        .refused(&[414]),
        case(
            "RFC 9110 section 15.5.15",
            "no end of target",
            format!("GET /{}", "a".repeat(70_000)),
        )
        .refused(&[414])
        .unfinished(),
        case("RFC 9112 section 5.4", "40 fields", wide(40, 40)).kept(200),
        case("RFC 9112 section 5.4", "a field of 4,000", wide(1, 4_000)).kept(200),
        case("RFC 6585 section 5", "2,000 fields", wide(2_000, 1)).refused(&[431]),
        case("RFC 6585 section 5", "a field of 70,000", wide(1, 70_000)).refused(&[431]),
        case(
            "RFC 6585 section 5",
            "100 fields of 1,000",
            wide(100, 1_000),
        )
        .refused(&[431]),
        case(
            "RFC 6585 section 5",
            "no end of name",
            format!("GET / HTTP/1.1\r\n{}", "a".repeat(70_000)),
        )
        .refused(&[400, 431])
        .unfinished(),
    ]);
}
