//! `ounce update` of the services of a device: under load, with images that are not
//! well, and killed at any moment.

use std::net::SocketAddr;
use std::process::{Child, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::Workbench;
use crate::held::{Held, registry};
use crate::programs::prints;
use crate::registry::{json, ounce};
use crate::serve::{Served, free_port, load, root, wait_until};
use crate::server::Server;

/// So many updates are killed, each at another moment.
const KILLS: u64 = 12;

/// A registry, who pushes to it, and a device that serves what it has.
struct Scene {
    maker: Workbench,
    device: Workbench,
    server: Server,
    port: u16,
}

impl Scene {
    /// With a site in the registry and on the device; `more` is said of the service.
    fn new(more: &str) -> Self {
        let held = Held {
            referrers: true,
            ..Held::default()
        };
        let scene = Self {
            maker: Workbench::new(),
            device: Workbench::new(),
            server: registry(held, |_, _| None).0,
            port: free_port(),
        };
        scene.site("old");
        scene.push(&[]);
        json(&scene.device, &["--json", "pull", &scene.image()]);
        let file = format!(
            "[[service]]\nname = \"web\"\nimage = \"{}\"\nlisten = {}\n{more}\n",
            scene.image(),
            scene.port
        );
        scene.device.file("ounce-serve.toml", file);
        scene
    }

    fn image(&self) -> String {
        format!("{}/team/site:stable", self.server.address)
    }

    /// What a name of the device's store is, by its digest.
    fn digest(&self, end: &str) -> Option<String> {
        let name = format!("{}{end}", self.image());
        let output = ounce(&self.device, &["--json", "inspect", &name])
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(told["digest"].as_str().unwrap().to_owned())
    }

    fn site(&self, text: &str) {
        self.maker.file("public/index.html", text);
        self.maker.succeed(&["build", "public", "-t", "site"]);
    }

    fn push(&self, more: &[&str]) {
        json(
            &self.maker,
            &[&["--json", "push", "site", &self.image()], more].concat(),
        );
    }

    /// A site that is not well.
    fn push_bad(&self) {
        let bad = self.maker.program("bad", prints("no\n", 7));
        self.maker
            .succeed(&["build", bad.to_str().unwrap(), "-t", "site"]);
        self.push(&[]);
    }

    fn serve(&self) -> (Served, SocketAddr) {
        let served = Served::start(&self.device, &["ounce-serve.toml"]);
        served.wait("web", "listening", 1);
        (served, SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    fn command(&self, more: &[&str]) -> std::process::Command {
        let words = ["--json", "update", "ounce-serve.toml"];
        let mut command = ounce(&self.device, &[&words[..], more].concat());
        command.env("OUNCE_RUNTIME_DIR", self.device.path("runtime"));
        command
    }

    /// Its exit code and what is told of the image.
    fn update(&self, more: &[&str]) -> (i32, Value) {
        let output = self.command(more).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{more:?}: {output:?}"));
        assert_eq!(told["schema"], "ounce.update-services/1");
        (output.status.code().unwrap(), told["images"][0].clone())
    }
}

/// Asks all the time while `work` is done; nobody may be refused or cut off.
fn under_load<T>(address: SocketAddr, work: impl FnOnce() -> T) -> T {
    let over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loads: Vec<_> = [2, 3]
            .map(|pause| scope.spawn(move || load(address, Duration::from_millis(pause), over)))
            .into_iter()
            .collect();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        for load in loads {
            assert!(load.join().unwrap() > 0);
        }
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn an_update_comes_by_delta_and_no_request_is_lost() {
    let scene = Scene::new("health = \"/healthz\"");
    let (_served, address) = scene.serve();
    assert_eq!(root(address).unwrap().1, "old");
    let (code, row) = scene.update(&[]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (0, Some("current")),
        "{row}"
    );
    let old = scene.digest("").unwrap();
    scene.site("new");
    scene.push(&["--delta-from", "stable"]);
    let (code, row) = scene.update(&["--check"]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (1, Some("available")),
        "{row}"
    );
    assert_eq!(scene.digest("").unwrap(), old, "--check writes nothing");
    under_load(address, || {
        let (code, row) = scene.update(&["--watch", "1s"]);
        assert_eq!(
            (code, row["outcome"].as_str()),
            (0, Some("updated")),
            "{row}"
        );
        assert_eq!(row["deltas"][0]["from"], old.as_str(), "{row}");
        assert_eq!(root(address).unwrap().1, "new");
    });
    assert_eq!(scene.digest(".previous").as_deref(), Some(&*old));
    for end in [".trial", ".new", ".failed"] {
        assert_eq!(scene.digest(end), None, "{end}");
    }
    // And back by hand; what was left is not taken again.
    under_load(address, || {
        let (code, row) = scene.update(&["--back", "--watch", "1s"]);
        assert_eq!((code, row["outcome"].as_str()), (0, Some("back")), "{row}");
        wait_until(|| root(address).unwrap().1 == "old");
    });
    let (code, row) = scene.update(&[]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (1, Some("refused")),
        "{row}"
    );
    assert_eq!(scene.digest("").unwrap(), old);
}

#[test]
fn an_image_that_is_not_well_never_gets_a_request_and_is_not_tried_twice() {
    let scene = Scene::new("health = \"/healthz\"");
    let (served, address) = scene.serve();
    assert_eq!(root(address).unwrap().1, "old");
    scene.push_bad();
    under_load(address, || {
        let (code, row) = scene.update(&["--watch", "1s"]);
        assert_eq!(
            (code, row["outcome"].as_str()),
            (1, Some("refused")),
            "{row}"
        );
        let why = row["why"].as_str().unwrap();
        assert!(why.contains("ended with exit code 7"), "{why}");
        let (code, row) = scene.update(&[]);
        assert_eq!(code, 1);
        let why = row["why"].as_str().unwrap();
        assert!(why.contains("has failed here before"), "{why}");
    });
    assert!(
        served.events("web", "roll-failed").is_empty(),
        "it was never in its place"
    );
    // One that is well again is taken.
    scene.site("better");
    scene.push(&[]);
    let (code, row) = scene.update(&["--watch", "1s"]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (0, Some("updated")),
        "{row}"
    );
    assert_eq!(root(address).unwrap().1, "better");
}

#[test]
fn what_a_power_cut_left_on_trial_is_judged_by_the_next_update() {
    let scene = Scene::new("health = \"/healthz\"");
    let name = scene.image();
    let tag = |from: &str, to: &str| {
        let (from, to) = (format!("{name}{from}"), format!("{name}{to}"));
        scene.device.succeed(&["tag", &from, &to]);
    };
    let good = scene.digest("").unwrap();
    // A bad one, switched to, and nobody was left to see how it does.
    scene.push_bad();
    tag("", ".previous");
    json(&scene.device, &["--json", "pull", &name]);
    tag("", ".trial");
    // Of what does not hold nobody gets an answer, and from the first answer on all do.
    let (served, address) = scene.serve();
    wait_until(|| {
        let _ = root(address);
        served.events("web", "crashed").len() >= 2
    });
    let (code, row) = scene.update(&["--watch", "1s"]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (1, Some("rolled-back")),
        "{row}"
    );
    wait_until(|| root(address).is_ok_and(|(_, body)| body == "old"));
    for _ in 0..50 {
        assert_eq!(root(address).unwrap().1, "old");
    }
    assert_eq!(scene.digest("").unwrap(), good);
    assert_eq!(scene.digest(".trial"), None);
    // A good one: it stays.
    tag("", ".trial");
    let (_, row) = scene.update(&["--watch", "1s"]);
    assert_eq!(scene.digest("").unwrap(), good, "{row}");
    assert_eq!(scene.digest(".trial"), None);
}

#[test]
fn killed_at_any_moment_the_device_serves_the_old_or_the_new_image_whole() {
    let scene = Scene::new("health = \"/healthz\"");
    let (_served, address) = scene.serve();
    assert_eq!(root(address).unwrap().1, "old");
    under_load(address, || {
        let mut known = vec![scene.digest("").unwrap()];
        for round in 0..KILLS {
            scene.site(&format!("new {round}"));
            scene.push(&["--delta-from", "stable"]);
            let told = json(&scene.maker, &["--json", "inspect", "site"]);
            known.push(told["digest"].as_str().unwrap().to_owned());
            let mut child: Child = scene
                .command(&["--watch", "1s"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(round * round * 15));
            child.kill().unwrap();
            child.wait().unwrap();
            let now = scene.digest("").unwrap();
            assert!(known.contains(&now), "{round}: {now}");
            scene.device.succeed(&["verify"]);
        }
        // One that is left alone ends it all.
        let (code, row) = scene.update(&["--watch", "1s"]);
        assert_eq!(code, 0, "{row}");
        let last = format!("new {}", KILLS - 1);
        wait_until(|| root(address).unwrap().1 == last);
        assert_eq!(scene.digest("").as_ref(), known.last());
    });
    for end in [".trial", ".new"] {
        assert_eq!(scene.digest(end), None, "{end}");
    }
}

#[test]
fn an_image_that_the_key_has_not_signed_is_refused() {
    let scene = Scene::new("health = \"/healthz\"\nkey = \"team.pub\"");
    scene.maker.succeed(&["key", "new", "team"]);
    let public = std::fs::read(scene.maker.path("team.pub")).unwrap();
    scene.device.file("team.pub", public);
    let old = scene.digest("").unwrap();
    scene.site("new");
    scene.push(&[]);
    let (code, row) = scene.update(&[]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (1, Some("refused")),
        "{row}"
    );
    assert_eq!(scene.digest("").unwrap(), old);
    let sign = [
        "sign",
        "site",
        "--key",
        "team.key",
        "--identity",
        "team/site",
    ];
    scene.maker.succeed(&sign);
    scene.push(&[]);
    // Nobody serves it: it was tried, and the next start is of it.
    let (code, row) = scene.update(&[]);
    assert_eq!(
        (code, row["outcome"].as_str()),
        (0, Some("updated")),
        "{row}"
    );
    let (_served, address) = scene.serve();
    assert_eq!(root(address).unwrap().1, "new");
}

#[test]
fn what_cannot_be_updated_is_told_with_what_to_do() {
    let bench = Workbench::new();
    let said = |words: &[&str], code: i32| {
        let output: Output = bench.output(words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        text
    };
    bench.file(
        "ounce-serve.toml",
        "[[service]]\nname = \"web\"\nimage = \"hello\"\nlisten = 8080\n",
    );
    let text = said(&["update", "ounce-serve.toml"], 3);
    assert!(text.contains("hello names no registry"), "{text}");
    assert!(text.contains("hint: what is updated is named"), "{text}");
    let text = said(&["update", "ounce-serve.toml", "--service", "api"], 2);
    assert!(text.contains("no service \"api\""), "{text}");
    let text = said(&["update", "ounce-serve.toml", "--suite", "sid"], 2);
    assert!(text.contains("--suite is for a lock"), "{text}");
    let text = said(&["update", ".", "--back"], 2);
    assert!(text.contains("--back is for services"), "{text}");
    bench.file(
        "wrong.toml",
        "[[service]]\nname = \"web\"\nimage = \"a\"\nlisten = 80\nhealth = \"x\"\n",
    );
    let text = said(&["update", "wrong.toml"], 3);
    assert!(text.contains("no path to ask for"), "{text}");
    bench.file(
        "far.toml",
        "[[service]]\nname = \"web\"\nimage = \"127.0.0.1:1/a:b\"\nlisten = 80\n",
    );
    said(&["update", "far.toml"], 5);
    let text = said(&["update", "far.toml", "--back"], 3);
    assert!(text.contains("no image to go back to"), "{text}");
}
