//! Files that are written for a user: whole or not at all.
//!
//! What is no plain file (a pipe, a terminal, `/dev/stdout`) is written to as it
//! stands; to put a file in its place would break it for everybody. A link is
//! followed: its target is what is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::blobs::BlobError;
use crate::sink::Scratch;

/// A file that takes its name when it is [published](Output::publish); dropped
/// before, nothing is left of it.
pub struct Output {
    asked: PathBuf,
    way: Way,
}

enum Way {
    /// A temporary file beside the one it will replace.
    Replace(Box<Scratch>, PathBuf),
    Stream(File),
}

impl Output {
    /// Begins to write.
    ///
    /// # Errors
    /// A folder is in its place, or nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, BlobError> {
        let fault = |source| BlobError::Write {
            path: path.to_owned(),
            source,
        };
        let target = followed(path).map_err(fault)?;
        let way = match fs::metadata(&target) {
            Ok(data) if data.is_dir() => return Err(fault(io::ErrorKind::IsADirectory.into())),
            Ok(data) if !data.is_file() => Way::Stream(
                OpenOptions::new()
                    .write(true)
                    .open(&target)
                    .map_err(fault)?,
            ),
            _ => {
                let folder = match target.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                // The user knows the file, not the temporary one.
                let scratch = Scratch::new(folder).map_err(|error| match error {
                    BlobError::Write { source, .. } => fault(source),
                    other => other,
                })?;
                Way::Replace(Box::new(scratch), target)
            }
        };
        Ok(Self {
            asked: path.to_owned(),
            way,
        })
    }

    /// Puts it in place, on the disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn publish(self) -> Result<(), BlobError> {
        match self.way {
            Way::Replace(scratch, target) => scratch.publish(&target),
            Way::Stream(mut file) => file.flush().map_err(|source| BlobError::Write {
                path: self.asked,
                source,
            }),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Replace(scratch, _) => scratch.file().write(bytes),
            Way::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where links lead, be there anything or not.
fn followed(path: &Path) -> io::Result<PathBuf> {
    // As many as the kernel follows (man 7 path_resolution).
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            // Links of /proc have texts that lead nowhere; the path itself does.
            Ok(_) if path.starts_with("/proc") => return Ok(path),
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(
        rustix::io::Errno::LOOP.raw_os_error(),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    fn write(path: &Path) -> Result<(), BlobError> {
        let mut output = Output::create(path)?;
        output.write_all(b"text").unwrap();
        output.publish()
    }

    #[test]
    fn file_is_replaced_when_it_is_published_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }

    #[test]
    fn link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("target", &link).unwrap();
        for _ in 0..2 {
            write(&link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new("target"));
            assert_eq!(fs::read(folder.path().join("target")).unwrap(), b"text");
        }
        let looping = folder.path().join("loop");
        std::os::unix::fs::symlink("loop", &looping).unwrap();
        write(&looping).unwrap_err();
    }

    #[test]
    fn what_is_no_file_is_written_to_and_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let (mode, kind) = (0o600.into(), rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe).unwrap();
        assert_eq!(reader.join().unwrap(), b"text");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        write(Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        write(folder.path()).unwrap_err();
    }

    #[test]
    fn descriptor_by_its_link_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let link = folder.path().join("stdout");
        std::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
        write(&link).unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "text");
    }
}
