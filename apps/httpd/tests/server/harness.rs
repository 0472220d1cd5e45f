//! A server on a site of its own, gone with its files at the end of a test.

use crate::client::{Answer, Client};
use crate::program::program;
use socket2::{Domain, Protocol, Socket, Type};
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long something may take before it is taken for hung. No test says how
/// quick anything is: that hangs on what else the machine does.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A folder with a site in `root`, and beside it what must never be served.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ounce-httpd-{}-{number}", std::process::id());
        let site = Self {
            folder: env::temp_dir().join(name),
        };
        fs::create_dir_all(site.root()).expect("folder");
        site.file("index.html", "<p>hi\n");
        site.file("d/index.html", "in d\n");
        site.file("a b.css", "a{}");
        site.file("text.txt", "0123456789abcdefghijklmnopqrstuvwxyz");
        fs::write(site.folder.join("secret"), "secret").expect("file");
        site
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Writes a file of the site.
    pub(crate) fn file(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(Path::new(name.as_ref()));
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(&path, content).expect("file");
        path
    }

    /// Makes a symbolic link in the site.
    pub(crate) fn link(&self, to: &str, name: &str) {
        std::os::unix::fs::symlink(to, self.root().join(name)).expect("link");
    }

    /// A file of holes.
    pub(crate) fn sparse(&self, name: &str, length: u64) {
        let file = fs::File::create(self.root().join(name)).expect("file");
        file.set_len(length).expect("length");
    }

    /// Serves the site with these options.
    pub(crate) fn serve(self, options: &[&str]) -> Server {
        Server::start(
            self,
            Command::new(program()).args(options).stdout(Stdio::null()),
        )
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port below those that the kernel gives to clients, so that no connection
/// of another test takes it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16 % 200 * 100 + step) % 20_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) site: Site,
}

impl Server {
    /// Starts `command`, which runs the program with the arguments behind it.
    pub(crate) fn start(site: Site, command: &mut Command) -> Self {
        let port = free_port();
        command.arg("--port").arg(port.to_string()).arg(site.root());
        Self::start_as_is(site, command, port)
    }

    /// Starts a command that is complete, which will listen at `port`.
    pub(crate) fn start_as_is(site: Site, command: &mut Command, port: u16) -> Self {
        let said = fs::File::create(site.folder.join("stderr")).expect("file");
        let child = command
            .stderr(said)
            .stdin(Stdio::null())
            .spawn()
            .expect("start");
        let mut server = Self { child, port, site };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait().expect("wait") {
                panic!("the server ended with {status}: {}", server.said());
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it does not listen"
            );
            thread::sleep(Duration::from_millis(2));
        }
        server
    }

    /// What it has told on stderr.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.site.folder.join("stderr")).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        Client::new(stream)
    }

    /// A connection with a small receive buffer, for who reads slowly.
    pub(crate) fn connect_narrow(&self) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("socket");
        socket.set_recv_buffer_size(4_096).expect("buffer");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        socket.connect(&to.into()).expect("connect");
        Client::new(socket.into())
    }

    /// Sends one request on a connection of its own and reads the answer.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let request = request.as_ref();
        let mut client = self.connect();
        client.send(request);
        client
            .answer_to(request.starts_with(b"HEAD "))
            .unwrap_or_else(|fault| panic!("{:?}: {fault}", String::from_utf8_lossy(request)))
    }

    /// GET with further field lines, each with its CRLF.
    pub(crate) fn get_with(&self, path: &str, fields: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    pub(crate) fn signal(&self, signal: &str) {
        signal_to(&self.child.id().to_string(), signal);
    }

    pub(crate) fn wait_for_exit(&mut self, limit: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("descriptors")
            .count()
    }

    /// Waits until it has no more than so many descriptors; whether it comes to that.
    pub(crate) fn falls_to(&self, descriptors: usize, limit: Duration) -> bool {
        let start = Instant::now();
        while self.descriptors() > descriptors {
            if start.elapsed() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// A value of /proc/PID/status.
    pub(crate) fn status(&self, name: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }

    /// The sum of a value over all mappings, in KB.
    pub(crate) fn memory_kb(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/smaps", self.child.id());
        let text = fs::read_to_string(path).expect("smaps");
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines
            .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by kill(1).
pub(crate) fn signal_to(process: &str, signal: &str) {
    let status = Command::new("kill").args([signal, process]).status();
    assert!(status.expect("kill").success());
}
