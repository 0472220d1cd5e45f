//! The page about the corpus.

use std::fmt::Write as _;

use serde_json::Value;

use super::Outcome;

const HEAD: &str = "\
# Trimming real images

Written by `cargo xtask corpus`, which makes the images of Debian packages, pip and
npm, trims each by its own test and proves it. Sizes are bytes of files, as an
unpacked image holds them; *traced* is what the test touched, *proved* what it
cannot do without (1-minimal with respect to that test: bytecode, name services,
TLS and time zones are kept unless asked). The *bar* is what an exact closure takes
that was made by hand of the same packages, with strace and ldd, rounded up. CPU is what the test's processes take from the
start to the last answer, a median of several runs; times were taken on a busy
machine: compare within a row.
";

/// The whole page.
pub(crate) fn page(outcomes: &[Outcome]) -> String {
    let mut out = HEAD.to_owned();
    out.push_str(
        "\n| image | files | MB | traced: files | MB | bar | proved: files | MB | bar | trials |\n",
    );
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in outcomes {
        let (traced_bar, proved_bar) = match one.bar {
            Some((traced, proved)) => (millions(traced), millions(proved)),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let proved = one.proved.as_ref();
        let of = |document: Option<&Value>, part: &str, field: &str| {
            document.and_then(|document| document[part][field].as_u64())
        };
        let count = |number: Option<u64>| number.map_or("–".to_owned(), |it| it.to_string());
        let bytes = |number: Option<u64>| number.map_or("–".to_owned(), millions);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {traced_bar} | {} | {} | {proved_bar} | {} |",
            one.name,
            count(of(Some(&one.traced), "before", "files")),
            bytes(of(Some(&one.traced), "before", "bytes")),
            count(of(Some(&one.traced), "after", "files")),
            bytes(of(Some(&one.traced), "after", "bytes")),
            count(of(proved, "after", "files")),
            bytes(of(proved, "after", "bytes")),
            count(proved.and_then(|document| document["trials"].as_u64())),
        );
    }
    out.push_str("\n| image | one test, traced, ms | cut verified, ms | trim in all, ms | proof in all, s | CPU ms before | traced | proved |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in outcomes {
        let ms = |document: &Value, field: &str| {
            document[field]
                .as_u64()
                .map_or("–".to_owned(), |it| it.to_string())
        };
        let cpu = |number: Option<f64>| number.map_or("–".to_owned(), |it| format!("{it:.0}"));
        let seconds = one.proved.as_ref().and_then(|it| it["elapsed_ms"].as_f64());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            one.name,
            ms(&one.traced, "trace_ms"),
            ms(&one.traced, "verify_ms"),
            ms(&one.traced, "elapsed_ms"),
            seconds.map_or("–".to_owned(), |it| format!("{:.1}", it / 1000.0)),
            cpu(one.start[0]),
            cpu(one.start[1]),
            cpu(one.start[2]),
        );
    }
    out.push_str("\nThe tests:\n\n");
    for one in outcomes {
        let _ = writeln!(out, "- {}: {}", one.name, one.test);
    }
    out
}

/// Images that came out larger than their bar.
pub(crate) fn over(outcomes: &[Outcome]) -> Vec<String> {
    let bytes = |document: &Value| document["after"]["bytes"].as_u64().unwrap_or(u64::MAX);
    let mut over = Vec::new();
    for one in outcomes {
        let Some((traced, proved)) = one.bar else {
            continue;
        };
        if bytes(&one.traced) > traced {
            over.push(format!("{} (traced)", one.name));
        }
        if one
            .proved
            .as_ref()
            .is_some_and(|document| bytes(document) > proved)
        {
            over.push(format!("{} (proved)", one.name));
        }
    }
    over
}

/// Three digits of millions.
fn millions(bytes: u64) -> String {
    let millions = bytes as f64 / 1e6;
    match millions {
        small if small < 10.0 => format!("{small:.2}"),
        small if small < 100.0 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_over_its_bar_is_told() {
        let document = |bytes: u64| {
            json!({"before": {"files": 9, "bytes": 183_000_000}, "after": {"files": 3, "bytes": bytes},
                "elapsed_ms": 12, "trials": 4})
        };
        let outcome = |traced, proved| Outcome {
            name: "web",
            bar: Some((100, 50)),
            traced: document(traced),
            proved: Some(document(proved)),
            start: [Some(10.0), Some(9.5), None],
            test: "GET /".to_owned(),
        };
        assert!(over(&[outcome(100, 50)]).is_empty());
        assert_eq!(over(&[outcome(101, 51)]), ["web (traced)", "web (proved)"]);
        let page = page(&[outcome(9_870_000, 1)]);
        assert!(page.contains("| web | 9 | 183 | 3 | 9.87 |"), "{page}");
    }
}
