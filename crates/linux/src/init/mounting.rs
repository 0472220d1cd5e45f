//! Mounts as a bundle asks for them: any type, any option, any propagation.

use core::ffi::CStr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, Uid, chownat, fstat, mkdirat, mknodat,
    openat, readlinkat_raw, statat, symlinkat,
};
use rustix::io::{Errno, read, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::{Attributes, Mount, Source};
use crate::mount;
use crate::syscall::call;

/// `MOUNT_ATTR_RDONLY`.
pub const READ_ONLY: u64 = raw::MOUNT_ATTR_RDONLY as u64;
/// `MOUNT_ATTR_IDMAP`.
pub const ID_MAPPED: u64 = raw::MOUNT_ATTR_IDMAP as u64;

/// Copies the mounts at a path, detached and as they are.
///
/// # Errors
/// As open_tree(2) says.
pub fn copy_tree(path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    mount::copy(CWD, path, recursive)
}

/// Changes a mount, or with `recursive` all of a tree: attributes, propagation
/// (`MS_*`, 0 to leave it) and the mapping of its owners.
///
/// # Errors
/// As mount_setattr(2) says.
pub fn set_attributes(
    tree: BorrowedFd<'_>,
    attributes: Attributes,
    propagation: u64,
    id_map: Option<BorrowedFd<'_>>,
    recursive: bool,
) -> Result<(), Errno> {
    let set = raw::mount_attr {
        attr_set: attributes.set | if id_map.is_some() { ID_MAPPED } else { 0 },
        attr_clr: attributes.clear,
        propagation,
        userns_fd: id_map.map_or(0, |file| file.as_raw_fd() as u64),
    };
    mount::change(tree, &set, recursive)
}

/// mount(2) in its old form, for what the new one cannot say.
pub(super) fn old_mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: u64,
    data: &CStr,
) -> Result<(), Errno> {
    // SAFETY: five C strings that outlive the call, or flags.
    unsafe {
        call(
            raw::__NR_mount,
            [
                source.as_ptr() as usize,
                target.as_ptr() as usize,
                kind.as_ptr() as usize,
                flags as usize,
                data.as_ptr() as usize,
                0,
            ],
        )
    }
    .map(drop)
}

/// The tree that a source stands for, detached.
pub(super) fn tree<P: AsRef<CStr>>(
    source: &Source<P>,
    attributes: Attributes,
    files: &[OwnedFd],
) -> Result<OwnedFd, Errno> {
    match source {
        Source::New {
            kind,
            source,
            options,
        } => create(kind.as_ref(), source.as_ref(), options.as_ref(), attributes),
        Source::Path { path, recursive } => copy_tree(path.as_ref(), *recursive),
        Source::Ready(index) => {
            let file = files.get(*index).ok_or(Errno::BADF)?;
            rustix::io::fcntl_dupfd_cloexec(file, 3)
        }
    }
}

/// A new file system; its options are those of the last argument of mount(2).
fn create(
    kind: &CStr,
    source: &CStr,
    options: &CStr,
    attributes: Attributes,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if !source.is_empty() {
        fsconfig_set_string(context.as_fd(), c"source", source)?;
    }
    for option in options.to_bytes().split(|byte| *byte == b',') {
        if option.is_empty() {
            continue;
        }
        let mut split = option.splitn(2, |byte| *byte == b'=');
        let (key, value) = (split.next().unwrap_or_default(), split.next());
        let mut name = [0; 64];
        let name = terminated(key, &mut name)?;
        match value {
            None => fsconfig_set_flag(context.as_fd(), name)?,
            Some(value) => {
                // The kernel takes no more than 255 bytes.
                let mut text = [0; 256];
                let text = terminated(value, &mut text)?;
                fsconfig_set_string(context.as_fd(), name, text)?;
            }
        }
    }
    fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::from_bits_retain(attributes.set as u32);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

fn terminated<'b>(bytes: &[u8], buffer: &'b mut [u8]) -> Result<&'b CStr, Errno> {
    let room = buffer.get_mut(..bytes.len()).ok_or(Errno::TOOBIG)?;
    room.copy_from_slice(bytes);
    CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::TOOBIG)
}

/// Gives a detached tree all that a mount asks for.
pub(super) fn finish<P>(tree: BorrowedFd<'_>, mount: &Mount<P>) -> Result<(), Errno> {
    // Its own file system has its attributes from the start.
    let own = match mount.source {
        Source::New { .. } => Attributes::default(),
        _ => mount.attributes,
    };
    if !mount.recursive.is_empty() || mount.recursive_propagation != 0 {
        set_attributes(
            tree,
            mount.recursive,
            mount.recursive_propagation,
            None,
            true,
        )?;
    }
    if !own.is_empty() || mount.propagation != 0 {
        set_attributes(tree, own, mount.propagation, None, false)?;
    }
    Ok(())
}

/// Folders in folders that are copied up; what is deeper ends in an error.
const DEEPEST: usize = 16;

/// Copies the content of a folder into another: files, folders, links, nodes,
/// with owners and modes.
pub(super) fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let status = fstat(from)?;
    let to = openat(
        to,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let _ = rustix::fs::fchown(
        &to,
        Some(Uid::from_raw(status.st_uid)),
        Some(Gid::from_raw(status.st_gid)),
    );
    rustix::fs::fchmod(&to, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    copy_folder(from, to.as_fd(), 0)
}

fn copy_folder(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    if depth == DEEPEST {
        return Err(Errno::NAMETOOLONG);
    }
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(from, c".", open, Mode::empty())?;
    let mut buffer = [core::mem::MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(folder.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        copy_one(folder.as_fd(), to, name, depth)?;
    }
    Ok(())
}

fn copy_one(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    depth: usize,
) -> Result<(), Errno> {
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
    let kind = FileType::from_raw_mode(status.st_mode);
    let read_only = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match kind {
        FileType::Directory => {
            mkdirat(to, name, mode)?;
            let flags = read_only | OFlags::DIRECTORY;
            let below = openat(from, name, flags, Mode::empty())?;
            let made = openat(to, name, flags, Mode::empty())?;
            copy_folder(below.as_fd(), made.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => {
            let source = openat(from, name, read_only, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = openat(to, name, flags, mode)?;
            let mut buffer = [0; 4096];
            loop {
                let count = read(&source, &mut buffer)?;
                if count == 0 {
                    break;
                }
                let mut rest = buffer.get(..count).unwrap_or_default();
                while !rest.is_empty() {
                    let written = write(&made, rest)?;
                    rest = rest.get(written..).unwrap_or_default();
                }
            }
        }
        FileType::Symlink => {
            let mut buffer = [core::mem::MaybeUninit::uninit(); 4096];
            let (target, _) = readlinkat_raw(from, name, &mut buffer[..4095])?;
            let mut text = [0; 4096];
            let target = terminated(target, &mut text)?;
            symlinkat(target, to, name)?;
        }
        // Sockets are nothing without who listens.
        FileType::Socket => return Ok(()),
        _ => mknodat(to, name, kind, mode, status.st_rdev)?,
    }
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    let _ = chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
    if kind != FileType::Symlink {
        // chown takes set-id bits away, and the umask has had its part.
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    Ok(())
}
