//! From files to code that can be instantiated: mapped where it was made ahead
//! of time, else made here and now by the quickest compiler that can.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use crate::arguments::Start;
use crate::failure::{Failure, NOT_EXECUTABLE, USAGE};
use crate::settings::{Compiler, REQUESTS, Rooms, engine};
use crate::trusted;

/// Code that can be instantiated.
pub(crate) enum Code {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

/// What the first eight bytes say (core specification, "Modules"; component
/// model, Binary.md: the second half is a version and a layer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// The interface of what handles requests, in all of its versions.
pub(crate) const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// Past this length only the end is searched: exports stand there.
const SEARCHED: u64 = 1 << 20;

/// A module smaller than this is compiled before a second thread has started.
const WORTH_THREADS: usize = 4 << 10;

impl Kind {
    /// By its first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, Failure> {
        let wrong = |why: &str| Err(Failure::new(NOT_EXECUTABLE, why));
        match bytes {
            [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Self::Module),
            [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(Self::Component),
            [b'\0', b'a', b's', b'm', _, _, _, _, ..] => {
                wrong("this is WebAssembly of a version that is not known here")
            }
            _ => wrong("this is no WebAssembly: it does not begin with \\0asm"),
        }
    }
}

/// A module that is to be started, as far as that is known without reading it
/// whole.
pub(crate) struct Source {
    /// Its bytes, where they had to be read.
    bytes: Option<Vec<u8>>,
    /// Whether it seems to handle requests: a wrong answer costs time and
    /// nothing else.
    pub(crate) seems_handler: bool,
}

impl Source {
    /// The module that is named.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(USAGE, format!("reading {}", path.display())).because_of(&error)
        };
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length <= SEARCHED {
            let bytes = read(path)?;
            return Ok(Self {
                seems_handler: names_handler(&bytes),
                bytes: Some(bytes),
            });
        }
        let from = SeekFrom::End(-(SEARCHED.cast_signed() >> 4));
        file.seek(from).map_err(failed)?;
        let mut end = Vec::new();
        file.take(SEARCHED).read_to_end(&mut end).map_err(failed)?;
        Ok(Self {
            seems_handler: names_handler(&end),
            bytes: None,
        })
    }

    /// Its code.
    pub(crate) fn load(self, start: &Start) -> Result<(Engine, Code), Failure> {
        let rooms = match self.seems_handler {
            true => Rooms::Pool(REQUESTS),
            false => Rooms::Single,
        };
        if let Some(file) = &start.compiled
            && let Some(found) = mapped(file, rooms)
        {
            return Ok(found);
        }
        let bytes = match self.bytes {
            Some(bytes) => bytes,
            None => read(&start.module)?,
        };
        quick(&bytes, rooms)
    }
}

/// Code that was made ahead of time; nothing if it is of another version, of
/// another machine, or no such code at all: then it is made again.
pub(crate) fn mapped(file: &Path, rooms: Rooms) -> Option<(Engine, Code)> {
    let kind = match Engine::detect_precompiled_file(file).ok()?? {
        Precompiled::Module => Kind::Module,
        Precompiled::Component => Kind::Component,
    };
    let engine = engine(Compiler::None, kind == Kind::Component, rooms, false).ok()?;
    let code = match kind {
        Kind::Module => trusted::module(&engine, file).map(Code::Module),
        Kind::Component => trusted::component(&engine, file).map(Code::Component),
    };
    Some((engine, code.ok()?))
}

/// Code by the quickest compiler that knows all that the module uses.
pub(crate) fn quick(bytes: &[u8], rooms: Rooms) -> Result<(Engine, Code), Failure> {
    let quick = compiled(Compiler::Quick, bytes, rooms);
    quick.or_else(|_| compiled(Compiler::Plain, bytes, rooms))
}

fn compiled(compiler: Compiler, bytes: &[u8], rooms: Rooms) -> Result<(Engine, Code), Failure> {
    let kind = Kind::of(bytes)?;
    let threads = bytes.len() >= WORTH_THREADS;
    let engine = engine(compiler, kind == Kind::Component, rooms, threads)?;
    let code = match kind {
        Kind::Module => Module::from_binary(&engine, bytes).map(Code::Module),
        Kind::Component => Component::from_binary(&engine, bytes).map(Code::Component),
    };
    code.map(|code| (engine, code))
        .map_err(|error| invalid(&error))
}

/// What the validator, or the compiler, has against a module.
pub(crate) fn invalid(error: &wasmtime::Error) -> Failure {
    Failure::new(
        NOT_EXECUTABLE,
        "the module is not valid, or uses what this engine lacks",
    )
    .because(error)
}

/// The bytes of a module.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::new(USAGE, format!("reading {}", path.display())).because_of(&error)
    })
}

/// Whether the interface of what handles requests is named.
fn names_handler(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, HANDLER.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_known_forms_are_webassembly() {
        assert_eq!(Kind::of(b"\0asm\x01\0\0\0").unwrap(), Kind::Module);
        assert_eq!(Kind::of(b"\0asm\x0d\0\x01\0..").unwrap(), Kind::Component);
        for bytes in [&b""[..], b"\0asm", b"\0asm\x02\0\0\0", b"\x7fELF\x01\0\0\0"] {
            assert_eq!(Kind::of(bytes).unwrap_err().code, NOT_EXECUTABLE);
        }
    }

    #[test]
    fn a_module_is_made_code_quickly_and_a_broken_one_is_told() {
        // One exported function that returns 7.
        let module = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x06\x01\x04\0\x41\x07\x0b";
        assert!(quick(module, Rooms::Single).is_ok());
        for length in 9..module.len() {
            let cut = quick(&module[..length], Rooms::Single);
            // A cut at a section's end leaves a valid module without the rest.
            if let Err(failure) = cut {
                assert_eq!(failure.code, NOT_EXECUTABLE);
            }
        }
    }
}
