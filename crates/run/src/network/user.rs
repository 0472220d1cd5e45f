//! A way out without root: `pasta`, else `slirp4netns`, in the container's user
//! and network namespaces.
//!
//! Neither of them ends with the container. So they are started by way of
//! `ounce beside`, which has the kernel end them with the process that watches
//! the container, and then executes them in its own place.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::{Connection, NetworkError, find, memory_file, said_in};

/// The hidden subcommand under which the command line calls [`main`].
pub const SUBCOMMAND: &str = "beside";

/// The whole of `ounce beside PARENT PROGRAM ARGS...`: executes the program, to
/// be killed when the parent ends.
///
/// # Errors
/// It was called by hand, or the program cannot be executed.
pub fn main(mut words: impl Iterator<Item = OsString>) -> std::io::Result<Infallible> {
    let wrong = || std::io::Error::other("`ounce beside` is for `ounce run` to call");
    let parent = words.next().and_then(|word| word.into_string().ok());
    let program = words.next().ok_or_else(wrong)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // One that ended before that was set sends none.
    let own = getppid().map(|parent| parent.as_raw_nonzero().to_string());
    if parent.is_none() || own != parent {
        return Err(wrong());
    }
    Err(Command::new(program).args(words).exec())
}

/// Starts the first tool that there is, and waits until the network is up.
pub(super) fn connect(pid: i32) -> Result<Connection, NetworkError> {
    let pid = pid.to_string();
    // Ready when they write to the file that is their standard input.
    let pasta = [
        "--foreground",
        "--config-net",
        "--quiet",
        // Else the gateway's address is this machine's own loopback.
        "--no-map-gw",
        "--pid",
        "/dev/fd/0",
        "--tcp-ports",
        "none",
        "--udp-ports",
        "none",
        "--tcp-ns",
        "none",
        "--udp-ns",
        "none",
        &pid,
    ];
    let slirp = [
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        "--ready-fd=0",
        &pid,
        "tap0",
    ];
    let (tool, program, words) = match (find("pasta"), find("slirp4netns")) {
        (Some(path), _) => ("pasta", path, &pasta[..]),
        (None, Some(path)) => ("slirp4netns", path, &slirp[..]),
        (None, None) => return Err(NetworkError::Missing("pasta or slirp4netns")),
    };
    let failed = |source| NetworkError::Start { tool, source };
    let (ready, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut said = memory_file().map_err(failed)?;
    let ounce = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(ounce)
        .arg(SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg(program)
        .args(words)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::from(said.try_clone().map_err(failed)?))
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut byte = [0];
    match File::from(ready).read(&mut byte) {
        Ok(1) => Ok(Connection {
            helper: Some(child),
            address: None,
        }),
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            let said = said_in(&mut said);
            Err(NetworkError::Tool { tool, said })
        }
    }
}
