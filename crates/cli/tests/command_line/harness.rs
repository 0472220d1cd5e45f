//! A workbench: a store, a cache and a working folder of their own for each test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A fresh place to run ounce in.
pub(crate) struct Workbench {
    folder: TempDir,
}

impl Workbench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// An executable file. Another process writes it: one that a test beside this
    /// one forks just then would hold ours open for writing until it executes, and
    /// what is so cannot be executed (ETXTBSY).
    pub(crate) fn program(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let written = self.file(&format!("{name}.written"), bytes);
        let path = self.path(name);
        let mut install = Command::new("install");
        install.args(["-m", "755"]).args([&written, &path]);
        assert!(install.status().unwrap().success());
        std::fs::remove_file(written).unwrap();
        path
    }

    pub(crate) fn ounce(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ounce"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("OUNCE_STORE", self.path("store"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.ounce(arguments).output().unwrap()
    }

    /// Status, stdout and stderr, with what differs from run to run named.
    pub(crate) fn picture(&self, arguments: &[&str]) -> String {
        picture(&self.output(arguments), self.folder.path())
    }

    /// Runs what has to succeed and gives its stdout.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "ounce {arguments:?}\n{}",
            picture(&output, self.folder.path())
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

fn picture(output: &Output, folder: &Path) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(folder.to_str().unwrap(), "[DIR]");
    let status = output
        .status
        .code()
        .map_or("killed".to_owned(), |code| code.to_string());
    format!(
        "status: {status}\n-- stdout\n{}-- stderr\n{}",
        text(&output.stdout),
        text(&output.stderr)
    )
}
