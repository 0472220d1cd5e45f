//! A child in new namespaces that shares the parent's memory until it executes
//! its program, so that a big parent pays no more than a small one.
//!
//! The child runs a list of `step::Step`s and nothing else. The first of them can
//! be begun before the others are known: making a network namespace takes the
//! kernel as long as it takes to find out what is to be run. The parent goes on
//! meanwhile: it maps users and fills control groups, and the child waits for
//! it at `Step::AwaitParent`.

use core::convert::Infallible;
use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::clone::{NOTHING, Stack, clone3, exit, thread, wait};
use crate::descriptor::duplicate;
pub use crate::launch::{Launch, MOST_PASSED, MOST_TASKS, Text, execute_file};
use crate::namespace::Namespaces;
use crate::nest::{Files, Nest, Orders, Shared, side_main};
use crate::signal::{SignalSet, set_mask};
use crate::step::{Step, StepFailure};
use crate::syscall::{call, result};
use crate::take;
use crate::trace::{self, Observed};

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
    /// A list was not ended by [`Text::END`], too many descriptors, or a second
    /// thread that is not waited for.
    Launch,
    /// The process could not be made.
    Clone(Errno),
    /// The caller's own part failed.
    Caller(E),
    /// A step of the child failed.
    Step(StepFailure),
}

/// What a child has and does before all else about it is known.
#[derive(Debug, Clone, Copy)]
pub struct Birth<'a> {
    /// Namespaces it is born in.
    pub namespaces: Namespaces,
    /// A cgroup v2 folder to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Its first steps: only such as name no path and nothing of a [`Launch`].
    /// The launch that follows has them at the front of its own.
    pub steps: &'static [Step<&'static CStr>],
    /// Whether a second thread is to take the steps after [`Step::Aside`]
    /// meanwhile. Where all processors are busy it would but wait for its turn,
    /// and the first thread for that.
    pub beside: bool,
}

/// A child that takes its first steps and then waits to be told the others.
/// Dropping it kills it.
#[derive(Debug)]
pub struct Begun {
    // In this order: the child is dead before its memory goes.
    guard: Guard,
    nest: Nest,
    life: OwnedFd,
    /// The child's end: it may not have a copy of its own yet.
    _end: OwnedFd,
    taken: usize,
}

/// Starts a process on its first steps.
///
/// # Errors
/// The process could not be made. A step that fails is told by [`Begun::start`].
pub fn begin(birth: &Birth<'_>) -> Result<Begun, Errno> {
    let (life, end) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let shared = Shared::default();
    shared.running.store(1, Ordering::Relaxed);
    shared.life[0].store(life.as_raw_fd(), Ordering::Relaxed);
    shared.life[1].store(end.as_raw_fd(), Ordering::Relaxed);
    shared.alone.store(!birth.beside, Ordering::Relaxed);
    let nest = Nest::new(shared, birth.steps)?;
    let process = spawn(birth, &nest)?;
    Ok(Begun {
        guard: Guard(Some(process)),
        nest,
        life: end,
        _end: life,
        taken: birth.steps.len(),
    })
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
    check(launch)?;
    let birth = Birth {
        namespaces: launch.namespaces,
        cgroup: launch.cgroup,
        steps: &[],
        beside: true,
    };
    begin(&birth)
        .map_err(StartFailure::Clone)?
        .start(launch, meanwhile)
}

fn check<P, E>(launch: &Launch<'_, P>) -> Result<(), StartFailure<E>> {
    let ended = |list: &[Text<'_>]| list.last().is_some_and(|text| text.is_end());
    if !ended(launch.arguments)
        || !ended(launch.environment)
        || launch.passed.len() > MOST_PASSED
        || launch.tasks.len() > MOST_TASKS
    {
        return Err(StartFailure::Launch);
    }
    Ok(())
}

impl Begun {
    /// Its id, in the caller's process namespace.
    pub fn pid(&self) -> Pid {
        self.guard.0.as_ref().map_or(Pid::INIT, |one| one.pid)
    }

    fn pidfd(&self) -> BorrowedFd<'_> {
        match &self.guard.0 {
            Some(process) => process.pidfd.as_fd(),
            // Not taken out before `start` is over.
            None => self.life.as_fd(),
        }
    }

    /// Tells it all other steps, and waits until it executes its program. The
    /// launch's namespaces and control group are those of its birth.
    ///
    /// # Errors
    /// See [`StartFailure`]; no process is left then.
    pub fn start<P: AsRef<CStr>, E>(
        self,
        launch: &Launch<'_, P>,
        meanwhile: impl FnOnce(Pid) -> Result<(), E>,
    ) -> Result<Process, StartFailure<E>> {
        self.start_observed(launch, meanwhile, |_| Ok(()))
    }

    /// As [`Begun::start`]; what [`Step::Observe`] hands over goes to `observe`,
    /// before the program is executed: its execution waits for whoever answers
    /// the listener.
    ///
    /// # Errors
    /// As [`Begun::start`].
    pub fn start_observed<P: AsRef<CStr>, E>(
        mut self,
        launch: &Launch<'_, P>,
        meanwhile: impl FnOnce(Pid) -> Result<(), E>,
        observe: impl FnOnce(Observed) -> Result<(), E>,
    ) -> Result<Process, StartFailure<E>> {
        check(launch)?;
        // The second thread takes in what is sent, and the first waits for it.
        let joins = |step: &Step<P>| matches!(step, Step::Join);
        if self.taken > 0 && !launch.steps.iter().any(joins) {
            return Err(StartFailure::Launch);
        }
        let orders = Orders {
            follow: follow::<P>,
            aside: aside::<P>,
            launch: ptr::from_ref(launch).cast(),
            taken: self.taken,
        };
        let shared = self.nest.shared();
        // A child that is on its first steps has a thread that waits for
        // orders: it may have taken a processor that the parent still needs.
        let begun = self.taken > 0;
        let place = ptr::from_ref(&orders).cast_mut();
        shared.orders.store(place, Ordering::Release);
        if !begun {
            shared.told.set();
        }
        // From here on the child uses `launch` and `orders`: on every way out, a
        // panic of `meanwhile` included, the guard has it dead, or it has executed.
        if let Err(error) = meanwhile(self.pid()) {
            // What is done to a child that has failed fails as well: that is the cause.
            let failure = StepFailure::from_word(shared.failure.load(Ordering::Acquire));
            // Not by a later drop: `orders` is gone then.
            drop(self);
            return Err(failure.map_or(StartFailure::Caller(error), StartFailure::Step));
        }
        shared.go.set();
        if begun {
            // Opened after the child was made, so that it has not inherited them.
            let passed = launch.stdio.iter().chain(launch.passed).copied();
            let files = passed.chain(launch.trees.iter().map(AsFd::as_fd));
            if let Err(errno) = Files::send(self.life.as_fd(), files) {
                drop(self);
                return Err(StartFailure::Clone(errno));
            }
            shared.told.set();
        }
        if let Some(sockets) = launch.steps.iter().find_map(|step| match step {
            Step::Observe { sockets } => Some(*sockets),
            _ => None,
        }) {
            let watched = !launch.watch.is_empty();
            // Nothing comes of a child that failed or was killed before; which
            // of the two stands in `failure`.
            match trace::receive_over(self.life.as_fd(), self.pidfd(), sockets, watched) {
                Ok(Some(observed)) => {
                    if let Err(error) = observe(observed) {
                        drop(self);
                        return Err(StartFailure::Caller(error));
                    }
                }
                Ok(None) => {}
                Err(errno) => {
                    drop(self);
                    return Err(StartFailure::Clone(errno));
                }
            }
        }
        wait(&shared.running, 1);
        match StepFailure::from_word(shared.failure.load(Ordering::Acquire)) {
            Some(failure) => Err(StartFailure::Step(failure)),
            // It has executed, or was killed on the way, which is its end to tell.
            None => self.guard.0.take().ok_or(StartFailure::Launch),
        }
    }
}

/// Kills and reaps the process unless it was taken out.
#[derive(Debug)]
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

extern "C" fn child_main(shared: *const c_void) -> ! {
    // SAFETY: `spawn` passes the address of the nest's `Shared`, which the
    // parent keeps until this process is gone or has executed.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let fail = |step: usize, errno| {
        let step = step as u32;
        shared.fail(StepFailure { step, errno });
        exit(125)
    };
    let [end, parents] = [0, 1].map(|which: usize| shared.life[which].load(Ordering::Relaxed));
    let is_sent_all = is_sent_all(shared.steps);
    if is_sent_all && let Err(errno) = unshare_files(end) {
        fail(0, errno);
    }
    // The copy of the parent's end must go, or its death is never seen.
    if !is_sent_all || parents < end {
        // SAFETY: the table of descriptors is this process's own copy (born with
        // it, or made just now), and nothing in it uses that number afterwards.
        unsafe { rustix::io::close(parents) };
    }
    // SAFETY: the parent has put it there; it is closed at exec only.
    let life = unsafe { shared.life() };
    // The numbers up to `MOST_PASSED` + 3 are for `Step::Descriptors` to fill.
    match duplicate(life, MOST_PASSED + 3) {
        Ok(number) => {
            shared.life[0].store(number, Ordering::Relaxed);
            if is_sent_all {
                // It may wait for long, and a
                // program that was just being written when it was made could not be
                // executed by anybody (ETXTBSY) while it holds a copy of that file.
                close_others(number);
            }
        }
        // A limit below these numbers is told so (man 2 F_DUPFD_CLOEXEC).
        Err(Errno::INVAL) => fail(0, Errno::MFILE),
        Err(errno) => fail(0, errno),
    }
    if !shared.steps.is_empty() && !shared.alone.load(Ordering::Relaxed) {
        let data = ptr::from_ref(shared).cast();
        // SAFETY: `side_main` ends its thread itself and uses no thread-local
        // storage; the stack and `shared` lie in the nest.
        let started = unsafe { thread(shared.side_stack(), side_main, data, &shared.side_running) };
        if let Err(errno) = started {
            fail(0, errno);
        }
    }
    for (index, step) in shared.steps.iter().enumerate() {
        if let Err(errno) = take::first(step, shared) {
            fail(index, errno);
        }
    }
    restore_signals();
    // SAFETY: `Begun::start` keeps to what `orders` asks for.
    let orders = unsafe { shared.orders() };
    match (orders.follow)(shared, orders.launch, orders.taken) {}
}

/// Whether a child with these first steps is sent all descriptors that it is to
/// have, and needs none of its parent's but the standard streams.
fn is_sent_all(steps: &[Step<&CStr>]) -> bool {
    !steps.is_empty()
}

/// Leaves the parent's table of descriptors for a copy of what it has up to `last`.
/// A copy of all would take the longer, the more the parent has open, and so
/// would closing them.
fn unshare_files(last: i32) -> Result<(), Errno> {
    /// `CLOSE_RANGE_UNSHARE` (linux/close_range.h).
    const UNSHARE: usize = 1 << 1;
    let first = last as usize + 1;
    // SAFETY: nothing is closed in a table that is shared; in the copy, nothing
    // uses what is not copied: the child has taken no step yet.
    unsafe {
        call(
            raw::__NR_close_range,
            [first, u32::MAX as usize, UNSHARE, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Closes all but the standard streams and this descriptor.
fn close_others(kept: i32) {
    let kept = kept as usize;
    for (first, last) in [(3, kept - 1), (kept + 1, u32::MAX as usize)] {
        // SAFETY: the table of descriptors is this process's own copy, and nothing
        // in it uses any of them: it has taken no step yet.
        let _ = unsafe { call(raw::__NR_close_range, [first, last, 0, 0, 0, 0]) };
    }
}

extern "C" fn follow<P: AsRef<CStr>>(
    shared: &Shared,
    launch: *const c_void,
    taken: usize,
) -> Infallible {
    // SAFETY: `Begun::start` made `Orders` of this function and a launch of this type.
    let launch = unsafe { &*launch.cast::<Launch<'_, P>>() };
    shared.fail(take::run(launch, taken, shared));
    exit(125)
}

extern "C" fn aside<P: AsRef<CStr>>(shared: &Shared, launch: *const c_void) {
    // SAFETY: as above.
    let launch = unsafe { &*launch.cast::<Launch<'_, P>>() };
    take::aside(launch, shared);
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

fn spawn(birth: &Birth<'_>, nest: &Nest) -> Result<Process, Errno> {
    let mut pidfd: i32 = -1;
    let shared = nest.shared();
    let mut flags = u64::from(raw::CLONE_VM)
        | u64::from(raw::CLONE_PIDFD)
        | u64::from(raw::CLONE_CHILD_CLEARTID)
        | raw::CLONE_CLEAR_SIGHAND
        | u64::from(birth.namespaces.bits());
    if birth.cgroup.is_some() {
        flags |= raw::CLONE_INTO_CGROUP;
    }
    if is_sent_all(birth.steps) {
        // It leaves the table at once, with what it needs.
        flags |= u64::from(raw::CLONE_FILES);
    }
    let stack = nest.stack();
    let arguments = raw::clone_args {
        flags,
        pidfd: &raw mut pidfd as u64,
        child_tid: shared.running.as_ptr() as u64,
        exit_signal: raw::SIGCHLD.into(),
        stack: stack.base(),
        stack_size: Stack::SIZE as u64,
        cgroup: birth.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..NOTHING
    };
    // A handler of the parent's must not run on the child's stack, in memory
    // that both use, before CLONE_CLEAR_SIGHAND has its effect.
    let mask = set_mask(SignalSet::ALL)?;
    // SAFETY: the structure is complete; the stack is unused and big enough, and
    // with `shared` in the nest, which outlives the child's use of it (see
    // `Begun`; forgetting that leaks the nest). The child has no thread-local
    // storage of its own, so `child_main` uses none.
    let value = unsafe {
        clone3(
            &arguments,
            child_main,
            ptr::from_ref(shared).cast::<c_void>(),
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
