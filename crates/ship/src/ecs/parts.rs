//! What the template, Terraform's files and the bare task definition have in
//! common: the container, and who may do what.

use super::size::Size;
use crate::application::Application;
use crate::node::Node;
use crate::{list, map};

/// How long logs are kept.
pub(super) const LOG_DAYS: u32 = 30;
/// The longest that Fargate waits for an end.
pub(super) const LONGEST_STOP: u32 = 120;

/// What all forms are made of.
pub(super) struct Parts<'a> {
    pub(super) application: &'a Application,
    pub(super) region: &'a str,
    pub(super) size: Size,
    pub(super) architecture: &'static str,
}

impl Parts<'_> {
    pub(super) fn scales(&self) -> bool {
        self.application.most_replicas > self.application.replicas
    }

    fn stop_seconds(&self) -> u32 {
        self.application.stop_seconds.clamp(2, LONGEST_STOP)
    }

    /// MiB of the container: all the task has, so that its own limit is the task's.
    fn memory_mib(&self) -> u32 {
        self.size.memory_mib
    }

    /// The container, with `logs` as its log's options; CloudFormation and the API
    /// name the same things with capital and with small letters.
    pub(super) fn container(&self, logs: Node) -> Node {
        let application = self.application;
        let ports = application.port.map(|port| {
            list![map! {
                "name" => "http",
                "containerPort" => port,
                "protocol" => "tcp",
                "appProtocol" => "http",
            }]
        });
        let given = application.environment.iter();
        let given: Vec<Node> = given
            .map(|(name, value)| map! { "name" => name, "value" => value })
            .collect();
        let kept = application.secrets.iter();
        let kept: Vec<Node> = kept
            .map(|secret| {
                let from = match &secret.key {
                    // A field of a JSON secret, as ECS writes it.
                    Some(key) => format!("{}:{key}::", secret.from),
                    None => secret.from.clone(),
                };
                map! { "name" => &secret.variable, "valueFrom" => from }
            })
            .collect();
        let check = application.health_command.as_ref().map(|words| {
            let command = [&["CMD".to_owned()][..], words].concat();
            map! {
                "command" => command,
                "interval" => 10,
                "timeout" => 2,
                "retries" => 3,
                "startPeriod" => 5,
            }
        });
        let mounts: Vec<Node> = application
            .scratch
            .iter()
            .enumerate()
            .map(|(at, path)| {
                map! { "sourceVolume" => format!("scratch-{at}"), "containerPath" => path }
            })
            .collect();
        map! {
            "name" => &application.name,
            "image" => application.reference(),
            "essential" => true,
            "memory" => self.memory_mib(),
            "user" => format!("{}:{}", application.user, application.group),
            "readonlyRootFilesystem" => true,
            "linuxParameters" => map! {
                "capabilities" => map! { "drop" => list!["ALL"] },
                "initProcessEnabled" => false,
            },
            "portMappings" => ports,
            "environment" => (!given.is_empty()).then_some(given),
            "secrets" => (!kept.is_empty()).then_some(kept),
            "mountPoints" => (!mounts.is_empty()).then_some(mounts),
            "healthCheck" => check,
            "stopTimeout" => self.stop_seconds(),
            "logConfiguration" => map! { "logDriver" => "awslogs", "options" => logs },
        }
    }

    pub(super) fn volumes(&self) -> Option<Vec<Node>> {
        let count = self.application.scratch.len();
        let volumes = (0..count).map(|at| map! { "name" => format!("scratch-{at}") });
        (count > 0).then(|| volumes.collect())
    }

    /// As `aws ecs register-task-definition --cli-input-json` takes it; the roles
    /// are what the template makes.
    pub(super) fn task_definition(&self) -> Node {
        let name = &self.application.name;
        let logs = map! {
            "awslogs-group" => format!("/ecs/{name}"),
            "awslogs-region" => self.region,
            "awslogs-stream-prefix" => name,
        };
        map! {
            "family" => name,
            "requiresCompatibilities" => list!["FARGATE"],
            "networkMode" => "awsvpc",
            "cpu" => self.size.cpu_units.to_string(),
            "memory" => self.size.memory_mib.to_string(),
            "runtimePlatform" => map! {
                "cpuArchitecture" => self.architecture,
                "operatingSystemFamily" => "LINUX",
            },
            "executionRoleArn" => format!("{name}-execution"),
            "volumes" => self.volumes(),
            "containerDefinitions" => list![self.container(logs)],
        }
    }
}

pub(super) fn trust() -> Node {
    map! {
        "Version" => "2012-10-17",
        "Statement" => list![map! {
            "Effect" => "Allow",
            "Principal" => map! { "Service" => "ecs-tasks.amazonaws.com" },
            "Action" => "sts:AssumeRole",
        }],
    }
}

pub(super) fn secrets_policy(arns: &[&String]) -> Node {
    let arns: Vec<Node> = arns.iter().map(|arn| Node::from(*arn)).collect();
    map! {
        "Version" => "2012-10-17",
        "Statement" => list![map! {
            "Effect" => "Allow",
            "Action" => list!["secretsmanager:GetSecretValue", "ssm:GetParameters"],
            "Resource" => arns,
        }],
    }
}
