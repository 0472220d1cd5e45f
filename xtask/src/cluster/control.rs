//! The control plane: etcd, API server, controllers and scheduler, and beside them
//! a registry, all in one place with a switch that the nodes are plugged into.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::daemons::{Daemons, until};
use super::keys::Keys;
use super::place::{Guard, Place};
use super::sources::Programs;
use crate::scratch::Scratch;
use crate::tool::read;

/// Where the registry answers.
pub(super) const REGISTRY: &str = "10.99.0.1:5000";
/// The control plane's own address, and how long the network's prefix is.
pub(super) const ADDRESS: &str = "10.99.0.1";
/// The addresses of services.
pub(super) const SERVICES: &str = "10.97.0.0/24";
/// The addresses of pods; the third byte is the node's.
pub(super) const PODS: &str = "10.98.0.0/16";

/// The control plane; dropping it ends it.
#[derive(Debug)]
pub(super) struct Control<'a> {
    pub(super) daemons: Daemons,
    pub(super) place: Place,
    pub(super) keys: Keys,
    programs: &'a Programs,
    scratch: &'a Scratch,
    admin: PathBuf,
}

impl<'a> Control<'a> {
    /// Starts all of it, and waits until it answers.
    pub(super) fn start(
        programs: &'a Programs,
        scratch: &'a Scratch,
        guard: &mut Guard,
    ) -> Result<Self> {
        let keys = Keys::new(&scratch.join("keys"))?;
        let admin = keys.client("admin", "/O=system:masters/CN=admin")?;
        let place = Place::new(&programs.path("wait")?, &[], guard)?;
        for words in [
            &["link", "add", "switch", "type", "bridge"][..],
            &["address", "add", "10.99.0.1/24", "dev", "switch"],
            &["link", "set", "switch", "up"],
        ] {
            read(place.in_network().arg("ip").args(words))?;
        }
        let mut control = Self {
            daemons: Daemons::new(scratch)?,
            place,
            keys,
            programs,
            scratch,
            admin,
        };
        control.registry()?;
        control.etcd()?;
        control.api_server()?;
        until("the API server answers", &[&control.daemons], || {
            let said = control.kubectl(&["get", "--raw", "/readyz"]);
            Ok((said? == "ok").then_some(()))
        })?;
        control.controllers()?;
        Ok(control)
    }

    fn own(&mut self, name: &'static str, options: &[String]) -> Result<()> {
        let program = self.programs.path(name)?.display().to_string();
        self.daemons.start(&self.place, name, &program, options)
    }

    fn registry(&mut self) -> Result<()> {
        let settings = self.scratch.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  \
             filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: {REGISTRY}\n",
            self.scratch.join("registry").display()
        );
        fs::write(&settings, text)?;
        let words = ["serve".to_owned(), settings.display().to_string()];
        let name = "docker-registry";
        self.daemons.start(&self.place, name, name, &words)
    }

    fn etcd(&mut self) -> Result<()> {
        let data = self.scratch.join("etcd").display().to_string();
        let options = [
            ("data-dir", data.as_str()),
            ("listen-client-urls", "http://127.0.0.1:2379"),
            ("advertise-client-urls", "http://127.0.0.1:2379"),
            ("listen-peer-urls", "http://127.0.0.1:2380"),
        ];
        let options = options.map(|(name, value)| format!("--{name}={value}"));
        self.own("etcd", &options)
    }

    fn api_server(&mut self) -> Result<()> {
        let names = format!("IP:{ADDRESS},IP:10.97.0.1,DNS:kubernetes.default.svc");
        let keys = &self.keys;
        keys.certify("api", "/CN=kube-apiserver", &names)?;
        keys.certify("to-kubelet", "/O=system:masters/CN=api", "")?;
        let mut options = vec![
            keys.option("client-ca-file", "ca.crt"),
            keys.option("tls-cert-file", "api.crt"),
            keys.option("tls-private-key-file", "api.key"),
            keys.option("kubelet-client-certificate", "to-kubelet.crt"),
            keys.option("kubelet-client-key", "to-kubelet.key"),
            keys.option("service-account-key-file", "accounts.pub"),
            keys.option("service-account-signing-key-file", "accounts.key"),
            format!("--bind-address={ADDRESS}"),
            format!("--advertise-address={ADDRESS}"),
            format!("--service-cluster-ip-range={SERVICES}"),
        ];
        options.extend(
            [
                "--etcd-servers=http://127.0.0.1:2379",
                "--secure-port=6443",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                // Nobody here knows nodes by their names.
                "--kubelet-preferred-address-types=InternalIP",
                "--v=1",
            ]
            .map(str::to_owned),
        );
        self.own("kube-apiserver", &options)
    }

    fn controllers(&mut self) -> Result<()> {
        let keys = &self.keys;
        let scheduler = keys.client("scheduler", "/CN=system:kube-scheduler")?;
        let manager = keys.client("manager", "/CN=system:kube-controller-manager")?;
        let options = [
            format!("--kubeconfig={}", manager.display()),
            keys.option("service-account-private-key-file", "accounts.key"),
            keys.option("root-ca-file", "ca.crt"),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            // Nobody wants to wait 15 s for the first word of an autoscaler.
            "--horizontal-pod-autoscaler-sync-period=2s".to_owned(),
        ];
        self.own("kube-controller-manager", &options)?;
        let options = [
            format!("--kubeconfig={}", scheduler.display()),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
        ];
        self.own("kube-scheduler", &options)
    }

    /// What `kubectl` prints, as whoever may do everything.
    pub(super) fn kubectl(&self, words: &[&str]) -> Result<String> {
        read(
            self.kubectl_command(words)?
                .stdin(std::process::Stdio::null()),
        )
    }

    /// `kubectl`, as whoever may do everything.
    pub(super) fn kubectl_command(&self, words: &[&str]) -> Result<Command> {
        let mut kubectl = self.place.in_network();
        kubectl
            .arg(self.programs.path("kubectl")?)
            .arg("--kubeconfig")
            .arg(&self.admin)
            .arg("--cache-dir")
            .arg(self.scratch.join("kubectl"))
            .args(words);
        Ok(kubectl)
    }

    /// The kubeconfig of whoever may do everything.
    pub(super) fn admin(&self) -> String {
        self.admin.display().to_string()
    }

    /// An object, or a list of them.
    pub(super) fn get(&self, words: &[&str]) -> Result<Value> {
        let words = [&["get", "-o", "json"], words].concat();
        Ok(serde_json::from_str(&self.kubectl(&words)?)?)
    }

    /// Has the API server take a document, and whatever it says.
    pub(super) fn create(&self, document: &Value) -> Result<()> {
        use std::io::Write as _;
        let mut kubectl = self.kubectl_command(&["create", "-f", "-"])?;
        let mut child = kubectl
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("kubectl reads nothing")?;
        input.write_all(document.to_string().as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", said.trim());
        Ok(())
    }
}
