//! The few calls of a Kubernetes API server that applying takes, over the house's
//! one network client: read, server-side apply, patch, delete.
//!
//! The `kube` crate would bring tokio, hyper and tower for these five requests.

use ounce_oci::fetch::{Call, Certificates, Client, FetchError, Options, Proxies};
use serde_json::Value;

use super::kubeconfig::Access;
use super::version::{Version, VersionError};
use crate::node::Node;

/// Whose fields those are that are applied.
const MANAGER: &str = "ounce";

/// A kind of object: where the API has it, below its group.
struct Kind {
    kind: &'static str,
    plural: &'static str,
    in_namespace: bool,
}

const fn kind(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        kind,
        plural,
        in_namespace: true,
    }
}

/// What is applied.
const KINDS: &[Kind] = &[
    kind("ServiceAccount", "serviceaccounts"),
    kind("Service", "services"),
    kind("Deployment", "deployments"),
    kind("PodDisruptionBudget", "poddisruptionbudgets"),
    kind("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    kind("NetworkPolicy", "networkpolicies"),
    kind("Ingress", "ingresses"),
    kind("HTTPRoute", "httproutes"),
    Kind {
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        in_namespace: false,
    },
];

/// An object by its place in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// All of it.
    pub body: Value,
}

impl Object {
    /// `Deployment shop`.
    pub fn shown(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// The API server does not do it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It cannot be reached, or not be trusted.
    #[error("the cluster does not answer")]
    Unreachable(#[source] FetchError),
    /// It says no.
    #[error("{what}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The status code.
        status: u16,
        /// In the server's words.
        message: String,
    },
    /// It says what no API server says.
    #[error("{what}: the answer is not from a Kubernetes API server")]
    Answer {
        /// What was asked.
        what: String,
    },
    /// An object of a kind that is not applied here.
    #[error("{0} cannot be applied by ounce")]
    Kind(String),
    /// It is of another time.
    #[error(transparent)]
    Version(VersionError),
}

impl ApiError {
    /// Whether it may be otherwise in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.is_transient(),
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            Self::Answer { .. } | Self::Kind(_) | Self::Version(_) => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some(
                "is the context right, and the cluster up? `kubectl cluster-info` asks the same",
            ),
            Self::Refused { status: 401, .. } => Some("log in to the cluster anew"),
            Self::Refused { status: 403, .. } => Some(
                "whoever this context is may not do that: another --context, or ask for the right",
            ),
            Self::Refused { status: 404, .. } => {
                Some("the cluster does not know that kind, or has no such namespace")
            }
            Self::Refused { status: 409, .. } => {
                Some("somebody else owns those fields: another --name, or let go of them there")
            }
            Self::Refused { status: 422, .. } => Some("the cluster's version takes it otherwise"),
            _ => None,
        }
    }
}

/// A cluster, spoken to.
pub struct Api {
    client: Client,
    access: Access,
}

impl Api {
    /// By a kubeconfig's access, with `options` for everything else.
    pub fn new(access: Access, mut options: Options) -> Self {
        if let Some(authority) = &access.authority {
            // Its own authority and no other.
            options.certificates = Certificates {
                given: vec![authority.clone()],
                ..Certificates::default()
            };
        }
        if let Some(proxy) = &access.proxy {
            options.proxies = Proxies {
                http: Some(proxy.clone()),
                https: Some(proxy.clone()),
                none_for: String::new(),
            };
        }
        options.identity.clone_from(&access.identity);
        Self {
            client: Client::new(options),
            access,
        }
    }

    /// How it was reached.
    pub fn access(&self) -> &Access {
        &self.access
    }

    fn ask(
        &self,
        what: &str,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<(u16, Value), ApiError> {
        let url = format!("{}{path}", self.access.server);
        let bytes = body.map(|(kind, value)| (kind, value.to_string().into_bytes()));
        let call = Call {
            method,
            url: &url,
            authorization: self.access.authorization.as_ref().map(|it| it.0.as_str()),
            body: bytes
                .as_ref()
                .map(|(kind, bytes)| (*kind, bytes.as_slice())),
        };
        let reply = self.client.call(&call).map_err(ApiError::Unreachable)?;
        let value: Option<Value> = serde_json::from_slice(&reply.bytes).ok();
        let is_good = (200..300).contains(&reply.status);
        match value {
            Some(value) if is_good => Ok((reply.status, value)),
            value => {
                let message = value.as_ref().and_then(|value| value.get("message"));
                let message = message.and_then(Value::as_str);
                match (message, is_good) {
                    (None, true) => Err(ApiError::Answer {
                        what: what.to_owned(),
                    }),
                    (message, _) => Err(ApiError::Refused {
                        what: what.to_owned(),
                        status: reply.status,
                        message: message
                            .map_or_else(|| format!("status {}", reply.status), shortened),
                    }),
                }
            }
        }
    }

    /// What is at a path; nothing where there is none.
    ///
    /// # Errors
    /// It may not be read, or nobody answers.
    pub fn get(&self, what: &str, path: &str) -> Result<Option<Value>, ApiError> {
        match self.ask(what, "GET", path, None) {
            Ok((_, value)) => Ok(Some(value)),
            Err(ApiError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which Kubernetes it is, where it says.
    ///
    /// # Errors
    /// Nobody answers, or it is too old.
    pub fn version(&self) -> Result<Option<Version>, ApiError> {
        match self.get("reading the version", "/version") {
            Ok(Some(said)) => match Version::of_server(&said) {
                Ok(version) => Ok(Some(version)),
                Err(VersionError::Form(_)) => Ok(None),
                Err(error) => Err(ApiError::Version(error)),
            },
            // It is nobody's secret, and still some servers keep it.
            Ok(None) | Err(ApiError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies an object, whoever has made it; `dry` leaves everything as it is.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub fn apply(&self, object: &Object, dry: bool) -> Result<Value, ApiError> {
        let dry = if dry { "&dryRun=All" } else { "" };
        let path = format!(
            "{}?fieldManager={MANAGER}&fieldValidation=Strict{dry}",
            object.path
        );
        // JSON is YAML.
        let body = Some(("application/apply-patch+yaml", &object.body));
        let what = format!("applying {}", object.shown());
        Ok(self.ask(&what, "PATCH", &path, body)?.1)
    }

    /// Puts back one part of an object as it was.
    ///
    /// # Errors
    /// As [`Api::apply`].
    pub fn replace(&self, object: &Object, part: &str, value: &Value) -> Result<(), ApiError> {
        let patch = serde_json::json!([{"op": "replace", "path": part, "value": value}]);
        let path = format!("{}?fieldManager={MANAGER}", object.path);
        let what = format!("putting back {}", object.shown());
        let body = Some(("application/json-patch+json", &patch));
        self.ask(&what, "PATCH", &path, body).map(|_| ())
    }

    /// Deletes an object and what it owns; one that is gone is no error.
    ///
    /// # Errors
    /// As [`Api::apply`].
    pub fn delete(&self, object: &Object) -> Result<(), ApiError> {
        let what = format!("deleting {}", object.shown());
        let path = format!("{}?propagationPolicy=Background", object.path);
        match self.ask(&what, "DELETE", &path, None) {
            Ok(_) | Err(ApiError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where an object of ours is in the API, in a namespace unless it says one.
    ///
    /// # Errors
    /// It is of a kind that is not applied.
    pub fn object(node: &Node, namespace: &str) -> Result<Object, ApiError> {
        let text = |path: &[&str]| node.at(path).and_then(Node::text).unwrap_or_default();
        let (name, wanted) = (text(&["metadata", "name"]), text(&["kind"]));
        let known = KINDS.iter().find(|known| known.kind == wanted);
        let known = known.ok_or_else(|| ApiError::Kind(wanted.to_owned()))?;
        let namespace = match text(&["metadata", "namespace"]) {
            "" => namespace,
            own => own,
        };
        // The first group has no name, and a place of its own.
        let prefix = match text(&["apiVersion"]) {
            "v1" => "/api/v1".to_owned(),
            group => format!("/apis/{group}"),
        };
        let path = match known.in_namespace {
            true => format!("{prefix}/namespaces/{namespace}/{}/{name}", known.plural),
            false => format!("{prefix}/{}/{name}", known.plural),
        };
        Ok(Object {
            kind: wanted.to_owned(),
            name: name.to_owned(),
            path,
            body: node.json(),
        })
    }
}

/// A server's words, as many as fit a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 600;
    match text.chars().count() > MOST {
        true => text.chars().take(MOST).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
