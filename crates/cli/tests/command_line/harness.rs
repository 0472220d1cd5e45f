//! A workbench: a store, a cache and a working folder of their own for each test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

/// A fresh place to run ounce in.
pub(crate) struct Workbench {
    folder: TempDir,
}

impl Workbench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// An executable file. Another process writes it: one that a test beside this
    /// one forks just then would hold ours open for writing until it executes, and
    /// what is so cannot be executed (ETXTBSY).
    pub(crate) fn program(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let written = self.file(&format!("{name}.written"), bytes);
        let path = self.path(name);
        let mut install = Command::new("install");
        install.args(["-m", "755"]).args([&written, &path]);
        assert!(install.status().unwrap().success());
        std::fs::remove_file(written).unwrap();
        path
    }

    pub(crate) fn ounce(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ounce"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("OUNCE_STORE", self.path("store"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.ounce(arguments).output().unwrap()
    }

    /// Status, stdout and stderr, with what differs from run to run named.
    pub(crate) fn picture(&self, arguments: &[&str]) -> String {
        picture(&self.output(arguments), self.folder.path())
    }

    /// Runs what has to succeed and gives its stdout.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "ounce {arguments:?}\n{}",
            picture(&output, self.folder.path())
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts an image whose server listens on 8080, and gives it once it is told where.
    pub(crate) fn serve(&self, image: &str) -> Served {
        let mut child = self
            .ounce(&["run", "-p", "127.0.0.1:0:8080", image])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| {
                let rest = line.split_once("127.0.0.1:")?.1;
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                Some(format!("127.0.0.1:{digits}"))
            })
            .expect("the address");
        let said = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Served {
            child,
            address,
            said,
        }
    }
}

/// A container that serves.
pub(crate) struct Served {
    child: Child,
    address: String,
    said: JoinHandle<Vec<String>>,
}

impl Served {
    /// The answers to requests, the last of which closes the connection.
    pub(crate) fn ask(&self, requests: &str) -> String {
        ask(&self.address, requests)
    }

    /// SIGTERM: it has to end with 0.
    pub(crate) fn end(mut self) {
        signal(&self.child, "TERM");
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", self.said.join().unwrap());
    }
}

/// What a server answers until it closes the connection.
pub(crate) fn ask(address: &str, requests: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Sends a signal by its name without SIG.
pub(crate) fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg(child.id().to_string());
    assert!(kill.status().unwrap().success());
}

fn picture(output: &Output, folder: &Path) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(folder.to_str().unwrap(), "[DIR]");
    let status = output
        .status
        .code()
        .map_or("killed".to_owned(), |code| code.to_string());
    format!(
        "status: {status}\n-- stdout\n{}-- stderr\n{}",
        text(&output.stdout),
        text(&output.stderr)
    )
}
