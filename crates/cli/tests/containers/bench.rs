//! A runtime directory, a store and a root with a shell for each test.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("ounce-test-")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A folder that every user can reach; one for each run of this binary. What runs
/// before this one have left is removed: a static is never dropped.
pub(crate) fn shared() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    const PREFIX: &str = "ounce-containers-";
    FOLDER.get_or_init(|| {
        for entry in fs::read_dir("/tmp").unwrap().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = PathBuf::from(format!("/tmp/{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    })
}

/// The program under test, where every user can execute it.
pub(crate) fn ounce() -> &'static Path {
    static OUNCE: OnceLock<PathBuf> = OnceLock::new();
    OUNCE.get_or_init(|| {
        if let Some(ready) = std::env::var_os("OUNCE_TEST_BIN") {
            return ready.into();
        }
        let (program, place) = (env!("CARGO_BIN_EXE_ounce"), shared().join("ounce"));
        // A link, since a copy of it is large.
        if fs::hard_link(program, &place).is_err() {
            copy(Path::new(program), &place);
        }
        place
    })
}

/// A static busybox.
pub(crate) fn busybox() -> &'static Path {
    let places = ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"];
    let found = places.into_iter().map(Path::new).find(|path| path.exists());
    found.expect("a static busybox is needed for the test's shell: apt-get install busybox-static")
}

/// Copies a program by another process: one that a test beside this one forks just
/// then would hold ours open for writing until it executes, and what is so cannot
/// be executed (ETXTBSY).
pub(crate) fn copy(from: &Path, to: &Path) {
    let mut install = Command::new("install");
    install.args(["-m", "755"]).args([from, to]);
    assert!(install.status().unwrap().success());
}

/// A program that goes on until it is stopped.
pub(crate) const SLEEP: &[&str] = &["/bin/sleep", "1000"];

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn send(pid: i32, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// Programs that busybox is linked to.
const NAMES: &[&str] = &[
    "sh", "cat", "echo", "id", "sleep", "ls", "env", "grep", "true", "false", "touch", "mkdir",
    "kill", "hostname", "seq", "httpd", "wget", "nc", "ps", "stty", "tty", "head", "printf", "dd",
    "ip", "pwd",
];

/// A fresh place; what runs in it is removed with it.
pub(crate) struct Bench {
    folder: TempDir,
    /// Where the state is, if not in there.
    runtime: Option<PathBuf>,
    /// Control groups that were seen.
    groups: RefCell<Vec<String>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self {
            folder: open_folder(),
            runtime: None,
            groups: RefCell::default(),
        };
        let root = bench.root();
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc", "www"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        copy(busybox(), &root.join("bin/busybox"));
        for name in NAMES {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "web:x:1000:1000::/srv:/bin/sh\n").unwrap();
        fs::write(root.join("www/index.html"), "hello\n").unwrap();
        bench
    }

    /// As [`Bench::new`], with the state in a folder that is there.
    pub(crate) fn on(runtime: PathBuf) -> Self {
        let mut bench = Self::new();
        bench.runtime = Some(runtime);
        bench
    }

    fn runtime(&self) -> PathBuf {
        self.runtime.clone().unwrap_or_else(|| self.path("run"))
    }

    /// Keeps in mind which control groups a container has.
    pub(crate) fn remember_groups(&self, name: &str) {
        let running = self.running(name);
        let groups = running["groups"].as_array().unwrap().iter();
        let groups = groups.map(|group| group.as_str().unwrap().to_owned());
        self.groups.borrow_mut().extend(groups);
    }

    /// Control groups that were kept in mind, and those of all that is there.
    pub(crate) fn running_groups(&self) -> Vec<String> {
        for name in self.succeed(&["ps", "-a", "--names"]).lines() {
            if self.container(name).join("running.json").exists() {
                self.remember_groups(name);
            }
        }
        self.groups.borrow().clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A root file system with a shell in it.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// The folder of a container.
    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.runtime().join("@containers").join(name)
    }

    pub(crate) fn ounce(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(ounce());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("OUNCE_RUNTIME_DIR", self.runtime())
            .env("OUNCE_STORE", self.path("store"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.ounce(arguments).output().unwrap()
    }

    /// Runs what has to succeed and gives its stdout.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "ounce {arguments:?}: {:?}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what has to fail with this code, and gives its stderr.
    pub(crate) fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "ounce {arguments:?}\n{said}"
        );
        said
    }

    /// Starts a script in the background; `options` stand before the root.
    pub(crate) fn detach(&self, name: &str, options: &[&str], script: &str) {
        let root = self.root();
        let mut words = vec!["run", "-d", "--name", name];
        words.extend(options);
        words.extend([root.to_str().unwrap(), "--", "/bin/sh", "-c", script]);
        assert_eq!(self.succeed(&words), format!("{name}\n"));
    }

    /// `ounce run OPTIONS ROOT -- PROGRAM`, to be started.
    pub(crate) fn start(&self, options: &[&str], program: &[&str]) -> Command {
        let root = self.root();
        let mut words = vec!["run"];
        words.extend(options);
        words.extend([root.to_str().unwrap(), "--"]);
        words.extend(program);
        self.ounce(&words)
    }

    /// The same, which has to end with this code; gives its stderr.
    pub(crate) fn refused(&self, code: i32, options: &[&str], program: &[&str]) -> String {
        let output = self.start(options, program).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{options:?}\n{said}");
        said
    }

    /// A container in the foreground, once it runs.
    pub(crate) fn foreground(&self, name: &str) -> Child {
        let mut command = self.start(&["--name", name], SLEEP);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        assert!(within(SOON, || self.ps(name)["status"] == "running"));
        child
    }

    /// What a shell makes of a line, in which `OUNCE` stands for a start in the
    /// background; `before` are words before the shell.
    pub(crate) fn line(&self, before: &[&str], name: &str, line: &str) -> Output {
        let start = self.start(&["-d", "--name", name], SLEEP);
        let mut words = vec![start.get_program().to_str().unwrap()];
        words.extend(start.get_args().map(|word| word.to_str().unwrap()));
        let line = line.replace("OUNCE", &words.join(" "));
        let words = [before, &["sh", "-c", &line]].concat();
        let environment = start
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?)));
        let mut shell = Command::new(words[0]);
        shell
            .args(&words[1..])
            .envs(environment)
            .stdin(Stdio::null());
        shell.output().unwrap()
    }

    /// How many containers there is state of.
    pub(crate) fn states(&self) -> usize {
        fs::read_dir(self.runtime().join("@containers"))
            .unwrap()
            .count()
    }

    /// One container of `ps -a`, or nothing.
    pub(crate) fn ps(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.succeed(&["ps", "-a", "--json"])).unwrap();
        assert_eq!(all["schema"], "ounce.ps/1");
        let all = all["containers"].as_array().unwrap();
        let found = all.iter().find(|one| one["name"] == name);
        found.cloned().unwrap_or(Value::Null)
    }

    /// What runs of a container.
    pub(crate) fn running(&self, name: &str) -> Value {
        let text = fs::read(self.container(name).join("running.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The number of the keeper.
    pub(crate) fn keeper(&self, name: &str) -> i32 {
        self.running(name)["keeper"].as_i64().unwrap() as i32
    }

    /// Processes that have the path of this bench among their words or as their
    /// folder, and those that have its root for theirs.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mine = self.folder.path().to_str().unwrap();
        let own = std::process::id() as i32;
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers
            .filter(|pid| *pid != own)
            .filter(|pid| {
                let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
                let words = String::from_utf8_lossy(&read("cmdline")).into_owned();
                let mounts = String::from_utf8_lossy(&read("mountinfo")).into_owned();
                let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
                let dead = String::from_utf8_lossy(&read("stat")).contains(") Z ");
                !dead
                    && (words.contains(mine)
                        || folder.starts_with(mine)
                        || mounts.contains(&format!("{mine}/root")))
            })
            .collect()
    }

    /// Waits until nothing runs any more here.
    pub(crate) fn is_quiet(&self) -> bool {
        within(Duration::from_secs(5), || self.processes().is_empty())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let names = self.output(&["ps", "-a", "--names"]).stdout;
        for name in String::from_utf8_lossy(&names).lines() {
            let _ = self.output(&["rm", "-f", "--container", name]);
        }
    }
}

/// Whether something comes true within this time.
pub(crate) fn within(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !is_so() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// As long as anything may take on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);
