//! Keeping the program on the host out of reach of the containers it enters.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

use ounce_linux::seal::execute_sealed;

use super::create::texts;
use super::fault::RuntimeError;

/// Has this program go on from a mount of its own that cannot be written.
/// Without root there is nothing to keep: the program is not its user's to write.
///
/// # Errors
/// The kernel refuses, as one older than 5.12 does.
pub fn seal(
    arguments: impl Iterator<Item = std::ffi::OsString>,
    environment: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Result<(), RuntimeError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // Neither can hold a zero byte: the kernel gave them to us.
    let arguments: Vec<CString> = arguments
        .filter_map(|word| CString::new(word.into_vec()).ok())
        .collect();
    let environment: Vec<CString> = environment
        .filter_map(|(name, value)| {
            let text = [name.into_vec(), value.into_vec()].join(&b'=');
            CString::new(text).ok()
        })
        .collect();
    execute_sealed(&texts(&arguments), &texts(&environment)).map_err(RuntimeError::kernel(
        "executing ounce from a read-only mount",
    ))
}
