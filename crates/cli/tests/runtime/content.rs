//! config.md and config-linux.md: what the program finds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::bundle::{Bundle, complaint, possible};

#[test]
fn the_program_has_the_rights_and_limits_it_was_given() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new(
        "id -u; id -G; umask; echo $HOME; cat /proc/self/oom_score_adj; ulimit -n; hostname; \
         grep -E '^(Cap|NoNewPrivs)' /proc/self/status; cat /proc/sys/net/ipv4/ip_forward",
    );
    let process = &mut bundle.config["process"];
    process["user"] = json!({"uid": 1000, "gid": 5, "umask": 0o27, "additionalGids": [7, 8]});
    process["oomScoreAdj"] = json!(321);
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]);
    process["capabilities"] = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN"],
        "permitted": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    bundle.config["hostname"] = json!("given");
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let expected = "1000\n5 7 8\n0027\n/srv\n321\n77\ngiven\n\
        CapInh:\t0000000000000020\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000020\n\
        CapBnd:\t0000000000000021\nCapAmb:\t0000000000000020\nNoNewPrivs:\t1\n1\n";
    assert_eq!(bundle.output(), expected);
}

#[test]
fn mounts_are_as_the_bundle_has_them() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new(
        "cat /proc/self/mountinfo; cat /bound/file; touch /bound/x; touch /writable/y; \
         touch /made; cat /secret; ls /hidden; touch /proc/sys/kernel/domainname",
    );
    fs::create_dir(bundle.path("source")).unwrap();
    fs::write(bundle.path("source/file"), "content\n").unwrap();
    fs::create_dir(bundle.path("rootfs/hidden")).unwrap();
    fs::write(bundle.path("rootfs/hidden/x"), "").unwrap();
    fs::write(bundle.path("rootfs/secret"), "secret").unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    for mount in [
        json!({"destination": "/bound", "type": "bind", "source": "source", "options": ["rbind", "rro", "rprivate"]}),
        json!({"destination": "/writable", "type": "bind", "source": "source", "options": ["bind", "rw", "noexec"]}),
        json!({"destination": "/memory/deep", "type": "tmpfs", "source": "x", "options": ["size=1m", "ro", "nodev"]}),
    ] {
        mounts.push(mount);
    }
    bundle.config["linux"]["maskedPaths"] = json!(["/secret", "/hidden", "/none"]);
    let (_, output, errors) = bundle.run();
    let line = |path: &str| {
        output
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(path))
            .unwrap_or_else(|| panic!("{path} in {output}"))
    };
    let has = |path: &str, option: &str| {
        let options = line(path).split(' ').nth(5).unwrap();
        options.split(',').any(|one| one == option)
    };
    assert!(has("/", "ro") && has("/bound", "ro") && has("/writable", "noexec"));
    assert!(has("/memory/deep", "ro") && has("/memory/deep", "nodev"));
    assert!(!has("/writable", "ro") && output.contains("content\n"));
    // Nothing of the host's mounts is left, and nothing comes back to them.
    assert!(!output.contains("shared:"), "{output}");
    assert!(!output.contains("secret\n"), "{output}");
    let refused = errors.matches("Read-only file system").count();
    assert_eq!(refused, 3, "{errors}");
    assert!(bundle.path("source/y").exists() && !bundle.path("source/x").exists());
}

#[test]
fn links_in_the_root_lead_no_mount_out_of_it() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("cat /out/here/file");
    let outside = bundle.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(bundle.path("source")).unwrap();
    fs::write(bundle.path("source/file"), "inside\n").unwrap();
    symlink(&outside, bundle.path("rootfs/out")).unwrap();
    let mount = json!({"destination": "/out/here", "type": "bind", "source": "source", "options": ["bind"]});
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    assert_eq!(bundle.output(), "inside\n");
    assert!(fs::read_dir(outside).unwrap().next().is_none());
    fs::remove_dir(bundle.path("rootfs/proc")).unwrap();
    symlink("/tmp", bundle.path("rootfs/proc")).unwrap();
    let refused = complaint(&bundle.create());
    assert!(
        refused.contains("must be mounted on ordinary directory"),
        "{refused}"
    );
}

#[test]
fn the_default_devices_are_there_and_others_are_made_as_told() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new(
        "for d in null zero full random urandom tty; do stat -c '%n %a %t:%T' /dev/$d; done; \
         stat -c '%n %a %t:%T %u:%g' /dev/own; for l in fd stdin ptmx; do ls -l /dev/$l; done; \
         echo x > /dev/null",
    );
    bundle.config["linux"]["devices"] = json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 3, "gid": 4}]);
    let output = bundle.output();
    for line in [
        "/dev/null 666 1:3",
        "/dev/tty 666 5:0",
        "/dev/own 640 1:3 3:4",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
    assert!(output.contains("-> /proc/self/fd\n") && output.contains("-> pts/ptmx\n"));
}

#[test]
fn a_filter_of_system_calls_does_what_its_rules_say() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("mkdir /tmp/x; echo $?; mkdir /tmp/y; kill -0 $$; echo $?");
    bundle.config["root"]["readonly"] = json!(false);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]},
        ],
    });
    for no_new_privileges in [true, false] {
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        let (code, output, errors) = bundle.run();
        assert_eq!((code, output.as_str()), (0, "1\n1\n"), "{errors}");
        assert!(errors.contains("No space left on device"), "{errors}");
    }
}

#[test]
fn users_are_mapped_in_a_user_namespace() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("id -u; cat /proc/self/uid_map; echo x > /dev/null; touch /tmp/t");
    let linux = &mut bundle.config["linux"];
    let list = linux["namespaces"].as_array_mut().unwrap();
    list.push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    linux["uidMappings"] = mapping.clone();
    linux["gidMappings"] = mapping;
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    let output = bundle.output();
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536"]);
}

#[test]
fn namespaces_of_others_are_joined() {
    if !possible() {
        return;
    }
    let first = Bundle::new("sleep 100");
    assert!(first.create().status.success());
    let pid = first.state()["pid"].as_i64().unwrap();
    let mut second = Bundle::new("ls -l /proc/self/ns; ls /proc | grep -c '^[0-9]'");
    let mut theirs = Vec::new();
    for (kind, file) in [
        ("pid", "pid"),
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
    ] {
        let path = format!("/proc/{pid}/ns/{file}");
        theirs.push(fs::read_link(&path).unwrap().display().to_string());
        let list = second.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|one| one["type"] != kind);
        list.push(json!({"type": kind, "path": path}));
    }
    let output = second.output();
    for name in theirs {
        assert!(output.contains(&name), "{name} in {output}");
    }
}

#[test]
fn limits_are_set_and_changed() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("sleep 100");
    bundle.config["linux"]["resources"]["pids"] = json!({"limit": 12});
    assert!(bundle.create().status.success());
    let limit = || {
        let folders = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let files = folders.map(|folder| folder.join(&bundle.id).join("pids.max"));
        let text = files.iter().find_map(|file| fs::read_to_string(file).ok());
        text.unwrap().trim().to_owned()
    };
    assert_eq!(limit(), "12");
    let output = bundle.say(&["update", "--pids-limit", "34", &bundle.id]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(limit(), "34");
    let event = bundle.say(&["events", "--stats", &bundle.id]).stdout;
    let event: serde_json::Value = serde_json::from_slice(&event).unwrap();
    assert_eq!(event["data"]["pids"]["limit"], 34);
}

#[test]
fn only_descriptors_that_are_asked_for_reach_the_program() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new(
        "for f in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$f ] && echo $f; done; cat <&3",
    );
    bundle.write();
    fs::write(bundle.path("handed"), "in\n").unwrap();
    let program = env!("CARGO_BIN_EXE_ounce");
    let script = format!(
        "exec 3< handed 4< handed; exec {program} runtime --root state run --preserve-fds 1 {}",
        bundle.id
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(bundle.path(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\nin\n");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place_in_the_bundle() {
    if !possible() {
        return;
    }
    let cases = [
        ("/ociVersion", json!("0.9.0"), "ociVersion"),
        ("/process/cwd", json!("tmp"), "process.cwd"),
        ("/process/args", json!([]), "process.args"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
            "process.rlimits",
        ),
        ("/process/apparmorProfile", json!("x"), "apparmor"),
        (
            "/linux/namespaces",
            json!([{"type": "time-travel"}]),
            "linux.namespaces",
        ),
        (
            "/linux/rootfsPropagation",
            json!("sideways"),
            "linux.rootfsPropagation",
        ),
        (
            "/linux/cgroupsPath",
            json!("/../../etc"),
            "linux.cgroupsPath",
        ),
        (
            "/linux/sysctl",
            json!({"vm.swappiness": "1"}),
            "linux.sysctl",
        ),
        ("/root/path", json!("nowhere"), "nowhere"),
    ];
    for (place, value, word) in cases {
        let mut bundle = Bundle::new("true");
        let (parent, name) = place.rsplit_once('/').unwrap();
        bundle.config.pointer_mut(parent).unwrap()[name] = value;
        let refused = complaint(&bundle.create());
        assert!(
            refused.to_lowercase().contains(&word.to_lowercase()),
            "{place}: {refused}"
        );
        assert_eq!(bundle.state(), json!(null), "{place}");
    }
}
