//! A settings file, ounce.toml.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = ounce_build::config::parse("ounce.toml".as_ref(), text);
});
