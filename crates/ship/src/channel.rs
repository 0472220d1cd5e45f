//! What a channel of updates holds already, read from its index before another
//! release is put into it.
//!
//! Devices refuse a version that is lower than the one that runs, and two
//! programs under one version cannot be told apart: both are found here, where
//! a person can still choose another number.

use ounce_ota::Version;
use serde::Deserialize;

/// The schema of a channel's index.
pub(crate) const SCHEMA: &str = "ounce.update/1";

/// The index of a channel, as [`crate::device::ship`] wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Channel {
    schema: String,
    product: String,
    version: String,
    counter: u32,
    digest: String,
}

/// A release that a channel cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// What stands where the index belongs is none.
    #[error("the channel's index cannot be read: {0}")]
    Index(String),
    /// The channel is another product's.
    #[error("the channel holds updates of {there:?}, and this is {product:?}")]
    Product {
        /// Whose it is.
        there: String,
        /// Whose the release is.
        product: String,
    },
    /// A higher version, or anti-rollback counter, is out.
    #[error(
        "the channel has {there} already (counter {counter_there}): devices refuse {version} (counter {counter})"
    )]
    Lower {
        /// The version that is out.
        there: String,
        /// Its counter.
        counter_there: u32,
        /// The release's version.
        version: Version,
        /// The release's counter.
        counter: u32,
    },
    /// The version is out, with another program.
    #[error("{version} is out already, and is another program")]
    Changed {
        /// The version of both.
        version: Version,
    },
}

impl ChannelError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Index(_) => "move it away, or write to another folder",
            Self::Product { .. } => "give each product a folder of its own: -o",
            Self::Lower { .. } => {
                "to go back, release the old program under a higher version; or name another --channel"
            }
            Self::Changed { .. } => "devices that have it would never change: raise the version",
        }
    }
}

/// The file of a channel's index.
pub fn index_file(channel: &str) -> String {
    format!("{}.json", file_name(channel))
}

/// A name that is one on any file system and in any URL.
pub(crate) fn file_name(text: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.chars()
        .map(|c| if good(c) { c } else { '-' })
        .collect()
}

/// Reads a version: three numbers, as 1.4.2.
pub fn version(text: &str) -> Option<Version> {
    let mut parts = text.split('.');
    let version = Version {
        major: parts.next()?.parse().ok()?,
        minor: parts.next()?.parse().ok()?,
        patch: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(version)
}

/// Most releases that a new one is made deltas against without being told.
const EARLIER: usize = 4;

/// Of the files beside an index those that hold a product's app images of lower
/// versions, the highest first, and no more than four.
pub fn earlier(names: Vec<String>, product: &str, release: Version) -> Vec<String> {
    let before = format!("{}-", file_name(product));
    let mut found: Vec<(Version, String)> = names
        .into_iter()
        .filter_map(|name| {
            let text = name.strip_prefix(&before)?.strip_suffix(".bin")?;
            Some((version(text)?, name))
        })
        .filter(|(version, _)| *version < release)
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.truncate(EARLIER);
    found.into_iter().map(|(_, name)| name).collect()
}

impl Channel {
    /// Reads an index.
    ///
    /// # Errors
    /// It is none, or of another schema.
    pub fn read(index: &[u8]) -> Result<Self, ChannelError> {
        let channel: Self = serde_json::from_slice(index)
            .map_err(|error| ChannelError::Index(error.to_string()))?;
        if channel.schema != SCHEMA {
            let why = format!("its schema is {:?}, not {SCHEMA}", channel.schema);
            return Err(ChannelError::Index(why));
        }
        match version(&channel.version) {
            Some(_) => Ok(channel),
            None => {
                let why = format!("{:?} is no version", channel.version);
                Err(ChannelError::Index(why))
            }
        }
    }

    /// Whether devices that have what is out can come to a release; `digest` is its
    /// image's, in hexadecimal. What is out may be released again, for another
    /// share of devices, say.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(
        &self,
        product: &str,
        version: Version,
        counter: u32,
        digest: &str,
    ) -> Result<(), ChannelError> {
        if self.product != product {
            return Err(ChannelError::Product {
                there: self.product.clone(),
                product: product.to_owned(),
            });
        }
        let there = self::version(&self.version).unwrap_or_default();
        if version < there || counter < self.counter {
            return Err(ChannelError::Lower {
                there: self.version.clone(),
                counter_there: self.counter,
                version,
                counter,
            });
        }
        match version == there && self.digest != digest {
            true => Err(ChannelError::Changed { version }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(version: &str) -> String {
        format!(
            r#"{{"schema":"ounce.update/1","product":"lamp","version":"{version}","counter":2,"digest":"aa","more":1}}"#
        )
    }

    #[test]
    fn what_devices_would_refuse_is_refused_before_it_is_out() {
        let channel = Channel::read(index("1.4.2").as_bytes()).unwrap();
        let admit = |product: &str, text: &str, counter, digest: &str| {
            channel.admit(product, version(text).unwrap(), counter, digest)
        };
        assert_eq!(admit("lamp", "1.4.2", 2, "aa"), Ok(()));
        assert_eq!(admit("lamp", "1.10.0", 2, "bb"), Ok(()));
        assert!(matches!(
            admit("lamp", "1.4.2", 2, "bb"),
            Err(ChannelError::Changed { .. })
        ));
        for (text, counter) in [("1.4.1", 2), ("1.5.0", 1)] {
            let refused = admit("lamp", text, counter, "bb");
            assert!(matches!(refused, Err(ChannelError::Lower { .. })), "{text}");
        }
        assert!(matches!(
            admit("door", "1.5.0", 2, "bb"),
            Err(ChannelError::Product { .. })
        ));
    }

    #[test]
    fn earlier_images_are_found_by_their_versions() {
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
        let found = earlier(
            names(&[
                "lamp-1.2.0.bin",
                "lamp-1.10.0.bin",
                "lamp-1.10.0-flash.bin",
                "lamp-1.10.0.ota",
                "lamp-2.0.0.bin",
                "door-1.0.0.bin",
                "lamp-stand-1.0.0.bin",
                "partition-table.bin",
            ]),
            "lamp",
            version("2.0.0").unwrap(),
        );
        assert_eq!(found, ["lamp-1.10.0.bin", "lamp-1.2.0.bin"]);
        let many = (0..9).map(|n| format!("lamp-1.0.{n}.bin")).collect();
        let found = earlier(many, "lamp", version("1.1.0").unwrap());
        assert_eq!(found.len(), EARLIER);
        assert_eq!(found[0], "lamp-1.0.8.bin");
    }

    #[test]
    fn what_is_no_index_is_told() {
        let other = index("1.4.2").replace("update/1", "update/9");
        for text in ["", "{", "[]", &other, &index("../1"), &index("1.2.3.4")] {
            let read = Channel::read(text.as_bytes());
            assert!(matches!(read, Err(ChannelError::Index(_))), "{text}");
        }
    }
}
