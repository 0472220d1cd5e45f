//! All memory that the server has: a table with a row for each connection, and
//! the desk, on which one request at a time is worked. All zero while unused, so
//! that it takes no place in the program file and no page before it is needed.

use crate::entry::Once;
use crate::listen::{Listeners, MAX_LISTENERS};
use ounce_http::date::DATE_BYTES;
use ounce_linux::descriptor::DescriptorSlot;

/// The table's length: descriptors from here on are turned away with 503.
pub(crate) const TABLE: usize = 16_384;
/// One whole request.
pub(crate) const INPUT: usize = 32_768;
/// Answers to be sent in one go.
const OUTPUT: usize = 32_768;
/// How many clients can lag behind with an answer that the kernel did not take.
const SPILLS: usize = 16;
const PATH: usize = 8_192;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between requests.
    Idle,
    /// A request has begun.
    Reading,
    /// An answer is on its way.
    Writing,
    /// Answered for the last time; reads on so that the answer is not lost to
    /// a reset (RFC 9112 section 9.6).
    Lingering,
}

/// A connection.
pub(crate) struct Slot {
    pub(crate) socket: DescriptorSlot,
    pub(crate) file: DescriptorSlot,
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) deadline: u32,
    /// One more than the index of its spill; 0 for none.
    pub(crate) spill: u8,
    pub(crate) phase: Phase,
    /// Close after what is being written.
    pub(crate) closes: bool,
    /// `100 Continue` has been sent for the request being read.
    pub(crate) continued: bool,
}

/// An answer that the kernel did not take whole.
pub(crate) struct Spill {
    pub(crate) start: u32,
    /// 0 while it is free.
    pub(crate) end: u32,
    pub(crate) bytes: [u8; OUTPUT],
}

/// What all connections share.
pub(crate) struct Desk {
    /// Seconds on the monotonic clock.
    pub(crate) now: u32,
    /// No request is awaited any more.
    pub(crate) is_stopping: bool,
    pub(crate) date: [u8; DATE_BYTES],
    pub(crate) spills: [Spill; SPILLS],
    pub(crate) input: [u8; INPUT],
    pub(crate) output: [u8; OUTPUT],
    pub(crate) path: [u8; PATH],
}

pub(crate) struct Memory {
    pub(crate) listeners: Listeners,
    pub(crate) slots: [Slot; TABLE],
    pub(crate) desk: Desk,
}

/// Taken once, by the server.
pub(crate) static MEMORY: Once<Memory> = Once::new(Memory {
    listeners: [const { DescriptorSlot::EMPTY }; MAX_LISTENERS],
    slots: [const {
        Slot {
            socket: DescriptorSlot::EMPTY,
            file: DescriptorSlot::EMPTY,
            offset: 0,
            end: 0,
            deadline: 0,
            spill: 0,
            phase: Phase::Idle,
            closes: false,
            continued: false,
        }
    }; TABLE],
    desk: Desk {
        now: 0,
        is_stopping: false,
        date: [0; DATE_BYTES],
        spills: [const {
            Spill {
                start: 0,
                end: 0,
                bytes: [0; OUTPUT],
            }
        }; SPILLS],
        input: [0; INPUT],
        output: [0; OUTPUT],
        path: [0; PATH],
    },
});
