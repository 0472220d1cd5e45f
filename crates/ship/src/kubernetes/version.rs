//! Versions of Kubernetes, and what a cluster has to be asked for otherwise, or
//! not at all, because it is older.
//!
//! Unknown fields are no small matter: applied by the server, an object with one
//! of them is refused whole.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// The oldest that is shipped to: it has server-side apply, Ingress, RuntimeClass
/// and seccomp's field in their lasting forms.
const OLDEST: Version = Version {
    major: 1,
    minor: 20,
};

/// A version, as far as it decides what an API server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

/// No version of Kubernetes that is shipped to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// It is none.
    #[error("{0:?} is no version of Kubernetes: write it as 1.30")]
    Form(String),
    /// Its API has other forms altogether.
    #[error("Kubernetes {0} is too old: {OLDEST} is the oldest that is shipped to")]
    Old(Version),
}

impl Version {
    /// What an API server says of itself at `/version`.
    ///
    /// # Errors
    /// It says none, or is too old.
    pub fn of_server(said: &Value) -> Result<Self, VersionError> {
        // Some providers write `30+`.
        let part = |name: &str| {
            let text = said.get(name).and_then(Value::as_str).unwrap_or_default();
            text.trim_end_matches(|c: char| !c.is_ascii_digit())
        };
        format!("{}.{}", part("major"), part("minor")).parse()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// `1.30`, `v1.30`, `1.30.4`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError::Form(text.to_owned());
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let (Some(major), Some(minor)) = (number(), number()) else {
            return Err(wrong());
        };
        let version = Self { major, minor };
        match version < OLDEST {
            true => Err(VersionError::Old(version)),
            false => Ok(version),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What has not always been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// `policy/v1`, and the label by which a namespace is known by its name.
    Policy,
    /// `net.ipv4.ip_unprivileged_port_start` among the settings that a kubelet allows.
    LowPorts,
    /// `autoscaling/v2`.
    Autoscaling,
    /// `unhealthyPodEvictionPolicy`, and `matchLabelKeys` of a spread.
    Eviction,
    /// `preStop.sleep`.
    Sleep,
}

impl Feature {
    /// The first version that has it without being asked to.
    fn since(self) -> u32 {
        match self {
            Self::Policy => 21,
            Self::LowPorts => 22,
            Self::Autoscaling => 23,
            Self::Eviction => 27,
            Self::Sleep => 30,
        }
    }

    /// Whether a cluster has it; one whose version nobody knows has everything.
    pub(super) fn is_of(self, version: Option<Version>) -> bool {
        let since = Version {
            major: 1,
            minor: self.since(),
        };
        version.is_none_or(|version| version >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_read_as_people_and_servers_write_them() {
        let version: Version = "1.30".parse().unwrap();
        for text in ["v1.30", "1.30.4", "v1.30.4-eks-1"] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        let said = json!({"major": "1", "minor": "30+", "gitVersion": "v1.30.1-gke.5"});
        assert_eq!(Version::of_server(&said), Ok(version));
        assert!(version > "1.9".parse().unwrap_or(OLDEST));
    }

    #[test]
    fn what_is_no_version_or_too_old_is_refused() {
        for text in ["", "1", "new", "1.x", "-1.30"] {
            let form = VersionError::Form(text.to_owned());
            assert_eq!(text.parse::<Version>(), Err(form), "{text}");
        }
        let old = "1.19".parse::<Version>().unwrap_err();
        assert_eq!(
            old.to_string(),
            "Kubernetes 1.19 is too old: 1.20 is the oldest that is shipped to"
        );
        assert!(Version::of_server(&json!({"major": "1"})).is_err());
    }

    #[test]
    fn each_feature_is_there_from_its_version_on() {
        let is_of = |feature: Feature, text: &str| feature.is_of(Some(text.parse().unwrap()));
        assert!(!is_of(Feature::Policy, "1.20") && is_of(Feature::Policy, "1.21"));
        assert!(!is_of(Feature::LowPorts, "1.21") && is_of(Feature::LowPorts, "1.22"));
        assert!(!is_of(Feature::Autoscaling, "1.22") && is_of(Feature::Autoscaling, "1.23"));
        assert!(!is_of(Feature::Eviction, "1.26") && is_of(Feature::Eviction, "1.27"));
        assert!(!is_of(Feature::Sleep, "1.29") && is_of(Feature::Sleep, "1.30"));
        assert!(Feature::Sleep.is_of(None));
    }
}
