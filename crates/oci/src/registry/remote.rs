//! A name in a registry: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
//!
//! A name whose first part looks like no host (it has no dot, no port, no
//! upper-case letter and is not `localhost`) is one of Docker Hub's, as docker,
//! podman and skopeo have it: `alpine` is `docker.io/library/alpine`, `user/app`
//! is `docker.io/user/app`. Whoever wants another registry writes its host.

use std::fmt;
use std::str::FromStr;

use crate::reference::ReferenceError;
use crate::{Digest, Reference};

/// The registry of names without a host, its other name, and where it answers.
const HUB: &str = "docker.io";
const HUB_ALIAS: &str = "index.docker.io";
const HUB_SERVER: &str = "registry-1.docker.io";
/// Where its official images are, which are called by one word.
const HUB_OFFICIAL: &str = "library/";

/// An image, or a repository of images, in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remote {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl FromStr for Remote {
    type Err = ReferenceError;

    /// With or without `docker://` in front.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let plain = text.strip_prefix("docker://").unwrap_or(text);
        let reference: Reference = plain.parse()?;
        let (host, repository) = match reference.name.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => (HUB, reference.name.as_str()),
        };
        let host = host.to_ascii_lowercase();
        let (host, repository) = match host.as_str() {
            HUB | HUB_ALIAS if !repository.contains('/') => {
                (HUB.to_owned(), format!("{HUB_OFFICIAL}{repository}"))
            }
            HUB | HUB_ALIAS => (HUB.to_owned(), repository.to_owned()),
            _ => (host, repository.to_owned()),
        };
        Ok(Self {
            host,
            repository,
            tag: reference.tag,
            digest: reference.digest,
        })
    }
}

/// Whether the first part of a name is a host (docker's rule).
fn is_host(part: &str) -> bool {
    part.contains(['.', ':'])
        || part == "localhost"
        || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

impl Remote {
    /// The registry, as people call it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository, without its host.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was written or is meant.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest, or else the tag.
    pub(crate) fn asked(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository by another tag.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Self {
        Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        }
    }

    /// The same repository, pinned.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// `HOST/REPOSITORY`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// What it is called in the store: Docker Hub's images by their short names,
    /// others in full; an image that is only pinned by the first digits of its
    /// digest as a tag.
    pub fn stored_name(&self) -> Reference {
        let name = match self.host == HUB {
            true => {
                let short = self.repository.strip_prefix(HUB_OFFICIAL);
                short.unwrap_or(&self.repository).to_owned()
            }
            false => self.name(),
        };
        let pinned = self.digest.map(|digest| digest.hex()[..12].to_owned());
        let tag = self.tag.clone().or(pinned);
        Reference {
            name,
            tag: Some(tag.unwrap_or_else(|| "latest".to_owned())),
            digest: None,
        }
    }
}

/// Where a registry answers.
pub(crate) fn server(host: &str) -> &str {
    match host {
        HUB | HUB_ALIAS => HUB_SERVER,
        host => host,
    }
}

/// A registry's name as credential files have it, made plain: without scheme and
/// path, Docker Hub's several names as one.
pub(crate) fn plain_host(key: &str) -> String {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let host = rest
        .split('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match host.as_str() {
        HUB_ALIAS | HUB_SERVER => HUB.to_owned(),
        _ => host,
    }
}

/// The key of a registry in docker's file.
pub(crate) fn docker_key(host: &str) -> String {
    match host {
        HUB => format!("https://{HUB_ALIAS}/v1/"),
        host => host.to_owned(),
    }
}

/// As skopeo writes it.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "docker://{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_docker_hubs_and_others_have_a_host() {
        for (text, shown, stored) in [
            (
                "alpine",
                "docker://docker.io/library/alpine:latest",
                "alpine:latest",
            ),
            (
                "docker://alpine:3",
                "docker://docker.io/library/alpine:3",
                "alpine:3",
            ),
            (
                "user/app",
                "docker://docker.io/user/app:latest",
                "user/app:latest",
            ),
            (
                "docker.io/alpine",
                "docker://docker.io/library/alpine:latest",
                "alpine:latest",
            ),
            (
                "localhost/app",
                "docker://localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "docker://Registry.example:5000/a/b:1",
                "docker://registry.example:5000/a/b:1",
                "registry.example:5000/a/b:1",
            ),
        ] {
            let remote: Remote = text.parse().unwrap();
            assert_eq!(remote.to_string(), shown, "{text}");
            assert_eq!(remote.stored_name().to_string(), stored, "{text}");
            assert_eq!(shown.parse::<Remote>().unwrap(), remote);
        }
        let pinned: Remote = format!("a.example/b@{DIGEST}").parse().unwrap();
        assert_eq!(pinned.asked(), DIGEST);
        assert_eq!(pinned.stored_name().to_string(), "a.example/b:e3b0c44298fc");
        for text in [
            "",
            "docker://",
            "a.example/",
            "a.example/B",
            "a.example/b:",
            "a b",
        ] {
            assert!(text.parse::<Remote>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn keys_of_credential_files_mean_hosts() {
        for (key, host) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("a.example", "a.example"),
            ("http://A.example:5000/v2/", "a.example:5000"),
        ] {
            assert_eq!(plain_host(key), host);
        }
    }
}
