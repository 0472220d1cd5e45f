//! Deltas: how many bytes an update takes, by ours and by those of others, on the
//! same pairs. A size is the same at each run, so each is measured once. How long it
//! takes to apply one, and what an update of a whole image costs, is `delta/applying`'s
//! and `delta/service`'s.

mod applying;
mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::bench::options::Options;
use crate::bench::programs::root;
use crate::bench::report::{Bar, Grid, GridLine, Sense, Sheet, Suite};
use crate::bench::rounds::{Absent, Row};
use crate::bench::stage::Stage;
use crate::tool;

/// The target of the firmware.
const TARGET: &str = "riscv32imc-unknown-none-elf";

/// Seconds that a peer has for one patch: who takes longer is told to be absent.
const MOST_SECONDS: &str = "300";

/// The same command, which is killed when its time is over.
fn bounded(command: &Command) -> Command {
    let mut bounded = tool::command(&["timeout", "--kill-after=5", MOST_SECONDS]);
    bounded.arg(command.get_program()).args(command.get_args());
    bounded
}

/// Why a patch was not made: the tool's own words, or that its time was over.
fn reason(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match text.contains("exit status: 124") || text.contains("exit status: 137") {
        true => format!("not done within {MOST_SECONDS} s"),
        false => text,
    }
}

/// Two images, and what an update between them should take.
struct Pair {
    key: &'static str,
    title: String,
    old: PathBuf,
    new: PathBuf,
    /// For devices, or for hosts.
    is_device: bool,
    /// Most percent of the new image, if that is promised.
    wanted: Option<f64>,
}

/// Who makes patches: a name, and the command for old, new and patch.
struct Peer {
    key: &'static str,
    title: &'static str,
    remark: &'static str,
    command: fn(&Tools, &Pair, &Path) -> Command,
}

/// Where the programs are.
struct Tools {
    ounce: PathBuf,
    python: PathBuf,
}

fn program(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(words);
    command
}

const HDIFFPATCH: &str = "import hdiffpatch, sys; o, n, p = sys.argv[1:4]; \
    open(p, 'wb').write(hdiffpatch.diff(open(o, 'rb').read(), open(n, 'rb').read(), compression='lzma'))";

const HPATCHLITE: &str = "import hdiffpatch as h, sys; o, n, p = sys.argv[1:4]; \
    open(p, 'wb').write(h.diff_lite(open(o, 'rb').read(), open(n, 'rb').read(), compression=h.TuzConfig(dict_size=4096)))";

const PEERS: &[Peer] = &[
    Peer {
        key: "ounce",
        title: "ounce delta",
        remark: "device: 16 KB of memory, stack included",
        command: |tools, pair, patch| {
            let mut command = Command::new(&tools.ounce);
            let target = if pair.is_device { "device" } else { "host" };
            command.args(["delta", "--for", target]);
            command.args([&pair.old, &pair.new]).arg("-o").arg(patch);
            command
        },
    },
    Peer {
        key: "bsdiff",
        title: "bsdiff",
        remark: "holds old and new in memory",
        command: |_, pair, patch| {
            let mut command = Command::new("bsdiff");
            command.args([&pair.old, &pair.new]).arg(patch);
            command
        },
    },
    Peer {
        key: "xdelta3",
        title: "xdelta3 -9",
        remark: "VCDIFF with its second compression",
        command: |_, pair, patch| {
            let mut command = program("xdelta3", &["-9", "-f", "-e", "-s"]);
            command.args([&pair.old, &pair.new]).arg(patch);
            command
        },
    },
    Peer {
        key: "zstd",
        title: "zstd -19 --patch-from",
        remark: "a window of the old image",
        command: |_, pair, patch| {
            let mut from = std::ffi::OsString::from("--patch-from=");
            from.push(&pair.old);
            let mut command = program("zstd", &["-q", "-f", "-19", "--long=27"]);
            command.arg(from).arg(&pair.new).arg("-o").arg(patch);
            command
        },
    },
    Peer {
        key: "detools",
        title: "detools, sequential, heatshrink",
        remark: "about 1 KB of memory",
        command: |tools, pair, patch| {
            let mut command = Command::new(&tools.python);
            command.args(["-m", "detools", "create_patch", "-c", "heatshrink"]);
            command.args([&pair.old, &pair.new]).arg(patch);
            command
        },
    },
    Peer {
        key: "hpatchlite",
        title: "HPatchLite, tinyuz",
        remark: "a window of 4 KB",
        command: |tools, pair, patch| {
            let mut command = Command::new(&tools.python);
            command
                .args(["-c", HPATCHLITE])
                .args([&pair.old, &pair.new]);
            command.arg(patch);
            command
        },
    },
    Peer {
        key: "hdiffpatch",
        title: "HDiffPatch, lzma",
        remark: "8 MB of memory and more",
        command: |tools, pair, patch| {
            let mut command = Command::new(&tools.python);
            command
                .args(["-c", HDIFFPATCH])
                .args([&pair.old, &pair.new]);
            command.arg(patch);
            command
        },
    },
];

/// Makes the pairs, and a patch of each by everybody.
pub(crate) fn run(
    options: &Options,
    ounce: &Path,
    stage: &Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let folder = stage.subfolder("delta")?;
    let mut absent = Vec::new();
    let tools = Tools {
        ounce: ounce.to_owned(),
        python: python(&folder).unwrap_or_else(|error| {
            absent.push(Absent::new("detools, HDiffPatch", format!("{error:#}")));
            PathBuf::from("python3")
        }),
    };
    let mut pairs = Vec::new();
    for (what, made) in [
        ("firmware", firmware(&folder)),
        ("Pybricks", pybricks(&folder)),
        ("ruff", ruff(&folder)),
    ] {
        match made {
            Ok(made) => pairs.extend(made),
            Err(error) => absent.push(Absent::new(what, format!("{error:#}"))),
        }
    }
    let (mut tables, mut bars) = (Vec::new(), Vec::new());
    for (number, pair) in pairs.iter().enumerate() {
        let sizes = sizes(options, &tools, pair, &folder, &mut absent)?;
        let bytes = fs::metadata(&pair.new)?.len();
        bars.extend(promises(pair, &sizes, bytes));
        tables.push(Sheet::Grid(table(pair, &sizes, bytes)));
        progress(&pair.title, number + 1, pairs.len());
        // What everybody's programs do with what was just made.
        if !pair.is_device {
            let (grid, bar) = applying::measure(options, &tools, pair, &sizes, &folder)?;
            tables.push(Sheet::Grid(grid));
            bars.push(bar);
        }
    }
    match service::measure(&tools, &folder) {
        Ok((grid, more)) => {
            tables.push(Sheet::Grid(grid));
            bars.extend(more);
        }
        Err(error) => absent.push(Absent::new("a service's images", format!("{error:#}"))),
    }
    Ok(Suite {
        key: "delta",
        title: "Deltas".to_owned(),
        method: "The bytes of one update between two releases, as a file. Ours is applied once when it is made, \
                 and refused if it does not give the new image."
            .to_owned(),
        tables,
        bars,
        absent,
        notes: vec![
            "The firmware is bench/programs/firmware, compiled for riscv32imc and taken as a raw image; where \
             code is in it and at which address, ounce finds out."
                .to_owned(),
            "A month of Debian's security updates is another matter: a root file system's best delta was 3.9 MB \
             in a prototype, and a micro-container has no part in it."
                .to_owned(),
            "ounce's files hold the digests of both images, and those of HDiffPatch and bsdiff none.".to_owned(),
        ],
        versions: versions(&tools),
    })
}

type Sizes = Vec<(&'static Peer, u64)>;

fn sizes(
    options: &Options,
    tools: &Tools,
    pair: &Pair,
    folder: &Path,
    absent: &mut Vec<Absent>,
) -> Result<Sizes> {
    let mut sizes = Vec::new();
    for peer in PEERS {
        if peer.key != "ounce" && !options.wants(peer.key) {
            continue;
        }
        let patch = folder.join(format!("{}-{}.patch", pair.key, peer.key));
        // bsdiff and others leave what is there.
        let _ = fs::remove_file(&patch);
        let made = tool::read(&mut bounded(&(peer.command)(tools, pair, &patch)));
        match made.and_then(|_| Ok(fs::metadata(&patch)?.len())) {
            Ok(bytes) => sizes.push((peer, bytes)),
            Err(error) if peer.key == "ounce" => return Err(error),
            Err(error) => absent.push(Absent::new(
                format!("{} of {}", peer.title, pair.key),
                reason(&error),
            )),
        }
    }
    Ok(sizes)
}

fn percent(bytes: u64, of: u64) -> f64 {
    bytes as f64 * 100.0 / of as f64
}

fn promises(pair: &Pair, sizes: &Sizes, bytes: u64) -> Vec<Bar> {
    let of = |ours: bool| {
        sizes
            .iter()
            .filter(move |(peer, _)| (peer.key == "ounce") == ours)
    };
    let ours = of(true).map(|(_, bytes)| *bytes).next();
    let best = of(false).min_by_key(|(_, bytes)| *bytes);
    let mut bars = vec![Bar {
        goal: format!("{}: smaller than the smallest of the others", pair.title),
        sense: Sense::Ratio,
        wanted: 1.0,
        against: best.map(|(peer, _)| peer.title.to_owned()),
        found: ours
            .zip(best)
            .map(|(ours, (_, best))| *best as f64 / ours as f64),
        paired: None,
    }];
    bars.extend(pair.wanted.map(|wanted| Bar {
        goal: format!("{}: percent of the new image", pair.title),
        sense: Sense::PercentAtMost,
        wanted,
        against: None,
        found: ours.map(|ours| (percent(ours, bytes) * 1_000.0).round() / 1_000.0),
        paired: None,
    }));
    bars
}

fn table(pair: &Pair, sizes: &Sizes, bytes: u64) -> Grid {
    let mut sizes: Vec<_> = sizes.iter().collect();
    sizes.sort_by_key(|(_, bytes)| *bytes);
    Grid {
        key: format!("delta-{}", pair.key),
        title: format!("{}, {bytes} bytes", pair.title),
        head: ["bytes", "% of the new image", "conditions"]
            .map(str::to_owned)
            .to_vec(),
        lines: sizes
            .into_iter()
            .map(|(peer, patch)| GridLine {
                row: Row::new(peer.key, peer.title, peer.remark),
                is_ours: peer.key == "ounce",
                cells: vec![
                    patch.to_string(),
                    format!("{:.3}", percent(*patch, bytes)),
                    peer.remark.to_owned(),
                ],
                repeated: 0,
                samples: json!({ "bytes": patch }),
            })
            .collect(),
    }
}

/// A Python with the peers that are its packages.
fn python(folder: &Path) -> Result<PathBuf> {
    let place = folder.join("python");
    tool::run(program("python3", &["-m", "venv"]).arg(&place))?;
    let python = place.join("bin/python3");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "detools", "hdiffpatch"]);
    tool::run(&mut install)?;
    Ok(python)
}

/// The firmware as it is, with a route more, and with two dependencies moved.
fn firmware(folder: &Path) -> Result<Vec<Pair>> {
    // Where it is not there already and can be had.
    let _ = tool::read(&mut program("rustup", &["target", "add", TARGET]));
    let image = |name: &str, features: &[&str], moved: &[(&str, &str)]| -> Result<PathBuf> {
        let place = folder.join(name);
        let source = root().join("bench/programs/firmware");
        tool::run(program("cp", &["-r"]).arg(&source).arg(&place))?;
        let manifest = place.join("Cargo.toml");
        let mut text = fs::read_to_string(&manifest)?;
        for (from, to) in moved {
            ensure!(
                text.contains(from),
                "{from} is not in the firmware's manifest"
            );
            text = text.replace(from, to);
        }
        fs::write(&manifest, text)?;
        let mut build = program("cargo", &["build", "--release", "--target", TARGET]);
        build.args(features).current_dir(&place);
        build.env("CARGO_TARGET_DIR", folder.join("firmware-target"));
        tool::run(&mut build)?;
        let built = folder.join("firmware-target").join(TARGET);
        let elf = fs::read(built.join("release/firmware"))?;
        let raw = place.join("firmware.bin");
        fs::write(&raw, loaded(&elf)?)?;
        Ok(raw)
    };
    let base = image("base", &[], &[])?;
    let route = image("route", &["--features", "route"], &[])?;
    let moved = [
        (
            "serde-json-core = \"=0.6.0\"",
            "serde-json-core = \"=0.7.0\"",
        ),
        ("version = \"=2.1.0\"", "version = \"=2.2.1\""),
    ];
    let bump = image("bump", &[], &moved)?;
    let smoltcp = image(
        "smoltcp",
        &[],
        &[("version = \"=0.12.0\"", "version = \"=0.13.0\"")],
    )?;
    let pair = |key, title: &str, new, wanted| Pair {
        key,
        title: title.to_owned(),
        old: base.clone(),
        new,
        is_device: true,
        wanted,
    };
    Ok(vec![
        pair(
            "route",
            "rv32imc firmware, one route more",
            route,
            Some(0.75),
        ),
        pair(
            "bump",
            "rv32imc firmware, two dependencies moved",
            bump,
            Some(6.5),
        ),
        pair(
            "smoltcp",
            "rv32imc firmware, smoltcp 0.12 to 0.13",
            smoltcp,
            None,
        ),
    ])
}

/// What of an ELF file is loaded into flash, as `objcopy -O binary` has it.
fn loaded(elf: &[u8]) -> Result<Vec<u8>> {
    use object::read::elf::{ElfFile32, FileHeader as _, ProgramHeader as _};
    let file =
        ElfFile32::<object::Endianness>::parse(elf).context("the firmware is no ELF file")?;
    let endian = file.endian();
    let header = file.elf_header();
    let segments = header.program_headers(endian, elf)?;
    let mut parts = Vec::new();
    for segment in segments {
        let bytes = segment.data(endian, elf).unwrap_or_default();
        if segment.p_type(endian) == object::elf::PT_LOAD && !bytes.is_empty() {
            parts.push((segment.p_paddr(endian), bytes));
        }
    }
    parts.sort_by_key(|(address, _)| *address);
    let start = parts.first().context("nothing is loaded")?.0;
    let mut image = Vec::new();
    for (address, bytes) in parts {
        let at = (address - start) as usize;
        ensure!(at < 16 << 20, "the firmware lies in two places");
        image.resize(at, 0);
        image.extend_from_slice(bytes);
    }
    Ok(image)
}

/// The firmware of a LEGO hub, from the package of its community.
fn pybricks(folder: &Path) -> Result<Vec<Pair>> {
    let image = |version: &str| -> Result<PathBuf> {
        let place = folder.join(format!("pybricks-{version}"));
        fs::create_dir_all(&place)?;
        let name = format!("@pybricks/firmware@{version}");
        tool::run(program("npm", &["pack", "--silent", &name]).current_dir(&place))?;
        let archive = format!("pybricks-firmware-{version}.tgz");
        tool::run(program("tar", &["xzf", &archive]).current_dir(&place))?;
        let zip = "import zipfile; zipfile.ZipFile('package/build/primehub.zip').extractall('.')";
        tool::run(program("python3", &["-c", zip]).current_dir(&place))?;
        Ok(place.join("firmware-base.bin"))
    };
    Ok(vec![Pair {
        key: "pybricks",
        title: "Pybricks Prime hub (Cortex-M4) 7.27 to 7.28".to_owned(),
        old: image("7.27.0")?,
        new: image("7.28.0")?,
        is_device: true,
        wanted: Some(3.0),
    }])
}

/// A large program, for two processors, from its package.
fn ruff(folder: &Path) -> Result<Vec<Pair>> {
    let image = |version: &str, platform: &str| -> Result<PathBuf> {
        let place = folder.join(format!("ruff-{version}-{platform}"));
        let what = format!("ruff=={version}");
        let mut download = program(
            "python3",
            &["-m", "pip", "download", "--quiet", "--no-deps"],
        );
        download.args(["--only-binary=:all:", "--platform", platform, &what]);
        tool::run(download.arg("--dest").arg(&place))?;
        let unpack = "import glob, zipfile; zipfile.ZipFile(glob.glob('*.whl')[0]).extractall('.')";
        tool::run(program("python3", &["-c", unpack]).current_dir(&place))?;
        Ok(place.join(format!("ruff-{version}.data/scripts/ruff")))
    };
    let pair = |key, processor: &str, platform: &str, wanted| -> Result<Pair> {
        Ok(Pair {
            key,
            title: format!("ruff 0.17.5 to 0.17.6, static, {processor}"),
            old: image("0.17.5", platform)?,
            new: image("0.17.6", platform)?,
            is_device: false,
            wanted: Some(wanted),
        })
    };
    Ok(vec![
        pair("ruff-x86", "x86-64", "musllinux_1_2_x86_64", 11.8)?,
        pair("ruff-arm", "AArch64", "musllinux_1_2_aarch64", 11.6)?,
    ])
}

fn versions(tools: &Tools) -> Vec<(String, String)> {
    let python = tools.python.to_string_lossy();
    let commands: [(&str, Vec<&str>); 4] = [
        ("xdelta3", vec!["xdelta3", "-V"]),
        ("zstd", vec!["zstd", "--version"]),
        ("bsdiff", vec!["dpkg-query", "--show", "bsdiff"]),
        (
            "Python's",
            vec![&python, "-m", "pip", "list", "--format=freeze"],
        ),
    ];
    commands
        .into_iter()
        .filter_map(|(name, words)| {
            let output = tool::command(&words).output().ok()?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let first = said.lines().filter(|line| !line.trim().is_empty());
            let kept: Vec<&str> = match name {
                "Python's" => first
                    .filter(|line| line.starts_with("detools") || line.starts_with("hdiffpatch"))
                    .collect(),
                _ => first.take(1).collect(),
            };
            Some((name.to_owned(), kept.join(" ")))
        })
        .collect()
}
