//! A child in new namespaces that shares the parent's memory until it executes
//! its program, so that a big parent pays no more than a small one.
//!
//! The child runs a list of `step::Step`s and nothing else. The parent goes on
//! meanwhile: it maps users and fills control groups, and the child waits for
//! it at `Step::AwaitParent`.

use core::ffi::{CStr, c_void};
use core::ptr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::clone::{Stack, clone3, exit};
use crate::descriptor::duplicate;
pub use crate::launch::{Launch, MOST_PASSED, Text};
use crate::signal::{SignalSet, set_mask};
use crate::step::StepFailure;
use crate::syscall::{call, result};
use crate::take::run;

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
/// `Step::AwaitParent`; if it fails, the child is killed and reaped.
///
/// # Errors
/// See [`StartFailure`]; no process is left then.
pub fn start<P: AsRef<CStr>, E>(
    launch: &Launch<'_, P>,
    meanwhile: impl FnOnce(Pid) -> Result<(), E>,
) -> Result<Process, StartFailure<E>> {
    let ended = |list: &[Text<'_>]| list.last().is_some_and(|text| text.is_end());
    if !ended(launch.arguments) || !ended(launch.environment) || launch.passed.len() > MOST_PASSED {
        return Err(StartFailure::Launch);
    }
    let stack = Stack::new().map_err(StartFailure::Clone)?;
    // Only a plan with steps aside touches more than the first page of it.
    let side_stack = Stack::new().map_err(StartFailure::Clone)?;
    let (go_read, go_write) = pipe_with(PipeFlags::CLOEXEC).map_err(StartFailure::Clone)?;
    let (report_read, report_write) = pipe_with(PipeFlags::CLOEXEC).map_err(StartFailure::Clone)?;
    let child = Child {
        launch,
        side_stack: &side_stack,
        go_read: go_read.as_fd(),
        go_write: &go_write,
        report: report_write.as_fd(),
    };
    let process = spawn(launch, &stack, &child).map_err(StartFailure::Clone)?;
    // From here on the child uses `launch`, `child` and both stacks: on every way
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
    side_stack: &'a Stack,
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
    let failure = run(child.launch, go, child.side_stack);
    let _ = write(report, &failure.to_bytes());
    exit(125)
}

/// Gives every signal its default action, and unblocks all. CLONE_CLEAR_SIGHAND
/// has taken the handlers away; what was ignored (SIGPIPE is, in a Rust
/// program; SIGHUP under nohup) is still ignored.
pub(crate) fn restore_signals() {
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
    let _ = set_mask(SignalSet::EMPTY);
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
        stack: stack.base(),
        stack_size: Stack::SIZE as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: launch.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // A handler of the parent's must not run on the child's stack, in memory
    // that both use, before CLONE_CLEAR_SIGHAND has its effect.
    let mask = set_mask(SignalSet::ALL)?;
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
