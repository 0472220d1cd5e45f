//! Building the release program, and what the machine is asked before a test.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The release program for this machine, built once a run with the project's
/// own `.cargo/config.toml`.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    // One failure is told by all tests, but not made again by each.
    let built = PROGRAM.get_or_init(|| try_build(env::consts::ARCH));
    built.as_ref().expect("the release program does not build")
}

/// The program that serves packed sites alone.
pub(crate) fn packed_program() -> PathBuf {
    program().with_file_name("httpd-packed")
}

/// Builds the release program for an architecture.
pub(crate) fn build(architecture: &str) -> PathBuf {
    try_build(architecture).expect("the release program does not build")
}

fn try_build(architecture: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = format!("{architecture}-unknown-linux-musl");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--bins"])
        .args(["--target", &target, "--target-dir", "target/real"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(folder)
        .status()
        .expect("cargo starts");
    let program = folder.join(format!("target/real/{target}/release/httpd"));
    // Pages of a file that is not on disk yet count as dirty where it is mapped.
    for name in ["httpd", "httpd-packed"] {
        let file = std::fs::File::open(program.with_file_name(name)).ok()?;
        file.sync_all().ok()?;
    }
    status.success().then_some(program)
}

/// Says past the harness's capture that a test skips, and why.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Says so and returns true where a command does not run well on this machine.
pub(crate) fn is_skipped(command: &mut Command, why: &str) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_missing = !status.is_ok_and(|status| status.success());
    if is_missing {
        skip(why);
    }
    is_missing
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.contains("\nUid:\t0\t0\t"))
}

/// Raises this process's own limit of descriptors to what is allowed; how many.
pub(crate) fn raise_descriptors() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let own = std::process::id().to_string();
        let hard = Command::new("prlimit")
            .args([
                "--pid",
                &own,
                "--noheadings",
                "--output",
                "HARD",
                "--nofile",
            ])
            .output()
            .expect("prlimit");
        let hard = String::from_utf8_lossy(&hard.stdout).trim().to_owned();
        let raise = format!("--nofile={hard}:{hard}");
        let status = Command::new("prlimit")
            .args(["--pid", &own, &raise])
            .status();
        assert!(status.expect("prlimit").success());
        hard.parse().unwrap_or(1 << 20)
    })
}
