//! podman and buildah: one storage library, no daemon. With a storage of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::{
    BATCH, Field, Ground, Packer, Socket, Starter, Task, arguments, context, find, run,
    task_context,
};
use crate::bench::host;
use crate::bench::rounds::{Absent, Row};
use crate::bench::stage::CGROUP;

/// Runtimes podman is tried with, beside ounce; each that works is a contender.
const RUNTIMES: [&str; 2] = ["crun", "runc"];

/// podman or buildah, and where it stores.
#[derive(Debug, Clone)]
struct Engine {
    program: PathBuf,
    folder: PathBuf,
}

impl Engine {
    fn find(ground: &Ground<'_>, name: &str) -> Result<Engine> {
        ensure!(
            ground.stage.is_isolated(),
            "needs root here: a storage of its own by overlay mounts"
        );
        Ok(Engine {
            program: find(name)?,
            folder: ground.stage.subfolder(name)?,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(self.folder.join("root"))
            .arg("--runroot")
            .arg(self.folder.join("run"));
        command
            .args(["--storage-driver", "overlay"])
            .args(arguments);
        command
    }

    fn context(&self, name: &str) -> PathBuf {
        self.folder.join("contexts").join(name)
    }
}

/// Joins the field with whatever works.
pub(super) fn join(ground: &Ground<'_>, field: &mut Field) {
    if ground.options.wants("podman") {
        match Engine::find(ground, "podman")
            .and_then(|engine| images(ground, &engine).map(|()| engine))
        {
            Ok(engine) => {
                field.version("podman", host::version(&engine.program, &["--version"]));
                let ounce = engine.folder.join("ounce-runtime");
                let mut runtimes: Vec<_> = RUNTIMES.map(|name| (name, name.into())).into();
                match fs::copy(&ground.programs.ounce, &ounce) {
                    Ok(_) => runtimes.push(("ounce", ounce)),
                    Err(error) => {
                        let why = format!("copying ounce: {error}");
                        field
                            .no_starters
                            .push(Absent::new("podman with ounce", why));
                    }
                }
                for (runtime, path) in runtimes {
                    let peer = Podman {
                        engine: engine.clone(),
                        runtime,
                        path,
                    };
                    let name = format!("probe-{runtime}");
                    match run(&mut peer.command(Task::Line, &name, 0)) {
                        Ok(_) => field.start(peer),
                        Err(error) => {
                            let absent =
                                Absent::new(format!("podman with {runtime}"), format!("{error:#}"));
                            field.no_starters.push(absent);
                        }
                    }
                }
                field.pack(PodmanBuild { engine });
            }
            Err(error) => {
                field
                    .no_starters
                    .push(Absent::new("podman", format!("{error:#}")));
                field
                    .no_packers
                    .push(Absent::new("podman", format!("{error:#}")));
            }
        }
    }
    if ground.options.wants("buildah") {
        match Engine::find(ground, "buildah") {
            Ok(engine) => {
                field.version("buildah", host::version(&engine.program, &["--version"]));
                field.pack(Buildah { engine });
            }
            Err(error) => field
                .no_packers
                .push(Absent::new("buildah", format!("{error:#}"))),
        }
    }
}

fn images(ground: &Ground<'_>, engine: &Engine) -> Result<()> {
    for task in Task::ALL {
        let folder = engine.context(task.name());
        task_context(&folder, ground, task)?;
        run(engine
            .command(&["build", "-q", "-t", task.name()])
            .arg(&folder))?;
    }
    Ok(())
}

/// `podman run` on one of its runtimes.
struct Podman {
    engine: Engine,
    runtime: &'static str,
    /// Of the runtime; a bare name is looked for by podman.
    path: PathBuf,
}

impl Starter for Podman {
    fn row(&self, _: Task) -> Row {
        Row::new(
            &format!("podman-{}", self.runtime),
            format!("podman run --network host ({})", self.runtime),
            "an image from its store; namespaces, cgroup, seccomp list; the host's network",
        )
    }

    fn socket(&self) -> Socket {
        Socket::OwnPort
    }

    fn command(&self, task: Task, name: &str, port: u16) -> Command {
        self.start_command(task, name, port, "--rm")
    }

    fn detached(&self, name: &str, port: u16) -> Option<Command> {
        Some(self.start_command(Task::Http, name, port, "--detach"))
    }

    fn clean(&self, name: &str) {
        let _ = run(&mut self.engine.command(&["rm", "-f", "-i", "-t", "0", name]));
    }

    fn clean_all(&self, names: &[String]) {
        for names in names.chunks(BATCH) {
            let command = &mut self.engine.command(&["rm", "-f", "-i", "-t", "0"]);
            let _ = run(command.args(names));
        }
    }
}

impl Podman {
    fn start_command(&self, task: Task, name: &str, port: u16, option: &str) -> Command {
        // Without systemd: cgroups by file and no event log. Without a limit of our own
        // podman asks for more open files than a container's host may allow it.
        let mut command =
            self.engine
                .command(&["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command.arg("--runtime").arg(&self.path).args([
            "run",
            option,
            "--network",
            "host",
            "--log-driver",
            "none",
        ]);
        command.args([
            "--cgroup-parent",
            CGROUP,
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ]);
        command.args(["--name", name, &format!("localhost/{}", task.name())]);
        command.args(arguments(task, Socket::OwnPort, port));
        command
    }
}

/// `podman build` from a Dockerfile.
struct PodmanBuild {
    engine: Engine,
}

impl Packer for PodmanBuild {
    fn row(&self) -> Row {
        Row::new(
            "podman",
            "podman build",
            "cache off, into its own storage, no compression",
        )
    }

    fn prepare(&self, program: &Path, name: &str) -> Result<()> {
        context(&self.engine.context(name), program, None)
    }

    fn steps(&self, _: &Path, name: &str) -> Vec<Command> {
        let mut command = self
            .engine
            .command(&["build", "--no-cache", "-q", "-t", name]);
        command.arg(self.engine.context(name));
        vec![command]
    }

    fn clean(&self, name: &str) {
        let _ = run(&mut self.engine.command(&["rmi", "-f", name]));
        let _ = fs::remove_dir_all(self.engine.context(name));
    }
}

/// buildah's single steps, without a Dockerfile.
struct Buildah {
    engine: Engine,
}

impl Packer for Buildah {
    fn row(&self) -> Row {
        Row::new(
            "buildah",
            "buildah from, copy, config, commit",
            "into its own storage, no compression",
        )
    }

    fn prepare(&self, _: &Path, _: &str) -> Result<()> {
        Ok(())
    }

    fn steps(&self, program: &Path, name: &str) -> Vec<Command> {
        let mut copy = self.engine.command(&["copy", "-q", name]);
        copy.arg(program).arg("/app");
        vec![
            self.engine.command(&["from", "--name", name, "scratch"]),
            copy,
            self.engine.command(&[
                "config",
                "--entrypoint",
                "[\"/app\"]",
                "--user",
                "65532",
                name,
            ]),
            self.engine.command(&["commit", "-q", name, name]),
        ]
    }

    fn clean(&self, name: &str) {
        let _ = run(&mut self.engine.command(&["rm", name]));
        let _ = run(&mut self.engine.command(&["rmi", "-f", name]));
    }
}
