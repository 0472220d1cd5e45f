//! What hangs on images: kept, carried, taken away with them; and signatures
//! that somebody has tampered with.

use std::collections::BTreeMap;

use ounce_oci::artifact::{Artifact, Form, Part, SPDX};
use ounce_oci::model::{Descriptor, MediaType, descriptor, digest_of};
use ounce_oci::signature::dsse::{predicate, statements};
use ounce_oci::signature::{
    self, ANNOTATION, Algorithm, ENVELOPE, PAYLOAD, Payload, PrivateKey, PublicKey, Refused,
    SIGNATURE, Statement, Wanted, signatures,
};
use ounce_oci::store::StoreError;
use ounce_oci::{Digest, Place, Store};

use crate::store::{add, file, name, noise};

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    root: Descriptor,
    image: Digest,
    key: PrivateKey,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    add(&store, "hello", &[file("hello", &noise(500, 1))]).unwrap();
    let root = store.find(&name("hello")).unwrap();
    Bench {
        image: digest_of(&root).unwrap(),
        folder,
        store,
        root,
        key: PrivateKey::generate(Algorithm::EcdsaP256).unwrap(),
    }
}

impl Bench {
    fn hang(&self, on: &Descriptor, artifact: &Artifact) -> Descriptor {
        let mut writer = self.store.write().unwrap();
        let written = writer.artifact(on, artifact).unwrap();
        writer.attach().unwrap();
        written
    }

    fn signed(&self) -> Artifact {
        signature::sign(&self.key, &self.image, "team/hello", &BTreeMap::new()).unwrap()
    }

    fn verdicts(&self, key: &PublicKey, wanted: &Wanted) -> Vec<Result<Payload, Refused>> {
        let hanging = self.store.referrers(&self.image).unwrap();
        signatures(&self.store.blobs(), &hanging, &self.image, key, wanted)
            .into_iter()
            .map(|(_, verdict)| verdict)
            .collect()
    }

    fn verdict(&self) -> Result<Payload, Refused> {
        let mut all = self.verdicts(&self.key.public(), &Wanted::default());
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

/// A signature's artifact with this payload, and this text for its signature.
fn forged(payload: &[u8], signature: &str) -> Artifact {
    Artifact {
        artifact_type: SIGNATURE.to_owned(),
        form: Form::Cosign,
        parts: vec![Part {
            media_type: PAYLOAD.to_owned(),
            annotations: BTreeMap::from([(ANNOTATION.to_owned(), signature.to_owned())]),
            bytes: payload.to_vec(),
        }],
        annotations: BTreeMap::new(),
    }
}

#[test]
fn signature_counts_for_its_key_its_image_and_its_name_alone() {
    let bench = bench();
    bench.hang(&bench.root, &bench.signed());
    assert_eq!(bench.verdict().unwrap().identity(), "team/hello");
    let other = PrivateKey::generate(Algorithm::EcdsaP256).unwrap().public();
    let verdict = bench.verdicts(&other, &Wanted::default()).remove(0);
    assert!(matches!(verdict, Err(Refused::Key)));
    let wanted = Wanted {
        identity: Some("team/other".to_owned()),
        ..Wanted::default()
    };
    let verdict = bench.verdicts(&bench.key.public(), &wanted).remove(0);
    assert!(matches!(verdict, Err(Refused::Identity { .. })));
    let wanted = Wanted {
        annotations: BTreeMap::from([("commit".to_owned(), "abc".to_owned())]),
        ..Wanted::default()
    };
    let verdict = bench.verdicts(&bench.key.public(), &wanted).remove(0);
    assert!(matches!(
        verdict,
        Err(Refused::Annotation { found: None, .. })
    ));
}

#[test]
fn signature_of_another_image_hung_on_this_one_does_not_count() {
    let bench = bench();
    let other = Digest::of(b"another manifest");
    let moved = signature::sign(&bench.key, &other, "hello", &BTreeMap::new()).unwrap();
    bench.hang(&bench.root, &moved);
    assert!(
        matches!(bench.verdict(), Err(Refused::Digest { found }) if found == other.to_string())
    );
}

#[test]
fn payload_that_was_swapped_or_is_no_payload_does_not_count() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let bench = bench();
    let signed = bench.signed().parts.remove(0);
    let signature = &signed.annotations[ANNOTATION];
    let swapped = String::from_utf8(signed.bytes.clone()).unwrap();
    let swapped = swapped.replace("team/hello", "team/h3llo");
    let by_key = |bytes: &[u8]| encode(&bench.key.sign(bytes).unwrap());
    let other_kind = String::from_utf8(signed.bytes.clone()).unwrap();
    let other_kind = other_kind.replace("cosign container image", "atomic container");
    let large = vec![b' '; 65 << 10];
    type Check = fn(&Refused) -> bool;
    let cases: [(Artifact, Check); 7] = [
        (forged(swapped.as_bytes(), signature), |it| {
            matches!(it, Refused::Key)
        }),
        (forged(&signed.bytes, ""), |it| {
            matches!(it, Refused::Unsigned)
        }),
        (forged(&signed.bytes, "!"), |it| {
            matches!(it, Refused::Base64)
        }),
        (forged(b"{}", &by_key(b"{}")), |it| {
            matches!(it, Refused::Form(..))
        }),
        (forged(b"", &by_key(b"")), |it| {
            matches!(it, Refused::Form(..))
        }),
        (
            forged(other_kind.as_bytes(), &by_key(other_kind.as_bytes())),
            |it| matches!(it, Refused::Kind { .. }),
        ),
        (forged(&large, &by_key(&large)), |it| {
            matches!(it, Refused::Blob(_))
        }),
    ];
    for (number, (artifact, check)) in cases.into_iter().enumerate() {
        let written = bench.hang(&bench.root, &artifact);
        let verdict = bench.verdict().unwrap_err();
        assert!(check(&verdict), "case {number}: {verdict:?}");
        bench.store.detach(&digest_of(&written).unwrap()).unwrap();
    }
}

#[test]
fn good_signature_counts_beside_bad_ones() {
    let bench = bench();
    bench.hang(&bench.root, &forged(b"nonsense", "AAAA"));
    bench.hang(&bench.root, &bench.signed());
    let verdicts = bench.verdicts(&bench.key.public(), &Wanted::default());
    assert_eq!(verdicts.iter().filter(|it| it.is_ok()).count(), 1);
    assert_eq!(verdicts.len(), 2);
}

#[test]
fn statement_counts_signed_by_the_key_and_about_this_image_alone() {
    let bench = bench();
    let statement = |image: &Digest| {
        let body = serde_json::json!({"b": 1, "a": [2]});
        Statement::new("hello", image, predicate::PROVENANCE, body)
    };
    let about = statement(&bench.image);
    let other = statement(&Digest::of(b"other"));
    bench.hang(&bench.root, &about.signed(&bench.key).unwrap());
    bench.hang(&bench.root, &other.signed(&bench.key).unwrap());
    let envelope = |bytes: &[u8]| {
        let mut artifact = about.signed(&bench.key).unwrap();
        artifact.parts[0].bytes = bytes.to_vec();
        artifact
    };
    for bytes in [
        &b""[..],
        b"{}",
        b"[]",
        b"\xff",
        br#"{"payloadType":"application/vnd.in-toto+json","payload":"!","signatures":[]}"#,
        br#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}"#,
        br#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"!"}]}"#,
    ] {
        bench.hang(&bench.root, &envelope(bytes));
    }
    let hanging = bench.store.referrers(&bench.image).unwrap();
    assert!(hanging.iter().all(|one| one.artifact_type == ENVELOPE));
    let key = bench.key.public();
    let verdicts = statements(&bench.store.blobs(), &hanging, &bench.image, Some(&key));
    let (good, bad): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(|(_, it)| it.is_ok());
    assert_eq!((good.len(), bad.len()), (1, 8));
    assert_eq!(good[0].1.as_ref().unwrap(), &about);
    // What nobody has signed is no answer to who has signed it.
    bench.hang(&bench.root, &about.artifact());
    let hanging = bench.store.referrers(&bench.image).unwrap();
    let other = PrivateKey::generate(Algorithm::Ed25519).unwrap().public();
    let verdicts = statements(&bench.store.blobs(), &hanging, &bench.image, Some(&other));
    assert!(verdicts.iter().all(|(_, it)| it.is_err()));
    let verdicts = statements(&bench.store.blobs(), &hanging, &bench.image, None);
    assert_eq!(verdicts.len(), 1);
    assert!(verdicts[0].1.is_ok());
}

#[test]
fn what_hangs_on_an_image_stays_with_it_and_goes_with_its_last_name() {
    let bench = bench();
    let store = &bench.store;
    let bill = bench.hang(&bench.root, &Artifact::document(SPDX, b"{}".to_vec()));
    let on_bill = bench.hang(&bill, &Artifact::document("text/plain", b"a note".to_vec()));
    // Twice the same is once.
    bench.hang(&bill, &Artifact::document("text/plain", b"a note".to_vec()));
    let below = store.referrers_below(&bench.root).unwrap();
    let kinds: Vec<_> = below.iter().map(|one| one.artifact_type.as_str()).collect();
    assert_eq!(kinds, [SPDX, "text/plain"]);
    assert_eq!(store.referrers(&bench.image).unwrap().len(), 1);
    assert_eq!(store.names().unwrap().len(), 1);
    assert_eq!(store.find(&name("hello")).unwrap(), bench.root);
    assert_eq!(store.verify().unwrap().faults, Vec::<String>::new());
    store.tag(&name("hello"), &name("again")).unwrap();
    store.remove(&name("hello")).unwrap();
    assert_eq!(store.gc().unwrap().blobs, 0);
    assert_eq!(store.referrers_below(&bench.root).unwrap().len(), 2);
    store.remove(&name("again")).unwrap();
    let index = std::fs::read_to_string(store.root().join("index.json")).unwrap();
    assert!(!index.contains("sha256"), "{index}");
    // Image 3; two manifests, one empty configuration that is the bill, too, a note.
    assert_eq!(store.gc().unwrap().blobs, 3 + 4);
    assert!(matches!(
        store.detach(&digest_of(&on_bill).unwrap()),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn artifact_of_an_image_that_is_not_there_is_collected() {
    let bench = bench();
    let gone = descriptor(MediaType::ImageManifest, &Digest::of(b"gone"), 7);
    bench.hang(&gone, &Artifact::document("text/plain", b"orphan".to_vec()));
    bench.hang(
        &bench.root,
        &Artifact::document("text/plain", b"kept".to_vec()),
    );
    // The orphan's manifest and content; the empty configuration is the other's, too.
    assert_eq!(bench.store.gc().unwrap().blobs, 2);
    assert_eq!(bench.store.referrers(&bench.image).unwrap().len(), 1);
}

#[test]
fn copies_take_along_what_hangs_on_an_image_only_when_asked() {
    let bench = bench();
    bench.hang(&bench.root, &bench.signed());
    bench.hang(
        &bench.root,
        &Artifact::document(SPDX, b"{\"x\":1}".to_vec()),
    );
    let path = |name: &str| bench.folder.path().join(name).display().to_string();
    for (number, transport) in ["oci", "oci-archive"].into_iter().enumerate() {
        for artifacts in [false, true] {
            let text = format!("{transport}:{}-{artifacts}", path(transport));
            let place: Place = text.parse().unwrap();
            place
                .export_with(&bench.store, &name("hello"), artifacts)
                .unwrap();
            let folder = path(&format!("back-{number}-{artifacts}"));
            let back = Store::open(folder).unwrap();
            // Without its name, too: it is the one image there.
            place.import(&back, &name("hello")).unwrap();
            let hanging = back.referrers_below(&bench.root).unwrap();
            assert_eq!(hanging.len(), if artifacts { 2 } else { 0 }, "{text}");
            assert_eq!(back.verify().unwrap().faults, Vec::<String>::new());
            assert_eq!(back.gc().unwrap().blobs, 0);
        }
    }
}

#[test]
fn more_than_anybody_means_is_refused() {
    let bench = bench();
    let note = Artifact::document("text/plain", b"x".to_vec()).annotated("number", "0000");
    let written = bench.hang(&bench.root, &note);
    let manifest = bench.store.blobs().read(&written, 1 << 20).unwrap();
    let manifest = String::from_utf8(manifest).unwrap();
    // By hand: the store would put each onto the disk.
    let path = bench.store.root().join("index.json");
    let index = std::fs::read(&path).unwrap();
    let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    for number in 1..=1000 {
        let bytes = manifest.replace("0000", &format!("{number:04}"));
        let digest = Digest::of(bytes.as_bytes());
        std::fs::write(bench.store.blobs().path(&digest), &bytes).unwrap();
        let entry = descriptor(MediaType::ImageManifest, &digest, bytes.len() as u64);
        let entry = serde_json::to_value(entry).unwrap();
        index["manifests"].as_array_mut().unwrap().push(entry);
    }
    std::fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
    let error = bench.store.referrers(&bench.image).unwrap_err();
    assert!(error.to_string().contains("more than 1000"), "{error}");
    assert!(bench.store.referrers_below(&bench.root).is_err());
    // What can be said of the store itself can still be said.
    assert_eq!(bench.store.verify().unwrap().faults, Vec::<String>::new());
    bench.store.remove(&name("hello")).unwrap();
    assert_eq!(bench.store.gc().unwrap().blobs, 3 + 2 + 1001);
}
