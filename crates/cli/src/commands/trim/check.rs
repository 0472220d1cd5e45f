//! Replaying a certificate: what stayed passes, and without each path that is
//! said to be needed it fails.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ounce_rootfs::name;
use ounce_trim::certificate::Certificate;
use ounce_trim::scratch::Scratch;
use serde::Serialize;

use super::prove::Bench;
use super::suite::Stop;
use super::{Subject, Work, scratch_folder};
use crate::arguments::trim::{TrimArguments, TrimTest};
use crate::commands::Context;
use crate::failure::{Failure, Kind};

/// Exit code 0 if all holds, 1 if something does not.
pub(super) fn run(
    context: &Context,
    arguments: &TrimArguments,
    path: &Path,
) -> Result<ExitCode, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::new(Kind::Input, format!("{}: {error}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| bad(&error))?;
    let certificate = Certificate::read(&bytes).map_err(|error| bad(&error))?;
    let test: TrimTest =
        serde_json::from_value(certificate.tests.clone()).map_err(|error| bad(&error))?;
    let stop = Stop::begin()?;
    let work = Work::begin(context, arguments, &test, &stop)?;
    let digest = work.image.digest.to_string();
    if digest != certificate.image_digest {
        let stated = &certificate.image_digest;
        return Err(bad(&format!(
            "it is about the image {stated}, this one is {digest}"
        )));
    }
    let shown =
        serde_json::to_value(&work.traced.shown).map_err(|error| Failure::new(Kind::Bug, error))?;
    if shown != certificate.shown {
        return Err(Failure::new(
            Kind::No,
            "the tests show something else on the whole image than they did then",
        )
        .hint("what they depend on besides the image has changed: time, host, script"));
    }
    let scratch = Scratch::new(&scratch_folder(context)?)?;
    let places: Vec<PathBuf> = certificate
        .kept
        .iter()
        .map(|text| name::read(text))
        .collect();
    let tree = &work.survey.tree;
    if let Some(place) = places.iter().find(|place| tree.get(place).is_none()) {
        return Err(bad(&format!("the image has no {place:?}")));
    }
    let subject = Subject {
        context,
        work: &work,
        stop: &stop,
        scratch: &scratch,
    };
    let bench = Bench {
        root: &work.held.root,
        places,
        jobs: 1,
        most_trials: None,
        time: None,
    };
    let mut lab = subject.lab(bench, &|_| true)?;
    let full = lab.full();
    lab.steady(&full)?;
    let mut needless = Vec::new();
    for text in certificate.needed.keys() {
        let without = lab.without(&full, &name::read(text));
        if lab.ask(&without)?.is_ok() {
            needless.push(text.clone());
        }
    }
    let document = Document {
        schema: "ounce.trim.check/1",
        claim: certificate.claim.clone(),
        kept: certificate.kept.len(),
        needed: certificate.needed.len(),
        trials: lab.made,
        needless: needless.clone(),
        holds: needless.is_empty(),
    };
    if context.output.json {
        context.output.document(&document)?;
    }
    if !needless.is_empty() {
        let text = format!(
            "the certificate does not hold: the test passes without /{}",
            needless.join(", /")
        );
        return Err(Failure::new(Kind::No, text));
    }
    if !context.output.json {
        context.output.text(&format!(
            "holds: {}\n  {} paths pass, each of {} is needed; {} trials\n",
            document.claim, document.kept, document.needed, document.trials
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    claim: String,
    kept: usize,
    needed: usize,
    trials: u64,
    needless: Vec<String>,
    holds: bool,
}
