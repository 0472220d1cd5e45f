//! Signed archives: an index or a package is several gzip members one after
//! the other, the first of which holds signatures of the second.
//!
//! RSA and SHA-1 are `ring`'s, which is here for TLS: apk names everything by
//! SHA-1, and what its v2 signs is signed with it. The image's own digests are
//! `oci`'s.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use ounce_oci::tar::read::{Fault, TarReader};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, UnparsedPublicKey,
};

use super::base64;
use super::index::Checksum;

/// Most bytes of a signature or control part once it is unpacked; scripts are
/// some kilobytes.
const CONTROL_LIMIT: u64 = 16 << 20;
/// Most entries there.
const CONTROL_ENTRIES: u64 = 64;
/// Most bytes of a key's file.
const KEY_LIMIT: u64 = 64 << 10;

/// An archive that is broken, or that nobody we trust has signed.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// Not gzip, or cut short.
    #[error("it is no gzip archive, or is cut short")]
    Gzip(#[source] io::Error),
    /// Too large once unpacked.
    #[error("its {part} unpacks to more than {limit_bytes} bytes")]
    Bomb {
        /// Which part.
        part: &'static str,
        /// How much it may be.
        limit_bytes: u64,
    },
    /// What is in it is no tar.
    #[error("its {part} is no archive")]
    Tar {
        /// Which part.
        part: &'static str,
        /// Why not.
        #[source]
        source: Fault,
    },
    /// A part that must be there.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// No signature.
    #[error("it is not signed")]
    Unsigned,
    /// No key of a signature is trusted.
    #[error("it is signed by {}, which is not among the trusted keys", .0.join(" and "))]
    Untrusted(Vec<String>),
    /// A signature that is not the key's.
    #[error("the signature by {0} is wrong: it was changed since it was signed")]
    Wrong(String),
}

/// Keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder or a file in it.
    #[error("reading {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No key in it.
    #[error("no key (*.rsa.pub) in {}", .0.display())]
    None(PathBuf),
    /// Not an RSA key.
    #[error("{} is no RSA public key in PEM form", .0.display())]
    Key(PathBuf),
}

/// Public keys that are trusted, by the names of their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// As PKCS #1 has them.
    keys: BTreeMap<String, Vec<u8>>,
}

impl Keys {
    /// Reads keys: each path is a key's file, or a folder with `*.pub`.
    ///
    /// # Errors
    /// None there, or one that is no key.
    pub fn read(paths: &[PathBuf]) -> Result<Self, KeysError> {
        let mut keys = Self::default();
        for path in paths {
            match path.is_dir() {
                true => keys.add_folder(path)?,
                false => keys.add(path)?,
            }
        }
        Ok(keys)
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), KeysError> {
        let failed = |source| KeysError::Read {
            path: folder.to_owned(),
            source,
        };
        let before = self.keys.len();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "pub") {
                self.add(&path)?;
            }
        }
        match self.keys.len() == before {
            true => Err(KeysError::None(folder.to_owned())),
            false => Ok(()),
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), KeysError> {
        let read = || -> io::Result<String> {
            // Asked first: a pipe would be waited for.
            if !fs::metadata(path)?.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            let mut text = String::new();
            let file = fs::File::open(path)?;
            file.take(KEY_LIMIT).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| KeysError::Read {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_name().and_then(|name| name.to_str());
        let key = name.zip(public_key(&text));
        let (name, key) = key.ok_or_else(|| KeysError::Key(path.to_owned()))?;
        self.keys.insert(name.to_owned(), key);
        Ok(())
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }
}

/// From PEM of a `SubjectPublicKeyInfo` (RFC 5280) to the `RSAPublicKey` (RFC
/// 8017) within.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let der = base64::decode(body)?;
    let (0x30, info, []) = element(&der)? else {
        return None;
    };
    let (0x30, algorithm, rest) = element(info)? else {
        return None;
    };
    // 1.2.840.113549.1.1.1, rsaEncryption.
    let (0x06, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], _) = element(algorithm)? else {
        return None;
    };
    match element(rest)? {
        (0x03, [0, key @ ..], []) => Some(key.to_vec()),
        _ => None,
    }
}

/// A DER element: its tag, its content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// An archive whose signature holds, taken apart.
pub(super) struct Signed<'a> {
    /// The control part or, of an index, all of it: compressed.
    pub(super) control: &'a [u8],
    /// The same, unpacked.
    pub(super) control_tar: Vec<u8>,
    /// All that follows, compressed.
    pub(super) data: &'a [u8],
}

/// Takes an archive apart without asking who signed it: the digest of its
/// control part is known from elsewhere.
pub(super) fn split(bytes: &[u8]) -> Result<Signed<'_>, SignedError> {
    Ok(parts(bytes, CONTROL_LIMIT)?.0)
}

/// Takes an archive apart once one of the keys has signed its second part,
/// which may be so large.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    keys: &Keys,
    limit_bytes: u64,
) -> Result<Signed<'a>, SignedError> {
    let (signed, signatures) = parts(bytes, limit_bytes)?;
    let mut strangers = Vec::new();
    let mut wrong = None;
    for signature in signatures {
        let Some(key) = keys.keys.get(&signature.key) else {
            strangers.push(signature.key);
            continue;
        };
        let key = UnparsedPublicKey::new(signature.algorithm, key);
        match key.verify(signed.control, &signature.bytes) {
            Ok(()) => return Ok(signed),
            Err(_) => wrong = Some(signature.key),
        }
    }
    Err(match (wrong, strangers.is_empty()) {
        (Some(key), _) => SignedError::Wrong(key),
        (None, false) => SignedError::Untrusted(strangers),
        (None, true) => SignedError::Unsigned,
    })
}

struct Signature {
    key: String,
    algorithm: &'static RsaParameters,
    bytes: Vec<u8>,
}

fn parts(bytes: &[u8], limit_bytes: u64) -> Result<(Signed<'_>, Vec<Signature>), SignedError> {
    let (first, rest) = member(bytes, "signature", limit_bytes.max(CONTROL_LIMIT))?;
    let signatures = signatures(&first)?;
    let (control, control_tar, data) = match signatures {
        // Its first part is the control part already.
        None => (&bytes[..bytes.len() - rest.len()], first, rest),
        Some(_) if rest.is_empty() => return Err(SignedError::Missing("content")),
        Some(_) => {
            let (tar, data) = member(rest, "control part", limit_bytes)?;
            (&rest[..rest.len() - data.len()], tar, data)
        }
    };
    let signed = Signed {
        control,
        control_tar,
        data,
    };
    Ok((signed, signatures.unwrap_or_default()))
}

/// Unpacks one gzip member; what follows it comes back.
fn member<'a>(
    bytes: &'a [u8],
    part: &'static str,
    limit_bytes: u64,
) -> Result<(Vec<u8>, &'a [u8]), SignedError> {
    let mut decoder = GzDecoder::new(bytes);
    let mut tar = Vec::new();
    // Grows as bytes come, not as a header says.
    decoder
        .by_ref()
        .take(limit_bytes + 1)
        .read_to_end(&mut tar)
        .map_err(SignedError::Gzip)?;
    if tar.len() as u64 > limit_bytes {
        return Err(SignedError::Bomb { part, limit_bytes });
    }
    Ok((tar, decoder.into_inner()))
}

/// The signatures in a tar, or `None` if it holds something else.
fn signatures(tar: &[u8]) -> Result<Option<Vec<Signature>>, SignedError> {
    let failed = |source| SignedError::Tar {
        part: "signature",
        source,
    };
    let mut reader = TarReader::new(tar, CONTROL_ENTRIES);
    let mut found = None;
    loop {
        let next = match reader.next() {
            // What comes after the first entry of something else is not asked.
            Err(_) if found.is_none() => return Ok(None),
            other => other.map_err(failed)?,
        };
        let Some(raw) = next else { return Ok(found) };
        let Some(name) = raw.path.strip_prefix(".SIGN.") else {
            return Ok(found);
        };
        let found = found.get_or_insert_with(Vec::new);
        let Some((kind, key)) = name.split_once('.') else {
            continue;
        };
        let algorithm = match kind {
            "RSA" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "RSA256" => &RSA_PKCS1_2048_8192_SHA256,
            "RSA512" => &RSA_PKCS1_2048_8192_SHA512,
            _ => continue,
        };
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| failed(error.into()))?;
        found.push(Signature {
            key: key.to_owned(),
            algorithm,
            bytes,
        });
    }
}

/// The files of a control part or an index by their names.
pub(super) fn files(tar: &[u8], part: &'static str) -> Result<Vec<(String, Vec<u8>)>, SignedError> {
    let failed = |source| SignedError::Tar { part, source };
    let mut reader = TarReader::new(tar, CONTROL_ENTRIES);
    let mut files = Vec::new();
    while let Some(raw) = reader.next().map_err(failed)? {
        if raw.kind != b'0' {
            continue;
        }
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| failed(error.into()))?;
        files.push((raw.path, bytes));
    }
    Ok(files)
}

/// SHA-1.
pub(super) fn sha1(bytes: &[u8]) -> Checksum {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut checksum = [0; 20];
    checksum.copy_from_slice(digest.as_ref());
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rsa_keys_in_pem_form_are_keys() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let error = || {
            Keys::read(&[folder.path().to_owned()])
                .unwrap_err()
                .to_string()
        };
        put("README", "nothing");
        assert!(error().starts_with("no key (*.rsa.pub) in "));
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
            // An elliptic curve's.
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAA\n-----END PUBLIC KEY-----\n",
        ] {
            put("a.rsa.pub", text);
            assert!(
                error().ends_with("is no RSA public key in PEM form"),
                "{text}"
            );
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 5, 1],
            &[0x30, 0x84, 0, 0, 0, 0],
            &[0x30, 0x82, 1],
        ] {
            assert_eq!(element(der), None, "{der:?}");
        }
        assert_eq!(element(&[4, 0x81, 1, 7, 8]), Some((4, &[7][..], &[8][..])));
    }
}
