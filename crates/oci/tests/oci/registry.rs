//! Pulling and pushing: what comes is what was sent, whatever breaks in between.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ounce_oci::fetch::FetchError;
use ounce_oci::model::{Descriptor, MediaType};
use ounce_oci::registry::{PushOptions, RegistryError, Which};
use ounce_oci::{Digest, Platform, Store};
use serde_json::json;

use crate::held::{
    Held, assert_clean, client, good, image, name, pull, push, registry, remote, store,
};
use crate::server::{Server, answer, head, range};

#[test]
fn what_is_pushed_comes_back_the_same_and_is_not_sent_twice() {
    let (server, _) = good();
    let (_folder, from) = store();
    let root = image(&from, "app", 50_000);
    let to = remote(&server, "team/app:1");
    let pushed = push(&from, &root, &to).unwrap();
    assert_eq!(
        (pushed.sent, pushed.present, pushed.unchanged),
        (3, 0, false)
    );
    // The tag comes last of all that is put.
    let put: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|asked| asked.method == "PUT")
        .collect();
    assert_eq!(put.last().unwrap().path(), "/v2/team/app/manifests/1");
    let again = push(&from, &root, &to).unwrap();
    assert!(again.unchanged);
    let other = push(&from, &root, &to.with_tag("2")).unwrap();
    assert_eq!((other.sent, other.present), (0, 3));

    let (_folder, into) = store();
    let pulled = pull(&into, &to).unwrap();
    assert_eq!((pulled.fetched, pulled.present), (3, 0));
    assert_eq!(pulled.root.digest(), root.digest());
    assert_eq!(into.find(&name("pulled")).unwrap().digest(), root.digest());
    assert_eq!(into.verify().unwrap().faults, Vec::<String>::new());
    let asked = server.asked().len();
    let again = pull(&into, &to).unwrap();
    assert_eq!((again.fetched, again.present), (0, 3));
    // What it is, and nothing more: the ping, and the manifest by its tag.
    assert_eq!(server.asked().len(), asked + 2);
}

#[test]
fn an_index_is_pulled_whole_or_the_image_for_one_platform_of_it() {
    let (server, held) = good();
    let (_folder, from) = store();
    let amd64 = image(&from, "one", 3_000);
    push(&from, &amd64, &remote(&server, "x:amd64")).unwrap();
    let manifest = from.blobs().read(&amd64, 1 << 20).unwrap();
    let config =
        br#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config_digest = held.blob("x", config);
    let arm = json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.to_string(),
        "config": {"mediaType": MediaType::ImageConfig.to_string(), "digest": config_digest.to_string(), "size": config.len()},
        "layers": [],
    })
    .to_string();
    held.put(
        "x",
        "arm",
        MediaType::ImageManifest.as_ref(),
        arm.as_bytes(),
    );
    let entry = |bytes: &[u8]| json!({"mediaType": MediaType::ImageManifest.to_string(), "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    // The index of an old builder says nothing of platforms: configurations do.
    for says_platforms in [true, false] {
        let mut entries = [entry(&manifest), entry(arm.as_bytes())];
        if says_platforms {
            entries[0]["platform"] = json!({"os": "linux", "architecture": "amd64"});
            entries[1]["platform"] = json!({"os": "linux", "architecture": "arm64"});
        }
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(), "manifests": entries}).to_string();
        held.put("x", "all", MediaType::ImageIndex.as_ref(), index.as_bytes());
        let from = remote(&server, "x:all");
        let (_folder, into) = store();
        let pulled = pull(&into, &from).unwrap();
        assert_eq!(pulled.root.digest(), amd64.digest());
        assert_eq!(pulled.digest, Digest::of(index.as_bytes()));
        let platform: Platform = "linux/riscv64".parse().unwrap();
        let error = client()
            .pull(
                &from,
                &into,
                &name("none"),
                &Which::Platform(platform),
                &mut |_| {},
            )
            .unwrap_err();
        assert!(error.to_string().contains("riscv64"), "{error}");
        let pulled = client()
            .pull(&from, &into, &name("whole"), &Which::All, &mut |_| {})
            .unwrap();
        assert_eq!(
            pulled.root.digest().to_string(),
            Digest::of(index.as_bytes()).to_string()
        );
        assert_eq!(into.images_of(&name("whole")).unwrap().len(), 2);
        // And the whole of it goes on to another registry.
        let (other, _) = good();
        let root = into.find(&name("whole")).unwrap();
        push(&into, &root, &remote(&other, "y:all")).unwrap();
        let (_folder, third) = store();
        client()
            .pull(
                &remote(&other, "y:all"),
                &third,
                &name("w"),
                &Which::All,
                &mut |_| {},
            )
            .unwrap();
        assert_eq!(third.find(&name("w")).unwrap().digest(), root.digest());
    }
}

#[test]
fn an_upload_that_is_cut_goes_on_from_where_the_registry_is() {
    let held = Held {
        cuts: AtomicUsize::new(3),
        ..Held::default()
    };
    let (server, _) = registry(held, |_, _| None);
    let (_folder, from) = store();
    let root = image(&from, "app", 400_000);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    let asked = server.asked();
    let patches: Vec<_> = asked
        .iter()
        .filter(|asked| asked.method == "PATCH")
        .collect();
    assert!(!patches.is_empty());
    assert!(
        patches
            .iter()
            .all(|asked| asked.header("content-range").is_some())
    );
    let (_folder, into) = store();
    assert_eq!(
        pull(&into, &remote(&server, "x:1")).unwrap().root.digest(),
        root.digest()
    );
}

#[test]
fn a_registry_that_takes_no_large_requests_gets_pieces() {
    let held = Held {
        most: Some(5 << 20),
        ..Held::default()
    };
    let (server, _) = registry(held, |_, _| None);
    let (_folder, from) = store();
    let root = image(&from, "app", 9 << 20);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    let asked = server.asked();
    let pieces = asked.iter().filter(|asked| asked.method == "PATCH").count();
    assert!(pieces >= 3, "{pieces}");
    let (_folder, into) = store();
    assert_eq!(
        pull(&into, &remote(&server, "x:1")).unwrap().root.digest(),
        root.digest()
    );
}

#[test]
fn blobs_that_another_repository_has_are_mounted() {
    let (server, _) = good();
    let (_folder, from) = store();
    let root = image(&from, "app", 5_000);
    push(&from, &root, &remote(&server, "base:1")).unwrap();
    let to = remote(&server, "derived:1");
    from.tag(&name("app"), &remote(&server, "base:1").stored_name())
        .unwrap();
    let options = PushOptions::of_store(&from, &to).unwrap();
    let pushed = client()
        .push(&from.blobs(), &root, &to, &options, &mut |_| {})
        .unwrap();
    assert_eq!((pushed.sent, pushed.mounted), (0, 3));
    // A registry that has them not, or does not mount, gets them.
    let (other, _) = registry(Held::default(), |asked, out| {
        (asked.target.contains("mount=") && asked.target.contains("refused"))
            .then(|| answer(out, 405, &[], b""))
    });
    for (called, tag) in [("refused", "1"), ("not-there", "2")] {
        let to = remote(&other, &format!("{called}:{tag}"));
        let mut options = PushOptions::default();
        for (digest, _) in options_of(&from, &root) {
            options.mounts.insert(digest, vec!["elsewhere".to_owned()]);
        }
        let pushed = client()
            .push(&from.blobs(), &root, &to, &options, &mut |_| {})
            .unwrap();
        assert_eq!((pushed.sent, pushed.mounted), (3, 0), "{called}");
    }
}

fn options_of(store: &Store, root: &Descriptor) -> Vec<(Digest, u64)> {
    let image = store.images_of(&name("app")).unwrap().remove(0);
    assert_eq!(image.descriptor.digest(), root.digest());
    let mut all = vec![image.manifest.config().clone()];
    all.extend(image.layers.iter().map(|layer| layer.descriptor.clone()));
    all.iter()
        .map(|one| (one.digest().to_string().parse().unwrap(), one.size()))
        .collect()
}

#[test]
fn a_blob_that_is_not_what_it_should_be_never_gets_into_the_store() {
    for fault in ["wrong", "short", "long", "endless", "elsewhere", "gone"] {
        let other = Server::new(|asked, out| {
            assert_eq!(asked.header("authorization"), None);
            answer(out, 200, &[], b"not it")
        });
        let there = other.url("/there");
        let (server, _) = registry(Held::default(), move |asked, out| {
            let is_layer = asked.method == "GET" && asked.path().contains("/blobs/sha256");
            is_layer.then(|| match fault {
                "wrong" => answer(out, 200, &[], &[0; 5_072]),
                "short" => answer(out, 200, &[], b"x"),
                "long" => answer(out, 200, &[], &[0; 50_000]),
                "endless" => {
                    head(out, 200, &[], None);
                    while out.write_all(&[7; 4096]).is_ok() {}
                    false
                }
                "elsewhere" => answer(out, 307, &[("Location", &there)], b""),
                _ => answer(out, 404, &[], b""),
            })
        });
        let (_folder, from) = store();
        let root = image(&from, "app", 5_000);
        let to = remote(&server, "x:1");
        push(&from, &root, &to).unwrap();
        let (_folder, into) = store();
        let error = pull(&into, &to).unwrap_err();
        match fault {
            "gone" => assert!(matches!(error, RegistryError::NotFound { .. }), "{error}"),
            "endless" | "long" | "short" | "elsewhere" => assert!(
                matches!(
                    error,
                    RegistryError::Fetch(FetchError::Size { .. } | FetchError::TooLarge { .. })
                ),
                "{fault}: {error:?}"
            ),
            // Which blob is asked for first, and whether its size agrees, is chance.
            _ => assert!(
                matches!(
                    error,
                    RegistryError::Fetch(FetchError::Corrupt { .. } | FetchError::Size { .. })
                ),
                "{fault}: {error:?}"
            ),
        }
        assert_clean(&into);
        into.gc().unwrap();
        let blobs = fs::read_dir(into.root().join("blobs/sha256")).unwrap();
        assert_eq!(blobs.count(), 0, "{fault}");
    }
}

#[test]
fn a_pull_that_is_cut_again_and_again_comes_whole_from_the_parts() {
    let is_even = AtomicBool::new(false);
    let inside = Arc::new(Held::default());
    let held = inside.clone();
    let server = Server::new(move |asked, out| {
        if asked.method != "GET" || !asked.path().contains("/blobs/sha256") {
            return inside.handle(asked, out);
        }
        let digest = asked.path().rsplit('/').next().unwrap().to_owned();
        let blobs = inside.blobs.lock().unwrap();
        let blob = blobs.get(&("x".to_owned(), digest)).unwrap();
        let from = range(asked).unwrap_or(0);
        let to = (from + 150_000).min(blob.len());
        // Every other time it fails outright.
        if is_even.fetch_not(Ordering::SeqCst) {
            return answer(out, 503, &[], b"");
        }
        let part = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
        let (status, left) = (
            if from == 0 { 200 } else { 206 },
            (blob.len() - from) as u64,
        );
        head(out, status, &[("Content-Range", &part)], Some(left));
        let _ = out.write_all(&blob[from..to]);
        to == blob.len()
    });
    let (_folder, from) = store();
    let root = image(&from, "app", 800_000);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    let (_folder, into) = store();
    pull(&into, &remote(&server, "x:1")).unwrap();
    assert_eq!(into.verify().unwrap().faults, Vec::<String>::new());
    let parts = server
        .asked()
        .iter()
        .filter(|asked| range(asked).is_some())
        .count();
    assert!(parts >= 5, "{parts} parts");
    drop(held);
}

#[test]
fn what_has_come_of_a_blob_is_taken_up_by_the_next_pull() {
    let whole = Arc::new(AtomicBool::new(false));
    let (gate, inside) = (whole.clone(), Arc::new(Held::default()));
    let server = Server::new(move |asked, out| {
        if asked.method != "GET" || !asked.path().contains("/blobs/sha256") {
            return inside.handle(asked, out);
        }
        let digest = asked.path().rsplit('/').next().unwrap().to_owned();
        let blobs = inside.blobs.lock().unwrap();
        let blob = blobs.get(&("x".to_owned(), digest)).unwrap();
        let from = range(asked).unwrap_or(0);
        let part = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
        let status = if from == 0 { 200 } else { 206 };
        head(
            out,
            status,
            &[("Content-Range", &part)],
            Some((blob.len() - from) as u64),
        );
        let to = match gate.load(Ordering::SeqCst) {
            true => blob.len(),
            false => blob.len().min(100_000).max(from),
        };
        let _ = out.write_all(&blob[from..to]);
        to == blob.len()
    });
    let (_folder, from) = store();
    let root = image(&from, "app", 300_000);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    let (_folder, into) = store();
    pull(&into, &remote(&server, "x:1")).unwrap_err();
    assert_clean(&into);
    whole.store(true, Ordering::SeqCst);
    pull(&into, &remote(&server, "x:1")).unwrap();
    let last = server.asked().iter().filter_map(range).next_back();
    assert_eq!(last, Some(100_000));
    assert_eq!(into.verify().unwrap().faults, Vec::<String>::new());
}
