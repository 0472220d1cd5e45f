//! The function as a template of SAM's, and as the AWS CLI takes it.

use super::{Access, Code, Parts};
use crate::node::Node;
use crate::{list, map};

/// Days that a log is kept.
pub(super) const LOG_DAYS: u32 = 30;

/// The template.
pub(super) fn template(parts: &Parts<'_>) -> Node {
    let name = &parts.application.name;
    let mut outputs = map! {
        "Function" => map! {
            "Description" => "The function",
            "Value" => map! { "Ref" => "Function" },
        },
    };
    if parts.options.access != Access::None {
        let address = map! {
            "Description" => "Its own address",
            "Value" => map! { "Fn::GetAtt" => list!["FunctionUrl", "FunctionUrl"] },
        };
        outputs.put(&["Url"], address);
    }
    map! {
        "AWSTemplateFormatVersion" => "2010-09-09",
        "Transform" => "AWS::Serverless-2016-10-31",
        "Description" => format!("{name} {} on Lambda", parts.application.version),
        "Resources" => map! {
            "Logs" => map! {
                "Type" => "AWS::Logs::LogGroup",
                "DeletionPolicy" => "Delete",
                "UpdateReplacePolicy" => "Delete",
                "Properties" => map! {
                    "LogGroupName" => log_group(parts),
                    "RetentionInDays" => LOG_DAYS,
                },
            },
            "Function" => map! {
                "Type" => "AWS::Serverless::Function",
                "Properties" => function(parts),
            },
        },
        "Outputs" => outputs,
    }
}

pub(super) fn log_group(parts: &Parts<'_>) -> String {
    format!("/aws/lambda/{}", parts.application.name)
}

fn function(parts: &Parts<'_>) -> Node {
    let mut function = map! { "FunctionName" => &parts.application.name };
    match parts.code {
        Code::Zip(zips) => {
            let file = zips.first().map(super::Zipped::name);
            function.put(&["PackageType"], "Zip");
            function.put(&["CodeUri"], file);
            function.put(&["Handler"], "bootstrap");
            function.put(&["Runtime"], "provided.al2023");
        }
        Code::Image { uri, .. } => {
            function.put(&["PackageType"], "Image");
            function.put(&["ImageUri"], uri);
        }
    }
    function.put(&["Architectures"], list![parts.architecture.as_str()]);
    function.put(&["MemorySize"], parts.memory_mib);
    function.put(&["Timeout"], parts.options.timeout_seconds);
    if !parts.variables.is_empty() {
        function.put(&["Environment", "Variables"], parts.variables_node());
    }
    function.put(&["LoggingConfig", "LogGroup"], map! { "Ref" => "Logs" });
    if parts.options.is_snap_start {
        // Only versions are frozen, and so one is made, with a name.
        function.put(&["SnapStart", "ApplyOn"], "PublishedVersions");
        function.put(&["AutoPublishAlias"], "live");
    }
    if let Some(kind) = parts.access() {
        function.put(&["FunctionUrlConfig", "AuthType"], kind);
        function.put(&["FunctionUrlConfig", "InvokeMode"], parts.invoke_mode());
    }
    function
}

impl Parts<'_> {
    pub(super) fn variables_node(&self) -> Node {
        let pairs = self.variables.iter();
        Node::Map(
            pairs
                .map(|(name, value)| (name.clone(), Node::from(value)))
                .collect(),
        )
    }

    pub(super) fn access(&self) -> Option<&'static str> {
        match self.options.access {
            Access::None => None,
            Access::Iam => Some("AWS_IAM"),
            Access::Open => Some("NONE"),
        }
    }

    pub(super) fn invoke_mode(&self) -> &'static str {
        match self.options.streams {
            true => "RESPONSE_STREAM",
            false => "BUFFERED",
        }
    }

    /// What `aws lambda update-function-configuration` takes, and but for the code
    /// and the role `create-function` as well.
    pub(super) fn configuration(&self) -> Node {
        let mut configuration = map! {
            "FunctionName" => &self.application.name,
            "MemorySize" => self.memory_mib,
            "Timeout" => self.options.timeout_seconds,
            "Environment" => map! { "Variables" => self.variables_node() },
        };
        if let Code::Zip(_) = self.code {
            configuration.put(&["Handler"], "bootstrap");
            configuration.put(&["Runtime"], "provided.al2023");
        }
        if self.options.is_snap_start {
            configuration.put(&["SnapStart", "ApplyOn"], "PublishedVersions");
        }
        configuration
    }
}
