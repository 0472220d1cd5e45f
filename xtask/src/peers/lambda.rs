//! AWS's own emulator of Lambda's runtime, and that of cargo-lambda; both come by pip
//! into a folder.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::answer::free_port;
use super::started::Started;
use crate::tool::{command, read};

/// What they come in: AWS's emulator is a file of the first.
const PACKAGES: [&str; 2] = ["aws-sam-cli==1.170.0", "cargo-lambda==1.9.2"];
/// How long an answer may take here; no measurement.
const PATIENCE: Duration = Duration::from_secs(60);
/// The function's name, where one is needed.
const NAME: &str = "judged";

/// Where the emulators are.
#[derive(Debug)]
pub(crate) struct Emulators {
    folder: PathBuf,
}

impl Emulators {
    /// Fetches them.
    pub(crate) fn install(folder: PathBuf) -> Result<Self> {
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        read(
            command(&["python3", "-m", "pip"])
                .args(quiet)
                // What the command line of SAM imports is not needed.
                .args(["--root-user-action=ignore", "--no-deps", "--target"])
                .arg(&folder)
                .args(PACKAGES),
        )
        .context("installing by pip")?;
        Ok(Self { folder })
    }

    /// AWS's emulator with this function.
    pub(crate) fn aws(&self, function: &[&Path], variables: &[(&str, &str)]) -> Result<Running> {
        let name = format!("aws-lambda-rie-{}", architecture());
        let program = self.folder.join("samcli/local/rapid").join(name);
        executable(&program)?;
        let (port, api) = (free_port()?, free_port()?);
        let log = self.folder.join(format!("rie-{port}.log"));
        let file = fs::File::create(&log)?;
        let mut emulator = command(&[&program]);
        emulator
            .args([
                "--runtime-interface-emulator-address",
                &format!("127.0.0.1:{port}"),
            ])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api}")])
            .args(function)
            .envs(variables.iter().copied())
            .stdout(file.try_clone()?)
            .stderr(file);
        let running = Running {
            port,
            log,
            name: "function",
            _emulator: Started::new(&mut emulator)?,
            _function: None,
        };
        running.wait()?;
        Ok(running)
    }

    /// cargo-lambda's emulator, and beside it this function.
    pub(crate) fn cargo(&self, function: &[&Path], variables: &[(&str, &str)]) -> Result<Running> {
        let program = self.folder.join("bin/cargo-lambda");
        executable(&program)?;
        // It looks for functions in a project, and there has to be one of the name.
        let project = self.folder.join("project");
        fs::create_dir_all(project.join("src"))?;
        let manifest = format!("[package]\nname = \"{NAME}\"\nedition = \"2024\"\n[workspace]\n");
        fs::write(project.join("Cargo.toml"), manifest)?;
        fs::write(project.join("src/main.rs"), "fn main() {}\n")?;
        let port = free_port()?;
        let log = self.folder.join(format!("cargo-lambda-{port}.log"));
        let file = fs::File::create(&log)?;
        let mut emulator = command(&[&program]);
        emulator
            .args(["lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1"])
            .args(["-P", &port.to_string()])
            .current_dir(&project)
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut running = Running {
            port,
            log,
            name: NAME,
            _emulator: Started::new(&mut emulator)?,
            _function: None,
        };
        running.wait()?;
        let address = format!("http://127.0.0.1:{port}/.rt/{NAME}");
        let mut function = command(function);
        function
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .envs(variables.iter().copied())
            .stderr(Stdio::null());
        running._function = Some(Started::new(&mut function)?);
        Ok(running)
    }
}

/// As AWS names it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    }
}

/// What pip unpacks may not be.
fn executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} is not there", program.display()))
}

/// An emulator with its function.
#[derive(Debug)]
pub(crate) struct Running {
    port: u16,
    log: PathBuf,
    name: &'static str,
    // The function goes first.
    _function: Option<Started>,
    _emulator: Started,
}

impl Running {
    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("the emulator does not listen: {}", self.log()?)
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Sends an event; what is answered.
    pub(crate) fn invoke(&self, event: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST /2015-03-31/functions/{}/invocations HTTP/1.0\r\n\
             Content-Length: {}\r\n\r\n{event}",
            self.name,
            event.len()
        )?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").context("half an answer")?;
        ensure!(head.starts_with("HTTP/1."), "{head}");
        Ok(body.to_owned())
    }

    /// Milliseconds that AWS's emulator tells in its log: behind this word, each.
    pub(crate) fn told_ms(&self, word: &str) -> Result<Vec<f64>> {
        let log = self.log()?;
        let told = log.split(word).skip(1).filter_map(|rest| {
            let end = rest.find(|byte: char| byte != '.' && !byte.is_ascii_digit())?;
            rest[..end].parse().ok()
        });
        Ok(told.collect())
    }
}
