//! The machine's flash, by the commands of Intel's chips (CFI command set 1).

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::board::{flash_byte, flash_write};
use crate::{FLASH, SECTOR};

// A command goes to both chips at once.
const READ: u32 = 0x00FF_00FF;
const PROGRAM: u32 = 0x0040_0040;
const ERASE: u32 = 0x0020_0020;
const CONFIRM: u32 = 0x00D0_00D0;
const CLEAR: u32 = 0x0050_0050;

const READY: u8 = 0x80;
const FAULTS: u8 = 0x3A;

/// The flash.
#[derive(Debug)]
pub struct Flash;

/// The flash refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A place that is not there, or not whole words or sectors.
    Place,
    /// The chip says that it could not.
    Chip(u8),
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Place => NorFlashErrorKind::OutOfBounds,
            Self::Chip(_) => NorFlashErrorKind::Other,
        }
    }
}

fn wait(offset: u32) -> Result<(), Fault> {
    let status = loop {
        let status = flash_byte(offset);
        if status & READY != 0 {
            break status;
        }
    };
    flash_write(offset, CLEAR);
    flash_write(offset, READ);
    match status & FAULTS {
        0 => Ok(()),
        _ => Err(Fault::Chip(status)),
    }
}

fn check(offset: u32, length: usize, unit: u32) -> Result<(), Fault> {
    let fits = u64::from(offset) + length as u64 <= u64::from(FLASH);
    let whole = offset.is_multiple_of(unit) && (length as u32).is_multiple_of(unit);
    if fits && whole {
        Ok(())
    } else {
        Err(Fault::Place)
    }
}

impl ErrorType for Flash {
    type Error = Fault;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        check(offset, bytes.len(), 1)?;
        for (at, byte) in (offset..).zip(bytes) {
            *byte = flash_byte(at);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        check(from, to.wrapping_sub(from) as usize, SECTOR)?;
        for sector in (from..to).step_by(SECTOR as usize) {
            flash_write(sector, ERASE);
            flash_write(sector, CONFIRM);
            wait(sector)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        check(offset, bytes.len(), 4)?;
        for (at, word) in (offset..).step_by(4).zip(bytes.chunks_exact(4)) {
            flash_write(at, PROGRAM);
            flash_write(at, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            wait(at)?;
        }
        Ok(())
    }
}
