//! What is wrong with a container that has a name, or with what was asked of it.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::NO_MEMORY;

/// What is wrong with the folder of a container.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No name.
    #[error(
        "{0:?} is no name for a container: letters, digits and any of _ . - are allowed, at most 128, the first a letter or digit"
    )]
    Name(String),
    /// The name is taken.
    #[error("the name {0:?} is taken by another container")]
    Taken(String),
    /// There is none.
    #[error("there is no container {0:?}")]
    Missing(String),
    /// It runs, and must not.
    #[error("container {0:?} is running")]
    Alive(String),
    /// It does not run, and must.
    #[error("container {0:?} is not running: it is {1}")]
    NotRunning(String, &'static str),
    /// A file of it is not as ounce writes it.
    #[error("the state of container {name:?} is damaged: {}: {reason}", path.display())]
    Damaged {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It does not end.
    #[error("container {0:?} does not end")]
    Stuck(String),
    /// A file or folder.
    #[error("{action} {}", path.display())]
    File {
        /// What was done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StateError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Taken(name) => Some(format!(
                "choose another --name, or remove that one: ounce rm {name}"
            )),
            Self::Missing(_) => Some("`ounce ps -a` lists what there is".to_owned()),
            Self::Alive(name) => Some(format!(
                "stop it before: ounce stop {name}; or remove it all the same: ounce rm -f {name}"
            )),
            Self::NotRunning(name, _) => Some(format!("see why: ounce logs {name}")),
            Self::Damaged { name, .. } => Some(format!(
                "remove it, and end what may still run of it: ounce rm -f {name}"
            )),
            Self::Stuck(_) => {
                Some("it waits in the kernel: see its state in /proc/PID/stat".to_owned())
            }
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
                    "the runtime directory is full: free some space, or use another one by \
                     OUNCE_RUNTIME_DIR"
                        .to_owned(),
                ),
                io::ErrorKind::OutOfMemory => Some(NO_MEMORY.to_owned()),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("set XDG_RUNTIME_DIR or OUNCE_RUNTIME_DIR to a folder of yours".to_owned())
                }
                _ => None,
            },
            Self::Name(_) => None,
        }
    }

    pub(super) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
