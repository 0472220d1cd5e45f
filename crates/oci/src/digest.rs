//! Content digests: [`Digest`] names a blob as stored, [`DiffId`] a layer's
//! uncompressed tar. Both are SHA-256; two types, because a mix-up would
//! compile and give an image that no other tool accepts.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a blob as it is stored and sent (for a layer: compressed).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The SHA-256 of a layer's uncompressed tar stream, as in a config's `rootfs.diff_ids`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiffId([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:` in front.
    #[error("digest {0:?} has no algorithm before a colon")]
    NoAlgorithm(String),
    /// An algorithm other than SHA-256.
    #[error("digest algorithm {0:?} is not supported, only sha256 is")]
    Algorithm(String),
    /// Not 64 lower-case hexadecimal digits (OCI image spec, descriptor.md, "sha256").
    #[error("digest {0:?} is not 64 lower-case hexadecimal digits")]
    Hex(String),
}

fn parse(text: &str) -> Result<[u8; 32], DigestError> {
    let (algorithm, hex) = text
        .split_once(':')
        .ok_or_else(|| DigestError::NoAlgorithm(text.to_owned()))?;
    if algorithm != "sha256" {
        return Err(DigestError::Algorithm(algorithm.to_owned()));
    }
    let mut bytes = [0; 32];
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return Err(DigestError::Hex(hex.to_owned()));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
            return Err(DigestError::Hex(hex.to_owned()));
        };
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}

macro_rules! sha256_type {
    ($name:ident) => {
        impl $name {
            /// Hashes `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }

            /// The 64 hexadecimal digits, without the algorithm.
            pub fn hex(&self) -> String {
                hex(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "sha256:{}", self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

impl Digest {
    /// The first half: enough to tell values apart in a large set.
    pub fn half(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        half
    }
}

sha256_type!(Digest);
sha256_type!(DiffId);

/// Hashes all that passes through it, reading or writing, and counts it.
pub struct Hashing<T> {
    inner: T,
    state: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    /// Wraps a reader or a writer.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            state: Sha256::new(),
            count: 0,
        }
    }

    /// Bytes that have passed so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What the bytes so far hash to as a stored blob.
    pub(crate) fn digest_so_far(&self) -> Digest {
        Digest(self.state.clone().finalize().into())
    }

    /// Ends hashing; the bytes were a stored blob.
    pub fn into_digest(self) -> (T, Digest, u64) {
        (self.inner, Digest(self.state.finalize().into()), self.count)
    }

    /// Ends hashing; the bytes were an uncompressed layer.
    pub fn into_diff_id(self) -> (T, DiffId, u64) {
        (self.inner, DiffId(self.state.finalize().into()), self.count)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.state.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.state.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_of_nothing_is_the_published_one() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn text_that_is_no_digest_is_refused_with_its_reason() {
        let error = |text: &str| text.parse::<Digest>().unwrap_err();
        assert!(matches!(error("abc"), DigestError::NoAlgorithm(_)));
        assert!(matches!(error("sha512:00"), DigestError::Algorithm(_)));
        assert!(matches!(error("sha256:00"), DigestError::Hex(_)));
        assert!(matches!(
            error(&EMPTY.to_uppercase().replace("SHA", "sha")),
            DigestError::Hex(_)
        ));
    }

    #[test]
    fn hashing_a_stream_gives_the_same_digest_as_hashing_its_bytes() {
        let mut reader = Hashing::new(&b"ounce"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let (_, digest, count) = reader.into_digest();
        assert_eq!((digest, count), (Digest::of(b"ounce"), 5));
    }
}
