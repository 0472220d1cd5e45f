//! dpkg's own records, as dpkg would have written them: so dpkg, apt and
//! scanners in or outside the image see which packages there are.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};
use ounce_oci::layer::EntryKind;

use super::control::{Paragraph, paragraphs};
use super::deb::Deb;
use crate::distribution::files::{Files, FilesError, Node};

const FOLDER: &str = "var/lib/dpkg";

/// The control files that dpkg keeps; `control` becomes the status.
const NOT_KEPT: [&str; 1] = ["control"];

/// What a package says of itself.
pub(crate) fn control(deb: &Deb) -> Option<Paragraph<'_>> {
    paragraphs(deb.control_text("control")?).next()
}

/// A package's configuration files, relative to the root.
fn conffiles(deb: &Deb) -> impl Iterator<Item = &str> {
    let lines = deb.control_text("conffiles").unwrap_or("").lines();
    lines
        .map(str::trim)
        // `remove-on-upgrade /etc/old` is one that the package no longer has.
        .filter(|line| line.starts_with('/'))
        .map(|line| line.trim_start_matches('/'))
}

/// The records of a whole system: `/var/lib/dpkg`.
///
/// # Errors
/// A package's files stand where the records belong.
pub(crate) fn record(
    files: &mut Files,
    debs: &[Deb],
    architecture: &str,
    has_bin_sh_diverted: bool,
) -> Result<(), FilesError> {
    let mut status = String::new();
    let mut interests: Vec<String> = Vec::new();
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for deb in debs {
        let Some(fields) = control(deb) else { continue };
        let name = fields.get("Package").unwrap_or("");
        let info = match fields.get("Multi-Arch") {
            Some("same") => format!("{name}:{}", fields.get("Architecture").unwrap_or("")),
            _ => name.to_owned(),
        };
        status.push_str(&status_of(files, deb, fields));
        let mut list = "/.\n".to_owned();
        for path in &deb.paths {
            list.push('/');
            list.push_str(path);
            list.push('\n');
        }
        files.put(
            &format!("{FOLDER}/info/{info}.list"),
            Node::file(0o644, list),
        )?;
        for (kind, bytes) in &deb.control {
            if NOT_KEPT.contains(&kind.as_str()) {
                continue;
            }
            let is_script = matches!(
                kind.as_str(),
                "preinst" | "postinst" | "prerm" | "postrm" | "config"
            );
            let mode = if is_script { 0o755 } else { 0o644 };
            let path = format!("{FOLDER}/info/{info}.{kind}");
            files.put(&path, Node::file(mode, bytes.clone()))?;
        }
        for line in deb.control_text("triggers").unwrap_or("").lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(directive), Some(trigger)) = (words.next(), words.next()) else {
                continue;
            };
            let Some(wait) = directive.strip_prefix("interest") else {
                continue;
            };
            let noawait = if wait == "-noawait" { "/noawait" } else { "" };
            match trigger.starts_with('/') {
                true => interests.push(format!("{trigger} {info}{noawait}\n")),
                false => named
                    .entry(trigger)
                    .or_default()
                    .push(format!("{info}{noawait}\n")),
            }
        }
    }
    let mut put =
        |path: &str, text: String| files.put(&format!("{FOLDER}/{path}"), Node::file(0o644, text));
    put("status", status)?;
    put("available", String::new())?;
    put("arch", format!("{architecture}\n"))?;
    put("info/format", "1\n".to_owned())?;
    put("triggers/File", interests.concat())?;
    put("triggers/Unincorp", String::new())?;
    for (trigger, packages) in named {
        // A trigger's name is no path: dpkg's trigger names have no slash.
        if !trigger.contains('/') {
            put(&format!("triggers/{trigger}"), packages.concat())?;
        }
    }
    let mut diversions = String::new();
    if has_bin_sh_diverted {
        diversions.push_str(
            "/usr/share/man/man1/sh.1.gz\n/usr/share/man/man1/sh.distrib.1.gz\ndash\n\
             /bin/sh\n/bin/sh.distrib\ndash\n",
        );
    }
    put("diversions", diversions)?;
    put("statoverride", String::new())?;
    for folder in ["alternatives", "parts", "updates", "triggers", "info"] {
        files.add(&format!("{FOLDER}/{folder}"), Node::folder(0o755))?;
    }
    Ok(())
}

/// The records that a system without dpkg has: one file a package, as in
/// Google's distroless images, where scanners look for them.
///
/// # Errors
/// As [`record`].
pub(crate) fn record_each(files: &mut Files, debs: &[Deb]) -> Result<(), FilesError> {
    for deb in debs {
        let Some(fields) = control(deb) else { continue };
        let name = fields.get("Package").unwrap_or("");
        let mut text = fields.text().trim_end().to_owned();
        text.push('\n');
        let folder = format!("{FOLDER}/status.d");
        files.put(&format!("{folder}/{name}"), Node::file(0o644, text))?;
        if let Some(sums) = deb.control_text("md5sums") {
            // Of what is there, and no more.
            let kept: String = sums
                .lines()
                .filter(|line| {
                    let path = line.split_once("  ").map(|(_, path)| path.trim());
                    path.is_some_and(|path| files.get(path).is_some())
                })
                .map(|line| format!("{line}\n"))
                .collect();
            files.put(&format!("{folder}/{name}.md5sums"), Node::file(0o644, kept))?;
        }
    }
    Ok(())
}

/// A paragraph of `status`.
fn status_of(files: &Files, deb: &Deb, fields: Paragraph<'_>) -> String {
    let mut text = String::new();
    let mut conffile_lines = String::new();
    for path in conffiles(deb) {
        let content = files.get(path).and_then(|node| match &node.kind {
            EntryKind::File(_) => node.bytes(),
            _ => None,
        });
        if let Some(content) = content {
            // By it dpkg knows a file that somebody has changed; it protects nothing.
            let sum = Md5::digest(content);
            let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            conffile_lines.push_str(&format!("\n /{path} {digits}"));
        }
    }
    for (name, value) in fields.fields() {
        if name == "Description" && !conffile_lines.is_empty() {
            text.push_str(&format!("Conffiles:{conffile_lines}\n"));
        }
        text.push_str(&format!("{name}: {value}\n"));
        if name == "Package" {
            text.push_str("Status: install ok installed\n");
        }
    }
    text.push('\n');
    text
}
