//! All that a child needs, made ready before it exists, and the call that ends
//! its preparation. What the steps are and do is left to `step` and `take`.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::namespace::Namespaces;
use crate::seccomp::Instruction;
use crate::step::Step;
use crate::syscall::call;

/// A C string's address, to be laid out in a list as execve(2) reads it.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(*const u8, PhantomData<&'a CStr>);

impl<'a> Text<'a> {
    /// The end of a list.
    pub const END: Self = Self(ptr::null(), PhantomData);

    /// The address of `text`.
    pub const fn new(text: &'a CStr) -> Self {
        Self(text.as_ptr().cast(), PhantomData)
    }

    /// Whether a list ends here.
    pub(crate) fn is_end(self) -> bool {
        self.0.is_null()
    }
}

/// All that a child needs, made ready before it exists.
#[derive(Debug)]
pub struct Launch<'a, P> {
    /// Namespaces it is born in.
    pub namespaces: Namespaces,
    /// What it does, in order; the last one executes.
    pub steps: &'a [Step<P>],
    /// Detached trees that steps name by their index.
    pub trees: &'a [OwnedFd],
    /// Its standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Handed in as file descriptors 3, 4, …; at most [`MOST_PASSED`].
    pub passed: &'a [BorrowedFd<'a>],
    /// Paths to execute, the first that exists.
    pub programs: &'a [P],
    /// Arguments; the last is [`Text::END`].
    pub arguments: &'a [Text<'a>],
    /// Environment; the last is [`Text::END`].
    pub environment: &'a [Text<'a>],
    /// The filter that [`Step::Filter`] installs.
    pub filter: &'a [Instruction],
    /// The filter that [`Step::Observe`] installs; empty for none.
    pub watch: &'a [Instruction],
    /// `tasks` files of version 1 control groups, which steps name by their index;
    /// at most [`MOST_TASKS`].
    pub tasks: &'a [P],
    /// A cgroup v2 folder to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// How many control groups of version 1 can be joined.
pub const MOST_TASKS: usize = 8;

/// How many descriptors can be handed in.
pub const MOST_PASSED: usize = 64;

/// Replaces the calling process (man 2 execve); returns only on failure.
pub(crate) fn execute(path: &CStr, arguments: &[Text<'_>], environment: &[Text<'_>]) -> Errno {
    // SAFETY: `path` is a C string, and `start` has checked that both lists end
    // with a null pointer; the other pointers come from `&CStr`s that are alive.
    match unsafe {
        call(
            raw::__NR_execve,
            [
                path.as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
                0,
                0,
                0,
            ],
        )
    } {
        Ok(_) => Errno::NOEXEC,
        Err(errno) => errno,
    }
}

/// Replaces the calling process by a program that is open (man 2 execveat);
/// returns only on failure. The descriptor itself need not stay open.
pub fn execute_file(
    file: BorrowedFd<'_>,
    arguments: &[Text<'_>],
    environment: &[Text<'_>],
) -> Errno {
    let ended = |list: &[Text<'_>]| list.last().is_some_and(|text| text.is_end());
    if !ended(arguments) || !ended(environment) {
        return Errno::INVAL;
    }
    // SAFETY: the path is an empty C string, both lists end with a null
    // pointer (just checked) and the others come from `&CStr`s that are alive.
    match unsafe {
        call(
            raw::__NR_execveat,
            [
                file.as_raw_fd() as usize,
                c"".as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
                raw::AT_EMPTY_PATH as usize,
                0,
            ],
        )
    } {
        Ok(_) => Errno::NOEXEC,
        Err(errno) => errno,
    }
}
