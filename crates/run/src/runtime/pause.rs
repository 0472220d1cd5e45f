//! Where a container's first process stops for its maker.

/// The process waits for its users to be mapped.
pub const MAPPED: u32 = 1;
/// All is mounted: hooks may run.
pub const MOUNTED: u32 = 2;
/// Its limits can be set.
pub const LIMITED: u32 = 4;
/// Only the word to start is missing.
pub const READY: u32 = 3;
