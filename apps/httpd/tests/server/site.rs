//! What an operator turns on: listings, the page for what is not found, the
//! fallback of single-page applications, caching rules and further fields.

use crate::harness::Site;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_listing_is_off_unless_asked_for_and_an_index_wins() {
    let site = Site::new();
    site.file("bare/one.txt", "1");
    let server = site.serve(&[]);
    let status = server.get("/bare/").status;
    assert!([403, 404].contains(&status), "{status}");
    assert!(!server.get("/bare/").text().contains("one.txt"));
    let site = Site::new();
    site.file("bare/one.txt", "1");
    let server = site.serve(&["--listing"]);
    assert_eq!(server.get("/d/").text(), "in d\n");
    let answer = server.get("/bare/");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert!(answer.text().contains("one.txt"), "{}", answer.text());
    assert_eq!(server.get("/bare").field("Location"), Some("/bare/"));
    let old = server.ask("GET /bare/ HTTP/1.0\r\n\r\n");
    assert!(
        old.status == 200 && old.field("Transfer-Encoding").is_none(),
        "{old:?}"
    );
    assert!(old.text().contains("one.txt"));
}

/// All `href="…"` of a page.
fn links(page: &str) -> Vec<String> {
    let parts = page.split("href=\"").skip(1);
    parts
        .map(|part| part.split('"').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn names_in_a_listing_are_escaped_and_their_links_lead_to_them() {
    let site = Site::new();
    let names: [&[u8]; 14] = [
        b"<script>alert(1)",
        b"\"><img src=x onerror=alert(1)>",
        b"'onmouseover='x",
        b"a&b",
        b"&lt;",
        b"%41",
        b"a b",
        b"q?x=1",
        b"h#x",
        b"javascript:alert(1)",
        "\u{e9}\u{4e2d}".as_bytes(),
        b"\xff\xfe",
        b"a\\b",
        b"tab\tline",
    ];
    for name in names {
        site.file(OsStr::from_bytes(&[b"list/", name].concat()), name);
    }
    site.file("list/.hidden", "secret");
    site.file("list/folder/x", "x");
    let server = site.serve(&["--listing"]);
    let answer = server.get("/list/");
    let page = answer.text();
    for bad in ["<script>", "<img", "a&b<", ".hidden"] {
        assert!(!page.contains(bad), "{bad} stands in {page}");
    }
    let links = links(&page);
    let mut found = 0;
    for link in &links {
        let path = match link.as_str() {
            "../" | ".." | "/" => continue,
            link if link.starts_with('/') => link.to_owned(),
            // RFC 3986 section 4.2: a first segment with a colon would be a scheme.
            link => {
                let link = link.strip_prefix("./").unwrap_or(link);
                assert!(
                    !link.split('/').next().unwrap_or_default().contains(':')
                        || link.contains("%3A"),
                    "{link} is read as a scheme"
                );
                format!("/list/{link}")
            }
        };
        let answer = server.get(&path);
        // The backslash and the tab are refused in any path.
        if !["/list/a%5Cb", "/list/tab%09line", "/list/a%5cb"].contains(&path.as_str()) {
            assert!(
                [200, 301, 308].contains(&answer.status),
                "{path}: {}",
                answer.status
            );
        }
        found += usize::from(names.contains(&answer.body.as_slice()));
    }
    assert!(
        found >= names.len() - 2,
        "{found} of {} names lead to their files: {links:?}",
        names.len()
    );
    assert!(
        links.iter().any(|link| link.ends_with("folder/")),
        "{links:?}"
    );
}

#[test]
fn a_listing_of_thousands_of_names_is_whole_or_says_where_it_ends() {
    let site = Site::new();
    for number in 0..3_000 {
        site.file(
            format!("many/file-{number:05}-with-quite-a-long-name-so-that-it-counts.txt"),
            "",
        );
    }
    let server = site.serve(&["--listing"]);
    let mut client = server.connect_narrow();
    client.send("GET /many/ HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(std::time::Duration::from_millis(100));
    // The others are served while this one reads slowly.
    assert_eq!(server.get("/").text(), "<p>hi\n");
    let answer = client.answer().expect("a well-formed answer");
    assert_eq!(answer.status, 200);
    let page = answer.text();
    let count = links(&page)
        .iter()
        .filter(|link| link.contains("file-"))
        .count();
    assert!(count > 0 && count <= 3_000, "{count}");
    assert!(
        count == 3_000 || page.contains("more") || page.contains('\u{2026}'),
        "{count} of 3,000, and no word of it"
    );
    assert!(
        page.trim_end().ends_with("</html>") || !page.contains("<html"),
        "cut off"
    );
}

#[test]
fn rfc9110_15_5_5_the_sites_own_page_tells_what_is_not_found() {
    let site = Site::new();
    site.file("404.html", "<h1>not here</h1>");
    let server = site.serve(&[]);
    for path in ["/nothing", "/d/nothing", "/no/such/folder/", "/nothing.css"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, "<h1>not here</h1>"),
            "{path}"
        );
        assert_eq!(
            answer.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
    }
    // Conditions and ranges are of 200s alone (RFC 9110 section 13.2.1).
    let answer = server.get_with("/nothing", "If-None-Match: *\r\nRange: bytes=0-1\r\n");
    assert_eq!((answer.status, answer.body.len()), (404, 17));
    let head = server.ask("HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.field("Content-Length")),
        (404, Some("17"))
    );
    assert_eq!(server.get("/404.html").status, 200);
    let plain = Site::new().serve(&[]);
    let answer = plain.get("/nothing");
    assert!(
        answer.status == 404 && answer.body.len() < 200,
        "{answer:?}"
    );
}

#[test]
fn a_single_page_application_gets_its_index_for_what_has_no_dot() {
    let site = Site::new();
    site.file("404.html", "<h1>not here</h1>");
    let server = site.serve(&["--spa"]);
    for path in [
        "/route",
        "/route/deeper",
        "/route/",
        "/a/b/c?x=y.z",
        "/v1.2/route",
        "/%c3%a9",
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "<p>hi\n"),
            "{path}"
        );
        assert_eq!(
            answer.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
    }
    for path in ["/missing.js", "/route/missing.css", "/favicon.ico", "/.env"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for path in ["/%00", "/%2e%2e/x", "/../x", "/%zz"] {
        let status = server.get(path).status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(server.get("/text.txt").text().len(), 36);
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let put = server.ask("PUT /route HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(put.status, 405);
}

#[test]
fn rfc9111_5_2_caches_are_told_what_the_operator_says() {
    let site = |name: &str| {
        let site = Site::new();
        site.file(name, "x");
        site
    };
    let server = site("assets/app.js").serve(&[]);
    assert_eq!(server.get("/").field("Cache-Control"), Some("no-cache"));
    let server =
        site("assets/app.js").serve(&["--cache", "public, max-age=60", "--immutable", "/assets/"]);
    assert_eq!(
        server.get("/text.txt").field("Cache-Control"),
        Some("public, max-age=60")
    );
    let immutable = Some("public, max-age=31536000, immutable");
    let answer = server.get("/assets/app.js");
    assert_eq!(answer.field("Cache-Control"), immutable);
    let tag = answer.field("ETag").expect("an ETag").to_owned();
    let answer = server.get_with("/assets/app.js", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (answer.status, answer.field("Cache-Control")),
        (304, immutable)
    );
    let answer = server.get_with("/assets/app.js", "Range: bytes=0-0\r\n");
    assert_eq!(
        (answer.status, answer.field("Cache-Control")),
        (206, immutable)
    );
    for path in ["/assets/missing.js", "/assetsx", "/nothing"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404);
        assert_ne!(
            answer.field("Cache-Control"),
            immutable,
            "{path}: what is missing is not missing for ever"
        );
    }
    assert_ne!(
        server.get("/x/../text.txt").field("Cache-Control"),
        immutable
    );
    let server = site("assets/app.js").serve(&["--cache="]);
    assert_eq!(server.get("/").field("Cache-Control"), None);
}

#[test]
fn further_fields_and_security_headers_stand_on_every_file() {
    let server = Site::new().serve(&[
        "--header",
        "X-One: 1",
        "--header=X-Two:two words",
        "--header",
        "Content-Security-Policy: default-src 'self'",
    ]);
    for path in ["/", "/d/", "/text.txt"] {
        let answer = server.get(path);
        assert_eq!(answer.field("X-One"), Some("1"), "{path}");
        assert_eq!(answer.field("X-Two"), Some("two words"));
        assert_eq!(
            answer.field("Content-Security-Policy"),
            Some("default-src 'self'")
        );
        assert_eq!(answer.field("X-Frame-Options"), Some("SAMEORIGIN"));
        assert_eq!(
            answer.field("Referrer-Policy"),
            Some("strict-origin-when-cross-origin")
        );
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
    }
    assert_eq!(
        server.get("/nothing").field("X-One"),
        Some("1"),
        "on errors, too"
    );
    let server = Site::new().serve(&["--no-security-headers"]);
    let answer = server.get("/");
    assert_eq!(
        (
            answer.field("X-Frame-Options"),
            answer.field("Referrer-Policy")
        ),
        (None, None)
    );
    assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
}

#[test]
fn healthz_answers_whatever_the_site_holds() {
    let site = Site::new();
    site.file("healthz", "not this");
    let server = site.serve(&[]);
    let answer = server.get("/healthz");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    assert!(
        answer
            .field("Content-Type")
            .unwrap_or_default()
            .starts_with("text/plain")
    );
    assert_eq!(
        server
            .ask("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        200
    );
    assert_eq!(server.get("/healthz?x").text(), "ok\n");
}
