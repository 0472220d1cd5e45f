//! Does what a recipe says: programs, layer, configuration, manifest, index.
//! The name is given last, so that a failure leaves no image behind.

use std::collections::BTreeMap;
use std::path::Path;

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions, Piece};
use ounce_oci::model::{Descriptor, MediaType};
use ounce_oci::store::{StoreError, StoreWriter};
use ounce_oci::{Image, Platform, Reference, Store};
use serde::Serialize;

use crate::Event;
use crate::alone::alone;
use crate::base::{self, BaseError};
use crate::compile::{self, CompileError, Saved};
use crate::distribution::{self, Base, StandError};
use crate::flag::Flag;
use crate::go_info::GoInfo;
use crate::language::python::install::{self, Application, PythonError};
use crate::language::python::interpreter::Interpreter;
use crate::language::rust;
use crate::program::{self, ProgramError};
use crate::recipe::{ImageRecipe, ProgramRecipe, ProgramSource, Recipe};
use crate::secrets::{Search, SecretError};
use crate::settings::parse_user;
use crate::site::pack::{PackError, Summary, pack};
use crate::wasm::{self, Module, WasmBuildError};

/// The label of a program that takes a listening socket (`LISTEN_FDS`).
pub const SOCKET_ACTIVATION: &str = "io.ounce.socket-activation";

/// An image that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// Its name.
    pub reference: Reference,
    /// The manifest's descriptor, or the index's if there are several platforms.
    pub descriptor: Descriptor,
    /// One per platform, in the order asked.
    pub images: Vec<BuiltImage>,
    /// The budget and by how much it is exceeded, if one was set.
    pub budget: Option<Budget>,
    /// What was packed of a web site.
    pub site: Option<Summary>,
}

/// One platform's image.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// For which platform.
    pub platform: Platform,
    /// The manifest's descriptor.
    pub manifest: Descriptor,
    /// Bytes of manifest, configuration and layer together.
    pub pulled_bytes: u64,
    /// Bytes of the compressed layer.
    pub layer_bytes: u64,
    /// Bytes of the configuration.
    pub config_bytes: u64,
    /// Bytes of the program, not compressed.
    pub program_bytes: u64,
    /// The profile's size flags and who chose each; empty unless compiled.
    pub flags: Vec<Flag>,
    /// What the flags that ounce added saved, as far as it was measured.
    pub saved: Vec<Saved>,
    /// Files by their bytes, not compressed, heaviest first.
    pub heaviest: Vec<(String, u64)>,
}

/// Whether the image keeps within its budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// The budget.
    pub budget_bytes: u64,
    /// The heaviest platform's bytes to pull.
    pub pulled_bytes: u64,
    /// How many too many; 0 if it is kept.
    pub over_bytes: u64,
}

/// The image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Compiling.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// What ounce carries or the host lends.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A file changed or went since the recipe was made.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Packing a site.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A Python application.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// Something that is not to be shown.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The program cannot stand on its base.
    #[error(transparent)]
    Stand(#[from] StandError),
    /// A WebAssembly module.
    #[error(transparent)]
    Wasm(#[from] WasmBuildError),
    /// The recipe wants a base that was not given.
    #[error("the base {base} is not there for {platform}")]
    NoBase {
        /// The base.
        base: String,
        /// For which platform.
        platform: String,
    },
    /// Two files for one place.
    #[error("two files are meant for /{0}")]
    Twice(String),
    /// The store.
    #[error("writing the image")]
    Store(#[from] StoreError),
}

impl BuildError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Compile(error) => error.hints(),
            Self::Program(error) => error.hints(),
            Self::Base(error) => error.hints(),
            Self::Pack(error) => error.hints(),
            Self::Python(error) => error.hints(),
            Self::Secret(error) => error.hints(),
            Self::Wasm(error) => error.hints(),
            Self::Stand(StandError::Missing { .. }) => vec![
                "--base distroless-cc, or debian-slim with --with PACKAGE for the missing libraries"
                    .to_owned(),
            ],
            Self::Stand(StandError::Older { .. }) => vec![
                "take a newer base: --suite RELEASE with the same --base, as --suite trixie"
                    .to_owned(),
                "or compile it where its libraries are as old as the base's, or statically: \
                 then it needs no base"
                    .to_owned(),
            ],
            Self::Stand(StandError::Taken(_)) => {
                vec!["give the program another name: `name` in ounce.toml".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// The configuration as it is written: only what is used, keys in one order.
/// (`oci-spec` keeps labels in a hash map, whose order differs each time.)
#[derive(Serialize)]
struct ConfigDocument<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    config: RunConfig<'a>,
    rootfs: RootFs,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig<'a> {
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cmd: &'a [String],
    user: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<&'a str, Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: &'a Descriptor,
    layers: Vec<&'a Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<IndexEntry>,
}

#[derive(Serialize)]
struct IndexEntry {
    #[serde(flatten)]
    manifest: Descriptor,
    platform: IndexPlatform,
}

#[derive(Serialize)]
struct IndexPlatform {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// A program as it will stand in the image.
struct Ready {
    bytes: Vec<u8>,
    /// What the program itself tells, as labels.
    labels: BTreeMap<String, String>,
    /// What a base's interpreter starts, in place of a program.
    application: Option<Application>,
    /// A module, in place of a program.
    module: Option<Module>,
    flags: Vec<Flag>,
    saved: Vec<Saved>,
}

/// Does what `recipe` says, and names the image in `store`.
///
/// # Errors
/// The first step that fails; the name in the store is as it was then.
pub fn execute(
    recipe: &Recipe,
    store: &Store,
    on: &mut dyn FnMut(Event),
) -> Result<Built, BuildError> {
    execute_on(recipe, &[], store, on)
}

/// As [`execute`], on bases: images that the store has, one for each platform.
///
/// # Errors
/// As there; or the base of a platform is missing, or the program does not find
/// in it what it needs.
pub fn execute_on(
    recipe: &Recipe,
    bases: &[Image],
    store: &Store,
    on: &mut dyn FnMut(Event),
) -> Result<Built, BuildError> {
    let mut programs = Vec::new();
    for program in &recipe.programs {
        let base = base_of(recipe, bases, &program.platform)?;
        programs.push((&program.platform, ready(program, recipe, base, on)?, base));
    }
    let mut shared = shared_entries(&recipe.image)?;
    no_secrets(recipe, &programs, &shared)?;
    let mut site = None;
    if let Some(packing) = &recipe.image.packed {
        on(Event::PackingSite {
            files: packing.site.files.len(),
        });
        let packed = pack(packing)?;
        shared.push(Entry {
            path: base::SITE_ROOT.to_owned(),
            kind: EntryKind::File(Content::Pieces(packed.pieces)),
            mode: 0o644,
            uid: 0,
            gid: 0,
        });
        site = Some(packed.summary);
    }
    let mut writer = store.write()?;
    let mut images = Vec::new();
    for (platform, program, base) in programs {
        on(Event::Packing {
            platform: platform.clone(),
        });
        images.push(image(
            recipe,
            platform,
            program,
            base,
            &shared,
            &mut writer,
        )?);
    }
    let descriptor = match &images[..] {
        [image] => image.manifest.clone(),
        images => {
            let index = Index {
                schema_version: 2,
                media_type: INDEX_TYPE,
                manifests: images.iter().map(index_entry).collect(),
            };
            writer.json(MediaType::ImageIndex, &index)?
        }
    };
    writer.commit(&recipe.reference, &descriptor)?;
    let heaviest = images
        .iter()
        .map(|image| image.pulled_bytes)
        .max()
        .unwrap_or(0);
    let budget = recipe.budget_bytes.map(|budget_bytes| Budget {
        budget_bytes,
        pulled_bytes: heaviest,
        over_bytes: heaviest.saturating_sub(budget_bytes),
    });
    Ok(Built {
        reference: recipe.reference.clone(),
        descriptor,
        images,
        budget,
        site,
    })
}

/// The base for a platform.
fn base_of<'b>(
    recipe: &Recipe,
    bases: &'b [Image],
    platform: &Platform,
) -> Result<Option<&'b Image>, BuildError> {
    if recipe.base == Base::Scratch {
        return Ok(None);
    }
    let base = bases.iter().find(|base| base.platform.accepts(platform));
    let base = base.ok_or_else(|| BuildError::NoBase {
        base: recipe.base.to_string(),
        platform: platform.to_string(),
    })?;
    Ok(Some(base))
}

/// Refuses secrets among what the builder brings, before anything is written.
fn no_secrets(
    recipe: &Recipe,
    programs: &[(&Platform, Ready, Option<&Image>)],
    shared: &[Entry],
) -> Result<(), SecretError> {
    let mut search = Search::new(&recipe.allow_secrets);
    for (_, program, _) in programs {
        match &program.application {
            Some(application) => search.entries(&application.entries)?,
            None => {
                let module = program.module.as_ref().map(|module| &module.bytes);
                let bytes = module.unwrap_or(&program.bytes);
                search.bytes(&recipe.image.entrypoint, bytes);
            }
        }
    }
    search.entries(shared)?;
    // A packed site is one file; what it is made of is looked at in its place.
    let pages = recipe.image.packed.iter();
    for page in pages.flat_map(|packing| &packing.site.files) {
        let path = format!("{}{}", base::SITE_ROOT, String::from_utf8_lossy(&page.path));
        search.host(&path, &page.from)?;
    }
    search.finish()
}

fn ready(
    program: &ProgramRecipe,
    recipe: &Recipe,
    base: Option<&Image>,
    on: &mut dyn FnMut(Event),
) -> Result<Ready, BuildError> {
    let wanted = Some(&program.platform);
    let toolchain = &recipe.toolchain;
    let _alone = alone(&program.from, on)?;
    let (path, bytes, flags, saved) = match &program.from {
        ProgramSource::File(path) => (path.clone(), program::read(path)?, Vec::new(), Vec::new()),
        ProgramSource::Httpd(server) => {
            let bytes = base::httpd(&program.platform, *server)?.to_vec();
            ("httpd".into(), bytes, Vec::new(), Vec::new())
        }
        ProgramSource::Cargo(cargo) => {
            on(Event::Compiling {
                bin: cargo.bin.clone(),
                target: cargo.target.clone(),
            });
            let (path, bytes) = rust::compile::compile(cargo, toolchain, on)?;
            // Refused before anything is measured: that would be time for nothing.
            if recipe.wasm.is_none() {
                program::check(&path, &bytes, wanted)?;
            }
            let saved = rust::compile::measure(cargo, toolchain, &bytes, on)?;
            (path, bytes, cargo.flags.clone(), saved)
        }
        ProgramSource::Python(python) => {
            let base = base.ok_or_else(|| BuildError::NoBase {
                base: recipe.base.to_string(),
                platform: program.platform.to_string(),
            })?;
            let interpreter = Interpreter::of_image(base).map_err(PythonError::from)?;
            let platform = &program.platform;
            let application = install::application(python, &interpreter, platform, toolchain, on)?;
            for note in &application.notes {
                on(Event::Note(note.clone()));
            }
            return Ok(Ready {
                bytes: Vec::new(),
                labels: BTreeMap::new(),
                application: Some(application),
                module: None,
                flags: Vec::new(),
                saved: Vec::new(),
            });
        }
        ProgramSource::Tools(tools) => {
            on(Event::Compiling {
                bin: tools.bin.clone(),
                target: tools.target.clone(),
            });
            let (path, bytes) = compile::compile(tools, toolchain, on)?;
            if recipe.wasm.is_none() {
                program::check(&path, &bytes, wanted)?;
            }
            let saved = compile::measure(tools, toolchain, &bytes, on)?;
            (path, bytes, tools.flags.clone(), saved)
        }
    };
    if let Some(wasm) = &recipe.wasm {
        let module = wasm::finish(&path, bytes, wasm, toolchain, on)?;
        return Ok(Ready {
            bytes: Vec::new(),
            labels: BTreeMap::new(),
            application: None,
            saved: [saved, module.saved.clone()].concat(),
            module: Some(module),
            flags,
        });
    }
    let (facts, _) = program::check_on(&path, &bytes, wanted, base.is_some())?;
    // On a base it finds its loader and its libraries.
    if let Some(base) = base.filter(|_| !facts.kind.runs_alone()) {
        distribution::check_stands(base, &recipe.image.entrypoint, &facts, &bytes)?;
    }
    let info = (facts.language == Some(ounce_rootfs::elf::Language::Go))
        .then(|| GoInfo::read(&bytes))
        .flatten();
    let mut labels = info.map(|info| info.labels()).unwrap_or_default();
    if facts.takes_listen_fds {
        labels.insert(SOCKET_ACTIVATION.to_owned(), "1".to_owned());
    }
    Ok(Ready {
        bytes,
        labels,
        application: None,
        module: None,
        flags,
        saved,
    })
}

/// What stands beside the program, the same on every platform.
fn shared_entries(image: &ImageRecipe) -> Result<Vec<Entry>, BuildError> {
    let mut entries = Vec::new();
    entries.extend(base::certificates(&image.ca_certificates)?);
    entries.extend(base::zones(&image.timezones)?);
    if image.passwd {
        // The recipe wrote the user itself, so it reads.
        let (uid, gid) = parse_user(&image.user).unwrap_or((65532, 65532));
        entries.extend(base::passwd(uid, gid));
    }
    if image.tmp {
        entries.push(base::tmp());
    }
    entries.extend(workdir(image));
    for file in &image.files {
        let path = file.to.trim_start_matches('/').to_owned();
        let bytes = std::fs::read(&file.from).map_err(|source| BuildError::Read {
            path: file.from.clone(),
            source,
        })?;
        entries.push(base::file(path, file.mode.unwrap_or(0o644), bytes));
    }
    for file in image.site.iter().flat_map(|site| &site.files) {
        check_unchanged(&file.from, file.link.is_some(), file.bytes)?;
        entries.push(Entry {
            path: format!("{}/{}", base::SITE_ROOT, file.path),
            kind: match &file.link {
                Some(target) => EntryKind::Symlink(target.clone()),
                None => EntryKind::File(Content::Host(file.from.clone())),
            },
            mode: match (&file.link, file.executable) {
                (Some(_), _) => 0o777,
                (None, true) => 0o755,
                (None, false) => 0o644,
            },
            uid: 0,
            gid: 0,
        });
    }
    Ok(entries)
}

/// The working folder, without which no engine but docker starts the program,
/// unless something else in the image brings it.
fn workdir(image: &ImageRecipe) -> Option<Entry> {
    let path = image.workdir.as_deref()?.trim_matches('/');
    let holds = |whole: &str| Path::new(whole.trim_start_matches('/')).starts_with(path);
    let brought = image.files.iter().any(|file| holds(&file.to))
        || (image.tmp && path == "tmp")
        || (image.site.is_some() && path == base::SITE_ROOT)
        || path.is_empty();
    (!brought).then(|| base::folder(path.to_owned()))
}

/// A file that went, or became something else, since the walk.
fn check_unchanged(path: &Path, link: bool, bytes: u64) -> Result<(), BuildError> {
    let failed = |source| BuildError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    let same = match link {
        true => metadata.is_symlink(),
        false => metadata.is_file() && metadata.len() == bytes,
    };
    match same {
        true => Ok(()),
        false => Err(failed(std::io::Error::other(
            "it changed while it was packed",
        ))),
    }
}

fn image(
    recipe: &Recipe,
    platform: &Platform,
    program: Ready,
    base: Option<&Image>,
    shared: &[Entry],
    writer: &mut StoreWriter<'_>,
) -> Result<BuiltImage, BuildError> {
    if let Some(module) = &program.module {
        return wasm_image(recipe, module, program.flags, program.saved, writer);
    }
    let name = recipe.image.entrypoint.trim_start_matches('/');
    let mut own = recipe.image.clone();
    let (mut entries, command) = match program.application {
        Some(application) => {
            let mut environment = application.environment;
            environment.append(&mut own.env);
            own.env = environment;
            (application.entries, application.command)
        }
        None => (
            vec![base::file(name, 0o755, program.bytes)],
            vec![own.entrypoint.clone()],
        ),
    };
    let program_bytes = entries.iter().map(size).sum();
    entries.extend_from_slice(shared);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(BuildError::Twice(pair[0].path.clone()));
    }
    let options = LayerOptions {
        compression: recipe.compression,
        mtime: recipe.mtime,
    };
    let layer = writer.layer(&entries, options)?;
    let lower = base.map_or(&[][..], |base| &base.layers);
    let config = config(
        &own,
        &command,
        platform,
        &program.labels,
        base,
        layer.diff_id.to_string(),
    );
    let config = writer.json(MediaType::ImageConfig, &config)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        config: &config,
        layers: lower
            .iter()
            .map(|layer| &layer.descriptor)
            .chain([&layer.descriptor])
            .collect(),
    };
    let lower_bytes: u64 = lower.iter().map(|layer| layer.descriptor.size()).sum();
    let manifest = writer.json(MediaType::ImageManifest, &manifest)?;
    Ok(BuiltImage {
        platform: platform.clone(),
        pulled_bytes: manifest.size() + config.size() + lower_bytes + layer.descriptor.size(),
        manifest,
        layer_bytes: layer.descriptor.size(),
        config_bytes: config.size(),
        program_bytes,
        flags: program.flags,
        saved: program.saved,
        heaviest: heaviest(&entries),
    })
}

/// The image of a module: no archive, and a configuration of its own.
fn wasm_image(
    recipe: &Recipe,
    module: &Module,
    flags: Vec<Flag>,
    saved: Vec<Saved>,
    writer: &mut StoreWriter<'_>,
) -> Result<BuiltImage, BuildError> {
    let written = wasm::write(module, &recipe.image, recipe.mtime, writer)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        config: &written.config,
        layers: vec![&written.layer],
    };
    let manifest = writer.json(MediaType::ImageManifest, &manifest)?;
    let bytes = module.bytes.len() as u64;
    Ok(BuiltImage {
        platform: written.platform,
        pulled_bytes: manifest.size() + written.config.size() + bytes,
        manifest,
        layer_bytes: bytes,
        config_bytes: written.config.size(),
        program_bytes: bytes,
        flags,
        saved,
        heaviest: vec![(recipe.image.entrypoint.clone(), bytes)],
    })
}

fn heaviest(entries: &[Entry]) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File(_)))
        .map(|entry| (entry.path.clone(), size(entry)))
        .collect();
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    files.truncate(10);
    files
}

/// Bytes of a file; of anything else none.
fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        EntryKind::File(Content::Bytes(bytes)) => bytes.len() as u64,
        EntryKind::File(Content::Host(path)) => {
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        }
        EntryKind::File(Content::Pieces(pieces)) => pieces.iter().map(Piece::bytes).sum(),
        _ => 0,
    }
}

fn config<'a>(
    image: &'a ImageRecipe,
    command: &'a [String],
    platform: &'a Platform,
    told: &'a BTreeMap<String, String>,
    base: Option<&Image>,
    diff_id: String,
) -> ConfigDocument<'a> {
    let mut labels: BTreeMap<&str, &str> = image
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    for (key, value) in told {
        labels.entry(key).or_insert(value);
    }
    ConfigDocument {
        architecture: &platform.architecture,
        os: &platform.os,
        variant: platform.variant.as_deref(),
        config: RunConfig {
            entrypoint: command,
            cmd: &image.args,
            user: &image.user,
            env: environment(image, base),
            exposed_ports: image
                .ports
                .iter()
                .map(|port| (port.as_str(), Empty {}))
                .collect(),
            working_dir: image.workdir.as_deref(),
            labels,
        },
        rootfs: RootFs {
            kind: "layers",
            diff_ids: base
                .iter()
                .flat_map(|base| &base.layers)
                .map(|layer| layer.diff_id.to_string())
                .chain([diff_id])
                .collect(),
        },
    }
}

/// The base's variables, then the image's own, which win.
fn environment(image: &ImageRecipe, base: Option<&Image>) -> Vec<String> {
    let of_base = base.and_then(|base| base.config.config().as_ref()?.env().as_ref());
    let kept = of_base.into_iter().flatten().filter(|line| {
        let name = line.split('=').next().unwrap_or("");
        !image.env.contains_key(name)
    });
    let own = image
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    kept.cloned().chain(own).collect()
}

fn index_entry(image: &BuiltImage) -> IndexEntry {
    let platform = image.platform.clone();
    IndexEntry {
        manifest: image.manifest.clone(),
        platform: IndexPlatform {
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
        },
    }
}
