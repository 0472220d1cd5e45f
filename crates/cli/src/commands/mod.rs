//! One file a verb. Each takes the [`Context`] and its own arguments.

pub mod build;
pub mod completions;
pub mod copy;
pub mod gc;
pub mod images;
pub mod inspect;
pub mod man;
pub mod proxy;
pub mod rm;
pub mod run;
pub mod tag;
pub mod up;
pub mod verify;
pub mod weigh;

use std::env;
use std::path::PathBuf;

use ounce_oci::Store;

use crate::arguments::Global;
use crate::failure::{Failure, Kind};
use crate::output::Output;

/// What every command needs: where the store is and how to print.
#[derive(Debug)]
pub struct Context {
    global: Global,
    /// Where to print.
    pub output: Output,
}

impl Context {
    /// From the global options and the environment.
    pub fn new(global: Global) -> Self {
        let output = Output::new(global.json, global.quiet);
        Self { global, output }
    }

    /// Opens the store, making an empty one at the first use.
    ///
    /// # Errors
    /// There is no home folder to put it in, or the store cannot be opened.
    pub fn store(&self) -> Result<Store, Failure> {
        let root = match &self.global.store {
            Some(root) => root.clone(),
            None => home("XDG_DATA_HOME", ".local/share")?,
        };
        Ok(Store::open(root)?.lock_timeout(self.global.lock_timeout))
    }

    /// The folder of unpacked images and other things that can be made again.
    ///
    /// # Errors
    /// There is no home folder to put it in.
    pub fn cache(&self) -> Result<PathBuf, Failure> {
        home("XDG_CACHE_HOME", ".cache")
    }
}

/// `$variable/ounce`, else `$HOME/fallback/ounce` (XDG base directory
/// specification: a relative path in the variable is to be ignored).
fn home(variable: &str, fallback: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(fallback)))
        .map(|base| base.join("ounce"))
        .ok_or_else(|| {
            Failure::new(Kind::Usage, format!("neither ${variable} nor $HOME is set to an absolute path"))
                .hint("say where with --store DIR, and set HOME or XDG_CACHE_HOME for the cache")
        })
}
