//! The watcher of one trial: a thread that is told of every call of the
//! container, notes the files it names, and lets it go on.
//!
//! Paths are noted as the program wrote them, made absolute by its current
//! folder or open folder. Which links they lead through is the reader's to find
//! out: he has the whole tree.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use ounce_linux::Errno;
use ounce_linux::trace::{self, Notification};
use rustix::event::{PollFd, PollFlags, poll};

use super::calls::{End, Form, How, O_NOFOLLOW, REFUSED, SILENT, forms};
use crate::syscalls;

/// A file that was named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Touch {
    /// Absolute, otherwise as the program wrote it.
    pub path: PathBuf,
    /// The folder that no link in it leads out of and that absolute ones begin at
    /// (`RESOLVE_IN_ROOT` of openat2), if it is not the root.
    pub root: Option<PathBuf>,
    /// Whether a link at its end was followed.
    pub follow: bool,
    /// What was done with it.
    pub how: How,
    /// Whether a Python interpreter listed it: its importer lists every folder
    /// of its path only to look names up.
    pub by_python: bool,
}

/// All that was seen of a program.
#[derive(Debug, Clone, Default)]
pub struct Witnessed {
    /// Each once, sorted.
    pub touches: Vec<Touch>,
    /// Names of the system calls that were made, sorted, with those that are
    /// never told and that nearly every program makes.
    pub calls: Vec<&'static str>,
    /// How many calls were told.
    pub told: u64,
    /// Why something may have been missed; then nothing may be concluded.
    pub lost: Option<String>,
}

/// A watcher at work.
#[derive(Debug)]
pub(super) struct Watcher(JoinHandle<Witnessed>);

impl Watcher {
    /// Begins to answer the listener, until nobody is left who could call.
    pub(super) fn start(listener: OwnedFd) -> io::Result<Self> {
        let watch = move || {
            let mut watch = Watch::default();
            if let Err(reason) = watch.follow(&listener) {
                watch.lost.get_or_insert(reason);
            }
            // From here on what is still there fails with ENOSYS.
            drop(listener);
            watch.finish()
        };
        let name = thread::Builder::new().name("witness".into());
        name.spawn(watch).map(Self)
    }

    /// What was seen, once the container has ended.
    pub(super) fn join(self) -> Witnessed {
        self.0.join().unwrap_or_else(|_| Witnessed {
            lost: Some("the watcher has panicked".into()),
            ..Witnessed::default()
        })
    }
}

#[derive(Default)]
struct Watch {
    touches: HashMap<Touch, ()>,
    calls: BTreeSet<u32>,
    told: u64,
    lost: Option<String>,
}

impl Watch {
    fn follow(&mut self, listener: &OwnedFd) -> Result<(), String> {
        // Half the time a call where the kernel can do it.
        let _ = trace::take_turns(listener.as_fd());
        loop {
            let mut files = [PollFd::new(listener, PollFlags::IN)];
            match poll(&mut files, None) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(format!("waiting for system calls: {errno}")),
                Ok(_) => {}
            }
            let events = files[0].revents();
            if !events.contains(PollFlags::IN) {
                return Ok(()); // POLLHUP: no process with the filter is left.
            }
            let call = match trace::receive(listener.as_fd()) {
                Ok(call) => call,
                // Killed between the two.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => continue,
                Err(errno) => return Err(format!("receiving a system call: {errno}")),
            };
            self.told += 1;
            self.calls.insert(call.number);
            if let Err(reason) = self.note(&call)
                && trace::still_waits(listener.as_fd(), call.id)
            {
                self.lost.get_or_insert(reason);
            }
            let answered = match REFUSED.contains(&call.number) {
                true => trace::refuse(listener.as_fd(), call.id, Errno::PERM),
                false => trace::go_on(listener.as_fd(), call.id),
            };
            match answered {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(format!("letting a system call go on: {errno}")),
            }
        }
    }

    fn note(&mut self, call: &Notification) -> Result<(), String> {
        let caller = Caller(call.thread);
        for form in forms(call.number) {
            match *form {
                Form::Here { path, end, how } => {
                    if let Some(path) = caller.text(call.arguments[path])? {
                        let follow = caller.follows(end, call)?;
                        self.path(&caller, None, path, follow, how)?;
                    }
                }
                Form::At {
                    folder,
                    path,
                    end,
                    how,
                } => {
                    let folder = call.arguments[folder] as i32;
                    // Some calls take no path at all for the open file itself.
                    let address = call.arguments[path];
                    let text = match address {
                        0 => Some(Vec::new()),
                        address => caller.text(address)?,
                    };
                    if let Some(path) = text {
                        let follow = caller.follows(end, call)?;
                        let rooted = caller.is_rooted(end, call)?;
                        self.path(&caller, Some((folder, rooted)), path, follow, how)?;
                    }
                }
                Form::File { file, how } => {
                    let file = call.arguments[file] as i32;
                    if let Some(path) = caller.file(file) {
                        let by_python = how == How::Listed && caller.is_python();
                        self.touch(path, None, true, how, by_python);
                    }
                }
                Form::Address { address, length } => {
                    let length = call.arguments[length];
                    if let Some(path) = caller.address(call.arguments[address], length)? {
                        self.path(&caller, None, path, true, How::Connected)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn path(
        &mut self,
        caller: &Caller,
        folder: Option<(i32, bool)>,
        path: Vec<u8>,
        follow: bool,
        how: How,
    ) -> Result<(), String> {
        // A slash at the end asks for the folder that a link leads to.
        let follow = follow || path.ends_with(b"/");
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        const CURRENT: i32 = -100; // AT_FDCWD
        let rooted = folder.is_some_and(|(_, rooted)| rooted);
        if path.is_absolute() && !rooted {
            self.touch(caller.through_proc(path), None, follow, how, false);
            return Ok(());
        }
        let base = match folder {
            Some((file, _)) if file != CURRENT => caller.file(file),
            _ => caller.link("cwd"),
        };
        // Not a folder, or closed: the call fails by itself.
        let Some(base) = base else {
            return Ok(());
        };
        if rooted {
            let path = path.strip_prefix("/").map(Path::to_owned).unwrap_or(path);
            self.touch(base.join(path), Some(base), follow, how, false);
        } else if path.as_os_str().is_empty() {
            self.touch(base, None, follow, how, false);
        } else {
            self.touch(
                caller.through_proc(base.join(path)),
                None,
                follow,
                how,
                false,
            );
        }
        Ok(())
    }

    fn touch(
        &mut self,
        path: PathBuf,
        root: Option<PathBuf>,
        follow: bool,
        how: How,
        by_python: bool,
    ) {
        let touch = Touch {
            path,
            root,
            follow,
            how,
            by_python,
        };
        self.touches.entry(touch).or_default();
    }

    fn finish(self) -> Witnessed {
        let mut touches: Vec<_> = self.touches.into_keys().collect();
        touches.sort();
        let silent = SILENT.iter().filter(|call| **call != OWN);
        let all = self.calls.iter().chain(silent);
        let mut calls: Vec<_> = all.filter_map(|call| syscalls::name(*call)).collect();
        calls.sort_unstable();
        calls.dedup();
        Witnessed {
            touches,
            calls,
            told: self.told,
            lost: self.lost,
        }
    }
}

/// Made by ounce itself before the program is there.
const OWN: u32 = linux_raw_sys::general::__NR_seccomp;

/// PATH_MAX, its end included (linux/limits.h).
const LONGEST_PATH: usize = 4096;
const PAGE: u64 = 4096;

/// A thread that waits in a call.
struct Caller(i32);

impl Caller {
    /// Exactly `into` from an address; nothing where the program's own pointer
    /// is wrong, in which case the call will fail by itself.
    fn memory(&self, address: u64, into: &mut [u8]) -> Result<Option<()>, String> {
        let mut filled = 0;
        while filled < into.len() {
            let from = address + filled as u64;
            // A span that reaches into a page that is not mapped fails whole.
            let in_page = (PAGE - from % PAGE) as usize;
            let end = into.len().min(filled + in_page);
            match trace::read_memory(self.0, from, &mut into[filled..end]) {
                Ok(0) | Err(Errno::FAULT) => return Ok(None),
                Ok(count) => filled += count,
                Err(errno) => return Err(format!("reading a program's memory: {errno}")),
            }
        }
        Ok(Some(()))
    }

    /// The C string at an address.
    fn text(&self, address: u64) -> Result<Option<Vec<u8>>, String> {
        let mut text = Vec::with_capacity(256);
        while text.len() < LONGEST_PATH {
            let from = address.wrapping_add(text.len() as u64);
            let in_page = (PAGE - from % PAGE) as usize;
            let mut chunk = [0; 256];
            let chunk = &mut chunk[..in_page.min(256)];
            if self.memory(from, chunk)?.is_none() {
                return Ok(None);
            }
            match chunk.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&chunk[..end]);
                    return Ok(Some(text));
                }
                None => text.extend_from_slice(chunk),
            }
        }
        Ok(None) // ENAMETOOLONG
    }

    /// The path in the address of a UNIX socket that has one.
    fn address(&self, address: u64, length: u64) -> Result<Option<Vec<u8>>, String> {
        const AF_UNIX: u16 = 1;
        let mut bytes = [0; 110]; // struct sockaddr_un
        let length = bytes.len().min(length as usize);
        if length < 3 || self.memory(address, &mut bytes[..length])?.is_none() {
            return Ok(None);
        }
        let path = &bytes[2..length];
        let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_unix = u16::from_ne_bytes([bytes[0], bytes[1]]) == AF_UNIX;
        // One that begins with a zero byte is no file.
        Ok((is_unix && !path.is_empty()).then(|| path.to_vec()))
    }

    fn follows(&self, end: End, call: &Notification) -> Result<bool, String> {
        Ok(match end {
            End::Follow => true,
            End::Stay => false,
            End::FollowUnless(argument, bit) => call.arguments[argument] & bit == 0,
            End::StayUnless(argument, bit) => call.arguments[argument] & bit != 0,
            End::OpenHow(argument) => {
                let flags = self.word(call.arguments[argument])?;
                flags.is_none_or(|flags| flags & O_NOFOLLOW == 0)
            }
        })
    }

    /// Whether the path does not lead out of the folder it begins at, whatever it says.
    fn is_rooted(&self, end: End, call: &Notification) -> Result<bool, String> {
        // struct open_how: flags, mode, resolve (linux/openat2.h).
        const RESOLVE_IN_ROOT: u64 = 0x10;
        let End::OpenHow(argument) = end else {
            return Ok(false);
        };
        let resolve = self.word(call.arguments[argument].wrapping_add(16))?;
        Ok(resolve.is_some_and(|resolve| resolve & RESOLVE_IN_ROOT != 0))
    }

    fn word(&self, address: u64) -> Result<Option<u64>, String> {
        let mut bytes = [0; 8];
        let read = self.memory(address, &mut bytes)?;
        Ok(read.map(|()| u64::from_ne_bytes(bytes)))
    }

    /// What a link in its folder of the host's /proc says: a path as the
    /// program sees it, since its root is a file system's namespace's root.
    fn link(&self, name: &str) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/{}/{name}", self.0)).ok()?;
        // `pipe:[1]` and the like are no paths.
        path.is_absolute().then_some(path)
    }

    fn file(&self, number: i32) -> Option<PathBuf> {
        self.link(&format!("fd/{number}"))
    }

    fn is_python(&self) -> bool {
        let program = self.link("exe");
        let name = program.as_deref().and_then(Path::file_name);
        let name = name.map(OsStr::as_bytes).unwrap_or_default();
        name.starts_with(b"python") || name.starts_with(b"pypy")
    }

    /// Resolves what leads through the caller's own links in /proc, which no
    /// one else could.
    fn through_proc(&self, path: PathBuf) -> PathBuf {
        let mut parts = path.components().skip(1).map(|part| part.as_os_str());
        let mut text = |count: usize| -> Option<Vec<&OsStr>> {
            let taken: Vec<_> = parts.by_ref().take(count).collect();
            (taken.len() == count).then_some(taken)
        };
        let Some(first) = text(2) else {
            return path;
        };
        let own = |name: &OsStr| {
            name == "self"
                || name == "thread-self"
                || name.as_bytes() == self.0.to_string().as_bytes()
        };
        let found = match (first[0].as_bytes(), first[1].as_bytes()) {
            (b"proc", _) if own(first[1]) => {
                let Some(name) = text(1) else {
                    return path;
                };
                match name[0].as_bytes() {
                    b"cwd" | b"root" | b"exe" => self.link(&name[0].to_string_lossy()),
                    b"fd" => text(1).and_then(|number| self.numbered(number[0])),
                    _ => None,
                }
            }
            (b"dev", b"fd") => text(1).and_then(|number| self.numbered(number[0])),
            _ => None,
        };
        match found {
            Some(found) => parts.fold(found, |path, part| path.join(part)),
            None => path,
        }
    }

    fn numbered(&self, name: &OsStr) -> Option<PathBuf> {
        name.to_str()?
            .parse()
            .ok()
            .and_then(|number| self.file(number))
    }
}
