//! Amazon ECS on Fargate: a task definition, and the service around it as
//! CloudFormation and as Terraform.
//!
//! The root is read-only, every capability is dropped, the health check is the
//! program's own (`CMD`, since there is no shell for `CMD-SHELL`), and a
//! deployment that does not come up is taken back by the circuit breaker.

mod parts;
mod size;
mod template;
mod terraform;

use crate::application::Application;
use crate::shipment::{Created, File, Shipment};
use parts::{LONGEST_STOP, Parts};
pub use size::{EcsError, Size, architecture, size};

/// Template, Terraform files, and the task definition by itself, whose log is in
/// `region` (the others ask where they are).
///
/// # Errors
/// ECS cannot run it.
pub fn ship(application: &Application, region: &str) -> Result<Shipment, EcsError> {
    for secret in &application.secrets {
        if !secret.from.starts_with("arn:") {
            return Err(EcsError::Secret {
                variable: secret.variable.clone(),
                from: secret.from.clone(),
            });
        }
    }
    let parts = Parts {
        application,
        region,
        size: size(
            application.resources.cpu_millis,
            application.resources.memory_limit_bytes,
        )?,
        architecture: architecture(application)?.0,
    };
    let name = &application.name;
    let created = |kind: &str, purpose: &str| Created::new(kind, name, purpose);
    let mut creates = vec![
        created("AWS::ECS::TaskDefinition", "what one task is"),
        created(
            "AWS::ECS::Service",
            "as many tasks as wanted, replaced without a gap",
        ),
        created("AWS::Logs::LogGroup", "what they say, for 30 days"),
        created(
            "AWS::IAM::Role",
            "execution: fetches the image, writes the log",
        ),
        created("AWS::IAM::Role", "task: may do nothing"),
        created("AWS::EC2::SecurityGroup", "who may reach it"),
    ];
    if parts.scales() {
        creates.push(created(
            "AWS::ApplicationAutoScaling::ScalableTarget",
            "more tasks under load",
        ));
        creates.push(created(
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            "at 80 % of the processor",
        ));
    }
    let mut notes = Vec::new();
    if application.health_command.is_none() {
        notes.push(
            "no health check: the program has none of its own (--health-command), and there is \
             no shell to run another"
                .to_owned(),
        );
    }
    let is_ecr = application
        .image
        .as_ref()
        .is_some_and(|image| image.host().contains(".dkr.ecr."));
    if !is_ecr {
        notes.push(
            "the image is in no ECR registry: Fargate reads others only if they are public, or \
             with repositoryCredentials"
                .to_owned(),
        );
    }
    if application.stop_seconds > LONGEST_STOP {
        notes.push(format!(
            "Fargate waits at most {LONGEST_STOP} s for an end, not {}",
            application.stop_seconds
        ));
    }
    Ok(Shipment {
        files: vec![
            File::text("template.yaml", template::template(&parts).yaml()),
            File::beside("task-definition.json", parts.task_definition().json_text()),
            File::beside("main.tf", terraform::main(&parts)),
            File::beside("variables.tf", terraform::variables(&parts)),
        ],
        creates,
        notes,
        next: vec![
            format!(
                "aws cloudformation deploy --stack-name {name} --template-file template.yaml \
                 --capabilities CAPABILITY_IAM --parameter-overrides Cluster=… Vpc=… Subnets=…"
            ),
            "terraform init && terraform apply".to_owned(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;
    use ounce_oci::Platform;

    #[test]
    fn template_and_terraform_of_a_service_are_as_before() {
        let mut shop = shop();
        shop.secrets = vec![SecretVariable {
            variable: "DB_PASSWORD".to_owned(),
            from: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-Ab12".to_owned(),
            key: Some("password".to_owned()),
        }];
        shop.scratch = vec!["/tmp".to_owned()];
        let shipment = ship(&shop, "eu-west-1").unwrap();
        let text: String = shipment
            .files
            .iter()
            .map(|file| format!("# {}\n{}\n", file.path, file.as_text().unwrap()))
            .collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn image_for_another_processor_is_refused() {
        let mut shop = shop();
        shop.platforms = vec!["linux/riscv64".parse::<Platform>().unwrap()];
        assert_eq!(
            ship(&shop, "eu-west-1").unwrap_err(),
            EcsError::Architecture("linux/riscv64".to_owned())
        );
        shop.platforms.push("linux/arm64".parse().unwrap());
        assert_eq!(architecture(&shop), Ok(("ARM64", "arm64")));
    }
}
