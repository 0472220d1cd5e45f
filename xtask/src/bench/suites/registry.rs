//! Registries: an image of a hundred megabytes to a real one, and back.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::bench::host;
use crate::bench::options::Options;
use crate::bench::report::{Sheet, Suite, Table};
use crate::bench::rounds::{Absent, Contender, Marks, Row, mark, measure};
use crate::bench::stage::Stage;
use crate::peers::registry::{Door, NEEDS, Registry};
use crate::tool::{command, find, read};

const WHOLE: &str = "whole";

/// Layers of the image, and bytes of the file in each: of no pattern, so that
/// they take as many bytes compressed.
const LAYERS: usize = 4;
const BYTES: usize = 25_000_000;

/// Who sends and fetches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Ounce,
    Skopeo,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Push,
    Pull,
}

/// One tool, one way.
struct Trip<'a> {
    tool: Tool,
    way: Way,
    ounce: &'a Path,
    /// An OCI layout with the image `big`.
    layout: &'a Path,
    folder: PathBuf,
    /// What is pulled from; a push has a fresh one each time, since what a registry
    /// has is not sent again.
    registry: Option<&'a Registry>,
}

impl Contender for Trip<'_> {
    fn row(&self) -> Row {
        match (self.tool, self.way) {
            (Tool::Ounce, Way::Push) => Row::new(
                "ounce",
                "ounce copy oci:DIR docker://…",
                "four blobs at once, each verified as it is sent",
            ),
            (Tool::Ounce, Way::Pull) => Row::new(
                "ounce",
                "ounce pull",
                "into an empty store, four blobs at once, verified, on the disk when it ends",
            ),
            (Tool::Skopeo, Way::Push) => Row::new(
                "skopeo",
                "skopeo copy oci:DIR docker://…",
                "six blobs at once",
            ),
            (Tool::Skopeo, Way::Pull) => Row::new(
                "skopeo",
                "skopeo copy docker://… oci:DIR",
                "into an empty folder, six blobs at once, verified",
            ),
        }
    }

    fn trial(&mut self, number: usize) -> Result<Marks> {
        let own = match self.way {
            Way::Push => Some(Registry::start(Door::Open)?),
            Way::Pull => None,
        };
        let registry = own.as_ref().or(self.registry).context("no registry")?;
        let place = format!("docker://{}/big:1", registry.host());
        let layout = format!("oci:{}:big", self.layout.display());
        let fresh = self.folder.join(format!("trip-{number}"));
        let mut trip = match (self.tool, self.way) {
            (Tool::Ounce, Way::Push) => command(&["", "copy", &layout, &place]),
            (Tool::Ounce, Way::Pull) => {
                command(&["", "pull", place.trim_start_matches("docker://")])
            }
            (Tool::Skopeo, Way::Push) => skopeo(&["--dest-tls-verify=false", &layout, &place]),
            (Tool::Skopeo, Way::Pull) => {
                let to = format!("oci:{}:big", fresh.display());
                skopeo(&["--src-tls-verify=false", &place, &to])
            }
        };
        if self.tool == Tool::Ounce {
            let arguments: Vec<_> = trip.get_args().map(|word| word.to_owned()).collect();
            trip = Command::new(self.ounce);
            trip.arg("--store").arg(&fresh).args(arguments);
        }
        trip.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let start = Instant::now();
        let output = trip.output()?;
        let elapsed = start.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        let _ = fs::remove_dir_all(&fresh);
        ensure!(
            output.status.success(),
            "{}: {}",
            output.status,
            said.trim()
        );
        Ok(vec![mark(WHOLE, elapsed)])
    }
}

fn skopeo(words: &[&str]) -> Command {
    let mut skopeo = command(&["skopeo", "copy", "--quiet", "--insecure-policy"]);
    skopeo.args(words);
    skopeo
}

/// Pushes and pulls the image.
pub(crate) fn run(
    options: &Options,
    ounce: &Path,
    stage: &Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let mut absent = Vec::new();
    let mut tables = Vec::new();
    let folder = stage.subfolder("registry")?;
    let missing = NEEDS.iter().find(|need| find(need).is_none());
    if let Some(missing) = missing {
        absent.push(Absent::new(
            "docker-registry",
            format!("{missing} is not installed"),
        ));
    } else {
        let layout = folder.join("layout");
        image(&layout, &folder, ounce)?;
        let served = Registry::start(Door::Open)?;
        let from = format!("oci:{}:big", layout.display());
        let to = format!("docker://{}/big:1", served.host());
        read(
            command(&[ounce])
                .arg("--store")
                .arg(folder.join("store"))
                .args(["copy", &from, &to]),
        )?;
        for (way, key, title) in [
            (
                Way::Push,
                "registry-push",
                "To a registry that has nothing of it",
            ),
            (
                Way::Pull,
                "registry-pull",
                "From a registry, to where nothing of it is",
            ),
        ] {
            let mut tools = vec![Tool::Ounce];
            match find("skopeo") {
                Some(_) if options.wants("skopeo") => tools.push(Tool::Skopeo),
                Some(_) => {}
                None => absent.push(Absent::new("skopeo", "it is not installed")),
            }
            let contenders: Vec<Box<dyn Contender>> = tools
                .into_iter()
                .map(|tool| {
                    Box::new(Trip {
                        tool,
                        way,
                        ounce,
                        layout: &layout,
                        folder: folder.clone(),
                        registry: Some(&served),
                    }) as Box<dyn Contender>
                })
                .collect();
            let taken = measure(contenders, options.runs, &mut absent, &mut |done, all| {
                progress(title, done, all);
            });
            tables.push(Table::new(key, title, "ounce", WHOLE, &taken));
        }
    }
    let bars = tables
        .iter()
        .map(|table| {
            let way = table
                .title
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_lowercase();
            let goal = format!("A 100 MB image {way} a registry, against skopeo");
            table.bar(&goal, &["skopeo"], 1.0)
        })
        .collect();
    let version = find("skopeo").and_then(|program| host::version(&program, &["--version"]));
    let versions = version
        .map(|text| ("skopeo".to_owned(), text))
        .into_iter()
        .collect();
    Ok(Suite {
        key: "registry",
        title: "Registries".to_owned(),
        method: format!(
            "An image of {LAYERS} layers with {BYTES} bytes each that do not compress, to and from Debian's \
             docker-registry on loopback: the whole time of the one command. Each push has a registry of its own, \
             started and empty before it."
        ),
        tables: tables.into_iter().map(Sheet::Times).collect(),
        bars,
        absent,
        notes: vec![
            "ounce waits until what it pulled is on the disk (fsync) before it gives it a name; skopeo does not."
                .to_owned(),
        ],
        versions,
    })
}

/// Makes the image, by ounce's own store: an image of files, each a layer of its own.
fn image(layout: &Path, folder: &Path, ounce: &Path) -> Result<()> {
    let mut manifest_layers = Vec::new();
    let mut diff_ids = Vec::new();
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let place = |file: &Path| -> Result<(String, u64)> {
        let text = read(command(&["sha256sum"]).arg(file))?;
        let digest = text.split(' ').next().unwrap_or_default().to_owned();
        let size = fs::metadata(file)?.len();
        fs::rename(file, blobs.join(&digest))?;
        Ok((format!("sha256:{digest}"), size))
    };
    // Knuth's MMIX generator.
    let mut state = 1_u64;
    for layer in 0..LAYERS {
        let name = format!("file-{layer}");
        let mut bytes = Vec::with_capacity(BYTES + 8);
        while bytes.len() < BYTES {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes()[3..]);
        }
        bytes.truncate(BYTES);
        fs::write(folder.join(&name), &bytes)?;
        let tar = folder.join(format!("{name}.tar"));
        read(
            command(&[
                "tar",
                "--create",
                "--owner=0",
                "--group=0",
                "--mtime=@0",
                "--file",
            ])
            .arg(&tar)
            .arg("--directory")
            .arg(folder)
            .arg(&name),
        )?;
        let text = read(command(&["sha256sum"]).arg(&tar))?;
        diff_ids.push(format!(
            "sha256:{}",
            text.split(' ').next().unwrap_or_default()
        ));
        read(command(&["gzip", "-n", "-1"]).arg(&tar))?;
        let (digest, size) = place(&folder.join(format!("{name}.tar.gz")))?;
        manifest_layers.push(serde_json::json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest,
            "size": size,
        }));
        fs::remove_file(folder.join(&name))?;
    }
    let document = |name: &str, value: serde_json::Value| -> Result<(String, u64)> {
        let file = folder.join(name);
        fs::File::create(&file)?.write_all(&serde_json::to_vec(&value)?)?;
        place(&file)
    };
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let (config, config_size) = document(
        "config",
        serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }),
    )?;
    let (manifest, manifest_size) = document(
        "manifest",
        serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config, "size": config_size,
            },
            "layers": manifest_layers,
        }),
    )?;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest, "size": manifest_size,
            "annotations": {"org.opencontainers.image.ref.name": "big"},
        }],
    });
    fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(
        layout.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    // It is an image, before anything is measured with it.
    let place = format!("oci:{}:big", layout.display());
    read(
        command(&[ounce])
            .arg("--store")
            .arg(folder.join("store"))
            .args(["inspect", &place]),
    )?;
    Ok(())
}
