//! Which C compiler gives a static program for a platform, and with which flags
//! it is small.

use std::collections::BTreeMap;
use std::path::Path;

use ounce_oci::Platform;

use crate::flag::{By, Flag};
use crate::language::known::Language;
use crate::language::source::{Source, ToolError};
use crate::language::zig::{self, Zig};

const INSTALL: &str = "install a C compiler that links statically: musl-tools (this machine's \
                       architecture), or zig (every one; `pip install ziglang`)";

/// What stands behind a compiler, as far as flags and advice differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The one that `CC` names.
    Own,
    /// GCC with musl.
    Musl,
    /// `zig cc`, with musl.
    Zig,
    /// GCC or clang with glibc.
    Glibc,
}

/// A compiler and what goes with it, as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiler {
    pub(super) kind: Kind,
    pub(super) c: Vec<String>,
    pub(super) cpp: Vec<String>,
    /// `ar` and `ranlib`, where the system's may not know the format.
    pub(super) archiver: Option<[Vec<String>; 2]>,
    /// For what, as GNU's tools call it.
    pub(super) target: String,
    /// Whether it is for another machine than this.
    pub(super) foreign: bool,
}

/// The architecture and the ABI in GNU's triples.
fn gnu(platform: &Platform) -> Option<(&'static str, &'static str)> {
    let variant = platform.variant.as_deref();
    Some(match (platform.architecture.as_str(), variant) {
        ("wasm", None) if platform.os == "wasip1" => ("wasm32", ""),
        _ if platform.os != "linux" => return None,
        ("amd64", _) => ("x86_64", ""),
        ("arm64", _) => ("aarch64", ""),
        ("386", _) => ("i686", ""),
        ("arm", None | Some("v6" | "v7")) => ("arm", "eabihf"),
        ("arm", Some("v5")) => ("arm", "eabi"),
        ("riscv64", _) => ("riscv64", ""),
        ("ppc64le", _) => ("powerpc64le", ""),
        ("s390x", _) => ("s390x", ""),
        ("loong64", _) => ("loongarch64", ""),
        _ => return None,
    })
}

fn words(tool: &Path, more: &[&str]) -> Vec<String> {
    let tool = tool.display().to_string();
    std::iter::once(tool)
        .chain(more.iter().map(|word| (*word).to_owned()))
        .collect()
}

/// The compiler that gives the smallest static program of those there are:
/// with musl before with glibc, the system's before Zig's, whose first call
/// for a target compiles its libc.
pub(super) fn choose(
    source: &Source<'_>,
    platform: &Platform,
    cpp: bool,
) -> Result<Compiler, ToolError> {
    let (arch, abi) = gnu(platform).ok_or_else(|| ToolError::Platform {
        language: Language::C,
        platform: platform.clone(),
    })?;
    let target = format!("{arch}-linux-musl{abi}");
    let is_wasm = source.is_for_wasm();
    let foreign = is_wasm || !Platform::host().accepts(platform);
    let found = |name: &str| source.toolchain.find(name);
    let compiler = |kind, c: Vec<String>, cpp: Vec<String>, target: &str| Compiler {
        kind,
        c,
        cpp,
        archiver: None,
        target: target.to_owned(),
        foreign,
    };
    let chosen = |name: &str| {
        let text = source.toolchain.get(name)?.to_string_lossy().into_owned();
        Some(
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    if let Some(own) = chosen("CC").filter(|words| !words.is_empty()) {
        let cpp = chosen("CXX").unwrap_or_else(|| vec!["c++".to_owned()]);
        let with_static = |mut words: Vec<String>| {
            words.push("-static".to_owned());
            words
        };
        let target = format!("{arch}-linux");
        return Ok(compiler(
            Kind::Own,
            with_static(own),
            with_static(cpp),
            &target,
        ));
    }
    // Debian's musl-tools has no C++.
    if let Some(tool) = found("musl-gcc").filter(|_| !foreign && !cpp) {
        let own = words(&tool, &["-static"]);
        return Ok(compiler(Kind::Musl, own.clone(), own, &target));
    }
    // For ARMv6 it is not known what a cross compiler's libc was compiled for.
    let pair = |prefix: &str| {
        let c = found(&format!("{prefix}-gcc"))?;
        let with = found(&format!("{prefix}-g++"));
        let with = if cpp {
            with?
        } else {
            with.unwrap_or_else(|| c.clone())
        };
        Some((words(&c, &["-static"]), words(&with, &["-static"])))
    };
    if let Some((c, cpp)) = pair(&target) {
        return Ok(compiler(Kind::Musl, c, cpp, &target));
    }
    if let (Some(zig), Some(target)) = (
        Zig::find(source.toolchain, &source.folder),
        zig::target(platform),
    ) {
        let all = |subcommand: &str| {
            let mut words = zig.words(subcommand);
            words.extend(["-target".to_owned(), target.triple.clone()]);
            words.extend(target.cpu.map(|cpu| format!("-mcpu={cpu}")));
            words
        };
        return Ok(Compiler {
            archiver: Some([zig.words("ar"), zig.words("ranlib")]),
            ..compiler(Kind::Zig, all("cc"), all("c++"), &target.triple)
        });
    }
    // With Debian's wasi-libc and libclang-rt-dev-wasm32, or a WASI SDK.
    if let Some(clang) = found("clang").filter(|_| is_wasm) {
        let own = words(&clang, &["--target=wasm32-wasi"]);
        return Ok(compiler(Kind::Zig, own.clone(), own, "wasm32-wasi"));
    }
    let glibc = format!("{arch}-linux-gnu{abi}");
    if !foreign {
        for (c, with) in [("gcc", "g++"), ("clang", "clang++"), ("cc", "c++")] {
            let Some(c) = found(c) else { continue };
            let with = match found(with) {
                Some(with) => with,
                None if cpp => continue,
                None => c.clone(),
            };
            let (c, with) = (words(&c, &["-static"]), words(&with, &["-static"]));
            return Ok(compiler(Kind::Glibc, c, with, &glibc));
        }
    }
    if let Some((c, cpp)) = pair(&glibc) {
        return Ok(compiler(Kind::Glibc, c, cpp, &glibc));
    }
    Err(ToolError::Missing {
        language: Language::C,
        tools: vec![match foreign {
            true => format!("a compiler for {platform}"),
            false => "a compiler".to_owned(),
        }],
        install: INSTALL,
    })
}

/// A flag, a word by which the project's own choice is known, and why.
type Known = (&'static str, &'static str, &'static str);

const COMPILER: [Known; 2] = [
    ("-Os", "-O", "smaller code before faster code"),
    (
        "-ffunction-sections -fdata-sections",
        "-sections",
        "each function can be left out alone",
    ),
];
/// Only for C: exceptions of C++ need them.
const TABLES: Known = (
    "-fno-asynchronous-unwind-tables -fno-unwind-tables",
    "unwind-tables",
    "no tables for debuggers alone",
);
const LINKER: [Known; 3] = [
    ("-Wl,--gc-sections", "gc-sections", "what nothing uses goes"),
    ("-s", "-g", "no symbols"),
    (
        "-Wl,--build-id=none",
        "build-id",
        "no identifier of this build",
    ),
];
/// GNU ld's defaults cost pages that a small program hardly fills.
const PAGES: [Known; 2] = [
    (
        "-Wl,-z,noseparate-code",
        "separate-code",
        "code and constants share pages",
    ),
    (
        "-Wl,-z,norelro",
        "relro",
        "no page for RELRO, which has next to nothing to protect in a static program",
    ),
];

/// The flags for a compiler, each with who chose it; and what `CFLAGS` and so
/// on are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) all: Vec<Flag>,
    c: Vec<String>,
    cpp: Vec<String>,
    linker: Vec<String>,
}

impl Flags {
    /// Those of ounce, before those of the environment, which so win.
    pub(super) fn new(source: &Source<'_>, kind: Kind) -> Self {
        let mut flags = Self {
            all: Vec::new(),
            c: Vec::new(),
            cpp: Vec::new(),
            linker: Vec::new(),
        };
        let own = Self::plain(source);
        let (c, cpp, linker) = (own.c, own.cpp, own.linker);
        let compiler = || c.iter().chain(&cpp);
        for (name, sign, why) in COMPILER.into_iter().chain([TABLES]) {
            let chosen = compiler().find(|word| match sign {
                "-O" => word.starts_with(sign),
                sign => word.ends_with(sign),
            });
            if flags.add(name, chosen, why) {
                let words = name.split(' ').map(str::to_owned);
                flags.c.extend(words.clone());
                if name != TABLES.0 {
                    flags.cpp.extend(words);
                }
            }
        }
        let pages = PAGES.iter().filter(|_| kind != Kind::Zig);
        for (name, sign, why) in LINKER.iter().chain(pages) {
            // Who compiles with `-g` wants to keep what it makes.
            let chosen = match *sign {
                "-g" => compiler().find(|word| word.starts_with("-g") && *word != "-g0"),
                sign => linker.iter().find(|word| word.contains(sign)),
            };
            if flags.add(name, chosen, why) {
                flags.linker.push((*name).to_owned());
            }
        }
        flags.c.extend(c);
        flags.cpp.extend(cpp);
        flags.linker.extend(linker);
        flags
    }

    fn add(&mut self, name: &str, chosen: Option<&String>, why: &'static str) -> bool {
        self.all.push(match chosen {
            Some(word) => Flag::of_project(word, ""),
            None => Flag::of_ounce(name, "", why),
        });
        chosen.is_none()
    }

    /// Those of the environment alone.
    pub(super) fn plain(source: &Source<'_>) -> Self {
        let own = |name: &str| -> Vec<String> {
            let text = source.toolchain.get(name).unwrap_or_default();
            let text = text.to_string_lossy();
            text.split_whitespace().map(str::to_owned).collect()
        };
        Self {
            all: Vec::new(),
            c: own("CFLAGS"),
            cpp: own("CXXFLAGS"),
            linker: own("LDFLAGS"),
        }
    }

    /// Whether ounce adds any.
    pub(super) fn adds(&self) -> bool {
        self.all.iter().any(|flag| flag.by == By::Ounce)
    }

    /// Words for C with the folder of the sources hidden.
    pub(super) fn c(&self, folders: &[(&Path, &str)]) -> Vec<String> {
        [hidden(folders), self.c.clone()].concat()
    }

    /// Likewise for C++.
    pub(super) fn cpp(&self, folders: &[(&Path, &str)]) -> Vec<String> {
        [hidden(folders), self.cpp.clone()].concat()
    }

    /// Words for the linker.
    pub(super) fn linker(&self) -> Vec<String> {
        self.linker.clone()
    }

    /// The variables that make, CMake and configure read.
    pub(super) fn variables(&self, folders: &[(&Path, &str)]) -> BTreeMap<String, String> {
        [
            ("CFLAGS", self.c(folders)),
            ("CXXFLAGS", self.cpp(folders)),
            ("LDFLAGS", self.linker()),
        ]
        .into_iter()
        .map(|(name, words)| {
            // A shell parts them again, and a folder's name may hold a blank.
            let words = words.iter().map(|word| word.replace(' ', "\\ "));
            (name.to_owned(), words.collect::<Vec<_>>().join(" "))
        })
        .collect()
    }
}

/// Messages of `assert` name source files: the same sources give the same
/// program wherever they lie.
fn hidden(folders: &[(&Path, &str)]) -> Vec<String> {
    folders
        .iter()
        .map(|(folder, name)| format!("-ffile-prefix-map={}={name}", folder.display()))
        .collect()
}
