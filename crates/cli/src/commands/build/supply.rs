//! What `ounce build` hangs on an image: a bill of materials, where it comes
//! from, and a signature.

use std::collections::BTreeMap;
use std::time::SystemTime;

use ounce_build::{Built, Recipe, Request, Told, provenance};
use ounce_oci::Store;
use ounce_oci::signature::PrivateKey;
use ounce_oci::signature::dsse::predicate;
use ounce_run::runtime::state::rfc3339;

use crate::arguments::supply::{ProvenanceChoice, SupplyOptions};
use crate::causes::by_cause;
use crate::commands::Context;
use crate::commands::attach::{Attached, bills, stated};
use crate::commands::sign::{Signer, identity};
use crate::failure::{Failure, Kind};

/// What is to hang on the image, once it is built.
pub(super) struct Supply<'a> {
    options: &'a SupplyOptions,
    signer: Option<Signer>,
    name: String,
    began: SystemTime,
}

impl<'a> Supply<'a> {
    /// As the flags say; the key is read before anything is built.
    ///
    /// # Errors
    /// The key cannot be read.
    pub(super) fn new(
        context: &Context,
        options: &'a SupplyOptions,
        recipe: &Recipe,
    ) -> Result<Self, Failure> {
        Ok(Self {
            options,
            signer: Signer::new(context, &options.signing, &recipe.reference)?,
            name: identity(&options.signing, &recipe.reference),
            began: SystemTime::now(),
        })
    }

    /// Hangs it there.
    ///
    /// # Errors
    /// The store cannot be written, or a file that went into the image not read.
    pub(super) fn attach(
        &self,
        store: &Store,
        request: &Request,
        recipe: &Recipe,
        built: &Built,
    ) -> Result<Vec<Attached>, Failure> {
        let mut attached = Vec::new();
        let key = self.signer.as_ref().map(|signer| &signer.key);
        if let Some(form) = self.options.sbom {
            let images = store.images_of(&built.reference)?;
            attached.extend(bills(store, &images, &self.name, form, key)?);
        }
        if let Some(choice) = self.options.provenance {
            attached.push(self.provenance(store, choice, request, recipe, built, key)?);
        }
        if let Some(signer) = &self.signer {
            let (digest, is_new) = signer.sign(store, &built.descriptor, &BTreeMap::new())?;
            attached.push(Attached {
                digest: digest.to_string(),
                subject: built.descriptor.digest().to_string(),
                kind: "signature".to_owned(),
                signed: true,
                is_new,
            });
        }
        Ok(attached)
    }

    fn provenance(
        &self,
        store: &Store,
        choice: ProvenanceChoice,
        request: &Request,
        recipe: &Recipe,
        built: &Built,
        key: Option<&PrivateKey>,
    ) -> Result<Attached, Failure> {
        let time = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            rfc3339(since.map_or(0, |since| since.as_secs()), 0)
        };
        let times = match choice {
            ProvenanceChoice::Plain => None,
            ProvenanceChoice::Timed => Some((time(self.began), time(SystemTime::now()))),
        };
        let mut base_layers = Vec::new();
        for image in store.images_of(&built.reference)? {
            let below = image
                .layers
                .split_last()
                .map_or(&[][..], |(_, below)| below);
            let below = below.iter().map(|layer| layer.digest);
            base_layers.extend(below.map(|digest| (image.platform.clone(), digest)));
        }
        let told = Told {
            builder: self.options.builder_id.clone(),
            times,
            base_layers,
        };
        let predicate =
            provenance(request, recipe, &told).map_err(|error| by_cause(Kind::Input, error))?;
        let kind = predicate::PROVENANCE;
        stated(store, &built.descriptor, &self.name, kind, predicate, key)
    }
}
