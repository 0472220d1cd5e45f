//! RFC 9110, case by case: methods, conditions, ranges and negotiation.

use crate::cases::{After, case, judge};
use crate::client::{Answer, imf_date};
use crate::harness::{Server, Site};
use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

/// Monday the 1st of January 2024, 12:34:56: when the files were changed.
const CHANGED: u64 = 1_704_112_496;

fn age(site: &Site, name: &str) {
    let file = File::options()
        .append(true)
        .open(site.root().join(name))
        .expect("file");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(CHANGED))
        .expect("time");
}

/// A site whose files are old enough for their dates to be strong validators.
fn site() -> Site {
    let site = Site::new();
    site.file("empty.txt", "");
    for (name, content) in [
        ("n.js", "identity"),
        ("n.js.br", "brotli..."),
        ("n.js.zst", "zstandard....."),
        ("n.js.gz", "gzip"),
        ("g.html", "plain"),
        ("g.html.gz", "packed"),
        ("z.css", "plain"),
        ("z.css.zst", "packed"),
        ("e/index.html", "index"),
        ("e/index.html.br", "packed index"),
    ] {
        site.file(name, content);
        age(&site, name);
    }
    for name in ["index.html", "text.txt", "d/index.html", "empty.txt"] {
        age(&site, name);
    }
    site
}

fn text_tag(server: &Server) -> String {
    server
        .get("/text.txt")
        .field("ETag")
        .expect("an ETag")
        .to_owned()
}

#[test]
fn rfc9110_9_methods_are_allowed_refused_or_unknown() {
    let server = site().serve(&[]);
    let ask = |method: &str, target: &str, body: &str| {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}")
    };
    let mut cases = vec![
        case("RFC 9110 section 9.3.1", "GET", ask("GET", "/", ""))
            .kept(200)
            .body("<p>hi\n"),
        case("RFC 9110 section 9.3.2", "HEAD", ask("HEAD", "/", ""))
            .kept(200)
            .field("Content-Length", "6"),
        case("RFC 9110 section 9.3.7", "OPTIONS", ask("OPTIONS", "/", "")).kept(204),
        case(
            "RFC 9110 section 9.3.7",
            "OPTIONS *",
            ask("OPTIONS", "*", ""),
        )
        .kept(204),
        case(
            "RFC 9110 section 9.3.7",
            "OPTIONS 1.0",
            "OPTIONS / HTTP/1.0\r\n\r\n",
        )
        .refused(&[204]),
    ];
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        for target in ["/", "/text.txt", "/healthz", "/nothing"] {
            for body in ["", "hello"] {
                let statuses = if method == "TRACE" || method == "PATCH" {
                    &[405, 501][..]
                } else {
                    &[405]
                };
                cases.push(
                    case(
                        "RFC 9110 section 15.5.6",
                        format!("{method} {target} {body}"),
                        ask(method, target, body),
                    )
                    .gives(statuses, After::Either),
                );
            }
        }
    }
    judge(&server, &cases);
    for target in ["/", "*", "/d/"] {
        let answer = server.ask(ask("OPTIONS", target, ""));
        let allow = answer.field("Allow").unwrap_or_default().to_owned();
        let mut methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods, ["GET", "HEAD", "OPTIONS"], "{target}: {answer:?}");
    }
    let answer = server.ask(ask("PUT", "/", ""));
    let allow = answer.field("Allow").unwrap_or_default();
    assert!(
        allow.contains("GET") && allow.contains("HEAD"),
        "{answer:?}"
    );
}

#[test]
fn rfc9110_9_3_2_head_has_the_fields_of_get_and_no_body() {
    let site = site();
    site.file("404.html", "<p>not here");
    let server = site.serve(&["--listing"]);
    let tag = text_tag(&server);
    for (path, fields) in [
        ("/", String::new()),
        ("/d/", String::new()),
        ("/d", String::new()),
        ("/text.txt", String::new()),
        ("/empty.txt", String::new()),
        ("/nothing", String::new()),
        ("/healthz", String::new()),
        ("/%00", String::new()),
        ("/n.js", "Accept-Encoding: br\r\n".to_owned()),
        ("/text.txt", format!("If-None-Match: {tag}\r\n")),
        ("/.hidden", String::new()),
    ] {
        let get = server.get_with(path, &fields);
        let mut client = server.connect();
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let head = client
            .answer_to(true)
            .unwrap_or_else(|fault| panic!("HEAD {path}: {fault}"));
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.lasting_fields(), get.lasting_fields(), "{path}");
        // Nothing stands between this answer and the next.
        if !head.says_close() {
            assert_eq!(client.get("/healthz").body, b"ok\n", "behind HEAD {path}");
        }
    }
    // Section 14.2: ranges are for GET alone.
    let head = server.ask("HEAD /text.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-4\r\n\r\n");
    assert_eq!(
        (head.status, head.field("Content-Length")),
        (200, Some("36"))
    );
    // A HEAD that is refused has no body, either.
    for request in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "HEAD /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
        "HEAD / HTTP/3.0\r\nHost: a\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request);
        let head = client
            .answer_to(true)
            .unwrap_or_else(|fault| panic!("{request:?}: {fault}"));
        assert!(head.status >= 400, "{request:?}");
        if head.says_close() {
            let end = client.end(Duration::from_secs(3));
            assert!(end.is_ok(), "{request:?}: {}", end.expect_err("fault"));
        }
    }
}

#[test]
fn rfc9110_6_6_1_the_date_is_now_and_goes_on() {
    let server = site().serve(&[]);
    let mut client = server.connect();
    let now = || {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("clock").as_secs()
    };
    let mut seen = std::collections::HashSet::new();
    for _ in 0..23 {
        let before = now();
        let date = client
            .get("/healthz")
            .field("Date")
            .expect("a Date")
            .to_owned();
        let after = now();
        let is_now = (before - 1..=after).any(|second| imf_date(second) == date);
        assert!(is_now, "{date} between {before} and {after}");
        seen.insert(date);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(seen.len() >= 3, "it stands still: {seen:?}");
}

#[test]
fn rfc9110_8_8_validators_are_told_and_follow_the_content() {
    let site = site();
    let path = site.file("v.txt", "one");
    let server = site.serve(&[]);
    let first = server.get("/v.txt");
    let tag = first.field("ETag").expect("an ETag").to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2,
        "{tag}"
    );
    assert_eq!(
        server.get("/v.txt").field("ETag"),
        Some(tag.as_str()),
        "it stays"
    );
    std::thread::sleep(Duration::from_millis(20));
    std::fs::write(&path, "two").expect("write");
    let second = server.get("/v.txt");
    assert_ne!(
        second.field("ETag"),
        Some(tag.as_str()),
        "same length, another content"
    );
    // Replaced, as deployments do it, with the times of the old one.
    let new = path.with_extension("new");
    std::fs::write(&new, "six").expect("write");
    let modified = std::fs::metadata(&path)
        .expect("metadata")
        .modified()
        .expect("time");
    File::options()
        .append(true)
        .open(&new)
        .expect("file")
        .set_modified(modified)
        .expect("time");
    std::fs::rename(&new, &path).expect("rename");
    let third = server.get("/v.txt");
    assert_eq!(third.body, b"six");
    assert_ne!(
        third.field("ETag"),
        second.field("ETag"),
        "another file of the same time and length"
    );
    let answer = server.get("/text.txt");
    assert_eq!(
        answer.field("Last-Modified"),
        Some(imf_date(CHANGED).as_str())
    );
    assert_ne!(answer.field("ETag"), server.get("/").field("ETag"));
}

#[test]
fn rfc9110_8_8_2_a_time_of_zero_is_not_told() {
    // Reproducible images have no times: all files are from 1970.
    let site = Site::new();
    let path = site.file("zero.txt", "zero");
    let epoch = |path: &std::path::Path| {
        File::options()
            .append(true)
            .open(path)
            .expect("file")
            .set_modified(UNIX_EPOCH)
            .expect("time");
    };
    epoch(&path);
    let server = site.serve(&[]);
    let first = server.get("/zero.txt");
    assert_eq!((first.status, first.field("Last-Modified")), (200, None));
    let tag = first.field("ETag").expect("an ETag").to_owned();
    let answer = server.get_with("/zero.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(answer.status, 304);
    let answer = server.get_with(
        "/zero.txt",
        &format!("If-Modified-Since: {}\r\n", imf_date(CHANGED)),
    );
    assert_eq!(
        answer.status, 200,
        "what has no date is not compared by date"
    );
    // Replaced by another file of the same length and the same time of zero.
    std::thread::sleep(Duration::from_millis(20));
    let new = path.with_extension("new");
    std::fs::write(&new, "null").expect("write");
    epoch(&new);
    std::fs::rename(&new, &path).expect("rename");
    assert_ne!(server.get("/zero.txt").field("ETag"), Some(tag.as_str()));
}

#[test]
fn rfc9110_13_1_2_if_none_match_saves_the_body() {
    const SECTION: &str = "RFC 9110 section 13.1.2";
    let server = site().serve(&[]);
    let tag = text_tag(&server);
    let bare = tag.trim_matches('"');
    let mut cases = Vec::new();
    let get = |method: &str, value: &str| {
        format!("{method} /text.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: {value}\r\n\r\n")
    };
    for value in [
        tag.clone(),
        "*".to_owned(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        format!("\"x\",{tag}"),
        format!("{tag}, \"x\""),
        format!("\"x\", W/{tag}, \"y\""),
        format!("\t {tag} \t"),
        format!("\"a,b\", {tag}"),
        format!(", ,{tag}"),
    ] {
        for method in ["GET", "HEAD"] {
            cases.push(
                case(SECTION, format!("{method} {value:?}"), get(method, &value))
                    .kept(304)
                    .no_field("Content-Range"),
            );
        }
    }
    for value in [
        String::new(),
        bare.to_owned(),
        "\"x\"".to_owned(),
        format!("\"{bare}x\""),
        format!("\"x{bare}\""),
        format!("\"{}\"", &bare[..bare.len() - 1]),
        "\"\"".to_owned(),
        "\"*\"".to_owned(),
        format!("\"{bare}"),
        format!("w/\"x{bare}\""),
        format!("\"a{tag}b\"").replace("\"\"", "\""),
        "\"x\", \"y\"".to_owned(),
    ] {
        cases.push(
            case(SECTION, format!("{value:?}"), get("GET", &value))
                .kept(200)
                .field("Content-Length", "36"),
        );
    }
    judge(&server, &cases);
    let full = server.get("/text.txt");
    let answer = server.get_with("/text.txt", &format!("If-None-Match: {tag}\r\n"));
    // Section 15.4.5: the fields that a 200 would have had.
    for name in ["ETag", "Cache-Control", "Vary"] {
        assert_eq!(answer.field(name), full.field(name), "{name}");
    }
    assert!(
        answer.body.is_empty() && answer.field("Content-Type").is_none(),
        "{answer:?}"
    );
    let length = answer.field("Content-Length");
    assert!(length.is_none() || length == Some("36"), "{length:?}");
    assert_eq!(
        server.get_with("/nothing", "If-None-Match: *\r\n").status,
        404
    );
}

#[test]
fn rfc9110_13_1_3_if_modified_since_is_a_date_and_comes_second() {
    const SECTION: &str = "RFC 9110 section 13.1.3";
    let server = site().serve(&[]);
    let tag = text_tag(&server);
    let get = |fields: &str| format!("GET /text.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let since = |date: &str| get(&format!("If-Modified-Since: {date}\r\n"));
    let mut cases = Vec::new();
    for date in [
        imf_date(CHANGED),
        imf_date(CHANGED + 1),
        imf_date(CHANGED + 86_400 * 30),
        // Section 5.6.7: the two obsolete forms must be read.
        "Monday, 01-Jan-24 12:34:56 GMT".to_owned(),
        "Mon Jan  1 12:34:56 2024".to_owned(),
        "Mon Jan  1 12:34:57 2024".to_owned(),
    ] {
        cases.push(case(SECTION, date.clone(), since(&date)).kept(304));
    }
    for date in [
        imf_date(CHANGED - 1),
        imf_date(CHANGED - 86_400 * 365),
        "Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
        "Sun, 31-Dec-23 12:34:56 GMT".to_owned(),
        "Sunday, 31-Dec-23 12:34:56 GMT".to_owned(),
        "Sun Dec 31 12:34:56 2023".to_owned(),
        // What is no date is ignored.
        String::new(),
        "yesterday".to_owned(),
        "0".to_owned(),
        "1704112496".to_owned(),
        "2024-01-01T12:34:56Z".to_owned(),
        "Mon, 32 Jan 2024 12:34:56 GMT".to_owned(),
        "Mon, 01 Foo 2024 12:34:56 GMT".to_owned(),
        "Mon, 01 Jan 2024 25:34:56 GMT".to_owned(),
        "Mon, 01 Jan 2024 12:34:56".to_owned(),
        "Mon, 01 Jan 2024 12:34:56 +0000".to_owned(),
        "Mon, 01 Jan 99999999999999999999 12:34:56 GMT".to_owned(),
        "Mon, -1 Jan 2024 12:34:56 GMT".to_owned(),
    ] {
        cases.push(case(SECTION, format!("{date:?}"), since(&date)).kept(200));
    }
    let (old, new) = (imf_date(CHANGED - 9), imf_date(CHANGED + 9));
    for (fields, status) in [
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {new}\r\n"),
            200,
        ),
        (
            format!("If-Modified-Since: {new}\r\nIf-None-Match: \"x\"\r\n"),
            200,
        ),
        (
            format!("If-None-Match: {tag}\r\nIf-Modified-Since: {old}\r\n"),
            304,
        ),
        (
            format!("If-Modified-Since: {old}\r\nIf-None-Match: {tag}\r\n"),
            304,
        ),
    ] {
        cases.push(case("RFC 9110 section 13.2.2", fields.clone(), get(&fields)).kept(status));
    }
    judge(&server, &cases);
}

#[test]
fn rfc9110_13_1_1_if_match_and_13_1_4_if_unmodified_since_fail_with_412() {
    let server = site().serve(&[]);
    let tag = text_tag(&server);
    let (old, new) = (imf_date(CHANGED - 9), imf_date(CHANGED + 9));
    let mut cases = Vec::new();
    for (fields, status) in [
        (format!("If-Match: {tag}\r\n"), 200),
        ("If-Match: *\r\n".to_owned(), 200),
        (format!("If-Match: \"x\", {tag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        (format!("If-Match: W/{tag}\r\n"), 412),
        (format!("If-Unmodified-Since: {new}\r\n"), 200),
        (
            format!("If-Unmodified-Since: {}\r\n", imf_date(CHANGED)),
            200,
        ),
        (format!("If-Unmodified-Since: {old}\r\n"), 412),
        ("If-Unmodified-Since: never\r\n".to_owned(), 200),
        (
            format!("If-Match: {tag}\r\nIf-Unmodified-Since: {old}\r\n"),
            200,
        ),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 412),
        (format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), 304),
    ] {
        let request = format!("GET /text.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        cases.push(case("RFC 9110 sections 13.1.1, 13.1.4, 13.2.2", fields, request).kept(status));
    }
    judge(&server, &cases);
}

/// The whole of the file that ranges are taken of.
const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

#[test]
fn rfc9110_14_ranges_are_parts_of_the_file() {
    const SECTION: &str = "RFC 9110 section 14.1.2";
    let server = site().serve(&[]);
    let get = |range: &str| format!("GET /text.txt HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n");
    let mut cases = Vec::new();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("bytes=5-", 5, 35),
        ("bytes=-5", 31, 35),
        ("bytes=-36", 0, 35),
        ("bytes=-100", 0, 35),
        ("bytes=35-35", 35, 35),
        ("bytes=35-", 35, 35),
        ("bytes=30-100", 30, 35),
        ("bytes=0-", 0, 35),
        ("bytes=0-35", 0, 35),
        ("bytes=0-36", 0, 35),
        ("bytes=-1", 35, 35),
        ("bytes=00-09", 0, 9),
        ("bytes=1-18446744073709551615", 1, 35),
        ("bytes=0-9223372036854775807", 0, 35),
    ] {
        cases.push(
            case(SECTION, range, get(range))
                .kept(206)
                .body(&TEXT[first..=last])
                .field("Content-Range", format!("bytes {first}-{last}/36").leak()),
        );
    }
    for range in [
        "bytes=36-",
        "bytes=36-40",
        "bytes=100-200",
        "bytes=-0",
        "bytes=18446744073709551615-",
    ] {
        cases.push(
            case("RFC 9110 section 15.5.17", range, get(range))
                .gives(&[416], After::Either)
                .field("Content-Range", "bytes */36"),
        );
    }
    for range in [
        "bytes=5-2",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "bytes",
        "bytes=1",
        "bytes=0x0-5",
        "bytes=+1-2",
        "bytes=1-+2",
        "bytes=--5",
        "bytes=0-5;",
        "bytes=0--5",
        "=0-5",
        "0-5",
        "bytes=0-5x",
        "bytes=x0-5",
        "bytes=99999999999999999999999-",
        "bytes=0-99999999999999999999999",
        "bytes=-99999999999999999999999",
        "bytes=1.0-2",
        "bytes=0-5 6",
        "",
    ] {
        // Section 14.2 lets what is no range be ignored or refused; numbers too
        // great for 64 bits may be read as what they are.
        cases.push(
            case("RFC 9110 section 14.2", format!("{range:?}"), get(range))
                .gives(&[200, 206, 400, 416], After::Either),
        );
    }
    for range in ["items=0-5", "none", "bytez=0-5", "seconds=1-2"] {
        cases.push(
            case("RFC 9110 section 14.2", range, get(range))
                .kept(200)
                .body(TEXT),
        );
    }
    for range in [
        "bytes=0-1,3-4",
        "bytes=0-0, 5-",
        "bytes=-1,-2",
        "bytes=0-,0-,0-,0-,0-,0-,0-,0-",
    ] {
        cases.push(
            case("RFC 9110 section 14.2", range, get(range))
                .kept(200)
                .body(TEXT),
        );
    }
    let many = format!("bytes={}0-0", "0-0,".repeat(600));
    cases.push(
        case("RFC 9110 section 17.15", "601 ranges", get(&many))
            .gives(&[200, 416, 431], After::Either),
    );
    cases.push(
        case(
            SECTION,
            "404",
            "GET /nothing HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n",
        )
        .kept(404),
    );
    for range in ["bytes=0-", "bytes=0-0", "bytes=-5"] {
        let request = format!("GET /empty.txt HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n");
        cases.push(
            case(
                "RFC 9110 section 15.5.17",
                format!("{range} of nothing"),
                request,
            )
            .gives(&[200, 416], After::Either),
        );
    }
    judge(&server, &cases);
    let whole = server.get("/text.txt");
    assert_eq!(whole.field("Accept-Ranges"), Some("bytes"));
    let part = server.get_with("/text.txt", "Range: bytes=1-2\r\n");
    // Section 15.3.7: what a 200 would have told.
    for name in ["ETag", "Cache-Control", "Vary", "Content-Type"] {
        assert_eq!(part.field(name), whole.field(name), "{name}");
    }
}

#[test]
fn rfc9110_13_1_5_if_range_is_strong_and_exact() {
    const SECTION: &str = "RFC 9110 section 13.1.5";
    let server = site().serve(&[]);
    let tag = text_tag(&server);
    let get = |fields: &str| {
        format!("GET /text.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n{fields}\r\n")
    };
    let mut cases = Vec::new();
    for (value, status) in [
        (tag.clone(), 206),
        (imf_date(CHANGED), 206),
        (format!("W/{tag}"), 200),
        ("\"x\"".to_owned(), 200),
        (imf_date(CHANGED + 1), 200),
        (imf_date(CHANGED - 1), 200),
        ("*".to_owned(), 200),
        (tag.trim_matches('"').to_owned(), 200),
        (String::new(), 200),
        ("yesterday".to_owned(), 200),
        (format!("{tag}, \"x\""), 200),
    ] {
        cases.push(
            case(
                SECTION,
                format!("{value:?}"),
                get(&format!("If-Range: {value}\r\n")),
            )
            .kept(status),
        );
    }
    cases.push(
        case(
            "RFC 9110 section 13.2.2",
            "304 first",
            get(&format!("If-None-Match: {tag}\r\n")),
        )
        .kept(304),
    );
    let fields = format!("If-Range: \"x\"\r\nRange: bytes=100-\r\n");
    let request = format!("GET /text.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    cases.push(case(SECTION, "a false condition and no such range", request).kept(200));
    let request = format!("GET /text.txt HTTP/1.1\r\nHost: a\r\nIf-Range: {tag}\r\n\r\n");
    cases.push(case(SECTION, "without Range", request).kept(200).body(TEXT));
    judge(&server, &cases);
}

fn coding(answer: &Answer) -> &str {
    answer.field("Content-Encoding").unwrap_or("identity")
}

#[test]
fn rfc9110_12_5_3_the_best_coding_that_is_accepted_is_sent() {
    let server = site().serve(&[]);
    let mut failures = Vec::new();
    for (accept, expected) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("GZIP", "gzip"),
        ("Br", "br"),
        ("gzip, br", "br"),
        ("gzip,br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("zstd, br", "br"),
        ("deflate", "identity"),
        ("identity", "identity"),
        ("", "identity"),
        ("gzipx", "identity"),
        ("xgzip", "identity"),
        ("x", "identity"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("br;q=0.5, gzip;q=1.0", "gzip"),
        ("br;q=0.5, zstd;q=0.7, gzip;q=0.6", "zstd"),
        ("br;q=0", "identity"),
        ("br;q=0.0, gzip", "gzip"),
        ("br;q=0.000, zstd;q=0, gzip", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.001", "gzip"),
        ("gzip ; q=1", "gzip"),
        ("gzip;q=1.000", "gzip"),
        ("gzip; q=0.5", "gzip"),
        ("gzip;Q=0.5, br;Q=0.4", "gzip"),
        ("*", "br"),
        ("*;q=0.5", "br"),
        ("*, br;q=0", "zstd"),
        ("br;q=0, zstd;q=0, *", "gzip"),
        ("br;q=0.9, *;q=0.1", "br"),
        ("gzip, *;q=0", "gzip"),
        ("identity, *;q=0", "identity"),
        ("identity;q=0, gzip", "gzip"),
        ("gzip, identity;q=0", "gzip"),
        ("gzip;q=0.4, identity;q=0.5", "identity"),
        ("identity;q=1, gzip;q=0.5, br;q=0.1", "identity"),
        ("gzip;q=0.9, br;q=0.9", "br"),
        ("compress, gzip", "gzip"),
        ("gzip,", "gzip"),
        (", gzip", "gzip"),
        ("\tgzip\t,\tbr;q=0.1", "gzip"),
    ] {
        let answer = server.get_with("/n.js", &format!("Accept-Encoding: {accept}\r\n"));
        let content = match coding(&answer) {
            "br" => "brotli...",
            "zstd" => "zstandard.....",
            "gzip" => "gzip",
            _ => "identity",
        };
        if coding(&answer) != expected || answer.text() != content {
            failures.push(format!(
                "{accept:?}: {} {:?}, not {expected}",
                coding(&answer),
                answer.text()
            ));
        }
        if answer.field("Vary") != Some("Accept-Encoding")
            || answer.field("Content-Type") != server.get("/n.js").field("Content-Type")
        {
            failures.push(format!("{accept:?}: {:?}", answer.fields));
        }
    }
    // Nothing acceptable, two lines, bad weights: any answer that is true of itself.
    for accept in [
        "*;q=0",
        "identity;q=0",
        "gzip;q=2",
        "gzip;q=a",
        "gzip;q=",
        "gzip;q=-1",
        "gzip;q=0.5.5",
        "x-gzip",
        "gzip;a=b",
        "gzip;q=0.1234",
        "gzip\r\nAccept-Encoding: br",
    ] {
        let answer = server.get_with("/n.js", &format!("Accept-Encoding: {accept}\r\n"));
        if answer.status != 200 && answer.status != 406
            || answer.field("Vary") != Some("Accept-Encoding")
        {
            failures.push(format!("{accept:?}: {} {:?}", answer.status, answer.fields));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn rfc9110_8_variants_are_representations_of_their_own() {
    let site = site();
    // What stands where a variant would, and is none.
    site.file("odd.css", "plain");
    std::fs::create_dir(site.root().join("odd.css.gz")).expect("folder");
    site.link("../secret", "odd.css.br");
    let server = site.serve(&[]);
    let mut tags = std::collections::HashSet::new();
    for accept in ["identity", "br", "zstd", "gzip"] {
        let with = |path: &str, fields: &str| {
            server.get_with(path, &format!("Accept-Encoding: {accept}\r\n{fields}"))
        };
        let answer = with("/n.js", "");
        let tag = answer.field("ETag").expect("an ETag").to_owned();
        assert_eq!(coding(&answer), accept);
        assert!(tags.insert(tag.clone()), "two variants share {tag}");
        let not_modified = with("/n.js", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(
            (not_modified.status, not_modified.field("Vary")),
            (304, Some("Accept-Encoding"))
        );
        assert_eq!(not_modified.field("ETag"), Some(tag.as_str()));
        // Ranges are of the variant (RFC 9110 section 14.1).
        let part = with("/n.js", "Range: bytes=1-2\r\n");
        assert_eq!(
            (part.status, coding(&part), part.field("Vary")),
            (206, accept, Some("Accept-Encoding"))
        );
        assert_eq!(part.body, answer.body[1..=2]);
        assert_eq!(
            part.field("Content-Range"),
            Some(format!("bytes 1-2/{}", answer.body.len()).as_str())
        );
        assert_eq!(part.field("ETag"), Some(tag.as_str()));
        let past = with("/n.js", "Range: bytes=99-\r\n");
        assert_eq!(
            past.field("Content-Range"),
            Some(format!("bytes */{}", answer.body.len()).as_str())
        );
        let head = server.ask(format!(
            "HEAD /n.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n"
        ));
        assert_eq!(head.lasting_fields(), answer.lasting_fields());
        // A tag of one variant does not stand for another.
        let other = server.get_with(
            "/n.js",
            &format!("Accept-Encoding: deflate\r\nIf-None-Match: {tag}\r\n"),
        );
        assert_eq!(
            other.status,
            if accept == "identity" { 304 } else { 200 },
            "{accept}"
        );
    }
    let vary = |path: &str| server.get(path).field("Vary").map(str::to_owned);
    assert_eq!(vary("/n.js").as_deref(), Some("Accept-Encoding"));
    assert_eq!(vary("/e/").as_deref(), Some("Accept-Encoding"));
    assert_eq!(vary("/text.txt"), None, "no sibling, nothing varies");
    let answer = server.get_with("/e/", "Accept-Encoding: gzip, br\r\n");
    assert_eq!(
        (coding(&answer), answer.body.as_slice()),
        ("br", &b"packed index"[..])
    );
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    for (path, accept, expected) in [
        ("/g.html", "br, gzip", "gzip"),
        ("/g.html", "br", "identity"),
        ("/z.css", "br, zstd", "zstd"),
        ("/z.css", "gzip, br", "identity"),
        ("/text.txt", "br, gzip, zstd", "identity"),
    ] {
        let answer = server.get_with(path, &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!(coding(&answer), expected, "{path} for {accept}");
    }
    let answer = server.get_with("/odd.css", "Accept-Encoding: br, gzip\r\n");
    assert_eq!(
        (answer.status, coding(&answer), answer.body.as_slice()),
        (200, "identity", &b"plain"[..])
    );
    // By its own name a variant is a file like any other.
    let answer = server.get("/n.js.gz");
    assert_eq!(
        (
            answer.status,
            answer.field("Content-Encoding"),
            answer.body.as_slice()
        ),
        (200, None, &b"gzip"[..])
    );
}

#[test]
fn rfc9110_8_3_types_are_told_by_names() {
    let site = Site::new();
    let expected = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.htm", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.mp4", "video/mp4"),
        ("a.bin", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("html", "application/octet-stream"),
        ("a.html.x", "application/octet-stream"),
    ];
    for (name, _) in expected {
        site.file(format!("t/{name}"), "x");
    }
    for name in ["a.js", "a.mjs", "a.ico", "a.xml"] {
        site.file(format!("t/{name}"), "x");
    }
    let server = site.serve(&[]);
    for (name, kind) in expected {
        assert_eq!(
            server.get(&format!("/t/{name}")).field("Content-Type"),
            Some(kind),
            "{name}"
        );
    }
    for name in ["a.js", "a.mjs"] {
        // RFC 9239.
        let answer = server.get(&format!("/t/{name}"));
        assert!(
            answer
                .field("Content-Type")
                .unwrap_or_default()
                .starts_with("text/javascript"),
            "{name}"
        );
    }
}
