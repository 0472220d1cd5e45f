//! The patcher's memory, all of it, and how much of it a profile has.
//!
//! [`Device`] is a value of a stated size for machines of a few kilobytes;
//! `Host` (feature `pack`) has room for programs of many megabytes.

pub use crate::format::Needs;

use crate::format::Region;
use crate::guess::Learned;
use crate::map::{Block, order_bytes};
use crate::range::Chance;

/// Where the patcher keeps what it must remember. A patch that needs more is
/// refused before anything is written.
pub trait Memory {
    /// All of it at once.
    fn parts(&mut self) -> Parts<'_>;
}

/// The memory, in parts.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The map, in the order of the new image.
    pub blocks: &'a mut [Block],
    /// The numbers of its blocks, in the order of the old image: a byte each for up to 256 of them, else
    /// four.
    pub order: &'a mut [u8],
    /// Bytes that were not copied.
    pub window: &'a mut [u8],
    /// Targets that were told.
    pub learned: &'a mut [Learned],
    /// Chances of bytes after others, 256 for each context.
    pub near: &'a mut [Chance],
    /// Where which part of the images is found in memory.
    pub regions: &'a mut [Region],
}

impl Parts<'_> {
    /// Whether there is room.
    pub(crate) fn hold(&self, needs: &Needs) -> bool {
        let fits = |length: usize, count: u32| length >= count as usize;
        fits(self.blocks.len(), needs.blocks)
            && self.order.len() >= order_bytes(needs.blocks as usize)
            && fits(self.window.len(), needs.window_bytes)
            && fits(self.learned.len(), needs.learned)
            && fits(self.near.len() / 256, needs.contexts)
            && fits(self.regions.len(), needs.regions)
    }
}

/// Profile `device`: what a patch for small machines may need.
pub const DEVICE: Needs = Needs {
    blocks: 240,
    window_bytes: 4_096,
    learned: 64,
    contexts: 2,
    regions: 8,
};

/// The memory of profile `device`.
#[derive(Debug, Clone)]
pub struct Device {
    blocks: [Block; DEVICE.blocks as usize],
    order: [u8; order_bytes(DEVICE.blocks as usize)],
    window: [u8; DEVICE.window_bytes as usize],
    learned: [Learned; DEVICE.learned as usize],
    near: [Chance; DEVICE.contexts as usize * 256],
    regions: [Region; DEVICE.regions as usize],
}

impl Device {
    /// Zeros: the patcher begins with what it uses of it.
    pub(crate) const BLANK: Self = Self {
        blocks: [Block::NONE; DEVICE.blocks as usize],
        order: [0; order_bytes(DEVICE.blocks as usize)],
        window: [0; DEVICE.window_bytes as usize],
        learned: [Learned::BLANK; DEVICE.learned as usize],
        near: [Chance::BLANK; DEVICE.contexts as usize * 256],
        regions: [Region::NONE; DEVICE.regions as usize],
    };

    /// Fresh memory; it can stand in a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self::BLANK
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory for Device {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            blocks: &mut self.blocks,
            order: &mut self.order,
            window: &mut self.window,
            learned: &mut self.learned,
            near: &mut self.near,
            regions: &mut self.regions,
        }
    }
}

/// Profile `host`: what a patch may need at most; the memory is taken as it does.
#[cfg(feature = "pack")]
pub const HOST: Needs = Needs {
    blocks: 1 << 20,
    window_bytes: 1 << 23,
    learned: 1 << 18,
    contexts: 256,
    regions: 64,
};

/// Memory for one patch of profile `host`.
#[cfg(feature = "pack")]
#[derive(Debug, Clone)]
pub struct Host {
    blocks: Vec<Block>,
    order: Vec<u8>,
    window: Vec<u8>,
    learned: Vec<Learned>,
    near: Vec<Chance>,
    regions: Vec<Region>,
}

#[cfg(feature = "pack")]
impl Host {
    /// As much as the patch needs, which is bounded by [`HOST`].
    #[must_use]
    pub fn new(needs: &Needs) -> Self {
        let most = |count: u32, most: u32| count.min(most) as usize;
        let blocks = most(needs.blocks, HOST.blocks);
        Self {
            blocks: vec![Block::NONE; blocks],
            order: vec![0; order_bytes(blocks)],
            window: vec![0; most(needs.window_bytes, HOST.window_bytes)],
            learned: vec![Learned::NONE; most(needs.learned, HOST.learned)],
            near: vec![Chance::EVEN; most(needs.contexts, HOST.contexts) * 256],
            regions: vec![Region::NONE; most(needs.regions, HOST.regions)],
        }
    }
}

#[cfg(feature = "pack")]
impl Memory for Host {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            blocks: &mut self.blocks,
            order: &mut self.order,
            window: &mut self.window,
            learned: &mut self.learned,
            near: &mut self.near,
            regions: &mut self.regions,
        }
    }
}
