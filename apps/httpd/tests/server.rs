//! The release program, started for real and asked through loopback sockets.
//! Each run builds it first, for the musl target of this machine, with the
//! project's own `.cargo/config.toml`.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--quiet",
                "--bin",
                "httpd",
                "--target",
                &target,
            ])
            .args(["--target-dir", "target/real"])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(folder)
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the release program does not build");
        folder.join(format!("target/real/{target}/release/httpd"))
    })
}

/// A site, a server for it, and both gone at the end.
struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

fn site(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("ounce-httpd-{}-{name}", std::process::id()));
    let root = folder.join("root");
    fs::create_dir_all(root.join("d")).expect("folders");
    fs::write(root.join("index.html"), "<p>hi\n").expect("file");
    fs::write(root.join("d/index.html"), "in d\n").expect("file");
    fs::write(root.join("a b.css"), "a{}").expect("file");
    fs::write(root.join("big.bin"), vec![7; 3_000_000]).expect("file");
    fs::write(folder.join("secret"), "secret").expect("file");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name));
    link("../secret", "climb").expect("link");
    link("/etc/passwd", "absolute").expect("link");
    link("/proc/self/root/etc/passwd", "magic").expect("link");
    link("index.html", "inside").expect("link");
    folder
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

impl Server {
    fn start(name: &str) -> Self {
        Self::start_by(name, |_| {})
    }

    fn start_by(name: &str, change: impl Fn(&mut Command)) -> Self {
        let folder = site(name);
        let port = free_port();
        let mut command = Command::new(program());
        change(&mut command);
        command
            .arg("--port")
            .arg(port.to_string())
            .arg(folder.join("root"));
        let server = Self {
            child: command.spawn().expect("start"),
            port,
            folder,
        };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "server does not listen"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("timeout");
        stream
    }

    /// Sends and reads until the server closes.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("send");
        read_all(&mut stream)
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill").success());
    }

    fn wait_for_exit(&mut self, limit: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("reading: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("head");
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).expect("ascii")
}

#[test]
fn files_are_served_with_type_and_length() {
    let server = Server::start("files");
    let answer = server.get("/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert!(answer.contains("\r\nContent-Length: 6\r\n") && answer.ends_with("\r\n\r\n<p>hi\n"));
    assert!(answer.contains("\r\nDate: "));
    let answer = server.get("/a%20b.css?x=y");
    assert!(
        answer.contains("\r\nContent-Type: text/css; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(server.get("/inside").ends_with("<p>hi\n"));
    assert!(server.get("/d/").ends_with("in d\n"));
    assert!(server.get("/healthz").ends_with("ok\n"));
    let big = server.get("/big.bin");
    assert_eq!(
        big.len() - big.find("\r\n\r\n").expect("head") - 4,
        3_000_000
    );
}

#[test]
fn a_folder_without_its_slash_is_redirected() {
    let server = Server::start("redirect");
    let answer = server.get("//d?q=1");
    assert!(
        answer.starts_with("HTTP/1.1 308 ") && answer.contains("\r\nLocation: /d/?q=1\r\n"),
        "{answer}"
    );
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let server = Server::start("head");
    let answer = server.ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(
        answer.contains("\r\nContent-Length: 6\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[test]
fn nothing_outside_the_root_is_served() {
    let server = Server::start("traversal");
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/d/../../secret",
        "/.%2e/secret",
        "/..\\secret",
        "/%5c..%5csecret",
        "/climb",
        "/absolute",
        "/magic",
        "//etc/passwd",
        "/d/%00",
        "/%2fetc/passwd",
        "/../../../../etc/passwd",
        "/climb/",
        "/index.html/",
        "/nothing",
    ] {
        let answer = server.get(path);
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(
            !answer.contains("secret") && !answer.contains("root:"),
            "{path}: {answer}"
        );
    }
}

#[test]
fn refusals_have_the_right_status_and_close() {
    let server = Server::start("refusals");
    let long = "a".repeat(9_000);
    let wide = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(17_000)
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400"),
        ("\x16\x03\x01\x02\x00\x01", "400"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            "413",
        ),
        (&format!("GET /{long} HTTP/1.1\r\n"), "414"),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "417"),
        (&wide, "431"),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "405",
        ),
        ("GET /x HTTP/1.0\r\n\r\n", "404"),
    ] {
        let answer = server.ask(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer}"
        );
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

#[test]
fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let server = Server::start("pipeline");
    let mut stream = server.connect();
    for _ in 0..3 {
        stream
            .write_all(b"GET /d/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("send");
        read_head(&mut stream);
        let mut body = [0; 5];
        stream.read_exact(&mut body).expect("body");
        assert_eq!(&body, b"in d\n");
    }
    let one = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let many =
        one.repeat(2_000) + "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /d/ HTTP/1.0\r\n\r\n";
    let mut writer = stream.try_clone().expect("clone");
    let sender = thread::spawn(move || writer.write_all(many.as_bytes()).expect("send"));
    let answers = read_all(&mut stream);
    sender.join().expect("sender");
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2_002);
    assert!(answers.ends_with("in d\n"));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start("bytes");
    let mut stream = server.connect();
    for byte in b"\r\nGET / HTTP/1.0\r\nX: y\r\n\r\n" {
        stream.write_all(&[*byte]).expect("send");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(read_all(&mut stream).ends_with("<p>hi\n"));
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let server = Server::start("slow");
    let mut stream = server.connect();
    stream
        .write_all(b"GET /big.bin HTTP/1.0\r\n\r\n")
        .expect("send");
    thread::sleep(Duration::from_millis(500));
    assert!(read_all(&mut stream).len() > 3_000_000);
    assert!(server.get("/").ends_with("<p>hi\n"));
}

#[test]
fn a_request_never_finished_gets_408_at_its_deadline() {
    let server = Server::start("deadline");
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").expect("send");
    let start = Instant::now();
    assert!(read_all(&mut stream).starts_with("HTTP/1.1 408 "));
    assert!(start.elapsed() > Duration::from_secs(8));
}

#[test]
fn an_inherited_socket_is_served_as_listen_fds_says() {
    let folder = site("inherit");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    // It comes as standard input; the shell moves it to 3 and tells its own
    // number, which exec keeps.
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$1\"";
    let child = Command::new("bash")
        .args(["-c", script])
        .arg(program())
        .arg(folder.join("root"))
        .stdin(OwnedFd::from(listener))
        .spawn()
        .expect("start");
    let server = Server {
        child,
        port,
        folder,
    };
    assert!(server.get("/d/").ends_with("in d\n"));
}

#[test]
fn sigterm_under_load_loses_no_answer_and_ends_with_0() {
    let mut server = Server::start("sigterm");
    let port = server.port;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut answered = 0;
                loop {
                    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
                        return answered;
                    };
                    if stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_err() {
                        return answered;
                    }
                    let mut answer = Vec::new();
                    match stream.read_to_end(&mut answer) {
                        Ok(count) if count > 0 => {
                            assert!(answer.ends_with(b"<p>hi\n"), "an answer was cut");
                            answered += 1;
                        }
                        // Refused while stopping: not accepted any more.
                        _ => return answered,
                    }
                }
            })
        })
        .collect();
    let mut idle = server.connect();
    thread::sleep(Duration::from_millis(300));
    server.signal("-TERM");
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)), Some(0));
    for client in clients {
        assert!(client.join().expect("client") > 0);
    }
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn as_pid_1_it_stops_at_sigterm() {
    // Needs the right to make a PID namespace.
    let probe = Command::new("unshare")
        .args(["-p", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not let us make a PID namespace");
        return;
    }
    let folder = site("pid1");
    let port = free_port();
    let child = Command::new("unshare")
        .args(["-p", "--fork", "--kill-child"])
        .arg(program())
        .args(["--port", &port.to_string()])
        .arg(folder.join("root"))
        .spawn()
        .expect("start");
    let mut server = Server {
        child,
        port,
        folder,
    };
    server.wait_until_ready();
    assert!(server.get("/").ends_with("<p>hi\n"));
    let id = server.child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("children");
    let status = Command::new("kill")
        .args(["-TERM", children.trim()])
        .status();
    assert!(status.expect("kill").success());
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)), Some(0));
}

#[test]
fn connections_past_the_limit_are_turned_away_and_the_rest_served() {
    let own = std::process::id().to_string();
    let hard = Command::new("prlimit")
        .args([
            "--pid",
            &own,
            "--nofile",
            "--noheadings",
            "--output",
            "HARD",
        ])
        .output()
        .expect("prlimit");
    let hard = String::from_utf8_lossy(&hard.stdout).trim().to_owned();
    let raise = format!("--nofile={hard}:{hard}");
    assert!(
        Command::new("prlimit")
            .args(["--pid", &own, &raise])
            .status()
            .expect("prlimit")
            .success()
    );
    let count = hard
        .parse()
        .unwrap_or(20_000_usize)
        .saturating_sub(500)
        .min(10_000);
    let server = Server::start("many");
    let mut streams: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for stream in streams.iter_mut().step_by(97) {
        stream
            .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
            .expect("send");
        assert!(read_all(stream).ends_with("ok\n"));
    }
    drop(streams);
    assert!(server.get("/").ends_with("<p>hi\n"));
    eprintln!("{count} connections");

    // `exec` keeps the number that kill and wait know.
    let folder = site("few");
    let port = free_port();
    let child = Command::new("bash")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(program())
        .args(["--port", &port.to_string()])
        .arg(folder.join("root"))
        .spawn()
        .expect("start");
    let few = Server {
        child,
        port,
        folder,
    };
    few.wait_until_ready();
    let held: Vec<_> = (0..60).map(|_| few.connect()).collect();
    thread::sleep(Duration::from_millis(200));
    assert!(few.get("/").starts_with("HTTP/1.1 503 "));
    drop(held);
    thread::sleep(Duration::from_millis(200));
    assert!(few.get("/").ends_with("<p>hi\n"));
}

#[test]
fn health_answers_by_exit_status() {
    let mut server = Server::start("health");
    let health = |port: u16| {
        let port = port.to_string();
        let status = Command::new(program())
            .args(["--health", "--port", &port])
            .status();
        status.expect("start").code()
    };
    assert_eq!(health(server.port), Some(0));
    server.signal("-INT");
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)), Some(0));
    assert_eq!(health(server.port), Some(1));
}

#[test]
fn bad_arguments_are_told_with_a_hint() {
    for arguments in [
        &["--nothing"][..],
        &["--port", "0"],
        &["--port", "70000"],
        &["--port"],
        &["a", "b"],
    ] {
        let output = Command::new(program())
            .args(arguments)
            .output()
            .expect("start");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("hint: "));
    }
    let output = Command::new(program())
        .arg("/nowhere/at/all")
        .output()
        .expect("start");
    assert_eq!(output.status.code(), Some(3));
}
