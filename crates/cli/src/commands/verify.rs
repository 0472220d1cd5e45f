//! `ounce verify`: reads and hashes everything in the store, or one image, and
//! checks who has signed it and what is stated of it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ounce_oci::artifact::{CYCLONEDX, SPDX};
use ounce_oci::model::digest_of;
use ounce_oci::referrers::Referrer;
use ounce_oci::signature::dsse::{self, predicate};
use ounce_oci::signature::{self, PublicKey, Refused, Wanted};
use ounce_oci::store::{StoreError, Verified};
use ounce_oci::{ByteSize, Digest, Reference, Store};
use serde::Serialize;

use super::{Context, key};
use crate::arguments::supply::{Policy, Requirement, VerifyArguments};
use crate::failure::{Failure, Kind, shown};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    verified: &'a Verified,
}

/// Verifies; exit code 1 if anything is not what it should be.
pub(crate) fn run(context: &Context, arguments: VerifyArguments) -> Result<ExitCode, Failure> {
    if let Some(image) = &arguments.image {
        return one(context, image, &arguments);
    }
    if arguments.policy.is_any() {
        return Err(Failure::new(Kind::Usage, "which image is to be so?")
            .hint("ounce verify IMAGE --key FILE.pub"));
    }
    let verified = context.store()?.verify()?;
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.verify/1",
            verified: &verified,
        })?;
    } else {
        let faults: String = verified
            .faults
            .iter()
            .map(|fault| format!("{fault}\n"))
            .collect();
        let whole = format!(
            "{} blobs, {} verified\n",
            verified.blobs,
            ByteSize(verified.bytes)
        );
        context.output.text(&(faults + &whole))?;
    }
    whole(&verified.faults, "the store")
}

fn whole(faults: &[String], place: &str) -> Result<ExitCode, Failure> {
    match faults.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Failure::new(Kind::No, format!("{count} faults in {place}"))
            .hint("build or copy the image again: a blob that is not whole is replaced")),
    }
}

#[derive(Serialize)]
struct OfImage<'a> {
    schema: &'static str,
    name: String,
    digest: String,
    blobs: u64,
    bytes: u64,
    faults: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    checks: &'a [Check],
}

/// The answer to one requirement.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    passed: bool,
    /// What was found, in words.
    found: String,
    /// The artifacts that satisfy it.
    artifacts: Vec<String>,
    /// What was signed with the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// Artifacts that were looked at and do not count, and why.
    refused: Vec<Refusal>,
}

/// An artifact that does not count.
#[derive(Debug, Serialize)]
struct Refusal {
    artifact: String,
    why: String,
}

/// What is looked at for one image.
struct Case<'a> {
    store: &'a Store,
    hanging: Vec<Referrer>,
    /// The digest that the name stands for.
    root: Digest,
    /// And those of its images for each platform.
    images: Vec<Digest>,
    key: Option<&'a PublicKey>,
    wanted: Wanted,
}

fn one(
    context: &Context,
    name: &Reference,
    arguments: &VerifyArguments,
) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let seen = look(&store, name, &arguments.policy)?;
    if context.output.json {
        context.output.document(&OfImage {
            schema: "ounce.verify-image/1",
            name: name.to_string(),
            digest: seen.root.to_string(),
            blobs: seen.verified.blobs,
            bytes: seen.verified.bytes,
            faults: &seen.verified.faults,
            key: seen.key.as_ref().map(|key| key.fingerprint().to_string()),
            checks: &seen.checks,
        })?;
    } else {
        context.output.text(&text(name, &seen))?;
    }
    seen.answer(name)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks an image in the store, to be told of as `called`, against a policy;
/// without a word if it is as required.
///
/// # Errors
/// It is not, or cannot be read.
pub(super) fn demand(
    store: &Store,
    name: &Reference,
    called: &Reference,
    policy: &Policy,
) -> Result<(), Failure> {
    look(store, name, policy)?.answer(called)
}

/// What was found of one image.
struct Seen {
    root: Digest,
    verified: Verified,
    key: Option<PublicKey>,
    checks: Vec<Check>,
    hanging: usize,
}

fn look(store: &Store, name: &Reference, policy: &Policy) -> Result<Seen, Failure> {
    let public = policy.key.as_deref().map(key::public).transpose()?;
    let required = required(policy, public.is_some())?;
    let root = store.find(name)?;
    let mut verified = store.verify_below(&root)?;
    let hanging = store.referrers_below(&root)?;
    for artifact in &hanging {
        let of_artifact = store.verify_below(&artifact.descriptor)?;
        verified.blobs += of_artifact.blobs;
        verified.bytes += of_artifact.bytes;
        verified.faults.extend(of_artifact.faults);
    }
    let images = store.images_of(name)?;
    let case = Case {
        store,
        hanging,
        root: digest_of(&root).map_err(|error| StoreError::Blob(error.into()))?,
        images: images.iter().map(|image| image.digest).collect(),
        key: public.as_ref(),
        wanted: Wanted {
            identity: policy.identity.clone(),
            annotations: policy.annotation.iter().cloned().collect(),
        },
    };
    let checks = required.into_iter().map(|what| case.check(what)).collect();
    Ok(Seen {
        root: case.root,
        hanging: case.hanging.len(),
        verified,
        checks,
        key: public,
    })
}

impl Seen {
    /// The answer "no" if anything is not as required.
    fn answer(&self, name: &Reference) -> Result<(), Failure> {
        whole(&self.verified.faults, &name.to_string())?;
        let failed: Vec<&Check> = self.checks.iter().filter(|it| !it.passed).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let what: Vec<String> = failed
            .iter()
            .map(|check| format!("{}: {}", check.what, check.found))
            .collect();
        let mut failure = Failure::new(
            Kind::No,
            format!("{name} is not as required: {}", what.join("; ")),
        );
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for refusal in failed.iter().flat_map(|check| &check.refused) {
            let of_reason = by_reason.entry(&refusal.why).or_default();
            of_reason.push(&refusal.artifact);
        }
        for (why, artifacts) in by_reason.iter().take(5) {
            let more = match artifacts.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            failure = failure.hint(format!("{}{more}: {why}", artifacts[0]));
        }
        if failed.iter().all(|check| check.refused.is_empty()) {
            failure = failure.hint(format!("ounce referrers {name} lists what hangs on it"));
        }
        Err(failure)
    }
}

/// What is asked for, each once.
fn required(policy: &Policy, has_key: bool) -> Result<Vec<Requirement>, Failure> {
    let mut required = policy.require.clone();
    if required.contains(&Requirement::Signature) && !has_key {
        return Err(
            Failure::new(Kind::Usage, "whose signature? verifying one wants a key")
                .hint("give the signer's public key: --key FILE.pub"),
        );
    }
    let narrowed = policy.identity.is_some() || !policy.annotation.is_empty();
    if has_key && (required.is_empty() || narrowed) {
        required.insert(0, Requirement::Signature);
    }
    let mut seen = Vec::new();
    required.retain(|what| {
        let is_new = !seen.contains(what);
        seen.push(*what);
        is_new
    });
    Ok(required)
}

impl Case<'_> {
    fn check(&self, what: Requirement) -> Check {
        match what {
            Requirement::Signature => self.signature(),
            Requirement::Sbom => self.of_each("sbom", &[predicate::SPDX, predicate::CYCLONEDX]),
            Requirement::Provenance => self.of_each("provenance", &[predicate::PROVENANCE]),
        }
    }

    /// Of the name itself: it is what a puller asks for.
    fn signature(&self) -> Check {
        let mut check = Check {
            what: "signature",
            passed: false,
            found: "the image is not signed".to_owned(),
            artifacts: Vec::new(),
            annotations: BTreeMap::new(),
            refused: Vec::new(),
        };
        let Some(key) = self.key else {
            return check;
        };
        let blobs = self.store.blobs();
        let all = signature::signatures(&blobs, &self.hanging, &self.root, key, &self.wanted);
        let mut identities = Vec::new();
        for (artifact, result) in all {
            match result {
                Ok(payload) => {
                    check.passed = true;
                    let identity = format!("{:?}", payload.identity());
                    if !identities.contains(&identity) {
                        identities.push(identity);
                    }
                    check.found = format!("good, signed as {}", identities.join(" and "));
                    check.annotations.extend(payload.annotations());
                    check.artifacts.push(artifact.to_string());
                }
                Err(refused) => check.refuse(&artifact, &refused),
            }
        }
        check.unless_passed("no signature counts");
        check
    }

    /// Of the name itself, or of each of its images.
    fn of_each(&self, what: &'static str, kinds: &[&str]) -> Check {
        let mut check = Check {
            what,
            passed: false,
            found: "none hangs on the image".to_owned(),
            artifacts: Vec::new(),
            annotations: BTreeMap::new(),
            refused: Vec::new(),
        };
        let of_root = self.of(&self.root, kinds, &mut check);
        let with = |digest: &&Digest| **digest != self.root;
        let others: Vec<&Digest> = self.images.iter().filter(with).collect();
        let mut lacking = Vec::new();
        for image in &others {
            if self.of(image, kinds, &mut check) == 0 {
                lacking.push(image.to_string());
            }
        }
        check.passed = of_root > 0 || (!others.is_empty() && lacking.is_empty());
        let count = check.artifacts.len();
        if check.passed {
            let signed = if self.key.is_some() {
                "signed"
            } else {
                "not signed"
            };
            check.found = format!("{count} found, {signed}");
        } else if count > 0 {
            check.found = format!("none for {}", lacking.join(", "));
        } else {
            check.unless_passed("none counts");
        }
        check
    }

    /// How many such there are on one image.
    fn of(&self, image: &Digest, kinds: &[&str], check: &mut Check) -> usize {
        let before = check.artifacts.len();
        let blobs = self.store.blobs();
        for (artifact, result) in dsse::statements(&blobs, &self.hanging, image, self.key) {
            match result {
                Ok(statement) if kinds.contains(&statement.predicate_type.as_str()) => {
                    check.artifacts.push(artifact.to_string());
                }
                Ok(_) => {}
                Err(refused) => check.refuse(&artifact, &refused),
            }
        }
        if self.key.is_none() && kinds.contains(&predicate::SPDX) {
            let bill = |one: &&Referrer| {
                one.subject == *image && [SPDX, CYCLONEDX].contains(&one.artifact_type.as_str())
            };
            let bills = self.hanging.iter().filter(bill);
            let digests = bills.map(|one| one.digest.to_string());
            check.artifacts.extend(digests);
        }
        check.artifacts.len() - before
    }
}

impl Check {
    fn refuse(&mut self, artifact: &Digest, why: &Refused) {
        let mut text = why.to_string();
        if let Some(source) = std::error::Error::source(why) {
            text.push_str(&format!(": {source}"));
        }
        self.refused.push(Refusal {
            artifact: artifact.to_string(),
            why: text,
        });
    }

    /// What is said where something was looked at and did not count.
    fn unless_passed(&mut self, found: &str) {
        if !self.passed && !self.refused.is_empty() {
            self.found = format!("{found} of {} looked at", self.refused.len());
        }
    }
}

fn text(name: &Reference, seen: &Seen) -> String {
    let (verified, checks) = (&seen.verified, &seen.checks);
    let mut text = format!("{name} {}\n", seen.root);
    for fault in &verified.faults {
        text.push_str(&format!("  {}\n", shown(fault)));
    }
    let state = match verified.faults.is_empty() {
        true => "whole",
        false => "not whole",
    };
    text.push_str(&format!(
        "  content     {} blobs, {}, {state}\n",
        verified.blobs,
        ByteSize(verified.bytes)
    ));
    for check in checks {
        let found = shown(&check.found);
        text.push_str(&format!("  {:<11} {found}\n", check.what));
        for (name, value) in &check.annotations {
            let line = shown(&format!("{name}={value}"));
            text.push_str(&format!("  {:<11} {line}\n", ""));
        }
    }
    if checks.is_empty() && seen.hanging > 0 {
        text.push_str(&format!(
            "  besides     {} hang on it; --key FILE tells whether they are signed\n",
            seen.hanging
        ));
    }
    text
}
