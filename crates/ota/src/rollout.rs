//! A staged roll-out: which devices are among the first so many in a hundred to be sent an update.
//!
//! Each update has another order of the devices, so none is always the first; and one that is among the
//! first 5 % is among the first 50 % as well.

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// The whole: a share of this many parts is every device.
pub const WHOLE: u16 = 10_000;

/// The place of a device among the others, 0 to 9,999, for the update to the image of this digest.
pub fn place(device: &[u8], image: &Digest) -> u16 {
    let mut sha = Sha256::new();
    sha.update(b"ounce roll-out 1");
    sha.update(image);
    sha.update(device);
    let hash: Digest = sha.finalize().into();
    let number = u64::from_le_bytes([
        hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
    ]);
    (number % u64::from(WHOLE)) as u16
}

/// Whether the device is among the first `share` of 10,000.
pub fn takes_part(device: &[u8], image: &Digest, share: u16) -> bool {
    place(device, image) < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_large_as_they_say_and_grow() {
        let image = [7; 32];
        let count = |share| {
            let part = |device: &u32| takes_part(&device.to_le_bytes(), &image, share);
            (0..20_000u32).filter(part).count()
        };
        assert_eq!((count(0), count(WHOLE)), (0, 20_000));
        assert!((800..1_200).contains(&count(500)), "{}", count(500));
        for device in 0..1_000u32 {
            let device = device.to_le_bytes();
            assert!(!takes_part(&device, &image, 500) || takes_part(&device, &image, 5_000));
        }
    }

    #[test]
    fn each_update_begins_with_others() {
        let first = |image: u8| (0..1_000u32).map(move |n| place(&n.to_le_bytes(), &[image; 32]));
        let same = first(1)
            .zip(first(2))
            .filter(|(one, two)| one == two)
            .count();
        assert!(same < 5, "{same}");
    }
}
