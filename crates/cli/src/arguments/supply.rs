//! Arguments of the commands around keys, signatures and what hangs on images.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use ounce_oci::{Digest, Reference};

use super::{BillChoice, pair};

/// `ounce key`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct KeyArguments {
    #[command(subcommand)]
    pub(crate) verb: KeyVerb,
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a pair: NAME.key to sign with, NAME.pub to verify with
    New(KeyNewArguments),
    /// Print the public key of a private one
    Public(KeyPublicArguments),
}

/// `ounce key new`.
#[derive(Debug, Args)]
pub(crate) struct KeyNewArguments {
    /// Path of the two files, without .key and .pub
    #[arg(default_value = "ounce", value_hint = ValueHint::FilePath)]
    pub(crate) name: PathBuf,
    /// Its kind
    #[arg(long, value_enum, default_value = "ecdsa")]
    pub(crate) algorithm: AlgorithmChoice,
    /// Encrypt it with a password, as cosign and podman want it: $COSIGN_PASSWORD,
    /// or the first line of --password-file
    #[arg(long)]
    pub(crate) encrypt: bool,
    /// A file with the password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AlgorithmChoice {
    /// ECDSA on P-256 with SHA-256: what cosign makes, and every verifier reads
    Ecdsa,
    /// Ed25519: signs the same to the same bytes
    Ed25519,
}

/// `ounce key public`.
#[derive(Debug, Args)]
pub(crate) struct KeyPublicArguments {
    /// The private key
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// A file with its password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
}

/// A key to sign with.
#[derive(Debug, Clone, Args)]
pub(crate) struct SigningKey {
    /// The private key, PEM; one that cosign has encrypted opens with
    /// $COSIGN_PASSWORD or --password-file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// A file with the key's password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// The name that the image is signed under: the repository that it will be
    /// pushed to [default: its own, without the tag]
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<String>,
}

/// `ounce sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The image, in the store
    pub(crate) image: Reference,
    #[command(flatten)]
    pub(crate) signing: SigningKey,
    /// Something to be signed with it
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) annotation: Vec<(String, String)>,
}

/// `ounce attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    /// The image, in the store
    pub(crate) image: Reference,
    /// A document to hang on it
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "sbom")]
    pub(crate) file: Option<PathBuf>,
    /// Its media type, as application/json
    #[arg(long = "type", value_name = "MEDIA/TYPE", conflicts_with = "predicate")]
    pub(crate) media_type: Option<String>,
    /// State it of the image: the document becomes the predicate of a statement of
    /// in-toto, of this type (a URI)
    #[arg(long, value_name = "URI")]
    pub(crate) predicate: Option<String>,
    /// Make a bill of materials of the image, one for each platform
    #[arg(long, value_name = "FORM", conflicts_with_all = ["file", "media_type", "predicate"])]
    pub(crate) sbom: Option<BillChoice>,
    #[command(flatten)]
    pub(crate) signing: SigningKey,
}

/// `ounce referrers`.
#[derive(Debug, Args)]
pub(crate) struct ReferrersArguments {
    /// The image, in the store
    pub(crate) image: Reference,
    /// Print what this one holds; the beginning of its digest does
    #[arg(long, value_name = "DIGEST")]
    pub(crate) print: Option<String>,
    /// Take this one off the image
    #[arg(long, value_name = "DIGEST", conflicts_with = "print")]
    pub(crate) remove: Option<Digest>,
}

/// `ounce verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// An image in the store, with what hangs on it [default: the whole store]
    pub(crate) image: Option<Reference>,
    #[command(flatten)]
    pub(crate) policy: Policy,
}

/// What an image must be.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What the image must be")]
pub(crate) struct Policy {
    /// The public key, PEM, that it must be signed by
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// What it must have [default with --key: signature]; with --key each signed by it
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) require: Vec<Requirement>,
    /// The name that it must be signed under
    #[arg(long, value_name = "NAME", requires = "key")]
    pub(crate) identity: Option<String>,
    /// What must be signed with it
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair, requires = "key")]
    pub(crate) annotation: Vec<(String, String)>,
}

impl Policy {
    /// Whether anything is asked for.
    pub(crate) fn is_any(&self) -> bool {
        self.key.is_some() || !self.require.is_empty()
    }
}

/// What an image can be asked to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Requirement {
    /// A signature of the image
    Signature,
    /// A bill of materials
    Sbom,
    /// A statement of where it comes from
    Provenance,
}

/// What `ounce build` hangs on an image.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What hangs on the image")]
pub(crate) struct SupplyOptions {
    /// A bill of materials [default form: spdx]
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "spdx")]
    pub(crate) sbom: Option<BillChoice>,
    /// A statement of where it comes from (SLSA 1.0); plain has no time in it
    #[arg(long, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "plain")]
    pub(crate) provenance: Option<ProvenanceChoice>,
    /// Who builds, as the provenance says
    #[arg(long, value_name = "URI", requires = "provenance")]
    pub(crate) builder_id: Option<String>,
    #[command(flatten)]
    pub(crate) signing: SigningKey,
}

/// What a statement of provenance tells.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ProvenanceChoice {
    /// The same for the same input
    Plain,
    /// When the build began and ended, too
    Timed,
}
