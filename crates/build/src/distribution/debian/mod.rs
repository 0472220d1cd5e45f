//! Debian: its archives' indexes, its packages, and what their installation
//! does besides unpacking, told as data.
//!
//! [`resolve`] asks the archives which packages a base is made of, and
//! [`assemble`] puts these together: the first needs the archives' signatures,
//! the second the packages' digests alone.

mod accounts;
mod alternatives;
mod control;
mod deb;
mod dpkg;
mod effects;
mod index;
mod ldcache;
mod openpgp;
mod relation;
mod release;
mod solve;
mod sources;
pub mod untrusted;
mod variants;
mod version;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ounce_oci::Platform;
use ounce_oci::layer::EntryKind;

use super::cache::{Cache, CacheError};
use super::files::{Files, FilesError, Node};
use super::lock::{LockedBase, LockedPackage};
use super::{Event, Wanted};
use deb::Deb;
use index::Universe;
use openpgp::Keyring;
use release::{RELEASE_LIMIT_BYTES, Release};

pub use deb::DebError;
pub use effects::Skipped;
pub use openpgp::SignatureError;
pub use release::ReleaseError;
pub use solve::Conflict;
pub use sources::{Archive, codename, from_apt};
pub use variants::Variant;

/// Debian's own mirror, which leads to one nearby.
pub const MIRROR: &str = "http://deb.debian.org";

/// Where Debian keeps the keys of its archives.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The release where none is asked for: the stable one.
pub const STABLE: &str = "trixie";

/// Most bytes of an index: Debian's largest unpacks to 60 MB.
const INDEX_LIMIT_BYTES: u64 = 512 << 20;

/// Where packages come from, and whom to believe.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The release: `bookworm`.
    pub codename: String,
    /// Its archives.
    pub archives: Vec<Archive>,
    /// Files of the keys that are trusted.
    pub keyrings: Vec<PathBuf>,
    /// Seconds since 1970; `None` where dates shall not matter.
    pub now: Option<u64>,
    /// Packages besides the base's own.
    pub packages: Vec<String>,
}

/// A base that was put together.
#[derive(Debug)]
pub struct Assembled {
    /// Its files.
    pub files: Files,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// A base cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// Debian has no such architecture.
    #[error("Debian has no packages for {0}")]
    Platform(Platform),
    /// A download.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A keyring cannot be read.
    #[error("reading the keyring {}", path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyringError,
    },
    /// An archive.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// An index.
    #[error("reading the index {url}")]
    Index {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The packages that are needed do not fit together, or are not there.
    #[error("the packages of {base} cannot be had from {codename}")]
    Conflict {
        /// The base.
        base: &'static str,
        /// The release.
        codename: String,
        /// In words.
        #[source]
        source: Conflict,
    },
    /// A package.
    #[error("unpacking {package}")]
    Package {
        /// Its file.
        package: String,
        /// Why.
        #[source]
        source: DebError,
    },
    /// A package's files.
    #[error("putting {package} in its place")]
    Files {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: FilesError,
    },
    /// Two packages have the same file, and neither replaces the other.
    #[error("/{path} is in both {one} and {other}")]
    Overlap {
        /// The file.
        path: String,
        /// A package.
        one: String,
        /// The other.
        other: String,
    },
    /// The lock speaks of an archive that is not configured.
    #[error("{package} is in the archive {archive}, which is not among the sources")]
    NoArchive {
        /// The package.
        package: String,
        /// The archive's name.
        archive: String,
    },
}

/// Why a keyring is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Not readable.
    #[error(transparent)]
    Read(std::io::Error),
    /// Not a keyring.
    #[error(transparent)]
    Malformed(SignatureError),
}

impl DebianError {
    /// Whether the network is at fault.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Cache(error) if error.is_network())
    }

    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Cache(error) => error.hints(),
            Self::Release(error) => error.hints(),
            Self::Keyring { .. } => vec![
                "apt install debian-archive-keyring, or name a keyring by --keyring FILE"
                    .to_owned(),
            ],
            Self::Conflict { .. } => vec![
                "packages are named as `apt-cache search` has them; `packages` beneath \
                 [base.debian] and --with add some"
                    .to_owned(),
            ],
            Self::Package { .. } => {
                vec!["the file is what its archive signed: tell the archive's owner".to_owned()]
            }
            Self::NoArchive { .. } => vec!["ounce update".to_owned()],
            Self::Platform(_) => vec![format!(
                "there are {}",
                ARCHITECTURES.map(|(platform, _)| platform).join(", ")
            )],
            _ => Vec::new(),
        }
    }
}

const ARCHITECTURES: [(&str, &str); 8] = [
    ("linux/amd64", "amd64"),
    ("linux/arm64", "arm64"),
    ("linux/arm/v7", "armhf"),
    ("linux/arm/v6", "armel"),
    ("linux/386", "i386"),
    ("linux/ppc64le", "ppc64el"),
    ("linux/riscv64", "riscv64"),
    ("linux/s390x", "s390x"),
];

/// Debian's name of a platform.
///
/// # Errors
/// It has none.
pub fn architecture(platform: &Platform) -> Result<&'static str, DebianError> {
    let plain = match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("arm", variant) => format!("linux/arm/{}", variant.unwrap_or("v7")),
        (other, _) => format!("{}/{other}", platform.os),
    };
    let found = ARCHITECTURES.iter().find(|(known, _)| *known == plain);
    found
        .map(|(_, name)| *name)
        .ok_or_else(|| DebianError::Platform(platform.clone()))
}

/// What a lock of this base says it is of; it does not hold for another.
pub fn origin(codename: &str, packages: &[String]) -> String {
    let mut packages = packages.to_vec();
    packages.sort();
    packages.dedup();
    match packages.is_empty() {
        true => format!("debian {codename}"),
        false => format!("debian {codename} with {}", packages.join(", ")),
    }
}

/// Asks the archives which packages a base is made of.
///
/// # Errors
/// An archive that cannot be had or trusted, packages that are not there or
/// do not fit together.
pub fn resolve(
    variant: Variant,
    architecture: &str,
    sources: &Sources,
    cache: &Cache<'_>,
    on: &mut dyn FnMut(Event),
) -> Result<LockedBase, DebianError> {
    let keyring = keyring(&sources.keyrings)?;
    let mut texts = Vec::new();
    for (at, archive) in sources.archives.iter().enumerate() {
        for text in indexes(archive, architecture, &keyring, sources.now, cache, on)? {
            texts.push((at, text));
        }
    }
    let mut universe = Universe::default();
    for (at, text) in &texts {
        universe.add(text, *at);
    }
    let chosen =
        choose(variant, &universe, &sources.packages).map_err(|source| DebianError::Conflict {
            base: variant.name(),
            codename: sources.codename.clone(),
            source,
        })?;
    let locked = |at: usize| {
        let package = &universe.packages[at];
        LockedPackage {
            name: package.name.to_owned(),
            version: package.version.to_owned(),
            architecture: package.architecture.to_owned(),
            digest: package.digest,
            size_bytes: package.size_bytes,
            archive: sources.archives[package.archive].name.clone(),
            path: package.path.to_owned(),
        }
    };
    Ok(LockedBase {
        name: variant.name().to_owned(),
        architecture: architecture.to_owned(),
        from: origin(&sources.codename, &sources.packages),
        packages: chosen.into_iter().map(locked).collect(),
    })
}

fn keyring(paths: &[PathBuf]) -> Result<Keyring, DebianError> {
    let mut keyring = Keyring::default();
    for path in paths {
        let failed = |source| DebianError::Keyring {
            path: path.clone(),
            source,
        };
        let read = || -> std::io::Result<Vec<u8>> {
            if !std::fs::metadata(path)?.is_file() {
                return Err(std::io::Error::other("not a regular file"));
            }
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(openpgp::KEYRING_LIMIT_BYTES)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| failed(KeyringError::Read(error)))?;
        keyring
            .add(&bytes)
            .map_err(|error| failed(KeyringError::Malformed(error)))?;
    }
    Ok(keyring)
}

/// The texts of an archive's indexes, verified.
fn indexes(
    archive: &Archive,
    architecture: &str,
    keyring: &Keyring,
    now: Option<u64>,
    cache: &Cache<'_>,
    on: &mut dyn FnMut(Event),
) -> Result<Vec<String>, DebianError> {
    let dists = format!("{}/dists/{}", archive.url, archive.suite);
    let url = format!("{dists}/InRelease");
    let bytes = cache.document(&url, RELEASE_LIMIT_BYTES, on)?;
    let release = Release::verified(&url, &bytes, keyring, now)?;
    // Else an older release, well signed, could be put in its place.
    if release.codename != archive.suite && release.suite != archive.suite {
        return Err(ReleaseError::OtherSuite {
            url,
            found: release.codename,
            wanted: archive.suite.clone(),
        }
        .into());
    }
    let mut texts = Vec::new();
    for component in &archive.components {
        let plain = format!("{component}/binary-{architecture}/Packages");
        let found = ["xz", "gz", ""].into_iter().find_map(|ending| {
            let path = match ending {
                "" => plain.clone(),
                ending => format!("{plain}.{ending}"),
            };
            let (digest, size_bytes) = release.file(&path)?;
            Some((ending, path, digest, size_bytes))
        });
        let Some((ending, path, digest, size_bytes)) = found else {
            return Err(ReleaseError::NoIndex { url, path: plain }.into());
        };
        let address = match release.by_hash {
            true => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{dists}/{folder}/by-hash/SHA256/{}", digest.hex())
            }
            false => format!("{dists}/{path}"),
        };
        let wanted = Wanted {
            url: address.clone(),
            digest,
            size_bytes,
        };
        if size_bytes > INDEX_LIMIT_BYTES {
            return Err(CacheError::TooLarge {
                url: address,
                limit_bytes: INDEX_LIMIT_BYTES,
            }
            .into());
        }
        cache.fill(std::slice::from_ref(&wanted), on)?;
        let bytes = cache.read(&wanted)?;
        let expected = release.file(&plain).map(|(_, size)| size);
        let text = unpacked(ending, &bytes, expected).map_err(|source| DebianError::Index {
            url: address,
            source,
        })?;
        texts.push(text);
    }
    Ok(texts)
}

fn unpacked(ending: &str, bytes: &[u8], expected: Option<u64>) -> std::io::Result<String> {
    let limit = expected.unwrap_or(INDEX_LIMIT_BYTES).min(INDEX_LIMIT_BYTES);
    let mut text =
        String::with_capacity(usize::try_from(expected.unwrap_or(0).min(limit)).unwrap_or(0));
    let read = match deb::decompressed(ending, bytes) {
        Some(stream) => stream?.take(limit + 1).read_to_string(&mut text),
        None => bytes.take(limit + 1).read_to_string(&mut text),
    };
    read?;
    match text.len() as u64 > limit {
        true => Err(std::io::Error::other(
            "it unpacks to more than its release says",
        )),
        false => Ok(text),
    }
}

/// The packages of a base, by their places in `universe`.
fn choose(
    variant: Variant,
    universe: &Universe<'_>,
    more: &[String],
) -> Result<Vec<usize>, Conflict> {
    let absent = |name: &str| Conflict {
        wanted: name.to_owned(),
        because: Vec::new(),
        reasons: vec![format!("no archive has {name}")],
    };
    let Variant::Distroless(which) = variant else {
        let mut asked: Vec<&str> = universe
            .packages
            .iter()
            .filter(|package| package.essential || package.priority == "required")
            .map(|package| package.name)
            // Only what converts an old system, and has 48 MB of Perl with it.
            .filter(|name| *name != "usrmerge")
            .chain(["apt", "usr-is-merged"])
            .collect();
        asked.sort_unstable();
        asked.dedup();
        let more = more.iter().map(String::as_str);
        let clauses = asked.into_iter().chain(more).flat_map(relation::clauses);
        return solve::solve(universe, clauses.collect(), &["usrmerge"]);
    };
    let mut chosen = Vec::new();
    for one in Variant::packages(which) {
        let is_meant = |beside| universe.newest(beside).is_some();
        if !one.beside.is_none_or(is_meant) {
            continue;
        }
        let found = one.names.split('|').find_map(|name| universe.newest(name));
        match found {
            Some(at) => chosen.push(at),
            None => return Err(absent(&one.names.replace('|', " or "))),
        }
    }
    for name in more {
        chosen.push(universe.newest(name).ok_or_else(|| absent(name))?);
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// Puts a base together from its packages; `days` since 1970 is the day on
/// which it happens.
///
/// # Errors
/// A package that cannot be had, is not what its digest says, or is hostile;
/// files that do not fit together.
pub fn assemble(
    variant: Variant,
    locked: &LockedBase,
    archives: &[Archive],
    cache: &Cache<'_>,
    days: u64,
    on: &mut dyn FnMut(Event),
) -> Result<Assembled, DebianError> {
    let mut packages: Vec<(&LockedPackage, Wanted)> = Vec::new();
    for package in &locked.packages {
        let archive = archives.iter().find(|one| one.name == package.archive);
        let archive = archive.ok_or_else(|| DebianError::NoArchive {
            package: package.name.clone(),
            archive: package.archive.clone(),
        })?;
        packages.push((
            package,
            Wanted {
                url: format!("{}/{}", archive.url, package.path),
                digest: package.digest,
                size_bytes: package.size_bytes,
            },
        ));
    }
    // Its folders' modes are what counts: the first package to have one says.
    packages.sort_by_key(|(package, _)| (package.name != "base-files", &package.name));
    let wanted: Vec<Wanted> = packages.iter().map(|(_, wanted)| wanted.clone()).collect();
    cache.fill(&wanted, on)?;
    on(Event::Unpacking {
        packages: packages.len(),
    });
    let mut debs = unpack_all(variant, &packages, cache)?;
    let mut files = Files::new();
    let failed = |package: &str| {
        let package = package.to_owned();
        move |source| DebianError::Files { package, source }
    };
    if variant == Variant::Slim {
        merged_links(&mut files, &debs).map_err(failed("the merged /usr"))?;
    }
    place(&mut files, &mut debs)?;
    let codename = codename_of(&locked.from);
    let skipped = match variant {
        Variant::Slim => {
            let skipped =
                effects::apply(&mut files, &debs, days).map_err(failed("what scripts make"))?;
            variants::finish_slim(&mut files, codename).map_err(failed("the rest"))?;
            let dash = packages.iter().any(|(package, _)| package.name == "dash");
            dpkg::record(&mut files, &debs, &locked.architecture, dash)
                .map_err(failed("the records"))?;
            skipped
        }
        Variant::Distroless(which) => {
            variants::finish_distroless(&mut files, which).map_err(failed("the rest"))?;
            dpkg::record_each(&mut files, &debs).map_err(failed("the records"))?;
            Vec::new()
        }
    };
    Ok(Assembled { files, skipped })
}

/// The release that a lock is of.
pub fn codename_of(from: &str) -> &str {
    from.split(' ').nth(1).unwrap_or("")
}

/// The packages that a lock has besides the base's own.
pub fn packages_of(from: &str) -> Vec<String> {
    let more = from.split_once(" with ").map_or("", |(_, more)| more);
    let names = more.split(", ").filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Unpacks the packages on all cores, in order.
fn unpack_all(
    variant: Variant,
    packages: &[(&LockedPackage, Wanted)],
    cache: &Cache<'_>,
) -> Result<Vec<Deb>, DebianError> {
    type Slot = Mutex<Option<Result<Deb, DebianError>>>;
    let slots: Vec<Slot> = packages.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    // The largest first, so that no core is left with one at the end.
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(packages[*at].1.size_bytes));
    let root = cache.reader();
    let work = || {
        while let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (package, wanted) = &packages[*at];
            let read = || {
                let bytes = root.read(wanted)?;
                let keep = |path: &str| variant.wants(&package.name, path);
                Deb::read(&bytes, &keep).map_err(|source| DebianError::Package {
                    package: format!("{} {}", package.name, package.version),
                    source,
                })
            };
            let result = read();
            *slots[*at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        for _ in 1..cores.min(16) {
            scope.spawn(work);
        }
        work();
    });
    slots
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// `/bin` and its like as links into `/usr`, as `usr-is-merged` wants them.
fn merged_links(files: &mut Files, debs: &[Deb]) -> Result<(), FilesError> {
    let used = |name: &&str| {
        let (folder, in_usr) = (format!("{name}/"), format!("usr/{name}/"));
        let mut paths = debs.iter().flat_map(|deb| &deb.paths);
        paths.any(|path| path.starts_with(&folder) || path.starts_with(&in_usr))
    };
    let more = variants::MERGED_IF_USED.iter().copied().filter(used);
    for name in variants::MERGED.into_iter().chain(more) {
        files.add("usr", Node::folder(0o755))?;
        files.add(&format!("usr/{name}"), Node::folder(0o755))?;
        files.add(name, Node::link(format!("usr/{name}")))?;
    }
    Ok(())
}

/// Puts each package's files in their places; contents are moved, not copied.
fn place(files: &mut Files, debs: &mut [Deb]) -> Result<(), DebianError> {
    let mut owners: HashMap<String, usize> = HashMap::new();
    for at in 0..debs.len() {
        let data = std::mem::take(&mut debs[at].data);
        let name = |at: usize| {
            let fields = dpkg::control(&debs[at]);
            fields
                .and_then(|fields| fields.get("Package"))
                .unwrap_or("?")
        };
        let failed = |source| DebianError::Files {
            package: name(at).to_owned(),
            source,
        };
        for (path, mut node) in data {
            let real = files.real(&path).map_err(failed)?;
            if let EntryKind::Hardlink(target) = &node.kind {
                node.kind = EntryKind::Hardlink(files.real(target).map_err(failed)?);
            }
            let is_folder = node.is_folder();
            if !is_folder && files.get(&real).is_some() {
                let Some(other) = owners.get(&real).copied() else {
                    files.add(&path, node).map_err(failed)?;
                    continue;
                };
                if other == at {
                    return Err(failed(FilesError::Twice(real)));
                }
                if replaces(&debs[other], name(at)) {
                    continue;
                }
                if !replaces(&debs[at], name(other)) {
                    return Err(DebianError::Overlap {
                        path: real,
                        one: name(other).to_owned(),
                        other: name(at).to_owned(),
                    });
                }
                files.put(&path, node).map_err(failed)?;
            } else {
                files.add(&path, node).map_err(failed)?;
            }
            if !is_folder {
                owners.insert(real, at);
            }
        }
    }
    Ok(())
}

/// Whether a package's files take the place of another's.
fn replaces(deb: &Deb, other: &str) -> bool {
    let replaced = dpkg::control(deb).and_then(|fields| fields.get("Replaces"));
    let mut clauses = relation::clauses(replaced.unwrap_or("")).flatten();
    clauses.any(|one| one.name == other)
}
