//! An image without its references: what is left of an instruction when where it
//! points to is taken away. Code that has only moved is found by it.

use crate::format::Region;
use crate::machine::{Form, Walk, bits};
use crate::map::Map;

use super::encode::Bytes;

/// An image without references.
#[derive(Debug)]
pub(crate) struct Masked {
    pub(crate) bytes: Vec<u8>,
    /// Where a unit of code begins, a bit for each byte.
    starts: Vec<u64>,
}

impl Masked {
    /// Takes the references out of an image whose regions stand on the old side.
    pub(crate) fn new(image: &[u8], regions: &[Region]) -> Self {
        let mut bytes = image.to_vec();
        let mut starts = vec![0_u64; image.len() / 64 + 1];
        let map = Map::new(regions, &[], &[]);
        let mut source = Bytes(image);
        for region in regions {
            let start = region.old.offset;
            let end = start
                .saturating_add(region.old.bytes)
                .min(image.len() as u32);
            let mut walk = Walk::BLANK;
            let mut at = start;
            while at < end && map.region_at(at).is_some_and(|own| own == region) {
                let unit = walk.unit(&map, region, &mut source, at, end - at);
                if region.content.is_code() {
                    starts[at as usize / 64] |= 1 << (at % 64);
                }
                if unit.form != Form::None && map.is_address(unit.target) {
                    let raw = unit.raw & !bits(unit.form);
                    let place = at as usize..(at + unit.bytes) as usize;
                    let masked = raw.to_le_bytes();
                    bytes[place].copy_from_slice(&masked[..unit.bytes as usize]);
                    walk.done(region, &unit, region.old.address_of(at), Some(0));
                } else {
                    walk.done(region, &unit, 0, None);
                }
                at += unit.bytes;
            }
        }
        Self { bytes, starts }
    }

    /// Whether a unit of code begins there.
    pub(crate) fn is_start(&self, at: u32) -> bool {
        self.starts
            .get(at as usize / 64)
            .is_some_and(|starts| starts >> (at % 64) & 1 == 1)
    }
}
