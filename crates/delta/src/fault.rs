//! Why a patch is not applied.

/// An image could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Why a patch is not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// It is no patch, or one of another version.
    NoPatch = 1,
    /// It needs more memory than there is.
    Memory = 2,
    /// It is for another old image.
    OldImage = 3,
    /// It says what cannot be, so it was damaged or is hostile.
    Damaged = 4,
    /// What came out so far is not what should have.
    Check = 5,
    /// The new image is not what it should be.
    NewImage = 6,
    /// There are bytes after its end.
    TooLong = 7,
    /// It ends too early.
    TooShort = 8,
    /// The old image could not be read.
    Read = 9,
    /// The new image could not be written.
    Write = 10,
    /// It is for a machine that this patcher was built without.
    Machine = 11,
}

impl Fault {
    /// A number for reports, never given to another fault.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it is, in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoPatch => "not a patch of this format",
            Self::Memory => "the patch needs more memory than there is",
            Self::OldImage => "the patch is for another old image",
            Self::Damaged => "the patch is damaged",
            Self::Check => "the patch is damaged: a digest on the way does not fit",
            Self::NewImage => "the result does not have the digest that the patch states",
            Self::TooLong => "there are bytes after the end of the patch",
            Self::TooShort => "the patch ends too early",
            Self::Read => "the old image could not be read",
            Self::Write => "the new image could not be written",
            Self::Machine => "the patch is for a machine that this patcher was built without",
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(self.text())
    }
}

impl core::error::Error for Fault {}
