//! Bases by their names, as `--base` and `ounce.toml` take them.

use std::fmt;
use std::str::FromStr;

use ounce_oci::Place;
use ounce_oci::place::PlaceError;

/// What a program stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the program alone.
    Scratch,
    /// Debian's minimal system with apt, without manuals and translations.
    DebianSlim,
    /// Debian's packages as they are, without a shell; `None`: as much as the
    /// program needs.
    Distroless(Option<Distroless>),
    /// Alpine's minimal system with apk.
    Alpine,
    /// busybox and musl alone.
    AlpineCore,
    /// An image that is there already.
    Image(Place),
}

/// How much is in a distroless base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distroless {
    /// Certificates, time zones, users.
    Static,
    /// And glibc and OpenSSL's libraries.
    Base,
    /// And libgcc and libstdc++.
    Cc,
    /// And Python.
    Python3,
}

impl Distroless {
    /// The smallest that has these libraries; where none has them all, the
    /// largest without Python, so that what is missing is told.
    pub fn least(needed: &[String]) -> Self {
        const GLIBC: [&str; 9] = [
            "ld-linux",
            "libc.so",
            "libm.so",
            "libdl.so",
            "libpthread.so",
            "librt.so",
            "libresolv.so",
            "libutil.so",
            "libmvec.so",
        ];
        const OPENSSL: [&str; 2] = ["libssl.so", "libcrypto.so"];
        let is_of = |name: &String, list: &[&str]| list.iter().any(|one| name.starts_with(one));
        match needed
            .iter()
            .all(|name| is_of(name, &GLIBC) || is_of(name, &OPENSSL))
        {
            true if needed.is_empty() => Self::Static,
            true => Self::Base,
            false => Self::Cc,
        }
    }
}

/// The names that are not places.
const NAMES: [(&str, Base); 10] = [
    ("scratch", Base::Scratch),
    ("debian-slim", Base::DebianSlim),
    ("debian", Base::DebianSlim),
    ("distroless", Base::Distroless(None)),
    (
        "distroless-static",
        Base::Distroless(Some(Distroless::Static)),
    ),
    ("distroless-base", Base::Distroless(Some(Distroless::Base))),
    ("distroless-cc", Base::Distroless(Some(Distroless::Cc))),
    (
        "distroless-python3",
        Base::Distroless(Some(Distroless::Python3)),
    ),
    ("alpine", Base::Alpine),
    ("alpine-core", Base::AlpineCore),
];

/// Why a text names no base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no base")]
pub struct BaseNameError {
    /// As asked.
    pub text: String,
    /// Why it is no place either.
    #[source]
    pub source: PlaceError,
}

impl Base {
    /// Whether it is put together here, from packages.
    pub fn is_assembled(&self) -> bool {
        !matches!(self, Self::Scratch | Self::Image(_))
    }

    /// The names that need no registry and no folder.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name != "debian")
    }
}

impl FromStr for Base {
    type Err = BaseNameError;

    fn from_str(text: &str) -> Result<Self, BaseNameError> {
        if let Some((_, base)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(base.clone());
        }
        text.parse()
            .map(Self::Image)
            .map_err(|source| BaseNameError {
                text: text.to_owned(),
                source,
            })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, base)| base == self) {
            Some((name, _)) => f.write_str(name),
            None => match self {
                Self::Image(place) => write!(f, "{place}"),
                _ => f.write_str("base"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distroless_is_as_large_as_the_program_needs() {
        let least = |names: &[&str]| {
            Distroless::least(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(least(&[]), Distroless::Static);
        assert_eq!(
            least(&["libc.so.6", "ld-linux-x86-64.so.2"]),
            Distroless::Base
        );
        assert_eq!(least(&["libgcc_s.so.1", "libc.so.6"]), Distroless::Cc);
    }

    #[test]
    fn each_name_is_read_as_it_is_written() {
        for name in Base::names() {
            assert_eq!(name.parse::<Base>().unwrap().to_string(), name);
        }
        assert_eq!("debian".parse::<Base>().unwrap(), Base::DebianSlim);
        assert!(matches!(
            "oci:folder".parse(),
            Ok(Base::Image(Place::OciDir(..)))
        ));
        assert!(matches!("mine:1".parse(), Ok(Base::Image(Place::Store(_)))));
        assert!("No Name".parse::<Base>().is_err());
    }
}
