//! Where an image is shipped to, by the name that people type.

use std::fmt;
use std::str::FromStr;

/// A platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Manifests, a kustomization and a chart.
    Kubernetes,
    /// Fargate or EC2 behind a service: CloudFormation and Terraform.
    Ecs,
    /// A function, as a zip or an image, with templates of SAM's and Terraform's.
    Lambda,
    /// A hardened unit, as a portable service.
    Systemd,
    /// A unit of podman's.
    Quadlet,
    /// A file for `docker compose`.
    Compose,
    /// A stack for docker's swarm.
    Swarm,
    /// A job file.
    Nomad,
    /// A static folder for browser pages.
    Web,
    /// A machine that is reached by ssh.
    Ssh(Host),
    /// A microcontroller: its flash, and updates over the air.
    Device,
}

/// A machine that is reached by ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Who logs in, if it is said.
    pub user: Option<String>,
    /// The machine.
    pub name: String,
    /// Where its server listens, if it is said.
    pub port: Option<u16>,
}

/// The names there are, for whoever wrote another.
pub const NAMES: &[&str] = &[
    "kubernetes",
    "ecs",
    "lambda",
    "systemd",
    "quadlet",
    "compose",
    "swarm",
    "nomad",
    "web",
    "ssh://HOST",
    "device",
];

/// A text names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No platform is called so.
    #[error("there is no platform {text:?}; there are {}", NAMES.join(", "))]
    Unknown {
        /// As it was written.
        text: String,
    },
    /// What stands after `ssh://` cannot be a machine.
    #[error("{text:?} is no machine: {why}")]
    Host {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(host) = text.strip_prefix("ssh://") {
            return Ok(Self::Ssh(host.parse()?));
        }
        Ok(match text {
            "kubernetes" | "k8s" => Self::Kubernetes,
            "ecs" => Self::Ecs,
            "lambda" => Self::Lambda,
            "systemd" => Self::Systemd,
            "quadlet" => Self::Quadlet,
            "compose" => Self::Compose,
            "swarm" => Self::Swarm,
            "nomad" => Self::Nomad,
            "web" => Self::Web,
            "device" => Self::Device,
            _ => {
                return Err(TargetError::Unknown {
                    text: text.to_owned(),
                });
            }
        })
    }
}

impl FromStr for Host {
    type Err = TargetError;

    /// `[USER@]NAME[:PORT]`. What ssh would take for an option, or a shell for
    /// more than a word, is refused.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = |why| TargetError::Host {
            text: text.to_owned(),
            why,
        };
        let text_of_host = text.strip_suffix('/').unwrap_or(text);
        let (user, rest) = match text_of_host.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text_of_host),
        };
        let (name, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (name, port) = inner.split_once(']').ok_or_else(|| wrong("] is missing"))?;
                (name, port.strip_prefix(':'))
            }
            None => match rest.rsplit_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (rest, None),
            },
        };
        let is_word = |word: &str, also: &[u8]| {
            !word.is_empty()
                && !word.starts_with('-')
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
        };
        if !is_word(name, b".-_:%") {
            return Err(wrong("the name is empty or has characters no host has"));
        }
        if user.is_some_and(|user| !is_word(user, b".-_")) {
            return Err(wrong("the user is empty or has characters no user has"));
        }
        let port = port.map(str::parse).transpose();
        let port = port.map_err(|_| wrong("the port is not a number up to 65535"))?;
        if port == Some(0) {
            return Err(wrong("there is no port 0"));
        }
        Ok(Self {
            user: user.map(str::to_owned),
            name: name.to_owned(),
            port,
        })
    }
}

impl Host {
    /// As ssh takes it: `USER@NAME`.
    pub fn login(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Target {
    /// Whether the platform fetches the image from a registry, as it is. Lambda is
    /// given one of its own, or a zip.
    pub fn pulls(&self) -> bool {
        !matches!(
            self,
            Self::Systemd | Self::Ssh(_) | Self::Lambda | Self::Device | Self::Web
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Ecs => "ecs",
            Self::Lambda => "lambda",
            Self::Systemd => "systemd",
            Self::Quadlet => "quadlet",
            Self::Compose => "compose",
            Self::Swarm => "swarm",
            Self::Nomad => "nomad",
            Self::Web => "web",
            Self::Device => "device",
            Self::Ssh(host) => {
                write!(f, "ssh://{}", host.login())?;
                return host.port.map_or(Ok(()), |port| write!(f, ":{port}"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in [
            "kubernetes",
            "ecs",
            "lambda",
            "systemd",
            "quadlet",
            "compose",
            "swarm",
            "nomad",
            "web",
            "device",
            "ssh://pi@raspberry.local",
            "ssh://10.0.0.7:2222",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn host_that_ssh_would_take_for_an_option_is_refused() {
        for text in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://a b",
            "ssh://pi@",
            "ssh://-x@pi",
            "ssh://pi:0",
            "ssh://pi:99999",
            "ssh://a;reboot",
            "ssh://[::1",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        let host: Host = "pi@[fe80::1%eth0]:22".parse().unwrap();
        assert_eq!((host.name.as_str(), host.port), ("fe80::1%eth0", Some(22)));
    }

    #[test]
    fn unknown_platform_is_answered_with_those_there_are() {
        let error = "heroku".parse::<Target>().unwrap_err().to_string();
        assert!(
            error.contains("kubernetes") && error.contains("ssh://"),
            "{error}"
        );
    }
}
