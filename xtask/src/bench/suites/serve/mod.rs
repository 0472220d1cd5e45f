//! Serving files: our server beside others on one processor, the load on another.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;

use crate::bench::load;
use crate::bench::options::Options;
use crate::bench::packed;
use crate::bench::rates::{self, Column, Good};
use crate::bench::report::{Bar, Sense, Sheet, Suite, Table};
use crate::bench::rounds::{Absent, Contender, Taken, measure};
use crate::bench::servers::{Ground, PackedSite, Server, Servers};
use crate::bench::stage::Stage;
use crate::house::House;
use crate::tidy::Packer;

mod memory;
mod place;
mod scenes;

use place::{Place, folders, raise_descriptors};
use scenes::{Boot, FIRST_BYTE, SCENES, TIME, Turn};

/// What a careful reader must know.
const NOTES: [&str; 4] = [
    "The load generator is the benchmark's own: one thread, epoll, bound to the last processor it may use; every answer's \
     head is read and its body counted. Servers are bound to the first. Nobody is asked for compressed answers.",
    "nginx stands still for 40 ms with each batch of pipelined requests (the last small segment of an answer waits for an \
     acknowledgement that the client delays); wrk sees the same. Browsers do not pipeline: few will notice.",
    "Latencies are counted from when a request was due, so that a server that stands still is charged for all that wait. \
     What other programs do on the machine shows here first: compare the rows, not the figures with other machines'.",
    "Private dirty memory is what /proc/PID/smaps_rollup says of all processes of a server. Code, read-only data and the \
     files served are shared or can be dropped, and are not in it; nor is what the kernel keeps for sockets. For this table the \
     packed site is on disk and written back, as in an image: pages of files in memory count as dirty while mapped.",
];

/// Measures all servers in all scenes.
pub(crate) fn run(
    options: &Options,
    httpd: &Path,
    stage: &mut Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let (site, own, in_memory) = folders(stage)?;
    fs::create_dir_all(&own)?;
    let place = Place {
        processors: load::processors()?,
    };
    raise_descriptors();
    let packed = pack(options, &site, stage);
    let servers = Servers::gather(Ground {
        options,
        httpd,
        site: &site,
        packed,
        folder: &own,
    })?;
    let mut absent = servers.absent;
    let mut tables = Vec::new();
    let mut seen = Vec::new();
    for scene in &SCENES {
        if !options.wants_table(scene.key) {
            seen.push(Vec::new());
            continue;
        }
        let mut field: Vec<Box<dyn Contender + '_>> = Vec::new();
        for server in &servers.all {
            let fits = (scene.depth == 1 || server.pipelines)
                && (scene.rate.is_none() || server.keeps_alive);
            if !fits || (server.is_variant && !scene.has_variants) {
                continue;
            }
            match place.start(&server.start) {
                Ok(running) => field.push(Box::new(Turn {
                    server,
                    scene,
                    running,
                })),
                Err(error) => {
                    let one = Absent::new(server.row.title.clone(), format!("{error:#}"));
                    if !absent.contains(&one) {
                        absent.push(one);
                    }
                }
            }
        }
        let taken = measure(field, options.runs, &mut absent, &mut |done, all| {
            progress(scene.title, done, all);
        });
        let columns: &[Column] = if scene.rate.is_some() {
            &rates::LATENCY
        } else {
            &rates::THROUGHPUT
        };
        tables.push(Sheet::Grid(rates::table(
            scene.key,
            scene.title,
            columns,
            &taken,
        )));
        seen.push(taken);
    }
    let mut bars = bars(&seen);
    let mut notes = NOTES.map(str::to_owned).to_vec();
    if options.wants_table("boot") {
        let boot = boot(
            &servers.all,
            stage,
            &place,
            options.runs,
            &mut absent,
            progress,
        );
        bars.push(boot_bar(&boot));
        tables.push(Sheet::Times(boot));
    }
    if options.wants_table("memory") {
        let found = memory::measure(&servers.all, &place, &mut absent, progress);
        bars.extend(found.bars);
        tables.push(Sheet::Grid(found.table));
        notes.push(found.note);
    }
    Ok(Suite {
        key: "serve",
        title: "Serving files".to_owned(),
        method: format!(
            "The same folder {}, served to one load generator over loopback; the server has one processor, the generator \
             another. Everybody is started once a table and takes turns of {} ms, round by round. *CPU*: processor time \
             of the server's processes, the kernel's part included, a request; *busy*: how much of its processor the \
             server used: where it is well below 100 %, the generator or other work on the machine was the limit, and \
             the CPU tells more than the rate. *ounce ×*: how many times as good our server with the folder is, as the \
             ratio of the medians and (*paired*) as the median of the ratios round by round.",
            if in_memory {
                "in memory (tmpfs)"
            } else {
                "on disk, cached"
            },
            TIME.as_millis(),
        ),
        tables,
        bars,
        absent,
        notes,
        versions: servers.versions,
    })
}

/// The folder as a packed site, by the ounce that was given or one built for it.
fn pack(options: &Options, site: &Path, stage: &Stage) -> Result<PackedSite> {
    let ounce = match &options.ounce {
        Some(ounce) => ounce.clone(),
        // Packing gives the same bytes whatever the profile.
        None => Packer::debug(&House::here()?)?.ounce,
    };
    let on_disk = packed::pack(&ounce, site, &stage.subfolder("packed")?)?;
    // Written back, its pages are clean.
    File::open(&on_disk)?.sync_all()?;
    let beside = site.with_extension("packed");
    fs::copy(&on_disk, &beside)?;
    // The image holds the two, side by side.
    let server = on_disk.with_file_name("httpd");
    File::open(&server)?.sync_all()?;
    Ok(PackedSite {
        beside,
        on_disk,
        server,
    })
}

/// From the start of the program to its first answer, everybody in turn.
fn boot(
    servers: &[Server],
    stage: &mut Stage,
    place: &Place,
    runs: usize,
    absent: &mut Vec<Absent>,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Table {
    let title = "From the start of the program to the first byte of its answer";
    let stage = RefCell::new(stage);
    let field: Vec<Box<dyn Contender + '_>> = servers
        .iter()
        .filter(|server| !server.is_variant)
        .map(|server| {
            Box::new(Boot {
                server,
                stage: &stage,
                place,
            }) as Box<dyn Contender>
        })
        .collect();
    let taken = measure(field, runs, absent, &mut |done, all| {
        progress(title, done, all);
    });
    Table::new("boot", title, "ounce", FIRST_BYTE, &taken)
}

fn boot_bar(table: &Table) -> Bar {
    let goal = "boot to the first byte, against the faster of darkhttpd and busybox";
    let bar = table.bar(goal, &["darkhttpd", "busybox"], 1.0);
    Bar {
        sense: Sense::TimesAtMost,
        wanted: 0.7,
        found: bar.found.map(f64::recip),
        paired: bar.paired.map(f64::recip),
        ..bar
    }
}

/// The bars on rates, costs and latencies; `seen` in the order of the scenes.
fn bars(seen: &[Vec<Taken>]) -> Vec<Bar> {
    let [keep_alive, pipelined, close, large, latency] = seen else {
        return Vec::new();
    };
    let rate = (rates::RATE, Good::High);
    let cost = (rates::COST, Good::Low);
    let nginx: &[&str] = &["nginx"];
    let tuned: &[&str] = &["nginx-tuned"];
    let lighttpd: &[&str] = &["lighttpd"];
    let bar = rates::bar;
    vec![
        bar(
            keep_alive,
            "1 KB keep-alive, requests/s against nginx as installed",
            "ounce",
            nginx,
            rate,
            1.7,
        ),
        bar(
            keep_alive,
            "the same, CPU a request",
            "ounce",
            nginx,
            cost,
            1.7,
        ),
        bar(
            keep_alive,
            "1 KB keep-alive, requests/s against nginx with open_file_cache",
            "ounce",
            tuned,
            rate,
            1.2,
        ),
        bar(
            keep_alive,
            "the same, CPU a request",
            "ounce",
            tuned,
            cost,
            1.2,
        ),
        bar(
            keep_alive,
            "1 KB keep-alive, packed, requests/s against lighttpd",
            "packed",
            lighttpd,
            rate,
            1.0,
        ),
        bar(
            keep_alive,
            "the same, CPU a request",
            "packed",
            lighttpd,
            cost,
            1.0,
        ),
        bar(
            pipelined,
            "1 KB, 16 in a pipeline, packed, requests/s against lighttpd",
            "packed",
            lighttpd,
            rate,
            1.5,
        ),
        bar(
            pipelined,
            "the same, CPU a request",
            "packed",
            lighttpd,
            cost,
            1.5,
        ),
        bar(
            close,
            "1 KB, `Connection: close`, CPU a request against the best",
            "ounce",
            &[],
            cost,
            1.0,
        ),
        bar(
            large,
            "100 KB, requests/s against the best",
            "ounce",
            &[],
            rate,
            1.0,
        ),
        bar(
            latency,
            "p99 at 10,000 requests a second against the best",
            "ounce",
            &[],
            (rates::P99, Good::Low),
            1.0,
        ),
    ]
}
