//! Pods by themselves: what one sees of the world, and what becomes of it, run by
//! runc and by ounce.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Cluster;
use super::control::REGISTRY;
use crate::judges::Bench;

/// The namespaces, and the runtime class in each.
const BOTH: [(&str, Option<&str>); 2] = [("runc", None), ("ounce", Some("ounce"))];

/// What a pod can see of itself. The folder of the control groups is read-only where
/// ounce runs it, as containerd asks for, and not where runc does.
const LOOK: &str = r#"
b=/busybox
$b id
$b pwd
umask
$b hostname
ulimit -n
echo "$MOTTO $POD_NAME"
$b grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status
$b awk '$5 != "/sys/fs/cgroup" { split($6, how, ","); print $5, how[1] }' /proc/self/mountinfo | $b sort
$b ls /dev | $b sort
$b cat /proc/1/comm
$b cat /proc/sys/net/ipv4/ip_local_port_range
$b cat /settings/motto; echo
$b grep -o friend.example /etc/hosts
echo x >/scratch/x && $b stat -c '%u %g %a' /scratch/x
echo x >/x || echo the root is read-only
$b mount -t tmpfs tmpfs /scratch || echo nobody mounts
$b chmod 4755 /scratch/x; $b stat -c '%a' /scratch/x
"#;

/// What waits, says what it is told, and ends well when asked.
const STAY: &str = "trap 'echo ended; exit 0' TERM; echo begun; echo x >/scratch/ready; \
                    while :; do /busybox sleep 0.2; done";

pub(super) fn check(cluster: &Cluster<'_>, bench: &mut Bench<'_>) {
    bench.check(
        "the cluster takes the class of pods that ounce runs",
        &[],
        || {
            // It may be there already: what is shipped makes it, too.
            let class = cluster.control.get(&["runtimeclass", "ounce"]);
            if class.is_err() {
                cluster.control.create(&json!({
                    "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
                    "metadata": {"name": "ounce"}, "handler": "ounce",
                }))?;
            }
            Ok(())
        },
    );
    bench.check("a pod sees the same, run by ounce and by runc", &[], || {
        sees_the_same(cluster)
    });
    for (by, class) in BOTH {
        bench.check(
            &format!(
                "exec, its exit code and input, logs, a check by a program and a good end, by {by}"
            ),
            &[],
            || is_lived_in(cluster, by, class),
        );
        bench.check(
            &format!("what fails is started again, and its exit code told, by {by}"),
            &[],
            || is_started_again(cluster, by, class),
        );
        bench.check(
            &format!("what takes more memory than it may is killed and told as such, by {by}"),
            &[],
            || is_killed(cluster, by, class),
        );
        bench.check(
            &format!("containers of a pod share its processes, after one that prepares, by {by}"),
            &[],
            || shares(cluster, by, class),
        );
    }
}

/// A pod with a container of busybox, and what else it is told.
fn pod(by: &str, class: Option<&str>, name: &str, words: &[&str], more: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": by},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 10,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 7000,
                "supplementalGroups": [8000], "seccompProfile": {"type": "RuntimeDefault"},
                "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "20000 30000"}],
            },
            "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["friend.example"]}],
            "volumes": [
                {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
                {"name": "settings", "configMap": {"name": "settings"}},
            ],
            "containers": [container("main", words)],
        },
    });
    if let Some(class) = class {
        pod["spec"]["runtimeClassName"] = class.into();
    }
    merge(&mut pod["spec"], more);
    pod
}

fn container(name: &str, words: &[&str]) -> Value {
    json!({
        "name": name,
        "image": format!("{REGISTRY}/busybox:1"),
        "command": words,
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "MOTTO", "value": "$(POD_NAME) = 100 %"},
        ],
        "resources": {"limits": {"memory": "64Mi"}},
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "settings", "mountPath": "/settings", "readOnly": true},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    })
}

/// Puts maps into maps, lists by their places, all else over what was there.
fn merge(to: &mut Value, from: &Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (name, value) in from {
                merge(to.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(to), Value::Array(from)) => {
            for (at, value) in from.iter().enumerate() {
                match to.get_mut(at) {
                    Some(own) => merge(own, value),
                    None => to.push(value.clone()),
                }
            }
        }
        (to, from) => *to = from.clone(),
    }
}

/// Makes a pod; there is no other of its name.
fn make(cluster: &Cluster<'_>, pod: &Value) -> Result<()> {
    let by = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let there = cluster.control.get(&["configmap", "settings", "-n", by]);
    if there.is_err() {
        cluster.control.create(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": by},
            "data": {"motto": "small is enough"},
        }))?;
    }
    cluster.control.create(pod)
}

/// Waits for the end of a pod's first container: how it ended.
fn ended(cluster: &Cluster<'_>, by: &str, name: &str) -> Result<Value> {
    cluster.until("it has ended", || {
        let pod = cluster.control.get(&["pod", name, "-n", by])?;
        let state = pod.pointer("/status/containerStatuses/0/state/terminated");
        let waits = pod.pointer("/status/containerStatuses/0/state/waiting");
        ensure!(state.is_some(), "{}", waits.unwrap_or(&pod["status"]));
        Ok(state.cloned())
    })
}

fn logs(cluster: &Cluster<'_>, by: &str, name: &str) -> Result<String> {
    cluster.control.kubectl(&["logs", name, "-n", by])
}

fn sees_the_same(cluster: &Cluster<'_>) -> Result<()> {
    let mut seen = Vec::new();
    for (by, class) in BOTH {
        make(
            cluster,
            &pod(
                by,
                class,
                "look",
                &["/busybox", "sh", "-c", LOOK],
                &json!({}),
            ),
        )?;
        let end = ended(cluster, by, "look")?;
        let said = logs(cluster, by, "look")?;
        ensure!(end["exitCode"] == 0, "{by}: {end}: {said}");
        ensure!(said.lines().count() > 30, "{by}: {said}");
        seen.push(said);
    }
    let (runc, ounce) = (&seen[0], &seen[1]);
    let only = |one: &str, other: &str| -> Vec<String> {
        let lines = one
            .lines()
            .filter(|line| !other.lines().any(|it| it == *line));
        lines.map(str::to_owned).collect()
    };
    let (by_runc, by_ounce) = (only(runc, ounce), only(ounce, runc));
    ensure!(
        by_runc.is_empty() && by_ounce.is_empty(),
        "only by runc: {by_runc:?}; only by ounce: {by_ounce:?}"
    );
    for wanted in [
        "look = 100 % look",
        "the root is read-only",
        "nobody mounts",
        "small is enough",
    ] {
        ensure!(ounce.contains(wanted), "{wanted} is not in {ounce}");
    }
    Ok(())
}

fn is_lived_in(cluster: &Cluster<'_>, by: &str, class: Option<&str>) -> Result<()> {
    let ready = json!({"containers": [{"readinessProbe": {
        "exec": {"command": ["/busybox", "test", "-e", "/scratch/ready"]},
        "periodSeconds": 1, "timeoutSeconds": 10,
    }}]});
    make(
        cluster,
        &pod(by, class, "stay", &["/busybox", "sh", "-c", STAY], &ready),
    )?;
    cluster.until("its own check says that it is ready", || {
        let pods = cluster.pods(by)?;
        let pod = pods.iter().find(|pod| pod.name == "stay");
        Ok(pod.filter(|pod| pod.is_ready).map(|_| ()))
    })?;
    let exec = |words: &[&str]| {
        let all = [&["exec", "-i", "stay", "-n", by, "--", "/busybox"], words].concat();
        cluster.control.kubectl_command(&all)
    };
    let output = exec(&["sh", "-c", "id -u; echo to stderr >&2; exit 7"])?.output()?;
    let streams = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(
        output.status.code() == Some(7)
            && streams.0 == "65532\n"
            && streams.1.contains("to stderr"),
        "exec: {:?} {streams:?}",
        output.status
    );
    let mut cat = exec(&["wc", "-c"])?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = cat.stdin.take().context("kubectl takes no input")?;
    input.write_all(&[b'x'; 100_000])?;
    drop(input);
    let counted = String::from_utf8(cat.wait_with_output()?.stdout)?;
    ensure!(
        counted.trim() == "100000",
        "of 100,000 bytes came {counted:?}"
    );
    let follow = cluster
        .control
        .kubectl_command(&["logs", "-f", "stay", "-n", by])?
        .stdout(Stdio::piped())
        .spawn()?;
    cluster
        .control
        .kubectl(&["delete", "pod", "stay", "-n", by])?;
    let said = String::from_utf8(follow.wait_with_output()?.stdout)?;
    // What follows may be the kubelet's complaint that it is gone.
    ensure!(said.starts_with("begun\nended\n"), "it said {said:?}");
    Ok(())
}

fn is_started_again(cluster: &Cluster<'_>, by: &str, class: Option<&str>) -> Result<()> {
    let script = "echo x >>/scratch/starts; exit $(/busybox wc -l </scratch/starts)";
    let more = json!({"restartPolicy": "OnFailure"});
    make(
        cluster,
        &pod(by, class, "again", &["/busybox", "sh", "-c", script], &more),
    )?;
    cluster.until("it has been started three times", || {
        let pod = cluster.control.get(&["pod", "again", "-n", by])?;
        let status = pod.pointer("/status/containerStatuses/0");
        let status = status.context("it has not been started yet")?;
        let last = status.pointer("/lastState/terminated/exitCode");
        let (count, last) = (
            status["restartCount"].as_u64(),
            last.and_then(Value::as_u64),
        );
        ensure!(count.unwrap_or(0) >= 2, "{status}");
        // The third time it ends with 3, and so on.
        ensure!(last.is_some_and(|code| code >= 2), "{status}");
        Ok(Some(()))
    })?;
    let words = ["delete", "pod", "again", "-n", by];
    cluster.control.kubectl(&words).map(|_| ())
}

fn is_killed(cluster: &Cluster<'_>, by: &str, class: Option<&str>) -> Result<()> {
    let small = json!({"containers": [{"resources": {"limits": {"memory": "16Mi"}}}]});
    make(
        cluster,
        &pod(
            by,
            class,
            "large",
            &["/busybox", "tail", "/dev/zero"],
            &small,
        ),
    )?;
    let end = ended(cluster, by, "large")?;
    ensure!(
        end["reason"] == "OOMKilled" && end["exitCode"] == 137,
        "{end}"
    );
    Ok(())
}

fn shares(cluster: &Cluster<'_>, by: &str, class: Option<&str>) -> Result<()> {
    // Not what it is looking for itself.
    let look = "until /busybox ps | /busybox grep '[n]ightingale'; do /busybox sleep 0.2; done; \
                /busybox cat /scratch/prepared";
    let prepare = ["/busybox", "sh", "-c", "echo prepared >/scratch/prepared"];
    let mut pod = pod(
        by,
        class,
        "shared",
        &["/busybox", "sh", "-c", look],
        &json!({}),
    );
    let other = ["/busybox", "sh", "-c", "/busybox sleep 600; : nightingale"];
    merge(
        &mut pod["spec"],
        &json!({
            "shareProcessNamespace": true,
            "initContainers": [container("prepare", &prepare)],
            "containers": [{}, container("other", &other)],
        }),
    );
    make(cluster, &pod)?;
    let end = cluster.until("the one that looks has ended", || {
        let pod = cluster.control.get(&["pod", "shared", "-n", by])?;
        let all = pod
            .pointer("/status/containerStatuses")
            .and_then(Value::as_array);
        let main = all.into_iter().flatten().find(|one| one["name"] == "main");
        Ok(main.and_then(|one| one.pointer("/state/terminated").cloned()))
    })?;
    let said = cluster
        .control
        .kubectl(&["logs", "shared", "-c", "main", "-n", by])?;
    ensure!(
        end["exitCode"] == 0 && said.ends_with("prepared\n"),
        "{end}: {said}"
    );
    let words = ["delete", "pod", "shared", "-n", by, "--grace-period=1"];
    cluster.control.kubectl(&words).map(|_| ())
}
