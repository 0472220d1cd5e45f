//! Which system calls name files, and where in their arguments; and which are
//! so frequent and so harmless that they are not told. No call is decoded here.

use linux_raw_sys::general as nr;

/// What a call does with a path, in the words of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// Executed.
    Executed,
    /// Opened, whatever for.
    Opened,
    /// Its names were read.
    Listed,
    /// Asked about: stat, access, xattrs, statfs.
    Asked,
    /// A link that was read.
    ReadLink,
    /// Made the current folder or root.
    Entered,
    /// Made, removed, renamed, or changed.
    Changed,
    /// A socket that was bound or connected to.
    Connected,
}

impl How {
    /// In words, after "was".
    pub fn words(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Opened => "opened",
            Self::Listed => "listed",
            Self::Asked => "asked about",
            Self::ReadLink => "read as a link",
            Self::Entered => "entered",
            Self::Changed => "changed",
            Self::Connected => "connected to",
        }
    }
}

/// Whether a link at the path's end is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Follow,
    Stay,
    /// Unless this bit is set in that argument.
    FollowUnless(usize, u64),
    /// Only if this bit is set in that argument.
    StayUnless(usize, u64),
    /// As the flags of a `struct open_how` in memory say.
    OpenHow(usize),
}

/// Where a call names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A path of the current folder.
    Here { path: usize, end: End, how: How },
    /// A path of an open folder.
    At {
        folder: usize,
        path: usize,
        end: End,
        how: How,
    },
    /// An open file or folder.
    File { file: usize, how: How },
    /// A socket address of so many bytes.
    Address { address: usize, length: usize },
}

// <linux/fcntl.h>, <asm-generic/fcntl.h>, <linux/inotify.h>
const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
pub(super) const O_NOFOLLOW: u64 = nr::O_NOFOLLOW as u64;
const IN_DONT_FOLLOW: u64 = 0x0200_0000;

const fn here(path: usize, end: End, how: How) -> Form {
    Form::Here { path, end, how }
}

const fn at(folder: usize, end: End, how: How) -> Form {
    let path = folder + 1;
    Form::At {
        folder,
        path,
        end,
        how,
    }
}

/// The files that a call names, in its order.
pub(super) fn forms(number: u32) -> &'static [Form] {
    use End::{Follow, FollowUnless, OpenHow, Stay, StayUnless};
    use How::{Asked, Changed, Entered, Executed, Listed, Opened, ReadLink};
    const AT_NOFOLLOW_2: End = FollowUnless(2, AT_SYMLINK_NOFOLLOW);
    const AT_NOFOLLOW_3: End = FollowUnless(3, AT_SYMLINK_NOFOLLOW);
    const AT_NOFOLLOW_4: End = FollowUnless(4, AT_SYMLINK_NOFOLLOW);
    match number {
        nr::__NR_openat => const { &[at(0, FollowUnless(2, O_NOFOLLOW), Opened)] },
        nr::__NR_openat2 => const { &[at(0, OpenHow(2), Opened)] },
        nr::__NR_execve => const { &[here(0, Follow, Executed)] },
        nr::__NR_execveat => const { &[at(0, AT_NOFOLLOW_4, Executed)] },
        nr::__NR_newfstatat => const { &[at(0, AT_NOFOLLOW_3, Asked)] },
        nr::__NR_statx => const { &[at(0, AT_NOFOLLOW_2, Asked)] },
        nr::__NR_faccessat => const { &[at(0, Follow, Asked)] },
        nr::__NR_faccessat2 => const { &[at(0, AT_NOFOLLOW_3, Asked)] },
        nr::__NR_readlinkat => const { &[at(0, Stay, ReadLink)] },
        nr::__NR_name_to_handle_at => const { &[at(0, StayUnless(4, AT_SYMLINK_FOLLOW), Asked)] },
        nr::__NR_statfs => const { &[here(0, Follow, Asked)] },
        nr::__NR_getxattr | nr::__NR_listxattr => const { &[here(0, Follow, Asked)] },
        nr::__NR_lgetxattr | nr::__NR_llistxattr => const { &[here(0, Stay, Asked)] },
        nr::__NR_getxattrat | nr::__NR_listxattrat => const { &[at(0, AT_NOFOLLOW_2, Asked)] },
        nr::__NR_setxattr | nr::__NR_removexattr => const { &[here(0, Follow, Changed)] },
        nr::__NR_lsetxattr | nr::__NR_lremovexattr => const { &[here(0, Stay, Changed)] },
        nr::__NR_setxattrat | nr::__NR_removexattrat => const { &[at(0, AT_NOFOLLOW_2, Changed)] },
        nr::__NR_file_getattr => const { &[at(0, AT_NOFOLLOW_4, Asked)] },
        nr::__NR_file_setattr => const { &[at(0, AT_NOFOLLOW_4, Changed)] },
        nr::__NR_inotify_add_watch => const { &[here(1, FollowUnless(2, IN_DONT_FOLLOW), Asked)] },
        nr::__NR_getdents64 => {
            const {
                &[Form::File {
                    file: 0,
                    how: Listed,
                }]
            }
        }
        nr::__NR_chdir | nr::__NR_chroot => const { &[here(0, Follow, Entered)] },
        nr::__NR_fchdir => {
            const {
                &[Form::File {
                    file: 0,
                    how: Entered,
                }]
            }
        }
        nr::__NR_mkdirat | nr::__NR_mknodat | nr::__NR_unlinkat => {
            const { &[at(0, Stay, Changed)] }
        }
        nr::__NR_renameat | nr::__NR_renameat2 => {
            const { &[at(0, Stay, Changed), at(2, Stay, Changed)] }
        }
        nr::__NR_linkat => {
            const {
                &[
                    at(0, StayUnless(4, AT_SYMLINK_FOLLOW), Opened),
                    at(2, Stay, Changed),
                ]
            }
        }
        nr::__NR_symlinkat => const { &[at(1, Stay, Changed)] },
        nr::__NR_fchmodat => const { &[at(0, Follow, Changed)] },
        nr::__NR_fchmodat2 | nr::__NR_utimensat => const { &[at(0, AT_NOFOLLOW_3, Changed)] },
        nr::__NR_fchownat => const { &[at(0, AT_NOFOLLOW_4, Changed)] },
        nr::__NR_truncate => const { &[here(0, Follow, Changed)] },
        nr::__NR_bind | nr::__NR_connect => {
            const {
                &[Form::Address {
                    address: 1,
                    length: 2,
                }]
            }
        }
        number => old_forms(number),
    }
}

/// Calls that newer machines do not have.
#[cfg(target_arch = "x86_64")]
fn old_forms(number: u32) -> &'static [Form] {
    use End::{Follow, FollowUnless, Stay};
    use How::{Asked, Changed, Listed, Opened, ReadLink};
    match number {
        nr::__NR_open => const { &[here(0, FollowUnless(1, O_NOFOLLOW), Opened)] },
        nr::__NR_creat => const { &[here(0, Follow, Opened)] },
        nr::__NR_stat | nr::__NR_access => const { &[here(0, Follow, Asked)] },
        nr::__NR_lstat => const { &[here(0, Stay, Asked)] },
        nr::__NR_readlink => const { &[here(0, Stay, ReadLink)] },
        nr::__NR_getdents => {
            const {
                &[Form::File {
                    file: 0,
                    how: Listed,
                }]
            }
        }
        nr::__NR_mkdir | nr::__NR_rmdir | nr::__NR_unlink | nr::__NR_mknod | nr::__NR_lchown => {
            const { &[here(0, Stay, Changed)] }
        }
        nr::__NR_rename => const { &[here(0, Stay, Changed), here(1, Stay, Changed)] },
        nr::__NR_link => const { &[here(0, Stay, Opened), here(1, Stay, Changed)] },
        nr::__NR_symlink => const { &[here(1, Stay, Changed)] },
        nr::__NR_chmod | nr::__NR_chown | nr::__NR_utime | nr::__NR_utimes => {
            const { &[here(0, Follow, Changed)] }
        }
        nr::__NR_futimesat => const { &[at(0, Follow, Changed)] },
        _ => const { &[] },
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn old_forms(_: u32) -> &'static [Form] {
    const { &[] }
}

/// Calls that the default list refuses and others allow, docker's for one. They
/// are told, so that the files they name are known, and refused by the watcher.
pub(super) const REFUSED: &[u32] = &[nr::__NR_name_to_handle_at, nr::__NR_chroot];

/// Calls that are not told: they name no file, nearly every program makes them,
/// and many make them thousands of times a second. An exact list of calls has
/// them all, but for `seccomp`, which ounce itself makes after the filter.
pub(super) const SILENT: &[u32] = &[
    nr::__NR_read,
    nr::__NR_write,
    nr::__NR_readv,
    nr::__NR_writev,
    nr::__NR_pread64,
    nr::__NR_pwrite64,
    nr::__NR_close,
    nr::__NR_lseek,
    nr::__NR_fstat,
    nr::__NR_fcntl,
    nr::__NR_mmap,
    nr::__NR_munmap,
    nr::__NR_mprotect,
    nr::__NR_mremap,
    nr::__NR_madvise,
    nr::__NR_brk,
    nr::__NR_futex,
    nr::__NR_ppoll,
    nr::__NR_epoll_pwait,
    nr::__NR_epoll_ctl,
    nr::__NR_rt_sigaction,
    nr::__NR_rt_sigprocmask,
    nr::__NR_rt_sigreturn,
    nr::__NR_restart_syscall,
    nr::__NR_clock_gettime,
    nr::__NR_clock_nanosleep,
    nr::__NR_nanosleep,
    nr::__NR_sched_yield,
    nr::__NR_getpid,
    nr::__NR_gettid,
    nr::__NR_sendto,
    nr::__NR_recvfrom,
    nr::__NR_sendmsg,
    nr::__NR_recvmsg,
    nr::__NR_exit,
    nr::__NR_exit_group,
    nr::__NR_seccomp,
    #[cfg(target_arch = "x86_64")]
    nr::__NR_poll,
    #[cfg(target_arch = "x86_64")]
    nr::__NR_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    nr::__NR_select,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_that_names_a_file_is_silent() {
        for number in SILENT {
            assert!(forms(*number).is_empty(), "{number}");
        }
    }
}
