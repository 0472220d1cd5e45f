//! Keys to sign and to verify with, as PEM: ECDSA on P-256 with SHA-256, which
//! cosign makes, and Ed25519; RSA to verify only.
//!
//! The arithmetic is `ring`'s, which the registry's client brings for TLS.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};

use super::der::{self, Der};
use super::sealed::{self, SealError};
use crate::Digest;

/// Most bytes of a file with a key.
pub const KEY_LIMIT: u64 = 64 << 10;

// Object identifiers: RFC 5480 §2.1.1, §2.1.1.1; RFC 8410 §3; RFC 8017 A.1.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED_25519: &[u8] = &[0x2b, 0x65, 0x70];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Bytes of a point on P-256, not compressed (SEC 1, 2.3.3).
const POINT: usize = 65;

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rsa,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        })
    }
}

/// A text is no key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No block of PEM that holds such a key.
    #[error("there is no {wanted} in it")]
    NoBlock {
        /// `private key`, `public key`.
        wanted: &'static str,
        /// What there is instead: the blocks' labels.
        found: Vec<String>,
    },
    /// A block's content is not base64.
    #[error("its PEM block is not base64")]
    Base64,
    /// A private key that openssl has sealed.
    #[error("the private key is encrypted by another program than cosign")]
    Encrypted,
    /// A private key that cosign has sealed, and no password.
    #[error("the private key is encrypted, and no password was given")]
    PasswordNeeded,
    /// The sealed key cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Not a key as its kind has it.
    #[error("it is not a valid {what}: {why}")]
    Invalid {
        /// `private key`, `public key`.
        what: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// A kind of key that is not used here.
    #[error("its kind of key is not known: ecdsa on P-256 and ed25519 are, and rsa to verify")]
    Algorithm,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoBlock { wanted, found } => {
                match (*wanted, found.iter().any(|label| label.contains("PUBLIC"))) {
                    ("private key", true) => "this is the public key: sign with the other file",
                    ("public key", false) if !found.is_empty() => {
                        "this is the private key: verify with the .pub file, or make one by \
                         ounce key public FILE"
                    }
                    _ => "a key is a PEM file: ounce key new NAME makes a pair",
                }
            }
            Self::Encrypted => "openssl pkey -in FILE -out PLAIN writes it without a password",
            Self::PasswordNeeded => {
                "set COSIGN_PASSWORD, or give a file that holds it: --password-file FILE"
            }
            Self::Seal(SealError::Password) => "the password is wrong, or the file is damaged",
            Self::Algorithm => "ounce key new NAME makes a pair that is known",
            _ => return None,
        })
    }
}

/// A key to verify with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// A point, 32 bytes, or an `RSAPublicKey`.
    bytes: Vec<u8>,
    /// As it is written: a `SubjectPublicKeyInfo`.
    info: Vec<u8>,
}

impl PublicKey {
    /// Reads the first public key of a PEM file.
    ///
    /// # Errors
    /// There is none, or none of a kind that is known.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let blocks = blocks(text);
        let (_, body) = blocks
            .iter()
            .find(|(label, _)| *label == "PUBLIC KEY")
            .ok_or_else(|| KeyError::NoBlock {
                wanted: "public key",
                found: blocks
                    .iter()
                    .map(|(label, _)| (*label).to_owned())
                    .collect(),
            })?;
        Self::from_info(&decoded(body)?)
    }

    /// Reads a `SubjectPublicKeyInfo` (RFC 5280 §4.1).
    fn from_info(info: &[u8]) -> Result<Self, KeyError> {
        let invalid = |why: &str| KeyError::Invalid {
            what: "public key",
            why: why.to_owned(),
        };
        let mut outer = Der(info);
        let parts = outer.enter().filter(|_| outer.is_done());
        let mut parts = parts.ok_or_else(|| invalid("it is cut, or more than one value"))?;
        let read = |parts: &mut Der<'_>| {
            let mut kind = parts.enter()?;
            let object = kind.take(der::OBJECT)?.to_vec();
            let curve = kind.take(der::OBJECT).map(<[u8]>::to_vec);
            Some((object, curve, parts.bits()?.to_vec()))
        };
        let (object, curve, bytes) =
            read(&mut parts).ok_or_else(|| invalid("it is not made as RFC 5280 has it"))?;
        let algorithm = match (object.as_slice(), curve.as_deref()) {
            (EC_PUBLIC_KEY, Some(P256)) => Algorithm::EcdsaP256,
            (ED_25519, None) => Algorithm::Ed25519,
            (RSA, None) => Algorithm::Rsa,
            _ => return Err(KeyError::Algorithm),
        };
        match algorithm {
            Algorithm::EcdsaP256 if bytes.len() != POINT || bytes[0] != 4 => {
                return Err(invalid("its point is not written out in 65 bytes"));
            }
            Algorithm::Ed25519 if bytes.len() != 32 => {
                return Err(invalid("it has not 32 bytes"));
            }
            _ => {}
        }
        Ok(Self {
            algorithm,
            bytes,
            info: info.to_vec(),
        })
    }

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut objects = Vec::new();
        match algorithm {
            Algorithm::EcdsaP256 => {
                objects.extend(der::value(der::OBJECT, EC_PUBLIC_KEY));
                objects.extend(der::value(der::OBJECT, P256));
            }
            Algorithm::Ed25519 => objects.extend(der::value(der::OBJECT, ED_25519)),
            Algorithm::Rsa => objects.extend(der::value(der::OBJECT, RSA)),
        }
        let mut content = der::value(der::SEQUENCE, &objects);
        content.extend(der::value(der::BIT_STRING, &[&[0], bytes].concat()));
        Self {
            algorithm,
            bytes: bytes.to_vec(),
            info: der::value(der::SEQUENCE, &content),
        }
    }

    /// Its kind.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SHA-256 of its `SubjectPublicKeyInfo`: a name for it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.info)
    }

    /// As its kind has it: a point of 65 bytes, 32 bytes of Ed25519, an `RSAPublicKey`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.info)
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::Ed25519 => &ED25519,
            Algorithm::Rsa => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes)
            .verify(message, signature)
            .is_ok()
    }
}

/// A key to sign with.
pub struct PrivateKey {
    pair: Pair,
    /// As it is written: PKCS #8.
    document: Vec<u8>,
}

enum Pair {
    EcdsaP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().algorithm())
    }
}

impl PrivateKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::EcdsaP256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            }
            Algorithm::Ed25519 => {
                // As every program reads it: without the public key (RFC 5208).
                let mut seed = [0; 32];
                ring::rand::SecureRandom::fill(&random, &mut seed).map_err(|_| KeyError::Random)?;
                return Self::from_document(&seeded(&seed));
            }
            Algorithm::Rsa => return Err(KeyError::Algorithm),
        };
        let document = document.map_err(|_| KeyError::Random)?;
        Self::from_document(document.as_ref())
    }

    /// Reads the first private key of a PEM file; `password` opens one that
    /// cosign has sealed.
    ///
    /// # Errors
    /// There is none, none of a kind that is known, or it cannot be opened.
    pub fn from_pem(text: &str, password: Option<&[u8]>) -> Result<Self, KeyError> {
        let blocks = blocks(text);
        for (label, body) in &blocks {
            match *label {
                "PRIVATE KEY" => return Self::from_document(&decoded(body)?),
                "EC PRIVATE KEY" => return Self::from_sec1(&decoded(body)?),
                "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
                sealed::LABEL | sealed::OLD_LABEL => {
                    let password = password.ok_or(KeyError::PasswordNeeded)?;
                    return Self::from_document(&sealed::open(&decoded(body)?, password)?);
                }
                _ => {}
            }
        }
        Err(KeyError::NoBlock {
            wanted: "private key",
            found: blocks
                .iter()
                .map(|(label, _)| (*label).to_owned())
                .collect(),
        })
    }

    /// Reads PKCS #8 (RFC 5958).
    fn from_document(document: &[u8]) -> Result<Self, KeyError> {
        let kind = |document| {
            let mut parts = Der(document).enter()?;
            parts.take(der::INTEGER)?;
            let mut kind = parts.enter()?;
            let object: &[u8] = kind.take(der::OBJECT)?;
            Some((object, kind.take(der::OBJECT)))
        };
        let invalid = |why: String| KeyError::Invalid {
            what: "private key",
            why,
        };
        let random = SystemRandom::new();
        let pair = match kind(document) {
            None => return Err(invalid("it is not made as RFC 5958 has it".to_owned())),
            Some((EC_PUBLIC_KEY, Some(P256))) => {
                let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
                EcdsaKeyPair::from_pkcs8(algorithm, document, &random)
                    .map(Pair::EcdsaP256)
                    .map_err(|error| invalid(error.to_string()))?
            }
            Some((ED_25519, None)) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(document)
                .map(Pair::Ed25519)
                .map_err(|error| invalid(error.to_string()))?,
            Some(_) => return Err(KeyError::Algorithm),
        };
        Ok(Self {
            pair,
            document: document.to_vec(),
        })
    }

    /// Reads an `ECPrivateKey` (RFC 5915), as `openssl ecparam -genkey` writes it.
    fn from_sec1(key: &[u8]) -> Result<Self, KeyError> {
        let mut objects = der::value(der::OBJECT, EC_PUBLIC_KEY);
        objects.extend(der::value(der::OBJECT, P256));
        let is_p256 = || {
            let mut parts = Der(key).enter()?;
            parts.take(der::INTEGER)?;
            parts.take(der::OCTET_STRING)?;
            Some(Der(parts.take(0xa0)?).take(der::OBJECT)? == P256)
        };
        if is_p256() == Some(false) {
            return Err(KeyError::Algorithm);
        }
        let mut content = der::value(der::INTEGER, &[0]);
        content.extend(der::value(der::SEQUENCE, &objects));
        // `ring` takes it without the curve named a second time.
        content.extend(der::value(
            der::OCTET_STRING,
            &without_curve(key).unwrap_or(key.to_vec()),
        ));
        Self::from_document(&der::value(der::SEQUENCE, &content))
    }

    /// The key to verify with.
    pub fn public(&self) -> PublicKey {
        match &self.pair {
            Pair::EcdsaP256(pair) => {
                PublicKey::of(Algorithm::EcdsaP256, pair.public_key().as_ref())
            }
            Pair::Ed25519(pair) => PublicKey::of(Algorithm::Ed25519, pair.public_key().as_ref()),
        }
    }

    /// Signs a message.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::EcdsaP256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                Ok(signature.map_err(|_| KeyError::Random)?.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// As PEM; with a password, sealed as cosign seals keys.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn to_pem(&self, password: Option<&[u8]>) -> Result<String, KeyError> {
        Ok(match password {
            None => pem("PRIVATE KEY", &self.document),
            Some(password) => pem(sealed::LABEL, &sealed::seal(&self.document, password)?),
        })
    }
}

/// An `ECPrivateKey` without its `parameters`.
fn without_curve(key: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Der(key).enter()?;
    let mut content = der::value(der::INTEGER, parts.take(der::INTEGER)?);
    content.extend(der::value(
        der::OCTET_STRING,
        parts.take(der::OCTET_STRING)?,
    ));
    parts.take(0xa0);
    content.extend(der::value(0xa1, parts.take(0xa1)?));
    Some(der::value(der::SEQUENCE, &content))
}

/// An Ed25519 key as PKCS #8 of the first version (RFC 8410 §7).
fn seeded(seed: &[u8; 32]) -> Vec<u8> {
    let mut content = der::value(der::INTEGER, &[0]);
    let object = der::value(der::OBJECT, ED_25519);
    content.extend(der::value(der::SEQUENCE, &object));
    let inner = der::value(der::OCTET_STRING, seed);
    content.extend(der::value(der::OCTET_STRING, &inner));
    der::value(der::SEQUENCE, &content)
}

/// The blocks of a PEM file (RFC 7468): label and body. Headers within, as old
/// programs write them, make a body that is no base64.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, after)) = after.split_once("-----") else {
            break;
        };
        let Some((body, after)) = after.split_once(&format!("-----END {label}-----")) else {
            break;
        };
        found.push((label, body));
        rest = after;
    }
    found
}

fn decoded(body: &str) -> Result<Vec<u8>, KeyError> {
    let plain: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(plain).map_err(|_| KeyError::Base64)
}

fn pem(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_read_back_and_its_signature_verified_by_its_public_half_alone() {
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let other = PrivateKey::generate(algorithm).unwrap();
            let back = PrivateKey::from_pem(&key.to_pem(None).unwrap(), None).unwrap();
            let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
            assert_eq!(public, back.public());
            let signature = back.sign(b"message").unwrap();
            assert!(public.verifies(b"message", &signature));
            assert!(!public.verifies(b"massage", &signature));
            assert!(!other.public().verifies(b"message", &signature));
            assert!(!public.verifies(b"message", &signature[..signature.len() - 1]));
            assert!(!public.verifies(b"message", b""));
        }
    }

    #[test]
    fn sealed_key_opens_with_its_password_only() {
        let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        let text = key.to_pem(Some(b"secret")).unwrap();
        assert!(text.contains("ENCRYPTED SIGSTORE PRIVATE KEY"));
        let read = |password| PrivateKey::from_pem(&text, password);
        assert_eq!(read(Some(b"secret")).unwrap().public(), key.public());
        assert!(matches!(
            read(Some(b"Secret")),
            Err(KeyError::Seal(SealError::Password))
        ));
        assert!(matches!(read(None), Err(KeyError::PasswordNeeded)));
    }

    #[test]
    fn what_is_no_key_is_told_from_a_key_of_the_wrong_half() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let private = key.to_pem(None).unwrap();
        let hint = |error: KeyError| error.hint().unwrap_or_default();
        let error = PrivateKey::from_pem(&key.public().to_pem(), None).unwrap_err();
        assert!(hint(error).contains("public key"));
        let error = PublicKey::from_pem(&private).unwrap_err();
        assert!(hint(error).contains(".pub"));
        for text in [
            "",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----",
        ] {
            assert!(PrivateKey::from_pem(text, Some(b"")).is_err(), "{text}");
            assert!(PublicKey::from_pem(&text.replace("PRIVATE", "PUBLIC")).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_a_block_give_a_key_or_an_error(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            for label in ["PRIVATE KEY", "EC PRIVATE KEY", sealed::LABEL] {
                let _ = PrivateKey::from_pem(&pem(label, &bytes), Some(b"x"));
            }
            let _ = PublicKey::from_pem(&pem("PUBLIC KEY", &bytes));
            let _ = PrivateKey::from_pem(&String::from_utf8_lossy(&bytes), None);
        }

        #[test]
        fn key_with_a_byte_changed_gives_a_key_or_an_error(at in 0_usize..200, byte: u8) {
            for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
                let key = PrivateKey::generate(algorithm).unwrap();
                for (label, document) in [
                    ("PRIVATE KEY", key.document.clone()),
                    ("PUBLIC KEY", key.public().info),
                ] {
                    let mut changed = document;
                    let at = at % changed.len();
                    changed[at] = byte;
                    let text = pem(label, &changed);
                    let _ = PrivateKey::from_pem(&text, None).map(|key| key.sign(b"x"));
                    let _ = PublicKey::from_pem(&text).map(|key| key.verifies(b"x", b"y"));
                }
            }
        }
    }
}
