//! `cargo xtask guest`: ounce on a machine of its own, emulated, whose kernel has
//! control groups of version 2 only, as most hosts have today, and whose clock may jump.
//!
//! The machine is QEMU without acceleration (it runs where virtual machines may
//! not), Debian's or Ubuntu's kernel, and a file system of busybox and ounce in
//! memory: up and down in some seconds. The kernel's package is only unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::house::House;
use crate::scratch::Scratch;
use crate::tool::{command, read};

/// Programs this takes.
pub(crate) const NEEDS: &[&str] = &[
    "qemu-system-x86_64",
    "busybox",
    "cpio",
    "dpkg-deb",
    "apt-get",
];

/// Packages that name the newest small kernel, Debian's and Ubuntu's.
const KERNELS: &[&str] = &["linux-image-cloud-amd64", "linux-image-virtual"];

/// Parts of the kernel that `ounce serve` asks who is connected; in this order.
const MODULES: &[&str] = &["inet_diag", "tcp_diag"];
/// Checks that begin so are of `ounce serve`. Ubuntu's package has no modules in it.
const NEED_MODULES: &str = "idle ";

/// What each check has to say; `kernel` may say anything.
const EXPECTED: &[(&str, &str)] = &[
    ("root answer", "ok"),
    ("root memory", "67108864"),
    ("root processes", "50"),
    ("root processor", "50000 100000"),
    ("root members", "1"),
    ("root left", "0"),
    // Killed by the kernel: 128 + SIGKILL.
    ("root memory over", "137"),
    // A shell that cannot fork ends with 2.
    ("root processes over", "2"),
    ("root left at the end", "0"),
    ("plain answer", "ok"),
    ("plain refused", "125"),
    ("plain hint", "1"),
    ("delegated answer", "ok"),
    ("delegated memory", "33554432"),
    ("delegated processes", "40"),
    ("delegated processor", "25000 100000"),
    ("delegated members", "1"),
    ("delegated left", "0"),
    // Clocks that jump by a year, back and ahead.
    ("idle answer", "ok"),
    ("idle back", "yes"),
    ("idle answer again", "ok"),
    ("idle long answer", "ok"),
    ("idle ahead", "0"),
    ("back restarts", "9 5"),
    ("back stop", "137"),
    ("mounts", "0"),
    ("end", "reached"),
];

/// Runs the checks in a guest with this `ounce`.
pub(crate) fn run(house: &House, ounce: &Path) -> Result<()> {
    let scratch = Scratch::new("guest")?;
    let cache = house.path("target/guest");
    let kernel = kernel(&cache)?;
    let modules = modules(&cache, &kernel);
    let initial = initial(&scratch, ounce, &modules)?;
    let output = read(
        Command::new("timeout")
            .args(["420", "qemu-system-x86_64"])
            .args([
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-m",
                "1024",
                "-smp",
                "1",
                "-no-reboot",
            ])
            .args(["-nographic", "-nodefaults", "-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initial)
            .args(["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"])
            .stdin(Stdio::null()),
    )?;
    judge(&output, modules.len() == MODULES.len())
}

/// Compares what the guest said with what it should say.
fn judge(output: &str, serves: bool) -> Result<()> {
    let said: BTreeMap<&str, &str> = output
        .lines()
        // The first line may follow what the firmware wrote.
        .filter_map(|line| line.trim().split_once("check ")?.1.split_once(": "))
        .collect();
    let expected = EXPECTED
        .iter()
        .filter(|(name, _)| serves || !name.starts_with(NEED_MODULES));
    let wrong: Vec<String> = expected
        .clone()
        .filter(|(name, value)| said.get(name) != Some(value))
        .map(|(name, value)| format!("{name}: wanted {value}, got {:?}", said.get(name)))
        .collect();
    if !wrong.is_empty() {
        bail!("{}\nthe guest said:\n{output}", wrong.join("\n"));
    }
    let kernel = said.get("kernel").copied().unwrap_or("of no name");
    println!(
        "  {} checks hold on Linux {kernel}, control groups version 2 only",
        expected.count()
    );
    if !serves {
        println!("  n/a  what is idle when clocks jump: the kernel's package has no modules");
    }
    Ok(())
}

/// The modules' files, as far as the kernel's package has them.
fn modules(cache: &Path, kernel: &Path) -> Vec<PathBuf> {
    let name = kernel.file_name().unwrap_or_default().to_string_lossy();
    let version = name.trim_start_matches("vmlinuz-");
    let folder = cache.join("lib/modules").join(version);
    let files = MODULES
        .iter()
        .map(|name| format!("kernel/net/ipv4/{name}.ko"));
    let files = files.map(|file| folder.join(file));
    files.filter(|file| file.is_file()).collect()
}

/// The kernel's file, out of the newest package; downloaded once.
fn kernel(cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache)?;
    if let Some(kernel) = kernel_in(cache)? {
        return Ok(kernel);
    }
    let package = KERNELS.iter().find_map(|name| package_of(name));
    let package = package.context("the package lists know no kernel: apt-get update")?;
    read(command(&["apt-get", "-q", "download", &package]).current_dir(cache))?;
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            read(command(&["dpkg-deb", "-x"]).arg(&path).arg(cache))?;
            fs::remove_file(&path)?;
        }
    }
    kernel_in(cache)?.with_context(|| format!("{package} holds no /boot/vmlinuz"))
}

fn kernel_in(cache: &Path) -> Result<Option<PathBuf>> {
    let boot = cache.join("boot");
    if !boot.is_dir() {
        return Ok(None);
    }
    for entry in fs::read_dir(boot)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("vmlinuz") {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// The package with the kernel that a package of this name stands for.
fn package_of(name: &str) -> Option<String> {
    let depends = read(&mut command(&["apt-cache", "depends", name])).ok()?;
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
        .map(str::to_owned)
}

/// The initial file system: busybox, ounce and the checks.
fn initial(scratch: &Scratch, ounce: &Path, modules: &[PathBuf]) -> Result<PathBuf> {
    let root = scratch.join("root");
    for folder in ["bin", "etc", "home/user", "lib", "public"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let busybox = crate::tool::find("busybox").context("busybox is not installed")?;
    let program = |from: &Path, name: &str| -> Result<()> {
        let to = root.join(name);
        fs::copy(from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        Ok(())
    };
    program(&busybox, "bin/busybox")?;
    program(ounce, "bin/ounce")?;
    for file in modules {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        program(file, &format!("lib/{name}"))?;
    }
    let text = |name: &str, text: &str| fs::write(root.join(name), text);
    text("init", include_str!("init.sh"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    text("checks.sh", include_str!("checks.sh"))?;
    text("public/index.html", "<!doctype html><title>guest</title>\n")?;
    text(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    )?;
    text("etc/group", "root:x:0:\nuser:x:1000:\n")?;
    let file = scratch.join("initial");
    read(
        Command::new("sh")
            .args(["-c", "find . | cpio -o -H newc --quiet > \"$0\""])
            .arg(&file)
            .current_dir(&root),
    )?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_wrong_or_missing_is_told() {
        let right: String = EXPECTED
            .iter()
            .map(|(name, value)| format!("check {name}: {value}\r\n"))
            .collect();
        judge(&right, true).unwrap();
        let wrong = right.replace("check mounts: 0", "check mounts: 3");
        assert!(
            judge(&wrong, true)
                .unwrap_err()
                .to_string()
                .contains("mounts")
        );
        let cut = right.replace("check end: reached", "");
        assert!(judge(&cut, true).unwrap_err().to_string().contains("end"));
        // What serves is asked for only where the kernel lets it.
        let without: String = right
            .lines()
            .filter(|line| !line.contains("check idle"))
            .map(|line| format!("{line}\r\n"))
            .collect();
        judge(&without, false).unwrap();
        assert!(judge(&without, true).is_err());
    }
}
