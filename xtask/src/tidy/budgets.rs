//! Sizes as tests: what is shipped is built and packed, and weighed against its `budget.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use serde::Deserialize;

use super::Fault;
use crate::house::House;
use crate::scratch::Scratch;
use crate::setup::TARGETS;
use crate::tool::{command, read, run};
use crate::wasmhost;

/// What a `budget.toml` says; each bound is in bytes and holds for every target.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// The program's file.
    pub(crate) elf_bytes: u64,
    /// What a pull moves: manifest, config and layers.
    pub(crate) image_bytes: Option<u64>,
}

/// A whole `budget.toml`: of the folder's program, and of others it builds.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budgets {
    elf_bytes: u64,
    image_bytes: Option<u64>,
    /// It is a user's project: ounce compiles it, as its `ounce.toml` says.
    #[serde(default)]
    by_ounce: bool,
    #[serde(default)]
    programs: BTreeMap<String, Budget>,
}

impl Budgets {
    /// Whether ounce compiles the program, not cargo alone.
    pub(crate) fn is_by_ounce(&self) -> bool {
        self.by_ounce
    }

    /// The budget of the program in this file.
    fn of(&self, elf: &Path) -> Budget {
        let name = elf.file_name().unwrap_or_default().to_string_lossy();
        let own = Budget {
            elf_bytes: self.elf_bytes,
            image_bytes: self.image_bytes,
        };
        self.programs.get(&*name).copied().unwrap_or(own)
    }
}

/// The budgets in `folder`, where it has some.
pub(crate) fn of_program(folder: &Path) -> Result<Option<Budgets>> {
    let path = folder.join("budget.toml");
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)?;
    toml::from_str(&text)
        .map(Some)
        .with_context(|| format!("parsing {}", path.display()))
}

/// The `ounce` that packs.
#[derive(Debug, Clone)]
pub(crate) struct Packer {
    /// The program.
    pub(crate) ounce: PathBuf,
}

impl Packer {
    /// A debug build: packing is the same, and it is soon built.
    pub(crate) fn debug(house: &House) -> Result<Self> {
        run(
            command(&["cargo", "build", "--quiet", "--package", "ounce-cli"])
                .current_dir(house.root()),
        )?;
        Ok(Self {
            ounce: house.target().join("debug/ounce"),
        })
    }

    /// Bytes of the program that ounce compiles of a project, and of its image.
    pub(crate) fn project_bytes(&self, folder: &Path, platform: &str) -> Result<(u64, u64)> {
        #[derive(Deserialize)]
        struct Built {
            images: [Image; 1],
        }
        #[derive(Deserialize)]
        struct Image {
            program_bytes: u64,
            pulled_bytes: u64,
        }
        let scratch = Scratch::new("pack")?;
        let text = read(
            command(&[
                self.ounce.as_os_str(),
                "--json".as_ref(),
                "--store".as_ref(),
            ])
            .arg(scratch.join("store"))
            .args(["build", "--measure", "no", "--platform", platform])
            .arg(folder),
        )?;
        let Built { images: [image] } = serde_json::from_str(&text)?;
        Ok((image.program_bytes, image.pulled_bytes))
    }

    /// Bytes of the image that holds `elf` alone, counted from the written layout.
    pub(crate) fn image_bytes(&self, elf: &Path) -> Result<u64> {
        let scratch = Scratch::new("pack")?;
        let layout = scratch.join("layout");
        run_quietly(
            &self.ounce,
            &scratch,
            elf,
            &format!("oci:{}:weighed", layout.display()),
        )?;
        layout_bytes(&layout)
    }
}

fn run_quietly(ounce: &Path, scratch: &Scratch, elf: &Path, place: &str) -> Result<()> {
    let store = scratch.join("store");
    read(
        command(&[
            ounce.as_os_str(),
            "--store".as_ref(),
            store.as_os_str(),
            "build".as_ref(),
        ])
        .arg(elf)
        .args(["--output", place]),
    )?;
    Ok(())
}

/// All blobs of a layout: of one image, what a pull moves.
fn layout_bytes(layout: &Path) -> Result<u64> {
    let mut total = 0;
    let blobs = layout.join("blobs/sha256");
    for blob in fs::read_dir(&blobs).with_context(|| format!("reading {}", blobs.display()))? {
        total += blob?.metadata()?.len();
    }
    Ok(total)
}

/// Builds every program beside the house that has a budget, for every target, and weighs it.
pub(super) fn kept(house: &House, packer: &Packer) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for folder in house.own_workspaces()? {
        if wasmhost::is(house, &folder) {
            continue; // It is weighed where it is built.
        }
        let Some(budgets) = of_program(&folder)? else {
            continue;
        };
        if budgets.by_ounce {
            // One platform: each compiles a standard library.
            let name = house.name(&folder).to_string();
            let (elf_bytes, image_bytes) = packer.project_bytes(&folder, "linux/amd64")?;
            println!("       {name} linux/amd64: ELF {elf_bytes}, image {image_bytes} bytes");
            for problem in over(budgets.of(&folder), elf_bytes, image_bytes) {
                faults.push(Fault::new(name.clone(), problem));
            }
            continue;
        }
        for target in TARGETS {
            for elf in build(&folder, target)? {
                let name = program_name(house, &folder, &elf);
                let elf_bytes = fs::metadata(&elf)?.len();
                let image_bytes = packer.image_bytes(&elf)?;
                println!("       {name} {target}: ELF {elf_bytes}, image {image_bytes} bytes");
                for problem in over(budgets.of(&elf), elf_bytes, image_bytes) {
                    let parts = heaviest(&elf).unwrap_or_default().join("; ");
                    faults.push(Fault::new(
                        name.clone(),
                        format!("{target}: {problem}; heaviest: {parts}"),
                    ));
                }
            }
        }
    }
    Ok(faults)
}

/// What is over, in words.
fn over(budget: Budget, elf_bytes: u64, image_bytes: u64) -> Vec<String> {
    let bounds = [
        ("ELF", elf_bytes, Some(budget.elf_bytes)),
        ("image", image_bytes, budget.image_bytes),
    ];
    bounds
        .into_iter()
        .filter_map(|(what, has, bound)| {
            let bound = bound.filter(|bound| has > *bound)?;
            Some(format!(
                "{what} of {has} bytes is {} over its budget of {bound}",
                has - bound
            ))
        })
        .collect()
}

/// What a program is called: its folder, and its own name where that differs.
pub(crate) fn program_name(house: &House, folder: &Path, elf: &Path) -> String {
    let place = house.name(folder);
    if elf.file_name() == folder.file_name() {
        return place.to_string();
    }
    let name = elf.file_name().unwrap_or_default().to_string_lossy();
    format!("{place}: {name}")
}

/// Builds the programs of a workspace of its own; the paths of their ELFs.
pub(crate) fn build(folder: &Path, target: &str) -> Result<Vec<PathBuf>> {
    let text = read(
        command(&[
            "cargo",
            "build",
            "--release",
            "--locked",
            "--message-format=json",
            "--target",
            target,
        ])
        .current_dir(folder),
    )?;
    let executables: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            message.get("executable")?.as_str().map(PathBuf::from)
        })
        .collect();
    if executables.is_empty() {
        bail!("{} builds no program", folder.display())
    }
    Ok(executables)
}

/// As [`build`]; the one that is called as its folder.
pub(crate) fn build_own(folder: &Path, target: &str) -> Result<PathBuf> {
    let own = |elf: &PathBuf| elf.file_name() == folder.file_name();
    let found = build(folder, target)?.into_iter().find(own);
    found.with_context(|| format!("{} builds no program of its name", folder.display()))
}

/// The heaviest symbols of an ELF, or where it is stripped its sections.
fn heaviest(elf: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(elf)?;
    let file = object::File::parse(&*bytes)?;
    let mut parts: Vec<(u64, String)> = file
        .symbols()
        .filter(|symbol| symbol.size() > 0)
        .filter_map(|symbol| Some((symbol.size(), symbol.name().ok()?.to_owned())))
        .collect();
    if parts.is_empty() {
        parts.extend(
            file.sections()
                .filter_map(|section| Some((section.size(), section.name().ok()?.to_owned()))),
        );
    }
    parts.sort_by(|a, b| b.cmp(a));
    Ok(parts
        .into_iter()
        .take(8)
        .map(|(size, name)| format!("{name} {size}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_over_is_over_and_the_budget_itself_is_not() {
        let budget = Budget {
            elf_bytes: 100,
            image_bytes: Some(50),
        };
        assert_eq!(over(budget, 100, 50), Vec::<String>::new());
        assert_eq!(
            over(budget, 101, 53),
            [
                "ELF of 101 bytes is 1 over its budget of 100",
                "image of 53 bytes is 3 over its budget of 50",
            ]
        );
    }

    #[test]
    fn a_budget_with_an_unknown_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("budget.toml"),
            "elf_bytes = 1\nimage_byte = 2",
        )
        .unwrap();
        assert!(of_program(folder.path()).is_err());
    }

    #[test]
    fn a_second_program_has_its_own_budget() {
        let text = "elf_bytes = 9\n[programs.small]\nelf_bytes = 5";
        let budgets: Budgets = toml::from_str(text).unwrap();
        let bound = |name: &str| budgets.of(Path::new(name)).elf_bytes;
        assert_eq!((bound("/x/large"), bound("/x/small")), (9, 5));
    }

    #[test]
    fn all_blobs_of_a_layout_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(folder.path().join("blobs/sha256/a"), [0; 10]).unwrap();
        fs::write(folder.path().join("blobs/sha256/b"), [0; 5]).unwrap();
        fs::write(folder.path().join("index.json"), [0; 99]).unwrap();
        assert_eq!(layout_bytes(folder.path()).unwrap(), 15);
    }

    #[test]
    fn the_heaviest_parts_of_a_program_are_named() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(heaviest(&own).unwrap().len(), 8);
    }
}
