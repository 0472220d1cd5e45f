//! What [`execute`](crate::execute) tells while it works.

use ounce_oci::Platform;

/// Progress, in the order it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Another ounce has what this one needs; it is waited for.
    Waiting {
        /// What it does: `building this project`.
        doing: &'static str,
        /// Its process, where that can be told.
        holder_pid: Option<u32>,
    },
    /// The program that will be packed begins to be compiled.
    Compiling {
        /// The program.
        bin: String,
        /// For what, in the compiler's words.
        target: String,
    },
    /// It begins to be compiled without a size flag, to measure that.
    Measuring {
        /// The flag.
        flag: String,
    },
    /// A line that a compiler wrote, without its end.
    CompilerLine(String),
    /// A web site is being packed, which takes time where much is compressed.
    PackingSite {
        /// How many files it has.
        files: usize,
    },
    /// Something is fetched, or made by another tool.
    Fetching {
        /// In words.
        what: String,
    },
    /// A Python wheel is being installed.
    Installing {
        /// Its file name.
        wheel: String,
    },
    /// Python sources are being compiled.
    Bytecode {
        /// How many.
        files: usize,
    },
    /// Something worth knowing came out.
    Note(String),
    /// The layer is being written.
    Packing {
        /// For which platform.
        platform: Platform,
    },
}
