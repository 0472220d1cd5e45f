//! ESP-IDF's partition table: rows of 32 bytes, then a row with the MD5 of those before.

use std::string::String;
use std::vec::Vec;

use md5::{Digest as _, Md5};

/// Where the table stands, unless a boot loader was built to look elsewhere.
pub const OFFSET: u32 = 0x8000;

/// The most bytes a table has; the sector behind them is not used.
pub const BYTES: usize = 0xC00;

const ROW: usize = 32;
const MAGIC: [u8; 2] = [0xAA, 0x50];
const SUM_MAGIC: [u8; 16] = {
    let mut magic = [0xFF; 16];
    magic[0] = 0xEB;
    magic[1] = 0xEB;
    magic
};

/// What a partition is for: type and subtype, as `esp_partition.h` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8, pub u8);

impl Kind {
    /// The first program.
    pub const OTA_0: Self = Self(0, 0x10);
    /// The second.
    pub const OTA_1: Self = Self(0, 0x11);
    /// The boot loader's record of what to start.
    pub const OTADATA: Self = Self(1, 0x00);
    /// Calibration of the radio.
    pub const PHY: Self = Self(1, 0x01);
    /// Values that the program keeps.
    pub const NVS: Self = Self(1, 0x02);
    /// Ours: the first subtype that is free to use.
    pub const STATE: Self = Self(1, 0x40);
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Kind,
    /// Its first byte.
    pub offset: u32,
    /// Its bytes.
    pub length: u32,
    /// Its name, 16 bytes at most.
    pub name: String,
}

/// A table that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// More rows than there is room for.
    #[error("{0} partitions are more than the table has room for")]
    TooMany(usize),
    /// A name that is empty, longer than 16 bytes or not of ASCII.
    #[error("the partition name {0:?} is not of 1 to 16 characters of ASCII")]
    Name(String),
    /// A program not at a multiple of 64 KB, or other not at one of 4 KB.
    #[error("the partition {name} at {offset:#x} does not begin at a multiple of {unit:#x}")]
    Alignment {
        /// Which one.
        name: String,
        /// Where.
        offset: u32,
        /// What it should be a multiple of.
        unit: u32,
    },
    /// Two share bytes, or one begins inside the table.
    #[error("the partition {0} overlaps what stands before it")]
    Overlap(String),
    /// The bytes end before the table does.
    #[error("the table has no end")]
    Endless,
    /// A row begins with none of the marks that it may have.
    #[error("row {0} is none")]
    Row(usize),
    /// The sum is not that of the rows.
    #[error("the table's MD5 is wrong")]
    Sum,
}

/// The table of a device of 4 MB with two slots of just under 2 MB and 64 KB of state.
pub fn four_megabytes() -> Vec<Partition> {
    let rows = [
        ("nvs", Kind::NVS, 0x9000, 0x4000),
        ("otadata", Kind::OTADATA, 0xD000, 0x2000),
        ("phy_init", Kind::PHY, 0xF000, 0x1000),
        ("ota_0", Kind::OTA_0, 0x1_0000, 0x1F_0000),
        ("ota_1", Kind::OTA_1, 0x20_0000, 0x1F_0000),
        ("ounce", Kind::STATE, 0x3F_0000, 0x1_0000),
    ];
    let partition = |(name, kind, offset, length): (&str, Kind, u32, u32)| Partition {
        kind,
        offset,
        length,
        name: name.into(),
    };
    rows.into_iter().map(partition).collect()
}

/// The table's bytes, all [`BYTES`] of them.
///
/// # Errors
/// The table breaks a rule of ESP-IDF's own tool.
pub fn encode(partitions: &[Partition]) -> Result<Vec<u8>, TableFault> {
    if (partitions.len() + 1) * ROW > BYTES {
        return Err(TableFault::TooMany(partitions.len()));
    }
    let mut free = u64::from(OFFSET) + 0x1000;
    let mut table = Vec::with_capacity(BYTES);
    for Partition {
        kind,
        offset,
        length,
        name,
    } in partitions
    {
        if name.is_empty() || name.len() > 16 || !name.is_ascii() {
            return Err(TableFault::Name(name.clone()));
        }
        let unit = if kind.0 == 0 { 0x1_0000 } else { 0x1000 };
        if !offset.is_multiple_of(unit) {
            return Err(TableFault::Alignment {
                name: name.clone(),
                offset: *offset,
                unit,
            });
        }
        if u64::from(*offset) < free {
            return Err(TableFault::Overlap(name.clone()));
        }
        free = u64::from(*offset) + u64::from(*length);
        table.extend_from_slice(&MAGIC);
        table.extend_from_slice(&[kind.0, kind.1]);
        table.extend_from_slice(&offset.to_le_bytes());
        table.extend_from_slice(&length.to_le_bytes());
        let mut label = [0; 16];
        label[..name.len()].copy_from_slice(name.as_bytes());
        table.extend_from_slice(&label);
        table.extend_from_slice(&[0; 4]);
    }
    let sum = Md5::digest(&table);
    table.extend_from_slice(&SUM_MAGIC);
    table.extend_from_slice(&sum);
    table.resize(BYTES, 0xFF);
    Ok(table)
}

/// The partitions of a table, whose sum must be right.
///
/// # Errors
/// The bytes are no such table.
pub fn decode(bytes: &[u8]) -> Result<Vec<Partition>, TableFault> {
    let mut partitions = Vec::new();
    for (index, row) in bytes.chunks_exact(ROW).take(BYTES / ROW).enumerate() {
        let word = |at: usize| u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        if row.starts_with(&SUM_MAGIC) {
            let sum = Md5::digest(&bytes[..index * ROW]);
            let right = row[16..] == sum[..];
            return right.then_some(partitions).ok_or(TableFault::Sum);
        }
        if !row.starts_with(&MAGIC) {
            return Err(TableFault::Row(index));
        }
        let name = row[12..28]
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        partitions.push(Partition {
            kind: Kind(row[2], row[3]),
            offset: word(4),
            length: word(8),
            name: String::from_utf8_lossy(name).into_owned(),
        });
    }
    Err(TableFault::Endless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_was_put_into_it() {
        let table = encode(&four_megabytes()).unwrap();
        assert_eq!(table.len(), BYTES);
        assert_eq!(decode(&table), Ok(four_megabytes()));
    }

    #[test]
    fn a_flipped_bit_in_a_table_is_found() {
        let table = encode(&four_megabytes()).unwrap();
        for bit in 0..7 * ROW * 8 {
            let mut wrong = table.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&wrong).is_err(), "bit {bit}");
        }
        assert_eq!(decode(&table[..64]), Err(TableFault::Endless));
        assert_eq!(decode(&[0xFF; BYTES]), Err(TableFault::Row(0)));
    }

    #[test]
    fn what_esp_idf_would_refuse_is_not_written() {
        let with = |change: &dyn Fn(&mut Vec<Partition>)| {
            let mut table = four_megabytes();
            change(&mut table);
            encode(&table)
        };
        assert!(matches!(
            with(&|t| t[3].offset += 0x1000),
            Err(TableFault::Alignment { .. })
        ));
        assert!(matches!(
            with(&|t| t[0].offset -= 0x1000),
            Err(TableFault::Overlap(_))
        ));
        assert!(matches!(
            with(&|t| t[1].length += 1),
            Err(TableFault::Overlap(_))
        ));
        assert!(matches!(
            with(&|t| t[1].name = "a".repeat(17)),
            Err(TableFault::Name(_))
        ));
        let many = core::iter::repeat_n(four_megabytes()[0].clone(), 96).collect::<Vec<_>>();
        assert_eq!(encode(&many), Err(TableFault::TooMany(96)));
    }
}
