//! The place a benchmark runs in: a temporary folder, and as root a process and
//! mount namespace of its own. When the benchmark ends, by itself, by Ctrl-C or
//! by `kill -9`, the kernel ends every daemon, shim and container in there with
//! it and undoes every mount; nothing has to be hunted down.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};

/// Tells the benchmark inside where its folder is.
const FOLDER: &str = "OUNCE_BENCH_STAGE";

/// Cgroup that docker and podman put their containers beneath.
pub(crate) const CGROUP: &str = "/ounce-bench";

/// Descriptors an outer program may have left open are closed, so that 3, the
/// first of `LISTEN_FDS`, is free.
const CLOSE: &str = "3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-";

/// Inside the namespaces. The shell stays as process 1, which reaps the orphans.
/// crun before 1.9 refuses a machine that has both cgroup versions mounted, as
/// "hybrid": the empty second one is unmounted in here, for everybody alike.
const INSIDE: &str = r#"
if [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ] && mountpoint -q /sys/fs/cgroup/unified; then
    umount /sys/fs/cgroup/unified
fi
"$@" "#;

/// Outside: waits, then takes away the folder and the cgroups.
const OUTSIDE: &str = r#"
folder=$1 inside=$2; shift 2
unshare --mount --pid --fork --kill-child --mount-proc sh -c "$inside" sh "$@" &
child=$!
trap 'kill -KILL $child 2>/dev/null' INT TERM HUP
wait $child; code=$?
wait $child 2>/dev/null
# A cgroup stays busy until the last of its processes is reaped.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    find /sys/fs/cgroup -depth -type d -path '*/ounce-bench*' -exec rmdir {} \; 2>/dev/null
    [ -z "$(find /sys/fs/cgroup -type d -name 'ounce-bench*' 2>/dev/null)" ] && break
    sleep 0.1
done
rm -rf "$folder"
exit $code
"#;

/// Enters the stage. As root this starts the benchmark again inside and does not
/// come back; the call inside returns the stage.
pub(crate) fn enter() -> Result<Stage> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Stage::claim(PathBuf::from(folder), true);
    }
    let folder = std::env::temp_dir().join(format!("ounce-bench-{}", std::process::id()));
    fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
    if !rustix::process::geteuid().is_root() {
        return Stage::claim(folder, false);
    }
    let inside = format!("{INSIDE}{CLOSE} &\nwait $!\nexit $?");
    let error = Command::new("sh")
        .args([OsStr::new("-c"), OsStr::new(OUTSIDE), OsStr::new("sh")])
        .arg(&folder)
        .arg(inside)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(FOLDER, &folder)
        .exec();
    Err(error).context("starting sh")
}

/// The folder, and the descriptor through which sockets are handed on.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
    isolated: bool,
    third: OwnedFd,
}

impl Stage {
    fn claim(folder: PathBuf, isolated: bool) -> Result<Stage> {
        let third = OwnedFd::from(File::open("/dev/null")?);
        if third.as_raw_fd() != 3 {
            bail!(
                "descriptor 3, the first of LISTEN_FDS, is taken; start the benchmark by `cargo xtask bench 3>&-`"
            );
        }
        Ok(Stage {
            folder,
            isolated,
            third,
        })
    }

    /// Whether daemons can be started here and are sure to end with it.
    pub(crate) fn is_isolated(&self) -> bool {
        self.isolated
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder beneath it, made if need be.
    pub(crate) fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// A listening socket on a free port of the loopback, laid on descriptor 3 of
    /// the next program started, until the returned guard is dropped.
    pub(crate) fn hand_socket(&mut self) -> Result<Handed<'_>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        rustix::io::dup2(&listener, &mut self.third)?;
        Ok(Handed { stage: self, port })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.isolated {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// While it lives, programs started inherit the socket.
#[derive(Debug)]
pub(crate) struct Handed<'a> {
    stage: &'a mut Stage,
    pub(crate) port: u16,
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        // Without an own copy a program that died refuses connections at once.
        if let Ok(null) = File::open("/dev/null") {
            let _ = rustix::io::dup3(&null, &mut self.stage.third, rustix::io::DupFlags::CLOEXEC);
        }
    }
}

/// A port nobody listens on, below those that the kernel gives to clients: one of
/// theirs may be taken again, by a connection or its remains, before the server
/// binds it. None is given out twice in a row, so that no contender meets the
/// last one's closing connections.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Benchmarks that run side by side begin at different places.
    let start = u16::try_from(std::process::id() % 97).unwrap_or(0) * 100;
    for _ in 0..COUNT {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, FIRST + number)).is_ok() {
            return Ok(FIRST + number);
        }
    }
    bail!("none of {COUNT} ports from {FIRST} on is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_no_two_are_the_same() {
        let (one, other) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(one, other);
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, one)).unwrap();
        assert_eq!(taken.local_addr().unwrap().port(), one);
    }
}
