//! Private keys sealed by a password as cosign, and podman after it, seal them:
//! scrypt makes a key of the password, NaCl's secretbox (XSalsa20 and Poly1305)
//! hides the PKCS #8 document (`encrypted.go` of go-tuf, which both use).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::{Deserialize, Serialize};

/// The label of the PEM block, and the one that cosign wrote before version 2.
pub(super) const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
pub(super) const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// What cosign 2 seals with: 64 MiB of memory.
const COST: Params = Params {
    n: 65_536,
    r: 8,
    p: 1,
};

/// Most memory that a key's file may ask for.
const MOST_BYTES: u64 = 1 << 30;

const SALT: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;

/// A sealed key cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Not the JSON that it should be.
    #[error("the encrypted key is not as cosign writes it")]
    Json(#[source] serde_json::Error),
    /// Sealed in another way.
    #[error("the encrypted key is sealed by {0}, not by scrypt and nacl/secretbox")]
    Method(String),
    /// More than a key needs.
    #[error("opening the key would take {bytes} bytes of memory and {passes} passes")]
    Cost {
        /// Of memory.
        bytes: u64,
        /// Over it.
        passes: u64,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// It does not open.
    #[error("the password does not open the key")]
    Password,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Opens what [`seal`] or cosign has sealed.
pub(super) fn open(document: &[u8], password: &[u8]) -> Result<Vec<u8>, SealError> {
    let sealed: Sealed = serde_json::from_slice(document).map_err(SealError::Json)?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        let method = format!("{} and {}", sealed.kdf.name, sealed.cipher.name);
        return Err(SealError::Method(method));
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| SealError::Password);
    let salt = bytes(&sealed.kdf.salt)?;
    let nonce: [u8; NONCE] = bytes(&sealed.cipher.nonce)?
        .try_into()
        .map_err(|_| SealError::Password)?;
    let whole = bytes(&sealed.ciphertext)?;
    let key = derive(password, &salt, sealed.kdf.params)?;
    let (tag, text) = whole.split_at_checked(TAG).ok_or(SealError::Password)?;
    let (mut stream, authenticator) = secretbox(&key, &nonce);
    let actual = authenticator.compute_unpadded(text);
    // Whoever can time this has the file and could try passwords at leisure.
    if actual.as_slice() != tag {
        return Err(SealError::Password);
    }
    let mut text = text.to_vec();
    stream.apply_keystream(&mut text);
    Ok(text)
}

/// Seals a document.
pub(super) fn seal(document: &[u8], password: &[u8]) -> Result<Vec<u8>, SealError> {
    let random = SystemRandom::new();
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    random.fill(&mut salt).map_err(|_| SealError::Random)?;
    random.fill(&mut nonce).map_err(|_| SealError::Random)?;
    let key = derive(password, &salt, COST)?;
    let (mut stream, authenticator) = secretbox(&key, &nonce);
    let mut text = document.to_vec();
    stream.apply_keystream(&mut text);
    let tag = authenticator.compute_unpadded(&text);
    let sealed = Sealed {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: COST,
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode([tag.as_slice(), &text].concat()),
    };
    serde_json::to_vec(&sealed).map_err(SealError::Json)
}

fn derive(password: &[u8], salt: &[u8], params: Params) -> Result<[u8; 32], SealError> {
    let Params { n, r, p } = params;
    // RFC 7914 §2: 128 · r · N bytes, p times over.
    let bytes = n.saturating_mul(r).saturating_mul(128);
    let too_much = SealError::Cost { bytes, passes: p };
    if bytes > MOST_BYTES || p == 0 || p > 16 || !n.is_power_of_two() || n < 2 || r == 0 {
        return Err(too_much);
    }
    let (Ok(r), Ok(p)) = (u32::try_from(r), u32::try_from(p)) else {
        return Err(too_much);
    };
    let params = scrypt::Params::new(n.ilog2() as u8, r, p).map_err(|_| SealError::Cost {
        bytes,
        passes: p.into(),
    })?;
    let mut key = [0; 32];
    scrypt::scrypt(password, salt, &params, &mut key).map_err(|_| SealError::Cost {
        bytes,
        passes: p.into(),
    })?;
    Ok(key)
}

/// The stream and the authenticator of a secretbox: the stream's first 32 bytes
/// are the authenticator's key (NaCl, "Secret-key authenticated encryption").
fn secretbox(key: &[u8; 32], nonce: &[u8; NONCE]) -> (XSalsa20, Poly1305) {
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut first = [0; 32];
    stream.apply_keystream(&mut first);
    (stream, Poly1305::new((&first).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_that_would_take_the_machine_are_refused_before_they_are_paid() {
        let sealed = |n: u64, r: u64, p: u64| {
            format!(
                r#"{{"kdf":{{"name":"scrypt","params":{{"N":{n},"r":{r},"p":{p}}},"salt":""}},
                "cipher":{{"name":"nacl/secretbox","nonce":"{}"}},"ciphertext":""}}"#,
                STANDARD.encode([0; NONCE])
            )
        };
        for (n, r, p) in [
            (1 << 40, 8, 1),
            (u64::MAX, u64::MAX, 1),
            (1024, 8, 1_000_000),
            (1000, 8, 1),
            (0, 8, 1),
            (1024, 0, 1),
        ] {
            let error = open(sealed(n, r, p).as_bytes(), b"x").unwrap_err();
            assert!(
                matches!(error, SealError::Cost { .. }),
                "{n} {r} {p}: {error}"
            );
        }
    }
}
