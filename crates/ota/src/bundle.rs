//! The head of an update: what comes before its payload.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ounceOTA` |
//! | 1 | format: 1 |
//! | 1 | algorithm of the signature: 1, Ed25519 |
//! | 2 | length of the manifest, little endian |
//! | … | the manifest |
//! | 64 | signature of all bytes before it |
//! | … | payload |

use crate::manifest::{MANIFEST_LIMIT, Manifest};
use crate::refusal::Refusal;

/// What a bundle begins with.
pub const MAGIC: [u8; 8] = *b"ounceOTA";

/// Bytes before the manifest.
pub const PREFIX: usize = 12;

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// Most bytes of a head.
pub const HEAD_LIMIT: usize = PREFIX + MANIFEST_LIMIT + SIGNATURE;

const FORMAT: u8 = 1;
const ED25519: u8 = 1;

/// A head, split into its parts; the signature is not verified yet.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// What is signed.
    pub signed: &'a [u8],
    /// The manifest in it, still as bytes.
    pub manifest: &'a [u8],
    /// The signature.
    pub signature: &'a [u8; SIGNATURE],
    /// Bytes of the whole head: where the payload begins.
    pub length: usize,
}

/// How many bytes the head has that begins with these, once its first [`PREFIX`] bytes are there.
///
/// # Errors
/// They are not the beginning of a bundle that is known.
pub fn head_length(bytes: &[u8]) -> Result<usize, Refusal> {
    let prefix: &[u8; PREFIX] = bytes.first_chunk().ok_or(Refusal::Truncated)?;
    let [magic @ .., format, algorithm, low, high] = prefix;
    if *magic != MAGIC {
        return Err(Refusal::NotABundle);
    }
    if *format != FORMAT || *algorithm != ED25519 {
        return Err(Refusal::UnknownFormat);
    }
    let manifest = usize::from(u16::from_le_bytes([*low, *high]));
    if manifest > MANIFEST_LIMIT {
        return Err(Refusal::Manifest);
    }
    Ok(PREFIX + manifest + SIGNATURE)
}

impl<'a> Head<'a> {
    /// Splits the head off the beginning of `bytes`.
    ///
    /// # Errors
    /// They are not the beginning of a bundle, or end before its head.
    pub fn split(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let length = head_length(bytes)?;
        let whole = bytes.get(..length).ok_or(Refusal::Truncated)?;
        let (signed, signature) = whole.split_last_chunk().ok_or(Refusal::Truncated)?;
        Ok(Self {
            signed,
            manifest: &signed[PREFIX..],
            signature,
            length,
        })
    }
}

/// Writes what is signed, the head without its signature, to `out`; its length.
pub fn write_signed(manifest: &Manifest<'_>, out: &mut [u8; HEAD_LIMIT]) -> Option<usize> {
    let length = manifest.encode(&mut out[PREFIX..PREFIX + MANIFEST_LIMIT])?;
    out[..8].copy_from_slice(&MAGIC);
    out[8] = FORMAT;
    out[9] = ED25519;
    out[10..PREFIX].copy_from_slice(&(length as u16).to_le_bytes());
    Some(PREFIX + length)
}
