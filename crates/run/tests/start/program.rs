//! The program in the containers, built once, and running it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ounce_linux::Errno;
use ounce_run::spec::Root;
use ounce_run::{Container, Exit, Spec, StartError, start_with};

/// A folder that every user can reach; one for each run of this binary.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::Builder::new()
                .prefix("ounce-test-")
                .tempdir_in("/tmp")
                .unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            folder
        })
        .path()
}

/// The prober, static.
pub(crate) fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        if let Some(ready) = std::env::var_os("OUNCE_PROBE") {
            return ready.into();
        }
        let program = folder().join("probe");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/start/probe.c");
        let status = Command::new("cc")
            .args(["-static", "-O1", "-w", "-o"])
            .arg(&program)
            .arg(source)
            .status()
            .expect("a C compiler is needed for the test program: apt-get install gcc libc6-dev");
        assert!(status.success());
        program
    })
}

pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A container of the prober alone.
pub(crate) fn spec(arguments: &[&str]) -> Spec {
    Spec::of_program(probe().to_owned(), words(arguments))
}

/// A folder as an unpacked image would be, with the prober in it.
pub(crate) fn rootfs() -> tempfile::TempDir {
    let root = tempfile::Builder::new()
        .prefix("ounce-root-")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["proc", "dev", "sys", "tmp", "data"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::copy(probe(), root.path().join("probe")).unwrap();
    root
}

pub(crate) fn in_folder(root: &Path, arguments: &[&str]) -> Spec {
    let all = [&["/probe"], arguments].concat();
    Spec::new(Root::Folder(root.to_owned()), words(&all))
}

pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) output: String,
}

pub(crate) fn begin(spec: &Spec) -> Result<(Container, File), StartError> {
    let output = tempfile::tempfile().unwrap();
    let null = File::open("/dev/null").unwrap();
    loop {
        match start_with(spec, [null.as_fd(), output.as_fd(), output.as_fd()]) {
            // Another test's child, between clone and exec, still has a copy of
            // the descriptor that this test wrote the program through.
            Err(StartError::Execute { source, .. }) if source == Errno::TXTBSY => {}
            other => return other.map(|container| (container, output)),
        }
    }
}

pub(crate) fn read(mut output: &File) -> String {
    let mut text = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn run(spec: &Spec) -> Ran {
    let (mut container, output) =
        begin(spec).unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()));
    let exit = container.wait().unwrap();
    Ran {
        exit,
        output: read(&output),
    }
}
