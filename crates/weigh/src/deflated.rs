//! How many bytes a file takes compressed, and how a layer's blob is shared
//! out among its files.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// How compressed bytes are attributed, for the report.
pub(crate) const METHOD: &str = "each file is deflated by itself (level 1) and the layer's blob, \
     headers included, is shared out in that proportion";

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of `from` deflated by itself; 0 for nothing.
pub(crate) fn size(from: &mut dyn Read) -> io::Result<u64> {
    let mut encoder = DeflateEncoder::new(Counter(0), Compression::fast());
    let bytes = io::copy(from, &mut encoder)?;
    let counter = encoder.finish()?;
    Ok(if bytes == 0 { 0 } else { counter.0 })
}

/// Shares `blob` out in proportion to `parts`: the sum is `blob`, unless all
/// parts are 0. What rounding leaves goes to the largest part.
pub(crate) fn share(blob: u64, parts: &[u64]) -> Vec<u64> {
    let total: u128 = parts.iter().map(|&part| u128::from(part)).sum();
    if total == 0 {
        return vec![0; parts.len()];
    }
    let of = |part: u64| (u128::from(blob) * u128::from(part) / total) as u64;
    let mut shares: Vec<u64> = parts.iter().map(|&part| of(part)).collect();
    let left = blob - shares.iter().sum::<u64>();
    if let Some(largest) = (0..parts.len()).max_by_key(|&index| parts[index]) {
        shares[largest] += left;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_deflate_to_almost_nothing_and_nothing_to_nothing() {
        assert_eq!(size(&mut io::empty()).unwrap(), 0);
        let zeros = size(&mut &[0; 100_000][..]).unwrap();
        assert!(zeros > 0 && zeros < 1000, "{zeros}");
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_blob_and_keep_the_order(
            blob in any::<u64>(), parts in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let shares = share(blob, &parts);
            let expected = if parts.iter().all(|&part| part == 0) { 0 } else { blob };
            prop_assert_eq!(shares.iter().sum::<u64>(), expected);
            for (a, b) in (0..parts.len()).flat_map(|a| (0..parts.len()).map(move |b| (a, b))) {
                prop_assert!(parts[a] <= parts[b] || shares[a] >= shares[b]);
            }
        }
    }
}
