//! From a path to a file: nothing outside the root, nothing hidden, redirects
//! that stay on the site, and files that are none.

use crate::cases::{After, case, judge};
use crate::harness::Site;
use crate::program::is_root;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn request(path: &[u8]) -> Vec<u8> {
    [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()
}

fn hostile_site() -> Site {
    let site = Site::new();
    site.link("../secret", "climb");
    site.link("..", "up");
    site.link("/etc/passwd", "absolute");
    site.link("/proc/self/root/etc/passwd", "magic");
    site.link("/proc/self/cwd", "magic-folder");
    site.link("loop", "loop");
    site.link("nowhere", "dangling");
    site.link("index.html", "inside");
    site.link("d", "inside-folder");
    site.link("../root/index.html", "out-and-in");
    site.file(".env", "secret");
    site.file(".git/config", "secret");
    site.file("d/.htpasswd", "secret");
    site.file(".well-known/security.txt", "Contact: mailto:a@a.example\n");
    site.file(".well-known/.secret", "secret");
    site
}

#[test]
fn rfc9110_17_3_nothing_outside_the_root_is_served() {
    let server = hostile_site().serve(&["--listing"]);
    let mut cases = Vec::new();
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/..%2Fsecret",
        "/d/../../secret",
        "/.%2e/secret",
        "/%2E./secret",
        "/..\\secret",
        "/%5c..%5csecret",
        "/..%5csecret",
        "/d/..%5c..%5csecret",
        "/climb",
        "/up/secret",
        "/up/",
        "/up",
        "/absolute",
        "/magic",
        "/magic-folder/",
        "/magic-folder/etc/passwd",
        "//etc/passwd",
        "///etc/passwd",
        "/./../secret",
        "/d/%00",
        "/%00",
        "/index.html%00",
        "/index.html%00.css",
        "/%2fetc/passwd",
        "/%2Fetc%2Fpasswd",
        "/../../../../etc/passwd",
        "/%252e%252e/secret",
        "/%252e%252e%252fsecret",
        "/%c0%ae%c0%ae/secret",
        "/%e0%80%ae%e0%80%ae/secret",
        "/..%c0%afsecret",
        "/..%ff/secret",
        "/..;/secret",
        "/.../../../secret",
        "/d/..",
        "/d/../..",
        "/climb/",
        "/index.html/",
        "/index.html/.",
        "/index.html/..",
        "/loop",
        "/dangling",
        "/nothing",
        "/%",
        "/%4",
        "/%zz",
        "/%+1",
        "/%%32%65",
        "/%u002e%u002e/secret",
        "/%0a",
        "/%0d%0aX:%20y",
        "/%7f",
        "/%1f",
        "/root/../../secret",
        "/~root",
        "/file:///etc/passwd",
        "/proc/self/environ",
        "/index.html\\..\\..\\secret",
        "/secret",
        "/..",
        "/..?",
        "/../root/index.html",
        "/out-and-in",
    ] {
        // `/d/..` is the root itself, which is there.
        let statuses = match path {
            "/d/.." | "/index.html/.." => &[200, 301, 308, 400, 404][..],
            _ => &[400, 403, 404],
        };
        cases.push(
            case("RFC 9110 section 17.3", path, request(path.as_bytes()))
                .gives(statuses, After::Either),
        );
    }
    judge(&server, &cases);
    for case in [
        "/climb",
        "/up/secret",
        "/absolute",
        "/magic",
        "/../secret",
        "/%252e%252e/secret",
    ] {
        let text = server.get(case).text();
        assert!(
            !text.contains("secret") && !text.contains("root:"),
            "{case}: {text}"
        );
    }
    for (path, body) in [
        ("/inside", "<p>hi\n"),
        ("/inside-folder/", "in d\n"),
        ("/d/./index.html", "in d\n"),
        ("/d//index.html", "in d\n"),
        ("/x/../d/", "in d\n"),
        ("/%69ndex.html", "<p>hi\n"),
        ("/a%20b.css", "a{}"),
    ] {
        let answer = server.get(path);
        // A server may also send the client to the plain path.
        assert!(
            answer.status == 308 || answer.status == 200 && answer.text() == body,
            "{path}: {answer:?}"
        );
    }
}

#[test]
fn what_begins_with_a_dot_is_hidden_but_for_well_known() {
    let server = hostile_site().serve(&["--listing"]);
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/.git",
        "/d/.htpasswd",
        "/./.env",
        "/d/../.env",
        "/.well-known/.secret",
        "/.%67it/config",
        "/.nothing",
        "/inside-folder/.htpasswd",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("secret"), "{path}");
    }
    let answer = server.get("/.well-known/security.txt");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "Contact: mailto:a@a.example\n")
    );
    assert_eq!(server.get("/d/.well-known/x").status, 404);
}

#[test]
fn rfc9110_15_4_9_folders_get_their_slash_and_the_query_stays() {
    let site = Site::new();
    site.file("a b/index.html", "spaced");
    site.file("q?x/index.html", "marked");
    site.file("h#x/index.html", "hashed");
    site.file("p%41/index.html", "percent");
    site.file("\u{e9}/index.html", "accent");
    site.file(OsStr::from_bytes(b"\xff/index.html"), "no UTF-8");
    site.file("\"><script>/index.html", "script");
    site.file("evil.example/index.html", "evil");
    site.file("a:b/index.html", "colon");
    let server = site.serve(&[]);
    for (path, location) in [
        ("/d", "/d/"),
        ("/d?q=1", "/d/?q=1"),
        ("/d?", "/d/?"),
        ("/d?a=b&c=/../..//x", "/d/?a=b&c=/../..//x"),
        ("/a%20b", "/a%20b/"),
        ("/q%3fx", "/q%3Fx/"),
        ("/h%23x?y", "/h%23x/?y"),
        ("/p%2541", "/p%2541/"),
        ("/%c3%a9", "/%C3%A9/"),
        ("/%ff", "/%FF/"),
        ("http://a/d", "/d/"),
        ("/%64", "/d/"),
        ("/d?<", ""),
        ("/%22%3e%3cscript%3e", "/%22%3E%3Cscript%3E/"),
        ("/a:b", "/a:b/"),
    ] {
        let answer = server.ask(request(path.as_bytes()));
        if location.is_empty() {
            assert_eq!(answer.status, 400, "{path}");
            continue;
        }
        assert_eq!(answer.status, 308, "{path}");
        let found = answer.field("Location").unwrap_or_default().to_owned();
        // Escapes may be spelt in several ways; what they lead to may not.
        let is_spelt = found.eq_ignore_ascii_case(location) || found.contains('%');
        assert!(is_spelt && found.starts_with('/'), "{path}: {found}");
        assert_eq!(
            found.split_once('?'),
            location
                .split_once('?')
                .map(|(_, query)| { (found.split('?').next().unwrap_or_default(), query) }),
            "{path}: the query"
        );
        let next = server.ask(request(found.as_bytes()));
        assert_eq!(next.status, 200, "{path} leads to {found}");
    }
    // Nobody is led to another host: RFC 3986 section 4.2 reads `//` as one.
    for path in [
        "//evil.example",
        "//evil.example/..",
        "//evil.example/%2e%2e",
        "//evil.example/../d",
        "///evil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "//evil.example/%2f..",
        "/.//evil.example",
        "/d/..//evil.example",
        "//d",
        "/%2f/evil.example",
        "//%64",
        "/%09/evil.example",
        "//evil.example@a/..",
        "/%2fevil.example",
    ] {
        let answer = server.ask(request(path.as_bytes()));
        if let Some(location) = answer.field("Location") {
            let is_local = location.starts_with('/')
                && !location.starts_with("//")
                && !location.starts_with("/\\");
            assert!(is_local, "{path} leads to {location}");
        }
    }
}

#[test]
fn what_is_no_file_is_not_found_and_nobody_waits_for_it() {
    let site = Site::new();
    let fifo = site.root().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .expect("mkfifo")
            .success()
    );
    let socket =
        std::os::unix::net::UnixListener::bind(site.root().join("socket")).expect("socket");
    fs::create_dir(site.root().join("bare")).expect("folder");
    fs::create_dir_all(site.root().join("odd/index.html")).expect("folder");
    site.file("none.txt", "none");
    fs::set_permissions(
        site.root().join("none.txt"),
        fs::Permissions::from_mode(0o000),
    )
    .expect("mode");
    let server = site.serve(&[]);
    for path in ["/fifo", "/socket", "/bare/", "/odd/", "/fifo/"] {
        let status = server.get(path).status;
        assert!([403, 404].contains(&status), "{path}: {status}");
    }
    // What it may not read: as root it is another user by then.
    let status = server.get("/none.txt").status;
    assert!(
        [403, 404].contains(&status) || status == 200 && !is_root(),
        "{status}"
    );
    for path in [
        format!("/{}", "a".repeat(255)),
        format!("/{}", "a".repeat(256)),
        format!("/{}", "a".repeat(1_000)),
        "/a".repeat(500),
        "/d/".repeat(300),
    ] {
        let status = server.get(&path).status;
        assert!(
            [404, 414].contains(&status),
            "{} bytes of path: {status}",
            path.len()
        );
    }
    drop(socket);
}

#[test]
fn a_tree_that_changes_is_served_as_it_is() {
    let site = Site::new();
    let server = site.serve(&[]);
    let root = server.site.root();
    let mut client = server.connect();
    for round in 0..200 {
        let text = format!("round {round}");
        fs::write(root.join("new.txt"), &text).expect("write");
        fs::rename(root.join("new.txt"), root.join("changing.txt")).expect("rename");
        assert_eq!(client.get("/changing.txt").text(), text);
        if round % 10 == 0 {
            fs::remove_file(root.join("changing.txt")).expect("remove");
            assert_eq!(client.get("/changing.txt").status, 404);
        }
    }
    // The root itself is held open, whatever becomes of its name.
    fs::rename(&root, server.site.folder.join("moved")).expect("rename");
    assert_eq!(client.get("/").text(), "<p>hi\n");
    fs::rename(server.site.folder.join("moved"), &root).expect("rename");
}

#[test]
fn a_link_that_is_swapped_while_asked_for_never_leads_out() {
    let site = Site::new();
    let server = site.serve(&[]);
    let root = server.site.root();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let swap = root.join("swap");
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                for target in ["../secret", "index.html", "/etc/passwd"] {
                    let _ = fs::remove_file(&swap);
                    let _ = std::os::unix::fs::symlink(target, &swap);
                }
            }
        });
        let mut client = server.connect();
        let mut seen = 0;
        for _ in 0..2_000 {
            let answer = client.get("/swap");
            assert!(
                answer.status == 404 || answer.text() == "<p>hi\n",
                "{answer:?}"
            );
            seen += u32::from(answer.status == 200);
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        println!("{seen} of 2,000 found the good link");
    });
}

#[test]
fn a_link_with_dots_is_not_lost_while_others_rename() {
    let site = Site::new();
    // The longer the way, the surer something is renamed meanwhile.
    site.link(&("../d/".repeat(40) + "../index.html"), "d/up.html");
    let server = site.serve(&[]);
    let folder = server.site.folder.clone();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let names = [folder.join("one"), folder.join("other")];
            fs::write(&names[0], "").expect("file");
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                fs::rename(&names[0], &names[1]).expect("rename");
                fs::rename(&names[1], &names[0]).expect("rename");
            }
        });
        let mut client = server.connect();
        let answers: Vec<_> = (0..2_000).map(|_| client.get("/d/up.html")).collect();
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        // Where the kernel cannot tell even after many tries, it is asked to come
        // again: never that there is no such file.
        let found = answers.iter().filter(|answer| answer.text() == "<p>hi\n");
        assert!(found.count() > 1_000);
        for answer in &answers {
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        }
    });
}
