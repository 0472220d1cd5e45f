//! Packing: from a ready static program to an image that can be loaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::bench::peers::{Field, Packer};
use crate::bench::programs::Programs;
use crate::bench::report::{Bar, Sense, Sheet, Suite, Table};
use crate::bench::rounds::{Contender, Marks, Row, mark, measure};

const WHOLE: &str = "whole";

/// One peer with one program.
struct Pack<'a> {
    peer: &'a dyn Packer,
    program: &'a Path,
}

impl Contender for Pack<'_> {
    fn row(&self) -> Row {
        self.peer.row()
    }

    fn trial(&mut self, number: usize) -> Result<Marks> {
        let name = format!("pack-{number}");
        self.peer.prepare(self.program, &name)?;
        let marks = pack(self.peer, self.program, &name);
        self.peer.clean(&name);
        marks
    }
}

fn pack(peer: &dyn Packer, program: &Path, name: &str) -> Result<Marks> {
    let mut steps = peer.steps(program, name);
    for step in &mut steps {
        step.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
    }
    let start = Instant::now();
    for step in &mut steps {
        let output = step
            .output()
            .with_context(|| format!("starting {}", step.get_program().display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let what = || {
            format!(
                "{:?} ended with {}: {}",
                step.get_program(),
                output.status,
                said.trim()
            )
        };
        ensure!(output.status.success(), what());
    }
    Ok(vec![mark(WHOLE, start.elapsed())])
}

/// Packs a tiny and a large program.
pub(crate) fn run(
    field: &mut Field,
    programs: &Programs,
    runs: usize,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let mut absent = std::mem::take(&mut field.no_packers);
    let mut tables = Vec::new();
    let inputs: [(&str, &str, &PathBuf); 2] = [
        ("build-small", "our server", &programs.httpd),
        ("build-large", "ounce itself", &programs.ounce),
    ];
    for (key, what, program) in inputs {
        let bytes = std::fs::metadata(program)?.len();
        let title = format!("{what}, {bytes} bytes");
        let contenders: Vec<Box<dyn Contender>> = field
            .packers
            .iter()
            .map(|peer| {
                Box::new(Pack {
                    peer: peer.as_ref(),
                    program,
                }) as Box<dyn Contender>
            })
            .collect();
        let taken = measure(contenders, runs, &mut absent, &mut |done, all| {
            progress(&title, done, all);
        });
        tables.push(Table::new(key, &capital(&title), "ounce", WHOLE, &taken));
    }
    // The bars of issue 6, section 6.
    let engines = ["buildah", "docker-classic", "docker-buildkit"];
    let all = ["buildah", "docker-classic", "docker-buildkit", "umoci"];
    let small = &tables[0];
    let own = small.lines.iter().find(|line| line.row.key == "ounce");
    let bars = vec![
        Bar {
            goal: "`ounce build` of our server, p50".to_owned(),
            sense: Sense::MillisecondsAtMost,
            wanted: 3.0,
            against: None,
            found: own.map(|line| (line.statistics.p50 / 10.0).round() / 100.0),
            paired: None,
        },
        small.bar("The same, against umoci", &["umoci"], 8.0),
        small.bar("The same, against buildah and docker", &engines, 80.0),
        tables[1].bar(
            "`ounce build` of ounce itself, against the fastest of buildah, docker, umoci",
            &all,
            1.0,
        ),
    ];
    Ok(Suite {
        key: "build",
        title: "Image build".to_owned(),
        method: "From a ready static program to an image that can be loaded: entrypoint and user set, the whole time of \
                 all commands it takes, as a user types them. Build caches are off or empty, daemons warm."
            .to_owned(),
        tables: tables.into_iter().map(Sheet::Times).collect(),
        bars,
        absent,
        notes: vec![
            "ounce and umoci compress the layer; docker, podman and buildah store it unpacked and leave that work to the \
             push: to their advantage, most of all with the large program."
                .to_owned(),
        ],
        versions: field.versions.clone(),
    })
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next()
        .map(|first| first.to_uppercase().chain(rest).collect())
        .unwrap_or_default()
}
