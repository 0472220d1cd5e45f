//! Containers in real namespaces, as root and without.
//!
//! This binary is also the processes that the tests need: with `OUNCE_ROLE`
//! set, the ignored test [`role`] plays one. Without root the same tests run
//! once more under `setpriv`, by [`without_root`].

// clippy knows functions marked as tests, not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod isolation;
mod lifecycle;
mod program;

use std::process::Command;

#[test]
#[ignore = "a process of the other tests"]
fn role() {
    match std::env::var("OUNCE_ROLE").unwrap_or_default().as_str() {
        "cycles" => lifecycle::cycles(),
        "keeper" => lifecycle::keeper(),
        "terminal" => lifecycle::terminal(),
        other => panic!("no such role: {other}"),
    }
}

/// All the others once more as a user without any privilege.
#[test]
fn all_of_it_holds_without_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = program::folder();
    let copy = folder.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["--test-threads=2"])
        .env("OUNCE_PROBE", program::probe())
        .current_dir("/")
        .output()
        .expect("setpriv, of util-linux, is needed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
