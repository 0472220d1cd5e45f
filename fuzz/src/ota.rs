//! What a device is sent: heads of updates, and images that it may start.

use ounce_ota::bundle::{Head, head_length};
use ounce_ota::manifest::MANIFEST_LIMIT;
use ounce_ota::pack::{esp_image, partitions};
use ounce_ota::{Manifest, Refusal};

/// A head splits where its length says, a manifest has one spelling, and a partition table that is read
/// is written the same.
pub fn bundle(bytes: &[u8]) {
    if let Ok(head) = Head::split(bytes) {
        assert_eq!(head_length(bytes), Ok(head.length));
        assert_eq!(head.signed.len() + head.signature.len(), head.length);
        match Manifest::decode(head.manifest) {
            Ok(manifest) => {
                let mut room = [0; MANIFEST_LIMIT];
                let length = manifest
                    .encode(&mut room)
                    .expect("what was read can be written");
                assert_eq!(&room[..length], head.manifest);
            }
            Err(refusal) => assert_eq!(refusal, Refusal::Manifest),
        }
    }
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert!(manifest.size > 0 && manifest.hardware.0 <= manifest.hardware.1);
    }
    let _ = esp_image::chip_of(bytes);
    if let Ok(table) = partitions::decode(bytes) {
        assert!(table.len() < partitions::BYTES / 32);
    }
}
