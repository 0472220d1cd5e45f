//! What a process tells its maker, as eight bytes.

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, read};

use crate::step::StepFailure;

/// What the process tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It waits at the pause with this number.
    Reached(u32),
    /// It has installed a filter; its listener is this descriptor of it.
    Listener(i32),
    /// An act failed, and it has ended.
    Failed(StepFailure),
    /// It has executed its program, or is dead.
    Gone,
}

/// Tags of [`Report`] in the lower half of a record; errors are below.
pub(super) const REACHED: u32 = 0x1000_0000;
pub(super) const LISTENER: u32 = 0x2000_0000;

/// A record of two words.
pub(super) fn record(high: u32, low: u32) -> [u8; 8] {
    (u64::from(high) << 32 | u64::from(low)).to_ne_bytes()
}

impl Report {
    fn from_bytes(bytes: [u8; 8]) -> Self {
        let word = u64::from_ne_bytes(bytes);
        let high = (word >> 32) as u32;
        match word as u32 {
            REACHED => Self::Reached(high),
            LISTENER => Self::Listener(high as i32),
            _ => Self::Failed(StepFailure::from_bytes(bytes)),
        }
    }

    /// Reads the next report from a pipe or socket that a process tells on.
    ///
    /// # Errors
    /// As read(2) says.
    pub fn read(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut bytes = [0; 8];
        loop {
            match read(file, &mut bytes) {
                Ok(8) => return Ok(Self::from_bytes(bytes)),
                Ok(_) => return Ok(Self::Gone),
                Err(Errno::INTR) => {}
                // A socket whose other end died with unread data says so.
                Err(Errno::CONNRESET) => return Ok(Self::Gone),
                Err(errno) => return Err(errno),
            }
        }
    }
}
