//! Reading TOML that people write by hand.
//!
//! The walk is by hand, not by serde, so that a fault is told with its line,
//! its column, what is wanted there, and the nearest key that exists. Which
//! keys there are, and what they mean, is left to whose file it is.
#![forbid(unsafe_code)]

mod fault;
mod table;

pub use fault::{ConfigError, ConfigFault, Fault};
pub use table::{
    Read, Table, Value, invalid, missing, parsed, string, strings, table_of, tables, wrong_type,
};
pub use toml::Spanned;
pub use toml::de::{DeTable, DeValue};

use std::path::Path;

/// Reads the text of a file: `root` takes the document apart. `path` is for
/// messages, `page` the document that lists every key.
///
/// # Errors
/// Not TOML, or what `root` finds wrong.
pub fn read<T>(
    path: &Path,
    page: &'static str,
    text: &str,
    root: impl FnOnce(&DeTable<'_>) -> Read<T>,
) -> Result<T, ConfigError> {
    let located = |fault: Fault| fault.at(path, page, text);
    let document = DeTable::parse(text).map_err(|error| {
        located(Fault {
            span: error.span().unwrap_or(0..0),
            fault: ConfigFault::Syntax(error.message().to_owned()),
        })
    })?;
    root(document.get_ref()).map_err(located)
}
