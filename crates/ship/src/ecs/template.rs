//! The service as a CloudFormation template.

use super::parts::{LOG_DAYS, Parts, secrets_policy, trust};
use crate::node::Node;
use crate::{list, map};

/// The template.
pub(super) fn template(parts: &Parts<'_>) -> Node {
    Template(parts).template()
}

struct Template<'a>(&'a Parts<'a>);

/// `shop` as the part of a CloudFormation identifier: `Shop`.
fn first_upper(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    parts.collect()
}

fn reference(name: &str) -> Node {
    map! { "Ref" => name }
}

fn attribute(of: &str, name: &str) -> Node {
    map! { "Fn::GetAtt" => list![of, name] }
}

impl Template<'_> {
    fn template(&self) -> Node {
        let name = &self.0.application.name;
        let mut resources = map! {
            "Logs" => map! {
                "Type" => "AWS::Logs::LogGroup",
                "DeletionPolicy" => "Delete",
                "UpdateReplacePolicy" => "Delete",
                "Properties" => map! {
                    "LogGroupName" => format!("/ecs/{name}"),
                    "RetentionInDays" => LOG_DAYS,
                },
            },
            "ExecutionRole" => self.execution_role(),
            "TaskRole" => map! {
                "Type" => "AWS::IAM::Role",
                "Properties" => map! { "AssumeRolePolicyDocument" => trust() },
            },
            "Reach" => self.security_group(),
            "Task" => self.task(),
            "Service" => self.service(),
        };
        if self.0.scales() {
            resources.put(&["Scaling"], self.scaling_target());
            resources.put(&["ScalingPolicy"], scaling_policy());
        }
        let parameter = |kind: &str, about: &str, default: Option<&str>| {
            map! { "Type" => kind, "Description" => about, "Default" => default }
        };
        let mut parameters = map! {
            "Cluster" => parameter("String", "The name of the cluster", None),
            "Vpc" => parameter("AWS::EC2::VPC::Id", "Its network", None),
            "Subnets" => parameter("List<AWS::EC2::Subnet::Id>", "Where tasks are put", None),
            "PublicAddress" => map! {
                "Type" => "String",
                "Description" => "ENABLED where no NAT leads out of the subnets",
                "AllowedValues" => list!["ENABLED", "DISABLED"],
                "Default" => "DISABLED",
            },
        };
        let mut template = map! {
            "AWSTemplateFormatVersion" => "2010-09-09",
            "Description" => format!("{} {} on Fargate", name, self.0.application.version),
        };
        if self.0.application.port.is_some() {
            parameters.put(
                &["Clients"],
                parameter("String", "Whose addresses may reach it", Some("10.0.0.0/8")),
            );
            parameters.put(
                &["TargetGroup"],
                parameter(
                    "String",
                    "The ARN of a load balancer's target group, if any",
                    Some(""),
                ),
            );
            template.put(
                &["Conditions", "IsBalanced"],
                map! { "Fn::Not" => list![map! { "Fn::Equals" => list![reference("TargetGroup"), ""] }] },
            );
        }
        template.put(&["Parameters"], parameters);
        template.put(&["Resources"], resources);
        template.put(
            &["Outputs", "ServiceName"],
            map! { "Value" => attribute("Service", "Name") },
        );
        template
    }

    fn execution_role(&self) -> Node {
        let secrets: Vec<&String> = self
            .0
            .application
            .secrets
            .iter()
            .map(|one| &one.from)
            .collect();
        let policies = (!secrets.is_empty()).then(|| {
            list![map! {
                "PolicyName" => "reads-its-secrets",
                "PolicyDocument" => secrets_policy(&secrets),
            }]
        });
        map! {
            "Type" => "AWS::IAM::Role",
            "Properties" => map! {
                "AssumeRolePolicyDocument" => trust(),
                "ManagedPolicyArns" => list![map! {
                    "Fn::Sub" => "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
                }],
                "Policies" => policies,
            },
        }
    }

    fn security_group(&self) -> Node {
        let name = &self.0.application.name;
        let ingress = self.0.application.port.map(|port| {
            list![map! {
                "Description" => "clients",
                "IpProtocol" => "tcp",
                "FromPort" => port,
                "ToPort" => port,
                "CidrIp" => reference("Clients"),
            }]
        });
        map! {
            "Type" => "AWS::EC2::SecurityGroup",
            "Properties" => map! {
                "GroupDescription" => format!("who may reach {name}"),
                "VpcId" => reference("Vpc"),
                "SecurityGroupIngress" => ingress,
                // The image and the log go out by this.
                "SecurityGroupEgress" => list![map! {
                    "Description" => "registry, logs and secrets",
                    "IpProtocol" => "tcp",
                    "FromPort" => 443,
                    "ToPort" => 443,
                    "CidrIp" => "0.0.0.0/0",
                }],
            },
        }
    }

    fn task(&self) -> Node {
        let name = &self.0.application.name;
        let logs = map! {
            "awslogs-group" => reference("Logs"),
            "awslogs-region" => reference("AWS::Region"),
            "awslogs-stream-prefix" => name,
        };
        let volumes = self.0.volumes().map(|volumes| {
            let volumes = volumes.iter().map(capitals);
            volumes.collect::<Vec<_>>()
        });
        map! {
            "Type" => "AWS::ECS::TaskDefinition",
            "Properties" => map! {
                "Family" => name,
                "RequiresCompatibilities" => list!["FARGATE"],
                "NetworkMode" => "awsvpc",
                "Cpu" => self.0.size.cpu_units.to_string(),
                "Memory" => self.0.size.memory_mib.to_string(),
                "RuntimePlatform" => map! {
                    "CpuArchitecture" => self.0.architecture,
                    "OperatingSystemFamily" => "LINUX",
                },
                "ExecutionRoleArn" => attribute("ExecutionRole", "Arn"),
                "TaskRoleArn" => attribute("TaskRole", "Arn"),
                "Volumes" => volumes,
                "ContainerDefinitions" => list![capitals(&self.0.container(logs))],
            },
        }
    }

    fn service(&self) -> Node {
        let balancers = self.0.application.port.map(|port| {
            map! { "Fn::If" => list![
                "IsBalanced",
                list![map! {
                    "ContainerName" => &self.0.application.name,
                    "ContainerPort" => port,
                    "TargetGroupArn" => reference("TargetGroup"),
                }],
                reference("AWS::NoValue"),
            ] }
        });
        map! {
            "Type" => "AWS::ECS::Service",
            "Properties" => map! {
                "ServiceName" => &self.0.application.name,
                "Cluster" => reference("Cluster"),
                "TaskDefinition" => reference("Task"),
                "LaunchType" => "FARGATE",
                "DesiredCount" => self.0.application.replicas,
                "DeploymentConfiguration" => map! {
                    // New ones first: there are never too few.
                    "MinimumHealthyPercent" => 100,
                    "MaximumPercent" => 200,
                    "DeploymentCircuitBreaker" => map! { "Enable" => true, "Rollback" => true },
                },
                "NetworkConfiguration" => map! { "AwsvpcConfiguration" => map! {
                    "AssignPublicIp" => reference("PublicAddress"),
                    "SecurityGroups" => list![attribute("Reach", "GroupId")],
                    "Subnets" => reference("Subnets"),
                } },
                "LoadBalancers" => balancers,
                "EnableExecuteCommand" => false,
                "PropagateTags" => "SERVICE",
            },
        }
    }

    fn scaling_target(&self) -> Node {
        map! {
            "Type" => "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties" => map! {
                "MinCapacity" => self.0.application.replicas,
                "MaxCapacity" => self.0.application.most_replicas,
                "ResourceId" => map! { "Fn::Sub" => "service/${Cluster}/${Service.Name}" },
                "ScalableDimension" => "ecs:service:DesiredCount",
                "ServiceNamespace" => "ecs",
            },
        }
    }
}

fn scaling_policy() -> Node {
    map! {
        "Type" => "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties" => map! {
            "PolicyName" => "processor",
            "PolicyType" => "TargetTrackingScaling",
            "ScalingTargetId" => reference("Scaling"),
            "TargetTrackingScalingPolicyConfiguration" => map! {
                "TargetValue" => 80,
                "PredefinedMetricSpecification" => map! {
                    "PredefinedMetricType" => "ECSServiceAverageCPUUtilization",
                },
            },
        },
    }
}

/// The API's names with a capital letter, as CloudFormation has them; the names
/// of a log's options are no names of the API's.
fn capitals(node: &Node) -> Node {
    match node {
        Node::List(values) => Node::List(values.iter().map(capitals).collect()),
        Node::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| match name.as_str() {
                "options" => ("Options".to_owned(), value.clone()),
                name => (first_upper(name), capitals(value)),
            });
            Node::Map(entries.collect())
        }
        other => other.clone(),
    }
}
