//! The map: which stretch of the old image stands where in the new one, and what
//! that makes of an address.

use crate::format::{Content, Region, Span};
use crate::range::Coder;
use crate::symbol::{Kind, Model};

/// A stretch of the old image that stands in the new one, with changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub(crate) old: u32,
    pub(crate) new: u32,
    pub(crate) bytes: u32,
}

impl Block {
    pub(crate) const NONE: Self = Self {
        old: 0,
        new: 0,
        bytes: 0,
    };
}

/// Where an address has gone, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// To no region: it is no address.
    Nowhere,
    /// It is in a block.
    There(u32),
    /// It is between two, so seen from the end of the one before.
    Perhaps(u32),
    /// It is in memory that is not in the image.
    Memory(u32),
}

/// The blocks by which addresses are looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Map<'a> {
    pub(crate) regions: &'a [Region],
    /// In the order of the new image.
    pub(crate) blocks: &'a [Block],
    /// Their numbers in the order of the old one.
    pub(crate) order: &'a [u32],
}

impl Map<'_> {
    /// Where the old address has gone.
    pub(crate) fn gone(&self, address: u32) -> Gone {
        let Some(region) = self
            .regions
            .iter()
            .find(|region| region.old.holds_address(address))
        else {
            return Gone::Nowhere;
        };
        let into = address.wrapping_sub(region.old.address);
        if region.content == Content::Memory {
            return Gone::Memory(region.new.address.wrapping_add(into));
        }
        let offset = region.old.offset.wrapping_add(into);
        let at = self
            .order
            .partition_point(|&number| self.block(number).old <= offset);
        let block = match at.checked_sub(1).and_then(|at| self.order.get(at)) {
            Some(&number) => self.block(number),
            None => Block::NONE,
        };
        let new = block.new.wrapping_add(offset.wrapping_sub(block.old));
        let address = self.new_address(region, new);
        if offset.wrapping_sub(block.old) < block.bytes {
            Gone::There(address)
        } else {
            Gone::Perhaps(address)
        }
    }

    fn block(&self, number: u32) -> Block {
        self.blocks
            .get(number as usize)
            .copied()
            .unwrap_or(Block::NONE)
    }

    /// The address of a place in the new image, most likely in `region`.
    fn new_address(&self, region: &Region, offset: u32) -> u32 {
        if region.new.holds_offset(offset) {
            return region.new.address_of(offset);
        }
        let other = self
            .regions
            .iter()
            .find(|other| other.content != Content::Memory && other.new.holds_offset(offset));
        other.unwrap_or(region).new.address_of(offset)
    }

    /// The region of a place in the old image.
    pub(crate) fn region_at(&self, offset: u32) -> Option<&Region> {
        self.regions
            .iter()
            .find(|region| region.content != Content::Memory && region.old.holds_offset(offset))
    }

    /// The address of a place in the new image; the place itself outside all regions.
    pub(crate) fn address_in_new(&self, offset: u32) -> u32 {
        let region = self
            .regions
            .iter()
            .find(|region| region.content != Content::Memory && region.new.holds_offset(offset));
        region.map_or(offset, |region| region.new.address_of(offset))
    }

    /// Whether a number is an address of the old image.
    pub(crate) fn is_address(&self, address: u32) -> bool {
        let mut regions = self.regions.iter();
        regions.any(|region| region.old.holds_address(address))
    }

    /// Whether an old address is one of code.
    pub(crate) fn is_code(&self, address: u32) -> bool {
        let region = self
            .regions
            .iter()
            .find(|region| region.old.holds_address(address));
        region.is_some_and(|region| region.content.is_code())
    }
}

/// Codes a block that comes after another.
pub(crate) fn code_block<C: Coder>(
    model: &mut Model,
    coder: &mut C,
    before: &Block,
    block: &Block,
) -> Block {
    let new = before.new + before.bytes;
    let old = before.old + before.bytes;
    let gap = model.number(coder, Kind::Gap, block.new.wrapping_sub(new));
    let jump = model.signed(coder, Kind::Jump, block.old.wrapping_sub(old) as i32);
    let bytes = model.number(coder, Kind::Length, block.bytes);
    Block {
        old: old.wrapping_add(jump as u32),
        new: new.wrapping_add(gap),
        bytes,
    }
}

/// Codes a region that comes after another; nothing if it is of no known content.
pub(crate) fn code_region<C: Coder>(
    model: &mut Model,
    coder: &mut C,
    before: &Region,
    region: &Region,
) -> Option<Region> {
    let end = |span: &Span| span.offset.wrapping_add(span.bytes);
    let content = model.number(coder, Kind::Run, region.content as u32);
    let skip = region.old.offset.wrapping_sub(end(&before.old)) as i32;
    let skip = model.signed(coder, Kind::Jump, skip);
    let bytes = model.number(coder, Kind::Length, region.old.bytes);
    let address = coder.plain(region.old.address, 32);
    let old = Span {
        offset: end(&before.old).wrapping_add(skip as u32),
        address,
        bytes,
    };
    let skip = region.new.offset.wrapping_sub(end(&before.new)) as i32;
    let skip = model.signed(coder, Kind::Jump, skip);
    let more = region.new.bytes.wrapping_sub(region.old.bytes) as i32;
    let more = model.signed(coder, Kind::Jump, more);
    let moved = region.new.address.wrapping_sub(region.old.address) as i32;
    let moved = model.signed(coder, Kind::Jump, moved);
    let new = Span {
        offset: end(&before.new).wrapping_add(skip as u32),
        address: old.address.wrapping_add(moved as u32),
        bytes: old.bytes.wrapping_add(more as u32),
    };
    Some(Region {
        content: Content::from_number(content)?,
        old,
        new,
    })
}

/// Puts the numbers of the blocks in the order of the old image.
pub(crate) fn sort(blocks: &[Block], order: &mut [u32]) {
    for (at, number) in order.iter_mut().enumerate() {
        *number = at as u32;
    }
    // Shell's sort: the library's is larger than the whole patcher, and the order
    // is nearly right already.
    let old = |number: u32| blocks.get(number as usize).map_or(0, |block| block.old);
    let mut step = order.len() / 2;
    while step > 0 {
        for end in step..order.len() {
            let mut at = end;
            while at >= step && old(order[at - step]) > old(order[at]) {
                order.swap(at - step, at);
                at -= step;
            }
        }
        step /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Span;

    #[test]
    fn an_address_goes_with_its_block() {
        let span = |address| Span {
            offset: 0,
            address,
            bytes: 1_000,
        };
        let regions = [
            Region {
                content: Content::Riscv32,
                old: span(0x4000),
                new: span(0x8000),
            },
            Region {
                content: Content::Memory,
                old: span(0x10_0000),
                new: span(0x10_0010),
            },
        ];
        let block = |old, new, bytes| Block { old, new, bytes };
        let blocks = [block(500, 0, 100), block(0, 100, 200)];
        let mut order = [0; 2];
        sort(&blocks, &mut order);
        assert_eq!(order, [1, 0]);
        let map = Map {
            regions: &regions,
            blocks: &blocks,
            order: &order,
        };
        assert_eq!(map.gone(0x4000), Gone::There(0x8000 + 100));
        assert_eq!(map.gone(0x4000 + 599), Gone::There(0x8000 + 99));
        assert_eq!(map.gone(0x4000 + 210), Gone::Perhaps(0x8000 + 310));
        assert_eq!(map.gone(0x10_0004), Gone::Memory(0x10_0014));
        assert_eq!(map.gone(0x9000), Gone::Nowhere);
        assert!(map.is_code(0x4000) && !map.is_code(0x10_0000));
    }
}
