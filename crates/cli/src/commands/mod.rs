//! One file a verb. Each takes the [`Context`] and its own arguments.

pub(crate) mod attach;
pub(crate) mod base;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod debug;
pub(crate) mod delta;
pub(crate) mod exec;
pub(crate) mod gc;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod keep;
pub(crate) mod key;
pub(crate) mod kill;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod man;
mod page;
pub(crate) mod proxy;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod referrers;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod serve;
pub(crate) mod ship;
pub(crate) mod sign;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod tag;
pub(crate) mod tags;
pub(crate) mod trim;
pub(crate) mod up;
pub(crate) mod update;
pub(crate) mod verify;
pub(crate) mod wait;
pub(crate) mod weigh;

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ounce_oci::engine::EngineKind;
use ounce_oci::fetch::Client;
use ounce_oci::registry::Registry;
use ounce_oci::store::StoreError;
use ounce_oci::{Image, Place, Platform, Store};
use ounce_run::containers::Containers;

use crate::arguments::Global;
use crate::arguments::registry::NetworkOptions;
use crate::failure::{Failure, Kind};
use crate::network;
use crate::output::Output;

/// What every command needs: where the store is and how to print.
#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    /// Where to print.
    pub(crate) output: Output,
}

impl Context {
    /// From the global options and the environment.
    pub(crate) fn new(global: Global) -> Self {
        let output = Output::new(global.json, global.quiet);
        Self { global, output }
    }

    /// Opens the store, making an empty one at the first use.
    ///
    /// # Errors
    /// There is no home folder to put it in, or the store cannot be opened.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(self.store_root()?)?.lock_timeout(self.global.lock_timeout))
    }

    /// The store's folder.
    ///
    /// # Errors
    /// There is no home folder to put it in.
    pub(crate) fn store_root(&self) -> Result<PathBuf, Failure> {
        // An empty variable is as one that is not set.
        let named = self.global.store.as_ref();
        match named.filter(|root| !root.as_os_str().is_empty()) {
            Some(root) => Ok(root.clone()),
            None => home("XDG_DATA_HOME", ".local/share"),
        }
    }

    /// A client of registries.
    pub(crate) fn registry(&self, network: &NetworkOptions) -> Registry {
        Registry::new(network::registry_options(network))
    }

    /// A client for downloads, as the environment says.
    #[expect(dead_code, reason = "what is built from packages downloads them")]
    pub(crate) fn client(&self) -> Client {
        Client::new(network::fetch_options(&NetworkOptions::default()))
    }

    /// The image at a place for a platform, to be run: one in a registry is pulled
    /// into the store first, as by `ounce pull`.
    ///
    /// # Errors
    /// As [`Place::image`] and of the registry.
    pub(crate) fn image(&self, place: &Place, platform: &Platform) -> Result<Image, Failure> {
        match place {
            Place::Registry(remote) => Ok(pull::for_use(self, remote, platform)?.1),
            place => Ok(place.image(&self.store()?, platform)?),
        }
    }

    /// The folder of what starts have kept of images, which can be made again.
    ///
    /// # Errors
    /// As [`Context::unpacked`].
    pub(crate) fn ready(&self) -> Result<PathBuf, Failure> {
        Ok(home("XDG_CACHE_HOME", ".cache")?.join("ready"))
    }

    /// Containers that have a name, in the runtime directory: `OUNCE_RUNTIME_DIR`,
    /// else as `ounce runtime` has it.
    pub(crate) fn containers(&self) -> Containers {
        let named = env::var_os("OUNCE_RUNTIME_DIR").map(PathBuf::from);
        let named = named.filter(|path| path.is_absolute());
        Containers::new(&named.unwrap_or_else(runtime::default_root))
    }

    /// The folder of code that was made of WebAssembly modules.
    ///
    /// # Errors
    /// As [`Context::unpacked`].
    pub(crate) fn compiled(&self) -> Result<PathBuf, Failure> {
        Ok(home("XDG_CACHE_HOME", ".cache")?.join("wasm"))
    }

    /// The folder of unpacked images, which can be made again.
    ///
    /// # Errors
    /// There is no home folder to put it in.
    pub(crate) fn unpacked(&self) -> Result<PathBuf, Failure> {
        Ok(home("XDG_CACHE_HOME", ".cache")?.join("rootfs"))
    }
}

/// The folder of downloaded packages, by their digests.
///
/// # Errors
/// There is no home folder to put it in.
pub(crate) fn packages() -> Result<PathBuf, Failure> {
    Ok(home("XDG_CACHE_HOME", ".cache")?.join("packages"))
}

/// `$variable/ounce`, else `$HOME/fallback/ounce` (XDG base directory
/// specification: a relative path in the variable is to be ignored).
fn home(variable: &str, fallback: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(fallback)))
        .map(|base| base.join("ounce"))
        .ok_or_else(|| {
            Failure::new(
                Kind::Usage,
                format!("neither ${variable} nor $HOME is set to an absolute path"),
            )
            .hint("say where with --store DIR, and set HOME or XDG_CACHE_HOME for the cache")
        })
}

/// An image's place by its text.
pub(crate) fn place(text: &str) -> Result<Place, Failure> {
    let told = |error| {
        Failure::new(Kind::Usage, error).hint(
            "an image is a name in the store, oci:DIR, oci-archive:FILE, docker-archive:FILE, \
             docker-daemon:NAME, podman:NAME or docker://HOST/NAME:TAG",
        )
    };
    reached(text.parse().map_err(told)?)
}

/// A place with the engine's socket where the environment says that it is.
///
/// # Errors
/// The environment names another way to it than a socket.
pub(crate) fn reached(mut place: Place) -> Result<Place, Failure> {
    let Place::Engine(engine, _) = &mut place else {
        return Ok(place);
    };
    let variable = match engine.kind {
        EngineKind::Docker => "DOCKER_HOST",
        EngineKind::Podman => "CONTAINER_HOST",
    };
    let told = env::var(variable).ok().filter(|text| !text.is_empty());
    if let Some(text) = told {
        let socket = text.strip_prefix("unix://").ok_or_else(|| {
            Failure::new(Kind::Usage, format!("{variable} is {text:?}, not a socket"))
                .hint("unix:///path/of/the.sock is; or copy to an archive, and load that there")
        })?;
        engine.socket = Some(PathBuf::from(socket));
    } else if engine.kind == EngineKind::Podman {
        // Where podman's service of a user is.
        let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let own = own.map(|folder| folder.join("podman/podman.sock"));
        engine.socket = own.filter(|socket| socket.exists());
    }
    Ok(place)
}

/// What a person reads who waits for another ounce.
pub(crate) fn waiting_for(doing: &str, holder_pid: Option<u32>) -> String {
    match holder_pid {
        Some(pid) => format!("waiting for another ounce (process {pid}), which is {doing}"),
        None => format!("waiting for another ounce, which is {doing}"),
    }
}

/// Writes a file whole or not at all; see [`ounce_oci::Output`].
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fault = |error| Failure::new(Kind::Host, format!("writing {}: {error}", path.display()));
    let mut output = ounce_oci::Output::create(path).map_err(StoreError::from)?;
    output.write_all(bytes).map_err(fault)?;
    Ok(output.publish().map_err(StoreError::from)?)
}
