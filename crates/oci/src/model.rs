//! The data model of the OCI image specification, as the `oci-spec` crate has
//! it, with what that crate leaves open: docker's names of the same media
//! types, typed digests, and JSON that is the same on every run.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::compression::Compression;
use crate::digest::DigestError;
use crate::{Digest, Platform};

pub use oci_spec::image::{
    Arch, Config, Descriptor, History, ImageConfiguration, ImageIndex, ImageManifest, MediaType,
    Os, RootFs,
};

/// The annotation that names an entry of a layout's `index.json` (OCI image
/// spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Most bytes of a manifest, an index or a configuration. Registries take
/// 4 MiB (OCI distribution spec, "Pushing manifests"); twice that is room enough.
pub const DOCUMENT_LIMIT: u64 = 8 << 20;

/// The media type of the configuration of a WebAssembly image (see [`crate::wasm`]).
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The media type of its layer.
pub const WASM_MODULE: &str = "application/wasm";

/// What a media type stands for, OCI's and docker's names alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An image index or docker's manifest list.
    Index,
    /// An image manifest.
    Manifest,
    /// An image configuration.
    Config,
    /// The configuration of a WebAssembly image (see [`crate::wasm`]).
    WasmConfig,
    /// The layer of a WebAssembly image: the module itself.
    Module,
    /// A layer, compressed so.
    Layer(Compression),
    /// Anything else: an attestation, an artifact.
    Other,
}

/// What `media_type` stands for.
pub fn role(media_type: &MediaType) -> Role {
    match media_type.as_ref() {
        "application/vnd.oci.image.index.v1+json"
        | "application/vnd.docker.distribution.manifest.list.v2+json" => Role::Index,
        "application/vnd.oci.image.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v2+json" => Role::Manifest,
        "application/vnd.oci.image.config.v1+json"
        | "application/vnd.docker.container.image.v1+json" => Role::Config,
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Role::Layer(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            Role::Layer(Compression::Gzip)
        }
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Role::Layer(Compression::Zstd),
        WASM_CONFIG => Role::WasmConfig,
        WASM_MODULE => Role::Module,
        _ => Role::Other,
    }
}

/// The digest of a descriptor, typed.
///
/// # Errors
/// An algorithm other than SHA-256.
pub fn digest_of(descriptor: &Descriptor) -> Result<Digest, DigestError> {
    descriptor.digest().as_ref().parse()
}

/// A descriptor of `size` bytes with this digest.
pub fn descriptor(media_type: MediaType, digest: &Digest, size: u64) -> Descriptor {
    let hex: oci_spec::image::Sha256Digest = digest
        .hex()
        .parse()
        .expect("64 lower-case hexadecimal digits");
    Descriptor::new(media_type, size, hex)
}

/// The platform a configuration states.
pub fn platform_of(config: &ImageConfiguration) -> Platform {
    Platform {
        os: config.os().to_string(),
        architecture: config.architecture().to_string(),
        variant: config
            .variant()
            .clone()
            .filter(|variant| !variant.is_empty()),
    }
}

/// The platform a descriptor in an index states.
pub fn platform_in(descriptor: &Descriptor) -> Option<Platform> {
    descriptor.platform().as_ref().map(|platform| Platform {
        os: platform.os().to_string(),
        architecture: platform.architecture().to_string(),
        variant: platform
            .variant()
            .clone()
            .filter(|variant| !variant.is_empty()),
    })
}

/// A document as compact JSON with the keys of every object sorted.
///
/// `oci-spec` keeps labels, annotations and ports in hash maps, whose order
/// differs from run to run; the digest must not.
///
/// # Errors
/// The document is not representable, such as a map whose keys are no strings.
pub fn canonical_json<T: Serialize + ?Sized>(document: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(document)?;
    value.sort_all_objects();
    serde_json::to_vec(&value)
}

/// Parses a document. `oci-spec` has lists where JSON has objects (ports,
/// volumes), in an order that differs from run to run; callers that show them sort.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}
