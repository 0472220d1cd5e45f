//! Which stretches of the old image stand in the new one: by the longest matches,
//! widened over what differs here and there (Percival, "Naive Differences of
//! Executable Code", 2003).

use crate::map::Block;

use super::suffix::Suffixes;

/// Finds blocks, in the order of the new image and without overlap.
pub(crate) fn blocks(suffixes: &Suffixes<'_>, old: &[u8], new: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut scan, mut length, mut place) = (0, 0, 0);
    let (mut last_scan, mut last_place) = (0_usize, 0_usize);
    let mut offset = 0_isize;
    let same = |at: usize, offset: isize| {
        at.checked_add_signed(offset)
            .and_then(|at| old.get(at))
            .is_some_and(|byte| *byte == new[at])
    };
    while scan < new.len() {
        let mut score = 0_isize;
        scan += length;
        let mut counted = scan;
        while scan < new.len() {
            (place, length) = suffixes.longest(&new[scan..]);
            while counted < scan + length {
                score += isize::from(same(counted, offset));
                counted += 1;
            }
            if (length as isize == score && length != 0) || length as isize > score + 8 {
                break;
            }
            score -= isize::from(same(scan, offset));
            scan += 1;
        }
        if length as isize == score && scan < new.len() {
            continue;
        }
        let forward =
            widest((last_scan..scan).map(|at| same(at, last_place as isize - last_scan as isize)))
                .min(old.len() - last_place);
        let mut forward = forward;
        let mut backward = 0;
        if scan < new.len() {
            let from = place as isize - scan as isize;
            let most = (scan - last_scan).min(place);
            backward = widest((1..=most).map(|back| same(scan - back, from)));
        }
        // Where both reach, each byte goes to the one it fits.
        let overlap = (last_scan + forward).saturating_sub(scan - backward);
        if overlap > 0 {
            let (mut best, mut at, mut sum) = (0_i64, 0, 0_i64);
            for number in 0..overlap {
                let place_new = last_scan + forward - overlap + number;
                sum += i64::from(same(place_new, last_place as isize - last_scan as isize));
                sum -= i64::from(same(place_new, place as isize - scan as isize));
                if sum > best {
                    best = sum;
                    at = number + 1;
                }
            }
            forward = forward + at - overlap;
            backward -= at;
        }
        if forward > 0 {
            blocks.push(Block {
                old: last_place as u32,
                new: last_scan as u32,
                bytes: forward as u32,
            });
        }
        last_scan = scan - backward;
        last_place = place - backward.min(place);
        offset = place as isize - scan as isize;
    }
    blocks
}

/// The length at which most is alike and least is not.
fn widest(alike: impl Iterator<Item = bool>) -> usize {
    let (mut score, mut best, mut length) = (0_i64, 0_i64, 0);
    for (at, alike) in alike.enumerate() {
        score += if alike { 1 } else { -1 };
        if score > best {
            best = score;
            length = at + 1;
        }
    }
    length
}
