//! The usual figures of the bases a user would pick instead, measured once and
//! kept as data. "5 MB, 10 MB, 60 MB" as commonly told mixes units, so each
//! figure says which it is.

use ounce_oci::ByteSize;
use serde::Serialize;

use crate::Weight;

/// What a base weighs before anything is put on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// What it is called.
    pub name: &'static str,
    /// Its files, unpacked; as are all figures, rounded to three digits.
    pub unpacked_bytes: ByteSize,
    /// Its layer by gzip at level 9.
    pub gzip_bytes: ByteSize,
    /// Its layer by zstd at level 19.
    pub zstd_bytes: ByteSize,
    /// What was measured.
    pub source: Source,
    /// Year and month of the measurement.
    pub measured: &'static str,
}

/// What a [`Figure`] was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nothing to measure: it is empty by definition.
    Empty,
    /// The base built anew from Debian 12 packages, as its own recipe does;
    /// not the image that is published.
    RebuiltFromDebianPackages,
    /// The root file system of the release that the name tells, compressed anew.
    ReleaseRecompressed,
}

const fn figure(name: &'static str, source: Source, thousands: [u64; 3]) -> Figure {
    Figure {
        name,
        unpacked_bytes: ByteSize(thousands[0] * 1000),
        gzip_bytes: ByteSize(thousands[1] * 1000),
        zstd_bytes: ByteSize(thousands[2] * 1000),
        source,
        measured: "2026-11",
    }
}

use Source::{Empty, RebuiltFromDebianPackages, ReleaseRecompressed};

/// The four bases (distroless in its three sizes), smallest first.
pub const FIGURES: [Figure; 6] = [
    figure("scratch", Empty, [0, 0, 0]),
    figure(
        "distroless static",
        RebuiltFromDebianPackages,
        [2_070, 720, 510],
    ),
    figure("Alpine 3.20.3", ReleaseRecompressed, [8_000, 3_490, 3_010]),
    figure(
        "distroless base",
        RebuiltFromDebianPackages,
        [20_800, 8_200, 5_700],
    ),
    figure(
        "distroless cc",
        RebuiltFromDebianPackages,
        [23_600, 9_200, 6_500],
    ),
    figure(
        "Debian-slim",
        RebuiltFromDebianPackages,
        [78_300, 28_200, 18_500],
    ),
];

/// A base beside an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Beside {
    /// The base.
    pub figure: Figure,
    /// How many times the image's pulled bytes the bare base is, by gzip.
    pub times_pulled: f64,
    /// How many times the image's unpacked bytes the bare base is.
    pub times_unpacked: Option<f64>,
}

/// Every base beside an image.
pub fn beside(weight: &Weight) -> Vec<Beside> {
    let times = |base: ByteSize, image: ByteSize| base.0 as f64 / image.0 as f64;
    FIGURES
        .iter()
        .map(|&figure| Beside {
            figure,
            times_pulled: times(figure.gzip_bytes, weight.pulled_bytes),
            times_unpacked: (weight.unpacked_bytes.0 > 0)
                .then(|| times(figure.unpacked_bytes, weight.unpacked_bytes)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_sorted_and_compress() {
        assert!(
            FIGURES
                .windows(2)
                .all(|two| two[0].unpacked_bytes < two[1].unpacked_bytes)
        );
        for figure in &FIGURES[1..] {
            assert!(figure.zstd_bytes < figure.gzip_bytes, "{}", figure.name);
            assert!(figure.gzip_bytes < figure.unpacked_bytes, "{}", figure.name);
        }
    }
}
