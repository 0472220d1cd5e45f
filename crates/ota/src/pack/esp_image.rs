//! Makes ESP-IDF app images; what judges them is [`measure`], and esptool.

use std::vec::Vec;

use sha2::{Digest as _, Sha256};

use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};

use crate::esp::image::{
    CHECKSUM_SEED, Chip, HEADER, MAGIC, SEGMENT_HEADER, SEGMENTS_LIMIT, measure,
};
use crate::layout::Region;

/// What the memory management maps of the flash at a time.
const PAGE: u32 = 0x1_0000;

/// A part of a program: where it is in memory, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its address.
    pub address: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A program that no image can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// It has no segment, or more than 16 with those that fill up pages.
    #[error("an image has 1 to 16 segments, this one has {0}")]
    Segments(usize),
    /// Two parts that are mapped from flash share a page.
    #[error("the mapped segment at {0:#x} begins in the page that the one before ends in")]
    Page(u32),
    /// A mapped part does not begin at a whole word.
    #[error("the mapped segment at {0:#x} does not begin at a whole word")]
    Word(u32),
}

/// Whether an address is mapped from the flash, not loaded to memory.
fn is_mapped(chip: Chip, address: u32) -> bool {
    // soc.h of each: SOC_DROM_LOW..HIGH and SOC_IROM_LOW..HIGH.
    let ranges: [(u32, u32); 2] = match chip {
        Chip::Esp32 => [(0x3F40_0000, 0x3F80_0000), (0x400D_0000, 0x4040_0000)],
        Chip::Esp32S2 => [(0x3F00_0000, 0x3FF8_0000), (0x4008_0000, 0x4080_0000)],
        Chip::Esp32C3 | Chip::Esp32S3 => [(0x3C00_0000, 0x3E00_0000), (0x4200_0000, 0x4400_0000)],
        Chip::Esp32C2 => [(0x3C00_0000, 0x3C40_0000), (0x4200_0000, 0x4240_0000)],
        Chip::Esp32C6 | Chip::Esp32H2 => [(0x4200_0000, 0x4300_0000), (0, 0)],
    };
    ranges
        .iter()
        .any(|(from, to)| (*from..*to).contains(&address))
}

/// The image of a program.
///
/// Segments that are mapped from flash stand where the flash has the same place in a page as memory has;
/// the others fill the gaps before them, as esptool lays it out.
///
/// # Errors
/// The segments cannot be laid out.
pub fn encode(chip: Chip, entry: u32, segments: &[Segment]) -> Result<Vec<u8>, ImageFault> {
    if segments.is_empty() {
        return Err(ImageFault::Segments(0));
    }
    let mut mapped: Vec<&Segment> = segments
        .iter()
        .filter(|s| is_mapped(chip, s.address))
        .collect();
    mapped.sort_by_key(|segment| segment.address);
    if let Some(odd) = mapped
        .iter()
        .find(|segment| !segment.address.is_multiple_of(4))
    {
        return Err(ImageFault::Word(odd.address));
    }
    for pair in mapped.windows(2) {
        let end = pair[0].address + pair[0].bytes.len() as u32;
        if pair[1].address / PAGE <= end.saturating_sub(1) / PAGE {
            return Err(ImageFault::Page(pair[1].address));
        }
    }
    let mut loaded: Vec<Segment> = segments
        .iter()
        .filter(|s| !is_mapped(chip, s.address))
        .cloned()
        .collect();
    loaded.sort_by_key(|segment| core::cmp::Reverse(segment.address));
    let mut body = Body {
        bytes: std::vec![0; HEADER],
        count: 0,
        sum: CHECKSUM_SEED,
    };
    for segment in mapped {
        loop {
            let at = (body.bytes.len() + SEGMENT_HEADER) as u32;
            let gap = segment.address.wrapping_sub(at) % PAGE;
            if gap == 0 {
                break;
            }
            // A segment that fills the gap has a head of its own; where that does not fit, one page more.
            let room = match gap.checked_sub(SEGMENT_HEADER as u32) {
                Some(room) => room,
                None => gap + PAGE - SEGMENT_HEADER as u32,
            };
            match loaded.last_mut() {
                Some(part) if room > 0 => {
                    let now = (room as usize).min(part.bytes.len());
                    let rest = part.bytes.split_off(now);
                    let first = core::mem::replace(&mut part.bytes, rest);
                    body.put(part.address, &first);
                    part.address += now as u32;
                    if part.bytes.is_empty() {
                        loaded.pop();
                    }
                }
                // Address 0 is told apart by the boot loader: it skips such a segment.
                _ => body.put(0, &std::vec![0; room as usize]),
            }
        }
        body.put(segment.address, &segment.bytes);
    }
    for segment in loaded.iter().rev() {
        body.put(segment.address, &segment.bytes);
    }
    body.finish(chip, entry)
}

/// Bytes in memory, read as a flash is.
struct Bytes<'a>(&'a [u8]);

impl ErrorType for Bytes<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Bytes<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        // Behind the end it is erased: whole buffers are read.
        into.fill(0xFF);
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

/// The chip that an image is for, where it is one, whole, with checksum and hash, and nothing behind it.
pub fn chip_of(image: &[u8]) -> Option<Chip> {
    let id = image.get(12..14)?;
    let chip = Chip::of(u16::from_le_bytes([id[0], id[1]]))?;
    let length = u32::try_from(image.len()).ok()?;
    let size = measure(&mut Bytes(image), Region::new(0, length), chip.id()).ok()??;
    (size == length).then_some(chip)
}

struct Body {
    bytes: Vec<u8>,
    count: usize,
    sum: u8,
}

impl Body {
    /// Adds a segment, filled up to whole words.
    fn put(&mut self, address: u32, bytes: &[u8]) {
        let length = bytes.len().next_multiple_of(4);
        self.bytes.extend_from_slice(&address.to_le_bytes());
        self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes
            .resize(self.bytes.len() + length - bytes.len(), 0);
        self.sum = bytes.iter().fold(self.sum, |sum, byte| sum ^ byte);
        self.count += 1;
    }

    fn finish(mut self, chip: Chip, entry: u32) -> Result<Vec<u8>, ImageFault> {
        if self.count > usize::from(SEGMENTS_LIMIT) {
            return Err(ImageFault::Segments(self.count));
        }
        self.bytes[0] = MAGIC;
        self.bytes[1] = self.count as u8;
        // Two lines at 40 MHz, 4 MB: what the boot loader of the device overrides anyway.
        self.bytes[2] = 2;
        self.bytes[3] = 0x20;
        self.bytes[4..8].copy_from_slice(&entry.to_le_bytes());
        // No pin for write protection.
        self.bytes[8] = 0xEE;
        self.bytes[12..14].copy_from_slice(&chip.id().to_le_bytes());
        // The highest revision of the chip: any.
        self.bytes[17..19].copy_from_slice(&u16::MAX.to_le_bytes());
        self.bytes[23] = 1;
        let padding = 15 - self.bytes.len() % 16;
        self.bytes.resize(self.bytes.len() + padding, 0);
        self.bytes.push(self.sum);
        let hash = Sha256::digest(&self.bytes);
        self.bytes.extend_from_slice(&hash);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Flash;

    type Chips = Flash<4, 4096>;

    fn measured(image: &[u8], length: u32) -> Option<u32> {
        let mut flash = Chips::new(0x40_0000 / 4096);
        flash.put(0x1_0000, image);
        measure(
            &mut flash,
            Region::new(0x1_0000, length),
            Chip::Esp32C3.id(),
        )
        .unwrap()
    }

    fn some() -> Vec<u8> {
        let segments = [
            Segment {
                address: 0x4200_0020,
                bytes: std::vec![7; 70_001],
            },
            Segment {
                address: 0x3C02_0020,
                bytes: std::vec![8; 3_000],
            },
            Segment {
                address: 0x3FC8_0000,
                bytes: std::vec![9; 900],
            },
            Segment {
                address: 0x4038_0000,
                bytes: std::vec![3; 100_000],
            },
        ];
        encode(Chip::Esp32C3, 0x4200_0100, &segments).unwrap()
    }

    #[test]
    fn an_image_is_measured_as_it_was_made() {
        let image = some();
        assert_eq!(measured(&image, 0x1F_0000), Some(image.len() as u32));
        assert_eq!(
            measured(&image, image.len() as u32),
            Some(image.len() as u32)
        );
        assert_eq!(measured(&image, image.len() as u32 - 1), None);
        assert_eq!(chip_of(&image), Some(Chip::Esp32C3));
        assert_eq!(chip_of(&image[..image.len() - 1]), None);
    }

    #[test]
    fn mapped_segments_stand_where_memory_has_them() {
        let image = some();
        let (mut at, mut mapped) = (HEADER, 0);
        for _ in 0..image[1] {
            let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
            let (address, length) = (word(at), word(at + 4));
            at += SEGMENT_HEADER;
            if is_mapped(Chip::Esp32C3, address) {
                assert_eq!(at as u32 % PAGE, address % PAGE, "{address:#x}");
                mapped += 1;
            }
            at += length as usize;
        }
        assert_eq!(mapped, 2);
    }

    #[test]
    fn an_image_with_a_flipped_byte_is_none() {
        let image = some();
        // All of the header, and some of the rest.
        for at in (0..HEADER)
            .chain((HEADER..image.len()).step_by(997))
            .chain([image.len() - 1])
        {
            // Fields that no rule of measuring is about are still under the hash.
            let mut wrong = image.clone();
            wrong[at] ^= 0x40;
            assert_eq!(measured(&wrong, 0x1F_0000), None, "byte {at}");
        }
    }

    #[test]
    fn segments_that_share_a_page_are_refused() {
        let segments = [
            Segment {
                address: 0x4200_0000,
                bytes: std::vec![1; 100],
            },
            Segment {
                address: 0x4200_1000,
                bytes: std::vec![1; 100],
            },
        ];
        assert_eq!(
            encode(Chip::Esp32C3, 0, &segments),
            Err(ImageFault::Page(0x4200_1000))
        );
        assert_eq!(encode(Chip::Esp32C3, 0, &[]), Err(ImageFault::Segments(0)));
    }
}
