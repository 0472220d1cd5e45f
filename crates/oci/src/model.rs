//! The data model of the OCI image specification, as the `oci-spec` crate has it.

pub use oci_spec::image::{
    Arch, Config, Descriptor, History, ImageConfiguration, ImageIndex, ImageManifest, MediaType,
    Os, RootFs,
};
