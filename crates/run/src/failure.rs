//! Why a container did not start, and what can be done about it.

use std::io;
use std::path::PathBuf;

use ounce_linux::Errno;

use crate::network::NetworkError;
use crate::plan::PlanError;

/// A container did not start. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is wanted cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The process could not be made.
    #[error("making a process in new namespaces: {}", reason(*source))]
    Clone {
        /// The kernel's reason.
        source: Errno,
    },
    /// A file or folder of the host could not be used.
    #[error("mounting {}: {}", path.display(), reason(*source))]
    Host {
        /// It.
        path: PathBuf,
        /// The kernel's reason.
        source: Errno,
    },
    /// Users could not be mapped.
    #[error("writing {file} of the new process: {source}")]
    Users {
        /// `uid_map`, `gid_map` or `setgroups`.
        file: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A control group could not be made or filled.
    #[error("setting a limit by {}: {source}", path.display())]
    Group {
        /// The file or folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The container has no way out to the network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A step of the child failed.
    #[error("{step}: {}", reason(*source))]
    Step {
        /// What it was doing.
        step: String,
        /// The kernel's reason.
        source: Errno,
        /// What can be done about it.
        hint: Option<String>,
    },
    /// The program could not be executed.
    #[error("executing {program}: {}", reason(*source))]
    Execute {
        /// The program.
        program: String,
        /// The kernel's reason.
        source: Errno,
    },
    /// The image's list of system calls is too scattered for one filter.
    #[error("the image's list of system calls has too many gaps for one filter")]
    Calls,
    /// The system call table gave no filter, or the launch was malformed: a bug of ours.
    #[error("{0}")]
    Internal(&'static str),
}

/// What to do where there is no memory.
pub const NO_MEMORY: &str =
    "free some memory, or give ounce's own control group or limit (ulimit -v) more";

/// The kernel's words for an error, lower case.
pub(crate) fn reason(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}

impl StartError {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        if self.lacks_memory() {
            return Some(NO_MEMORY.to_owned());
        }
        let hint = match self {
            Self::Plan(PlanError::Limit(_)) => {
                "leave the limit out, run as root, or run within a delegated control group: \
                 systemd-run --user --scope -p Delegate=yes ounce …"
            }
            Self::Plan(PlanError::NoProgram) => {
                "the image names neither an entrypoint nor a command: write one after `--`"
            }
            Self::Plan(PlanError::Memory(_)) => {
                "leave some room: a static program of some 20 KB starts in 1MB"
            }
            Self::Plan(_) => return None,
            Self::Clone { source } => match *source {
                Errno::PERM | Errno::NOSPC | Errno::USERS => {
                    "this kernel allows no user namespaces: see `sysctl user.max_user_namespaces \
                     kernel.apparmor_restrict_unprivileged_userns`, or run as root"
                }
                Errno::AGAIN => "too many processes",
                Errno::INVAL | Errno::NOSYS => "Linux 5.12 or newer is needed",
                _ => return None,
            },
            Self::Network(error) => error.hint()?,
            Self::Host { .. } => "check the path and its permissions",
            Self::Users { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "/proc is not mounted, and ounce needs it: mount -t proc proc /proc"
            }
            Self::Users { .. } => {
                "another user namespace may stand between: run outside of other containers"
            }
            Self::Group { .. } => "leave the limit out, or check what the file accepts",
            Self::Execute { program, source } => match *source {
                Errno::NOENT => {
                    return Some(format!(
                        "there is no {program} in the image, or its interpreter (ld.so, or of \
                         `#!`) is missing: ounce weigh shows what is in it"
                    ));
                }
                Errno::ACCESS => "the file, or a folder above it, is not executable for the user",
                Errno::NOEXEC => "it is not a program, or one for another architecture",
                Errno::LOOP => "a link of /proc is no program: name the program itself",
                _ => return None,
            },
            Self::Step { hint, .. } => return hint.clone(),
            Self::Calls => {
                "leave the annotation out, or list the neighbours of what is listed, too"
            }
            Self::Internal(_) => "this is a bug of ounce: please report it",
        };
        Some(hint.to_owned())
    }

    /// Whether the kernel had no memory for it, in whatever step.
    fn lacks_memory(&self) -> bool {
        match self {
            Self::Clone { source }
            | Self::Host { source, .. }
            | Self::Step { source, .. }
            | Self::Execute { source, .. } => *source == Errno::NOMEM,
            Self::Users { source, .. } | Self::Group { source, .. } => {
                source.kind() == io::ErrorKind::OutOfMemory
            }
            _ => false,
        }
    }

    /// What `run` exits with, as docker does: 127 for no such program, 126 for
    /// one that cannot be executed, 125 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Execute { source, .. } if *source == Errno::NOENT => 127,
            Self::Execute { .. } => 126,
            _ => 125,
        }
    }
}
