//! `create`: from a bundle to a container whose first process waits for the
//! word to start.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ounce_linux::Errno;
use ounce_linux::init::{Act, Attributes, Held, Orders, Report, copy_tree, set_attributes, spawn};
use ounce_linux::namespace::Namespaces;
use ounce_linux::process::Text;
use ounce_linux::resolve;
use ounce_linux::step::StepFailure;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mknodat, open};
use rustix::process::{Pid, Rlimit};

use super::cgroup::{Groups, Hierarchies, limits};
use super::config::{Config, IdMapping, Process, Resources};
use super::fault::{RuntimeError, text};
use super::hooks::{self, Place};
use super::pause::{LIMITED, MAPPED, MOUNTED, READY};
use super::plan::{self, File, Owners, Setting, plan};
use super::process;
use super::state::{self, Folder, Record, Status};
use super::{Runtime, capability, console, seccomp};

/// What `create` and `run` are told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folder with `config.json`.
    pub bundle: PathBuf,
    /// Where a terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// Where the process's number is written.
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program gets, beside those of `LISTEN_FDS`.
    pub preserve_fds: u32,
    /// Whether pivot_root(2) is left out.
    pub no_pivot: bool,
    /// Whether no session keyring is made.
    pub no_new_keyring: bool,
    /// `LISTEN_FDS` of our own environment.
    pub listen_fds: u32,
    /// `LISTEN_FDNAMES` of our own environment.
    pub listen_fd_names: Option<String>,
    /// `NOTIFY_SOCKET` of our own environment.
    pub notify_socket: Option<PathBuf>,
    /// Our own environment, for hooks that have none.
    pub environment: Vec<String>,
}

/// A container that was made and not started.
#[derive(Debug)]
pub struct Created {
    /// What is known of it.
    pub record: Record,
    /// Where its terminal comes from, without a console socket.
    pub terminal: Option<OwnedFd>,
    /// Its first process, our child.
    pub process: ounce_linux::process::Process,
}

/// Lists of C strings as the kernel reads them.
pub(super) fn texts(list: &[CString]) -> Vec<Text<'_>> {
    list.iter()
        .map(|one| Text::new(one))
        .chain([Text::END])
        .collect()
}

/// Descriptors that are to be preserved and are not open stay free of ours:
/// what is returned holds their places, and is closed at exec.
pub(super) fn hold_places(count: u32) -> Result<Vec<OwnedFd>, RuntimeError> {
    let mut held = Vec::new();
    if count == 0 {
        return Ok(held);
    }
    loop {
        let file = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(RuntimeError::kernel("opening /dev/null"))?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&file).cast_unsigned();
        if number >= 3 + count {
            return Ok(held);
        }
        held.push(file);
    }
}

impl Runtime {
    /// Makes a container; tells what it leaves out.
    ///
    /// # Errors
    /// The first thing that does not work; nothing is left then.
    pub fn create(
        &self,
        id: &str,
        options: &Options,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Created, RuntimeError> {
        let preserved = options.preserve_fds + options.listen_fds;
        let _places = hold_places(preserved)?;
        state::check_id(id)?;
        let bundle = fs::canonicalize(&options.bundle)
            .map_err(RuntimeError::file("opening the bundle", &options.bundle))?;
        let path = bundle.join("config.json");
        let text = fs::read(&path).map_err(RuntimeError::file("reading", &path))?;
        let mut config = state::parse_config(&text).map_err(|source| RuntimeError::Json {
            path: path.clone(),
            source,
        })?;
        check_version(&config.oci_version)?;
        let folder = Folder::make(&self.root, id)?;
        let mut undo = Undo {
            folder: Some(folder),
            groups: Groups::default(),
            hooks: None,
        };
        let copy = undo.path().join("config.json");
        fs::write(&copy, &text).map_err(RuntimeError::file("writing", &copy))?;
        adopt_environment(&mut config, options);
        if let Some(process) = &config.process {
            capability::unknown_capabilities(process)
                .iter()
                .for_each(|warning| tell(warning));
        }
        let created = self.make(id, &config, &bundle, options, preserved, &mut undo)?;
        undo.folder = None;
        undo.groups = Groups::default();
        undo.hooks = None;
        Ok(created)
    }

    fn make(
        &self,
        id: &str,
        config: &Config,
        bundle: &Path,
        options: &Options,
        preserved: u32,
        undo: &mut Undo,
    ) -> Result<Created, RuntimeError> {
        let linux = config.linux();
        // Only `start` needs one.
        let none = Process::default();
        let program = config.process.as_ref().unwrap_or(&none);
        let root = config
            .root
            .as_ref()
            .ok_or_else(|| RuntimeError::config("root is missing"))?;
        let rootfs = fs::canonicalize(bundle.join(&root.path))
            .map_err(RuntimeError::file("opening the root", &root.path))?;
        if !rootfs.is_dir() {
            return Err(RuntimeError::config(format!(
                "root.path {} is no folder",
                rootfs.display()
            )));
        }
        console::check(program.terminal, options.console_socket.as_deref())?;
        let limits = process::limits(program)?;
        let filter = match &linux.seccomp {
            Some(list) => seccomp::compile(list)?,
            None => Vec::new(),
        };
        let is_root = rustix::process::geteuid().is_root();
        let hierarchies = match self.no_groups {
            true => Hierarchies::default(),
            false => Hierarchies::probe(),
        };
        let placed = Groups::place(&hierarchies, self.group_path(&linux)?.as_deref(), id)?;
        // A dry run of the plan: what is wrong in the bundle is found before
        // anything of the host is touched.
        let setting = Setting {
            bundle,
            rootfs: &rootfs,
            groups: &placed,
            hierarchies: &hierarchies,
            root: is_root,
            pivot: !options.no_pivot,
            keyring: None,
            preserved,
        };
        plan(config, &setting)?;
        let mut groups = placed.clone();
        groups.make(&hierarchies, self.is_rootless())?;
        undo.groups = groups.clone();
        let resources = linux.resources.clone().unwrap_or_default();
        self.limit(&groups, &resources)?;
        let keyring = (!options.no_new_keyring).then(|| format!("_ses.{id}"));
        let plan = plan(
            config,
            &Setting {
                keyring: keyring.as_deref(),
                groups: &groups,
                ..setting
            },
        )?;
        let pipes = Pipes::make(undo.path())?;
        let (files, terminal) =
            open_files(&plan.files, Some(&pipes), options.console_socket.as_deref())?;
        let joins = open_joins(&plan.joins)?;
        let joins: Vec<_> = joins
            .iter()
            .map(|(file, kind)| (file.as_fd(), *kind))
            .collect();
        let lists = Lists::of(program, &users_of(&rootfs))?;
        let birthplace = groups.birthplace()?;
        let nodes = match &linux.memory_policy {
            Some(policy) => process::bits(&policy.nodes)?,
            None => Vec::new(),
        };
        let orders = Orders {
            joins: &joins,
            namespaces: plan.namespaces,
            cgroup: birthplace.as_ref().map(AsFd::as_fd),
            acts: &plan.acts,
            files: &files,
            stdio: None,
            groups: &program.user.additional_gids,
            processors: &[],
            nodes: &nodes,
            filter: &filter,
            programs: &lists.programs,
            arguments: &texts(&lists.arguments),
            environment: &texts(&lists.environment),
        };
        hide(&plan.users);
        let held = spawn(&orders).map_err(RuntimeError::kernel("making the first process"))?;
        let pid = held.pid().as_raw_nonzero().get();
        let mut record = Record {
            oci_version: config.oci_version.clone(),
            id: id.to_owned(),
            pid,
            pid_started: state::process_start(pid).map_or(0, |(began, _)| began),
            bundle: bundle.to_owned(),
            rootfs: rootfs.clone(),
            created: state::now(),
            owner: rustix::process::getuid().as_raw(),
            annotations: config.annotations.clone(),
            groups,
            user_namespace: plan.users.is_some(),
            bound_root: plan
                .acts
                .iter()
                .any(|act| matches!(act, Act::ForeignRoot(_))),
        };
        if let Some(adjustment) = program.oom_score_adj {
            adjust_oom_score(pid, adjustment)?;
        }
        let maker = Maker {
            held: &held,
            config,
            plan: &plan,
            program,
            limits: &limits,
            environment: &options.environment,
        };
        maker.accompany(&mut record, undo)?;
        if let Some(folder) = &undo.folder {
            folder.write(&record)?;
        }
        if let Some(path) = &options.pid_file {
            write_pid(path, pid)?;
        }
        held.go()
            .map_err(RuntimeError::kernel("letting the first process wait"))?;
        // From here on it lives without us.
        let process = held
            .release()
            .map_err(RuntimeError::kernel("letting the first process wait"))?;
        Ok(Created {
            record,
            terminal,
            process,
        })
    }

    /// Sets the limits; without root those that cannot be set are left out.
    fn limit(&self, groups: &Groups, resources: &Resources) -> Result<(), RuntimeError> {
        if groups.is_empty() {
            return Ok(());
        }
        limits::apply(groups, resources, false)
    }
}

/// Takes our descriptors and memory, of which the child has a copy, out of the
/// reach of others in a process namespace that it joins (CVE-2016-9962). Not
/// where a user without root has to map the users of the child.
pub(super) fn hide(users: &Option<(Vec<IdMapping>, Vec<IdMapping>)>) {
    if users.is_none() || rustix::process::geteuid().is_root() {
        let _ =
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}

/// What the first process needs of us on its way.
struct Maker<'a> {
    held: &'a Held,
    config: &'a Config,
    plan: &'a plan::Plan,
    program: &'a Process,
    limits: &'a [(rustix::process::Resource, Rlimit)],
    environment: &'a [String],
}

impl Maker<'_> {
    fn accompany(&self, record: &mut Record, undo: &mut Undo) -> Result<(), RuntimeError> {
        let broken = "talking with the first process";
        loop {
            match self.held.next().map_err(RuntimeError::kernel(broken))? {
                Report::Reached(MAPPED) => {
                    if let Some((uids, gids)) = &self.plan.users {
                        map_users(record.pid, uids, gids)?;
                    }
                }
                Report::Reached(MOUNTED) => self.hooks(record, undo)?,
                Report::Reached(LIMITED) => set_limits(self.held.pid(), self.limits)?,
                Report::Reached(READY) => return Ok(()),
                Report::Reached(_) => return Err(RuntimeError::Ended),
                Report::Listener(number) => self.hand_listener_on(number, record)?,
                Report::Failed(failure) => {
                    return Err(told(failure, &self.plan.acts, self.program));
                }
                Report::Gone => return Err(RuntimeError::Ended),
            }
            self.held.go().map_err(RuntimeError::kernel(broken))?;
        }
    }

    fn hooks(&self, record: &Record, undo: &mut Undo) -> Result<(), RuntimeError> {
        let Some(hooks) = &self.config.hooks else {
            return Ok(());
        };
        // Whatever goes wrong from here on, these clean up what the others did.
        undo.hooks = Some((hooks.poststop.clone(), record.clone()));
        // `creating` is the step before these (runtime.md, "Lifecycle").
        let status = Status::Created;
        let inside = Place::Container(record.pid);
        for (list, kind, place) in [
            (&hooks.prestart, "prestart", Place::Host),
            (&hooks.create_runtime, "createRuntime", Place::Host),
            (&hooks.create_container, "createContainer", inside),
        ] {
            hooks::run(list, kind, place, record, status, Some(self.environment))?;
        }
        Ok(())
    }

    fn hand_listener_on(&self, number: i32, record: &Record) -> Result<(), RuntimeError> {
        let seccomp = self
            .config
            .linux
            .as_ref()
            .and_then(|linux| linux.seccomp.as_ref());
        let Some(seccomp) = seccomp else {
            return Err(RuntimeError::Ended);
        };
        let pidfd = self.held.pidfd().ok_or(RuntimeError::Ended)?;
        super::listener::hand_on(pidfd, number, seccomp, record)
    }
}

/// What a failed act is told as.
pub(super) fn told(failure: StepFailure, acts: &[Act<CString>], program: &Process) -> RuntimeError {
    let source = failure.errno;
    match acts.get(failure.step as usize) {
        Some(Act::Mount(mount)) if mount.no_link && source == Errno::LOOP => {
            RuntimeError::config(format!(
                "mounts: {} must be mounted on ordinary directory, and is a symbolic link",
                mount.target.to_string_lossy()
            ))
        }
        Some(Act::Execute | Act::Find) => RuntimeError::Execute {
            program: program.args.first().cloned().unwrap_or_default(),
            source,
        },
        Some(act) => RuntimeError::Step {
            step: act.to_string(),
            source,
        },
        None => RuntimeError::Ended,
    }
}

/// Removes what is half made.
struct Undo {
    folder: Option<Folder>,
    groups: Groups,
    hooks: Option<(Vec<super::config::Hook>, Record)>,
}

impl Undo {
    fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), Folder::path)
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else {
            return;
        };
        let _ = self.groups.remove();
        let _ = folder.remove();
        if let Some((hooks, record)) = self.hooks.take() {
            for hook in hooks {
                let one = std::slice::from_ref(&hook);
                let _ = hooks::run(one, "poststop", Place::Host, &record, Status::Stopped, None);
            }
        }
    }
}

/// The two pipes in the state directory: see `state`.
pub(super) struct Pipes {
    start: OwnedFd,
    report: OwnedFd,
}

/// Makes a pipe with a name, and opens both ends at once, which never waits.
fn pipe(path: &Path) -> Result<OwnedFd, RuntimeError> {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0)
        .map_err(RuntimeError::errno("making", path))?;
    open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(RuntimeError::errno("opening", path))
}

impl Pipes {
    fn make(folder: &Path) -> Result<Self, RuntimeError> {
        Ok(Self {
            start: pipe(&folder.join("start"))?,
            report: pipe(&folder.join("report"))?,
        })
    }
}

type Files = (Vec<OwnedFd>, Option<OwnedFd>);

pub(super) fn open_files(
    wanted: &[File],
    pipes: Option<&Pipes>,
    socket: Option<&Path>,
) -> Result<Files, RuntimeError> {
    let copy = |file: Option<&OwnedFd>| {
        let file = file.ok_or(Errno::BADF);
        file.and_then(|file| rustix::io::fcntl_dupfd_cloexec(file, 3))
            .map_err(RuntimeError::kernel("copying a pipe"))
    };
    let mut terminal = None;
    let mut files = Vec::new();
    for file in wanted {
        files.push(match file {
            File::Start => copy(pipes.map(|pipes| &pipes.start))?,
            File::Report => copy(pipes.map(|pipes| &pipes.report))?,
            File::Console => {
                let (theirs, ours) = console::socket(socket)?;
                terminal = ours;
                theirs
            }
            File::Group(path) => open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(RuntimeError::errno("opening", path))?,
            File::Namespace(path) => open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(RuntimeError::errno("opening the namespace", path))?,
            File::Tree {
                path,
                recursive,
                propagation,
                owners,
            } => tree(path, *recursive, *propagation, owners.as_ref())?,
        });
    }
    Ok((files, terminal))
}

fn tree(
    path: &Path,
    recursive: bool,
    propagation: u64,
    owners: Option<&Owners>,
) -> Result<OwnedFd, RuntimeError> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| RuntimeError::config(format!("{path:?} has a zero byte in it")))?;
    let tree = copy_tree(&name, recursive).map_err(RuntimeError::errno("binding", path))?;
    if propagation != 0 {
        let none = Attributes::default();
        set_attributes(tree.as_fd(), none, propagation, None, recursive)
            .map_err(RuntimeError::errno("setting the propagation of", path))?;
    }
    if let Some(owners) = owners {
        let users = user_namespace(&owners.uids, &owners.gids)?;
        let none = Attributes::default();
        set_attributes(tree.as_fd(), none, 0, Some(users.as_fd()), owners.recursive)
            .map_err(RuntimeError::errno("mapping the owners of", path))?;
    }
    Ok(tree)
}

/// A user namespace with these mappings, held by nobody but its descriptor.
fn user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, RuntimeError> {
    let acts: [Act<CString>; 1] = [Act::Pause(MAPPED)];
    let orders = Orders {
        joins: &[],
        namespaces: Namespaces::USER,
        cgroup: None,
        acts: &acts,
        files: &[],
        stdio: None,
        groups: &[],
        processors: &[],
        nodes: &[],
        filter: &[],
        programs: &[],
        arguments: &[Text::END],
        environment: &[Text::END],
    };
    let action = "making a user namespace for the owners of a mount";
    let held = spawn(&orders).map_err(RuntimeError::kernel(action))?;
    held.next().map_err(RuntimeError::kernel(action))?;
    let pid = held.pid().as_raw_nonzero().get();
    map_users(pid, uids, gids)?;
    let path = format!("/proc/{pid}/ns/user");
    let path = Path::new(&path);
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(RuntimeError::errno("opening", path))
}

type Joins = Vec<(OwnedFd, Namespaces)>;

fn open_joins(wanted: &[(PathBuf, Namespaces)]) -> Result<Joins, RuntimeError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    wanted
        .iter()
        .map(|(path, kind)| {
            let file = open(path, flags, Mode::empty())
                .map_err(RuntimeError::errno("opening the namespace", path))?;
            Ok((file, *kind))
        })
        .collect()
}

fn map_users(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), RuntimeError> {
    let lines = |list: &[IdMapping]| -> String {
        list.iter()
            .map(|one| format!("{} {} {}\n", one.container_id, one.host_id, one.size))
            .collect()
    };
    let write = |file: &str, text: &str| {
        let path = PathBuf::from(format!("/proc/{pid}/{file}"));
        fs::write(&path, text).map_err(RuntimeError::file("writing the mapping to", &path))
    };
    if !rustix::process::geteuid().is_root() {
        write("setgroups", "deny")?;
    }
    write("uid_map", &lines(uids))?;
    write("gid_map", &lines(gids))
}

pub(super) fn adjust_oom_score(pid: i32, adjustment: i32) -> Result<(), RuntimeError> {
    let path = PathBuf::from(format!("/proc/{pid}/oom_score_adj"));
    fs::write(&path, adjustment.to_string()).map_err(RuntimeError::file("writing", &path))
}

pub(super) fn set_limits(
    pid: Pid,
    limits: &[(rustix::process::Resource, Rlimit)],
) -> Result<(), RuntimeError> {
    for (resource, limit) in limits {
        rustix::process::prlimit(Some(pid), *resource, *limit).map_err(RuntimeError::kernel(
            format!("setting the limit {resource:?}"),
        ))?;
    }
    Ok(())
}

/// Writes a number where somebody waits for it: whole or not at all.
pub(super) fn write_pid(path: &Path, pid: i32) -> Result<(), RuntimeError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    fs::write(&new, pid.to_string()).map_err(RuntimeError::file("writing", &new))?;
    fs::rename(&new, path).map_err(RuntimeError::file("writing", path))
}

/// Program, arguments and environment.
pub(super) struct Lists {
    pub(super) programs: Vec<CString>,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
}

impl Lists {
    pub(super) fn of(program: &Process, users: &str) -> Result<Self, RuntimeError> {
        Ok(Self {
            programs: process::programs(program)?,
            arguments: program.args.iter().map(text).collect::<Result<_, _>>()?,
            environment: process::environment(program, users)?,
        })
    }
}

/// The container's own list of users, found as it would be in it.
pub(super) fn users_of(rootfs: &Path) -> String {
    let read = || -> Result<String, Errno> {
        let root = open(
            rootfs,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let file = resolve::open(
            &root,
            c"etc/passwd",
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )?;
        let mut text = vec![0; 1 << 20];
        let count = rustix::io::read(&file, &mut text)?;
        text.truncate(count);
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    read().unwrap_or_default()
}

/// Versions of the specification before 1.0 mean other things.
fn check_version(version: &str) -> Result<(), RuntimeError> {
    let mut parts = version.split('.');
    let numbers =
        [parts.next(), parts.next()].map(|part| part.and_then(|part| part.parse::<u32>().ok()));
    let third = parts
        .next()
        .and_then(|part| part.split(['-', '+']).next())
        .and_then(|part| part.parse::<u32>().ok());
    match (numbers, third) {
        ([Some(1), Some(_)], Some(_)) => Ok(()),
        _ => Err(RuntimeError::config(format!(
            "ociVersion {version:?} is not 1.x of the specification"
        ))),
    }
}

/// Sockets of systemd's kind that we were handed go on to the program.
fn adopt_environment(config: &mut Config, options: &Options) {
    let Some(process) = &mut config.process else {
        return;
    };
    if options.listen_fds > 0 {
        process
            .env
            .push(format!("LISTEN_FDS={}", options.listen_fds));
        process.env.push("LISTEN_PID=1".to_owned());
        if let Some(names) = &options.listen_fd_names {
            process.env.push(format!("LISTEN_FDNAMES={names}"));
        }
    }
    if let Some(socket) = &options.notify_socket {
        let inside = "/run/notify/notify.sock";
        process.env.retain(|one| !one.starts_with("NOTIFY_SOCKET="));
        process.env.push(format!("NOTIFY_SOCKET={inside}"));
        config.mounts.push(super::config::Mount {
            destination: inside.to_owned(),
            kind: Some("bind".to_owned()),
            source: Some(socket.to_string_lossy().into_owned()),
            options: Some(vec!["bind".to_owned(), "nosuid".to_owned()]),
            ..super::config::Mount::default()
        });
    }
}
