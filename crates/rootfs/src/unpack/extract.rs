//! One layer entry after another, into a folder that nothing can leave.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ounce_linux::resolve;
use ounce_oci::layer::{ReadEntry, ReadKind};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use super::{DEPTH, Options, Skipped, SkippedKind, UnpackError, Unpacked};
use crate::name;

/// Bytes copied at a time.
const CHUNK: usize = 128 << 10;
/// Longest path, with its ending NUL: the kernel's `PATH_MAX`.
const PATH_BYTES: usize = 4096;

/// A folder's mode, time and owner, set when all is written: a read-only
/// folder could not be filled, and filling it changes its time.
struct Folder {
    mode: u32,
    mtime: u64,
    uid: u32,
    gid: u32,
}

/// Writes entries into a folder.
pub(super) struct Extractor {
    root: Rc<OwnedFd>,
    options: Options,
    layer: usize,
    /// What this layer has made, with parents: its own whiteouts spare it. Not
    /// kept for the lowest layer, where whiteouts have nothing to hide. Here
    /// and in `folders` paths have no links, or two names of one place would differ.
    made: HashSet<Vec<u8>>,
    folders: BTreeMap<Vec<u8>, Folder>,
    /// The folder of the last entry: the next mostly lies in it too.
    parent: Option<Parent>,
    done: Unpacked,
    entries: u64,
    buffer: Vec<u8>,
}

/// An open folder of the image.
#[derive(Clone)]
struct Parent {
    /// As layers write it.
    written: Vec<u8>,
    /// With links followed.
    path: Vec<u8>,
    fd: Rc<OwnedFd>,
}

/// An open folder and where it is, links followed.
type Found = (Vec<u8>, Rc<OwnedFd>);

fn open_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Splits into folder and name; the folder of a name at the top is "".
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

/// Its first bytes, for an error.
fn shown(path: &[u8]) -> PathBuf {
    OsStr::from_bytes(&path[..path.len().min(200)]).into()
}

fn host<P: AsRef<[u8]> + ?Sized>(
    step: &'static str,
    path: &P,
) -> impl FnOnce(Errno) -> UnpackError + use<P> {
    let path: PathBuf = OsStr::from_bytes(path.as_ref()).into();
    move |errno| UnpackError::Host {
        step,
        path,
        source: errno.into(),
    }
}

impl Extractor {
    pub(super) fn new(place: &Path, options: Options) -> Result<Self, UnpackError> {
        let root = rustix::fs::openat(CWD, place, open_flags(), Mode::empty())
            .map_err(host("opening the folder", place.as_os_str().as_bytes()))?;
        Ok(Self {
            root: Rc::new(root),
            options,
            layer: 0,
            made: HashSet::new(),
            folders: BTreeMap::new(),
            parent: None,
            done: Unpacked::default(),
            entries: 0,
            buffer: Vec::new(),
        })
    }

    /// Begins the next layer, from the lowest up.
    pub(super) fn begin_layer(&mut self) {
        self.layer += 1;
        self.made.clear();
    }

    /// Writes one entry, or hides what it hides.
    pub(super) fn entry(
        &mut self,
        entry: &ReadEntry,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        self.entries += 1;
        if self.entries > self.options.entries {
            return Err(UnpackError::Limit {
                what: "files, folders and links",
                limit: self.options.entries,
            });
        }
        let path = entry.path.as_os_str().as_bytes();
        check_path(path)?;
        match &entry.kind {
            ReadKind::Whiteout => return self.whiteout(path),
            ReadKind::Opaque => return self.opaque(path),
            ReadKind::CharDevice(..) | ReadKind::BlockDevice(..) => {
                self.skip(path, SkippedKind::Device);
                return Ok(());
            }
            _ => {}
        }
        if path.is_empty() {
            // The root itself: its mode counts, all else about it is given.
            if entry.kind == ReadKind::Directory {
                self.folders.insert(Vec::new(), self.folder(entry));
            }
            return Ok(());
        }
        if !entry.xattrs.is_empty() {
            self.skip(path, SkippedKind::ExtendedAttributes);
        }
        if entry.mode & 0o6000 != 0 && !self.options.set_id {
            self.skip(path, SkippedKind::SetId);
        }
        let (folder, name) = split(path);
        let Parent {
            path: folder,
            fd: parent,
            ..
        } = self.folder_of(folder, path)?;
        let path = join(&folder, name);
        let path = path.as_slice();
        match &entry.kind {
            ReadKind::Directory => self.make_folder(&parent, name, path, entry)?,
            ReadKind::File => self.write_file(&parent, name, path, entry, content)?,
            ReadKind::Symlink(target) => {
                self.replacing(&parent, name, path, "making the link", |parent| {
                    rustix::fs::symlinkat(target.as_path(), parent, name)
                })?;
                self.own(&parent, name, entry)?;
                self.done.links += 1;
            }
            ReadKind::Hardlink(target) => {
                self.hard_link(&parent, name, path, target.as_os_str().as_bytes())?;
            }
            ReadKind::Fifo => {
                let mode = self.mode(entry, 0o444);
                self.replacing(&parent, name, path, "making the named pipe", |parent| {
                    rustix::fs::mkfifoat(parent, name, mode)
                })?;
                self.own(&parent, name, entry)?;
                self.done.files += 1;
            }
            ReadKind::CharDevice(..)
            | ReadKind::BlockDevice(..)
            | ReadKind::Whiteout
            | ReadKind::Opaque => {}
        }
        self.note_made(path);
        Ok(())
    }

    /// Gives folders their modes and times, deepest first.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        let folders = std::mem::take(&mut self.folders);
        for (path, folder) in folders.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let name: &[u8] = if path.is_empty() { b"." } else { path };
            let fd = match resolve::open(&*self.root, name, flags, within) {
                Ok(fd) => fd,
                // A link on the way to it was replaced since.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => return Err(host("opening the folder", path)(errno)),
            };
            if self.options.owner {
                let owner = (Uid::from_raw(folder.uid), Gid::from_raw(folder.gid));
                rustix::fs::fchown(&fd, Some(owner.0), Some(owner.1))
                    .map_err(host("giving away the folder", path))?;
            }
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(folder.mode))
                .map_err(host("setting the mode of the folder", path))?;
            rustix::fs::futimens(&fd, &times(folder.mtime))
                .map_err(host("setting the time of the folder", path))?;
        }
        Ok(self.done)
    }

    /// Makes sure that `name` at the top is a folder and no link. The mode is
    /// set at once: nothing of the image will be written into a folder made here.
    pub(super) fn mount_point(&mut self, name: &str, mode: u32) -> Result<(), UnpackError> {
        let root = Rc::clone(&self.root);
        let mode = Mode::from_raw_mode(mode);
        match rustix::fs::mkdirat(&*root, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) if is_folder(&root, name.as_bytes()).unwrap_or(false) => {
                return Ok(());
            }
            Err(Errno::EXIST) => {
                self.remove(&root, name.as_bytes(), name.as_bytes())?;
                rustix::fs::mkdirat(&*root, name, mode).map_err(host("making the folder", name))?;
            }
            Err(errno) => return Err(host("making the folder", name)(errno)),
        }
        // The umask may have taken bits away.
        rustix::fs::chmodat(&*root, name, mode, AtFlags::empty())
            .map_err(host("setting the mode of the folder", name))
    }

    fn skip(&mut self, path: &[u8], what: SkippedKind) {
        self.done.skipped.push(Skipped {
            path: name::shown(OsStr::from_bytes(path)),
            what,
        });
    }

    fn mode_bits(&self, mode: u32, readable: u32) -> u32 {
        let kept = if self.options.set_id { 0o7777 } else { 0o1777 };
        let mut mode = mode & kept;
        if self.options.readable {
            mode |= readable;
            if mode & 0o100 != 0 {
                mode |= 0o111;
            }
        }
        mode
    }

    fn mode(&self, entry: &ReadEntry, readable: u32) -> Mode {
        Mode::from_raw_mode(self.mode_bits(entry.mode, readable))
    }

    fn folder(&self, entry: &ReadEntry) -> Folder {
        Folder {
            mode: self.mode_bits(entry.mode, 0o555),
            mtime: entry.mtime,
            uid: entry.uid,
            gid: entry.gid,
        }
    }

    fn note_made(&mut self, path: &[u8]) {
        if self.layer <= 1 {
            return;
        }
        let mut path = path;
        while !path.is_empty() && self.made.insert(path.to_owned()) {
            path = split(path).0;
        }
    }

    /// Opens the folder that `child` lies in, making what is missing.
    fn folder_of(&mut self, folder: &[u8], child: &[u8]) -> Result<Parent, UnpackError> {
        if let Some(parent) = &self.parent
            && parent.written == folder
        {
            return Ok(parent.clone());
        }
        let (path, fd) = if folder.is_empty() {
            (Vec::new(), Rc::clone(&self.root))
        } else {
            match self.open(folder, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
                Ok(fd) => (folder.to_owned(), Rc::new(fd)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    self.make_parents(folder, child)?
                }
                Err(errno) => return Err(host("opening the folder", folder)(errno)),
            }
        };
        let parent = Parent {
            written: folder.to_owned(),
            path,
            fd,
        };
        self.parent = Some(parent.clone());
        Ok(parent)
    }

    fn open(&self, path: &[u8], within: ResolveFlags) -> Result<OwnedFd, Errno> {
        let within = within | ResolveFlags::NO_MAGICLINKS;
        resolve::open(&*self.root, path, open_flags(), within)
    }

    /// Walks to `folder` part by part. A link on the way is followed with the
    /// root as `/`, as merged-usr images need (`bin` is a link, and a layer
    /// holds `bin/tool`); a lower layer's file gives way to the folder.
    fn make_parents(
        &mut self,
        folder: &[u8],
        child: &[u8],
    ) -> Result<(Vec<u8>, Rc<OwnedFd>), UnpackError> {
        let mut here = Rc::clone(&self.root);
        // Where `here` is, links followed.
        let mut place = Vec::new();
        let mut walked = 0;
        for part in parts(folder) {
            walked += part.len() + usize::from(walked > 0);
            let path = &folder[..walked];
            let next = join(&place, part);
            let made = rustix::fs::mkdirat(&*here, part, Mode::RWXU);
            if made == Ok(()) {
                self.implied(&next);
            }
            (place, here) = match made {
                Ok(()) | Err(Errno::EXIST) => match self.enter(&here, part, path, &next) {
                    Ok(entered) => entered,
                    Err(Errno::NOTDIR) if self.layer > 1 && !self.made.contains(&next) => {
                        self.remove(&here, part, &next)?;
                        rustix::fs::mkdirat(&*here, part, Mode::RWXU)
                            .map_err(host("making the folder", path))?;
                        self.implied(&next);
                        self.enter(&here, part, path, &next)
                            .map_err(host("opening the folder", path))?
                    }
                    Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => {
                        return Err(UnpackError::NotAFolder {
                            path: shown(path),
                            child: shown(child),
                        });
                    }
                    Err(errno) => return Err(host("opening the folder", path)(errno)),
                },
                Err(errno) => return Err(host("making the folder", path)(errno)),
            };
        }
        Ok((place, here))
    }

    /// Enters `part` of `here`, which is `next`; if it is a link, from the
    /// root along `path`. Gives where that is.
    fn enter(
        &self,
        here: &OwnedFd,
        part: &[u8],
        path: &[u8],
        next: &[u8],
    ) -> Result<(Vec<u8>, Rc<OwnedFd>), Errno> {
        let plain = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match resolve::open(here, part, open_flags(), plain) {
            Ok(fd) => Ok((next.to_owned(), Rc::new(fd))),
            Err(Errno::LOOP) => {
                let fd = self.open(path, ResolveFlags::IN_ROOT)?;
                Ok((self.followed(path)?, Rc::new(fd)))
            }
            Err(errno) => Err(errno),
        }
    }

    /// A folder's path with its links followed as the kernel does beneath the
    /// root. Only names come of it, which are never opened as they are; so it
    /// need not be safe, only right.
    fn followed(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut left: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut place = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    place.truncate(split(&place).0.len());
                    continue;
                }
                _ => {}
            }
            let next = join(&place, &part);
            match rustix::fs::readlinkat(&*self.root, next.as_slice(), Vec::new()) {
                // The kernel's own limit on links in one path.
                Ok(_) if links == 40 => return Err(Errno::LOOP),
                Ok(target) => {
                    links += 1;
                    let target = target.to_bytes();
                    if target.starts_with(b"/") {
                        place.clear();
                    }
                    left.extend(parts(target).rev().map(<[u8]>::to_vec));
                }
                Err(Errno::INVAL) => place = next,
                Err(errno) => return Err(errno),
            }
        }
        Ok(place)
    }

    /// A folder that no entry names (so far) is as one that root made.
    fn implied(&mut self, path: &[u8]) {
        let folder = Folder {
            mode: 0o755,
            mtime: 0,
            uid: 0,
            gid: 0,
        };
        self.folders.insert(path.to_owned(), folder);
    }

    fn make_folder(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        entry: &ReadEntry,
    ) -> Result<(), UnpackError> {
        let failed = "making the folder";
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                if !is_folder(parent, name).map_err(host(failed, path))? {
                    self.remove(parent, name, path)?;
                    rustix::fs::mkdirat(parent, name, Mode::RWXU).map_err(host(failed, path))?;
                }
            }
            Err(errno) => return Err(host(failed, path)(errno)),
        }
        let folder = self.folder(entry);
        self.folders.insert(path.to_owned(), folder);
        self.done.folders += 1;
        Ok(())
    }

    fn write_file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        entry: &ReadEntry,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.replacing(parent, name, path, "making the file", |parent| {
            rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut file = File::from(fd);
        self.copy(path, content, &mut file)?;
        if self.options.owner {
            let owner = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))
                .map_err(host("giving away the file", path))?;
        }
        // After the owner, whose change clears set-id bits.
        rustix::fs::fchmod(&file, self.mode(entry, 0o444))
            .map_err(host("setting the mode of the file", path))?;
        rustix::fs::futimens(&file, &times(entry.mtime))
            .map_err(host("setting the time of the file", path))?;
        self.done.files += 1;
        Ok(())
    }

    fn copy(
        &mut self,
        path: &[u8],
        content: &mut dyn Read,
        file: &mut File,
    ) -> Result<(), UnpackError> {
        let failed = |step, source| UnpackError::Host {
            step,
            path: OsStr::from_bytes(path).into(),
            source,
        };
        self.buffer.resize(CHUNK, 0);
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("reading the layer's file", error)),
            };
            self.done.bytes += count as u64;
            if self.done.bytes > self.options.bytes {
                return Err(UnpackError::Limit {
                    what: "bytes of files",
                    limit: self.options.bytes,
                });
            }
            file.write_all(&self.buffer[..count])
                .map_err(|error| failed("writing the file", error))?;
        }
    }

    fn hard_link(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        target: &[u8],
    ) -> Result<(), UnpackError> {
        check_path(target)?;
        let absent = || UnpackError::HardLink {
            path: shown(path),
            target: shown(target),
        };
        if target == path || target.is_empty() {
            return Err(absent());
        }
        let (folder, target_name) = split(target);
        let Some((place, target_parent)) = self.open_named(folder)? else {
            return Err(absent());
        };
        // What lies beneath the link's own place goes when the link takes it.
        if join(&place, target_name).starts_with(&[path, b"/"].concat()) {
            return Err(absent());
        }
        // Looked for first, so that a failing link leaves what was there before.
        match is_folder(&target_parent, target_name) {
            Ok(false) => {}
            Ok(true) | Err(Errno::NOENT) => return Err(absent()),
            Err(errno) => return Err(host("looking at the hard link's target", target)(errno)),
        }
        // Without AT_SYMLINK_FOLLOW a link to a link is a second name of that link.
        self.replacing(parent, name, path, "making the hard link", |parent| {
            rustix::fs::linkat(&*target_parent, target_name, parent, name, AtFlags::empty())
        })?;
        self.done.links += 1;
        Ok(())
    }

    fn own(&self, parent: &OwnedFd, name: &[u8], entry: &ReadEntry) -> Result<(), UnpackError> {
        if !self.options.owner {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(host("giving away", entry.path.as_os_str().as_bytes()))
    }

    /// Does `make`, and if something is in the way, removes that and does it again.
    fn replacing<T>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        step: &'static str,
        make: impl Fn(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        match make(parent) {
            Err(Errno::EXIST) => {
                self.remove(parent, name, path)?;
                make(parent).map_err(host(step, path))
            }
            other => other.map_err(host(step, path)),
        }
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        if self.layer <= 1 || path.is_empty() {
            return Ok(());
        }
        let (folder, name) = split(path);
        match self.open_named(folder)? {
            Some((place, parent)) => self.hide(&parent, name, &join(&place, name)),
            None => Ok(()),
        }
    }

    fn opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        if self.layer <= 1 {
            return Ok(());
        }
        match self.open_named(path)? {
            Some((place, folder)) => self.hide_children(&folder, &place),
            None => Ok(()),
        }
    }

    /// Opens a folder that a whiteout or a hard link names, and tells where it is with
    /// links followed; none if there is no such folder.
    fn open_named(&self, path: &[u8]) -> Result<Option<Found>, UnpackError> {
        if path.is_empty() {
            return Ok(Some((Vec::new(), Rc::clone(&self.root))));
        }
        let opened = self.open(path, ResolveFlags::IN_ROOT);
        match opened.and_then(|fd| Ok((self.followed(path)?, Rc::new(fd)))) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(host("opening the folder", path)(errno)),
        }
    }

    /// Removes what lower layers put at `path` and spares what this one did.
    fn hide(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), UnpackError> {
        if !self.made.contains(path) {
            return self.remove(parent, name, path);
        }
        let flags = open_flags() | OFlags::NOFOLLOW;
        match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(folder) => self.hide_children(&folder, path),
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(host("opening the folder", path)(errno)),
        }
    }

    fn hide_children(&mut self, folder: &OwnedFd, path: &[u8]) -> Result<(), UnpackError> {
        for name in children(folder).map_err(host("listing the folder", path))? {
            let name = name.to_bytes();
            let path = join(path, name);
            self.hide(folder, name, &path)?;
        }
        Ok(())
    }

    /// Removes whatever is at `name`, which may be nothing; links are not followed.
    fn remove(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), UnpackError> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Linux says EISDIR, POSIX and some network file systems EPERM.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(host("removing", path)(errno)),
        }
        // What was open or noted below is gone.
        self.parent = None;
        let below = [path, b"/"].concat();
        self.folders
            .retain(|folder, _| folder != path && !folder.starts_with(&below));
        self.made
            .retain(|made| made != path && !made.starts_with(&below));
        remove_folder(parent, name).map_err(host("removing the folder", path))
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_owned()
    } else {
        [folder, b"/", name].concat()
    }
}

fn times(mtime: u64) -> Timestamps {
    let time = Timespec {
        tv_sec: i64::try_from(mtime).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn is_folder(parent: &OwnedFd, name: &[u8]) -> Result<bool, Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn children(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    // Opened anew: `folder` may be a bare path descriptor, which cannot be read.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a folder and all in it, link by link, as deep as [`DEPTH`].
pub(super) fn remove_folder<P: rustix::path::Arg + Copy>(
    parent: &OwnedFd,
    name: P,
) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for child in children(&folder)? {
        match rustix::fs::unlinkat(&folder, &*child, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => remove_folder(&folder, &*child)?,
            // The image made the folder read-only; it is its owner's to change.
            Err(Errno::ACCESS) => {
                rustix::fs::fchmod(&folder, Mode::RWXU)?;
                match rustix::fs::unlinkat(&folder, &*child, AtFlags::empty()) {
                    Err(Errno::ISDIR | Errno::PERM) => remove_folder(&folder, &*child)?,
                    other => other?,
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// What `oci` checks too; here it is what the kernel's answer would be, in words.
fn check_path(path: &[u8]) -> Result<(), UnpackError> {
    let wrong = if path.is_empty() {
        return Ok(());
    } else if path.len() >= PATH_BYTES {
        "it is longer than 4095 bytes"
    } else if path.contains(&0) {
        "it holds a NUL byte"
    } else if path.starts_with(b"/") {
        "it begins with a slash"
    } else if parts(path).count() > DEPTH {
        "it is deeper than 256 folders"
    } else if parts(path).any(|part| part.len() > 255) {
        "one of its names is longer than 255 bytes"
    } else if parts(path).any(|part| matches!(part, b"" | b"." | b"..")) {
        "a part of it is empty, . or .."
    } else {
        return Ok(());
    };
    Err(UnpackError::Path {
        path: shown(path),
        why: wrong,
    })
}

#[cfg(test)]
mod tests;
