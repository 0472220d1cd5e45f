//! Docker, with a daemon of our own: own data, own socket, no bridge, warm
//! before the first round. It ends with the stage.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{
    BATCH, Field, Ground, Packer, Socket, Starter, Task, arguments, context, find, run,
    task_context,
};
use crate::bench::host;
use crate::bench::rounds::{Absent, Row};
use crate::bench::stage::CGROUP;

/// Longest the daemon may take to answer.
const DAEMON_LIMIT: Duration = Duration::from_secs(60);

/// The client, and where the daemon listens.
#[derive(Debug, Clone)]
struct Docker {
    client: PathBuf,
    folder: PathBuf,
}

/// Joins the field if a daemon can be started.
pub(super) fn join(ground: &Ground<'_>, field: &mut Field) {
    if !ground.options.wants("docker") {
        return;
    }
    let peer = Docker::start(ground).and_then(|(peer, version)| {
        for task in Task::ALL {
            let folder = peer.folder.join(task.name());
            task_context(&folder, ground, task)?;
            run(peer
                .command(&["build", "-q", "-t", task.name()])
                .env("DOCKER_BUILDKIT", "0")
                .arg(&folder))?;
        }
        Ok((peer, version))
    });
    match peer {
        Ok((peer, version)) => {
            field.version("docker", Some(version));
            field.start(peer.clone());
            for buildkit in [false, true] {
                field.pack(DockerBuild {
                    docker: peer.clone(),
                    buildkit,
                });
            }
        }
        Err(error) => {
            field
                .no_starters
                .push(Absent::new("docker", format!("{error:#}")));
            field
                .no_packers
                .push(Absent::new("docker", format!("{error:#}")));
        }
    }
}

impl Docker {
    /// Starts the daemon and waits until it answers.
    fn start(ground: &Ground<'_>) -> Result<(Docker, String)> {
        ensure!(ground.stage.is_isolated(), "needs root");
        let daemon = find("dockerd")?;
        let peer = Docker {
            client: client(&daemon)?,
            folder: ground.stage.subfolder("docker")?,
        };
        let log = peer.folder.join("log");
        let mut command = Command::new(&daemon);
        command.args([
            "--iptables=false",
            "--ip-forward=false",
            "--bridge=none",
            "--cgroup-parent",
            CGROUP,
        ]);
        for (option, place) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(peer.folder.join(place));
        }
        let mut child = command
            .arg("-H")
            .arg(peer.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("starting dockerd")?;
        wait(&peer, &mut child, &log)?;
        let server = run(&mut peer.command(&["version", "--format", "{{.Server.Version}}"]))?;
        let with = run(&mut peer.command(&[
            "info",
            "--format",
            "{{.DefaultRuntime}}, {{.Driver}}, cgroup v{{.CgroupVersion}}",
        ]))?;
        let client = host::version(&peer.client, &["--version"]).unwrap_or_default();
        Ok((peer, format!("daemon {server} ({with}), client {client}")))
    }

    fn socket(&self) -> String {
        format!("unix://{}", self.folder.join("socket").display())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        // A configuration of the user's (credential helpers, contexts) has no part in this.
        command
            .env("DOCKER_CONFIG", &self.folder)
            .env_remove("DOCKER_CONTEXT");
        command.env("DOCKER_HOST", self.socket()).args(arguments);
        command
    }
}

/// The client that came with the daemon, if it is there: a newer one on the `PATH`
/// builds by a plug-in that may be missing.
fn client(daemon: &Path) -> Result<PathBuf> {
    let packaged = Path::new("/usr/bin/docker");
    let same =
        |file: &Path| host::version(file, &["--version"]) == host::version(daemon, &["--version"]);
    if packaged.is_file() && same(packaged) {
        Ok(packaged.to_owned())
    } else {
        find("docker")
    }
}

fn wait(peer: &Docker, child: &mut Child, log: &Path) -> Result<()> {
    let start = Instant::now();
    while run(&mut peer.command(&["version"])).is_err() {
        let ended = child.try_wait()?;
        if ended.is_some() || start.elapsed() > DAEMON_LIMIT {
            let said = fs::read_to_string(log).unwrap_or_default();
            let last = said
                .lines()
                .last()
                .unwrap_or("it logged nothing")
                .to_owned();
            match ended {
                Some(status) => bail!("dockerd ended with {status}: {last}"),
                None => bail!("dockerd did not answer within {DAEMON_LIMIT:?}: {last}"),
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

impl Starter for Docker {
    fn row(&self, _: Task) -> Row {
        Row::new(
            "docker",
            "docker run --network host",
            "an image in the warm daemon; runc, namespaces, cgroup, seccomp list; the host's network",
        )
    }

    fn socket(&self) -> Socket {
        Socket::OwnPort
    }

    fn command(&self, task: Task, name: &str, port: u16) -> Command {
        self.start_command(task, name, port, &["--rm"])
    }

    fn detached(&self, name: &str, port: u16) -> Option<Command> {
        Some(self.start_command(Task::Http, name, port, &["--detach"]))
    }

    fn clean(&self, name: &str) {
        let _ = run(&mut self.command(&["rm", "-f", name]));
    }

    fn clean_all(&self, names: &[String]) {
        for names in names.chunks(BATCH) {
            let _ = run(self.command(&["rm", "-f"]).args(names));
        }
    }
}

impl Docker {
    fn start_command(&self, task: Task, name: &str, port: u16, options: &[&str]) -> Command {
        let mut command = self.command(&["run"]);
        command
            .args(options)
            .args(["--network", "host", "--log-driver", "none", "--name", name])
            .arg(task.name())
            .args(arguments(task, Socket::OwnPort, port));
        command
    }
}

/// `docker build`, by the classic builder or by BuildKit.
struct DockerBuild {
    docker: Docker,
    buildkit: bool,
}

impl DockerBuild {
    fn folder(&self, name: &str) -> PathBuf {
        self.docker.folder.join("contexts").join(name)
    }
}

impl Packer for DockerBuild {
    fn row(&self) -> Row {
        let remark = "a warm daemon, cache off, into its own storage, no compression";
        if self.buildkit {
            Row::new("docker-buildkit", "docker build (BuildKit)", remark)
        } else {
            Row::new("docker-classic", "docker build (classic)", remark)
        }
    }

    fn prepare(&self, program: &Path, name: &str) -> Result<()> {
        context(&self.folder(name), program, None)
    }

    fn steps(&self, _: &Path, name: &str) -> Vec<Command> {
        let mut command = self
            .docker
            .command(&["build", "--no-cache", "-q", "-t", name]);
        command
            .env("DOCKER_BUILDKIT", if self.buildkit { "1" } else { "0" })
            .arg(self.folder(name));
        vec![command]
    }

    fn clean(&self, name: &str) {
        let _ = run(&mut self.docker.command(&["rmi", "-f", name]));
        let _ = fs::remove_dir_all(self.folder(name));
    }
}
