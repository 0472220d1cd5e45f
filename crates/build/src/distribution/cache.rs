//! Downloads beside the store, by digest, and the mirrors they come from.
//!
//! A file is in the cache under its digest, or not at all: it is written
//! beside, verified, and renamed. One process at a time downloads, so that two
//! builds at once fetch nothing twice; the kernel lets the lock go when its
//! holder dies. What is read is verified again: a disk may err.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ounce_oci::Digest;
use ounce_oci::digest::Hashing;
use ounce_oci::fetch::{Client, Download, FetchError, What};
use ounce_oci::lock::{Lock, LockError};

use super::{Event, Wanted};

/// What fetches over a network.
pub trait Network {
    /// A document whose digest is not known yet, of at most `limit_bytes`.
    ///
    /// # Errors
    /// It could not be had; the text says what and where.
    fn document(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, NetworkError>;

    /// Files, each to its place: there only once whole and verified.
    ///
    /// # Errors
    /// One could not be had.
    fn files(
        &self,
        wanted: &[(Wanted, PathBuf)],
        on: &mut dyn FnMut(Event),
    ) -> Result<(), NetworkError>;
}

/// Files that come at once: mirrors ask for few connections.
const CONNECTIONS: usize = 4;

impl Network for Client {
    fn document(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, NetworkError> {
        Ok(self.to_memory(&Download::new(url).limit(limit_bytes), &mut |_| {})?)
    }

    fn files(
        &self,
        wanted: &[(Wanted, PathBuf)],
        on: &mut dyn FnMut(Event),
    ) -> Result<(), NetworkError> {
        let download = |(wanted, path): &(Wanted, PathBuf)| {
            let download = Download::new(&wanted.url)
                .digest(wanted.digest)
                .size(wanted.size_bytes);
            (download, path.clone())
        };
        let list: Vec<_> = wanted.iter().map(download).collect();
        let mut bytes = vec![0; list.len()];
        self.to_files(&list, CONNECTIONS, &mut |event| match event.what {
            What::Advanced { bytes: now } | What::Done { bytes: now } => {
                bytes[event.item] = now;
                on(Event::Downloaded {
                    bytes: bytes.iter().sum(),
                });
            }
            What::Waiting { why, .. } => on(Event::Again { why }),
            _ => {}
        })?;
        Ok(())
    }
}

/// What the network said, with its causes.
pub type NetworkError = Box<dyn std::error::Error + Send + Sync>;

/// Nothing comes over it.
#[derive(Debug, Clone, Copy)]
pub struct NoNetwork;

/// The cache.
pub struct Cache<'n> {
    root: PathBuf,
    network: &'n dyn Network,
    /// Documents are taken as they came the last time.
    offline: bool,
}

/// Reads from a cache.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'c> {
    root: &'c Path,
}

/// A download that is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The network.
    #[error("fetching {url}")]
    Network {
        /// What.
        url: String,
        /// Why.
        #[source]
        source: NetworkError,
    },
    /// The disk.
    #[error("{action} {}", path.display())]
    Io {
        /// `reading`, `writing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another file than was meant.
    #[error("{url} is {found}, not {wanted}")]
    Digest {
        /// The file.
        url: String,
        /// What it is.
        found: Digest,
        /// What it must be.
        wanted: Digest,
    },
    /// Larger than it may be.
    #[error("{url} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The file.
        url: String,
        /// The bound.
        limit_bytes: u64,
    },
    /// Asked for without network.
    #[error("{0} is not in the cache, and the network may not be used")]
    Offline(String),
    /// Neither a file nor on the network.
    #[error("{0} is no address: http://, https:// or file:/// is wanted")]
    Url(String),
}

impl CacheError {
    /// Whether the network is at fault.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Offline(_))
    }

    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Digest { .. } => vec![
                "the mirror changes, or is not what it says: try again in some minutes, or \
                 another --mirror"
                    .to_owned(),
                "if it comes from ounce.lock: `ounce update` takes what the mirror has now"
                    .to_owned(),
            ],
            Self::Offline(_) => vec!["leave --offline away".to_owned()],
            Self::Network { .. } => {
                vec!["--mirror names another mirror, a folder by file:///DIR, too".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl Network for NoNetwork {
    fn document(&self, _: &str, _: u64) -> Result<Vec<u8>, NetworkError> {
        Err("the network may not be used".into())
    }

    fn files(&self, _: &[(Wanted, PathBuf)], _: &mut dyn FnMut(Event)) -> Result<(), NetworkError> {
        Err("the network may not be used".into())
    }
}

impl<'n> Cache<'n> {
    /// A cache in the folder `root`, which is made when something comes.
    pub fn new(root: impl Into<PathBuf>, network: &'n dyn Network, offline: bool) -> Self {
        Self {
            root: root.into(),
            network,
            offline,
        }
    }

    /// A document that changes: always asked for anew, unless offline.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn document(
        &self,
        url: &str,
        limit_bytes: u64,
        on: &mut dyn FnMut(Event),
    ) -> Result<Vec<u8>, CacheError> {
        if let Some(path) = local(url)? {
            return read_some(&path, url, limit_bytes);
        }
        let kept = self
            .root
            .join("documents")
            .join(Digest::of(url.as_bytes()).hex());
        if self.offline {
            return match kept.exists() {
                true => read_some(&kept, url, limit_bytes),
                false => Err(CacheError::Offline(url.to_owned())),
            };
        }
        on(Event::Index {
            url: url.to_owned(),
        });
        let bytes = self
            .network
            .document(url, limit_bytes)
            .map_err(|source| not_fetched(url.to_owned(), source))?;
        self.place(&kept, &mut &*bytes)?;
        Ok(bytes)
    }

    /// Sees to it that all of `wanted` are in the cache.
    ///
    /// # Errors
    /// One is not to be had; those that came stay.
    pub fn fill(&self, wanted: &[Wanted], on: &mut dyn FnMut(Event)) -> Result<(), CacheError> {
        let missing = |wanted: &&Wanted| {
            // A file of another length is a disk's fault: fetched again.
            fs::metadata(self.path(&wanted.digest))
                .map_or(true, |data| data.len() != wanted.size_bytes)
        };
        if !wanted.iter().any(|file| missing(&file)) {
            return Ok(());
        }
        let _lock = self.lock(on)?;
        let mut missing: Vec<&Wanted> = wanted.iter().filter(missing).collect();
        missing.sort_by_key(|wanted| &wanted.digest);
        missing.dedup_by_key(|wanted| &wanted.digest);
        if missing.is_empty() {
            return Ok(());
        }
        on(Event::Downloading {
            files: missing.len(),
            bytes: missing.iter().map(|wanted| wanted.size_bytes).sum(),
        });
        let mut far = Vec::new();
        for wanted in missing {
            let to = self.path(&wanted.digest);
            match local(&wanted.url)? {
                Some(from) => self.copy(&from, wanted, &to)?,
                None if self.offline => return Err(CacheError::Offline(wanted.url.clone())),
                None => far.push((wanted.clone(), to)),
            }
        }
        if let Some((first, _)) = far.first() {
            let url = match far.len() {
                1 => first.url.clone(),
                count => format!("{count} files, the first of them {}", first.url),
            };
            self.network
                .files(&far, on)
                .map_err(|source| not_fetched(url, source))?;
        }
        Ok(())
    }

    /// A file whose digest is not known before it has come; what it must be is
    /// for the caller to say, and then to [`Cache::keep`] it.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn fetch(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, CacheError> {
        if let Some(path) = local(url)? {
            return read_some(&path, url, limit_bytes);
        }
        if self.offline {
            return Err(CacheError::Offline(url.to_owned()));
        }
        self.network
            .document(url, limit_bytes)
            .map_err(|source| not_fetched(url.to_owned(), source))
    }

    /// Puts a file into the cache that came by [`Cache::fetch`], under a name
    /// of the caller's besides its digest.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<Digest, CacheError> {
        let digest = Digest::of(bytes);
        self.place(&self.path(&digest), &mut &*bytes)?;
        let text = digest.to_string();
        self.place(&self.named(name), &mut text.as_bytes())?;
        Ok(digest)
    }

    /// The digest of what was kept under a name, if the file is still there.
    pub fn kept(&self, name: &str, size_bytes: u64) -> Option<Digest> {
        let text = fs::read_to_string(self.named(name)).ok()?;
        let digest = text.parse().ok()?;
        let data = fs::metadata(self.path(&digest)).ok()?;
        (data.len() == size_bytes).then_some(digest)
    }

    fn named(&self, name: &str) -> PathBuf {
        let name = Digest::of(name.as_bytes()).hex();
        self.root.join("names").join(name)
    }

    /// Reads what [`Cache::fill`] brought: see [`Reader::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, wanted: &Wanted) -> Result<Vec<u8>, CacheError> {
        self.reader().read(wanted)
    }

    /// What can only read, and so on several threads.
    pub fn reader(&self) -> Reader<'_> {
        Reader { root: &self.root }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        placed(&self.root, digest)
    }

    /// Keeps others of this machine from putting a base together meanwhile: who waited
    /// finds it made, and one at a time takes the memory that it takes.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn alone(&self, on: &mut dyn FnMut(Event)) -> Result<Option<Lock>, CacheError> {
        self.make_root()?;
        // Nothing is written: a cache that can only be read will do.
        let mut wait = waiting("putting a base together", on);
        Lock::wait_for_folder(&self.root, &mut wait).map_err(not_locked)
    }

    fn lock(&self, on: &mut dyn FnMut(Event)) -> Result<Lock, CacheError> {
        self.make_root()?;
        let mut wait = waiting("downloading", on);
        Lock::wait(&self.root.join("lock"), &mut wait).map_err(not_locked)
    }

    fn make_root(&self) -> Result<(), CacheError> {
        let folder = self.root.join("sha256");
        fs::create_dir_all(&folder).map_err(|source| failed("making", &folder, source))
    }

    /// A file of a mirror that is a folder.
    fn copy(&self, from: &Path, wanted: &Wanted, to: &Path) -> Result<(), CacheError> {
        let open = |path| -> io::Result<File> {
            // Asked first: a pipe would be waited for.
            match fs::metadata(path)?.is_file() {
                true => File::open(path),
                false => Err(io::Error::other("not a regular file")),
            }
        };
        let file = open(from).map_err(|source| failed("reading", from, source))?;
        let mut hashing = Hashing::new(Vec::new());
        io::copy(&mut file.take(wanted.size_bytes + 1), &mut hashing)
            .map_err(|source| failed("reading", from, source))?;
        let (bytes, found, _) = hashing.into_digest();
        if found != wanted.digest {
            return Err(CacheError::Digest {
                url: wanted.url.clone(),
                found,
                wanted: wanted.digest,
            });
        }
        self.place(to, &mut &*bytes)
    }

    /// Writes a file whole, or not at all.
    fn place(&self, to: &Path, from: &mut dyn Read) -> Result<(), CacheError> {
        let folder = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| failed("making", folder, source))?;
        let beside = to.with_extension(format!("part-{}", std::process::id()));
        let mut write = || -> io::Result<()> {
            let mut file = File::create(&beside)?;
            io::copy(from, &mut file)?;
            file.flush()?;
            file.sync_data()?;
            fs::rename(&beside, to)
        };
        let written = write();
        if written.is_err() {
            // What is half written helps nobody.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(|source| failed("writing", to, source))
    }
}

impl Reader<'_> {
    /// Reads what [`Cache::fill`] brought, verified once more.
    ///
    /// # Errors
    /// It is not there, or no longer what it was; then it is removed, to be
    /// fetched again the next time.
    pub fn read(&self, wanted: &Wanted) -> Result<Vec<u8>, CacheError> {
        let path = placed(self.root, &wanted.digest);
        let bytes = read_some(&path, &wanted.url, wanted.size_bytes)?;
        let found = Digest::of(&bytes);
        if found != wanted.digest {
            // Nothing is lost by it: it was not what its name says.
            let _ = fs::remove_file(&path);
            return Err(CacheError::Digest {
                url: path.display().to_string(),
                found,
                wanted: wanted.digest,
            });
        }
        Ok(bytes)
    }
}

fn placed(root: &Path, digest: &Digest) -> PathBuf {
    root.join("sha256").join(digest.hex())
}

/// What came could not be written: that is no fault of the network's.
fn not_fetched(url: String, source: NetworkError) -> CacheError {
    match source.downcast::<FetchError>() {
        Ok(error) => match *error {
            FetchError::Write { path, source } => failed("writing", &path, source),
            other => CacheError::Network {
                url,
                source: other.into(),
            },
        },
        Err(source) => CacheError::Network { url, source },
    }
}

/// Tells who is waited for, and why.
fn waiting(doing: &'static str, on: &mut dyn FnMut(Event)) -> impl FnMut(Option<u32>) {
    move |holder_pid| on(Event::Waiting { doing, holder_pid })
}

fn not_locked(error: LockError) -> CacheError {
    match error {
        LockError::Io { path, source } => failed("locking", &path, source),
        // It is waited for as long as it takes.
        LockError::Held { path, .. } => failed("locking", &path, io::ErrorKind::WouldBlock.into()),
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The path of a `file:` address; `None` for those of a network.
fn local(url: &str) -> Result<Option<PathBuf>, CacheError> {
    if let Some(path) = url.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path.starts_with('/') {
            true => Ok(Some(path.into())),
            false => Err(CacheError::Url(url.to_owned())),
        };
    }
    match url.starts_with("http://") || url.starts_with("https://") {
        true => Ok(None),
        false => Err(CacheError::Url(url.to_owned())),
    }
}

fn read_some(path: &Path, url: &str, limit_bytes: u64) -> Result<Vec<u8>, CacheError> {
    let read = || -> io::Result<Vec<u8>> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(limit_bytes.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| failed("reading", path, source))?;
    match bytes.len() as u64 > limit_bytes {
        true => Err(CacheError::TooLarge {
            url: url.to_owned(),
            limit_bytes,
        }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(folder: &Path, name: &str, bytes: &[u8]) -> Wanted {
        fs::write(folder.join(name), bytes).unwrap();
        Wanted {
            url: format!("file://{}/{name}", folder.display()),
            digest: Digest::of(bytes),
            size_bytes: bytes.len() as u64,
        }
    }

    #[test]
    fn a_file_of_a_mirror_is_kept_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let one = wanted(folder.path(), "one", b"one");
        let cache = Cache::new(folder.path().join("cache"), &NoNetwork, false);
        cache
            .fill(&[one.clone(), one.clone()], &mut |_| {})
            .unwrap();
        fs::remove_file(folder.path().join("one")).unwrap();
        cache
            .fill(std::slice::from_ref(&one), &mut |_| {
                panic!("nothing is missing")
            })
            .unwrap();
        assert_eq!(cache.read(&one).unwrap(), b"one");
    }

    #[test]
    fn a_wrong_file_never_enters_and_a_spoilt_one_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = wanted(folder.path(), "one", b"one");
        let cache = Cache::new(folder.path().join("cache"), &NoNetwork, false);
        fs::write(folder.path().join("one"), b"two").unwrap();
        let error = cache
            .fill(std::slice::from_ref(&one), &mut |_| {})
            .unwrap_err();
        assert!(matches!(error, CacheError::Digest { .. }), "{error}");
        assert_eq!(
            fs::read_dir(folder.path().join("cache/sha256"))
                .unwrap()
                .count(),
            0
        );
        one = wanted(folder.path(), "one", b"one");
        cache.fill(std::slice::from_ref(&one), &mut |_| {}).unwrap();
        fs::write(cache.path(&one.digest), b"oen").unwrap();
        assert!(matches!(cache.read(&one), Err(CacheError::Digest { .. })));
        cache.fill(std::slice::from_ref(&one), &mut |_| {}).unwrap();
        assert_eq!(cache.read(&one).unwrap(), b"one");
    }

    /// A network that delivers to a full disk.
    struct Full;

    impl Network for Full {
        fn document(&self, url: &str, _: u64) -> Result<Vec<u8>, NetworkError> {
            Err(format!("{url} is not asked for").into())
        }

        fn files(
            &self,
            wanted: &[(Wanted, PathBuf)],
            _: &mut dyn FnMut(Event),
        ) -> Result<(), NetworkError> {
            Err(Box::new(FetchError::Write {
                path: wanted[0].1.clone(),
                source: io::ErrorKind::StorageFull.into(),
            }))
        }
    }

    #[test]
    fn a_full_disk_is_not_blamed_on_the_network() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), &Full, false);
        let far = Wanted {
            url: "http://192.0.2.1/a".to_owned(),
            digest: Digest::of(b""),
            size_bytes: 1,
        };
        let error = cache.fill(&[far], &mut |_| {}).unwrap_err();
        assert!(!error.is_network() && error.hints().is_empty(), "{error:?}");
        assert!(matches!(error, CacheError::Io { .. }), "{error:?}");
        let error = cache.document("http://192.0.2.1/", 1, &mut |_| {});
        assert!(error.unwrap_err().is_network());
    }

    #[test]
    fn offline_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), &NoNetwork, true);
        let far = Wanted {
            url: "http://192.0.2.1/a".to_owned(),
            digest: Digest::of(b""),
            size_bytes: 1,
        };
        let error = cache.fill(&[far], &mut |_| {}).unwrap_err();
        assert!(matches!(error, CacheError::Offline(_)) && error.is_network());
        let error = cache.document("ftp://a", 1, &mut |_| {}).unwrap_err();
        assert!(matches!(error, CacheError::Url(_)));
    }
}
