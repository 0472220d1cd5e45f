//! Tools that read images: skopeo, umoci, and ounce itself on what they wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Bench, Case, NAME};
use crate::tool::{command, read};

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let forms = [
        (
            "an OCI layout",
            format!("oci:{}:judged", case.path("layout")),
        ),
        (
            "an OCI archive",
            format!("oci-archive:{}", case.path("oci.tar")),
        ),
        (
            "a docker archive",
            format!("docker-archive:{}", case.path("docker.tar")),
        ),
        (
            "the store itself",
            format!("oci:{}:{NAME}", case.path("store")),
        ),
    ];
    for (index, (what, place)) in forms.iter().enumerate() {
        bench.check(&format!("skopeo inspects {what}"), &["skopeo"], || {
            inspects(place)
        });
        bench.check(
            &format!("skopeo copies {what}, digests kept"),
            &["skopeo"],
            || {
                let preserve: &[&str] = if place.starts_with("docker-archive") {
                    &[]
                } else {
                    &["--preserve-digests"]
                };
                let target = format!("dir:{}", case.path(&format!("copied-{index}")));
                read(
                    command(&["skopeo", "copy", "--quiet", "--insecure-policy"])
                        .args(preserve)
                        .args([place, &target]),
                )?;
                Ok(())
            },
        );
    }
    bench.check(
        "umoci unpacks the layout to the one program",
        &["umoci"],
        || unpacks(case),
    );
    bench.check(
        "umoci's own collection leaves what hangs on an image",
        &["umoci"],
        || outlives_collection(case),
    );
    bench.check(
        "ounce reads back what skopeo wrote, to the same digest",
        &["skopeo"],
        || reads_back(case),
    );
}

fn inspects(place: &str) -> Result<()> {
    let text = read(&mut command(&["skopeo", "inspect", "--config", place]))?;
    let config: Value = serde_json::from_str(&text)?;
    ensure!(config["os"] == "linux", "no os in {config}");
    ensure!(
        config["config"]["Entrypoint"].is_array(),
        "no entrypoint in {config}"
    );
    let user = config["config"]["User"].as_str().unwrap_or_default();
    ensure!(user.starts_with("65532"), "the user is {user:?}");
    let text = read(&mut command(&["skopeo", "inspect", place]))?;
    let layers = serde_json::from_str::<Value>(&text)?["Layers"]
        .as_array()
        .map_or(0, Vec::len);
    ensure!(layers == 1, "{layers} layers, not one");
    Ok(())
}

fn unpacks(case: &Case<'_>) -> Result<()> {
    let bundle = case.path("bundle");
    let image = format!("{}:judged", case.path("layout"));
    read(&mut command(&[
        "umoci", "unpack", "--image", &image, &bundle,
    ]))?;
    let mut programs = 0;
    for entry in fs::read_dir(format!("{bundle}/rootfs"))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
            programs += 1;
        }
    }
    ensure!(programs == 1, "{programs} programs in the root, not one");
    Ok(())
}

/// umoci collects in a copy of the store, which is still signed afterwards.
fn outlives_collection(case: &Case<'_>) -> Result<()> {
    let (store, copy) = (case.path("store"), case.path("collected"));
    read(command(&["cp", "-r"]).args([&store, &copy]))?;
    read(command(&["umoci", "gc", "--layout"]).arg(&copy))?;
    let key = case.path("judged.pub");
    let verify = ["--store", &copy, "verify", NAME, "--key", &key];
    read(command(&[case.ounce]).args(verify))?;
    Ok(())
}

fn reads_back(case: &Case<'_>) -> Result<()> {
    let there = format!("oci-archive:{}:back", case.path("skopeo.tar"));
    let from = format!("oci:{}:judged", case.path("layout"));
    read(&mut command(&[
        "skopeo",
        "copy",
        "--quiet",
        "--insecure-policy",
        "--preserve-digests",
        &from,
        &there,
    ]))?;
    read(&mut case.ounce(&["copy", &there, "back:1"]))?;
    let digest = |name: &str| -> Result<String> {
        let text = read(&mut case.ounce(&["--json", "inspect", name]))?;
        let value: Value = serde_json::from_str(&text).context("inspect prints no JSON")?;
        digest_in(&value).with_context(|| format!("no digest in {value}"))
    };
    let (ours, theirs) = (digest(NAME)?, digest("back:1")?);
    ensure!(ours == theirs, "{ours} became {theirs}");
    Ok(())
}

fn digest_in(value: &Value) -> Option<String> {
    Some(value.get("digest")?.as_str()?.to_owned())
}
