//! A real ssh server on loopback, that lets whoever runs the tests in by a key of
//! the test's own; it ends with the value.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Workbench;

/// Where Debian has it; it wants to be called by its whole path.
const SERVER: &str = "/usr/sbin/sshd";

pub(crate) struct Host {
    child: Child,
    url: String,
    config: String,
}

impl Host {
    pub(crate) fn start(bench: &Workbench) -> Self {
        Self::with_first(bench, None)
    }

    /// One whose logins look for programs in a folder first.
    pub(crate) fn with_first(bench: &Workbench, first: Option<&Path>) -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "openssh-server is not installed: `cargo xtask setup` brings it"
        );
        fs::create_dir_all(bench.path("ssh")).unwrap();
        let path = |name: &str| bench.path("ssh").join(name).display().to_string();
        for key in ["host", "user"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
            assert!(made.status().unwrap().success());
        }
        if ounce_is_root() {
            // Where it keeps what it is before anybody has logged in.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let user = who();
        // A port may be taken between its being free and its being used.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let settings = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
                 PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
                 PermitRootLogin prohibit-password\n",
                path("host"),
                path("user.pub")
            );
            let first = first.map_or(String::new(), |first| {
                let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
                format!("SetEnv PATH={}:{usual}\n", first.display())
            });
            fs::write(path("settings"), settings + &first).unwrap();
            let mut server = Command::new(SERVER);
            server.args(["-D", "-e", "-f", &path("settings")]);
            let mut child = server.stderr(Stdio::null()).spawn().unwrap();
            let end = Instant::now() + Duration::from_secs(60);
            while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    let config = format!(
                        "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
                         StrictHostKeyChecking accept-new\n  LogLevel ERROR\n",
                        path("user"),
                        path("known")
                    );
                    fs::write(path("config"), config).unwrap();
                    return Self {
                        child,
                        url: format!("ssh://{user}@127.0.0.1:{port}"),
                        config: path("config"),
                    };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("the ssh server does not listen");
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn config(&self) -> &str {
        &self.config
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ounce_is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn who() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
