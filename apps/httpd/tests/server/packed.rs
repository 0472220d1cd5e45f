//! A packed site: one file with ready answers. The writer here follows the page
//! that describes the format, and shares no code with the one that ships.

use crate::client::Answer;
use crate::harness::{Server, Site};
use crate::program::packed_program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one path is answered with.
struct Row<'a> {
    path: &'a [u8],
    /// 0 a file, 1 a redirect, 2 the page for what is not found.
    kind: u8,
    /// Coding (0 br, 1 zst, 2 gz, 3 identity), fields, how much of them a 304
    /// repeats, body. In the order of the codings.
    variants: Vec<(u8, String, usize, Vec<u8>)>,
}

/// The file of these rows, which must be sorted by path.
fn pack(rows: &[Row<'_>]) -> Vec<u8> {
    let count: usize = rows.iter().map(|row| row.variants.len()).sum();
    let tables = 20 + rows.len() * 12;
    let base = tables + count * 16;
    let (mut index, mut records, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let number = |value: usize| (value as u32).to_le_bytes();
    let half = |value: usize| (value as u16).to_le_bytes();
    for row in rows {
        index.extend(number(base + rest.len()));
        index.extend(half(row.path.len()));
        index.push(
            row.variants
                .iter()
                .fold(0, |has, (coding, ..)| has | 1 << coding),
        );
        index.push(row.kind);
        index.extend(number(tables + records.len()));
        rest.extend(row.path);
        for (_, fields, repeated, body) in &row.variants {
            records.extend(number(base + rest.len()));
            records.extend(half(fields.len()));
            records.extend(half(*repeated));
            rest.extend(fields.bytes());
            records.extend(number(base + rest.len()));
            records.extend(number(body.len()));
            rest.extend(body);
        }
    }
    let mut bytes = b"ounce-site\0\x01".to_vec();
    bytes.extend(number(rows.len()));
    bytes.extend(number(base + rest.len()));
    [bytes, index, records, rest].concat()
}

/// A file's variant with an entity tag made of its number.
fn variant(
    coding: u8,
    tag: u32,
    kind: &str,
    varies: bool,
    body: &[u8],
) -> (u8, String, usize, Vec<u8>) {
    let vary = if varies {
        "Vary: Accept-Encoding\r\n"
    } else {
        ""
    };
    let first = format!("ETag: \"{tag:016}\"\r\n{vary}Cache-Control: no-cache\r\n");
    let coded = match coding {
        0 => "Content-Encoding: br\r\n",
        1 => "Content-Encoding: zstd\r\n",
        2 => "Content-Encoding: gzip\r\n",
        _ => "",
    };
    let rest = format!(
        "Content-Type: {kind}\r\n{coded}X-Content-Type-Options: nosniff\r\nAccept-Ranges: bytes\r\n"
    );
    (coding, first.clone() + &rest, first.len(), body.to_vec())
}

fn html(tag: u32, body: &[u8]) -> Vec<(u8, String, usize, Vec<u8>)> {
    vec![variant(3, tag, "text/html; charset=utf-8", false, body)]
}

fn location(to: &str) -> Vec<(u8, String, usize, Vec<u8>)> {
    vec![(3, format!("Location: {to}"), 0, Vec::new())]
}

const BIG: usize = 3_000_000;

fn rows() -> Vec<Row<'static>> {
    let row = |path: &'static [u8], kind, variants| Row {
        path,
        kind,
        variants,
    };
    let missing = "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n";
    let script = "text/javascript; charset=utf-8";
    let mut big = vec![7; BIG];
    big[BIG - 4..].copy_from_slice(b"last");
    vec![
        row(
            b"",
            2,
            vec![(3, missing.to_owned(), 0, b"<p>lost".to_vec())],
        ),
        row(
            b"*",
            2,
            vec![(3, missing.to_owned(), 0, b"<p>lost".to_vec())],
        ),
        row(b"/", 0, html(1, b"<p>hi\n")),
        row(
            b"/a.js",
            0,
            vec![
                variant(0, 2, script, true, b"brotli"),
                variant(1, 3, script, true, b"zstandard"),
                variant(2, 4, script, true, b"gz"),
                variant(3, 5, script, true, b"identity"),
            ],
        ),
        row(
            b"/big.bin",
            0,
            vec![variant(3, 6, "application/octet-stream", false, &big)],
        ),
        row(b"/d", 1, location("/d/")),
        row(b"/d/", 0, html(7, b"in d\n")),
        row(b"/d/index.html", 0, html(7, b"in d\n")),
        row(b"/empty", 0, html(8, b"")),
        row(b"/index.html", 0, html(1, b"<p>hi\n")),
        row(b"/\xc3\xa9 x", 0, html(9, b"accent")),
    ]
}

/// Both programs, which must do the same.
fn programs() -> [PathBuf; 1] {
    [packed_program()]
}

/// Serves the rows as a packed file, which stands in the site's folder.
fn serve(program: &Path, rows: &[Row<'_>], options: &[&str]) -> (Server, PathBuf) {
    let site = Site::new();
    let file = site.folder.join("site.ounce");
    fs::write(&file, pack(rows)).expect("file");
    // What is not on the disk yet is dirty in every process that maps it.
    let written = fs::File::open(&file).expect("file");
    written.sync_all().expect("sync");
    let port = crate::harness::free_port();
    let mut command = Command::new(program);
    command
        .args(options)
        .args(["--port", &port.to_string()])
        .arg(&file);
    (Server::start_as_is(site, &mut command, port), file)
}

/// The server of packed sites alone, on a small site.
pub(crate) fn serve_alone() -> Server {
    serve(&packed_program(), &rows(), &[]).0
}

fn coding(answer: &Answer) -> &str {
    answer.field("Content-Encoding").unwrap_or("identity")
}

#[test]
fn a_packed_site_is_answered_from_its_ready_heads() {
    let [program] = &programs();
    let (server, _) = serve(program, &rows(), &[]);
    for (path, body) in [
        ("/", "<p>hi\n"),
        ("/index.html", "<p>hi\n"),
        ("/d/", "in d\n"),
        ("/d/index.html", "in d\n"),
        ("/%C3%A9%20x", "accent"),
        ("/empty", ""),
        ("/a.js", "identity"),
        ("/x/../d/", "in d\n"),
        ("/?q", "<p>hi\n"),
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, body),
            "{path}"
        );
        assert_eq!(answer.field("Cache-Control"), Some("no-cache"));
        assert!(
            answer.field("Last-Modified").is_none(),
            "there is no time in it"
        );
    }
    assert_eq!(server.get("/").field("ETag"), Some("\"0000000000000001\""));
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let big = server.get("/big.bin");
    assert!(big.body.len() == BIG && big.body.ends_with(b"last"));
    assert_eq!(big.field("Content-Type"), Some("application/octet-stream"));
    for (path, location) in [("/d", "/d/"), ("/d?q=1", "/d/?q=1"), ("/d?", "/d/?")] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.field("Location")),
            (308, Some(location)),
            "{path}"
        );
    }
    for path in ["/nothing", "/nothing.css", "/d/x", "/a.js/", "/D/"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, "<p>lost"),
            "{path}"
        );
    }
    for path in ["/..", "/%2e%2e/x", "/%00", "/%zz", "//..//"] {
        let status = server.get(path).status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    let put = server.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(put.status, 405);
    assert_eq!(
        server.ask("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        204
    );
}

#[test]
fn rfc9110_13_to_15_hold_for_packed_variants_as_for_files() {
    for program in programs() {
        judge_variants(&program);
    }
}

fn judge_variants(program: &Path) {
    let (server, _) = serve(program, &rows(), &[]);
    for (accept, expected, body, tag) in [
        ("br, gzip", "br", "brotli", 2),
        ("zstd, gzip", "zstd", "zstandard", 3),
        ("gzip", "gzip", "gz", 4),
        ("deflate", "identity", "identity", 5),
        ("", "identity", "identity", 5),
        ("br;q=0.1, gzip", "gzip", "gz", 4),
        ("*", "br", "brotli", 2),
        ("identity;q=0.5, br;q=0.4", "identity", "identity", 5),
    ] {
        let with = |fields: &str| {
            server.get_with("/a.js", &format!("Accept-Encoding: {accept}\r\n{fields}"))
        };
        let answer = with("");
        assert_eq!(
            (coding(&answer), answer.text().as_str()),
            (expected, body),
            "{accept}"
        );
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
        let tag = format!("\"{tag:016}\"");
        assert_eq!(answer.field("ETag"), Some(tag.as_str()));
        let unchanged = with(&format!("If-None-Match: {tag}\r\n"));
        assert_eq!(
            (unchanged.status, unchanged.field("ETag")),
            (304, Some(tag.as_str())),
            "{accept}"
        );
        assert_eq!(
            (unchanged.field("Vary"), unchanged.field("Cache-Control")),
            (Some("Accept-Encoding"), Some("no-cache"))
        );
        assert!(unchanged.field("Content-Type").is_none() && unchanged.body.is_empty());
        let part = with("Range: bytes=1-\r\n");
        assert_eq!(
            (part.status, coding(&part), part.body.as_slice()),
            (206, expected, &body.as_bytes()[1..])
        );
        assert_eq!(
            part.field("Content-Range"),
            Some(format!("bytes 1-{}/{}", body.len() - 1, body.len()).as_str())
        );
        let past = with("Range: bytes=99-\r\n");
        assert_eq!(
            (past.status, past.field("Content-Range")),
            (416, Some(format!("bytes */{}", body.len()).as_str()))
        );
        let other = with("Range: bytes=0-0\r\nIf-Range: \"x\"\r\n");
        assert_eq!((other.status, other.text().as_str()), (200, body));
        let head = server.ask(format!(
            "HEAD /a.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n"
        ));
        assert_eq!(head.lasting_fields(), answer.lasting_fields(), "{accept}");
    }
    // A large body goes another way (sendfile), at an offset.
    let part = server.get_with("/big.bin", "Range: bytes=-6\r\n");
    assert_eq!(
        (part.status, part.body.as_slice()),
        (206, &b"\x07\x07last"[..])
    );
    let part = server.get_with("/big.bin", "Range: bytes=2000000-2999999\r\n");
    assert!(part.body.len() == 1_000_000 && part.body.ends_with(b"last"));
    let mut client = server.connect();
    client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /d/ HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().expect("the large one").body.len(), BIG);
    assert_eq!(client.answer().expect("the next").text(), "in d\n");
    assert_eq!(client.answer().expect("and the next").text(), "<p>hi\n");
    for path in ["/", "/d", "/nothing", "/empty", "/big.bin"] {
        let head = server.ask(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            head.lasting_fields(),
            server.get(path).lasting_fields(),
            "{path}"
        );
    }
}

#[test]
fn a_fallback_page_answers_what_has_no_dot() {
    for program in programs() {
        judge_fallback(&program);
    }
}

fn judge_fallback(program: &Path) {
    let mut rows = rows();
    rows[1] = Row {
        path: b"*",
        kind: 0,
        variants: html(1, b"<p>app"),
    };
    let (server, _) = serve(program, &rows, &[]);
    for path in ["/route", "/route/deeper", "/v1.2/route"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "<p>app"),
            "{path}"
        );
    }
    assert_eq!(server.get("/missing.js").status, 404);
    rows.drain(..2);
    let (server, _) = serve(program, &rows, &[]);
    let answer = server.get("/nothing");
    assert!(
        answer.status == 404 && !answer.text().contains("lost"),
        "{answer:?}"
    );
}

#[test]
fn a_packed_site_that_is_replaced_goes_on_as_it_was() {
    for program in programs() {
        judge_replaced(&program);
    }
}

fn judge_replaced(program: &Path) {
    let (server, file) = serve(program, &rows(), &[]);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    fs::remove_file(&file).expect("remove");
    assert_eq!(server.get("/").text(), "<p>hi\n");
    assert_eq!(server.get("/big.bin").body.len(), BIG);
    fs::write(&file, "another").expect("write");
    assert_eq!(server.get("/d/").text(), "in d\n");
}

#[test]
fn damaged_packed_files_are_refused_or_do_no_harm() {
    for program in programs() {
        judge_damaged(&program);
    }
}

fn judge_damaged(program: &Path) {
    let good = pack(&rows());
    let site = Site::new();
    let refused = |bytes: &[u8]| {
        let file = site.folder.join("damaged.ounce");
        fs::write(&file, bytes).expect("file");
        let output = Command::new("timeout")
            .arg("5")
            .arg(program)
            .args(["--port", &crate::harness::free_port().to_string()])
            .arg(&file)
            .output()
            .expect("start");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            matches!(output.status.code(), Some(3 | 4)),
            "{:?}: {said}",
            output.status
        );
        assert!(said.contains("damaged.ounce"), "{said:?}");
    };
    let mut other_version = good.clone();
    other_version[11] = 2;
    for bytes in [
        &[][..],
        b"ounce-site",
        &good[..19],
        &good[..good.len() - 1],
        &[&good[..], b"x"].concat(),
        &other_version,
        b"<!doctype html>",
    ] {
        refused(bytes);
    }
    // Offsets that lead out: the server starts, and lives through being asked.
    let mut state = 12_345_u32;
    for _ in 0..12 {
        let mut bytes = good.clone();
        for _ in 0..12 {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            let at = 20 + (state >> 8) as usize % 500;
            bytes[at] = (state >> 24) as u8;
        }
        let file = site.folder.join("odd.ounce");
        fs::write(&file, &bytes).expect("file");
        let port = crate::harness::free_port();
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string()]).arg(&file);
        let mut server = Server::start_as_is(Site::new(), &mut command, port);
        for path in ["/", "/a.js", "/big.bin", "/d", "/d/", "/nothing", "/empty"] {
            let mut client = server.connect();
            client.patience(std::time::Duration::from_millis(300));
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ));
            // Whatever it is: the fields may be nonsense, as the file is.
            client.rest();
        }
        assert_eq!(server.child.try_wait().expect("wait"), None, "it died");
        assert_eq!(server.get("/healthz").text(), "ok\n");
    }
}

#[test]
fn the_server_of_packed_sites_alone_takes_no_folder_and_is_closed_in() {
    let site = Site::new();
    let output = Command::new("timeout")
        .arg("5")
        .arg(packed_program())
        .args(["--port", &crate::harness::free_port().to_string()])
        .arg(site.root())
        .output()
        .expect("start");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        matches!(output.status.code(), Some(3 | 4)),
        "{:?}: {said}",
        output.status
    );
    assert!(!said.is_empty());
    let (server, _) = serve(&packed_program(), &rows(), &[]);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    assert_eq!(
        (
            server.status("Seccomp").as_str(),
            server.status("NoNewPrivs").as_str()
        ),
        ("2", "1")
    );
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a.js").text(), "identity");
    }
    let dirty = server.memory_kb("Private_Dirty");
    assert!(dirty <= 24, "{dirty} KB");
}

#[test]
fn the_server_of_packed_sites_alone_takes_a_port_and_little_else() {
    let run = |arguments: &[&str], port: &str| {
        let output = Command::new("timeout")
            .arg("5")
            .arg(packed_program())
            .args(arguments)
            .env("OUNCE_HTTPD_PORT", port)
            .output()
            .expect("start");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    for arguments in [["-h"], ["--help"]] {
        let (status, said) = run(&arguments, "8080");
        assert!(status == Some(0) && said.contains("--port"), "{said}");
    }
    for (arguments, port, named) in [
        (&["--log"][..], "8080", "--log"),
        (&["--port=1"], "8080", "--port=1"),
        (&["--healthy"], "8080", "--healthy"),
        (&["-p"], "8080", "port"),
        (&["-p", "0"], "8080", "0"),
        (&["--port", "65536"], "8080", "65536"),
        (&["--port", "x"], "8080", "x"),
        (&[], "-1", "-1"),
    ] {
        let (status, said) = run(arguments, port);
        assert!(
            status == Some(2) && said.contains(named) && said.contains("--help"),
            "{arguments:?}: {status:?} {said}"
        );
    }
    // The environment says where; an argument goes before it.
    let (by_argument, file) = serve(&packed_program(), &rows(), &[]);
    let port = crate::harness::free_port();
    let mut command = Command::new(packed_program());
    command.env("OUNCE_HTTPD_PORT", port.to_string()).arg(&file);
    let by_variable = Server::start_as_is(Site::new(), &mut command, port);
    assert_eq!(by_variable.get("/").text(), "<p>hi\n");
    let (port, other) = (port.to_string(), by_argument.port.to_string());
    assert_eq!(run(&["--health"], &port).0, Some(0));
    drop(by_variable);
    assert_eq!(run(&["--health"], &port).0, Some(1));
    assert_eq!(run(&["--health", "-p", &other], &port).0, Some(0));
    // Taken.
    let file = file.to_str().expect("name");
    let (status, said) = run(&["-p", &other, file], &port);
    assert!(status == Some(4) && said.contains(&other), "{said}");
}

#[test]
fn a_request_with_a_body_is_the_last_of_its_connection() {
    let server = serve_alone();
    for (request, status) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            405,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
            200,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
        ),
    ] {
        let mut client = server.connect();
        client.send(format!("{request}GET /d/ HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.answer().expect("an answer");
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.field("Connection"), Some("close"), "{request}");
        assert!(
            client.answer().is_err(),
            "{request}: what follows is no request"
        );
    }
}
