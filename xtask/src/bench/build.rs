//! Image build: from a ready static program to an image in the builder's own store.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bar, Row, Table};
use crate::dist;
use crate::house::House;
use crate::peers::docker::Daemon;
use crate::peers::podman::Storage;
use crate::scratch::Scratch;
use crate::tidy;
use crate::tool::{command, find, read};

/// Untimed rounds before the first that counts.
const WARM_ROUNDS: usize = 2;

/// From the folder that holds `app` and a tag, the commands that build.
type Make<'a> = Box<dyn Fn(&Path, &str) -> Vec<Command> + 'a>;

/// One builder: all commands that turn the folder's `app` into an image of that tag.
struct Builder<'a> {
    name: &'static str,
    note: &'static str,
    commands: Make<'a>,
}

/// One table for a tiny program and one for a large one.
pub(super) fn suite(house: &House, ounce: &Path, runs: usize) -> Result<Vec<Table>> {
    let small = tidy::build_program(&house.path("examples/hello"), dist::own_target()?)?;
    Ok(vec![
        table(house, ounce, &small, "`examples/hello`", true, runs)?,
        table(house, ounce, ounce, "`ounce` itself", false, runs)?,
    ])
}

fn table(
    house: &House,
    ounce: &Path,
    elf: &Path,
    what: &str,
    with_bar: bool,
    runs: usize,
) -> Result<Table> {
    let scratch = Scratch::new("build")?;
    let mut missing = Vec::new();
    let storage = Storage::new()
        .map_err(|error| missing.push(format!("podman, buildah: {error:#}")))
        .ok();
    let daemon = Daemon::start()
        .map_err(|error| missing.push(format!("docker: {error:#}")))
        .ok();
    let mut builders = vec![own(ounce, &scratch)];
    if find("umoci").is_some() {
        read(command(&["umoci", "init", "--layout"]).arg(scratch.join("umoci")))?;
        builders.push(umoci(&scratch));
    } else {
        missing.push("umoci: not installed".to_owned());
    }
    if let Some(storage) = &storage {
        if find("buildah").is_some() {
            builders.push(buildah(storage));
        } else {
            missing.push("buildah: not installed".to_owned());
        }
        builders.push(podman(storage));
    }
    if let Some(daemon) = &daemon {
        builders.push(docker(
            daemon,
            "docker build",
            "classic builder, daemon up",
            "0",
        ));
        builders.push(docker(
            daemon,
            "docker build, BuildKit",
            "BuildKit, daemon up",
            "1",
        ));
    }
    let rows = rounds(house, &scratch, elf, &builders, runs, &mut missing)?;
    let bytes = fs::metadata(elf)?.len();
    let peers = builders[1..]
        .iter()
        .map(|builder| builder.name.to_owned())
        .collect();
    let bars = if with_bar {
        vec![Bar {
            promise: format!(
                "image build from a ready program of {bytes} bytes: faster than the fastest peer"
            ),
            against: peers,
            at_least: 8.0,
        }]
    } else {
        Vec::new()
    };
    Ok(Table {
        title: format!("Image build from a ready program of {bytes} bytes"),
        method: format!(
            "From the spawn of the first command to the end of the last, into the builder's own store. The program is {what}; eight bytes at its end differ in every run and are the same for all builders of a round, so that no build is answered from a cache of the last. {WARM_ROUNDS} untimed rounds come first."
        ),
        rows,
        missing,
        bars,
    })
}

fn own<'a>(ounce: &'a Path, scratch: &'a Scratch) -> Builder<'a> {
    Builder {
        name: "ounce build",
        note: "gzip at libdeflate's best level, digest verified, written to the store",
        commands: Box::new(move |folder, tag| {
            let mut build = command(&[ounce]);
            build
                .arg("--store")
                .arg(scratch.join("store"))
                .arg("build")
                .arg(folder.join("app"))
                .args(["-t", &format!("bench:{tag}")]);
            vec![build]
        }),
    }
}

fn umoci(scratch: &Scratch) -> Builder<'_> {
    Builder {
        name: "umoci",
        note: "new, insert, config: three commands on a ready layout",
        commands: Box::new(move |folder, tag| {
            let image = format!("{}:{tag}", scratch.join("umoci").display());
            let mut insert = command(&["umoci", "insert", "--image", &image]);
            insert.arg(folder.join("app")).arg("/app");
            vec![
                command(&["umoci", "new", "--image", &image]),
                insert,
                command(&[
                    "umoci",
                    "config",
                    "--image",
                    &image,
                    "--config.entrypoint",
                    "/app",
                    "--config.user",
                    "65532:65532",
                ]),
            ]
        }),
    }
}

fn buildah(storage: &Storage) -> Builder<'_> {
    Builder {
        name: "buildah",
        note: "from scratch, copy, config, commit, rm; layer not compressed",
        commands: Box::new(move |folder, tag| {
            let work = format!("work-{tag}");
            let app = folder.join("app").display().to_string();
            vec![
                storage.buildah(&["from", "--quiet", "--name", &work, "scratch"]),
                storage.buildah(&["copy", "--quiet", &work, &app, "/app"]),
                storage.buildah(&[
                    "config",
                    "--entrypoint",
                    "[\"/app\"]",
                    "--user",
                    "65532:65532",
                    &work,
                ]),
                storage.buildah(&["commit", "--quiet", "--rm", &work, &format!("bench:{tag}")]),
            ]
        }),
    }
}

fn podman(storage: &Storage) -> Builder<'_> {
    Builder {
        name: "podman build",
        note: "Dockerfile, one layer; not compressed",
        commands: Box::new(move |folder, tag| {
            vec![storage.podman(&[
                "build",
                "--quiet",
                "--layers=false",
                "--tag",
                &format!("podman:{tag}"),
                &folder.display().to_string(),
            ])]
        }),
    }
}

fn docker<'a>(
    daemon: &'a Daemon,
    name: &'static str,
    note: &'static str,
    buildkit: &'static str,
) -> Builder<'a> {
    Builder {
        name,
        note,
        commands: Box::new(move |folder, tag| {
            let mut build = daemon.client(&[
                "build",
                "--quiet",
                "--tag",
                &format!("bench{buildkit}:{tag}"),
                &folder.display().to_string(),
            ]);
            build.env("DOCKER_BUILDKIT", buildkit);
            vec![build]
        }),
    }
}

fn rounds(
    house: &House,
    scratch: &Scratch,
    elf: &Path,
    builders: &[Builder<'_>],
    runs: usize,
    missing: &mut Vec<String>,
) -> Result<Vec<Row>> {
    let folder = scratch.join("context");
    fs::create_dir(&folder)?;
    fs::copy(
        house.path("bench/build/Dockerfile"),
        folder.join("Dockerfile"),
    )?;
    let mut rows: Vec<Row> = builders
        .iter()
        .map(|b| Row {
            name: b.name.to_owned(),
            note: b.note.to_owned(),
            samples_ms: Vec::new(),
            failures: 0,
        })
        .collect();
    let mut out = vec![false; builders.len()];
    for round in 0..WARM_ROUNDS + runs {
        let app = folder.join("app");
        fs::copy(elf, &app)?;
        OpenOptions::new()
            .append(true)
            .open(&app)?
            .write_all(&(round as u64).to_le_bytes())?;
        for step in 0..builders.len() {
            let index = (round + step) % builders.len();
            if out[index] {
                continue;
            }
            match measure((builders[index].commands)(&folder, &round.to_string())) {
                Ok(time) if round >= WARM_ROUNDS => {
                    rows[index].samples_ms.push(time.as_secs_f64() * 1e3);
                }
                Ok(_) => {}
                Err(error) if round == 0 => {
                    missing.push(format!("{}: {error:#}", builders[index].name));
                    out[index] = true;
                }
                Err(_) => rows[index].failures += 1,
            }
        }
    }
    Ok(rows)
}

fn measure(commands: Vec<Command>) -> Result<Duration> {
    ensure!(!commands.is_empty(), "nothing to run");
    let begun = Instant::now();
    for mut command in commands {
        read(&mut command)?;
    }
    Ok(begun.elapsed())
}
