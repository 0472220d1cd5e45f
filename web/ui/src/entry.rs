//! A module's way in: what it exports, and where its one component stands.
//!
//! The only unsafe code: exported names, the word that a module has one thread, and the heap,
//! which hands all on.
#![allow(unsafe_code)]

use core::cell::RefCell;

use crate::bare::trap;
use crate::event::{Component, Event};
use crate::patch::Patch;

/// Where a component stands.
#[derive(Debug)]
pub struct Stage<C>(RefCell<Inner<C>>);

#[derive(Debug)]
struct Inner<C> {
    component: C,
    patch: Patch,
    /// Where the commands and the texts stand, for the page.
    head: [u32; 4],
    #[cfg(feature = "alloc")]
    text: alloc::vec::Vec<u8>,
}

// SAFETY: a shared memory is neither made nor imported, so that an instance has one thread; what
// calls back in from an imported function meets the `RefCell`.
#[cfg(target_arch = "wasm32")]
unsafe impl<C> Sync for Stage<C> {}

impl<C: Component> Default for Stage<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Component> Stage<C> {
    /// With a component that has seen nothing yet.
    pub const fn new() -> Self {
        Self(RefCell::new(Inner {
            component: C::NEW,
            patch: Patch::new(),
            head: [0; 4],
            #[cfg(feature = "alloc")]
            text: alloc::vec::Vec::new(),
        }))
    }

    /// Where the text of the next event goes.
    #[cfg(feature = "alloc")]
    pub fn room(&self, length: u32) -> u32 {
        let Ok(mut inner) = self.0.try_borrow_mut() else {
            trap();
        };
        let inner = &mut *inner;
        inner.text.clear();
        inner.text.resize(length as usize, 0);
        inner.text.as_ptr() as usize as u32
    }

    /// Takes an event; where the head of the patch stands. The last `length` bytes of text count.
    pub fn event(&self, message: u32, argument: u32, detail: u32, length: u32) -> u32 {
        let Ok(mut inner) = self.0.try_borrow_mut() else {
            trap();
        };
        let inner = &mut *inner;
        #[cfg(feature = "alloc")]
        let text = core::str::from_utf8(inner.text.get(..length as usize).unwrap_or_default())
            .unwrap_or_default();
        #[cfg(not(feature = "alloc"))]
        let (text, _) = ("", length);
        let event = Event {
            message,
            argument,
            detail,
            text,
        };
        inner.patch.clear();
        inner.component.event(event, &mut inner.patch);
        inner.head = inner.patch.head();
        inner.head.as_ptr() as usize as u32
    }
}

/// Makes a type that is a [`Component`] the one of this module.
#[macro_export]
macro_rules! component {
    ($component:ty) => {
        // Elsewhere it is only looked at: its tests run on the machine it is written on.
        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::Stage<$component> = $crate::Stage::new();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static STAGE: $crate::Stage<$component> = $crate::Stage::new();

            #[unsafe(no_mangle)]
            extern "C" fn event(message: u32, argument: u32, detail: u32, length: u32) -> u32 {
                STAGE.event(message, argument, detail, length)
            }

            $crate::room!(STAGE);
        };
    };
}

/// Makes a type that is an [`App`](crate::App) the one of this module.
#[cfg(feature = "view")]
#[macro_export]
macro_rules! app {
    ($app:ty) => {
        $crate::component!($crate::Shown<$app>);
    };
}

#[cfg(feature = "alloc")]
#[doc(hidden)]
#[macro_export]
macro_rules! room {
    ($stage:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn room(length: u32) -> u32 {
            $stage.room(length)
        }
    };
}

#[cfg(not(feature = "alloc"))]
#[doc(hidden)]
#[macro_export]
macro_rules! room {
    ($stage:ident) => {};
}

/// The heap. Where there is no more memory it traps: a caller that need not look for a null has
/// no message for it either, with all of formatting behind it.
#[cfg(all(target_arch = "wasm32", feature = "alloc", not(feature = "std")))]
mod heap {
    use core::alloc::{GlobalAlloc, Layout};

    use dlmalloc::GlobalDlmalloc;

    use crate::bare::trap;

    struct Heap;

    #[global_allocator]
    static HEAP: Heap = Heap;

    // SAFETY: all is handed on to an allocator, as it came.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's own promise.
            there(unsafe { GlobalDlmalloc.alloc(layout) })
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller's own promise.
            unsafe { GlobalDlmalloc.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller's own promise.
            there(unsafe { GlobalDlmalloc.realloc(pointer, layout, size) })
        }
    }

    fn there(pointer: *mut u8) -> *mut u8 {
        if pointer.is_null() {
            trap();
        }
        pointer
    }
}

#[cfg(all(target_arch = "wasm32", not(feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The page is told that it trapped; a text would cost more than most components have.
    core::arch::wasm32::unreachable()
}
