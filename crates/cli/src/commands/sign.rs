//! `ounce sign`: signs an image in the store; and how other commands sign.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ounce_oci::model::{Descriptor, digest_of};
use ounce_oci::signature::{self, PrivateKey, Statement, Wanted, dsse};
use ounce_oci::store::StoreError;
use ounce_oci::{Digest, Reference, Store};
use serde::Serialize;

use super::{Context, key};
use crate::arguments::supply::{SignArguments, SigningKey};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    name: String,
    digest: String,
    identity: String,
    key: String,
    /// The artifact; the one that was there, if the image was signed so before.
    signature: String,
    is_new: bool,
}

/// Signs it.
pub(crate) fn run(context: &Context, arguments: SignArguments) -> Result<ExitCode, Failure> {
    let Some(signer) = Signer::new(context, &arguments.signing, &arguments.image)? else {
        return Err(Failure::new(Kind::Usage, "signing wants a key: --key FILE")
            .hint("ounce key new makes a pair: ounce.key and ounce.pub"));
    };
    let store = context.store()?;
    let root = store.find(&arguments.image)?;
    let annotations = arguments.annotation.into_iter().collect();
    let (artifact, is_new) = signer.sign(&store, &root, &annotations)?;
    let digest = root.digest().to_string();
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.sign/1",
            name: arguments.image.to_string(),
            digest,
            identity: signer.identity,
            key: signer.key.public().fingerprint().to_string(),
            signature: artifact.to_string(),
            is_new,
        })?;
    } else {
        let done = if is_new {
            "signed"
        } else {
            "was signed before"
        };
        let text = format!(
            "{} {done} as {:?}\n  image      {digest}\n  signature  {artifact}\n",
            arguments.image, signer.identity
        );
        context.output.text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A key, and the name that images are signed under.
pub(crate) struct Signer {
    pub(crate) key: PrivateKey,
    pub(crate) identity: String,
}

impl Signer {
    /// As the flags say; `None` without a key.
    ///
    /// # Errors
    /// The key cannot be read.
    pub(crate) fn new(
        context: &Context,
        signing: &SigningKey,
        image: &Reference,
    ) -> Result<Option<Self>, Failure> {
        let Some(path) = &signing.key else {
            return Ok(None);
        };
        Ok(Some(Self {
            key: key::private(context.output, path, signing.password_file.as_deref())?,
            identity: identity(signing, image),
        }))
    }

    /// Signs an image, unless this key has signed the very same before; gives
    /// the artifact, and whether it is new.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) fn sign(
        &self,
        store: &Store,
        root: &Descriptor,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(Digest, bool), Failure> {
        let digest = digest_of(root).map_err(|error| Failure::new(Kind::Input, error))?;
        let hanging = store.referrers(&digest)?;
        let wanted = Wanted {
            identity: Some(self.identity.clone()),
            annotations: annotations.clone(),
        };
        let public = self.key.public();
        let before = signature::signatures(&store.blobs(), &hanging, &digest, &public, &wanted);
        let same = before.into_iter().find(|(_, found)| {
            let found = found.as_ref().ok();
            found.is_some_and(|payload| payload.annotations() == *annotations)
        });
        if let Some((artifact, _)) = same {
            return Ok((artifact, false));
        }
        let artifact = signature::sign(&self.key, &digest, &self.identity, annotations)?;
        Ok((hang(store, root, &artifact)?, true))
    }
}

/// The name that an image is signed or stated under.
pub(crate) fn identity(signing: &SigningKey, image: &Reference) -> String {
    signing.identity.clone().unwrap_or(image.name.clone())
}

/// Hangs a statement on an image, signed if there is a key; nothing is added
/// where the same hangs there already.
///
/// # Errors
/// The store cannot be read or written.
pub(crate) fn state(
    store: &Store,
    root: &Descriptor,
    statement: &Statement,
    key: Option<&PrivateKey>,
) -> Result<(Digest, bool), Failure> {
    let digest = digest_of(root).map_err(|error| Failure::new(Kind::Input, error))?;
    let hanging = store.referrers(&digest)?;
    let public = key.map(PrivateKey::public);
    let before = dsse::statements(&store.blobs(), &hanging, &digest, public.as_ref());
    let same = before
        .into_iter()
        .find(|(_, found)| found.as_ref().is_ok_and(|found| found == statement));
    if let Some((artifact, _)) = same {
        return Ok((artifact, false));
    }
    let artifact = match key {
        Some(key) => statement.signed(key)?,
        None => statement.artifact(),
    };
    Ok((hang(store, root, &artifact)?, true))
}

/// Hangs an artifact on an image.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn hang(
    store: &Store,
    root: &Descriptor,
    artifact: &ounce_oci::Artifact,
) -> Result<Digest, Failure> {
    let mut writer = store.write()?;
    let written = writer.artifact(root, artifact)?;
    writer.attach()?;
    Ok(digest_of(&written).map_err(|error| StoreError::Blob(error.into()))?)
}
