//! Signatures of archives: the part of OpenPGP (RFC 9580) that `InRelease` and
//! the keyrings of Debian and its kin use, and no more.
//!
//! Read here are clear-signed texts, version 4 signatures and keys; what is
//! computed is `ring`'s, which TLS brings anyway. The field's own crate (`pgp`)
//! would bring some 150 more for encryption, secret keys and old ciphers. A
//! keyring is the local administrator's file: what it says about its keys
//! (their end, their revocation) is believed without checking who said so,
//! as `gpgv` does; what a mirror sends is not.

use ring::digest;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

/// Most bytes of a keyring.
pub(crate) const KEYRING_LIMIT_BYTES: u64 = 16 << 20;

/// The keys that are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyring {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    fingerprint: [u8; 20],
    material: Material,
    created: u64,
    /// Seconds since 1970; `None`: never.
    expires: Option<u64>,
    revoked: bool,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519([u8; 32]),
    /// Of no use here.
    Other,
}

/// Why a text is not taken for what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nothing that is signed.
    #[error("it is not clear-signed: {0}")]
    Malformed(&'static str),
    /// The keyring is none.
    #[error("the keyring is malformed: {0}")]
    Keyring(&'static str),
    /// Signed by somebody else.
    #[error("it is signed by {}, none of which the keyring has", .0.join(", "))]
    UnknownKey(Vec<String>),
    /// Signed by somebody known, but not so.
    #[error("its signature by {key} is wrong: {why}")]
    Wrong {
        /// The key.
        key: String,
        /// In words.
        why: &'static str,
    },
}

impl SignatureError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownKey(_) => vec![
                "apt install debian-archive-keyring, or name the archive's keyring by --keyring"
                    .to_owned(),
            ],
            Self::Wrong { .. } => {
                vec![
                    "somebody on the way changed it, or the key has ended: try another mirror"
                        .to_owned(),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// One after the other: tag and content.
struct Packets<'b>(&'b [u8]);

impl<'b> Iterator for Packets<'b> {
    type Item = Option<(u8, &'b [u8])>;

    /// `Some(None)` where what follows is no packet.
    fn next(&mut self) -> Option<Self::Item> {
        let (&first, rest) = self.0.split_first()?;
        let one = packet(first, rest);
        match one {
            Some((tag, body, rest)) => {
                self.0 = rest;
                Some(Some((tag, body)))
            }
            None => {
                self.0 = &[];
                Some(None)
            }
        }
    }
}

fn packet(first: u8, rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    if first & 0x80 == 0 {
        return None;
    }
    let (tag, length, rest) = if first & 0x40 != 0 {
        let (&one, rest) = rest.split_first()?;
        let (length, rest) = match one {
            0..=191 => (usize::from(one), rest),
            192..=223 => {
                let (&two, rest) = rest.split_first()?;
                (
                    (usize::from(one) - 192) * 256 + usize::from(two) + 192,
                    rest,
                )
            }
            255 => number(rest, 4)?,
            // Parts: of what is signed or encrypted, never of keys.
            _ => return None,
        };
        (first & 0x3f, length, rest)
    } else {
        let (length, rest) = match first & 3 {
            0 => number(rest, 1)?,
            1 => number(rest, 2)?,
            2 => number(rest, 4)?,
            _ => return None,
        };
        ((first >> 2) & 0xf, length, rest)
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

/// A number of so many bytes, and what follows it.
fn number(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_at_checked(count)?;
    let value = number
        .iter()
        .fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    Some((value, rest))
}

/// A multiprecision integer, without its leading zeros.
fn integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = number(bytes, 2)?;
    let (integer, rest) = rest.split_at_checked(bits.div_ceil(8))?;
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    Some((&integer[zeros..], rest))
}

impl Keyring {
    /// Adds a keyring's keys, binary or in ASCII armor.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), SignatureError> {
        const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.contains(ARMOR));
        let Some(text) = text else {
            return self.add_packets(bytes);
        };
        for block in text.split(ARMOR).skip(1) {
            let block = block
                .split("-----END")
                .next()
                .and_then(unarmored)
                .ok_or(SignatureError::Keyring("its armor is damaged"))?;
            self.add_packets(&block)?;
        }
        Ok(())
    }

    fn add_packets(&mut self, bytes: &[u8]) -> Result<(), SignatureError> {
        let before = self.keys.len();
        for packet in Packets(bytes) {
            let (tag, body) = packet.ok_or(SignatureError::Keyring("it ends in the middle"))?;
            match tag {
                6 | 14 => self.keys.extend(key(body)),
                2 if self.keys.len() > before => {
                    if let (Some(key), Some(signature)) = (self.keys.last_mut(), signed(body)) {
                        key.heed(&signature);
                    }
                }
                _ => {}
            }
        }
        match self.keys.len() == before {
            true => Err(SignatureError::Keyring("it holds no key that can be used")),
            false => Ok(()),
        }
    }
}

fn key(body: &[u8]) -> Option<Key> {
    let (version, rest) = number(body, 1)?;
    if version != 4 {
        return None;
    }
    let (created, rest) = number(rest, 4)?;
    let (algorithm, rest) = number(rest, 1)?;
    let material = match algorithm {
        1 | 3 => {
            let (n, rest) = integer(rest)?;
            let (e, _) = integer(rest)?;
            Material::Rsa {
                n: n.to_vec(),
                e: e.to_vec(),
            }
        }
        // EdDSA with the curve's name; a point begins with 0x40.
        22 => {
            const CURVE: [u8; 10] = [9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
            match rest.strip_prefix(&CURVE).and_then(integer) {
                Some(([0x40, point @ ..], _)) => Material::Ed25519(point.try_into().ok()?),
                _ => Material::Other,
            }
        }
        27 => Material::Ed25519(rest.try_into().ok()?),
        _ => Material::Other,
    };
    let mut head = vec![0x99];
    head.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    head.extend(body);
    let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &head);
    Some(Key {
        fingerprint: fingerprint.as_ref().try_into().ok()?,
        material,
        created: created as u64,
        expires: None,
        revoked: false,
    })
}

impl Key {
    /// What the keyring says about the key.
    fn heed(&mut self, signature: &Signed<'_>) {
        match signature.kind {
            0x10..=0x13 | 0x18 | 0x1f => {
                if let Some(seconds) = signature.key_lifetime.filter(|seconds| *seconds > 0) {
                    let end = self.created + seconds;
                    self.expires = Some(self.expires.map_or(end, |known| known.max(end)));
                }
            }
            0x20 | 0x28 => self.revoked = true,
            _ => {}
        }
    }

    fn name(&self) -> String {
        hex(&self.fingerprint)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A signature packet.
struct Signed<'b> {
    kind: u8,
    algorithm: u8,
    hash: u8,
    /// All that is hashed of the packet itself.
    hashed: &'b [u8],
    /// Fingerprint, or its last eight bytes.
    issuers: Vec<&'b [u8]>,
    created: u64,
    lifetime: Option<u64>,
    key_lifetime: Option<u64>,
    unknown_critical: bool,
    numbers: &'b [u8],
}

fn signed(body: &[u8]) -> Option<Signed<'_>> {
    let &[4, kind, algorithm, hash, ..] = body else {
        return None;
    };
    let (hashed_bytes, rest) = number(&body[4..], 2)?;
    let (hashed, rest) = rest.split_at_checked(hashed_bytes)?;
    let (plain_bytes, rest) = number(rest, 2)?;
    let (plain, rest) = rest.split_at_checked(plain_bytes)?;
    let mut signature = Signed {
        kind,
        algorithm,
        hash,
        hashed: &body[..6 + hashed_bytes],
        issuers: Vec::new(),
        created: 0,
        lifetime: None,
        key_lifetime: None,
        unknown_critical: false,
        numbers: rest.get(2..)?,
    };
    for (is_hashed, mut area) in [(true, hashed), (false, plain)] {
        while !area.is_empty() {
            let (&one, rest) = area.split_first()?;
            let (length, rest) = match one {
                0..=191 => (usize::from(one), rest),
                192..=254 => {
                    let (&two, rest) = rest.split_first()?;
                    (
                        (usize::from(one) - 192) * 256 + usize::from(two) + 192,
                        rest,
                    )
                }
                255 => number(rest, 4)?,
            };
            let (packet, rest) = rest.split_at_checked(length)?;
            area = rest;
            let (&kind, content) = packet.split_first()?;
            let seconds = || number(content, 4).map(|(seconds, _)| seconds as u64);
            match kind & 0x7f {
                16 if content.len() == 8 => signature.issuers.push(content),
                33 if content.len() == 21 => signature.issuers.push(&content[1..]),
                // What is not hashed can be anybody's.
                _ if !is_hashed => {}
                2 => signature.created = seconds()?,
                3 => signature.lifetime = seconds(),
                9 => signature.key_lifetime = seconds(),
                // What says nothing about whether the signature holds.
                11 | 16 | 20..=35 => {}
                _ => signature.unknown_critical |= kind & 0x80 != 0,
            }
        }
    }
    Some(signature)
}

/// The text that is signed, if a key of the ring has signed it; `now` is in
/// seconds since 1970, `None` where dates shall not matter.
///
/// # Errors
/// It is not clear-signed, or by nobody who is known, or wrongly.
pub(crate) fn verify_cleartext(
    bytes: &[u8],
    keyring: &Keyring,
    now: Option<u64>,
) -> Result<String, SignatureError> {
    let malformed = SignatureError::Malformed;
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is no text"))?;
    let text = text.trim_start();
    let text = text
        .strip_prefix("-----BEGIN PGP SIGNED MESSAGE-----")
        .ok_or(malformed("it does not begin so"))?;
    let (_, text) = split_at_blank(text).ok_or(malformed("its header does not end"))?;
    let marker = "\n-----BEGIN PGP SIGNATURE-----";
    let (text, armor) = text
        .split_once(marker)
        .ok_or(malformed("its signature is missing"))?;
    let (armor, rest) = armor
        .split_once("-----END PGP SIGNATURE-----")
        .ok_or(malformed("its signature does not end"))?;
    if !rest.trim().is_empty() {
        return Err(malformed("something follows the signature"));
    }
    let armor = unarmored(armor).ok_or(malformed("the armor of its signature is damaged"))?;
    // As it is signed: RFC 9580, section 7. Lines end in CR LF, and without blanks.
    let mut plain = String::with_capacity(text.len());
    let mut canonical = String::with_capacity(text.len() + text.len() / 16);
    for (at, line) in text.split('\n').enumerate() {
        let line = line.trim_end_matches(['\r', ' ', '\t']);
        let line = match line.strip_prefix('-') {
            Some(escaped) => escaped
                .strip_prefix(' ')
                .ok_or(malformed("a line begins with a dash"))?,
            None => line,
        };
        if at > 0 {
            canonical.push_str("\r\n");
        }
        canonical.push_str(line);
        plain.push_str(line);
        plain.push('\n');
    }
    let mut unknown = Vec::new();
    let mut wrong = None;
    for packet in Packets(&armor) {
        let (tag, body) = packet.ok_or(malformed("its signature ends in the middle"))?;
        let Some(signature) = (tag == 2).then(|| signed(body)).flatten() else {
            continue;
        };
        let by = |key: &&Key| {
            let made = |issuer: &&[u8]| key.fingerprint.ends_with(issuer);
            signature.issuers.iter().any(made)
        };
        let Some(key) = keyring.keys.iter().find(by) else {
            unknown.extend(signature.issuers.last().map(|issuer| hex(issuer)));
            continue;
        };
        match holds(&signature, key, canonical.as_bytes(), now) {
            Ok(()) => return Ok(plain),
            Err(why) => {
                wrong = wrong.or(Some(SignatureError::Wrong {
                    key: key.name(),
                    why,
                }));
            }
        }
    }
    Err(match wrong {
        Some(wrong) => wrong,
        None if unknown.is_empty() => malformed("it holds no signature of a known form"),
        None => SignatureError::UnknownKey(unknown),
    })
}

fn holds(
    signature: &Signed<'_>,
    key: &Key,
    text: &[u8],
    now: Option<u64>,
) -> Result<(), &'static str> {
    // A text's; one of any other kind was made for something else.
    if signature.kind != 1 {
        return Err("it is no signature of a text");
    }
    if signature.unknown_critical {
        return Err("it demands something unknown");
    }
    if key.revoked {
        return Err("the key was revoked");
    }
    if let Some(now) = now {
        if key.expires.is_some_and(|end| now > end) {
            return Err("the key has expired");
        }
        let end = signature.lifetime.filter(|seconds| *seconds > 0);
        if end.is_some_and(|seconds| now > signature.created + seconds) {
            return Err("the signature has expired");
        }
        // A day for clocks that differ.
        if signature.created > now + 86_400 {
            return Err("it was made in the future: look at this machine's clock");
        }
    }
    let mut message = text.to_vec();
    message.extend(signature.hashed);
    message.extend([4, 0xff]);
    // The hashed part is bounded by a number of two bytes.
    message.extend((signature.hashed.len() as u32).to_be_bytes());
    type Rsa = signature::RsaParameters;
    let (hash, rsa): (&digest::Algorithm, &Rsa) = match signature.hash {
        8 => (&digest::SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        9 => (&digest::SHA384, &signature::RSA_PKCS1_2048_8192_SHA384),
        10 => (&digest::SHA512, &signature::RSA_PKCS1_2048_8192_SHA512),
        _ => return Err("its hash is too weak, or unknown"),
    };
    let broken = "it is damaged";
    let differs = "what it signs is not this text";
    match &key.material {
        Material::Rsa { n, e } if matches!(signature.algorithm, 1 | 3) => {
            let (value, _) = integer(signature.numbers).ok_or(broken)?;
            // As long as the modulus, which it may be shorter than by chance.
            let mut padded = vec![0; n.len().saturating_sub(value.len())];
            padded.extend(value);
            RsaPublicKeyComponents { n, e }
                .verify(rsa, &message, &padded)
                .map_err(|_| differs)
        }
        Material::Ed25519(point) if matches!(signature.algorithm, 22 | 27) => {
            let mut value = [0; 64];
            if signature.algorithm == 27 {
                value = signature.numbers.try_into().map_err(|_| broken)?;
            } else {
                let (r, rest) = integer(signature.numbers).ok_or(broken)?;
                let (s, _) = integer(rest).ok_or(broken)?;
                for (end, half) in [(32, r), (64, s)] {
                    let from = 32_usize.checked_sub(half.len()).ok_or(broken)?;
                    value[end - 32 + from..end].copy_from_slice(half);
                }
            }
            let hashed = digest::digest(hash, &message);
            UnparsedPublicKey::new(&signature::ED25519, point)
                .verify(hashed.as_ref(), &value)
                .map_err(|_| differs)
        }
        _ => Err("its key is of a kind that is not read here"),
    }
}

/// Splits at the first empty line, which belongs to neither part.
fn split_at_blank(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let next = from + line.len();
        // The rest of the line that the marker stands in comes first.
        if from > 0 && line.trim().is_empty() {
            return Some((&text[..from], &text[next..]));
        }
        from = next;
    }
    None
}

/// The bytes of ASCII armor, between the marker's lines; the checksum is left
/// out, as RFC 9580 wants it: a signature says more.
fn unarmored(text: &str) -> Option<Vec<u8>> {
    let (_, body) = split_at_blank(text)?;
    let mut bytes = Vec::with_capacity(body.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for line in body.lines().map(str::trim) {
        if line.starts_with('=') {
            break;
        }
        for c in line.bytes().filter(|c| *c != b'=') {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
        }
    }
    Some(bytes)
}
