//! Who may sign updates.

use crate::bundle::SIGNATURE;

/// Verifies signatures. A trait, so that a device may use its own hardware for it, and the power-cut
/// proof something quicker.
pub trait Verify {
    /// Whether there is a key of this number.
    fn knows(&self, key: u8) -> bool;

    /// Whether the signature of the message is by the key of this number.
    fn verify(&self, key: u8, message: &[u8], signature: &[u8; SIGNATURE]) -> bool;
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
        let Some(key) = self.keys.get(usize::from(key)) else {
            return false;
        };
        let Ok(key) = salty::PublicKey::try_from(key) else {
            return false;
        };
        // Salty takes any scalar; RFC 8032 §5.1.7 takes those below the order of the group only.
        if !is_below_order(&signature[32..]) {
            return false;
        }
        key.verify(message, &salty::Signature::from(signature))
            .is_ok()
    }
}

/// The order of the group, 2^252 + 27742317777372353535851937790883648493, little endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn is_below_order(scalar: &[u8]) -> bool {
    scalar.iter().rev().lt(ORDER.iter().rev())
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
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert!(!Keyring::new(&keys).verify(0, &[0x72], &signature));
    }
}
