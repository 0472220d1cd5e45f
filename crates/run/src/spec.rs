//! What is wanted of a container, as a value.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::syscalls::Calls;

/// A container that is to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Its files.
    pub root: Root,
    /// Program and arguments; a program without `/` is looked for along `PATH`.
    #[serde(with = "texts")]
    pub arguments: Vec<OsString>,
    /// `NAME=VALUE`, all of it: nothing of the host's is added.
    #[serde(with = "texts")]
    pub environment: Vec<OsString>,
    /// Absolute; where the program starts.
    pub workdir: PathBuf,
    /// Who it runs as, within the container.
    pub user: User,
    /// Host name.
    pub hostname: String,
    /// What it may use at most.
    pub limits: Limits,
    /// What of the network it sees.
    pub network: Network,
    /// Handed in by the `LISTEN_FDS` protocol (man 3 sd_listen_fds).
    #[serde(skip)]
    pub sockets: Vec<Socket>,
    /// Whether it has a `/sys`, of its own network; not on the host's. What was
    /// recorded by a version without this key has.
    #[serde(default = "yes")]
    pub sys: bool,
    /// Whether every user of it may bind ports below 1024 of its own network.
    #[serde(default = "yes")]
    pub low_ports: bool,
    /// Which system calls it may make.
    pub system_calls: SystemCalls,
    /// Writable memory beside the read-only root.
    pub tmpfs: Vec<Tmpfs>,
    /// Files and folders of the host.
    pub volumes: Vec<Volume>,
    /// Whether standard input is to become its controlling terminal.
    pub terminal: bool,
    /// Whether it has a `/dev/pts` in any case, for terminals of programs that
    /// are run in it later.
    #[serde(default)]
    pub terminals: bool,
}

fn yes() -> bool {
    true
}

/// Texts of the system in a record: only what is UTF-8 has a form there.
mod text {
    use std::ffi::OsString;

    use serde::{Deserialize as _, Deserializer, Serializer, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(text: &OsString, to: S) -> Result<S::Ok, S::Error> {
        match text.to_str() {
            Some(text) => to.serialize_str(text),
            None => Err(S::Error::custom(format!("{text:?} is not UTF-8"))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OsString, D::Error> {
        String::deserialize(from).map(OsString::from)
    }
}

/// As `text`, many.
mod texts {
    use std::ffi::OsString;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(texts: &[OsString], to: S) -> Result<S::Ok, S::Error> {
        let plain: Result<Vec<&str>, _> =
            texts.iter().map(|text| text.to_str().ok_or(text)).collect();
        match plain {
            Ok(plain) => plain.serialize(to),
            Err(text) => Err(S::Error::custom(format!("{text:?} is not UTF-8"))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<OsString>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        Ok(texts.into_iter().map(OsString::from).collect())
    }
}

/// The files of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// This folder, read-only. It holds the folders `proc` and `dev`, and `sys` if
    /// it is to be mounted; a start makes room for each tmpfs and volume elsewhere if it must.
    Folder(PathBuf),
    /// An otherwise empty root that these are put into, read-only.
    Assembled(Vec<Part>),
}

/// One part of an assembled root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A file of the host.
    File {
        /// On the host.
        host: PathBuf,
        /// Path in the root, without a leading slash.
        #[serde(with = "text")]
        name: OsString,
    },
    /// A folder of the host.
    Folder {
        /// On the host.
        host: PathBuf,
        /// Path in the root, without a leading slash.
        #[serde(with = "text")]
        name: OsString,
    },
    /// A folder that is made, for other parts to be in; it stands before them.
    Made {
        /// Path in the root.
        #[serde(with = "text")]
        name: OsString,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// What it says.
        target: PathBuf,
        /// Path in the root, without a leading slash.
        #[serde(with = "text")]
        name: OsString,
    },
}

/// User and group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Default for User {
    /// 65532, "nonroot", as the distroless images have it.
    fn default() -> Self {
        Self {
            uid: 65532,
            gid: 65532,
        }
    }
}

/// What a container may use at most. What is set has to be enforced, or the
/// start fails, and that takes a control group. Where nothing is set there is
/// none, and the processes of the container's user are limited to
/// [`Limits::PIDS`] by setrlimit(2); on a kernel that counts those of all
/// containers together, by a control group where one can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, swap included.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

impl Limits {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Processes and threads unless told: stops a fork bomb, and is far above
    /// what a server of one program uses.
    pub const PIDS: u32 = 1024;
    /// Bytes of memory that a limit has to leave. Until it is executed, a
    /// program shares ounce's memory, so the kernel, at the end of a limit that
    /// does not even suffice for the start, kills ounce as well: measured at 64
    /// KiB, and still the program alone at 128.
    pub const LEAST_MEMORY: u64 = 512 << 10;
}

/// What of the network a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Its own, with the loopback interface alone.
    #[default]
    Private,
    /// Its own, with nothing up.
    None,
    /// The host's.
    Host,
    /// Its own, with a way out: by a bridge as root, else by a process beside it.
    Bridge,
}

/// A socket to be handed in.
#[derive(Debug, Clone)]
pub struct Socket {
    /// For `LISTEN_FDNAMES`; without a colon.
    pub name: String,
    /// The socket, bound and listening.
    pub file: Arc<OwnedFd>,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemCalls {
    /// The list of [`crate::syscalls`].
    #[default]
    Default,
    /// Of that list, only these.
    Only(Calls),
    /// All of them.
    All,
}

/// A tmpfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Absolute.
    pub target: PathBuf,
    /// Most bytes it may hold.
    pub size_bytes: u64,
    /// Permission bits of its root.
    pub mode: u32,
    /// Whether programs in it can be executed.
    pub executable: bool,
}

/// A file or folder of the host within the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Absolute, on the host.
    pub host: PathBuf,
    /// Absolute, in the container.
    pub target: PathBuf,
    /// Whether nothing can be written.
    pub read_only: bool,
}

/// Why a text is no volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// Not of the form `HOST:PATH[:ro]`.
    #[error("volume {0:?} is not HOST:PATH or HOST:PATH:ro")]
    Form(String),
    /// The path in the container is not absolute and plain.
    #[error("volume {0:?}: the path in the container is not absolute, or has `..` in it")]
    Target(String),
}

impl std::str::FromStr for Volume {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, VolumeError> {
        let form = || VolumeError::Form(text.to_owned());
        let mut parts = text.split(':');
        let host = parts
            .next()
            .filter(|host| !host.is_empty())
            .ok_or_else(form)?;
        let target = parts
            .next()
            .filter(|target| !target.is_empty())
            .ok_or_else(form)?;
        let read_only = match parts.next() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(_) => return Err(form()),
        };
        if parts.next().is_some() {
            return Err(form());
        }
        let target = PathBuf::from(target);
        let plain = target
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        if !target.is_absolute() || !plain || target == std::path::Path::new("/") {
            return Err(VolumeError::Target(text.to_owned()));
        }
        Ok(Self {
            host: host.into(),
            target,
            read_only,
        })
    }
}

/// Why a text is no tmpfs or no mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mount {text:?}: {why}")]
pub struct MountError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl Tmpfs {
    /// Bytes that one may hold unless told.
    pub const SIZE: u64 = 64 << 20;

    fn at(target: &str) -> Result<Self, String> {
        let target = PathBuf::from(target);
        let plain = target
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        if !target.is_absolute() || !plain || target == std::path::Path::new("/") {
            return Err("the path in the container is not absolute, or has `..` in it".to_owned());
        }
        Ok(Self {
            target,
            size_bytes: Self::SIZE,
            mode: 0o1777,
            executable: false,
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "size" | "tmpfs-size" => {
                // As mount(8) and docker have them, where k, m and g are powers of 1024.
                let binary = |digits: &str, shift: u32| {
                    let count = digits.parse::<u64>().ok()?;
                    count
                        .checked_shl(shift)
                        .filter(|size| size >> shift == count)
                };
                let size = match value.as_bytes().last() {
                    Some(b'k') => binary(&value[..value.len() - 1], 10),
                    Some(b'm') => binary(&value[..value.len() - 1], 20),
                    Some(b'g') => binary(&value[..value.len() - 1], 30),
                    _ => value.parse::<ounce_oci::ByteSize>().ok().map(|size| size.0),
                };
                let size = size.filter(|size| *size > 0);
                self.size_bytes = size.ok_or_else(|| format!("{value:?} is no size"))?;
            }
            "mode" | "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).ok();
                let mode = mode.filter(|mode| *mode <= 0o7777);
                self.mode = mode.ok_or_else(|| format!("{value:?} is no octal mode"))?;
            }
            "exec" => self.executable = true,
            "noexec" => self.executable = false,
            // As it is anyway.
            "rw" | "nosuid" | "nodev" => {}
            _ => return Err(format!("unknown option {name:?}")),
        }
        Ok(())
    }
}

impl std::str::FromStr for Tmpfs {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self, MountError> {
        let wrong = |why| MountError {
            text: text.to_owned(),
            why,
        };
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut tmpfs = Self::at(target).map_err(wrong)?;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            tmpfs.set(name, value).map_err(wrong)?;
        }
        Ok(tmpfs)
    }
}

/// What `--mount` says, by names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// `type=bind`.
    Volume(Volume),
    /// `type=tmpfs`.
    Tmpfs(Tmpfs),
}

impl std::str::FromStr for Mount {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self, MountError> {
        let wrong = |why: String| MountError {
            text: text.to_owned(),
            why,
        };
        let (mut kind, mut source, mut target) = (None, None, None);
        let (mut read_only, mut options) = (false, Vec::new());
        for pair in text.split(',') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "type" => kind = Some(value),
                "source" | "src" => source = Some(value),
                "target" | "destination" | "dst" => target = Some(value),
                "readonly" | "ro" => match value {
                    "" | "true" | "1" => read_only = true,
                    "false" | "0" => read_only = false,
                    _ => return Err(wrong(format!("{value:?} is neither true nor false"))),
                },
                _ => options.push((name, value)),
            }
        }
        let target = target.ok_or_else(|| wrong("it names no target".to_owned()))?;
        let mut tmpfs = Tmpfs::at(target).map_err(wrong)?;
        match (kind, source) {
            (Some("tmpfs"), None) => {
                for (name, value) in options {
                    tmpfs.set(name, value).map_err(wrong)?;
                }
                Ok(Self::Tmpfs(tmpfs))
            }
            (Some("bind"), Some(source)) if !source.is_empty() => match options.first() {
                Some((name, _)) => Err(wrong(format!("unknown option {name:?}"))),
                None => Ok(Self::Volume(Volume {
                    host: source.into(),
                    target: tmpfs.target,
                    read_only,
                })),
            },
            (Some("bind"), _) => Err(wrong("it names no source".to_owned())),
            (Some("tmpfs"), Some(_)) => Err(wrong("a tmpfs has no source".to_owned())),
            (Some(kind), _) => Err(wrong(format!("type {kind:?} is neither bind nor tmpfs"))),
            (None, _) => Err(wrong("it names no type: bind or tmpfs".to_owned())),
        }
    }
}

/// `PATH` of a container whose image sets none.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Spec {
    /// A container of `root` that runs `arguments`, all else as by default:
    /// user 65532, private network, a 64 MiB `/tmp`.
    pub fn new(root: Root, arguments: Vec<OsString>) -> Self {
        Self {
            root,
            arguments,
            environment: vec![DEFAULT_PATH.into()],
            workdir: "/".into(),
            user: User::default(),
            hostname: "ounce".into(),
            limits: Limits::default(),
            network: Network::default(),
            sockets: Vec::new(),
            sys: true,
            low_ports: true,
            system_calls: SystemCalls::default(),
            tmpfs: vec![Tmpfs {
                target: "/tmp".into(),
                size_bytes: 64 << 20,
                mode: 0o1777,
                executable: false,
            }],
            volumes: Vec::new(),
            terminal: false,
            terminals: false,
        }
    }

    /// Whether the path is below one of its tmpfs, where anything can be made.
    pub(crate) fn lies_in_tmpfs(&self, path: &std::path::Path) -> bool {
        let tmpfs = self.tmpfs.iter().map(|tmpfs| tmpfs.target.as_path());
        tmpfs
            .into_iter()
            .any(|target| target != path && path.starts_with(target))
    }

    /// A container that holds one program of the host and nothing else.
    pub fn of_program(program: PathBuf, arguments: impl IntoIterator<Item = OsString>) -> Self {
        let name = program.file_name().unwrap_or("app".as_ref()).to_owned();
        let mut path = OsString::from("/");
        path.push(&name);
        let root = Root::Assembled(vec![Part::File {
            host: program,
            name,
        }]);
        let arguments = std::iter::once(path).chain(arguments).collect();
        let mut spec = Self::new(root, arguments);
        spec.sys = false;
        spec
    }

    /// A container of a folder of the host that holds a root file system,
    /// which need not have the mount points. It has a `/sys` if the folder has.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of_folder(
        folder: PathBuf,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> std::io::Result<Self> {
        let arguments = arguments.into_iter().collect();
        let has = |name: &str| {
            std::fs::symlink_metadata(folder.join(name)).is_ok_and(|data| data.is_dir())
        };
        let sys = has("sys");
        let of = |root| Self {
            sys,
            ..Self::new(root, arguments)
        };
        if ["proc", "dev", "tmp"].iter().all(|name| has(name)) {
            return Ok(of(Root::Folder(folder)));
        }
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let (host, name, kind) = (entry.path(), entry.file_name(), entry.file_type()?);
            if ["proc", "dev", "sys", "tmp"].iter().any(|own| name == *own) {
                continue;
            }
            if kind.is_dir() {
                parts.push(Part::Folder { host, name });
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&host)?;
                parts.push(Part::Link { target, name });
            } else if kind.is_file() {
                parts.push(Part::File { host, name });
            }
        }
        parts.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(of(Root::Assembled(parts)))
    }
}

impl Part {
    /// Path in the root.
    pub fn name(&self) -> &std::ffi::OsStr {
        match self {
            Self::File { name, .. }
            | Self::Folder { name, .. }
            | Self::Made { name, .. }
            | Self::Link { name, .. } => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_and_hostile_ones_refused() {
        let volume: Volume = "/srv/data:/data:ro".parse().unwrap();
        assert_eq!(
            (volume.target.as_path(), volume.read_only),
            ("/data".as_ref(), true)
        );
        assert!(!"./x:/y:rw".parse::<Volume>().unwrap().read_only);
        for form in ["", "/a", ":/b", "/a:", "/a:/b:rx", "/a:/b:ro:z"] {
            assert!(
                matches!(form.parse::<Volume>(), Err(VolumeError::Form(_))),
                "{form}"
            );
        }
        for target in ["/a:b", "/a:/b/../..", "/a:/"] {
            assert!(
                matches!(target.parse::<Volume>(), Err(VolumeError::Target(_))),
                "{target}"
            );
        }
    }

    #[test]
    fn mounts_by_name_and_options_of_a_tmpfs_are_read_and_wrong_ones_refused() {
        let tmpfs: Tmpfs = "/run:size=1m,mode=755,exec".parse().unwrap();
        assert_eq!(
            (tmpfs.size_bytes, tmpfs.mode, tmpfs.executable),
            (1 << 20, 0o755, true)
        );
        assert_eq!("/x".parse::<Tmpfs>().unwrap().size_bytes, Tmpfs::SIZE);
        let mount: Mount = "type=bind,src=/a,dst=/b,readonly".parse().unwrap();
        let expected = Volume {
            host: "/a".into(),
            target: "/b".into(),
            read_only: true,
        };
        assert_eq!(mount, Mount::Volume(expected));
        let mount: Result<Mount, _> = "type=tmpfs,target=/t,tmpfs-size=2MiB".parse();
        assert!(matches!(mount, Ok(Mount::Tmpfs(tmpfs)) if tmpfs.size_bytes == 2 << 20));
        for wrong in [
            "",
            "x",
            "/",
            "/a/../b",
            "/a:size=",
            "/a:size=0",
            "/a:mode=9",
            "/a:what",
        ] {
            assert!(wrong.parse::<Tmpfs>().is_err(), "{wrong}");
        }
        for wrong in [
            "",
            "type=bind,target=/a",
            "type=bind,source=,target=/a",
            "type=bind,source=/a",
            "type=bind,source=/a,target=b",
            "type=bind,source=/a,target=/b,what=1",
            "type=tmpfs,source=/a,target=/b",
            "type=volume,source=a,target=/b",
            "source=/a,target=/b",
            "type=bind,source=/a,target=/b,ro=maybe",
        ] {
            assert!(wrong.parse::<Mount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_without_mount_points_is_assembled_from_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("usr")).unwrap();
        std::fs::create_dir(path.join("proc")).unwrap();
        std::fs::write(path.join("app"), "").unwrap();
        std::os::unix::fs::symlink("usr/bin", path.join("bin")).unwrap();
        let root = |path: PathBuf| Spec::of_folder(path, ["/app".into()]).unwrap().root;
        let expected = vec![
            Part::File {
                host: path.join("app"),
                name: "app".into(),
            },
            Part::Link {
                target: "usr/bin".into(),
                name: "bin".into(),
            },
            Part::Folder {
                host: path.join("usr"),
                name: "usr".into(),
            },
        ];
        assert_eq!(root(path.to_owned()), Root::Assembled(expected));
        for name in ["dev", "tmp"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        assert_eq!(root(path.to_owned()), Root::Folder(path.to_owned()));
        let sys = |path: &std::path::Path| Spec::of_folder(path.to_owned(), []).unwrap().sys;
        assert!(!sys(path));
        std::fs::create_dir(path.join("sys")).unwrap();
        assert!(sys(path));
    }
}
