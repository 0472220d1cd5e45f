//! Which keys may sign updates: a record that root keys sign, so that keys come and go without a new program.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ounceKEY` |
//! | 1 | format: 1 |
//! | 1 | algorithm of the signatures: 1, Ed25519 |
//! | 2 | length of the map, little endian |
//! | … | the map |
//! | … | signatures of all bytes before them: the number of the root key, 64 bytes; ascending |
//!
//! The map is CBOR in one spelling: 1 product, 2 version, 3 the day it was made, 4 the last day it is good
//! for (absent: for ever), 5 the keys as one string of bytes, 33 for each: its number, ascending, and the
//! key. Days are counted from 1970 on.
//!
//! Nothing of it is kept on the device but its version and its day: it comes with every update, and one that
//! is older than another before is refused. Root keys are part of the program and change with it.

use crate::bundle::SIGNATURE;
use crate::cbor::Reader;
use crate::manifest::{KEYS_LIMIT, PRODUCT_LIMIT};
use crate::refusal::Refusal;
use crate::signature::{PublicKey, Verify};

/// What a record begins with.
pub const MAGIC: [u8; 8] = *b"ounceKEY";

const PREFIX: usize = 12;
const FORMAT: u8 = 1;
const ED25519: u8 = 1;

/// Most keys of a record.
pub const KEYS: usize = 8;

const ENTRY: usize = 1 + 32;
const SIGNED: usize = 1 + SIGNATURE;

/// Most bytes of the map.
const MAP_LIMIT: usize = 64 + PRODUCT_LIMIT + KEYS * ENTRY;

/// Most bytes of a record, with a signature of each of eight root keys.
pub const RECORD_LIMIT: usize = PREFIX + MAP_LIMIT + 8 * SIGNED;

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;

/// Who signs records, and how many of them are needed.
#[derive(Debug, Clone, Copy)]
pub struct Roots<V> {
    verify: V,
    threshold: u8,
}

impl<V: Verify> Roots<V> {
    /// Root keys of which `threshold` sign, one at least: with two of three a lost or stolen one does no harm.
    pub const fn new(verify: V, threshold: u8) -> Self {
        Self { verify, threshold }
    }
}

/// A record, as it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySet<'a> {
    /// The product that it is for.
    pub product: &'a str,
    /// Its version, 1 and up.
    pub version: u16,
    /// The day it was made.
    pub issued: u16,
    /// The last day it is good for.
    pub expires: Option<u16>,
    keys: &'a [u8],
}

impl<'a> KeySet<'a> {
    /// Reads a record that enough root keys have signed.
    ///
    /// # Errors
    /// It is no record, is malformed, or too few signatures are valid.
    pub fn open<V: Verify>(record: &'a [u8], roots: &Roots<V>) -> Result<Self, Refusal> {
        let prefix: &[u8; PREFIX] = record.first_chunk().ok_or(Refusal::Truncated)?;
        let [magic @ .., format, algorithm, low, high] = prefix;
        if *magic != MAGIC {
            return Err(Refusal::KeySet);
        }
        if *format != FORMAT || *algorithm != ED25519 {
            return Err(Refusal::UnknownFormat);
        }
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (signed, signatures) = record
            .split_at_checked(PREFIX + length)
            .ok_or(Refusal::Truncated)?;
        let set = Self::read(&signed[PREFIX..]).ok_or(Refusal::KeySet)?;
        let (signatures, []) = signatures.as_chunks::<SIGNED>() else {
            return Err(Refusal::Truncated);
        };
        let (mut good, mut next) = (0, 0);
        for [root, signature @ ..] in signatures {
            // Ascending, so that none counts twice.
            if *root < next || *root >= KEYS_LIMIT {
                return Err(Refusal::KeySet);
            }
            next = root + 1;
            // One that is not known may be of a later program's roots.
            if roots.verify.knows(*root) {
                if !roots.verify.verify(*root, signed, signature) {
                    return Err(Refusal::Signature);
                }
                good += 1;
            }
        }
        if good < roots.threshold.max(1) {
            return Err(Refusal::Signature);
        }
        Ok(set)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > MAP_LIMIT {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let pairs = reader.map()?;
        let is = |reader: &mut Reader<'a>, key: u64| (reader.uint()? == key).then_some(());
        is(&mut reader, 1)?;
        let product = reader.text()?;
        is(&mut reader, 2)?;
        let version = reader.uint()?.try_into().ok()?;
        is(&mut reader, 3)?;
        let issued = reader.uint()?.try_into().ok()?;
        let expires = match pairs {
            4 => None,
            5 => {
                is(&mut reader, 4)?;
                Some(reader.uint()?.try_into().ok()?)
            }
            _ => return None,
        };
        is(&mut reader, 5)?;
        let set = Self {
            product,
            version,
            issued,
            expires,
            keys: reader.bytes()?,
        };
        (reader.is_done() && set.is_sound()).then_some(set)
    }

    fn is_sound(&self) -> bool {
        let (entries, rest) = self.keys.as_chunks::<ENTRY>();
        let mut next = 0;
        let ascend = entries.iter().all(|[number, ..]| {
            let good = *number >= next && *number < KEYS_LIMIT;
            next = number.saturating_add(1);
            good
        });
        ascend
            && rest.is_empty()
            && (1..=KEYS).contains(&entries.len())
            && (1..=PRODUCT_LIMIT).contains(&self.product.len())
            && self.version > 0
            && self.expires.is_none_or(|expires| expires >= self.issued)
    }

    /// The key of a number.
    pub fn key(&self, number: u8) -> Option<&'a PublicKey> {
        let (entries, _) = self.keys.as_chunks::<ENTRY>();
        let found = entries.iter().find(|[own, ..]| *own == number)?;
        found.last_chunk()
    }
}

/// Writes what root keys sign of a record: `keys` as they stand in it, 33 bytes each. `None` where a device
/// would refuse it.
#[cfg(feature = "pack")]
pub(crate) fn write_signed(set: &KeySet<'_>) -> Option<std::vec::Vec<u8>> {
    let mut out = std::vec![0; PREFIX + MAP_LIMIT];
    let mut writer = crate::cbor::Writer::new(&mut out[PREFIX..]);
    writer.map(4 + u64::from(set.expires.is_some()));
    writer.uint(1);
    writer.text(set.product);
    writer.uint(2);
    writer.uint(set.version.into());
    writer.uint(3);
    writer.uint(set.issued.into());
    if let Some(expires) = set.expires {
        writer.uint(4);
        writer.uint(expires.into());
    }
    writer.uint(5);
    writer.bytes(set.keys);
    let length = writer.finish()?;
    out.truncate(PREFIX + length);
    if KeySet::read(&out[PREFIX..]) != Some(*set) {
        return None;
    }
    out[..8].copy_from_slice(&MAGIC);
    out[8] = FORMAT;
    out[9] = ED25519;
    out[10..PREFIX].copy_from_slice(&(length as u16).to_le_bytes());
    Some(out)
}

#[cfg(feature = "pack")]
impl<'a> KeySet<'a> {
    /// A record to be, of keys as they stand in it.
    pub(crate) fn of(
        product: &'a str,
        version: u16,
        issued: u16,
        expires: Option<u16>,
        keys: &'a [u8],
    ) -> Self {
        Self {
            product,
            version,
            issued,
            expires,
            keys,
        }
    }
}
