//! The command line of what speaks with registries.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use ounce_oci::registry::Remote;
use ounce_oci::{Place, Platform, Reference};

use super::Compression;

/// How a registry is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The registry")]
pub(crate) struct NetworkOptions {
    /// Trust the authorities in this file, too (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Vec<PathBuf>,
    /// Speak HTTP without TLS; a registry on this machine may do so in any case
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// The file of credentials [default: podman's, then docker's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) authfile: Option<PathBuf>,
    /// Most blobs that are sent or fetched at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) connections: u8,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            ca: Vec::new(),
            plain_http: false,
            authfile: None,
            connections: 4,
        }
    }
}

/// `ounce pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// The image: HOST/NAME:TAG or HOST/NAME@DIGEST; without a host it is Docker Hub's
    #[arg(value_name = "IMAGE")]
    pub(crate) from: Remote,
    /// Its name in the store [default: as in the registry]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<Reference>,
    /// Platform, where it holds several [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "all_platforms")]
    pub(crate) platform: Option<Platform>,
    /// Take the images for all platforms, and the index
    #[arg(long)]
    pub(crate) all_platforms: bool,
    /// Take what hangs on it, too: signatures, bills of materials; of an index, what
    /// was signed is the index: --all-platforms
    #[arg(long)]
    pub(crate) referrers: bool,
    /// Fetch blobs whole, even where the registry has a delta from an image that is here
    #[arg(long)]
    pub(crate) no_delta: bool,
    #[command(flatten)]
    pub(crate) policy: super::supply::Policy,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// `ounce push`.
#[derive(Debug, Args)]
pub(crate) struct PushArguments {
    /// The image: a name in the store, or a place
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Place,
    /// Where to: HOST/NAME:TAG; unless told, the image's own name, if it has a host
    #[arg(value_name = "TO")]
    pub(crate) to: Option<Remote>,
    /// Compress its layers anew
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) compression: Option<Compression>,
    /// Push a delta, too, for those who have this image: a tag or a digest of TO's
    /// repository, or NAME:TAG in the store; can stand several times
    #[arg(long, value_name = "TAG")]
    pub(crate) delta_from: Vec<String>,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// `ounce tags`.
#[derive(Debug, Args)]
pub(crate) struct TagsArguments {
    /// The repository: HOST/NAME; without a host it is Docker Hub's
    #[arg(value_name = "REPOSITORY")]
    pub(crate) repository: Remote,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// `ounce login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// The registry: HOST or HOST:PORT
    pub(crate) host: String,
    /// Who [default: asked for]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Read the password from stdin [default: asked for on the terminal]
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// `ounce logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArguments {
    /// The registry: HOST or HOST:PORT
    pub(crate) host: String,
    /// The file of credentials [default: podman's, then docker's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) authfile: Option<PathBuf>,
}
