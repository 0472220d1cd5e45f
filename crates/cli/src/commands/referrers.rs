//! `ounce referrers`: what hangs on an image in the store.

use std::process::ExitCode;

use ounce_oci::ByteSize;
use ounce_oci::artifact::{CYCLONEDX, IN_TOTO, PART_LIMIT, PREDICATE_TYPE, SPDX};
use ounce_oci::referrers::Referrer;
use ounce_oci::signature::dsse::predicate;
use ounce_oci::signature::{ENVELOPE, SIGNATURE};
use ounce_oci::store::StoreError;
use serde::Serialize;

use super::Context;
use crate::arguments::supply::ReferrersArguments;
use crate::failure::{Failure, Kind, shown};
use crate::render::table::{Align, Table};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    name: String,
    digest: String,
    referrers: Vec<Row>,
}

/// Something that hangs on an image, to be shown.
#[derive(Debug, Serialize)]
struct Row {
    digest: String,
    subject: String,
    artifact_type: String,
    what: String,
    bytes: u64,
}

/// Lists them, prints one, or takes one off.
pub(crate) fn run(context: &Context, arguments: ReferrersArguments) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let root = store.find(&arguments.image)?;
    let found = store.referrers_below(&root)?;
    if let Some(digest) = &arguments.remove {
        if !found.iter().any(|one| one.digest == *digest) {
            return Err(none(&arguments, &digest.to_string()));
        }
        store.detach(digest)?;
        context.output.note(&format!("removed {digest}"));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(text) = &arguments.print {
        let one = chosen(&found, text).ok_or_else(|| none(&arguments, text))?;
        for part in &one.parts {
            let bytes = store.blobs().read(part, PART_LIMIT);
            let bytes = bytes.map_err(StoreError::from)?;
            context.output.bytes(&bytes)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Row> = found.iter().map(row).collect();
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.referrers/1",
            name: arguments.image.to_string(),
            digest: root.digest().to_string(),
            referrers: rows,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        context.output.note(&format!(
            "nothing hangs on {}: ounce sign, ounce attach, ounce build --sbom --provenance",
            arguments.image
        ));
    }
    let mut table = Table::new(&[
        ("WHAT", Align::Left),
        ("ON", Align::Left),
        ("SIZE", Align::Right),
        ("DIGEST", Align::Left),
    ]);
    for row in rows {
        let short = |text: &str| text.chars().take("sha256:".len() + 12).collect::<String>();
        table.row([
            shown(&row.what),
            short(&row.subject),
            ByteSize(row.bytes).to_string(),
            short(&row.digest),
        ]);
    }
    if !table.is_empty() {
        context.output.text(&table.text(context.output.color))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn none(arguments: &ReferrersArguments, text: &str) -> Failure {
    let image = &arguments.image;
    Failure::new(
        Kind::Input,
        format!("no single artifact on {image} has a digest that begins with {text}"),
    )
    .hint(format!("ounce referrers {image} --json lists them"))
}

/// The one whose digest begins so, if it is one.
fn chosen<'all>(found: &'all [Referrer], text: &str) -> Option<&'all Referrer> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let mut like = found.iter().filter(|one| one.digest.hex().starts_with(hex));
    let one = like.next()?;
    like.next().is_none().then_some(one)
}

fn row(one: &Referrer) -> Row {
    Row {
        digest: one.digest.to_string(),
        subject: one.subject.to_string(),
        artifact_type: one.artifact_type.clone(),
        what: what(one),
        bytes: one.descriptor.size()
            + one
                .parts
                .iter()
                .map(ounce_oci::model::Descriptor::size)
                .sum::<u64>(),
    }
}

/// What it is, in words; by what it says of itself, which nobody has verified.
fn what(one: &Referrer) -> String {
    let annotation = |key: &str| {
        let annotations = one.descriptor.annotations().as_ref()?;
        annotations.get(key).map(String::as_str)
    };
    let stated = |kind: Option<&str>| match kind {
        Some(predicate::SPDX) => "bill of materials (SPDX)".to_owned(),
        Some(predicate::CYCLONEDX) => "bill of materials (CycloneDX)".to_owned(),
        Some(predicate::PROVENANCE) => "provenance (SLSA)".to_owned(),
        Some(other) => format!("statement ({other})"),
        None => "statement".to_owned(),
    };
    match one.artifact_type.as_str() {
        SIGNATURE => "signature".to_owned(),
        SPDX => "bill of materials (SPDX)".to_owned(),
        CYCLONEDX => "bill of materials (CycloneDX)".to_owned(),
        IN_TOTO => stated(annotation(PREDICATE_TYPE)),
        ENVELOPE => format!("{}, signed", stated(annotation("predicateType"))),
        other => other.to_owned(),
    }
}
