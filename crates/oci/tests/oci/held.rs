//! A registry for tests: it keeps to the specification, but for what a test has it
//! do first; and images to push to it.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ounce_oci::fetch;
use ounce_oci::layer::{Compression, Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{Descriptor, MediaType};
use ounce_oci::registry::{Options, PushOptions, Registry, RegistryError, Remote, Which};
use ounce_oci::{Digest, Reference, Store};
use serde_json::json;

use crate::server::{Asked, Server, answer, head};

/// A client that does not make a test wait.
pub(crate) fn options() -> fetch::Options {
    fetch::Options {
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_millis(600),
        idle_timeout: Duration::from_millis(600),
        slowest_bytes: 1000,
        slow_window: Duration::from_millis(300),
        tries: 4,
        first_pause: Duration::from_millis(4),
        longest_pause: Duration::from_millis(20),
        longest_wait: Duration::from_secs(2),
        ..fetch::Options::default()
    }
}

/// Bytes of which no two stretches are alike.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    // Steele, Lea and Flood's SplitMix, so that they do not compress either.
    let mixed = |at: u64| {
        let mut state = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (state >> 56) as u8
    };
    (0..count as u64).map(mixed).collect()
}

/// A media type and bytes.
pub(crate) type Typed = (String, Vec<u8>);

/// What a registry holds, and what it does wrong.
#[derive(Default)]
pub(crate) struct Held {
    /// By repository and digest.
    pub(crate) blobs: Mutex<HashMap<(String, String), Vec<u8>>>,
    /// By repository and tag or digest: media type and bytes.
    pub(crate) manifests: Mutex<HashMap<(String, String), Typed>>,
    pub(crate) uploads: Mutex<HashMap<String, Vec<u8>>>,
    pub(crate) count: AtomicUsize,
    /// Whether it knows the referrers API.
    pub(crate) referrers: bool,
    /// Most bytes of a request.
    pub(crate) most: Option<usize>,
    /// So many uploads are cut in the middle.
    pub(crate) cuts: AtomicUsize,
    /// Wants this token, which is had at this address.
    pub(crate) token: Option<(String, String)>,
}

impl Held {
    pub(crate) fn put(&self, repository: &str, tag: &str, kind: &str, bytes: &[u8]) {
        let mut manifests = self.manifests.lock().unwrap();
        for name in [tag.to_owned(), Digest::of(bytes).to_string()] {
            let value = (kind.to_owned(), bytes.to_vec());
            manifests.insert((repository.to_owned(), name), value);
        }
    }

    pub(crate) fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.blobs.lock().unwrap().insert(key, bytes.to_vec());
        digest
    }

    /// The part of a registry that does what the specification says.
    pub(crate) fn handle(&self, asked: &Asked, out: &mut TcpStream) -> bool {
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
        if let Some(repository) = path.strip_suffix("/tags/list") {
            let all = self.manifests.lock().unwrap();
            let of = all.keys().filter(|(of, _)| of == repository);
            let mut tags: Vec<_> = of.map(|(_, name)| name.clone()).collect();
            if tags.is_empty() {
                return answer(out, 404, &[], b"");
            }
            tags.retain(|name| !name.contains(':'));
            tags.sort();
            let page = json!({"name": repository, "tags": tags}).to_string();
            return answer(out, 200, &[], page.as_bytes());
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
pub(crate) fn registry(
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

pub(crate) fn good() -> (Server, Arc<Held>) {
    registry(Held::default(), |_, _| None)
}

pub(crate) fn client() -> Registry {
    Registry::new(Options {
        fetch: options(),
        ..Options::default()
    })
}

pub(crate) fn remote(server: &Server, rest: &str) -> Remote {
    format!("{}/{rest}", server.address).parse().unwrap()
}

pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn which() -> Which {
    Which::Platform("linux/amd64".parse().unwrap())
}

/// An image of two layers, one of them of `size` bytes that do not compress.
pub(crate) fn image(store: &Store, called: &str, size: usize) -> Descriptor {
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

pub(crate) fn push(
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

pub(crate) fn pull(
    store: &Store,
    from: &Remote,
) -> Result<ounce_oci::registry::Pulled, RegistryError> {
    client().pull(from, store, &name("pulled"), &which(), &mut |_| {})
}

/// Nothing wrong is in the store, and nothing is half there.
pub(crate) fn assert_clean(store: &Store) {
    assert!(store.names().unwrap().is_empty());
    assert_eq!(store.verify().unwrap().faults, Vec::<String>::new());
}
