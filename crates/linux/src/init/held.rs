//! A process with memory of its own that does [`Act`](super::Act)s and stops
//! where its maker is to go on.

use core::ffi::{CStr, c_void};
use core::ptr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::Orders;
use super::report::Report;
use super::take;
use crate::clone::{MappedStack, NOTHING, Stack, clone3, exit};
use crate::namespace::{self, Namespaces};
use crate::process::{Process, restore_signals};
use crate::signal::{SignalSet, set_mask};
use crate::syscall::{call, result};

/// A process that waits for its maker's word at each `Act::Pause`.
///
/// Dropped, it is killed and reaped, unless it was let go.
#[derive(Debug)]
pub struct Held {
    process: Option<Process>,
    channel: OwnedFd,
}

impl Held {
    /// The process's id, in the caller's process namespace.
    pub fn pid(&self) -> Pid {
        self.process
            .as_ref()
            .map_or(Pid::INIT, |process| process.pid)
    }

    /// The process by a descriptor.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(|process| process.pidfd.as_fd())
    }

    /// Waits for the next report.
    ///
    /// # Errors
    /// As read(2) says.
    pub fn next(&self) -> Result<Report, Errno> {
        Report::read(self.channel.as_fd())
    }

    /// Lets it go on from a pause.
    ///
    /// # Errors
    /// EPIPE when it is dead.
    pub fn go(&self) -> Result<(), Errno> {
        write(&self.channel, b"g").map(drop)
    }

    /// Lets it live on by itself.
    ///
    /// # Errors
    /// EINVAL: it was let go before.
    pub fn release(mut self) -> Result<Process, Errno> {
        self.process.take().ok_or(Errno::INVAL)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
            while let Err(Errno::INTR) =
                waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED)
            {}
        }
    }
}

/// Makes the process.
///
/// Where existing namespaces are to be joined, a helper that shares our memory
/// joins them and makes the process as our child: we stay where we are.
///
/// # Errors
/// As setns(2) and clone3(2) say; EINVAL when a list lacks its end.
pub fn spawn<P: AsRef<CStr>>(orders: &Orders<'_, P>) -> Result<Held, Errno> {
    let ended = |list: &[crate::launch::Text<'_>]| list.last().is_some_and(|text| text.is_end());
    if !ended(orders.arguments) || !ended(orders.environment) {
        return Err(Errno::INVAL);
    }
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut birth = Birth {
        orders,
        ours: ours.as_fd(),
        theirs: theirs.as_fd(),
        parent: 0,
        pidfd: -1,
        outcome: Err(Errno::CANCELED),
    };
    let mask = set_mask(SignalSet::ALL)?;
    let made = if orders.joins.is_empty() {
        // SAFETY: `Birth` outlives the call.
        unsafe { bear(&raw mut birth) };
        birth.outcome
    } else {
        through_helper(&mut birth)
    };
    let _ = set_mask(mask);
    let pid = made?;
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(Errno::SRCH)?;
    // SAFETY: with CLONE_PIDFD and success the kernel has stored a new
    // descriptor, in our table: the helper shares it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(birth.pidfd) };
    Ok(Held {
        process: Some(Process { pid, pidfd }),
        channel: ours,
    })
}

/// What maker, helper and process share at the process's birth.
struct Birth<'a, P> {
    orders: &'a Orders<'a, P>,
    ours: BorrowedFd<'a>,
    theirs: BorrowedFd<'a>,
    /// CLONE_PARENT or 0.
    parent: u32,
    pidfd: i32,
    outcome: Result<usize, Errno>,
}

fn through_helper<P: AsRef<CStr>>(birth: &mut Birth<'_, P>) -> Result<usize, Errno> {
    birth.parent = raw::CLONE_PARENT;
    let mapping = MappedStack::new()?;
    let stack = mapping.stack();
    let mut pidfd: i32 = -1;
    let arguments = raw::clone_args {
        flags: u64::from(raw::CLONE_VM | raw::CLONE_VFORK | raw::CLONE_FILES | raw::CLONE_PIDFD),
        pidfd: &raw mut pidfd as u64,
        exit_signal: raw::SIGCHLD.into(),
        stack: stack.base(),
        stack_size: Stack::SIZE as u64,
        ..NOTHING
    };
    let data = ptr::from_mut(birth).cast::<c_void>();
    // SAFETY: the stack is unused and outlives the helper, for whose end
    // CLONE_VFORK waits; so does `birth`, which only the helper uses meanwhile.
    // It has no thread-local storage and uses none.
    let value = unsafe { clone3(&arguments, helper_main::<P>, data) };
    result(value)?;
    // SAFETY: stored by the kernel for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {}
    birth.outcome
}

extern "C" fn helper_main<P: AsRef<CStr>>(birth: *const c_void) -> ! {
    let birth = birth.cast_mut().cast::<Birth<'_, P>>();
    // SAFETY: `through_helper` passes its `Birth` and waits meanwhile.
    let orders = unsafe { (*birth).orders };
    match join(orders.joins) {
        // SAFETY: as above.
        Ok(()) => unsafe { bear(birth) },
        // SAFETY: as above.
        Err(errno) => unsafe { (*birth).outcome = Err(errno) },
    }
    exit(0)
}

/// A namespace may belong to the user namespace that is joined, or to ours:
/// what is refused before is tried again after.
fn join(joins: &[(BorrowedFd<'_>, Namespaces)]) -> Result<(), Errno> {
    let mut refused = 0u32;
    let user = |kind: Namespaces| kind.contains(Namespaces::USER);
    for (index, (file, kind)) in joins.iter().enumerate() {
        if user(*kind) {
            continue;
        }
        match namespace::enter(*file, *kind) {
            Err(Errno::PERM) => refused |= 1 << (index % 32),
            other => other?,
        }
    }
    for (file, kind) in joins.iter().filter(|(_, kind)| user(*kind)) {
        namespace::enter(*file, *kind)?;
    }
    for (index, (file, kind)) in joins.iter().enumerate() {
        if refused & 1 << (index % 32) != 0 && !user(*kind) {
            namespace::enter(*file, *kind)?;
        }
    }
    Ok(())
}

/// Forks; the process itself never returns from here.
///
/// # Safety
/// `birth` is alive and nobody else uses it meanwhile.
unsafe fn bear<P: AsRef<CStr>>(birth: *mut Birth<'_, P>) {
    // SAFETY: our caller's promise; reading copies plain values.
    let (orders, ours, theirs, parent) = unsafe {
        (
            (*birth).orders,
            (*birth).ours,
            (*birth).theirs,
            (*birth).parent,
        )
    };
    let mut flags = u64::from(raw::CLONE_PIDFD | parent)
        | raw::CLONE_CLEAR_SIGHAND
        | u64::from(orders.namespaces.bits());
    if orders.cgroup.is_some() {
        flags |= raw::CLONE_INTO_CGROUP;
    }
    let arguments = raw::clone_args {
        flags,
        // SAFETY: only the address is taken.
        pidfd: unsafe { &raw mut (*birth).pidfd } as u64,
        exit_signal: if parent == 0 { raw::SIGCHLD.into() } else { 0 },
        cgroup: orders.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..NOTHING
    };
    // SAFETY: a fork: the child has its own copy of all memory and goes on on a
    // copy of this stack. It takes no lock that another thread may have held.
    let outcome = unsafe {
        call(
            raw::__NR_clone3,
            [
                &raw const arguments as usize,
                size_of::<raw::clone_args>(),
                0,
                0,
                0,
                0,
            ],
        )
    };
    if outcome == Ok(0) {
        // The maker's end must go, or its death is never seen.
        // SAFETY: the table is the process's own copy, and it uses that number no more.
        unsafe { rustix::io::close(ours.as_raw_fd()) };
        restore_signals();
        let failure = take::run(orders, theirs);
        if let Some((file, failure)) = failure {
            let _ = write(file, &failure.to_bytes());
        }
        exit(1)
    }
    // SAFETY: our caller's promise.
    unsafe { (*birth).outcome = outcome };
}
