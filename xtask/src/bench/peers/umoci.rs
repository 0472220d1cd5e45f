//! umoci: writes OCI image layouts without a daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Field, Ground, Packer, find};
use crate::bench::host;
use crate::bench::rounds::{Absent, Row};

struct Umoci {
    program: PathBuf,
    folder: PathBuf,
}

/// Joins the field if umoci is there.
pub(super) fn join(ground: &Ground<'_>, field: &mut Field) {
    if !ground.options.wants("umoci") {
        return;
    }
    let found = find("umoci").and_then(|program| {
        Ok(Umoci {
            program,
            folder: ground.stage.subfolder("umoci")?,
        })
    });
    match found {
        Ok(peer) => {
            field.version("umoci", host::version(&peer.program, &["--version"]));
            field.pack(peer);
        }
        Err(error) => field
            .no_packers
            .push(Absent::new("umoci", format!("{error:#}"))),
    }
}

impl Packer for Umoci {
    fn row(&self) -> Row {
        Row::new(
            "umoci",
            "umoci init, new, insert, config",
            "gzip, into an empty layout",
        )
    }

    fn prepare(&self, _: &Path, _: &str) -> Result<()> {
        Ok(())
    }

    fn steps(&self, program: &Path, name: &str) -> Vec<Command> {
        let layout = self.folder.join(name);
        let image = format!("{}:latest", layout.display());
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&self.program);
            command.args(arguments);
            command
        };
        let mut init = command(&["init", "--layout"]);
        init.arg(&layout);
        let mut insert = command(&["insert", "--image", &image]);
        insert.arg(program).arg("/app");
        vec![
            init,
            command(&["new", "--image", &image]),
            insert,
            command(&[
                "config",
                "--image",
                &image,
                "--config.entrypoint",
                "/app",
                "--config.user",
                "65532",
            ]),
        ]
    }

    fn clean(&self, name: &str) {
        let _ = fs::remove_dir_all(self.folder.join(name));
    }
}
