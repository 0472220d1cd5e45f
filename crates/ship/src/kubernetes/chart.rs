//! The same objects as a Helm chart, with what changes from place to place in
//! its values.

use super::objects::{self, Leaves};
use super::options::Options;
use crate::application::{Application, quantity};
use crate::map;
use crate::node::Node;
use crate::shipment::File;

/// The chart's files, below `chart/`.
pub(super) fn files(application: &Application, options: &Options) -> Vec<File> {
    let value = |path: &str| Node::Raw(format!("{{{{ .Values.{path} | quote }}}}"));
    let number = |path: &str| Node::Raw(format!("{{{{ .Values.{path} }}}}"));
    let leaves = Leaves {
        name: Node::Raw("{{ .Release.Name | quote }}".to_owned()),
        image: value("image"),
        version: Node::Raw("{{ .Chart.AppVersion | quote }}".to_owned()),
        managed_by: Node::Raw("{{ .Release.Service | quote }}".to_owned()),
        least: number("replicas.least"),
        most: number("replicas.most"),
        cpu: value("resources.cpu"),
        memory_request: value("resources.memoryRequest"),
        memory_limit: value("resources.memoryLimit"),
        host: match options.host {
            Some(_) => value("host"),
            None => Node::Absent,
        },
        // Helm puts everything where it is told to.
        namespace: Node::Absent,
    };
    let mut files = vec![
        File::beside("chart/Chart.yaml", about(application).yaml()),
        File::beside("chart/values.yaml", values(application, options).yaml()),
    ];
    for object in objects::all(application, options, &leaves) {
        let kind = object.get("kind").and_then(Node::text).unwrap_or_default();
        let path = format!("chart/templates/{}.yaml", kind.to_lowercase());
        files.push(File::beside(path, object.yaml()));
    }
    files
}

fn about(application: &Application) -> Node {
    map! {
        "apiVersion" => "v2",
        "name" => &application.name,
        "description" => format!("{} as a micro-container", application.name),
        "type" => "application",
        // Of the chart's form, not of what it installs.
        "version" => "1.0.0",
        "appVersion" => &application.version,
    }
}

fn values(application: &Application, options: &Options) -> Node {
    let resources = application.resources;
    map! {
        "image" => application.reference(),
        "replicas" => map! {
            "least" => application.replicas,
            "most" => application.most_replicas,
        },
        "resources" => map! {
            "cpu" => format!("{}m", resources.cpu_millis),
            "memoryRequest" => quantity(resources.memory_request_bytes),
            "memoryLimit" => quantity(resources.memory_limit_bytes),
        },
        "host" => options.host.clone(),
    }
}
