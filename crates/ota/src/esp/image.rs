//! ESP-IDF's app image: a header of 24 bytes, segments, a checksum at the end of a block of 16, and
//! SHA-256 of all before it. A boot loader starts no other.

use embedded_storage::nor_flash::ReadNorFlash;
use sha2::{Digest as _, Sha256};

use crate::layout::Region;

/// What an image begins with.
pub const MAGIC: u8 = 0xE9;

/// Bytes of the header of an image.
pub const HEADER: usize = 24;

/// Bytes of the header of a segment: where it is loaded to, and its length.
pub const SEGMENT_HEADER: usize = 8;

/// Most segments of an image, `ESP_IMAGE_MAX_SEGMENTS`.
pub const SEGMENTS_LIMIT: u8 = 16;

/// What the checksum begins with.
pub const CHECKSUM_SEED: u8 = 0xEF;

const HASH: u32 = 32;

/// Chips that images are for, `esp_chip_id_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chip {
    /// ESP32.
    Esp32,
    /// ESP32-S2.
    Esp32S2,
    /// ESP32-C3.
    Esp32C3,
    /// ESP32-S3.
    Esp32S3,
    /// ESP32-C2.
    Esp32C2,
    /// ESP32-C6.
    Esp32C6,
    /// ESP32-H2.
    Esp32H2,
}

impl Chip {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Esp32,
        Self::Esp32S2,
        Self::Esp32C3,
        Self::Esp32S3,
        Self::Esp32C2,
        Self::Esp32C6,
        Self::Esp32H2,
    ];

    /// Its number in the header.
    pub fn id(self) -> u16 {
        match self {
            Self::Esp32 => 0,
            Self::Esp32S2 => 2,
            Self::Esp32C3 => 5,
            Self::Esp32S3 => 9,
            Self::Esp32C2 => 12,
            Self::Esp32C6 => 13,
            Self::Esp32H2 => 16,
        }
    }

    /// Its name, as esptool has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Esp32 => "esp32",
            Self::Esp32S2 => "esp32s2",
            Self::Esp32C3 => "esp32c3",
            Self::Esp32S3 => "esp32s3",
            Self::Esp32C2 => "esp32c2",
            Self::Esp32C6 => "esp32c6",
            Self::Esp32H2 => "esp32h2",
        }
    }

    /// The chip of this number.
    pub fn of(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|chip| chip.id() == id)
    }

    /// Where its boot loader stands on the flash.
    pub fn boot_loader_offset(self) -> u32 {
        match self {
            Self::Esp32 | Self::Esp32S2 => 0x1000,
            _ => 0,
        }
    }
}

/// Reads a region in order, in buffers as a driver likes them, and hashes what was read.
struct Scan<'f, F> {
    flash: &'f mut F,
    region: Region,
    at: u32,
    buffer: [u8; 64],
    sha: Sha256,
}

impl<F: ReadNorFlash> Scan<'_, F> {
    /// The next byte that is read; it must be within the region.
    fn byte(&mut self) -> Result<u8, F::Error> {
        let within = self.at as usize % self.buffer.len();
        if within == 0 {
            self.flash
                .read(self.region.offset + self.at, &mut self.buffer)?;
        }
        let byte = self.buffer[within];
        self.sha.update([byte]);
        self.at += 1;
        Ok(byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], F::Error> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    fn holds(&self, count: u32) -> bool {
        count <= self.region.length - self.at
    }
}

/// The size of the image for `chip` in a region, with its hash; `None` where there is none, or one that
/// a boot loader would not start: cut, a wrong checksum, a wrong hash, no hash.
///
/// # Errors
/// The flash cannot be read.
pub fn measure<F: ReadNorFlash>(
    flash: &mut F,
    region: Region,
    chip: u16,
) -> Result<Option<u32>, F::Error> {
    let mut scan = Scan {
        flash,
        region,
        at: 0,
        buffer: [0; 64],
        sha: Sha256::new(),
    };
    if !scan.holds(HEADER as u32) {
        return Ok(None);
    }
    let header: [u8; HEADER] = scan.bytes()?;
    let segments = header[1];
    let sound = header[0] == MAGIC
        && (1..=SEGMENTS_LIMIT).contains(&segments)
        && header[12..14] == chip.to_le_bytes()
        && header[23] == 1;
    if !sound {
        return Ok(None);
    }
    let mut sum = CHECKSUM_SEED;
    for _ in 0..segments {
        if !scan.holds(SEGMENT_HEADER as u32) {
            return Ok(None);
        }
        let [_, _, _, _, length @ ..]: [u8; SEGMENT_HEADER] = scan.bytes()?;
        let length = u32::from_le_bytes(length);
        if !scan.holds(length) {
            return Ok(None);
        }
        for _ in 0..length {
            sum ^= scan.byte()?;
        }
    }
    let padding = 15 - scan.at % 16;
    if !scan.holds(padding + 1 + HASH) {
        return Ok(None);
    }
    for _ in 0..padding {
        scan.byte()?;
    }
    if scan.byte()? != sum {
        return Ok(None);
    }
    let hash: [u8; 32] = scan.sha.clone().finalize().into();
    let told: [u8; 32] = scan.bytes()?;
    Ok((hash == told).then_some(scan.at))
}
