//! The memory that a child uses of its parent's until it executes: its stacks,
//! and the few words by which the two talk. All of it lies in one mapping of its
//! own, so that a parent that forgets a child leaks it and harms nothing.

use core::convert::Infallible;
use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use rustix::cmsg_space;
use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::clone::{Stack, exit_thread, wait, wake};
use crate::launch::MOST_TASKS;
use crate::mapping::Mapping;
use crate::step::{Step, StepFailure};

/// Two stacks, each above an inaccessible part, and a page for [`Shared`].
#[derive(Debug)]
pub(crate) struct Nest(Mapping);

// SAFETY: the mapping is this value's own, and `Shared` is reached by shared
// references only, being made of atomics and of data that is never changed.
unsafe impl Send for Nest {}

const SHARED: usize = 4 << 10;

impl Nest {
    pub(crate) fn new(
        shared: Shared,
        steps: &'static [Step<&'static CStr>],
    ) -> Result<Self, Errno> {
        const { assert!(size_of::<Shared>() <= SHARED && align_of::<Shared>() <= SHARED) };
        let nest = Self(Mapping::new(2 * Stack::SIZE + SHARED)?);
        for stack in [0, Stack::SIZE] {
            // SAFETY: the mapping was just made.
            unsafe { nest.0.guard(stack, Stack::GUARD) }?;
        }
        // SAFETY: the last page of the mapping just made, in no other use; it is
        // aligned and large enough, see above.
        unsafe { nest.place().write(Shared { steps, ..shared }) };
        Ok(nest)
    }

    pub(crate) fn stack(&self) -> Stack {
        Stack::at(self.0.base())
    }

    fn place(&self) -> *mut Shared {
        self.0.base().wrapping_add(2 * Stack::SIZE).cast()
    }

    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: `new` has written it; it is changed through its atomics only,
        // and lives as long as the mapping, which is our own.
        unsafe { &*self.place() }
    }
}

/// What the child does once it is told.
pub(crate) struct Orders {
    pub(crate) follow: extern "C" fn(&Shared, *const c_void, usize) -> Infallible,
    pub(crate) aside: extern "C" fn(&Shared, *const c_void),
    pub(crate) launch: *const c_void,
    pub(crate) taken: usize,
}

/// The second thread.
pub(crate) extern "C" fn side_main(shared: *const c_void) -> ! {
    // SAFETY: who starts it passes the address of a nest's `Shared`.
    let shared = unsafe { &*shared.cast::<Shared>() };
    // SAFETY: `process` keeps to what `orders` asks for.
    let orders = unsafe { shared.orders() };
    (orders.aside)(shared, orders.launch);
    exit_thread()
}

/// What parent, child and the child's second thread tell one another.
#[derive(Default)]
pub(crate) struct Shared {
    /// The first steps.
    pub(crate) steps: &'static [Step<&'static CStr>],
    /// Not 0 while the child runs in this memory; the kernel sets it to 0 when
    /// the child executes or ends.
    pub(crate) running: AtomicU32,
    /// Whether the first thread takes all steps.
    pub(crate) alone: AtomicBool,
    /// Set once the first thread needs the host's tree of mounts no more.
    pub(crate) free: Signal,
    /// Set once `orders` can be read.
    pub(crate) told: Signal,
    /// Set once the parent has done its part.
    pub(crate) go: Signal,
    /// What to do.
    pub(crate) orders: AtomicPtr<Orders>,
    /// A [`StepFailure`], or 0.
    pub(crate) failure: AtomicU64,
    /// Both ends of a socket pair whose end is the parent's.
    pub(crate) life: [AtomicI32; 2],
    /// What came through it: the launch's descriptors, if they were not inherited.
    pub(crate) files: Files,
    /// Not 0 while the second thread runs.
    pub(crate) side_running: AtomicU32,
    /// As `failure`, of the second thread.
    pub(crate) side_failure: AtomicU64,
    /// Left by one thread for the other.
    pub(crate) left: Left,
}

/// Descriptors that one thread opens and the other uses; they share the table.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) root: Handed,
    pub(crate) devices: Handed,
    pub(crate) empty: Handed,
    pub(crate) sys: Handed,
    pub(crate) tasks: [Handed; MOST_TASKS],
}

impl Shared {
    /// The stack that the second thread is to run on.
    pub(crate) fn side_stack(&self) -> Stack {
        let place = ptr::from_ref(self).cast_mut().cast::<u8>();
        Stack::at(place.wrapping_sub(Stack::SIZE))
    }

    /// The end of the socket pair that tells of the parent's end.
    ///
    /// # Safety
    /// It must have been put there and not been closed.
    pub(crate) unsafe fn life(&self) -> BorrowedFd<'_> {
        // SAFETY: as our caller promises.
        unsafe { BorrowedFd::borrow_raw(self.life[0].load(Ordering::Relaxed)) }
    }

    /// Waits for the orders.
    ///
    /// # Safety
    /// Their address must be stored before `told` is set, and they must be
    /// there until this process is gone or has executed.
    pub(crate) unsafe fn orders(&self) -> &Orders {
        self.told.wait();
        // SAFETY: as our caller promises.
        unsafe { &*self.orders.load(Ordering::Acquire) }
    }

    pub(crate) fn fail(&self, failure: StepFailure) {
        self.failure.store(failure.to_word(), Ordering::Release);
    }
}

/// How many descriptors a launch can have: as many as one message can carry
/// (SCM_MAX_FD of net/scm.h).
pub(crate) const MOST_FILES: usize = 253;

/// The numbers that a launch's descriptors have in the child.
pub(crate) struct Files([AtomicI32; MOST_FILES]);

impl Default for Files {
    fn default() -> Self {
        Self([const { AtomicI32::new(0) }; MOST_FILES])
    }
}

impl Files {
    /// Sends the descriptors to the child.
    pub(crate) fn send<'a>(
        through: BorrowedFd<'_>,
        files: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> Result<(), Errno> {
        let mut list = [through; MOST_FILES];
        let mut count = 0;
        for file in files {
            *list.get_mut(count).ok_or(Errno::TOOMANYREFS)? = file;
            count += 1;
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FILES))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&list[..count]));
        let bytes = [IoSlice::new(b"f")];
        sendmsg(through, &bytes, &mut ancillary, SendFlags::NOSIGNAL).map(drop)
    }

    /// Takes them out in the child, closed on exec.
    pub(crate) fn receive(&self, through: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FILES))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        recvmsg(through, &mut bytes, &mut ancillary, flags)?;
        let files = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        for (place, file) in self.0.iter().zip(files.flatten()) {
            place.store(file.into_raw_fd() + 1, Ordering::Release);
        }
        Ok(())
    }

    /// The descriptor with this index, if it was received.
    pub(crate) fn get(&self, index: usize) -> Option<BorrowedFd<'_>> {
        let number = self.0.get(index)?.load(Ordering::Acquire);
        // SAFETY: received, and closed by nothing before exec.
        (number > 0).then(|| unsafe { BorrowedFd::borrow_raw(number - 1) })
    }
}

/// A word that is set once, and waited for.
#[derive(Default)]
pub(crate) struct Signal(AtomicU32);

impl Signal {
    pub(crate) fn set(&self) {
        self.0.store(1, Ordering::Release);
        wake(&self.0);
    }

    pub(crate) fn wait(&self) {
        wait(&self.0, 0);
    }
}

/// A place for a descriptor: its number plus one.
#[derive(Default)]
pub(crate) struct Handed(AtomicI32);

impl Handed {
    pub(crate) fn put(&self, file: OwnedFd) {
        self.0.store(file.into_raw_fd() + 1, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    pub(crate) fn take(&self) -> Option<OwnedFd> {
        let number = self.0.swap(0, Ordering::AcqRel).checked_sub(1)?;
        // SAFETY: `put` gave its ownership up, in a table that both threads
        // share, and only one `take` finds it.
        (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
    }
}
