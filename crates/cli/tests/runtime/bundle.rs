//! A bundle with a shell in it, and the runtime's commands on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Whether these tests can run at all: they need root, and say so where it lacks.
pub(crate) fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: containers from bundles are tested as root");
    }
    root
}

/// A container to be; dropping it removes it.
pub(crate) struct Bundle {
    folder: TempDir,
    pub(crate) id: String,
    pub(crate) config: Value,
}

/// Programs that busybox is linked to.
const NAMES: [&str; 15] = [
    "sh", "cat", "echo", "id", "sleep", "ls", "mount", "env", "grep", "true", "touch", "mkdir",
    "kill", "hostname", "stat",
];

impl Bundle {
    /// A bundle that runs `script` in a shell.
    pub(crate) fn new(script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("ounce-test-{}-{number}", std::process::id());
        let rootfs = folder.path().join("rootfs");
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
            std::fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        std::fs::copy(busybox(), rootfs.join("bin/busybox")).unwrap();
        for name in NAMES {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(name)).unwrap();
        }
        std::fs::write(rootfs.join("etc/passwd"), "web:x:1000:1000::/srv:/bin/sh\n").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ounce"))
            .args(["runtime", "spec", "--bundle"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success());
        let path = folder.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["linux"]["cgroupsPath"] = json!(format!("/{id}"));
        Self { folder, id, config }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the runtime; the id stands last.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ounce"));
        command
            .arg("runtime")
            .arg("--root")
            .arg(self.path("state"))
            .args(words)
            .current_dir(self.folder.path())
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command, its output read to the end.
    pub(crate) fn say(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn write(&self) {
        let text = serde_json::to_vec(&self.config).unwrap();
        std::fs::write(self.path("config.json"), text).unwrap();
    }

    /// `create`, with the program's output in the file `output`.
    pub(crate) fn create(&self) -> Output {
        self.write();
        let file = |name: &str| std::fs::File::create(self.path(name)).unwrap();
        // No pipes: the program inherits them and lives on.
        let status = self
            .command(&["create", &self.id])
            .stdout(file("output"))
            .stderr(file("errors"))
            .status()
            .unwrap();
        Output {
            status,
            stdout: Vec::new(),
            stderr: std::fs::read(self.path("errors")).unwrap(),
        }
    }

    /// Runs it to its end: exit code, output, errors.
    pub(crate) fn run(&self) -> (i32, String, String) {
        self.write();
        let output = self.say(&["run", &self.id]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap();
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// Its output, which must be without errors.
    pub(crate) fn output(&self) -> String {
        let (code, output, errors) = self.run();
        assert_eq!((code, errors.as_str()), (0, ""), "{output}");
        output
    }

    pub(crate) fn state(&self) -> Value {
        let output = self.say(&["state", &self.id]);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Waits for a status.
    pub(crate) fn wait_for(&self, status: &str) {
        let begin = Instant::now();
        while self.state()["status"] != status {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{} is not {status} but {}",
                self.id,
                self.state()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `exec` of a script: exit code and output.
    pub(crate) fn exec(&self, options: &[&str], script: &str) -> (i32, String) {
        let words: Vec<&str> = ["exec"]
            .iter()
            .chain(options)
            .chain([&self.id.as_str(), &"sh", &"-c", &script])
            .copied()
            .collect();
        let output = self.say(&words);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code().unwrap(), text)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.say(&["delete", "--force", &self.id]);
    }
}

/// What a command had to say against it.
pub(crate) fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn busybox() -> &'static Path {
    let path = Path::new("/bin/busybox");
    assert!(path.exists(), "apt-get install busybox-static");
    path
}
