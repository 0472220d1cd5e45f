//! The machines whose code can be read.

/// A machine whose code can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// x86-64.
    Amd64,
    /// arm64.
    Arm64,
}

impl Machine {
    /// As OCI names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}
