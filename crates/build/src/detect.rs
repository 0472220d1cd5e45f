//! What is at a path, and what each kind of it means: a ready program, a
//! folder of web files; what is to be compiled is `language`'s.

use std::fs;
use std::path::{Path, PathBuf};

use ounce_oci::Platform;
use ounce_oci::reference::ReferenceError;

use crate::base::{self, BaseError, Server};
use crate::config::ConfigError;
use crate::context::ContextError;
use crate::distribution::Base;
use crate::language::python::start::PythonPlanError;
use crate::language::rust::cargo::ProjectError;
use crate::language::rust::profile::ProfileError;
use crate::language::rust::smallest::SmallestError;
use crate::language::rust::target::TargetError;
use crate::language::{Language, ToolError};
use crate::program::{self, ProgramError};
use crate::recipe::{Found, ProgramRecipe, ProgramSource};
use crate::settings::{Port, SettingError, Settings};
use crate::site::follow::follow;
use crate::site::pack::Packing;
use crate::site::walk::{Site, SiteError, walk};
use crate::wasm;

/// No recipe can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// None of what ounce can make an image of.
    #[error("{} is nothing ounce can make an image of: {found}", path.display())]
    Unknown {
        /// What was given.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What to do with such.
        remedy: &'static str,
    },
    /// A setting that has no meaning for what was found.
    #[error("{what} cannot be asked of {found}")]
    Meaningless {
        /// Which setting.
        what: &'static str,
        /// Of what.
        found: &'static str,
    },
    /// A platform twice.
    #[error("{0} was asked for twice")]
    Twice(Platform),
    /// Of ready programs none is for it.
    #[error("no program is given for {0}")]
    NoProgramFor(Platform),
    /// A stage that is not written down.
    #[error("there is no stage {name:?}")]
    NoStage {
        /// As asked.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// `ounce.toml`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A flag's value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The project.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The tools of a language.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The project's files.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A Python project.
    #[error(transparent)]
    Python(#[from] PythonPlanError),
    /// What `--smallest` needs.
    #[error(transparent)]
    Smallest(#[from] SmallestError),
    /// The web files.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// What ounce carries or the host lends.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The image's name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl PlanError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Unknown { remedy, .. } => vec![(*remedy).to_owned()],
            Self::NoProgramFor(platform) => vec![format!("--program {platform}=FILE")],
            Self::NoStage { known, .. } if known.is_empty() => {
                vec!["ounce.toml has none: add [stage.prod] with base = \"scratch\"".to_owned()]
            }
            Self::NoStage { known, .. } => {
                vec![format!(
                    "ounce.toml has {}; --stage all builds each",
                    known.join(", ")
                )]
            }
            Self::Config(error) => error.hints(),
            Self::Program(error) => error.hints(),
            Self::Project(error) => error.hints(),
            Self::Tool(error) => error.hints(),
            Self::Context(error) => error.hints(),
            Self::Target(error) => error.hints(),
            Self::Smallest(error) => error.hints(),
            Self::Python(error) => error.hints(),
            Self::Base(error) => error.hints(),
            Self::Site(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// The web files, and how they stand in the image.
pub(crate) enum Pages {
    /// As files.
    Folder(Site),
    /// As one.
    Packed(Packing),
}

/// What the three kinds of input differ in.
pub(crate) struct Detected {
    pub(crate) found: Found,
    pub(crate) name: String,
    /// The image's name, where it is another than the program's.
    pub(crate) image_name: Option<String>,
    pub(crate) port: Option<Port>,
    pub(crate) programs: Vec<ProgramRecipe>,
    pub(crate) site: Option<Pages>,
    pub(crate) advice: Vec<String>,
}

pub(crate) fn detect(
    path: &Path,
    metadata: &fs::Metadata,
    settings: &Settings,
) -> Result<Found, PlanError> {
    let unknown = |found: &str, remedy| PlanError::Unknown {
        path: path.to_owned(),
        found: found.to_owned(),
        remedy,
    };
    if !settings.programs.is_empty() {
        return Ok(Found::Program);
    }
    if let Some(language) = settings.language {
        return Ok(Found::Project(language));
    }
    if metadata.is_file() {
        return Ok(match Language::of_file(path) {
            Some(language) => Found::Project(language),
            None => Found::Program,
        });
    }
    if !metadata.is_dir() {
        return Err(unknown(
            "it is neither a file nor a folder",
            "give a program, a project or a folder of web files",
        ));
    }
    if settings.site == Some(true) {
        return Ok(Found::Site);
    }
    if let Some(language) = Language::of_folder(path) {
        return Ok(Found::Project(language));
    }
    if path.join("index.html").is_file() {
        return Ok(Found::Site);
    }
    // A folder of pages may have a Makefile, too.
    if let Some(language) = Language::guessed(path) {
        return Ok(Found::Project(language));
    }
    const OTHERS: [(&str, &str); 2] = [
        (
            "package.json",
            "build the pages, then give ounce the folder they are in (dist, build, public)",
        ),
        (
            "Dockerfile",
            "build the static program as the Dockerfile does, then give it to ounce",
        ),
    ];
    let other = OTHERS.iter().find(|(file, _)| path.join(file).is_file());
    Err(match other {
        Some((file, remedy)) => unknown(
            &format!("it has {file}, but none of {}", Language::all_marks()),
            remedy,
        ),
        None => unknown(
            &format!("it has none of {}", Language::all_marks()),
            "give a program, a project or, with --site, any folder of files to serve",
        ),
    })
}

pub(crate) fn ready_program(path: &Path, settings: &Settings) -> Result<Detected, PlanError> {
    refuse_settings(settings, "a ready program", &[])?;
    if settings.programs.is_empty()
        && let Some(platform) = wasm::platform_of(&program::head(path)?)
    {
        return ready_module(path, platform, settings);
    }
    let on_base = !matches!(&settings.base, None | Some(Base::Scratch));
    let mut files = settings.programs.clone();
    for (platform, file) in &settings.programs {
        let twice = files.iter().filter(|(other, _)| other == platform).count() > 1;
        if twice {
            return Err(PlanError::Twice(platform.clone()));
        }
        program::check_on(file, &program::read(file)?, Some(platform), on_base)?;
    }
    if files.is_empty() {
        let wanted = match &settings.platforms[..] {
            [] => None,
            [wanted] => Some(wanted),
            _ => {
                return Err(PlanError::Meaningless {
                    what: "more than one platform",
                    found: "a ready program: name each by --program OS/ARCH=FILE",
                });
            }
        };
        let (_, platform) = program::check_on(path, &program::read(path)?, wanted, on_base)?;
        files.push((platform, path.to_owned()));
    } else if !settings.platforms.is_empty() {
        // Of those there are, the ones that are asked for.
        let missing = |wanted: &&Platform| files.iter().all(|(platform, _)| platform != *wanted);
        if let Some(missing) = settings.platforms.iter().find(missing) {
            return Err(PlanError::NoProgramFor(missing.clone()));
        }
        files.retain(|(platform, _)| settings.platforms.contains(platform));
    }
    Ok(Detected {
        found: Found::Program,
        name: common_name(&files),
        image_name: None,
        port: None,
        programs: files
            .into_iter()
            .map(|(platform, file)| ProgramRecipe {
                platform,
                from: ProgramSource::File(file),
            })
            .collect(),
        site: None,
        advice: Vec::new(),
    })
}

fn ready_module(
    path: &Path,
    platform: Platform,
    settings: &Settings,
) -> Result<Detected, PlanError> {
    if let Some(wanted) = settings
        .platforms
        .iter()
        .find(|wanted| **wanted != platform)
    {
        return Err(PlanError::Program(ProgramError::Platform {
            path: path.to_owned(),
            found: platform.to_string(),
            wanted: wanted.to_string(),
            why: None,
        }));
    }
    let name = path.file_stem().unwrap_or_default();
    Ok(Detected {
        found: Found::Program,
        name: name.to_string_lossy().into_owned(),
        image_name: None,
        port: None,
        programs: vec![ProgramRecipe {
            platform,
            from: ProgramSource::File(path.to_owned()),
        }],
        site: None,
        advice: Vec::new(),
    })
}

/// What programs for several platforms are called alike: `app` of `app-amd64`
/// and `app-arm64`.
fn common_name(files: &[(Platform, PathBuf)]) -> String {
    let mut names = files.iter().map(|(_, file)| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    });
    let first = names.next().unwrap_or_default();
    let common = names.fold(first.clone(), |common, name| {
        let same = common.chars().zip(name.chars()).take_while(|(a, b)| a == b);
        same.map(|(a, _)| a).collect()
    });
    if common == first {
        return first;
    }
    // The part that is shared may go on into the platforms' names.
    let end = common.rfind(['-', '_', '.', '+']).unwrap_or(common.len());
    match common[..end].trim_end_matches(['-', '_', '.', '+']) {
        "" => first,
        name => name.to_owned(),
    }
}

/// Settings for compiling that mean nothing for what was `found`, but for those `taken`.
pub(crate) fn refuse_settings(
    settings: &Settings,
    found: &'static str,
    taken: &[&str],
) -> Result<(), PlanError> {
    let rust = &settings.rust;
    let asked = [
        ("--package", rust.package.is_some()),
        ("--bin", rust.bin.is_some()),
        ("--features", !rust.features.is_empty()),
        ("--all-features", rust.all_features == Some(true)),
        (
            "--no-default-features",
            rust.no_default_features == Some(true),
        ),
        ("--profile", rust.profile.is_some()),
        ("--target", rust.target.is_some()),
        ("--smallest", rust.smallest == Some(true)),
        ("--auditable", rust.auditable == Some(true)),
    ];
    let mut asked = asked.into_iter().filter(|(_, asked)| *asked);
    match asked.find(|(what, _)| !taken.contains(what)) {
        Some((what, _)) => Err(PlanError::Meaningless { what, found }),
        None => Ok(()),
    }
}

pub(crate) fn host_or(platforms: &[Platform]) -> Vec<Platform> {
    match platforms {
        [] => vec![Platform {
            variant: None,
            ..Platform::host()
        }],
        platforms => platforms.to_vec(),
    }
}

pub(crate) fn web_site(path: &Path, settings: &Settings) -> Result<Detected, PlanError> {
    refuse_settings(settings, "a folder of web files", &[])?;
    let platforms = host_or(&settings.platforms);
    let rules = &settings.rules;
    // The packed site's server takes a port and little else: arguments are meant
    // for the one that serves folders.
    let has_arguments = settings
        .image
        .args
        .as_ref()
        .is_some_and(|args| !args.is_empty());
    let pack = rules
        .pack
        .unwrap_or(rules.listing != Some(true) && !has_arguments);
    if pack && rules.listing == Some(true) {
        return Err(PlanError::Meaningless {
            what: "a listing",
            found: "a packed site: with `pack = false` it stays a folder",
        });
    }
    let (server, site) = match pack {
        true => {
            let packing = Packing {
                site: follow(path)?,
                rules: rules.clone(),
            };
            (Server::Packed, Pages::Packed(packing))
        }
        false => (Server::Folder, Pages::Folder(walk(path)?)),
    };
    let mut programs = Vec::new();
    for platform in platforms {
        base::httpd(&platform, server)?;
        programs.push(ProgramRecipe {
            platform,
            from: ProgramSource::Httpd(server),
        });
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(Detected {
        found: Found::Site,
        name: "httpd".to_owned(),
        image_name: name,
        port: "8080"
            .parse()
            .ok()
            .filter(|port: &Port| port.number == base::SITE_PORT),
        programs,
        site: Some(site),
        advice: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_for_several_platforms_have_the_name_that_they_share() {
        let name = |files: &[&str]| {
            let platform: Platform = "linux/amd64".parse().unwrap();
            let files = files.iter().map(|file| (platform.clone(), file.into()));
            common_name(&files.collect::<Vec<(Platform, PathBuf)>>())
        };
        assert_eq!(name(&["out/app-amd64", "out/app-arm64"]), "app");
        assert_eq!(name(&["amd64/app", "arm64/app"]), "app");
        assert_eq!(
            name(&["my_app_linux_x86_64", "my_app_linux_arm"]),
            "my_app_linux"
        );
        assert_eq!(name(&["amd64", "riscv64"]), "amd64");
        assert_eq!(name(&["app-1.2"]), "app-1.2");
    }
}
