//! From what is wanted to the steps that make it. Nothing is touched here, so
//! a plan can be shown, and compared with one that was written down.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ounce_linux::namespace::Namespaces;
use ounce_linux::step::{Step, Tree};
use rustix::process::Resource;

use crate::ground::Ground;
use crate::host::{Groups, Host};
use crate::spec::{Limits, Network, Part, Root, Spec, SystemCalls, Volume};

/// The host's user that user 0 of a container is, when ounce runs as root: the
/// last 65,536 of the range that systemd keeps for containers ("Users, Groups,
/// UIDs and GIDs on systemd Systems"), which nobody is.
pub const FIRST_HOST_ID: u32 = 0x6fff_0000;
/// How many users and groups a container has then.
pub const HOST_IDS: u32 = 65536;

/// All that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Namespaces of the clone.
    pub namespaces: Namespaces,
    /// How many of the steps can be begun before the rest is known.
    pub first: usize,
    /// Trees that the parent copies, in the order of their index.
    pub trees: Vec<HostTree>,
    /// What the parent writes while the child is on its first steps.
    pub users: UserMap,
    /// Control groups that the parent makes and fills.
    pub groups: Vec<Group>,
    /// What the child does.
    pub steps: Vec<Step<CString>>,
    /// Paths to be executed, the first that exists.
    pub programs: Vec<CString>,
}

/// A tree of the host that the parent copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTree {
    /// On the host.
    pub path: CString,
    /// Whether nothing can be written.
    pub read_only: bool,
}

/// The lines of `uid_map` and `gid_map` (man 7 user_namespaces).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMap {
    /// Users.
    pub uids: String,
    /// Groups.
    pub gids: String,
    /// Whether `setgroups` has to be forbidden before, as it is without root.
    pub deny_groups: bool,
}

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Folder that it is made in.
    pub parent: PathBuf,
    /// Whether it is of version 2, that a child can be born into.
    pub unified: bool,
    /// Controllers that the parents have to pass on (version 2, root).
    pub enable: Vec<String>,
    /// Files and what is written to them. One that starts with `?` may fail.
    pub settings: Vec<(String, String)>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No program was named.
    #[error("no program to run was named")]
    NoProgram,
    /// A text holds a zero byte.
    #[error("{0:?} has a zero byte in it")]
    Zero(String),
    /// The user is past those that a container has.
    #[error("user {0} is past 65535, the last that a container has")]
    User(u32),
    /// A limit that was asked for cannot be enforced here.
    #[error("the limit on {0} cannot be enforced here")]
    Limit(&'static str),
    /// A limit on memory that no program can be started under.
    #[error("a limit of {0} bytes of memory is below {least}, which a start alone takes", least = Limits::LEAST_MEMORY)]
    Memory(u64),
    /// A path in the container is not absolute and plain.
    #[error("{0:?} is not an absolute path without `..`")]
    Path(PathBuf),
}

fn text(text: &OsStr) -> Result<CString, PlanError> {
    CString::new(text.as_bytes()).map_err(|_| PlanError::Zero(text.to_string_lossy().into_owned()))
}

/// Relative to the root, as steps want it.
fn inside(path: &Path) -> Result<CString, PlanError> {
    let plain = path
        .components()
        .all(|part| !matches!(part, std::path::Component::ParentDir));
    let relative = path.strip_prefix("/").ok().filter(|_| plain);
    text(
        relative
            .ok_or_else(|| PlanError::Path(path.to_owned()))?
            .as_os_str(),
    )
}

/// Nodes that every program may expect (OCI runtime spec, config-linux.md, "Default Devices").
const DEVICES: [&std::ffi::CStr; 6] = [c"null", c"zero", c"full", c"random", c"urandom", c"tty"];

const DEVICE_LINKS: [(&std::ffi::CStr, &std::ffi::CStr); 4] = [
    (c"dev/fd", c"/proc/self/fd"),
    (c"dev/stdin", c"/proc/self/fd/0"),
    (c"dev/stdout", c"/proc/self/fd/1"),
    (c"dev/stderr", c"/proc/self/fd/2"),
];

/// What of /proc tells about the host, to users without any
/// privilege. /proc is read-only as a whole, and what only the host's root may
/// read is closed to us anyway, since no user of a container is the host's root.
const MASKED: [&std::ffi::CStr; 7] = [
    c"proc/keys",
    c"proc/key-users",
    c"proc/interrupts",
    c"proc/timer_list",
    c"proc/kcore",
    c"proc/acpi",
    c"proc/scsi",
];

/// Makes the plan.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(spec: &Spec, host: &Host) -> Result<Plan, PlanError> {
    plan_from(spec, host, Ground::of(spec))
}

/// As [`plan`], of a container that was begun on more than it needs, perhaps.
pub(crate) fn plan_from(spec: &Spec, host: &Host, ground: Ground) -> Result<Plan, PlanError> {
    let root = host.uid == 0;
    let mut trees = Trees { root, list: vec![] };
    let private = spec.network != Network::Host;
    if root && spec.user.uid.max(spec.user.gid) >= HOST_IDS {
        return Err(PlanError::User(spec.user.uid.max(spec.user.gid)));
    }
    let mut steps = ground.first().to_vec();
    let taken = steps.len();
    let groups = groups(&spec.limits, host)?;
    let separate = groups.iter().filter(|group| !group.unified).count();
    // All mounts are left to the second thread, while the first is still busy
    // with the network; but for `/sys`, which is of that network.
    let mut aside = Vec::new();
    // Paths of the host are walked before another user is taken on.
    if let Root::Folder(folder) = &spec.root {
        let tree = trees.of(folder, true)?;
        aside.push(Step::Root(tree));
        aside.push(Step::Proc);
    }
    aside.push(Step::AwaitParent);
    // Before the user that owns the group is given up, and its path is gone.
    aside.extend((0..separate).map(Step::OpenGroup));
    // Only a user that the namespace has can own what is made on a tmpfs. A
    // rootless caller is one already.
    if root {
        aside.push(Step::BecomeRoot);
    }
    if let Root::Assembled(parts) = &spec.root {
        assemble(parts, spec, &mut trees, &mut aside)?;
    }
    devices(spec, &mut aside);
    aside.extend(MASKED.map(|path| Step::Mask(path.to_owned())));
    let sys = [Step::Sys, Step::Mask(c"sys/firmware".to_owned())];
    let sys = sys.into_iter().filter(|_| private && spec.sys);
    // A volume in `/sys` has to lie over it, and has the second thread wait.
    let sys_first = spec.sys && mounts_in(spec, Path::new("/sys"));
    if sys_first {
        aside.extend(sys.clone());
    }
    mounts(spec, &mut trees, &mut aside)?;
    aside.push(Step::EnterRoot);
    // The last that needs the host's tree; the second thread waits for it
    // before it lets go of that.
    if private && spec.sys {
        steps.push(Step::NewSys);
    }
    steps.push(Step::LeaveTree);
    steps.push(Step::Aside(aside.len()));
    steps.extend(aside);
    steps.push(Step::Hostname(text(spec.hostname.as_ref())?));
    steps.push(Step::Session);
    steps.push(Step::Limit(Resource::Core, 0));
    if host.counts_apart {
        let most = spec.limits.pids.unwrap_or(Limits::PIDS);
        steps.push(Step::Limit(Resource::Nproc, most.into()));
    }
    // Needs a capability that becoming the user takes away.
    steps.push(Step::ForbidCapabilities);
    steps.push(Step::Join);
    steps.extend((0..separate).map(Step::JoinGroup));
    steps.push(Step::Unshare(Namespaces::CGROUP));
    if !sys_first {
        steps.extend(sys);
    }
    steps.push(Step::BecomeUser {
        uid: spec.user.uid,
        gid: spec.user.gid,
        clear_groups: root,
    });
    steps.push(Step::DropCapabilities);
    steps.push(Step::Enter(text(spec.workdir.as_os_str())?));
    steps.push(Step::Descriptors);
    if spec.terminal {
        steps.push(Step::ControllingTerminal);
    }
    // Becoming another user has cleared it.
    steps.push(Step::DieWithParent);
    steps.push(Step::NoNewPrivileges);
    if !private {
        // They are of the network namespace, which is the host's.
        steps.push(Step::Scope);
    }
    if spec.system_calls != SystemCalls::All {
        steps.push(Step::Filter);
    }
    steps.push(Step::Execute);
    Ok(Plan {
        namespaces: NAMESPACES,
        first: taken,
        trees: trees.list,
        users: users(spec, host),
        groups,
        steps,
        programs: programs(spec)?,
    })
}

fn mounts_in(spec: &Spec, folder: &Path) -> bool {
    let tmpfs = spec.tmpfs.iter().map(|one| &one.target);
    let mut targets = tmpfs.chain(spec.volumes.iter().map(|one| &one.target));
    targets.any(|target| target.starts_with(folder))
}

/// What is mounted over the root, in its order.
fn mounts(spec: &Spec, trees: &mut Trees, steps: &mut Vec<Step<CString>>) -> Result<(), PlanError> {
    for tmpfs in &spec.tmpfs {
        steps.push(Step::Tmpfs {
            target: inside(&tmpfs.target)?,
            size: text(tmpfs.size_bytes.to_string().as_ref())?,
            mode: text(format!("{:o}", tmpfs.mode & 0o7777).as_ref())?,
            executable: tmpfs.executable,
        });
    }
    let mut made = Vec::new();
    for volume in &spec.volumes {
        room_in_tmpfs(volume, spec, &mut made, steps)?;
        steps.push(Step::Bind {
            tree: trees.of(&volume.host, volume.read_only)?,
            target: inside(&volume.target)?,
            read_only: volume.read_only,
        });
    }
    if matches!(spec.root, Root::Assembled(_)) {
        steps.push(Step::Seal);
    }
    Ok(())
}

/// Namespaces that a child is born in. The others it makes itself: the parent
/// would have to wait for them.
pub(crate) const NAMESPACES: Namespaces = Namespaces::USER
    .with(Namespaces::MOUNT)
    .with(Namespaces::PID);

/// Trees of the host: as root they are copied by the parent, which may walk
/// any path; else by the child, since only a namespace of one's own can copy.
struct Trees {
    root: bool,
    list: Vec<HostTree>,
}

impl Trees {
    fn of(&mut self, path: &Path, read_only: bool) -> Result<Tree<CString>, PlanError> {
        let path = text(path.as_os_str())?;
        if !self.root {
            return Ok(Tree::Path(path));
        }
        self.list.push(HostTree { path, read_only });
        Ok(Tree::Ready(self.list.len() - 1))
    }
}

fn assemble(
    parts: &[Part],
    spec: &Spec,
    trees: &mut Trees,
    steps: &mut Vec<Step<CString>>,
) -> Result<(), PlanError> {
    steps.push(Step::EmptyRoot);
    let mut made: Vec<CString> = Vec::new();
    let mut folder = |path: CString, steps: &mut Vec<_>| {
        if !made.contains(&path) {
            steps.push(Step::Directory {
                path: path.clone(),
                mode: 0o755,
            });
            made.push(path);
        }
    };
    for name in [c"proc", c"dev"] {
        folder(name.to_owned(), steps);
    }
    if spec.sys {
        folder(c"sys".to_owned(), steps);
    }
    for part in parts {
        let name = text(part.name())?;
        match part {
            Part::File { host, .. } => {
                steps.push(Step::File(name.clone()));
                steps.push(Step::Bind {
                    tree: trees.of(host, true)?,
                    target: name,
                    read_only: true,
                });
            }
            Part::Made { mode, .. } => steps.push(Step::Directory {
                path: name,
                mode: *mode,
            }),
            Part::Folder { host, .. } => {
                folder(name.clone(), steps);
                steps.push(Step::Bind {
                    tree: trees.of(host, true)?,
                    target: name,
                    read_only: true,
                });
            }
            Part::Link { target, .. } => steps.push(Step::Symlink {
                path: name,
                target: text(target.as_os_str())?,
            }),
        }
    }
    // Mount points outside of all parts can be made; `room` sees to it that
    // what is missing is not inside of one.
    for tmpfs in &spec.tmpfs {
        mount_point(&tmpfs.target, true, parts, &mut folder, steps)?;
    }
    for volume in &spec.volumes {
        if !spec.lies_in_tmpfs(&volume.target) {
            let is_folder = !is_file(volume);
            mount_point(&volume.target, is_folder, parts, &mut folder, steps)?;
        }
    }
    steps.push(Step::Proc);
    Ok(())
}

/// A socket or a device counts as a file as well: what it is bound to must not
/// be a folder.
fn is_file(volume: &Volume) -> bool {
    volume.host.exists() && !volume.host.is_dir()
}

/// Makes the folders down to `target` and `target` itself, but not what a part
/// or the container itself provides.
fn mount_point(
    target: &Path,
    is_folder: bool,
    parts: &[Part],
    folder: &mut impl FnMut(CString, &mut Vec<Step<CString>>),
    steps: &mut Vec<Step<CString>>,
) -> Result<(), PlanError> {
    let whole = inside(target)?;
    let whole = Path::new(OsStr::from_bytes(whole.as_bytes()));
    let provided = |path: &Path| parts.iter().find(|part| Path::new(part.name()) == path);
    let mut path = PathBuf::new();
    for part in whole.components() {
        path.push(part);
        let last = path == whole;
        match provided(&path) {
            Some(Part::Made { .. }) => {}
            // Whatever is below is in it.
            Some(_) => return Ok(()),
            None if last && !is_folder => steps.push(Step::File(text(path.as_os_str())?)),
            None => folder(text(path.as_os_str())?, steps),
        }
    }
    Ok(())
}

/// Makes what a volume within a tmpfs is to be mounted on.
fn room_in_tmpfs(
    volume: &Volume,
    spec: &Spec,
    made: &mut Vec<PathBuf>,
    steps: &mut Vec<Step<CString>>,
) -> Result<(), PlanError> {
    let tmpfs = spec.tmpfs.iter().map(|tmpfs| tmpfs.target.as_path());
    let within = tmpfs
        .filter(|target| volume.target.starts_with(target) && volume.target != **target)
        .max_by_key(|target| target.components().count());
    let Some(mut path) = within.map(Path::to_owned) else {
        return Ok(());
    };
    let below = volume.target.strip_prefix(&path).unwrap_or(&volume.target);
    for part in below.to_owned().components() {
        path.push(part);
        // What is in another volume is the host's to have.
        let others = spec.volumes.iter().map(|other| other.target.as_path());
        let mut others = others.filter(|other| *other != volume.target);
        if made.contains(&path) || others.any(|other| path.starts_with(other)) {
            continue;
        }
        made.push(path.clone());
        let path = inside(&path)?;
        steps.push(
            match is_file(volume) && made.last() == Some(&volume.target) {
                true => Step::File(path),
                false => Step::Directory { path, mode: 0o755 },
            },
        );
    }
    Ok(())
}

fn devices(spec: &Spec, steps: &mut Vec<Step<CString>>) {
    steps.push(Step::Tmpfs {
        target: c"dev".to_owned(),
        size: c"64m".to_owned(),
        mode: c"755".to_owned(),
        executable: false,
    });
    steps.extend(DEVICES.map(|name| Step::Device(name.to_owned())));
    steps.extend(DEVICE_LINKS.map(|(path, target)| Step::Symlink {
        path: path.to_owned(),
        target: target.to_owned(),
    }));
    steps.push(Step::Directory {
        path: c"dev/shm".to_owned(),
        mode: 0o1777,
    });
    if spec.terminal || spec.terminals {
        steps.push(Step::Directory {
            path: c"dev/pts".to_owned(),
            mode: 0o755,
        });
        steps.push(Step::Terminals);
        steps.push(Step::Symlink {
            path: c"dev/ptmx".to_owned(),
            target: c"pts/ptmx".to_owned(),
        });
    }
}

fn users(spec: &Spec, host: &Host) -> UserMap {
    if host.uid == 0 {
        let line = format!("0 {FIRST_HOST_ID} {HOST_IDS}");
        return UserMap {
            uids: line.clone(),
            gids: line,
            deny_groups: false,
        };
    }
    UserMap {
        uids: format!("{} {} 1", spec.user.uid, host.uid),
        gids: format!("{} {} 1", spec.user.gid, host.gid),
        deny_groups: true,
    }
}

pub(crate) fn groups(limits: &Limits, host: &Host) -> Result<Vec<Group>, PlanError> {
    let Limits {
        memory_bytes,
        cpu_milli,
        pids,
    } = *limits;
    if host.counts_apart && limits.is_default() {
        return Ok(vec![]);
    }
    // A period of 100 ms is the kernel's default; a quota below 1 ms is refused.
    let quota = cpu_milli.map(|milli| (u64::from(milli) * 100).max(1000));
    let tasks = pids.unwrap_or(Limits::PIDS).to_string();
    let asked = [
        ("processes", "pids", pids.is_some()),
        ("memory", "memory", memory_bytes.is_some()),
        ("processors", "cpu", cpu_milli.is_some()),
    ];
    let available = |controller: &str| match &host.groups {
        Groups::None => false,
        Groups::Unified { controllers, .. } => controllers.iter().any(|name| name == controller),
        Groups::Separate { controllers } => controllers.iter().any(|(name, _)| name == controller),
    };
    for (what, controller, wanted) in asked {
        if wanted && !available(controller) {
            return Err(PlanError::Limit(what));
        }
    }
    if let Some(bytes) = memory_bytes.filter(|bytes| *bytes < Limits::LEAST_MEMORY) {
        return Err(PlanError::Memory(bytes));
    }
    let setting = |file: &str, value: String| (file.to_owned(), value);
    match &host.groups {
        Groups::None => Ok(vec![]),
        Groups::Unified {
            parent,
            controllers,
        } => {
            let mut settings = vec![];
            if available("pids") {
                settings.push(setting("pids.max", tasks));
            }
            if let Some(bytes) = memory_bytes {
                settings.push(setting("memory.max", bytes.to_string()));
                settings.push(setting("?memory.swap.max", "0".into()));
            }
            if let Some(quota) = quota {
                settings.push(setting("cpu.max", format!("{quota} 100000")));
            }
            let enable = ["pids", "memory", "cpu"]
                .into_iter()
                .filter(|name| host.uid == 0 && controllers.iter().any(|have| have == name));
            Ok(vec![Group {
                parent: parent.clone(),
                unified: true,
                enable: enable.map(str::to_owned).collect(),
                settings,
            }])
        }
        Groups::Separate { controllers } => Ok(controllers
            .iter()
            .filter_map(|(name, parent)| {
                let settings = match name.as_str() {
                    "pids" => vec![setting("pids.max", tasks.clone())],
                    "memory" => {
                        let bytes = memory_bytes?.to_string();
                        vec![
                            setting("memory.limit_in_bytes", bytes.clone()),
                            setting("?memory.memsw.limit_in_bytes", bytes),
                        ]
                    }
                    "cpu" => vec![
                        setting("cpu.cfs_period_us", "100000".into()),
                        setting("cpu.cfs_quota_us", quota?.to_string()),
                    ],
                    _ => return None,
                };
                Some(Group {
                    parent: parent.clone(),
                    unified: false,
                    enable: vec![],
                    settings,
                })
            })
            .collect()),
    }
}

/// Where to look for the program: at its path, or along the container's `PATH`.
/// Paths to execute, the first that exists.
pub(crate) fn programs(spec: &Spec) -> Result<Vec<CString>, PlanError> {
    let program = spec.arguments.first().ok_or(PlanError::NoProgram)?;
    if program.is_empty() {
        return Err(PlanError::NoProgram);
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![text(program)?]);
    }
    let path = spec
        .environment
        .iter()
        .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or(&crate::spec::DEFAULT_PATH.as_bytes()[5..]);
    path.split(|byte| *byte == b':')
        .map(|folder| {
            let folder: &[u8] = if folder.is_empty() { b"." } else { folder };
            let mut file = folder.to_vec();
            file.push(b'/');
            file.extend_from_slice(program.as_bytes());
            text(OsStr::from_bytes(&file))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn host(uid: u32, groups: Groups) -> Host {
        Host {
            uid,
            gid: uid,
            groups,
            counts_apart: true,
        }
    }

    fn unified() -> Groups {
        Groups::Unified {
            parent: "/sys/fs/cgroup/ounce".into(),
            controllers: ["cpu", "memory", "pids"].map(str::to_owned).to_vec(),
        }
    }

    fn separate() -> Groups {
        let controllers = ["pids", "memory", "cpu"].map(|name| {
            let folder = Path::new("/sys/fs/cgroup").join(name);
            (name.to_owned(), folder)
        });
        Groups::Separate {
            controllers: controllers.to_vec(),
        }
    }

    fn image() -> Spec {
        Spec::new(Root::Folder("/images/hello".into()), vec!["hello".into()])
    }

    /// A plan as a person reads it.
    fn shown(plan: &Plan) -> String {
        let mut text = String::new();
        for tree in &plan.trees {
            let _ = writeln!(
                text,
                "before: copy {:?} read-only={}",
                tree.path, tree.read_only
            );
        }
        let _ = writeln!(text, "users: {:?}", plan.users);
        for group in &plan.groups {
            let _ = writeln!(text, "group: {group:?}");
        }
        for step in &plan.steps {
            let _ = writeln!(text, "{step}  <- {step:?}");
        }
        let _ = writeln!(text, "programs: {:?}", plan.programs);
        text
    }

    #[test]
    fn an_image_as_root_with_version_2() {
        let mut spec = image();
        spec.limits = Limits {
            memory_bytes: Some(64 << 20),
            cpu_milli: Some(1500),
            pids: Some(32),
        };
        insta::assert_snapshot!(shown(&plan(&spec, &host(0, unified())).unwrap()));
    }

    #[test]
    fn a_group_is_made_where_a_limit_was_asked_for_or_no_other_way_is_there() {
        let groups = |limits: Limits, counts_apart| {
            let host = Host {
                counts_apart,
                ..host(0, separate())
            };
            let mut spec = image();
            spec.limits = limits;
            let plan = plan(&spec, &host).unwrap();
            let limit = |step: &&Step<_>| matches!(step, Step::Limit(Resource::Nproc, _));
            (plan.groups.len(), plan.steps.iter().filter(limit).count())
        };
        let pids = Limits {
            pids: Some(5),
            ..Limits::default()
        };
        assert_eq!(groups(Limits::default(), true), (0, 1));
        assert_eq!(groups(Limits::default(), false), (1, 0));
        assert_eq!(groups(pids, true), (1, 1));
        assert_eq!(groups(pids, false), (1, 0));
    }

    #[test]
    fn an_image_without_root_and_without_groups() {
        insta::assert_snapshot!(shown(&plan(&image(), &host(1000, Groups::None)).unwrap()));
    }

    #[test]
    fn a_program_on_the_hosts_network_with_version_1() {
        let mut spec = Spec::of_program("/bin/hello".into(), ["--port".into()]);
        spec.network = Network::Host;
        spec.limits.memory_bytes = Some(1 << 20);
        spec.limits.cpu_milli = Some(1);
        insta::assert_snapshot!(shown(&plan(&spec, &host(0, separate())).unwrap()));
    }

    #[test]
    fn the_program_is_executed_only_after_every_privilege_is_gone() {
        for (uid, groups) in [(0, separate()), (1000, Groups::None)] {
            let steps = plan(&image(), &host(uid, groups)).unwrap().steps;
            let at = |wanted: &Step<CString>| steps.iter().rposition(|step| step == wanted);
            let order = [
                at(&Step::AwaitParent),
                at(&Step::EnterRoot),
                at(&Step::ForbidCapabilities),
                at(&Step::Join),
                at(&Step::DropCapabilities),
                at(&Step::DieWithParent),
                at(&Step::NoNewPrivileges),
                at(&Step::Filter),
                at(&Step::Execute),
            ];
            assert!(
                order.iter().all(Option::is_some) && order.is_sorted(),
                "{order:?}"
            );
            assert_eq!(order[8], Some(steps.len() - 1));
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_before_anything_is_touched() {
        let refuse = |change: &dyn Fn(&mut Spec), uid| {
            let mut spec = image();
            change(&mut spec);
            plan(&spec, &host(uid, Groups::None))
                .unwrap_err()
                .to_string()
        };
        let memory = refuse(&|spec| spec.limits.memory_bytes = Some(1 << 20), 1000);
        assert_eq!(memory, "the limit on memory cannot be enforced here");
        let mut little = image();
        little.limits.memory_bytes = Some(1);
        let error = plan(&little, &host(0, unified())).unwrap_err();
        assert!(matches!(error, PlanError::Memory(1)), "{error}");
        let user = refuse(&|spec| spec.user.uid = 70000, 0);
        assert_eq!(
            user,
            "user 70000 is past 65535, the last that a container has"
        );
        let program = refuse(&|spec| spec.arguments.clear(), 0);
        assert_eq!(program, "no program to run was named");
        let zero = refuse(&|spec| spec.hostname = "a\0b".into(), 0);
        assert_eq!(zero, "\"a\\0b\" has a zero byte in it");
        let path = refuse(&|spec| spec.tmpfs[0].target = "/a/../../b".into(), 0);
        assert_eq!(path, "\"/a/../../b\" is not an absolute path without `..`");
    }
}
