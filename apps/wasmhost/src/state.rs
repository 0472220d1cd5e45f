//! What stands behind the imports of a module: WASI, as far as it is granted.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::arguments::Start;
use crate::failure::{Failure, USAGE};
use crate::memory::Memory;
use crate::outgoing::{Outgoing, tell_denied};

/// Of a core module.
pub(crate) struct Core {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) memory: Memory,
}

/// Of a component.
pub(crate) struct Whole {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Outgoing,
    pub(crate) memory: Memory,
}

impl Core {
    pub(crate) fn new(start: &Start) -> Result<Self, Failure> {
        Ok(Self {
            wasi: granted(start)?.build_p1(),
            memory: Memory::new(start.memory_bytes),
        })
    }
}

impl Whole {
    pub(crate) fn new(start: &Start) -> Result<Self, Failure> {
        Ok(Self {
            wasi: granted(start)?.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            hooks: Outgoing {
                is_granted: start.network,
            },
            memory: Memory::new(start.memory_bytes),
        })
    }
}

/// The environment but for what is meant for this process, as texts.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    let own = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(move |(name, _)| !own.contains(&name.as_str()))
}

/// Texts, streams, clocks and random numbers always; files and the network as
/// the command line grants them.
fn granted(start: &Start) -> Result<WasiCtxBuilder, Failure> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio();
    // One module a process: nobody else waits for what it waits for.
    wasi.allow_blocking_current_thread(true);
    let name = start.name.clone().unwrap_or_else(|| {
        let name = start.module.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    });
    wasi.arg(name);
    wasi.args(&start.arguments);
    wasi.envs(&start.environment);
    for (folder, writable) in &start.folders {
        let permissions = match writable {
            true => FsPerms::ReadWrite,
            false => FsPerms::ReadOnly,
        };
        let guest = folder.to_string_lossy();
        wasi.preopened_dir(folder, guest, permissions)
            .map_err(|error| {
                Failure::new(USAGE, format!("opening {}", folder.display())).because(&error)
            })?;
    }
    if let Some(folder) = &start.cwd {
        // As much as the folder that it lies in.
        let granted = start
            .folders
            .iter()
            .filter(|(path, _)| folder.starts_with(path));
        let granted = granted.max_by_key(|(path, _)| path.components().count());
        let Some((_, writable)) = granted else {
            let text = format!("the working folder {} is not granted", folder.display());
            return Err(Failure::new(USAGE, text).hint(
                "ounce run --volume HOST:PATH grants one; --workdir names it, or one beneath",
            ));
        };
        let permissions = match writable {
            true => FsPerms::ReadWrite,
            false => FsPerms::ReadOnly,
        };
        wasi.preopened_dir(folder, "/", permissions)
            .map_err(|error| {
                Failure::new(USAGE, format!("opening {}", folder.display())).because(&error)
            })?;
        wasi.initial_cwd("/");
    }
    // Sockets can be made by everybody: where they lead is what is granted.
    wasi.allow_tcp(true).allow_udp(true);
    if start.network {
        wasi.inherit_network().allow_ip_name_lookup(true);
    } else {
        wasi.socket_addr_check(|_, _| {
            tell_denied("opens a socket");
            Box::pin(async { false })
        });
    }
    Ok(wasi)
}

impl WasiView for Whole {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Whole {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}
