//! What an update of one service costs: as a micro-container, and on Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Tools, percent, program};
use crate::bench::programs::root;
use crate::bench::report::{Bar, Grid, GridLine, Sense};
use crate::bench::rounds::Row;
use crate::tool;

/// What the second version has more: a route.
const BEFORE: &str = "Route::post(\"/sum\", Self::sum),";
const AFTER: &str =
    "Route::post(\"/sum\", Self::sum),\n        Route::get(\"/bye/{name}\", Self::hello),";

/// The service of examples/hello, with or without a route more.
fn source(folder: &Path, name: &str, more: bool) -> Result<PathBuf> {
    let place = folder.join(name);
    let from = root().join("examples/hello");
    fs::create_dir_all(place.join("src"))?;
    for file in ["Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs"] {
        let mut text = fs::read_to_string(from.join(file))
            .with_context(|| format!("reading {file} of examples/hello"))?;
        if file == "Cargo.toml" {
            text = text.replace("\"../../", &format!("\"{}/", root().display()));
        }
        if more && file == "src/main.rs" {
            ensure!(
                text.contains(BEFORE),
                "examples/hello has no such route any more"
            );
            text = text.replace(BEFORE, AFTER);
        }
        fs::write(place.join(file), text)?;
    }
    Ok(place)
}

/// Builds four images, and weighs what goes from the first version to the second.
pub(super) fn measure(tools: &Tools, folder: &Path) -> Result<(Grid, Vec<Bar>)> {
    let store = folder.join("images");
    let ounce = |words: &[&str]| -> Command {
        let mut ounce = program(&tools.ounce.to_string_lossy(), &["--json", "--store"]);
        ounce.arg(&store).args(words);
        ounce
    };
    for (version, more) in [("1", false), ("2", true)] {
        let place = source(folder, &format!("service-{version}"), more)?;
        let place = place.display().to_string();
        for (name, base) in [("micro", "scratch"), ("debian", "debian-slim")] {
            let tag = format!("{name}:{version}");
            tool::read(&mut ounce(&["build", &place, "--base", base, "-t", &tag]))?;
        }
    }
    let between = |name: &str| -> Result<Value> {
        let (one, two) = (format!("{name}:1"), format!("{name}:2"));
        let text = tool::read(&mut ounce(&["delta", &one, &two]))?;
        Ok(serde_json::from_str(&text)?)
    };
    let (micro, debian) = (between("micro")?, between("debian")?);
    let bytes = |of: &Value, key: &str| of[key].as_u64().context("no such figure");
    let whole = bytes(&debian, "new_bytes")?;
    let rows = [
        ("debian-whole", "image on debian-slim, pulled", whole),
        (
            "debian-layer",
            "its layer that has changed",
            bytes(&debian, "full_bytes")?,
        ),
        (
            "debian-delta",
            "ounce's delta of it",
            bytes(&debian, "delta_bytes")?,
        ),
        (
            "micro-whole",
            "micro-container, pulled",
            bytes(&micro, "new_bytes")?,
        ),
        ("micro-delta", "its delta", bytes(&micro, "delta_bytes")?),
    ];
    let fewer = |sent: u64| 100.0 - percent(sent, whole);
    let lines = rows.map(|(key, title, sent)| GridLine {
        row: Row::new(key, title, ""),
        is_ours: key.starts_with("micro"),
        cells: vec![sent.to_string(), format!("{:.3}", fewer(sent))],
        repeated: 0,
        samples: json!({ "bytes": sent }),
    });
    let found = fewer(rows[4].2);
    let grid = Grid {
        key: "delta-service".to_owned(),
        title: "A JSON service (examples/hello) gets a route more: what a device fetches"
            .to_owned(),
        head: ["bytes", "% fewer than the image on Debian"]
            .map(str::to_owned)
            .to_vec(),
        lines: lines.into(),
    };
    let bar = Bar {
        goal: "an update, percent fewer bytes than pulling the image on Debian again".to_owned(),
        sense: Sense::AtLeast,
        wanted: 99.9,
        against: None,
        found: Some((found * 1_000.0).floor() / 1_000.0),
        paired: None,
    };
    Ok((grid, vec![bar]))
}
