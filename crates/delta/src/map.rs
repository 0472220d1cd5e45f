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

/// The numbers of blocks in the order of the old image, as bytes: one for each where that is enough, as on
/// devices, else four.
#[derive(Debug)]
pub(crate) struct Order<B> {
    bytes: B,
    width: usize,
}

impl<B: AsRef<[u8]>> Order<B> {
    /// Of so many blocks.
    pub(crate) fn new(bytes: B, blocks: usize) -> Self {
        let width = if blocks <= 1 << 8 { 1 } else { 4 };
        Self { bytes, width }
    }

    /// The number at a place; 0 where none is.
    #[inline(never)]
    fn get(&self, at: usize) -> usize {
        let bytes = self.bytes.as_ref();
        if self.width == 1 {
            return bytes.get(at).map_or(0, |number| usize::from(*number));
        }
        let wide = bytes.as_chunks().0.get(at);
        wide.map_or(0, |number| u32::from_le_bytes(*number) as usize)
    }
}

impl Order<&mut [u8]> {
    fn set(&mut self, at: usize, number: usize) {
        if self.width == 1 {
            if let Some(place) = self.bytes.get_mut(at) {
                *place = number as u8;
            }
        } else if let Some(place) = self.bytes.as_chunks_mut().0.get_mut(at) {
            *place = (number as u32).to_le_bytes();
        }
    }
}

/// Bytes of the order of so many blocks.
pub(crate) const fn order_bytes(blocks: usize) -> usize {
    if blocks <= 1 << 8 { blocks } else { blocks * 4 }
}

/// The blocks by which addresses are looked up.
#[derive(Debug)]
pub(crate) struct Map<'a> {
    pub(crate) regions: &'a [Region],
    /// In the order of the new image.
    pub(crate) blocks: &'a [Block],
    /// Their numbers in the order of the old one.
    order: Order<&'a [u8]>,
}

impl<'a> Map<'a> {
    /// Of blocks in the order of the new image, with the [`sort`]ed numbers of them.
    pub(crate) fn new(regions: &'a [Region], blocks: &'a [Block], order: &'a [u8]) -> Self {
        let order = Order::new(order, blocks.len());
        Self {
            regions,
            blocks,
            order,
        }
    }

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
        // The last block that begins here or before.
        let (mut from, mut to) = (0, self.blocks.len());
        let mut block = Block::NONE;
        while from < to {
            let middle = (from + to) / 2;
            let here = self.block(self.order.get(middle));
            if here.old <= offset {
                block = here;
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        let new = block.new.wrapping_add(offset.wrapping_sub(block.old));
        let address = self.new_address(region, new);
        if offset.wrapping_sub(block.old) < block.bytes {
            Gone::There(address)
        } else {
            Gone::Perhaps(address)
        }
    }

    fn block(&self, number: usize) -> Block {
        self.blocks.get(number).copied().unwrap_or(Block::NONE)
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

    /// Bytes of the old image from a place that is in no region to the next one.
    pub(crate) fn free_at(&self, offset: u32) -> u32 {
        let regions = self.regions.iter();
        let others = regions.filter(|region| region.content != Content::Memory);
        let left = others.map(|region| region.old.offset.wrapping_sub(offset));
        left.filter(|left| *left > 0).min().unwrap_or(u32::MAX)
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
pub(crate) fn sort(blocks: &[Block], order: &mut [u8]) {
    let count = blocks.len();
    let mut order = Order::new(order, count);
    for at in 0..count {
        order.set(at, at);
    }
    // Shell's sort: the library's is larger than the whole patcher, and the order
    // is nearly right already.
    let old = |number: usize| blocks.get(number).map_or(0, |block| block.old);
    let mut step = count / 2;
    while step > 0 {
        for end in step..count {
            let mut at = end;
            let number = order.get(end);
            while at >= step && old(order.get(at - step)) > old(number) {
                let before = order.get(at - step);
                order.set(at, before);
                at -= step;
            }
            order.set(at, number);
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
        let map = Map::new(&regions, &blocks, &order);
        assert_eq!(map.gone(0x4000), Gone::There(0x8000 + 100));
        assert_eq!(map.gone(0x4000 + 599), Gone::There(0x8000 + 99));
        assert_eq!(map.gone(0x4000 + 210), Gone::Perhaps(0x8000 + 310));
        assert_eq!(map.gone(0x10_0004), Gone::Memory(0x10_0014));
        assert_eq!(map.gone(0x9000), Gone::Nowhere);
        assert!(map.is_code(0x4000) && !map.is_code(0x10_0000));
    }

    #[test]
    fn many_blocks_are_sorted_and_found_as_few_are() {
        for count in [1, 2, 255, 256, 257, 1_000] {
            let numbers = 0..count as u32;
            // Backwards, eight bytes each, with gaps between them.
            let blocks: Vec<Block> = numbers
                .map(|number| Block {
                    old: (count as u32 - 1 - number) * 10,
                    new: number * 8,
                    bytes: 8,
                })
                .collect();
            let mut order = vec![0; order_bytes(count)];
            sort(&blocks, &mut order);
            let span = Span {
                offset: 0,
                address: 0,
                bytes: count as u32 * 10,
            };
            let regions = [Region {
                content: Content::Words32,
                old: span,
                new: span,
            }];
            let map = Map::new(&regions, &blocks, &order);
            for block in &blocks {
                assert_eq!(map.gone(block.old + 7), Gone::There(block.new + 7));
                assert_eq!(map.gone(block.old + 9), Gone::Perhaps(block.new + 9));
            }
        }
    }
}
