//! The tools that ounce is judged by and measured against, each started so that
//! nothing of it stays behind and no state of the machine's own is touched.

pub(crate) mod answer;
pub(crate) mod bundle;
pub(crate) mod docker;
pub(crate) mod lambda;
pub(crate) mod podman;
pub(crate) mod registry;
pub(crate) mod started;
