//! RPM's own database, `Packages.db` (RPM, `lib/backend/ndb/rpmpkg.c`): pages of
//! slots, each of which says in which blocks of 16 bytes a package's blob is.
//! Numbers are little-endian. Its checksums are not looked at: a layer has one.

/// What a database begins with.
pub(super) const MARK: &[u8] = b"RpmP";

const SLOT: &[u8; 4] = b"Slot";
const BLOB: &[u8; 4] = b"BlbS";
const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;

/// Calls `take` with each package's blob.
///
/// # Errors
/// What is wrong with the database, in words.
pub(super) fn blobs(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    let head = bytes.get(..32).ok_or("it is cut short")?;
    if word(head, 4) != Some(0) {
        return Err("it is of a version that is not known");
    }
    let pages = word(head, 12).unwrap_or(0) as usize;
    let slots = pages
        .checked_mul(PAGE_BYTES)
        .and_then(|end| bytes.get(32..end));
    let slots = slots.ok_or("its slots are cut short")?;
    // A blob that several slots claim is read for the first only.
    let mut taken = Vec::new();
    for slot in slots.chunks_exact(SLOT_BYTES) {
        if !slot.starts_with(SLOT) {
            return Err("a slot is damaged");
        }
        let number = word(slot, 4).unwrap_or(0);
        let from = word(slot, 8).unwrap_or(0) as usize;
        // A slot that is free.
        if number == 0 || from == 0 {
            continue;
        }
        taken.push((from, number));
    }
    taken.sort_unstable();
    taken.dedup_by_key(|(from, _)| *from);
    let mut end_of_last = 0;
    for (from, number) in taken {
        let from = from
            .checked_mul(BLOCK_BYTES)
            .ok_or("a blob is past its end")?;
        let blob = bytes.get(from..).unwrap_or_default();
        let size = word(blob, 12).ok_or("a blob is past its end")? as usize;
        if !blob.starts_with(BLOB) || word(blob, 4) != Some(number) || from < end_of_last {
            return Err("a blob is damaged");
        }
        let content = size.checked_add(16).and_then(|end| blob.get(16..end));
        take(content.ok_or("a blob is cut short")?);
        end_of_last = from + size;
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
