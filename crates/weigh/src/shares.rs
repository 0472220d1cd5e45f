//! Which part of a layer's blob each entry takes: the compressed bytes that the
//! decompressor took while the entry's header and content came out.

/// How compressed bytes are attributed, for the report.
pub(crate) const METHOD: &str = "the part of the layer's blob that is read while a file's header \
     and content come out of it; within a block of zstd, in proportion";

/// Shares the blob of a layer out among its entries, in the order they are read.
///
/// A decompressor that takes a block at once leaves several entries' ends at the
/// same compressed position: between two positions that differ, the bytes are
/// shared out in proportion to what came out. So an entry waits until one comes
/// that ends elsewhere.
#[derive(Debug)]
pub(crate) struct Sharing<What> {
    blob: u64,
    /// Where the last entry ended that has its share: unpacked, compressed.
    from: (u64, u64),
    /// Where those end that wait, compressed.
    run: u64,
    /// Those that wait, and where they end, unpacked.
    waiting: Vec<(What, u64)>,
}

impl<What> Sharing<What> {
    /// Of a blob of so many bytes.
    pub(crate) fn new(blob: u64) -> Self {
        Self {
            blob,
            from: (0, 0),
            run: 0,
            waiting: Vec::new(),
        }
    }

    /// An entry has been read whole: so many bytes of the archive have come
    /// out, so many of the blob have gone in. `give` gets the shares that are known by it.
    pub(crate) fn entry_ends(
        &mut self,
        what: What,
        (unpacked, compressed): (u64, u64),
        give: impl FnMut(What, u64),
    ) {
        if compressed != self.run {
            self.flush(give);
            self.run = compressed;
        }
        self.waiting.push((what, unpacked));
    }

    /// There are no more. With the rest behind the last entry the shares make up
    /// the blob.
    pub(crate) fn finish(mut self, give: impl FnMut(What, u64)) {
        self.flush(give);
    }

    fn flush(&mut self, mut give: impl FnMut(What, u64)) {
        let Some(&(_, end)) = self.waiting.last() else {
            return;
        };
        let from = self.from;
        let run = self.run.min(self.blob);
        let compressed = run.saturating_sub(from.1);
        let unpacked = end.saturating_sub(from.0).max(1);
        let mut given = 0;
        for (what, position) in self.waiting.drain(..) {
            let upto = u128::from(position.saturating_sub(from.0)) * u128::from(compressed)
                / u128::from(unpacked);
            let upto = u64::try_from(upto).unwrap_or(u64::MAX);
            give(what, upto.saturating_sub(given));
            given = upto.max(given);
        }
        self.from = (end, run);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(ends: &[(u64, u64)], blob: u64) -> Vec<u64> {
        let mut shares = Vec::new();
        let mut sharing = Sharing::new(blob);
        for end in ends {
            sharing.entry_ends((), *end, |(), share| shares.push(share));
        }
        sharing.finish(|(), share| shares.push(share));
        shares
    }

    #[test]
    fn exact_positions_are_taken_as_they_are() {
        let ends = [(1_000, 300), (1_500, 320), (9_000, 4_000)];
        assert_eq!(shares(&ends, 4_010), [300, 20, 3_680]);
    }

    #[test]
    fn entries_of_one_block_share_it_in_proportion() {
        let ends = [(1_000, 800), (2_000, 800), (4_000, 800), (5_000, 900)];
        assert_eq!(shares(&ends, 900), [200, 200, 400, 100]);
    }

    proptest! {
        #[test]
        fn shares_never_make_more_than_the_blob(
            steps in proptest::collection::vec((0u64..10_000, 0u64..500), 0..50),
        ) {
            let (mut unpacked, mut compressed) = (0, 0);
            let mut ends = Vec::new();
            for (more_unpacked, more_compressed) in &steps {
                unpacked += more_unpacked;
                compressed += more_compressed;
                ends.push((unpacked, compressed));
            }
            let shares = shares(&ends, compressed);
            prop_assert_eq!(shares.len(), steps.len());
            prop_assert_eq!(shares.iter().sum::<u64>() <= compressed, true);
            // A run that brings nothing unpacked cannot be shared out.
            if steps.iter().all(|step| step.0 > 0) && !steps.is_empty() {
                prop_assert_eq!(shares.iter().sum::<u64>(), compressed);
            }
        }
    }
}
