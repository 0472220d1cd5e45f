//! The command line of bases: what a program stands on.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use ounce_build::distribution::Base;
use ounce_oci::{Place, Platform, Reference};

use super::Compression;

/// What the image stands on.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What it stands on")]
pub(crate) struct BaseOptions {
    /// scratch, distroless, distroless-static, -base, -cc or -python3, debian-slim, alpine,
    /// alpine-core, or an image [default: scratch]
    #[arg(long, value_name = "BASE")]
    pub(crate) base: Option<Base>,
    /// The stage of ounce.toml ([stage.NAME]) to build, or all of them
    #[arg(long, value_name = "NAME|all")]
    pub(crate) stage: Option<String>,
    #[command(flatten)]
    pub(crate) packages: PackageOptions,
}

/// Where a base's packages come from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PackageOptions {
    /// A package besides the base's own; can stand several times
    #[arg(long = "with", value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// The distribution's release, as bookworm or v3.22 [default: of Debian the host's, else the
    /// stable one; of Alpine v3.22]
    #[arg(long, value_name = "RELEASE")]
    pub(crate) suite: Option<String>,
    /// A part of the archives, as contrib or community; can stand several times [default: main]
    #[arg(long = "component", visible_alias = "repository", value_name = "NAME")]
    pub(crate) components: Vec<String>,
    /// The folder of the archives: http://HOST/DIR, https://... or file:///DIR
    /// [default: as the host's apt has it, else the distribution's own]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) mirror: Option<String>,
    /// Whose signatures are believed; of Alpine, keys or a folder of them [default: the host's
    /// debian-archive-keyring, or /etc/apk/keys]
    #[arg(long, visible_alias = "keys", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) keyring: Vec<PathBuf>,
    /// Which packages, by digest; written if it is not there [default: ounce.lock beside ounce.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) lock: Option<PathBuf>,
}

/// `ounce base`.
#[derive(Debug, Args)]
pub(crate) struct BaseArguments {
    /// distroless-static, -base, -cc or -python3, debian-slim, alpine, alpine-core
    #[arg(value_name = "BASE")]
    pub(crate) base: Base,
    /// Name of the image [default: the base's name]
    #[arg(long, short, value_name = "NAME[:TAG]")]
    pub(crate) tag: Option<Reference>,
    /// Also write it to oci:DIR, oci-archive:FILE or docker-archive:FILE
    #[arg(long, short, value_name = "PLACE")]
    pub(crate) output: Option<Place>,
    /// For which platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// How the layer is compressed
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) compression: Option<Compression>,
    /// Use what has been downloaded before, and no network
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) packages: PackageOptions,
}

/// `ounce update`.
#[derive(Debug, Args)]
#[command(after_help = super::update::AFTER_HELP)]
pub(crate) struct UpdateArguments {
    /// The project, or a lock; or a file of services (NAME.toml)
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Say what would move, and write nothing; exit code 1 if something would
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten, next_help_heading = "Of a lock")]
    pub(crate) packages: PackageOptions,
    #[command(flatten)]
    pub(crate) services: super::update::ServicesOptions,
}
