//! From one image to what each platform has to be told: manifests, templates,
//! units, job files.
//!
//! An [`Application`] says what is shipped; a platform's module turns it into a
//! [`Shipment`]: files with their contents, what will exist once they are
//! applied, and what a person ought to know. All of it is a value: nothing here
//! prints, asks the environment or writes a file.
#![forbid(unsafe_code)]

pub mod application;
pub mod channel;
pub mod compose;
pub mod device;
pub mod ecs;
pub mod explain;
mod hcl;
pub mod kubernetes;
pub mod lambda;
pub mod node;
pub mod nomad;
pub mod quadlet;
pub mod reading;
pub mod resolve;
pub mod shipment;
pub mod ssh;
pub mod systemd;
pub mod target;
pub mod web;

pub use application::Application;
pub use shipment::Shipment;
pub use target::Target;
