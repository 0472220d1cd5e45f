//! A platform: operating system, architecture and variant, as `linux/arm/v7`.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// The architecture of WebAssembly: every machine runs it.
pub const WASM: &str = "wasm";

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
        let (architecture, variant) = go_architecture(std::env::consts::ARCH);
        // A program built for ARMv6 runs on any later one but proves no more than v6.
        let variant = match (variant, architecture) {
            (None, "arm") if cfg!(target_feature = "v7") => Some("v7"),
            (None, "arm") => Some("v6"),
            (variant, _) => variant,
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Whether an image for `image` runs on this platform: same system and
    /// architecture, and a variant that is the same, absent or lower.
    /// WebAssembly runs on all.
    pub fn accepts(&self, image: &Platform) -> bool {
        if image.architecture == WASM {
            return self.architecture != WASM || self.os == image.os;
        }
        self.os == image.os
            && self.architecture == image.architecture
            && (self.variant == image.variant
                || image.variant.is_none()
                || match (self.level(), image.level()) {
                    (Some(own), Some(other)) => other <= own,
                    _ => false,
                })
    }

    /// The place in `offered` of the image that suits this platform best: the
    /// highest variant that it accepts, the first of equals.
    pub fn best<'a>(&self, offered: impl IntoIterator<Item = &'a Platform>) -> Option<usize> {
        offered
            .into_iter()
            .enumerate()
            .filter(|(_, image)| self.accepts(image))
            .max_by_key(|(at, image)| {
                // The machine's own code goes before what it would have to make.
                let native = image.architecture != WASM;
                (native, image.level(), Reverse(*at))
            })
            .map(|(at, _)| at)
    }

    /// The variant as numbers, `v8.2` as (8, 2), with what its absence stands
    /// for (containerd's `platforms` package: arm is v7, arm64 v8; amd64 is v1
    /// by definition of the x86-64 levels).
    fn level(&self) -> Option<(u32, u32)> {
        let Some(variant) = &self.variant else {
            return match self.architecture.as_str() {
                "amd64" => Some((1, 0)),
                "arm" => Some((7, 0)),
                "arm64" => Some((8, 0)),
                _ => None,
            };
        };
        let digits = variant.strip_prefix('v')?;
        let (major, minor) = digits.split_once('.').unwrap_or((digits, "0"));
        Some((major.parse().ok()?, minor.parse().ok()?))
    }
}

/// Go's name, and the variant that is in the name, of an architecture as
/// `uname -m`, Rust or Debian call it.
fn go_architecture(name: &str) -> (&str, Option<&'static str>) {
    match name {
        "x86_64" | "x86-64" => ("amd64", None),
        "x86" | "i386" | "i486" | "i586" | "i686" => ("386", None),
        "aarch64" | "armv8" | "armv8l" => ("arm64", None),
        "armhf" | "armv7" | "armv7l" | "armv7hl" => ("arm", Some("v7")),
        "armel" | "armv6" | "armv6l" => ("arm", Some("v6")),
        "powerpc64le" | "ppc64el" => ("ppc64le", None),
        "loongarch64" => ("loong64", None),
        other => (other, None),
    }
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: write it as linux/amd64 or linux/arm/v7")]
pub struct PlatformError(pub String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.to_owned());
        let plain = |part: &str| {
            !part.is_empty()
                && part.len() <= 32
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
                })
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| plain(part)) {
            return Err(error());
        }
        let (os, architecture, variant) = match parts[..] {
            [architecture] => ("linux", architecture, None),
            [architecture, variant]
                if is_variant(variant) && !os_names().contains(&architecture) =>
            {
                ("linux", architecture, Some(variant))
            }
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(error()),
        };
        if parts.len() == 1 && os_names().contains(&architecture) {
            return Err(error());
        }
        let (architecture, named) = go_architecture(architecture);
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.or(named).map(str::to_owned),
        })
    }
}

fn is_variant(text: &str) -> bool {
    text.strip_prefix('v')
        .is_some_and(|digits| digits.starts_with(|first: char| first.is_ascii_digit()))
}

/// Systems that, standing alone, are surely not meant as an architecture.
fn os_names() -> [&'static str; 4] {
    ["linux", "windows", "darwin", "freebsd"]
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn architecture_that_looks_like_a_variant_stays_one() {
        let odd: Platform = "v2e".parse().unwrap();
        assert_eq!(odd.architecture, "v2e");
        assert_eq!(odd.to_string().parse::<Platform>(), Ok(odd));
    }

    #[test]
    fn other_names_of_an_architecture_become_the_one_go_uses() {
        for (text, full) in [
            ("amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/aarch64/v8", "linux/arm64/v8"),
            ("arm/v6", "linux/arm/v6"),
            ("armv7l", "linux/arm/v7"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(text).to_string(), full);
        }
    }

    #[test]
    fn text_that_is_no_platform_is_refused() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/AMD64",
            "li nux/amd64",
        ] {
            assert_eq!(
                text.parse::<Platform>(),
                Err(PlatformError(text.to_owned()))
            );
        }
    }

    #[test]
    fn a_later_variant_runs_an_earlier_one_and_not_the_reverse() {
        assert!(platform("linux/arm/v7").accepts(&platform("linux/arm/v6")));
        assert!(platform("linux/arm/v7").accepts(&platform("linux/arm")));
        assert!(!platform("linux/arm/v6").accepts(&platform("linux/arm/v7")));
        assert!(platform("linux/arm64").accepts(&platform("linux/arm64/v8")));
        assert!(platform("linux/arm64/v8").accepts(&platform("linux/arm64")));
        assert!(!platform("linux/amd64").accepts(&platform("linux/amd64/v3")));
        assert!(platform("linux/amd64/v3").accepts(&platform("linux/amd64/v2")));
        assert!(!platform("linux/amd64").accepts(&platform("linux/arm64")));
        assert!(!platform("linux/amd64").accepts(&platform("windows/amd64")));
    }

    #[test]
    fn the_best_image_is_the_highest_variant_that_runs() {
        let offered = [
            "linux/amd64",
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
        ]
        .map(platform);
        assert_eq!(platform("linux/arm/v6").best(&offered), Some(2));
        assert_eq!(platform("linux/arm/v7").best(&offered), Some(3));
        assert_eq!(platform("linux/s390x").best(&offered), None);
    }

    #[test]
    fn every_machine_runs_webassembly_but_its_own_code_goes_first() {
        let wasm = platform("wasip1/wasm");
        assert!(platform("linux/riscv64").accepts(&wasm));
        assert!(!wasm.accepts(&platform("wasip2/wasm")));
        let offered = ["wasip1/wasm", "linux/riscv64"].map(platform);
        assert_eq!(platform("linux/riscv64").best(&offered), Some(1));
        assert_eq!(platform("linux/s390x").best(&offered), Some(0));
    }

    #[test]
    fn the_host_accepts_itself() {
        assert!(Platform::host().accepts(&Platform::host()));
    }
}
