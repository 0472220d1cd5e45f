//! zstd with the old image as its prefix (`zstd --patch-from`): for what is no code.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter};

/// The largest window that is asked for: 128 MB, zstd's own limit for those who do
/// not ask for more.
const MOST_WINDOW: u32 = 27;

fn window(old: &[u8], new_bytes: usize) -> u32 {
    let both = (old.len() + new_bytes).max(1 << 10);
    (both.ilog2() + 1).min(MOST_WINDOW)
}

/// The new bytes as seen from the old ones.
pub(crate) fn encode(old: &[u8], new: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut context = CCtx::create();
    let window = window(old, new.len());
    let set = [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(window),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
    ];
    for parameter in set {
        context.set_parameter(parameter).ok()?;
    }
    context.ref_prefix(old).ok()?;
    let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(new.len()));
    context.compress2(&mut out, new).ok()?;
    Some(out)
}

/// The new bytes, which are so many; nothing if they are not.
pub(crate) fn decode(old: &[u8], patch: &[u8], new_bytes: usize) -> Option<Vec<u8>> {
    let mut context = DCtx::create();
    context
        .set_parameter(DParameter::WindowLogMax(MOST_WINDOW))
        .ok()?;
    context.ref_prefix(old).ok()?;
    // Memory is taken for no more than the frame itself says.
    let stated = zstd::zstd_safe::get_frame_content_size(patch).ok()??;
    if stated != new_bytes as u64 {
        return None;
    }
    let mut out = Vec::with_capacity(new_bytes);
    context.decompress(&mut out, patch).ok()?;
    (out.len() == new_bytes).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_old_image_costs_next_to_nothing() {
        let mut state = 1_u32;
        let old: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(100_000)
        .collect();
        let mut new = old.clone();
        new.splice(50_000..50_000, *b"something else");
        let patch = encode(&old, &new, 19).expect("a patch");
        assert!(patch.len() < 200, "{}", patch.len());
        assert!(decode(&old, &patch, new.len()).as_ref() == Some(&new));
        assert!(decode(&old, &patch, new.len() + 1).is_none());
        // Distances count from the prefix's end.
        assert!(decode(&old[..99_999], &patch, new.len()) != Some(new));
    }
}
