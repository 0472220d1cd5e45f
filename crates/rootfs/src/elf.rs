//! Facts about an ELF file: what it is for, what it needs, what it carries.
//!
//! Reading follows the kernel: program headers decide what runs, and a fault
//! there is an error. Section headers are for linkers and debuggers; a program
//! without them (as ounce's own) is whole, and a fault in them is only noted
//! in [`ElfFacts::faults`]. Nothing here panics, whatever the bytes.

mod arm;
pub mod calls;
mod language;
pub mod names;
mod read;
mod region;
pub mod versions;

use ounce_oci::Platform;
use serde::{Serialize, Serializer};

pub use language::Language;
pub use region::region;

/// What is known of an ELF file. `Elf::read` makes it.
pub type Elf = ElfFacts;

/// What is known of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ElfFacts {
    /// 32 or 64 bits.
    pub bits: u8,
    /// Byte order.
    pub endian: Endian,
    /// `e_machine`, as the ELF specification numbers it.
    pub machine: u16,
    /// The OCI platform it runs on; none where OCI has no name for it or the
    /// file is for another system than Linux.
    #[serde(serialize_with = "as_text")]
    pub platform: Option<Platform>,
    /// What it is.
    pub kind: Kind,
    /// Address of the first instruction; 0 when there is none.
    pub entry: u64,
    /// The program that the kernel starts instead, to load this one (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// Shared libraries it asks for (`DT_NEEDED`), in order.
    pub needed: Vec<String>,
    /// Its own name as a shared library (`DT_SONAME`).
    pub soname: Option<String>,
    /// Folders to look in before `LD_LIBRARY_PATH` (`DT_RPATH`).
    pub rpath: Vec<String>,
    /// Folders to look in after `LD_LIBRARY_PATH` (`DT_RUNPATH`).
    pub runpath: Vec<String>,
    /// Whether it has no symbol table.
    pub stripped: bool,
    /// Bytes of the symbol table and its names.
    pub symbol_bytes: u64,
    /// Bytes of debug information.
    pub debug_bytes: u64,
    /// Sections that take room in the file, largest first.
    pub sections: Vec<Section>,
    /// Program headers, in order.
    pub segments: Vec<Segment>,
    /// Which hardening the linker gave it.
    pub hardening: Hardening,
    /// Whether it carries the name `LISTEN_FDS`, and so may take sockets that
    /// are handed in. A program that compares piece by piece on a machine with
    /// short immediates may hide the name.
    pub takes_listen_fds: bool,
    /// The language it was most likely written in.
    pub language: Option<Language>,
    /// What is odd but does not keep it from running, one line each.
    pub faults: Vec<String>,
}

fn as_text<S: Serializer>(platform: &Option<Platform>, to: S) -> Result<S::Ok, S::Error> {
    match platform {
        Some(platform) => to.collect_str(platform),
        None => to.serialize_none(),
    }
}

/// Byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// What an ELF file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A program at a fixed address that needs nothing.
    Static,
    /// A program at any address that needs nothing.
    StaticPie,
    /// A program that needs a loader or libraries.
    Dynamic,
    /// A shared library.
    SharedLibrary,
    /// An object file, not linked yet.
    Relocatable,
    /// A core dump, or a program without executable code.
    NotExecutable,
}

impl Kind {
    /// Whether it starts in an image that holds nothing else.
    pub fn runs_alone(self) -> bool {
        matches!(self, Self::Static | Self::StaticPie)
    }
}

/// A section's name and its bytes in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// As `.text`.
    pub name: String,
    /// Bytes in the file.
    pub bytes: u64,
}

/// A program header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// `LOAD`, `DYNAMIC`, `TLS`, ..., or the number.
    pub kind: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
    /// Where it begins in memory.
    pub address: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

/// Hardening that can be read off the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hardening {
    /// Loaded at a random address.
    pub pie: bool,
    /// Which relocated data becomes read-only before the program starts.
    pub relro: Relro,
    /// The stack is not executable. Without `PT_GNU_STACK`, 64-bit kernels
    /// since 5.8 give no executable stack and 32-bit ones do.
    pub nx: bool,
    /// Some memory is writable and executable at once.
    pub writable_code: bool,
}

/// How far relocated data is made read-only (`PT_GNU_RELRO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relro {
    /// Not at all.
    None,
    /// All but the table of lazily bound functions.
    Partial,
    /// All of it.
    Full,
}

/// Why bytes are no ELF file that could be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The first four bytes are not ELF's.
    #[error("not an ELF file: it begins with {0}")]
    NotElf(String),
    /// A class, byte order or version that does not exist.
    #[error("ELF header is not valid: {0}")]
    Header(String),
    /// Something lies past the end of the file.
    #[error("ELF file is cut short or lies: {what} ends at byte {end}, the file at {file_bytes}")]
    Truncated {
        /// Which part.
        what: String,
        /// Where it would end.
        end: u64,
        /// Where the file ends.
        file_bytes: u64,
    },
    /// Program headers contradict each other.
    #[error("ELF program headers are not valid: {0}")]
    Segments(String),
    /// The table of needed libraries cannot be read.
    #[error("ELF dynamic section is not valid: {0}")]
    Dynamic(String),
}

#[cfg(test)]
mod tests;
