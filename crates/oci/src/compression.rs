//! How a layer or an archive is compressed. Writing it is in `write`, reading
//! it, with a bound on what comes out, in `read`.

pub(crate) mod read;
pub(crate) mod write;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, at the best level that is worth its time: every engine reads it.
    #[default]
    Gzip,
    /// zstd: smaller and faster, but docker 20.10, umoci and Lambda refuse it.
    Zstd,
}

impl Compression {
    /// What the first bytes of a file say about it (RFC 1952, RFC 8878).
    pub(crate) fn sniff(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}
