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

/// Bytes of the old image, read ahead from a whole word on.
#[derive(Debug, Clone)]
#[repr(C, align(4))]
pub(crate) struct Ahead {
    pub(crate) start: u32,
    pub(crate) failed: bool,
    image_bytes: u32,
    pub(crate) bytes: [u8; AHEAD_BYTES],
}

impl Ahead {
    /// Nothing of no image.
    pub(crate) const BLANK: Self = Self {
        start: 0,
        failed: false,
        image_bytes: 0,
        bytes: [0; AHEAD_BYTES],
    };

    /// Begins an image of this length.
    pub(crate) fn begin(&mut self, image_bytes: u32) {
        self.image_bytes = image_bytes;
        // No place of an image is within reach of this.
        (self.start, self.failed) = (u32::MAX - 2 * AHEAD_BYTES as u32, false);
    }

    /// Reads on from a place. Past the end there are zeros.
    #[inline(never)]
    fn read(&mut self, offset: u32, images: &mut dyn Images) {
        self.start = offset & !3;
        let left = self.image_bytes.saturating_sub(self.start) as usize;
        self.bytes = [0; AHEAD_BYTES];
        let read = &mut self.bytes[..left.min(AHEAD_BYTES)];
        self.failed |= !read.is_empty() && images.read_old(self.start, read).is_err();
    }
}

/// The old image, seen word by word.
pub(crate) struct Old<'a> {
    pub(crate) ahead: &'a mut Ahead,
    pub(crate) images: &'a mut dyn Images,
}

impl Source for Old<'_> {
    fn word(&mut self, offset: u32) -> u32 {
        let mut into = offset.wrapping_sub(self.ahead.start) as usize;
        if into > AHEAD_BYTES - 4 {
            self.ahead.read(offset, self.images);
            into = (offset & 3) as usize;
        }
        match self.ahead.bytes[into..].first_chunk() {
            Some(word) => u32::from_le_bytes(*word),
            None => 0,
        }
    }
}
