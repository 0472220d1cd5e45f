//! The packer's side: bundles that are signed, and what stands on a new device's flash.

pub mod esp_image;
pub mod flash;
pub mod partitions;

use std::vec::Vec;

use ounce_delta::pack::{DiffError, Options, diff};
use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::bundle::{HEAD_LIMIT, PREFIX, SIGNATURE, write_signed};
use crate::keys::{KeySet, write_signed as write_keys};
use crate::manifest::{KEYS_LIMIT, Manifest, Version};
use crate::signature::PublicKey;
use crate::state::Image;

/// A release of a program: what its manifest says, but the payload.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The product.
    pub product: &'a str,
    /// The lowest and highest revision of the hardware it is for.
    pub hardware: (u32, u32),
    /// Its version.
    pub version: Version,
    /// Its anti-rollback counter.
    pub counter: u32,
    /// When it expires, in seconds since 1970.
    pub expires: Option<u64>,
    /// The keys that it revokes, a bit each.
    pub revokes: u32,
    /// The number of the key that signs it.
    pub key: u8,
    /// The program.
    pub image: &'a [u8],
}

/// An update that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// All of it.
    pub bytes: Vec<u8>,
    /// How many of them are the head.
    pub head_bytes: usize,
    /// Whether the payload is a delta.
    pub is_delta: bool,
}

impl Bundle {
    /// The head.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.head_bytes]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.head_bytes..]
    }
}

/// What signs bytes by Ed25519: a key in memory, a card, a service.
pub trait Sign {
    /// Why it cannot.
    type Error: core::error::Error + 'static;

    /// The signature of a message.
    ///
    /// # Errors
    /// The signer's own.
    fn sign(&mut self, message: &[u8]) -> Result<[u8; SIGNATURE], Self::Error>;
}

impl<E: core::error::Error + 'static, S: FnMut(&[u8]) -> Result<[u8; SIGNATURE], E>> Sign for S {
    type Error = E;

    fn sign(&mut self, message: &[u8]) -> Result<[u8; SIGNATURE], E> {
        self(message)
    }
}

/// Why no bundle can be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError<E: core::error::Error + 'static> {
    /// The image is empty or larger than 4 GB.
    #[error("an image of {0} bytes cannot be sent")]
    Size(usize),
    /// The manifest cannot say this: a name too long, a range turned round, a key above 31.
    #[error(
        "the manifest cannot say this: a product is 1 to 32 bytes, the lowest hardware revision comes \
         first, a key is 0 to 31"
    )]
    Manifest,
    /// A record of keys cannot say this.
    #[error(
        "a record of keys cannot say this: 1 to 8 keys of different numbers from 0 to 31, a product of 1 to \
         32 bytes, a version from 1 on, no end before its beginning, and one signature at least"
    )]
    Keys,
    /// No delta can be made.
    #[error("making the delta")]
    Delta(#[source] DiffError),
    /// The signer fails.
    #[error("signing")]
    Sign(#[source] E),
}

/// A record of keys to be signed.
#[derive(Debug, Clone, Copy)]
pub struct KeyRelease<'a> {
    /// The product.
    pub product: &'a str,
    /// Its version: higher than that of the record before.
    pub version: u16,
    /// The day it is made, from 1970 on.
    pub issued: u16,
    /// The last day it is good for.
    pub expires: Option<u16>,
    /// The keys with their numbers.
    pub keys: &'a [(u8, PublicKey)],
}

impl KeyRelease<'_> {
    /// The record, signed by these root keys, each with its number.
    ///
    /// # Errors
    /// No device would take it, or a signer fails.
    pub fn sign<S: Sign>(&self, roots: &mut [(u8, S)]) -> Result<Vec<u8>, PackError<S::Error>> {
        let mut keys = self.keys.to_vec();
        keys.sort_by_key(|(number, _)| *number);
        let keys: Vec<u8> = keys
            .iter()
            .flat_map(|(number, key)| core::iter::once(*number).chain(*key))
            .collect();
        let set = KeySet::of(self.product, self.version, self.issued, self.expires, &keys);
        let mut record = write_keys(&set).ok_or(PackError::Keys)?;
        let signed = record.clone();
        roots.sort_by_key(|(number, _)| *number);
        let twice = roots.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if twice || roots.is_empty() || roots.iter().any(|(number, _)| *number >= KEYS_LIMIT) {
            return Err(PackError::Keys);
        }
        for (number, root) in roots {
            record.push(*number);
            record.extend_from_slice(&root.sign(&signed).map_err(PackError::Sign)?);
        }
        Ok(record)
    }
}

/// SHA-256 of some bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

impl Release<'_> {
    /// What a journal says of a slot that holds it.
    pub fn known(&self) -> Image {
        Image {
            size: self.image.len() as u32,
            counter: self.counter,
            version: self.version,
            digest: digest(self.image),
        }
    }

    /// The bundle that holds the whole image.
    ///
    /// # Errors
    /// The manifest cannot say what the release does, or the signer fails.
    pub fn whole<S: Sign>(&self, signer: &mut S) -> Result<Bundle, PackError<S::Error>> {
        self.bundle(None, self.image, signer)
    }

    /// The bundle that holds a delta against `old`, the image that the device runs.
    ///
    /// # Errors
    /// As [`Release::whole`], and the images may be too large for a delta.
    pub fn delta<S: Sign>(
        &self,
        old: &[u8],
        signer: &mut S,
    ) -> Result<Bundle, PackError<S::Error>> {
        let made = diff(old, self.image, &Options::device()).map_err(PackError::Delta)?;
        self.bundle(Some(digest(old)), &made.patch, signer)
    }

    fn bundle<S: Sign>(
        &self,
        base: Option<Digest>,
        payload: &[u8],
        signer: &mut S,
    ) -> Result<Bundle, PackError<S::Error>> {
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .ok()
                .filter(|length| *length > 0)
                .ok_or(PackError::Size(bytes.len()))
        };
        let manifest = Manifest {
            product: self.product,
            hardware: self.hardware,
            version: self.version,
            size: length(self.image)?,
            digest: digest(self.image),
            counter: self.counter,
            payload: length(payload)?,
            base,
            expires: self.expires,
            revokes: self.revokes,
            key: self.key,
        };
        let mut head = [0; HEAD_LIMIT];
        let signed = write_signed(&manifest, &mut head).ok_or(PackError::Manifest)?;
        debug_assert!(signed > PREFIX);
        let signature = signer.sign(&head[..signed]).map_err(PackError::Sign)?;
        let mut bytes = Vec::with_capacity(signed + SIGNATURE + payload.len());
        bytes.extend_from_slice(&head[..signed]);
        bytes.extend_from_slice(&signature);
        let head_bytes = bytes.len();
        bytes.extend_from_slice(payload);
        Ok(Bundle {
            bytes,
            head_bytes,
            is_delta: base.is_some(),
        })
    }
}
