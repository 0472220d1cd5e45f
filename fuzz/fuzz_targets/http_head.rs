//! A request head: whatever comes, no panic, and a field that is found is one of those listed.
#![no_main]
use libfuzzer_sys::fuzz_target;
use ounce_http::head::{Limits, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(head) = parse(bytes, &Limits::DEFAULT) {
        let host = head.field("host");
        assert_eq!(
            host.is_some(),
            head.fields().any(|(name, _)| name.eq_ignore_ascii_case(b"host"))
        );
    }
});
