//! The release program, started for real and asked through loopback sockets.
//! Each run builds it first, for the musl target of this machine, with the
//! project's own `.cargo/config.toml`.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build(env::consts::ARCH))
}

/// Builds the release program for this architecture.
fn build(architecture: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = format!("{architecture}-unknown-linux-musl");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--bin", "httpd"])
        .args(["--target", &target, "--target-dir", "target/real"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(folder)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the release program does not build");
    folder.join(format!("target/real/{target}/release/httpd"))
}

/// Says so and returns true where a command does not run well on this machine.
fn is_skipped(command: &mut Command, why: &str) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_missing = !status.is_ok_and(|status| status.success());
    if is_missing {
        eprintln!("skipped: {why}");
    }
    is_missing
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
        Self::start_by(name, &mut Command::new(program()))
    }

    /// Started by a command that runs the program with the arguments behind it.
    fn start_by(name: &str, command: &mut Command) -> Self {
        let folder = site(name);
        let port = free_port();
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
fn every_request_sent_before_sigterm_is_answered_under_load() {
    let mut server = Server::start("sigterm");
    let port = server.port;
    let is_stopping = &AtomicBool::new(false);
    thread::scope(|scope| {
        let client = || {
            let mut answered = 0;
            loop {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
                    return answered;
                };
                let is_sent = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok();
                // The flag goes up before the signal is sent.
                let must_be_answered = is_sent && !is_stopping.load(Ordering::SeqCst);
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                if answer.is_empty() {
                    assert!(!must_be_answered, "a request got no answer");
                    return answered;
                }
                assert!(answer.ends_with(b"\r\n\r\n<p>hi\n"), "an answer was cut");
                answered += 1;
            }
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        let mut idle = server.connect();
        thread::sleep(Duration::from_millis(300));
        is_stopping.store(true, Ordering::SeqCst);
        server.signal("-TERM");
        assert_eq!(server.wait_for_exit(Duration::from_secs(5)), Some(0));
        for client in clients {
            assert!(client.join().expect("client") > 0);
        }
        assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    });
}

#[test]
fn what_was_sent_before_sigterm_but_not_looked_at_is_answered() {
    let mut server = Server::start("backlog");
    let mut kept: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut kept {
        // Accepted and idle, with one answer behind it.
        stream
            .write_all(b"GET /d/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("send");
        assert!(read_head(stream).starts_with("HTTP/1.1 200 "));
        stream.read_exact(&mut [0; 5]).expect("body");
    }
    // Stopped, it sees nothing of what follows until SIGTERM is pending.
    server.signal("-STOP");
    let pipelined = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50);
    for stream in &mut kept {
        stream.write_all(pipelined.as_bytes()).expect("send");
    }
    let mut waiting: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for stream in &mut waiting {
        stream
            .write_all(b"GET /big.bin HTTP/1.0\r\n\r\n")
            .expect("send");
    }
    server.signal("-TERM");
    server.signal("-CONT");
    for stream in &mut kept {
        let answers = read_all(stream);
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 50);
        assert_eq!(answers.matches("Connection: close").count(), 1);
        assert!(answers.ends_with("<p>hi\n"));
    }
    for stream in &mut waiting {
        let answer = read_all(stream);
        let head = answer.find("\r\n\r\n").expect("head");
        assert_eq!(answer.len() - head - 4, 3_000_000);
    }
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)), Some(0));
}

/// As PID 1 of a namespace, which `script` leads to by `exec "$0" "$@"`; the
/// second is the number by which the machine knows it.
fn start_as_pid_1(name: &str, script: &str) -> Option<(Server, String)> {
    let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let why = "this machine does not let us make a PID namespace";
    if is_skipped(Command::new("unshare").args(unshare).arg("true"), why) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshare).args(["bash", "-c", script]);
    let server = Server::start_by(name, command.arg(program()));
    let id = server.child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("children");
    Some((server, children.trim().to_owned()))
}

#[test]
fn as_pid_1_it_stops_at_sigterm() {
    let Some((mut server, first)) = start_as_pid_1("pid1", "exec \"$0\" \"$@\"") else {
        return;
    };
    assert!(server.get("/").ends_with("<p>hi\n"));
    let status = Command::new("kill").args(["-TERM", &first]).status();
    assert!(status.expect("kill").success());
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)), Some(0));
}

#[test]
fn as_pid_1_it_reaps_the_orphans_it_inherits() {
    // The subshell ends at once; its children outlive it and become those of
    // PID 1, which is the server by then.
    let script = "(sleep 2 & sleep 2.1 &); exec \"$0\" \"$@\"";
    let Some((server, first)) = start_as_pid_1("orphans", script) else {
        return;
    };
    let children = || fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
    let orphans = children().expect("children");
    assert_eq!(orphans.split_whitespace().count(), 2, "{orphans:?}");
    let start = Instant::now();
    while !children().expect("children").trim().is_empty() {
        let limit = Duration::from_secs(10);
        assert!(start.elapsed() < limit, "orphans are left as zombies");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(server.get("/").ends_with("<p>hi\n"));
}

#[test]
fn a_client_that_takes_nothing_is_dropped_at_the_write_timeout() {
    let server = Server::start("write");
    // More than any socket buffer takes; the holes cost no disk.
    let huge = fs::File::create(server.folder.join("root/huge.bin")).expect("file");
    huge.set_len(1 << 30).expect("length");
    let folder = format!("/proc/{}/fd", server.child.id());
    let open = || fs::read_dir(&folder).expect("descriptors").count();
    let before = open();
    let mut stream = server.connect();
    let start = Instant::now();
    stream
        .write_all(b"GET /huge.bin HTTP/1.0\r\n\r\n")
        .expect("send");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(open(), before + 2, "the connection and its file");
    while open() > before {
        assert!(start.elapsed() < Duration::from_secs(40), "never dropped");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(
        start.elapsed() > Duration::from_secs(28),
        "dropped too soon"
    );
    let mut received = 0;
    let mut bytes = vec![0; 1 << 20];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        received += count;
    }
    assert!(received < 1 << 30, "nothing was cut off");
}

#[test]
fn ten_thousand_connections_are_served() {
    let own = std::process::id().to_string();
    let limit = [
        "--pid",
        &own,
        "--noheadings",
        "--output",
        "HARD",
        "--nofile",
    ];
    let hard = Command::new("prlimit").args(limit).output();
    let hard = String::from_utf8_lossy(&hard.expect("prlimit").stdout)
        .trim()
        .to_owned();
    let raise = format!("--nofile={hard}:{hard}");
    let status = Command::new("prlimit")
        .args(["--pid", &own, &raise])
        .status();
    assert!(status.expect("prlimit").success());
    let most = hard.parse().unwrap_or(20_000_usize).saturating_sub(500);
    if most < 10_000 {
        eprintln!("skipped: this machine allows {hard} descriptors");
        return;
    }
    let server = Server::start("many");
    let mut streams: Vec<_> = (0..10_000).map(|_| server.connect()).collect();
    for stream in streams.iter_mut().step_by(97) {
        stream
            .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
            .expect("send");
        assert!(read_all(stream).ends_with("ok\n"));
    }
    drop(streams);
    assert!(server.get("/").ends_with("<p>hi\n"));
}

#[test]
fn connections_past_the_limit_get_503_and_the_others_are_served() {
    // Of 64 descriptors 16 are kept back. `exec` keeps the number that kill and
    // wait know.
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    let few = Server::start_by("few", command.arg(program()));
    // The connection that found it ready is gone by then.
    thread::sleep(Duration::from_millis(300));
    let mut held: Vec<_> = (0..60).map(|_| few.connect()).collect();
    for (number, stream) in held.iter_mut().enumerate().rev() {
        if number >= 48 {
            let answer = read_all(stream);
            assert!(answer.starts_with("HTTP/1.1 503 "), "{number}: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        } else {
            let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
            stream.write_all(request).expect("send");
            let head = read_head(stream);
            assert!(head.starts_with("HTTP/1.1 200 "), "{number}: {head}");
        }
    }
    assert!(few.get("/").starts_with("HTTP/1.1 503 "));
    drop(held);
    thread::sleep(Duration::from_millis(300));
    assert!(few.get("/").ends_with("<p>hi\n"));
}

#[test]
fn the_aarch64_program_does_the_same_under_emulation() {
    if env::consts::ARCH == "aarch64" {
        eprintln!("skipped: this machine is aarch64, so that all other tests run it");
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
    let library = rustc.output().expect("rustc").stdout;
    let library = String::from_utf8(library).expect("path");
    let why = "the Rust target aarch64-unknown-linux-musl is not installed";
    if is_skipped(Command::new("test").args(["-d", library.trim()]), why) {
        return;
    }
    let mut command = Command::new(qemu);
    let mut server = Server::start_by("aarch64", command.arg(build("aarch64")));
    assert!(server.get("/").ends_with("\r\n\r\n<p>hi\n"));
    assert!(server.get("/d?q").contains("\r\nLocation: /d/?q\r\n"));
    assert!(server.get("/a%20b.css").contains("Content-Type: text/css"));
    for path in ["/../secret", "/climb", "/absolute", "/magic", "/nothing"] {
        let answer = server.get(path);
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
    }
    let answer = server.ask("GET / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\n\r\nHEAD / HTTP/1.0\r\n\r\n";
    let answers = server.ask(chunked);
    assert!(answers.starts_with("HTTP/1.1 405 "), "{answers}");
    assert!(answers.ends_with("Content-Length: 6\r\n\r\n"), "{answers}");
    let big = server.get("/big.bin");
    let head = big.find("\r\n\r\n").expect("head");
    assert_eq!(big.len() - head - 4, 3_000_000);
    server.signal("-TERM");
    assert_eq!(server.wait_for_exit(Duration::from_secs(10)), Some(0));
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
