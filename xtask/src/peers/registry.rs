//! Debian's docker-registry, for real, on a folder and a port of its own: open,
//! with users, or with a certificate of an authority made for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::answer::free_port;
use super::started::Started;
use crate::scratch::Scratch;
use crate::tool::{command, read};

/// The programs without which there is no registry.
pub(crate) const NEEDS: [&str; 3] = ["docker-registry", "htpasswd", "openssl"];

/// How it lets people in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everybody.
    Open,
    /// Those with a name and a password.
    Users,
    /// Everybody who trusts its authority.
    Tls,
}

/// The one user it knows.
pub(crate) const USER: (&str, &str) = ("judge", "a pass:word");

/// A registry that runs; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Registry {
    _process: Started,
    scratch: Scratch,
    port: u16,
}

impl Registry {
    /// Starts an empty one.
    pub(crate) fn start(door: Door) -> Result<Self> {
        let scratch = Scratch::new("registry")?;
        let port = free_port()?;
        let folder = |name: &str| scratch.join(name).display().to_string();
        let mut settings = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  \
             filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n  \
             cache: {{blobdescriptor: inmemory}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder("data")
        );
        match door {
            Door::Open => {}
            Door::Users => {
                let (user, password) = USER;
                let users = read(&mut command(&["htpasswd", "-Bbn", user, password]))?;
                fs::write(scratch.join("users"), users)?;
                settings.push_str(&format!(
                    "auth:\n  htpasswd: {{realm: judges, path: {}}}\n",
                    folder("users")
                ));
            }
            Door::Tls => {
                certify(&scratch)?;
                settings.push_str(&format!(
                    "  tls: {{certificate: {}, key: {}}}\n",
                    folder("own.crt"),
                    folder("own.key")
                ));
            }
        }
        fs::write(scratch.join("settings.yml"), settings)?;
        let mut serve = command(&["docker-registry", "serve"]);
        serve
            .arg(scratch.join("settings.yml"))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(fs::File::create(scratch.join("log"))?);
        let mut process = Started::new(&mut serve)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !process.runs() || Instant::now() > deadline {
                let log = fs::read_to_string(scratch.join("log")).unwrap_or_default();
                bail!("docker-registry does not start: {}", log.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            _process: process,
            scratch,
            port,
        })
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The certificate of its authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.scratch.join("certificates/ca.crt")
    }
}

/// An authority, and a certificate of it for this machine.
fn certify(scratch: &Scratch) -> Result<()> {
    fs::create_dir(scratch.join("certificates"))?;
    fs::write(
        scratch.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )?;
    let path = |name: &str| scratch.join(name).display().to_string();
    let openssl = |words: &[&str], files: &[(&str, &Path)]| -> Result<()> {
        let mut openssl = command(&["openssl"]);
        openssl.args(words);
        for (option, file) in files {
            openssl.arg(option).arg(file);
        }
        read(&mut openssl).map(drop)
    };
    let own = |name: &str| PathBuf::from(path(name));
    openssl(
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=an authority of the judges",
        ],
        &[
            ("-keyout", &own("ca.key")),
            ("-out", &own("certificates/ca.crt")),
        ],
    )?;
    openssl(
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=localhost",
        ],
        &[("-keyout", &own("own.key")), ("-out", &own("own.csr"))],
    )?;
    openssl(
        &["x509", "-req", "-days", "2", "-CAcreateserial"],
        &[
            ("-in", &own("own.csr")),
            ("-CA", &own("certificates/ca.crt")),
            ("-CAkey", &own("ca.key")),
            ("-extfile", &own("names")),
            ("-out", &own("own.crt")),
        ],
    )
}
