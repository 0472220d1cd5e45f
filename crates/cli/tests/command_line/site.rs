//! Folders of web files: packed into one file, kept as files, refused.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::harness::Workbench;

fn page(bytes: usize) -> String {
    let mut text = "<!doctype html><title>ounce</title>\n".to_owned();
    let mut number = 1_u32;
    while text.len() < bytes {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("<p class=\"row\">row {}</p>\n", number >> 20));
    }
    text
}

/// A site with a page, a folder, a style, a page for 404 and a picture.
fn site(bench: &Workbench, folder: &str) {
    bench.file(&format!("{folder}/index.html"), page(9_000));
    bench.file(&format!("{folder}/docs/index.html"), page(200));
    bench.file(&format!("{folder}/style.css"), "p { color: teal }\n");
    bench.file(&format!("{folder}/404.html"), "<h1>lost</h1>\n");
    bench.file(&format!("{folder}/copy of a page.html"), page(9_000));
}

fn built(bench: &Workbench, arguments: &[&str]) -> serde_json::Value {
    let arguments = [&["--json", "build"], arguments].concat();
    serde_json::from_str(&bench.succeed(&arguments)).unwrap()
}

#[test]
fn folder_is_packed_into_one_file_and_its_figures_are_told() {
    let bench = Workbench::new();
    site(&bench, "public");
    let json = built(&bench, &["public"]);
    let summary = &json["site"];
    assert_eq!(summary["files"], 5);
    assert_eq!(summary["repeated_files"], 1);
    assert_eq!(summary["redirects"], 1);
    let gzip = &summary["variants"][summary["variants"].as_array().unwrap().len() - 1];
    assert_eq!(gzip["coding"], "gzip");
    assert_eq!(gzip["files"], 2);
    let weighed: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["--json", "weigh", "public"])).unwrap();
    assert_eq!(weighed["images"][0]["files"], 2, "{weighed}");
    let text = bench.succeed(&["build", "public"]);
    assert!(text.starts_with("PACKED SITE "), "{text}");
    assert!(text.contains("gzip beside it"), "{text}");
}

#[test]
fn packed_one_page_site_is_pulled_in_12_kb() {
    let bench = Workbench::new();
    bench.file("public/index.html", page(1_000));
    let json = built(&bench, &["public"]);
    let image = &json["images"][0];
    let bytes = |key: &str| image[key].as_u64().unwrap();
    assert!(bytes("pulled_bytes") <= 12_000, "{json}");
    // What stands beside the server, whatever that weighs.
    assert!(
        bytes("pulled_bytes") - bytes("layer_bytes") <= 750,
        "{json}"
    );
    // Nothing is compressed that is one packet as it is.
    assert_eq!(json["site"]["variants"].as_array().unwrap().len(), 0);
    let packed = json["site"]["packed_bytes"].as_u64().unwrap();
    assert!(packed <= 1_000 + 500, "{json}");
}

#[test]
fn the_same_files_give_the_same_image_in_another_folder_at_another_time() {
    let bench = Workbench::new();
    site(&bench, "one/public");
    let one = built(&bench, &["one/public"]);
    std::thread::sleep(Duration::from_millis(20));
    site(&bench, "two/public");
    let two = built(&bench, &["two/public"]);
    assert_eq!(one["digest"], two["digest"]);
}

#[test]
fn arguments_for_the_server_keep_the_folder() {
    let bench = Workbench::new();
    site(&bench, "public");
    bench.file("public/ounce.toml", "[image]\nargs = [\"--log\"]\n");
    assert!(built(&bench, &["public"])["site"].is_null());
}

#[test]
fn plain_keeps_the_files_by_flag_or_by_setting() {
    let bench = Workbench::new();
    site(&bench, "public");
    let by_flag = built(&bench, &["public", "--plain"]);
    assert!(by_flag["site"].is_null(), "{by_flag}");
    bench.file("public/ounce.toml", "[site]\npack = false\nspa = true\n");
    let recipe: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["build", "public", "--dry-run"])).unwrap();
    assert_eq!(recipe["image"]["args"][0], "--spa", "{recipe}");
    assert_eq!(
        recipe["image"]["site"]["files"].as_array().unwrap().len(),
        5
    );
}

#[test]
fn settings_of_a_site_are_checked() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    let mut pictures = String::new();
    for settings in [
        "[site]\nimutable = \"assets/\"\n",
        "[site]\nheaders = { X-Team = \"a\\r\\nSet-Cookie: b\" }\n",
        "[site]\nheaders = { Content-Length = \"1\" }\n",
        "[site]\npack = true\nlisting = true\n",
        "[[file]]\nfrom = \"index.html\"\nto = \"/public/more.html\"\n",
    ] {
        bench.file("public/ounce.toml", settings);
        pictures.push_str(&bench.picture(&["build", "public"]));
    }
    insta::assert_snapshot!(pictures, @r#"
    status: 3
    -- stdout
    -- stderr
    error: public/ounce.toml:2:1: unknown key `site.imutable`: did you mean `site.immutable`?
    hint: what may stand here: pack, spa, listing, cache, immutable, headers, security-headers, compress
    status: 3
    -- stdout
    -- stderr
    error: public/ounce.toml:2:11: `site.headers`: the value of X-Team has a line break, which no header can: visible ASCII and single spaces are wanted
    hint: docs/ounce-toml.md lists every key
    status: 3
    -- stdout
    -- stderr
    error: public/ounce.toml:2:11: `site.headers`: the header Content-Length cannot be set: the server knows it
    hint: docs/ounce-toml.md lists every key
    status: 2
    -- stdout
    -- stderr
    error: a listing cannot be asked of a packed site: with `pack = false` it stays a folder
    status: 2
    -- stdout
    -- stderr
    error: a file beneath /public cannot be asked of a packed site: with `pack = false` it stays a folder
    "#);
}

#[test]
fn what_cannot_be_packed_is_refused_with_what_to_do() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    let odd = bench.path("public/odd");
    let mut pictures = String::new();
    symlink("/etc/passwd", &odd).unwrap();
    pictures.push_str(&bench.picture(&["build", "public"]));
    std::fs::remove_file(&odd).unwrap();
    let made = Command::new("mkfifo").arg(&odd).status();
    assert!(made.unwrap().success());
    pictures.push_str(&bench.picture(&["build", "public"]));
    std::fs::remove_file(&odd).unwrap();
    bench.file("public/index.html.br", "no brotli");
    pictures.push_str(&bench.picture(&["build", "public"]));
    insta::assert_snapshot!(pictures, @r#"
    status: 3
    -- stdout
    -- stderr
    error: the link public/odd leads out of the folder
    hint: take it away, or let it lead to something in the folder
    status: 3
    -- stdout
    -- stderr
    error: public/odd is a pipe, which nobody can be served
    hint: take it away, or move it out of the folder
    status: 3
    -- stdout
    -- stderr
    error: public/index.html.br is not public/index.html compressed: it unpacks to something else
    hint: compress it anew, or delete it: ounce makes compressed variants itself
    "#);
}

#[test]
fn what_is_left_out_is_told() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    bench.file("public/.env", "SECRET=1");
    bench.file("public/.well-known/security.txt", "Contact: x");
    let output = bench.output(&["--json", "build", "public"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "note: .env is left out: its name starts with a dot, and such are not served\n"
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["site"]["files"], 2);
}

/// A packed site, served by `ounce run` until it is dropped.
struct Served {
    child: Child,
    port: u16,
}

impl Served {
    fn new(bench: &Workbench, image: &str) -> Self {
        // Free a moment ago; `run` says nothing of the port it chose.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port();
        let child = bench
            .ounce(&["run", image, "-p", &format!("127.0.0.1:{port}:8080")])
            .spawn()
            .unwrap();
        let served = Self { child, port };
        let end = Instant::now() + Duration::from_secs(20);
        while served
            .try_ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .is_none()
        {
            assert!(Instant::now() < end, "no answer on port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        served
    }

    fn try_ask(&self, request: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut fields = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let before = fields.insert(name.to_ascii_lowercase(), value.to_owned());
            assert_eq!(before, None, "twice in\n{head}");
        }
        let body = bytes[end + 4..].to_vec();
        Some(Answer {
            status,
            fields,
            body,
        })
    }

    /// Asks for a path with these further lines of the head.
    fn ask(&self, path: &str, more: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        self.try_ask(&request).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        // Not SIGINT: who runs the tests in the background may have it ignored.
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

#[test]
fn packed_image_answers_as_a_production_server_does() {
    let bench = Workbench::new();
    site(&bench, "public");
    let plain = page(9_000);
    bench.file(
        "public/ounce.toml",
        "[site]\nimmutable = \"docs\"\nheaders = { X-Team = \"one\" }\n",
    );
    built(&bench, &["public"]);
    let served = Served::new(&bench, "public");

    let whole = served.ask("/", "");
    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, plain.as_bytes());
    assert_eq!(whole.fields["vary"], "Accept-Encoding");
    assert_eq!(whole.fields["cache-control"], "no-cache");
    assert_eq!(whole.fields["x-team"], "one");
    assert_eq!(whole.fields["x-content-type-options"], "nosniff");
    assert_eq!(whole.fields["content-type"], "text/html; charset=utf-8");
    assert!(!whole.fields.contains_key("last-modified"), "{whole:?}");
    let etag = &whole.fields["etag"];
    assert_eq!(etag.len(), 18);

    let again = served.ask(
        "/index.html",
        &format!("If-None-Match: \"x\", W/{etag}\r\n"),
    );
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(&again.fields["etag"], etag);
    assert_eq!(again.fields["vary"], "Accept-Encoding");
    assert!(!again.fields.contains_key("content-type"), "{again:?}");

    let coded = served.ask("/", "Accept-Encoding: gzip;q=0.5, br\r\n");
    assert_eq!(
        (coded.status, &coded.fields["content-encoding"][..]),
        (200, "br")
    );
    assert!(coded.body.len() * 2 < plain.len(), "{}", coded.body.len());
    assert_ne!(&coded.fields["etag"], etag);
    let part = served.ask("/", "Accept-Encoding: br\r\nRange: bytes=10-19\r\n");
    assert_eq!(part.status, 206);
    assert_eq!(part.body, coded.body[10..20]);
    let range = format!("bytes 10-19/{}", coded.body.len());
    assert_eq!(part.fields["content-range"], range);
    assert_eq!(part.fields["etag"], coded.fields["etag"]);
    let beyond = served.ask("/style.css", "Range: bytes=1000-\r\n");
    assert_eq!(beyond.status, 416);

    let lost = served.ask("/no/such/page", "");
    assert_eq!(
        (lost.status, &lost.body[..]),
        (404, &b"<h1>lost</h1>\n"[..])
    );
    assert!(!lost.fields.contains_key("etag"), "{lost:?}");
    let folder = served.ask("/docs?a=b", "");
    assert_eq!(folder.status, 308);
    assert_eq!(folder.fields["location"], "/docs/?a=b");
    let docs = served.ask("/docs/", "");
    assert_eq!(
        docs.fields["cache-control"],
        "public, max-age=31536000, immutable"
    );
    assert_eq!(
        served.ask("/copy%20of%20a%20page.html", "").body,
        plain.as_bytes()
    );
    assert_eq!(served.ask("/healthz", "").body, b"ok\n");
}

#[test]
fn single_page_application_answers_unknown_paths_with_its_page() {
    let bench = Workbench::new();
    site(&bench, "public");
    bench.file("public/ounce.toml", "[site]\nspa = true\n");
    built(&bench, &["public"]);
    let served = Served::new(&bench, "public");
    let deep = served.ask("/users/7", "");
    assert_eq!((deep.status, deep.body), (200, page(9_000).into_bytes()));
    assert_eq!(served.ask("/users/7.js", "").status, 404);
}

#[test]
fn folder_that_is_not_packed_is_served_by_the_same_rules() {
    let bench = Workbench::new();
    site(&bench, "public");
    bench.file(
        "public/ounce.toml",
        "[site]\npack = false\nspa = true\ncache = \"public, max-age=60\"\n\
         immutable = \"docs\"\nheaders = { X-Team = \"one, two\" }\nsecurity-headers = false\n",
    );
    built(&bench, &["public"]);
    let served = Served::new(&bench, "public");
    let page_of_all = served.ask("/users/7", "");
    assert_eq!(page_of_all.status, 200);
    assert_eq!(page_of_all.body, page(9_000).as_bytes());
    let style = served.ask("/style.css", "");
    assert_eq!(style.fields["cache-control"], "public, max-age=60");
    assert_eq!(style.fields["x-team"], "one, two");
    assert_eq!(style.fields["x-content-type-options"], "nosniff");
    assert!(!style.fields.contains_key("x-frame-options"), "{style:?}");
    let docs = served.ask("/docs/index.html", "");
    assert!(
        docs.fields["cache-control"].ends_with("immutable"),
        "{docs:?}"
    );
}
