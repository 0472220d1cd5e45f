//! The packed site as users get it: `ounce build FOLDER`, and out of the image
//! the one file that the server serves.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tool::{command, read};

/// What a packed site begins with.
const MAGIC: &[u8] = b"ounce-site";

/// Has `ounce` build an image of the folder `site`, unpacks it beneath `folder`
/// and returns the packed file in it.
pub(crate) fn pack(ounce: &Path, site: &Path, folder: &Path) -> Result<PathBuf> {
    let (layout, root) = (folder.join("image"), folder.join("root"));
    fs::create_dir_all(&root)?;
    read(
        command(&[ounce.as_os_str(), "--store".as_ref()])
            .arg(folder.join("store"))
            .arg("build")
            .arg(site)
            .args(["--output", &format!("oci:{}", layout.display())]),
    )?;
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(&layout, &index["manifests"][0])?)?;
    let layers = manifest["layers"].as_array();
    for layer in layers.context("the image is no single manifest with layers")? {
        read(
            command(&["tar", "--extract", "--gzip", "--file"])
                .arg(blob(&layout, layer)?)
                .arg("--directory")
                .arg(&root),
        )?;
    }
    find(&root)?.context("this ounce packs no sites: its image holds none")
}

fn json(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The blob that a descriptor names (OCI image layout, "Blobs").
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    let (algorithm, hash) = digest
        .split_once(':')
        .with_context(|| format!("{digest:?} is no digest"))?;
    Ok(layout.join("blobs").join(algorithm).join(hash))
}

/// A packed site beneath `folder`.
fn find(folder: &Path) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = if entry.file_type()?.is_dir() {
            find(&entry.path())?
        } else {
            let mut start = Vec::new();
            let file = File::open(entry.path())?;
            file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
            (start == MAGIC).then(|| entry.path())
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_site_is_known_by_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("short"), "ounce").unwrap();
        assert_eq!(find(folder.path()).unwrap(), None);
        fs::write(below.join("public"), "ounce-site\0\x01rest").unwrap();
        assert_eq!(find(folder.path()).unwrap(), Some(below.join("public")));
    }

    #[test]
    fn what_is_no_digest_names_no_blob() {
        let layout = Path::new("layout");
        let found = blob(layout, &serde_json::json!({"digest": "sha256:ab"})).unwrap();
        assert_eq!(found, layout.join("blobs/sha256/ab"));
        assert!(blob(layout, &Value::Null).is_err());
    }
}
