//! Objects brought onto a cluster, all of them or none.
//!
//! First everything is asked that can be known beforehand: that the namespace is
//! there, that there are nodes for the image, whose the objects are that have
//! these names, and whether the server takes ours (a dry run of each). Then they
//! are applied, and the rollout is watched. What fails, or is interrupted, is
//! told with what has been done by then; [`undo`] takes it back.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::api::{Api, ApiError, Object};
use crate::application::Application;

/// How often the rollout is looked at.
const PAUSE: Duration = Duration::from_millis(500);
/// How often in a row that may fail: a server of a cluster that is itself being
/// replaced is away for some seconds, and that is no reason to take anything back.
const MOST_MISSES: u32 = 40;

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server would take all of them.
    Accepted(usize),
    /// One is applied.
    Applied {
        /// `Deployment shop`.
        object: String,
        /// What became of it.
        change: Change,
    },
    /// So many of the replicas are new and answer.
    Waiting {
        /// They.
        ready: u64,
        /// All that are wanted.
        wanted: u64,
        /// What one of them waits for, if that is known.
        why: Option<String>,
    },
    /// Something is taken back.
    Undone(String),
    /// Something that could not be asked, and is left out.
    Unasked(String),
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there.
    Created,
    /// It was otherwise.
    Changed,
    /// It was as wanted.
    Unchanged,
}

/// One that was applied, and what was there before.
#[derive(Debug, Clone)]
pub struct Done {
    /// It.
    pub object: Object,
    /// What became of it.
    pub change: Change,
    before: Option<Value>,
}

/// They are not all on the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server says no, or nobody answers.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The namespace is not there.
    #[error("the cluster has no namespace {0:?}")]
    Namespace(String),
    /// No node runs the image.
    #[error("the image is for {}, and the cluster's nodes are {}", image.join(", "), nodes.join(", "))]
    Architecture {
        /// What there is an image for.
        image: Vec<String>,
        /// What the nodes are.
        nodes: Vec<String>,
    },
    /// An object of that name is somebody else's.
    #[error("{object} is there already, and {owner}'s")]
    Foreign {
        /// `Deployment shop`.
        object: String,
        /// Whose.
        owner: String,
    },
    /// The new replicas do not come up.
    #[error("{object} did not come up: {why}")]
    Rollout {
        /// `Deployment shop`.
        object: String,
        /// As far as is known.
        why: String,
    },
    /// It was asked to end.
    #[error("interrupted")]
    Interrupted,
}

impl ApplyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Api(error) => return error.hint().map(str::to_owned),
            Self::Namespace(name) => return Some(format!("kubectl create namespace {name}")),
            Self::Architecture { nodes, .. } => {
                let first = nodes.first().map_or("", String::as_str);
                return Some(format!(
                    "build it for them: ounce build --platform linux/{first}"
                ));
            }
            Self::Foreign { .. } => "give this one another name: --name",
            Self::Rollout { .. } => "`kubectl logs` and `kubectl describe pod` say more",
            Self::Interrupted => return None,
        };
        Some(text.to_owned())
    }
}

/// What was done, and what ended it if it was not the end.
#[derive(Debug)]
pub struct Outcome {
    /// In the order in which it was done.
    pub done: Vec<Done>,
    /// What went wrong.
    pub result: Result<(), ApplyError>,
}

/// What an apply is given.
pub struct Job<'a> {
    /// The cluster.
    pub api: &'a Api,
    /// What is applied.
    pub objects: &'a [Object],
    /// Where.
    pub namespace: &'a str,
    /// What it is of.
    pub application: &'a Application,
    /// How long the rollout is waited for.
    pub wait: Duration,
}

impl Job<'_> {
    /// Asks everything that can be known beforehand; changes nothing.
    ///
    /// # Errors
    /// It would not work.
    pub fn check(&self, tell: &mut dyn FnMut(Event)) -> Result<(), ApplyError> {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        match self.api.get("reading the namespace", &path) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(ApplyError::Namespace(self.namespace.to_owned())),
            Err(error) => tell(Event::Unasked(not_allowed(error)?)),
        }
        match self.api.get("reading the nodes", "/api/v1/nodes") {
            Ok(nodes) => self.fits(&nodes.unwrap_or_default())?,
            Err(error) => tell(Event::Unasked(not_allowed(error)?)),
        }
        for object in self.objects {
            let there = self
                .api
                .get(&format!("reading {}", object.shown()), &object.path)?;
            if let Some(owner) = there.as_ref().and_then(owner) {
                return Err(ApplyError::Foreign {
                    object: object.shown(),
                    owner,
                });
            }
        }
        for object in self.objects {
            self.api.apply(object, true)?;
        }
        tell(Event::Accepted(self.objects.len()));
        Ok(())
    }

    /// Whether there is a node for the image.
    fn fits(&self, nodes: &Value) -> Result<(), ApplyError> {
        let list = nodes.get("items").and_then(Value::as_array);
        let mut found: Vec<String> = list
            .into_iter()
            .flatten()
            .filter_map(|node| node.pointer("/status/nodeInfo/architecture"))
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect();
        found.sort();
        found.dedup();
        let own = self.application.architectures();
        let fits = found.iter().any(|node| own.contains(&node.as_str()));
        match found.is_empty() || fits {
            true => Ok(()),
            false => Err(ApplyError::Architecture {
                image: own.iter().map(|&one| one.to_owned()).collect(),
                nodes: found,
            }),
        }
    }

    /// Applies them and waits until the new replicas answer. `goes_on` is asked
    /// between two steps whether it still shall.
    pub fn run(&self, goes_on: &mut dyn FnMut() -> bool, tell: &mut dyn FnMut(Event)) -> Outcome {
        let mut done = Vec::new();
        let result = self.steps(&mut done, goes_on, tell);
        Outcome { done, result }
    }

    fn steps(
        &self,
        done: &mut Vec<Done>,
        goes_on: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), ApplyError> {
        for object in self.objects {
            if !goes_on() {
                return Err(ApplyError::Interrupted);
            }
            let what = format!("reading {}", object.shown());
            let before = self.api.get(&what, &object.path)?;
            let after = self.api.apply(object, false)?;
            let change = match &before {
                None => Change::Created,
                Some(before) if version(before) == version(&after) => Change::Unchanged,
                Some(_) => Change::Changed,
            };
            done.push(Done {
                object: object.clone(),
                change,
                before,
            });
            tell(Event::Applied {
                object: object.shown(),
                change,
            });
        }
        let deployments = self.objects.iter().filter(|it| it.kind == "Deployment");
        for object in deployments {
            self.roll_out(object, goes_on, tell)?;
        }
        Ok(())
    }

    /// Waits as `kubectl rollout status` does.
    fn roll_out(
        &self,
        object: &Object,
        goes_on: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), ApplyError> {
        let end = Instant::now() + self.wait;
        let mut told = None;
        let mut misses = 0;
        loop {
            let what = format!("reading {}", object.shown());
            let failed = |why: String| ApplyError::Rollout {
                object: object.shown(),
                why,
            };
            let state = match self.api.get(&what, &object.path) {
                Ok(state) => state,
                Err(error) if error.is_transient() && misses < MOST_MISSES => {
                    misses += 1;
                    if !goes_on() {
                        return Err(ApplyError::Interrupted);
                    }
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            misses = 0;
            let state = state.ok_or_else(|| failed("somebody has deleted it".to_owned()))?;
            let number = |path: &str| state.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            let wanted = state.pointer("/spec/replicas").and_then(Value::as_u64);
            let wanted = wanted.unwrap_or(1);
            let is_seen = number("/status/observedGeneration") >= number("/metadata/generation");
            let (updated, available, all) = (
                number("/status/updatedReplicas"),
                number("/status/availableReplicas"),
                number("/status/replicas"),
            );
            if is_seen && updated >= wanted && available >= wanted && all <= updated {
                return Ok(());
            }
            let ready = updated.min(available);
            if is_seen && has_given_up(&state) {
                let why = self
                    .why()
                    .unwrap_or_else(|| "it made no progress".to_owned());
                return Err(failed(why));
            }
            if Instant::now() >= end {
                let seconds = self.wait.as_secs();
                let why = self.why().unwrap_or_else(|| {
                    format!("{ready} of {wanted} replicas answer after {seconds} s")
                });
                return Err(failed(why));
            }
            let why = (told.is_some()).then(|| self.why()).flatten();
            let event = Event::Waiting { ready, wanted, why };
            if told.as_ref() != Some(&event) {
                tell(event.clone());
                told = Some(event);
            }
            if !goes_on() {
                return Err(ApplyError::Interrupted);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// What a replica of the newest state waits for, in the kubelet's words.
    fn why(&self) -> Option<String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector=app.kubernetes.io%2Finstance%3D{}",
            self.namespace, self.application.name
        );
        let pods = self.api.get("reading the pods", &path).ok()??;
        let items = pods.get("items").and_then(Value::as_array)?;
        // The one that was made last.
        let created = |pod: &&Value| {
            let time = pod.pointer("/metadata/creationTimestamp");
            time.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut items: Vec<&Value> = items.iter().collect();
        items.sort_by_key(created);
        items.iter().rev().find_map(|pod| trouble(pod))
    }
}

/// What keeps a pod from answering.
fn trouble(pod: &Value) -> Option<String> {
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let said = |state: &Value| {
        let reason = text(state, "reason")?;
        let usual = ["ContainerCreating", "PodInitializing", "Completed"];
        if usual.contains(&reason.as_str()) {
            return None;
        }
        Some(match text(state, "message") {
            Some(message) => format!("{reason}: {message}"),
            None => reason,
        })
    };
    let containers = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        let waiting = container.pointer("/state/waiting").and_then(said);
        let last = container.pointer("/lastState/terminated");
        let code = last
            .and_then(|last| last.get("exitCode"))
            .and_then(Value::as_i64);
        match (waiting, code) {
            (Some(waiting), Some(code)) => return Some(format!("{waiting}; it ended with {code}")),
            (Some(waiting), None) => return Some(waiting),
            (None, _) => {}
        }
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let unscheduled = conditions.into_iter().flatten().find(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("PodScheduled")
            && condition.get("status").and_then(Value::as_str) == Some("False")
    });
    unscheduled.and_then(said)
}

/// Whether the controller has stopped trying.
fn has_given_up(state: &Value) -> bool {
    let conditions = state
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("reason").and_then(Value::as_str) == Some("ProgressDeadlineExceeded")
    })
}

/// Who manages an object that is not ours, if somebody says so.
fn owner(object: &Value) -> Option<String> {
    let label = object.pointer("/metadata/labels/app.kubernetes.io~1managed-by");
    let label = label.and_then(Value::as_str).unwrap_or_default();
    let managers = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let is_ours = managers.into_iter().flatten().any(|manager| {
        manager.get("manager").and_then(Value::as_str) == Some("ounce")
            && manager.get("operation").and_then(Value::as_str) == Some("Apply")
    });
    match label {
        "ounce" => None,
        _ if is_ours => None,
        // One for the whole cluster is shared.
        "" if object.get("kind").and_then(Value::as_str) == Some("RuntimeClass") => None,
        "" => Some("nobody says whose; not ounce".to_owned()),
        label => Some(label.to_owned()),
    }
}

fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion")?.as_str()
}

/// What is only not allowed to be read is left out; anything else is an error.
fn not_allowed(error: ApiError) -> Result<String, ApplyError> {
    match error {
        ApiError::Refused {
            status: 403, what, ..
        } => Ok(format!("{what} is not allowed")),
        error => Err(error.into()),
    }
}

/// Takes back what was done, last first: what was created is deleted, what was
/// changed is put back. What could not be is named.
pub fn undo(api: &Api, done: &[Done], tell: &mut dyn FnMut(Event)) -> Vec<(String, ApiError)> {
    let mut left = Vec::new();
    for one in done.iter().rev() {
        let result = match (one.change, &one.before) {
            (Change::Unchanged, _) => continue,
            (Change::Created, _) | (Change::Changed, None) => api.delete(&one.object),
            (Change::Changed, Some(before)) => {
                // Of a Deployment the template: how many there are is not ours to say.
                let part = match one.object.kind.as_str() {
                    "Deployment" => "/spec/template",
                    _ => "/spec",
                };
                match before.pointer(part) {
                    Some(old) => api.replace(&one.object, part, old),
                    None => Ok(()),
                }
            }
        };
        match result {
            Ok(()) => tell(Event::Undone(one.object.shown())),
            Err(error) => left.push((one.object.shown(), error)),
        }
    }
    left
}
