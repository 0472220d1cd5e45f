//! Where what stands on the flash, and the rules that a layout must keep.

use embedded_storage::nor_flash::NorFlash;

/// One of the two places for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The first; on ESP32 `ota_0`.
    A,
    /// The second; on ESP32 `ota_1`.
    B,
}

impl Slot {
    /// Both, in their order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its number: 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// The slot of this number.
    pub fn of(index: u32) -> Option<Self> {
        match index {
            0 => Some(Self::A),
            1 => Some(Self::B),
            _ => None,
        }
    }
}

/// A part of the flash, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first byte.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
}

impl Region {
    /// A region of `length` bytes from `offset`.
    pub const fn new(offset: u32, length: u32) -> Self {
        Self { offset, length }
    }

    /// The byte after its last.
    pub fn end(&self) -> u32 {
        self.offset.saturating_add(self.length)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// How the flash is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The places for programs.
    pub slots: [Region; 2],
    /// The place for the state: two erasable sectors at least, more spread the wear.
    pub journal: Region,
    /// A download notes how far it came every so many bytes; a whole number of sectors.
    pub checkpoint: u32,
    /// How often a program is started that does not confirm itself, before the other is taken back.
    pub attempts: u8,
}

/// A layout that this flash cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutFault {
    /// A region does not begin and end between sectors, or is empty.
    #[error("the region at {0:#x} is not a whole number of sectors")]
    Alignment(u32),
    /// A region ends behind the flash.
    #[error("the region at {0:#x} ends behind the flash")]
    Outside(u32),
    /// Two regions share bytes.
    #[error("the regions at {0:#x} and {1:#x} overlap")]
    Overlap(u32, u32),
    /// The journal has fewer than two sectors, or a sector does not hold four records.
    #[error("the journal needs two sectors of four records each, at least")]
    Journal,
    /// A record of the journal is no whole number of writes, or a unit is larger than a buffer.
    #[error(
        "the flash reads or writes units of {0} bytes, which records and buffers do not divide into"
    )]
    Unit(usize),
    /// The checkpoint is no whole number of sectors, or no attempt is allowed.
    #[error(
        "a checkpoint is one sector at least and a whole number of them; attempts are one at least"
    )]
    Checkpoint,
}

impl Layout {
    /// The region of a slot.
    pub fn slot(&self, slot: Slot) -> Region {
        self.slots[slot.index()]
    }

    /// Checks the layout against what the flash can do, `more` being regions that others keep there.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check<F: NorFlash>(&self, flash: &F, more: &[Region]) -> Result<(), LayoutFault> {
        let sector = F::ERASE_SIZE as u32;
        let own = [self.slots[0], self.slots[1], self.journal];
        let all = own.iter().chain(more);
        for (index, region) in all.clone().enumerate() {
            let aligned =
                region.offset.is_multiple_of(sector) && region.length.is_multiple_of(sector);
            if !aligned || region.length == 0 {
                return Err(LayoutFault::Alignment(region.offset));
            }
            let end = u64::from(region.offset) + u64::from(region.length);
            if end > flash.capacity() as u64 || end > u64::from(u32::MAX) {
                return Err(LayoutFault::Outside(region.offset));
            }
            if let Some(other) = all.clone().take(index).find(|other| other.overlaps(region)) {
                return Err(LayoutFault::Overlap(other.offset, region.offset));
            }
        }
        let unit = F::WRITE_SIZE;
        // Reads go through buffers of 64 bytes.
        if F::READ_SIZE == 0 || !64usize.is_multiple_of(F::READ_SIZE) {
            return Err(LayoutFault::Unit(F::READ_SIZE));
        }
        if unit == 0
            || !crate::state::RECORD.is_multiple_of(unit)
            || !crate::download::STAGE.is_multiple_of(unit)
            || !F::ERASE_SIZE.is_multiple_of(unit)
        {
            return Err(LayoutFault::Unit(unit));
        }
        if self.journal.length / sector < 2 || F::ERASE_SIZE / crate::state::RECORD < 4 {
            return Err(LayoutFault::Journal);
        }
        if self.checkpoint == 0 || !self.checkpoint.is_multiple_of(sector) || self.attempts == 0 {
            return Err(LayoutFault::Checkpoint);
        }
        Ok(())
    }
}
