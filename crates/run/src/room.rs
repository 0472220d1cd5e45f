//! Room for mount points that an image lacks. Its unpacked folder is shared and
//! read-only, so a missing folder cannot be made in it; instead the root is
//! assembled from what is in the folder, down to the level where something is
//! missing. What is then mounted where is left to `plan`.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use ounce_linux::Errno;

use crate::spec::{Part, Root, Spec};

/// As many links are followed on one path as the kernel follows (MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// Made by a container itself.
fn own(spec: &Spec) -> &'static [&'static str] {
    match spec.sys {
        true => &["proc", "dev", "sys"],
        false => &["proc", "dev"],
    }
}

/// What could not be looked at.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: PathBuf,
    pub(crate) source: Errno,
}

/// The same container with a mount point for each tmpfs and volume; nothing if
/// it has them all.
pub(crate) fn with_room(spec: &Spec) -> Result<Option<Spec>, Fault> {
    let mut tree = Tree::of(&spec.root, own(spec));
    let mut changed = spec.clone();
    for index in 0..changed.tmpfs.len() {
        let target = &changed.tmpfs[index].target;
        changed.tmpfs[index].target = tree.make_room(target)?;
    }
    for index in 0..changed.volumes.len() {
        let target = &changed.volumes[index].target;
        // What lies in a tmpfs is made there, once that is mounted.
        if changed.lies_in_tmpfs(target) {
            continue;
        }
        changed.volumes[index].target = tree.make_room(target)?;
    }
    if !tree.changed {
        return Ok(None);
    }
    let mut parts = Vec::new();
    tree.root.flatten(&mut PathBuf::new(), &mut parts)?;
    changed.root = Root::Assembled(parts);
    Ok(Some(changed))
}

enum Node {
    /// As it is on the host.
    Host(PathBuf),
    /// A link that is made.
    Link(PathBuf),
    /// A folder that is made, and what is in it.
    Made {
        mode: u32,
        children: BTreeMap<OsString, Node>,
    },
}

enum Kind {
    Missing,
    Folder,
    File,
    Link(PathBuf),
}

struct Tree {
    root: Node,
    own: &'static [&'static str],
    changed: bool,
}

impl Tree {
    fn of(root: &Root, own: &'static [&'static str]) -> Self {
        let root = match root {
            Root::Folder(folder) => Node::Host(folder.clone()),
            Root::Assembled(parts) => {
                let children = parts.iter().filter_map(|part| {
                    let node = match part {
                        Part::File { host, .. } | Part::Folder { host, .. } => {
                            Node::Host(host.clone())
                        }
                        Part::Link { target, .. } => Node::Link(target.clone()),
                        // These come from here only.
                        Part::Made { .. } => return None,
                    };
                    Some((part.name().to_owned(), node))
                });
                Node::Made {
                    mode: 0o755,
                    children: children.collect(),
                }
            }
        };
        Self {
            root,
            own,
            changed: false,
        }
    }

    /// Follows `target` as the container would, and sees to it that what is
    /// missing can be made; where it leads, without links.
    fn make_room(&mut self, target: &Path) -> Result<PathBuf, Fault> {
        let mut left: VecDeque<OsString> = names(target).collect();
        let mut done: Vec<OsString> = Vec::new();
        let mut links = 0;
        let fault = |source: Errno| Fault {
            path: target.to_owned(),
            source,
        };
        while let Some(name) = left.pop_front() {
            if name == ".." {
                done.pop();
                continue;
            }
            match self
                .look(&done, &name)
                .map_err(|error| fault(errno(&error)))?
            {
                Kind::Link(to) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(fault(Errno::LOOP));
                    }
                    if to.is_absolute() {
                        done.clear();
                    }
                    let to: Vec<OsString> = names(&to).collect();
                    for name in to.into_iter().rev() {
                        left.push_front(name);
                    }
                }
                Kind::File if !left.is_empty() => {
                    return Err(fault(Errno::NOTDIR));
                }
                Kind::Folder | Kind::File => done.push(name),
                Kind::Missing => {
                    self.open_up(&done)?;
                    done.push(name);
                    // Nothing below is there either; `..` can only undo.
                    for name in left.drain(..) {
                        match name == ".." {
                            true => drop(done.pop()),
                            false => done.push(name),
                        }
                    }
                }
            }
        }
        Ok(Path::new("/").join(join(&done)))
    }

    /// What `name` is in a folder that is there, or was made room for.
    fn look(&self, folder: &[OsString], name: &OsStr) -> io::Result<Kind> {
        let first = folder.first().map_or(name, OsString::as_os_str);
        if self.own.iter().any(|own| first == *own) {
            // The kernel's own files: taken as they are named.
            return Ok(Kind::Folder);
        }
        match self.place(folder) {
            Place::Nowhere => Ok(Kind::Missing),
            Place::Host(host) => kind(&host.join(name)),
            Place::Made(children) => match children.get(name) {
                None => Ok(Kind::Missing),
                Some(Node::Made { .. }) => Ok(Kind::Folder),
                Some(Node::Link(to)) => Ok(Kind::Link(to.clone())),
                Some(Node::Host(host)) => kind(host),
            },
        }
    }

    fn place(&self, folder: &[OsString]) -> Place<'_> {
        let mut node = &self.root;
        for (depth, name) in folder.iter().enumerate() {
            match node {
                Node::Made { children, .. } => match children.get(name) {
                    Some(child) => node = child,
                    None => return Place::Nowhere,
                },
                Node::Host(host) => return Place::Host(host.join(join(&folder[depth..]))),
                Node::Link(_) => return Place::Nowhere,
            }
        }
        match node {
            Node::Made { children, .. } => Place::Made(children),
            Node::Host(host) => Place::Host(host.clone()),
            Node::Link(_) => Place::Nowhere,
        }
    }

    /// Turns all folders down to this one into made ones.
    fn open_up(&mut self, folder: &[OsString]) -> Result<(), Fault> {
        let mut node = &mut self.root;
        for depth in 0..=folder.len() {
            if let Node::Host(host) = node {
                let own = if depth == 0 { self.own } else { &[] };
                *node = open_up(host, own)?;
                self.changed = true;
            }
            let (Node::Made { children, .. }, Some(name)) = (node, folder.get(depth)) else {
                break;
            };
            match children.get_mut(name) {
                Some(child) => node = child,
                None => break,
            }
        }
        Ok(())
    }
}

enum Place<'a> {
    Nowhere,
    Host(PathBuf),
    Made(&'a BTreeMap<OsString, Node>),
}

impl Node {
    fn flatten(&self, path: &mut PathBuf, parts: &mut Vec<Part>) -> Result<(), Fault> {
        let name = path.clone().into_os_string();
        match self {
            Self::Made { mode, children } => {
                if !name.is_empty() {
                    let mode = *mode;
                    parts.push(Part::Made { name, mode });
                }
                for (child, node) in children {
                    path.push(child);
                    node.flatten(path, parts)?;
                    path.pop();
                }
            }
            Self::Link(target) => {
                let target = target.clone();
                parts.push(Part::Link { target, name });
            }
            Self::Host(host) => {
                let found = kind(host).map_err(|error| Fault {
                    path: host.clone(),
                    source: errno(&error),
                })?;
                let host = host.clone();
                match found {
                    Kind::Folder => parts.push(Part::Folder { host, name }),
                    Kind::File => parts.push(Part::File { host, name }),
                    Kind::Link(target) => parts.push(Part::Link { target, name }),
                    Kind::Missing => {}
                }
            }
        }
        Ok(())
    }
}

/// The folder as one that is made, with all that is in it but its `own`.
fn open_up(host: &Path, own: &[&str]) -> Result<Node, Fault> {
    let open_up = || {
        let mut children = BTreeMap::new();
        for entry in fs::read_dir(host)? {
            let name = entry?.file_name();
            if !own.iter().any(|own| name == *own) {
                let path = host.join(&name);
                children.insert(name, Node::Host(path));
            }
        }
        let mode = fs::symlink_metadata(host)?.mode() & 0o7777;
        Ok(Node::Made { mode, children })
    };
    open_up().map_err(|error: io::Error| Fault {
        path: host.to_owned(),
        source: errno(&error),
    })
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn kind(host: &Path) -> io::Result<Kind> {
    match fs::symlink_metadata(host) {
        Ok(data) if data.is_dir() => Ok(Kind::Folder),
        Ok(data) if data.is_symlink() => fs::read_link(host).map(Kind::Link),
        Ok(_) => Ok(Kind::File),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kind::Missing),
        Err(error) => Err(error),
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn join(names: &[OsString]) -> PathBuf {
    names.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Tmpfs, Volume};

    /// An image: /etc/app/conf, /run, /var/run -> /run, /tmp, /loop -> /loop.
    fn image() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["etc/app", "run", "var", "tmp", "proc", "dev", "sys"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join("etc/app/conf"), "").unwrap();
        std::os::unix::fs::symlink("/run", path.join("var/run")).unwrap();
        std::os::unix::fs::symlink("/loop", path.join("loop")).unwrap();
        folder
    }

    fn room(folder: &Path, target: &str) -> Result<Option<Spec>, Fault> {
        let mut spec = Spec::new(Root::Folder(folder.to_owned()), vec!["/app".into()]);
        spec.volumes.push(Volume {
            host: "/host".into(),
            target: target.into(),
            read_only: false,
        });
        with_room(&spec)
    }

    /// Names of the parts; made folders with a slash.
    fn shown(spec: &Spec) -> Vec<String> {
        let Root::Assembled(parts) = &spec.root else {
            return Vec::new();
        };
        let shown = parts.iter().map(|part| {
            let name = part.name().to_string_lossy().into_owned();
            match part {
                Part::Made { .. } => name + "/",
                _ => name,
            }
        });
        shown.collect()
    }

    #[test]
    fn an_image_that_has_the_place_stays_as_it_is() {
        let folder = image();
        for target in ["/run", "/etc/app/conf", "/var/run", "/dev/x", "/tmp/x/y"] {
            assert!(room(folder.path(), target).unwrap().is_none(), "{target}");
        }
    }

    #[test]
    fn a_root_is_opened_up_as_deep_as_something_is_missing() {
        let folder = image();
        let spec = room(folder.path(), "/data/x").unwrap().unwrap();
        assert_eq!(shown(&spec), ["etc", "loop", "run", "tmp", "var"]);
        let spec = room(folder.path(), "/etc/app/data").unwrap().unwrap();
        let parts = [
            "etc/",
            "etc/app/",
            "etc/app/conf",
            "loop",
            "run",
            "tmp",
            "var",
        ];
        assert_eq!(shown(&spec), parts);
    }

    #[test]
    fn a_link_is_followed_within_the_image() {
        let folder = image();
        let spec = room(folder.path(), "/var/run/sock").unwrap().unwrap();
        assert_eq!(spec.volumes[0].target, Path::new("/run/sock"));
        assert_eq!(shown(&spec), ["etc", "loop", "run/", "tmp", "var"]);
        std::os::unix::fs::symlink("../../../../etc", folder.path().join("out")).unwrap();
        let spec = room(folder.path(), "/out/x").unwrap().unwrap();
        assert_eq!(spec.volumes[0].target, Path::new("/etc/x"));
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let folder = image();
        let errno = |target| room(folder.path(), target).unwrap_err().source;
        assert_eq!(errno("/loop/x"), Errno::LOOP);
        assert_eq!(errno("/etc/app/conf/x"), Errno::NOTDIR);
    }

    #[test]
    fn a_program_alone_gets_room_in_its_assembled_root() {
        let mut spec = Spec::of_program("/bin/app".into(), []);
        spec.tmpfs.push(Tmpfs {
            target: "/var/cache".into(),
            ..spec.tmpfs[0].clone()
        });
        assert!(with_room(&spec).unwrap().is_none());
    }
}
