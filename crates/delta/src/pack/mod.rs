//! Making patches, and applying them to whole images in memory.

pub mod bundle;
mod elf;
mod encode;
mod find;
mod mask;
mod regions;
mod steps;
mod suffix;
mod zstd_patch;

use crate::apply::{Apply, Fault, Images, Refused};
use crate::format::{Content, Header, LARGEST_IMAGE, Needs, Region};
use crate::map::Block;
use crate::memory::{self, Host, Memory};

use encode::{Script, encode, plan};
use mask::Masked;
use steps::Finder;
use suffix::Suffixes;

/// For whom a patch is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Small machines: [`memory::DEVICE`].
    Device,
    /// Large ones: [`memory::HOST`].
    #[default]
    Host,
}

impl Profile {
    /// What a patch of this profile may need.
    #[must_use]
    pub fn needs(self) -> Needs {
        match self {
            Self::Device => memory::DEVICE,
            Self::Host => memory::HOST,
        }
    }
}

/// How a patch is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// For whom.
    pub profile: Profile,
}

impl Options {
    /// For small machines.
    #[must_use]
    pub fn device() -> Self {
        Self {
            profile: Profile::Device,
        }
    }
}

/// A patch, and what it is made of.
#[derive(Debug, Clone)]
pub struct Made {
    /// The patch.
    pub patch: Vec<u8>,
    /// Blocks of its map.
    pub blocks: usize,
    /// The parts of the images that are treated as code or as words.
    pub regions: Vec<Region>,
}

/// A patch cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// An image is larger than the format has numbers for.
    #[error("the {which} image has {bytes} bytes, and no more than {LARGEST_IMAGE} can be")]
    TooLarge {
        /// `old` or `new`.
        which: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// What was made does not give the new image: a fault of this library.
    #[error("the patch that was made cannot be applied: {0}")]
    Wrong(Fault),
}

/// Makes a patch, and applies it once to see that it is right.
///
/// # Errors
/// An image is too large.
pub fn diff(old: &[u8], new: &[u8], options: &Options) -> Result<Made, DiffError> {
    for (which, image) in [("old", old), ("new", new)] {
        if image.len() > LARGEST_IMAGE as usize {
            let bytes = image.len();
            return Err(DiffError::TooLarge { which, bytes });
        }
    }
    let best = best(old, new, options.profile);
    let needs = options.profile.needs();
    let patch = encode(&best, old, new, &needs, check_bytes(options.profile));
    let result = apply(old, &patch).map_err(DiffError::Wrong)?;
    if result != new {
        return Err(DiffError::Wrong(Fault::NewImage));
    }
    Ok(Made {
        patch,
        blocks: best.blocks.len(),
        regions: best.regions,
    })
}

/// Below this everything is tried; above, what is likely.
const SMALL: usize = 2 << 20;

/// The script that makes the smallest patch of those that are tried.
fn best(old: &[u8], new: &[u8], profile: Profile) -> Script {
    let needs = profile.needs();
    let plain = Suffixes::new(old);
    let plain_blocks = find::blocks(&plain, old, new);
    let mut best: Option<(u64, Script)> = None;
    let mut sets = regions::candidates(old, new, &plain_blocks, needs.regions as usize);
    let is_small = new.len() <= SMALL;
    if !is_small && sets.len() > 1 {
        sets.remove(0);
    }
    for regions in sets {
        let old_masked = Masked::new(old, &regions);
        let new_masked = Masked::new(new, &turned(&regions));
        let masked;
        let mut finders = Vec::new();
        if !regions.is_empty() {
            masked = Suffixes::new(&old_masked.bytes);
            let blocks = find::blocks(&masked, &old_masked.bytes, &new_masked.bytes);
            finders.push((&masked, &new_masked.bytes[..], blocks));
        }
        if is_small || regions.is_empty() {
            finders.push((&plain, new, plain_blocks.clone()));
        }
        for (suffixes, wanted, blocks) in finders {
            for least in if is_small {
                &[12, 20, 32, 48][..]
            } else {
                &[32][..]
            } {
                let mut blocks = blocks.clone();
                fit(&mut blocks, &regions, &old_masked, &new_masked);
                blocks.retain(|block| block.bytes >= *least);
                keep_largest(&mut blocks, needs.blocks as usize);
                let mut script = Script::new(regions.clone(), blocks);
                let finder = Finder::new(suffixes, wanted, needs.window_bytes);
                let check = check_bytes(profile);
                let cost = plan(&mut script, old, new, &needs, check, finder);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, script));
                }
            }
        }
    }
    best.map(|(_, script)| script).unwrap_or_default()
}

/// The regions with old and new exchanged.
fn turned(regions: &[Region]) -> Vec<Region> {
    let turn = |region: &Region| Region {
        content: region.content,
        old: region.new,
        new: region.old,
    };
    regions.iter().map(turn).collect()
}

/// Makes blocks of code begin where an instruction does, in both images.
fn fit(blocks: &mut Vec<Block>, regions: &[Region], old: &Masked, new: &Masked) {
    for block in blocks.iter_mut() {
        let region = regions
            .iter()
            .find(|region| region.content != Content::Memory && region.old.holds_offset(block.old));
        if !region.is_some_and(|region| region.content.is_code() && region.content != Content::X86)
        {
            continue;
        }
        let mut skip = 0;
        while skip < 8.min(block.bytes)
            && !(old.is_start(block.old + skip) && new.is_start(block.new + skip))
        {
            skip += 1;
        }
        if skip < 8 && skip < block.bytes {
            block.old += skip;
            block.new += skip;
            block.bytes -= skip;
        }
    }
    blocks.retain(|block| block.bytes > 0);
}

/// Bytes of an image that is sent whole, compressed (zstd, level 19).
#[must_use]
pub fn compressed_bytes(image: &[u8]) -> usize {
    zstd_patch::encode(b"", image, 19).map_or(image.len(), |packed| packed.len())
}

fn check_bytes(profile: Profile) -> u32 {
    match profile {
        Profile::Device => 1 << 16,
        Profile::Host => 1 << 20,
    }
}

/// Leaves out blocks that are not worth their place in the map.
fn keep_largest(blocks: &mut Vec<Block>, most: usize) {
    if blocks.len() > most {
        let mut sizes: Vec<u32> = blocks.iter().map(|block| block.bytes).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let least = sizes[most - 1];
        blocks.retain(|block| block.bytes > least);
    }
}

/// Two images in memory.
struct Whole<'a> {
    old: &'a [u8],
    new: Vec<u8>,
}

impl Images for Whole<'_> {
    fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused> {
        let at = at as usize;
        let bytes = self.old.get(at..at + into.len()).ok_or(Refused)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.new.extend_from_slice(bytes);
        Ok(())
    }
}

/// Applies a whole patch.
///
/// # Errors
/// It is no patch, or not one for this image, or damaged.
pub fn apply(old: &[u8], patch: &[u8]) -> Result<Vec<u8>, Fault> {
    let (header, _) = Header::parse(patch).map_err(|_| Fault::NoPatch)?;
    if header.old_bytes as usize != old.len() {
        return Err(Fault::OldImage);
    }
    apply_in(old, patch, Host::new(&header.needs))
}

/// Applies a whole patch in the memory of some profile.
///
/// # Errors
/// As [`apply`], and it may need more memory than there is.
pub fn apply_in<M: Memory>(old: &[u8], patch: &[u8], memory: M) -> Result<Vec<u8>, Fault> {
    let stated = Header::parse(patch).map_or(0, |(header, _)| header.new_bytes);
    let mut whole = Whole {
        old,
        // What is stated may be wrong, and is taken up to here without growing.
        new: Vec::with_capacity(stated.min(1 << 26) as usize),
    };
    let mut apply = Apply::new(memory);
    apply.push(patch, &mut whole)?;
    apply.finish()?;
    Ok(whole.new)
}
