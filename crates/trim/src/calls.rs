//! The system calls that the programs a test executed can make at all, read out
//! of their code: for the list of an image that a test does not exhaust.

use std::collections::BTreeSet;

use ounce_rootfs::Tree;
use ounce_rootfs::elf::ElfFacts;
use ounce_rootfs::elf::calls::system_calls;
use ounce_rootfs::tree::NodeKind;

use crate::files::Files;
use crate::witness::{Act, Seen};

/// Largest program whose code is read.
const PROGRAM_BYTES: u64 = 256 << 20;

/// The calls of all programs that were executed, if every one of them is static
/// and each place in its code is resolved; nothing otherwise, since then what
/// was seen is the better list.
pub fn reachable<'a>(
    tree: &Tree,
    files: &mut dyn Files,
    seen: impl Iterator<Item = Seen<'a>>,
) -> Option<BTreeSet<&'static str>> {
    let mut calls = BTreeSet::new();
    let mut read = BTreeSet::new();
    for one in seen.filter(|one| one.act == Act::Executed) {
        // In another root other files may have these names.
        if one.root.is_some() {
            return None;
        }
        let Ok((place, node)) = tree.lookup(one.path) else {
            // It was tried and was not there.
            continue;
        };
        if !matches!(node.kind, NodeKind::File(_)) || !read.insert(place.clone()) {
            continue;
        }
        if node.bytes > PROGRAM_BYTES {
            return None;
        }
        let program = files.read(&place, PROGRAM_BYTES).ok()?;
        let facts = ElfFacts::read(&program).ok()?;
        let found = facts
            .kind
            .runs_alone()
            .then(|| system_calls(&program))
            .flatten()?;
        if !found.unresolved.is_empty() {
            return None;
        }
        calls.extend(found.names());
    }
    (!read.is_empty()).then_some(calls)
}
