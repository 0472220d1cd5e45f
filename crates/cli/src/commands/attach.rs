//! `ounce attach`: hangs a document on an image in the store: a bill of
//! materials, a statement, or any file.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use ounce_oci::artifact::{CYCLONEDX, PART_LIMIT, SPDX};
use ounce_oci::model::Descriptor;
use ounce_oci::signature::dsse::predicate;
use ounce_oci::signature::{PrivateKey, Statement};
use ounce_oci::store::StoreError;
use ounce_oci::{Artifact, Digest, Image, Store};
use serde::Serialize;

use super::sign::{Signer, hang, identity, state};
use super::{Context, weigh};
use crate::arguments::BillChoice;
use crate::arguments::supply::AttachArguments;
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    name: String,
    attached: Vec<Attached>,
}

/// Something that hangs on an image.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Attached {
    /// The artifact.
    pub(crate) digest: String,
    /// What it hangs on.
    pub(crate) subject: String,
    /// What it is.
    pub(crate) kind: String,
    /// Whether the signer's key has signed it.
    pub(crate) signed: bool,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
}

/// Hangs it there.
pub(crate) fn run(context: &Context, arguments: AttachArguments) -> Result<ExitCode, Failure> {
    let signer = Signer::new(context, &arguments.signing, &arguments.image)?;
    let key = signer.as_ref().map(|signer| &signer.key);
    let name = identity(&arguments.signing, &arguments.image);
    let store = context.store()?;
    let root = store.find(&arguments.image)?;
    let attached = match (arguments.sbom, &arguments.file) {
        (Some(form), _) => {
            let images = store.images_of(&arguments.image)?;
            bills(&store, &images, &name, form, key)?
        }
        (None, Some(path)) => {
            let one = document(&store, &root, path, &name, key, &arguments)?;
            vec![one]
        }
        // clap wants one of them.
        (None, None) => Vec::new(),
    };
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.attach/1",
            name: arguments.image.to_string(),
            attached,
        })?;
    } else {
        context.output.text(&text(&attached))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was attached, a line each.
pub(crate) fn text(attached: &[Attached]) -> String {
    attached
        .iter()
        .map(|one| {
            let signed = if one.signed { ", signed" } else { "" };
            let before = if one.is_new {
                ""
            } else {
                " (was there before)"
            };
            format!("{}{signed}: {}{before}\n", one.kind, one.digest)
        })
        .collect()
}

fn document(
    store: &Store,
    root: &Descriptor,
    path: &Path,
    name: &str,
    key: Option<&PrivateKey>,
    arguments: &AttachArguments,
) -> Result<Attached, Failure> {
    let bytes = read(path)?;
    if let Some(kind) = &arguments.predicate {
        let predicate = serde_json::from_slice(&bytes).map_err(|error| {
            let what = format!("{} is no JSON: {error}", path.display());
            Failure::new(Kind::Input, what).hint("a predicate is a JSON document")
        })?;
        return stated(store, root, name, kind, predicate, key);
    }
    if key.is_some() {
        return Err(Failure::new(Kind::Usage, "only a statement can be signed")
            .hint("say what the document states by --predicate URI, or leave --key away"));
    }
    let Some(media_type) = &arguments.media_type else {
        return Err(Failure::new(Kind::Usage, "what kind of document is it?")
            .hint("--type application/json, or another media type; or --predicate URI"));
    };
    if !is_media_type(media_type) {
        return Err(
            Failure::new(Kind::Usage, format!("{media_type:?} is no media type"))
                .hint("write it as application/spdx+json"),
        );
    }
    let title = path.file_name().unwrap_or_default().to_string_lossy();
    let mut artifact = Artifact::document(media_type, bytes);
    artifact.parts[0].annotations.insert(
        "org.opencontainers.image.title".to_owned(),
        title.into_owned(),
    );
    attach(store, root, &artifact)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Kind::Input, format!("reading {}: {why}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    file.take(PART_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > PART_LIMIT {
        return Err(failed(&"it is larger than 128 MiB"));
    }
    Ok(bytes)
}

/// RFC 6838 §4.2.
fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        (1..=127).contains(&part.len())
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.split_once('/')
        .is_some_and(|(kind, rest)| part(kind) && part(rest))
}

fn attach(store: &Store, root: &Descriptor, artifact: &Artifact) -> Result<Attached, Failure> {
    let subject: Digest = parsed(root)?;
    let before: Vec<Digest> = digests(store, &subject)?;
    let digest = hang(store, root, artifact)?;
    Ok(Attached {
        digest: digest.to_string(),
        subject: subject.to_string(),
        kind: artifact.artifact_type.clone(),
        signed: false,
        is_new: !before.contains(&digest),
    })
}

fn digests(store: &Store, subject: &Digest) -> Result<Vec<Digest>, Failure> {
    let hanging = store.referrers(subject)?;
    Ok(hanging.iter().map(|one| one.digest).collect())
}

fn parsed(root: &Descriptor) -> Result<Digest, Failure> {
    Ok(ounce_oci::model::digest_of(root).map_err(|error| StoreError::Blob(error.into()))?)
}

/// Hangs a statement on an image, signed if there is a key.
///
/// # Errors
/// The store cannot be read or written.
pub(crate) fn stated(
    store: &Store,
    root: &Descriptor,
    name: &str,
    kind: &str,
    predicate: serde_json::Value,
    key: Option<&PrivateKey>,
) -> Result<Attached, Failure> {
    let subject = parsed(root)?;
    let statement = Statement::new(name, &subject, kind, predicate);
    let (digest, is_new) = state(store, root, &statement, key)?;
    Ok(Attached {
        digest: digest.to_string(),
        subject: subject.to_string(),
        kind: kind.to_owned(),
        signed: key.is_some(),
        is_new,
    })
}

/// Hangs a bill of materials on each platform's image: as a document, and with
/// a key as a signed statement.
///
/// # Errors
/// A layer cannot be read, or the store not written.
pub(crate) fn bills(
    store: &Store,
    images: &[Image],
    name: &str,
    form: BillChoice,
    key: Option<&PrivateKey>,
) -> Result<Vec<Attached>, Failure> {
    let mut attached = Vec::new();
    for image in images {
        let bill = weigh::bill_of(form, name, image)?;
        let (media_type, kind) = match form {
            BillChoice::Spdx => (SPDX, predicate::SPDX),
            BillChoice::Cyclonedx => (CYCLONEDX, predicate::CYCLONEDX),
        };
        attached.push(match key {
            Some(key) => stated(store, &image.descriptor, name, kind, bill, Some(key))?,
            None => {
                let bytes = ounce_oci::model::canonical_json(&bill)
                    .map_err(|error| Failure::new(Kind::Bug, error))?;
                attach(
                    store,
                    &image.descriptor,
                    &Artifact::document(media_type, bytes),
                )?
            }
        });
    }
    Ok(attached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_have_two_parts_and_no_blanks() {
        for (text, is) in [
            ("application/spdx+json", true),
            ("application/vnd.oci.image.manifest.v1+json", true),
            ("json", false),
            ("application/", false),
            ("/json", false),
            ("a b/c", false),
            ("a/b/c", false),
            ("a/b; charset=utf-8", false),
        ] {
            assert_eq!(is_media_type(text), is, "{text}");
        }
    }
}
