//! RFC 9110, case by case: ranges, codings and types: which form of a file is
//! sent, and how much of it.

use crate::cases::{After, case, judge};
use crate::client::{Answer, imf_date};
use crate::harness::Site;
use crate::semantics::{CHANGED, site, text_tag};

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
    let fields = "If-Range: \"x\"\r\nRange: bytes=100-\r\n";
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
