//! ounce itself, as shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Ground, Packer, Socket, Starter, Task, run};
use crate::bench::host;
use crate::bench::programs::{PAGE, SITE};
use crate::bench::rounds::Row;

/// The shipped binary, with a store of its own.
#[derive(Debug, Clone)]
pub(super) struct Ounce {
    program: PathBuf,
    folder: PathBuf,
    /// Whether a control group limits the processes, as in an OCI runtime.
    group: bool,
}

impl Ounce {
    /// Packs the programs to start, once.
    pub(super) fn prepare(
        ground: &Ground<'_>,
        versions: &mut Vec<(String, String)>,
    ) -> Result<Ounce> {
        let ounce = Ounce {
            program: ground.programs.ounce.clone(),
            folder: ground.stage.subfolder("ounce")?,
            group: false,
        };
        let bytes = fs::metadata(&ounce.program)?.len();
        let version =
            host::version(&ounce.program, &["--version"]).context("ounce --version failed")?;
        versions.push(("ounce".to_owned(), format!("{version}, {bytes} bytes")));
        for task in Task::ALL {
            let mut command = ounce.command("start");
            command
                .arg("build")
                .arg(ground.programs.of(task))
                .args(["-t", task.name()]);
            if task == Task::Http {
                let page = ground.programs.site.join(PAGE);
                command
                    .arg("--file")
                    .arg(format!("{}:{SITE}/{PAGE}", page.display()));
            }
            run(&mut command)?;
        }
        Ok(ounce)
    }

    /// The same with a control group.
    pub(super) fn with_group(&self) -> Ounce {
        Ounce {
            group: true,
            ..self.clone()
        }
    }

    /// The program that prints a line, once for each line it is given.
    pub(super) fn pool(&self) -> Command {
        let mut command = self.command("start");
        command.args(["run", "--pool", "4", Task::Line.name()]);
        command
    }

    fn store(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, store: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(self.store(store)).arg("--quiet");
        command
    }
}

impl Starter for Ounce {
    fn row(&self, task: Task) -> Row {
        let title = match task {
            Task::Line => "ounce run",
            Task::Http => "ounce run -p",
        };
        match self.group {
            false => Row::new(
                "ounce",
                title,
                "the image from the store; namespaces, a limit on processes, read-only root, no capabilities, seccomp \
                 list; a private network, the socket is handed in",
            ),
            true => Row::new(
                "ounce-group",
                format!("{title} --pids 1024"),
                "as before, and a cgroup that limits processes",
            ),
        }
    }

    fn socket(&self) -> Socket {
        Socket::OwnPort
    }

    fn command(&self, task: Task, _: &str, port: u16) -> Command {
        let mut command = self.command("start");
        command.args(["run", task.name()]);
        if task == Task::Http {
            command.args(["-p", &port.to_string()]);
        }
        if self.group {
            command.args(["--pids", "1024"]);
        }
        command
    }
}

impl Packer for Ounce {
    fn row(&self) -> Row {
        Row::new(
            "ounce",
            "ounce build",
            "reads the ELF, gzip by libdeflate, level 10 to 12 up to 2 MiB and 6 beyond, into an empty store",
        )
    }

    fn prepare(&self, _: &Path, name: &str) -> Result<()> {
        // An empty store each time: nothing can be found there already.
        Ok(fs::create_dir_all(self.store(name))?)
    }

    fn steps(&self, program: &Path, name: &str) -> Vec<Command> {
        let mut command = self.command(name);
        command.arg("build").arg(program).args(["-t", "packed"]);
        vec![command]
    }

    fn clean(&self, name: &str) {
        let _ = fs::remove_dir_all(self.store(name));
    }
}
