//! No isolation at all: the floor under every figure.

use std::path::PathBuf;
use std::process::Command;

use super::{Ground, Socket, Starter, Task, arguments};
use crate::bench::rounds::Row;

/// Plain fork and exec.
pub(super) struct Bare {
    line: PathBuf,
    httpd: PathBuf,
    site: PathBuf,
}

impl Bare {
    pub(super) fn new(ground: &Ground<'_>) -> Bare {
        Bare {
            line: ground.programs.line.clone(),
            httpd: ground.programs.httpd.clone(),
            site: ground.programs.site.clone(),
        }
    }
}

impl Starter for Bare {
    fn row(&self, _: Task) -> Row {
        Row::new("bare", "fork + exec", "nothing: the floor")
    }

    fn socket(&self) -> Socket {
        // By sd_listen_fds(3) the socket goes with the process's number, which is not
        // known before the start.
        Socket::OwnPort
    }

    fn command(&self, task: Task, _: &str, port: u16) -> Command {
        let mut command = Command::new(match task {
            Task::Line => &self.line,
            Task::Http => &self.httpd,
        });
        command.args(arguments(task, self.socket(), port));
        if task == Task::Http {
            command.arg(&self.site);
        }
        command
    }
}
