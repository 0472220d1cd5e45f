//! The program of the other architecture, run by an emulator.

use crate::harness::{HANG, Server, Site};
use crate::program::{build, is_skipped};
use std::env;
use std::process::Command;

#[test]
fn the_aarch64_program_does_the_same_under_emulation() {
    if env::consts::ARCH == "aarch64" {
        // All other tests run it.
        return;
    }
    let qemu = "qemu-aarch64-static";
    let why = "qemu-aarch64-static is not installed";
    if is_skipped(Command::new(qemu).arg("--version"), why) {
        return;
    }
    let target = "aarch64-unknown-linux-musl";
    let mut rustc = Command::new("rustc");
    rustc.args(["--target", target, "--print", "target-libdir"]);
    let library = String::from_utf8(rustc.output().expect("rustc").stdout).expect("path");
    let why = "the Rust target aarch64-unknown-linux-musl is not installed";
    if is_skipped(Command::new("test").args(["-d", library.trim()]), why) {
        return;
    }
    let site = Site::new();
    site.link("../secret", "climb");
    site.link("/etc/passwd", "absolute");
    site.file("n.js", "plain");
    site.file("n.js.gz", "packed");
    site.file("big.bin", vec![7; 3_000_000]);
    // The emulator makes calls of its own, which the filter would not let pass.
    let mut command = Command::new(qemu);
    command.arg(build("aarch64")).arg("--no-sandbox");
    let mut server = Server::start(site, &mut command);
    let answer = server.get("/");
    assert_eq!(answer.text(), "<p>hi\n");
    let tag = answer.field("ETag").expect("an ETag").to_owned();
    assert_eq!(
        server
            .get_with("/", &format!("If-None-Match: {tag}\r\n"))
            .status,
        304
    );
    assert_eq!(server.get("/d?q").field("Location"), Some("/d/?q"));
    assert_eq!(
        server.get_with("/text.txt", "Range: bytes=2-4\r\n").text(),
        "234"
    );
    assert_eq!(
        server.get_with("/n.js", "Accept-Encoding: gzip\r\n").text(),
        "packed"
    );
    for path in ["/../secret", "/climb", "/absolute", "/nothing"] {
        assert!(matches!(server.get(path).status, 400..=404), "{path}");
    }
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    let mut client = server.connect();
    client.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().expect("an answer").status, 405);
    assert_eq!(server.get("/big.bin").body.len(), 3_000_000);
    server.signal("-TERM");
    assert_eq!(server.wait_for_exit(HANG), Some(0));
}
