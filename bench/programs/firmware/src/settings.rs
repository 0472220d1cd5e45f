//! Settings, signed by the maker, changed by JSON.

use ed25519_compact::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::device;

const MAKER: [u8; 32] = *b"\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a";

#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Settings<'a> {
    #[serde(skip)]
    pub(crate) hardware_address: [u8; 6],
    pub(crate) name: &'a str,
    collector: &'a str,
    pub(crate) interval_seconds: u32,
    pub(crate) offset_hundredths: i32,
    pub(crate) is_quiet: bool,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            hardware_address: [2, 0, 0, 0, 0, 1],
            name: "sensor",
            collector: "collector.example",
            interval_seconds: 60,
            offset_hundredths: 0,
            is_quiet: false,
        }
    }
}

impl<'a> Settings<'a> {
    #[inline(never)]
    pub(crate) fn load() -> Option<Self> {
        let mut bytes = [0; 512];
        device::flash(0x3f_0000, &mut bytes);
        let (signature, rest) = bytes.split_at(64);
        let signature = Signature::from_slice(signature).ok()?;
        let length = usize::from(rest[0]);
        let text = rest.get(1..1 + length)?;
        PublicKey::new(MAKER).verify(text, &signature).ok()?;
        let (read, _) = serde_json_core::from_slice::<Settings<'_>>(text).ok()?;
        device::say(format_args!("settings of {} every {} s", read.name, read.interval_seconds));
        Some(Self {
            interval_seconds: read.interval_seconds,
            offset_hundredths: read.offset_hundredths,
            is_quiet: read.is_quiet,
            ..Self::default()
        })
    }

    pub(crate) fn collector(&self) -> &str {
        self.collector
    }

    /// Takes what a request asks to change.
    #[inline(never)]
    pub(crate) fn change(&mut self, text: &[u8]) -> Result<(), serde_json_core::de::Error> {
        #[derive(Deserialize)]
        struct Change {
            interval_seconds: Option<u32>,
            offset_hundredths: Option<i32>,
            is_quiet: Option<bool>,
        }
        let (change, _) = serde_json_core::from_slice::<Change>(text)?;
        self.interval_seconds = change.interval_seconds.unwrap_or(self.interval_seconds);
        self.offset_hundredths = change.offset_hundredths.unwrap_or(self.offset_hundredths);
        self.is_quiet = change.is_quiet.unwrap_or(self.is_quiet);
        Ok(())
    }
}
