//! Each object, as a tree. What a chart leaves open comes in as a leaf.

use super::options::{Egress, Options};
use super::version::Feature;
use crate::application::{Application, quantity};
use crate::node::Node;
use crate::{list, map};

/// Seconds in which load balancers learn that a replica ends, before it is told:
/// a request that is on its way meanwhile finds somebody.
const SETTLE_SECONDS: u32 = 5;
/// Seconds beyond that and its own stop until it is killed.
const SPARE_SECONDS: u32 = 5;
/// The control plane's own field owner and label.
const MANAGER: &str = "ounce";

/// What a chart has in its values, and plain manifests have written out.
pub(super) struct Leaves {
    pub(super) name: Node,
    pub(super) image: Node,
    pub(super) version: Node,
    pub(super) managed_by: Node,
    pub(super) least: Node,
    pub(super) most: Node,
    pub(super) cpu: Node,
    pub(super) memory_request: Node,
    pub(super) memory_limit: Node,
    pub(super) host: Node,
    pub(super) namespace: Node,
}

impl Leaves {
    /// All written out.
    pub(super) fn plain(application: &Application, options: &Options) -> Self {
        let resources = application.resources;
        Self {
            name: (&application.name).into(),
            image: application.reference().into(),
            version: label_value(&application.version).into(),
            managed_by: MANAGER.into(),
            least: application.replicas.into(),
            most: application.most_replicas.into(),
            cpu: format!("{}m", resources.cpu_millis).into(),
            memory_request: quantity(resources.memory_request_bytes).into(),
            memory_limit: quantity(resources.memory_limit_bytes).into(),
            host: options.host.clone().into(),
            namespace: options.namespace.clone().into(),
        }
    }
}

/// What a label's value may hold (63 letters, digits, `-_.`, the outer ones
/// alphanumeric).
fn label_value(text: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "-_.".contains(c) => c,
        _ => '-',
    };
    let value: String = text.chars().map(plain).take(63).collect();
    value
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

/// All of them, in the order in which they are to be applied.
pub(super) fn all(application: &Application, options: &Options, leaves: &Leaves) -> Vec<Node> {
    let new = Maker {
        application,
        options,
        leaves,
    };
    let mut objects = vec![new.account()];
    objects.extend(
        options
            .runtime_class
            .as_deref()
            .map(|name| new.runtime_class(name)),
    );
    objects.push(new.network_policy());
    objects.extend(application.port.map(|port| new.service(port)));
    objects.push(new.deployment());
    objects.push(new.disruption_budget());
    if application.most_replicas > application.replicas {
        objects.push(new.autoscaler());
    }
    if application.port.is_some() {
        match &options.gateway {
            Some(gateway) => objects.push(new.route(gateway)),
            None if options.host.is_some() => objects.push(new.ingress()),
            None => {}
        }
    }
    objects
}

struct Maker<'a> {
    application: &'a Application,
    options: &'a Options,
    leaves: &'a Leaves,
}

impl Maker<'_> {
    fn object(&self, version: &str, kind: &str, body: Vec<(&str, Node)>) -> Node {
        let mut object = map! {
            "apiVersion" => version,
            "kind" => kind,
            "metadata" => map! {
                "name" => self.leaves.name.clone(),
                "namespace" => self.leaves.namespace.clone(),
                "labels" => self.labels(),
            },
        };
        for (name, value) in body {
            object.put(&[name], value);
        }
        object
    }

    fn has(&self, feature: Feature) -> bool {
        feature.is_of(self.options.version)
    }

    /// Which pods are meant; never changed, since a Deployment's selector cannot be.
    fn selector(&self) -> Node {
        map! {
            "app.kubernetes.io/name" => &self.application.name,
            "app.kubernetes.io/instance" => self.leaves.name.clone(),
        }
    }

    fn labels(&self) -> Node {
        let mut labels = self.selector();
        labels.put(&["app.kubernetes.io/version"], self.leaves.version.clone());
        labels.put(
            &["app.kubernetes.io/managed-by"],
            self.leaves.managed_by.clone(),
        );
        labels
    }

    fn account(&self) -> Node {
        self.object(
            "v1",
            "ServiceAccount",
            vec![("automountServiceAccountToken", false.into())],
        )
    }

    fn runtime_class(&self, name: &str) -> Node {
        // One for the whole cluster: it has no namespace, and no application's labels.
        map! {
            "apiVersion" => "node.k8s.io/v1",
            "kind" => "RuntimeClass",
            "metadata" => map! { "name" => name },
            "handler" => name,
        }
    }

    fn service(&self, port: u16) -> Node {
        let spec = map! {
            "type" => "ClusterIP",
            "selector" => self.selector(),
            "ports" => list![map! {
                "name" => "http",
                "port" => if port == 443 { 443 } else { 80 },
                "targetPort" => "http",
                "protocol" => "TCP",
            }],
        };
        self.object("v1", "Service", vec![("spec", spec)])
    }

    fn deployment(&self) -> Node {
        let application = self.application;
        // The autoscaler's word, where there is one, not the file's.
        let replicas = match application.most_replicas > application.replicas {
            true => Node::Absent,
            false => self.leaves.least.clone(),
        };
        let spec = map! {
            "replicas" => replicas,
            "revisionHistoryLimit" => 5,
            "progressDeadlineSeconds" => 120,
            "selector" => map! { "matchLabels" => self.selector() },
            "strategy" => map! {
                "type" => "RollingUpdate",
                // One more first, then one less: there are never too few.
                "rollingUpdate" => map! { "maxSurge" => 1, "maxUnavailable" => 0 },
            },
            "template" => map! {
                "metadata" => map! { "labels" => self.labels() },
                "spec" => self.pod(),
            },
        };
        self.object("apps/v1", "Deployment", vec![("spec", spec)])
    }

    fn pod(&self) -> Node {
        let application = self.application;
        let settle = if application.port.is_some() {
            SETTLE_SECONDS
        } else {
            0
        };
        let spread = |key: &str| {
            map! {
                "maxSkew" => 1,
                "topologyKey" => key,
                "whenUnsatisfiable" => "ScheduleAnyway",
                "labelSelector" => map! { "matchLabels" => self.selector() },
                // Old replicas that are about to end do not count.
                "matchLabelKeys" => self.has(Feature::Eviction).then(|| list!["pod-template-hash"]),
            }
        };
        // A program of another user than root may listen there only so; the
        // restricted standard counts this setting among the safe ones.
        let low_port = application.port.is_some_and(|port| port < 1024);
        let low_port = low_port && self.has(Feature::LowPorts);
        let sysctls = low_port.then(|| {
            list![map! { "name" => "net.ipv4.ip_unprivileged_port_start", "value" => "0" }]
        });
        let volumes: Vec<Node> = application
            .scratch
            .iter()
            .enumerate()
            .map(|(at, _)| {
                map! {
                    "name" => format!("scratch-{at}"),
                    "emptyDir" => map! { "medium" => "Memory", "sizeLimit" => "64Mi" },
                }
            })
            .collect();
        map! {
            "serviceAccountName" => self.leaves.name.clone(),
            "automountServiceAccountToken" => false,
            "enableServiceLinks" => false,
            "runtimeClassName" => self.options.runtime_class.clone(),
            "terminationGracePeriodSeconds" => settle + application.stop_seconds + SPARE_SECONDS,
            "securityContext" => map! {
                "runAsNonRoot" => true,
                "runAsUser" => application.user,
                "runAsGroup" => application.group,
                "seccompProfile" => map! { "type" => "RuntimeDefault" },
                "sysctls" => sysctls,
            },
            "affinity" => self.affinity(),
            "topologySpreadConstraints" =>
                list![spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")],
            "containers" => list![self.container(settle)],
            "volumes" => (!volumes.is_empty()).then_some(volumes),
        }
    }

    /// Only nodes for which there is an image.
    fn affinity(&self) -> Node {
        let of = |key: &str, values: Vec<&str>| {
            map! { "key" => key, "operator" => "In", "values" => values }
        };
        map! { "nodeAffinity" => map! {
            "requiredDuringSchedulingIgnoredDuringExecution" => map! {
                "nodeSelectorTerms" => list![map! { "matchExpressions" => list![
                    of("kubernetes.io/os", vec!["linux"]),
                    of("kubernetes.io/arch", self.application.architectures()),
                ] }],
            },
        } }
    }

    fn container(&self, settle: u32) -> Node {
        let application = self.application;
        let port = application.port.map(|port| {
            list![map! { "name" => "http", "containerPort" => port, "protocol" => "TCP" }]
        });
        let given = application.environment.iter();
        let given = given.map(|(name, value)| map! { "name" => name, "value" => value });
        let kept = application.secrets.iter().map(|secret| {
            map! {
                "name" => &secret.variable,
                "valueFrom" => map! { "secretKeyRef" => map! {
                    "name" => &secret.from,
                    "key" => secret.key.as_ref().unwrap_or(&secret.variable),
                } },
            }
        });
        let variables: Vec<Node> = given.chain(kept).collect();
        let mounts: Vec<Node> = application
            .scratch
            .iter()
            .enumerate()
            .map(|(at, path)| map! { "name" => format!("scratch-{at}"), "mountPath" => path })
            .collect();
        let pause = match &self.options.pause_command {
            _ if settle == 0 => None,
            Some(words) => Some(map! { "exec" => map! { "command" => words.clone() } }),
            // The kubelet's own pause: there is no `sleep` in the image.
            None if self.has(Feature::Sleep) => {
                Some(map! { "sleep" => map! { "seconds" => settle } })
            }
            None => None,
        };
        let pause = pause.map(|how| map! { "preStop" => how });
        map! {
            "name" => &application.name,
            "image" => self.leaves.image.clone(),
            // A digest cannot come to mean something else.
            "imagePullPolicy" => "IfNotPresent",
            "ports" => port,
            "env" => (!variables.is_empty()).then_some(variables),
            "resources" => map! {
                "requests" => map! {
                    "cpu" => self.leaves.cpu.clone(),
                    "memory" => self.leaves.memory_request.clone(),
                },
                "limits" => map! { "memory" => self.leaves.memory_limit.clone() },
            },
            "startupProbe" => self.probe(1, 30),
            "readinessProbe" => self.probe(5, 2),
            "livenessProbe" => self.probe(10, 3),
            "lifecycle" => pause,
            "securityContext" => map! {
                "allowPrivilegeEscalation" => false,
                "readOnlyRootFilesystem" => true,
                "privileged" => false,
                "capabilities" => map! { "drop" => list!["ALL"] },
            },
            "volumeMounts" => (!mounts.is_empty()).then_some(mounts),
        }
    }

    /// Asks by HTTP where there is a path, else whether the port is open, else by
    /// the program itself: never by a shell.
    fn probe(&self, period: u32, failures: u32) -> Node {
        let application = self.application;
        let (kind, how) = match (&application.port, &application.health_path) {
            // The scheme is the server's default, and said all the same: what it adds by
            // itself it keeps when the rest goes, and then there are two kinds of check.
            (Some(_), Some(path)) => (
                "httpGet",
                map! { "path" => path, "port" => "http", "scheme" => "HTTP" },
            ),
            (Some(_), None) => ("tcpSocket", map! { "port" => "http" }),
            (None, _) => match &application.health_command {
                Some(words) => ("exec", map! { "command" => words.clone() }),
                None => return Node::Absent,
            },
        };
        map! {
            kind => how,
            "periodSeconds" => period,
            "timeoutSeconds" => 2,
            "failureThreshold" => failures,
        }
    }

    fn disruption_budget(&self) -> Node {
        let spec = map! {
            "maxUnavailable" => 1,
            "selector" => map! { "matchLabels" => self.selector() },
            // One that does not answer anyhow is in nobody's way.
            "unhealthyPodEvictionPolicy" => self.has(Feature::Eviction).then_some("AlwaysAllow"),
        };
        let group = match self.has(Feature::Policy) {
            true => "policy/v1",
            false => "policy/v1beta1",
        };
        self.object(group, "PodDisruptionBudget", vec![("spec", spec)])
    }

    fn autoscaler(&self) -> Node {
        let spec = map! {
            "scaleTargetRef" => map! {
                "apiVersion" => "apps/v1",
                "kind" => "Deployment",
                "name" => self.leaves.name.clone(),
            },
            "minReplicas" => self.leaves.least.clone(),
            "maxReplicas" => self.leaves.most.clone(),
            "metrics" => list![map! {
                "type" => "Resource",
                "resource" => map! {
                    "name" => "cpu",
                    "target" => map! { "type" => "Utilization", "averageUtilization" => 80 },
                },
            }],
        };
        let group = match self.has(Feature::Autoscaling) {
            true => "autoscaling/v2",
            false => "autoscaling/v2beta2",
        };
        self.object(group, "HorizontalPodAutoscaler", vec![("spec", spec)])
    }

    fn network_policy(&self) -> Node {
        let port = |protocol: &str, port: u16| map! { "protocol" => protocol, "port" => port };
        let ingress = match self.application.port {
            Some(own) => list![map! { "ports" => list![port("TCP", own)] }],
            None => list![],
        };
        let system = match self.has(Feature::Policy) {
            true => map! { "kubernetes.io/metadata.name" => "kube-system" },
            // A namespace bears no label that anybody could count on: all of them.
            false => map! {},
        };
        let names = map! {
            "to" => list![
                map! { "namespaceSelector" => map! { "matchLabels" => system } },
                // Where a node's own cache of names listens, if it has one.
                map! { "ipBlock" => map! { "cidr" => "169.254.20.10/32" } },
            ],
            "ports" => list![port("UDP", 53), port("TCP", 53)],
        };
        let egress = match &self.options.egress {
            Egress::Any => list![map! {}],
            Egress::Names => list![names],
            Egress::To(peers) => {
                let peers = peers.iter().map(|peer| {
                    map! {
                        "to" => list![map! { "ipBlock" => map! { "cidr" => &peer.cidr } }],
                        "ports" => peer.port.map(|own| list![port("TCP", own)]),
                    }
                });
                Node::List([names].into_iter().chain(peers).collect())
            }
        };
        let spec = map! {
            "podSelector" => map! { "matchLabels" => self.selector() },
            "policyTypes" => list!["Ingress", "Egress"],
            "ingress" => ingress,
            "egress" => egress,
        };
        self.object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            vec![("spec", spec)],
        )
    }

    fn ingress(&self) -> Node {
        let tls = self.options.tls_secret.as_ref().map(|secret| {
            list![map! { "hosts" => list![self.leaves.host.clone()], "secretName" => secret }]
        });
        let spec = map! {
            "ingressClassName" => self.options.ingress_class.clone(),
            "tls" => tls,
            "rules" => list![map! {
                "host" => self.leaves.host.clone(),
                "http" => map! { "paths" => list![map! {
                    "path" => "/",
                    "pathType" => "Prefix",
                    "backend" => map! { "service" => map! {
                        "name" => self.leaves.name.clone(),
                        "port" => map! { "name" => "http" },
                    } },
                }] },
            }],
        };
        self.object("networking.k8s.io/v1", "Ingress", vec![("spec", spec)])
    }

    fn route(&self, gateway: &str) -> Node {
        let (namespace, name) = match gateway.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, gateway),
        };
        let hosts = match &self.leaves.host {
            Node::Absent => Node::Absent,
            host => list![host.clone()],
        };
        let port = if self.application.port == Some(443) {
            443
        } else {
            80
        };
        let spec = map! {
            "parentRefs" => list![map! { "name" => name, "namespace" => namespace }],
            "hostnames" => hosts,
            "rules" => list![map! {
                "matches" => list![map! {
                    "path" => map! { "type" => "PathPrefix", "value" => "/" },
                }],
                "backendRefs" => list![map! {
                    "name" => self.leaves.name.clone(),
                    "port" => port,
                }],
            }],
        };
        self.object(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            vec![("spec", spec)],
        )
    }
}
