//! A unit of podman's quadlet: podman runs the image, systemd keeps it.

use std::fmt::Write as _;

use crate::application::{Application, quantity};
use crate::shipment::{Created, File, Shipment};
use crate::systemd::{plain, word};

/// `NAME.container`, for podman 4.5 and later.
pub fn ship(application: &Application) -> Shipment {
    let name = &application.name;
    let mut notes = Vec::new();
    if application.port.is_some() && application.health_command.is_none() {
        notes.push(
            "no health check: the program has none of its own (--health-command), and podman's \
             others want a shell"
                .to_owned(),
        );
    }
    let next = vec![
        format!("cp {name}.container ~/.config/containers/systemd/"),
        format!("systemctl --user daemon-reload && systemctl --user start {name}"),
        "as root: /etc/containers/systemd, without --user".to_owned(),
    ];
    Shipment {
        files: vec![File::text(format!("{name}.container"), unit(application))],
        creates: vec![Created::new(
            "unit",
            format!("{name}.service"),
            "podman runs the image, systemd keeps it",
        )],
        notes,
        next,
    }
}

fn unit(application: &Application) -> String {
    let mut unit = format!(
        "[Unit]\nDescription={} {}\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Container]\nImage={}\nContainerName={}\n",
        plain(&application.name),
        plain(&application.version),
        application.reference(),
        application.name
    );
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(unit, "{key}={value}");
    };
    line("User", &application.user.to_string());
    line("Group", &application.group.to_string());
    line("ReadOnly", "true");
    line("NoNewPrivileges", "true");
    line("DropCapability", "all");
    if let Some(port) = application.port {
        line("PublishPort", &format!("{port}:{port}"));
        if port < 1024 {
            line(
                "PodmanArgs",
                "--sysctl=net.ipv4.ip_unprivileged_port_start=0",
            );
        }
    }
    for (variable, value) in &application.environment {
        // The generator makes a command line of it, in which systemd expands.
        let value = value.replace('$', "$$");
        line("Environment", &word(&format!("{variable}={value}")));
    }
    for secret in &application.secrets {
        let (from, variable) = (&secret.from, &secret.variable);
        line("Secret", &format!("{from},type=env,target={variable}"));
    }
    for folder in &application.scratch {
        line("Tmpfs", &word(&format!("{folder}:size=64m,mode=1777")));
    }
    if let Some(words) = &application.health_command {
        // A list of two and more is executed as it is; one word would be a shell's,
        // unless it says that it is none (podman's `makeHealthCheckFromCli`).
        let text = match &words[..] {
            [only] => format!("CMD {only}"),
            words => serde_json::Value::from(words.to_vec()).to_string(),
        };
        line("HealthCmd", &plain(&text).replace('$', "$$"));
        line("HealthInterval", "10s");
        line("HealthTimeout", "2s");
        line("HealthRetries", "3");
        line("HealthStartPeriod", "5s");
    }
    let memory = quantity(application.resources.memory_limit_bytes).replace("Mi", "m");
    line("PodmanArgs", &format!("--memory={memory} --pids-limit=512"));
    line(
        "PodmanArgs",
        &format!("--stop-timeout={}", application.stop_seconds),
    );
    let _ = write!(
        unit,
        "\n[Service]\nRestart=always\nTimeoutStartSec=120\nTimeoutStopSec={}\n\n[Install]\n\
         WantedBy=multi-user.target default.target\n",
        application.stop_seconds + 10
    );
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;

    #[test]
    fn unit_is_as_before() {
        let mut shop = shop();
        shop.environment
            .push(("MOTTO".to_owned(), "100 % \"good\" ${HOME}".to_owned()));
        shop.secrets = vec![SecretVariable {
            variable: "TOKEN".to_owned(),
            from: "queue".to_owned(),
            key: None,
        }];
        shop.scratch = vec!["/tmp".to_owned()];
        let shipment = ship(&shop);
        insta::assert_snapshot!(shipment.files[0].as_text().unwrap());
    }
}
