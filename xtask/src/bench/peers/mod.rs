//! The peers: how each is found, its version, how it is prepared, run and cleaned
//! up after. What is timed is the suites' affair.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::client::Socket;
use super::options::Options;
use super::programs::{PAGE, Programs, SITE, Task};
use super::rounds::{Absent, Row};
use super::stage::Stage;

mod bare;
mod bubblewrap;
mod docker;
mod oci_runtime;
mod ounce;
mod podman;
mod umoci;

/// Starts a program, isolated in its own way.
pub(crate) trait Starter {
    fn row(&self, task: Task) -> Row;

    /// How the server gets its listening socket.
    fn socket(&self) -> Socket;

    /// The whole command of one start; `port` is for the server.
    fn command(&self, task: Task, name: &str, port: u16) -> Command;

    /// The command that starts the server and leaves it running, where there is one.
    fn detached(&self, _name: &str, _port: u16) -> Option<Command> {
        None
    }

    /// Stops and removes whatever the start named `name` may have left; untimed.
    fn clean(&self, _name: &str) {}

    /// The same for many.
    fn clean_all(&self, names: &[String]) {
        for name in names {
            self.clean(name);
        }
    }
}

/// Names are given to one command by so many.
const BATCH: usize = 50;

/// Packs one static program into a loadable image.
pub(crate) trait Packer {
    fn row(&self) -> Row;

    /// Whatever a user has at hand before: untimed.
    fn prepare(&self, program: &Path, name: &str) -> Result<()>;

    /// The commands, one after the other: timed from the first start to the last end.
    fn steps(&self, program: &Path, name: &str) -> Vec<Command>;

    /// Takes the image away again; untimed.
    fn clean(&self, _name: &str) {}
}

/// All peers, ready to run.
pub(crate) struct Field {
    pub(crate) starters: Vec<Box<dyn Starter>>,
    pub(crate) packers: Vec<Box<dyn Packer>>,
    /// Starts the program that prints a line, once for each line it is given.
    pub(crate) pool: Option<Command>,
    pub(crate) no_starters: Vec<Absent>,
    pub(crate) no_packers: Vec<Absent>,
    /// Name and version of everybody who is there.
    pub(crate) versions: Vec<(String, String)>,
}

/// What a peer's preparation may look at.
pub(crate) struct Ground<'a> {
    pub(crate) options: &'a Options,
    pub(crate) stage: &'a Stage,
    pub(crate) programs: &'a Programs,
}

impl Field {
    /// Finds and prepares everybody; who cannot be had is named with the reason.
    pub(crate) fn gather(ground: &Ground<'_>) -> Result<Field> {
        let mut field = Field {
            starters: vec![Box::new(bare::Bare::new(ground))],
            packers: Vec::new(),
            pool: None,
            no_starters: Vec::new(),
            no_packers: Vec::new(),
            versions: Vec::new(),
        };
        match ounce::Ounce::prepare(ground, &mut field.versions) {
            Ok(ounce) => {
                field.starters.push(Box::new(ounce.clone()));
                field.starters.push(Box::new(ounce.with_group()));
                field.pool = Some(ounce.pool());
                field.packers.push(Box::new(ounce));
            }
            Err(error) => {
                field
                    .no_starters
                    .push(Absent::new("ounce", format!("{error:#}")));
                field
                    .no_packers
                    .push(Absent::new("ounce", format!("{error:#}")));
            }
        }
        bubblewrap::join(ground, &mut field);
        oci_runtime::join(ground, &mut field);
        podman::join(ground, &mut field);
        docker::join(ground, &mut field);
        umoci::join(ground, &mut field);
        Ok(field)
    }

    fn start(&mut self, starter: impl Starter + 'static) {
        self.starters.push(Box::new(starter));
    }

    fn pack(&mut self, packer: impl Packer + 'static) {
        self.packers.push(Box::new(packer));
    }

    fn version(&mut self, name: &str, version: Option<String>) {
        self.versions.push((
            name.to_owned(),
            version.unwrap_or_else(|| "version unknown".to_owned()),
        ));
    }
}

/// A program on the `PATH`, or where Debian keeps the administrator's.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
        .with_context(|| format!("{name} is not installed"))
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// Runs a preparing or cleaning command to its end; its stdout, or what it said
/// as the error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{:?} ended with {}: {}",
        command.get_program(),
        output.status,
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A build context for docker and podman: the program, perhaps a site, and the few
/// lines a user would write.
fn context(folder: &Path, program: &Path, site: Option<&Path>) -> Result<()> {
    fs::create_dir_all(folder)?;
    copy(program, &folder.join("app"), 0o755)?;
    let mut lines = String::from("FROM scratch\nCOPY app /app\n");
    if let Some(site) = site {
        fs::create_dir_all(folder.join("public"))?;
        copy(&site.join(PAGE), &folder.join("public").join(PAGE), 0o644)?;
        lines.push_str(&format!("COPY public {SITE}\n"));
    }
    lines.push_str("USER 65532\nENTRYPOINT [\"/app\"]\n");
    Ok(fs::write(folder.join("Dockerfile"), lines)?)
}

/// The context of a program that is started.
fn task_context(folder: &Path, ground: &Ground<'_>, task: Task) -> Result<()> {
    let site = (task == Task::Http).then_some(ground.programs.site.as_path());
    context(folder, ground.programs.of(task), site)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

/// Root file systems with nothing but the program and the folders that mounts need.
fn root_file_system(ground: &Ground<'_>, task: Task) -> Result<PathBuf> {
    let root = ground.stage.subfolder(&format!("rootfs/{}", task.name()))?;
    for folder in ["proc", "dev", "sys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    copy(ground.programs.of(task), &root.join("app"), 0o755)?;
    if task == Task::Http {
        let site = root.join(SITE.trim_start_matches('/'));
        fs::create_dir_all(&site)?;
        copy(&ground.programs.site.join(PAGE), &site.join(PAGE), 0o644)?;
    }
    Ok(root)
}

/// What the programs are given: the server learns of its socket by its environment,
/// or of its port by its argument.
fn arguments(task: Task, socket: Socket, port: u16) -> Vec<String> {
    match (task, socket) {
        (Task::Http, Socket::OwnPort) => vec!["--port".to_owned(), port.to_string()],
        _ => Vec::new(),
    }
}
