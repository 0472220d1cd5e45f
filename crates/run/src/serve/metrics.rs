//! What is counted of each service, and its text for Prometheus (text format
//! 0.0.4, <https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper ends of the histogram's buckets in microseconds: a start takes about
/// a millisecond.
const BUCKETS_US: [u64; 12] = [
    500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000,
];

/// What is counted of a service.
#[derive(Debug, Default)]
pub struct Counters {
    name: String,
    /// Containers that were started.
    pub(super) starts: AtomicU64,
    /// Starts that failed.
    pub(super) failures: AtomicU64,
    /// Containers that ended by themselves when they should not have.
    pub(super) crashes: AtomicU64,
    /// Starts that followed a failure or a crash.
    pub(super) restarts: AtomicU64,
    /// Containers that were stopped since nobody was connected.
    pub(super) idle_stops: AtomicU64,
    /// Containers that were replaced by those of another image.
    pub(super) rolls: AtomicU64,
    /// Starts that had to wait for a limit.
    pub(super) delayed: AtomicU64,
    /// Containers that run now.
    pub(super) running: AtomicU32,
    /// Connections when last looked.
    pub(super) connections: AtomicU32,
    /// After a failure: how long until the next try; else 0.
    pub(super) pausing_ms: AtomicU32,
    /// Requests that were routed, by the first digit of the answer's status.
    pub(super) requests: [AtomicU64; 5],
    /// From the first connection noticed to the program executed.
    start_times: [AtomicU64; BUCKETS_US.len()],
    start_time_sum_us: AtomicU64,
}

/// All that is counted, shared with who shows it.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Vec<Arc<Counters>>>>);

impl Counters {
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            ..Self::default()
        })
    }

    /// A container was started, and that took so long.
    pub(super) fn started(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Only the first bucket that holds it: they are summed up when shown.
        let bucket = BUCKETS_US.iter().position(|end| took <= *end);
        if let Some(bucket) = bucket.and_then(|index| self.start_times.get(index)) {
            add(bucket);
        }
        self.start_time_sum_us.fetch_add(took, Ordering::Relaxed);
        add(&self.starts);
    }

    /// A request was answered with this status.
    pub(super) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(count) = self.requests.get(class) {
            add(count);
        }
    }

    fn is_used(&self) -> bool {
        [&self.starts, &self.failures, &self.delayed]
            .into_iter()
            .chain(&self.requests)
            .any(|count| get(count) > 0)
    }
}

pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

type Read = fn(&Counters) -> u64;

/// Name, kind, help, value.
const SIMPLE: [(&str, &str, &str, Read); 9] = [
    (
        "starts_total",
        "counter",
        "Containers that were started.",
        |one| get(&one.starts),
    ),
    (
        "start_failures_total",
        "counter",
        "Starts that failed.",
        |one| get(&one.failures),
    ),
    (
        "crashes_total",
        "counter",
        "Containers that ended by themselves when they should not have.",
        |one| get(&one.crashes),
    ),
    (
        "restarts_total",
        "counter",
        "Starts that followed a failure or a crash.",
        |one| get(&one.restarts),
    ),
    (
        "idle_stops_total",
        "counter",
        "Containers that were stopped since nobody was connected.",
        |one| get(&one.idle_stops),
    ),
    (
        "rolls_total",
        "counter",
        "Containers that were replaced by those of another image.",
        |one| get(&one.rolls),
    ),
    (
        "delayed_starts_total",
        "counter",
        "Starts that had to wait for a limit.",
        |one| get(&one.delayed),
    ),
    ("running", "gauge", "Containers that run now.", |one| {
        one.running.load(Ordering::Relaxed).into()
    }),
    (
        "connections",
        "gauge",
        "Connections when last looked.",
        |one| one.connections.load(Ordering::Relaxed).into(),
    ),
];

impl Board {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Counters>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows these, too.
    pub(super) fn add(&self, counters: &Arc<Counters>) {
        self.all().push(Arc::clone(counters));
    }

    /// Shows them no longer.
    pub(super) fn remove(&self, counters: &Arc<Counters>) {
        self.all().retain(|other| !Arc::ptr_eq(other, counters));
    }

    /// The text. A service that never had anything to do has no lines of its
    /// own: a thousand of them cost nothing to ask for.
    pub fn text(&self) -> String {
        let all = self.all().clone();
        let used: Vec<&Counters> = all
            .iter()
            .map(|one| &**one)
            .filter(|one| one.is_used())
            .collect();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = describe(
            &mut text,
            "services",
            "gauge",
            "Services that are registered.",
        );
        let _ = writeln!(text, "ounce_serve_services {}", all.len());
        for (name, kind, help, value) in SIMPLE {
            let _ = describe(&mut text, name, kind, help);
            for one in &used {
                let _ = writeln!(
                    text,
                    "ounce_serve_{name}{{service=\"{}\"}} {}",
                    one.name,
                    value(one)
                );
            }
        }
        let _ = requests(&mut text, &used);
        let _ = start_times(&mut text, &used);
        text
    }
}

fn describe(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP ounce_serve_{name} {help}")?;
    writeln!(text, "# TYPE ounce_serve_{name} {kind}")
}

fn requests(text: &mut String, used: &[&Counters]) -> std::fmt::Result {
    const NAME: &str = "requests_total";
    describe(
        text,
        NAME,
        "counter",
        "Requests that were routed, by class of status.",
    )?;
    for one in used {
        for (class, count) in (1..).zip(&one.requests) {
            if get(count) > 0 {
                writeln!(
                    text,
                    "ounce_serve_{NAME}{{service=\"{}\",code=\"{class}xx\"}} {}",
                    one.name,
                    get(count)
                )?;
            }
        }
    }
    Ok(())
}

fn start_times(text: &mut String, used: &[&Counters]) -> std::fmt::Result {
    const NAME: &str = "start_seconds";
    let help = "From the first connection noticed to the program executed.";
    describe(text, NAME, "histogram", help)?;
    for one in used.iter().filter(|one| get(&one.starts) > 0) {
        let service = &one.name;
        let mut sum = 0;
        for (end, count) in BUCKETS_US.iter().zip(&one.start_times) {
            sum += get(count);
            let end = *end as f64 / 1e6;
            writeln!(
                text,
                "ounce_serve_{NAME}_bucket{{service=\"{service}\",le=\"{end}\"}} {sum}"
            )?;
        }
        // No bucket may hold more than all, whatever is counted meanwhile.
        let all = get(&one.starts).max(sum);
        let seconds = get(&one.start_time_sum_us) as f64 / 1e6;
        writeln!(
            text,
            "ounce_serve_{NAME}_bucket{{service=\"{service}\",le=\"+Inf\"}} {all}"
        )?;
        writeln!(
            text,
            "ounce_serve_{NAME}_sum{{service=\"{service}\"}} {seconds}"
        )?;
        writeln!(
            text,
            "ounce_serve_{NAME}_count{{service=\"{service}\"}} {all}"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_described_and_buckets_grow() {
        let board = Board::default();
        let (web, idle) = (Counters::new("web"), Counters::new("idle"));
        board.add(&web);
        board.add(&idle);
        for micros in [400, 900, 900, 4_000, 9_000_000] {
            web.started(Duration::from_micros(micros));
        }
        web.answered(200);
        web.answered(503);
        web.answered(999);
        let text = board.text();
        assert!(text.contains("ounce_serve_services 2\n"));
        assert!(!text.contains("service=\"idle\""));
        for line in [
            "ounce_serve_starts_total{service=\"web\"} 5",
            "ounce_serve_requests_total{service=\"web\",code=\"5xx\"} 1",
            "ounce_serve_start_seconds_bucket{service=\"web\",le=\"0.0005\"} 1",
            "ounce_serve_start_seconds_bucket{service=\"web\",le=\"0.001\"} 3",
            "ounce_serve_start_seconds_bucket{service=\"web\",le=\"2.5\"} 4",
            "ounce_serve_start_seconds_bucket{service=\"web\",le=\"+Inf\"} 5",
            "ounce_serve_start_seconds_count{service=\"web\"} 5",
            "ounce_serve_start_seconds_sum{service=\"web\"} 9.0062",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        let mut described: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|rest| rest.split(' ').next())
            .collect();
        let count = described.len();
        described.sort_unstable();
        described.dedup();
        assert_eq!(described.len(), count, "each is described once");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let stem = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|stem| described.contains(stem))
                .unwrap_or(name);
            assert!(described.contains(&stem), "{line}");
        }
        board.remove(&web);
        assert!(!board.text().contains("web"));
    }
}
