//! From an image's configuration to a [`Spec`], by the rules of the OCI image
//! specification, conversion.md.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use ounce_linux::resolve;
use ounce_oci::Image;
use ounce_oci::model::ImageConfiguration;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::spec::{DEFAULT_PATH, Root, Spec, SystemCalls, User};
use crate::syscalls::Calls;

/// What the user wants otherwise than the image says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Instead of the image's entrypoint; its command is dropped then, too.
    pub entrypoint: Option<Vec<OsString>>,
    /// Instead of the image's command, if any.
    pub arguments: Vec<OsString>,
    /// `NAME=VALUE`, over the image's.
    pub environment: Vec<OsString>,
    /// Instead of the image's.
    pub workdir: Option<PathBuf>,
    /// Instead of the image's: `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
}

/// Annotation of a manifest: the names of the system calls that the program
/// makes, divided by commas. It gets these and no others.
pub const CALLS_ANNOTATION: &str = "io.ounce.seccomp";

/// What an image says of its system calls, if it does.
pub fn calls_annotation(image: &Image) -> Option<String> {
    let annotations = image.manifest.annotations().as_ref()?;
    annotations.get(CALLS_ANNOTATION).cloned()
}

/// The system calls of a container whose image says this of them.
///
/// # Errors
/// It names none that this machine has.
pub fn system_calls(list: Option<&str>) -> Result<SystemCalls, ImageError> {
    match list {
        None => Ok(SystemCalls::Default),
        Some(list) => match Calls::named(list) {
            Some(calls) => Ok(SystemCalls::Only(calls)),
            None => Err(ImageError::Calls),
        },
    }
}

/// The image's configuration cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A list of system calls without one that is known.
    #[error("the image's annotation {CALLS_ANNOTATION} names no system call of this machine")]
    Calls,
    /// A user or group that the image's files do not name.
    #[error("user {user:?}: no {name:?} in the image's {file}")]
    NoSuchName {
        /// As it was written.
        user: String,
        /// The part that was looked for.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
}

/// Most bytes of `/etc/passwd` that are read: an image is not to be trusted.
const LONGEST: u64 = 1 << 20;

impl Spec {
    /// A container of an image that was unpacked to `rootfs`.
    ///
    /// # Errors
    /// Its user is not in the image's `/etc/passwd`.
    pub fn from_image(
        image: &Image,
        rootfs: PathBuf,
        overrides: Overrides,
    ) -> Result<Self, ImageError> {
        let mut spec = Self::from_config(&image.config, rootfs, overrides)?;
        let list = calls_annotation(image);
        spec.system_calls = system_calls(list.as_deref())?;
        Ok(spec)
    }

    /// As [`Spec::from_image`], from the configuration alone.
    ///
    /// # Errors
    /// As there.
    pub fn from_config(
        config: &ImageConfiguration,
        rootfs: PathBuf,
        overrides: Overrides,
    ) -> Result<Self, ImageError> {
        let user = overrides.user.clone();
        let essence = Essence::of(config, &rootfs, user.as_deref())?;
        Ok(Self::from_essence(essence, rootfs, overrides))
    }

    /// A container of an image whose configuration was read before; a user among
    /// the overrides is the essence's already.
    pub fn from_essence(essence: Essence, rootfs: PathBuf, overrides: Overrides) -> Self {
        let Essence {
            entrypoint,
            command,
            mut environment,
            workdir,
            user,
        } = essence;
        let arguments = match (overrides.entrypoint, overrides.arguments) {
            (Some(entrypoint), arguments) => [entrypoint, arguments].concat(),
            (None, arguments) if arguments.is_empty() => [entrypoint, command].concat(),
            (None, arguments) => [entrypoint, arguments].concat(),
        };
        if name_of(&environment, "PATH").is_none() {
            environment.push(DEFAULT_PATH.into());
        }
        for variable in overrides.environment {
            set(&mut environment, variable);
        }
        // What an image has no place for, its programs do not look for. A link
        // would lead elsewhere.
        let sys = std::fs::symlink_metadata(rootfs.join("sys")).is_ok_and(|data| data.is_dir());
        let mut spec = Self::new(Root::Folder(rootfs), arguments);
        spec.sys = sys;
        spec.environment = environment;
        spec.user = user;
        if let Some(workdir) = overrides.workdir.or(workdir) {
            spec.workdir = Path::new("/").join(workdir);
        }
        spec
    }
}

/// What a configuration says of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Essence {
    /// The program and its first arguments.
    pub entrypoint: Vec<OsString>,
    /// Further arguments, unless others are given.
    pub command: Vec<OsString>,
    /// `NAME=VALUE`.
    pub environment: Vec<OsString>,
    /// Where it starts, if it says.
    pub workdir: Option<PathBuf>,
    /// Who it runs as.
    pub user: User,
}

impl Essence {
    /// Of a configuration, with the user looked up in the image's files.
    ///
    /// # Errors
    /// The user is not in the image's `/etc/passwd`.
    pub fn of(
        config: &ImageConfiguration,
        rootfs: &Path,
        user: Option<&str>,
    ) -> Result<Self, ImageError> {
        let config = config.config().as_ref();
        let strings = |list: Option<&Vec<String>>| -> Vec<OsString> {
            list.into_iter().flatten().map(OsString::from).collect()
        };
        let user = user.or_else(|| config.and_then(|config| config.user().as_deref()));
        let workdir = config.and_then(|config| config.working_dir().as_ref());
        Ok(Self {
            entrypoint: strings(config.and_then(|config| config.entrypoint().as_ref())),
            command: strings(config.and_then(|config| config.cmd().as_ref())),
            environment: strings(config.and_then(|config| config.env().as_ref())),
            workdir: workdir
                .filter(|folder| !folder.is_empty())
                .map(PathBuf::from),
            user: resolve(user.unwrap_or_default(), rootfs)?,
        })
    }
}

fn name_part(variable: &OsString) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    let bytes = variable.as_bytes();
    bytes.split(|byte| *byte == b'=').next().unwrap_or(bytes)
}

fn name_of(environment: &[OsString], name: &str) -> Option<usize> {
    environment
        .iter()
        .position(|variable| name_part(variable) == name.as_bytes())
}

/// Sets a variable, in the place of an older value if there is one.
pub fn set(environment: &mut Vec<OsString>, variable: OsString) {
    let place = environment
        .iter_mut()
        .find(|other| name_part(other) == name_part(&variable));
    match place {
        Some(place) => *place = variable,
        None => environment.push(variable),
    }
}

/// `user`, `uid`, `user:group`, `uid:gid` and the mixed forms (OCI image spec,
/// config.md, "User"). Nothing is user 0.
pub(crate) fn resolve(text: &str, rootfs: &Path) -> Result<User, ImageError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if user.is_empty() {
        return Ok(User { uid: 0, gid: 0 });
    }
    let missing = |name: &str, file| ImageError::NoSuchName {
        user: text.to_owned(),
        name: name.to_owned(),
        file,
    };
    let passwd = || read_inside(rootfs, "etc/passwd");
    let (uid, own_gid) = match user.parse() {
        // The group of a user by number is only looked up where none is given.
        Ok(uid) if group.is_some() => (uid, 0),
        Ok(uid) => (
            uid,
            row(&passwd(), 2, user)
                .and_then(|row| number(&row, 3))
                .unwrap_or(0),
        ),
        Err(_) => {
            let row = row(&passwd(), 0, user).ok_or_else(|| missing(user, "/etc/passwd"))?;
            let numbers = number(&row, 2).zip(number(&row, 3));
            numbers.ok_or_else(|| missing(user, "/etc/passwd"))?
        }
    };
    let gid = match group {
        None | Some("") => own_gid,
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => row(&read_inside(rootfs, "etc/group"), 0, group)
                .and_then(|row| number(&row, 2))
                .ok_or_else(|| missing(group, "/etc/group"))?,
        },
    };
    Ok(User { uid, gid })
}

fn row(table: &str, column: usize, value: &str) -> Option<Vec<String>> {
    table
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
        .find(|row| row.get(column).is_some_and(|cell| cell == value))
}

fn number(row: &[String], column: usize) -> Option<u32> {
    row.get(column)?.parse().ok()
}

/// A file of the image, never one of the host that a link points to.
fn read_inside(rootfs: &Path, path: &str) -> String {
    let open = || {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let folder = rustix::fs::open(rootfs, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        resolve::open(
            folder,
            path,
            flags,
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    };
    let mut bytes = Vec::new();
    if let Ok(file) = open() {
        let file = std::fs::File::from(file);
        if file.metadata().is_ok_and(|data| data.is_file()) {
            let _ = file.take(LONGEST).read_to_end(&mut bytes);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rootfs() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/:/sh\nweb:x:33:34::/:/sh\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.path().join("etc/group"), "www:x:44:\n").unwrap();
        root
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let root = rootfs();
        let user = |text: &str| {
            let user = resolve(text, root.path()).unwrap();
            (user.uid, user.gid)
        };
        assert_eq!(user(""), (0, 0));
        assert_eq!(user("web"), (33, 34));
        assert_eq!(user("33"), (33, 34));
        assert_eq!(user("99"), (99, 0));
        assert_eq!(user("web:www"), (33, 44));
        assert_eq!(user("7:8"), (7, 8));
        let error = resolve("nobody", root.path()).unwrap_err().to_string();
        assert_eq!(
            error,
            "user \"nobody\": no \"nobody\" in the image's /etc/passwd"
        );
    }

    #[test]
    fn a_passwd_that_links_to_the_hosts_is_not_followed_out_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/passwd", root.path().join("etc/passwd"))
            .unwrap();
        assert!(resolve("root", root.path()).is_err());
    }

    #[test]
    fn arguments_replace_the_command_and_an_entrypoint_replaces_both() {
        let config: ImageConfiguration = serde_config();
        let run = |overrides| {
            Spec::from_config(&config, "/r".into(), overrides)
                .unwrap()
                .arguments
        };
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(run(Overrides::default()), words(&["/app", "serve"]));
        let arguments = words(&["check"]);
        let overrides = Overrides {
            arguments: arguments.clone(),
            ..Overrides::default()
        };
        assert_eq!(run(overrides), words(&["/app", "check"]));
        let overrides = Overrides {
            entrypoint: Some(words(&["/other"])),
            ..Overrides::default()
        };
        assert_eq!(run(overrides), words(&["/other"]));
    }

    fn serde_config() -> ImageConfiguration {
        let text = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Entrypoint":["/app"],"Cmd":["serve"],"WorkingDir":"srv","User":"7:8","Env":["A=1"]}}"#;
        ImageConfiguration::from_reader(text.as_bytes()).unwrap()
    }
}
