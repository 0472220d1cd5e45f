//! Mounts by the file-descriptor interface: a tree is made detached, given its
//! attributes, and only then attached, so that it is never visible without
//! them (man 2 fsopen, open_tree, move_mount, mount_setattr).

use core::ffi::CStr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use crate::resolve;
use crate::syscall::call;

/// What may not be done on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Nothing can be written.
    pub read_only: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
    /// Device nodes can be opened. Set-id bits never count.
    pub devices: bool,
}

impl Attributes {
    fn flags(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::MOUNT_ATTR_NOSUID;
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.no_exec);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, !self.devices);
        flags
    }
}

/// Makes a new file system, detached.
///
/// # Errors
/// EPERM where the user namespace may not mount this type, ENODEV where the kernel lacks it.
pub fn create(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: Attributes,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes.flags(),
    )
}

/// Copies the mounts at `path`, detached and as they are.
///
/// # Errors
/// No such path, or it lies in a mount of another mount namespace (EINVAL).
pub fn copy(directory: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_EMPTY_PATH, path.is_empty());
    open_tree(directory, path, flags)
}

/// Sets the attributes of a tree of mounts, and cuts it off from propagation.
///
/// # Errors
/// EPERM where an attribute that is locked by a more privileged namespace would be cleared.
pub fn restrict(
    tree: BorrowedFd<'_>,
    attributes: Attributes,
    recursive: bool,
) -> Result<(), Errno> {
    let set = raw::mount_attr {
        attr_set: u64::from(attributes.flags().bits()),
        attr_clr: 0,
        propagation: 1 << 18, // MS_PRIVATE
        userns_fd: 0,
    };
    change(tree, &set, recursive)
}

/// mount_setattr(2) of a mount, or with `recursive` of all of a tree.
pub(crate) fn change(
    tree: BorrowedFd<'_>,
    set: &raw::mount_attr,
    recursive: bool,
) -> Result<(), Errno> {
    let flags = raw::AT_EMPTY_PATH | if recursive { raw::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and the structure is as long as the size that is told.
    unsafe {
        call(
            raw::__NR_mount_setattr,
            [
                tree.as_raw_fd() as usize,
                c"".as_ptr() as usize,
                flags as usize,
                core::ptr::from_ref(set) as usize,
                size_of::<raw::mount_attr>(),
                0,
            ],
        )
    }
    .map(drop)
}

/// Finds `path` beneath `root`, as it would be found after a change of root:
/// no link of the tree, however hostile, leads out of it.
///
/// # Errors
/// No such path, or a link of /proc on the way.
pub fn inside(root: BorrowedFd<'_>, path: &CStr, more: OFlags) -> Result<OwnedFd, Errno> {
    resolve::open(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC | more,
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Finds `path` as this process would, from its own root and folder, but
/// through no link of /proc that leads past both.
///
/// # Errors
/// No such path (ENOENT), or a link of /proc on the way (ELOOP).
pub fn plain(path: &CStr) -> Result<OwnedFd, Errno> {
    resolve::open(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        ResolveFlags::NO_MAGICLINKS,
    )
}

/// Attaches a detached tree over what `place` names.
///
/// # Errors
/// ENOTDIR or EINVAL where a folder would cover a file or the reverse.
pub fn attach(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
    move_mount(
        tree,
        c"",
        place,
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// As [`attach`], over a name in a folder; a link there is not followed.
///
/// # Errors
/// As there, and ENOENT.
pub fn attach_at(tree: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    move_mount(
        tree,
        c"",
        folder,
        name,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Attaches a detached tree over `/` of the calling thread's mount namespace,
/// where [`enter`] then takes it from.
///
/// # Errors
/// As the kernel says.
pub fn attach_over_root(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    move_mount(
        tree,
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Makes the attached tree the root and lets go of all other mounts, so that
/// no path and no `..` leads to the old root.
///
/// # Errors
/// As pivot_root(2) says.
pub fn enter(root: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    // Old and new root may be the same folder: the old one then lies on top
    // and is taken off (man 2 pivot_root, "pivot_root(".", ".")").
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}
