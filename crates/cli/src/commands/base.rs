//! `ounce base` and `ounce update`: what programs stand on, and the lock that
//! says of which packages it is made.

pub(super) mod alpine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use ounce_build::Recipe;
use ounce_build::distribution::alpine::Kind as AlpineKind;
use ounce_build::distribution::cache::Cache;
use ounce_build::distribution::debian::{self, Archive, Sources, Variant};
use ounce_build::distribution::files::Files;
use ounce_build::distribution::image::BaseImage;
use ounce_build::distribution::lock::{LOCK_LIMIT_BYTES, LOCK_NAME, Lock, LockedBase};
use ounce_build::distribution::{Base, Event};
use ounce_build::settings::{AlpineSettings, DebianSettings};
use ounce_oci::fetch::Client;
use ounce_oci::layer::Compression;
use ounce_oci::lock::Lock as FileLock;
use ounce_oci::registry::{Registry, Which};
use ounce_oci::{ByteSize, Digest, Image, Place, Platform, Reference, Store};
use serde::Serialize;

use super::{Context, write_file};
use crate::arguments::bases::{BaseArguments, PackageOptions, UpdateArguments};
use crate::arguments::registry::NetworkOptions;
use crate::failure::{Failure, Kind, shown};
use crate::output::Output;
use crate::render::table::{Align, Table};

/// Where the host's apt says where its archives are.
const APT_LIST: &str = "/etc/apt/sources.list";
const APT_FOLDER: &str = "/etc/apt/sources.list.d";

/// The flags of packages as settings.
pub(crate) fn debian_settings(options: &PackageOptions) -> DebianSettings {
    DebianSettings {
        mirror: options.mirror.clone(),
        suite: options.suite.clone(),
        components: (!options.components.is_empty()).then(|| options.components.clone()),
        keyrings: options.keyring.clone(),
        packages: (!options.packages.is_empty()).then(|| options.packages.clone()),
        valid_until: None,
    }
}

/// What a base is put together with.
struct Making<'a> {
    output: Output,
    settings: &'a DebianSettings,
    alpine: &'a AlpineSettings,
    lock: Option<&'a Path>,
    offline: bool,
    compression: Compression,
    mtime: u64,
}

/// The images that a recipe's programs stand on, one a platform; put together
/// now if they have not been before. None for `scratch`.
///
/// # Errors
/// A base cannot be had.
pub(crate) fn prepare(
    output: Output,
    recipe: &Recipe,
    store: &Store,
) -> Result<Vec<Image>, Failure> {
    let making = Making {
        output,
        settings: &recipe.debian,
        alpine: &recipe.alpine,
        lock: recipe.lock.as_deref(),
        offline: recipe.offline,
        compression: recipe.compression,
        mtime: recipe.mtime,
    };
    let mut images = Vec::new();
    if recipe.base == Base::Scratch {
        return Ok(images);
    }
    for program in &recipe.programs {
        let platform = &program.platform;
        images.push(match &recipe.base {
            Base::Image(Place::Store(name)) => store.image(name, platform)?,
            Base::Image(Place::Registry(remote)) => {
                let name = imported_name(&remote.to_string())?;
                let network = NetworkOptions::default();
                let registry = Registry::new(crate::network::registry_options(&network));
                let mut progress = crate::render::progress::Progress::new(output, "pulling");
                let which = Which::Platform(platform.clone());
                registry.pull(remote, store, &name, &which, &mut |event| {
                    progress.registry(event);
                })?;
                store.image(&name, platform)?
            }
            Base::Image(place) => {
                let name = imported_name(&place.to_string())?;
                super::reached(place.clone())?.import(store, &name)?;
                store.image(&name, platform)?
            }
            base => {
                let name = making.make(base, platform, store)?;
                store.image(&name, platform)?
            }
        });
    }
    Ok(images)
}

/// What an image from elsewhere is called in the store, so that its layers stay.
fn imported_name(place: &str) -> Result<Reference, Failure> {
    let hex = Digest::of(place.as_bytes()).hex();
    name_of(&format!("base/imported:{}", &hex[..12]))
}

fn name_of(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error| Failure::new(Kind::Bug, error))
}

/// A base that is put together from packages, by its distribution.
#[derive(Debug, Clone, Copy)]
enum Assembled {
    Debian(Variant),
    Alpine(AlpineKind),
}

impl Assembled {
    fn name(self) -> &'static str {
        match self {
            Self::Debian(variant) => variant.name(),
            Self::Alpine(kind) => kind.name(),
        }
    }

    /// The distribution's name of what the platform is.
    fn architecture(self, platform: &Platform) -> Result<&'static str, Failure> {
        Ok(match self {
            Self::Debian(_) => debian::architecture(platform)?,
            Self::Alpine(_) => alpine::architecture(platform)?,
        })
    }

    fn environment(self) -> Vec<(String, String)> {
        match self {
            Self::Debian(variant) => variant.environment(),
            Self::Alpine(kind) => kind.environment(),
        }
    }

    fn command(self) -> Vec<String> {
        match self {
            Self::Debian(variant) => variant.command(),
            Self::Alpine(kind) => kind.command(),
        }
    }
}

fn assembled(base: &Base) -> Result<Assembled, Failure> {
    match base {
        Base::DebianSlim => Ok(Assembled::Debian(Variant::Slim)),
        Base::Distroless(Some(which)) => Ok(Assembled::Debian(Variant::Distroless(*which))),
        Base::Alpine => Ok(Assembled::Alpine(AlpineKind::Whole)),
        Base::AlpineCore => Ok(Assembled::Alpine(AlpineKind::Core)),
        other => Err(Failure::new(
            Kind::Usage,
            format!("{other} is not put together from packages"),
        )
        .hint(format!("these are: {}", assembled_names()))),
    }
}

fn assembled_names() -> String {
    let names = Base::names().filter(|name| !matches!(*name, "scratch" | "distroless"));
    names.collect::<Vec<_>>().join(", ")
}

impl Making<'_> {
    /// The name in the store of a base that is put together if need be.
    fn make(&self, base: &Base, platform: &Platform, store: &Store) -> Result<Reference, Failure> {
        let which = assembled(base)?;
        let architecture = which.architecture(platform)?;
        let client = client();
        let cache = Cache::new(super::packages()?, &client, self.offline);
        let locked = self.locked(which, architecture, &cache)?;
        let name = self.name(which, &locked)?;
        if store.image(&name, platform).is_ok() {
            return Ok(name);
        }
        let mut progress = Progress::new(self.output);
        let alone = cache.alone(&mut |event| progress.tell(&event));
        // Held until the base has its name.
        let _alone = alone.map_err(debian::DebianError::from)?;
        if store.image(&name, platform).is_ok() {
            return Ok(name);
        }
        let files = match which {
            Assembled::Debian(variant) => self.debian_files(variant, &locked, &cache)?,
            Assembled::Alpine(kind) => alpine::files(self, kind, &locked, &cache)?,
        };
        let labels = BTreeMap::from([(
            "org.opencontainers.image.base.name".to_owned(),
            format!("{} ({})", which.name(), locked.from),
        )]);
        let image = BaseImage {
            platform,
            environment: which.environment(),
            command: which.command(),
            labels,
            compression: self.compression,
            mtime: self.mtime,
        };
        image.write(files, store, &name)?;
        Ok(name)
    }

    fn debian_files(
        &self,
        variant: Variant,
        locked: &LockedBase,
        cache: &Cache<'_>,
    ) -> Result<Files, Failure> {
        let days = self.mtime / 86_400;
        let sources = self.sources(Some(debian::codename_of(&locked.from)))?;
        let mut progress = Progress::new(self.output);
        let assembled = debian::assemble(
            variant,
            locked,
            &sources.archives,
            cache,
            days,
            &mut |event| progress.tell(&event),
        )?;
        progress.finish();
        for skipped in &assembled.skipped {
            self.output.note(&shown(&format!(
                "note: left out of {}: {}",
                skipped.package, skipped.what
            )));
        }
        Ok(assembled.files)
    }

    /// By all that decides its bytes.
    fn name(&self, which: Assembled, locked: &LockedBase) -> Result<Reference, Failure> {
        let mut lock = Lock::default();
        lock.set(locked.clone());
        let text = format!(
            "{} {:?} {} {}",
            env!("CARGO_PKG_VERSION"),
            self.compression,
            self.mtime,
            lock.to_text()
        );
        let hex = Digest::of(text.as_bytes()).hex();
        let codename = debian::codename_of(&locked.from);
        // A repository of one's own may have no releases.
        let release = match codename {
            "" => String::new(),
            codename => format!("{codename}-"),
        };
        name_of(&format!("base/{}:{release}{}", which.name(), &hex[..12]))
    }

    /// The base's packages: from the lock, or, where this has none, from the
    /// archives; then the lock is written.
    fn locked(
        &self,
        which: Assembled,
        architecture: &str,
        cache: &Cache<'_>,
    ) -> Result<LockedBase, Failure> {
        if let Some(path) = self.lock
            && let Some(locked) = self.held(which, architecture, &read_lock(path)?)?
        {
            return Ok(locked);
        }
        let locked = self.resolve(which, architecture, cache)?;
        let Some(path) = self.lock else {
            return Ok(locked);
        };
        let _alone = alone_with(path)?;
        let mut lock = read_lock(path)?;
        // Another build of the project has been quicker: both are to stand on one base.
        if let Some(locked) = self.held(which, architecture, &lock)? {
            return Ok(locked);
        }
        lock.set(locked.clone());
        write_file(path, lock.to_text().as_bytes())?;
        self.output.note(&format!(
            "note: wrote {}, which pins the base",
            path.display()
        ));
        Ok(locked)
    }

    /// What the lock has of the base, if it has it.
    fn held(
        &self,
        which: Assembled,
        architecture: &str,
        lock: &Lock,
    ) -> Result<Option<LockedBase>, Failure> {
        let Some(locked) = lock.base(which.name(), architecture) else {
            return Ok(None);
        };
        let wanted = match which {
            Assembled::Debian(_) => debian::origin(
                self.settings
                    .suite
                    .as_deref()
                    .unwrap_or(debian::codename_of(&locked.from)),
                self.settings.packages.as_deref().unwrap_or(&[]),
            ),
            Assembled::Alpine(_) => alpine::origin(self.alpine, &locked.from),
        };
        match locked.from == wanted {
            true => Ok(Some(locked.clone())),
            false => Err(Failure::new(
                Kind::Input,
                format!(
                    "the lock has {} of {}, and {wanted} is asked for",
                    which.name(),
                    locked.from
                ),
            )
            .hint("ounce update moves the lock")),
        }
    }

    fn resolve(
        &self,
        which: Assembled,
        architecture: &str,
        cache: &Cache<'_>,
    ) -> Result<LockedBase, Failure> {
        let variant = match which {
            Assembled::Debian(variant) => variant,
            Assembled::Alpine(kind) => return alpine::resolve(self, kind, architecture, cache),
        };
        let sources = self.sources(None)?;
        let mut progress = Progress::new(self.output);
        let locked = debian::resolve(variant, architecture, &sources, cache, &mut |event| {
            progress.tell(&event);
        })?;
        progress.finish();
        Ok(locked)
    }

    /// Where packages come from: what is configured, else what the host's apt
    /// says, else Debian's own mirror.
    fn sources(&self, locked: Option<&str>) -> Result<Sources, Failure> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let host = debian::codename(&release);
        let codename = locked
            .or(self.settings.suite.as_deref())
            .or(host)
            .unwrap_or(debian::STABLE)
            .to_owned();
        let components = match &self.settings.components {
            Some(components) => components.clone(),
            None => vec!["main".to_owned()],
        };
        let archives = match &self.settings.mirror {
            Some(mirror) => Archive::usual(mirror, &codename, &components),
            None => {
                let host = host.map_or(Vec::new(), |host| {
                    host_archives(host, &codename, &components)
                });
                match host.is_empty() {
                    true => Archive::usual(debian::MIRROR, &codename, &components),
                    false => host,
                }
            }
        };
        let keyrings = match &self.settings.keyrings[..] {
            [] => vec![debian::KEYRING.into()],
            named => named.to_vec(),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Ok(Sources {
            codename,
            archives,
            keyrings,
            now: (self.settings.valid_until != Some(false)).then_some(now),
            packages: self.settings.packages.clone().unwrap_or_default(),
        })
    }
}

/// The host's archives, for another release under the same addresses.
fn host_archives(host: &str, codename: &str, components: &[String]) -> Vec<Archive> {
    let mut texts: Vec<String> = std::fs::read_to_string(APT_LIST).into_iter().collect();
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(APT_FOLDER) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    let is_list = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("list" | "sources"))
    };
    let lists = paths.into_iter().filter(is_list);
    texts.extend(lists.filter_map(|path| std::fs::read_to_string(path).ok()));
    let mut archives = debian::from_apt(&texts, host, components);
    for archive in &mut archives {
        if let Some(more) = archive.suite.strip_prefix(host) {
            archive.suite = format!("{codename}{more}");
        }
    }
    archives
}

/// Downloads, as the environment says.
fn client() -> Client {
    Client::new(crate::network::fetch_options(&NetworkOptions::default()))
}

/// Keeps others from writing the lock at `path` between its being read and written:
/// none of what two builds at once add is lost.
fn alone_with(path: &Path) -> Result<Option<FileLock>, Failure> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    // Held for as long as a file takes to be written.
    FileLock::wait_for_folder(folder, &mut |_| {}).map_err(|error| Failure::new(Kind::Host, error))
}

fn read_lock(path: &Path) -> Result<Lock, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Kind::Input, format!("reading {}: {error}", path.display()))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::default()),
        Err(error) => return Err(failed(error.into())),
    };
    if !metadata.is_file() || metadata.len() > LOCK_LIMIT_BYTES {
        return Err(failed("it is no lock".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.into()))?;
    Lock::parse(&text).map_err(|error| {
        failed(error.into()).hint("remove it: it is written anew; `git checkout` has the old one")
    })
}

/// What a person sees of downloads.
struct Progress {
    output: Output,
    total: u64,
    shown_percent: Option<u64>,
}

impl Progress {
    fn new(output: Output) -> Self {
        Self {
            output,
            total: 0,
            shown_percent: None,
        }
    }

    fn tell(&mut self, event: &Event) {
        match event {
            Event::Waiting { doing, holder_pid } => {
                self.output.note(&super::waiting_for(doing, *holder_pid));
            }
            Event::Index { url } => self.output.note(&format!("reading {url}")),
            Event::Downloading { files, bytes } => {
                self.total = *bytes;
                self.output.note(&format!(
                    "downloading {files} file{}, {}",
                    if *files == 1 { "" } else { "s" },
                    ByteSize(*bytes)
                ));
            }
            Event::Downloaded { bytes } => {
                let percent = (bytes * 100).checked_div(self.total).unwrap_or(100);
                // A line that is written over: for a person's eyes only.
                let is_for_eyes = self.output.stderr_is_terminal && !self.output.quiet;
                if is_for_eyes && self.shown_percent != Some(percent) {
                    self.shown_percent = Some(percent);
                    eprint!("\r  {percent} %");
                }
            }
            Event::Again { why } => self.output.note(&shown(&format!("trying again: {why}"))),
            Event::Unpacking { packages } => {
                self.finish();
                if self.output.stderr_is_terminal {
                    self.output.note(&format!("unpacking {packages} packages"));
                }
            }
        }
    }

    fn finish(&mut self) {
        if self.shown_percent.take().is_some() {
            eprint!("\r       \r");
        }
    }
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    name: String,
    base: String,
    from: String,
    platform: String,
    digest: String,
    pulled_bytes: u64,
    layer_bytes: u64,
    packages: Vec<PackageRow>,
}

#[derive(Serialize)]
struct PackageRow {
    name: String,
    version: String,
    architecture: String,
    digest: String,
}

/// Puts a base together and names it.
pub(crate) fn run(context: &Context, arguments: BaseArguments) -> Result<ExitCode, Failure> {
    let output = context.output;
    let store = context.store()?;
    let which = assembled(&arguments.base)?;
    let platform = arguments.platform.unwrap_or_else(|| Platform {
        variant: None,
        ..Platform::host()
    });
    let settings = debian_settings(&arguments.packages);
    let of_alpine = alpine::settings(&arguments.packages);
    let making = Making {
        output,
        settings: &settings,
        alpine: &of_alpine,
        lock: arguments.packages.lock.as_deref(),
        offline: arguments.offline,
        compression: arguments
            .compression
            .map_or_else(Compression::default, Into::into),
        mtime: super::build::source_date_epoch()?.unwrap_or(0),
    };
    let made = making.make(&arguments.base, &platform, &store)?;
    let name = match arguments.tag {
        Some(name) => name,
        None => name_of(which.name())?,
    };
    store.tag(&made, &name)?;
    if let Some(place) = &arguments.output {
        place.export(&store, &name)?;
    }
    let image = store.image(&name, &platform)?;
    let layer_bytes = image
        .layers
        .iter()
        .map(|layer| layer.descriptor.size())
        .sum();
    if output.json {
        let cache_client = client();
        let cache = Cache::new(super::packages()?, &cache_client, true);
        let locked = making.locked(which, which.architecture(&platform)?, &cache)?;
        output.document(&Document {
            schema: "ounce.base/1",
            name: name.to_string(),
            base: which.name().to_owned(),
            from: locked.from,
            platform: platform.to_string(),
            digest: image.digest.to_string(),
            pulled_bytes: image.pulled_bytes(),
            layer_bytes,
            packages: locked
                .packages
                .into_iter()
                .map(|package| PackageRow {
                    name: package.name,
                    version: package.version,
                    architecture: package.architecture,
                    digest: package.digest.to_string(),
                })
                .collect(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("IMAGE", Align::Left),
        ("PLATFORM", Align::Left),
        ("LAYER", Align::Right),
        ("PULLED", Align::Right),
        ("DIGEST", Align::Left),
    ]);
    table.row([
        name.to_string(),
        platform.to_string(),
        ByteSize(layer_bytes).to_string(),
        ByteSize(image.pulled_bytes()).to_string(),
        image
            .digest
            .to_string()
            .chars()
            .take("sha256:".len() + 12)
            .collect(),
    ]);
    output.text(&table.text(output.color))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Moves {
    schema: &'static str,
    lock: String,
    moved: Vec<Move>,
}

#[derive(Serialize)]
struct Move {
    base: String,
    architecture: String,
    package: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// Moves each locked base to what the archives have now.
pub(crate) fn update(context: &Context, arguments: UpdateArguments) -> Result<ExitCode, Failure> {
    let output = context.output;
    let path = match (&arguments.packages.lock, arguments.path.is_dir()) {
        (Some(lock), _) => lock.clone(),
        (None, true) => arguments.path.join(LOCK_NAME),
        (None, false) => arguments.path.clone(),
    };
    let before = read_lock(&path)?;
    if before.bases().next().is_none() {
        return Err(
            Failure::new(Kind::Input, format!("{} locks no base", path.display()))
                .hint("ounce build --base debian-slim writes it, as does ounce base with --lock"),
        );
    }
    let flags = debian_settings(&arguments.packages);
    let of_alpine = alpine::settings(&arguments.packages);
    let client = client();
    let cache = Cache::new(super::packages()?, &client, false);
    let mut after = Lock::default();
    for locked in before.bases() {
        let base: Base = locked
            .name
            .parse()
            .map_err(|error| Failure::new(Kind::Input, error))?;
        let mut settings = flags.clone();
        settings.suite = settings
            .suite
            .or_else(|| Some(debian::codename_of(&locked.from).to_owned()));
        settings.packages = settings
            .packages
            .or_else(|| Some(debian::packages_of(&locked.from)));
        let of_alpine = alpine::as_locked(of_alpine.clone(), &locked.from);
        let making = Making {
            output,
            settings: &settings,
            alpine: &of_alpine,
            lock: None,
            offline: false,
            compression: Compression::default(),
            mtime: 0,
        };
        after.set(making.resolve(assembled(&base)?, &locked.architecture, &cache)?);
    }
    let moved = moves(&before, &after);
    if !arguments.check && after != before {
        let _alone = alone_with(&path)?;
        let mut whole = after.clone();
        // What a build has added meanwhile stays.
        for added in read_lock(&path)?.bases() {
            if before.base(&added.name, &added.architecture).is_none() {
                whole.set(added.clone());
            }
        }
        write_file(&path, whole.to_text().as_bytes())?;
    }
    if output.json {
        output.document(&Moves {
            schema: "ounce.update/1",
            lock: path.display().to_string(),
            moved,
        })?;
    } else if moved.is_empty() {
        output.note(&format!("{} has the newest there are", path.display()));
    } else {
        let mut table = Table::new(&[
            ("BASE", Align::Left),
            ("PACKAGE", Align::Left),
            ("BEFORE", Align::Left),
            ("AFTER", Align::Left),
        ]);
        for one in &moved {
            table.row([
                format!("{} {}", one.base, one.architecture),
                one.package.clone(),
                one.before.clone().unwrap_or_default(),
                one.after.clone().unwrap_or_default(),
            ]);
        }
        output.text(&table.text(output.color))?;
    }
    Ok(match arguments.check && after != before {
        true => ExitCode::from(Kind::No.code()),
        false => ExitCode::SUCCESS,
    })
}

fn moves(before: &Lock, after: &Lock) -> Vec<Move> {
    let mut moved = Vec::new();
    for new in after.bases() {
        let old = before.base(&new.name, &new.architecture);
        let versions = |base: Option<&LockedBase>| -> BTreeMap<String, (String, Digest)> {
            base.iter()
                .flat_map(|base| &base.packages)
                .map(|one| (one.name.clone(), (one.version.clone(), one.digest)))
                .collect()
        };
        let (old, now) = (versions(old), versions(Some(new)));
        let mut names: Vec<&String> = old.keys().chain(now.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            if old.get(name) != now.get(name) {
                let version =
                    |one: Option<&(String, Digest)>| one.map(|(version, _)| version.clone());
                moved.push(Move {
                    base: new.name.clone(),
                    architecture: new.architecture.clone(),
                    package: name.clone(),
                    before: version(old.get(name)),
                    after: version(now.get(name)),
                });
            }
        }
    }
    moved
}
