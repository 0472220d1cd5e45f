//! Names, places, platforms, sizes and digests: what is read is read the same once written.
#![no_main]
use libfuzzer_sys::fuzz_target;
use ounce_oci::{Digest, Place, Platform, Reference};

fuzz_target!(|text: &str| {
    let _ = text.parse::<ounce_oci::ByteSize>();
    let _ = text.parse::<Place>();
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse::<Platform>().ok(), Some(platform));
    }
});
