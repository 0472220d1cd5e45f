//! Why an update is refused, each with a code that a device can report in one byte.

use crate::layout::LayoutFault;

/// Why an update, or what was told of it, is refused.
///
/// The numbers are a contract: they stand in the journal and in what devices report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// It is not a bundle at all.
    #[error("it is no update bundle")]
    NotABundle = 1,
    /// A bundle of a later format, or signed by an algorithm that is not known.
    #[error("its format is not known to this program")]
    UnknownFormat = 2,
    /// The bundle ends before its manifest and signature do.
    #[error("it ends before its manifest does")]
    Truncated = 3,
    /// The manifest is not the one way to write what it says, or lacks something.
    #[error("its manifest is malformed")]
    Manifest = 4,
    /// No key of the device has the number it is signed by.
    #[error("it is signed by a key that the device does not know")]
    KeyUnknown = 5,
    /// The key was revoked by an update before.
    #[error("it is signed by a key that was revoked")]
    KeyRevoked = 6,
    /// The signature does not fit.
    #[error("its signature is not valid")]
    Signature = 7,
    /// It was to be installed before a date that has passed.
    #[error("it has expired")]
    Expired = 8,
    /// It is for another product.
    #[error("it is for another product")]
    Product = 9,
    /// It is for another revision of the hardware.
    #[error("it is for another hardware revision")]
    Hardware = 10,
    /// Its version is lower than the one that runs.
    #[error("its version is lower than the one that runs")]
    Older = 11,
    /// Its anti-rollback counter is lower than one that was confirmed before.
    #[error("its anti-rollback counter is below the device's")]
    RolledBack = 12,
    /// The running program is this very image.
    #[error("it is what runs already")]
    Running = 13,
    /// This image was tried and did not confirm itself.
    #[error("it was tried before and failed")]
    FailedBefore = 14,
    /// The image is empty or larger than a slot.
    #[error("the image does not fit the slot")]
    TooBig = 15,
    /// The delta is against another program than the one that runs.
    #[error("the delta is against another program than the one that runs")]
    Base = 16,
    /// More bytes came than the manifest says.
    #[error("more bytes came than its manifest says")]
    TooLong = 17,
    /// Fewer bytes came than the manifest says.
    #[error("fewer bytes came than its manifest says")]
    TooShort = 18,
    /// The delta is malformed.
    #[error("the delta is malformed")]
    Delta = 19,
    /// What stands in the slot has another digest.
    #[error("what was written has another digest than the manifest says")]
    Digest = 20,
    /// The boot loader would not take the image.
    #[error("the boot loader would not take the image")]
    NotBootable = 21,
    /// The running program is on trial: it confirms itself first.
    #[error("the running program is on trial itself")]
    OnTrial = 22,
    /// There is no trial to confirm or to end.
    #[error("no program is on trial")]
    NoTrial = 23,
    /// The new program was started as often as allowed, and never confirmed itself.
    #[error("the new program did not confirm itself")]
    NotConfirmed = 24,
    /// The new program said itself that it does not work.
    #[error("the new program found that it does not work")]
    Withdrawn = 25,
    /// The image in the slot is damaged.
    #[error("the image in the slot is damaged")]
    Damaged = 26,
    /// The record of keys is none, or malformed.
    #[error("its record of keys is malformed")]
    KeySet = 27,
    /// The record of keys is older than one that was taken before, or the keys are those of the program.
    #[error("its keys are older than those that the device took before")]
    KeysOlder = 28,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::NotABundle,
        Self::UnknownFormat,
        Self::Truncated,
        Self::Manifest,
        Self::KeyUnknown,
        Self::KeyRevoked,
        Self::Signature,
        Self::Expired,
        Self::Product,
        Self::Hardware,
        Self::Older,
        Self::RolledBack,
        Self::Running,
        Self::FailedBefore,
        Self::TooBig,
        Self::Base,
        Self::TooLong,
        Self::TooShort,
        Self::Delta,
        Self::Digest,
        Self::NotBootable,
        Self::OnTrial,
        Self::NoTrial,
        Self::NotConfirmed,
        Self::Withdrawn,
        Self::Damaged,
        Self::KeySet,
        Self::KeysOlder,
    ];

    /// Its number, 1 and up.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The refusal of this number.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).wrapping_sub(1)).copied()
    }
}

/// What can go wrong on a device; `E` is the flash driver's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error<E: core::fmt::Debug> {
    /// The flash refuses.
    #[error("the flash refuses: {0:?}")]
    Flash(E),
    /// The update is refused.
    #[error("the update is refused, code {code}: {0}", code = .0.code())]
    Refused(#[source] Refusal),
    /// The layout cannot be.
    #[error("the layout of the flash cannot be")]
    Layout(#[source] LayoutFault),
}

impl<E: core::fmt::Debug> From<Refusal> for Error<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_back_to_its_refusal() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(refusal.code()), index + 1);
            assert_eq!(Refusal::of(refusal.code()), Some(refusal));
        }
        assert_eq!(Refusal::of(0), None);
        assert_eq!(Refusal::of(29), None);
    }
}
