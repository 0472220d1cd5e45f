//! Which part of a layer's blob each entry takes: the compressed bytes that the
//! decompressor took while the entry's header and content came out.

/// How compressed bytes are attributed, for the report.
pub(crate) const METHOD: &str = "the part of the layer's blob that is read while a file's header \
     and content come out of it; within a block of zstd, in proportion";

/// Boundaries of entries in a layer, in the order they are read.
#[derive(Debug, Default)]
pub(crate) struct Boundaries(Vec<(u64, u64)>);

impl Boundaries {
    /// An entry has been read whole: so many bytes of the archive have come
    /// out, so many of the blob have gone in.
    pub(crate) fn entry_ends(&mut self, unpacked: u64, compressed: u64) {
        self.0.push((unpacked, compressed));
    }

    /// The share of each entry; with the rest behind the last one they make up
    /// the blob.
    ///
    /// A decompressor that takes a block at once leaves several boundaries at
    /// the same compressed position: between two positions that differ, the
    /// bytes are shared out in proportion to what came out.
    pub(crate) fn shares(&self, blob: u64) -> Vec<u64> {
        let mut shares = Vec::with_capacity(self.0.len());
        let (mut from, mut begun) = ((0, 0), 0);
        while begun < self.0.len() {
            // The first boundary whose position differs from the run's own.
            let run = self.0[begun].1;
            let next = self.0[begun..]
                .iter()
                .position(|&(_, compressed)| compressed != run)
                .map_or(self.0.len(), |count| begun + count);
            let to = self.0[next - 1];
            let compressed = to.1.min(blob).saturating_sub(from.1);
            let unpacked = to.0.saturating_sub(from.0).max(1);
            let mut given = 0;
            for &(position, _) in &self.0[begun..next] {
                let upto = u128::from(position.saturating_sub(from.0)) * u128::from(compressed)
                    / u128::from(unpacked);
                let upto = u64::try_from(upto).unwrap_or(u64::MAX);
                shares.push(upto.saturating_sub(given));
                given = upto.max(given);
            }
            (from, begun) = ((to.0, to.1.min(blob)), next);
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exact_positions_are_taken_as_they_are() {
        let mut boundaries = Boundaries::default();
        boundaries.entry_ends(1_000, 300);
        boundaries.entry_ends(1_500, 320);
        boundaries.entry_ends(9_000, 4_000);
        assert_eq!(boundaries.shares(4_010), [300, 20, 3_680]);
    }

    #[test]
    fn entries_of_one_block_share_it_in_proportion() {
        let mut boundaries = Boundaries::default();
        for end in [1_000, 2_000, 4_000] {
            boundaries.entry_ends(end, 800);
        }
        boundaries.entry_ends(5_000, 900);
        assert_eq!(boundaries.shares(900), [200, 200, 400, 100]);
    }

    proptest! {
        #[test]
        fn shares_never_make_more_than_the_blob(
            steps in proptest::collection::vec((0u64..10_000, 0u64..500), 0..50),
        ) {
            let mut boundaries = Boundaries::default();
            let (mut unpacked, mut compressed) = (0, 0);
            for (more_unpacked, more_compressed) in &steps {
                unpacked += more_unpacked;
                compressed += more_compressed;
                boundaries.entry_ends(unpacked, compressed);
            }
            let shares = boundaries.shares(compressed);
            prop_assert_eq!(shares.len(), steps.len());
            prop_assert_eq!(shares.iter().sum::<u64>() <= compressed, true);
            // A run that brings nothing unpacked cannot be shared out.
            if steps.iter().all(|step| step.0 > 0) && !steps.is_empty() {
                prop_assert_eq!(shares.iter().sum::<u64>(), compressed);
            }
        }
    }
}
