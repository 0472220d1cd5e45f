//! The command line and the environment: what is understood, how faults are
//! told, and with which exit status.

use crate::harness::{HANG, Server, Site, free_port};
use crate::program::{is_root, program};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .env_clear()
        .output()
        .expect("start")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_and_version_are_on_stdout() {
    for flag in ["-h", "--help"] {
        let output = run(&[flag]);
        assert_eq!(
            (output.status.code(), stderr(&output).as_str()),
            (Some(0), ""),
            "{flag}"
        );
        let help = String::from_utf8(output.stdout).expect("text");
        for name in [
            "--port",
            "--address",
            "--listing",
            "--spa",
            "--cache",
            "--immutable",
            "--header",
            "--no-security-headers",
            "--log",
            "--max-connections",
            "--header-seconds",
            "--idle-seconds",
            "--write-seconds",
            "--grace-seconds",
            "--user",
            "--no-sandbox",
            "--tiny",
            "--reuse-port",
            "--health",
            "--help",
            "--version",
            "OUNCE_HTTPD_",
        ] {
            assert!(help.contains(name), "{name} is not in the help");
        }
        assert!(
            help.lines().all(|line| line.len() <= 100),
            "a line is too wide"
        );
    }
    for flag in ["-V", "--version"] {
        let output = run(&[flag]);
        let version = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0));
        assert!(
            version.starts_with("httpd ")
                && version.contains(env!("CARGO_PKG_VERSION"))
                && version.lines().count() == 1,
            "{version:?}"
        );
    }
}

#[test]
fn bad_flags_and_values_are_told_in_one_line_with_a_hint() {
    for arguments in [
        &["--nothing"][..],
        &["-x"],
        &["--port"],
        &["--port", ""],
        &["--port", "x"],
        &["--port", "-1"],
        &["--port", "+80"],
        &["--port", "65536"],
        &["--port", "99999999999999999999"],
        &["--port=", "/"],
        &["-p"],
        &["-p", "8o"],
        &["--port=80x"],
        &["--address", "localhost"],
        &["--address", "1.2.3"],
        &["--address", "1.2.3.256"],
        &["--address", "::g"],
        &["--address", ""],
        &["--header", "no colon"],
        &["--header", "A: b\r\nC: d"],
        &["--header", ": b"],
        &["--header", "A b: c"],
        &["--header", "A: b\nc"],
        &["--max-connections", "x"],
        &["--max-connections", "0"],
        &["--header-seconds", "x"],
        &["--idle-seconds", "-1"],
        &["--write-seconds", ""],
        &["--grace-seconds", "1s"],
        &["--user", "root"],
        &["--user", "1:x"],
        &["--user", ""],
        &["--user", "1:2:3"],
        &["--user", "4294967296"],
        &["--listing=maybe"],
        &["a", "b"],
        &["--immutable"],
    ] {
        let output = run(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains("--help"),
            "{arguments:?}: {said:?} has no hint"
        );
        assert!(
            said.lines().count() <= 2 && output.stdout.is_empty(),
            "{arguments:?}: {said:?}"
        );
        // What was wrong is named: the flag, or at least what was given for it.
        let is_named = arguments
            .iter()
            .flat_map(|argument| argument.split('='))
            .any(|part| !part.is_empty() && said.contains(part));
        assert!(is_named, "{arguments:?}: {said:?} does not say what");
    }
}

#[test]
fn the_environment_sets_every_flag_and_the_command_line_wins() {
    let site = Site::new();
    site.file("bare/one.txt", "1");
    let port = free_port();
    let mut command = Command::new(program());
    command
        .env("OUNCE_HTTPD_PORT", port.to_string())
        .env("OUNCE_HTTPD_LISTING", "yes")
        .env("OUNCE_HTTPD_CACHE", "public, max-age=1")
        .env("OUNCE_HTTPD_NO_SECURITY_HEADERS", "1")
        .env("OUNCE_HTTPD_HEADER", "X-From: environment")
        .arg(site.root());
    let server = Server::start_as_is(site, &mut command, port);
    let answer = server.get("/");
    assert_eq!(answer.field("Cache-Control"), Some("public, max-age=1"));
    assert_eq!(
        (answer.field("X-Frame-Options"), answer.field("X-From")),
        (None, Some("environment"))
    );
    assert_eq!(server.get("/bare/").status, 200);
    for value in ["0", "false", "no", ""] {
        let site = Site::new();
        site.file("bare/one.txt", "1");
        let mut command = Command::new(program());
        command
            .env("OUNCE_HTTPD_LISTING", value)
            .env("OUNCE_HTTPD_CACHE", "private")
            .env("OUNCE_HTTPD_PORT", "1")
            .args(["--cache=no-store"]);
        let server = Server::start(site, &mut command);
        assert_ne!(server.get("/bare/").status, 200, "{value:?} is no");
        assert_eq!(server.get("/").field("Cache-Control"), Some("no-store"));
    }
    for (name, value) in [
        ("OUNCE_HTTPD_PORT", "x"),
        ("OUNCE_HTTPD_LISTING", "maybe"),
        ("OUNCE_HTTPD_MAX_CONNECTIONS", "-1"),
        ("OUNCE_HTTPD_ADDRESS", "nowhere"),
    ] {
        let output = Command::new(program())
            .env(name, value)
            .output()
            .expect("start");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {said}");
        let flag = format!(
            "--{}",
            name["OUNCE_HTTPD_".len()..]
                .to_lowercase()
                .replace('_', "-")
        );
        assert!(
            said.contains(name) || said.contains(&flag) || said.contains(value),
            "{said:?} does not name {name}"
        );
    }
}

#[test]
fn what_the_host_refuses_is_told_with_what_and_why() {
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("0.0.0.0", port)).expect("bind");
    let site = Site::new();
    let root = site.root().display().to_string();
    let taken = port.to_string();
    let output = run(&["--port", &taken, "--address", "0.0.0.0", &root]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains(&taken) && said.to_lowercase().contains("in use"),
        "{said:?}"
    );
    let output = run(&["--port", "0", "/nowhere/at/all"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("/nowhere/at/all")
            && ["no such", "not found"]
                .iter()
                .any(|why| said.to_lowercase().contains(why)),
        "{said:?}"
    );
    // An address that this machine does not have (RFC 5737).
    let output = run(&["--port", "0", "--address", "192.0.2.1", &root]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("192.0.2.1") || said.contains("99"),
        "{said:?}"
    );
    // A file that is no packed site.
    let path = site.file("not-a-site", "ounce-site");
    let output = run(&["--port", "0", &path.display().to_string()]);
    let said = stderr(&output);
    assert!(matches!(output.status.code(), Some(3 | 4)), "{said}");
    assert!(said.contains("not-a-site"), "{said:?}");
}

#[test]
fn port_0_is_any_and_the_chosen_one_is_told() {
    let site = Site::new();
    let said = std::fs::File::create(site.folder.join("stderr")).expect("file");
    let child = Command::new(program())
        .args(["--port", "0", "--address", "127.0.0.1"])
        .arg(site.root())
        .stderr(said)
        .spawn()
        .expect("start");
    let mut server = Server {
        child,
        port: 0,
        site,
    };
    let start = std::time::Instant::now();
    while server.port == 0 && start.elapsed() < HANG {
        let said = server.said();
        let numbers = said.split(|byte: char| !byte.is_ascii_digit());
        server.port = numbers
            .filter_map(|number| number.parse().ok())
            .find(|&port| port > 1_023)
            .unwrap_or(0);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_ne!(server.port, 0, "{:?}", server.said());
    assert_eq!(server.get("/").text(), "<p>hi\n");
}

#[test]
fn health_answers_by_exit_status() {
    let mut server = Site::new().serve(&[]);
    let health = |arguments: &[&str]| run(&[&["--health"][..], arguments].concat()).status.code();
    let port = server.port.to_string();
    assert_eq!(health(&["--port", &port]), Some(0));
    assert_eq!(
        health(&["--port", &port, "--address", "127.0.0.1"]),
        Some(0)
    );
    // By the same environment as the server's.
    let output = Command::new(program())
        .arg("--health")
        .env("OUNCE_HTTPD_PORT", &port)
        .output()
        .expect("start");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // A server that is stopped is not healthy, and the probe does not wait for ever.
    server.signal("-STOP");
    assert_eq!(health(&["--port", &port]), Some(1));
    server.signal("-CONT");
    server.signal("-INT");
    assert_eq!(server.wait_for_exit(HANG), Some(0));
    assert_eq!(health(&["--port", &port]), Some(1));
    // Something else answers there.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = other.local_addr().expect("address").port().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = other.accept().expect("accept");
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    });
    assert_eq!(
        health(&["--port", &port, "--address", "127.0.0.1"]),
        Some(1)
    );
    answering.join().expect("thread");
}

#[test]
fn the_default_site_is_public_and_its_absence_is_told() {
    if std::path::Path::new("/public").exists() {
        return crate::program::skip("there is a /public on this machine");
    }
    let output = run(&["--port", "0"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("/public"), "{said:?}");
}

#[test]
fn a_root_that_may_not_be_read_is_told_at_the_start_or_refused_later() {
    let site = Site::new();
    let root = site.root();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).expect("mode");
    if !is_root() {
        return crate::program::skip("a folder of another user needs root");
    }
    // Started as root it drops to a user who may not enter: 403 or 404, no 500.
    let server = site.serve(&[]);
    let status = server.get("/").status;
    assert!([403, 404].contains(&status), "{status}");
}
