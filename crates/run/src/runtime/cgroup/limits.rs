//! `linux.resources` as files of control groups and what is written to them.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::config::{BlockIo, Cpu, Memory, Resources};
use super::super::fault::RuntimeError;
use super::Groups;
use super::devices;

/// One file and what is written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Controller whose folder it is in.
    pub controller: &'static str,
    /// Name of the file.
    pub file: String,
    /// What is written.
    pub value: String,
    /// Whether its absence is no error.
    pub optional: bool,
}

fn setting(
    list: &mut Vec<Setting>,
    controller: &'static str,
    file: &str,
    value: Option<impl ToString>,
) {
    if let Some(value) = value {
        list.push(Setting {
            controller,
            file: file.to_owned(),
            value: value.to_string(),
            optional: false,
        });
    }
}

fn optional(list: &mut Vec<Setting>, controller: &'static str, file: &str, value: impl ToString) {
    list.push(Setting {
        controller,
        file: file.to_owned(),
        value: value.to_string(),
        optional: true,
    });
}

/// Sets all limits of a container.
///
/// # Errors
/// A file refuses, or a limit's controller is not there.
pub fn apply(groups: &Groups, resources: &Resources, update: bool) -> Result<(), RuntimeError> {
    let unified = groups.separate.is_empty();
    if !unified && !resources.unified.is_empty() {
        return Err(RuntimeError::config(
            "linux.resources.unified: this host has control groups of version 1",
        ));
    }
    let settings = match unified {
        true => unified_settings(resources)?,
        false => separate_settings(resources)?,
    };
    for setting in &settings {
        write(groups, setting)?;
    }
    // What a container is made with is set once; an update says what is to change.
    if !update {
        devices::apply(groups, &resources.devices)?;
    }
    Ok(())
}

fn write(groups: &Groups, setting: &Setting) -> Result<(), RuntimeError> {
    let Some(folder) = groups.folder(setting.controller) else {
        return match setting.optional {
            true => Ok(()),
            false => Err(RuntimeError::config(format!(
                "linux.resources: this host has no {} controller for {}",
                setting.controller, setting.file
            ))),
        };
    };
    let path = folder.join(&setting.file);
    match fs::write(&path, &setting.value) {
        Err(_) if setting.optional => Ok(()),
        other => other.map_err(|source| RuntimeError::File {
            action: "writing a limit to",
            path: PathBuf::from(format!("{} ({})", path.display(), setting.value)),
            source,
        }),
    }
}

/// Files of version 1.
fn separate_settings(resources: &Resources) -> Result<Vec<Setting>, RuntimeError> {
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        separate_memory(memory, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        separate_cpu(cpu, &mut list);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        setting(&mut list, "pids", "pids.max", Some(most(limit)));
    }
    if let Some(block) = &resources.block_io {
        separate_block(block, &mut list);
    }
    for page in &resources.hugepage_limits {
        let name = page_name(&page.page_size)?;
        let file = format!("hugetlb.{name}.limit_in_bytes");
        setting(&mut list, "hugetlb", &file, Some(page.limit));
        // Reserved pages are counted apart by newer kernels.
        let file = format!("hugetlb.{name}.rsvd.limit_in_bytes");
        optional(&mut list, "hugetlb", &file, page.limit);
    }
    if let Some(network) = &resources.network {
        setting(&mut list, "net_cls", "net_cls.classid", network.class_id);
        for one in &network.priorities {
            let value = format!("{} {}", one.name, one.priority);
            setting(&mut list, "net_prio", "net_prio.ifpriomap", Some(value));
        }
    }
    rdma(resources, &mut list);
    Ok(list)
}

fn separate_memory(memory: &Memory, list: &mut Vec<Setting>) -> Result<(), RuntimeError> {
    let bytes = |value: Option<i64>| value.filter(|value| *value != 0);
    let (limit, swap) = (bytes(memory.limit), bytes(memory.swap));
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap > 0
        && swap < limit
    {
        return Err(RuntimeError::config(
            "linux.resources.memory.swap counts memory as well, and is below the limit",
        ));
    }
    let file = "memory.memsw.limit_in_bytes";
    // Memory with swap can never be below memory: whichever is larger goes first.
    if swap == Some(-1) {
        setting(list, "memory", file, swap);
    }
    setting(list, "memory", "memory.limit_in_bytes", limit);
    if swap != Some(-1) {
        setting(list, "memory", file, swap);
        // An update that raises both has to begin with the other.
        if let (Some(limit), Some(_)) = (limit, swap) {
            setting(list, "memory", "memory.limit_in_bytes", Some(limit));
            let count = list.len();
            if let Some(first) = list.get_mut(count - 3) {
                first.optional = true;
            }
        }
    }
    setting(
        list,
        "memory",
        "memory.soft_limit_in_bytes",
        bytes(memory.reservation),
    );
    // Gone from newer kernels, and of no effect before.
    for (file, value) in [
        ("memory.kmem.limit_in_bytes", bytes(memory.kernel)),
        ("memory.kmem.tcp.limit_in_bytes", bytes(memory.kernel_tcp)),
    ] {
        setting(list, "memory", file, value);
        if value.is_some()
            && let Some(last) = list.last_mut()
        {
            last.optional = true;
        }
    }
    if let Some(value) = memory.swappiness {
        if value > 100 {
            return Err(RuntimeError::config(format!(
                "linux.resources.memory.swappiness {value} is above 100"
            )));
        }
        setting(list, "memory", "memory.swappiness", Some(value));
    }
    if memory.disable_oom_killer == Some(true) {
        setting(list, "memory", "memory.oom_control", Some(1));
    }
    Ok(())
}

fn separate_cpu(cpu: &Cpu, list: &mut Vec<Setting>) {
    let set = |value: Option<u64>| value.filter(|value| *value != 0);
    setting(list, "cpu", "cpu.shares", set(cpu.shares));
    let bandwidth = [
        (
            "cpu.cfs_period_us",
            set(cpu.period).map(|value| value.to_string()),
        ),
        (
            "cpu.cfs_quota_us",
            cpu.quota
                .filter(|value| *value != 0)
                .map(|value| value.to_string()),
        ),
        ("cpu.cfs_burst_us", cpu.burst.map(|value| value.to_string())),
        (
            "cpu.rt_period_us",
            set(cpu.realtime_period).map(|value| value.to_string()),
        ),
        (
            "cpu.rt_runtime_us",
            cpu.realtime_runtime
                .filter(|value| *value != 0)
                .map(|value| value.to_string()),
        ),
        ("cpu.idle", cpu.idle.map(|value| value.to_string())),
    ];
    for (file, value) in bandwidth {
        setting(list, "cpu", file, value);
    }
    let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    setting(list, "cpuset", "cpuset.cpus", text(&cpu.cpus));
    setting(list, "cpuset", "cpuset.mems", text(&cpu.mems));
}

fn separate_block(block: &BlockIo, list: &mut Vec<Setting>) {
    // The file's name goes with the scheduler: BFQ's, or CFQ's of old.
    let file = |cfq: &str, bfq: &str| -> String {
        let there = Path::new("/sys/fs/cgroup/blkio").join(cfq).exists();
        if there { cfq } else { bfq }.to_owned()
    };
    let weight = block.weight.filter(|weight| *weight != 0);
    let name = file("blkio.weight", "blkio.bfq.weight");
    setting(list, "blkio", &name, weight);
    let leaf = block.leaf_weight.filter(|weight| *weight != 0);
    setting(list, "blkio", "blkio.leaf_weight", leaf);
    for one in &block.weight_device {
        if let Some(weight) = one.weight.filter(|weight| *weight != 0) {
            let name = file("blkio.weight_device", "blkio.bfq.weight_device");
            let value = format!("{}:{} {weight}", one.major, one.minor);
            setting(list, "blkio", &name, Some(value));
        }
        if let Some(weight) = one.leaf_weight.filter(|weight| *weight != 0) {
            let value = format!("{}:{} {weight}", one.major, one.minor);
            setting(list, "blkio", "blkio.leaf_weight_device", Some(value));
        }
    }
    for (file, devices) in [
        (
            "blkio.throttle.read_bps_device",
            &block.throttle_read_bps_device,
        ),
        (
            "blkio.throttle.write_bps_device",
            &block.throttle_write_bps_device,
        ),
        (
            "blkio.throttle.read_iops_device",
            &block.throttle_read_iops_device,
        ),
        (
            "blkio.throttle.write_iops_device",
            &block.throttle_write_iops_device,
        ),
    ] {
        for one in devices {
            let value = format!("{}:{} {}", one.major, one.minor, one.rate);
            setting(list, "blkio", file, Some(value));
        }
    }
}

fn most(limit: i64) -> String {
    match limit {
        limit if limit > 0 => limit.to_string(),
        _ => "max".to_owned(),
    }
}

fn rdma(resources: &Resources, list: &mut Vec<Setting>) {
    for (device, limit) in &resources.rdma {
        let mut value = device.clone();
        if let Some(handles) = limit.hca_handles {
            value.push_str(&format!(" hca_handle={handles}"));
        }
        if let Some(objects) = limit.hca_objects {
            value.push_str(&format!(" hca_object={objects}"));
        }
        setting(list, "rdma", "rdma.max", Some(value));
    }
}

fn page_name(size: &str) -> Result<&str, RuntimeError> {
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = size.strip_prefix(digits).unwrap_or_default();
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if number && matches!(unit, "KB" | "MB" | "GB") {
        Ok(size)
    } else {
        Err(RuntimeError::config(format!(
            "linux.resources.hugepageLimits: {size:?} is no page size such as 2MB"
        )))
    }
}

/// Files of version 2.
fn unified_settings(resources: &Resources) -> Result<Vec<Setting>, RuntimeError> {
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        unified_memory(memory, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        unified_cpu(cpu, &mut list);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        setting(&mut list, "pids", "pids.max", Some(most(limit)));
    }
    if let Some(block) = &resources.block_io {
        unified_block(block, &mut list);
    }
    for page in &resources.hugepage_limits {
        let name = page_name(&page.page_size)?;
        setting(
            &mut list,
            "hugetlb",
            &format!("hugetlb.{name}.max"),
            Some(page.limit),
        );
        optional(
            &mut list,
            "hugetlb",
            &format!("hugetlb.{name}.rsvd.max"),
            page.limit,
        );
    }
    rdma(resources, &mut list);
    for (file, value) in &resources.unified {
        if file.contains('/') || file.is_empty() || file.starts_with('.') {
            return Err(RuntimeError::config(format!(
                "linux.resources.unified: {file:?} is no file of a control group"
            )));
        }
        setting(&mut list, "unified", file, Some(value));
    }
    Ok(list)
}

fn unified_memory(memory: &Memory, list: &mut Vec<Setting>) -> Result<(), RuntimeError> {
    let text = |value: i64| {
        if value < 0 {
            "max".to_owned()
        } else {
            value.to_string()
        }
    };
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    if let Some(swap) = given(memory.swap) {
        // Here swap is counted apart.
        let value = match (swap, given(memory.limit)) {
            (-1, _) => "max".to_owned(),
            (swap, Some(limit)) if limit > 0 && swap >= limit => (swap - limit).to_string(),
            _ => {
                return Err(RuntimeError::config(
                    "linux.resources.memory.swap counts memory as well: it needs a limit, and not a larger one",
                ));
            }
        };
        setting(list, "memory", "memory.swap.max", Some(value));
    }
    setting(list, "memory", "memory.max", given(memory.limit).map(text));
    setting(
        list,
        "memory",
        "memory.low",
        given(memory.reservation).map(text),
    );
    Ok(())
}

/// The weight of version 2 that stands for shares of version 1, so that the
/// ends and the defaults (1024 and 100) meet: a quadratic of the logarithms
/// (containers/crun pull request 1767 tells its derivation).
pub fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10f64.powf(exponent)).ceil() as u64
        }
    }
}

fn unified_cpu(cpu: &Cpu, list: &mut Vec<Setting>) {
    let set = |value: Option<u64>| value.filter(|value| *value != 0);
    let idle = cpu.idle.filter(|idle| *idle != 0);
    setting(list, "cpu", "cpu.idle", cpu.idle);
    if idle.is_none() {
        let weight = set(cpu.shares).map(weight_of_shares);
        setting(list, "cpu", "cpu.weight", weight);
    }
    if cpu.quota.is_some() || set(cpu.period).is_some() {
        let quota = match cpu.quota {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        let period = set(cpu.period).unwrap_or(100_000);
        setting(list, "cpu", "cpu.max", Some(format!("{quota} {period}")));
    }
    setting(list, "cpu", "cpu.max.burst", cpu.burst);
    let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    setting(list, "cpuset", "cpuset.cpus", text(&cpu.cpus));
    setting(list, "cpuset", "cpuset.mems", text(&cpu.mems));
}

fn unified_block(block: &BlockIo, list: &mut Vec<Setting>) {
    // BFQ takes the weights as they are; the general file counts to 10,000.
    if let Some(weight) = block.weight.filter(|weight| *weight != 0) {
        setting(list, "io", "io.bfq.weight", Some(weight));
        if let Some(last) = list.last_mut() {
            last.optional = true;
        }
        let scaled = 1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990;
        setting(list, "io", "io.weight", Some(format!("default {scaled}")));
        if let Some(last) = list.last_mut() {
            last.optional = true;
        }
    }
    for one in &block.weight_device {
        if let Some(weight) = one.weight.filter(|weight| *weight != 0) {
            let value = format!("{}:{} {weight}", one.major, one.minor);
            setting(list, "io", "io.bfq.weight", Some(value));
        }
    }
    for (key, devices) in [
        ("rbps", &block.throttle_read_bps_device),
        ("wbps", &block.throttle_write_bps_device),
        ("riops", &block.throttle_read_iops_device),
        ("wiops", &block.throttle_write_iops_device),
    ] {
        for one in devices {
            let value = format!("{}:{} {key}={}", one.major, one.minor, one.rate);
            setting(list, "io", "io.max", Some(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(text: &str) -> Resources {
        serde_json::from_str(text).unwrap()
    }

    fn shown(list: &[Setting]) -> Vec<String> {
        let show = |one: &Setting| format!("{}={}", one.file, one.value);
        list.iter().map(show).collect()
    }

    #[test]
    fn limits_are_files_of_version_1() {
        let list = separate_settings(&resources(
            r#"{"memory":{"limit":1048576,"swap":-1,"swappiness":7},
                "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1"},
                "pids":{"limit":-1},"hugepageLimits":[{"pageSize":"2MB","limit":9}],
                "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}]}}"#,
        ))
        .unwrap();
        let expected = [
            "memory.memsw.limit_in_bytes=-1",
            "memory.limit_in_bytes=1048576",
            "memory.swappiness=7",
            "cpu.shares=512",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "cpuset.cpus=0-1",
            "pids.max=max",
            "blkio.throttle.read_bps_device=8:0 5",
            "hugetlb.2MB.limit_in_bytes=9",
            "hugetlb.2MB.rsvd.limit_in_bytes=9",
        ];
        assert_eq!(shown(&list), expected);
    }

    #[test]
    fn limits_are_files_of_version_2() {
        let list = unified_settings(&resources(
            r#"{"memory":{"limit":1000,"swap":3000,"reservation":-1},
                "cpu":{"shares":1024,"quota":-1},"pids":{"limit":5},
                "unified":{"memory.high":"10"}}"#,
        ))
        .unwrap();
        let expected = [
            "memory.swap.max=2000",
            "memory.max=1000",
            "memory.low=max",
            "cpu.weight=100",
            "cpu.max=max 100000",
            "pids.max=5",
            "memory.high=10",
        ];
        assert_eq!(shown(&list), expected);
    }

    #[test]
    fn shares_meet_weights_at_both_ends_and_at_the_defaults() {
        let pairs = [
            (0, 0),
            (2, 1),
            (1024, 100),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ];
        for (shares, weight) in pairs {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            r#"{"memory":{"limit":10,"swap":5}}"#,
            r#"{"memory":{"swappiness":101}}"#,
            r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#,
        ] {
            assert!(separate_settings(&resources(text)).is_err(), "{text}");
        }
        for text in [
            r#"{"memory":{"swap":5}}"#,
            r#"{"unified":{"../cgroup.procs":"1"}}"#,
        ] {
            assert!(unified_settings(&resources(text)).is_err(), "{text}");
        }
    }
}
