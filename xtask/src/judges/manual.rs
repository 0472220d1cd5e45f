//! The man page, the completions and the JSON that `ounce` prints.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Bench, Case, NAME};
use crate::tool::{command, read};

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    bench.check(
        "man formats every page without a warning",
        &["man", "groff"],
        || man(case),
    );
    for shell in ["bash", "zsh"] {
        bench.check(
            &format!("{shell} accepts its completions"),
            &[shell],
            || {
                let text = read(&mut case.ounce(&["completions", shell]))?;
                ensure!(text.contains("ounce"), "the completions name no ounce");
                let file = case.scratch.join(&format!("completions.{shell}"));
                fs::write(&file, text)?;
                read(command(&[shell, "-n"]).arg(&file))?;
                Ok(())
            },
        );
    }
    for words in [
        &["images"][..],
        &["inspect", NAME],
        &["weigh", NAME],
        &["verify"],
        &["gc"],
    ] {
        bench.check(
            &format!(
                "`ounce --json {}` prints one document with a schema",
                words.join(" ")
            ),
            &[],
            || {
                let text = read(case.ounce(&["--json"]).args(words))?;
                let value: Value = serde_json::from_str(&text)?;
                ensure!(value.get("schema").is_some(), "no schema in {value}");
                Ok(())
            },
        );
    }
}

fn man(case: &Case<'_>) -> Result<()> {
    let folder = case.scratch.join("man");
    fs::create_dir_all(&folder)?;
    read(case.ounce(&["man", "--out"]).arg(&folder))?;
    let mut pages = 0;
    for page in fs::read_dir(&folder)? {
        let page = page?.path();
        let output = command(&["groff", "-man", "-Tutf8", "-ww", "-z"])
            .arg(&page)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.trim().is_empty(),
            "{}: {}",
            page.display(),
            said.trim()
        );
        pages += 1;
    }
    ensure!(pages > 0, "no page was written");
    Ok(())
}
