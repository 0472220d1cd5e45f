//! Memory for a program that is over in a millisecond: pieces of one block, cut
//! off one after the other and hardly ever given back. musl's allocator asks
//! the kernel some 90 times while `ounce run` starts; this one never does.
//!
//! A program that needs more than the block goes on with the allocator behind.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A block of `SIZE` bytes, and the allocator for all that does not fit.
///
/// The block lies in zeroed memory of the program, so that what is not used of
/// it costs nothing.
#[derive(Debug)]
pub struct Arena<A, const SIZE: usize> {
    block: Block<SIZE>,
    /// How many bytes of the block are in use.
    used: AtomicUsize,
    behind: A,
}

#[derive(Debug)]
#[repr(align(4096))]
struct Block<const SIZE: usize>(UnsafeCell<MaybeUninit<[u8; SIZE]>>);

// SAFETY: the bytes are reached only through the pieces that `Arena` gives out,
// each to one owner; its bookkeeping is one atomic number.
unsafe impl<const SIZE: usize> Sync for Block<SIZE> {}

impl<A, const SIZE: usize> Arena<A, SIZE> {
    /// Larger pieces come from behind: a buffer of a megabyte would soon be the
    /// only thing in the block.
    const LARGEST: usize = SIZE / 8;

    /// An empty block in front of `behind`.
    pub const fn new(behind: A) -> Self {
        Self {
            block: Block(UnsafeCell::new(MaybeUninit::uninit())),
            used: AtomicUsize::new(0),
            behind,
        }
    }

    fn start(&self) -> *mut u8 {
        self.block.0.get().cast()
    }

    /// Where in the block a piece begins, if it is of the block.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        let offset = piece.addr().wrapping_sub(self.start().addr());
        (offset < SIZE).then_some(offset)
    }

    fn cut(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() > Self::LARGEST || layout.align() > 4096 {
            return None;
        }
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let begin = used.next_multiple_of(layout.align());
            let end = begin + layout.size();
            if end > SIZE {
                return None;
            }
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::AcqRel, Ordering::Relaxed)
            {
                // SAFETY: `begin` is within the block, checked above.
                Ok(_) => return Some(unsafe { self.start().add(begin) }),
                Err(now) => used = now,
            }
        }
    }

    /// Moves the end of the last piece; whether it was the last.
    fn move_end(&self, from: usize, to: usize) -> bool {
        to <= SIZE
            && self
                .used
                .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}

// Never inlined: a large program has thousands of calls, and grew by a tenth.
// SAFETY: `cut` gives each byte to one piece until the piece at the end gives
// it back, aligned as asked, for the block is aligned to 4096; pieces from
// behind go back there, told apart by their address.
unsafe impl<A: GlobalAlloc, const SIZE: usize> GlobalAlloc for Arena<A, SIZE> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.cut(layout) {
            Some(piece) => piece,
            // SAFETY: passed on as it came.
            None => unsafe { self.behind.alloc(layout) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(offset) => {
                self.move_end(offset + layout.size(), offset);
            }
            // SAFETY: it is not of the block, so it came from behind.
            None => unsafe { self.behind.dealloc(piece, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(piece) else {
            // SAFETY: it is not of the block, so it came from behind.
            return unsafe { self.behind.realloc(piece, layout, size) };
        };
        if size <= Self::LARGEST && self.move_end(offset + layout.size(), offset + size) {
            return piece;
        }
        if size <= layout.size() {
            return piece;
        }
        // SAFETY: the alignment is that of a layout; the caller sees to the size.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not 0, being more than the old one.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both are at least as long as the old one, and apart.
            unsafe { ptr::copy_nonoverlapping(piece, new, layout.size()) };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;
    use std::vec::Vec;

    type Small = Arena<System, 4096>;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn pieces_are_aligned_and_apart_and_the_last_one_comes_back() {
        let arena = Small::new(System);
        // SAFETY: sizes are not 0, and each piece is used within its size.
        unsafe {
            let one = arena.alloc(layout(3, 1));
            let two = arena.alloc(layout(8, 64));
            assert_eq!(two.addr() % 64, 0);
            assert!(two.addr() >= one.addr() + 3);
            arena.dealloc(two, layout(8, 64));
            assert_eq!(arena.alloc(layout(100, 64)), two);
            // Not the last: it stays where it is until the program ends.
            arena.dealloc(one, layout(3, 1));
            assert_ne!(arena.alloc(layout(3, 1)), one);
        }
    }

    #[test]
    fn the_last_piece_grows_in_its_place_and_others_are_copied() {
        let arena = Small::new(System);
        // SAFETY: as above.
        unsafe {
            let one = arena.alloc(layout(4, 4));
            one.copy_from(b"ounc".as_ptr(), 4);
            assert_eq!(arena.realloc(one, layout(4, 4), 8), one);
            let two = arena.alloc(layout(4, 4));
            let moved = arena.realloc(one, layout(8, 4), 16);
            assert!(moved != one && moved.addr() > two.addr());
            assert_eq!(core::slice::from_raw_parts(moved, 4), b"ounc");
            assert_eq!(arena.realloc(moved, layout(16, 4), 2), moved);
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_behind_and_goes_back_there() {
        let arena = Small::new(System);
        let size = 500;
        // SAFETY: as above.
        unsafe {
            let pieces: Vec<_> = (0..20).map(|_| arena.alloc(layout(size, 8))).collect();
            let inside = pieces
                .iter()
                .filter(|piece| arena.offset(**piece).is_some());
            assert_eq!(inside.count(), 8);
            let large = arena.alloc(layout(513, 1));
            assert!(arena.offset(large).is_none());
            let large = arena.realloc(large, layout(513, 1), 100_000);
            large.add(99_999).write(1);
            arena.dealloc(large, layout(100_000, 1));
            for piece in pieces {
                piece.write_bytes(1, size);
                arena.dealloc(piece, layout(size, 8));
            }
        }
    }

    #[test]
    fn threads_get_pieces_of_their_own() {
        static ARENA: Arena<System, 65536> = Arena::new(System);
        let threads: Vec<_> = (0..4u8)
            .map(|number| {
                std::thread::spawn(move || {
                    let pieces: Vec<usize> = (0..200)
                        .map(|_| {
                            // SAFETY: as above.
                            unsafe {
                                let piece = ARENA.alloc(layout(64, 8));
                                piece.write_bytes(number, 64);
                                piece.expose_provenance()
                            }
                        })
                        .collect();
                    pieces.iter().all(|piece| {
                        let piece = ptr::with_exposed_provenance::<u8>(*piece);
                        // SAFETY: allocated above, never given back.
                        (0..64).all(|at| unsafe { piece.add(at).read() } == number)
                    })
                })
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    }
}
