//! The runtime face in real namespaces, as root: the clauses of the OCI runtime
//! specification, and what podman, conmon and containerd's shim rely on.

// clippy knows functions marked as tests, not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod bundle;
mod content;
mod lifecycle;
