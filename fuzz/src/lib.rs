//! Functions that take any bytes and panic where something that must hold does
//! not. cargo-fuzz calls them from `fuzz_targets/`, a plain test from `tests/`.
#![forbid(unsafe_code)]

pub mod build;
pub mod delta;
pub mod http;
pub mod oci;
pub mod ota;
pub mod rootfs;
pub mod ship;

/// A target by the name of its seeds' folder.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("http_head", http::head),
    ("http_connection", http::connection),
    ("http_condition", http::condition),
    ("packed_site", http::packed_site),
    ("elf", rootfs::elf),
    ("references", rootfs::references),
    ("system_calls", rootfs::system_calls),
    ("bytecode", rootfs::bytecode),
    ("rpm_database", rootfs::rpm_database),
    ("names", oci::names),
    ("keys", oci::keys),
    ("apk_index", build::apk_index),
    ("debian_index", build::debian_index),
    ("debian_package", build::debian_package),
    ("debian_release", build::debian_release),
    ("delta_patch", delta::patch),
    ("delta_bundle", delta::bundle),
    ("settings", build::settings),
    ("ota_bundle", ota::bundle),
    ("oci_layer", oci::layer),
    ("oci_documents", oci::documents),
    ("yaml", ship::yaml),
];
