//! What is checked: the same application shipped twice, run by the cluster's usual
//! runtime and by ounce.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::control::REGISTRY;
use super::node::STATES;
use super::place::Place;
use super::traffic::{Traffic, ask_from};
use super::{Cluster, Pod};
use crate::judges::Bench;
use crate::tool::read;

/// Who runs the pods.
struct Way {
    /// Also the namespace's name.
    by: &'static str,
    class: Option<&'static str>,
}

const WAYS: [Way; 2] = [
    Way {
        by: "runc",
        class: None,
    },
    Way {
        by: "ounce",
        class: Some("ounce"),
    },
];

pub(super) fn check(cluster: &Cluster<'_>, bench: &mut Bench<'_>) {
    for way in &WAYS {
        let by = way.by;
        bench.check(
            &format!("ship --apply brings a service onto the cluster, run by {by}"),
            &[],
            || arrives(cluster, way),
        );
        bench.check(
            &format!("each replica answers from both nodes, as does the service, by {by}"),
            &[],
            || serves(cluster, way),
        );
        if way.class.is_some() {
            bench.check(
                "ounce tells of the replicas as containers of its own",
                &[],
                || is_run_by_ounce(cluster, way),
            );
        }
        bench.check(
            &format!("a rolling update loses no request, by {by}"),
            &[],
            || updates(cluster, way),
        );
        bench.check(
            &format!("what does not come up is taken back, and nobody notices, by {by}"),
            &[],
            || goes_back(cluster, way),
        );
        bench.check(
            &format!(
                "both nodes in turn are drained under the budget without a lost request, by {by}"
            ),
            &[],
            || drains(cluster, way),
        );
        bench.check(
            &format!("the budget refuses to evict the last replica that answers, by {by}"),
            &[],
            || keeps_the_budget(cluster, way),
        );
    }
    bench.check(
        "a program that would be root is refused by the kubelet",
        &[],
        || refuses_root(cluster),
    );
    bench.check(
        "kubectl applies the files, and takes them away again",
        &[],
        || applies_files(cluster),
    );
}

/// Ships an image of these; the exit code and what was said.
fn ship(cluster: &Cluster<'_>, way: &Way, image: &str, wait: &str) -> Result<(i32, String)> {
    let (kubeconfig, registry) = (cluster.control.admin(), format!("{REGISTRY}/{image}"));
    let mut words = vec!["ship", image, "--to", "kubernetes", "--apply", "--yes"];
    words.extend(["--kubeconfig", &kubeconfig, "--namespace", way.by]);
    words.extend(["--registry", &registry, "--push", "--plain-http"]);
    words.extend(["--pause-command", "/wait 5", "--wait", wait]);
    if let Some(class) = way.class {
        words.extend(["--runtime-class", class]);
    }
    let output = cluster.ounce(&words).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().context("ounce was killed")?;
    Ok((code, said))
}

fn arrives(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    let (code, said) = ship(cluster, way, "hello:1", "180")?;
    ensure!(code == 0, "ship ended with {code}: {said}");
    spread(cluster, way).map(|_| ())
}

/// Waits for two replicas that answer, one on each node, and nothing else.
fn spread(cluster: &Cluster<'_>, way: &Way) -> Result<Vec<Pod>> {
    settled(cluster, way, |pods| pods[0].node != pods[1].node)
}

/// Waits for two replicas that answer, and nothing else.
fn settled(cluster: &Cluster<'_>, way: &Way, fits: impl Fn(&[Pod]) -> bool) -> Result<Vec<Pod>> {
    cluster.until("there are two replicas, and both answer", || {
        let pods = cluster.pods(way.by)?;
        let is_all = cluster.pods_of_all_kinds(way.by)? == 2;
        let is_so = is_all && pods.len() == 2 && pods.iter().all(|pod| pod.is_ready);
        Ok((is_so && fits(&pods)).then_some(pods))
    })
}

/// Where the service answers.
fn service(cluster: &Cluster<'_>, way: &Way) -> Result<SocketAddr> {
    let service = cluster.control.get(&["service", "hello", "-n", way.by])?;
    let address = service.pointer("/spec/clusterIP").and_then(Value::as_str);
    let address = address.context("the service has no address")?;
    Ok(format!("{address}:80").parse()?)
}

fn serves(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    let pods = spread(cluster, way)?;
    let service = service(cluster, way)?;
    cluster.until("the service answers on both nodes", || {
        for node in &cluster.nodes {
            ask_from(&node.place, service, "/healthz").context(node.name)?;
        }
        Ok(Some(()))
    })?;
    for node in &cluster.nodes {
        for pod in &pods {
            let address = format!("{}:8080", pod.address).parse()?;
            let said = ask_from(&node.place, address, "/hello/you")
                .with_context(|| format!("{} on {}, from {}", pod.name, pod.node, node.name))?;
            ensure!(said.ends_with("{\"hello\":\"you\"}"), "{said:?}");
        }
    }
    Ok(())
}

/// Requests from both nodes.
fn traffic(cluster: &Cluster<'_>, way: &Way) -> Result<Traffic> {
    let places: Vec<&Place> = cluster.nodes.iter().map(|node| &node.place).collect();
    Ok(Traffic::start(&places, service(cluster, way)?))
}

fn end(traffic: Traffic) -> Result<()> {
    let count = traffic.all_were_answered()?;
    println!("       {count} requests, from both nodes");
    Ok(())
}

fn is_run_by_ounce(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    let runtime = cluster.scratch.join("ounce-runtime").display().to_string();
    for pod in spread(cluster, way)? {
        let place = &cluster.node(&pod.node)?.place;
        let words = [&runtime, "--root", STATES, "state", &pod.container];
        let state: Value = serde_json::from_str(&read(&mut place.command(&words))?)?;
        ensure!(state["status"] == "running", "{state}");
        let process = format!("/proc/{}/status", state["pid"]);
        let said = read(&mut place.command(&["cat", &process]))?;
        for wanted in [
            "Name:\thello",
            "Uid:\t65532\t65532\t65532\t65532",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            ensure!(said.contains(wanted), "{wanted:?} is not in {said}");
        }
    }
    Ok(())
}

fn updates(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    let before = spread(cluster, way)?;
    let traffic = traffic(cluster, way)?;
    let (code, said) = ship(cluster, way, "hello:2", "180")?;
    ensure!(code == 0, "ship ended with {code}: {said}");
    let image = before[0].image.clone();
    settled(cluster, way, |pods| {
        pods.iter().all(|pod| pod.image != image)
    })?;
    end(traffic)
}

fn goes_back(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    let before = settled(cluster, way, |_| true)?;
    let traffic = traffic(cluster, way)?;
    let (code, said) = ship(cluster, way, "hello:silent", "20")?;
    ensure!(code == 1, "ship ended with {code}: {said}");
    ensure!(
        said.contains("everything on the cluster is as it was before"),
        "{said}"
    );
    let image = before[0].image.clone();
    settled(cluster, way, |pods| {
        pods.iter().all(|pod| pod.image == image)
    })?;
    end(traffic)
}

fn drains(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    settled(cluster, way, |_| true)?;
    let traffic = traffic(cluster, way)?;
    for (from, to) in [("one", "two"), ("two", "one")] {
        let drain = ["drain", from, "--ignore-daemonsets", "--timeout=180s"];
        let result = cluster
            .control
            .kubectl(&drain)
            .and_then(|_| settled(cluster, way, |pods| pods.iter().all(|pod| pod.node == to)));
        cluster.control.kubectl(&["uncordon", from])?;
        result?;
    }
    end(traffic)
}

/// Asks that a pod be evicted.
fn evict(cluster: &Cluster<'_>, way: &Way, pod: &Pod) -> Result<(bool, String)> {
    let eviction = json!({
        "apiVersion": "policy/v1beta1", "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": way.by},
    });
    let file = cluster.scratch.join("eviction.json");
    std::fs::write(&file, eviction.to_string())?;
    let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", way.by, pod.name);
    let file = file.display().to_string();
    let words = ["create", "--raw", &path, "-f", &file];
    let output = cluster.control.kubectl_command(&words)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), said))
}

fn keeps_the_budget(cluster: &Cluster<'_>, way: &Way) -> Result<()> {
    let pods = settled(cluster, way, |_| true)?;
    let cordon = |cluster: &Cluster<'_>, word: &str| {
        cluster.control.kubectl(&[word, "one", "two"]).map(|_| ())
    };
    cordon(cluster, "cordon")?;
    let result = (|| {
        // The budget's own controller has to have seen both.
        cluster.until("the first is evicted", || {
            Ok(evict(cluster, way, &pods[0])?.0.then_some(()))
        })?;
        let (is_done, said) = evict(cluster, way, &pods[1])?;
        ensure!(!is_done, "the last replica was evicted");
        ensure!(said.contains("disruption budget"), "{said}");
        Ok(())
    })();
    cordon(cluster, "uncordon")?;
    result?;
    settled(cluster, way, |_| true).map(|_| ())
}

fn refuses_root(cluster: &Cluster<'_>) -> Result<()> {
    cluster.control.create(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "root", "namespace": "ounce"},
        "spec": {
            "runtimeClassName": "ounce",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true},
            "containers": [{"name": "root", "image": format!("{REGISTRY}/hello:root")}],
        },
    }))?;
    let words = ["pod", "root", "-n", "ounce"];
    let said = cluster.until("the kubelet has said what it thinks", || {
        let pod = cluster.control.get(&words)?;
        let waiting = pod.pointer("/status/containerStatuses/0/state/waiting");
        let waiting = waiting.filter(|it| it["reason"] != "ContainerCreating");
        Ok(waiting.map(Value::to_string))
    })?;
    cluster
        .control
        .kubectl(&["delete", "pod", "root", "-n", "ounce"])?;
    ensure!(
        said.contains("CreateContainerConfigError") && said.contains("image will run as root"),
        "{said}"
    );
    Ok(())
}

fn applies_files(cluster: &Cluster<'_>) -> Result<()> {
    let folder = cluster.scratch.join("files").display().to_string();
    let registry = format!("{REGISTRY}/hello:1");
    let mut words = vec!["ship", "hello:1", "--to", "kubernetes", "-o", &folder];
    words.extend([
        "--namespace",
        "files",
        "--registry",
        &registry,
        "--plain-http",
    ]);
    words.extend(["--kubernetes-version", "1.20", "--runtime-class", "ounce"]);
    read(&mut cluster.ounce(&words))?;
    let control = &cluster.control;
    control.kubectl(&["apply", "--server-side", "-k", &folder])?;
    let rollout = ["rollout", "status", "deployment/hello", "-n", "files"];
    control.kubectl(&[&rollout[..], &["--timeout=180s"]].concat())?;
    // The class stays: it is everybody's.
    let kinds = "deployment,service,serviceaccount,pdb,hpa,networkpolicy";
    control.kubectl(&["delete", kinds, "hello", "-n", "files"])?;
    cluster.until("nothing is left", || {
        Ok((cluster.pods_of_all_kinds("files")? == 0).then_some(()))
    })
}
