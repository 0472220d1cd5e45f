//! C and C++: by CMake, Meson, `configure` and make, make alone, or the compiler
//! alone where there are only sources.
//!
//! The compiler is chosen to link statically (`compiler`); size flags go the way
//! that each of them leaves to the user (`CFLAGS`, `LDFLAGS`), so that what the
//! project sets itself stays as it is.

mod compiler;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::compiler::{Compiler, Flags, Kind};
use super::known::{Language, MAKEFILES};
use super::source::{Source, ToolError};
use crate::context::{Context, context};
use crate::detect::{Detected, PlanError, host_or, refuse_settings};
use crate::recipe::{Found, ProgramRecipe, ProgramSource};
use crate::settings::Measure;
use crate::tool::{Call, Copied, Output, Rung, Steps, ToolRecipe, Written};

/// What builds the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    CMake,
    Meson,
    Configure,
    Make,
    /// The compiler alone.
    None,
}

impl System {
    fn of(source: &Source<'_>) -> Self {
        let has = |name: &str| source.folder.join(name).is_file();
        match () {
            () if source.file.is_some() => Self::None,
            () if has("CMakeLists.txt") => Self::CMake,
            () if has("meson.build") => Self::Meson,
            () if MAKEFILES.iter().any(|name| has(name)) => Self::Make,
            () if has("configure") => Self::Configure,
            () => Self::None,
        }
    }

    /// The program's name, where its file says it plainly: of one program, or
    /// of the project.
    fn name(self, folder: &Path) -> Option<String> {
        let (file, program, project) = match self {
            Self::CMake => ("CMakeLists.txt", "add_executable(", "project("),
            Self::Meson => ("meson.build", "executable(", "project("),
            _ => return None,
        };
        let text = std::fs::read(folder.join(file)).ok()?;
        let text = String::from_utf8_lossy(&text);
        let plain = |call: &str| {
            let mut parts = text.split(call).skip(1);
            let first = parts.next().filter(|_| parts.next().is_none())?;
            let first = first.trim_start().trim_start_matches(['\'', '"']);
            let end = first.find(|c: char| !(c.is_ascii_alphanumeric() || "._-+".contains(c)))?;
            (end > 0).then(|| first[..end].to_owned())
        };
        plain(program).or_else(|| plain(project))
    }
}

/// Everything that the steps of a build are made of.
struct Plan<'a> {
    source: &'a Source<'a>,
    system: System,
    context: &'a Context,
    name: &'a str,
    compiler: Compiler,
    work: PathBuf,
    tools: &'a [PathBuf],
}

const CPP: [&str; 4] = ["cc", "cpp", "cxx", "C"];

/// How the project or the file is compiled.
///
/// # Errors
/// A tool or a compiler for a platform is missing, or the project cannot be copied.
pub(crate) fn project(source: &Source<'_>) -> Result<Detected, PlanError> {
    let taken: &[&str] = match source.is_for_wasm() {
        true => &["--bin", "--target"],
        false => &["--bin"],
    };
    refuse_settings(source.settings, "a C project", taken)?;
    let system = System::of(source);
    let tools = tools(system, source)?;
    let context = match &source.file {
        Some(file) => only(file),
        None => context(&source.folder)?,
    };
    let cpp = context.ending(&CPP).next().is_some();
    let name = match &source.settings.rust.bin {
        Some(name) => name.clone(),
        None => system.name(&source.folder).unwrap_or_else(|| source.name()),
    };
    let mut programs = Vec::new();
    let mut advice = Vec::new();
    for platform in host_or(&source.settings.platforms) {
        let compiler = compiler::choose(source, &platform, cpp)?;
        if compiler.kind == Kind::Glibc {
            advice.push(format!(
                "musl would make it smaller (musl-tools, or zig): a hello in C is 674,504 bytes \
                 with {}'s libc and 6,112 with musl, same flags",
                compiler.target
            ));
        }
        let plan = Plan {
            source,
            system,
            context: &context,
            name: &name,
            work: source.work(&platform)?,
            compiler,
            tools: &tools,
        };
        let flags = Flags::new(source, plan.compiler.kind);
        let rung = Rung {
            flag: "all that ounce adds".to_owned(),
            build: plan.steps(&Flags::plain(source), "plain"),
        };
        let measured = match source.settings.measure.unwrap_or_default() {
            Measure::No => false,
            // One call of the compiler more; of a project it would be all of them.
            Measure::Auto => system == System::None,
            Measure::Total | Measure::EachFlag => true,
        };
        let recipe = ToolRecipe {
            language: Language::C,
            bin: name.clone(),
            target: plan.compiler.target.clone(),
            build: plan.steps(&flags, "out"),
            ladder: match measured && flags.adds() {
                true => vec![rung],
                false => Vec::new(),
            },
            flags: flags.all,
            work: plan.work,
            explain,
        };
        programs.push(ProgramRecipe {
            platform,
            from: ProgramSource::Tools(Box::new(recipe)),
        });
    }
    Ok(Detected {
        found: Found::Project(Language::C),
        name,
        image_name: None,
        port: None,
        programs,
        site: None,
        advice,
    })
}

/// The context of one source file, which is not copied.
fn only(file: &Path) -> Context {
    let folder = file.parent().unwrap_or(Path::new("/"));
    Context::of_file(folder, file)
}

fn tools(system: System, source: &Source<'_>) -> Result<Vec<PathBuf>, ToolError> {
    const NAMES: &str = "install it from your distribution's package of that name";
    let tool = |name: &str| source.tool(Language::C, &[name], NAMES);
    Ok(match system {
        System::CMake => {
            if source.toolchain.find("make").is_none() {
                source.tool(Language::C, &["ninja", "make"], NAMES)?;
            }
            vec![tool("cmake")?]
        }
        System::Meson => {
            source.tool(Language::C, &["ninja", "samu"], "install ninja-build")?;
            vec![tool("meson")?]
        }
        System::Configure => vec![tool("make")?, tool("sh")?],
        System::Make => vec![tool("make")?],
        System::None => Vec::new(),
    })
}

impl Plan<'_> {
    fn steps(&self, flags: &Flags, folder: &str) -> Steps {
        let folder = self.work.join(folder);
        match self.system {
            System::CMake => self.cmake(flags, &folder),
            System::Meson => self.meson(flags, &folder),
            System::Configure | System::Make => self.make(flags, &folder),
            System::None => self.alone(flags, &folder),
        }
    }

    fn call(&self, tool: &Path, arguments: Vec<String>, folder: &Path) -> Call {
        let mut environment = BTreeMap::new();
        // For `__DATE__` and `__TIME__`, in GCC and clang.
        if !self.source.toolchain.has("SOURCE_DATE_EPOCH") {
            environment.insert("SOURCE_DATE_EPOCH".to_owned(), "0".to_owned());
        }
        if self.compiler.kind == Kind::Zig {
            let cache = self.work.join("cache").display().to_string();
            environment.insert("ZIG_LOCAL_CACHE_DIR".to_owned(), cache);
        }
        Call {
            tool: tool.to_owned(),
            arguments,
            environment,
            folder: folder.to_owned(),
        }
    }

    fn asked(&self) -> Option<String> {
        self.source.settings.rust.bin.clone()
    }

    /// The compiler itself: all sources at once.
    fn alone(&self, flags: &Flags, folder: &Path) -> Steps {
        let own = &self.source.folder;
        let top = |path: &&Path| path.components().count() == 1;
        let c = self.context.ending(&["c"]).filter(top);
        let cpp: Vec<&Path> = self.context.ending(&CPP).filter(top).collect();
        let c: Vec<&Path> = c.collect();
        let hide = [(own.as_path(), "/src")];
        // A driver for C++ would take C for it, too.
        let driver = match (c.is_empty(), cpp.is_empty()) {
            (true, false) => &self.compiler.cpp,
            _ => &self.compiler.c,
        };
        let output = folder.join(self.name);
        let mut words = driver.clone();
        words.extend(match cpp.is_empty() {
            true => flags.c(&hide),
            false => flags.cpp(&hide),
        });
        words.extend(["-o".to_owned(), output.display().to_string()]);
        words.extend(c.iter().chain(&cpp).map(|path| path.display().to_string()));
        words.extend(flags.linker());
        if !c.is_empty() && !cpp.is_empty() {
            let library = match self.compiler.kind {
                Kind::Zig => "-lc++",
                _ => "-lstdc++",
            };
            words.push(library.to_owned());
        }
        words.push("-lm".to_owned());
        let tool = PathBuf::from(words.remove(0));
        Steps {
            copy: None,
            files: Vec::new(),
            calls: vec![self.call(&tool, words, own)],
            output: Output::File(output),
        }
    }

    /// make, in a copy: it writes beside the sources. The compiler goes in by
    /// arguments, which win over what the Makefile sets; the flags by the
    /// environment, which a Makefile may set aside or add to.
    fn make(&self, flags: &Flags, folder: &Path) -> Steps {
        let copy = folder.join("src");
        let mut compilers = vec![
            format!("CC={}", self.compiler.c.join(" ")),
            format!("CXX={}", self.compiler.cpp.join(" ")),
        ];
        if let Some([ar, ranlib]) = &self.compiler.archiver {
            compilers.push(format!("AR={}", ar.join(" ")));
            compilers.push(format!("RANLIB={}", ranlib.join(" ")));
        }
        let mut calls = Vec::new();
        if self.system == System::Configure {
            let mut words = vec!["./configure".to_owned(), "--disable-shared".to_owned()];
            if self.compiler.foreign {
                words.push(format!("--host={}", self.compiler.target));
            }
            words.extend(compilers.iter().cloned());
            calls.push(self.call(&self.tools[1], words, &copy));
        } else {
            compilers.insert(0, jobs());
        }
        let words = match self.system {
            System::Configure => vec![jobs()],
            _ => compilers,
        };
        calls.push(self.call(&self.tools[0], words, &copy));
        for call in &mut calls {
            call.environment.extend(flags.variables(&[(&copy, "/src")]));
        }
        Steps {
            copy: Some(Copied {
                context: self.context.clone(),
                to: copy.clone(),
            }),
            files: Vec::new(),
            calls,
            output: Output::Tree {
                folder: copy,
                name: self.asked(),
            },
        }
    }

    fn cmake(&self, flags: &Flags, folder: &Path) -> Steps {
        let own = &self.source.folder;
        let text = |path: &Path| path.display().to_string();
        let mut words = vec!["-S".to_owned(), text(own), "-B".to_owned(), text(folder)];
        if self.source.toolchain.find("make").is_none() {
            words.push("-GNinja".to_owned());
        }
        words.extend(
            [
                "-DCMAKE_BUILD_TYPE=MinSizeRel",
                "-DBUILD_SHARED_LIBS=OFF",
                "-DCMAKE_FIND_LIBRARY_SUFFIXES=.a",
            ]
            .map(str::to_owned),
        );
        if self.compiler.foreign {
            let processor = self.compiler.target.split('-').next().unwrap_or_default();
            words.push("-DCMAKE_SYSTEM_NAME=Linux".to_owned());
            words.push(format!("-DCMAKE_SYSTEM_PROCESSOR={processor}"));
        }
        let mut configure = self.call(&self.tools[0], words, own);
        let hide = [(folder, "/build"), (own.as_path(), "/src")];
        configure.environment.extend(flags.variables(&hide));
        configure.environment.extend([
            ("CC".to_owned(), self.compiler.c.join(" ")),
            ("CXX".to_owned(), self.compiler.cpp.join(" ")),
        ]);
        let mut words = vec!["--build".to_owned(), text(folder), jobs()];
        if let Some(name) = self.asked() {
            words.extend(["--target".to_owned(), name]);
        }
        Steps {
            copy: None,
            files: vec![Written {
                path: folder.join(".cmake/api/v1/query/codemodel-v2"),
                text: String::new(),
            }],
            calls: vec![configure, self.call(&self.tools[0], words, own)],
            output: Output::CMake {
                folder: folder.to_owned(),
                name: self.asked(),
            },
        }
    }

    fn meson(&self, flags: &Flags, folder: &Path) -> Steps {
        let own = &self.source.folder;
        let text = |path: &Path| path.display().to_string();
        let file = self.work.join("meson.ini");
        let kind = match self.compiler.foreign {
            true => "--cross-file",
            false => "--native-file",
        };
        let words = [
            "setup",
            &text(folder),
            &text(own),
            kind,
            &text(&file),
            "--buildtype=minsize",
            "--wrap-mode=nodownload",
            "-Ddefault_library=static",
        ];
        let setup = words.map(str::to_owned).to_vec();
        let compile = ["compile", "-C", &text(folder)].map(str::to_owned).to_vec();
        Steps {
            copy: None,
            files: vec![Written {
                path: file,
                text: self.machine(flags, folder),
            }],
            calls: vec![
                self.call(&self.tools[0], setup, own),
                self.call(&self.tools[0], compile, own),
            ],
            output: Output::Meson {
                folder: folder.to_owned(),
                name: self.asked(),
            },
        }
    }

    /// Meson's machine file: compilers, flags and what they compile for.
    fn machine(&self, flags: &Flags, folder: &Path) -> String {
        let list = |words: &[String]| {
            let words = words
                .iter()
                .map(|word| format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'")));
            format!("[{}]", words.collect::<Vec<_>>().join(", "))
        };
        let hide = [(folder, "/build"), (self.source.folder.as_path(), "/src")];
        let mut text = format!(
            "[binaries]\nc = {}\ncpp = {}\n",
            list(&self.compiler.c),
            list(&self.compiler.cpp)
        );
        if let Some([ar, ranlib]) = &self.compiler.archiver {
            text.push_str(&format!("ar = {}\nranlib = {}\n", list(ar), list(ranlib)));
        }
        text.push_str(&format!(
            "[built-in options]\nc_args = {}\ncpp_args = {}\nc_link_args = {link}\ncpp_link_args = {link}\n",
            list(&flags.c(&hide)),
            list(&flags.cpp(&hide)),
            link = list(&flags.linker()),
        ));
        if self.compiler.foreign {
            let cpu = self.compiler.target.split('-').next().unwrap_or_default();
            let (family, endian) = match cpu {
                "powerpc64le" => ("ppc64", "little"),
                "s390x" => ("s390x", "big"),
                "i686" => ("x86", "little"),
                other => (other, "little"),
            };
            text.push_str(&format!(
                "[host_machine]\nsystem = 'linux'\ncpu_family = '{family}'\ncpu = '{cpu}'\nendian = '{endian}'\n"
            ));
        }
        text
    }
}

/// As many at once as there are processors.
fn jobs() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("-j{count}")
}

/// What to do about a compiler that failed with these last words.
fn explain(text: &str) -> Vec<String> {
    let mut hints = Vec::new();
    let no_header = text.contains("No such file or directory") && text.contains(".h:")
        || text.contains("file not found");
    if no_header {
        hints.push(
            "musl-gcc and zig see the headers of their own libc alone: bring a library's with the \
             project, or name their folder by CFLAGS=-I"
                .to_owned(),
        );
    }
    if text.contains("cannot find -l") || text.contains("unable to find static system library") {
        hints.push(
            "a library is missing as a static one (.a): compile it with the project, or name its \
             folder by LDFLAGS=-L"
                .to_owned(),
        );
    }
    if text.contains("Unable to detect linker") {
        hints.push(
            "this Meson does not know the compiler's linker: a newer Meson does (`pip install \
             meson`), or another compiler (CC)"
                .to_owned(),
        );
    }
    if text.contains("No rule to make target") {
        hints.push(
            "make works in a copy of the project: what .dockerignore names, ELF files and what \
             lies outside are not in it"
                .to_owned(),
        );
    }
    hints
}
