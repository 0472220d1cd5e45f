//! Registries that are hostile, strict or busy: documents that are none, tokens,
//! realms and uploads elsewhere, pages without end; and what hangs on images.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ounce_oci::fetch::FetchError;
use ounce_oci::layer::Compression;
use ounce_oci::model::MediaType;
use ounce_oci::registry::{
    Artifact, ArtifactBlob, Credentials, Options, PushOptions, Registry, RegistryError, Secret,
};
use ounce_oci::{Digest, Place};
use serde_json::json;

use crate::held::{
    Held, assert_clean, client, good, image, name, options, pull, push, registry, remote, store,
};
use crate::server::{Server, answer, head};

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
    let counts: Mutex<HashMap<String, usize>> = Mutex::default();
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
        let mut counts = counts.lock().unwrap();
        // Of all uploads together: each has an address of its own.
        let path = asked.path().split("/uploads/").next().unwrap();
        let count = counts
            .entry(format!("{} {path}", asked.method))
            .or_default();
        *count += 1;
        match *count {
            1 => Some(answer(out, 429, &[("Retry-After", "0")], b"")),
            2 => Some(answer(out, 502, &[], b"<html>")),
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
