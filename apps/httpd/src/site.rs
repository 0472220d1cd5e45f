//! A folder as a site. Every file is opened beneath the root by the kernel's own
//! rule (openat2(2), RESOLVE_BENEATH): neither `..` nor a symbolic link leads
//! out, even if somebody changes the tree while it is served.

use core::ffi::CStr;
use ounce_http::content_type;
use ounce_http::head::Head;
use ounce_http::method::{Method, Methods};
use ounce_http::response::Response;
use ounce_http::status::Status;
use ounce_httpd::{File, Service, http as ounce_http};
use ounce_linux::descriptor::c_str;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};
use rustix::io::Errno;

/// The longest path beneath the root, as PATH_MAX.
const PATH: usize = 4_096;
const INDEX: &[u8] = b"index.html";

pub(crate) struct Site {
    root: OwnedFd,
    has_openat2: bool,
}

impl Site {
    pub(crate) fn open(root: &CStr) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(root, flags, Mode::empty())?;
        let mut site = Self {
            root,
            has_openat2: true,
        };
        // Kernels before 5.6, some sandboxes and emulators do not have it.
        site.has_openat2 = site.lookup(c".").is_ok();
        Ok(site)
    }

    fn lookup(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        // Not to block on a FIFO, and not to become a terminal's owner.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if self.has_openat2 {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            return openat2(&self.root, path, flags, Mode::empty(), resolve);
        }
        self.walk(path, flags)
    }

    /// Without openat2: segment by segment, and no symbolic link at all.
    fn walk(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut folder: Option<OwnedFd> = None;
        let mut rest = path;
        loop {
            let bytes = rest.to_bytes_with_nul();
            let slash = bytes.iter().position(|&byte| byte == b'/');
            let parent = folder.as_ref().unwrap_or(&self.root);
            let Some(slash) = slash else {
                return openat(parent, rest, flags | OFlags::NOFOLLOW, Mode::empty());
            };
            let mut name = [0; 256];
            let segment = bytes.get(..slash).unwrap_or_default();
            let place = name.get_mut(..slash).ok_or(Errno::NAMETOOLONG)?;
            place.copy_from_slice(segment);
            let name = c_str(&name).ok_or(Errno::NAMETOOLONG)?;
            let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = Some(openat(parent, name, way, Mode::empty())?);
            let next = bytes.get(slash + 1..).unwrap_or_default();
            rest = c_str(next).ok_or(Errno::INVAL)?;
        }
    }

    /// The path, with `index.html` behind a slash, as the kernel takes it.
    fn open_file(&self, path: &[u8]) -> Result<(OwnedFd, FileType, u64), Errno> {
        let mut buffer = [0; PATH];
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let is_directory = path.is_empty() || path.ends_with(b"/");
        let index = if is_directory { INDEX } else { b"" };
        let end = path.len() + index.len();
        let place = buffer.get_mut(..end).ok_or(Errno::NAMETOOLONG)?;
        let (front, back) = place.split_at_mut(path.len());
        front.copy_from_slice(path);
        back.copy_from_slice(index);
        // One NUL is left behind unless the buffer is full, and none is within.
        let path = c_str(&buffer).ok_or(Errno::NAMETOOLONG)?;
        let descriptor = self.lookup(path)?;
        let facts = fstat(&descriptor)?;
        let length_bytes = u64::try_from(facts.st_size).unwrap_or(0);
        Ok((
            descriptor,
            FileType::from_raw_mode(facts.st_mode),
            length_bytes,
        ))
    }
}

impl Service for Site {
    fn answer(
        &mut self,
        head: &Head<'_>,
        path: &[u8],
        _body: &mut [u8],
        _scratch: &mut [u8],
        response: &mut Response<'_>,
    ) -> Option<File> {
        if !matches!(head.method, Method::Get | Method::Head) {
            response.not_allowed(Methods::GET_HEAD);
            return None;
        }
        match self.open_file(path) {
            Ok((descriptor, FileType::RegularFile, length_bytes)) => {
                let name = if path.ends_with(b"/") { INDEX } else { path };
                response
                    .content_type(content_type::of(name))
                    .file(length_bytes);
                return Some(File {
                    descriptor,
                    length_bytes,
                });
            }
            Ok((_, FileType::Directory, _)) if !path.ends_with(b"/") => {
                response.redirect_to_directory(path, head.query);
            }
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => {
                response.error(Status::ServiceUnavailable);
            }
            Err(Errno::ACCESS | Errno::PERM) => {
                response.error(Status::Forbidden);
            }
            // Links that lead out (EXDEV) and devices are not there, either.
            Ok(_) | Err(_) => {
                response.error(Status::NotFound);
            }
        }
        None
    }
}
