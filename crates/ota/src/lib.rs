//! Updates over the air for devices with two program slots on NOR flash.
//!
//! A device runs from one slot while the next program is written straight into the other, whole or as
//! a delta against the running one. Whenever the power goes, at any write or erase, also in the middle
//! of it, the device boots the old program or the new one, whole.
//!
//! - [`manifest`] and [`bundle`]: what is sent: a signed CBOR manifest, then the payload.
//! - [`keys`]: which keys may sign, as root keys say it.
//! - [`signature`]: who may sign; [`keyring`](signature::Keyring) verifies Ed25519 by `salty`.
//! - [`journal`]: the state of the device, in records that survive torn writes and torn erases.
//! - [`device`]: the running program's side: offer, download, finish, confirm.
//! - [`boot`]: the boot loader's side, for loaders that read the journal; [`esp`] for ESP32, whose own
//!   boot loader reads its own records.
//! - `pack` (feature, standard library): makes bundles and flashable images.
//!
//! No input and output of its own but the flash it is given, no allocation, no standard library. Links,
//! clocks, resets and watchdogs belong to the caller.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "pack", feature = "simulate", test))]
extern crate std;

pub mod boot;
pub mod bundle;
mod cbor;
mod crc;
pub mod device;
pub mod download;
pub mod esp;
pub mod journal;
pub mod keys;
pub mod layout;
pub mod manifest;
#[cfg(feature = "pack")]
pub mod pack;
pub mod refusal;
pub mod rollout;
pub mod signature;
#[cfg(feature = "simulate")]
pub mod simulate;
mod state;

pub use device::{Device, Standing, Update};
pub use download::{Download, Workspace};
pub use layout::{Layout, LayoutFault, Region, Slot};
pub use manifest::{Manifest, Version};
pub use refusal::{Error, Refusal};
pub use state::{Image, Phase, State, Wear};

/// Bytes of a SHA-256 digest.
pub const DIGEST: usize = 32;

/// A SHA-256 digest.
pub type Digest = [u8; DIGEST];
