//! The release program, started for real and asked through a loopback socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;
use std::{env, thread};

struct Service(Child, u16);

impl Service {
    fn start() -> Self {
        let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
        let folder = env!("CARGO_MANIFEST_DIR");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--quiet",
                "--bin",
                "hello",
                "--target",
                &target,
            ])
            .args(["--target-dir", "target/real"])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(folder)
            .status();
        assert!(status.expect("cargo starts").success());
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        drop(listener);
        let child = Command::new(format!("{folder}/target/real/{target}/release/hello"))
            .env("PORT", port.to_string())
            .spawn()
            .expect("start");
        for _ in 0..1_000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Self(child, port)
    }

    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).expect("connect");
        let length = body.len();
        let request = format!("{head} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        answer
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_route_answers_and_hostile_input_is_refused() {
    let service = Service::start();
    assert!(service.ask("GET /", "").starts_with("HTTP/1.1 200 "));
    let answer = service.ask("GET /hello/a%22b%C3%A9", "");
    assert!(
        answer.ends_with("\r\n\r\n{\"hello\":\"a\\\"b\u{e9}\"}"),
        "{answer}"
    );
    assert!(answer.contains("\r\nContent-Type: application/json\r\n"));
    let answer = service.ask("POST /echo", " {\"a\":[1,null]}");
    assert!(
        answer.ends_with("\r\n\r\n{\"echo\": {\"a\":[1,null]}}"),
        "{answer}"
    );
    for (head, body, status) in [
        ("POST /echo", "{\"a\":", "422"),
        ("POST /echo", "", "422"),
        ("POST /echo", &"[".repeat(15_000), "422"),
        ("POST /echo", &"1".repeat(15_361), "413"),
        ("GET /hello/%ff", "", "400"),
        ("GET /hello/a/b", "", "404"),
        ("GET /hello/", "", "404"),
        ("GET /echo", "", "405"),
        ("DELETE /", "", "405"),
    ] {
        let answer = service.ask(head, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}: {answer}"
        );
    }
    let largest = format!("\"{}\"", "a".repeat(15_358));
    let answer = service.ask("POST /echo", &largest);
    assert!(
        answer.ends_with(&format!("{{\"echo\":{largest}}}")),
        "{}",
        answer.len()
    );
}
