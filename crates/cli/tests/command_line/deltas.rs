//! Deltas in registries: `push --delta-from` and what `pull` makes of it, whatever the
//! registry answers.

use std::net::TcpStream;
use std::process::Output;
use std::sync::Arc;

use ounce_oci::{Digest, Store};
use serde_json::{Value, json};

use crate::harness::Workbench;
use crate::held::{Held, image, registry};
use crate::registry::{json as told, ounce};
use crate::server::{Asked, Server, answer};

const DELTA: &str = "application/vnd.ounce.delta.v1";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Two images of which the second is some bytes longer, in a registry with a delta.
struct Scene {
    maker: Workbench,
    server: Server,
    held: Arc<Held>,
}

impl Scene {
    fn new(
        referrers: bool,
        wrong: impl Fn(&Asked, &mut TcpStream) -> Option<bool> + Send + Sync + 'static,
    ) -> Self {
        let held = Held {
            referrers,
            ..Held::default()
        };
        let (server, held) = registry(held, wrong);
        let maker = Workbench::new();
        let store = Store::open(maker.path("store")).unwrap();
        image(&store, "app:1", 200_000);
        image(&store, "app:2", 200_400);
        Self {
            maker,
            server,
            held,
        }
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/team/app:{tag}", self.server.address)
    }

    /// Pushes the first, then the second with a delta; what is told of that.
    fn filled(&self) -> Value {
        told(&self.maker, &["push", "app:1", &self.name("1"), "--json"]);
        let words = ["push", "app:2", &self.name("2"), "--delta-from", "1"];
        told(&self.maker, &[&words[..], &["--json"]].concat())
    }

    /// A workbench that has the first image, and what it fetches from now on.
    fn device(&self) -> (Workbench, usize) {
        let device = Workbench::new();
        told(&device, &["pull", &self.name("1"), "--json"]);
        (device, self.server.asked().len())
    }

    fn pull(&self, device: &Workbench, more: &[&str]) -> Output {
        let words = ["pull", &self.name("2"), "--json"];
        ounce(device, &[&words[..], more].concat())
            .output()
            .unwrap()
    }

    /// Hangs something on the second image in the way of a delta from the first.
    fn hang(&self, from: &str, subject: &str, blob: &[u8], stated: Option<u64>) {
        let blob_digest = self.held.blob("team/app", blob);
        let empty = self.held.blob("team/app", b"{}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": DELTA,
            "config": {"mediaType": EMPTY, "digest": empty.to_string(), "size": 2},
            "layers": [{
                "mediaType": DELTA,
                "digest": blob_digest.to_string(),
                "size": stated.unwrap_or(blob.len() as u64),
            }],
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1},
            "annotations": {"io.ounce.delta.from": from},
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        self.held
            .put("team/app", &digest.to_string(), MANIFEST, &bytes);
        let entry = json!({
            "mediaType": MANIFEST, "digest": digest.to_string(), "size": bytes.len(),
            "artifactType": DELTA, "annotations": {"io.ounce.delta.from": from},
        });
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let of = self.digest("app:2");
        let tag = of.replace(':', "-");
        let list = list.to_string();
        self.held.put("team/app", &tag, INDEX, list.as_bytes());
    }

    fn digest(&self, name: &str) -> String {
        let told = told(&self.maker, &["--json", "inspect", name]);
        told["digest"].as_str().unwrap().to_owned()
    }
}

/// What was pulled is what was made, whatever came in between; and why a delta was
/// passed over.
fn is_good(scene: &Scene, device: &Workbench, output: &Output) -> (Value, String) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let pulled: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(pulled["digest"], scene.digest("app:2").as_str());
    device.succeed(&["verify"]);
    let why = pulled["passed_over"][0].as_str().unwrap_or_default();
    let why = why.to_owned();
    (pulled, why)
}

#[test]
fn a_pull_takes_the_delta_and_gets_the_same_blobs() {
    for referrers in [true, false] {
        let scene = Scene::new(referrers, |_, _| None);
        let pushed = scene.filled();
        let row = &pushed["deltas"][0];
        assert_eq!(row["from_digest"], scene.digest("app:1").as_str());
        assert_eq!(row["pushed"], true);
        let (device, before) = scene.device();
        let (pulled, _) = is_good(&scene, &device, &scene.pull(&device, &[]));
        let delta = &pulled["deltas"][0];
        assert_eq!(delta["from"], scene.digest("app:1").as_str());
        assert!(delta["blob_bytes"].as_u64().unwrap() > 200_000, "{pulled}");
        assert!(delta["delta_bytes"].as_u64().unwrap() < 4_000, "{pulled}");
        assert_eq!(pulled["present_blobs"], 1, "the other layer: {pulled}");
        // No blob but the delta came, and perhaps the configuration.
        let asked = &scene.server.asked()[before..];
        let blobs = asked.iter().filter(|one| one.path().contains("/blobs/"));
        assert!(blobs.count() <= 2, "{asked:#?}");
        // The same image, and so nothing more to fetch.
        let again = scene.pull(&device, &[]);
        let (again, _) = is_good(&scene, &device, &again);
        assert_eq!(again["fetched_blobs"], 0);
        assert!(again.get("deltas").is_none(), "{again}");
    }
}

#[test]
fn a_tag_that_moves_is_followed_by_deltas_and_no_delta_means_none() {
    let scene = Scene::new(true, |_, _| None);
    let stable = scene.name("stable");
    told(&scene.maker, &["push", "app:1", &stable, "--json"]);
    let devices = [Workbench::new(), Workbench::new()];
    for device in &devices {
        told(device, &["pull", &stable, "--json"]);
    }
    let words = ["push", "app:2", &stable, "--delta-from", "stable"];
    let output = ounce(&scene.maker, &words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("with a delta from stable for linux/amd64"),
        "{said}"
    );
    let pull = |device, more: &[&str]| told(device, &[&["--json", "pull", &stable], more].concat());
    let short = pull(&devices[0], &[]);
    assert_eq!(short["deltas"].as_array().map(Vec::len), Some(1), "{short}");
    let whole = pull(&devices[1], &["--no-delta"]);
    assert!(whole.get("deltas").is_none(), "{whole}");
    assert!(whole["fetched_bytes"].as_u64().unwrap() > 200_000);
    assert_eq!(short["digest"], whole["digest"]);
}

#[test]
fn a_delta_of_little_use_or_of_none_is_not_pushed() {
    let scene = Scene::new(false, |_, _| None);
    told(&scene.maker, &["push", "app:1", &scene.name("1"), "--json"]);
    // The same image.
    let same = ["push", "app:1", &scene.name("1"), "--delta-from", "1"];
    let said = ounce(&scene.maker, &same).output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("note: 1 is the same image: no delta"),
        "{said}"
    );
    // A tag that is not there, before anything is pushed.
    let none = ["push", "app:2", &scene.name("2"), "--delta-from", "none"];
    let output = ounce(&scene.maker, &none).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let tags = ounce(&scene.maker, &["tags", &scene.name("1")])
        .output()
        .unwrap();
    assert_eq!(tags.stdout, b"1\n");
    // An image of the store, by its name there.
    let other = ["push", "app:2", &scene.name("2"), "--delta-from", "app:1"];
    let pushed = told(&scene.maker, &[&other[..], &["--json"]].concat());
    assert_eq!(pushed["deltas"][0]["pushed"], true);
}

#[test]
fn whatever_hangs_there_in_place_of_a_delta_the_blobs_are_fetched() {
    let plain = Scene::new(false, |_, _| None);
    plain.filled();
    let (one, two) = (plain.digest("app:1"), plain.digest("app:2"));
    let good = {
        let blobs = plain.held.blobs.lock().unwrap();
        let found = blobs.values().find(|blob| blob.starts_with(b"oz\xd3\x01"));
        found.unwrap().clone()
    };
    let mut changed = good.clone();
    let middle = changed.len() - 100;
    changed[middle] ^= 0x20;
    let large = vec![7; 300_000];
    // What hangs there, from what, on what, of which size; and what is said of it.
    type Hangs<'a> = (&'a str, &'a [u8], &'a str, &'a str, Option<u64>, &'a str);
    let cases: [Hangs<'_>; 8] = [
        ("noise", b"no delta at all", &one, &two, None, "not a patch"),
        ("changed", &changed, &one, &two, None, "was not taken"),
        (
            "cut",
            &good[..good.len() - 5],
            &one,
            &two,
            None,
            "was not taken",
        ),
        ("from another", &good, &two, &two, None, ""),
        ("on another", &good, &one, &one, None, ""),
        ("too large", &large, &one, &two, None, ""),
        (
            "of another size",
            &good,
            &one,
            &two,
            Some(90),
            "was not taken",
        ),
        ("from nothing", &good, "sha256:0", &two, None, ""),
    ];
    for (what, blob, from, subject, stated, why) in cases {
        plain.hang(from, subject, blob, stated);
        let (device, _) = plain.device();
        let output = plain.pull(&device, &[]);
        let (pulled, said) = is_good(&plain, &device, &output);
        assert!(pulled.get("deltas").is_none(), "{what}: {pulled}");
        assert!(said.contains(why), "{what}: {said:?}");
        assert_eq!(said.is_empty(), why.is_empty(), "{what}: {said:?}");
    }
}

#[test]
fn a_registry_that_loses_deltas_or_answers_nonsense_still_gives_its_images() {
    type Wrong = fn(&Asked, &mut TcpStream) -> Option<bool>;
    let nonsense: Wrong = |asked, out| {
        let is_list = asked.path().contains("/referrers/") || asked.path().contains("sha256-");
        let kind = [("Content-Type", INDEX)];
        (is_list && asked.method == "GET").then(|| answer(out, 200, &kind, b"<html>"))
    };
    let refuses: Wrong = |asked, out| {
        let is_list = asked.path().contains("/referrers/");
        is_list.then(|| answer(out, 403, &[], b"{}"))
    };
    for (wrong, why) in [(nonsense, "no list of referrers"), (refuses, "")] {
        let scene = Scene::new(true, wrong);
        for tag in ["1", "2"] {
            let image = format!("app:{tag}");
            told(&scene.maker, &["push", &image, &scene.name(tag), "--json"]);
        }
        let (device, _) = scene.device();
        let (pulled, said) = is_good(&scene, &device, &scene.pull(&device, &[]));
        assert!(pulled.get("deltas").is_none());
        assert!(said.contains(why) && !said.is_empty(), "{said:?}");
    }
    // The list has stayed, and what it lists has not.
    let scene = Scene::new(false, |_, _| None);
    scene.filled();
    scene
        .held
        .manifests
        .lock()
        .unwrap()
        .retain(|_, (_, bytes)| {
            let text = String::from_utf8_lossy(bytes);
            !(text.contains(DELTA) && text.contains("\"subject\""))
        });
    let (device, _) = scene.device();
    let (pulled, said) = is_good(&scene, &device, &scene.pull(&device, &[]));
    assert!(pulled.get("deltas").is_none());
    assert_eq!(said, "");
}

#[test]
fn what_came_by_delta_is_signed_as_what_came_whole() {
    let scene = Scene::new(true, |_, _| None);
    let maker = &scene.maker;
    maker.succeed(&["key", "new", "good"]);
    maker.succeed(&["key", "new", "other"]);
    told(maker, &["push", "app:1", &scene.name("1"), "--json"]);
    maker.succeed(&[
        "sign",
        "app:2",
        "--key",
        "good.key",
        "--identity",
        "team/app",
    ]);
    let words = ["push", "app:2", &scene.name("2"), "--delta-from", "1"];
    told(maker, &[&words[..], &["--json"]].concat());
    let (device, _) = scene.device();
    for (key, code) in [("other.pub", 1), ("good.pub", 0)] {
        let key = maker.path(key).display().to_string();
        let output = scene.pull(&device, &["--key", &key]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("delta-"), "{stderr}");
    }
    // No delta was taken along as something that hangs on the image.
    let hanging = told(&device, &["--json", "referrers", &scene.name("2")]);
    assert!(!hanging.to_string().contains(DELTA), "{hanging}");
}
