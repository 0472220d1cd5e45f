//! Finding and making paths within a root that belongs to somebody else: no
//! link of it, however hostile, leads out.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat};
use rustix::io::Errno;

use crate::{mount, resolve};

/// What a path is to be, where it has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// An empty file.
    File,
    /// Nothing is made.
    Nothing,
}

/// The longest path (PATH_MAX).
const LONGEST: usize = 4096;
/// As many links are followed as the kernel would.
const MOST_LINKS: usize = 40;

/// Opens a path of `root` that is no link itself.
pub(super) fn plain(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    resolve::open(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    )
}

/// Opens `path` within `root`, made with all folders above it where it is not there.
pub(super) fn make(root: BorrowedFd<'_>, path: &CStr, kind: Kind) -> Result<OwnedFd, Errno> {
    match mount::inside(root, path, OFlags::empty()) {
        Err(Errno::NOENT) if kind != Kind::Nothing => {}
        other => return other,
    }
    let mut way = Way::new(path.to_bytes())?;
    let mut links = 0;
    'again: loop {
        let mut folder = mount::inside(root, c".", OFlags::DIRECTORY)?;
        let mut from = 0;
        while let Some((begin, end)) = way.part(from) {
            let last = way.part(end).is_none();
            let step =
                way.with_prefix(end, |prefix| mount::inside(root, prefix, OFlags::empty()))?;
            folder = match step {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    let made = way.with_part(begin, end, |name| {
                        if last && kind == Kind::File {
                            let mode = Mode::from_raw_mode(0o644);
                            mknodat(&folder, name, FileType::RegularFile, mode, 0)
                        } else {
                            mkdirat(&folder, name, Mode::from_raw_mode(0o755))
                        }
                    })?;
                    match made {
                        Ok(()) => {}
                        Err(Errno::EXIST) => {
                            // A link that leads nowhere yet: its target is made.
                            links += 1;
                            if links > MOST_LINKS {
                                return Err(Errno::LOOP);
                            }
                            way.follow(folder.as_fd(), begin, end)?;
                            continue 'again;
                        }
                        Err(errno) => return Err(errno),
                    }
                    way.with_prefix(end, |prefix| mount::inside(root, prefix, OFlags::empty()))??
                }
                Err(errno) => return Err(errno),
            };
            from = end;
        }
        return Ok(folder);
    }
}

/// The folder that `path` lies in, made where it is not there, and its last part.
pub(super) fn parent<'p>(
    root: BorrowedFd<'_>,
    path: &'p CStr,
) -> Result<(OwnedFd, &'p CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let Some(slash) = bytes.iter().rposition(|byte| *byte == b'/') else {
        return Ok((mount::inside(root, c".", OFlags::DIRECTORY)?, path));
    };
    let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).map_err(|_| Errno::INVAL)?;
    if name.is_empty() || name == c"." || name == c".." {
        return Err(Errno::INVAL);
    }
    let way = Way::new(&bytes[..slash])?;
    let folder = match way.length {
        0 => mount::inside(root, c".", OFlags::DIRECTORY)?,
        end => way.with_prefix(end, |prefix| make(root, prefix, Kind::Folder))??,
    };
    Ok((folder, name))
}

/// A path that can be cut and changed without memory of its own.
struct Way {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Way {
    fn new(path: &[u8]) -> Result<Self, Errno> {
        let mut bytes = [0; LONGEST];
        bytes
            .get_mut(..path.len())
            .filter(|room| room.len() < LONGEST)
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(path);
        Ok(Self {
            bytes,
            length: path.len(),
        })
    }

    /// The next part from `from` on.
    fn part(&self, from: usize) -> Option<(usize, usize)> {
        let rest = self.bytes.get(from..self.length)?;
        let begin = from + rest.iter().position(|byte| *byte != b'/')?;
        let rest = self.bytes.get(begin..self.length)?;
        let length = rest.iter().position(|byte| *byte == b'/');
        Some((begin, length.map_or(self.length, |length| begin + length)))
    }

    fn with_prefix<T>(&self, end: usize, use_it: impl FnOnce(&CStr) -> T) -> Result<T, Errno> {
        self.with_part(0, end, use_it)
    }

    fn with_part<T>(
        &self,
        begin: usize,
        end: usize,
        use_it: impl FnOnce(&CStr) -> T,
    ) -> Result<T, Errno> {
        let part = self.bytes.get(begin..end).ok_or(Errno::INVAL)?;
        let mut bytes = [0; LONGEST];
        bytes
            .get_mut(..part.len())
            .filter(|room| room.len() < LONGEST)
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(part);
        let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| Errno::NAMETOOLONG)?;
        Ok(use_it(text))
    }

    /// Puts what the link between `begin` and `end` says in its place.
    fn follow(&mut self, folder: BorrowedFd<'_>, begin: usize, end: usize) -> Result<(), Errno> {
        let mut target = [core::mem::MaybeUninit::uninit(); LONGEST];
        let said = self.with_part(begin, end, |name| {
            rustix::fs::readlinkat_raw(folder, name, &mut target[..]).map(|(said, _)| said.len())
        })??;
        let mut new = [0; LONGEST];
        // A link that begins with a slash begins at the root again.
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            let room = new
                .get_mut(at..at + bytes.len())
                .ok_or(Errno::NAMETOOLONG)?;
            room.copy_from_slice(bytes);
            at += bytes.len();
            Ok::<_, Errno>(())
        };
        let mut text = [0; LONGEST];
        for (to, from) in text.iter_mut().zip(&target[..said]) {
            // SAFETY: readlinkat has written the first `said` bytes.
            *to = unsafe { from.assume_init() };
        }
        let text = &text[..said];
        if text.first() != Some(&b'/') {
            put(self.bytes.get(..begin).ok_or(Errno::INVAL)?)?;
        }
        put(text)?;
        put(self.bytes.get(end..self.length).ok_or(Errno::INVAL)?)?;
        *self = Self::new(&new[..at])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use std::{env, format, fs, process};

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("ounce-place-{name}-{}", process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn make(&self, path: &str, kind: Kind) -> Result<(), Errno> {
            let root = self.open();
            let path = CString::new(path).unwrap();
            make(root.as_fd(), &path, kind).map(drop)
        }

        fn open(&self) -> OwnedFd {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            rustix::fs::open(self.0.to_str().unwrap(), flags, Mode::empty()).unwrap()
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn folders_are_made_down_to_a_file() {
        let root = Root::new("down");
        root.make("/a/b//c", Kind::File).unwrap();
        assert!(root.at("a/b/c").is_file());
        root.make("a/b/d/", Kind::Folder).unwrap();
        assert!(root.at("a/b/d").is_dir());
        assert_eq!(root.make("/x", Kind::Nothing), Err(Errno::NOENT));
    }

    #[test]
    fn links_that_lead_out_stay_inside() {
        let root = Root::new("out");
        let outside = Root::new("outside");
        symlink(outside.0.as_os_str(), root.at("absolute")).unwrap();
        symlink(
            "../../../../../../../../tmp/ounce-nowhere",
            root.at("relative"),
        )
        .unwrap();
        root.make("/absolute/x", Kind::Folder).unwrap();
        root.make("/relative", Kind::File).unwrap();
        assert!(fs::read_dir(&outside.0).unwrap().next().is_none());
        assert!(!Path::new("/tmp/ounce-nowhere").exists());
        assert!(root.at("tmp/ounce-nowhere").is_file());
        let name = Path::new(outside.0.as_os_str()).strip_prefix("/").unwrap();
        assert!(root.0.join(name).join("x").is_dir());
    }

    #[test]
    fn links_in_a_circle_end_in_an_error() {
        let root = Root::new("circle");
        symlink("b", root.at("a")).unwrap();
        symlink("a", root.at("b")).unwrap();
        assert_eq!(root.make("/a/c", Kind::Folder), Err(Errno::LOOP));
    }

    #[test]
    fn the_parent_of_a_path_is_made() {
        let root = Root::new("parent");
        let file = root.open();
        let (_, name) = parent(file.as_fd(), c"/dev/net/tun").unwrap();
        assert_eq!(name, c"tun");
        assert!(root.at("dev/net").is_dir());
        assert_eq!(parent(file.as_fd(), c"/dev/..").err(), Some(Errno::INVAL));
    }
}
