//! A child in new namespaces that shares the parent's memory until it executes
//! its program, so that a big parent pays no more than a small one.
//!
//! The child runs a list of [`Step`]s and nothing else. The parent goes on
//! meanwhile: it maps users and fills control groups, and the child waits for
//! it at [`Step::AwaitParent`].

use core::ffi::{CStr, c_void};
use core::marker::PhantomData;
use core::ptr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::namespace::Namespaces;
use crate::seccomp::Instruction;
use crate::step::{Step, StepFailure, run};
use crate::syscall::{call, result};

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
    /// A cgroup v2 folder to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// How many descriptors can be handed in.
pub const MOST_PASSED: usize = 64;

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    /// Its id, in the caller's process namespace.
    pub pid: Pid,
    /// Refers to it even after its id is used again.
    pub pidfd: OwnedFd,
}

/// Why no process runs.
#[derive(Debug)]
pub enum StartFailure<E> {
    /// A list was not ended by [`Text::END`], or too many descriptors.
    Launch,
    /// The process could not be made.
    Clone(Errno),
    /// The caller's own part failed.
    Caller(E),
    /// A step of the child failed.
    Step(StepFailure),
}

/// Starts a process and waits until it executes its program.
///
/// `meanwhile` runs in the parent while the child takes the steps up to
/// [`Step::AwaitParent`]; if it fails, the child is killed and reaped.
///
/// # Errors
/// See [`StartFailure`]; no process is left then.
pub fn start<P: AsRef<CStr>, E>(
    launch: &Launch<'_, P>,
    meanwhile: impl FnOnce(Pid) -> Result<(), E>,
) -> Result<Process, StartFailure<E>> {
    let ended = |list: &[Text<'_>]| list.last().is_some_and(|text| text.0.is_null());
    if !ended(launch.arguments) || !ended(launch.environment) || launch.passed.len() > MOST_PASSED {
        return Err(StartFailure::Launch);
    }
    let stack = Stack::new().map_err(StartFailure::Clone)?;
    let (go_read, go_write) = pipe_with(PipeFlags::CLOEXEC).map_err(StartFailure::Clone)?;
    let (report_read, report_write) = pipe_with(PipeFlags::CLOEXEC).map_err(StartFailure::Clone)?;
    let child = Child {
        launch,
        go_read: go_read.as_fd(),
        go_write: &go_write,
        report: report_write.as_fd(),
    };
    let process = spawn(launch, &stack, &child).map_err(StartFailure::Clone)?;
    // From here on the child uses `launch`, `child` and `stack`: on every way
    // out, a panic of `meanwhile` included, it is dead or has executed.
    let mut guard = Guard(Some(process));
    drop(report_write);
    let pid = guard.0.as_ref().map_or(Pid::INIT, |process| process.pid);
    if let Err(error) = meanwhile(pid) {
        return Err(StartFailure::Caller(error));
    }
    // EPIPE means that the child is gone already; the report says why.
    let _ = write(&go_write, b"g");
    let mut report = [0; StepFailure::SIZE];
    let count = loop {
        match read(&report_read, &mut report) {
            Err(Errno::INTR) => {}
            other => break other,
        }
    };
    match count {
        // End of file: exec closed the child's end, after it left our memory.
        Ok(0) => guard.0.take().ok_or(StartFailure::Launch),
        Ok(_) => Err(StartFailure::Step(StepFailure::from_bytes(report))),
        Err(errno) => Err(StartFailure::Clone(errno)),
    }
}

/// Kills and reaps the process unless it was taken out.
struct Guard(Option<Process>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(process) = self.0.take() {
            let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
            while let Err(Errno::INTR) =
                waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED)
            {}
        }
    }
}

/// What the child finds in its parent's memory.
struct Child<'a, P> {
    launch: &'a Launch<'a, P>,
    go_read: BorrowedFd<'a>,
    go_write: &'a OwnedFd,
    report: BorrowedFd<'a>,
}

extern "C" fn child_main<P: AsRef<CStr>>(child: *const c_void) -> ! {
    // SAFETY: `spawn` passes the address of a `Child<P>` that the parent keeps
    // and does not change until this process is gone or has executed.
    let child = unsafe { &*child.cast::<Child<'_, P>>() };
    // The copy of the write end must go, or the parent's death is never seen.
    // SAFETY: the table of descriptors is this process's own copy (no
    // CLONE_FILES), and nothing in it uses that number afterwards.
    unsafe { rustix::io::close(child.go_write.as_raw_fd()) };
    restore_signals();
    // The numbers up to `MOST_PASSED` + 3 are for `Step::Descriptors` to fill.
    let above = MOST_PASSED + 3;
    let (Ok(go), Ok(report)) = (
        duplicate(child.go_read, above),
        duplicate(child.report, above),
    ) else {
        let failure = StepFailure {
            step: 0,
            errno: Errno::MFILE,
        };
        let _ = write(child.report, &failure.to_bytes());
        exit(125)
    };
    // SAFETY: both were just made, and nothing closes them before exec.
    let (go, report) = unsafe { (BorrowedFd::borrow_raw(go), BorrowedFd::borrow_raw(report)) };
    let failure = run(child.launch, go);
    let _ = write(report, &failure.to_bytes());
    exit(125)
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: ends this process only; nothing of it is used afterwards.
        let _ = unsafe { call(raw::__NR_exit_group, [code, 0, 0, 0, 0, 0]) };
    }
}

/// Gives every signal its default action, and unblocks all. CLONE_CLEAR_SIGHAND
/// has taken the handlers away; what was ignored (SIGPIPE is, in a Rust
/// program; SIGHUP under nohup) is still ignored.
fn restore_signals() {
    let action = [0usize; 4]; // struct sigaction: SIG_DFL, no flags, no mask
    for signal in 1..=64 {
        // SAFETY: the structure is as large as the kernel's and outlives the
        // call; handlers are per process here (no CLONE_SIGHAND).
        let _ = unsafe {
            call(
                raw::__NR_rt_sigaction,
                [signal, action.as_ptr() as usize, 0, 8, 0, 0],
            )
        };
    }
    let _ = set_mask(0);
}

/// Sets the calling thread's mask of blocked signals and gives the former one.
pub(crate) fn set_mask(mask: u64) -> Result<u64, Errno> {
    let mut former = 0u64;
    const SETMASK: usize = 2;
    // SAFETY: both pointers are to 8 bytes, which is the size that is told.
    unsafe {
        call(
            raw::__NR_rt_sigprocmask,
            [
                SETMASK,
                &raw const mask as usize,
                &raw mut former as usize,
                8,
                0,
                0,
            ],
        )
    }?;
    Ok(former)
}

/// Memory for the child's stack, with an inaccessible page below.
struct Stack(*mut c_void);

impl Stack {
    /// Unoptimised code needs more than the 8 KiB that a release build does;
    /// pages that are not touched cost nothing.
    const SIZE: usize = 256 << 10;
    const GUARD: usize = 64 << 10;

    fn new() -> Result<Self, Errno> {
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let base = unsafe {
            call(
                raw::__NR_mmap,
                [
                    0,
                    Self::SIZE,
                    (raw::PROT_READ | raw::PROT_WRITE) as usize,
                    (raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE) as usize,
                    usize::MAX,
                    0,
                ],
            )
        }?;
        let stack = Self(ptr::with_exposed_provenance_mut(base));
        // SAFETY: the lowest part of the mapping just made, not yet in use.
        unsafe { call(raw::__NR_mprotect, [base, Self::GUARD, 0, 0, 0, 0]) }?;
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; `start` lets it go only when the child is
        // dead or has executed and so left this memory.
        let _ = unsafe { call(raw::__NR_munmap, [self.0 as usize, Self::SIZE, 0, 0, 0, 0]) };
    }
}

fn spawn<P: AsRef<CStr>>(
    launch: &Launch<'_, P>,
    stack: &Stack,
    child: &Child<'_, P>,
) -> Result<Process, Errno> {
    let mut pidfd: i32 = -1;
    let mut flags = u64::from(raw::CLONE_VM)
        | u64::from(raw::CLONE_PIDFD)
        | raw::CLONE_CLEAR_SIGHAND
        | u64::from(launch.namespaces.bits());
    if launch.cgroup.is_some() {
        flags |= raw::CLONE_INTO_CGROUP;
    }
    let arguments = raw::clone_args {
        flags,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: raw::SIGCHLD.into(),
        stack: stack.0 as u64,
        stack_size: Stack::SIZE as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: launch.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // A handler of the parent's must not run on the child's stack, in memory
    // that both use, before CLONE_CLEAR_SIGHAND has its effect.
    let mask = set_mask(u64::MAX)?;
    // SAFETY: the structure is complete, the stack is unused and big enough, and
    // `child` outlives the child's use of it (see `start`). The child has no
    // thread-local storage of its own, so `child_main` uses none.
    let value = unsafe {
        clone3(
            &arguments,
            child_main::<P>,
            ptr::from_ref(child).cast::<c_void>(),
        )
    };
    let _ = set_mask(mask);
    let pid = result(value)?;
    // SAFETY: with CLONE_PIDFD and success the kernel has stored a new descriptor.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(Errno::SRCH)?;
    Ok(Process { pid, pidfd })
}

/// clone3(2), whose child calls `entry` on its new stack and never returns.
unsafe fn clone3(
    arguments: &raw::clone_args,
    entry: extern "C" fn(*const c_void) -> !,
    data: *const c_void,
) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: in the parent this is one system call. In the child rsp is the
    // top of its stack, 16-byte aligned as a call wants it; r8 and r9 are kept
    // by the kernel; `entry` does not return.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") raw::__NR_clone3 as isize => value,
            in("rdi") ptr::from_ref(arguments),
            in("rsi") size_of::<raw::clone_args>(),
            in("r8") entry,
            in("r9") data,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: in the parent this is one system call. In the child sp is the top
    // of its stack, 16-byte aligned; x9 and x10 are kept by the kernel; `entry`
    // does not return.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            in("x8") raw::__NR_clone3 as usize,
            inlateout("x0") ptr::from_ref(arguments) as isize => value,
            in("x1") size_of::<raw::clone_args>(),
            in("x9") entry,
            in("x10") data,
        );
    }
    value
}

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

/// Copies a descriptor to the lowest free number from `least` on, to be closed on exec.
pub(crate) fn duplicate(fd: BorrowedFd<'_>, least: usize) -> Result<i32, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor and changes no other.
    let number = unsafe {
        call(
            raw::__NR_fcntl,
            [
                fd.as_raw_fd() as usize,
                raw::F_DUPFD_CLOEXEC as usize,
                least,
                0,
                0,
                0,
            ],
        )
    }?;
    Ok(number as i32)
}

/// Makes `number` the same as `from`, to be inherited.
///
/// # Safety
/// Nothing that is used afterwards may rely on what `number` was.
pub(crate) unsafe fn place(from: i32, number: i32) -> Result<(), Errno> {
    // SAFETY: as our caller promises.
    unsafe { call(raw::__NR_dup3, [from as usize, number as usize, 0, 0, 0, 0]) }.map(drop)
}

/// Has every descriptor from `first` on closed at exec (man 2 close_range).
pub(crate) fn close_on_exec_from(first: usize) -> Result<(), Errno> {
    const CLOEXEC: usize = 4;
    // SAFETY: sets a flag on descriptors; closes none before exec.
    unsafe {
        call(
            raw::__NR_close_range,
            [first, u32::MAX as usize, CLOEXEC, 0, 0, 0],
        )
    }
    .map(drop)
}
