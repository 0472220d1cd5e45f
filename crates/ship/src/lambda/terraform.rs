//! The same function for Terraform and OpenTofu.

use super::template::{LOG_DAYS, log_group};
use super::{Access, Code, Parts};
use crate::hcl::{Block, call, file};
use crate::{list, map};

/// The resources.
pub(super) fn main(parts: &Parts<'_>) -> String {
    let name = parts.application.name.as_str();
    let providers = map! {
        "aws" => map! { "source" => "hashicorp/aws", "version" => ">= 5.0" },
    };
    let trust = map! {
        "Version" => "2012-10-17",
        "Statement" => list![map! {
            "Effect" => "Allow",
            "Action" => "sts:AssumeRole",
            "Principal" => map! { "Service" => "lambda.amazonaws.com" },
        }],
    };
    let policy = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
    let mut blocks = vec![
        Block::new("terraform", &[])
            .set("required_version", ">= 1.5")
            .with(Block::new("required_providers", &[]).set("aws", providers.get("aws").cloned())),
        Block::new("resource", &["aws_cloudwatch_log_group", "this"])
            .set("name", log_group(parts))
            .set("retention_in_days", LOG_DAYS),
        Block::new("resource", &["aws_iam_role", "this"])
            .set("name", name)
            .set("assume_role_policy", call("jsonencode", &trust, 1)),
        Block::new("resource", &["aws_iam_role_policy_attachment", "this"])
            .raw("role", "aws_iam_role.this.name")
            .set("policy_arn", policy),
        function(parts),
    ];
    if let Some(kind) = parts.access() {
        blocks.push(
            Block::new("resource", &["aws_lambda_function_url", "this"])
                .raw("function_name", "aws_lambda_function.this.function_name")
                .set("authorization_type", kind)
                .set("invoke_mode", parts.invoke_mode()),
        );
        if parts.options.access == Access::Open {
            blocks.extend(everybody());
        }
        blocks.push(
            Block::new("output", &["url"])
                .raw("value", "aws_lambda_function_url.this.function_url"),
        );
    }
    file(&blocks)
}

/// Lambda wants both said of who signs as nobody: the address, and the function
/// behind it. SAM says them by itself.
fn everybody() -> [Block; 2] {
    let permission = |name: &str, action: &str| {
        Block::new("resource", &["aws_lambda_permission", name])
            .raw("function_name", "aws_lambda_function.this.function_name")
            .set("action", action)
            .set("principal", "*")
    };
    [
        permission("url", "lambda:InvokeFunctionUrl").set("function_url_auth_type", "NONE"),
        permission("function", "lambda:InvokeFunction").set("invoked_via_function_url", true),
    ]
}

fn function(parts: &Parts<'_>) -> Block {
    let mut block = Block::new("resource", &["aws_lambda_function", "this"])
        .set("function_name", &parts.application.name)
        .raw("role", "aws_iam_role.this.arn")
        .set("architectures", list![parts.architecture.as_str()])
        .set("memory_size", parts.memory_mib)
        .set("timeout", parts.options.timeout_seconds);
    block = match parts.code {
        Code::Zip(zips) => {
            let file = zips.first().map(super::Zipped::name).unwrap_or_default();
            let hash = format!("filebase64sha256(\"${{path.module}}/{file}\")");
            block
                .set("package_type", "Zip")
                .raw("filename", &format!("\"${{path.module}}/{file}\""))
                .raw("source_code_hash", &hash)
                .set("handler", "bootstrap")
                .set("runtime", "provided.al2023")
        }
        Code::Image { uri, .. } => block.set("package_type", "Image").set("image_uri", uri),
    };
    if !parts.variables.is_empty() {
        let variables = Block::new("environment", &[]).set("variables", parts.variables_node());
        block = block.with(variables);
    }
    if parts.options.is_snap_start {
        block = block.set("publish", true);
        block = block.with(Block::new("snap_start", &[]).set("apply_on", "PublishedVersions"));
    }
    block.with(
        Block::new("logging_config", &[])
            .set("log_format", "Text")
            .raw("log_group", "aws_cloudwatch_log_group.this.name"),
    )
}
