//! `ship --to kubernetes --apply`: clusters that are there, old, or not there, and
//! what of it stays when it is interrupted.

use std::net::TcpListener;
use std::process::Stdio;

use crate::harness::{Workbench, signal};
use crate::ship::{REGISTRY, bench};

/// Writes the configuration of a cluster there, `more` said of its context; its
/// user's token is `hush`.
fn kubeconfig(bench: &Workbench, server: &str, more: &str) {
    let text = format!(
        "current-context: home\ncontexts:\n- {{name: home, context: {{cluster: c, user: u{more}}}}}\n\
         clusters:\n- {{name: c, cluster: {{server: '{server}'}}}}\nusers:\n- {{name: u, user: {{token: hush}}}}\n"
    );
    bench.file("config", text);
}

/// `ship --to kubernetes --apply` and what else is said.
fn apply<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let always = [
        "ship",
        "app",
        "--to",
        "kubernetes",
        "--unchecked",
        "--apply",
    ];
    [&always[..], words, &REGISTRY].concat()
}

#[test]
fn cluster_that_is_not_there_and_context_that_nobody_can_be_asked_about() {
    let bench = bench();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    kubeconfig(&bench, &format!("http://{address}"), "");
    let picture = |words: &[&str]| {
        let picture = bench.picture(&apply(&[&["-q"], words].concat()));
        picture.replace(&address.to_string(), "[SERVER]")
    };
    let mut pictures = String::new();
    for words in [
        &["--kubeconfig", "config"][..],
        &["--kubeconfig", "config", "--yes"],
        &["--kubeconfig", "config", "--context", "work", "--yes"],
        &["--kubeconfig", "none", "--yes"],
    ] {
        pictures.push_str(&format!("$ {}\n{}\n", words.join(" "), picture(words)));
    }
    assert!(!pictures.contains("hush"), "{pictures}");
    insta::assert_snapshot!(pictures);
}

#[test]
fn cluster_gets_the_image_and_what_does_not_come_up_is_taken_back() {
    let bench = bench();
    let cluster = crate::cluster::Cluster::new();
    kubeconfig(&bench, &cluster.url(), ", namespace: shop");
    let picture = |words: &[&str]| {
        let always = ["--yes", "--kubeconfig", "config", "--egress", "any"];
        let picture = bench.picture(&apply(&[&always[..], words].concat()));
        picture.replace(&cluster.url(), "[SERVER]")
    };
    let mut pictures = picture(&[]);
    let first = pictures.clone();
    cluster.fail_rollouts("CrashLoopBackOff", "back-off restarting");
    pictures.push_str(&picture(&["-e", "LEVEL=2"]));
    assert!(!pictures.contains("hush"), "{pictures}");
    let digest = first.split("sha256:").nth(1).unwrap()[..64].to_owned();
    insta::assert_snapshot!(pictures.replace(&digest, "[DIGEST]"));
}

#[test]
fn old_cluster_gets_what_it_knows_and_one_too_old_nothing() {
    let bench = bench();
    let cluster = crate::cluster::Cluster::new();
    kubeconfig(&bench, &cluster.url(), ", namespace: shop");
    let applied = |words: &[&str]| {
        let always = ["--yes", "--kubeconfig", "config"];
        let output = bench.output(&apply(&[&always[..], words].concat()));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    cluster.is_of_version("1", "19");
    let (code, said) = applied(&[]);
    assert!(
        code == Some(3) && said.contains("1.20 is the oldest"),
        "{code:?} {said}"
    );
    assert!(cluster.objects().is_empty());
    cluster.is_of_version("1", "20+");
    let (code, said) = applied(&[]);
    assert!(
        code == Some(0) && said.contains("unless --pause-command"),
        "{code:?} {said}"
    );
    let groups = |cluster: &crate::cluster::Cluster| {
        let paths = cluster.objects().join(" ");
        [
            "policy/v1beta1/",
            "autoscaling/v2beta2/",
            "policy/v1/",
            "autoscaling/v2/",
        ]
        .map(|group| paths.contains(group))
    };
    assert_eq!(groups(&cluster), [true, true, false, false]);
    let deployment = "/apis/apps/v1/namespaces/shop/deployments/app";
    let pause = "/spec/template/spec/containers/0/lifecycle";
    assert_eq!(cluster.get(deployment).pointer(pause), None);
    // What is told of the image, and of the cluster, counts.
    let (code, said) = applied(&["--pause-command", "/app --wait 5"]);
    assert!(
        code == Some(0) && !said.contains("--pause-command"),
        "{code:?} {said}"
    );
    let words = format!("{pause}/preStop/exec/command");
    let deployed = cluster.get(deployment);
    let told = serde_json::json!(["/app", "--wait", "5"]);
    assert_eq!(deployed.pointer(&words), Some(&told));
    let (code, said) = applied(&["--kubernetes-version", "1.30"]);
    assert!(code == Some(0), "{said}");
    assert_eq!(groups(&cluster), [true; 4]);
    let (code, said) = applied(&["--kubernetes-version", "new"]);
    assert!(
        code == Some(2) && said.contains("write it as 1.30"),
        "{said}"
    );
    let (code, said) = applied(&["--pause-command", "sleep 5"]);
    assert!(code == Some(2) && said.contains("no shell"), "{said}");
}

#[test]
fn interrupted_half_way_it_says_what_there_is() {
    let bench = bench();
    let cluster = crate::cluster::Cluster::new();
    cluster.stall_rollouts();
    kubeconfig(&bench, &cluster.url(), ", namespace: shop");
    let words = apply(&["--yes", "--kubeconfig", "config", "-q"]);
    let mut child = bench.ounce(&words).stderr(Stdio::piped()).spawn().unwrap();
    // Once the rollout is being looked at, all is applied and it is waited for.
    let looked = || {
        let asked = cluster.asked();
        let looks = asked.iter().filter(|it| {
            it.line()
                .ends_with("GET /apis/apps/v1/namespaces/shop/deployments/app")
        });
        looks.count() >= 3
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !looked() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    signal(&child, "INT");
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().unwrap();
    std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error: interrupted")
            && stderr.contains("on the cluster now, in shop: ServiceAccount app"),
        "{stderr}"
    );
    assert_eq!(cluster.objects().len(), 6);
}
