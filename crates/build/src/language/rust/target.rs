//! Which compilation target gives a static program for a platform: of those
//! installed the best, and what a better one would need.

use std::path::PathBuf;

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
    /// glibc with `+crt-static`, linked by the host's `cc`, or for another machine by
    /// a cross compiler, which brings that machine's libc.
    GlibcStatic,
}

/// A target and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Chosen {
    /// The triple.
    pub triple: String,
    /// How it is linked.
    pub linking: Linking,
    /// The cross compiler that links it, where the toolchain cannot.
    pub linker: Option<PathBuf>,
    /// What a better toolchain would save, in a sentence.
    pub advice: Option<String>,
}

/// A cross compiler that would link a program, and is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingLinker {
    /// Its name: `arm-linux-gnueabihf-gcc`.
    pub name: String,
    /// The target that it would link.
    pub triple: String,
}

/// No target for the platform is installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No triple of Rust's is known for it.
    #[error("no Rust target is known for {0}")]
    Platform(Platform),
    /// Known, but not installed.
    #[error("no target for {platform} is installed{}", looked_for_text(looked_for))]
    NotInstalled {
        /// What was asked.
        platform: Platform,
        /// The triples.
        looked_for: Vec<String>,
        /// What a further target would want besides.
        linker: Option<Box<MissingLinker>>,
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
            Self::NotInstalled {
                looked_for, linker, ..
            } => {
                let mut hints: Vec<String> = looked_for
                    .iter()
                    .take(1)
                    .map(|triple| format!("rustup target add {triple}"))
                    .collect();
                if let Some(linker) = linker {
                    let MissingLinker { name, triple } = &**linker;
                    let or = if hints.is_empty() {
                        ""
                    } else {
                        "or, with glibc: "
                    };
                    hints.push(format!(
                        "{or}rustup target add {triple}, and a compiler that links for it, \
                         {name} (Debian: apt install {})",
                        package(name)
                    ));
                }
                hints
            }
            Self::Asked(triple) => vec![format!("rustup target add {triple}")],
        }
    }
}

fn looked_for_text(triples: &[String]) -> String {
    match triples {
        [] => String::new(),
        triples => format!(", looked for {}", triples.join(", ")),
    }
}

/// Debian's package of a cross compiler.
fn package(compiler: &str) -> String {
    let prefix = compiler.trim_end_matches("-gcc");
    // Names of packages have no underscores.
    format!("gcc-{}", prefix.replace('_', "-"))
}

/// The targets that give Linux programs for a platform.
struct Targets {
    musl: String,
    /// Whether Rust publishes the standard library for it ("Platform Support" in the rustc
    /// book, tiers 1 and 2).
    has_musl: bool,
    gnu: String,
    /// What the cross compiler for `gnu` is called.
    compiler: String,
}

fn targets(platform: &Platform) -> Option<Targets> {
    let variant = platform.variant.as_deref();
    // Rust's name of the processor, musl's ABI, glibc's ABI, GNU's name of the processor.
    // Debian's hard-float libc is compiled for ARMv7, its soft-float one for ARMv5: what
    // shall run on less than a v7 takes that. A static program meets no other libraries.
    let (arch, musl, gnu, of_gnu) = match (platform.os.as_str(), platform.architecture.as_str()) {
        ("linux", "amd64") => ("x86_64", "", "", "x86_64"),
        ("linux", "arm64") => ("aarch64", "", "", "aarch64"),
        ("linux", "386") => ("i686", "", "", "i686"),
        ("linux", "riscv64") => ("riscv64gc", "", "", "riscv64"),
        ("linux", "ppc64le") => ("powerpc64le", "", "", "powerpc64le"),
        ("linux", "s390x") => ("s390x", "", "", "s390x"),
        ("linux", "loong64") => ("loongarch64", "", "", "loongarch64"),
        ("linux", "arm") => match variant {
            None | Some("v7" | "v8") => ("armv7", "eabihf", "eabihf", "arm"),
            Some("v5") => ("armv5te", "eabi", "eabi", "arm"),
            Some(_) => ("arm", "eabihf", "eabi", "arm"),
        },
        _ => return None,
    };
    Some(Targets {
        has_musl: arch != "s390x",
        musl: format!("{arch}-unknown-linux-musl{musl}"),
        gnu: format!("{arch}-unknown-linux-gnu{gnu}"),
        compiler: format!("{of_gnu}-linux-gnu{gnu}-gcc"),
    })
}

/// What is asked of the machine and the project.
pub(crate) struct Tools<'a> {
    /// Whether the standard library for a triple is there.
    pub(crate) installed: &'a dyn Fn(&str) -> bool,
    /// Whether cargo's configuration of the project has a section for it.
    pub(crate) configured: &'a dyn Fn(&str) -> bool,
    /// Whether the project or the environment names its linker.
    pub(crate) has_linker: &'a dyn Fn(&str) -> bool,
    /// A program along `PATH`.
    pub(crate) find: &'a dyn Fn(&str) -> Option<PathBuf>,
}

/// Chooses the target for `platform`.
///
/// A section of the project's own for a triple decides for programs that link themselves.
pub(crate) fn choose(
    platform: &Platform,
    host: &Platform,
    freestanding: bool,
    asked: Option<&str>,
    tools: &Tools<'_>,
) -> Result<Chosen, TargetError> {
    let Tools {
        installed,
        configured,
        ..
    } = tools;
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
                linker: None,
                advice: None,
            }),
            false => Err(TargetError::Asked(triple.to_owned())),
        };
    }
    let Targets {
        musl,
        has_musl,
        gnu,
        compiler,
    } = targets(platform).ok_or_else(|| TargetError::Platform(platform.clone()))?;
    // For this machine its own `cc` links.
    let cross = || match host.accepts(platform) {
        true => None,
        false => (tools.find)(&compiler),
    };
    let plain = |triple: String, linking| Chosen {
        linker: (linking == Linking::GlibcStatic && triple == gnu && !(tools.has_linker)(&triple))
            .then(cross)
            .flatten(),
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
    if freestanding {
        let mut candidates = [musl, gnu.clone()];
        candidates.sort_by_key(|triple| !configured(triple));
        return match candidates.iter().find(|triple| installed(triple)) {
            Some(triple) => Ok(plain(triple.clone(), Linking::Own)),
            None => Err(TargetError::NotInstalled {
                platform: platform.clone(),
                looked_for: candidates.to_vec(),
                linker: None,
            }),
        };
    }
    if installed(&musl) {
        return Ok(plain(musl, Linking::Musl));
    }
    // glibc's start files and libc.a come from the host's packages, not from the
    // toolchain: this machine's with its `cc`, another's with a cross compiler.
    let links = host.accepts(platform) || (tools.has_linker)(&gnu) || cross().is_some();
    if links && installed(&gnu) {
        let advice = format!(
            "`rustup target add {musl}`, where rustup has it, would make it smaller: std's hello \
             world on amd64 is 1,419,272 bytes on glibc and 554,976 on musl, same profile"
        );
        return Ok(Chosen {
            advice: has_musl.then_some(advice),
            ..plain(gnu.clone(), Linking::GlibcStatic)
        });
    }
    let linker = (!links).then(|| {
        Box::new(MissingLinker {
            name: compiler,
            triple: gnu.clone(),
        })
    });
    // Without what links it, it is of no use.
    let candidates = [(musl, has_musl), (gnu, links)];
    let looked_for = candidates.into_iter().filter(|(_, of_use)| *of_use);
    let looked_for = looked_for.map(|(triple, _)| triple).collect();
    Err(TargetError::NotInstalled {
        platform: platform.clone(),
        looked_for,
        linker,
    })
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
        chosen_with(platform, freestanding, installed, configured, &[])
    }

    fn chosen_with(
        platform: &str,
        freestanding: bool,
        installed: &[&str],
        configured: &[&str],
        found: &[&str],
    ) -> Result<Chosen, TargetError> {
        choose(
            &platform.parse().unwrap(),
            &"linux/amd64".parse().unwrap(),
            freestanding,
            None,
            &Tools {
                installed: &|triple| installed.contains(&triple),
                configured: &|triple| configured.contains(&triple),
                has_linker: &|_| false,
                find: &|name| found.contains(&name).then(|| format!("/bin/{name}").into()),
            },
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
    fn glibc_of_another_architecture_wants_a_cross_compiler() {
        const GNU: &str = "armv7-unknown-linux-gnueabihf";
        let compiler = "arm-linux-gnueabihf-gcc";
        let error = chosen("linux/arm/v7", false, &[GNU], &[]).unwrap_err();
        assert_eq!(
            error.hints(),
            [
                "rustup target add armv7-unknown-linux-musleabihf",
                "or, with glibc: rustup target add armv7-unknown-linux-gnueabihf, and a compiler \
                 that links for it, arm-linux-gnueabihf-gcc (Debian: apt install \
                 gcc-arm-linux-gnueabihf)"
            ]
        );
        let with = |installed| chosen_with("linux/arm/v7", false, installed, &[], &[compiler]);
        let found = with(&[GNU]).unwrap();
        assert_eq!(found.linking, Linking::GlibcStatic);
        assert_eq!(found.linker, Some(format!("/bin/{compiler}").into()));
        // What rustup is asked for, in this order.
        let Err(TargetError::NotInstalled { looked_for, .. }) = with(&[]) else {
            panic!("nothing is installed");
        };
        assert_eq!(looked_for, ["armv7-unknown-linux-musleabihf", GNU]);
        // Nobody publishes musl's for this one.
        let error = chosen("linux/s390x", false, &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "no target for linux/s390x is installed");
        assert!(error.hints()[0].starts_with("rustup target add s390x-unknown-linux-gnu, and"));
        assert!(matches!(
            chosen("linux/mips", false, &[], &[]),
            Err(TargetError::Platform(_))
        ));
    }

    #[test]
    fn what_shall_run_on_less_than_an_armv7_is_linked_with_a_libc_that_does() {
        let targets = |platform: &str| {
            let found = targets(&platform.parse().unwrap()).unwrap();
            (found.musl, found.gnu, found.compiler)
        };
        let owned = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(
            targets("linux/arm/v6"),
            owned(
                "arm-unknown-linux-musleabihf",
                "arm-unknown-linux-gnueabi",
                "arm-linux-gnueabi-gcc"
            )
        );
        assert_eq!(
            targets("linux/arm/v5"),
            owned(
                "armv5te-unknown-linux-musleabi",
                "armv5te-unknown-linux-gnueabi",
                "arm-linux-gnueabi-gcc"
            )
        );
        assert_eq!(package("x86_64-linux-gnu-gcc"), "gcc-x86-64-linux-gnu");
    }
}
