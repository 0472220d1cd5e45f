//! One build of a project at a time: compilers write to folders of the project's,
//! where what one build has made could be taken for another's, of other features or
//! flags. The folder itself is locked, so that no file is left in it, and the kernel
//! lets the lock go with its holder, however that ends.

use std::path::Path;

use ounce_oci::lock::{Lock, LockError};

use crate::Event;
use crate::compile::CompileError;
use crate::recipe::ProgramSource;

/// What the one who waits is told.
const COMPILING: &str = "building this project";

/// Waits until no other build has the folder that `source` is made in; nobody else has it
/// until the lock is dropped. `None` where nothing is compiled, or where a file system
/// cannot lock a folder.
///
/// # Errors
/// The folder cannot be made or opened.
pub(crate) fn alone(
    source: &ProgramSource,
    on: &mut dyn FnMut(Event),
) -> Result<Option<Lock>, CompileError> {
    let folder: &Path = match source {
        ProgramSource::File(_) | ProgramSource::Httpd(_) => return Ok(None),
        // Cargo's own lock ends before the program is read.
        ProgramSource::Cargo(cargo) => &cargo.workspace_root,
        ProgramSource::Tools(tools) => &tools.work,
        ProgramSource::Python(python) => &python.work,
    };
    let failed = |source| CompileError::Write {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut wait = |holder_pid| {
        on(Event::Waiting {
            doing: COMPILING,
            holder_pid,
        });
    };
    Lock::wait_for_folder(folder, &mut wait).map_err(|error| match error {
        LockError::Io { source, .. } => failed(source),
        LockError::Held { .. } => failed(std::io::ErrorKind::WouldBlock.into()),
    })
}
