//! WebAssembly on this machine: where the engine is, which code of a module is
//! there already, and making it beside a start that did without.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use ounce_oci::{Digest, Image};
use ounce_rootfs::WasmFacts;
use ounce_run::image::Overrides;
use ounce_run::spec::{DEFAULT_PATH, Spec, User};
use ounce_run::wasm::{self, Engine, Options};

use crate::commands::Context;
use crate::failure::{Failure, Kind};
use crate::output::warn;

/// The engine's program.
pub(crate) const ENGINE: &str = ounce_build::wasm::ENGINE;
/// Where it is, if not beside ounce.
const VARIABLE: &str = "OUNCE_WASMHOST";
/// The command that makes code ahead of time, for ounce itself.
const AHEAD: &str = "ahead";
/// What handles requests exports it.
const HANDLER: &str = "wasi:http/incoming-handler";

/// A module that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// The file on the host.
    host: PathBuf,
    engine: Engine,
    /// Where code of it is kept.
    compiled: PathBuf,
    /// The exported function to be called.
    pub(crate) invoke: Option<String>,
}

/// The engine's program: as the environment says, else beside this one.
pub(crate) fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let own = std::env::current_exe().ok()?;
    let beside = own.parent()?.join(ENGINE);
    beside.is_file().then_some(beside)
}

/// The engine.
///
/// # Errors
/// It is not installed, with what to do.
pub(crate) fn engine() -> Result<Engine, Failure> {
    let Some(program) = program() else {
        return Err(Failure::new(
            Kind::Host,
            format!("WebAssembly is run by {ENGINE}, which is not beside ounce"),
        )
        .hint(format!(
            "put it there, or say where it is: {VARIABLE}=FILE; how it is built: docs/wasm.md"
        )));
    };
    Engine::at(&program).map_err(|error| {
        Failure::new(
            Kind::Host,
            format!("the engine of WebAssembly, {}: {error}", program.display()),
        )
        .hint(format!(
            "{VARIABLE} says where it is, else it is beside ounce"
        ))
    })
}

impl Module {
    /// The module at `host`, whose code is kept by `key`.
    ///
    /// # Errors
    /// There is no engine, or no place to keep code.
    pub(crate) fn new(context: &Context, host: PathBuf, key: &str) -> Result<Self, Failure> {
        let engine = engine()?;
        Ok(Self {
            compiled: engine.compiled(&context.compiled()?, key),
            host,
            engine,
            invoke: None,
        })
    }

    /// Code of it that is there and ours.
    fn code(&self) -> Option<&Path> {
        wasm::is_trusted(&self.compiled).then_some(self.compiled.as_path())
    }

    /// Makes the spec the engine's; everything else about it is settled.
    pub(crate) fn apply(&self, spec: &mut Spec, options: Options) {
        // It looks for no programs.
        spec.environment.retain(|variable| variable != DEFAULT_PATH);
        let options = Options {
            invoke: self.invoke.clone(),
            ..options
        };
        wasm::apply(spec, &self.engine, &self.host, self.code(), &options);
    }

    /// Has code made beside what runs, for the next start; that it cannot be is
    /// no fault of this one's.
    pub(crate) fn make_ahead(&self) {
        if self.code().is_some() {
            return;
        }
        let Ok(exe) = std::env::current_exe() else {
            return;
        };
        let _ = Command::new(exe)
            .arg(AHEAD)
            .args([&self.engine.program, &self.host, &self.compiled])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // It goes on when the start is interrupted, or over.
            .process_group(0)
            .spawn();
    }
}

/// The module of an image that was unpacked to `root`: the file it starts, and
/// whether it handles requests.
///
/// # Errors
/// The file is not there, or broken.
pub(crate) fn of_image(
    context: &Context,
    image: &Image,
    root: &Path,
    entrypoint: Option<&OsString>,
) -> Result<(Module, bool), Failure> {
    let name = entrypoint.ok_or_else(|| {
        Failure::new(
            Kind::Input,
            "the image of a WebAssembly module does not name it",
        )
        .hint("its configuration has no entry point")
    })?;
    let inside = Path::new(name);
    let host = root.join(inside.strip_prefix("/").unwrap_or(inside));
    let facts = facts(&host, name)?;
    let module = Module::new(context, host, &image.digest.hex())?;
    Ok((module, facts.exports(HANDLER)))
}

/// The module in a file that is no image.
///
/// # Errors
/// It is broken, or there is no engine.
pub(crate) fn of_file(context: &Context, path: &Path) -> Result<(Module, bool), Failure> {
    let bytes = read(path)?;
    let facts = parsed(&bytes, path.as_os_str())?;
    let module = Module::new(context, path.to_owned(), &Digest::of(&bytes).hex())?;
    Ok((module, facts.exports(HANDLER)))
}

/// What a component of web pages shows first, as HTML. What is wrong with it the
/// engine says itself.
///
/// # Errors
/// There is no engine, or the module shows nothing.
pub(crate) fn first_view(module: &Path) -> Result<String, Failure> {
    let engine = engine()?;
    let html = wasm::first_view(&engine, module, std::io::stderr().as_fd());
    let html = html.map_err(|error| {
        let kind = match &error {
            wasm::CompileError::NoView { .. } => Kind::Input,
            _ => Kind::Host,
        };
        Failure::new(kind, error)
            .hint("without --first-view the page shows it once its script has run")
    })?;
    // The engine writes nothing else.
    let html = String::from_utf8_lossy(&html);
    Ok(html.trim_end_matches('\n').to_owned())
}

/// Whether a file begins as WebAssembly does.
pub(crate) fn is_wasm(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 4];
    std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && ounce_rootfs::wasm::is_wasm(&head)
}

fn facts(host: &Path, name: &OsString) -> Result<WasmFacts, Failure> {
    // A link would lead out of the image.
    if !std::fs::symlink_metadata(host).is_ok_and(|data| data.is_file()) {
        return Err(Failure::new(
            Kind::NotFound,
            format!("there is no module {} in the image", name.display()),
        ));
    }
    parsed(&read(host)?, name)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::new(Kind::Input, format!("{}: {error}", path.display())))
}

fn parsed(bytes: &[u8], name: &std::ffi::OsStr) -> Result<WasmFacts, Failure> {
    WasmFacts::read(bytes).map_err(|error| {
        let text = format!(
            "{} is no WebAssembly that can be run: {error}",
            name.display()
        );
        Failure::new(Kind::NotExecutable, text)
            .hint("a copy that was cut short looks so: build or pull it again")
    })
}

/// The spec of a module, and which function of it is to be called: an entry
/// point that is asked for names one, there is no other program.
pub(crate) fn overrides(mut overrides: Overrides) -> (Overrides, Option<String>) {
    let asked = overrides.entrypoint.take();
    let invoke = asked
        .and_then(|words| words.into_iter().next())
        .map(|word| word.to_string_lossy().into_owned());
    (overrides, invoke)
}

/// What of a spec is otherwise than a program's, before the user's own wishes:
/// arguments of a function that is called are those given alone, nothing needs to
/// be user 0, and there is no `/tmp` that nobody has asked for.
pub(crate) fn settle(spec: &mut Spec, arguments: Vec<OsString>, invoke: bool, user: bool) {
    spec.tmpfs.clear();
    if invoke {
        spec.arguments = arguments;
    }
    if !user && spec.user.uid == 0 {
        spec.user = User::default();
    }
}

/// Whether the program was called to make code, and what came of it then.
pub(crate) fn intercept() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != AHEAD {
        return None;
    }
    let mut path = || words.next().map(PathBuf::from);
    let (Some(program), Some(module), Some(compiled)) = (path(), path(), path()) else {
        warn("error: ounce ahead is for ounce itself");
        return Some(Kind::Usage.code().into());
    };
    // Somebody else was faster.
    if wasm::is_trusted(&compiled) {
        return Some(ExitCode::SUCCESS);
    }
    let made = Engine::at(&program)
        .map_err(|error| error.to_string())
        .and_then(|engine| {
            wasm::compile(&engine, &module, &compiled).map_err(|error| error.to_string())
        });
    Some(match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&format!("error: {error}"));
            Kind::Host.code().into()
        }
    })
}
