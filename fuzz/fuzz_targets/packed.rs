//! A packed site, as an image may hold it, asked for a path of its own bytes.
#![no_main]
use libfuzzer_sys::fuzz_target;
use ounce_http::packed::Site;

fuzz_target!(|bytes: &[u8]| {
    let Some(site) = Site::new(bytes) else {
        return;
    };
    let tail = bytes.len().saturating_sub(8);
    for path in [&b"/"[..], b"/docs", b"/no.page", &bytes[tail..]] {
        for weights in [[1000, 0, 0, 1], [0, 500, 1000, 1], [0; 4]] {
            let Some(entry) = site.find(path) else {
                continue;
            };
            let variant = entry.choose(&weights);
            let _ = (entry.kind(), variant.etag(), variant.fields);
            let end = variant.body_offset as usize + variant.body.len();
            assert!(variant.body.is_empty() || end <= bytes.len());
        }
    }
});
