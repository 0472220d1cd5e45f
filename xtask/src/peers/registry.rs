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
    /// Those with a certificate of its authority.
    Certificate,
}

/// The one user it knows.
pub(crate) const USER: (&str, &str) = ("judge", "a pass:word");

/// A registry that runs; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Registry {
    _process: Started,
    scratch: Scratch,
    port: u16,
    door: Door,
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
            Door::Tls | Door::Certificate => {
                certify(&scratch)?;
                let asks = match door {
                    Door::Certificate => {
                        let authority = scratch.join("certificates/ca.crt");
                        fs::copy(authority, scratch.join("clients.crt"))?;
                        format!(", clientcas: [{}]", folder("clients.crt"))
                    }
                    _ => String::new(),
                };
                settings.push_str(&format!(
                    "  tls: {{certificate: {}, key: {}{asks}}}\n",
                    folder("own.crt"),
                    folder("own.key")
                ));
            }
        }
        if door == Door::Certificate {
            // As docker and podman keep them: a folder of the host's name.
            let hosts = scratch.join("config/containers/certs.d");
            fs::create_dir_all(&hosts)?;
            let certificates = hosts.join(format!("localhost:{port}"));
            fs::rename(scratch.join("certificates"), &certificates)?;
            for ending in ["cert", "key"] {
                let from = scratch.join(&format!("client.{ending}"));
                fs::rename(from, certificates.join(format!("client.{ending}")))?;
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
            door,
        })
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The certificate of its authority.
    pub(crate) fn authority(&self) -> PathBuf {
        let folder = match self.door {
            Door::Certificate => self
                .configuration()
                .join(format!("containers/certs.d/{}", self.host())),
            _ => self.scratch.join("certificates"),
        };
        folder.join("ca.crt")
    }

    /// A folder of settings (`XDG_CONFIG_HOME`) that says who we are to it.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.scratch.join("config")
    }
}

/// An authority, and certificates of it for this machine and for who comes.
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
    for (name, subject, certificate) in [
        ("own", "/CN=localhost", "own.crt"),
        ("client", "/CN=a client of the judges", "client.cert"),
    ] {
        let key = own(&format!("{name}.key"));
        let request = own(&format!("{name}.csr"));
        openssl(
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-subj",
                subject,
            ],
            &[("-keyout", &key), ("-out", &request)],
        )?;
        openssl(
            &["x509", "-req", "-days", "2", "-CAcreateserial"],
            &[
                ("-in", &request),
                ("-CA", &own("certificates/ca.crt")),
                ("-CAkey", &own("ca.key")),
                ("-CAserial", &own("ca.srl")),
                ("-extfile", &own("names")),
                ("-out", &own(certificate)),
            ],
        )?;
    }
    Ok(())
}
