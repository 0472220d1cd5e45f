//! Zig: `zig build` for a project with `build.zig`, `zig build-exe` for one
//! file. As a C compiler Zig serves the module `c`, too: see [`Zig`].

use std::fs;
use std::path::{Path, PathBuf};

use ounce_oci::Platform;

use super::known::Language;
use super::source::{Source, ToolError};
use crate::detect::{Detected, PlanError, host_or, refuse_settings};
use crate::flag::Flag;
use crate::recipe::{Found, ProgramRecipe, ProgramSource};
use crate::settings::Measure;
use crate::tool::{Call, Output, Rung, Steps, ToolRecipe};
use crate::toolchain::Toolchain;

pub(super) const INSTALL: &str =
    "install Zig from https://ziglang.org/download, or by `pip install ziglang`";

/// Where Zig is: a program, and what it is called with before all else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zig {
    pub(super) tool: PathBuf,
    pub(super) first: Vec<String>,
}

/// A target in Zig's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `x86_64-linux-musl`.
    pub(super) triple: String,
    /// The processor, where the architecture alone does not say it.
    pub(super) cpu: Option<&'static str>,
}

impl Zig {
    /// `zig` along `PATH`, else the one that Python's package `ziglang` brings.
    pub(super) fn find(toolchain: &Toolchain, folder: &Path) -> Option<Self> {
        if let Some(tool) = toolchain.find("zig") {
            return Some(Self {
                tool,
                first: Vec::new(),
            });
        }
        let tool = toolchain.find("python3")?;
        let first = ["-m", "ziglang"];
        let arguments = [first[0], first[1], "version"];
        toolchain.answer(&tool, folder, &arguments)?;
        Some(Self {
            tool,
            first: first.map(str::to_owned).into(),
        })
    }

    /// The whole command up to a subcommand, as words of a shell.
    pub(super) fn words(&self, subcommand: &str) -> Vec<String> {
        let tool = self.tool.display().to_string();
        let rest = self.first.iter().cloned().chain([subcommand.to_owned()]);
        std::iter::once(tool).chain(rest).collect()
    }
}

/// Zig's target for a platform. All are with musl, which comes with Zig and is
/// linked only where the program asks for a C library.
pub(super) fn target(platform: &Platform) -> Option<Target> {
    let variant = platform.variant.as_deref();
    let (triple, cpu) = match (platform.architecture.as_str(), variant) {
        // Zig calls preview 1 so; it has no target for preview 2.
        ("wasm", None) if platform.os == "wasip1" => ("wasm32-wasi", None),
        _ if platform.os != "linux" => return None,
        ("amd64", None | Some("v1")) => ("x86_64-linux-musl", None),
        ("amd64", Some("v2")) => ("x86_64-linux-musl", Some("x86_64_v2")),
        ("amd64", Some("v3")) => ("x86_64-linux-musl", Some("x86_64_v3")),
        ("amd64", Some("v4")) => ("x86_64-linux-musl", Some("x86_64_v4")),
        ("arm64", None | Some("v8")) => ("aarch64-linux-musl", None),
        ("386", None) => ("x86-linux-musl", None),
        // What every ARMv6 with floating point has, the Pi Zero's among them.
        ("arm", Some("v6")) => ("arm-linux-musleabihf", Some("arm1176jzf_s")),
        // As Debian's armhf: not every ARMv7 has NEON.
        ("arm", None | Some("v7")) => ("arm-linux-musleabihf", Some("generic+v7a-neon")),
        ("arm", Some("v5")) => ("arm-linux-musleabi", Some("arm926ej_s")),
        ("riscv64", None) => ("riscv64-linux-musl", None),
        ("ppc64le", None) => ("powerpc64le-linux-musl", None),
        ("s390x", None) => ("s390x-linux-musl", None),
        ("loong64", None) => ("loongarch64-linux-musl", None),
        _ => return None,
    };
    Some(Target {
        triple: triple.to_owned(),
        cpu,
    })
}

/// How the project or the file is compiled.
///
/// # Errors
/// Zig is not there, or has no target for a platform.
pub(crate) fn project(source: &Source<'_>) -> Result<Detected, PlanError> {
    let taken: &[&str] = match source.is_for_wasm() {
        true => &["--bin", "--target"],
        false => &["--bin"],
    };
    refuse_settings(source.settings, "a Zig project", taken)?;
    let zig = Zig::find(source.toolchain, &source.folder).ok_or_else(|| ToolError::Missing {
        language: Language::Zig,
        tools: vec!["zig".to_owned()],
        install: INSTALL,
    })?;
    let text = match &source.file {
        Some(_) => None,
        None => Some(read(&source.folder.join("build.zig"))?),
    };
    let name = match (&source.settings.rust.bin, &text) {
        (Some(name), _) => name.clone(),
        (None, Some(text)) => only_executable(text).unwrap_or_else(|| source.name()),
        (None, None) => source.name(),
    };
    let platforms = host_or(&source.settings.platforms);
    let mut advice = Vec::new();
    let mut programs = Vec::new();
    for platform in platforms {
        let target = target(&platform).ok_or_else(|| ToolError::Platform {
            language: Language::Zig,
            platform: platform.clone(),
        })?;
        let work = source.work(&platform)?;
        let (build, ladder, flags) = match &text {
            Some(text) => {
                let takes_target = text.contains("standardTargetOptions");
                if !takes_target {
                    advice.push(
                        "build.zig takes no target (b.standardTargetOptions): the program is for \
                         this machine's own processor and may not run on an older one"
                            .to_owned(),
                    );
                }
                let target = takes_target.then_some(&target);
                let bin = source.settings.rust.bin.as_deref();
                whole(&zig, source, text, target, &work, bin)
            }
            None => single(&zig, source, &target, &work, &name),
        };
        programs.push(ProgramRecipe {
            platform,
            from: ProgramSource::Tools(Box::new(ToolRecipe {
                language: Language::Zig,
                bin: name.clone(),
                target: target.triple,
                flags,
                build,
                ladder,
                work,
                explain,
            })),
        });
    }
    advice.dedup();
    Ok(Detected {
        found: Found::Project(Language::Zig),
        name,
        image_name: None,
        port: None,
        programs,
        site: None,
        advice,
    })
}

fn read(path: &Path) -> Result<String, PlanError> {
    let bytes = fs::read(path).map_err(|source| PlanError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The name of the one executable that a `build.zig` adds, if it is one and
/// its name is written out.
fn only_executable(text: &str) -> Option<String> {
    let mut parts = text.split("addExecutable(").skip(1);
    let first = parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let rest = first.split_once(".name")?.1.trim_start();
    let rest = rest.strip_prefix('=')?.trim_start().strip_prefix('"')?;
    let name = rest.split('"').next()?;
    (!name.is_empty() && !name.contains('\\')).then(|| name.to_owned())
}

const SMALL: &str = "ReleaseSmall: smaller code, no symbols, no safety checks";

type Recipe = (Steps, Vec<Rung>, Vec<Flag>);

/// `zig build`. `--release` is for a project that leaves the mode open; one
/// that has decided is not asked, and takes no notice.
fn whole(
    zig: &Zig,
    source: &Source<'_>,
    text: &str,
    target: Option<&Target>,
    work: &Path,
    bin: Option<&str>,
) -> Recipe {
    let build = |release: bool, folder: &str| {
        let prefix = work.join(folder);
        let mut arguments = zig.first.clone();
        arguments.push("build".to_owned());
        arguments.extend(release.then(|| "--release=small".to_owned()));
        if let Some(target) = target {
            arguments.push(format!("-Dtarget={}", target.triple));
            arguments.extend(target.cpu.map(|cpu| format!("-Dcpu={cpu}")));
        }
        if source.offline {
            // Packages are looked for in its own folder alone, which is Zig's cache.
            arguments.extend(offline(source));
        }
        for (name, value) in [("--prefix", &prefix), ("--cache-dir", &work.join("cache"))] {
            arguments.extend([name.to_owned(), value.display().to_string()]);
        }
        Steps {
            copy: None,
            files: Vec::new(),
            calls: vec![Call {
                tool: zig.tool.clone(),
                arguments,
                environment: Default::default(),
                folder: source.folder.clone(),
            }],
            output: Output::Folder {
                folder: prefix.join("bin"),
                name: bin.map(str::to_owned),
            },
        }
    };
    let open = text.contains("standardOptimizeOption");
    let flags = match open {
        true => vec![Flag::of_ounce("--release", "small", SMALL)],
        false => vec![Flag::of_project("optimize", "as build.zig says")],
    };
    let measured = matches!(
        source.settings.measure,
        Some(Measure::Total | Measure::EachFlag)
    );
    let ladder = (open && measured).then(|| Rung {
        flag: flags[0].text(),
        build: build(false, "plain"),
    });
    (build(open, "out"), ladder.into_iter().collect(), flags)
}

/// Zig's arguments that keep it from the network: with `--system` packages are
/// never fetched.
fn offline(source: &Source<'_>) -> Vec<String> {
    let home = source.toolchain.get("HOME").map(PathBuf::from);
    let cache = source
        .toolchain
        .get("ZIG_GLOBAL_CACHE_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(home?.join(".cache/zig")));
    match cache
        .map(|cache| cache.join("p"))
        .filter(|folder| folder.is_dir())
    {
        Some(folder) => vec!["--system".to_owned(), folder.display().to_string()],
        None => Vec::new(),
    }
}

/// `zig build-exe`.
fn single(zig: &Zig, source: &Source<'_>, target: &Target, work: &Path, name: &str) -> Recipe {
    let flags = vec![Flag::of_ounce("-O", "ReleaseSmall", SMALL)];
    let file = source.file.clone().unwrap_or_default();
    let build = |small: bool, folder: &str| {
        let output = work.join(folder).join(name);
        let mut arguments = zig.first.clone();
        arguments.push("build-exe".to_owned());
        arguments.push(file.display().to_string());
        arguments.extend(["-target".to_owned(), target.triple.clone()]);
        if let Some(cpu) = target.cpu {
            arguments.extend(["-mcpu".to_owned(), cpu.to_owned()]);
        }
        if small {
            arguments.extend(["-O", "ReleaseSmall"].map(str::to_owned));
        }
        arguments.push(format!("-femit-bin={}", output.display()));
        let cache = work.join("cache").display().to_string();
        arguments.extend(["--cache-dir".to_owned(), cache]);
        Steps {
            copy: None,
            files: Vec::new(),
            calls: vec![Call {
                tool: zig.tool.clone(),
                arguments,
                environment: Default::default(),
                folder: source.folder.clone(),
            }],
            output: Output::File(output),
        }
    };
    let ladder = match source.settings.measure {
        Some(Measure::No) => Vec::new(),
        _ => vec![Rung {
            flag: "-O=ReleaseSmall".to_owned(),
            build: build(false, "plain"),
        }],
    };
    (build(true, "out"), ladder, flags)
}

/// What to do about Zig that failed with these last words.
fn explain(text: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if text.contains("invalid option: -Dtarget") {
        hints.push("let build.zig take a target: b.standardTargetOptions(.{})".to_owned());
    }
    if text.contains("has no member named") || text.contains("no field or member function") {
        hints.push(
            "the project may be for another version of Zig: `zig version`, and \
             minimum_zig_version in build.zig.zon"
                .to_owned(),
        );
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_executable_of_a_build_file_is_found_by_its_name() {
        let one = "const exe = b.addExecutable(.{\n  .name = \"server\",\n});";
        assert_eq!(only_executable(one).as_deref(), Some("server"));
        assert_eq!(only_executable(&format!("{one}{one}")), None);
        for none in ["", "b.addExecutable(.{ .name = name })", "b.addExecutable("] {
            assert_eq!(only_executable(none), None, "{none}");
        }
    }

    #[test]
    fn every_platform_has_its_target_or_none() {
        let target = |text: &str| target(&text.parse().unwrap());
        assert_eq!(target("linux/arm/v6").unwrap().cpu, Some("arm1176jzf_s"));
        assert_eq!(
            target("linux/riscv64").unwrap().triple,
            "riscv64-linux-musl"
        );
        assert_eq!(target("linux/arm/v9"), None);
        assert_eq!(target("windows/amd64"), None);
    }
}
