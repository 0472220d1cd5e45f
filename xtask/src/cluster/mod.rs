//! `cargo xtask cluster`: a real cluster of Kubernetes on this machine, and what
//! ounce ships to it and runs on it.
//!
//! Two nodes and a control plane, each in a network, mounts and processes of its
//! own: the machine's stay as they are, and nothing is left at the end, however
//! that comes. Not a part of `cargo xtask test`: the first run compiles Kubernetes.

mod checks;
mod control;
mod daemons;
mod keys;
mod node;
mod place;
mod pods;
mod sources;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::house::House;
use crate::judges::agreed;
use crate::scratch::Scratch;
use crate::tally::Tally;
use crate::tidy;
use crate::tool::{is_root, read};
use control::{Control, REGISTRY};
use daemons::{Daemons, until};
use node::{Node, Parts};
use place::Guard;
use sources::Programs;

/// Where what is shipped goes: by who runs it, and one for plain files.
const NAMESPACES: [&str; 3] = ["runc", "ounce", "files"];

/// Which checks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// What ounce ships.
    Ship,
    /// What ounce runs.
    Pods,
}

/// Brings the cluster up and runs the checks with this `ounce`; adds to `tally`.
pub(crate) fn run(house: &House, ounce: &Path, part: Part, tally: &mut Tally) -> Result<()> {
    ensure!(is_root(), "a cluster is made by root only");
    let programs = Programs::get(house)?;
    println!("Kubernetes {} (Debian's sources)", programs.version);
    let scratch = Scratch::new("k8s")?;
    let result = checked(house, ounce, part, tally, &programs, &scratch);
    if result.is_err() {
        let logs = programs.logs();
        let _ = fs::remove_dir_all(&logs);
        let _ = fs::create_dir_all(&logs);
        for entry in fs::read_dir(scratch.join("logs")).into_iter().flatten() {
            let entry = entry?;
            fs::copy(entry.path(), logs.join(entry.file_name()))?;
        }
        println!("what the daemons said: {}", house.name(&logs));
    }
    result
}

fn checked(
    house: &House,
    ounce: &Path,
    part: Part,
    tally: &mut Tally,
    programs: &Programs,
    scratch: &Scratch,
) -> Result<()> {
    let mut guard = guard(scratch)?;
    agreed(tally, |bench| {
        let mut cluster = None;
        let name = "a cluster of two nodes comes up, of Debian's own sources";
        bench.check(name, &[], || {
            cluster = Some(Cluster::start(house, ounce, programs, scratch, &mut guard)?);
            Ok(())
        });
        if let Some(cluster) = cluster {
            if part != Part::Pods {
                checks::check(&cluster, bench);
            }
            if part != Part::Ship {
                pods::check(&cluster, bench);
            }
        }
    })
}

/// The control group that containerd puts all pods in, in each hierarchy.
const GROUP: &str = "k8s.io";

fn groups() -> Vec<PathBuf> {
    let own = |folder: PathBuf| folder.join(GROUP);
    let all = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = all.map(|entry| own(entry.path())).collect();
    found.push(own("/sys/fs/cgroup".into()));
    found.retain(|folder| folder.is_dir());
    found
}

/// Who takes away what outlives the processes: files and control groups.
fn guard(scratch: &Scratch) -> Result<Guard> {
    let mut guard = Guard::start()?;
    let folder = scratch.join("");
    let folder = folder.display().to_string();
    let folder = folder.trim_end_matches('/');
    let own = std::process::id();
    // The folder itself goes with us, if we are there to do it.
    guard.at_the_end(&format!(
        "find '{folder}' -mindepth 1 -delete; [ -d /proc/{own} ] || rmdir '{folder}'"
    ))?;
    let there = groups();
    ensure!(
        there.is_empty(),
        "somebody's pods are on this machine: {}",
        there[0].display()
    );
    // All hierarchies, also those that only the nodes have mounted. They may be busy
    // for a moment with what has just been killed.
    guard.at_the_end(&format!(
        "mkdir '{folder}/groups'; while IFS=: read -r number list rest; do \
         case $number in 0) kind=cgroup2 list=nosuid ;; *) kind=cgroup ;; esac; \
         case $list in name=*) list=none,$list ;; esac; \
         mount -t $kind -o $list groups '{folder}/groups' || continue; \
         for _ in 1 2 3 4 5; do find '{folder}/groups' -depth -type d -path '*/{GROUP}*' \
         -exec rmdir {{}} + 2>/dev/null && break; sleep 0.2; done; \
         umount '{folder}/groups'; done </proc/self/cgroup"
    ))?;
    Ok(guard)
}

/// The cluster, and who ships to it.
struct Cluster<'a> {
    // In this order: the nodes end before those whom they speak to.
    nodes: Vec<Node>,
    control: Control<'a>,
    ounce: &'a Path,
    scratch: &'a Scratch,
}

/// A replica, or any other pod.
#[derive(Debug, Clone)]
struct Pod {
    name: String,
    node: String,
    address: String,
    is_ready: bool,
    image: String,
    /// Of its first container.
    container: String,
}

impl<'a> Cluster<'a> {
    fn start(
        house: &House,
        ounce: &'a Path,
        programs: &'a Programs,
        scratch: &'a Scratch,
        guard: &mut Guard,
    ) -> Result<Self> {
        let control = Control::start(programs, scratch, guard)?;
        let runtime = scratch.join("ounce-runtime");
        fs::copy(ounce, &runtime).context("copying ounce")?;
        let mut cluster = Self {
            nodes: Vec::new(),
            control,
            ounce,
            scratch,
        };
        cluster.images(house, programs)?;
        let parts = Parts {
            programs,
            scratch,
            runtime: &runtime,
        };
        for (name, number) in [("one", 1), ("two", 2)] {
            let node = Node::start(name, number, &cluster.control, &parts, guard)?;
            cluster.nodes.push(node);
        }
        cluster.until("both nodes are ready", || {
            let nodes = cluster.control.get(&["nodes"])?;
            let ready = items(&nodes).filter(|node| has_condition(node, "Ready"));
            Ok((ready.count() == 2).then_some(()))
        })?;
        for name in NAMESPACES {
            cluster.namespace(name)?;
        }
        Ok(cluster)
    }

    fn namespace(&self, name: &str) -> Result<()> {
        let metadata = serde_json::json!({"name": name});
        self.control.create(&serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": metadata,
        }))?;
        self.until("the namespace has its account", || {
            let account = ["serviceaccount", "default", "-n", name];
            self.control.get(&account).map(Some)
        })?;
        Ok(())
    }

    /// Makes the images, all by ounce, and pushes what no `ship` will.
    fn images(&self, house: &House, programs: &Programs) -> Result<()> {
        let hello =
            tidy::build_own_program(&house.path("examples/hello"), crate::dist::HOST_TARGET)?;
        let wait = programs.path("wait")?;
        let busybox = PathBuf::from("/bin/busybox");
        // Beside the program what lets a replica pause: this kubelet cannot.
        let more = format!("[[file]]\nfrom = {wait:?}\nto = \"/wait\"\n");
        self.build("hello", "1", &hello, &format!("ports = [8080]\n{more}"))?;
        let second = format!("ports = [8080]\nenv = {{ EDITION = \"2\" }}\n{more}");
        self.build("hello", "2", &hello, &second)?;
        // Nobody answers there.
        self.build("hello", "silent", &wait, "ports = [8080]\n")?;
        self.build("hello", "root", &hello, "user = \"0:0\"\n")?;
        self.build("pause", "1", &wait, "")?;
        self.build("busybox", "1", &busybox, "")?;
        for image in ["hello:root", "pause:1", "busybox:1"] {
            let to = format!("{REGISTRY}/{image}");
            read(&mut self.ounce(&["push", "--plain-http", image, &to]))?;
        }
        Ok(())
    }

    fn build(&self, name: &str, tag: &str, program: &Path, image: &str) -> Result<()> {
        let folder = self.scratch.join(&format!("source-{name}-{tag}"));
        fs::create_dir_all(&folder)?;
        let text =
            format!("name = {name:?}\n[programs]\n\"linux/amd64\" = {program:?}\n[image]\n{image}");
        fs::write(folder.join("ounce.toml"), text)?;
        let (folder, tag) = (folder.display().to_string(), format!("{name}:{tag}"));
        read(&mut self.ounce(&["build", &folder, "-t", &tag])).map(|_| ())
    }

    /// `ounce`, where the registry and the API server are to be reached.
    fn ounce(&self, words: &[&str]) -> Command {
        let mut ounce = self.control.place.in_network();
        for (name, below) in [("XDG_CACHE_HOME", "cache"), ("XDG_RUNTIME_DIR", "runtime")] {
            ounce.env(name, self.scratch.join(below));
        }
        ounce.arg(self.ounce).arg("--store");
        ounce.arg(self.scratch.join("store")).args(words);
        ounce
    }

    /// Looks until something is so.
    fn until<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let nodes = self.nodes.iter().map(|node| &node.daemons);
        let daemons: Vec<&Daemons> = [&self.control.daemons].into_iter().chain(nodes).collect();
        until(what, &daemons, look)
    }

    /// The pods of a namespace that are not about to end.
    fn pods(&self, namespace: &str) -> Result<Vec<Pod>> {
        let all = self.control.get(&["pods", "-n", namespace])?;
        let stay = items(&all).filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        Ok(stay.map(Pod::of).collect())
    }

    /// All of them, also those that are about to end.
    fn pods_of_all_kinds(&self, namespace: &str) -> Result<usize> {
        Ok(items(&self.control.get(&["pods", "-n", namespace])?).count())
    }

    fn node(&self, name: &str) -> Result<&Node> {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.with_context(|| format!("there is no node {name:?}"))
    }
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let text = |path: &str| {
            let text = pod.pointer(path).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let container = text("/status/containerStatuses/0/containerID");
        Self {
            name: text("/metadata/name"),
            node: text("/spec/nodeName"),
            address: text("/status/podIP"),
            is_ready: has_condition(pod, "Ready"),
            image: text("/spec/containers/0/image"),
            container: container.trim_start_matches("containerd://").to_owned(),
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    let items = list.get("items").and_then(Value::as_array);
    items.into_iter().flatten()
}

fn has_condition(object: &Value, wanted: &str) -> bool {
    let conditions = object.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some(wanted)
            && condition.get("status").and_then(Value::as_str) == Some("True")
    })
}
