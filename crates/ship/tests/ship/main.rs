//! Applying to a cluster, over a real socket to a server that does what an API
//! server does with the few calls that are made.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
mod cluster;
#[path = "../../../oci/tests/oci/server.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of oci, which use more of it"
)]
mod server;

use std::time::Duration;

use ounce_oci::model::ImageConfiguration;
use ounce_oci::registry::Remote;
use ounce_oci::{Digest, fetch};
use ounce_ship::Application;
use ounce_ship::application::Pinned;
use ounce_ship::kubernetes::api::{Api, ApiError, Object};
use ounce_ship::kubernetes::apply::{ApplyError, Change, Event, Job, Outcome, undo};
use ounce_ship::kubernetes::{self, Options, kubeconfig};
use serde_json::{Value, json};

use cluster::Cluster;

fn shop(state: &str) -> Application {
    let config: ImageConfiguration = serde_json::from_value(json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/shop"], "ExposedPorts": {"8080/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": []}
    }))
    .unwrap();
    let digest = Digest::of(state.as_bytes());
    let mut shop = Application::of("shop", digest, &config).unwrap();
    let remote: Remote = "registry.example/shop:1".parse().unwrap();
    shop.image = Some(Pinned::new(&remote, digest));
    shop
}

/// What a kubeconfig says of the server, with a token.
fn api(cluster: &Cluster) -> Api {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = format!(
        "current-context: test\ncontexts:\n- name: test\n  context: {{cluster: c, user: u}}\n\
         clusters:\n- name: c\n  cluster: {{server: '{}'}}\nusers:\n- name: u\n  \
         user: {{token: hush}}\n",
        cluster.url()
    );
    std::fs::write(&path, text).unwrap();
    let access = kubeconfig::access(&[path], None).unwrap();
    let options = fetch::Options {
        connect_timeout: Duration::from_secs(5),
        ..fetch::Options::default()
    };
    Api::new(access, options)
}

fn objects(application: &Application) -> Vec<Object> {
    let nodes = kubernetes::objects(application, &Options::default());
    nodes
        .iter()
        .map(|node| Api::object(node, "shop").unwrap())
        .collect()
}

/// Checks and applies; what happened, and how it ended.
fn applied(api: &Api, application: &Application) -> (Vec<Event>, Outcome) {
    let objects = objects(application);
    let job = Job {
        api,
        objects: &objects,
        namespace: "shop",
        application,
        wait: Duration::from_secs(30),
    };
    let mut events = Vec::new();
    let outcome = match job.check(&mut |event| events.push(event)) {
        Ok(()) => job.run(&mut || true, &mut |event| events.push(event)),
        Err(error) => Outcome {
            done: Vec::new(),
            result: Err(error),
        },
    };
    (events, outcome)
}

#[test]
fn all_objects_are_tried_then_applied_and_the_rollout_is_seen() {
    let cluster = Cluster::new();
    let api = api(&cluster);
    let shop = shop("one");
    let (events, outcome) = applied(&api, &shop);
    outcome.result.unwrap();
    let count = objects(&shop).len();
    assert_eq!(events[0], Event::Accepted(count));
    assert!(outcome.done.iter().all(|one| one.change == Change::Created));
    let deployment = cluster.get("/apis/apps/v1/namespaces/shop/deployments/shop");
    let image = deployment.pointer("/spec/template/spec/containers/0/image");
    assert_eq!(image, Some(&Value::from(shop.reference())));
    // A dry run of each before the first is applied; each with the token.
    let asked = cluster.asked();
    let patches: Vec<&str> = asked
        .iter()
        .filter(|asked| asked.method == "PATCH")
        .map(|asked| asked.target.as_str())
        .collect();
    assert_eq!(patches.len(), 2 * count);
    assert!(
        patches[..count]
            .iter()
            .all(|it| it.ends_with("&dryRun=All"))
    );
    assert!(patches[count..].iter().all(|it| !it.contains("dryRun")));
    assert!(
        asked
            .iter()
            .all(|it| it.header("authorization") == Some("Bearer hush"))
    );
    // The same again changes nothing.
    let (_, again) = applied(&api, &shop);
    again.result.unwrap();
    assert!(again.done.iter().all(|one| one.change == Change::Unchanged));
}

#[test]
fn rollout_that_does_not_come_up_is_told_in_the_kubelets_words_and_taken_back() {
    let cluster = Cluster::new();
    let api = api(&cluster);
    applied(&api, &shop("good")).1.result.unwrap();
    let before = cluster.get("/apis/apps/v1/namespaces/shop/deployments/shop");
    cluster.fail_rollouts("ImagePullBackOff", "there is no such image");
    let (_, outcome) = applied(&api, &shop("bad"));
    let error = outcome.result.unwrap_err();
    assert!(
        matches!(&error, ApplyError::Rollout { why, .. } if why.contains("there is no such image")),
        "{error}"
    );
    let mut events = Vec::new();
    let left = undo(&api, &outcome.done, &mut |event| events.push(event));
    assert!(left.is_empty(), "{left:?}");
    assert!(!events.is_empty());
    let after = cluster.get("/apis/apps/v1/namespaces/shop/deployments/shop");
    assert_eq!(
        before.pointer("/spec/template"),
        after.pointer("/spec/template")
    );
}

#[test]
fn what_is_refused_half_way_is_taken_back_whole() {
    let cluster = Cluster::new();
    let api = api(&cluster);
    // The dry run lets it pass, as an admission webhook may.
    cluster.refuse("PodDisruptionBudget", 403, "quota exceeded");
    let (_, outcome) = applied(&api, &shop("one"));
    let error = outcome.result.unwrap_err();
    assert!(error.to_string().contains("quota exceeded"), "{error}");
    assert!(!outcome.done.is_empty());
    assert!(undo(&api, &outcome.done, &mut |_| ()).is_empty());
    assert_eq!(cluster.objects(), Vec::<String>::new());
}

#[test]
fn interrupted_half_way_it_says_what_exists() {
    let cluster = Cluster::new();
    let api = api(&cluster);
    let shop = shop("one");
    let objects = objects(&shop);
    let job = Job {
        api: &api,
        objects: &objects,
        namespace: "shop",
        application: &shop,
        wait: Duration::from_secs(30),
    };
    let mut left = 2;
    let outcome = job.run(
        &mut || {
            left -= 1;
            left >= 0
        },
        &mut |_| (),
    );
    assert!(matches!(outcome.result, Err(ApplyError::Interrupted)));
    let done: Vec<String> = outcome.done.iter().map(|one| one.object.shown()).collect();
    assert_eq!(done, ["ServiceAccount shop", "NetworkPolicy shop"]);
    assert_eq!(cluster.objects().len(), 2);
}

#[test]
fn what_would_not_work_is_refused_before_anything_is_changed() {
    let shop = shop("one");
    let nothing = |cluster: &Cluster| {
        let (_, outcome) = applied(&api(cluster), &shop);
        assert_eq!(cluster.changes(), 0);
        outcome.result.unwrap_err()
    };
    let cluster = Cluster::new();
    cluster.remove("/api/v1/namespaces/shop");
    assert!(matches!(nothing(&cluster), ApplyError::Namespace(name) if name == "shop"));

    let cluster = Cluster::new();
    cluster.nodes(&["arm64", "riscv64"]);
    let error = nothing(&cluster);
    assert!(
        matches!(&error, ApplyError::Architecture { nodes, .. } if nodes[..] == ["arm64", "riscv64"]),
        "{error}"
    );

    let cluster = Cluster::new();
    cluster.put(
        "/api/v1/namespaces/shop/services/shop",
        json!({"kind": "Service", "metadata": {"name": "shop", "resourceVersion": "7",
               "labels": {"app.kubernetes.io/managed-by": "Helm"}}}),
    );
    let error = nothing(&cluster);
    assert!(
        matches!(&error, ApplyError::Foreign { owner, .. } if owner == "Helm"),
        "{error}"
    );

    let cluster = Cluster::new();
    cluster.refuse_dry("Deployment", 422, "spec.template: unknown field");
    let error = nothing(&cluster);
    assert!(error.to_string().contains("unknown field"), "{error}");
}

#[test]
fn what_may_not_be_read_is_left_out_and_said() {
    let cluster = Cluster::new();
    cluster.forbid("/api/v1/nodes");
    let (events, outcome) = applied(&api(&cluster), &shop("one"));
    outcome.result.unwrap();
    assert!(
        events
            .iter()
            .any(|it| matches!(it, Event::Unasked(what) if what.contains("nodes"))),
        "{events:?}"
    );
}

#[test]
fn server_that_is_no_cluster_is_recognised() {
    let other = server::Server::new(|_, out| server::answer(out, 200, &[], b"<html>hello"));
    let cluster = Cluster::new();
    let mut access = api(&cluster).access().clone();
    access.server = other.url("");
    let api = Api::new(access.clone(), fetch::Options::default());
    let (_, outcome) = applied(&api, &shop("one"));
    let error = outcome.result.unwrap_err();
    assert!(
        matches!(&error, ApplyError::Api(ApiError::Answer { .. })),
        "{error}"
    );
    // Nobody listens there any more once the listener has gone.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    access.server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let api = Api::new(access, fetch::Options::default());
    let (_, outcome) = applied(&api, &shop("one"));
    let error = outcome.result.unwrap_err();
    assert!(
        matches!(&error, ApplyError::Api(ApiError::Unreachable(_))),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("hush"));
}

/// A server with TLS that lets nobody in without a certificate of its authority.
struct Guarded {
    child: std::process::Child,
    port: u16,
}

impl Guarded {
    fn start(folder: &std::path::Path) -> Self {
        let openssl = |words: &[&str]| {
            let mut openssl = std::process::Command::new("openssl");
            let output = openssl.args(words).current_dir(folder).output();
            let output = output.expect("openssl is installed: `cargo xtask setup` brings it");
            assert!(output.status.success(), "{words:?}: {output:?}");
        };
        for (name, subject) in [("ca", "/CN=authority"), ("other", "/CN=another")] {
            let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
            openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                subject,
                "-keyout",
                &key,
                "-out",
                &certificate,
            ]);
        }
        for (name, subject, more) in [
            ("server", "/CN=server", "subjectAltName=IP:127.0.0.1"),
            ("client", "/CN=client", "extendedKeyUsage=clientAuth"),
        ] {
            let file = |end: &str| format!("{name}.{end}");
            std::fs::write(folder.join(file("ext")), more).unwrap();
            openssl(&[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-subj",
                subject,
                "-keyout",
                &file("key"),
                "-out",
                &file("csr"),
            ]);
            openssl(&[
                "x509",
                "-req",
                "-in",
                &file("csr"),
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &file("ext"),
                "-out",
                &file("pem"),
            ]);
        }
        // A port may be taken between its being free and its being used.
        for _ in 0..5 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let mut server = std::process::Command::new("openssl");
            server
                .args([
                    "s_server",
                    "-accept",
                    &format!("127.0.0.1:{port}"),
                    "-www",
                    "-quiet",
                ])
                .args(["-cert", "server.pem", "-key", "server.key"])
                .args(["-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error"]);
            let quiet = std::process::Stdio::null;
            let mut child = server
                .current_dir(folder)
                .stdin(quiet())
                .stdout(quiet())
                .stderr(quiet())
                .spawn()
                .unwrap();
            let end = std::time::Instant::now() + Duration::from_secs(60);
            while std::time::Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("the server does not listen");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn cluster_that_asks_for_a_certificate_gets_ours_and_has_to_show_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let guarded = Guarded::start(folder.path());
    let ask = |authority: &str, user: &str| {
        let text = format!(
            "current-context: t\ncontexts:\n- name: t\n  context: {{cluster: c, user: u}}\n\
             clusters:\n- name: c\n  cluster: {{server: 'https://127.0.0.1:{}', \
             certificate-authority: {authority}}}\nusers:\n- name: u\n  user: {user}\n",
            guarded.port
        );
        let path = folder.path().join("config");
        std::fs::write(&path, text).unwrap();
        let access = kubeconfig::access(&[path], None).unwrap();
        let options = fetch::Options {
            connect_timeout: Duration::from_secs(20),
            ..fetch::Options::default()
        };
        let api = Api::new(access, options);
        api.get("asking", "/").unwrap_err()
    };
    let ours = "{client-certificate: client.pem, client-key: client.key}";
    // It is no API server, but it has answered.
    let error = ask("ca.pem", ours);
    assert!(matches!(error, ApiError::Answer { .. }), "{error:?}");
    for (authority, user) in [("ca.pem", "{}"), ("other.pem", ours)] {
        let error = ask(authority, user);
        assert!(
            matches!(error, ApiError::Unreachable(_)),
            "{user}: {error:?}"
        );
    }
}
