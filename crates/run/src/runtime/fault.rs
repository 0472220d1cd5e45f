//! Why a command of the runtime face failed. podman, conmon and containerd's
//! shim read these texts: some of the words below are theirs.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use ounce_linux::Errno;

use crate::failure::reason;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The id is taken.
    #[error("container {0:?}: a container with that id already exists")]
    Exists(String),
    /// There is no such container. podman and containerd look for "does not exist".
    #[error("container {0:?} does not exist")]
    Missing(String),
    /// Its program has ended. containerd looks for "container not running".
    #[error("container not running: {0:?} is {1}")]
    NotRunning(String, &'static str),
    /// What was asked for does not go with the state it is in.
    #[error("cannot {action} container {id:?}: it is {status}")]
    Status {
        /// The container.
        id: String,
        /// What was asked for.
        action: &'static str,
        /// What it is.
        status: &'static str,
    },
    /// The id cannot name a folder.
    #[error(
        "invalid container id {0:?}: letters, digits and any of _ + - . are allowed, at most 1024"
    )]
    Id(String),
    /// The bundle asks for what is wrong, or cannot be done here.
    #[error("config.json: {0}")]
    Config(String),
    /// A command line argument is wrong.
    #[error("{0}")]
    Argument(String),
    /// A file could not be read or is wrong.
    #[error("{path}: {source}")]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file or folder.
    #[error("{action} {path}: {}", words(source))]
    File {
        /// What was done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("{action}: {}", reason(*source))]
    Kernel {
        /// What was done.
        action: String,
        /// Why not.
        source: Errno,
    },
    /// A step of the container's first process.
    #[error("{step}: {}", reason(*source))]
    Step {
        /// What it was doing.
        step: String,
        /// Why not.
        source: Errno,
    },
    /// The program is not there, or cannot be executed. podman and docker look
    /// for "executable file not found" and "permission denied".
    #[error("exec: {program:?}: {}", not_executed(program, *source))]
    Execute {
        /// The program.
        program: String,
        /// Why not.
        source: Errno,
    },
    /// A hook.
    #[error("running {kind} hook {path:?}: {problem}")]
    Hook {
        /// Which kind.
        kind: &'static str,
        /// Its program.
        path: String,
        /// What went wrong.
        problem: String,
    },
    /// The process ended while it was being made.
    #[error("the container's first process ended before it was ready: killed, or out of memory")]
    Ended,
}

/// The kernel's words for an error.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => reason(Errno::from_raw_os_error(number)),
        None => error.to_string(),
    }
}

fn not_executed(program: &str, errno: Errno) -> String {
    match errno {
        Errno::NOENT if !program.contains('/') => "executable file not found in $PATH".to_owned(),
        errno => reason(errno),
    }
}

impl RuntimeError {
    /// For `map_err` on something done to a path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// The same for the kernel's numbers.
    pub(crate) fn errno(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::File {
            action,
            path,
            source: errno.into(),
        }
    }

    /// For `map_err` on a call.
    pub(crate) fn kernel(action: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let action = action.into();
        move |source| Self::Kernel { action, source }
    }

    /// The bundle is wrong.
    pub(crate) fn config(problem: impl Into<String>) -> Self {
        Self::Config(problem.into())
    }
}

/// A text for the kernel.
pub fn text(text: impl AsRef<str>) -> Result<CString, RuntimeError> {
    let text = text.as_ref();
    CString::new(text).map_err(|_| RuntimeError::config(format!("{text:?} has a zero byte in it")))
}
