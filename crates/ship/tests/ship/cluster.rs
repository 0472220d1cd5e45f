//! As much of an API server as applying meets: objects by their paths, server-side
//! apply, dry runs, patches, deletion, and a controller that rolls out at once or
//! never.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::server::{Asked, Server, answer};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    changes: usize,
    architectures: Vec<String>,
    forbidden: BTreeSet<String>,
    /// What each kind is answered with when it is applied, and when that is tried.
    refused: BTreeMap<String, (u16, String)>,
    refused_dry: BTreeMap<String, (u16, String)>,
    /// Why the containers wait, and the message.
    trouble: Option<(String, String)>,
    stalled: bool,
    /// How often a Deployment that is there cannot be read.
    misses: usize,
    /// Which Kubernetes it says it is, if it does.
    release: Option<(String, String)>,
}

pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    server: Server,
}

const NAMESPACE: &str = "/api/v1/namespaces/shop";

impl Cluster {
    pub(crate) fn new() -> Self {
        let state = Arc::new(Mutex::new(State {
            architectures: vec!["amd64".to_owned()],
            ..State::default()
        }));
        let namespace = json!({"kind": "Namespace", "metadata": {"name": "shop"}});
        state
            .lock()
            .unwrap()
            .objects
            .insert(NAMESPACE.to_owned(), namespace);
        let own = state.clone();
        let server = Server::new(move |asked, out| handle(&mut own.lock().unwrap(), asked, out));
        Self { state, server }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.server.asked()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.state().objects[path].clone()
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    /// The paths of all objects but the namespace.
    pub(crate) fn objects(&self) -> Vec<String> {
        let state = self.state();
        let paths = state.objects.keys().filter(|path| *path != NAMESPACE);
        paths.cloned().collect()
    }

    pub(crate) fn changes(&self) -> usize {
        self.state().changes
    }

    pub(crate) fn nodes(&self, architectures: &[&str]) {
        self.state().architectures = architectures.iter().map(|&it| it.to_owned()).collect();
    }

    pub(crate) fn forbid(&self, path: &str) {
        self.state().forbidden.insert(path.to_owned());
    }

    pub(crate) fn refuse(&self, kind: &str, status: u16, why: &str) {
        let answer = (status, why.to_owned());
        self.state().refused.insert(kind.to_owned(), answer);
    }

    pub(crate) fn refuse_dry(&self, kind: &str, status: u16, why: &str) {
        let answer = (status, why.to_owned());
        self.state().refused_dry.insert(kind.to_owned(), answer);
    }

    /// From now on nothing new ever answers, and nobody gives up.
    pub(crate) fn stall_rollouts(&self) {
        self.state().stalled = true;
    }

    /// A Deployment that is there cannot be read so often.
    pub(crate) fn miss(&self, count: usize) {
        self.state().misses = count;
    }

    pub(crate) fn is_of_version(&self, major: &str, minor: &str) {
        self.state().release = Some((major.to_owned(), minor.to_owned()));
    }

    pub(crate) fn fail_rollouts(&self, reason: &str, message: &str) {
        self.state().trouble = Some((reason.to_owned(), message.to_owned()));
    }
}

fn handle(state: &mut State, asked: &Asked, out: &mut TcpStream) -> bool {
    let (status, value) = respond(state, asked);
    answer(
        out,
        status,
        &[("Content-Type", "application/json")],
        value.to_string().as_bytes(),
    )
}

fn refusal(status: u16, message: &str) -> (u16, Value) {
    let value = json!({"kind": "Status", "status": "Failure", "message": message, "code": status});
    (status, value)
}

fn respond(state: &mut State, asked: &Asked) -> (u16, Value) {
    let path = asked.path();
    if state.forbidden.contains(path) {
        return refusal(403, "forbidden");
    }
    match (asked.method.as_str(), path) {
        ("GET", "/api/v1/nodes") => {
            let nodes = state.architectures.iter();
            let nodes = nodes.map(|it| json!({"status": {"nodeInfo": {"architecture": it}}}));
            (200, json!({"items": nodes.collect::<Vec<_>>()}))
        }
        ("GET", "/version") => match &state.release {
            Some((major, minor)) => (200, json!({"major": major, "minor": minor})),
            None => refusal(403, "forbidden"),
        },
        ("GET", "/api/v1/namespaces/shop/pods") => {
            let pods = state.trouble.iter().map(|(reason, message)| {
                json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {
                    "containerStatuses": [{"state": {"waiting":
                        {"reason": reason, "message": message}}}]}})
            });
            (200, json!({"items": pods.collect::<Vec<_>>()}))
        }
        ("GET", path)
            if path.contains("/deployments/")
                && state.misses > 0
                && state.objects.contains_key(path) =>
        {
            state.misses -= 1;
            refusal(503, "the server is being replaced")
        }
        ("GET", path) => match state.objects.get(path) {
            Some(object) => (200, object.clone()),
            None => refusal(404, "not found"),
        },
        ("DELETE", path) => {
            state.changes += 1;
            match state.objects.remove(path) {
                Some(_) => (200, json!({"kind": "Status", "status": "Success"})),
                None => refusal(404, "not found"),
            }
        }
        ("PATCH", path) if asked.header("content-type") == Some("application/json-patch+json") => {
            let patch: Value = serde_json::from_slice(&asked.body).unwrap();
            assert_eq!(patch[0]["op"], "replace");
            let Some(object) = state.objects.get_mut(path) else {
                return refusal(404, "not found");
            };
            let part = patch[0]["path"].as_str().unwrap();
            *object.pointer_mut(part).unwrap() = patch[0]["value"].clone();
            state.changes += 1;
            (200, json!({}))
        }
        ("PATCH", path) => apply(state, path, asked),
        _ => refusal(405, "no such method"),
    }
}

fn apply(state: &mut State, path: &str, asked: &Asked) -> (u16, Value) {
    assert_eq!(
        asked.header("content-type"),
        Some("application/apply-patch+yaml")
    );
    assert!(
        asked.target.contains("fieldManager=ounce"),
        "{}",
        asked.target
    );
    let mut object: Value = serde_json::from_slice(&asked.body).unwrap();
    let kind = object["kind"].as_str().unwrap().to_owned();
    let is_dry = asked.target.contains("dryRun=All");
    let refused = match is_dry {
        true => &state.refused_dry,
        false => &state.refused,
    };
    if let Some((status, why)) = refused.get(&kind) {
        return refusal(*status, why);
    }
    let before = state.objects.get(path);
    let is_same = before.is_some_and(|before| before["spec"] == defaulted(&object)["spec"]);
    if is_same {
        return (200, before.unwrap().clone());
    }
    if is_dry {
        return (200, object);
    }
    state.version += 1;
    state.changes += 1;
    object = defaulted(&object);
    object["metadata"]["resourceVersion"] = state.version.to_string().into();
    object["metadata"]["generation"] = state.version.into();
    if kind == "Deployment" {
        let version = state.version;
        object["status"] = match state.trouble {
            _ if state.stalled => json!({"observedGeneration": version, "replicas": 1}),
            None => json!({"observedGeneration": version, "replicas": 2, "updatedReplicas": 2,
                           "availableReplicas": 2}),
            Some(_) => json!({"observedGeneration": version, "replicas": 3, "updatedReplicas": 1,
                "availableReplicas": 2, "conditions": [{"type": "Progressing",
                "status": "False", "reason": "ProgressDeadlineExceeded"}]}),
        };
    }
    state.objects.insert(path.to_owned(), object.clone());
    (200, object)
}

/// What the autoscaler has said of a Deployment.
fn defaulted(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == "Deployment" {
        object["spec"]["replicas"] = 2.into();
    }
    object
}
