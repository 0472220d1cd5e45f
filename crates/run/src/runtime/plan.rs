//! From a bundle to the acts of its container's first process. Nothing is
//! touched here: a plan can be compared with one that was written down.
//!
//! Longer than most, for the order of all acts is one thing to read.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use linux_raw_sys::general as raw;
use ounce_linux::init::{Act, Attributes, Kind, Mount, Source};
use ounce_linux::namespace::Namespaces;

use super::cgroup::{Groups, Hierarchies};
use super::check::{Spaces, check, sysctl_path};
use super::config::{Config, IdMapping, Mount as Wanted};
use super::fault::{RuntimeError, text};
use super::mounts::{self, Options};
use super::pause::{MAPPED, MOUNTED, READY};
use super::process;

/// What the plan has to know besides the bundle.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// Absolute path of the bundle.
    pub bundle: &'a Path,
    /// Absolute path of the root.
    pub rootfs: &'a Path,
    /// Its control groups, made.
    pub groups: &'a Groups,
    /// Where the host has its hierarchies.
    pub hierarchies: &'a Hierarchies,
    /// Whether we are root, here or in a user namespace of our own.
    pub root: bool,
    /// Whether pivot_root(2) is used.
    pub pivot: bool,
    /// Whether a session keyring is made.
    pub keyring: Option<&'a str>,
    /// Descriptors from 3 on that the program gets.
    pub preserved: u32,
}

/// A file that the maker opens for the process, in the order of its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// The pipe with the word to start.
    Start,
    /// The pipe for failures after that.
    Report,
    /// The socket that a terminal is sent over.
    Console,
    /// A tree of the host, with this propagation.
    Tree {
        /// Where.
        path: PathBuf,
        /// With the mounts below.
        recursive: bool,
        /// `MS_*`, or 0.
        propagation: u64,
        /// Owners as the mount shows them.
        owners: Option<Owners>,
    },
    /// An existing namespace.
    Namespace(PathBuf),
    /// A control group's door.
    Group(PathBuf),
}

/// Owners as a mount shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// Users.
    pub uids: Vec<IdMapping>,
    /// Groups.
    pub gids: Vec<IdMapping>,
    /// Whether on the mounts below as well.
    pub recursive: bool,
}

/// All that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Namespaces of the clone.
    pub namespaces: Namespaces,
    /// Existing ones to be born in.
    pub joins: Vec<(PathBuf, Namespaces)>,
    /// Users and groups of a new user namespace.
    pub users: Option<(Vec<IdMapping>, Vec<IdMapping>)>,
    /// Files that acts name by their index.
    pub files: Vec<File>,
    /// What the process does.
    pub acts: Vec<Act<CString>>,
}

fn path_text(path: &Path) -> Result<CString, RuntimeError> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| RuntimeError::config(format!("{path:?} has a zero byte in it")))
}

/// Makes the plan.
///
/// # Errors
/// The bundle asks for what makes no sense.
pub fn plan(config: &Config, setting: &Setting<'_>) -> Result<Plan, RuntimeError> {
    let spaces = Spaces::of(config)?;
    let linux = config.linux();
    check(config, &spaces)?;
    let mut planner = Planner {
        config,
        setting,
        spaces,
        files: vec![File::Start, File::Report],
        acts: Vec::new(),
    };
    planner.begin()?;
    planner.root()?;
    for mount in &config.mounts {
        planner.mount(mount)?;
    }
    planner.devices()?;
    planner.late_restrictions();
    planner.acts.push(Act::Pause(MOUNTED));
    for path in &linux.readonly_paths {
        planner.acts.push(Act::ReadOnly(text(path)?));
    }
    for path in &linux.masked_paths {
        planner.acts.push(Act::Mask(text(path)?));
    }
    if let Some(program) = &config.process {
        planner.acts.push(Act::Folder(text(&program.cwd)?));
    }
    planner.acts.push(Act::EnterRoot {
        pivot: setting.pivot && planner.spaces.is_new(Namespaces::MOUNT),
    });
    if let Some(name) = &linux.rootfs_propagation {
        planner
            .acts
            .push(Act::RootPropagation(root_propagation(name)?));
    }
    let users = planner.spaces.has(Namespaces::USER);
    let Some(program) = &config.process else {
        // `start` tells that there is none.
        planner.acts.push(Act::Pause(READY));
        planner.acts.push(Act::AwaitStart {
            file: 0,
            preserved: 0,
        });
        planner.acts.push(Act::Execute);
        return Ok(planner.finish());
    };
    if program.terminal {
        planner.files.push(File::Console);
        planner.acts.push(Act::Console {
            socket: planner.files.len() - 1,
            size: process::console_size(program)?,
            mount: planner.spaces.has(Namespaces::MOUNT),
        });
    }
    if config.root.as_ref().is_some_and(|root| root.readonly) {
        planner.acts.push(Act::SealRoot);
    }
    process::acts(
        program,
        &process::Around {
            seccomp: linux.seccomp.as_ref(),
            start: Some(0),
            preserved: setting.preserved,
            groups: !users || setting.root,
            personality: linux.personality.as_ref(),
            memory_policy: linux.memory_policy.as_ref(),
        },
        &mut planner.acts,
    )?;
    Ok(planner.finish())
}

fn root_propagation(name: &str) -> Result<u64, RuntimeError> {
    if let Some(flag) = mounts::propagation(name) {
        return Ok(flag);
    }
    name.strip_prefix('r')
        .and_then(mounts::propagation)
        .map(|flag| flag | u64::from(raw::MS_REC))
        .ok_or_else(|| {
            RuntimeError::config(format!("linux.rootfsPropagation: unknown value {name:?}"))
        })
}

struct Planner<'a> {
    config: &'a Config,
    setting: &'a Setting<'a>,
    spaces: Spaces,
    files: Vec<File>,
    acts: Vec<Act<CString>>,
}

impl Planner<'_> {
    fn finish(self) -> Plan {
        let linux = self.config.linux();
        let new = self.spaces.new;
        let users = self
            .spaces
            .is_new(Namespaces::USER)
            .then_some((linux.uid_mappings, linux.gid_mappings));
        let joins = self.spaces.joined.into_iter();
        Plan {
            namespaces: new.without(Namespaces::CGROUP | Namespaces::TIME),
            // A process enters a time namespace by itself: its maker's helper
            // shares memory with others, which the kernel refuses there.
            joins: joins
                .filter(|(_, kind)| *kind != Namespaces::TIME)
                .collect(),
            users,
            files: self.files,
            acts: self.acts,
        }
    }

    /// All before the mounts.
    fn begin(&mut self) -> Result<(), RuntimeError> {
        let linux = self.config.linux();
        self.acts.push(Act::Session);
        // While its user is still the one who may.
        for door in self.setting.groups.doors() {
            self.files.push(File::Group(door));
            self.acts.push(Act::JoinGroup(self.files.len() - 1));
        }
        let late = [Namespaces::CGROUP, Namespaces::TIME];
        for kind in late.into_iter().filter(|kind| self.spaces.is_new(*kind)) {
            self.acts.push(Act::Unshare(kind));
        }
        for (clock, offset) in &linux.time_offsets {
            self.acts.push(Act::Write {
                path: c"/proc/self/timens_offsets".to_owned(),
                text: text(format!("{clock} {} {}", offset.secs, offset.nanosecs))?,
            });
        }
        // Its own files in /proc are another's from here on.
        if self.spaces.is_new(Namespaces::USER) {
            self.acts.push(Act::Pause(MAPPED));
        }
        if self.spaces.has(Namespaces::USER) {
            self.acts.push(Act::BecomeRoot);
        }
        let time = self
            .spaces
            .joined
            .iter()
            .find(|(_, kind)| *kind == Namespaces::TIME);
        if let Some((path, kind)) = time.cloned() {
            self.files.push(File::Namespace(path));
            self.acts.push(Act::Join {
                file: self.files.len() - 1,
                namespace: kind,
            });
        }
        if let Some(name) = self.setting.keyring {
            self.acts.push(Act::Keyring(text(name)?));
        }
        if self.spaces.is_new(Namespaces::NETWORK) {
            self.acts.push(Act::Loopback);
        }
        if let Some(name) = &self.config.hostname {
            self.acts.push(Act::Hostname(text(name)?));
        }
        if let Some(name) = &self.config.domainname {
            self.acts.push(Act::Domainname(text(name)?));
        }
        for (name, value) in &linux.sysctl {
            self.acts.push(Act::Write {
                path: text(format!("/proc/sys/{}", sysctl_path(name)))?,
                text: text(value)?,
            });
        }
        if let Some(process) = &self.config.process {
            process::labels(process, &mut self.acts)?;
        }
        Ok(())
    }

    /// What a mount of the host is to have, so that nothing in the container shows on the host.
    fn inherited_propagation(&self) -> u64 {
        let wanted = self
            .config
            .linux
            .as_ref()
            .and_then(|linux| linux.rootfs_propagation.as_deref())
            .unwrap_or("slave");
        let private = matches!(wanted.trim_start_matches('r'), "private" | "unbindable");
        u64::from(if private {
            raw::MS_PRIVATE
        } else {
            raw::MS_SLAVE
        })
    }

    /// Whether a bind mount is to be shared with the host.
    fn shares(&self) -> bool {
        let mut mounts = self.config.mounts.iter();
        mounts.any(|mount| mounts::options(mount).wants_sharing())
    }

    /// Who copies a tree of the host: the maker where the process may not walk
    /// there, or is no more in the maker's mounts.
    fn source(
        &mut self,
        path: PathBuf,
        recursive: bool,
        shared: bool,
        owners: Option<Owners>,
    ) -> Result<Source<CString>, RuntimeError> {
        let ready = self.spaces.has(Namespaces::USER) || self.spaces.is_joined(Namespaces::MOUNT);
        if owners.is_none() && !(ready && self.setting.root) {
            return Ok(Source::Path {
                path: path_text(&path)?,
                recursive,
            });
        }
        let propagation = match shared {
            true => 0,
            false => self.inherited_propagation(),
        };
        self.files.push(File::Tree {
            path,
            recursive,
            propagation,
            owners,
        });
        Ok(Source::Ready(self.files.len() - 1))
    }

    fn root(&mut self) -> Result<(), RuntimeError> {
        let rootfs = self.setting.rootfs.to_owned();
        if !self.spaces.has(Namespaces::MOUNT) {
            self.acts.push(Act::ForeignRoot(path_text(&rootfs)?));
            return Ok(());
        }
        let propagation = self.inherited_propagation();
        if self.spaces.is_new(Namespaces::MOUNT) {
            self.acts.push(match self.shares() {
                // What is mounted below is not to show on the host; what is
                // bound may be, and is set apart mount by mount.
                true => Act::RootPropagation(propagation),
                false => Act::Propagation(propagation),
            });
        }
        let source = self.source(rootfs, true, false, None)?;
        self.acts.push(Act::Root(source));
        Ok(())
    }

    fn mount(&mut self, wanted: &Wanted) -> Result<(), RuntimeError> {
        let options = mounts::options(wanted);
        if !wanted.destination.starts_with('/') {
            // Allowed once, and still found; taken from the root.
            let wanted = Wanted {
                destination: format!("/{}", wanted.destination),
                ..wanted.clone()
            };
            return self.mount(&wanted);
        }
        let kind = wanted.kind.as_deref().unwrap_or_default();
        if options.bind.is_none() && matches!(kind, "cgroup" | "cgroup2") {
            return self.control_groups(wanted, &options);
        }
        let owners = self.owners(wanted, &options)?;
        let (source, place) = match options.bind {
            Some(recursive) => {
                let path = wanted.source.as_deref().ok_or_else(|| {
                    RuntimeError::config(format!(
                        "mounts: {} is a bind mount without a source",
                        wanted.destination
                    ))
                })?;
                let path = self.setting.bundle.join(path);
                let place = match path.is_dir() {
                    true => Kind::Folder,
                    false => Kind::File,
                };
                (
                    self.source(path, recursive, options.wants_sharing(), owners)?,
                    place,
                )
            }
            None => {
                if kind.is_empty() {
                    return Err(RuntimeError::config(format!(
                        "mounts: {} has no type",
                        wanted.destination
                    )));
                }
                let source = Source::New {
                    kind: text(kind)?,
                    source: text(wanted.source.as_deref().unwrap_or(kind))?,
                    options: text(self.labelled(kind, &options))?,
                };
                (source, Kind::Folder)
            }
        };
        let apart = options.bind.is_some() && self.shares() && !options.wants_sharing();
        let mut attributes = options.attributes;
        if kind == "tmpfs" && options.bind.is_none() {
            // Filled first: see `late_restrictions`.
            attributes.set &= !u64::from(raw::MOUNT_ATTR_RDONLY);
        }
        self.acts.push(Act::Mount(Mount {
            source,
            target: text(&wanted.destination)?,
            place,
            no_link: matches!(kind, "proc" | "sysfs") && options.bind.is_none(),
            attributes,
            recursive: options.recursive,
            propagation: options.propagation,
            recursive_propagation: match options.recursive_propagation {
                0 if apart => self.inherited_propagation(),
                given => given,
            },
            copy_up: options.copy_up && kind == "tmpfs",
            optional: false,
        }));
        Ok(())
    }

    fn labelled(&self, kind: &str, options: &Options) -> String {
        let label = self
            .config
            .linux
            .as_ref()
            .and_then(|linux| linux.mount_label.as_deref())
            .filter(|label| !label.is_empty())
            // Without SELinux a label says nothing, and the kernel takes none.
            .filter(|_| Path::new("/sys/fs/selinux/enforce").exists());
        match label {
            Some(label) if matches!(kind, "tmpfs" | "devpts" | "mqueue") => {
                let mut data = options.data.clone();
                data.push(format!("context=\"{label}\""));
                data.join(",")
            }
            _ => options.text(),
        }
    }

    fn owners(&self, wanted: &Wanted, options: &Options) -> Result<Option<Owners>, RuntimeError> {
        let Some(recursive) = options.id_map else {
            return Ok(None);
        };
        let linux = self.config.linux();
        let own = |list: &Option<Vec<IdMapping>>, default: &[IdMapping]| match list {
            Some(list) if !list.is_empty() => list.clone(),
            _ => default.to_vec(),
        };
        let uids = own(&wanted.uid_mappings, &linux.uid_mappings);
        let gids = own(&wanted.gid_mappings, &linux.gid_mappings);
        if uids.is_empty() || gids.is_empty() {
            return Err(RuntimeError::config(format!(
                "mounts: {} is to be mapped, and there is no mapping",
                wanted.destination
            )));
        }
        if options.bind.is_none() {
            return Err(RuntimeError::config(format!(
                "mounts: {} has mappings and is no bind mount",
                wanted.destination
            )));
        }
        Ok(Some(Owners {
            uids,
            gids,
            recursive,
        }))
    }

    fn control_groups(&mut self, wanted: &Wanted, options: &Options) -> Result<(), RuntimeError> {
        let target = wanted.destination.trim_end_matches('/');
        let plain = |source: Source<CString>, target: String, attributes: Attributes| {
            Ok::<_, RuntimeError>(Mount {
                source,
                target: text(target)?,
                place: Kind::Folder,
                no_link: false,
                attributes,
                recursive: Attributes::default(),
                propagation: options.propagation,
                recursive_propagation: options.recursive_propagation,
                copy_up: false,
                optional: false,
            })
        };
        let new = |kind: &str, options: &str| {
            Ok::<_, RuntimeError>(Source::New {
                kind: text(kind)?,
                source: text(kind)?,
                options: text(options)?,
            })
        };
        let own_space = self.spaces.has(Namespaces::CGROUP);
        if self.setting.hierarchies.is_unified() {
            let source = match (&self.setting.groups.unified, own_space) {
                (Some(folder), false) => Source::Path {
                    path: path_text(folder)?,
                    recursive: true,
                },
                _ => new("cgroup2", "")?,
            };
            let mount = plain(source, target.to_owned(), options.attributes)?;
            self.acts.push(Act::Mount(mount));
            return Ok(());
        }
        let mut above = options.attributes;
        above.set &= !u64::from(raw::MOUNT_ATTR_RDONLY);
        let tmpfs = new("tmpfs", "mode=755,size=1m")?;
        self.acts
            .push(Act::Mount(plain(tmpfs, target.to_owned(), above)?));
        for (name, point) in &self.setting.hierarchies.separate {
            let Some(folder) = self.setting.groups.separate.get(name) else {
                continue;
            };
            let file_name = point
                .file_name()
                .map_or_else(|| name.clone(), |name| name.to_string_lossy().into_owned());
            let source = match own_space {
                true => {
                    let named = name.starts_with("name=");
                    new(
                        "cgroup",
                        &if named {
                            format!("none,{name}")
                        } else {
                            name.clone()
                        },
                    )?
                }
                false => Source::Path {
                    path: path_text(folder)?,
                    recursive: false,
                },
            };
            let path = format!("{target}/{file_name}");
            self.acts
                .push(Act::Mount(plain(source, path, options.attributes)?));
            // `cpu` where `cpu,cpuacct` are one.
            if file_name.contains(',') {
                for alias in file_name.split(',') {
                    self.acts.push(Act::Symlink {
                        path: text(format!("{target}/{alias}"))?,
                        target: text(&file_name)?,
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether a path is bound from the host as a whole.
    fn is_bound(&self, path: &str) -> bool {
        self.config.mounts.iter().any(|mount| {
            mount.destination.trim_end_matches('/') == path && mounts::options(mount).bind.is_some()
        })
    }

    fn devices(&mut self) -> Result<(), RuntimeError> {
        let bind = self.spaces.has(Namespaces::USER) || !self.setting.root;
        let linux = self.config.linux();
        let own_dev = !self.is_bound("/dev");
        if own_dev {
            for (name, minor) in DEFAULT_DEVICES {
                let path = format!("/dev/{name}");
                if linux.devices.iter().any(|device| device.path == path) {
                    continue;
                }
                self.acts.push(Act::Node {
                    path: text(&path)?,
                    kind: raw::S_IFCHR,
                    mode: 0o666,
                    major: if name == "tty" { 5 } else { 1 },
                    minor,
                    uid: 0,
                    gid: 0,
                    bind,
                });
            }
        }
        for device in &linux.devices {
            let kind = match device.kind.as_str() {
                "c" | "u" => raw::S_IFCHR,
                "b" => raw::S_IFBLK,
                "p" => raw::S_IFIFO,
                other => {
                    return Err(RuntimeError::config(format!(
                        "linux.devices: {other:?} is no type of device"
                    )));
                }
            };
            let number = |value: i64| {
                u32::try_from(value.max(0)).map_err(|_| {
                    RuntimeError::config(format!("linux.devices: {value} is no number of a device"))
                })
            };
            if !device.path.starts_with('/') {
                return Err(RuntimeError::config(format!(
                    "linux.devices: {:?} is not an absolute path",
                    device.path
                )));
            }
            self.acts.push(Act::Node {
                path: text(&device.path)?,
                kind,
                mode: device.file_mode.unwrap_or(0o666),
                major: number(device.major)?,
                minor: number(device.minor)?,
                uid: device.uid.unwrap_or(0),
                gid: device.gid.unwrap_or(0),
                bind: bind && kind != raw::S_IFIFO,
            });
        }
        if own_dev {
            for (path, target) in DEVICE_LINKS {
                self.acts.push(Act::Symlink {
                    path: path.to_owned(),
                    target: target.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Read-only file systems of memory, now that all is in them.
    fn late_restrictions(&mut self) {
        for mount in &self.config.mounts {
            let options = mounts::options(mount);
            let kind = mount.kind.as_deref().unwrap_or_default();
            let memory =
                kind == "tmpfs" || (kind == "cgroup" && !self.setting.hierarchies.is_unified());
            let read_only = options.attributes.set & u64::from(raw::MOUNT_ATTR_RDONLY) != 0;
            let Ok(target) = text(&mount.destination) else {
                continue;
            };
            if memory && read_only && options.bind.is_none() {
                self.acts.push(Act::Restrict {
                    target,
                    attributes: Attributes {
                        set: u64::from(raw::MOUNT_ATTR_RDONLY),
                        clear: 0,
                    },
                });
            }
        }
    }
}

/// Name and minor number (config-linux.md, "Default Devices").
const DEFAULT_DEVICES: [(&str, u32); 6] = [
    ("null", 3),
    ("zero", 5),
    ("full", 7),
    ("random", 8),
    ("urandom", 9),
    ("tty", 0),
];

/// Links in /dev (runtime-linux.md, "Dev symbolic links", and the terminals').
const DEVICE_LINKS: [(&std::ffi::CStr, &std::ffi::CStr); 5] = [
    (c"/dev/fd", c"/proc/self/fd"),
    (c"/dev/stdin", c"/proc/self/fd/0"),
    (c"/dev/stdout", c"/proc/self/fd/1"),
    (c"/dev/stderr", c"/proc/self/fd/2"),
    (c"/dev/ptmx", c"pts/ptmx"),
];
