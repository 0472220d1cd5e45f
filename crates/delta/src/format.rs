//! What stands at the head of a patch, and what a region of an image is.
//!
//! The head is plain, so that a device can refuse a patch before it erases
//! anything; all that follows it is range-coded. See docs/delta.md.

/// The first bytes: a name and the version of the format.
pub const MAGIC: [u8; 4] = *b"oz\xd1\x01";

/// Most bytes of a head.
pub const HEADER_BYTES: usize = 4 + 3 * 5 + 2 + 5 + 8 + 32;

/// The largest image, old or new.
pub const LARGEST_IMAGE: u32 = (1 << 31) - 2;

/// What a patch needs to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Blocks of the map.
    pub blocks: u32,
    /// Bytes of the window, a power of two.
    pub window_bytes: u32,
    /// References that are remembered, a power of two.
    pub learned: u32,
    /// Contexts of literals.
    pub contexts: u32,
    /// Regions of the images.
    pub regions: u32,
}

impl Needs {
    /// Nothing.
    const NONE: Self = Self {
        blocks: 0,
        window_bytes: 0,
        learned: 0,
        contexts: 0,
        regions: 0,
    };
}

/// What a patch says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the old image.
    pub old_bytes: u32,
    /// Bytes of the new one.
    pub new_bytes: u32,
    /// Bytes of the patch after its head.
    pub body_bytes: u32,
    /// The memory it takes.
    pub needs: Needs,
    /// After so many bytes of the new image each (a power of two), the patch has
    /// four bytes of the digest of all so far.
    pub check_bytes: u32,
    /// The first eight bytes of the old image's SHA-256.
    pub old_digest: [u8; 8],
    /// The new image's SHA-256.
    pub new_digest: [u8; 32],
}

impl Header {
    /// Of no patch.
    pub(crate) const NONE: Self = Self {
        old_bytes: 0,
        new_bytes: 0,
        body_bytes: 0,
        needs: Needs::NONE,
        check_bytes: 0,
        old_digest: [0; 8],
        new_digest: [0; 32],
    };
}

/// Bytes are not the head of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// There are too few of them yet.
    Short,
    /// They are something else.
    NoPatch,
    /// A number in it is out of range.
    Number,
}

/// Reads plain numbers: seven bits a byte, the lowest first.
struct Plain<'a>(&'a [u8]);

impl Plain<'_> {
    fn byte(&mut self) -> Result<u8, HeaderFault> {
        let (first, rest) = self.0.split_first().ok_or(HeaderFault::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u32, HeaderFault> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 127) << shift;
            if byte < 128 {
                return if value <= LARGEST_IMAGE {
                    Ok(value)
                } else {
                    Err(HeaderFault::Number)
                };
            }
        }
        Err(HeaderFault::Number)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderFault> {
        let (first, rest) = self.0.split_first_chunk().ok_or(HeaderFault::Short)?;
        self.0 = rest;
        Ok(*first)
    }
}

impl Header {
    /// Reads the head at the front of `bytes` and tells how long it is.
    ///
    /// # Errors
    /// [`HeaderFault::Short`] if more bytes are wanted, else what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), HeaderFault> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(HeaderFault::NoPatch);
        }
        let mut plain = Plain(bytes);
        plain.array::<4>()?;
        let old_bytes = plain.number()?;
        let new_bytes = plain.number()?;
        let body_bytes = plain.number()?;
        let sizes = plain.byte()?;
        let more = plain.byte()?;
        let blocks = plain.number()?;
        let power = |bits: u8| 1_u32 << bits;
        let header = Self {
            old_bytes,
            new_bytes,
            body_bytes,
            needs: Needs {
                blocks,
                // From 1 KB, which costs nobody anything, to 32 MB.
                window_bytes: power(10 + (sizes & 15)),
                learned: power(4 + (sizes >> 4)),
                contexts: power(more & 15),
                regions: u32::from(more >> 4) * 4,
            },
            check_bytes: power(10 + plain.byte()?.min(20)),
            old_digest: plain.array()?,
            new_digest: plain.array()?,
        };
        Ok((header, bytes.len() - plain.0.len()))
    }

    /// Writes the head.
    #[cfg(feature = "pack")]
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, mut value: u32| {
            while value > 127 {
                out.push(value as u8 | 128);
                value >>= 7;
            }
            out.push(value as u8);
        };
        let log = |value: u32| value.max(1).ilog2() as u8;
        out.extend_from_slice(&MAGIC);
        number(out, self.old_bytes);
        number(out, self.new_bytes);
        number(out, self.body_bytes);
        out.push((log(self.needs.window_bytes) - 10) | (log(self.needs.learned) - 4) << 4);
        out.push(log(self.needs.contexts) | (self.needs.regions.div_ceil(4) as u8) << 4);
        number(out, self.needs.blocks);
        out.push(log(self.check_bytes) - 10);
        out.extend_from_slice(&self.old_digest);
        out.extend_from_slice(&self.new_digest);
    }
}

/// What the bytes of a region are, as far as references go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Content {
    /// Nothing is looked for.
    Bytes = 0,
    /// Words of 32 bits that may be addresses.
    Words32 = 1,
    /// Words of 64 bits that may be addresses, and of 32 that may be distances to code.
    Words64 = 2,
    /// Call frame information (`.eh_frame`).
    Frames = 3,
    /// Its index (`.eh_frame_hdr`): distances from the region's start.
    FrameIndex = 4,
    /// Memory that has no bytes in the image.
    Memory = 5,
    /// RISC-V of 32 bits, with compressed instructions.
    Riscv32 = 8,
    /// RISC-V of 64 bits, with compressed instructions.
    Riscv64 = 9,
    /// Thumb-2.
    Thumb = 10,
    /// `AArch64`.
    Aarch64 = 11,
    /// `x86-64`.
    X86 = 12,
    /// Xtensa with the windowed calls of the ESP32.
    Xtensa = 13,
}

impl Content {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Bytes,
            1 => Self::Words32,
            2 => Self::Words64,
            3 => Self::Frames,
            4 => Self::FrameIndex,
            5 => Self::Memory,
            8 => Self::Riscv32,
            9 => Self::Riscv64,
            10 => Self::Thumb,
            11 => Self::Aarch64,
            12 => Self::X86,
            13 => Self::Xtensa,
            _ => return None,
        })
    }

    /// Whether this patcher was built with what finds references in it.
    pub(crate) const fn is_built(self) -> bool {
        match self {
            Self::Bytes | Self::Words32 | Self::Memory => true,
            Self::Words64 | Self::Frames | Self::FrameIndex => cfg!(feature = "hosts"),
            Self::Riscv32 | Self::Riscv64 => cfg!(feature = "riscv"),
            Self::Thumb => cfg!(feature = "thumb"),
            Self::Aarch64 => cfg!(feature = "aarch64"),
            Self::X86 => cfg!(feature = "x86"),
            Self::Xtensa => cfg!(feature = "xtensa"),
        }
    }

    pub(crate) fn is_code(self) -> bool {
        self as u8 >= 8
    }
}

/// A part of both images that has one content and one distance from file to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// What it holds.
    pub content: Content,
    /// In the old image.
    pub old: Span,
    /// In the new one.
    pub new: Span,
}

/// Where a region lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// In the file.
    pub offset: u32,
    /// In memory.
    pub address: u32,
    /// In both.
    pub bytes: u32,
}

impl Span {
    /// No place at all.
    pub const NONE: Self = Self {
        offset: 0,
        address: 0,
        bytes: 0,
    };

    /// The address of a place in the file.
    pub(crate) fn address_of(&self, offset: u32) -> u32 {
        self.address.wrapping_add(offset.wrapping_sub(self.offset))
    }

    pub(crate) fn holds_offset(&self, offset: u32) -> bool {
        offset.wrapping_sub(self.offset) < self.bytes
    }

    /// Bytes from a place in the file to the end; none where it is not in it.
    pub(crate) fn left(&self, offset: u32) -> u32 {
        self.bytes.saturating_sub(offset.wrapping_sub(self.offset))
    }

    pub(crate) fn holds_address(&self, address: u32) -> bool {
        address.wrapping_sub(self.address) < self.bytes
    }
}

impl Region {
    /// No region.
    pub const NONE: Self = Self {
        content: Content::Bytes,
        old: Span::NONE,
        new: Span::NONE,
    };
}

#[cfg(all(test, feature = "pack"))]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            old_bytes: 180_000,
            new_bytes: 181_000,
            body_bytes: 1_234,
            needs: Needs {
                blocks: 29,
                window_bytes: 4_096,
                learned: 64,
                contexts: 8,
                regions: 4,
            },
            check_bytes: 1 << 16,
            old_digest: [7; 8],
            new_digest: [9; 32],
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_not_before_it_is_whole() {
        let mut bytes = Vec::new();
        header().emit(&mut bytes);
        assert!(bytes.len() <= HEADER_BYTES);
        for cut in 0..bytes.len() {
            assert_eq!(Header::parse(&bytes[..cut]), Err(HeaderFault::Short));
        }
        let length = bytes.len();
        bytes.push(1);
        assert_eq!(Header::parse(&bytes), Ok((header(), length)));
    }

    #[test]
    fn something_else_is_no_patch_from_its_first_byte_on() {
        assert_eq!(Header::parse(b"\x7f"), Err(HeaderFault::NoPatch));
        assert_eq!(Header::parse(b"oz\xd1\x02more"), Err(HeaderFault::NoPatch));
    }
}
