//! All memory that the server writes to: the page it runs in, and what it has
//! besides unless it is to be tiny. All zero until used, so that it takes no
//! place in the program file.

use crate::engine::Engine;
use crate::entry::{Once, Stack};
use crate::site::Site;
use core::mem::{MaybeUninit, offset_of};

/// A page.
const PAGE: usize = 4_096;
/// For the functions that serve; a listing needs the most: some 1,640 bytes on
/// x86-64, and between 1,792 and 1,920 on AArch64.
const STACK: usize = 1_984;
/// For the state of the loop.
const ENGINE: usize = size_of::<Engine<Site>>();
/// The most connections of a tiny server, in bits.
const TINY_BUSY: usize = 2_048 / 8;
/// The mark of `Once`, as aligned.
const MARK: usize = 16;
const TINY_BUFFER: usize = PAGE - MARK - STACK - ENGINE - TINY_BUSY;

/// What the server needs.
#[repr(C)]
pub struct Memory {
    /// Lowest, so that running over it ends the program.
    pub stack: Stack<STACK>,
    /// The state of the loop.
    pub engine: MaybeUninit<Engine<Site>>,
    /// A bit for each connection of a tiny server.
    pub busy: [u8; TINY_BUSY],
    /// What that receives and sends.
    pub buffer: [u8; TINY_BUFFER],
    /// What others have besides; it begins another page.
    pub room: Room,
}

/// A bit for each connection, and what is received and sent.
pub struct Room {
    /// The bits.
    pub busy: [u8; 65_536 / 8],
    /// What is received and sent.
    pub buffer: [u8; 49_152],
}

/// The page that a tiny server writes to, and behind it what others write to.
#[repr(align(4096))]
pub struct Page(pub Once<Memory>);

impl Page {
    /// All zeros.
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each static that is made of it is a page of its own"
    )]
    pub const EMPTY: Self = {
        assert!(MARK + offset_of!(Memory, room) == PAGE);
        Self(Once::new(Memory {
            stack: Stack::EMPTY,
            engine: MaybeUninit::zeroed(),
            busy: [0; TINY_BUSY],
            buffer: [0; TINY_BUFFER],
            room: Room {
                busy: [0; 65_536 / 8],
                buffer: [0; 49_152],
            },
        }))
    };
}
