//! Kubernetes: manifests that a namespace of the `restricted` Pod Security
//! Standard admits, a kustomization and a chart.
//!
//! The image is named by its digest, so what was tried is what runs. No probe
//! needs a shell. The manifests are trees of our own and not `k8s-openapi`'s
//! types: docs/ship.md has what those would cost and who checks ours instead.

pub mod api;
pub mod apply;
mod chart;
pub mod kubeconfig;
mod objects;
mod options;
mod version;

use crate::application::{Application, Basis};
use crate::node::Node;
use crate::shipment::{Created, File, Shipment};
use objects::Leaves;
pub use options::{Egress, Options, OptionsError, Peer};
use version::Feature;
pub use version::{Version, VersionError};

/// The objects, in the order in which they are to be applied.
pub fn objects(application: &Application, options: &Options) -> Vec<Node> {
    objects::all(application, options, &Leaves::plain(application, options))
}

/// Manifests, kustomization and chart.
pub fn ship(application: &Application, options: &Options) -> Shipment {
    let objects = objects(application, options);
    let mut shipment = Shipment::default();
    let mut names = Vec::new();
    for object in &objects {
        let kind = text_at(object, &["kind"]);
        let path = format!("{}.yaml", kind.to_lowercase());
        shipment.files.push(File::text(&path, object.yaml()));
        shipment.creates.push(Created::new(
            kind,
            text_at(object, &["metadata", "name"]),
            purpose(kind),
        ));
        names.push(path);
    }
    let kustomization = crate::map! {
        "apiVersion" => "kustomize.config.k8s.io/v1beta1",
        "kind" => "Kustomization",
        "namespace" => options.namespace.clone(),
        "resources" => names,
    };
    shipment
        .files
        .push(File::beside("kustomization.yaml", kustomization.yaml()));
    shipment.files.extend(chart::files(application, options));
    shipment.notes = notes(application, options);
    shipment.next = vec![
        "kubectl apply --server-side -k .".to_owned(),
        format!("helm upgrade --install {} ./chart", application.name),
    ];
    shipment
}

fn text_at<'a>(node: &'a Node, path: &[&str]) -> &'a str {
    node.at(path).and_then(Node::text).unwrap_or_default()
}

fn purpose(kind: &str) -> &'static str {
    match kind {
        "ServiceAccount" => "who it is to the cluster: nobody, without a token",
        "Deployment" => "the program, replaced without a gap",
        "Service" => "one address for all replicas",
        "PodDisruptionBudget" => "no more than one replica is moved at a time",
        "HorizontalPodAutoscaler" => "more replicas under load",
        "NetworkPolicy" => "who may speak to it, and to whom it may",
        "Ingress" | "HTTPRoute" => "how the world reaches it",
        "RuntimeClass" => "which runtime starts it",
        _ => "",
    }
}

fn notes(application: &Application, options: &Options) -> Vec<String> {
    let mut notes = Vec::new();
    if application.resources.basis == Basis::Estimated {
        notes.push(
            "memory is estimated from the image's size: --measure starts it once and looks"
                .to_owned(),
        );
    }
    match &options.egress {
        Egress::Names => notes.push(
            "it may open no connection but to name servers: --egress NETWORK lets it".to_owned(),
        ),
        Egress::To(_) | Egress::Any => {}
    }
    match (application.port, &application.health_path) {
        (Some(_), None) => notes
            .push("its probes only see that the port is open: --health PATH asks it".to_owned()),
        (None, _) if application.health_command.is_none() => {
            notes.push("it has no port and no check of its own, so no probe".to_owned());
        }
        _ => {}
    }
    notes.extend(notes_of_version(application, options));
    if let Some(class) = &options.runtime_class {
        notes.push(format!(
            "the handler {class:?} has to be set up on the nodes (docs/ship.md)"
        ));
    }
    notes
}

/// What a cluster of the version asked for cannot do.
pub fn notes_of_version(application: &Application, options: &Options) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(version) = options.version else {
        return notes;
    };
    let pauses = options.pause_command.is_some() || Feature::Sleep.is_of(Some(version));
    if application.port.is_some() && !pauses {
        notes.push(format!(
            "Kubernetes {version} cannot hold a replica that is to end: whoever still asks it is \
             refused, unless --pause-command names what waits in the image"
        ));
    }
    if application.port.is_some_and(|port| port < 1024) && !Feature::LowPorts.is_of(Some(version)) {
        notes.push(format!(
            "Kubernetes {version} has no safe way to open a port below 1024: the program may only \
             listen on another (--port)"
        ));
    }
    if !Feature::Policy.is_of(Some(version)) && options.egress != Egress::Any {
        notes.push(format!(
            "Kubernetes {version} knows no namespace by its name: port 53 may be asked in all"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;

    fn shown(application: &Application, options: &Options) -> String {
        let shipment = ship(application, options);
        let files = shipment.files.iter().filter(|file| file.is_shown);
        files
            .map(|file| format!("---\n{}", file.as_text().unwrap()))
            .collect()
    }

    #[test]
    fn manifests_of_a_service_are_as_before() {
        let options = Options {
            namespace: Some("shop".to_owned()),
            host: Some("shop.example".to_owned()),
            ..Options::default()
        };
        insta::assert_snapshot!(shown(&shop(), &options));
    }

    #[test]
    fn manifests_of_a_worker_with_secrets_are_as_before() {
        let mut worker = shop();
        worker.port = None;
        worker.health_path = None;
        worker.secrets = vec![SecretVariable {
            variable: "QUEUE_TOKEN".to_owned(),
            from: "queue".to_owned(),
            key: Some("token".to_owned()),
        }];
        worker.scratch = vec!["/tmp".to_owned()];
        let options = Options {
            runtime_class: Some("ounce".to_owned()),
            egress: Egress::To(vec!["10.0.0.0/8:5672".parse().unwrap()]),
            ..Options::default()
        };
        insta::assert_snapshot!(shown(&worker, &options));
    }

    #[test]
    fn old_clusters_are_asked_for_nothing_that_they_do_not_know() {
        let all = |version: &str, pause: Option<&str>| {
            let options = Options {
                version: Some(version.parse().unwrap()),
                pause_command: pause.map(|words| vec![words.to_owned()]),
                ..Options::default()
            };
            (shown(&shop(), &options), notes(&shop(), &options))
        };
        let (old, said) = all("1.20", None);
        for unknown in [
            "policy/v1\n",
            "autoscaling/v2\n",
            "matchLabelKeys",
            "unhealthyPodEvictionPolicy",
            "sleep",
            "kubernetes.io/metadata.name",
        ] {
            assert!(!old.contains(unknown), "{unknown} in {old}");
        }
        assert!(old.contains("policy/v1beta1\n") && old.contains("autoscaling/v2beta2\n"));
        assert!(said.iter().any(|note| note.contains("--pause-command")));
        let (paused, said) = all("1.20", Some("/pause"));
        assert!(paused.contains("preStop:\n              exec:"), "{paused}");
        assert!(!said.iter().any(|note| note.contains("--pause-command")));
        let mut low = shop();
        low.port = Some(80);
        let options = |version: &str| Options {
            version: Some(version.parse().unwrap()),
            ..Options::default()
        };
        assert!(!shown(&low, &options("1.21")).contains("sysctls"));
        assert!(
            notes(&low, &options("1.21"))
                .iter()
                .any(|note| note.contains("--port)"))
        );
        assert!(shown(&low, &options("1.22")).contains("sysctls"));
        let (new, said) = all("1.30", None);
        assert_eq!(new, shown(&shop(), &Options::default()));
        assert_eq!(said, notes(&shop(), &Options::default()));
    }

    #[test]
    fn chart_and_kustomization_are_as_before() {
        let options = Options {
            gateway: Some("edge/public".to_owned()),
            host: Some("shop.example".to_owned()),
            ..Options::default()
        };
        let shipment = ship(&shop(), &options);
        let files = shipment.files.iter().filter(|file| !file.is_shown);
        let text: String = files
            .map(|file| format!("# {}\n{}\n", file.path, file.as_text().unwrap()))
            .collect();
        insta::assert_snapshot!(text);
    }
}
