//! What an update is and whom it is for: a CBOR map with the keys 1 to 11, in one spelling only.
//!
//! | key | value |
//! |---|---|
//! | 1 | product: text of 1 to 32 bytes |
//! | 2 | hardware: `[lowest, highest]` revision that it is for |
//! | 3 | version: `[major, minor, patch]` |
//! | 4 | size of the new image in bytes |
//! | 5 | SHA-256 of the new image |
//! | 6 | anti-rollback counter |
//! | 7 | size of the payload that follows, in bytes |
//! | 8 | SHA-256 of the image that the payload is a delta against; absent: the payload is the image |
//! | 9 | the time it expires, in seconds since 1970; absent: never |
//! | 10 | keys that it revokes, a bit each; absent: none |
//! | 11 | the number of the key it is signed by |

use crate::Digest;
use crate::cbor::{Reader, Writer};
use crate::refusal::Refusal;

/// Most bytes of a manifest.
pub const MANIFEST_LIMIT: usize = 256;

/// Most bytes of a product's name.
pub const PRODUCT_LIMIT: usize = 32;

/// Most keys that a device can have: as many as there are bits to revoke them by.
pub const KEYS_LIMIT: u8 = 32;

/// A version, compared part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// The first part.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The third.
    pub patch: u32,
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// The product it is for.
    pub product: &'a str,
    /// The lowest and the highest revision of the hardware it is for.
    pub hardware: (u32, u32),
    /// The version of the program.
    pub version: Version,
    /// Bytes of the new image.
    pub size: u32,
    /// SHA-256 of the new image.
    pub digest: Digest,
    /// The anti-rollback counter: after it is confirmed no lower one is taken.
    pub counter: u32,
    /// Bytes of the payload.
    pub payload: u32,
    /// The image that the payload is a delta against.
    pub base: Option<Digest>,
    /// When it expires, in seconds since 1970.
    pub expires: Option<u64>,
    /// The keys that it revokes, once confirmed: a bit each.
    pub revokes: u32,
    /// The number of the key that signs it.
    pub key: u8,
}

impl<'a> Manifest<'a> {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Refusal::Manifest`]: cut, in another spelling, with unknown keys or values out of their range.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or(Refusal::Manifest)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > MANIFEST_LIMIT {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let pairs = reader.map()?;
        let mut left = pairs;
        // Keys stand in ascending order; those that may be absent are asked for in turn.
        let mut pending: Option<u64> = None;
        let mut next = |reader: &mut Reader<'a>, key: u64| -> Option<bool> {
            if pending.is_none() && left > 0 {
                left -= 1;
                pending = Some(reader.uint()?);
            }
            let here = pending == Some(key);
            if here {
                pending = None;
            }
            Some(here)
        };
        let mut need = |reader: &mut Reader<'a>, key: u64| next(reader, key)?.then_some(());
        need(&mut reader, 1)?;
        let product = reader.text()?;
        need(&mut reader, 2)?;
        let hardware = match reader.array()? {
            2 => (reader.u32()?, reader.u32()?),
            _ => return None,
        };
        need(&mut reader, 3)?;
        let version = match reader.array()? {
            3 => Version {
                major: reader.uint()?.try_into().ok()?,
                minor: reader.uint()?.try_into().ok()?,
                patch: reader.u32()?,
            },
            _ => return None,
        };
        need(&mut reader, 4)?;
        let size = reader.u32()?;
        need(&mut reader, 5)?;
        let digest = reader.bytes()?.try_into().ok()?;
        need(&mut reader, 6)?;
        let counter = reader.u32()?;
        need(&mut reader, 7)?;
        let payload = reader.u32()?;
        let base = match next(&mut reader, 8)? {
            true => Some(reader.bytes()?.try_into().ok()?),
            false => None,
        };
        let expires = match next(&mut reader, 9)? {
            true => Some(reader.uint()?),
            false => None,
        };
        let revokes = match next(&mut reader, 10)? {
            true => reader.u32().filter(|mask| *mask != 0)?,
            false => 0,
        };
        let key = match next(&mut reader, 11)? {
            true => reader.uint()?.try_into().ok()?,
            false => return None,
        };
        let sound = left == 0
            && reader.is_done()
            && (1..=PRODUCT_LIMIT).contains(&product.len())
            && hardware.0 <= hardware.1
            && size > 0
            && (base.is_some() || payload == size)
            && key < KEYS_LIMIT;
        sound.then_some(Self {
            product,
            hardware,
            version,
            size,
            digest,
            counter,
            payload,
            base,
            expires,
            revokes,
            key,
        })
    }

    /// Writes the manifest to `out`; how many bytes it took, or `None` where it says what
    /// [`Manifest::decode`] would refuse, or does not fit.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let optional = [
            self.base.is_some(),
            self.expires.is_some(),
            self.revokes != 0,
        ];
        let pairs = 8 + optional.into_iter().filter(|is| *is).count();
        let mut writer = Writer::new(out);
        writer.map(pairs as u64);
        writer.uint(1);
        writer.text(self.product);
        writer.uint(2);
        writer.array(2);
        writer.uint(self.hardware.0.into());
        writer.uint(self.hardware.1.into());
        writer.uint(3);
        writer.array(3);
        writer.uint(self.version.major.into());
        writer.uint(self.version.minor.into());
        writer.uint(self.version.patch.into());
        writer.uint(4);
        writer.uint(self.size.into());
        writer.uint(5);
        writer.bytes(&self.digest);
        writer.uint(6);
        writer.uint(self.counter.into());
        writer.uint(7);
        writer.uint(self.payload.into());
        if let Some(base) = &self.base {
            writer.uint(8);
            writer.bytes(base);
        }
        if let Some(expires) = self.expires {
            writer.uint(9);
            writer.uint(expires);
        }
        if self.revokes != 0 {
            writer.uint(10);
            writer.uint(self.revokes.into());
        }
        writer.uint(11);
        writer.uint(self.key.into());
        let length = writer.finish()?;
        (Manifest::decode(out.get(..length)?).as_ref() == Ok(self)).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Manifest<'static> {
        Manifest {
            product: "lamp",
            hardware: (1, 300),
            version: Version {
                major: 1,
                minor: 20,
                patch: 70_000,
            },
            size: 180_000,
            digest: [5; 32],
            counter: 3,
            payload: 1_200,
            base: Some([6; 32]),
            expires: Some(1_900_000_000),
            revokes: 0b10,
            key: 2,
        }
    }

    #[test]
    fn what_was_written_is_read_with_and_without_what_may_be_absent() {
        for mask in 0..8 {
            let mut manifest = all();
            if mask & 1 == 0 {
                manifest.base = None;
                manifest.payload = manifest.size;
            }
            if mask & 2 == 0 {
                manifest.expires = None;
            }
            if mask & 4 == 0 {
                manifest.revokes = 0;
            }
            let mut room = [0; MANIFEST_LIMIT];
            let length = manifest.encode(&mut room).unwrap();
            assert_eq!(Manifest::decode(&room[..length]), Ok(manifest));
        }
    }

    #[test]
    fn every_cut_and_every_byte_more_is_refused() {
        let mut room = [0; MANIFEST_LIMIT];
        let length = all().encode(&mut room).unwrap();
        for end in 0..length {
            assert_eq!(
                Manifest::decode(&room[..end]),
                Err(Refusal::Manifest),
                "{end}"
            );
        }
        assert_eq!(Manifest::decode(&room[..=length]), Err(Refusal::Manifest));
    }

    #[test]
    fn a_changed_byte_is_refused_or_reads_as_another_manifest() {
        let mut room = [0; MANIFEST_LIMIT];
        let length = all().encode(&mut room).unwrap();
        for at in 0..length {
            for value in 0..=255 {
                let mut changed = room;
                changed[at] = value;
                if changed == room {
                    continue;
                }
                if let Ok(manifest) = Manifest::decode(&changed[..length]) {
                    assert_ne!(manifest, all());
                    // One spelling: it is written as it was read.
                    let mut again = [0; MANIFEST_LIMIT];
                    assert_eq!(manifest.encode(&mut again), Some(length));
                    assert_eq!(again[..length], changed[..length]);
                }
            }
        }
    }

    #[test]
    fn values_that_make_no_sense_are_not_written() {
        let mut room = [0; MANIFEST_LIMIT];
        for wrong in [
            Manifest {
                product: "",
                ..all()
            },
            Manifest {
                product: "a name of more than thirty-two by",
                ..all()
            },
            Manifest {
                hardware: (2, 1),
                ..all()
            },
            Manifest { size: 0, ..all() },
            Manifest {
                base: None,
                ..all()
            },
            Manifest { key: 32, ..all() },
        ] {
            assert_eq!(wrong.encode(&mut room), None, "{wrong:?}");
        }
        assert_eq!(all().encode(&mut [0; 40]), None);
    }
}
