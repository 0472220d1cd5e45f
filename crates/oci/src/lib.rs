//! OCI images: digests, names, layers, the store and its archives.
//!
//! The one noun is [`Image`], which can live in many places:
//! ounce's own store, an OCI layout folder, an OCI or a docker archive. This
//! is the only crate that hashes, and that speaks with the network ([`fetch`]). It leaves the meaning of files to `rootfs`.
#![forbid(unsafe_code)]

pub mod archive;
pub mod artifact;
pub mod blobs;
pub mod bytes;
pub mod causes;
pub mod collect;
mod compression;
pub mod digest;
mod docker;
pub mod engine;
pub mod fetch;
pub mod image;
pub mod layer;
pub mod layout;
pub mod lock;
pub mod model;
pub mod output;
mod passing;
pub mod place;
pub mod platform;
pub mod reference;
pub mod referrers;
pub mod registry;
pub mod signature;
mod sink;
mod spool;
pub mod store;
pub mod tar;
pub mod wasm;
mod whole;

pub use artifact::Artifact;
pub use bytes::ByteSize;
pub use digest::{DiffId, Digest};
pub use image::Image;
pub use output::Output;
pub use place::Place;
pub use platform::Platform;
pub use reference::Reference;
pub use store::Store;
