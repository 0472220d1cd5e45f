//! The images as the patcher sees them: the old one word by word, read ahead.

use crate::fault::Refused;
use crate::machine::Source;

/// Where the old image is read and the new one goes.
pub trait Images {
    /// Reads from the old image; what is asked for lies within its length.
    ///
    /// # Errors
    /// It cannot be read. The reason is for the implementor to keep.
    fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused>;

    /// Takes the next bytes of the new image.
    ///
    /// # Errors
    /// They cannot be written. The reason is for the implementor to keep.
    fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused>;
}

/// Bytes of the old image that are read at once.
pub(crate) const AHEAD_BYTES: usize = 128;

/// Bytes of the old image, read ahead.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    pub(crate) bytes: [u8; AHEAD_BYTES],
    pub(crate) start: u32,
    pub(crate) count: usize,
    pub(crate) image_bytes: u32,
    pub(crate) failed: bool,
}

/// The old image, seen word by word.
pub(crate) struct Old<'a> {
    pub(crate) ahead: &'a mut Ahead,
    pub(crate) images: &'a mut dyn Images,
}

impl Source for Old<'_> {
    fn word(&mut self, offset: u32) -> u32 {
        let ahead = &mut *self.ahead;
        let mut into = offset.wrapping_sub(ahead.start) as usize;
        if into.saturating_add(4) > ahead.count {
            ahead.start = offset;
            let left = ahead.image_bytes.saturating_sub(offset) as usize;
            ahead.count = left.min(AHEAD_BYTES);
            ahead.bytes = [0; AHEAD_BYTES];
            let read = &mut ahead.bytes[..ahead.count];
            ahead.failed |= !read.is_empty() && self.images.read_old(offset, read).is_err();
            // Past the end there are zeros.
            ahead.count = AHEAD_BYTES;
            into = 0;
        }
        match ahead
            .bytes
            .get(into..)
            .and_then(|bytes| bytes.first_chunk())
        {
            Some(word) => u32::from_le_bytes(*word),
            None => 0,
        }
    }
}
