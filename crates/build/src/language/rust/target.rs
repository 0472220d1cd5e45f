//! Which compilation target gives a static program for a platform: of those
//! installed the best, and what a better one would need.

use ounce_oci::Platform;
use serde::Serialize;

/// How a static program is had from a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Linking {
    /// The project links itself, without a standard library.
    Own,
    /// musl, static by itself, linked by the toolchain's own rust-lld.
    Musl,
    /// glibc with `+crt-static`, linked by the host's `cc`.
    GlibcStatic,
}

/// A target and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Chosen {
    /// The triple.
    pub triple: String,
    /// How it is linked.
    pub linking: Linking,
    /// What a better toolchain would save, in a sentence.
    pub advice: Option<String>,
}

/// No target for the platform is installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No triple of Rust's is known for it.
    #[error("no Rust target is known for {0}")]
    Platform(Platform),
    /// Known, but not installed.
    #[error("no target for {platform} is installed, looked for {}", looked_for.join(", "))]
    NotInstalled {
        /// What was asked.
        platform: Platform,
        /// The triples.
        looked_for: Vec<String>,
    },
    /// The one asked for is not installed.
    #[error("target {0} is not installed")]
    Asked(String),
}

impl TargetError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Platform(_) => vec!["give a ready static program for it instead".to_owned()],
            Self::NotInstalled { looked_for, .. } => looked_for
                .first()
                .map(|triple| format!("rustup target add {triple}"))
                .into_iter()
                .collect(),
            Self::Asked(triple) => vec![format!("rustup target add {triple}")],
        }
    }
}

/// The triples that give Linux programs for a platform: musl, glibc.
fn triples(platform: &Platform) -> Option<(String, String)> {
    let variant = platform.variant.as_deref();
    let (arch, abi) = match (platform.os.as_str(), platform.architecture.as_str()) {
        ("linux", "amd64") => ("x86_64", ""),
        ("linux", "arm64") => ("aarch64", ""),
        ("linux", "386") => ("i686", ""),
        ("linux", "riscv64") => ("riscv64gc", ""),
        ("linux", "ppc64le") => ("powerpc64le", ""),
        ("linux", "s390x") => ("s390x", ""),
        ("linux", "loong64") => ("loongarch64", ""),
        ("linux", "arm") if matches!(variant, None | Some("v7")) => ("armv7", "eabihf"),
        ("linux", "arm") => ("arm", "eabihf"),
        _ => return None,
    };
    Some((
        format!("{arch}-unknown-linux-musl{abi}"),
        format!("{arch}-unknown-linux-gnu{abi}"),
    ))
}

/// Chooses the target for `platform`.
///
/// `configured` says whether the project's own cargo configuration has a
/// section for a triple; that decides for programs that link themselves.
pub(crate) fn choose(
    platform: &Platform,
    host: &Platform,
    freestanding: bool,
    asked: Option<&str>,
    installed: &dyn Fn(&str) -> bool,
    configured: &dyn Fn(&str) -> bool,
) -> Result<Chosen, TargetError> {
    if platform.architecture == ounce_oci::wasm::ARCHITECTURE {
        let triple = match (asked, platform.os.as_str()) {
            (Some(triple), _) => triple,
            (None, "wasip2") => "wasm32-wasip2",
            (None, _) => "wasm32-wasip1",
        };
        return match installed(triple) {
            true => Ok(Chosen {
                triple: triple.to_owned(),
                linking: Linking::Own,
                advice: None,
            }),
            false => Err(TargetError::Asked(triple.to_owned())),
        };
    }
    let (musl, gnu) = triples(platform).ok_or_else(|| TargetError::Platform(platform.clone()))?;
    let plain = |triple: String, linking| Chosen {
        triple,
        linking,
        advice: None,
    };
    if let Some(triple) = asked {
        let linking = match triple {
            _ if freestanding => Linking::Own,
            _ if triple.contains("-musl") => Linking::Musl,
            _ if triple.contains("-gnu") => Linking::GlibcStatic,
            _ => Linking::Own,
        };
        return match installed(triple) {
            true => Ok(plain(triple.to_owned(), linking)),
            false => Err(TargetError::Asked(triple.to_owned())),
        };
    }
    let not_installed = |looked_for| TargetError::NotInstalled {
        platform: platform.clone(),
        looked_for,
    };
    if freestanding {
        let mut candidates = [musl, gnu];
        candidates.sort_by_key(|triple| !configured(triple));
        return match candidates.iter().find(|triple| installed(triple)) {
            Some(triple) => Ok(plain(triple.clone(), Linking::Own)),
            None => Err(not_installed(candidates.to_vec())),
        };
    }
    if installed(&musl) {
        return Ok(plain(musl, Linking::Musl));
    }
    // glibc's start files and libc.a come from the host's packages, not from
    // the toolchain: for another architecture they are not there to link.
    if host.accepts(platform) && installed(&gnu) {
        let advice = format!(
            "`rustup target add {musl}` would make it smaller: std's hello world is \
             1,419,272 bytes on glibc and 554,976 on musl, same profile"
        );
        return Ok(Chosen {
            triple: gnu,
            linking: Linking::GlibcStatic,
            advice: Some(advice),
        });
    }
    Err(not_installed(vec![musl]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        platform: &str,
        freestanding: bool,
        installed: &[&str],
        configured: &[&str],
    ) -> Result<Chosen, TargetError> {
        choose(
            &platform.parse().unwrap(),
            &"linux/amd64".parse().unwrap(),
            freestanding,
            None,
            &|triple| installed.contains(&triple),
            &|triple| configured.contains(&triple),
        )
    }

    const MUSL: &str = "x86_64-unknown-linux-musl";
    const GNU: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn musl_comes_before_glibc_and_glibc_says_what_musl_would_save() {
        let best = chosen("linux/amd64", false, &[GNU, MUSL], &[]).unwrap();
        assert_eq!((best.triple.as_str(), best.advice), (MUSL, None));
        let second = chosen("linux/amd64", false, &[GNU], &[]).unwrap();
        assert_eq!(second.linking, Linking::GlibcStatic);
        assert!(
            second
                .advice
                .unwrap()
                .contains("rustup target add x86_64-unknown-linux-musl")
        );
    }

    #[test]
    fn a_program_that_links_itself_gets_the_target_its_project_configures() {
        let triple = |configured: &[&str]| {
            chosen("linux/amd64", true, &[GNU, MUSL], configured)
                .unwrap()
                .triple
        };
        assert_eq!(triple(&[GNU]), GNU);
        assert_eq!(triple(&[MUSL]), MUSL);
        assert_eq!(triple(&[]), MUSL);
    }

    #[test]
    fn glibc_of_another_architecture_is_not_tried() {
        let error = chosen("linux/arm64", false, &["aarch64-unknown-linux-gnu"], &[]).unwrap_err();
        assert_eq!(
            error.hints(),
            ["rustup target add aarch64-unknown-linux-musl"]
        );
        assert!(matches!(
            chosen("linux/mips", false, &[], &[]),
            Err(TargetError::Platform(_))
        ));
    }
}
