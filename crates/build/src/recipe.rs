//! From what is at a path to a recipe: everything that will be done, as data.
//! Nothing is compiled or written here; `execute` does what the recipe says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ounce_oci::layer::Compression;
use ounce_oci::reference::ReferenceError;
use ounce_oci::{Platform, Reference};
use serde::{Serialize, Serializer};

use crate::base::{self, BaseError};
use crate::cargo::{self, ProjectError, Toolchain};
use crate::config::{self, ConfigError};
use crate::profile::{By, Flag, ProfileError, ProjectFiles};
use crate::program::{self, ProgramError};
use crate::settings::{
    Certificates, ExtraFile, Measure, Port, SettingError, Settings, Zones, parse_name, parse_user,
};
use crate::site::{self, Site, SiteError};
use crate::target::{self, Linking, TargetError};

/// Most packages in `Cargo.lock` for which each flag is measured unasked: a
/// project of this size compiles in seconds, and the ladder six times that.
const SMALL_PROJECT_PACKAGES: usize = 8;

/// What to build, from what, with what.
#[derive(Debug, Clone)]
pub struct Request {
    /// A program, a Rust project or a folder of web files.
    pub path: PathBuf,
    /// What the flags say; they win over `ounce.toml`.
    pub settings: Settings,
    /// Another `ounce.toml` than the folder's own.
    pub config: Option<PathBuf>,
    /// What to call the image; its own name unless told.
    pub reference: Option<Reference>,
    /// The compiler.
    pub toolchain: Toolchain,
    /// `SOURCE_DATE_EPOCH`: the time of every file in the layer, else 0.
    pub source_date_epoch: Option<u64>,
    /// Whether cargo may not use the network.
    pub offline: bool,
}

impl Request {
    /// A request with everything left to detection.
    pub fn new(path: impl Into<PathBuf>, toolchain: Toolchain) -> Self {
        Self {
            path: path.into(),
            settings: Settings::default(),
            config: None,
            reference: None,
            toolchain,
            source_date_epoch: None,
            offline: false,
        }
    }
}

/// Everything that will be done.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// The image's name in the store.
    #[serde(serialize_with = "as_text")]
    pub reference: Reference,
    /// What was found.
    pub found: Found,
    /// One program per platform.
    pub programs: Vec<ProgramRecipe>,
    /// What stands beside it.
    pub image: ImageRecipe,
    /// How the layer is compressed.
    #[serde(serialize_with = "compression_name")]
    pub compression: Compression,
    /// Time of every file.
    pub mtime: u64,
    /// Most bytes to be pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_bytes: Option<u64>,
    /// What could be better, one sentence each.
    pub advice: Vec<String>,
    /// Not shown: an environment may hold secrets.
    #[serde(skip)]
    pub(crate) toolchain: Option<Toolchain>,
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn compression_name<S: Serializer>(value: &Compression, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match value {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    })
}

/// What was found at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// A ready program.
    Program,
    /// A Rust project.
    RustProject,
    /// A folder of web files.
    Site,
}

/// The program for one platform.
#[derive(Debug, Clone, Serialize)]
pub struct ProgramRecipe {
    /// For which.
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
    /// Where it comes from.
    pub from: ProgramSource,
}

/// Where a program comes from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramSource {
    /// A file that is there.
    File(PathBuf),
    /// Cargo makes it.
    Cargo(Box<CargoRecipe>),
    /// The web server that ounce carries.
    Httpd,
}

/// How cargo is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CargoRecipe {
    /// Where.
    pub folder: PathBuf,
    /// The package.
    pub package: String,
    /// The program.
    pub bin: String,
    /// The target triple.
    pub target: String,
    /// How it becomes static.
    pub linking: Linking,
    /// The profile.
    pub profile: String,
    /// Its size flags.
    pub flags: Vec<Flag>,
    /// What is measured about them.
    pub measure: Measure,
    /// Cargo's folder for what it makes; the project's own `target/` stays as it is.
    pub target_dir: PathBuf,
    /// All of cargo's arguments but the flags'.
    pub arguments: Vec<String>,
}

/// What stands in the image beside the program, and its configuration.
#[derive(Debug, Clone, Serialize)]
pub struct ImageRecipe {
    /// The program's absolute path.
    pub entrypoint: String,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `UID:GID`.
    pub user: String,
    /// Environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Folder to start in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Labels; that of socket activation is added once the program is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Certificates.
    pub ca_certificates: Certificates,
    /// Time zones.
    pub timezones: Zones,
    /// `/etc/passwd` and `/etc/group`.
    pub passwd: bool,
    /// `/tmp`.
    pub tmp: bool,
    /// Files of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ExtraFile>,
    /// The web files, beneath `/public`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
}

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
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
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
            Self::Config(error) => error.hints(),
            Self::Program(error) => error.hints(),
            Self::Project(error) => error.hints(),
            Self::Target(error) => error.hints(),
            Self::Base(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// Looks at what is at the path and decides everything.
///
/// # Errors
/// Nothing an image can be made of, or a wish that cannot be met; nothing was
/// compiled or written then.
pub fn plan(request: &Request) -> Result<Recipe, PlanError> {
    let path = &request.path;
    let metadata = fs::metadata(path).map_err(|source| PlanError::Read {
        path: path.clone(),
        source,
    })?;
    let settings = settings(request, metadata.is_dir())?;
    for (at, platform) in settings.platforms.iter().enumerate() {
        if settings.platforms[..at].contains(platform) {
            return Err(PlanError::Twice(platform.clone()));
        }
    }
    let detected = match detect(path, &metadata, &settings)? {
        Found::Program => ready_program(path, &settings)?,
        Found::RustProject => rust_project(path, request, &settings)?,
        Found::Site => web_site(path, &settings)?,
    };
    finish(request, settings, detected)
}

/// What the three kinds of input differ in.
struct Detected {
    found: Found,
    name: String,
    /// The image's name, where it is another than the program's.
    image_name: Option<String>,
    port: Option<Port>,
    programs: Vec<ProgramRecipe>,
    site: Option<Site>,
    advice: Vec<String>,
}

fn settings(request: &Request, is_folder: bool) -> Result<Settings, PlanError> {
    request.settings.check()?;
    let path = match &request.config {
        Some(path) => path.clone(),
        None if is_folder => request.path.join("ounce.toml"),
        None => return Ok(request.settings.clone()),
    };
    let failed = |source| PlanError::Read {
        path: path.clone(),
        source,
    };
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && request.config.is_none() => {
            return Ok(request.settings.clone());
        }
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("not a regular file")));
    }
    let mut text = String::new();
    file.take(config::CONFIG_LIMIT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > config::CONFIG_LIMIT_BYTES {
        return Err(failed(std::io::Error::other("longer than 1 MiB")));
    }
    let written = config::parse(&path, &text)?;
    Ok(request.settings.clone().or(written))
}

fn detect(path: &Path, metadata: &fs::Metadata, settings: &Settings) -> Result<Found, PlanError> {
    let unknown = |found: &str, remedy| PlanError::Unknown {
        path: path.to_owned(),
        found: found.to_owned(),
        remedy,
    };
    if metadata.is_file() {
        return Ok(Found::Program);
    }
    if !metadata.is_dir() {
        return Err(unknown(
            "it is neither a file nor a folder",
            "give a program, a Rust project or a folder of web files",
        ));
    }
    if settings.site == Some(true) {
        return Ok(Found::Site);
    }
    if path.join("Cargo.toml").is_file() {
        return Ok(Found::RustProject);
    }
    if path.join("index.html").is_file() {
        return Ok(Found::Site);
    }
    const OTHERS: [(&str, &str); 6] = [
        (
            "go.mod",
            "CGO_ENABLED=0 go build, then give ounce the program",
        ),
        (
            "package.json",
            "build the pages, then give ounce the folder they are in (dist, build, public)",
        ),
        (
            "pyproject.toml",
            "Python needs an interpreter: build it with another tool, then `ounce trim`",
        ),
        (
            "CMakeLists.txt",
            "link with -static, then give ounce the program",
        ),
        ("Makefile", "link with -static, then give ounce the program"),
        (
            "Dockerfile",
            "build the static program as the Dockerfile does, then give it to ounce",
        ),
    ];
    let other = OTHERS.iter().find(|(file, _)| path.join(file).is_file());
    Err(match other {
        Some((file, remedy)) => unknown(
            &format!("it has {file}, but no Cargo.toml and no index.html"),
            remedy,
        ),
        None => unknown(
            "it has no Cargo.toml and no index.html, and is no program",
            "give a program, a Rust project or, with --site, any folder of files to serve",
        ),
    })
}

fn ready_program(path: &Path, settings: &Settings) -> Result<Detected, PlanError> {
    refuse_rust_settings(settings, "a ready program")?;
    let wanted = match &settings.platforms[..] {
        [] => None,
        [wanted] => Some(wanted),
        _ => {
            return Err(PlanError::Meaningless {
                what: "more than one platform",
                found: "a ready program",
            });
        }
    };
    let bytes = program::read(path)?;
    let (_, platform) = program::check(path, &bytes, wanted)?;
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(Detected {
        found: Found::Program,
        name: name.unwrap_or_default(),
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

fn refuse_rust_settings(settings: &Settings, found: &'static str) -> Result<(), PlanError> {
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
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((what, _)) => Err(PlanError::Meaningless { what, found }),
        None => Ok(()),
    }
}

fn host_or(platforms: &[Platform]) -> Vec<Platform> {
    match platforms {
        [] => vec![Platform {
            variant: None,
            ..Platform::host()
        }],
        platforms => platforms.to_vec(),
    }
}

fn web_site(path: &Path, settings: &Settings) -> Result<Detected, PlanError> {
    refuse_rust_settings(settings, "a folder of web files")?;
    let site = site::walk(path)?;
    let mut programs = Vec::new();
    for platform in host_or(&settings.platforms) {
        base::httpd(&platform)?;
        programs.push(ProgramRecipe {
            platform,
            from: ProgramSource::Httpd,
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

fn rust_project(
    path: &Path,
    request: &Request,
    settings: &Settings,
) -> Result<Detected, PlanError> {
    let failed = |path: &Path, source| PlanError::Read {
        path: path.to_owned(),
        source,
    };
    let folder = path.canonicalize().map_err(|error| failed(path, error))?;
    let toolchain = &request.toolchain;
    let program = cargo::choose(toolchain, &folder, &settings.rust)?;
    let source =
        fs::read_to_string(&program.source).map_err(|error| failed(&program.source, error))?;
    let freestanding = cargo::is_freestanding(&source);
    let files = ProjectFiles::read(&folder, &program.workspace_root)?;
    let profile = settings.rust.profile.as_deref().unwrap_or("release");
    let flags = files.flags(profile, toolchain)?;
    let measure = match settings.measure.unwrap_or_default() {
        _ if flags.iter().all(|flag| flag.by == By::Project) => Measure::No,
        Measure::Auto if is_small(&program) => Measure::EachFlag,
        Measure::Auto => Measure::No,
        measure => measure,
    };
    let platforms = host_or(&settings.platforms);
    if settings.rust.target.is_some() && platforms.len() > 1 {
        return Err(PlanError::Meaningless {
            what: "--target",
            found: "several platforms",
        });
    }
    let mut programs = Vec::new();
    let mut advice = Vec::new();
    for platform in platforms {
        let chosen = target::choose(
            &platform,
            &Platform::host(),
            freestanding,
            settings.rust.target.as_deref(),
            &|triple| toolchain.has_target(&folder, triple),
            &|triple| files.configures(triple),
        )?;
        advice.extend(chosen.advice);
        let own_linker = files.has_linker(&chosen.triple) || {
            let name = chosen.triple.to_ascii_uppercase().replace('-', "_");
            toolchain.has(&format!("CARGO_TARGET_{name}_LINKER"))
        };
        let mut recipe = CargoRecipe {
            folder: folder.clone(),
            package: program.package.clone(),
            bin: program.bin.clone(),
            target: chosen.triple,
            linking: chosen.linking,
            profile: profile.to_owned(),
            flags: flags.clone(),
            measure,
            target_dir: program.target_directory.join("ounce"),
            arguments: Vec::new(),
        };
        recipe.arguments = arguments(&recipe, settings, request.offline, own_linker);
        programs.push(ProgramRecipe {
            platform,
            from: ProgramSource::Cargo(Box::new(recipe)),
        });
    }
    if flags.iter().any(|flag| flag.by == By::Ounce) && measure == Measure::No {
        advice.push(
            "--explain-size compiles once per size flag and shows what each saves".to_owned(),
        );
    }
    Ok(Detected {
        found: Found::RustProject,
        name: program.bin.clone(),
        image_name: None,
        port: None,
        programs,
        site: None,
        advice,
    })
}

fn is_small(program: &cargo::Program) -> bool {
    match fs::read_to_string(program.workspace_root.join("Cargo.lock")) {
        Ok(lock) => lock.matches("[[package]]").count() <= SMALL_PROJECT_PACKAGES,
        Err(_) => !program.has_dependencies,
    }
}

fn arguments(
    recipe: &CargoRecipe,
    settings: &Settings,
    offline: bool,
    own_linker: bool,
) -> Vec<String> {
    let CargoRecipe {
        package,
        bin,
        target,
        profile,
        ..
    } = recipe;
    let mut arguments: Vec<String> = ["build", "--package", package, "--bin", bin]
        .into_iter()
        .chain(["--target", target, "--profile", profile])
        .map(str::to_owned)
        .collect();
    let rust = &settings.rust;
    if !rust.features.is_empty() {
        arguments.extend(["--features".to_owned(), rust.features.join(",")]);
    }
    let switches = [
        ("--all-features", rust.all_features == Some(true)),
        (
            "--no-default-features",
            rust.no_default_features == Some(true),
        ),
        ("--offline", offline),
    ];
    let set = switches.into_iter().filter(|(_, set)| *set);
    arguments.extend(set.map(|(switch, _)| switch.to_owned()));
    // rust-lld and musl's start files come with the toolchain: no cc is
    // needed, cross or not, and every machine links the same bytes.
    if recipe.linking == Linking::Musl && !own_linker {
        arguments.extend([
            "--config".to_owned(),
            format!("target.{target}.linker=\"rust-lld\""),
        ]);
    }
    arguments
}

fn finish(request: &Request, settings: Settings, found: Detected) -> Result<Recipe, PlanError> {
    let name = match &settings.name {
        Some(name) if found.found != Found::Site => parse_name(name)?,
        _ => parse_name(&found.name)?,
    };
    let reference = match &request.reference {
        Some(reference) => reference.clone(),
        None => {
            let image = settings
                .name
                .as_ref()
                .or(found.image_name.as_ref())
                .unwrap_or(&name);
            image_name(image).parse()?
        }
    };
    let image = settings.image;
    let (uid, gid) = parse_user(image.user.as_deref().unwrap_or("65532:65532"))?;
    let mut labels = image.labels;
    for (key, value) in [
        ("title", image.title),
        ("version", image.version),
        ("source", image.source),
        ("revision", image.revision),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            labels
                .entry(format!("org.opencontainers.image.{key}"))
                .or_insert(value);
        }
    }
    let mut ports = image
        .ports
        .unwrap_or_else(|| found.port.into_iter().collect());
    ports.sort();
    ports.dedup();
    let recipe = Recipe {
        reference,
        found: found.found,
        programs: found.programs,
        image: ImageRecipe {
            entrypoint: format!("/{name}"),
            args: image.args.unwrap_or_default(),
            user: format!("{uid}:{gid}"),
            env: image.env,
            ports: ports.iter().map(ToString::to_string).collect(),
            workdir: image.workdir,
            labels,
            ca_certificates: image.ca_certificates.unwrap_or(Certificates::None),
            timezones: image.timezones.unwrap_or(Zones::None),
            passwd: image.passwd.unwrap_or(false),
            tmp: image.tmp.unwrap_or(false),
            files: extra_files(settings.files)?,
            site: found.site,
        },
        compression: settings.compression.unwrap_or_default(),
        mtime: request.source_date_epoch.unwrap_or(0),
        budget_bytes: settings.budget_bytes,
        advice: found.advice,
        toolchain: Some(request.toolchain.clone()),
    };
    Ok(recipe)
}

/// Looks at each extra file, so that a missing one is told before compiling.
fn extra_files(files: Vec<ExtraFile>) -> Result<Vec<ExtraFile>, PlanError> {
    use std::os::unix::fs::PermissionsExt as _;
    files
        .into_iter()
        .map(|mut file| {
            let failed = |source| PlanError::Read {
                path: file.from.clone(),
                source,
            };
            let metadata = fs::metadata(&file.from).map_err(failed)?;
            if !metadata.is_file() {
                return Err(failed(std::io::Error::other("not a regular file")));
            }
            fs::File::open(&file.from).map_err(failed)?;
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let detected = if executable { 0o755 } else { 0o644 };
            file.mode = Some(file.mode.unwrap_or(detected));
            Ok(file)
        })
        .collect()
}

/// A name that registries take: lower case, runs of other characters as one `-`.
fn image_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => out.push(c),
            c @ ('.' | '_' | '-') if out.ends_with(|last: char| last.is_ascii_alphanumeric()) => {
                out.push(c);
            }
            _ if out.ends_with(|last: char| last.is_ascii_alphanumeric()) => out.push('-'),
            _ => {}
        }
    }
    let trimmed = out.trim_end_matches(['.', '_', '-']);
    if trimmed.is_empty() { "image" } else { trimmed }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_that_registries_take() {
        for (name, image) in [
            ("Hello", "hello"),
            ("my app (2)", "my-app-2"),
            ("__a__", "a"),
            ("été", "t"),
            ("..", "image"),
        ] {
            assert_eq!(image_name(name), image);
            assert!(image_name(name).parse::<Reference>().is_ok(), "{name}");
        }
    }
}
