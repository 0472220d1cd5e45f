//! Docker's two forms of one file: for `docker compose` on a machine, and for a
//! stack in a swarm.

use crate::application::{Application, quantity};
use crate::node::Node;
use crate::shipment::{Created, File, Shipment};
use crate::{list, map};

/// `compose.yaml`.
pub fn compose(application: &Application) -> Shipment {
    let name = &application.name;
    let mut service = shared(application);
    let ports = application.port.map(|port| list![format!("{port}:{port}")]);
    service.put(&["ports"], ports);
    service.put(&["restart"], "unless-stopped");
    service.put(&["security_opt"], list!["no-new-privileges:true"]);
    service.put(&["pids_limit"], 512);
    service.put(&["mem_limit"], memory(application));
    let scratch = application.scratch.iter();
    let scratch: Vec<Node> = scratch
        .map(|folder| format!("{folder}:size=64m,mode=1777").into())
        .collect();
    service.put(&["tmpfs"], (!scratch.is_empty()).then_some(scratch));
    let mut variables = variables(application);
    for secret in &application.secrets {
        // From the environment of whoever starts it: the file has the name alone.
        let text = format!("${{{0}:?the secret {0}}}", secret.variable);
        variables.put(&[&secret.variable], text);
    }
    service.put(&["environment"], filled(variables));
    let mut notes = without_check(application);
    if !application.secrets.is_empty() {
        notes.push("secrets come from the environment of `docker compose up`".to_owned());
    }
    let document = map! { "name" => name, "services" => map! { name => service } };
    Shipment {
        files: vec![File::text("compose.yaml", document.yaml())],
        creates: vec![Created::new(
            "service",
            name,
            "the program, started again when it fails",
        )],
        notes,
        next: vec!["docker compose up -d --wait".to_owned()],
    }
}

/// `stack.yaml`.
pub fn swarm(application: &Application) -> Shipment {
    let name = &application.name;
    let mut service = shared(application);
    let ports = application.port.map(|port| {
        list![
            map! { "target" => port, "published" => port, "protocol" => "tcp", "mode" => "ingress" }
        ]
    });
    service.put(&["ports"], ports);
    let scratch = application.scratch.iter();
    let scratch: Vec<Node> = scratch
        .map(|folder| {
            map! {
                "type" => "tmpfs",
                "target" => folder,
                "tmpfs" => map! { "size" => 64 << 20 },
            }
        })
        .collect();
    service.put(&["volumes"], (!scratch.is_empty()).then_some(scratch));
    let mut variables = variables(application);
    let mut secrets = Vec::new();
    let mut outside = map! {};
    for secret in &application.secrets {
        let variable = format!("{}_FILE", secret.variable);
        variables.put(&[&variable], format!("/run/secrets/{}", secret.from));
        secrets.push(Node::from(&secret.from));
        outside.put(&[&secret.from], map! { "external" => true });
    }
    service.put(&["environment"], filled(variables));
    service.put(&["secrets"], (!secrets.is_empty()).then_some(secrets));
    let update = |order: &str, failure: &str| {
        map! {
            "parallelism" => 1,
            "order" => order,
            "failure_action" => failure,
            "monitor" => "10s",
        }
    };
    let architectures = application.architectures();
    let machine = match architectures[..] {
        ["amd64"] => Some("x86_64"),
        ["arm64"] => Some("aarch64"),
        // Several cannot be asked for by one constraint.
        _ => None,
    };
    let mut constraints = vec!["node.platform.os == linux".to_owned()];
    constraints.extend(machine.map(|machine| format!("node.platform.arch == {machine}")));
    let cpu = application.resources.cpu_millis;
    let deploy = map! {
        "replicas" => application.replicas,
        // One more first, then one less.
        "update_config" => update("start-first", "rollback"),
        "rollback_config" => update("start-first", "pause"),
        "restart_policy" => map! { "condition" => "any", "delay" => "1s" },
        "placement" => map! {
            "constraints" => constraints,
            "preferences" => list![map! { "spread" => "node.id" }],
        },
        "resources" => map! {
            "limits" => map! { "memory" => memory(application), "pids" => 512 },
            "reservations" => map! {
                "cpus" => format!("{}.{:03}", cpu / 1000, cpu % 1000),
                "memory" => request(application),
            },
        },
    };
    service.put(&["deploy"], deploy);
    let mut notes = without_check(application);
    if !application.secrets.is_empty() {
        notes.push(
            "a secret comes as a file whose name is in NAME_FILE; make it by `docker secret create`"
                .to_owned(),
        );
    }
    let document = map! {
        "version" => "3.9",
        "services" => map! { name => service },
        "secrets" => filled(outside),
    };
    Shipment {
        files: vec![File::text("stack.yaml", document.yaml())],
        creates: vec![Created::new(
            "service",
            name,
            "replicas, replaced without a gap",
        )],
        notes,
        next: vec![format!(
            "docker stack deploy --compose-file stack.yaml {name}"
        )],
    }
}

/// What both forms have.
fn shared(application: &Application) -> Node {
    let check = application.health_command.as_ref().map(|words| {
        // A list, or docker would look for a shell.
        let words = ["CMD".to_owned()]
            .into_iter()
            .chain(words.iter().map(|it| dollars(it)));
        map! {
            "test" => words.collect::<Vec<_>>(),
            "interval" => "10s",
            "timeout" => "2s",
            "retries" => 3,
            "start_period" => "5s",
        }
    });
    let low_port = application.port.is_some_and(|port| port < 1024);
    map! {
        "image" => application.reference(),
        "user" => format!("{}:{}", application.user, application.group),
        "read_only" => true,
        "cap_drop" => list!["ALL"],
        "init" => false,
        "sysctls" => low_port.then(|| map! { "net.ipv4.ip_unprivileged_port_start" => "0" }),
        "stop_grace_period" => format!("{}s", application.stop_seconds + 5),
        "healthcheck" => check,
        "logging" => map! {
            "driver" => "json-file",
            "options" => map! { "max-size" => "10m", "max-file" => "3" },
        },
    }
}

fn variables(application: &Application) -> Node {
    let given = application.environment.iter();
    let given = given.map(|(name, value)| (name.clone(), dollars(value).into()));
    Node::Map(given.collect())
}

fn filled(map: Node) -> Node {
    match map {
        Node::Map(entries) if entries.is_empty() => Node::Absent,
        map => map,
    }
}

/// Dollars begin a variable in these files; doubled they are themselves.
fn dollars(text: &str) -> String {
    text.replace('$', "$$")
}

fn memory(application: &Application) -> String {
    docker_bytes(application.resources.memory_limit_bytes)
}

fn request(application: &Application) -> String {
    docker_bytes(application.resources.memory_request_bytes)
}

fn docker_bytes(bytes: u64) -> String {
    quantity(bytes).replace("Mi", "M")
}

fn without_check(application: &Application) -> Vec<String> {
    let lacks = application.port.is_some() && application.health_command.is_none();
    let note = "no health check: the program has none of its own (--health-command), and docker's \
                others want a shell";
    lacks.then(|| note.to_owned()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;

    fn full() -> Application {
        let mut shop = shop();
        shop.environment
            .push(("PRICE".to_owned(), "5 $".to_owned()));
        shop.secrets = vec![SecretVariable {
            variable: "TOKEN".to_owned(),
            from: "queue".to_owned(),
            key: None,
        }];
        shop.scratch = vec!["/tmp".to_owned()];
        shop
    }

    #[test]
    fn compose_file_is_as_before() {
        insta::assert_snapshot!(compose(&full()).files[0].as_text().unwrap());
    }

    #[test]
    fn stack_is_as_before() {
        insta::assert_snapshot!(swarm(&full()).files[0].as_text().unwrap());
    }
}
