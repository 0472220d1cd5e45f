//! The format as it is written: tables, then paths and fields, then bodies. What
//! the numbers mean is told in [`ounce_http::packed`].

use std::collections::BTreeMap;

use ounce_http::packed::{ENTRY_BYTES, Encoding, HEADER_BYTES, Kind, MAGIC, VARIANT_BYTES};

use super::fields::Fields;

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Number of its group of variants.
    pub(super) group: usize,
}

/// A representation of what stands at one path or several.
#[derive(Debug, Clone)]
pub(super) struct Variant {
    pub(super) coding: Encoding,
    pub(super) fields: Fields,
    /// Number of its body; none for a redirect.
    pub(super) body: Option<usize>,
}

/// Everything before the bodies, which follow it in their order; `None` where
/// the whole would not be shorter than 4 GiB.
pub(super) fn tables(
    entries: &BTreeMap<Vec<u8>, Entry>,
    groups: &[Vec<Variant>],
    bodies: &[u64],
) -> Option<Vec<u8>> {
    let count = groups.iter().map(Vec::len).sum::<usize>();
    let start = HEADER_BYTES + entries.len() * ENTRY_BYTES + count * VARIANT_BYTES;
    // Paths and fields, of which equal ones stand once.
    let mut texts = Texts {
        start,
        bytes: Vec::new(),
        places: BTreeMap::new(),
    };
    for path in entries.keys() {
        texts.place(path);
    }
    for variant in groups.iter().flatten() {
        texts.place(&variant.fields.bytes);
    }
    let mut offsets = Vec::with_capacity(bodies.len());
    let mut end = (start + texts.bytes.len()) as u64;
    for bytes in bodies {
        offsets.push(end);
        end = end.checked_add(*bytes)?;
    }
    let length = u32::try_from(end).ok()?;
    let mut out = Vec::with_capacity(start + texts.bytes.len());
    out.extend(MAGIC);
    out.extend(u32::try_from(entries.len()).ok()?.to_le_bytes());
    out.extend(length.to_le_bytes());
    let mut firsts = Vec::with_capacity(groups.len());
    let mut at = HEADER_BYTES + entries.len() * ENTRY_BYTES;
    for group in groups {
        firsts.push(at);
        at += group.len() * VARIANT_BYTES;
    }
    for (path, entry) in entries {
        let has = groups[entry.group]
            .iter()
            .fold(0, |has, variant| has | 1 << variant.coding as u8);
        out.extend(number(texts.place(path))?);
        out.extend(u16::try_from(path.len()).ok()?.to_le_bytes());
        out.extend([has, entry.kind as u8]);
        out.extend(number(firsts[entry.group])?);
    }
    for variant in groups.iter().flatten() {
        let fields = &variant.fields;
        let (offset, bytes) = match variant.body {
            Some(body) => (offsets[body], bodies[body]),
            None => (0, 0),
        };
        out.extend(number(texts.place(&fields.bytes))?);
        out.extend(u16::try_from(fields.bytes.len()).ok()?.to_le_bytes());
        out.extend(u16::try_from(fields.repeated).ok()?.to_le_bytes());
        out.extend(u32::try_from(offset).ok()?.to_le_bytes());
        out.extend(u32::try_from(bytes).ok()?.to_le_bytes());
    }
    out.extend(texts.bytes);
    Some(out)
}

fn number(offset: usize) -> Option<[u8; 4]> {
    Some(u32::try_from(offset).ok()?.to_le_bytes())
}

struct Texts<'t> {
    start: usize,
    bytes: Vec<u8>,
    places: BTreeMap<&'t [u8], usize>,
}

impl<'t> Texts<'t> {
    /// Where a text stands, which is the end if it is new.
    fn place(&mut self, text: &'t [u8]) -> usize {
        let end = self.start + self.bytes.len();
        *self.places.entry(text).or_insert_with(|| {
            self.bytes.extend(text);
            end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_of_four_gigabytes_does_not_fit_and_one_byte_less_does() {
        let variant = Variant {
            coding: Encoding::Identity,
            fields: Fields {
                bytes: b"X: y\r\n".to_vec(),
                repeated: 0,
            },
            body: Some(0),
        };
        let entry = Entry {
            kind: Kind::File,
            group: 0,
        };
        let entries = BTreeMap::from([(b"/".to_vec(), entry)]);
        let made = |bytes: u64| tables(&entries, &[vec![variant.clone()]], &[bytes]);
        let before = made(0).unwrap().len() as u64;
        let most = u64::from(u32::MAX) - before;
        let whole = made(most).unwrap();
        assert_eq!(whole[16..20], [0xff; 4]);
        assert!(made(most + 1).is_none());
        assert!(made(u64::MAX).is_none());
    }
}
