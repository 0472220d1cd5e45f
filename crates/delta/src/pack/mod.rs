//! Making patches, and applying them to whole images in memory.

mod encode;
mod find;
mod suffix;

use crate::apply::{Apply, Fault, Images, Refused};
use crate::format::{Header, LARGEST_IMAGE};
use crate::map::Block;
use crate::memory::{self, Host, Memory, Needs};

use encode::{Script, Step, encode};
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
    let needs = options.profile.needs();
    let suffixes = Suffixes::new(old);
    let mut blocks = find::blocks(&suffixes, old, new);
    keep_largest(&mut blocks, needs.blocks as usize);
    let copied: u64 = blocks.iter().map(|block| u64::from(block.bytes)).sum();
    let script = Script {
        regions: Vec::new(),
        steps: vec![Step::Literal; new.len() - copied as usize],
        blocks,
    };
    let patch = encode(&script, old, new, &needs, check_bytes(options.profile));
    let result = apply(old, &patch).map_err(DiffError::Wrong)?;
    if result != new {
        return Err(DiffError::Wrong(Fault::NewImage));
    }
    Ok(Made {
        patch,
        blocks: script.blocks.len(),
    })
}

fn check_bytes(profile: Profile) -> u32 {
    match profile {
        Profile::Device => 1 << 16,
        Profile::Host => 1 << 20,
    }
}

/// Leaves out blocks that are not worth their place in the map.
fn keep_largest(blocks: &mut Vec<Block>, most: usize) {
    blocks.retain(|block| block.bytes >= 8);
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
    let mut whole = Whole {
        old,
        new: Vec::new(),
    };
    let mut apply = Apply::new(memory);
    apply.push(patch, &mut whole)?;
    apply.finish()?;
    Ok(whole.new)
}
