//! Registries, good ones and hostile ones, over a real socket.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ounce_oci::fetch::FetchError;
use ounce_oci::layer::{Compression, Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{Descriptor, MediaType};
use ounce_oci::registry::{
    Artifact, ArtifactBlob, Credentials, Options, PushOptions, Registry, RegistryError, Remote,
    Secret, Which,
};
use ounce_oci::{Digest, Place, Platform, Reference, Store};
use serde_json::json;

use crate::fetch::{bytes, options};
use crate::server::{Asked, Server, answer, head, range};

/// A media type and bytes.
type Typed = (String, Vec<u8>);

/// What a registry holds, and what it does wrong.
#[derive(Default)]
struct Held {
    /// By repository and digest.
    blobs: Mutex<HashMap<(String, String), Vec<u8>>>,
    /// By repository and tag or digest: media type and bytes.
    manifests: Mutex<HashMap<(String, String), Typed>>,
    uploads: Mutex<HashMap<String, Vec<u8>>>,
    count: AtomicUsize,
    /// Whether it knows the referrers API.
    referrers: bool,
    /// Most bytes of a request.
    most: Option<usize>,
    /// So many uploads are cut in the middle.
    cuts: AtomicUsize,
    /// Wants this token, which is had at this address.
    token: Option<(String, String)>,
}

impl Held {
    fn put(&self, repository: &str, tag: &str, kind: &str, bytes: &[u8]) {
        let mut manifests = self.manifests.lock().unwrap();
        for name in [tag.to_owned(), Digest::of(bytes).to_string()] {
            let value = (kind.to_owned(), bytes.to_vec());
            manifests.insert((repository.to_owned(), name), value);
        }
    }

    fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.blobs.lock().unwrap().insert(key, bytes.to_vec());
        digest
    }

    /// The part of a registry that does what the specification says.
    fn handle(&self, asked: &Asked, out: &mut TcpStream) -> bool {
        if let Some((token, realm)) = &self.token
            && asked.header("authorization") != Some(&format!("Bearer {token}"))
        {
            let wants = format!("Bearer realm=\"{realm}\",service=\"here\"");
            return answer(out, 401, &[("WWW-Authenticate", &wants)], b"{}");
        }
        if asked.path() == "/v2/" {
            return answer(out, 200, &[], b"{}");
        }
        let path = asked.path().strip_prefix("/v2/").unwrap().to_owned();
        if let Some((repository, name)) = path.split_once("/manifests/") {
            return self.manifest(asked, repository, name, out);
        }
        if let Some((repository, digest)) = path.split_once("/referrers/") {
            if !self.referrers {
                return answer(out, 404, &[], b"404 page not found");
            }
            let all = self.manifests.lock().unwrap();
            let mut found = Vec::new();
            for ((of, name), (kind, bytes)) in all.iter() {
                let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                if of == repository && name.contains(':') && json["subject"]["digest"] == digest {
                    found.push(
                        json!({"mediaType": kind, "digest": name, "size": bytes.len(),
                        "artifactType": json["artifactType"]}),
                    );
                }
            }
            let index = json!({"schemaVersion": 2, "manifests": found});
            let kind = [("Content-Type", "application/vnd.oci.image.index.v1+json")];
            return answer(out, 200, &kind, index.to_string().as_bytes());
        }
        if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
            return self.upload(asked, repository, rest, out);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let blobs = self.blobs.lock().unwrap();
            let Some(blob) = blobs.get(&(repository.to_owned(), digest.to_owned())) else {
                return answer(out, 404, &[], b"");
            };
            return match asked.method.as_str() {
                "HEAD" => head(out, 200, &[], Some(blob.len() as u64)),
                _ => answer(out, 200, &[], blob),
            };
        }
        answer(out, 404, &[], b"")
    }

    fn manifest(&self, asked: &Asked, repository: &str, name: &str, out: &mut TcpStream) -> bool {
        let key = (repository.to_owned(), name.to_owned());
        if asked.method == "PUT" {
            let kind = asked.header("content-type").unwrap();
            self.put(repository, name, kind, &asked.body);
            let digest = Digest::of(&asked.body).to_string();
            let mut headers = vec![("Docker-Content-Digest", digest.as_str())];
            if self.referrers {
                headers.push(("OCI-Subject", "sha256:x"));
            }
            return answer(out, 201, &headers, b"");
        }
        let mut manifests = self.manifests.lock().unwrap();
        if asked.method == "DELETE" {
            let status = if manifests.remove(&key).is_some() {
                202
            } else {
                404
            };
            return answer(out, status, &[], b"");
        }
        let Some((kind, bytes)) = manifests.get(&key) else {
            let errors =
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return answer(out, 404, &[("Content-Type", "application/json")], errors);
        };
        let digest = Digest::of(bytes).to_string();
        let headers = [
            ("Content-Type", kind.as_str()),
            ("Docker-Content-Digest", &digest),
        ];
        match asked.method.as_str() {
            "HEAD" => head(out, 200, &headers, Some(bytes.len() as u64)),
            _ => answer(out, 200, &headers, bytes),
        }
    }

    fn upload(&self, asked: &Asked, repository: &str, id: &str, out: &mut TcpStream) -> bool {
        let query: HashMap<&str, String> = asked
            .target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, value.replace("%3A", ":").replace("%2F", "/")))
            .collect();
        if self.most.is_some_and(|most| asked.body.len() > most) {
            return answer(out, 413, &[], b"");
        }
        let mut uploads = self.uploads.lock().unwrap();
        match asked.method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from")) {
                    let mut blobs = self.blobs.lock().unwrap();
                    let blob = blobs.get(&(from.clone(), digest.clone())).cloned();
                    if let Some(blob) = blob {
                        blobs.insert((repository.to_owned(), digest.clone()), blob);
                        return answer(out, 201, &[], b"");
                    }
                }
                let id = self.count.fetch_add(1, Ordering::SeqCst).to_string();
                uploads.insert(id.clone(), Vec::new());
                let location = format!("/v2/{repository}/blobs/uploads/{id}?state=x");
                answer(out, 202, &[("Location", &location)], b"")
            }
            _ if !uploads.contains_key(id) => answer(out, 404, &[], b""),
            method => {
                let upload = uploads.get_mut(id).unwrap();
                let location = format!("/v2/{repository}/blobs/uploads/{id}?state=y");
                if method != "GET" {
                    let begins = asked.header("content-range").map(|range| {
                        let start = range.split_once('-').unwrap().0;
                        start.parse::<usize>().unwrap()
                    });
                    if begins.is_some_and(|begins| begins != upload.len()) {
                        return answer(out, 416, &[], b"");
                    }
                    let is_cut = asked.body.len() > 1000
                        && self
                            .cuts
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                                left.checked_sub(1)
                            })
                            .is_ok();
                    if is_cut {
                        upload.extend_from_slice(&asked.body[..asked.body.len() / 2]);
                        return false;
                    }
                    upload.extend_from_slice(&asked.body);
                }
                let end = format!("0-{}", upload.len().saturating_sub(1));
                if method == "PUT" {
                    let bytes = upload.clone();
                    let digest = Digest::of(&bytes).to_string();
                    if query.get("digest") != Some(&digest) {
                        return answer(out, 400, &[], b"digest invalid");
                    }
                    uploads.remove(id);
                    self.blob(repository, &bytes);
                    return answer(out, 201, &[("Docker-Content-Digest", &digest)], b"");
                }
                let status = if method == "GET" { 204 } else { 202 };
                let length = (status == 202).then_some(0);
                head(
                    out,
                    status,
                    &[("Location", &location), ("Range", &end)],
                    length,
                )
            }
        }
    }
}

/// A registry that keeps to the rules but for what `wrong` does first.
fn registry(
    held: Held,
    wrong: impl Fn(&Asked, &mut TcpStream) -> Option<bool> + Send + Sync + 'static,
) -> (Server, Arc<Held>) {
    let held = Arc::new(held);
    let inside = held.clone();
    let server = Server::new(move |asked, out| {
        wrong(asked, out).unwrap_or_else(|| inside.handle(asked, out))
    });
    (server, held)
}

fn good() -> (Server, Arc<Held>) {
    registry(Held::default(), |_, _| None)
}

fn client() -> Registry {
    Registry::new(Options {
        fetch: options(),
        ..Options::default()
    })
}

fn remote(server: &Server, rest: &str) -> Remote {
    format!("{}/{rest}", server.address).parse().unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn which() -> Which {
    Which::Platform("linux/amd64".parse().unwrap())
}

/// An image of two layers, one of them of `size` bytes that do not compress.
fn image(store: &Store, called: &str, size: usize) -> Descriptor {
    let file = |path: &str, bytes: Vec<u8>| Entry {
        path: path.to_owned(),
        kind: EntryKind::File(Content::Bytes(bytes)),
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let mut writer = store.write().unwrap();
    let options = LayerOptions {
        compression: Compression::Gzip,
        mtime: 0,
    };
    let large: Vec<u8> = bytes(size);
    let layers = [file("app", large), file("text", b"some text ".repeat(500))]
        .map(|entry| writer.layer(&[entry], options).unwrap());
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>()},
    });
    let config = writer.json(MediaType::ImageConfig, &config).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config,
        "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
    });
    let root = writer.json(MediaType::ImageManifest, &manifest).unwrap();
    writer.commit(&name(called), &root).unwrap();
    root
}

fn push(
    store: &Store,
    root: &Descriptor,
    to: &Remote,
) -> Result<ounce_oci::registry::Pushed, RegistryError> {
    client().push(
        &store.blobs(),
        root,
        to,
        &PushOptions::default(),
        &mut |_| {},
    )
}

fn pull(store: &Store, from: &Remote) -> Result<ounce_oci::registry::Pulled, RegistryError> {
    client().pull(from, store, &name("pulled"), &which(), &mut |_| {})
}

/// Nothing wrong is in the store, and nothing is half there.
fn assert_clean(store: &Store) {
    assert!(store.names().unwrap().is_empty());
    assert_eq!(store.verify().unwrap().faults, Vec::<String>::new());
}

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
        held.put(
            "x",
            "all",
            MediaType::ImageIndex.as_ref(),
            index.as_bytes(),
        );
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

#[test]
fn manifests_that_are_wrong_huge_or_no_json_are_refused() {
    let manifest = MediaType::ImageManifest.to_string();
    let index = MediaType::ImageIndex.to_string();
    let huge = vec![b' '; 9 << 20];
    let loops = json!({"schemaVersion": 2, "mediaType": index, "manifests": vec![json!({
        "mediaType": index, "digest": Digest::of(b"x").to_string(), "size": 1})]});
    for (kind, bytes) in [
        (&manifest, &b"{"[..]),
        (&manifest, b"[]"),
        (&manifest, b"{\"schemaVersion\": 2}"),
        (&manifest, b"{\"schemaVersion\": 1, \"config\": 3}"),
        (&manifest, &huge),
        (&index, loops.to_string().as_bytes()),
        (&"text/html".to_owned(), b"<html>"),
        (
            &"application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned(),
            b"{}",
        ),
    ] {
        let (server, held) = good();
        held.put("x", "1", kind, bytes);
        let (_folder, into) = store();
        let error = pull(&into, &remote(&server, "x:1")).unwrap_err();
        assert!(!error.to_string().is_empty());
        assert_clean(&into);
    }
    // What is pinned, and what the registry itself says, has to be what comes.
    let (server, held) = good();
    let key = ("x".to_owned(), Digest::of(b"right").to_string());
    held.manifests
        .lock()
        .unwrap()
        .insert(key, (manifest, b"{}".to_vec()));
    let (_folder, into) = store();
    let pinned = remote(&server, "x").with_digest(Digest::of(b"right"));
    let error = pull(&into, &pinned).unwrap_err();
    assert!(
        matches!(error, RegistryError::Fetch(FetchError::Corrupt { .. })),
        "{error}"
    );
}

/// A server of tokens: what it gives, and to whom.
fn tokens(body: &'static str, wants: Option<&'static str>) -> Server {
    Server::new(move |asked, out| match wants {
        Some(wants) if asked.header("authorization") != Some(wants) => {
            let errors = br#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#;
            answer(out, 401, &[], errors)
        }
        _ => answer(out, 200, &[], body.as_bytes()),
    })
}

fn credentials(folder: &tempfile::TempDir, host: &str) -> Credentials {
    let file = folder.path().join("auth.json");
    let credentials = Credentials {
        files: vec![file.clone()],
        default: Some(file),
    };
    credentials
        .keep(host, "user", &Secret::new("word"))
        .unwrap();
    credentials
}

#[test]
fn a_token_is_fetched_where_the_registry_says_and_goes_nowhere_else() {
    const BASIC: &str = "Basic dXNlcjp3b3Jk";
    let realm = tokens(r#"{"token": "t0ken", "expires_in": 300}"#, Some(BASIC));
    let held = Held {
        token: Some(("t0ken".to_owned(), realm.url("/token"))),
        ..Held::default()
    };
    let (server, _) = registry(held, |_, _| None);
    let (folder, from) = store();
    let root = image(&from, "app", 5_000);
    let to = remote(&server, "team/app:1");
    // Without a name there is no way in.
    let error = push(&from, &root, &to).unwrap_err();
    assert!(
        matches!(error, RegistryError::Denied { known: false, .. }),
        "{error:?}"
    );
    let known = Registry::new(Options {
        fetch: options(),
        credentials: credentials(&folder, &server.address.to_string()),
        ..Options::default()
    });
    known
        .push(
            &from.blobs(),
            &root,
            &to,
            &PushOptions::default(),
            &mut |_| {},
        )
        .unwrap();
    let asked = realm.asked();
    let scope = "/token?service=here&scope=repository:team/app:pull%2Cpush";
    assert_eq!(asked.last().unwrap().target, scope);
    // One token served all requests, and the password went to the realm only.
    assert_eq!(
        asked
            .iter()
            .filter(|asked| asked.header("authorization") == Some(BASIC))
            .count(),
        1
    );
    for asked in server.asked() {
        assert_ne!(asked.header("authorization"), Some(BASIC));
    }
    let host = server.address.to_string();
    assert!(known.log_in(&host, "user", &Secret::new("word")).unwrap());
    let error = known
        .log_in(&host, "user", &Secret::new("hidden"))
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::WrongPassword { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("who are you?"), "{error}");
    assert!(!format!("{error:?} {known:?}").contains("hidden"));
    assert!(!format!("{known:?}").contains("word"));
}

#[test]
fn a_realm_without_tls_elsewhere_and_tokens_that_are_none_are_refused() {
    let (folder, from) = store();
    let root = image(&from, "app", 100);
    for (realm, insecure) in [("http://far.example/token", true), ("nowhere", false)] {
        let held = Held {
            token: Some(("x".to_owned(), realm.to_owned())),
            ..Held::default()
        };
        let (server, _) = registry(held, |_, _| None);
        let known = Registry::new(Options {
            fetch: options(),
            credentials: credentials(&folder, &server.address.to_string()),
            ..Options::default()
        });
        let to = remote(&server, "x:1");
        let options = PushOptions::default();
        let error = known
            .push(&from.blobs(), &root, &to, &options, &mut |_| {})
            .unwrap_err();
        assert_eq!(
            matches!(error, RegistryError::InsecureRealm { .. }),
            insecure,
            "{error:?}"
        );
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"token": ""}"#,
        "{\"token\": \"a\\r\\nX: y\"}",
        r#"{"token": 3}"#,
    ] {
        let realm = tokens(body, None);
        let held = Held {
            token: Some(("x".to_owned(), realm.url("/"))),
            ..Held::default()
        };
        let (server, _) = registry(held, |_, _| None);
        let error = push(&from, &root, &remote(&server, "x:1")).unwrap_err();
        assert!(
            matches!(error, RegistryError::Answer { .. }),
            "{body}: {error:?}"
        );
    }
    // One that is a token, but not one that the registry takes: it is asked twice
    // for, not for ever.
    let realm = tokens(r#"{"access_token": "other"}"#, None);
    let held = Held {
        token: Some(("right".to_owned(), realm.url("/"))),
        ..Held::default()
    };
    let (server, _) = registry(held, |_, _| None);
    let error = push(&from, &root, &remote(&server, "x:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    assert!(realm.asked().len() <= 2, "{}", realm.asked().len());
}

#[test]
fn an_upload_that_is_sent_elsewhere_takes_no_secret_along() {
    let inside = Arc::new(Held::default());
    let other = Server::new({
        let inside = inside.clone();
        move |asked, out| {
            assert_eq!(asked.header("authorization"), None);
            inside.handle(asked, out)
        }
    });
    let address = other.address;
    let realm = tokens(r#"{"token": "t0ken"}"#, None);
    let url = realm.url("/");
    let server = Server::new(move |asked, out| {
        if asked.header("authorization") != Some("Bearer t0ken") {
            let wants = format!("Bearer realm=\"{url}\"");
            return answer(out, 401, &[("WWW-Authenticate", &wants)], b"");
        }
        if asked.method == "POST" {
            let id = inside.count.fetch_add(1, Ordering::SeqCst).to_string();
            inside
                .uploads
                .lock()
                .unwrap()
                .insert(id.clone(), Vec::new());
            let location = format!("http://{address}/v2/x/blobs/uploads/{id}");
            return answer(out, 202, &[("Location", &location)], b"");
        }
        inside.handle(asked, out)
    });
    let (_folder, from) = store();
    let root = image(&from, "app", 5_000);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    assert_eq!(other.asked().len(), 3);
}

#[test]
fn tags_come_page_after_page_and_pages_that_go_in_a_circle_end() {
    let (server, _) = registry(Held::default(), |asked, out| {
        let page = |tags: &str, link: Option<&str>, out: &mut TcpStream| {
            let link = link.map(|link| ("Link", link));
            let headers: Vec<_> = link.into_iter().collect();
            Some(answer(
                out,
                200,
                &headers,
                format!("{{\"name\":\"x\",\"tags\":{tags}}}").as_bytes(),
            ))
        };
        match asked.target.as_str() {
            "/v2/good/tags/list?n=1000" => page(
                "[\"a\",\"b\"]",
                Some("</v2/good/tags/list?n=2&last=b>; rel=\"next\""),
                out,
            ),
            "/v2/good/tags/list?n=2&last=b" => page("[\"c\"]", None, out),
            "/v2/none/tags/list?n=1000" => page("null", None, out),
            target if target.starts_with("/v2/circle/") => {
                page("[\"a\"]", Some("</v2/circle/tags/list?n=1>; rel=next"), out)
            }
            target if target.starts_with("/v2/far/") => {
                page("[]", Some("<ftp://far.example/>; rel=\"next\""), out)
            }
            target if target.starts_with("/v2/broken/") => Some(answer(out, 200, &[], b"{]")),
            _ => None,
        }
    });
    let tags = |repository: &str| client().tags(&remote(&server, repository));
    assert_eq!(tags("good").unwrap(), ["a", "b", "c"]);
    assert!(tags("none").unwrap().is_empty());
    for bad in ["circle", "broken", "far"] {
        let error = tags(bad).unwrap_err();
        assert!(
            !matches!(error, RegistryError::NotFound { .. }),
            "{bad}: {error:?}"
        );
    }
    assert!(matches!(
        tags("absent"),
        Err(RegistryError::NotFound { .. })
    ));
}

#[test]
fn artifacts_hang_on_their_image_with_the_referrers_api_and_without() {
    for referrers in [true, false] {
        let held = Held {
            referrers,
            ..Held::default()
        };
        let (server, held) = registry(held, |_, _| None);
        let (_folder, from) = store();
        let root = image(&from, "app", 1_000);
        let to = remote(&server, "x:1");
        push(&from, &root, &to).unwrap();
        let subject: Digest = root.digest().to_string().parse().unwrap();
        let artifact = |kind: &str, text: &str| Artifact {
            artifact_type: kind.to_owned(),
            config: None,
            blobs: vec![ArtifactBlob {
                media_type: kind.to_owned(),
                bytes: text.as_bytes().to_vec(),
                annotations: HashMap::new(),
            }],
            annotations: HashMap::from([("a".to_owned(), text.to_owned())]),
        };
        let client = client();
        assert!(client.referrers(&to, &subject, None).unwrap().is_empty());
        let one = artifact("application/spdx+json", "bill");
        let first = client.push_artifact(&to, Some(&root), &one).unwrap();
        client
            .push_artifact(&to, Some(&root), &artifact("application/x", "other"))
            .unwrap();
        // The same again is the same.
        assert_eq!(
            client
                .push_artifact(&to, Some(&root), &one)
                .unwrap()
                .digest(),
            first.digest()
        );
        assert_eq!(client.referrers(&to, &subject, None).unwrap().len(), 2);
        let found = client
            .referrers(&to, &subject, Some("application/spdx+json"))
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest(), first.digest());
        let digest = found[0].digest().to_string().parse().unwrap();
        let (_, manifest, blobs) = client.artifact(&to.with_digest(digest), 1 << 20).unwrap();
        assert_eq!(blobs, [b"bill".to_vec()]);
        assert_eq!(manifest.subject().as_ref().unwrap().digest(), root.digest());
        let tag = ("x".to_owned(), format!("sha256-{}", subject.hex()));
        assert_eq!(
            held.manifests.lock().unwrap().contains_key(&tag),
            !referrers
        );
        // The image itself is as it was.
        assert_eq!(client.digest(&to).unwrap(), Some(subject));
    }
}

#[test]
fn a_registry_that_is_busy_is_waited_for_and_one_that_refuses_is_quoted() {
    let count = AtomicUsize::new(0);
    let (server, _) = registry(Held::default(), move |asked, out| {
        if asked.path().contains("/forbidden/") {
            let errors = br#"{"errors":[{"code":"DENIED","message":"not \u001b[2J yours"}]}"#;
            return Some(answer(
                out,
                403,
                &[("Content-Type", "application/json")],
                errors,
            ));
        }
        match count.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Some(answer(out, 429, &[("Retry-After", "0")], b"")),
            1 => Some(answer(out, 502, &[], b"<html>")),
            _ => None,
        }
    });
    let (_folder, from) = store();
    let root = image(&from, "app", 1_000);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    let (_folder, into) = store();
    pull(&into, &remote(&server, "x:1")).unwrap();
    let error = pull(&into, &remote(&server, "forbidden:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("yours"), "{error}");
}

#[test]
fn a_registry_that_falls_silent_ends_in_an_error_and_leaves_nothing() {
    let (server, _) = registry(Held::default(), |asked, out| {
        (asked.method == "GET" && asked.path().contains("/blobs/")).then(|| {
            head(out, 200, &[], None);
            let _ = out.write_all(b"x");
            thread::sleep(Duration::from_secs(20));
            false
        })
    });
    let (_folder, from) = store();
    let root = image(&from, "app", 1_000);
    push(&from, &root, &remote(&server, "x:1")).unwrap();
    let (_folder, into) = store();
    let error = pull(&into, &remote(&server, "x:1")).unwrap_err();
    assert!(
        matches!(error, RegistryError::Fetch(FetchError::Timeout { .. })),
        "{error:?}"
    );
    assert_clean(&into);
}

#[test]
fn what_is_compressed_anew_is_the_same_image_and_the_same_bytes_each_time() {
    let (_folder, from) = store();
    let root = image(&from, "app", 20_000);
    let blobs = from.blobs();
    let anew = |compression| Registry::recompress(&from, &blobs, &root, compression).unwrap();
    assert!(anew(Compression::Gzip).is_none());
    let (first, zstd) = anew(Compression::Zstd).unwrap();
    let (_second, again) = anew(Compression::Zstd).unwrap();
    assert_eq!(zstd.digest(), again.digest());
    assert_ne!(zstd.digest(), root.digest());
    let (server, _) = good();
    let to = remote(&server, "x:1");
    client()
        .push(&first, &zstd, &to, &PushOptions::default(), &mut |_| {})
        .unwrap();
    let (_folder, into) = store();
    pull(&into, &to).unwrap();
    let image = into
        .image(&name("pulled"), &"linux/amd64".parse().unwrap())
        .unwrap();
    let old = from
        .image(&name("app"), &"linux/amd64".parse().unwrap())
        .unwrap();
    let diff_ids = |image: &ounce_oci::Image| {
        image
            .layers
            .iter()
            .map(|layer| layer.diff_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(diff_ids(&image), diff_ids(&old));
    for layer in &image.layers {
        assert_eq!(*layer.descriptor.media_type(), MediaType::ImageLayerZstd);
        // It is read as what it says it is, and hashes to the same.
        let reader = image.open_layer(layer, Default::default()).unwrap();
        let count = AtomicUsize::new(0);
        reader
            .for_each(|_, _: &mut dyn std::io::Read| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<(), ounce_oci::layer::LayerError>(())
            })
            .unwrap();
        assert_eq!(count.into_inner(), 1);
    }
}

#[test]
fn what_the_store_has_is_not_fetched_for_a_look() {
    let (server, _) = good();
    let (_folder, from) = store();
    let root = image(&from, "app", 5_000);
    let to = remote(&server, "x:1");
    push(&from, &root, &to).unwrap();
    let platform = "linux/amd64".parse().unwrap();
    let before = server.asked().len();
    let image = client().image(&to, &from, &platform, &mut |_| {}).unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_eq!(server.asked().len(), before + 2);
    // Elsewhere only documents come where nothing more is looked at.
    let (_folder, none) = store();
    let image = client().documents(&to, &none, &platform).unwrap();
    assert_eq!(image.layers.len(), 2);
    let asked = server.asked();
    let blobs = asked
        .iter()
        .filter(|asked| asked.method == "GET" && asked.path().contains("/blobs/"));
    assert_eq!(blobs.count(), 1);
    assert!(none.names().unwrap().is_empty());
    drop(image);
    none.gc().unwrap();
    assert_eq!(
        fs::read_dir(none.root().join(".ounce/scratch"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn deleting_asks_for_the_digest_where_the_tag_is_refused() {
    let (server, _) = registry(Held::default(), |asked, out| {
        (asked.method == "DELETE" && !asked.path().contains("sha256:"))
            .then(|| answer(out, 405, &[], b""))
    });
    let (_folder, from) = store();
    let root = image(&from, "app", 100);
    let to = remote(&server, "x:1");
    push(&from, &root, &to).unwrap();
    client().delete(&to).unwrap();
    let digest: Digest = root.digest().to_string().parse().unwrap();
    assert_eq!(client().digest(&to.with_digest(digest)).unwrap(), None);
    let error = client().delete(&to.with_digest(digest)).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
}

#[test]
fn places_in_registries_are_not_mistaken_for_files() {
    let (_folder, store) = store();
    let place: Place = "docker://r.example/x".parse().unwrap();
    assert!(place.open(&store).is_err());
}
