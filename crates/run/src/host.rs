//! What the host offers: who we are, and which control groups we may write.

use std::path::{Path, PathBuf};

use crate::spec::Limits;

/// What a plan has to know of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Where control groups can be made.
    pub groups: Groups,
    /// Whether a limit on a user's processes counts those of its own user
    /// namespace alone (Linux 5.14), and so limits a container by itself.
    pub counts_apart: bool,
}

/// Where control groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// Nowhere.
    None,
    /// Version 2: one folder for all controllers.
    Unified {
        /// Existing folder that ours are made in.
        parent: PathBuf,
        /// `cgroup.controllers`: what can be limited there.
        controllers: Vec<String>,
    },
    /// Version 1, or both: a folder for each controller that is there.
    Separate {
        /// `pids`, `memory` and `cpu`, each with the folder that ours are made in.
        controllers: Vec<(String, PathBuf)>,
    },
}

/// Where distributions mount the control groups.
const MOUNT: &str = "/sys/fs/cgroup";

impl Host {
    /// Looks at the host.
    pub fn probe() -> Self {
        let mut host = Self::probe_users();
        host.groups = groups(host.uid == 0);
        host
    }

    /// Looks at what a start with these limits has to know, and no further.
    pub fn probe_for(limits: &Limits) -> Self {
        let host = Self::probe_users();
        match host.counts_apart && limits.is_default() {
            true => host,
            false => Self::probe(),
        }
    }

    fn probe_users() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: Groups::None,
            counts_apart: counts_apart(&rustix::system::uname().release().to_string_lossy()),
        }
    }
}

/// Whether there is likely a processor that has nothing to do. Where there was
/// one for most of the last minute it is taken for granted (man 2 sysinfo);
/// else who runs just now is counted, which takes longer.
pub(crate) fn has_idle_processors() -> bool {
    const SHIFT: u32 = 16; // SI_LOAD_SHIFT
    let processors = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
    if processors < 2 {
        return false;
    }
    let load = (rustix::system::sysinfo().loads[0] * 2) >> SHIFT;
    load < processors.into()
        || std::fs::read_to_string("/proc/loadavg")
            .is_ok_and(|text| running(&text).is_some_and(|running| running < processors))
}

/// How many run or want to, this process among them (man 5 proc_loadavg).
fn running(loadavg: &str) -> Option<u32> {
    let (running, _) = loadavg.split_whitespace().nth(3)?.split_once('/')?;
    running.parse().ok()
}

/// Of "5.14.0-70.el9", whether it is 5.14 or later.
fn counts_apart(release: &str) -> bool {
    let mut numbers = release
        .split(|byte: char| !byte.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(14))
}

fn groups(root: bool) -> Groups {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mount = Path::new(MOUNT);
    match mount.join("cgroup.controllers").exists() {
        true => unified_groups(mount, &own, root),
        false => separate_groups(mount, &own),
    }
}

/// Our path in each hierarchy: (controllers, path) of `/proc/self/cgroup`.
fn hierarchies(own: &str) -> impl Iterator<Item = (&str, &str)> {
    own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    })
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// As root, `/ounce` beside the system's slices, as docker does with its own;
/// else beside our own group, which a user's systemd owns and lets its user write.
fn unified_groups(mount: &Path, own: &str, root: bool) -> Groups {
    let controllers_of = |folder: &Path, file: &str| -> Vec<String> {
        std::fs::read_to_string(folder.join(file))
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let (parent, above) = if root {
        let parent = mount.join("ounce");
        if !writable(mount) {
            return Groups::None;
        }
        (parent, mount.to_owned())
    } else {
        let path = hierarchies(own)
            .find(|(names, _)| names.is_empty())
            .map_or("/", |(_, path)| path);
        let folder = mount.join(path.trim_start_matches('/'));
        let Some(parent) = folder.parent().filter(|parent| parent.starts_with(mount)) else {
            return Groups::None;
        };
        if !writable(parent) || !writable(&parent.join("cgroup.procs")) {
            return Groups::None;
        }
        (parent.to_owned(), parent.to_owned())
    };
    let controllers = if root {
        controllers_of(&above, "cgroup.controllers")
    } else {
        // Only what the parent passes on can be limited in a child of it.
        controllers_of(&above, "cgroup.subtree_control")
    };
    Groups::Unified {
        parent,
        controllers,
    }
}

fn separate_groups(mount: &Path, own: &str) -> Groups {
    let mut controllers = Vec::new();
    for wanted in ["pids", "memory", "cpu"] {
        let Some((names, path)) =
            hierarchies(own).find(|(names, _)| names.split(',').any(|name| name == wanted))
        else {
            continue;
        };
        let base = mount.join(names);
        let inner = base.join(path.trim_start_matches('/'));
        // In a container our path may be one of the host's, not of this mount.
        let folder = [inner, base].into_iter().find(|folder| writable(folder));
        if let Some(folder) = folder {
            controllers.push((wanted.to_owned(), folder));
        }
    }
    if controllers.is_empty() {
        Groups::None
    } else {
        Groups::Separate { controllers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of folders as the kernel would show it.
    fn tree(folders: &[&str], files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for folder in folders {
            std::fs::create_dir_all(mount.path().join(folder)).unwrap();
        }
        for (file, text) in files {
            std::fs::write(mount.path().join(file), text).unwrap();
        }
        mount
    }

    #[test]
    fn who_runs_just_now_is_the_fourth_field_of_the_load() {
        assert_eq!(running("0.71 0.95 1.43 3/214 27136\n"), Some(3));
        for text in ["", "0.71 0.95 1.43", "0 0 0 x/1 2", "0 0 0 3 2"] {
            assert_eq!(running(text), None, "{text}");
        }
    }

    #[test]
    fn processes_are_counted_apart_from_linux_5_14_on() {
        for release in ["5.14.0-70.el9", "6.1", "5.100-rc1", "10"] {
            assert!(counts_apart(release), "{release}");
        }
        for release in ["5.13.19", "4.19.0-27-amd64", "", "x"] {
            assert!(!counts_apart(release), "{release}");
        }
    }

    #[test]
    fn version_1_is_used_at_our_own_path_or_at_the_mount() {
        let mount = tree(&["pids/a", "cpu,cpuacct", "unified"], &[]);
        let own = "4:pids:/a\n3:cpu,cpuacct:/elsewhere\n2:memory:/a\n0::/\n";
        let expected = Groups::Separate {
            controllers: vec![
                ("pids".into(), mount.path().join("pids/a")),
                ("cpu".into(), mount.path().join("cpu,cpuacct/")),
            ],
        };
        assert_eq!(separate_groups(mount.path(), own), expected);
        assert_eq!(separate_groups(mount.path(), "0::/\n"), Groups::None);
    }

    #[test]
    fn version_2_is_used_beside_the_slices_as_root_and_beside_us_without() {
        let mount = tree(
            &["user/app/us"],
            &[
                ("cgroup.controllers", "cpu memory pids\n"),
                ("user/app/cgroup.subtree_control", "memory pids\n"),
                ("user/app/cgroup.procs", ""),
            ],
        );
        let own = "0::/user/app/us\n";
        let expected = Groups::Unified {
            parent: mount.path().join("ounce"),
            controllers: ["cpu", "memory", "pids"].map(str::to_owned).to_vec(),
        };
        assert_eq!(unified_groups(mount.path(), own, true), expected);
        let expected = Groups::Unified {
            parent: mount.path().join("user/app"),
            controllers: ["memory", "pids"].map(str::to_owned).to_vec(),
        };
        assert_eq!(unified_groups(mount.path(), own, false), expected);
        assert_eq!(unified_groups(mount.path(), "0::/\n", false), Groups::None);
        assert_eq!(
            unified_groups(mount.path(), "0::/../../x/y\n", false),
            Groups::None
        );
    }
}
