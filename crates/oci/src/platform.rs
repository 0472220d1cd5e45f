//! A platform: operating system, architecture and variant, as `linux/arm/v7`.

use std::fmt;
use std::str::FromStr;

/// What an image is for (OCI image spec, image-index.md, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// Go's name of it: `amd64`, `arm64`, `arm`, `riscv64`.
    pub architecture: String,
    /// `v6`, `v7`, `v8`.
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this program was compiled for.
    pub fn host() -> Self {
        todo!()
    }

    /// Whether an image for `image` runs on this platform: same system and
    /// architecture, and a variant that is the same, absent or lower.
    pub fn accepts(&self, _image: &Platform) -> bool {
        todo!()
    }
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: write it as linux/amd64 or linux/arm/v7")]
pub struct PlatformError(pub String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(_text: &str) -> Result<Self, PlatformError> {
        todo!() // also takes x86_64, aarch64, and "amd64" alone
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}
