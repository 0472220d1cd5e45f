//! What hangs on an image, to a registry and back: by the referrers API, by the
//! tag of the digest, and under the tags of cosign.

use std::collections::BTreeMap;

use ounce_oci::artifact::{Artifact, SPDX};
use ounce_oci::model::{Descriptor, ImageManifest, MediaType, digest_of};
use ounce_oci::registry::{PushOptions, Remote};
use ounce_oci::signature::{
    self, Algorithm, PAYLOAD, PrivateKey, PublicKey, Statement, Wanted, cosign_tag, dsse,
    signatures,
};
use ounce_oci::{Digest, Store};
use serde_json::json;

use crate::held::{Held, client, good, image, pull, push, registry, remote, store};

fn hang(store: &Store, on: &Descriptor, artifact: &Artifact) -> Descriptor {
    let mut writer = store.write().unwrap();
    let written = writer.artifact(on, artifact).unwrap();
    writer.attach().unwrap();
    written
}

fn key() -> PrivateKey {
    PrivateKey::generate(Algorithm::Ed25519).unwrap()
}

fn sign(store: &Store, root: &Descriptor, key: &PrivateKey) {
    let image = digest_of(root).unwrap();
    let signed = signature::sign(key, &image, "app", &BTreeMap::new()).unwrap();
    hang(store, root, &signed);
}

/// Pushes the image and what hangs on it.
fn push_all(store: &Store, root: &Descriptor, to: &Remote) {
    push(store, root, to).unwrap();
    let hanging = store.referrers_below(root).unwrap();
    let hanging: Vec<Descriptor> = hanging.into_iter().map(|one| one.descriptor).collect();
    client()
        .push_hanging(
            store,
            &store.blobs(),
            &hanging,
            to,
            &PushOptions::default(),
            &mut |_| {},
        )
        .unwrap();
}

/// How many signatures of the image are the key's.
fn signed_by(store: &Store, root: &Descriptor, key: &PublicKey) -> usize {
    let image = digest_of(root).unwrap();
    let hanging = store.referrers(&image).unwrap();
    let found = signatures(&store.blobs(), &hanging, &image, key, &Wanted::default());
    found.iter().filter(|(_, verdict)| verdict.is_ok()).count()
}

#[test]
fn signatures_bills_and_statements_come_back_with_their_image() {
    for referrers in [true, false] {
        let held = Held {
            referrers,
            ..Held::default()
        };
        let (server, _) = registry(held, |_, _| None);
        let (_folder, from) = store();
        let root = image(&from, "app", 2_000);
        let digest = digest_of(&root).unwrap();
        let (one, other) = (key(), key());
        sign(&from, &root, &one);
        sign(&from, &root, &other);
        let bill = hang(&from, &root, &Artifact::document(SPDX, b"{}".to_vec()));
        hang(
            &from,
            &bill,
            &Artifact::document("text/plain", b"on the bill".to_vec()),
        );
        let kind = dsse::predicate::PROVENANCE;
        let statement = Statement::new("app", &digest, kind, json!({"a": 1}));
        hang(&from, &root, &statement.signed(&one).unwrap());
        let to = remote(&server, "team/app:1");
        push_all(&from, &root, &to);
        // A second time there is nothing to be done.
        push_all(&from, &root, &to);

        let (_folder, into) = store();
        let pulled = pull(&into, &to).unwrap();
        client().pull_hanging(&to, &into, &pulled.root).unwrap();
        let before = into.referrers(&digest).unwrap().len();
        client().pull_hanging(&to, &into, &pulled.root).unwrap();
        assert_eq!(into.referrers(&digest).unwrap().len(), before);
        assert_eq!(before, 4, "by the API: {referrers}");
        assert_eq!(signed_by(&into, &root, &one.public()), 1);
        assert_eq!(signed_by(&into, &root, &other.public()), 1);
        assert_eq!(signed_by(&into, &root, &key().public()), 0);
        let hanging = into.referrers(&digest).unwrap();
        let key = one.public();
        let stated = dsse::statements(&into.blobs(), &hanging, &digest, Some(&key));
        assert_eq!(stated[0].1.as_ref().unwrap(), &statement);
        assert_eq!(into.verify().unwrap().faults, Vec::<String>::new());
        assert_eq!(into.gc().unwrap().blobs, 0);
    }
}

#[test]
fn signatures_of_two_pushers_are_joined_under_cosign_s_tag() {
    let (server, held) = good();
    let to = remote(&server, "team/app:1");
    let keys = [key(), key()];
    let mut root = None;
    for key in &keys {
        let (_folder, from) = store();
        let image = image(&from, "app", 2_000);
        sign(&from, &image, key);
        push_all(&from, &image, &to);
        root = Some(image);
    }
    let root = root.unwrap();
    let digest = digest_of(&root).unwrap();
    let at = ("team/app".to_owned(), cosign_tag(&digest, "sig"));
    let manifest = held.manifests.lock().unwrap()[&at].1.clone();
    let manifest: ImageManifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest.layers().len(), 2);
    // One who knows only the tag, as cosign writes it, finds both.
    held.manifests
        .lock()
        .unwrap()
        .retain(|(_, name), _| *name != format!("sha256-{}", digest.hex()));
    let (_folder, into) = store();
    let pulled = pull(&into, &to).unwrap();
    let count = client().pull_hanging(&to, &into, &pulled.root).unwrap();
    assert_eq!(count, 2);
    for key in &keys {
        assert_eq!(signed_by(&into, &root, &key.public()), 1);
    }
}

#[test]
fn artifact_that_hangs_on_another_image_is_not_hung_on_this_one() {
    let (server, held) = good();
    let (_folder, from) = store();
    let root = image(&from, "app", 2_000);
    let digest = digest_of(&root).unwrap();
    let other = image(&from, "other", 3_000);
    let note = hang(
        &from,
        &other,
        &Artifact::document("text/plain", b"x".to_vec()),
    );
    let to = remote(&server, "team/app:1");
    push(&from, &root, &to).unwrap();
    push(&from, &note, &to.with_digest(digest_of(&note).unwrap())).unwrap();
    // The registry says otherwise.
    let list = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageIndex.to_string(),
        "manifests": [note],
    });
    let tag = format!("sha256-{}", digest.hex());
    let kind = MediaType::ImageIndex.to_string();
    held.put("team/app", &tag, &kind, list.to_string().as_bytes());
    let (_folder, into) = store();
    let pulled = pull(&into, &to).unwrap();
    client().pull_hanging(&to, &into, &pulled.root).unwrap();
    assert!(into.referrers(&digest).unwrap().is_empty());
    assert_eq!(into.gc().unwrap().blobs, 0);
}

#[test]
fn what_a_registry_lists_without_end_or_lies_about_is_refused() {
    let (server, held) = good();
    let (_folder, from) = store();
    let root = image(&from, "app", 2_000);
    let digest = digest_of(&root).unwrap();
    let to = remote(&server, "team/app:1");
    push(&from, &root, &to).unwrap();
    let entry = |number: usize| {
        let digest = Digest::of(&number.to_le_bytes()).to_string();
        json!({"mediaType": PAYLOAD, "digest": digest, "size": 10})
    };
    let manifest = |layers: Vec<serde_json::Value>| {
        json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": {
                "mediaType": MediaType::ImageConfig.to_string(),
                "digest": Digest::of(b"{}").to_string(),
                "size": 2,
            },
            "layers": layers,
        })
        .to_string()
    };
    let tag = cosign_tag(&digest, "sig");
    let kind = MediaType::ImageManifest.to_string();
    let (_folder, into) = store();
    let pulled = pull(&into, &to).unwrap();
    let many = manifest((0..1001).map(entry).collect());
    for document in [
        many,
        manifest(vec![entry(0)]),
        "{".to_owned(),
        "[]".to_owned(),
    ] {
        held.put("team/app", &tag, &kind, document.as_bytes());
        client().pull_hanging(&to, &into, &pulled.root).unwrap_err();
        assert!(into.referrers(&digest).unwrap().is_empty());
    }
}
