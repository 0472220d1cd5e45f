//! What is made of modules: code ahead of time, components, and a verdict.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use wasmtime::component::Component;
use wasmtime::{Error, Module};
use wit_component::ComponentEncoder;

use crate::failure::{Failure, NOT_EXECUTABLE, USAGE};
use crate::load::{self, Kind, invalid};
use crate::settings::{Compiler, Rooms, engine};

/// Writes code for this machine to standard output.
pub(crate) fn ahead_of_time(file: &Path) -> Result<ExitCode, Failure> {
    let bytes = load::read(file)?;
    let kind = Kind::of(&bytes)?;
    let engine = engine(Compiler::Best, kind == Kind::Component, Rooms::Single, true)?;
    let code = match kind {
        Kind::Module => engine.precompile_module(&bytes),
        Kind::Component => engine.precompile_component(&bytes),
    };
    out(&code.map_err(|error| invalid(&error))?)
}

/// Writes a component to standard output: of a core module that carries its
/// world, as wit-bindgen leaves it there.
pub(crate) fn component(file: &Path) -> Result<ExitCode, Failure> {
    let bytes = load::read(file)?;
    if Kind::of(&bytes)? == Kind::Component {
        return out(&bytes);
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode());
    let component = encoded.map_err(|error| {
        let failure = Failure::new(NOT_EXECUTABLE, "no component can be made of the module");
        error
            .chain()
            .fold(failure, |failure, cause| {
                failure.because(&Error::msg(cause.to_string()))
            })
            .hint("it has to carry its world, as wit-bindgen's macros leave it, and import nothing else")
    })?;
    out(&component)
}

/// Says whether a module is valid, and what it asks for and gives.
pub(crate) fn check(file: &Path) -> Result<ExitCode, Failure> {
    let bytes = load::read(file)?;
    let (engine, code) = load::quick(&bytes, Rooms::Single)?;
    let (kind, imports, exports) = match &code {
        load::Code::Module(module) => ("module", imports_of(module), exports_of(module)),
        load::Code::Component(component) => {
            let (imports, exports) = names_of(component, &engine);
            ("component", imports, exports)
        }
    };
    let mut text = format!("valid {kind}\n");
    for name in imports {
        text.push_str(&format!("import {name}\n"));
    }
    for name in exports {
        text.push_str(&format!("export {name}\n"));
    }
    out(text.as_bytes())
}

fn imports_of(module: &Module) -> Vec<String> {
    module
        .imports()
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect()
}

fn exports_of(module: &Module) -> Vec<String> {
    module
        .exports()
        .map(|export| export.name().to_owned())
        .collect()
}

fn names_of(component: &Component, engine: &wasmtime::Engine) -> (Vec<String>, Vec<String>) {
    let kind = component.component_type();
    let imports = kind.imports(engine).map(|(name, _)| name.to_owned());
    let exports = kind.exports(engine).map(|(name, _)| name.to_owned());
    (imports.collect(), exports.collect())
}

fn out(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written
        .map_err(|error| Failure::new(USAGE, "writing to standard output").because_of(&error))?;
    Ok(ExitCode::SUCCESS)
}
