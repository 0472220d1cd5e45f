//! Go: one static program by `go build`, without cgo.
//!
//! Which package is the program is asked of `go list`; nothing is compiled to
//! find out. What `GOFLAGS` chooses is left as it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ounce_oci::Platform;

use super::known::Language;
use super::source::{Source, ToolError};
use crate::detect::{Detected, PlanError, host_or, refuse_settings};
use crate::flag::{By, Flag};
use crate::recipe::{Found, ProgramRecipe, ProgramSource};
use crate::settings::Measure;
use crate::tool::{Call, Output, Rung, Steps, ToolRecipe};

const INSTALL: &str = "install Go from https://go.dev/dl or as golang-go from your distribution";

/// The architectures of Linux that Go compiles for (`go tool dist list`).
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x",
];

/// What the linker leaves out: the symbol table (panics name functions all the
/// same), DWARF, and an identifier that differs by the folder of the toolchain.
const LINKER: [&str; 3] = ["-s", "-w", "-buildid="];

/// A package with `func main`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Main {
    import_path: String,
    folder: PathBuf,
    name: String,
}

/// How the project is compiled.
///
/// # Errors
/// Go is not there, or does not take the project, or several programs are in it.
pub(crate) fn project(source: &Source<'_>) -> Result<Detected, PlanError> {
    refuse_settings(source.settings, "a Go project", &["--bin", "--package"])?;
    let go = source.tool(Language::Go, &["go"], INSTALL)?;
    let environment = |platform: &Platform| environment(platform, source);
    let platforms = host_or(&source.settings.platforms);
    let first = platforms
        .first()
        .map(environment)
        .transpose()?
        .unwrap_or_default();
    let (name, package) = match &source.file {
        Some(file) => (source.name(), file.display().to_string()),
        None => {
            let main = choose(&list(&go, source, &first)?, source)?;
            (main.name, main.import_path)
        }
    };
    let own = own_flags(&go, source);
    let mut programs = Vec::new();
    for platform in platforms {
        let work = source.work(&platform)?.join(&name);
        let variables = environment(&platform)?;
        let build = |flags: &[Flag], folder: &str| {
            let file = work.join(folder).join(&name);
            let mut arguments = vec!["build".to_owned()];
            arguments.extend(words(flags, &own));
            arguments.extend(["-o".to_owned(), file.display().to_string()]);
            arguments.push(package.clone());
            Steps {
                copy: None,
                files: Vec::new(),
                calls: vec![Call {
                    tool: go.clone(),
                    arguments,
                    environment: variables.clone(),
                    folder: source.folder.clone(),
                }],
                output: Output::File(file),
            }
        };
        let flags = flags(&own);
        programs.push(ProgramRecipe {
            from: ProgramSource::Tools(Box::new(ToolRecipe {
                language: Language::Go,
                bin: name.clone(),
                target: target(&variables),
                build: build(&flags, "out"),
                ladder: ladder(&flags, source.settings.measure.unwrap_or_default(), &build),
                flags,
                work,
                explain: failure_hints,
            })),
            platform,
        });
    }
    Ok(Detected {
        found: Found::Project(Language::Go),
        name,
        image_name: None,
        port: None,
        programs,
        site: None,
        advice: Vec::new(),
    })
}

/// Without the linker's flags it is linked once more, which is soon done;
/// without `-trimpath` all is compiled anew, the standard library too.
fn ladder(flags: &[Flag], measure: Measure, build: &dyn Fn(&[Flag], &str) -> Steps) -> Vec<Rung> {
    let names = |rest: &[Flag]| rest.iter().map(Flag::text).collect::<Vec<_>>().join(", ");
    let ours: Vec<Flag> = flags
        .iter()
        .filter(|flag| flag.by == By::Ounce)
        .cloned()
        .collect();
    // The linker's flags stand last.
    let linkers = ours.iter().filter(|flag| flag.key == "-ldflags").count();
    let (all, rest) = (ours.len(), ours.len() - linkers);
    let firsts: Vec<(usize, usize)> = match measure {
        Measure::No => Vec::new(),
        Measure::Auto => vec![(rest, all)],
        Measure::Total => vec![(0, all)],
        Measure::EachFlag => vec![(0, rest), (rest, all)],
    };
    firsts
        .into_iter()
        .filter(|(from, to)| from < to)
        .map(|(from, to)| Rung {
            flag: names(&ours[from..to]),
            build: build(&ours[..from], if from == 0 { "plain" } else { "trimmed" }),
        })
        .collect()
}

/// Go's variables for a platform.
fn environment(
    platform: &Platform,
    source: &Source<'_>,
) -> Result<BTreeMap<String, String>, ToolError> {
    let unknown = || ToolError::Platform {
        language: Language::Go,
        platform: platform.clone(),
    };
    let architecture = platform.architecture.as_str();
    if platform.os != "linux" || !ARCHITECTURES.contains(&architecture) {
        return Err(unknown());
    }
    let variant = platform.variant.as_deref();
    let level = match (architecture, variant) {
        // Without a variant v7 is meant (containerd's `platforms` package).
        ("arm", None) => Some(("GOARM", "7")),
        ("arm", Some(variant @ ("v5" | "v6" | "v7"))) => Some(("GOARM", &variant[1..])),
        ("arm", Some(_)) => return Err(unknown()),
        ("amd64", Some(variant @ ("v1" | "v2" | "v3" | "v4"))) => Some(("GOAMD64", variant)),
        ("amd64", Some(_)) => return Err(unknown()),
        ("arm64", Some(variant)) if variant != "v8" => return Err(unknown()),
        _ => None,
    };
    let mut variables = BTreeMap::from([
        ("GOOS".to_owned(), "linux".to_owned()),
        ("GOARCH".to_owned(), architecture.to_owned()),
    ]);
    variables.extend(level.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // Who asks for cgo has a libc to link statically; the result is looked at.
    if !source.toolchain.has("CGO_ENABLED") {
        variables.insert("CGO_ENABLED".to_owned(), "0".to_owned());
    }
    if source.offline {
        variables.insert("GOPROXY".to_owned(), "off".to_owned());
        variables.insert("GOTOOLCHAIN".to_owned(), "local".to_owned());
    }
    Ok(variables)
}

fn target(variables: &BTreeMap<String, String>) -> String {
    let levels = ["GOOS", "GOARCH", "GOARM", "GOAMD64"];
    let parts: Vec<&str> = levels
        .iter()
        .filter_map(|name| Some(variables.get(*name)?.as_str()))
        .collect();
    parts.join("/")
}

fn list(
    go: &Path,
    source: &Source<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<Main>, ToolError> {
    let refused = |said: String| ToolError::Refused {
        tool: "go".to_owned(),
        folder: source.folder.clone(),
        said,
    };
    const FORM: &str = "{{if eq .Name \"main\"}}{{.ImportPath}}\t{{.Dir}}\t{{.Target}}{{end}}";
    let output = source
        .toolchain
        .command(go, &source.folder)
        .args(["list", "-e", "-find", "-f", FORM, "./..."])
        .envs(variables)
        .output()
        .map_err(|error| refused(error.to_string()))?;
    if !output.status.success() {
        return Err(refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(mains(&String::from_utf8_lossy(&output.stdout)))
}

fn mains(text: &str) -> Vec<Main> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split('\t');
            let import_path = words.next().filter(|path| !path.is_empty())?;
            let folder = words.next()?;
            // Where it would be installed has the name that go gives it: a
            // path's last part, or for `.../v2` the one before.
            let target = words.next().filter(|target| !target.is_empty());
            Some(Main {
                import_path: import_path.to_owned(),
                folder: folder.into(),
                name: base(target.unwrap_or(import_path)),
            })
        })
        .collect()
}

/// The one program that is meant: as asked for, else the only one, else the
/// folder's own, which is what `go build` takes, too.
fn choose(mains: &[Main], source: &Source<'_>) -> Result<Main, ToolError> {
    let rust = &source.settings.rust;
    if mains.is_empty() {
        return Err(ToolError::NoPrograms {
            language: Language::Go,
            folder: source.folder.clone(),
        });
    }
    let known = || mains.iter().map(|main| main.import_path.clone()).collect();
    let asked = rust.bin.as_ref().or(rust.package.as_ref());
    if let Some(asked) = asked {
        let below = source.folder.join(asked.trim_start_matches("./"));
        let fits = |main: &&Main| {
            main.name == *asked || main.import_path == *asked || main.folder == below
        };
        let mut found = mains.iter().filter(fits);
        let first = found.next().ok_or_else(|| ToolError::NoBin {
            name: asked.clone(),
            known: known(),
        })?;
        return match found.next() {
            None => Ok(first.clone()),
            Some(_) => Err(ToolError::Several { known: known() }),
        };
    }
    let own = mains.iter().find(|main| main.folder == source.folder);
    match (mains, own) {
        ([only], _) => Ok(only.clone()),
        (_, Some(own)) => Ok(own.clone()),
        _ => Err(ToolError::Several { known: known() }),
    }
}

/// What `GOFLAGS` says, in the environment or in go's own settings.
fn own_flags(go: &Path, source: &Source<'_>) -> Vec<String> {
    let told = source
        .toolchain
        .answer(go, &source.folder, &["env", "GOFLAGS"]);
    split(told.as_deref().unwrap_or_default().trim())
}

/// As go parts it: fields between blanks, a field in quotes whole
/// (package cmd/internal/quoted).
fn split(text: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (field, after) = match first {
            '\'' | '"' => {
                let inner = &rest[1..];
                inner.split_once(first).unwrap_or((inner, ""))
            }
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        fields.push(field.to_owned());
        rest = after.trim_start();
    }
    fields
}

/// The last value of a flag of go's, written with one dash or two.
fn value<'f>(own: &'f [String], name: &str) -> Option<&'f str> {
    own.iter().rev().find_map(|flag| {
        let flag = flag.strip_prefix("--").or_else(|| flag.strip_prefix('-'))?;
        match flag.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (flag == name).then_some("true"),
        }
    })
}

fn flags(own: &[String]) -> Vec<Flag> {
    let mut flags = vec![
        match value(own, "trimpath") {
            Some(value) => Flag::of_project("-trimpath", value),
            None => Flag::of_ounce(
                "-trimpath",
                "",
                "no folders of this machine: shorter, and the same bytes anywhere",
            ),
        },
        match value(own, "buildvcs") {
            Some(value) => Flag::of_project("-buildvcs", value),
            None => Flag::of_ounce(
                "-buildvcs",
                "false",
                "the same bytes from a checkout and from a copy of the sources",
            ),
        },
    ];
    let linker: Vec<&str> = value(own, "ldflags")
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let chosen = |name: &&&str| {
        let plain = name.trim_end_matches('=');
        linker.iter().any(|word| {
            let word = word.split('=').next().unwrap_or(word);
            word == plain || word.strip_prefix('-') == Some(plain)
        })
    };
    if !linker.is_empty() {
        flags.push(Flag::of_project("-ldflags", linker.join(" ")));
    }
    let ours: Vec<&str> = LINKER
        .iter()
        .filter(|name| !chosen(name))
        .copied()
        .collect();
    if !ours.is_empty() {
        flags.push(Flag::of_ounce(
            "-ldflags",
            ours.join(" "),
            "no symbol table, no DWARF, no identifier of this build",
        ));
    }
    flags
}

/// Go's arguments for the flags that ounce adds; the linker's stand behind the
/// project's own, which an argument would replace.
fn words(flags: &[Flag], own: &[String]) -> Vec<String> {
    let ours = flags.iter().filter(|flag| flag.by == By::Ounce);
    ours.map(|flag| match value(own, &flag.key[1..]) {
        Some(own) if !own.is_empty() => format!("{}={own} {}", flag.key, flag.value),
        _ => flag.text(),
    })
    .collect()
}

/// What to do about a `go build` that failed with these last words.
fn failure_hints(text: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if text.contains("build constraints exclude all Go files") {
        hints.push(
            "a package needs cgo: take one in pure Go, or set CGO_ENABLED=1 with a C compiler \
             that links statically (CC=\"musl-gcc -static\")"
                .to_owned(),
        );
    }
    if text.contains("module lookup disabled") || text.contains("GOPROXY=off") {
        hints.push("run it once with the network, or `go mod download`".to_owned());
    }
    if text.contains("missing go.sum entry") || text.contains("updates to go.mod needed") {
        hints.push("go mod tidy".to_owned());
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Vec<String> {
        split(text)
    }

    #[test]
    fn goflags_are_parted_as_go_does_it() {
        assert_eq!(
            own(" -v '-ldflags=-X main.a=b -s' \"-tags=x y\"  "),
            ["-v", "-ldflags=-X main.a=b -s", "-tags=x y"]
        );
        assert!(own("").is_empty());
        assert_eq!(own("'-x"), ["-x"]);
    }

    #[test]
    fn the_projects_linker_flags_are_kept_and_not_repeated() {
        let none = own("");
        assert_eq!(
            words(&flags(&none), &none),
            ["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="]
        );
        let some = own("'-ldflags=-X main.a=b -w=0' --trimpath=false");
        let flags = flags(&some);
        assert_eq!(
            words(&flags, &some),
            ["-buildvcs=false", "-ldflags=-X main.a=b -w=0 -s -buildid="]
        );
        let project: Vec<String> = flags
            .iter()
            .filter(|flag| flag.by == By::Project)
            .map(Flag::text)
            .collect();
        assert_eq!(project, ["-trimpath=false", "-ldflags=-X main.a=b -w=0"]);
    }

    #[test]
    fn programs_are_named_as_go_names_them() {
        let text =
            "\nexample.com/x/v2\t/src/x\t/root/go/bin/x\nexample.com/x/v2/cmd/a\t/src/x/cmd/a\t\n";
        let names: Vec<String> = mains(text).into_iter().map(|main| main.name).collect();
        assert_eq!(names, ["x", "a"]);
    }
}
