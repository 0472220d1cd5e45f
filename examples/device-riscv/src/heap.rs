//! The memory of the WebAssembly engine, and bytes on their way to it: unsafe, since the engine has memory
//! handed to it by address.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;

use spacewasm::{AllocError, Allocator, InnerVec, WasmMemoryAllocator, WasmStream};

/// Bytes of it: a page for the module, and what the engine makes of the module.
pub const HEAP: usize = (64 << 10) + (24 << 10);

#[repr(align(16))]
struct Room(UnsafeCell<[u8; HEAP]>);

// SAFETY: the machine has one processor, and interrupts are not enabled.
unsafe impl Sync for Room {}

static ROOM: Room = Room(UnsafeCell::new([0; HEAP]));

/// Hands out memory in order. What was handed out last can be given back; a module is loaded once between
/// two starts of the machine, so that nothing else has to be.
#[derive(Debug)]
pub struct Heap {
    used: Cell<usize>,
}

impl Heap {
    /// Nothing of it is used.
    pub const fn new() -> Self {
        Self { used: Cell::new(0) }
    }

    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        let from = self.used.get().checked_next_multiple_of(layout.align())?;
        let to = from.checked_add(layout.size())?;
        if layout.align() > 16 || to > HEAP {
            return None;
        }
        self.used.set(to);
        // SAFETY: `from` lies within the room or right behind it.
        NonNull::new(unsafe { ROOM.0.get().cast::<u8>().add(from) })
    }

    fn give(&self, address: *mut u8, layout: Layout) {
        let from = address as usize - ROOM.0.get() as usize;
        if from + layout.size() == self.used.get() {
            self.used.set(from);
        }
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: pieces do not overlap and are aligned as asked; there is one thread.
unsafe impl Allocator for Heap {
    unsafe fn alloc(&self, layout: Layout) -> Result<*mut u8, AllocError> {
        let taken = self.take(layout).ok_or(AllocError::OutOfMemory)?;
        Ok(taken.as_ptr())
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        self.give(address, layout);
    }
}

mod engine {
    //! What the engine calls.
    #![allow(missing_docs)]
    // The lint would have a reference made of what is mutable.
    #![allow(clippy::deref_addrof)]

    use super::Heap;

    spacewasm::global_allocator!(Heap, Heap::new());

    /// The heap.
    pub(super) fn heap() -> &'static Heap {
        // SAFETY: there is one thread, and the engine is not within a call of the allocator.
        unsafe { &*(&raw const ALLOC_IMPL) }
    }
}

/// How many bytes of the heap are in use.
pub fn used() -> usize {
    engine::heap().used.get()
}

/// The memory of modules: from the same heap, and never more than the module began with.
#[derive(Debug)]
pub struct Pages;

impl WasmMemoryAllocator for Pages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        engine::heap().take(layout).ok_or(AllocError::OutOfMemory)
    }

    fn reallocate(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Result<NonNull<u8>, AllocError> {
        Err(AllocError::OutOfMemory)
    }

    fn deallocate(&self, address: NonNull<u8>, layout: Layout) {
        engine::heap().give(address.as_ptr(), layout);
    }
}

/// Bytes that are read piece by piece.
pub struct Pieces<'a> {
    read: &'a mut dyn FnMut(&mut [u8]) -> usize,
    piece: [u8; 128],
}

impl<'a> Pieces<'a> {
    /// Of what `read` fills in: how much that was, 0 at the end.
    pub fn new(read: &'a mut dyn FnMut(&mut [u8]) -> usize) -> Self {
        Self {
            read,
            piece: [0; 128],
        }
    }
}

impl core::fmt::Debug for Pieces<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pieces")
    }
}

impl WasmStream for Pieces<'_> {
    fn read(&mut self) -> Result<Option<InnerVec<u8>>, u8> {
        let count = (self.read)(&mut self.piece).min(self.piece.len());
        if count == 0 {
            return Ok(None);
        }
        // SAFETY: so many bytes are there, and the engine gives the piece back before it asks for the next.
        Ok(Some(unsafe {
            InnerVec::from_raw_parts(self.piece.as_mut_ptr(), self.piece.len(), count)
        }))
    }

    fn return_(&mut self, _: InnerVec<u8>) {}
}
