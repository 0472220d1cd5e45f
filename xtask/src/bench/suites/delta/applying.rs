//! How fast a delta is applied, process and all: everybody on the same pair, in turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Pair, Peer, Sizes, Tools};
use crate::bench::options::Options;
use crate::bench::report::{Bar, Grid, GridLine, Sense};
use crate::bench::rounds::Row;
use crate::tool;

/// So many times each.
const ROUNDS: usize = 7;

const HDIFFPATCH: &str = "import hdiffpatch, sys; o, p, n = sys.argv[1:4]; \
    open(n, 'wb').write(hdiffpatch.apply(open(o, 'rb').read(), open(p, 'rb').read()))";

/// The command that makes the new image of the old one and a patch.
fn command(tools: &Tools, key: &str, old: &Path, patch: &Path, new: &Path) -> Option<Command> {
    let mut command;
    match key {
        "ounce" => {
            command = Command::new(&tools.ounce);
            command
                .args(["delta", "apply"])
                .args([old, patch])
                .arg("-o")
                .arg(new);
        }
        "bsdiff" => {
            command = Command::new("bspatch");
            command.args([old, new, patch]);
        }
        "xdelta3" => {
            command = Command::new("xdelta3");
            command.args(["-f", "-d", "-s"]).args([old, patch, new]);
        }
        "zstd" => {
            let mut from = std::ffi::OsString::from("--patch-from=");
            from.push(old);
            command = Command::new("zstd");
            command.args(["-q", "-f", "-d", "--long=27"]).arg(from);
            command.arg(patch).arg("-o").arg(new);
        }
        "hdiffpatch" => {
            command = Command::new(&tools.python);
            command.args(["-c", HDIFFPATCH]).args([old, patch, new]);
        }
        _ => return None,
    }
    Some(command)
}

/// Seconds of one go; the result is the new image.
fn once(command: &mut Command, pair: &Pair, made: &Path) -> Result<f64> {
    let _ = fs::remove_file(made);
    let begun = Instant::now();
    tool::read(command)?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(
        fs::read(made)? == fs::read(&pair.new)?,
        "another image came out"
    );
    Ok(seconds)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures who has made a patch of a pair.
pub(super) fn measure(
    options: &Options,
    tools: &Tools,
    pair: &Pair,
    sizes: &Sizes,
    folder: &Path,
) -> Result<(Grid, Bar)> {
    let mut field: Vec<(&Peer, PathBuf, Vec<f64>)> = Vec::new();
    for (peer, _) in sizes {
        let patch = folder.join(format!("{}-{}.patch", pair.key, peer.key));
        let wanted = peer.key == "ounce" || options.wants(peer.key);
        if wanted && command(tools, peer.key, &pair.old, &patch, &patch).is_some() {
            field.push((peer, patch, Vec::new()));
        }
    }
    let made = folder.join("applied");
    for _ in 0..ROUNDS {
        for (peer, patch, times) in &mut field {
            if let Some(mut command) = command(tools, peer.key, &pair.old, patch, &made) {
                times.push(once(&mut command, pair, &made)?);
            }
        }
    }
    let bytes = fs::metadata(&pair.new)?.len();
    let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
    let mut ours = None;
    let mut lines: Vec<(f64, GridLine)> = Vec::new();
    for (peer, _, mut times) in field {
        let seconds = median(&mut times);
        if peer.key == "ounce" {
            ours = Some(rate(seconds));
        }
        let line = GridLine {
            row: Row::new(peer.key, peer.title, peer.remark),
            is_ours: peer.key == "ounce",
            cells: vec![format!("{seconds:.3}"), format!("{:.0}", rate(seconds))],
            repeated: times.len(),
            samples: json!({ "seconds": times }),
        };
        lines.push((seconds, line));
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let grid = Grid {
        key: format!("delta-apply-{}", pair.key),
        title: format!("{}: applying it", pair.title),
        head: ["seconds, median", "MB of the new image a second"]
            .map(str::to_owned)
            .to_vec(),
        lines: lines.into_iter().map(|(_, line)| line).collect(),
    };
    let bar = Bar {
        goal: format!("{}: MB a second applied", pair.title),
        sense: Sense::AtLeast,
        wanted: 100.0,
        against: None,
        found: ours.map(f64::round),
        paired: None,
    };
    Ok((grid, bar))
}
