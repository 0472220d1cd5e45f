//! Makes an image of the corpus: a root file system by mmdebstrap, what pip and
//! npm bring, and an OCI layout around it. Kept under `target/corpus`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::recipes::Recipe;
use crate::tool::{command, read, run};

/// Debian's name of the release that the recipes are for, and its Python.
const RELEASE: &str = "bookworm";
const PYTHON: &str = "3.11";

/// The image's layout; made where it is not there, or was made otherwise.
pub(crate) fn ensure(recipe: &Recipe, corpus: &Path) -> Result<PathBuf> {
    let folder = corpus.join(recipe.name);
    let stamp = folder.join("recipe");
    let Recipe {
        packages,
        pip,
        npm,
        files,
        entrypoint,
        environment,
        ..
    } = recipe;
    let wanted = format!("{packages:?} {pip:?} {npm:?} {files:?} {entrypoint:?} {environment:?}");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return Ok(folder.join("layout"));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let tar = root(recipe, &folder)?;
    layout(recipe, &tar, &folder.join("layout"))?;
    fs::write(&stamp, wanted)?;
    Ok(folder.join("layout"))
}

/// The root file system as an archive. Times are zero, so that the same packages
/// give the same bytes.
fn root(recipe: &Recipe, folder: &Path) -> Result<PathBuf> {
    let tar = folder.join("root.tar");
    let application = folder.join("files");
    for (path, text) in recipe.files {
        let path = application.join(path);
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(path, text)?;
    }
    let mut build = command(&["nice", "mmdebstrap", "--quiet", "--variant=minbase"]);
    build.env("SOURCE_DATE_EPOCH", "0");
    let mut packages = recipe.packages.to_vec();
    packages.push("ca-certificates");
    build.arg(format!("--include={}", packages.join(",")));
    build.arg("--customize-hook=rm -rf \"$1\"/var/cache/apt/*.bin \"$1\"/var/lib/apt/lists/*");
    if !recipe.pip.is_empty() {
        let wheels = folder.join("wheels");
        let mut download = command(&["python3", "-m", "pip", "download", "--quiet"]);
        download.args([
            "--only-binary",
            ":all:",
            "--python-version",
            PYTHON,
            "--dest",
        ]);
        run(download.arg(&wheels).args(recipe.pip))?;
        build.arg(format!(
            "--customize-hook=copy-in '{}' /tmp",
            wheels.display()
        ));
        build.arg(format!(
            "--customize-hook=chroot \"$1\" pip3 install --quiet --break-system-packages \
             --root-user-action=ignore --no-index --find-links /tmp/wheels {}",
            recipe.pip.join(" ")
        ));
        build.arg("--customize-hook=rm -rf \"$1\"/tmp/wheels");
    }
    if !recipe.npm.is_empty() {
        let modules = application.join("app");
        fs::create_dir_all(&modules)?;
        let mut install = command(&["npm", "install", "--silent", "--no-audit", "--prefix"]);
        run(install.arg(&modules).args(recipe.npm))?;
    }
    if application.join("app").exists() {
        let from = application.join("app");
        build.arg(format!("--customize-hook=copy-in '{}' /", from.display()));
    }
    run(build.arg(RELEASE).arg(&tar))?;
    Ok(tar)
}

/// An OCI layout of one layer, not compressed: what is measured is files.
fn layout(recipe: &Recipe, tar: &Path, folder: &Path) -> Result<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = put(&blobs, tar, "application/vnd.oci.image.layer.v1.tar")?;
    let config = json!({
        "architecture": architecture()?,
        "os": "linux",
        "config": {"Entrypoint": recipe.entrypoint, "Env": recipe.environment},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = put_json(&blobs, &config, "application/vnd.oci.image.config.v1+json")?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer],
    });
    let manifest = put_json(&blobs, &manifest, manifest_type)?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    Ok(())
}

fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => anyhow::bail!("no name of OCI's for {other}"),
    }
}

fn put_json(blobs: &Path, value: &Value, media_type: &str) -> Result<Value> {
    let path = blobs.join("new");
    fs::write(&path, value.to_string())?;
    put(blobs, &path, media_type)
}

/// Moves a file to where its digest says, and describes it.
fn put(blobs: &Path, file: &Path, media_type: &str) -> Result<Value> {
    let mut sum = Command::new("sha256sum");
    let text = read(sum.stdin(File::open(file)?))?;
    let digest = text.split_whitespace().next().unwrap_or_default();
    ensure!(digest.len() == 64, "sha256sum said {text:?}");
    let bytes = fs::metadata(file)?.len();
    fs::rename(file, blobs.join(digest))?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes}))
}
