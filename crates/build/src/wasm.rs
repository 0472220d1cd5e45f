//! A WebAssembly module on its way into an image: made a component where it
//! carries a world, optimised where `wasm-opt` is installed, stripped, and told
//! by what it imports and exports.
//!
//! What runs is never touched by hand: components are made by ounce's engine,
//! which has the tools for it, code is changed by `wasm-opt` alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ounce_oci::model::{Descriptor, MediaType};
use ounce_oci::store::StoreWriter;
use ounce_oci::wasm::{
    ARCHITECTURE, CONFIG, Empty, MODULE, MODULE_NAME, RunConfig, WasmConfig, World,
};
use ounce_oci::{Digest, Platform};
use ounce_rootfs::WasmFacts;
use ounce_rootfs::wasm::{StripError, WasmError, WasmKind, strip};

use crate::Event;
use crate::compile::Saved;
use crate::recipe::{ImageRecipe, WasmRecipe};
use crate::toolchain::Toolchain;

/// The engine's program, which makes components as well.
pub const ENGINE: &str = "ounce-wasmhost";
/// The optimiser of the binaryen project.
const OPTIMISER: &str = "wasm-opt";
/// What rustc enables by itself (its documentation of wasm32-unknown-unknown):
/// with more, code would come out that quick compilers do not take.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// A module cannot be made an image of.
#[derive(Debug, thiserror::Error)]
pub enum WasmBuildError {
    /// It is broken.
    #[error("{} is no WebAssembly that can be read", path.display())]
    Wasm {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: WasmError,
    },
    /// It cannot be stripped.
    #[error("stripping {}", path.display())]
    Strip {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StripError,
    },
    /// It carries a world, and nothing is there to make a component of it.
    #[error("{} carries the world {world}, and {ENGINE}, which makes components, is not here", path.display())]
    NoEngine {
        /// The file.
        path: PathBuf,
        /// The world.
        world: String,
    },
    /// A tool could not be started, or its files not be written.
    #[error("calling {}", tool.display())]
    Tool {
        /// Which.
        tool: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine does not take it.
    #[error("{ENGINE} does not take {}: {said}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Its words.
        said: String,
    },
}

impl WasmBuildError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoEngine { .. } => vec![format!(
                "put {ENGINE} beside ounce, or say by OUNCE_WASMHOST where it is: docs/wasm.md"
            )],
            Self::Wasm { .. } => {
                vec!["compile it again: a copy that was cut short looks so".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// The platform that stands for a module of this target triple, as far as the
/// triple tells.
pub fn platform_of_target(triple: &str) -> Option<Platform> {
    let rest = triple
        .strip_prefix("wasm32-")
        .or_else(|| triple.strip_prefix("wasm32v1-"))?;
    let os = match rest {
        "wasip2" => "wasip2",
        _ => "wasip1",
    };
    Some(platform(os))
}

/// Whether a platform is WebAssembly.
pub(crate) fn is_wasm(platform: &Platform) -> bool {
    platform.architecture == ARCHITECTURE
}

fn platform(os: &str) -> Platform {
    Platform {
        os: os.to_owned(),
        architecture: ARCHITECTURE.to_owned(),
        variant: None,
    }
}

/// The platform of a ready module, by its first bytes: a component's is that
/// of preview 2.
pub(crate) fn platform_of(bytes: &[u8]) -> Option<Platform> {
    match bytes.get(..8)? {
        [b'\0', b'a', b's', b'm', _, _, 1, _] => Some(platform("wasip2")),
        [b'\0', b'a', b's', b'm', ..] => Some(platform("wasip1")),
        _ => None,
    }
}

/// What there is to work with.
pub(crate) fn recipe(toolchain: &Toolchain, engine: Option<&Path>) -> WasmRecipe {
    WasmRecipe {
        optimiser: toolchain.find(OPTIMISER),
        engine: engine.map(Path::to_owned),
    }
}

/// A module as it will be packed.
pub(crate) struct Module {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: WasmFacts,
    pub(crate) saved: Vec<Saved>,
}

/// Makes of a compiled module what is packed.
pub(crate) fn finish(
    path: &Path,
    bytes: Vec<u8>,
    recipe: &WasmRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<Module, WasmBuildError> {
    let read = |bytes: &[u8]| {
        WasmFacts::read(bytes).map_err(|source| WasmBuildError::Wasm {
            path: path.to_owned(),
            source,
        })
    };
    let stripped = |bytes: &[u8], worlds| {
        strip(bytes, worlds).map_err(|source| WasmBuildError::Strip {
            path: path.to_owned(),
            source,
        })
    };
    let facts = read(&bytes)?;
    let mut saved = Vec::new();
    let mut tell = |flag: &str, before: u64, after: u64| {
        if before != after {
            saved.push(Saved {
                flag: flag.to_owned(),
                before_bytes: before,
                after_bytes: after,
            });
        }
    };
    let mut now = bytes;
    if let (Some(tool), WasmKind::Module) = (&recipe.optimiser, facts.kind) {
        let before = now.len() as u64;
        match optimised(tool, &now, toolchain)? {
            Some(smaller) if smaller.len() < now.len() => {
                now = smaller;
                tell("wasm-opt -Oz", before, now.len() as u64);
            }
            Some(_) => {}
            None => on(Event::Note(
                "wasm-opt does not take the module, which uses more than rustc enables: it is packed as it is"
                    .to_owned(),
            )),
        }
    }
    // Before it becomes a component: what is read for that stays.
    let bare = stripped(&now, false)?;
    tell(
        "names, producers, debug information",
        now.len() as u64,
        bare.len() as u64,
    );
    now = bare;
    if let Some(world) = facts.worlds.first() {
        let Some(engine) = &recipe.engine else {
            return Err(WasmBuildError::NoEngine {
                path: path.to_owned(),
                world: world.clone(),
            });
        };
        let component = component(engine, path, &now, toolchain)?;
        now = stripped(&component, true)?;
    } else if let Some(engine) = &recipe.engine {
        check(engine, path, &now, toolchain)?;
    }
    let facts = read(&now)?;
    Ok(Module {
        bytes: now,
        facts,
        saved,
    })
}

/// A folder for a tool's files that goes with this value.
struct Aside(PathBuf);

impl Aside {
    fn new(toolchain: &Toolchain, bytes: &[u8]) -> io::Result<Self> {
        let work = toolchain.work().unwrap_or_else(std::env::temp_dir);
        let hex = Digest::of(bytes).hex();
        // Of this process, so that two builds of the same module do not meet.
        let folder = work.join(format!("wasm-{}-{}", &hex[..12], std::process::id()));
        fs::create_dir_all(&folder)?;
        let aside = Self(folder);
        fs::write(aside.module(), bytes)?;
        Ok(aside)
    }

    fn module(&self) -> PathBuf {
        self.0.join(MODULE_NAME)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the optimiser makes of it; nothing if it does not take it.
fn optimised(
    tool: &Path,
    bytes: &[u8],
    toolchain: &Toolchain,
) -> Result<Option<Vec<u8>>, WasmBuildError> {
    let failed = |source| WasmBuildError::Tool {
        tool: tool.to_owned(),
        source,
    };
    let aside = Aside::new(toolchain, bytes).map_err(failed)?;
    let out = aside.0.join("optimised.wasm");
    let status = toolchain
        .command(tool, &aside.0)
        .arg("-Oz")
        .args(FEATURES)
        .arg(aside.module())
        .arg("-o")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(failed)?;
    if !status.success() {
        return Ok(None);
    }
    fs::read(&out).map(Some).map_err(failed)
}

/// The component of a module that carries its world.
fn component(
    engine: &Path,
    path: &Path,
    bytes: &[u8],
    toolchain: &Toolchain,
) -> Result<Vec<u8>, WasmBuildError> {
    called(engine, "component", path, bytes, toolchain)
}

/// Refuses what the engine's validator does.
fn check(
    engine: &Path,
    path: &Path,
    bytes: &[u8],
    toolchain: &Toolchain,
) -> Result<(), WasmBuildError> {
    called(engine, "check", path, bytes, toolchain).map(|_| ())
}

fn called(
    engine: &Path,
    verb: &str,
    path: &Path,
    bytes: &[u8],
    toolchain: &Toolchain,
) -> Result<Vec<u8>, WasmBuildError> {
    let failed = |source| WasmBuildError::Tool {
        tool: engine.to_owned(),
        source,
    };
    let aside = Aside::new(toolchain, bytes).map_err(failed)?;
    let output = toolchain
        .command(engine, &aside.0)
        .arg(verb)
        .arg(aside.module())
        .output()
        .map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = said.lines().map(|line| {
        let line = line.trim_start_matches("error: ");
        line.trim_start_matches("caused by: ").trim()
    });
    Err(WasmBuildError::Refused {
        path: path.to_owned(),
        said: lines.collect::<Vec<_>>().join(": "),
    })
}

/// What was written of an image.
pub(crate) struct Written {
    pub(crate) platform: Platform,
    pub(crate) config: Descriptor,
    pub(crate) layer: Descriptor,
}

/// Writes module and configuration.
pub(crate) fn write(
    module: &Module,
    image: &ImageRecipe,
    mtime: u64,
    writer: &mut StoreWriter<'_>,
) -> Result<Written, ounce_oci::store::StoreError> {
    let layer = writer.blob(MediaType::Other(MODULE.to_owned()), &module.bytes)?;
    let names = |items: &[ounce_rootfs::wasm::Item]| -> Vec<String> {
        items.iter().map(|item| item.name.clone()).collect()
    };
    let world = World {
        exports: names(&module.facts.exports),
        imports: names(&module.facts.imports),
        target: target(&module.facts),
    };
    let is_component = module.facts.kind == WasmKind::Component;
    let os = match is_component {
        true => "wasip2",
        false => "wasip1",
    };
    let config = WasmConfig {
        created: time(mtime),
        architecture: ARCHITECTURE,
        os: os.to_owned(),
        layer_digests: vec![layer.digest().to_string()],
        component: is_component.then(|| world.clone()),
        module: (!is_component).then_some(world),
        config: RunConfig {
            cmd: image.args.clone(),
            user: image.user.clone(),
            env: image
                .env
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
            exposed_ports: image
                .ports
                .iter()
                .map(|port| (port.clone(), Empty {}))
                .collect(),
            working_dir: image.workdir.clone(),
            labels: image.labels.clone(),
        },
    };
    let config = writer.json(MediaType::Other(CONFIG.to_owned()), &config)?;
    Ok(Written {
        platform: platform(os),
        config,
        layer,
    })
}

/// The world of a component that has one of the two that everybody knows.
fn target(facts: &WasmFacts) -> Option<String> {
    let of = |interface: &str, world: &str| {
        let export = facts.exports.iter().find_map(|item| {
            let version = item.name.strip_prefix(interface)?.strip_prefix('@')?;
            Some(format!("{world}@{version}"))
        });
        export.filter(|_| facts.kind == WasmKind::Component)
    };
    of("wasi:http/incoming-handler", "wasi:http/proxy")
        .or_else(|| of("wasi:cli/run", "wasi:cli/command"))
}

/// Seconds since 1970 as RFC 3339 has them (days to a date: Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn time(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let of_day = seconds % 86_400;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_rfc_3339_has_them() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_790_000_001), "2026-09-21T14:13:21Z");
    }

    #[test]
    fn targets_and_first_bytes_tell_the_platform() {
        let text = |platform: Option<Platform>| platform.map(|it| it.to_string());
        let of = |triple| text(platform_of_target(triple));
        assert_eq!(of("wasm32-wasip2").as_deref(), Some("wasip2/wasm"));
        assert_eq!(of("wasm32-unknown-unknown").as_deref(), Some("wasip1/wasm"));
        assert_eq!(of("wasm32v1-none").as_deref(), Some("wasip1/wasm"));
        assert_eq!(of("x86_64-unknown-linux-musl"), None);
        let bytes = |bytes: &[u8]| text(platform_of(bytes));
        assert_eq!(bytes(b"\0asm\x01\0\0\0").as_deref(), Some("wasip1/wasm"));
        assert_eq!(bytes(b"\0asm\x0d\0\x01\0").as_deref(), Some("wasip2/wasm"));
        assert_eq!(bytes(b"\0asm"), None);
    }
}
