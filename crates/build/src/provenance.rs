//! Where an image comes from, as SLSA's provenance has it (version 1.0): what was
//! asked for, what it was made of with digests, and by what.
//!
//! It is data that follows from the input: no clock, no folder of this machine,
//! no name of its user. So the same sources give the same statement, and one that
//! is made anew hangs nothing new on the image. A time is told only when asked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ounce_oci::digest::Hashing;
use ounce_oci::{Digest, Platform};
use serde::Serialize;
use serde_json::{Value, json};

use crate::base;
use crate::distribution::Base;
use crate::distribution::lock::Lock;
use crate::language::Language;
use crate::plan::Request;
use crate::recipe::{Found, ProgramSource, Recipe};
use crate::sources::{self, Sources};
use crate::toolchain::Toolchain;

/// What is built, and how parameters are to be read.
const BUILD_TYPE: &str = "urn:ounce:build:1";
/// Who builds, unless told: ounce on a machine of which nothing is claimed.
pub const BUILDER: &str = "urn:ounce:builder:local";
/// Most bytes of a lock file.
const LOCK_BYTES: u64 = 64 << 20;

/// Lock files of the languages, and of ounce.
const LOCKS: &[&str] = &[
    "Cargo.lock",
    "go.sum",
    "build.zig.zon",
    "uv.lock",
    "requirements.txt",
    "ounce.lock",
];

/// What a file of the host is could not be told.
#[derive(Debug, thiserror::Error)]
#[error("telling where the image comes from: reading {}", path.display())]
pub struct ProvenanceError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// What is told besides.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Who builds, as a URI; [`BUILDER`] unless told.
    pub builder: Option<String>,
    /// When the build began and ended, as RFC 3339 has it.
    pub times: Option<(String, String)>,
    /// Layers of the base, beneath the image's own: platform and digest.
    pub base_layers: Vec<(Platform, Digest)>,
}

/// Something that went into the image (SLSA's `ResourceDescriptor`).
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, Value>,
}

impl Material {
    fn file(name: &str, digest: &Digest) -> Self {
        Self {
            name: Some(name.to_owned()),
            digest: BTreeMap::from([("sha256", digest.hex())]),
            ..Self::default()
        }
    }
}

/// The predicate of a statement of provenance: where the image comes from that
/// `recipe` makes, which was planned for `request`.
///
/// # Errors
/// A file that went into it cannot be read (any more).
pub fn provenance(
    request: &Request,
    recipe: &Recipe,
    told: &Told,
) -> Result<Value, ProvenanceError> {
    let folder = folder_of(request);
    let mut materials = materials(request, recipe, &folder)?;
    materials.extend(base_materials(recipe, told)?);
    let mut details = json!({
        "builder": {
            "id": told.builder.as_deref().unwrap_or(BUILDER),
            "version": {"ounce": env!("CARGO_PKG_VERSION")},
        },
    });
    if let Some((began, ended)) = &told.times {
        details["metadata"] = json!({"startedOn": began, "finishedOn": ended});
    }
    Ok(json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": parameters(recipe, &folder),
            "internalParameters": {},
            "resolvedDependencies": materials,
        },
        "runDetails": details,
    }))
}

/// The project's folder; of a ready program the one it lies in.
fn folder_of(request: &Request) -> PathBuf {
    let path = &request.path;
    let path = path.canonicalize().unwrap_or_else(|_| path.clone());
    match path.is_dir() {
        true => path,
        false => path.parent().unwrap_or(Path::new("/")).to_owned(),
    }
}

/// The recipe, without what is this machine's and what is told as a material.
fn parameters(recipe: &Recipe, folder: &Path) -> Value {
    // Every part of it is a tree of texts and numbers.
    let mut value = serde_json::to_value(recipe).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.remove("advice");
    }
    if let Some(image) = value.get_mut("image").and_then(Value::as_object_mut) {
        image.remove("site");
        if let Some(packed) = image.get_mut("packed").and_then(Value::as_object_mut) {
            packed.remove("files");
            packed.remove("omitted");
        }
    }
    plain(&mut value, &folder.to_string_lossy());
    value
}

/// Keys whose values are files and folders of this machine.
const OF_THE_HOST: &[&str] = &["target_dir", "rustflags", "remaps", "cache"];

/// Keys whose values are files of this machine, of which the name says enough.
const PATHS: &[&str] = &["from", "file", "path", "source", "lock", "keyrings"];

/// Takes this machine's folders out of every text: the project's becomes `.`, of
/// another file its name is left.
fn plain(value: &mut Value, folder: &str) {
    match value {
        Value::Object(object) => {
            object.retain(|key, _| !OF_THE_HOST.contains(&key.as_str()));
            for (key, value) in object.iter_mut() {
                if PATHS.contains(&key.as_str()) {
                    match value {
                        Value::String(text) => *text = relative(text, folder),
                        Value::Array(items) => items.iter_mut().for_each(|item| {
                            if let Value::String(text) = item {
                                *text = relative(text, folder);
                            }
                        }),
                        _ => {}
                    }
                }
                plain(value, folder);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plain(item, folder)),
        Value::String(text) if folder.len() > 1 && text.contains(folder) => {
            *text = text.replace(folder, ".");
        }
        _ => {}
    }
}

fn relative(text: &str, folder: &str) -> String {
    let path = Path::new(text);
    match path.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
        Ok(rest) => rest.display().to_string(),
        Err(_) => path
            .file_name()
            .map_or(text.to_owned(), |name| name.to_string_lossy().into_owned()),
    }
}

fn materials(
    request: &Request,
    recipe: &Recipe,
    folder: &Path,
) -> Result<Vec<Material>, ProvenanceError> {
    let mut materials = Vec::new();
    for program in &recipe.programs {
        match &program.from {
            ProgramSource::File(path) => {
                let name = relative(&path.to_string_lossy(), &folder.to_string_lossy());
                materials.push(Material::file(&name, &hashed(path)?));
            }
            ProgramSource::Httpd(server) => {
                if let Ok(bytes) = base::httpd(&program.platform, *server) {
                    let name = format!("httpd for {}", program.platform);
                    materials.push(Material::file(&name, &Digest::of(bytes)));
                }
            }
            _ => {}
        }
    }
    if recipe.found != Found::Program {
        let is_code = recipe.found != Found::Site;
        materials.push(project(&request.toolchain, folder, is_code)?);
        materials.extend(locks(folder)?);
    }
    if recipe.found == Found::Project(Language::Rust) {
        materials.extend(compiler(&request.toolchain, folder));
    }
    if let Some(path) = &request.config {
        let name = relative(&path.to_string_lossy(), &folder.to_string_lossy());
        materials.push(Material::file(&name, &hashed(path)?));
    }
    for file in &recipe.image.files {
        materials.push(Material::file(&file.to, &hashed(&file.from)?));
    }
    if let Ok(Some(entry)) = base::certificates(&recipe.image.ca_certificates)
        && let ounce_oci::layer::EntryKind::File(ounce_oci::layer::Content::Bytes(bytes)) =
            &entry.kind
    {
        let name = format!("/{}", entry.path);
        materials.push(Material::file(&name, &Digest::of(bytes)));
    }
    Ok(materials)
}

/// What the program stands on: its layers, and the packages of the lock.
fn base_materials(recipe: &Recipe, told: &Told) -> Result<Vec<Material>, ProvenanceError> {
    let mut materials = Vec::new();
    if recipe.base == Base::Scratch {
        return Ok(materials);
    }
    let base = recipe.base.to_string();
    for (platform, digest) in &told.base_layers {
        let mut layer = Material::file(&format!("{base} for {platform}"), digest);
        layer.annotations.insert("layer", true.into());
        materials.push(layer);
    }
    let Some(path) = recipe.lock.as_deref().filter(|path| path.is_file()) else {
        return Ok(materials);
    };
    let failed = |source| ProvenanceError {
        path: path.to_owned(),
        source,
    };
    let text = fs::read_to_string(path).map_err(failed)?;
    // The base was put together from it, so it reads.
    let lock = Lock::parse(&text).unwrap_or_default();
    let of_base = lock.bases().filter(|locked| locked.name.starts_with(&base));
    for locked in of_base {
        // `debian bookworm main` is where Debian's come from.
        let kind = match locked.from.starts_with("debian") {
            true => "deb/debian",
            false => "apk/alpine",
        };
        materials.extend(locked.packages.iter().map(|package| Material {
            uri: Some(format!(
                "pkg:{kind}/{}@{}?arch={}",
                encoded(&package.name),
                encoded(&package.version),
                package.architecture
            )),
            digest: BTreeMap::from([("sha256", package.digest.hex())]),
            ..Material::default()
        }));
    }
    Ok(materials)
}

/// A part of a package URL: what is no letter, digit or `.-_~` in percent signs
/// (purl specification, "Character encoding"); the colon stays as it is.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn hashed(path: &Path) -> Result<Digest, ProvenanceError> {
    let failed = |source| ProvenanceError {
        path: path.to_owned(),
        source,
    };
    let mut file = Hashing::new(File::open(path).map_err(failed)?);
    io::copy(&mut file, &mut io::sink()).map_err(failed)?;
    Ok(file.into_digest().1)
}

/// The project: the digest of its files, and where version control has them.
fn project(
    toolchain: &Toolchain,
    folder: &Path,
    is_code: bool,
) -> Result<Material, ProvenanceError> {
    let failed = |source| ProvenanceError {
        path: folder.to_owned(),
        source,
    };
    let mut material = Material {
        name: Some(".".to_owned()),
        ..Material::default()
    };
    match Sources::walk(folder, is_code).map_err(failed)? {
        Some(found) => {
            let digest = sources::hash(folder, &found).map_err(failed)?;
            material.digest.insert("dirHash", digest.hex());
        }
        None => {
            let why = "the folder is too large to be hashed as a whole";
            material.annotations.insert("note", why.into());
        }
    }
    let git = |arguments: &[&str]| told(toolchain, folder, "git", arguments);
    let Some(commit) = git(&["rev-parse", "HEAD"]) else {
        return Ok(material);
    };
    let is_clean = git(&["status", "--porcelain", "--", "."]).is_some_and(|text| text.is_empty());
    if is_clean {
        material.digest.insert("gitCommit", commit);
    } else {
        // What is built is not what the commit has.
        material.annotations.insert("changedSince", commit.into());
    }
    if let Some(url) = git(&["config", "--get", "remote.origin.url"]) {
        material.uri = Some(format!("git+{}", without_password(&url)));
    }
    Ok(material)
}

/// An address without the user and password that may stand in it.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or(host);
            format!("{scheme}://{host}/{path}")
        }
        // `user@host:path`, as ssh has it, holds no password.
        None => url.to_owned(),
    }
}

/// What another program says, if it says anything.
fn told(toolchain: &Toolchain, folder: &Path, program: &str, words: &[&str]) -> Option<String> {
    let output = toolchain
        .command(Path::new(program), folder)
        .args(words)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn compiler(toolchain: &Toolchain, folder: &Path) -> Option<Material> {
    let text = toolchain.told(folder, &["-vV"])?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let release = field("release:")?;
    let mut material = Material {
        name: Some("rustc".to_owned()),
        uri: Some(format!("pkg:generic/rustc@{release}")),
        ..Material::default()
    };
    if let Some(commit) = field("commit-hash:").filter(|commit| commit != "unknown") {
        material.digest.insert("gitCommit", commit);
    }
    Some(material)
}

/// The lock files in a folder or above it, and the packages that they pin.
fn locks(folder: &Path) -> Result<Vec<Material>, ProvenanceError> {
    let mut materials = Vec::new();
    for name in LOCKS {
        let above = folder.ancestors().map(|above| above.join(name));
        // Only a workspace has its lock above the project.
        let reach = if *name == "Cargo.lock" { usize::MAX } else { 1 };
        let Some(path) = above.take(reach).find(|path| path.is_file()) else {
            continue;
        };
        materials.push(Material::file(name, &hashed(&path)?));
        if *name == "Cargo.lock" {
            materials.extend(crates(&path)?);
        }
    }
    Ok(materials)
}

/// The packages of a `Cargo.lock` that come from a registry.
fn crates(path: &Path) -> Result<Vec<Material>, ProvenanceError> {
    let failed = |source| ProvenanceError {
        path: path.to_owned(),
        source,
    };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > LOCK_BYTES {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    // Cargo took it; what cannot be read here is only not told in detail.
    let Ok(lock) = toml::from_str::<toml::Table>(&text) else {
        return Ok(Vec::new());
    };
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let materials = packages.into_iter().flatten().filter_map(|package| {
        let field = |name: &str| package.get(name)?.as_str();
        Some(Material {
            uri: Some(format!(
                "pkg:cargo/{}@{}",
                field("name")?,
                field("version")?
            )),
            digest: BTreeMap::from([("sha256", field("checksum")?.to_owned())]),
            ..Material::default()
        })
    });
    Ok(materials.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_of_this_machine_is_left_in_a_text() {
        let mut value = json!({
            "folder": "/home/anna/app",
            "arguments": ["--config", "x=/home/anna/app/y"],
            "target_dir": "/home/anna/app/target/ounce",
            "files": [{"from": "/etc/other/motd", "to": "/etc/motd"}],
            "lock": "/home/anna/app/ounce.lock",
            "debian": {"keyrings": ["/home/anna/keys/a.gpg"]},
        });
        plain(&mut value, "/home/anna/app");
        assert_eq!(
            value,
            json!({
                "folder": ".",
                "arguments": ["--config", "x=./y"],
                "files": [{"from": "motd", "to": "/etc/motd"}],
                "lock": "ounce.lock",
                "debian": {"keyrings": ["a.gpg"]},
            })
        );
    }

    #[test]
    fn versions_of_packages_are_written_as_package_urls_want_them() {
        assert_eq!(encoded("1:2.3+deb12u1~x"), "1:2.3%2Bdeb12u1~x");
        assert_eq!(encoded("libstdc++6"), "libstdc%2B%2B6");
    }

    #[test]
    fn address_of_a_repository_loses_its_password() {
        assert_eq!(
            without_password("https://anna:secret@host.example/a/b.git"),
            "https://host.example/a/b.git"
        );
        assert_eq!(
            without_password("git@host.example:a/b"),
            "git@host.example:a/b"
        );
    }
}
