//! Who may sign updates.

use salty::{CompressedY, EdwardsPoint, Scalar, Sha512};

use crate::bundle::SIGNATURE;

/// Verifies signatures. A trait, so that a device may use its own hardware for it, and the power-cut
/// proof something quicker.
pub trait Verify {
    /// Whether there is a key of this number.
    fn knows(&self, key: u8) -> bool;

    /// Whether the signature of the message is by the key of this number.
    fn verify(&self, key: u8, message: &[u8], signature: &[u8; SIGNATURE]) -> bool;

    /// Whether it is by this key, which a [record](crate::keys) names.
    fn verify_by(&self, key: &PublicKey, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        is_signed(key, message, signature)
    }
}

/// A public key of Ed25519.
pub type PublicKey = [u8; 32];

/// The public keys that a program is built with; a key's number is its place.
#[derive(Debug, Clone, Copy)]
pub struct Keyring<'a> {
    keys: &'a [PublicKey],
}

impl<'a> Keyring<'a> {
    /// A ring of these keys; more than 32 are not looked at.
    pub const fn new(keys: &'a [PublicKey]) -> Self {
        Self { keys }
    }
}

impl Verify for Keyring<'_> {
    fn knows(&self, key: u8) -> bool {
        usize::from(key) < self.keys.len()
    }

    fn verify(&self, key: u8, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        match self.keys.get(usize::from(key)) {
            Some(key) => is_signed(key, message, signature),
            None => false,
        }
    }
}

/// RFC 8032 §5.1.7, by salty's hash, field and curve. Of its own `verify` the arithmetic modulo the group's
/// order is a third, unrolled for signers: 5 KB of flash that one remainder does not need.
fn is_signed(key: &PublicKey, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
    let (point, scalar) = signature.split_at(32);
    let (Ok(point), Ok(scalar)) = (point.try_into(), scalar.try_into()) else {
        return false;
    };
    // Any scalar would do for the curve; of those that are alike only one is a signature.
    if !is_below(&words(scalar), &ORDER) {
        return false;
    }
    let Some(sum) = sum(key, scalar, &challenge(point, key, message)) else {
        return false;
    };
    sum.compressed().as_bytes() == point
}

/// The point that the signature's should be, [S]B - [k]A; nothing if the key is no point.
#[inline(never)]
fn sum(key: &PublicKey, scalar: &[u8; 32], challenge: &[u8; 32]) -> Option<EdwardsPoint> {
    let key = -&CompressedY::from(key).decompressed().ok()?;
    let key = &Scalar::from_bytes(challenge) * &key;
    Some(&(&Scalar::from_bytes(scalar) * &EdwardsPoint::basepoint()) + &key)
}

/// SHA-512 of the signature's point, the key and the message, modulo the order. Apart, so that the hash's
/// memory and the curve's are not there at the same time.
#[inline(never)]
fn challenge(point: &[u8; 32], key: &PublicKey, message: &[u8]) -> [u8; 32] {
    let mut hash = Sha512::new();
    hash.update(point);
    hash.update(key);
    hash.update(message);
    remainder(&hash.finalize())
}

/// A number of 256 bits, the lowest word first.
type Number = [u32; 8];

/// The order of the group, 2^252 + 27742317777372353535851937790883648493.
const ORDER: Number = [
    0x5cf5_d3ed,
    0x5812_631a,
    0xa2f7_9cd6,
    0x14de_f9de,
    0,
    0,
    0,
    0x1000_0000,
];

/// A number from its bytes, the lowest first.
fn words(bytes: &[u8; 32]) -> Number {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn is_below(number: &Number, other: &Number) -> bool {
    number.iter().rev().lt(other.iter().rev())
}

/// A number of 512 bits, the lowest byte first, modulo the order: bit by bit, which takes less time than one
/// multiplication on the curve. Nothing in it is secret.
fn remainder(bytes: &[u8; 64]) -> [u8; 32] {
    let mut rest: Number = [0; 8];
    for at in (0..512).rev() {
        let mut carry = u32::from(bytes[at / 8] >> (at % 8) & 1);
        for word in &mut rest {
            let next = *word >> 31;
            *word = *word << 1 | carry;
            carry = next;
        }
        // Twice a number below the order is below 2^254, and no carry is left.
        if !is_below(&rest, &ORDER) {
            let mut borrow = false;
            for (word, order) in rest.iter_mut().zip(ORDER) {
                let (less, first) = word.overflowing_sub(order);
                let (less, second) = less.overflowing_sub(borrow.into());
                (*word, borrow) = (less, first | second);
            }
        }
    }
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(rest) {
        *bytes = word.to_le_bytes();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 2.
    const KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNED: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let mut out = [0; N];
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
        }
        out
    }

    #[test]
    fn the_signature_of_the_rfc_is_valid_and_no_change_of_it_is() {
        let keys = [bytes::<32>(KEY)];
        let ring = Keyring::new(&keys);
        let good: [u8; 64] = bytes(SIGNED);
        assert!(ring.verify(0, &[0x72], &good));
        assert!(!ring.verify(1, &[0x72], &good));
        assert!(!ring.verify(0, &[0x73], &good));
        for at in [0, 31, 32, 63] {
            let mut bad = good;
            bad[at] ^= 1;
            assert!(!ring.verify(0, &[0x72], &bad), "byte {at}");
        }
    }

    #[test]
    fn the_same_signature_plus_the_order_is_refused() {
        let keys = [bytes::<32>(KEY)];
        let mut signature: [u8; 64] = bytes(SIGNED);
        let mut carry = 0u16;
        let order = ORDER.map(u32::to_le_bytes);
        for (byte, order) in signature[32..].iter_mut().zip(order.as_flattened()) {
            carry += u16::from(*byte) + u16::from(*order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert!(!Keyring::new(&keys).verify(0, &[0x72], &signature));
    }

    #[test]
    fn remainders_are_those_that_salty_finds() {
        let mut random = crate::simulate::Random::new(1);
        let mut numbers = std::vec![[0; 64], [0xff; 64]];
        for at in [0, 31, 32, 63] {
            let mut order = [0; 64];
            order[..32].copy_from_slice(ORDER.map(u32::to_le_bytes).as_flattened());
            numbers.push(order);
            order[at] = order[at].wrapping_sub(1);
            numbers.push(order);
        }
        for _ in 0..200 {
            numbers.push(core::array::from_fn(|_| random.draw() as u8));
        }
        for number in numbers {
            let expected = *Scalar::from_u512_le(&number).as_bytes();
            assert_eq!(remainder(&number), expected, "{number:x?}");
        }
    }

    #[test]
    fn what_is_signed_by_any_key_is_verified_as_salty_does() {
        let mut random = crate::simulate::Random::new(2);
        for length in [0, 1, 63, 64, 111, 112, 127, 128, 129, 300] {
            let seed: [u8; 32] = core::array::from_fn(|_| random.draw() as u8);
            let message: std::vec::Vec<u8> = (0..length).map(|_| random.draw() as u8).collect();
            let pair = salty::Keypair::from(&seed);
            let keys = [pair.public.to_bytes()];
            let mut signature = pair.sign(&message).to_bytes();
            let ring = Keyring::new(&keys);
            assert!(ring.verify(0, &message, &signature), "{length}");
            let at = random.below(512) as usize;
            signature[at / 8] ^= 1 << (at % 8);
            let theirs = pair
                .public
                .verify(&message, &salty::Signature::from(&signature));
            let ours = ring.verify(0, &message, &signature);
            assert!(!ours && theirs.is_err(), "{length}, bit {at}");
        }
    }
}
