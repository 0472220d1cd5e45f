//! RFC 9110, case by case: methods, dates, validators and conditions.

use crate::cases::{After, case, judge};
use crate::client::imf_date;
use crate::harness::{Server, Site};
use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

/// Monday the 1st of January 2024, 12:34:56: when the files were changed.
pub(crate) const CHANGED: u64 = 1_704_112_496;

fn age(site: &Site, name: &str) {
    let file = File::options()
        .append(true)
        .open(site.root().join(name))
        .expect("file");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(CHANGED))
        .expect("time");
}

/// A site whose files are old enough for their dates to be strong validators.
pub(crate) fn site() -> Site {
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

pub(crate) fn text_tag(server: &Server) -> String {
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
    ] {
        cases.push(case(SECTION, date.clone(), since(&date)).kept(304));
    }
    // Section 5.6.7: the two obsolete forms are read, too.
    for date in [
        "Monday, 01-Jan-24 12:34:56 GMT",
        "Mon Jan  1 12:34:56 2024",
        "Mon Jan  1 12:34:57 2024",
    ] {
        cases.push(case(SECTION, date, since(date)).kept(304));
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
