//! A node: containerd, kubelet and kube-proxy in a place of its own.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::control::{ADDRESS, Control, PODS, REGISTRY};
use super::daemons::Daemons;
use super::place::{Guard, Place};
use super::sources::Programs;
use crate::scratch::Scratch;
use crate::tool::read;

/// What the kubelet writes to the machine it takes for its own. Here it writes to
/// files that stand in their place.
const SETTINGS: &[&str] = &[
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];
/// Mounts all hierarchies of control groups of version 1, where the machine has any:
/// with one of them missing, containerd's shim sees nobody run out of memory.
const GROUPS: &str = "\
set -e
grep -q '^[1-9]' /proc/self/cgroup || exit 0
mount -t tmpfs groups /sys/fs/cgroup
while IFS=: read -r number list rest; do
    case $number:$list in
        0:) folder=unified type=cgroup2 options=nosuid ;;
        *:name=*) folder=${list#name=} type=cgroup options=none,$list ;;
        *) folder=$list type=cgroup options=$list ;;
    esac
    mkdir /sys/fs/cgroup/$folder
    mount -t $type -o $options $type /sys/fs/cgroup/$folder
done </proc/self/cgroup
";
/// Folders of the machine that a node has of its own.
const OWN: &[&str] = &["/run", "/var/lib", "/var/log"];
/// Where containerd has its runtimes keep their state.
pub(super) const STATES: &str = "/run/containerd/runc/k8s.io";

/// A node; dropping it ends it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) daemons: Daemons,
    pub(super) place: Place,
}

/// What a node is started with.
pub(super) struct Parts<'a> {
    pub(super) programs: &'a Programs,
    pub(super) scratch: &'a Scratch,
    /// ounce, under the name that makes it a runtime.
    pub(super) runtime: &'a Path,
}

impl Node {
    /// Plugs in the node of this number, and starts it.
    pub(super) fn start(
        name: &'static str,
        number: u8,
        control: &Control<'_>,
        parts: &Parts<'_>,
        guard: &mut Guard,
    ) -> Result<Self> {
        let place = Place::new(&parts.programs.path("wait")?, OWN, guard)?;
        let node = Self {
            name,
            daemons: Daemons::new(parts.scratch)?,
            place,
        };
        node.connect(number, control)?;
        node.own_settings(parts.scratch)?;
        read(&mut node.place.command(&["sh", "-c", GROUPS]))?;
        node.with_daemons(number, control, parts)
    }

    /// A cable to the switch, and the way to the pods of this node for everybody else.
    fn connect(&self, number: u8, control: &Control<'_>) -> Result<()> {
        let switch = &control.place;
        switch.join(&format!("to-{}", self.name), &self.place, "eth0")?;
        let ip = |place: &Place, words: &str| {
            read(place.in_network().arg("ip").args(words.split(' '))).map(|_| ())
        };
        ip(
            switch,
            &format!("link set to-{} master switch up", self.name),
        )?;
        let address = address(number);
        ip(&self.place, &format!("address add {address}/24 dev eth0"))?;
        ip(&self.place, "link set eth0 up")?;
        ip(&self.place, &format!("route add default via {ADDRESS}"))?;
        ip(switch, &format!("route add {} via {address}", pods(number)))?;
        // What goes from node to node goes over the control plane's place, which is
        // a router for it.
        let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
        for place in [switch, &self.place] {
            read(&mut place.command(&["sh", "-c", forward]))?;
        }
        Ok(())
    }

    fn own_settings(&self, scratch: &Scratch) -> Result<()> {
        for setting in SETTINGS {
            let kernels = Path::new("/proc/sys").join(setting);
            let own = scratch.join(self.name).join("settings").join(setting);
            if let Some(folder) = own.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&own, fs::read(&kernels)?)?;
            let words = ["mount", "--bind"];
            read(self.place.command(&words).arg(own).arg(kernels))?;
        }
        Ok(())
    }

    fn with_daemons(
        mut self,
        number: u8,
        control: &Control<'_>,
        parts: &Parts<'_>,
    ) -> Result<Self> {
        let folder = parts.scratch.join(self.name);
        fs::create_dir_all(folder.join("cni"))?;
        let write = |name: &str, text: String| -> Result<String> {
            let path = folder.join(name);
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        write("cni/pods.conflist", pod_network(number))?;
        write("resolv.conf", String::new())?;
        let settings = write("containerd.toml", containerd(&folder, parts))?;
        self.daemon("containerd", parts, &["--config".to_owned(), settings])?;
        let user = format!("/O=system:nodes/CN=system:node:{}", self.name);
        let access = control.keys.client(self.name, &user)?;
        let authority = control.keys.path("ca.crt").display().to_string();
        let settings = write("kubelet.yaml", kubelet(number, &folder, &authority))?;
        let path = |name: &str| folder.join(name).display().to_string();
        let address = address(number);
        let options = [
            ("kubeconfig", access.display().to_string()),
            ("config", settings),
            ("hostname-override", self.name.to_owned()),
            ("node-ip", address.clone()),
            ("container-runtime", "remote".to_owned()),
            (
                "container-runtime-endpoint",
                "unix:///run/containerd/containerd.sock".to_owned(),
            ),
            ("root-dir", path("kubelet")),
            ("cert-dir", path("kubelet-keys")),
            ("v", "2".to_owned()),
        ];
        let options = options.map(|(name, value)| format!("--{name}={value}"));
        self.daemon("kubelet", parts, &options)?;
        let user = format!("{}-proxy", self.name);
        let access = control.keys.client(&user, "/CN=system:kube-proxy")?;
        let text = proxy(self.name, &address, &access.display().to_string());
        let settings = format!("--config={}", write("proxy.yaml", text)?);
        self.daemon("kube-proxy", parts, &[settings])?;
        Ok(self)
    }

    fn daemon(&mut self, program: &str, parts: &Parts<'_>, options: &[String]) -> Result<()> {
        let path = match program {
            // Debian's own, with the libraries that it wants.
            "containerd" => program.to_owned(),
            own => parts.programs.path(own)?.display().to_string(),
        };
        let name = format!("{}-{program}", self.name);
        self.daemons.start(&self.place, &name, &path, options)
    }
}

fn address(number: u8) -> String {
    format!("10.99.0.{}", 10 + number)
}

fn pods(number: u8) -> String {
    format!("10.98.{number}.0/24")
}

/// A cable for each pod, and routes: nothing on a node bridges.
fn pod_network(number: u8) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{"subnet": pods(number)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

fn containerd(folder: &Path, parts: &Parts<'_>) -> String {
    let root = folder.join("containerd");
    format!(
        "version = 2\nroot = {root:?}\nstate = \"/run/containerd\"\n\
         [grpc]\naddress = \"/run/containerd/containerd.sock\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = \"{REGISTRY}/pause:1\"\n\
         # Lowering it takes a right that not every root has.\n\
         restrict_oom_score_adj = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {:?}\nconf_dir = {:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"{REGISTRY}\"]\n\
         endpoint = [\"http://{REGISTRY}\"]\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n\
         default_runtime_name = \"runc\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.ounce]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.ounce.options]\n\
         BinaryName = {:?}\n",
        parts.programs.plugins(),
        folder.join("cni"),
        parts.runtime,
    )
}

fn kubelet(number: u8, folder: &Path, authority: &str) -> String {
    // JSON is YAML.
    serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address(number),
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "AlwaysAllow"},
        // One control group for each container, and none for each kind of pod.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "resolvConf": folder.join("resolv.conf"),
        "volumePluginDir": folder.join("plugins"),
        "nodeStatusUpdateFrequency": "5s",
        // However full the machine is: it is not a node's.
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%",
                         "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
    })
    .to_string()
}

fn proxy(name: &str, address: &str, access: &str) -> String {
    serde_json::json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": address,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": access},
        "clusterCIDR": PODS,
        "hostnameOverride": name,
        "mode": "iptables",
        "oomScoreAdj": 0,
        // The machine's tables stay as large as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s",
                      "tcpCloseWaitTimeout": "0s"},
    })
    .to_string()
}
