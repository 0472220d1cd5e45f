//! bubblewrap: namespaces by flags, no images, no seccomp list by default.

use std::path::PathBuf;
use std::process::Command;

use super::{Field, Ground, Socket, Starter, Task, find, root_file_system};
use crate::bench::host;
use crate::bench::rounds::{Absent, Row};

struct Bubblewrap {
    program: PathBuf,
    roots: [PathBuf; 2],
}

/// Joins the field if bubblewrap is there.
pub(super) fn join(ground: &Ground<'_>, field: &mut Field) {
    if !ground.options.wants("bubblewrap") {
        return;
    }
    let found = find("bwrap").and_then(|program| {
        let roots = [
            root_file_system(ground, Task::Line)?,
            root_file_system(ground, Task::Http)?,
        ];
        Ok(Bubblewrap { program, roots })
    });
    match found {
        Ok(peer) => {
            field.version("bubblewrap", host::version(&peer.program, &["--version"]));
            field.start(peer);
        }
        Err(error) => field
            .no_starters
            .push(Absent::new("bubblewrap", format!("{error:#}"))),
    }
}

impl Starter for Bubblewrap {
    fn row(&self, _: Task) -> Row {
        Row::new(
            "bubblewrap",
            "bwrap --unshare-all",
            "an unpacked folder; namespaces, read-only root, no capabilities, no seccomp list; \
             a private network, the socket is handed in",
        )
    }

    fn socket(&self) -> Socket {
        Socket::Handed
    }

    fn command(&self, task: Task, _: &str, _: u16) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--unshare-all", "--uid", "65532", "--gid", "65532"])
            .args(["--cap-drop", "ALL", "--ro-bind"])
            .arg(&self.roots[task as usize]);
        command.args(["/", "--proc", "/proc", "--dev", "/dev"]);
        if task == Task::Http {
            // Process 1 in there is bubblewrap's own, which reaps; the program is 2.
            command.args(["--setenv", "LISTEN_FDS", "1", "--setenv", "LISTEN_PID", "2"]);
        }
        command.arg("/app");
        command
    }
}
