//! What the environment and the flags say about the network: proxies,
//! certificates, credential files. The libraries read none of it themselves.

use std::env;
use std::path::PathBuf;

use ounce_oci::fetch::{self, Certificates, Proxies};
use ounce_oci::registry::{Credentials, Options};

use crate::arguments::registry::NetworkOptions;

/// How the network is used.
pub(crate) fn fetch_options(network: &NetworkOptions) -> fetch::Options {
    let mut certificates = Certificates::host();
    if let Some(bundle) = path("SSL_CERT_FILE") {
        certificates.bundles = vec![bundle];
    }
    if let Some(folders) = env::var_os("SSL_CERT_DIR") {
        certificates.folders = env::split_paths(&folders).collect();
    }
    certificates.further.clone_from(&network.ca);
    certificates.hosts = host_folders();
    fetch::Options {
        certificates,
        proxies: Proxies {
            http: variable(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            https: variable(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            none_for: variable(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        },
        ..fetch::Options::default()
    }
}

/// Where certificates of single registries are: the user's, podman's and docker's of the
/// machine, in podman's order (containers-certs.d(5)).
fn host_folders() -> Vec<PathBuf> {
    let of_home = || path("HOME").map(|home| home.join(".config"));
    let own = path("XDG_CONFIG_HOME").or_else(of_home);
    let own = own.into_iter().flat_map(|config| {
        ["containers", "docker"].map(|engine| config.join(engine).join("certs.d"))
    });
    let of_machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
    own.chain(of_machine.map(PathBuf::from)).collect()
}

/// How registries are spoken to.
pub(crate) fn registry_options(network: &NetworkOptions) -> Options {
    Options {
        fetch: fetch_options(network),
        credentials: credentials(network.authfile.clone()),
        plain_http: network.plain_http,
        connections: usize::from(network.connections),
    }
}

/// Podman's files, then docker's (containers-auth.json(5)), unless one is named.
fn credentials(named: Option<PathBuf>) -> Credentials {
    if let Some(file) = named.or_else(|| path("REGISTRY_AUTH_FILE")) {
        return Credentials {
            files: vec![file.clone()],
            default: Some(file),
        };
    }
    let home = path("HOME");
    let of_home = |folder: &str| home.as_ref().map(|home| home.join(folder));
    let runtime = path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let config = path("XDG_CONFIG_HOME").or_else(|| of_home(".config"));
    let config = config.map(|folder| folder.join("containers/auth.json"));
    let docker = path("DOCKER_CONFIG").or_else(|| of_home(".docker"));
    let docker = docker.map(|folder| folder.join("config.json"));
    // Who has docker has its file; a login there is one for both.
    let has_docker = docker.as_ref().is_some_and(|file| file.is_file());
    let default = match has_docker {
        true => docker.clone(),
        false => config.clone().or_else(|| docker.clone()),
    };
    Credentials {
        files: [runtime, config, docker].into_iter().flatten().collect(),
        default,
    }
}

/// A path in a variable; an empty one is as one that is not set.
fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The first of several that is set to something.
fn variable(names: &[&str]) -> Option<String> {
    let mut values = names.iter().filter_map(|name| env::var(name).ok());
    values.find(|value| !value.is_empty())
}
