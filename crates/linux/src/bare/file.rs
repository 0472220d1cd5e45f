//! Files and folders.

use core::ffi::CStr;
use linux_raw_sys::general as raw;

use super::{Fd, call1, call2, call3, call4, call6, errno, number};

/// What a path is opened for, as flags of open(2).
pub const OPEN_FILE: u32 =
    // Not to block on a FIFO, and not to become a terminal's owner.
    raw::O_RDONLY | raw::O_NONBLOCK | raw::O_NOCTTY | raw::O_CLOEXEC | raw::O_LARGEFILE;
/// To look beneath it only.
pub const OPEN_FOLDER: u32 = raw::O_PATH | raw::O_DIRECTORY | raw::O_CLOEXEC;
/// A site's folder.
pub const OPEN_SITE: u32 = OPEN_FILE | raw::O_DIRECTORY;

/// What fstat(2) says of a file, in short.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// What it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Its number on its file system.
    pub inode: u64,
    /// When it was last modified, in seconds since 1970, and nanoseconds.
    pub modified: [u64; 2],
    /// When its content or its name last changed.
    pub changed: [u64; 2],
}

impl File {
    /// What is not open.
    pub const NONE: Self = Self {
        kind: FileKind::Other,
        size: 0,
        inode: 0,
        modified: [0; 2],
        changed: [0; 2],
    };
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// All else, and what is not open.
    Other,
    /// A regular file.
    Regular,
    /// A folder.
    Folder,
}

/// close(2) of what is open.
#[inline(never)]
pub fn close(fd: Fd) {
    if fd >= 0 {
        // SAFETY: no pointer is given, and no descriptor here is owned by a type.
        unsafe { call1(raw::__NR_close, number(fd)) };
    }
}

/// open(2), to read.
pub fn open(path: &CStr, flags: u32) -> Fd {
    open_at(raw::AT_FDCWD, path.as_ptr() as usize, flags)
}

/// # Safety-relevant
/// `path` is the address of bytes that end with NUL.
#[inline(never)]
fn open_at(folder: Fd, path: usize, flags: u32) -> Fd {
    // SAFETY: the kernel reads the path up to its NUL, which all callers here
    // have seen to.
    unsafe { call4(raw::__NR_openat, number(folder), path, flags as usize, 0) as Fd }
}

/// Opens a path beneath a folder: neither `..` nor a symbolic link leads out,
/// even if somebody changes the tree meanwhile (openat2(2), RESOLVE_BENEATH).
/// The path must end with its only NUL, else it is EINVAL. Where the kernel does
/// not have the call, as in emulators, no symbolic link is followed at all.
#[inline(always)]
pub fn open_beneath(folder: Fd, path: &mut [u8], flags: u32) -> Fd {
    let [.., 0] = path else {
        return -(errno::EINVAL as Fd);
    };
    // struct open_how
    let how = [
        u64::from(flags),
        0,
        u64::from(raw::RESOLVE_BENEATH | raw::RESOLVE_NO_MAGICLINKS),
    ];
    // While anything on this machine is renamed, the kernel may not know of a
    // link's `..` whether it stays beneath, and says so by EAGAIN.
    let mut tries = TRIES;
    let mut fd = -(errno::EAGAIN as Fd);
    while fd == -(errno::EAGAIN as Fd) && tries > 0 {
        tries -= 1;
        // SAFETY: the path ends with NUL; `how` is a live open_how of 24 bytes.
        fd = unsafe {
            call4(
                raw::__NR_openat2,
                number(folder),
                path.as_ptr() as usize,
                &raw const how as usize,
                24,
            ) as Fd
        };
    }
    if fd == -(errno::ENOSYS as Fd) {
        return walk(folder, path, flags);
    }
    fd
}

/// How often opening is tried while others rename.
const TRIES: u32 = 100;

/// Segment by segment, each neither a symbolic link nor `..`. The path still ends
/// with NUL.
#[cold]
fn walk(root: Fd, mut path: &mut [u8], flags: u32) -> Fd {
    let mut folder = root;
    loop {
        let slash = path.iter().position(|&byte| byte == b'/');
        let mut flags = flags;
        if let Some(slash) = slash {
            put(path, slash, 0);
            flags = OPEN_FOLDER;
        }
        // A name may begin so as well, and is not worth the difference.
        let mut next = -(errno::EXDEV as Fd);
        if !path.starts_with(b"..") {
            next = open_at(folder, path.as_ptr() as usize, flags | raw::O_NOFOLLOW);
        }
        if folder != root {
            close(folder);
        }
        let Some(slash) = slash else {
            return next;
        };
        put(path, slash, b'/');
        if next < 0 {
            return next;
        }
        folder = next;
        path = path.get_mut(slash + 1..).unwrap_or_default();
    }
}

fn put(path: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = path.get_mut(at) {
        *place = byte;
    }
}

/// fstat(2) of what is open; what is not is [`FileKind::Other`], and no more is
/// said of it.
#[inline(never)]
#[allow(clippy::unnecessary_cast, reason = "some are signed on AArch64")]
pub fn look(fd: Fd, file: &mut File) {
    file.kind = FileKind::Other;
    if fd < 0 {
        return;
    }
    let mut stat = core::mem::MaybeUninit::<raw::stat>::zeroed();
    // SAFETY: the kernel writes one struct stat at most, and `stat` is one.
    unsafe { call2(raw::__NR_fstat, number(fd), stat.as_mut_ptr() as usize) };
    // SAFETY: a struct stat is integers only, and all its bytes were zeroed.
    let stat = unsafe { stat.assume_init() };
    *file = File {
        kind: match stat.st_mode & raw::S_IFMT {
            raw::S_IFREG => FileKind::Regular,
            raw::S_IFDIR => FileKind::Folder,
            _ => FileKind::Other,
        },
        size: stat.st_size as u64,
        inode: stat.st_ino,
        modified: [stat.st_mtime as u64, stat.st_mtime_nsec as u64],
        changed: [stat.st_ctime as u64, stat.st_ctime_nsec as u64],
    };
}

/// read(2).
pub fn read(fd: Fd, buffer: &mut [u8]) -> isize {
    // SAFETY: the kernel writes no more than the slice takes.
    unsafe {
        call3(
            raw::__NR_read,
            number(fd),
            buffer.as_mut_ptr() as usize,
            buffer.len(),
        )
    }
}

/// pread(2).
pub fn read_at(fd: Fd, buffer: &mut [u8], offset: u64) -> isize {
    // SAFETY: as for `read`.
    unsafe {
        call4(
            raw::__NR_pread64,
            number(fd),
            buffer.as_mut_ptr() as usize,
            buffer.len(),
            offset as usize,
        )
    }
}

/// Moves to a place in a file (lseek(2)).
pub fn seek(fd: Fd, offset: u64) {
    // SAFETY: no pointer is given; 0 is SEEK_SET.
    unsafe { call3(raw::__NR_lseek, number(fd), offset as usize, 0) };
}

/// write(2).
#[inline(never)]
pub fn write(fd: Fd, bytes: &[u8]) -> isize {
    // SAFETY: the kernel reads the slice only.
    unsafe {
        call3(
            raw::__NR_write,
            number(fd),
            bytes.as_ptr() as usize,
            bytes.len(),
        )
    }
}

/// The next entries of a folder, as `struct linux_dirent64` (getdents(2)).
#[inline(never)]
pub fn entries(fd: Fd, buffer: &mut [u8]) -> isize {
    // SAFETY: as for `read`.
    unsafe {
        call3(
            raw::__NR_getdents64,
            number(fd),
            buffer.as_mut_ptr() as usize,
            buffer.len(),
        )
    }
}

/// sendfile(2) of `count` bytes from `offset`, which moves on; without one,
/// from where the file itself stands.
pub fn send_file(socket: Fd, file: Fd, offset: Option<&mut u64>, count: usize) -> isize {
    let offset = offset.map_or(0, |offset| &raw mut *offset as usize);
    // SAFETY: the offset is a live 64-bit number or null.
    unsafe {
        call4(
            raw::__NR_sendfile,
            number(socket),
            number(file),
            offset,
            count,
        )
    }
}

/// How long a file is (lseek(2)), which then stands at its end. Whatever it is of
/// a folder, and of what is not open, nothing can be mapped by it.
pub fn length(fd: Fd) -> usize {
    // SAFETY: no pointer is given; 2 is SEEK_END.
    unsafe { call3(raw::__NR_lseek, number(fd), 0, 2) as usize }
}

/// Maps a whole file to read, for as long as the program runs; empty where that
/// fails. The file must stay as it is: it is content of an image, and where one
/// is cut short its reader dies by SIGBUS.
pub fn map(fd: Fd, length: usize) -> &'static [u8] {
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let start = unsafe {
        call6(
            raw::__NR_mmap,
            0,
            length,
            raw::PROT_READ as usize,
            raw::MAP_SHARED as usize,
            number(fd),
            0,
        )
    };
    if start < 0 {
        return &[];
    }
    // SAFETY: so many bytes are mapped there, readable, for good.
    unsafe { core::slice::from_raw_parts(start as *const u8, length) }
}

/// So many bytes of new memory, all zeros, for as long as the program runs; each
/// page is there from when it is first written to. Empty where there is none.
pub fn memory(length: usize) -> &'static mut [u8] {
    const RIGHTS: u32 = raw::PROT_READ | raw::PROT_WRITE;
    const MANNER: u32 = raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE;
    // SAFETY: a new mapping of no file, at an address that the kernel chooses.
    let start = unsafe {
        call6(
            raw::__NR_mmap,
            0,
            length,
            RIGHTS as usize,
            MANNER as usize,
            usize::MAX,
            0,
        )
    };
    if start < 0 {
        return &mut [];
    }
    // SAFETY: so many bytes are mapped there, readable and writable, for good, and
    // nothing else refers to them.
    unsafe { core::slice::from_raw_parts_mut(start as *mut u8, length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::PathBuf;

    /// A folder with a file, a link to it and a link out, gone at the end.
    struct Tree(PathBuf, Fd);

    impl Tree {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir();
            let folder = folder.join(std::format!("ounce-bare-{}-{name}", std::process::id()));
            fs::create_dir_all(folder.join("root/sub")).unwrap();
            fs::write(folder.join("secret"), "secret").unwrap();
            fs::write(folder.join("root/sub/file"), "file").unwrap();
            for (to, name) in [("sub/file", "inside"), ("../secret", "out"), ("sub", "way")] {
                std::os::unix::fs::symlink(to, folder.join("root").join(name)).unwrap();
            }
            let path = CString::new(folder.join("root").as_os_str().as_bytes()).unwrap();
            let root = open(&path, OPEN_FOLDER);
            assert!(root >= 0);
            Self(folder, root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            close(self.1);
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn content(fd: Fd) -> Result<std::string::String, u32> {
        if fd < 0 {
            return Err(fd.unsigned_abs());
        }
        let mut buffer = [0; 16];
        let length = read_at(fd, &mut buffer, 0);
        close(fd);
        Ok(std::string::String::from_utf8_lossy(&buffer[..length as usize]).into_owned())
    }

    #[test]
    fn nothing_is_opened_outside_the_folder() {
        let tree = Tree::new("beneath");
        let ask = |path: &[u8]| content(open_beneath(tree.1, &mut path.to_vec(), OPEN_FILE));
        assert_eq!(ask(b"sub/file\0").as_deref(), Ok("file"));
        assert_eq!(ask(b"inside\0").as_deref(), Ok("file"));
        assert_eq!(ask(b"way/file\0").as_deref(), Ok("file"));
        assert_eq!(ask(b"out\0"), Err(errno::EXDEV));
        assert_eq!(ask(b"../secret\0"), Err(errno::EXDEV));
        assert_eq!(ask(b"sub/nothing\0"), Err(errno::ENOENT));
        assert_eq!(ask(b"sub/file"), Err(errno::EINVAL));
        assert_eq!(ask(b""), Err(errno::EINVAL));
    }

    #[test]
    fn without_openat2_no_link_is_followed_and_the_path_stays_as_it_was() {
        let tree = Tree::new("walk");
        for (path, expected) in [
            (&b"sub/file\0"[..], Ok("file")),
            (b"inside\0", Err(errno::ELOOP)),
            (b"way/file\0", Err(errno::ENOTDIR)),
            (b"out\0", Err(errno::ELOOP)),
            (b"../secret\0", Err(errno::EXDEV)),
            (b"sub/../../secret\0", Err(errno::EXDEV)),
            (b"sub/file/x\0", Err(errno::ENOTDIR)),
        ] {
            let mut bytes = path.to_vec();
            let found = content(walk(tree.1, &mut bytes, OPEN_FILE));
            assert_eq!(found.as_deref().map_err(|error| *error), expected);
            if expected.is_ok() {
                assert_eq!(bytes, path);
            }
        }
    }

    #[test]
    fn facts_are_those_of_the_standard_library() {
        use std::os::unix::fs::MetadataExt as _;
        let own = fs::File::open("/proc/self/exe").unwrap();
        let facts = own.metadata().unwrap();
        let mut found = File::NONE;
        look(std::os::fd::AsRawFd::as_raw_fd(&own), &mut found);
        assert_eq!(found.kind, FileKind::Regular);
        assert_eq!((found.size, found.inode), (facts.len(), facts.ino()));
        assert_eq!(found.modified[0], facts.mtime() as u64);
        look(-1, &mut found);
        assert_eq!(found.kind, FileKind::Other);
    }
}
