//! The pages: those that must exist, and links that must lead somewhere.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Fault;
use crate::house::House;

/// Files that a reader or a machine relies on.
const PROMISED: &[&str] = &[
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    ".ci/run",
    "docs/benchmarks.md",
    "docs/ounce-toml.md",
];

/// The two commands that the README promises.
const COMMANDS: &[&str] = &[
    "cargo run --release -- up examples/hello",
    "cargo xtask test",
];

/// The promised files stand there, and the README shows its two commands.
pub(super) fn promised_files(house: &House) -> Result<Vec<Fault>> {
    let mut faults: Vec<Fault> = PROMISED
        .iter()
        .filter(|path| !house.path(path).is_file())
        .map(|path| Fault::new(path, "is missing"))
        .collect();
    let readme = fs::read_to_string(house.path("README.md")).unwrap_or_default();
    for command in COMMANDS {
        if !readme.contains(command) {
            faults.push(Fault::new(
                "README.md",
                format!("does not show `{command}`"),
            ));
        }
    }
    Ok(faults)
}

/// Every relative link of every Markdown page leads to a file or folder,
/// and to a heading of it where it names one.
pub(super) fn links_resolve(house: &House) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for page in house.files("md")? {
        let text = fs::read_to_string(&page)?;
        for (line, link) in links(&text) {
            if let Some(problem) = broken(&page, &text, &link) {
                faults.push(Fault::new(format!("{}:{line}", house.name(&page)), problem));
            }
        }
    }
    Ok(faults)
}

/// Inline links `](target)` outside code, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Odd pieces stand between back quotes: code.
        for piece in line.split('`').step_by(2) {
            found.extend(targets(piece).map(|target| (index + 1, target)));
        }
        // A link whose text is code is split above: `](` starts the piece after it.
    }
    found
}

fn targets(piece: &str) -> impl Iterator<Item = String> + '_ {
    piece.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        Some(
            target
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned(),
        )
    })
}

fn broken(page: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = page.parent()?.join(path);
    if !path.is_empty() && !target.exists() {
        return Some(format!("the link to {link} leads nowhere"));
    }
    if heading.is_empty() {
        return None;
    }
    let there = if path.is_empty() {
        text.to_owned()
    } else {
        fs::read_to_string(target).ok()?
    };
    let known = there
        .lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line) == heading);
    (!known).then(|| format!("the link to {link} names no heading"))
}

/// A heading as pages of code forges link to it.
fn anchor(line: &str) -> String {
    line.trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::modules::tests::tree;

    #[test]
    fn a_link_to_nowhere_is_a_fault_with_its_line() {
        let page = "# A b!\n[ok](#a-b) [no](#c)\n[`x`](gone.md) ``` \n\n`[code](nothing)` [web](https://x)\n[there](d/e.md#f)";
        let (_folder, house) = tree(&[("p.md", page), ("d/e.md", "## F\n[up](../p.md)")]);
        let found: Vec<_> = links_resolve(&house)
            .unwrap()
            .iter()
            .map(Fault::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "p.md:2: the link to #c names no heading",
                "p.md:3: the link to gone.md leads nowhere",
            ]
        );
    }

    #[test]
    fn what_is_promised_must_exist() {
        let (_folder, house) = tree(&[("README.md", "cargo xtask test")]);
        let found: Vec<_> = promised_files(&house)
            .unwrap()
            .iter()
            .map(Fault::to_string)
            .collect();
        assert_eq!(found.len(), PROMISED.len());
        assert!(found.contains(&"LICENSE-MIT: is missing".to_owned()));
        assert!(
            found
                .iter()
                .any(|fault| fault.starts_with("README.md: does not show"))
        );
    }
}
