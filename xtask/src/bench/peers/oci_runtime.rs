//! crun, runc and youki, from an unpacked bundle: set up as ounce sets up, the same
//! without a cgroup (which crun can leave out), and the least that still is a
//! container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Field, Ground, Socket, Starter, Task, find, root_file_system, run};
use crate::bench::host;
use crate::bench::rounds::{Absent, Row};

/// The list of system calls that podman and docker use, as Debian ships it.
const PROFILE: &str = "/usr/share/containers/seccomp.json";

/// What ounce hides (crates/run, plan.rs).
const MASKED: [&str; 8] = [
    "/proc/keys",
    "/proc/key-users",
    "/proc/interrupts",
    "/proc/timer_list",
    "/proc/kcore",
    "/proc/acpi",
    "/proc/scsi",
    "/sys/firmware",
];

/// The first user of the host that stands for one inside: any unused one.
const FIRST_HOST_ID: u32 = 1_879_048_192;

/// How much a bundle asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Isolation {
    /// What ounce does: the same namespaces, a list of system calls, a cgroup
    /// that limits the number of processes.
    Same,
    /// The same without a cgroup, which spares milliseconds on version 1.
    NoGroup,
    /// The fastest that still has its own processes and mounts.
    Least,
}

/// One runtime with one kind of bundle.
struct Runtime {
    /// `crun`, `crun-given`, `runc` or `youki`.
    key: &'static str,
    /// Name and version.
    name: String,
    program: PathBuf,
    isolation: Isolation,
    folder: PathBuf,
    /// Options that stand before the command.
    options: Vec<String>,
    filtered: bool,
}

/// Joins the field with whichever runtime works here.
pub(super) fn join(ground: &Ground<'_>, field: &mut Field) {
    let given = ground.options.crun.clone();
    let mut candidates = vec![
        ("crun", find("crun")),
        ("runc", find("runc")),
        ("youki", find("youki")),
    ];
    candidates.extend(given.map(|program| ("crun-given", Ok(program))));
    for (key, program) in candidates {
        if !ground.options.wants(key) {
            continue;
        }
        let program = match program {
            Ok(program) => program,
            Err(error) => {
                field
                    .no_starters
                    .push(Absent::new(key, format!("{error:#}")));
                continue;
            }
        };
        let version = host::version(&program, &["--version"]);
        field.version(key, version.clone());
        for isolation in [Isolation::Same, Isolation::NoGroup, Isolation::Least] {
            if !key.starts_with("crun") && isolation == Isolation::NoGroup {
                // The others have no switch for that.
                continue;
            }
            match Runtime::prepare(ground, key, version.as_deref(), &program, isolation) {
                Ok(runtime) => field.start(runtime),
                Err(error) => {
                    let what = format!("{key}, {isolation:?} isolation").to_lowercase();
                    field
                        .no_starters
                        .push(Absent::new(what, format!("{error:#}")));
                }
            }
        }
    }
}

impl Runtime {
    fn prepare(
        ground: &Ground<'_>,
        key: &'static str,
        version: Option<&str>,
        program: &Path,
        isolation: Isolation,
    ) -> Result<Runtime> {
        ensure!(ground.stage.is_isolated(), "needs root here");
        let folder = ground.stage.subfolder(&format!("{key}-{isolation:?}"))?;
        let mut options = vec![
            "--root".to_owned(),
            folder.join("state").display().to_string(),
        ];
        if key.starts_with("crun") && isolation != Isolation::Same {
            options.push("--cgroup-manager=disabled".to_owned());
        }
        let filter = match isolation {
            Isolation::Same | Isolation::NoGroup => profile(Path::new(PROFILE))?,
            Isolation::Least => None,
        };
        for task in Task::ALL {
            let bundle = folder.join(task.name());
            fs::create_dir_all(&bundle)?;
            let root = root_file_system(ground, task)?;
            let config = config(&root, isolation, task, filter.clone());
            fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
        }
        let runtime = Runtime {
            key,
            name: version.unwrap_or(key).replace(" version", ""),
            program: program.to_owned(),
            isolation,
            folder,
            options,
            filtered: filter.is_some(),
        };
        run(&mut runtime.command(Task::Line, "probe", 0))?;
        Ok(runtime)
    }
}

impl Starter for Runtime {
    fn row(&self, _: Task) -> Row {
        let list = if self.filtered {
            "podman's seccomp list"
        } else {
            "no seccomp list"
        };
        match self.isolation {
            Isolation::Same => Row::new(
                self.key,
                format!("{} run", self.name),
                format!(
                    "an unpacked bundle; namespaces as ounce, a cgroup that limits processes, read-only root, no capabilities, {list}; a private network, the socket is handed in"
                ),
            ),
            Isolation::NoGroup => Row::new(
                &format!("{}-no-group", self.key),
                format!("{} run, no cgroup", self.name),
                format!("as before, without a cgroup; {list}"),
            ),
            Isolation::Least => Row::new(
                &format!("{}-least", self.key),
                format!("{} run, least isolation", self.name),
                "an unpacked bundle; process and mount namespaces only; the host's network, no seccomp list",
            ),
        }
    }

    fn socket(&self) -> Socket {
        Socket::Handed
    }

    fn command(&self, task: Task, name: &str, _: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).arg("run");
        if task == Task::Http {
            command.args(["--preserve-fds", "1"]);
        }
        command
            .arg("--bundle")
            .arg(self.folder.join(task.name()))
            .arg(name);
        command
    }

    fn clean(&self, name: &str) {
        let mut command = Command::new(&self.program);
        let _ = run(command
            .args(&self.options)
            .args(["delete", "--force", name]));
    }
}

/// The bundle's configuration (OCI runtime specification 1.0, config.md).
fn config(root: &Path, isolation: Isolation, task: Task, filter: Option<Value>) -> Value {
    let namespaces: &[&str] = match isolation {
        Isolation::Same | Isolation::NoGroup => {
            &["user", "pid", "mount", "network", "ipc", "uts", "cgroup"]
        }
        Isolation::Least => &["pid", "mount"],
    };
    let environment: &[&str] = match task {
        Task::Http => &["LISTEN_FDS=1", "LISTEN_PID=1"],
        Task::Line => &[],
    };
    let mut linux = json!({
        "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
    });
    if let Some(filter) = filter {
        linux["seccomp"] = filter;
    }
    let mut config = json!({
        "ociVersion": "1.0.0",
        "process": {
            "user": { "uid": 65532, "gid": 65532 },
            "args": ["/app"],
            "env": environment,
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": { "bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": [] },
        },
        "root": { "path": root, "readonly": true },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            // Without this, device nodes would be written into the host's folder.
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] },
        ],
        "linux": linux,
    });
    if isolation == Isolation::Same {
        config["linux"]["resources"] = json!({ "pids": { "limit": 1024 } });
    }
    if isolation != Isolation::Least {
        let users = json!([{ "containerID": 0, "hostID": FIRST_HOST_ID, "size": 65_536 }]);
        config["hostname"] = json!("bench");
        config["linux"]["uidMappings"] = users.clone();
        config["linux"]["gidMappings"] = users;
        config["linux"]["maskedPaths"] = json!(MASKED);
        let sys = json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] });
        if let Some(mounts) = config["mounts"].as_array_mut() {
            mounts.push(sys);
        }
    }
    config
}

/// Translates an engine's profile (what is allowed, with conditions on
/// capabilities and machines) for a container without capabilities. Nothing if
/// the machine has no such file.
fn profile(file: &Path) -> Result<Option<Value>> {
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let profile: Value =
        serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?;
    Ok(Some(translate(&profile, std::env::consts::ARCH)))
}

fn translate(profile: &Value, machine: &str) -> Value {
    let (architecture, short) = match machine {
        "aarch64" => ("SCMP_ARCH_AARCH64", "arm64"),
        _ => ("SCMP_ARCH_X86_64", "amd64"),
    };
    let lists =
        |value: &Value, key: &str| value[key].as_array().is_some_and(|list| !list.is_empty());
    let applies = |rule: &&Value| {
        let machines = rule["includes"]["arches"].as_array();
        !lists(&rule["includes"], "caps")
            && !lists(&rule["excludes"], "arches")
            && machines.is_none_or(|list| list.is_empty() || list.iter().any(|one| one == short))
    };
    let rules: Vec<Value> = profile["syscalls"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(applies)
        .map(|rule| {
            let mut plain = json!({ "names": rule["names"], "action": rule["action"] });
            for key in ["args", "errnoRet"] {
                if !rule[key].is_null() {
                    plain[key] = rule[key].clone();
                }
            }
            plain
        })
        .collect();
    json!({ "defaultAction": profile["defaultAction"], "architectures": [architecture], "syscalls": rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_capabilities_and_other_machines_are_left_out() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {} },
                { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] }, "excludes": {} },
                { "names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64"] }, "excludes": {} },
            ],
        });
        let names = |machine| -> Vec<Value> {
            let rules = translate(&profile, machine)["syscalls"]
                .as_array()
                .unwrap()
                .clone();
            rules.iter().map(|rule| rule["names"][0].clone()).collect()
        };
        assert_eq!(names("x86_64"), ["read", "arch_prctl"]);
        assert_eq!(names("aarch64"), ["read"]);
    }

    #[test]
    fn only_the_least_bundle_shares_the_network_and_has_no_list() {
        let same = config(
            Path::new("/r"),
            Isolation::Same,
            Task::Http,
            Some(json!({})),
        );
        let least = config(Path::new("/r"), Isolation::Least, Task::Http, None);
        let has = |config: &Value, kind: &str| {
            config["linux"]["namespaces"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["type"] == kind)
        };
        assert!(has(&same, "network") && !has(&least, "network"));
        assert!(same["linux"]["seccomp"].is_object() && least["linux"]["seccomp"].is_null());
        assert_eq!(
            same["process"]["env"],
            json!(["LISTEN_FDS=1", "LISTEN_PID=1"])
        );
    }
}
