//! WebAssembly in a container: its program is the engine, its one file the
//! module. From a spec of the image to one of the engine, and code made ahead of
//! time: where it is kept, when it is trusted, and how it is made.
//!
//! What the engine does with a module is its own matter (`apps/wasmhost`); where
//! the engine is, the caller knows.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ounce_oci::wasm::MODULE_NAME;

use crate::failure::StartError;
use crate::lifecycle::{Container, Exit, start_with};
use crate::spec::{Limits, Network, Part, Root, Spec, SystemCalls};

/// The engine's place in a container.
pub const ENGINE_PLACE: &str = "/.ounce-wasmhost";
/// The place of code that was made ahead of time.
const COMPILED_PLACE: &str = "/.ounce-compiled";
/// Of a limit on a container's memory, what the engine itself may take: an
/// eighth, and so much at most.
const ENGINE_BYTES: u64 = 16 << 20;
/// Most memory that compiling a module may take.
const COMPILER_BYTES: u64 = 2 << 30;
/// Most memory, time and text of a component's first view.
const VIEW_BYTES: u64 = 256 << 20;
const VIEW_TIME_MS: &str = "5000";
const MOST_HTML_BYTES: u64 = 16 << 20;

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its program, on the host.
    pub program: PathBuf,
    /// Tells one build of it from another, and one kind of processor.
    identity: String,
}

impl Engine {
    /// The engine whose program this is.
    ///
    /// # Errors
    /// It is not there, or no program.
    pub fn at(program: &Path) -> io::Result<Self> {
        let program = program.canonicalize()?;
        let data = fs::metadata(&program)?;
        if !data.is_file() || data.mode() & 0o111 == 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "not a program",
            ));
        }
        let text = format!(
            "{} {} {} {} {}.{} {}",
            program.display(),
            data.dev(),
            data.ino(),
            data.size(),
            data.mtime(),
            data.mtime_nsec(),
            processor()
        );
        // FNV-1a: it parts folders, and what is in them is checked by the engine.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(Self {
            program,
            identity: format!("{hash:016x}"),
        })
    }

    /// Where code of the module `key` is kept in `cache`.
    pub fn compiled(&self, cache: &Path, key: &str) -> PathBuf {
        cache.join(&self.identity).join(format!("{key}.code"))
    }

    /// Takes away what other builds of the engine have made.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn collect(&self, cache: &Path) -> io::Result<u64> {
        let entries = match fs::read_dir(cache) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != *self.identity {
                fs::remove_dir_all(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// The features of the processor that code is made for, as far as the engine's
/// compiler asks for them. The engine checks each again before it runs code.
#[cfg(target_arch = "x86_64")]
fn processor() -> String {
    use std::arch::is_x86_feature_detected as has;
    let features = [
        has!("sse3"),
        has!("ssse3"),
        has!("sse4.1"),
        has!("sse4.2"),
        has!("popcnt"),
        has!("avx"),
        has!("avx2"),
        has!("fma"),
        has!("bmi1"),
        has!("bmi2"),
        has!("lzcnt"),
        has!("avx512f"),
    ];
    features
        .map(|has| if has { '1' } else { '0' })
        .iter()
        .collect()
}

/// Of other architectures the engine alone checks.
#[cfg(not(target_arch = "x86_64"))]
fn processor() -> String {
    std::env::consts::ARCH.to_owned()
}

/// Whether code that is kept there was made by us: a plain file of this user's,
/// in a folder of this user's, that nobody else can write. What an image brings
/// never gets there.
pub fn is_trusted(compiled: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let is_own = |path: &Path, folder: bool| {
        fs::symlink_metadata(path).is_ok_and(|data| {
            data.is_dir() == folder
                && data.is_file() != folder
                && data.uid() == own
                && data.mode() & 0o022 == 0
        })
    };
    is_own(compiled, false) && compiled.parent().is_some_and(|folder| is_own(folder, true))
}

/// What a start of a module gets beside what the spec says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The exported function to be called.
    pub invoke: Option<String>,
    /// How long a command, or a request, may take.
    pub deadline: Option<Duration>,
    /// Whether ports are published that the module itself listens at.
    pub listens: bool,
}

/// Makes the spec of a module that of the engine with the module: `module` is
/// the file on the host, `compiled` the code that was made of it, if it was.
pub fn apply(
    spec: &mut Spec,
    engine: &Engine,
    module: &Path,
    compiled: Option<&Path>,
    options: &Options,
) {
    let file = |host: &Path, place: &str| Part::File {
        host: host.to_owned(),
        name: place.trim_start_matches('/').into(),
    };
    let inside = format!("/{MODULE_NAME}");
    let mut parts = vec![file(&engine.program, ENGINE_PLACE), file(module, &inside)];
    let mut words: Vec<OsString> = vec![ENGINE_PLACE.into(), "run".into()];
    if let Some(compiled) = compiled {
        parts.push(file(compiled, COMPILED_PLACE));
        words.extend(["--compiled".into(), COMPILED_PLACE.into()]);
    }
    for volume in &spec.volumes {
        if volume.host.is_dir() {
            let option = match volume.read_only {
                true => "--dir-ro",
                false => "--dir",
            };
            words.extend([option.into(), volume.target.clone().into()]);
        }
    }
    for tmpfs in &spec.tmpfs {
        words.extend(["--dir".into(), tmpfs.target.clone().into()]);
    }
    if spec.workdir != Path::new("/") {
        words.extend(["--cwd".into(), spec.workdir.clone().into()]);
    }
    let is_granted = match spec.network {
        Network::Host | Network::Bridge => true,
        Network::Private => options.listens,
        Network::None => false,
    };
    if is_granted {
        words.push("--network".into());
    }
    if let Some(bytes) = spec.limits.memory_bytes {
        let own = (bytes / 8).min(ENGINE_BYTES);
        words.extend(["--memory".into(), (bytes - own).to_string().into()]);
    }
    if let Some(deadline) = options.deadline {
        words.extend(["--timeout".into(), deadline.as_millis().to_string().into()]);
    }
    if let Some(function) = &options.invoke {
        words.extend(["--invoke".into(), function.into()]);
    }
    words.extend([inside.into(), "--".into()]);
    let after = usize::from(options.invoke.is_none()).min(spec.arguments.len());
    words.extend(spec.arguments.drain(..).skip(after));
    spec.arguments = words;
    spec.root = Root::Assembled(parts);
    spec.workdir = PathBuf::from("/");
    spec.sys = false;
    // A list of what the module calls is not what the engine calls.
    if matches!(spec.system_calls, SystemCalls::Only(_)) {
        spec.system_calls = SystemCalls::Default;
    }
}

/// The engine did not do what it was asked for beside a start.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The cache cannot be written.
    #[error("writing {}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compiler could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine could not be asked.
    #[error("asking for the first view of {}", module.display())]
    View {
        /// The module.
        module: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It shows nothing.
    #[error("{} has no first view: its run ended by {}", module.display(), exit.code())]
    NoView {
        /// The module.
        module: PathBuf,
        /// How it ended.
        exit: Exit,
    },
    /// It did not take the module.
    #[error("the engine did not compile {}, and ended by {}", module.display(), exit.code())]
    Refused {
        /// The module.
        module: PathBuf,
        /// How it ended.
        exit: Exit,
    },
}

/// Starts the engine on a module in a container that has nothing else.
fn contained(
    engine: &Engine,
    module: &Path,
    words: &[&str],
    memory_bytes: u64,
    stdio: [BorrowedFd<'_>; 3],
) -> Result<Container, StartError> {
    let file = |host: &Path, place: &str| Part::File {
        host: host.to_owned(),
        name: place.trim_start_matches('/').into(),
    };
    let inside = format!("/{MODULE_NAME}");
    let root = Root::Assembled(vec![
        file(&engine.program, ENGINE_PLACE),
        file(module, &inside),
    ]);
    let words = [&[ENGINE_PLACE], words, &[&*inside]].concat();
    let mut spec = Spec::new(root, words.into_iter().map(OsString::from).collect());
    spec.network = Network::None;
    spec.sys = false;
    // Where a limit can be enforced: else the machine's own is left.
    spec.limits = Limits {
        memory_bytes: Some(memory_bytes),
        ..Limits::default()
    };
    match start_with(&spec, stdio) {
        Err(StartError::Plan(_)) => {
            spec.limits = Limits::default();
            start_with(&spec, stdio)
        }
        started => started,
    }
}

/// What a component of web pages shows first, as HTML; what it has against that
/// goes to `told`.
///
/// # Errors
/// See [`CompileError`].
pub fn first_view(
    engine: &Engine,
    module: &Path,
    told: BorrowedFd<'_>,
) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::View {
        module: module.to_owned(),
        source,
    };
    let nothing = fs::File::open("/dev/null").map_err(failed)?;
    let (from, to) = io::pipe().map_err(failed)?;
    let words = ["run", "--timeout", VIEW_TIME_MS];
    let stdio = [nothing.as_fd(), to.as_fd(), told];
    let mut container = contained(engine, module, &words, VIEW_BYTES, stdio)?;
    drop(to);
    let mut html = Vec::new();
    // What is longer meets a closed pipe.
    let read = from.take(MOST_HTML_BYTES).read_to_end(&mut html);
    let exit = container.wait().map_err(failed)?;
    read.map_err(failed)?;
    match exit {
        Exit::Code(0) => Ok(html),
        exit => Err(CompileError::NoView {
            module: module.to_owned(),
            exit,
        }),
    }
}

/// Makes code of a module and keeps it at `compiled`. The compiler reads what
/// others wrote, so it works in a container like any other, with nothing but
/// the module and an open file to write to.
///
/// # Errors
/// See [`CompileError`]; nothing is left then.
pub fn compile(engine: &Engine, module: &Path, compiled: &Path) -> Result<(), CompileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CompileError::Write { path, source }
    };
    if let Some(folder) = compiled.parent() {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(failed(folder))?;
    }
    let aside = compiled.with_extension(std::process::id().to_string());
    let mut options = fs::File::options();
    let out = options
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&aside);
    let out = out.map_err(failed(&aside))?;
    let result = (|| {
        let null = Path::new("/dev/null");
        let nothing = fs::File::options().read(true).write(true).open(null);
        let nothing = nothing.map_err(failed(null))?;
        let stdio = [nothing.as_fd(), out.as_fd(), nothing.as_fd()];
        let mut container = contained(engine, module, &["compile"], COMPILER_BYTES, stdio)?;
        let exit = container.wait().map_err(failed(module))?;
        if exit != Exit::Code(0) {
            return Err(CompileError::Refused {
                module: module.to_owned(),
                exit,
            });
        }
        // Never in the place of another: a start may be about to mount that, and
        // what has lost its name cannot be mounted.
        match fs::hard_link(&aside, compiled) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed(compiled)(error))
            }
            _ => Ok(()),
        }
    })();
    let _ = fs::remove_file(&aside);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Tmpfs, Volume};

    fn engine(folder: &Path) -> Engine {
        let program = folder.join("engine");
        fs::write(&program, "").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, mode).unwrap();
        Engine::at(&program).unwrap()
    }

    #[test]
    fn a_module_becomes_a_container_of_the_engine_with_what_was_granted() {
        let home = tempfile::tempdir().unwrap();
        let engine = engine(home.path());
        let words = ["/module.wasm", "a", "--b"].map(OsString::from);
        let mut spec = Spec::new(Root::Folder("/r".into()), words.into());
        spec.volumes.push(Volume {
            host: home.path().to_owned(),
            target: "/data".into(),
            read_only: true,
        });
        spec.tmpfs = vec!["/tmp".parse::<Tmpfs>().unwrap()];
        spec.limits.memory_bytes = Some(8 << 20);
        spec.workdir = "/data".into();
        let options = Options {
            deadline: Some(Duration::from_secs(2)),
            ..Options::default()
        };
        let module = Path::new("/r/module.wasm");
        let mut called = spec.clone();
        apply(&mut spec, &engine, module, Some(Path::new("/c")), &options);
        let words: Vec<&str> = spec.arguments.iter().filter_map(|it| it.to_str()).collect();
        assert_eq!(
            words.join(" "),
            "/.ounce-wasmhost run --compiled /.ounce-compiled --dir-ro /data --dir /tmp \
             --cwd /data --memory 7340032 --timeout 2000 /module.wasm -- a --b"
        );
        let Root::Assembled(parts) = &spec.root else {
            panic!("{:?}", spec.root);
        };
        assert_eq!(parts.len(), 3);
        // A function that is called has no name of a program before its arguments.
        called.arguments = vec!["7".into()];
        called.network = Network::Host;
        let options = Options {
            invoke: Some("f".into()),
            ..Options::default()
        };
        apply(&mut called, &engine, module, None, &options);
        let words: Vec<&str> = called
            .arguments
            .iter()
            .filter_map(|it| it.to_str())
            .collect();
        assert!(
            words.ends_with(&["--invoke", "f", "/module.wasm", "--", "7"]),
            "{words:?}"
        );
        assert!(words.contains(&"--network"));
    }

    #[test]
    fn code_that_somebody_else_can_write_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let engine = engine(home.path());
        let file = engine.compiled(home.path(), "key");
        let folder = file.parent().unwrap();
        fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
        assert!(!is_trusted(&file));
        fs::write(&file, "code").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&file, 0o400);
        assert!(is_trusted(&file));
        mode(&file, 0o622);
        assert!(!is_trusted(&file));
        mode(&file, 0o400);
        mode(folder, 0o777);
        assert!(!is_trusted(&file));
        mode(folder, 0o700);
        let link = folder.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(!is_trusted(&link));
        fs::create_dir(home.path().join("older")).unwrap();
        assert_eq!(engine.collect(&home.path().join("none")).unwrap(), 0);
        fs::remove_file(home.path().join("engine")).unwrap();
        assert_eq!(engine.collect(home.path()).unwrap(), 1);
        assert!(file.exists());
    }
}
