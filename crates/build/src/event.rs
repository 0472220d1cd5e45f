//! What [`execute`](crate::execute) tells while it works.

use ounce_oci::Platform;

/// Progress, in the order it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Cargo begins to compile the program that will be packed.
    Compiling {
        /// The program.
        bin: String,
        /// The target triple.
        target: String,
    },
    /// Cargo begins to compile without a size flag, to measure it.
    Measuring {
        /// The flag, as `key=value`.
        flag: String,
    },
    /// A line that cargo wrote, without its end.
    CompilerLine(String),
    /// A web site is being packed, which takes time where much is compressed.
    PackingSite {
        /// How many files it has.
        files: usize,
    },
    /// The layer is being written.
    Packing {
        /// For which platform.
        platform: Platform,
    },
}
