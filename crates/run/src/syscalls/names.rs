//! The names of system calls and their numbers on this machine, as
//! linux/unistd.h has them; what they mean is left to the list that names them.

use linux_raw_sys::general as nr;

macro_rules! numbers {
    ($($name:ident $number:ident,)*) => {
        &[$((stringify!($name), nr::$number)),*]
    };
}

/// The number of a call, if this machine has it.
pub(super) fn number(name: &str) -> Option<u32> {
    let find = |table: &[(&str, u32)]| {
        let at = table.binary_search_by(|(other, _)| (*other).cmp(name));
        at.ok().map(|at| table[at].1)
    };
    find(EVERYWHERE).or_else(|| find(ONLY_HERE))
}

/// The name of a call, if this machine has it.
pub(super) fn name(number: u32) -> Option<&'static str> {
    let mut all = EVERYWHERE.iter().chain(ONLY_HERE);
    all.find(|(_, other)| *other == number)
        .map(|(name, _)| *name)
}

/// Of all machines, sorted.
const EVERYWHERE: &[(&str, u32)] = numbers! {
    accept __NR_accept, accept4 __NR_accept4, acct __NR_acct, add_key __NR_add_key,
    adjtimex __NR_adjtimex, bind __NR_bind, bpf __NR_bpf, brk __NR_brk,
    cachestat __NR_cachestat, capget __NR_capget, capset __NR_capset, chdir __NR_chdir,
    chroot __NR_chroot, clock_adjtime __NR_clock_adjtime, clock_getres __NR_clock_getres,
    clock_gettime __NR_clock_gettime, clock_nanosleep __NR_clock_nanosleep,
    clock_settime __NR_clock_settime, clone __NR_clone, clone3 __NR_clone3,
    close __NR_close, close_range __NR_close_range, connect __NR_connect,
    copy_file_range __NR_copy_file_range, delete_module __NR_delete_module, dup __NR_dup,
    dup3 __NR_dup3, epoll_create1 __NR_epoll_create1, epoll_ctl __NR_epoll_ctl,
    epoll_pwait __NR_epoll_pwait, epoll_pwait2 __NR_epoll_pwait2, eventfd2 __NR_eventfd2,
    execve __NR_execve, execveat __NR_execveat, exit __NR_exit, exit_group __NR_exit_group,
    faccessat __NR_faccessat, faccessat2 __NR_faccessat2, fadvise64 __NR_fadvise64,
    fallocate __NR_fallocate, fanotify_init __NR_fanotify_init,
    fanotify_mark __NR_fanotify_mark, fchdir __NR_fchdir, fchmod __NR_fchmod,
    fchmodat __NR_fchmodat, fchmodat2 __NR_fchmodat2, fchown __NR_fchown,
    fchownat __NR_fchownat, fcntl __NR_fcntl, fdatasync __NR_fdatasync,
    fgetxattr __NR_fgetxattr, file_getattr __NR_file_getattr,
    file_setattr __NR_file_setattr, finit_module __NR_finit_module,
    flistxattr __NR_flistxattr, flock __NR_flock, fremovexattr __NR_fremovexattr,
    fsconfig __NR_fsconfig, fsetxattr __NR_fsetxattr, fsmount __NR_fsmount,
    fsopen __NR_fsopen, fspick __NR_fspick, fstat __NR_fstat, fstatfs __NR_fstatfs,
    fsync __NR_fsync, ftruncate __NR_ftruncate, futex __NR_futex,
    futex_requeue __NR_futex_requeue, futex_wait __NR_futex_wait,
    futex_waitv __NR_futex_waitv, futex_wake __NR_futex_wake,
    get_mempolicy __NR_get_mempolicy, get_robust_list __NR_get_robust_list,
    getcpu __NR_getcpu, getcwd __NR_getcwd, getdents64 __NR_getdents64,
    getegid __NR_getegid, geteuid __NR_geteuid, getgid __NR_getgid,
    getgroups __NR_getgroups, getitimer __NR_getitimer, getpeername __NR_getpeername,
    getpgid __NR_getpgid, getpid __NR_getpid, getppid __NR_getppid,
    getpriority __NR_getpriority, getrandom __NR_getrandom, getresgid __NR_getresgid,
    getresuid __NR_getresuid, getrlimit __NR_getrlimit, getrusage __NR_getrusage,
    getsid __NR_getsid, getsockname __NR_getsockname, getsockopt __NR_getsockopt,
    gettid __NR_gettid, gettimeofday __NR_gettimeofday, getuid __NR_getuid,
    getxattr __NR_getxattr, getxattrat __NR_getxattrat, init_module __NR_init_module,
    inotify_add_watch __NR_inotify_add_watch, inotify_init1 __NR_inotify_init1,
    inotify_rm_watch __NR_inotify_rm_watch, io_cancel __NR_io_cancel,
    io_destroy __NR_io_destroy, io_getevents __NR_io_getevents,
    io_pgetevents __NR_io_pgetevents, io_setup __NR_io_setup, io_submit __NR_io_submit,
    io_uring_enter __NR_io_uring_enter, io_uring_register __NR_io_uring_register,
    io_uring_setup __NR_io_uring_setup, ioctl __NR_ioctl, ioprio_get __NR_ioprio_get,
    ioprio_set __NR_ioprio_set, kcmp __NR_kcmp, kexec_file_load __NR_kexec_file_load,
    kexec_load __NR_kexec_load, keyctl __NR_keyctl, kill __NR_kill,
    landlock_add_rule __NR_landlock_add_rule,
    landlock_create_ruleset __NR_landlock_create_ruleset,
    landlock_restrict_self __NR_landlock_restrict_self, lgetxattr __NR_lgetxattr,
    linkat __NR_linkat, listen __NR_listen, listmount __NR_listmount,
    listxattr __NR_listxattr, listxattrat __NR_listxattrat, llistxattr __NR_llistxattr,
    lookup_dcookie __NR_lookup_dcookie, lremovexattr __NR_lremovexattr, lseek __NR_lseek,
    lsetxattr __NR_lsetxattr, lsm_get_self_attr __NR_lsm_get_self_attr,
    lsm_list_modules __NR_lsm_list_modules, lsm_set_self_attr __NR_lsm_set_self_attr,
    madvise __NR_madvise, map_shadow_stack __NR_map_shadow_stack, mbind __NR_mbind,
    membarrier __NR_membarrier, memfd_create __NR_memfd_create,
    memfd_secret __NR_memfd_secret, migrate_pages __NR_migrate_pages, mincore __NR_mincore,
    mkdirat __NR_mkdirat, mknodat __NR_mknodat, mlock __NR_mlock, mlock2 __NR_mlock2,
    mlockall __NR_mlockall, mmap __NR_mmap, mount __NR_mount,
    mount_setattr __NR_mount_setattr, move_mount __NR_move_mount,
    move_pages __NR_move_pages, mprotect __NR_mprotect, mq_getsetattr __NR_mq_getsetattr,
    mq_notify __NR_mq_notify, mq_open __NR_mq_open, mq_timedreceive __NR_mq_timedreceive,
    mq_timedsend __NR_mq_timedsend, mq_unlink __NR_mq_unlink, mremap __NR_mremap,
    mseal __NR_mseal, msgctl __NR_msgctl, msgget __NR_msgget, msgrcv __NR_msgrcv,
    msgsnd __NR_msgsnd, msync __NR_msync, munlock __NR_munlock, munlockall __NR_munlockall,
    munmap __NR_munmap, name_to_handle_at __NR_name_to_handle_at, nanosleep __NR_nanosleep,
    newfstatat __NR_newfstatat, nfsservctl __NR_nfsservctl,
    open_by_handle_at __NR_open_by_handle_at, open_tree __NR_open_tree,
    open_tree_attr __NR_open_tree_attr, openat __NR_openat, openat2 __NR_openat2,
    perf_event_open __NR_perf_event_open, personality __NR_personality,
    pidfd_getfd __NR_pidfd_getfd, pidfd_open __NR_pidfd_open,
    pidfd_send_signal __NR_pidfd_send_signal, pipe2 __NR_pipe2, pivot_root __NR_pivot_root,
    pkey_alloc __NR_pkey_alloc, pkey_free __NR_pkey_free, pkey_mprotect __NR_pkey_mprotect,
    ppoll __NR_ppoll, prctl __NR_prctl, pread64 __NR_pread64, preadv __NR_preadv,
    preadv2 __NR_preadv2, prlimit64 __NR_prlimit64, process_madvise __NR_process_madvise,
    process_mrelease __NR_process_mrelease, process_vm_readv __NR_process_vm_readv,
    process_vm_writev __NR_process_vm_writev, pselect6 __NR_pselect6, ptrace __NR_ptrace,
    pwrite64 __NR_pwrite64, pwritev __NR_pwritev, pwritev2 __NR_pwritev2,
    quotactl __NR_quotactl, quotactl_fd __NR_quotactl_fd, read __NR_read,
    readahead __NR_readahead, readlinkat __NR_readlinkat, readv __NR_readv,
    reboot __NR_reboot, recvfrom __NR_recvfrom, recvmmsg __NR_recvmmsg,
    recvmsg __NR_recvmsg, remap_file_pages __NR_remap_file_pages,
    removexattr __NR_removexattr, removexattrat __NR_removexattrat, renameat __NR_renameat,
    renameat2 __NR_renameat2, request_key __NR_request_key,
    restart_syscall __NR_restart_syscall, rseq __NR_rseq, rt_sigaction __NR_rt_sigaction,
    rt_sigpending __NR_rt_sigpending, rt_sigprocmask __NR_rt_sigprocmask,
    rt_sigqueueinfo __NR_rt_sigqueueinfo, rt_sigreturn __NR_rt_sigreturn,
    rt_sigsuspend __NR_rt_sigsuspend, rt_sigtimedwait __NR_rt_sigtimedwait,
    rt_tgsigqueueinfo __NR_rt_tgsigqueueinfo,
    sched_get_priority_max __NR_sched_get_priority_max,
    sched_get_priority_min __NR_sched_get_priority_min,
    sched_getaffinity __NR_sched_getaffinity, sched_getattr __NR_sched_getattr,
    sched_getparam __NR_sched_getparam, sched_getscheduler __NR_sched_getscheduler,
    sched_rr_get_interval __NR_sched_rr_get_interval,
    sched_setaffinity __NR_sched_setaffinity, sched_setattr __NR_sched_setattr,
    sched_setparam __NR_sched_setparam, sched_setscheduler __NR_sched_setscheduler,
    sched_yield __NR_sched_yield, seccomp __NR_seccomp, semctl __NR_semctl,
    semget __NR_semget, semop __NR_semop, semtimedop __NR_semtimedop,
    sendfile __NR_sendfile, sendmmsg __NR_sendmmsg, sendmsg __NR_sendmsg,
    sendto __NR_sendto, set_mempolicy __NR_set_mempolicy,
    set_mempolicy_home_node __NR_set_mempolicy_home_node,
    set_robust_list __NR_set_robust_list, set_tid_address __NR_set_tid_address,
    setdomainname __NR_setdomainname, setfsgid __NR_setfsgid, setfsuid __NR_setfsuid,
    setgid __NR_setgid, setgroups __NR_setgroups, sethostname __NR_sethostname,
    setitimer __NR_setitimer, setns __NR_setns, setpgid __NR_setpgid,
    setpriority __NR_setpriority, setregid __NR_setregid, setresgid __NR_setresgid,
    setresuid __NR_setresuid, setreuid __NR_setreuid, setrlimit __NR_setrlimit,
    setsid __NR_setsid, setsockopt __NR_setsockopt, settimeofday __NR_settimeofday,
    setuid __NR_setuid, setxattr __NR_setxattr, setxattrat __NR_setxattrat,
    shmat __NR_shmat, shmctl __NR_shmctl, shmdt __NR_shmdt, shmget __NR_shmget,
    shutdown __NR_shutdown, sigaltstack __NR_sigaltstack, signalfd4 __NR_signalfd4,
    socket __NR_socket, socketpair __NR_socketpair, splice __NR_splice, statfs __NR_statfs,
    statmount __NR_statmount, statx __NR_statx, swapoff __NR_swapoff, swapon __NR_swapon,
    symlinkat __NR_symlinkat, sync __NR_sync, sync_file_range __NR_sync_file_range,
    syncfs __NR_syncfs, sysinfo __NR_sysinfo, syslog __NR_syslog, tee __NR_tee,
    tgkill __NR_tgkill, timer_create __NR_timer_create, timer_delete __NR_timer_delete,
    timer_getoverrun __NR_timer_getoverrun, timer_gettime __NR_timer_gettime,
    timer_settime __NR_timer_settime, timerfd_create __NR_timerfd_create,
    timerfd_gettime __NR_timerfd_gettime, timerfd_settime __NR_timerfd_settime,
    times __NR_times, tkill __NR_tkill, truncate __NR_truncate, umask __NR_umask,
    umount2 __NR_umount2, uname __NR_uname, unlinkat __NR_unlinkat, unshare __NR_unshare,
    userfaultfd __NR_userfaultfd, utimensat __NR_utimensat, vhangup __NR_vhangup,
    vmsplice __NR_vmsplice, wait4 __NR_wait4, waitid __NR_waitid, write __NR_write,
    writev __NR_writev,
};

/// Of older machines, sorted: newer ones have better calls for the same.
#[cfg(not(target_arch = "x86_64"))]
const ONLY_HERE: &[(&str, u32)] = &[];
#[cfg(target_arch = "x86_64")]
const ONLY_HERE: &[(&str, u32)] = numbers! {
    _sysctl __NR__sysctl, access __NR_access, afs_syscall __NR_afs_syscall,
    alarm __NR_alarm, arch_prctl __NR_arch_prctl, chmod __NR_chmod, chown __NR_chown,
    creat __NR_creat, create_module __NR_create_module, dup2 __NR_dup2,
    epoll_create __NR_epoll_create, epoll_ctl_old __NR_epoll_ctl_old,
    epoll_wait __NR_epoll_wait, epoll_wait_old __NR_epoll_wait_old, eventfd __NR_eventfd,
    fork __NR_fork, futimesat __NR_futimesat, get_kernel_syms __NR_get_kernel_syms,
    get_thread_area __NR_get_thread_area, getdents __NR_getdents, getpgrp __NR_getpgrp,
    getpmsg __NR_getpmsg, inotify_init __NR_inotify_init, ioperm __NR_ioperm,
    iopl __NR_iopl, lchown __NR_lchown, link __NR_link, lstat __NR_lstat, mkdir __NR_mkdir,
    mknod __NR_mknod, modify_ldt __NR_modify_ldt, open __NR_open, pause __NR_pause,
    pipe __NR_pipe, poll __NR_poll, putpmsg __NR_putpmsg, query_module __NR_query_module,
    readlink __NR_readlink, rename __NR_rename, rmdir __NR_rmdir, security __NR_security,
    select __NR_select, set_thread_area __NR_set_thread_area, signalfd __NR_signalfd,
    stat __NR_stat, symlink __NR_symlink, sysfs __NR_sysfs, time __NR_time,
    tuxcall __NR_tuxcall, unlink __NR_unlink, uretprobe __NR_uretprobe, uselib __NR_uselib,
    ustat __NR_ustat, utime __NR_utime, utimes __NR_utimes, vfork __NR_vfork,
    vserver __NR_vserver,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (name, expected) in EVERYWHERE.iter().chain(ONLY_HERE) {
            assert_eq!(number(name), Some(*expected), "{name}");
            assert_eq!(super::name(*expected), Some(*name));
        }
        assert_eq!(number("read"), Some(nr::__NR_read));
        assert_eq!(number("writ"), None);
        assert_eq!(number(""), None);
    }
}
