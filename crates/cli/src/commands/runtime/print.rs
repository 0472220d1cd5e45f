//! What the runtime face prints: JSON and tables as callers of runc know them.

use std::io::Write as _;

use ounce_run::runtime::RuntimeError;
use ounce_run::runtime::lifecycle::Shown;
use serde::Serialize;

use super::arguments::Format;

/// Prints what was asked for; a reader that went away is no error.
pub(super) fn text(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// One JSON document, indented.
pub(super) fn document(value: &impl Serialize) -> Result<(), RuntimeError> {
    let mut json = serde_json::to_string_pretty(value).map_err(|source| RuntimeError::Json {
        path: "stdout".into(),
        source,
    })?;
    json.push('\n');
    text(&json);
    Ok(())
}

/// Name and version, then the specification's, as podman shows it.
pub(super) fn version(specification: &str) {
    text(&format!(
        "ounce version {}\nspec: {specification}\n",
        env!("CARGO_PKG_VERSION")
    ));
}

/// A state.
pub(super) fn state(shown: &Shown) -> Result<(), RuntimeError> {
    document(shown)
}

/// All containers.
pub(super) fn list(all: &[Shown], format: Format, quiet: bool) -> Result<(), RuntimeError> {
    if quiet {
        for one in all {
            text(&format!("{}\n", one.id));
        }
        return Ok(());
    }
    match format {
        Format::Json => {
            let json = serde_json::to_string(all).map_err(|source| RuntimeError::Json {
                path: "stdout".into(),
                source,
            })?;
            text(&format!("{json}\n"));
        }
        Format::Table => {
            let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
            let mut rows = vec![head.map(str::to_owned)];
            rows.extend(all.iter().map(|one| {
                [
                    one.id.clone(),
                    one.pid.to_string(),
                    one.status.to_owned(),
                    one.bundle.display().to_string(),
                    one.created.clone(),
                    one.owner.clone(),
                ]
            }));
            text(&table(&rows));
        }
    }
    Ok(())
}

/// One JSON document in a line.
pub(super) fn line(value: &impl Serialize) -> Result<(), RuntimeError> {
    let json = serde_json::to_string(value).map_err(|source| RuntimeError::Json {
        path: "stdout".into(),
        source,
    })?;
    text(&format!("{json}\n"));
    Ok(())
}

/// Processes by number, or the lines that ps(1) has on them.
pub(super) fn processes(
    pids: &[i32],
    format: Format,
    options: &[String],
) -> Result<(), RuntimeError> {
    if format == Format::Json {
        return line(&pids);
    }
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() {
        &default
    } else {
        options
    };
    let output = std::process::Command::new("ps")
        .args(options)
        .output()
        .map_err(|source| RuntimeError::File {
            action: "running",
            path: "ps".into(),
            source,
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(RuntimeError::Argument(format!("ps: {}", said.trim())));
    }
    let table = String::from_utf8_lossy(&output.stdout);
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| {
        RuntimeError::Argument("ps: with these options there is no column PID".to_owned())
    })?;
    text(&format!("{head}\n"));
    for line in lines {
        let pid = line.split_whitespace().nth(column);
        let pid = pid.and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            text(&format!("{line}\n"));
        }
    }
    Ok(())
}

/// Columns as wide as their widest, three blanks apart.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max();
            line.push_str(cell);
            let blanks = width.unwrap_or_default() + 3 - cell.chars().count();
            line.extend(std::iter::repeat_n(' ', blanks));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
