//! What a mirror sends, each by one function that takes any bytes: so that
//! these readers can be tried alone, with what no mirror would send.

use super::deb::{Deb, DebError};
use super::index::Universe;
use super::openpgp::{self, Keyring, SignatureError};
use super::version;

/// The text of a clear-signed release, if a key of `keyring` has signed it;
/// dates do not matter.
///
/// # Errors
/// As of a release that is refused.
pub fn release(bytes: &[u8], keyring: &[u8]) -> Result<String, SignatureError> {
    let mut keys = Keyring::default();
    keys.add(keyring)?;
    openpgp::verify_cleartext(bytes, &keys, None)
}

/// Names and versions of an index's packages, those of a name from the newest
/// on, and how many relations they have.
pub fn index(text: &str) -> (Vec<(String, String)>, usize) {
    let mut universe = Universe::default();
    universe.add(text, 0);
    let mut relations = 0;
    let mut packages = Vec::new();
    for package in &universe.packages {
        relations += package.needs().flatten().count() + package.refuses().count();
        relations += package.provides().count();
        for relation in package.needs().flatten() {
            let _ = universe.candidates(&relation);
        }
    }
    let mut names: Vec<&str> = universe.packages.iter().map(|one| one.name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        for at in universe.named(name) {
            packages.push((name.to_owned(), universe.packages[*at].version.to_owned()));
        }
    }
    (packages, relations)
}

/// The order of two versions (Debian policy 5.6.12).
pub fn order(one: &str, other: &str) -> std::cmp::Ordering {
    version::compare(one, other)
}

/// The paths of a package's file, all of it read.
///
/// # Errors
/// As of a package that is refused.
pub fn package(bytes: &[u8]) -> Result<Vec<String>, DebError> {
    Ok(Deb::read(bytes, &|_| true)?.paths)
}
