//! What stayed and why, and what went: for people and for machines.

use std::collections::BTreeMap;
use std::path::Path;

use ounce_rootfs::tree::NodeKind;
use ounce_rootfs::{Tree, name};
use serde::Serialize;

use crate::keep::{Kept, Reason};

/// A path that stayed.
#[derive(Debug, Clone, Serialize)]
pub struct Stayed {
    /// Where it is, as [`name::shown`] writes it.
    pub path: String,
    /// Bytes of content.
    pub bytes: u64,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Something that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Went {
    /// Where it was. With a folder went all that was in it.
    pub path: String,
    /// How many paths, itself included.
    pub paths: u64,
    /// Bytes of content; hard links count each time.
    pub bytes: u64,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// All kinds of paths.
    pub paths: u64,
    /// Files, each name of one.
    pub files: u64,
    /// Bytes of content; hard links count once.
    pub bytes: u64,
}

/// All that stayed.
pub fn stayed(tree: &Tree, kept: &Kept) -> Vec<Stayed> {
    let there = kept.iter().filter_map(|(path, reason)| {
        Some(Stayed {
            path: name::shown(path),
            bytes: tree.get(path)?.bytes,
            reason: reason.clone(),
        })
    });
    there.collect()
}

/// All that went: the topmost paths, largest first.
pub fn went(tree: &Tree, stays: &dyn Fn(&Path) -> bool) -> Vec<Went> {
    let mut gone: BTreeMap<&Path, Went> = BTreeMap::new();
    let mut last: Option<&Path> = None;
    for (path, node) in tree.iter() {
        if stays(path) {
            continue;
        }
        // Sorted part by part: what lies in a folder that went follows it.
        let top = match last {
            Some(top) if path.starts_with(top) => top,
            _ => path,
        };
        last = Some(top);
        let went = gone.entry(top).or_insert_with(|| Went {
            path: name::shown(top),
            paths: 0,
            bytes: 0,
        });
        went.paths += 1;
        went.bytes += node.bytes;
    }
    let mut gone: Vec<_> = gone.into_values().collect();
    gone.sort_by(|one, other| (other.bytes, &one.path).cmp(&(one.bytes, &other.path)));
    gone
}

/// How much there is at the places that `stays` names.
pub fn amount(tree: &Tree, stays: &dyn Fn(&Path) -> bool) -> Amount {
    let mut amount = Amount::default();
    let mut seen = std::collections::HashSet::new();
    for (_, node) in tree.iter().filter(|(path, _)| stays(path)) {
        amount.paths += 1;
        if let NodeKind::File(id) = node.kind {
            amount.files += 1;
            if seen.insert(id) {
                amount.bytes += node.bytes;
            }
        }
    }
    amount
}
