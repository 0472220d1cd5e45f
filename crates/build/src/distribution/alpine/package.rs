//! An `.apk` (version 2): signatures, a control part with `.PKGINFO` and
//! scripts, and the files. What it holds is believed because its control part
//! has the digest that a signed index or a lock gives, and names the digest of
//! the files.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use ounce_oci::Digest;
use ounce_oci::tar::read::{Fault, TarReader, normal};

use super::dependency::{Dependency, DependencyError, parse_list};
use super::index::{self, Checksum, Package, checksum_text};
use super::signed::{self, SignedError, sha1};
use super::version;

/// Most bytes of a package's files: Alpine's largest is some hundred megabytes.
const FILES_LIMIT: u64 = 2 << 30;
/// Most times its packed size that a package may unpack to, past the first 64 MiB.
const MOST_RATIO: u64 = 200;
/// Most files of one package.
const MOST_FILES: u64 = 500_000;

/// A package that is broken or not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Its parts.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// Its control part is another.
    #[error("its control part has the checksum {found}, the index says {wanted}")]
    Identity {
        /// What it is.
        found: String,
        /// What the index says.
        wanted: String,
    },
    /// Its length is another.
    #[error("it is {found_bytes} bytes long, the index says {wanted_bytes}")]
    Size {
        /// What it is.
        found_bytes: u64,
        /// What the index says.
        wanted_bytes: u64,
    },
    /// It calls itself by another name.
    #[error("it is {found}, not {wanted}")]
    Name {
        /// What it says.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// `.PKGINFO` lacks something.
    #[error("its .PKGINFO has no valid {0}")]
    Info(&'static str),
    /// A dependency in `.PKGINFO`.
    #[error("its .PKGINFO")]
    Dependency(#[from] DependencyError),
    /// Its files are others.
    #[error("its files have the digest {found}, its .PKGINFO says {wanted}")]
    Files {
        /// What they have.
        found: String,
        /// What it says.
        wanted: String,
    },
    /// The files' archive.
    #[error("{}", .path.as_ref().map_or("its files are no archive".to_owned(), |path| format!("its file {path:?}")))]
    Archive {
        /// Where.
        path: Option<String>,
        /// What is wrong there.
        #[source]
        fault: Fault,
    },
    /// A file is another.
    #[error("its file /{0} has not the checksum that is stated beside it")]
    File(String),
    /// A path that would break the database of the installed.
    #[error("its file {0:?} has a control character in its name")]
    Control(String),
}

/// A package, unpacked.
#[derive(Debug, Clone)]
pub(super) struct Unpacked {
    /// As an index has it.
    pub(super) package: Package,
    /// Files of which packages it may replace.
    pub(super) replaces: Vec<Dependency>,
    /// Which package's copy of a file stays.
    pub(super) replaces_priority: u64,
    /// Folders whose change starts its `trigger` script.
    pub(super) triggers: Vec<String>,
    /// Its scripts by kind, as `post-install`, in the order they came.
    pub(super) scripts: Vec<(String, Vec<u8>)>,
    /// Folders and files, in the order they came.
    pub(super) files: Vec<PackagedFile>,
    /// What a layer cannot hold, one sentence each.
    pub(super) left_out: Vec<String>,
}

/// A file of a package.
#[derive(Debug, Clone)]
pub(super) struct PackagedFile {
    /// Where, without a slash at either end.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: FileKind,
    /// Permission bits.
    pub(super) mode: u32,
    /// Owner and group by number,
    pub(super) owner: (u32, u32),
    /// and by name, which counts where the image knows it.
    pub(super) owner_names: (String, String),
    /// SHA-1 of a file's content or a link's target.
    pub(super) checksum: Option<Checksum>,
}

/// What a file of a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A folder.
    Folder,
    /// A file.
    File(Vec<u8>),
    /// A symbolic link.
    Symlink(String),
    /// Another name of a file of the same package.
    Hardlink(String),
}

/// Kinds of scripts, by the names of their files without the dot.
const SCRIPTS: [&str; 7] = [
    "pre-install",
    "post-install",
    "pre-deinstall",
    "post-deinstall",
    "pre-upgrade",
    "post-upgrade",
    "trigger",
];

/// Refuses a file that is not the package that the index speaks of.
///
/// # Errors
/// Another length, another control part.
pub(super) fn check(bytes: &[u8], wanted: &Package) -> Result<(), PackageError> {
    if bytes.len() as u64 != wanted.size_bytes {
        return Err(PackageError::Size {
            found_bytes: bytes.len() as u64,
            wanted_bytes: wanted.size_bytes,
        });
    }
    let identity = sha1(signed::split(bytes)?.control);
    match identity == wanted.identity {
        true => Ok(()),
        false => Err(PackageError::Identity {
            found: checksum_text(&identity),
            wanted: checksum_text(&wanted.identity),
        }),
    }
}

/// Unpacks a package, whose control part is known to be the right one; every
/// other byte is verified against it.
///
/// # Errors
/// Anything about it that is broken or hostile.
pub(super) fn unpack(bytes: &[u8]) -> Result<Unpacked, PackageError> {
    let parts = signed::split(bytes)?;
    let mut info = None;
    let mut scripts = Vec::new();
    for (name, content) in signed::files(&parts.control_tar, "control part")? {
        match name.strip_prefix('.') {
            Some("PKGINFO") => info = Some(content),
            Some(kind) if SCRIPTS.contains(&kind) => scripts.push((kind.to_owned(), content)),
            _ => {}
        }
    }
    let info = info.ok_or(PackageError::Info("content"))?;
    let info = String::from_utf8(info).map_err(|_| PackageError::Info("text"))?;
    let mut unpacked = Unpacked {
        package: Package {
            identity: sha1(parts.control),
            size_bytes: bytes.len() as u64,
            ..Package::default()
        },
        replaces: Vec::new(),
        replaces_priority: 0,
        triggers: Vec::new(),
        scripts,
        files: Vec::new(),
        left_out: Vec::new(),
    };
    let data_hash = read_info(&info, &mut unpacked)?;
    let found = Digest::of(parts.data).hex();
    if found != data_hash {
        return Err(PackageError::Files {
            found,
            wanted: data_hash,
        });
    }
    read_files(parts.data, &mut unpacked)?;
    Ok(unpacked)
}

/// Takes `key = value` lines; returns the digest of the files.
fn read_info(text: &str, unpacked: &mut Unpacked) -> Result<String, PackageError> {
    let mut data_hash = None;
    let package = &mut unpacked.package;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        let number = |name| value.trim().parse().map_err(|_| PackageError::Info(name));
        let own = || Some(value.to_owned());
        match key {
            "pkgname" => value.clone_into(&mut package.name),
            "pkgver" => value.clone_into(&mut package.version),
            "pkgdesc" => value.clone_into(&mut package.description),
            "url" => value.clone_into(&mut package.url),
            "license" => value.clone_into(&mut package.license),
            "arch" => package.architecture = own(),
            "origin" => package.origin = own(),
            "maintainer" => package.maintainer = own(),
            "commit" => package.commit = own(),
            "builddate" => package.build_time = number("builddate")?,
            "size" => package.installed_bytes = number("size")?,
            "provider_priority" => package.priority = number("provider_priority")?,
            // Each once a line, or several in one.
            "depend" => package.depends.extend(parse_list(value)?),
            "provides" => package.provides.extend(parse_list(value)?),
            "install_if" => package.install_if.extend(parse_list(value)?),
            "replaces" => unpacked.replaces.extend(parse_list(value)?),
            "replaces_priority" => unpacked.replaces_priority = number("replaces_priority")?,
            "triggers" => {
                let folders = value.split_ascii_whitespace().map(str::to_owned);
                unpacked.triggers = folders.collect();
            }
            "datahash" => data_hash = own(),
            _ => {}
        }
    }
    if !index::is_name(&package.name) {
        return Err(PackageError::Info("pkgname"));
    }
    if !version::is_valid(&package.version) {
        return Err(PackageError::Info("pkgver"));
    }
    data_hash.ok_or(PackageError::Info("datahash"))
}

fn read_files(data: &[u8], unpacked: &mut Unpacked) -> Result<(), PackageError> {
    let most = (64 << 20_u64)
        .max(MOST_RATIO.saturating_mul(data.len() as u64))
        .min(FILES_LIMIT);
    let stream = Bounded {
        stream: MultiGzDecoder::new(data),
        left: most,
        most,
    };
    let mut reader = TarReader::new(stream, MOST_FILES);
    let mut last = None;
    loop {
        let raw = reader.next().map_err(|fault| PackageError::Archive {
            path: last.take(),
            fault,
        })?;
        let Some(raw) = raw else { return Ok(()) };
        last = Some(raw.path.clone());
        // As apk: what begins with a dot is the package's own.
        if raw.path.starts_with('.') && !raw.path.starts_with("..") {
            continue;
        }
        let at = |fault| PackageError::Archive {
            path: Some(raw.path.clone()),
            fault,
        };
        if raw.path.chars().any(char::is_control) {
            return Err(PackageError::Control(raw.path));
        }
        let path = normal(&raw.path).map_err(at)?;
        let stated = match raw.record("APK-TOOLS.checksum.SHA1") {
            Some(hex) => Some(from_hex(hex).ok_or_else(|| at(Fault::Pax))?),
            None => None,
        };
        let (kind, checksum) = match raw.kind {
            b'5' => (FileKind::Folder, None),
            b'0' => {
                let mut bytes = Vec::new();
                reader
                    .read_to_end(&mut bytes)
                    .map_err(|error| at(error.into()))?;
                let checksum = sha1(&bytes);
                (FileKind::File(bytes), Some(checksum))
            }
            b'2' if raw.link.is_empty() => return Err(at(Fault::Empty)),
            b'2' => {
                let checksum = sha1(raw.link.as_bytes());
                (FileKind::Symlink(raw.link.clone()), Some(checksum))
            }
            b'1' => {
                let target = normal(&raw.link).map_err(at)?;
                (FileKind::Hardlink(target), None)
            }
            _ => {
                let what = "a device or pipe, which a base does not hold";
                unpacked.left_out.push(format!("/{path} is {what}"));
                continue;
            }
        };
        if stated.is_some() && checksum.is_some() && stated != checksum {
            return Err(PackageError::File(path));
        }
        for (name, _) in &raw.xattrs {
            let what = "which a base does not hold";
            let said = format!("/{path} has the attribute {name}, {what}");
            unpacked.left_out.push(said);
        }
        let [owner, group] = raw.owners();
        unpacked.files.push(PackagedFile {
            path,
            kind,
            mode: raw.mode,
            owner: (raw.uid, raw.gid),
            owner_names: (owner.to_owned(), group.to_owned()),
            checksum,
        });
    }
}

fn from_hex(hex: &[u8]) -> Option<Checksum> {
    let mut checksum = [0; 20];
    if hex.len() != 40 {
        return None;
    }
    for (byte, pair) in checksum.iter_mut().zip(hex.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(checksum)
}

/// Ends with [`Fault::Bomb`] once more than `most` bytes have come.
struct Bounded<R> {
    stream: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| std::io::Error::other(Fault::Bomb(self.most)))?;
        Ok(count)
    }
}
