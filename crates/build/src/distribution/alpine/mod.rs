//! Bases from Alpine's packages: an index that is signed, packages that it
//! vouches for, which of them are needed, and their files in one tree with
//! apk's own records, so that apk goes on from there.
//!
//! Formats: apk-v2(5), apk-package(5), apk-repositories(5), apk-world(5) of
//! apk-tools. [`resolve`] decides which packages; [`assemble`] makes the files
//! of those that a lock names, and asks no index. Nothing is run.

mod base64;
mod database;
pub mod dependency;
pub mod index;
mod install;
mod package;
mod scripts;
mod shell;
pub mod signed;
pub mod solve;
mod users;
pub mod version;

use ounce_oci::{Digest, Platform};

use self::dependency::{Dependency, DependencyError};
use self::index::{IndexError, Package};
use self::install::Root;
use self::signed::{Keys, KeysError, SignedError};
use self::solve::{SolveError, Universe};
use super::cache::{Cache, CacheError};
use super::files::{Files, FilesError, Node};
use super::lock::{LockedBase, LockedPackage};
use super::{Event, Wanted};

pub use install::InstallError;
pub use package::PackageError;
pub use scripts::ScriptNote;

/// Where Alpine's own packages are.
pub const MIRROR: &str = "https://dl-cdn.alpinelinux.org/alpine";

/// The release that is taken unless told.
pub const RELEASE: &str = "v3.22";

/// The repositories that are taken unless told: what Alpine itself maintains.
pub const REPOSITORIES: [&str; 1] = ["main"];

/// Where an Alpine keeps the keys it trusts.
pub const KEYS_FOLDER: &str = "/etc/apk/keys";

/// Most bytes of an index as it comes and once it is unpacked: Alpine's
/// largest is 2 and 12 MB.
const INDEX_LIMIT: u64 = 64 << 20;
const INDEX_UNPACKED_LIMIT: u64 = 256 << 20;
/// Most bytes of a package.
const PACKAGE_LIMIT: u64 = 1 << 30;

/// Which base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What Alpine publishes as its minimal root file system: apk, busybox,
    /// musl, certificates, users.
    Whole,
    /// busybox and musl: a shell, and nothing to install more with.
    Core,
}

impl Kind {
    /// As `--base` and the lock call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "alpine",
            Self::Core => "alpine-core",
        }
    }

    /// The environment of what is started in it.
    pub fn environment(self) -> Vec<(String, String)> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        vec![("PATH".to_owned(), path.to_owned())]
    }

    /// What is started where there is no program on the base.
    pub fn command(self) -> Vec<String> {
        vec!["/bin/sh".to_owned()]
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &[
                "alpine-baselayout",
                "alpine-keys",
                "alpine-release",
                "apk-tools",
                "busybox",
                "libc-utils",
            ],
            Self::Core => &["busybox", "busybox-binsh", "musl"],
        }
    }
}

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The address above the releases: `https://…/alpine`, `file:///…`.
    pub mirror: String,
    /// `v3.22`, `edge`; empty where the mirror has none.
    pub release: String,
    /// `main`, `community`, in order of preference.
    pub repositories: Vec<String>,
    /// apk's name of it: `x86_64`.
    pub architecture: String,
    /// Packages besides the base's own: `nginx`, `python3~3.12`.
    pub packages: Vec<String>,
}

/// A base that is put together.
#[derive(Debug)]
pub struct Assembled {
    /// Its files.
    pub files: Files,
    /// Its packages, in the order in which they came.
    pub packages: Vec<Package>,
    /// What became of the packages' scripts.
    pub scripts: Vec<ScriptNote>,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
}

/// A base cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AlpineError {
    /// Alpine is not built for it.
    #[error("Alpine has no packages for {0}")]
    Platform(Platform),
    /// The keys.
    #[error("no keys to verify Alpine's indexes with")]
    Keys(#[source] KeysError),
    /// A download.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// An index that is broken or not trusted.
    #[error("the index {url}")]
    Index {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: SignedError,
    },
    /// An index that is wrong.
    #[error("the index {url}")]
    IndexText {
        /// Where.
        url: String,
        /// Where in it and why.
        #[source]
        source: IndexError,
    },
    /// A name of a package that is none.
    #[error("among the packages asked for")]
    World(#[source] DependencyError),
    /// The packages do not fit together.
    #[error("{}", if *.locked { "the packages in ounce.lock do not make the base" } else { "no set of packages makes the base" })]
    Solve {
        /// Whether they are those of a lock.
        locked: bool,
        /// Why.
        #[source]
        source: SolveError,
    },
    /// A package that is broken or another than was meant.
    #[error("the package {name}")]
    Package {
        /// Its file.
        name: String,
        /// Why.
        #[source]
        source: PackageError,
    },
    /// A package whose files have no place.
    #[error("installing {name}")]
    Install {
        /// Name and version.
        name: String,
        /// Why.
        #[source]
        source: InstallError,
    },
    /// apk's records have no place.
    #[error("writing apk's records")]
    Records(#[from] FilesError),
}

impl AlpineError {
    /// Whether the network is at fault.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Cache(error) if error.is_network())
    }

    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Platform(_) => one(
                "Alpine is built for linux/amd64, arm64, arm/v7, arm/v6, 386, ppc64le, s390x, \
                 riscv64 and loong64",
            ),
            Self::Keys(_) => one(
                "--keys DIR, or keys in [base.alpine]: a folder with Alpine's public keys, which \
                 its package alpine-keys brings to /etc/apk/keys",
            ),
            Self::Cache(error) => error.hints(),
            Self::Index { source, .. } => match source {
                SignedError::Untrusted(_) => one(
                    "if you trust that key, put it into the folder that --keys names; newer \
                     releases have newer keys",
                ),
                SignedError::Unsigned => {
                    one("abuild-sign signs a repository's index; one without signature is not used")
                }
                _ => one("try again, or another --mirror"),
            },
            Self::Solve { locked: true, .. } => one("`ounce update` locks what the mirror has now"),
            Self::Solve { .. } => one(
                "another repository may have it: --repository main --repository community, or \
                 `repositories` in [base.alpine]",
            ),
            Self::Package { .. } => one("try again, or another --mirror"),
            _ => Vec::new(),
        }
    }
}

/// apk's name for what a platform is.
///
/// # Errors
/// It has none.
pub fn architecture(platform: &Platform) -> Result<&'static str, AlpineError> {
    let variant = platform.variant.as_deref();
    match (platform.architecture.as_str(), variant) {
        _ if platform.os != "linux" => Err(AlpineError::Platform(platform.clone())),
        ("amd64", _) => Ok("x86_64"),
        ("arm64", _) => Ok("aarch64"),
        ("arm", Some("v6")) => Ok("armhf"),
        ("arm", None | Some("v7" | "v8")) => Ok("armv7"),
        ("386", _) => Ok("x86"),
        ("ppc64le", _) => Ok("ppc64le"),
        ("s390x", _) => Ok("s390x"),
        ("riscv64", _) => Ok("riscv64"),
        ("loong64", _) => Ok("loongarch64"),
        _ => Err(AlpineError::Platform(platform.clone())),
    }
}

/// What a lock of this base says it is of; it does not hold for another.
pub fn origin(release: &str, repositories: &[String], packages: &[String]) -> String {
    let mut packages = packages.to_vec();
    packages.sort();
    packages.dedup();
    let from = format!("alpine {release} {}", repositories.join("+"));
    match packages.is_empty() {
        true => from,
        false => format!("{from} with {}", packages.join(", ")),
    }
}

/// The release that a lock is of.
pub fn release_of(from: &str) -> &str {
    from.split(' ').nth(1).unwrap_or("")
}

/// The repositories that a lock is of.
pub fn repositories_of(from: &str) -> Vec<String> {
    let all = from.split(' ').nth(2).unwrap_or("");
    all.split('+').map(str::to_owned).collect()
}

/// The packages that a lock has besides the base's own.
pub fn packages_of(from: &str) -> Vec<String> {
    let more = from.split_once(" with ").map_or("", |(_, more)| more);
    let names = more.split(", ").filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

impl Source {
    fn address(&self, repository: &str, file: &str) -> String {
        let mut parts = vec![self.mirror.trim_end_matches('/')];
        parts.extend([self.release.as_str(), repository].map(|part| part.trim_matches('/')));
        parts.extend([self.architecture.as_str(), file]);
        parts.retain(|part| !part.is_empty());
        parts.join("/")
    }

    /// What the base is asked to hold.
    fn world(&self, kind: Kind) -> Result<Vec<Dependency>, AlpineError> {
        let own = kind.packages().iter().map(|name| name.parse());
        let more = self.packages.iter().map(|name| name.parse());
        own.chain(more)
            .collect::<Result<_, _>>()
            .map_err(AlpineError::World)
    }

    fn wanted(&self, locked: &LockedPackage) -> Wanted {
        Wanted {
            url: self.address(&locked.archive, &locked.path),
            digest: locked.digest,
            size_bytes: locked.size_bytes,
        }
    }
}

/// Decides which packages make a base, and downloads them, since an index does
/// not tell their digests.
///
/// # Errors
/// An index or a package is not to be had or not what it should be, or no
/// packages fit together.
pub fn resolve(
    kind: Kind,
    source: &Source,
    keys: &Keys,
    cache: &Cache<'_>,
    on: &mut dyn FnMut(Event),
) -> Result<LockedBase, AlpineError> {
    let world = source.world(kind)?;
    let mut offers = Vec::new();
    for repository in &source.repositories {
        let url = source.address(repository, "APKINDEX.tar.gz");
        let bytes = cache.document(&url, INDEX_LIMIT, on)?;
        let signed = signed::open(&bytes, keys, INDEX_UNPACKED_LIMIT);
        let files = signed.and_then(|signed| signed::files(&signed.control_tar, "content"));
        let files = files.map_err(|source| AlpineError::Index {
            url: url.clone(),
            source,
        })?;
        let named = files.into_iter().find(|(name, _)| name == "APKINDEX");
        let (_, text) = named.ok_or_else(|| AlpineError::Index {
            url: url.clone(),
            source: SignedError::Missing("APKINDEX"),
        })?;
        let packages = index::parse(&text);
        offers.push(packages.map_err(|source| AlpineError::IndexText { url, source })?);
    }
    let universe = Universe::new(offers, &source.architecture);
    let world = optional(&world, &universe);
    let solved = universe
        .solve(&world)
        .map_err(|source| AlpineError::Solve {
            locked: false,
            source,
        })?;
    let mut locked = Vec::new();
    let mut missing = Vec::new();
    for offer in &solved {
        match cache.kept(&cache_name(&offer.package), offer.package.size_bytes) {
            Some(digest) => locked.push(lock_of(source, offer, digest)),
            None => missing.push(*offer),
        }
    }
    if !missing.is_empty() {
        on(Event::Downloading {
            files: missing.len(),
            bytes: missing.iter().map(|one| one.package.size_bytes).sum(),
        });
    }
    let mut come = 0;
    for offer in missing {
        let package = &offer.package;
        let url = source.address(&source.repositories[offer.repository], &package.file_name());
        let bytes = cache.fetch(&url, package.size_bytes.min(PACKAGE_LIMIT))?;
        package::check(&bytes, package).map_err(|source| AlpineError::Package {
            name: url.clone(),
            source,
        })?;
        come += bytes.len() as u64;
        on(Event::Downloaded { bytes: come });
        let digest = cache.keep(&cache_name(package), &bytes)?;
        locked.push(lock_of(source, offer, digest));
    }
    locked.sort();
    Ok(LockedBase {
        name: kind.name().to_owned(),
        architecture: source.architecture.clone(),
        from: origin(&source.release, &source.repositories, &source.packages),
        packages: locked,
    })
}

/// Without those of Alpine's own that older releases do not have.
fn optional(world: &[Dependency], universe: &Universe) -> Vec<Dependency> {
    let may_lack = ["alpine-release", "busybox-binsh"];
    let wanted = world
        .iter()
        .filter(|one| universe.offers(&one.name) || !may_lack.contains(&one.name.as_str()));
    wanted.cloned().collect()
}

/// By its control part: an index tells no more.
fn cache_name(package: &Package) -> String {
    let identity = index::checksum_text(&package.identity);
    format!("apk {identity} {}", package.size_bytes)
}

fn lock_of(source: &Source, offer: &solve::Offer, digest: Digest) -> LockedPackage {
    let package = &offer.package;
    let architecture = package.architecture.as_deref();
    LockedPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: architecture.unwrap_or(&source.architecture).to_owned(),
        digest,
        size_bytes: package.size_bytes,
        archive: source.repositories[offer.repository].clone(),
        path: package.file_name(),
    }
}

/// Makes the files of a base from the packages that a lock names.
///
/// # Errors
/// A package is not to be had, is not what the lock says, does not fit the
/// others, or has files that cannot stand in a base.
pub fn assemble(
    kind: Kind,
    source: &Source,
    locked: &LockedBase,
    cache: &Cache<'_>,
    on: &mut dyn FnMut(Event),
) -> Result<Assembled, AlpineError> {
    let world = source.world(kind)?;
    let locked = &locked.packages;
    let wanted: Vec<Wanted> = locked.iter().map(|one| source.wanted(one)).collect();
    cache.fill(&wanted, on)?;
    on(Event::Unpacking {
        packages: locked.len(),
    });
    let mut contents = Vec::new();
    for (locked, wanted) in locked.iter().zip(&wanted) {
        let bytes = cache.read(wanted)?;
        let name = format!("{}-{}", locked.name, locked.version);
        let failed = |source| AlpineError::Package {
            name: name.clone(),
            source,
        };
        let mut unpacked = package::unpack(&bytes).map_err(failed)?;
        let found = unpacked.package.full_name();
        if found != name {
            let wanted = name.clone();
            return Err(failed(PackageError::Name { found, wanted }));
        }
        // As an index has it for packages that fit all.
        unpacked.package.architecture = Some(locked.architecture.clone());
        contents.push(unpacked);
    }
    let offers = contents.iter().map(|one| one.package.clone()).collect();
    let universe = Universe::new(vec![offers], &source.architecture);
    let world = optional(&world, &universe);
    let solved = universe
        .solve(&world)
        .map_err(|source| AlpineError::Solve {
            locked: true,
            source,
        })?;
    let mut root = Root::default();
    let mut notes = Vec::new();
    for offer in solved {
        let at = contents
            .iter()
            .position(|one| one.package.identity == offer.package.identity);
        let Some(at) = at else { continue };
        let unpacked = contents.swap_remove(at);
        let name = unpacked.package.full_name();
        for said in &unpacked.left_out {
            notes.push(format!("{name}: {said}"));
        }
        root.install(unpacked)
            .map_err(|source| AlpineError::Install { name, source })?;
    }
    for left in &contents {
        let name = left.package.full_name();
        notes.push(format!("{name} is locked, but nothing needs it"));
    }
    root.finish().map_err(|source| AlpineError::Install {
        name: "triggers".to_owned(),
        source,
    })?;
    records(source, &world, &mut root)?;
    let Root {
        mut files,
        packages,
        notes: scripts,
        ..
    } = root;
    files.fill_parents();
    Ok(Assembled {
        files,
        packages: packages
            .into_iter()
            .map(|one| one.unpacked.package)
            .collect(),
        scripts,
        notes,
    })
}

/// apk's records, and what Alpine does besides for what it publishes.
fn records(source: &Source, world: &[Dependency], root: &mut Root) -> Result<(), FilesError> {
    let repositories: String = source
        .repositories
        .iter()
        .map(|repository| {
            let mut parts = vec![source.mirror.trim_end_matches('/')];
            parts.extend([source.release.as_str(), repository]);
            parts.retain(|part| !part.is_empty());
            parts.join("/") + "\n"
        })
        .collect();
    let packages = &root.packages;
    let mut texts = vec![
        (
            "lib/apk/db/installed",
            database::installed(packages).into_bytes(),
        ),
        ("lib/apk/db/scripts.tar", database::scripts(packages)),
        (
            "lib/apk/db/triggers",
            database::triggers(packages).into_bytes(),
        ),
        ("etc/apk/world", database::world(world).into_bytes()),
        (
            "etc/apk/arch",
            format!("{}\n", source.architecture).into_bytes(),
        ),
    ];
    // A folder of this host is nothing to anybody else.
    if source.mirror.starts_with("http") {
        texts.push(("etc/apk/repositories", repositories.into_bytes()));
    }
    for (path, text) in texts {
        root.files.put(path, Node::file(0o644, text))?;
    }
    // Nobody becomes root by an empty password.
    let shadow = root.files.open("etc/shadow");
    if let Some((real, node)) = shadow.map(|(real, node)| (real, node.clone())) {
        let text = String::from_utf8_lossy(node.bytes().unwrap_or_default());
        let closed = match text.strip_prefix("root::") {
            Some(rest) => format!("root:*:{rest}"),
            None => text.replace("\nroot::", "\nroot:*:"),
        };
        let closed = Node::file(node.mode, closed).owned(node.uid, node.gid);
        root.files.put(&real, closed)?;
    }
    Ok(())
}
