//! A guess at the language a program was written in, from what compilers leave
//! behind. It steers advice ("build with these flags"), never a decision.

use memchr::memmem;
use serde::Serialize;

/// A language that makes native programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Zig.
    Zig,
    /// C++.
    Cpp,
    /// C.
    C,
}

/// What the guess looks at.
pub(super) struct Traces<'data> {
    /// The whole file.
    pub(super) data: &'data [u8],
    /// Content of `.comment`.
    pub(super) comment: &'data [u8],
    /// Names of the symbol tables.
    pub(super) symbols: Vec<&'data [u8]>,
    /// Names of sections.
    pub(super) sections: Vec<String>,
    /// Whether a `PT_NOTE` names Go.
    pub(super) go_note: bool,
}

/// First what only one compiler leaves, then what survives stripping.
pub(super) fn guess(traces: &Traces<'_>) -> Option<Language> {
    let has = |hay: &[u8], needle: &str| memmem::find(hay, needle.as_bytes()).is_some();
    let symbol = |needle: &str| traces.symbols.iter().any(|names| has(names, needle));
    let section = |name: &str| traces.sections.iter().any(|section| section == name);

    if traces.go_note || section(".go.buildinfo") || section(".gopclntab") {
        return Some(Language::Go);
    }
    if has(traces.comment, "rustc version")
        || symbol("rust_begin_unwind")
        || symbol("rust_panic")
        || symbol("_RN")
        || has(traces.data, "/rustc/")
        || has(traces.data, "library/core/src/")
    {
        return Some(Language::Rust);
    }
    if symbol("posixCallMainAndExit") || symbol("builtin.zig") || has(traces.data, "std/start.zig")
    {
        return Some(Language::Zig);
    }
    if symbol("__gxx_personality_v0") || symbol("_ZNSt") || has(traces.data, "libstdc++.so") {
        return Some(Language::Cpp);
    }
    let c = ["GCC: (", "clang version", "Linker: LLD"];
    (c.iter().any(|name| has(traces.comment, name)) || symbol("__libc_start_main"))
        .then_some(Language::C)
}
