//! The page about the corpus.

use std::fmt::Write as _;

use serde_json::Value;

use super::Outcome;

const HEAD: &str = "\
# Trimming real images

Written by `cargo xtask corpus`, which makes the images of Debian packages, pip and
npm, trims each by its own test and proves it. Sizes are bytes of files, as an
unpacked image holds them.

- *traced*: what the test touched;
- *proved*: what of it the test cannot do without, where bytecode, name services,
  TLS and time zones are held back, as `--prove` does unless told;
- *bare*: with `--also all`, nothing held back but what makes the start 1.5 times as dear;
- *bar*: an exact closure made by hand of the same packages with strace and ldd, and
  a 1-minimal one, rounded up. An asterisk: time was up before all trials were made.

CPU is what the test's processes take from the start to the last answer, a median of
several runs. Times were taken on a busy machine: compare within a row.
";

/// The whole page.
pub(crate) fn page(outcomes: &[Outcome]) -> String {
    let mut out = HEAD.to_owned();
    out.push_str(
        "\n| image | files | MB | traced: files | MB | bar | proved: files | MB | trials \
         | bare: files | MB | trials | bar |\n",
    );
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in outcomes {
        let (traced_bar, bare_bar) = match one.bar {
            Some((traced, bare)) => (millions(traced), millions(bare)),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let of = |document: Option<&Value>, part: &str| {
            let count = |field: &str| document.and_then(|it| it[part][field].as_u64());
            let files = count("files").map_or("–".to_owned(), |it| it.to_string());
            format!(
                "{files} | {}",
                count("bytes").map_or("–".to_owned(), millions)
            )
        };
        let trials = |document: Option<&Value>| match document {
            None => "–".to_owned(),
            Some(document) => {
                let mark = if document["minimal"] == false {
                    "*"
                } else {
                    ""
                };
                format!("{}{mark}", document["trials"])
            }
        };
        let (proved, bare) = (one.proved.as_ref(), one.bare.as_ref());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {traced_bar} | {} | {} | {} | {} | {bare_bar} |",
            one.name,
            of(Some(&one.traced), "before"),
            of(Some(&one.traced), "after"),
            of(proved, "after"),
            trials(proved),
            of(bare, "after"),
            trials(bare),
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
        let Some((traced, bare)) = one.bar else {
            continue;
        };
        if bytes(&one.traced) > traced {
            over.push(format!("{} (traced)", one.name));
        }
        if one
            .bare
            .as_ref()
            .is_some_and(|document| bytes(document) > bare)
        {
            over.push(format!("{} (bare)", one.name));
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
        let outcome = |traced, bare| Outcome {
            name: "web".to_owned(),
            bar: Some((100, 50)),
            traced: document(traced),
            proved: None,
            bare: Some(document(bare)),
            start: [Some(10.0), Some(9.5), None],
            test: "GET /".to_owned(),
        };
        assert!(over(&[outcome(100, 50)]).is_empty());
        assert_eq!(over(&[outcome(101, 51)]), ["web (traced)", "web (bare)"]);
        let page = page(&[outcome(9_870_000, 1)]);
        assert!(page.contains("| web | 9 | 183 | 3 | 9.87 |"), "{page}");
    }
}
