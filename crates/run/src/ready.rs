//! What a start has to know of an image, kept from the last one, so that the
//! next reads one small file in place of index, manifest and configuration.
//!
//! A record says of which name in which store it is, and of which index: a
//! store whose index is another file, or was written since, has it made anew.
//! It is as trustworthy as the unpacked files that it stands beside, and like
//! those it can be thrown away at any time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ounce_oci::Digest;

use crate::image::Essence;
use crate::spec::User;

/// The first field; another layout of the others has another number.
const FORMAT: &str = "ounce-ready/2";
/// Longer ones are not kept: they are read in one piece.
const LONGEST: usize = 16 << 10;
/// An index that was written so recently could be written again without a sign
/// of it: a file system's clock has ticks (of 10 ms at most).
const SETTLED: Duration = Duration::from_secs(1);

/// Where a record is kept, and of what.
#[derive(Debug, Clone)]
pub struct Key {
    file: PathBuf,
    store: PathBuf,
    name: String,
}

/// What is kept of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Of its manifest, by which it is unpacked.
    pub digest: Digest,
    /// What its configuration says.
    pub essence: Essence,
    /// Its word on socket activation.
    pub activation: Option<String>,
    /// Its word on system calls.
    pub calls: Option<String>,
    /// Of WebAssembly, the module's path beneath the unpacked image.
    pub module: Option<OsString>,
}

impl Key {
    /// The record in `folder` of the image that is called so in this store.
    pub fn new(folder: &Path, store: &Path, name: &str) -> Self {
        // FNV-1a: the record itself says of what it is.
        let bytes = store.as_os_str().as_bytes().iter().chain(name.as_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            file: folder.join(format!("{hash:016x}")),
            store: store.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Which index the store has, and when that was last changed.
    fn index(&self) -> Option<(String, SystemTime)> {
        let data = fs::metadata(self.store.join("index.json")).ok()?;
        let identity = format!(
            "{} {} {} {}.{} {}.{}",
            data.dev(),
            data.ino(),
            data.size(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec()
        );
        let changed = UNIX_EPOCH + Duration::from_secs(data.ctime().try_into().ok()?);
        Some((identity, changed))
    }

    /// The record, if it is of the store's index as it is now.
    pub fn read(&self) -> Option<Ready> {
        let mut bytes = [0; LONGEST + 1];
        let mut file = fs::File::open(&self.file).ok()?;
        let mut length = 0;
        loop {
            match file.read(&mut bytes[length..]).ok()? {
                0 => break,
                count => length += count,
            }
        }
        let mut fields = Fields(bytes.get(..length).filter(|bytes| bytes.len() <= LONGEST)?);
        let (index, _) = self.index()?;
        let expected = [
            OsStr::new(FORMAT),
            self.store.as_os_str(),
            OsStr::new(&self.name),
            OsStr::new(&index),
        ];
        for expected in expected {
            if fields.next()? != expected.as_bytes() {
                return None;
            }
        }
        Some(Ready {
            digest: fields.text()?.parse().ok()?,
            essence: Essence {
                entrypoint: fields.list()?,
                command: fields.list()?,
                environment: fields.list()?,
                workdir: fields.list()?.pop().map(PathBuf::from),
                user: User {
                    uid: fields.text()?.parse().ok()?,
                    gid: fields.text()?.parse().ok()?,
                },
            },
            activation: fields.optional()?,
            calls: fields.optional()?,
            module: fields.list()?.pop(),
        })
    }

    /// Keeps a record of what was read since `index`; without a word if it
    /// cannot be, since nothing but time is lost.
    pub fn keep(&self, since: &Since, ready: &Ready) {
        let Some((index, changed)) = self.index() else {
            return;
        };
        let settled = SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|age| age > SETTLED);
        if since.0.as_ref() != Some(&index) || !settled {
            return;
        }
        let essence = &ready.essence;
        let mut bytes = Vec::new();
        put(&mut bytes, FORMAT.as_bytes());
        put(&mut bytes, self.store.as_os_str().as_bytes());
        put(&mut bytes, self.name.as_bytes());
        put(&mut bytes, index.as_bytes());
        put(&mut bytes, ready.digest.to_string().as_bytes());
        put_list(&mut bytes, &essence.entrypoint);
        put_list(&mut bytes, &essence.command);
        put_list(&mut bytes, &essence.environment);
        put_list(&mut bytes, essence.workdir.as_slice());
        put(&mut bytes, essence.user.uid.to_string().as_bytes());
        put(&mut bytes, essence.user.gid.to_string().as_bytes());
        put_list(&mut bytes, ready.activation.as_slice());
        put_list(&mut bytes, ready.calls.as_slice());
        put_list(&mut bytes, ready.module.as_slice());
        if bytes.len() <= LONGEST {
            let _ = self.write(&bytes);
        }
    }

    /// Whole or not at all.
    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let aside = self.file.with_extension(std::process::id().to_string());
        fs::write(&aside, bytes)?;
        fs::rename(&aside, &self.file).inspect_err(|_| drop(fs::remove_file(&aside)))
    }

    /// To be asked before the image is read, for [`Key::keep`].
    pub fn since(&self) -> Since {
        Since(self.index().map(|(index, _)| index))
    }
}

/// The store's index before an image was read.
#[derive(Debug)]
pub struct Since(Option<String>);

/// Throws all records away.
///
/// # Errors
/// The folder cannot be removed.
pub fn clear(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A field: its length as four bytes, then as many bytes.
fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend((field.len() as u32).to_le_bytes());
    bytes.extend(field);
}

/// A list: how many, then a field each.
fn put_list(bytes: &mut Vec<u8>, list: &[impl AsRef<OsStr>]) {
    bytes.extend((list.len() as u32).to_le_bytes());
    for field in list {
        put(bytes, field.as_ref().as_bytes());
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*number)).ok()
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.next()?).ok()
    }

    fn optional(&mut self) -> Option<Option<String>> {
        match self.list()?.pop() {
            Some(text) => text.into_string().ok().map(Some),
            None => Some(None),
        }
    }

    fn list(&mut self) -> Option<Vec<OsString>> {
        let count = self.number()?;
        (0..count.min(LONGEST))
            .map(|_| Some(OsString::from_vec(self.next()?.to_owned())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Ready {
        Ready {
            digest: Digest::of(b"manifest"),
            essence: Essence {
                entrypoint: vec!["/app".into()],
                command: vec![],
                environment: vec!["A=1".into(), OsString::from_vec(vec![b'B', b'=', 0xff])],
                workdir: Some("/srv".into()),
                user: User { uid: 7, gid: 8 },
            },
            activation: Some("1".into()),
            calls: None,
            module: Some("module.wasm".into()),
        }
    }

    /// A store whose index was last written long ago.
    fn settled() -> (tempfile::TempDir, Key) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.json"), "{}").unwrap();
        std::thread::sleep(SETTLED + Duration::from_millis(1100));
        let key = Key::new(&folder.path().join("ready"), folder.path(), "app:latest");
        (folder, key)
    }

    #[test]
    fn a_record_is_read_as_it_was_kept_until_the_index_changes() {
        let (folder, key) = settled();
        assert_eq!(key.read(), None);
        key.keep(&key.since(), &ready());
        assert_eq!(key.read(), Some(ready()));
        let other = Key::new(&folder.path().join("ready"), folder.path(), "app:other");
        assert_eq!(other.read(), None);
        // Renamed into place, as a store does it; of the same length.
        fs::write(folder.path().join("new"), "{ ").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("index.json")).unwrap();
        assert_eq!(key.read(), None);
        key.keep(&key.since(), &ready());
        assert_eq!(key.read(), None, "the index is too young");
        clear(&folder.path().join("ready")).unwrap();
        clear(&folder.path().join("ready")).unwrap();
    }

    #[test]
    fn a_record_is_not_kept_if_the_index_changed_while_the_image_was_read() {
        let (folder, key) = settled();
        let since = Since(Some("another".into()));
        key.keep(&since, &ready());
        assert_eq!(key.read(), None);
        drop(folder);
    }

    #[test]
    fn a_broken_record_counts_as_none() {
        let (_folder, key) = settled();
        key.keep(&key.since(), &ready());
        let whole = fs::read(&key.file).unwrap();
        for length in 0..whole.len() {
            fs::write(&key.file, &whole[..length]).unwrap();
            assert_eq!(key.read(), None, "{length}");
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] = 0xff;
            fs::write(&key.file, &broken).unwrap();
            // It may read as another one, but never harms.
            let _ = key.read();
        }
        fs::write(&key.file, vec![0; LONGEST + 1]).unwrap();
        assert_eq!(key.read(), None);
    }
}
