//! `ounce debug`: a shell with tools at a container that has none.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use ounce_oci::Platform;
use ounce_rootfs::elf::ElfFacts;
use ounce_rootfs::unpack;
use ounce_run::containers::debug::{Session, Tools};
use ounce_run::runtime::seal;

use super::Context;
use crate::arguments::containers::DebugArguments;
use crate::failure::{Failure, Kind};

/// Runs it and passes the shell's exit code on.
pub(crate) fn run(context: &Context, arguments: &DebugArguments) -> Result<ExitCode, Failure> {
    // A process of ours is in the container's namespaces for a moment.
    seal::seal(std::env::args_os(), std::env::vars_os())
        .map_err(|error| Failure::new(Kind::Start, error))?;
    let mut held = None;
    let tools = match &arguments.image {
        Some(place) => {
            let platform = Platform::host();
            let image = context.image(place, &platform)?;
            let unpacked = held.insert(unpack::hold(&context.unpacked()?, &image)?);
            Tools::Root(unpacked.root.clone())
        }
        None => busybox()?,
    };
    let command = match arguments.command.is_empty() {
        true => vec!["sh".to_owned()],
        false => arguments.command.clone(),
    };
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    let session = Session {
        tools,
        command,
        terminal: io::stdin().is_terminal() && io::stdout().is_terminal(),
        environment: vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            format!("TERM={term}"),
            "HOME=/tmp".to_owned(),
            "PS1=debug:\\w# ".to_owned(),
        ],
    };
    if session.terminal {
        context.output.note(&format!(
            "its files are at /target, its processes in /proc: the container {} itself is as it was",
            arguments.name
        ));
    }
    let code = context.containers().debug(&arguments.name, &session);
    drop(held);
    Ok(ExitCode::from(code?))
}

/// A static busybox of this machine.
fn busybox() -> Result<Tools, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/bin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(usual);
    let mut found = folders
        .map(|folder| folder.join("busybox"))
        .filter(|program| is_static(program));
    let Some(program) = found.next().and_then(|path| path.canonicalize().ok()) else {
        return Err(Failure::new(
            Kind::Start,
            "no tools: there is no static busybox along PATH",
        )
        .hint("install one (Debian: apt-get install busybox-static), or bring an image that has a shell: --image NAME"));
    };
    let listed = Command::new(&program)
        .arg("--list")
        .output()
        .map_err(|error| Failure::new(Kind::Host, error))?;
    let names = String::from_utf8_lossy(&listed.stdout);
    let names = names.lines().map(str::to_owned).collect();
    Ok(Tools::Busybox(program, names))
}

/// Whether the kernel can run it with nothing else there.
fn is_static(program: &Path) -> bool {
    let bytes = fs::read(program).ok();
    let facts = bytes.and_then(|bytes| ElfFacts::read(&bytes).ok());
    facts.is_some_and(|facts| facts.kind.runs_alone())
}
