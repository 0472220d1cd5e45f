//! Containers with a name: in the background, asked from other processes, and
//! with everything killed that can be. As root and, once more, without.

// clippy knows functions marked as tests, not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod bench;
mod faults;
mod inside;
mod lifecycle;
mod network;

use std::process::Command;

/// All the others once more as a user without any privilege.
#[test]
fn all_of_it_holds_without_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = bench::shared();
    let copy = folder.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    // With mounts of its own, in which everybody may open /dev/net/tun, as on
    // most machines: what speaks for containers without root needs it.
    let script = "mount -t tmpfs tmpfs \"$1\" && mknod -m 666 \"$1/tun\" c 10 200 && \
        mount --bind \"$1/tun\" /dev/net/tun; shift; exec \"$@\"";
    let devices = folder.join("devices");
    std::fs::create_dir(&devices).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&devices)
        .args([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ])
        .arg(&copy)
        .args(["--test-threads=2", "--nocapture"])
        .env("OUNCE_TEST_BIN", bench::ounce())
        .current_dir("/")
        .output()
        .expect("unshare and setpriv, of util-linux, are needed");
    let said = String::from_utf8_lossy(&output.stderr);
    for line in said.lines().filter(|line| line.starts_with("skipped:")) {
        eprintln!("without root: {line}");
    }
    assert!(
        output.status.success(),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stdout)
    );
}
