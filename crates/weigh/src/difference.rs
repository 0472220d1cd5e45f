//! What differs between two images, file by file and package by package.

use std::collections::BTreeMap;

use ounce_oci::ByteSize;
use serde::Serialize;

use crate::inventory::{Inventory, Item};
use crate::sizes::Weight;

/// What the second image has otherwise than the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Files that only the second has.
    pub added: Vec<Changed>,
    /// Files that only the first has.
    pub removed: Vec<Changed>,
    /// Files with other contents or modes.
    pub changed: Vec<Changed>,
    /// Files that are the same.
    pub same_files: u64,
    /// Packages that came, went or have another version.
    pub packages: Vec<PackageChange>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its path.
    pub path: String,
    /// Bytes in the first image, if it is there.
    pub before_bytes: Option<ByteSize>,
    /// Bytes in the second image, if it is there.
    pub after_bytes: Option<ByteSize>,
    /// How many compressed bytes the second image has more for it.
    pub compressed_more: i64,
}

/// A package that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Manager and name.
    pub name: String,
    /// Version in the first image.
    pub before: Option<String>,
    /// Version in the second image.
    pub after: Option<String>,
    /// How many compressed bytes the second image has more for it.
    pub compressed_more: i64,
}

/// Compares two images, file by file and package by package; what weighs most
/// comes first.
pub fn difference(first: (&Weight, &Inventory), second: (&Weight, &Inventory)) -> Difference {
    let mut difference = Difference::default();
    let by_path = |inventory: &'_ Inventory| -> BTreeMap<String, Item> {
        let files = inventory.files.iter().cloned();
        files.map(|item| (item.path.clone(), item)).collect()
    };
    let before = by_path(first.1);
    let mut after = by_path(second.1);
    for (path, old) in before {
        let new = after.remove(&path);
        let old_bytes = old.compressed_bytes as i64;
        let changed = |new: Option<&Item>| Changed {
            path: path.clone(),
            before_bytes: Some(ByteSize(old.bytes)),
            after_bytes: new.map(|new| ByteSize(new.bytes)),
            compressed_more: new.map_or(0, |new| new.compressed_bytes as i64) - old_bytes,
        };
        match &new {
            None => difference.removed.push(changed(None)),
            Some(new) if new.digest != old.digest || new.mode != old.mode => {
                difference.changed.push(changed(Some(new)));
            }
            Some(_) => difference.same_files += 1,
        }
    }
    difference.added = after
        .into_values()
        .map(|new| Changed {
            path: new.path,
            before_bytes: None,
            after_bytes: Some(ByteSize(new.bytes)),
            compressed_more: new.compressed_bytes as i64,
        })
        .collect();
    for list in [
        &mut difference.added,
        &mut difference.removed,
        &mut difference.changed,
    ] {
        list.sort_by(|a, b| {
            (b.compressed_more.abs(), &a.path).cmp(&(a.compressed_more.abs(), &b.path))
        });
    }
    difference.packages = packages(first.0, second.0);
    difference
}

fn packages(first: &Weight, second: &Weight) -> Vec<PackageChange> {
    // A name may stand for several versions at once.
    let by_name = |weight: &Weight| {
        let mut all: BTreeMap<String, (Vec<String>, i64)> = BTreeMap::new();
        for package in &weight.packages {
            let name = format!("{}/{}", package.manager.name(), package.name);
            let entry = all.entry(name).or_default();
            entry.0.push(package.version.clone());
            entry.1 += package.share.compressed_bytes.0 as i64;
        }
        all.values_mut().for_each(|(versions, _)| versions.sort());
        all
    };
    let before = by_name(first);
    let mut after = by_name(second);
    let mut changes = Vec::new();
    for (name, (versions, bytes)) in before {
        let new = after.remove(&name);
        if new.as_ref().is_some_and(|new| new.0 == versions) {
            continue;
        }
        changes.push(PackageChange {
            name,
            before: Some(versions.join(", ")),
            compressed_more: new.as_ref().map_or(0, |new| new.1) - bytes,
            after: new.map(|(versions, _)| versions.join(", ")),
        });
    }
    changes.extend(
        after
            .into_iter()
            .map(|(name, (versions, bytes))| PackageChange {
                name,
                before: None,
                after: Some(versions.join(", ")),
                compressed_more: bytes,
            }),
    );
    changes.sort_by(|a, b| {
        (b.compressed_more.abs(), &a.name).cmp(&(a.compressed_more.abs(), &b.name))
    });
    changes
}
