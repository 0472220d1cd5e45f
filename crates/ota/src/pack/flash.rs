//! The whole flash of a new device: boot loader, tables, the first program, and its journal.

use std::vec::Vec;

use super::partitions::{self, Kind, Partition, TableFault};
use crate::esp::image::Chip;
use crate::esp::otadata::{Entry, state};
use crate::journal;
use crate::layout::{Layout, Region, Slot};
use crate::state::{Image, State};

/// What an erasable sector of the flash of ESP32 has.
pub const SECTOR: usize = 4096;

/// A flash that cannot be filled so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlashFault {
    /// The partition table.
    #[error("the partition table")]
    Table(#[source] TableFault),
    /// A partition that updates need is not in the table, or ends behind the flash.
    #[error("there is no room for the partition {0}")]
    Partition(&'static str),
    /// The image is larger than its slot.
    #[error("the program of {image} bytes is larger than its slot of {slot}")]
    Image {
        /// Bytes of the image.
        image: usize,
        /// Bytes of the slot.
        slot: u32,
    },
    /// The boot loader does not end before the partition table.
    #[error("the boot loader of {0} bytes reaches into the partition table")]
    BootLoader(usize),
}

/// How often a program that does not confirm itself is started, unless told otherwise.
pub const ATTEMPTS: u8 = 3;

/// Bytes between two notes of how far a download is: 16 sectors.
pub const CHECKPOINT: u32 = 0x1_0000;

fn find(table: &[Partition], kind: Kind, name: &'static str) -> Result<Region, FlashFault> {
    let found = table.iter().find(|partition| partition.kind == kind);
    found
        .map(|partition| Region::new(partition.offset, partition.length))
        .ok_or(FlashFault::Partition(name))
}

/// The layout that a partition table gives, and where the boot loader's record is.
///
/// # Errors
/// The table lacks a partition that updates need.
pub fn layout(table: &[Partition]) -> Result<(Layout, Region), FlashFault> {
    let layout = Layout {
        slots: [
            find(table, Kind::OTA_0, "ota_0")?,
            find(table, Kind::OTA_1, "ota_1")?,
        ],
        journal: find(table, Kind::STATE, "ounce")?,
        checkpoint: CHECKPOINT,
        attempts: ATTEMPTS,
    };
    Ok((layout, find(table, Kind::OTADATA, "otadata")?))
}

/// The flash of a new ESP32: all `flash_bytes` of it, erased where nothing stands.
///
/// `known` is what the journal says of the program, an app image, that stands in the first slot.
/// Without a boot loader its place stays erased, for one that is flashed beside.
///
/// # Errors
/// Something does not fit.
pub fn esp32(
    chip: Chip,
    flash_bytes: usize,
    table: &[Partition],
    boot_loader: Option<&[u8]>,
    known: Image,
    program: &[u8],
) -> Result<Vec<u8>, FlashFault> {
    let (layout, otadata) = layout(table)?;
    let mut flash = std::vec![0xFF; flash_bytes];
    for (region, name) in [
        (layout.slots[0], "ota_0"),
        (layout.slots[1], "ota_1"),
        (layout.journal, "ounce"),
        (otadata, "otadata"),
    ] {
        if region.end() as usize > flash_bytes {
            return Err(FlashFault::Partition(name));
        }
    }
    let slot = layout.slot(Slot::A);
    if program.is_empty() || program.len() > slot.length as usize {
        return Err(FlashFault::Image {
            image: program.len(),
            slot: slot.length,
        });
    }
    let mut put = |offset: u32, bytes: &[u8]| {
        flash[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    };
    if let Some(boot_loader) = boot_loader {
        let offset = chip.boot_loader_offset();
        if offset as usize + boot_loader.len() > partitions::OFFSET as usize {
            return Err(FlashFault::BootLoader(boot_loader.len()));
        }
        put(offset, boot_loader);
    }
    put(
        partitions::OFFSET,
        &partitions::encode(table).map_err(FlashFault::Table)?,
    );
    put(
        otadata.offset,
        &Entry {
            sequence: 1,
            state: state::VALID,
        }
        .encode(),
    );
    put(slot.offset, program);
    put(layout.journal.offset, &journal(known, SECTOR));
    Ok(flash)
}

/// The first sector of the journal of a device that runs `known` in its first slot.
pub fn journal(known: Image, sector_bytes: usize) -> Vec<u8> {
    let mut sector = std::vec![0xFF; sector_bytes];
    journal::first_sector(&State::new(Slot::A, known), &mut sector);
    sector
}
