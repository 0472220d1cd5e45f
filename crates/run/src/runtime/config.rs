//! `config.json` of a bundle, as the OCI runtime specification 1.2 has it for
//! Linux. What it means is left to the modules that use it.
//!
//! Own structures instead of `oci-spec`'s: its runtime half brings builders,
//! getters and regex, which take a program to twice the size for nothing here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The whole file. Properties that are not known are ignored, as the
/// specification wants.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Version of the specification.
    pub oci_version: String,
    /// The root.
    pub root: Option<Root>,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
    /// The program.
    pub process: Option<Process>,
    /// Host name.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Programs of the host that are run on the way.
    pub hooks: Option<Hooks>,
    /// Anything; handed on.
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    pub linux: Option<Linux>,
}

/// The root.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: PathBuf,
    /// Whether nothing can be written.
    pub readonly: bool,
}

/// A mount.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Absolute in the container.
    pub destination: String,
    /// File system, or `bind`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Where from.
    pub source: Option<String>,
    /// As in fstab(5), and more.
    pub options: Option<Vec<String>>,
    /// Users as the mount shows them.
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// Groups as the mount shows them.
    pub gid_mappings: Option<Vec<IdMapping>>,
}

/// A program.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Size of that.
    pub console_size: Option<ConsoleSize>,
    /// Folder it starts in.
    pub cwd: String,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Limits.
    pub rlimits: Vec<Rlimit>,
    /// Profile of AppArmor.
    pub apparmor_profile: Option<String>,
    /// Sets of capabilities; without them, none.
    pub capabilities: Option<Capabilities>,
    /// Never gain privileges.
    pub no_new_privileges: bool,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Scheduling.
    pub scheduler: Option<Scheduler>,
    /// Label of SELinux.
    pub selinux_label: Option<String>,
    /// Priority of input and output.
    #[serde(rename = "ioPriority")]
    pub io_priority: Option<IoPriority>,
    /// Processors it may use.
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<Affinity>,
    /// Who runs it.
    pub user: User,
}

/// Size of a terminal.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u64,
    /// Columns.
    pub width: u64,
}

/// A limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What counts.
    pub soft: u64,
    /// What it can be raised to.
    pub hard: u64,
}

/// Sets of capabilities by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Bounding set.
    pub bounding: Vec<String>,
    /// Effective set.
    pub effective: Vec<String>,
    /// Inheritable set.
    pub inheritable: Vec<String>,
    /// Permitted set.
    pub permitted: Vec<String>,
    /// Ambient set.
    pub ambient: Vec<String>,
}

/// Scheduling.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: String,
    /// For ordinary policies.
    pub nice: i32,
    /// For real-time policies.
    pub priority: i32,
    /// `SCHED_FLAG_*`.
    pub flags: Vec<String>,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Priority of input and output.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_*`.
    pub class: String,
    /// Within it.
    pub priority: i32,
}

/// Processors of an executed program.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Affinity {
    /// While it is being started.
    pub initial: Option<String>,
    /// While it runs.
    #[serde(rename = "final")]
    pub last: Option<String>,
}

/// Who runs a program.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// File mode mask.
    pub umask: Option<u32>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
}

/// Programs of the host that are run on the way.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// Deprecated; as `createRuntime`, before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// When the namespaces are there, in the runtime's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// The same, in the container's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// Before the program, in the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// After the program was started, in the runtime's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// After the container is gone, in the runtime's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// One such program.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Hook {
    /// Absolute.
    pub path: String,
    /// With the name it is called by.
    pub args: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Option<Vec<String>>,
    /// Seconds.
    pub timeout: Option<i64>,
}

/// What only Linux has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    /// Users of a new user namespace.
    pub uid_mappings: Vec<IdMapping>,
    /// Groups of it.
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters.
    pub sysctl: BTreeMap<String, String>,
    /// Limits of the control group.
    pub resources: Option<Resources>,
    /// Where the control group is.
    pub cgroups_path: Option<String>,
    /// Which namespaces are not the runtime's.
    pub namespaces: Vec<Namespace>,
    /// Device nodes.
    pub devices: Vec<Device>,
    /// Filter of system calls.
    pub seccomp: Option<Seccomp>,
    /// Propagation of the root's mount.
    pub rootfs_propagation: Option<String>,
    /// Paths to cover.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
    /// SELinux' label of mounts.
    pub mount_label: Option<String>,
    /// Cache and memory bandwidth of Intel's RDT.
    pub intel_rdt: Option<serde_json::Value>,
    /// Execution domain.
    pub personality: Option<Personality>,
    /// Offsets of the clocks of a new time namespace.
    pub time_offsets: BTreeMap<String, TimeOffset>,
    /// Where memory is taken from.
    pub memory_policy: Option<MemoryPolicy>,
    /// Network interfaces that are moved in.
    pub net_devices: BTreeMap<String, NetDevice>,
}

/// Where memory is taken from (1.3 of the specification).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MemoryPolicy {
    /// `MPOL_*`.
    pub mode: String,
    /// Ranges of nodes.
    pub nodes: String,
    /// `MPOL_F_*`.
    pub flags: Vec<String>,
}

/// A network interface that is moved in (1.3 of the specification).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NetDevice {
    /// Its name in the container.
    pub name: Option<String>,
}

/// A range of users or groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdMapping {
    /// First in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First on the host.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// A namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// An existing one.
    pub path: Option<PathBuf>,
}

/// A device node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// `c`, `u`, `b` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Absolute in the container.
    pub path: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits.
    pub file_mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// Execution domain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
    /// None is known.
    pub flags: Vec<String>,
}

/// Offset of a clock.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct TimeOffset {
    /// Whole seconds.
    pub secs: i64,
    /// And nanoseconds.
    pub nanosecs: u32,
}

/// Limits of the control group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// Access to devices, in order.
    pub devices: Vec<DeviceRule>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Processors.
    pub cpu: Option<Cpu>,
    /// Processes.
    pub pids: Option<Pids>,
    /// Disks.
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    /// Huge pages.
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Network classes and priorities.
    pub network: Option<Network>,
    /// RDMA devices by name.
    pub rdma: BTreeMap<String, Rdma>,
    /// Files of version 2.
    pub unified: BTreeMap<String, String>,
}

/// Access to devices.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeviceRule {
    /// Given, or taken.
    pub allow: bool,
    /// `a`, `c` or `b`; all without.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// All without.
    pub major: Option<i64>,
    /// All without.
    pub minor: Option<i64>,
    /// Of `r`, `w`, `m`; all without.
    pub access: Option<String>,
}

/// Memory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Bytes, -1 for no limit.
    pub limit: Option<i64>,
    /// Soft limit.
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    /// Kernel memory; obsolete.
    pub kernel: Option<i64>,
    /// TCP buffers; obsolete.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    /// 0 to 100.
    pub swappiness: Option<u64>,
    /// Whether nothing is killed.
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    /// Counting of groups below.
    pub use_hierarchy: Option<bool>,
    /// Whether a limit below what is in use is an error.
    pub check_before_update: Option<bool>,
}

/// Processors.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cpu {
    /// Weight.
    pub shares: Option<u64>,
    /// Microseconds in each period.
    pub quota: Option<i64>,
    /// What may be taken beyond in one.
    pub burst: Option<u64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Real-time microseconds in each period.
    pub realtime_runtime: Option<i64>,
    /// Microseconds.
    pub realtime_period: Option<u64>,
    /// Ranges of processors.
    pub cpus: Option<String>,
    /// Ranges of memory nodes.
    pub mems: Option<String>,
    /// Whether idle only.
    pub idle: Option<i64>,
}

/// Processes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pids {
    /// How many; 0 or less for no limit.
    pub limit: Option<i64>,
}

/// Disks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockIo {
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// The same for leaves.
    pub leaf_weight: Option<u16>,
    /// By disk.
    pub weight_device: Vec<WeightDevice>,
    /// Bytes a second.
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Bytes a second.
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Requests a second.
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Requests a second.
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

/// Weight of a disk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// The same for leaves.
    pub leaf_weight: Option<u16>,
}

/// Limit of a disk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ThrottleDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// A second.
    pub rate: u64,
}

/// Huge pages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HugepageLimit {
    /// `2MB`, `1GB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Network classes and priorities.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Class.
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    /// By interface.
    pub priorities: Vec<InterfacePriority>,
}

/// Priority on an interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InterfacePriority {
    /// The interface.
    pub name: String,
    /// The priority.
    pub priority: u32,
}

/// An RDMA device.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rdma {
    /// How many.
    pub hca_handles: Option<u32>,
    /// How many.
    pub hca_objects: Option<u32>,
}

/// Filter of system calls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seccomp {
    /// For what is not listed.
    pub default_action: String,
    /// Its error.
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_*`.
    pub architectures: Vec<String>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: Vec<String>,
    /// Socket that is told of notified calls.
    pub listener_path: Option<PathBuf>,
    /// What it is told besides.
    pub listener_metadata: Option<String>,
    /// The list.
    pub syscalls: Vec<Syscall>,
}

/// A rule of the filter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Syscall {
    /// Calls.
    pub names: Vec<String>,
    /// What happens.
    pub action: String,
    /// The error.
    pub errno_ret: Option<u32>,
    /// When all of these hold.
    pub args: Vec<Argument>,
}

/// A condition on an argument.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Argument {
    /// From 0.
    pub index: usize,
    /// To compare with; the mask for `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
    /// To compare with, for `SCMP_CMP_MASKED_EQ`.
    pub value_two: u64,
    /// `SCMP_CMP_*`.
    pub op: String,
}

impl Config {
    /// What only Linux has; nothing of it is as good as an empty part.
    pub fn linux(&self) -> Linux {
        self.linux.clone().unwrap_or_default()
    }
}

/// Takes `null` for an empty list, as Go writes one.
pub fn without_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
