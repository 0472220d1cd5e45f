//! A job file of Nomad's, for its docker driver.

use crate::application::Application;
use crate::hcl::{Block, file};
use crate::list;
use crate::node::Node;
use crate::shipment::{Created, File, Shipment};

/// Seconds in which whoever looks services up learns that one ends.
const SETTLE_SECONDS: u32 = 5;

/// `NAME.nomad.hcl`.
pub fn ship(application: &Application) -> Shipment {
    let name = &application.name;
    let mut notes = Vec::new();
    if !application.secrets.is_empty() {
        notes.push(format!(
            "secrets are read from the variables nomad/jobs/{name}/SECRET"
        ));
    }
    Shipment {
        files: vec![File::text(
            format!("{name}.nomad.hcl"),
            file(&[job(application)]),
        )],
        creates: vec![Created::new(
            "job",
            name,
            "replicas, taken back if they do not come up",
        )],
        notes,
        next: vec![format!("nomad job plan {name}.nomad.hcl")],
    }
}

fn job(application: &Application) -> Block {
    let name = application.name.as_str();
    let update = Block::new("update", &[])
        .set("max_parallel", 1)
        .set("min_healthy_time", "5s")
        .set("healthy_deadline", "2m")
        .set("progress_deadline", "5m")
        .set("auto_revert", true);
    let architectures = Block::new("constraint", &[])
        .raw("attribute", "\"${attr.cpu.arch}\"")
        .set("operator", "set_contains_any")
        .set("value", application.architectures().join(","));
    let linux = Block::new("constraint", &[])
        .raw("attribute", "\"${attr.kernel.name}\"")
        .set("value", "linux");
    Block::new("job", &[name])
        .set("type", "service")
        .set("datacenters", list!["*"])
        .with(linux)
        .with(architectures)
        .with(update)
        .with(group(application))
}

fn group(application: &Application) -> Block {
    let name = application.name.as_str();
    let mut group = Block::new("group", &[name])
        .set("count", application.replicas)
        .with(Block::new("spread", &[]).raw("attribute", "\"${node.unique.id}\""));
    if let Some(port) = application.port {
        let check = match &application.health_path {
            Some(path) => Block::new("check", &[])
                .set("type", "http")
                .set("path", path),
            None => Block::new("check", &[]).set("type", "tcp"),
        };
        let check = check.set("interval", "10s").set("timeout", "2s");
        group = group
            .set("shutdown_delay", format!("{SETTLE_SECONDS}s"))
            .with(Block::new("network", &[]).with(Block::new("port", &["http"]).set("to", port)))
            .with(
                Block::new("service", &[])
                    .set("name", name)
                    .set("provider", "nomad")
                    .set("port", "http")
                    .with(check),
            );
    }
    group.with(task(application))
}

fn task(application: &Application) -> Block {
    let resources = application.resources;
    let mib = |bytes: u64| i64::try_from(bytes.div_ceil(1 << 20)).unwrap_or(i64::MAX);
    let mounts = application.scratch.iter().map(|folder| {
        Block::new("mount", &[])
            .set("type", "tmpfs")
            .set("target", folder)
            .with(Block::new("tmpfs_options", &[]).set("size", 64 << 20))
    });
    let config = Block::new("config", &[])
        .set("image", application.reference())
        .set("ports", application.port.map(|_| list!["http"]))
        .set("readonly_rootfs", true)
        .set("cap_drop", list!["all"])
        .set("security_opt", list!["no-new-privileges"])
        .set("pids_limit", 512);
    let config = mounts.fold(config, Block::with);
    let variables = application.environment.iter();
    let variables: Vec<(String, Node)> = variables
        .map(|(variable, value)| (variable.clone(), value.into()))
        .collect();
    let environment = (!variables.is_empty()).then(|| {
        let block = Block::new("env", &[]);
        variables
            .into_iter()
            .fold(block, |block, (variable, value)| {
                block.set(&variable, value)
            })
    });
    let secrets = application.secrets.iter().map(|secret| {
        let key = secret.key.as_deref().unwrap_or(&secret.variable);
        let data = format!(
            "{}={{{{ with nomadVar \"nomad/jobs/{}/{}\" }}}}{{{{ index . \"{key}\" }}}}{{{{ end }}}}\n",
            secret.variable, application.name, secret.from
        );
        Block::new("template", &[])
            .set("data", data)
            .set("destination", format!("secrets/{}.env", secret.variable))
            .set("env", true)
    });
    let task = Block::new("task", &[&application.name])
        .set("driver", "docker")
        .set(
            "user",
            format!("{}:{}", application.user, application.group),
        )
        .set("kill_timeout", format!("{}s", application.stop_seconds + 5))
        .with(config)
        .with(environment);
    secrets.fold(task, Block::with).with(
        Block::new("resources", &[])
            // Megahertz; a thousandth of a processor is taken for one.
            .set("cpu", resources.cpu_millis)
            .set("memory", mib(resources.memory_request_bytes))
            .set("memory_max", mib(resources.memory_limit_bytes)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;

    #[test]
    fn job_is_as_before() {
        let mut shop = shop();
        shop.environment
            .push(("PRICE".to_owned(), "${NOT_YOURS}".to_owned()));
        shop.secrets = vec![SecretVariable {
            variable: "TOKEN".to_owned(),
            from: "queue".to_owned(),
            key: Some("token".to_owned()),
        }];
        shop.scratch = vec!["/tmp".to_owned()];
        insta::assert_snapshot!(ship(&shop).files[0].as_text().unwrap());
    }
}
