//! The same service for Terraform and OpenTofu.

use super::parts::{LOG_DAYS, Parts, secrets_policy, trust};
use crate::hcl::{Block, call, file};
use crate::node::Node;
use crate::{list, map};

/// The resources.
pub(super) fn main(parts: &Parts<'_>) -> String {
    let application = parts.application;
    let name = application.name.as_str();
    let providers = map! {
        "aws" => map! { "source" => "hashicorp/aws", "version" => ">= 5.0" },
    };
    let needed = Block::new("required_providers", &[]).set("aws", providers.get("aws").cloned());
    let mut blocks = vec![
        Block::new("terraform", &[])
            .set("required_version", ">= 1.5")
            .with(needed),
        Block::new("data", &["aws_region", "current"]),
        Block::new("resource", &["aws_cloudwatch_log_group", "this"])
            .set("name", format!("/ecs/{name}"))
            .set("retention_in_days", LOG_DAYS),
        Block::new("resource", &["aws_iam_role", "execution"])
            .set("name", format!("{name}-execution"))
            .set("assume_role_policy", call("jsonencode", &trust(), 1)),
        Block::new("resource", &["aws_iam_role_policy_attachment", "execution"])
            .raw("role", "aws_iam_role.execution.name")
            .set(
                "policy_arn",
                "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
            ),
    ];
    let secrets: Vec<&String> = application.secrets.iter().map(|one| &one.from).collect();
    if !secrets.is_empty() {
        blocks.push(
            Block::new("resource", &["aws_iam_role_policy", "secrets"])
                .set("name", "reads-its-secrets")
                .raw("role", "aws_iam_role.execution.id")
                .set("policy", call("jsonencode", &secrets_policy(&secrets), 1)),
        );
    }
    blocks.push(
        Block::new("resource", &["aws_iam_role", "task"])
            .set("name", format!("{name}-task"))
            .set("assume_role_policy", call("jsonencode", &trust(), 1)),
    );
    blocks.push(security_group(parts));
    blocks.push(task(parts));
    blocks.push(service(parts));
    if parts.scales() {
        blocks.extend(scaling(parts));
    }
    file(&blocks)
}

fn security_group(parts: &Parts<'_>) -> Block {
    let name = parts.application.name.as_str();
    let ingress = parts.application.port.map(|port| {
        Block::new("ingress", &[])
            .set("description", "clients")
            .set("protocol", "tcp")
            .set("from_port", port)
            .set("to_port", port)
            .raw("cidr_blocks", "var.clients")
    });
    Block::new("resource", &["aws_security_group", "this"])
        .set("name", name)
        .set("description", format!("who may reach {name}"))
        .raw("vpc_id", "var.vpc_id")
        .with(ingress)
        .with(
            Block::new("egress", &[])
                .set("description", "registry, logs and secrets")
                .set("protocol", "tcp")
                .set("from_port", 443)
                .set("to_port", 443)
                .set("cidr_blocks", list!["0.0.0.0/0"]),
        )
}

fn task(parts: &Parts<'_>) -> Block {
    let name = parts.application.name.as_str();
    let logs = map! {
        "awslogs-group" => Node::Raw("aws_cloudwatch_log_group.this.name".to_owned()),
        "awslogs-region" => Node::Raw("data.aws_region.current.name".to_owned()),
        "awslogs-stream-prefix" => name,
    };
    let containers = list![parts.container(logs)];
    let mut task = Block::new("resource", &["aws_ecs_task_definition", "this"])
        .set("family", name)
        .set("requires_compatibilities", list!["FARGATE"])
        .set("network_mode", "awsvpc")
        .set("cpu", parts.size.cpu_units)
        .set("memory", parts.size.memory_mib)
        .raw("execution_role_arn", "aws_iam_role.execution.arn")
        .raw("task_role_arn", "aws_iam_role.task.arn")
        .set("container_definitions", call("jsonencode", &containers, 1))
        .with(
            Block::new("runtime_platform", &[])
                .set("cpu_architecture", parts.architecture)
                .set("operating_system_family", "LINUX"),
        );
    for at in 0..parts.application.scratch.len() {
        task = task.with(Block::new("volume", &[]).set("name", format!("scratch-{at}")));
    }
    task
}

fn service(parts: &Parts<'_>) -> Block {
    let application = parts.application;
    let balancer = application.port.map(|port| {
        Block::new("dynamic", &["load_balancer"])
            .raw(
                "for_each",
                "var.target_group_arn == null ? [] : [var.target_group_arn]",
            )
            .with(
                Block::new("content", &[])
                    .set("container_name", &application.name)
                    .set("container_port", port)
                    .raw("target_group_arn", "load_balancer.value"),
            )
    });
    // The autoscaler's word stands against the file's.
    let ignored = parts
        .scales()
        .then(|| Block::new("lifecycle", &[]).raw("ignore_changes", "[desired_count]"));
    Block::new("resource", &["aws_ecs_service", "this"])
        .set("name", &application.name)
        .raw("cluster", "var.cluster")
        .raw("task_definition", "aws_ecs_task_definition.this.arn")
        .set("launch_type", "FARGATE")
        .set("desired_count", application.replicas)
        .set("deployment_minimum_healthy_percent", 100)
        .set("deployment_maximum_percent", 200)
        .set("enable_execute_command", false)
        .set("propagate_tags", "SERVICE")
        .with(
            Block::new("deployment_circuit_breaker", &[])
                .set("enable", true)
                .set("rollback", true),
        )
        .with(
            Block::new("network_configuration", &[])
                .raw("assign_public_ip", "var.public_address")
                .raw("security_groups", "[aws_security_group.this.id]")
                .raw("subnets", "var.subnets"),
        )
        .with(balancer)
        .with(ignored)
}

fn scaling(parts: &Parts<'_>) -> [Block; 2] {
    let target = Block::new("resource", &["aws_appautoscaling_target", "this"])
        .set("min_capacity", parts.application.replicas)
        .set("max_capacity", parts.application.most_replicas)
        .raw(
            "resource_id",
            "\"service/${var.cluster}/${aws_ecs_service.this.name}\"",
        )
        .set("scalable_dimension", "ecs:service:DesiredCount")
        .set("service_namespace", "ecs");
    let metric = Block::new("predefined_metric_specification", &[])
        .set("predefined_metric_type", "ECSServiceAverageCPUUtilization");
    let policy = Block::new("resource", &["aws_appautoscaling_policy", "this"])
        .set("name", "processor")
        .set("policy_type", "TargetTrackingScaling")
        .raw("resource_id", "aws_appautoscaling_target.this.resource_id")
        .raw(
            "scalable_dimension",
            "aws_appautoscaling_target.this.scalable_dimension",
        )
        .raw(
            "service_namespace",
            "aws_appautoscaling_target.this.service_namespace",
        )
        .with(
            Block::new("target_tracking_scaling_policy_configuration", &[])
                .set("target_value", 80)
                .with(metric),
        );
    [target, policy]
}

/// What has to be said when they are applied.
pub(super) fn variables(parts: &Parts<'_>) -> String {
    let variable = |name: &str, kind: &str, about: &str, default: Node| {
        Block::new("variable", &[name])
            .raw("type", kind)
            .set("description", about)
            .set("default", default)
    };
    let mut blocks = vec![
        variable("cluster", "string", "The name of the cluster", Node::Absent),
        variable("vpc_id", "string", "Its network", Node::Absent),
        variable(
            "subnets",
            "list(string)",
            "Where tasks are put",
            Node::Absent,
        ),
        variable(
            "public_address",
            "bool",
            "Whether tasks have public addresses, where no NAT leads out",
            false.into(),
        ),
    ];
    if parts.application.port.is_some() {
        blocks.push(variable(
            "clients",
            "list(string)",
            "Whose addresses may reach it",
            list!["10.0.0.0/8"],
        ));
        blocks.push(variable(
            "target_group_arn",
            "string",
            "A load balancer's target group, if any",
            Node::Raw("null".to_owned()),
        ));
    }
    file(&blocks)
}
