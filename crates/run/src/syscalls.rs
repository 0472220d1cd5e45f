//! Which system calls a container may make by default.
//!
//! About docker's default profile (moby, profiles/seccomp) without what it adds
//! for capabilities, since ours has none; besides, no `ptrace`, no reading of
//! other processes' memory and no io_uring. It is kept as what is refused among
//! the calls known, so that the reason for each stands beside it; a call newer
//! than this list fails with ENOSYS, as on an older kernel.

use linux_raw_sys::general as nr;
use ounce_linux::Errno;
use ounce_linux::seccomp::{CompileError, Instruction, LONGEST, Segment, Verdict, compile};

mod names;

/// Last call known here.
const LAST: u32 = nr::__NR_file_setattr;
/// Last call before the numbers that all architectures share.
#[cfg(target_arch = "x86_64")]
const LAST_OF_OLD: u32 = nr::__NR_rseq;
#[cfg(target_arch = "aarch64")]
const LAST_OF_OLD: u32 = nr::__NR_kexec_file_load;

/// Whether a number stands for a call at all.
const fn known(number: u32) -> bool {
    // asm-generic/unistd.h leaves 16 from __NR_arch_specific_syscall on to each
    // machine, and arm64 has none.
    if cfg!(target_arch = "aarch64") && number >= 244 && number < 260 {
        return false;
    }
    number <= LAST_OF_OLD || (number >= nr::__NR_pidfd_send_signal && number <= LAST)
}

/// Calls that are refused, by what they reach.
const REFUSED: &[&[u32]] = &[
    // The table of mounts and the root.
    &[
        nr::__NR_mount,
        nr::__NR_umount2,
        nr::__NR_pivot_root,
        nr::__NR_chroot,
        nr::__NR_open_tree,
        nr::__NR_open_tree_attr,
        nr::__NR_move_mount,
        nr::__NR_fsopen,
        nr::__NR_fsconfig,
        nr::__NR_fsmount,
        nr::__NR_fspick,
        nr::__NR_mount_setattr,
        nr::__NR_statmount,
        nr::__NR_listmount,
        nr::__NR_quotactl,
        nr::__NR_quotactl_fd,
        nr::__NR_swapon,
        nr::__NR_swapoff,
        nr::__NR_nfsservctl,
    ],
    // Namespaces.
    &[
        nr::__NR_unshare,
        nr::__NR_setns,
        nr::__NR_sethostname,
        nr::__NR_setdomainname,
    ],
    // Files by handle, past the root.
    &[
        nr::__NR_open_by_handle_at,
        nr::__NR_name_to_handle_at,
        nr::__NR_fanotify_init,
        nr::__NR_fanotify_mark,
    ],
    // Other processes' memory and state.
    &[
        nr::__NR_ptrace,
        nr::__NR_process_vm_readv,
        nr::__NR_process_vm_writev,
        nr::__NR_kcmp,
        nr::__NR_pidfd_getfd,
        nr::__NR_process_madvise,
        nr::__NR_move_pages,
        nr::__NR_migrate_pages,
        nr::__NR_lookup_dcookie,
    ],
    // Keys, which are not in any namespace.
    &[nr::__NR_add_key, nr::__NR_request_key, nr::__NR_keyctl],
    // The kernel itself.
    &[
        nr::__NR_bpf,
        nr::__NR_perf_event_open,
        nr::__NR_init_module,
        nr::__NR_finit_module,
        nr::__NR_delete_module,
        nr::__NR_kexec_load,
        nr::__NR_kexec_file_load,
        nr::__NR_reboot,
        nr::__NR_syslog,
        nr::__NR_userfaultfd,
        nr::__NR_vhangup,
        nr::__NR_acct,
        nr::__NR_io_uring_setup,
        nr::__NR_io_uring_enter,
        nr::__NR_io_uring_register,
    ],
    // The clock, and memory policy that slows others.
    &[
        nr::__NR_settimeofday,
        nr::__NR_clock_settime,
        nr::__NR_clock_adjtime,
        nr::__NR_adjtimex,
        nr::__NR_mbind,
        nr::__NR_set_mempolicy,
        nr::__NR_get_mempolicy,
        nr::__NR_set_mempolicy_home_node,
    ],
    #[cfg(target_arch = "x86_64")]
    &[
        nr::__NR_iopl,
        nr::__NR_ioperm,
        nr::__NR_modify_ldt,
        nr::__NR_uselib,
        nr::__NR_ustat,
        nr::__NR_sysfs,
        nr::__NR__sysctl,
        nr::__NR_create_module,
        nr::__NR_get_kernel_syms,
        nr::__NR_query_module,
        nr::__NR_vserver,
    ],
];

/// The same, one bit a call: a table is built at each start.
const REFUSED_BITS: [u64; LAST as usize / 64 + 1] = {
    let mut bits = [0; LAST as usize / 64 + 1];
    let mut group = 0;
    while group < REFUSED.len() {
        let mut index = 0;
        while index < REFUSED[group].len() {
            let number = REFUSED[group][index];
            bits[(number / 64) as usize] |= 1 << (number % 64);
            index += 1;
        }
        group += 1;
    }
    bits
};

// asm-generic/ioctls.h: typing into a terminal, and its selection buffer.
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
// linux/socket.h: the host's hypervisor channel, and kernel crypto.
const AF_ALG: u32 = 38;
const AF_VSOCK: u32 = 40;
// linux/personality.h, as docker's profile: Linux, 32-bit addresses, and asking.
const PERSONALITIES: &[u32] = &[0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];
/// Every CLONE_NEW* flag of clone(2).
const NEW_NAMESPACES: u32 = 0x7e02_0000;

const fn verdict(number: u32) -> Verdict {
    if !known(number) {
        return Verdict::Fail(Errno::NOSYS);
    }
    if REFUSED_BITS[(number / 64) as usize] >> (number % 64) & 1 == 1 {
        return Verdict::Fail(Errno::PERM);
    }
    match number {
        // Its flags are in memory, where no filter can look: callers fall back to clone.
        nr::__NR_clone3 => Verdict::Fail(Errno::NOSYS),
        nr::__NR_clone => Verdict::AllowUnlessBits {
            argument: 0,
            mask: NEW_NAMESPACES,
        },
        nr::__NR_ioctl => Verdict::AllowUnless {
            argument: 1,
            values: &[TIOCSTI, TIOCLINUX],
        },
        nr::__NR_socket => Verdict::AllowUnless {
            argument: 0,
            values: &[AF_ALG, AF_VSOCK],
        },
        nr::__NR_personality => Verdict::AllowOnly {
            argument: 0,
            values: PERSONALITIES,
        },
        _ => Verdict::Allow,
    }
}

/// How many segments the default table has.
const SEGMENTS: usize = {
    let (mut count, mut number) = (1, 1);
    while number <= LAST + 1 {
        count += !same(verdict(number - 1), verdict(number)) as usize;
        number += 1;
    }
    count
};

/// The default table, for [`compile`].
const TABLE: [Segment; SEGMENTS] = {
    let mut table = [Segment {
        first: 0,
        verdict: verdict(0),
    }; SEGMENTS];
    let (mut count, mut number) = (1, 1);
    while number <= LAST + 1 {
        if !same(verdict(number - 1), verdict(number)) {
            table[count] = Segment {
                first: number,
                verdict: verdict(number),
            };
            count += 1;
        }
        number += 1;
    }
    table
};

/// Whether two neighbours belong to one segment. Verdicts on arguments are
/// segments of their own.
const fn same(one: Verdict, two: Verdict) -> bool {
    match (one, two) {
        (Verdict::Allow, Verdict::Allow) => true,
        (Verdict::Fail(one), Verdict::Fail(two)) => one.raw_os_error() == two.raw_os_error(),
        _ => false,
    }
}

/// The default filter, made when ounce is compiled.
static FILTER: [Instruction; LENGTH] = {
    let mut program = [EMPTY; LENGTH];
    assert!(compile(&TABLE, &mut program).is_ok());
    program
};

const LENGTH: usize = {
    let mut program = [EMPTY; LONGEST];
    match compile(&TABLE, &mut program) {
        Ok(length) => length,
        Err(_) => panic!("the table is sorted and short"),
    }
};

const EMPTY: Instruction = Instruction {
    code: 0,
    jump_true: 0,
    jump_false: 0,
    operand: 0,
};

/// How many calls the default list allows, those with conditions included.
pub fn allowed() -> usize {
    (0..=LAST)
        .filter(|number| !matches!(verdict(*number), Verdict::Fail(_)))
        .count()
}

/// A set of system calls, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Calls([u64; WORDS]);

const WORDS: usize = LAST as usize / 64 + 1;

impl Calls {
    /// The calls that a list names, divided by commas or blanks. A name that
    /// this machine does not know is left out: it may be another machine's.
    /// Nothing if there is none that it knows.
    pub fn named(list: &str) -> Option<Self> {
        let names = list.split(|byte: char| byte == ',' || byte.is_ascii_whitespace());
        let mut set = [0; WORDS];
        for number in names.filter_map(names::number) {
            if let Some(word) = set.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        (set != [0; WORDS]).then_some(Self(set))
    }

    fn contains(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

/// The name of a system call of this machine.
pub fn name(number: u32) -> Option<&'static str> {
    names::name(number)
}

/// The default filter, but that it leaves these to another filter to refuse.
pub(crate) fn filter_leaving(left: &[u32]) -> Result<Vec<Instruction>, CompileError> {
    let verdict = |number: u32| match left.contains(&number) {
        true => Verdict::Allow,
        false => verdict(number),
    };
    compiled(verdict, same)
}

/// A filter that tells a listener of every call but those that are `silent`.
/// What the default filter refuses is not told: a refusal takes precedence.
pub(crate) fn telling_filter(silent: &[u32]) -> Result<Vec<Instruction>, CompileError> {
    let verdict = |number: u32| match number {
        // What goes through its rings is no call at all, so none could be told.
        nr::__NR_io_uring_setup => Verdict::Fail(Errno::NOSYS),
        number if number > LAST || silent.contains(&number) => Verdict::Allow,
        _ => Verdict::Notify,
    };
    compiled(verdict, |one, other| one == other)
}

/// The filter that allows of what the default one allows only these, and to
/// execute the program or, where that fails, to end.
///
/// # Errors
/// The list is so scattered that one filter cannot hold it.
pub fn filter_of(calls: &Calls) -> Result<Vec<Instruction>, CompileError> {
    let own = [nr::__NR_execve, nr::__NR_exit_group];
    let verdict = |number: u32| match (verdict(number), calls.contains(number)) {
        // As on a kernel without it: callers fall back to what is in the list.
        (Verdict::Fail(Errno::NOSYS), _) => Verdict::Fail(Errno::NOSYS),
        (found, true) => found,
        (found, false) if own.contains(&number) => found,
        _ => Verdict::Fail(Errno::PERM),
    };
    compiled(verdict, same)
}

/// A filter with this verdict for each number.
fn compiled(
    verdict: impl Fn(u32) -> Verdict,
    same: impl Fn(Verdict, Verdict) -> bool,
) -> Result<Vec<Instruction>, CompileError> {
    let mut table: Vec<Segment> = Vec::with_capacity(128);
    for first in 0..=LAST + 1 {
        let verdict = verdict(first);
        let last = table.last().map(|last| last.verdict);
        if !last.is_some_and(|last| same(last, verdict)) {
            table.push(Segment { first, verdict });
        }
    }
    let mut program = vec![EMPTY; 4 * table.len() + 32];
    let length = compile(&table, &mut program)?;
    program.truncate(length);
    Ok(program)
}

/// The default filter.
pub fn filter() -> &'static [Instruction] {
    &FILTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_is_about_dockers_and_compiles_to_a_short_program() {
        let refused: usize = REFUSED.iter().map(|group| group.len()).sum();
        let known = (0..=LAST).filter(|number| known(*number));
        // clone3 is the one that is refused without standing in the list.
        assert_eq!(allowed() + refused + 1, known.count());
        assert!((250..330).contains(&allowed()), "{}", allowed());
        let length = filter().len();
        assert!(length < 120, "{length}");
    }

    #[test]
    fn a_list_narrows_the_default_and_never_widens_it() {
        let calls = Calls::named("read, write exit_group,mount,clone nonsense").unwrap();
        for number in [
            nr::__NR_read,
            nr::__NR_write,
            nr::__NR_clone,
            nr::__NR_mount,
        ] {
            assert!(calls.contains(number), "{number}");
        }
        assert!(!calls.contains(nr::__NR_openat) && !calls.contains(LAST + 1));
        let short = filter_of(&calls).unwrap().len();
        assert!(short < filter().len() / 2, "{short}");
        // What is not on the list fails as it always does, or with EPERM.
        let filter = filter_of(&calls).unwrap();
        let fails = |errno: Errno| 0x0005_0000 | errno.raw_os_error().cast_unsigned();
        for errno in [Errno::NOSYS, Errno::PERM] {
            let verdicts = filter.iter().map(|one| one.operand);
            assert!(verdicts.into_iter().any(|operand| operand == fails(errno)));
        }
        assert_eq!(Calls::named("nonsense"), None);
        assert_eq!(Calls::named(""), None);
        // Every second call: the most segments there can be.
        let all: Vec<u64> = vec![0x5555_5555_5555_5555; WORDS];
        let scattered = Calls(all.try_into().unwrap());
        assert!(filter_of(&scattered).is_err_and(|error| error == CompileError::TooLong));
    }

    #[test]
    fn what_a_program_needs_is_allowed_and_escapes_are_not() {
        for number in [
            nr::__NR_read,
            nr::__NR_execve,
            nr::__NR_openat2,
            nr::__NR_epoll_pwait2,
        ] {
            assert_eq!(verdict(number), Verdict::Allow);
        }
        for number in [
            nr::__NR_mount,
            nr::__NR_ptrace,
            nr::__NR_bpf,
            nr::__NR_open_tree_attr,
        ] {
            assert_eq!(verdict(number), Verdict::Fail(Errno::PERM));
        }
        for number in [nr::__NR_clone3, LAST + 1, LAST_OF_OLD + 2, 0x4000_0000] {
            assert_eq!(verdict(number), Verdict::Fail(Errno::NOSYS));
        }
    }
}
