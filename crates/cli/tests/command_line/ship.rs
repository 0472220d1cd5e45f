//! `ship`: what each platform is told, what is refused before anything is,
//! and a machine behind a real ssh server.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::Workbench;
use crate::held::{Held, registry};
use crate::programs::{prints, waits};

pub(crate) const REGISTRY: [&str; 2] = ["--registry", "registry.example/team/app:1.4"];

/// A workbench with an image of a program that listens, as it says, on 8080.
pub(crate) fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.program("app", prints("/healthz --health\n", 0));
    bench.succeed(&["build", "app", "--expose", "8080"]);
    bench
}

fn shipped(bench: &Workbench, words: &[&str]) -> String {
    bench.succeed(&[&["ship", "app"], words, &REGISTRY, &["--unchecked", "-q"]].concat())
}

#[test]
fn every_platform_is_told_the_image_by_its_digest() {
    let bench = bench();
    let text = bench.succeed(&["--json", "inspect", "app"]);
    let inspected: Value = serde_json::from_str(&text).unwrap();
    let digest = inspected["digest"].as_str().unwrap();
    let image = format!("registry.example/team/app@{digest}");
    for platform in ["kubernetes", "ecs", "quadlet", "compose", "swarm", "nomad"] {
        let text = shipped(&bench, &["--to", platform]);
        assert!(text.contains(&image), "{platform}: {text}");
        assert!(!text.contains(":1.4@"), "{platform}: {text}");
    }
    // What no platform pulls needs no registry.
    let unit = bench.succeed(&["ship", "app", "--to", "systemd", "-q"]);
    assert!(unit.contains("ExecStart=/app"), "{unit}");
}

#[test]
fn what_the_program_knows_is_asked_for_without_being_told() {
    let bench = bench();
    let text = shipped(&bench, &["--to", "kubernetes"]);
    assert!(text.contains("path: /healthz"), "{text}");
    let text = shipped(&bench, &["--to", "compose"]);
    assert!(text.contains("- \"--health\""), "{text}");
    let text = shipped(&bench, &["--to", "kubernetes", "--health", "/ready"]);
    assert!(
        text.contains("path: /ready") && !text.contains("/healthz"),
        "{text}"
    );
}

#[test]
fn folder_gets_all_files_and_the_document_names_them() {
    let bench = bench();
    let words = ["--to", "kubernetes", "-o", "deploy"];
    let lines = shipped(&bench, &words);
    for line in lines.lines() {
        assert!(bench.path(line).is_file(), "{line}");
    }
    assert!(
        lines.contains("deploy/chart/templates/deployment.yaml"),
        "{lines}"
    );
    let all = [
        &["--json", "ship", "app"],
        &words[..],
        &REGISTRY,
        &["--unchecked"],
    ]
    .concat();
    let document: Value = serde_json::from_str(&bench.succeed(&all)).unwrap();
    assert_eq!(document["schema"], "ounce.ship/1");
    assert_eq!(
        document["files"].as_array().unwrap().len(),
        lines.lines().count()
    );
    assert!(document["creates"].as_array().unwrap().len() >= 6);
    bench.succeed(&["ship", "app", "--to", "systemd", "-o", "unit", "-q"]);
    let root = bench.path("unit/portable/app");
    assert!(root.join("app").is_file() && root.join("usr/lib/os-release").is_file());
    assert!(root.join("usr/lib/systemd/system/app.service").is_file());
}

#[test]
fn link_in_an_image_leads_no_file_out_of_the_folder() {
    let bench = Workbench::new();
    bench.file("outside/keep", "mine");
    let outside = bench.path("outside");
    fs::create_dir_all(bench.path("root")).unwrap();
    std::os::unix::fs::symlink(&outside, bench.path("root/usr")).unwrap();
    bench.program("root/app", prints("hi\n", 0));
    // An image with a link as docker would save it.
    let layer = bench.path("layer.tar");
    let mut archive = tar_of(&bench.path("root"));
    fs::write(&layer, archive.split_off(0)).unwrap();
    docker_archive(&bench, &layer);
    let words = [
        "ship",
        "docker-archive:saved.tar",
        "--to",
        "systemd",
        "--no-port",
    ];
    let output = bench.output(&[&words[..], &["--name", "app", "-o", "unit"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("is a link"), "{stderr}");
    let left: Vec<_> = fs::read_dir(&outside).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
}

fn tar_of(folder: &std::path::Path) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", folder).unwrap();
    archive.into_inner().unwrap()
}

/// `saved.tar`, of one layer.
fn docker_archive(bench: &Workbench, layer: &std::path::Path) {
    let bytes = fs::read(layer).unwrap();
    let digest = ounce_oci::Digest::of(&bytes);
    let config = serde_json::json!({
        "architecture": ounce_oci::Platform::host().architecture, "os": "linux",
        "config": {"Entrypoint": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": [digest.to_string()]}
    });
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}
    ]);
    let mut archive = tar::Builder::new(fs::File::create(bench.path("saved.tar")).unwrap());
    for (name, bytes) in [
        ("manifest.json", manifest.to_string().into_bytes()),
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", bytes),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn refusals_say_what_and_what_to_do() {
    let bench = bench();
    bench.succeed(&["build", "app", "-t", "mute"]);
    let mut pictures = String::new();
    for words in [
        &["--to", "kubernetes"][..],
        &["--to", "kubernetes", "-e", "DB_PASSWORD=hunter2"],
        &["--to", "kubernetes", "-n", "Shop"],
        &["--to", "kubernetes", "--max-replicas", "1"],
        &["--to", "kubernetes", "--egress", "10.0.0.1"],
        &["--to", "ecs", "--secret", "TOKEN=queue"],
        &["--to", "ecs", "--cpu", "20000"],
        &["--to", "ecs", "--apply"],
        &["--to", "heroku"],
        &["--to", "ssh://-oProxyCommand=x"],
    ] {
        let registry = if words.len() > 2 { &REGISTRY[..] } else { &[] };
        let all = [&["ship", "app", "-q", "--unchecked"], words, registry].concat();
        let picture = bench.picture(&all);
        assert!(!picture.contains("hunter2"), "{picture}");
        pictures.push_str(&format!("$ {}\n{picture}\n", words.join(" ")));
    }
    for name in ["mute", "absent"] {
        let all = [
            &["ship", name, "--to", "kubernetes", "--unchecked"],
            &REGISTRY[..],
        ]
        .concat();
        pictures.push_str(&format!("$ {name}\n{}\n", bench.picture(&all)));
    }
    insta::assert_snapshot!(pictures);
}

#[test]
fn registry_that_has_not_the_image_is_asked_before_the_platform_is_told() {
    let bench = bench();
    let server = registry(Held::default(), |_, _| None).0;
    let name = format!("{}/team/app:1", server.address);
    let words = [
        "ship",
        "app",
        "--to",
        "compose",
        "--no-port",
        "--registry",
        &name,
    ];
    let refused = bench.output(&words);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("hint: push it first: --push"), "{stderr}");
    bench.succeed(&[&words[..], &["--push"]].concat());
    bench.succeed(&words);
    // From the registry alone, by its tag there.
    let place = format!("docker://{name}");
    let text = bench.succeed(&["ship", &place, "--to", "compose", "--no-port", "-q"]);
    assert!(
        text.contains(&format!("{}/team/app@sha256:", server.address)),
        "{text}"
    );
}

#[test]
fn explanation_names_what_is_created_and_what_it_costs() {
    let bench = bench();
    let all = [
        &[
            "--json",
            "ship",
            "app",
            "--to",
            "ecs",
            "--explain",
            "--unchecked",
            "--traffic",
            "50",
        ],
        &REGISTRY[..],
    ];
    let document: Value = serde_json::from_str(&bench.succeed(&all.concat())).unwrap();
    assert_eq!(document["schema"], "ounce.ship-explain/1");
    assert_eq!(document["requests_per_second"], 50.0);
    assert_eq!(document["estimate"]["platform"], "fargate");
    assert!(document["estimate"]["dollars_month"][0].as_f64().unwrap() > 0.0);
    assert_eq!(document["platforms"].as_array().unwrap().len(), 4);
    let text = bench.succeed(&["weigh", "app", "--platforms=50"]);
    for word in [
        "lambda",
        "fargate",
        "kubernetes",
        "raspberry pi",
        "not offers",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn images_named_by_their_sources_are_built_pushed_and_pinned() {
    let bench = Workbench::new();
    bench.program("bin/app", prints("hi\n", 0));
    let server = registry(Held::default(), |_, _| None).0;
    let to = format!("{}/team", server.address);
    let yaml =
        "# kept\nkind: Pod\nspec:\n  containers:\n  - image: ounce://bin/app # here\n    name: a\n";
    bench.file("pod.yaml", yaml);
    bench.file("again.yaml", "image: \"ounce://bin/app\"\n");
    let out = bench.succeed(&[
        "ship",
        "resolve",
        "pod.yaml",
        "again.yaml",
        "--registry",
        &to,
        "-q",
    ]);
    let image = out.split("image: ").nth(1).unwrap();
    let image = image.split_whitespace().next().unwrap().to_owned();
    assert!(image.starts_with(&format!("{to}/app@sha256:")), "{out}");
    let pinned = yaml.replace("ounce://bin/app", &image);
    assert_eq!(out, format!("{pinned}---\nimage: {image}\n"));
    bench.succeed(&["pull", &image, "back"]);
    bench.file("broken.yaml", "image: [ounce://bin/app");
    bench.file("gone.yaml", "image: ounce://gone\n");
    for (file, code) in [("broken.yaml", 3), ("gone.yaml", 3), ("none.yaml", 3)] {
        let output = bench.output(&["ship", "resolve", file, "--registry", &to]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{file}: {stderr}");
        assert!(stderr.contains(file) || stderr.contains("gone"), "{stderr}");
    }
}

#[test]
fn machine_gets_the_program_and_keeps_the_old_one_if_the_new_is_not_well() {
    let bench = Workbench::new();
    let host = crate::sshd::Host::start(&bench);
    bench.program("good", waits());
    bench.program("bad", prints("no luck\n", 3));
    let there = bench.path("there").display().to_string();
    let apply = |image: &str, more: &[&str]| {
        let words = [
            "ship",
            image,
            "--name",
            "app",
            "--no-port",
            "--apply",
            "--yes",
        ];
        let place = [
            "--to",
            host.url(),
            "--ssh-config",
            host.config(),
            "--root",
            &there,
        ];
        bench.output(&[&words[..], &place[..], more].concat())
    };
    let running = || {
        let pid = fs::read_to_string(bench.path("there/pid")).unwrap_or_default();
        pid.split_whitespace().next().unwrap_or_default().to_owned()
    };
    for image in ["good", "bad"] {
        bench.succeed(&["build", image, "-q"]);
    }
    // Nothing to go back to yet.
    let first = apply("bad", &[]);
    let stderr = String::from_utf8_lossy(&first.stderr);
    assert_eq!(first.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("nothing well to go back to"), "{stderr}");
    let output = apply("good", &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "ounce.ship-ssh/1");
    assert!(document["sent_bytes"].as_u64().unwrap() > 0);
    let pid = running();
    assert!(fs::exists(format!("/proc/{pid}/stat")).unwrap(), "{pid}");
    // Again: nothing is sent, nothing is started anew.
    let output = apply("good", &["--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (document["sent_bytes"].as_u64(), running()),
        (Some(0), pid.clone())
    );
    // Another variable: the same files, started anew.
    assert!(apply("good", &["-e", "LEVEL=it's"]).status.success());
    let second = running();
    assert_ne!(second, pid);
    let environment = fs::read_to_string(format!("/proc/{second}/environ")).unwrap_or_default();
    assert!(environment.contains("LEVEL=it's"), "{environment:?}");
    // A worse one: the one before runs again.
    let output = apply("bad", &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("what ran before runs again"), "{stderr}");
    let third = running();
    let environment = fs::read_to_string(format!("/proc/{third}/environ")).unwrap_or_default();
    assert!(environment.contains("LEVEL=it's"), "{environment:?}");
    // A machine that is not there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("ssh://{}", listener.local_addr().unwrap());
    drop(listener);
    let words = [
        "ship",
        "good",
        "--no-port",
        "--apply",
        "--yes",
        "--to",
        &nowhere,
    ];
    let gone = bench.ounce(&words).stdin(Stdio::null()).output().unwrap();
    assert_eq!(gone.status.code(), Some(5), "{gone:?}");
    let killed = std::process::Command::new("kill").arg(&third).status();
    assert!(killed.unwrap().success());
}

/// A program that speaks the Runtime API, as far as anybody can see.
const FUNCTION: &str = "AWS_LAMBDA_RUNTIME_API\n";

#[test]
fn lambda_gets_a_function_as_it_is_and_a_server_behind_the_adapter() {
    let bench = Workbench::new();
    bench.program("fn", prints(FUNCTION, 0));
    bench.succeed(&["build", "fn"]);
    let written = bench.succeed(&["ship", "fn", "--to", "lambda", "-o", "one", "-q"]);
    let zip = format!("one/function-{}.zip", lambda_architecture());
    assert!(written.contains(&zip), "{written}");
    let bytes = fs::read(bench.path(&zip)).unwrap();
    assert!(holds(&bytes, "bootstrap") && !holds(&bytes, "bootstrap.args"));
    // The same again.
    bench.succeed(&["ship", "fn", "--to", "lambda", "-o", "two", "-q"]);
    let again = zip.replace("one/", "two/");
    assert_eq!(bytes, fs::read(bench.path(&again)).unwrap());

    bench.program("app", prints("hi\n", 0));
    bench.succeed(&["build", "app", "--expose", "8080"]);
    bench.succeed(&["ship", "app", "--to", "lambda", "-o", "three", "-q"]);
    let zip = zip.replace("one/", "three/");
    let bytes = fs::read(bench.path(&zip)).unwrap();
    assert!(holds(&bytes, "bootstrap.args") && holds(&bytes, "server"));
    let template = fs::read_to_string(bench.path("three/template.yaml")).unwrap();
    assert!(template.contains("AuthType: AWS_IAM"), "{template}");
    assert!(template.contains("AWS_LWA_PORT: \"8080\""), "{template}");
}

fn lambda_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

fn holds(bytes: &[u8], name: &str) -> bool {
    bytes
        .windows(name.len())
        .any(|part| part == name.as_bytes())
}

#[test]
fn lambda_gets_an_image_of_one_manifest_with_history_for_each_layer() {
    let bench = bench();
    let words = [
        "ship",
        "app",
        "--to",
        "lambda",
        "--package",
        "image",
        "--snap-start",
    ];
    let registry = [
        "--registry",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app",
    ];
    let template = bench.succeed(&[&words[..], &registry, &["-q"]].concat());
    assert!(
        template.contains("ImageUri: \"123456789012.dkr.ecr."),
        "{template}"
    );
    let text = bench.succeed(&["--json", "inspect", "app-lambda"]);
    let inspected: Value = serde_json::from_str(&text).unwrap();
    let digest = inspected["digest"].as_str().unwrap();
    assert!(template.contains(digest), "{template}");
    bench.succeed(&["copy", "app-lambda", "oci:layout:app"]);
    let read = |digest: &str| -> Value {
        let path = format!("layout/blobs/{}", digest.replace(':', "/"));
        serde_json::from_slice(&fs::read(bench.path(&path)).unwrap()).unwrap()
    };
    let manifest = read(digest);
    let layers = manifest["layers"].as_array().unwrap();
    assert!(
        layers
            .iter()
            .all(|layer| layer["mediaType"].as_str().unwrap().ends_with("tar+gzip"))
    );
    let config = read(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(
        config["rootfs"]["diff_ids"].as_array().unwrap().len(),
        layers.len()
    );
    assert_eq!(config["history"].as_array().unwrap().len(), layers.len());
    assert_eq!(config["config"]["Entrypoint"][0], "/lambda-adapter");
    assert_eq!(config["config"]["Entrypoint"][1], "/app");
    let label = &config["config"]["Labels"]["com.amazonaws.lambda.feature.snapstart"];
    assert_eq!(label, "Allow");
}

#[test]
fn what_lambda_cannot_run_is_refused_with_what_to_do() {
    let bench = bench();
    let refused = |words: &[&str]| {
        let output = bench.output(&[&["ship", "app", "--to", "lambda"], words].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    for (words, code, part) in [
        (
            &["--package", "image"][..],
            2,
            "hint: --registry ACCOUNT.dkr.ecr.",
        ),
        (
            &["--secret", "DB=arn:aws:x"],
            2,
            "the secret of DB would stand",
        ),
        (
            &["--env", "AWS_REGION=x"],
            2,
            "a variable that Lambda sets itself",
        ),
        (&["--memory", "20GiB"], 2, "128 MiB to 10 GiB"),
        (&["--timeout", "901"], 2, "901 is not in 1..=900"),
    ] {
        let (status, stderr) = refused(words);
        assert_eq!(status, Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(part), "{words:?}: {stderr}");
    }
    bench.file("site/index.html", "<!doctype html><title>x</title>");
    bench.succeed(&["build", "site", "-t", "site"]);
    let words = ["ship", "site", "--to", "lambda", "--package", "zip"];
    let output = bench.output(&words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("hint: take it whole: --package image"),
        "{stderr}"
    );
}

#[test]
fn lambda_is_told_by_the_aws_cli_where_there_is_one() {
    let bench = bench();
    let mut apply = bench.ounce(&["ship", "app", "--to", "lambda", "--apply", "--yes"]);
    let output = apply.env("PATH", bench.path("nowhere")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("error: the AWS CLI, aws, is not installed"),
        "{stderr}"
    );
    // One that says there is no such function, and takes a new one.
    let script = "#!/bin/sh\necho \"$*\" >>calls\ncase \"$*\" in\n\
        *get-function*) echo 'An error occurred (ResourceNotFoundException)' >&2; exit 254;;\n\
        *create-function*) echo '{\"FunctionArn\":\"arn:made\"}';;\nesac\n";
    bench.program("bin/aws", script);
    let path = format!("{}:/bin:/usr/bin", bench.path("bin").display());
    let mut apply = bench.ounce(&["ship", "app", "--to", "lambda", "--apply", "--yes"]);
    let output = apply.env("PATH", &path).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("hint: --role ARN"), "{stderr}");
    let words = [
        "ship", "app", "--to", "lambda", "--apply", "--yes", "--role", "arn:role",
    ];
    let output = bench.ounce(&words).env("PATH", &path).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "created arn:made\n"
    );
    let calls = fs::read_to_string(bench.path("calls")).unwrap();
    let made = calls.lines().last().unwrap();
    assert!(
        made.contains("--role arn:role") && made.contains("--zip-file fileb://"),
        "{made}"
    );
}

#[test]
fn machine_gets_the_image_for_what_it_is() {
    let bench = Workbench::new();
    let mut other = prints("hi\n", 0);
    // The machine of its ELF header, of the one that tests do not run on.
    let (machine, name, uname) = match cfg!(target_arch = "x86_64") {
        true => (183u16, "arm64", "aarch64"),
        false => (62, "amd64", "x86_64"),
    };
    other[18..20].copy_from_slice(&machine.to_le_bytes());
    bench.program("own", prints("hi\n", 0));
    bench.program("other", other);
    let own = format!("{}=own", ounce_oci::Platform::host());
    let foreign = format!("linux/{name}=other");
    let both = [
        "build",
        "--program",
        &own,
        "--program",
        &foreign,
        "-t",
        "both",
        "-q",
    ];
    bench.succeed(&both);
    bench.program(
        "fake/uname",
        format!("#!/bin/sh\n[ \"$1\" = -m ] && echo {uname} || echo Linux\n"),
    );
    let host = crate::sshd::Host::with_first(&bench, Some(&bench.path("fake")));
    let there = bench.path("there").display().to_string();
    let place = [
        "--to",
        host.url(),
        "--ssh-config",
        host.config(),
        "--root",
        &there,
    ];
    let words = ["ship", "both", "--no-port", "--apply", "--yes"];
    // It does not run here, and there was nothing before.
    let output = bench.output(&[&words[..], &place].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let releases = fs::read_dir(bench.path("there/releases"))
        .unwrap()
        .flatten();
    let release = releases
        .map(|it| it.path())
        .find(|path| path.is_dir())
        .unwrap();
    let all = fs::read_dir(release).unwrap().flatten();
    let files = all.map(|it| it.path()).filter(|path| path.is_file());
    let bytes: Vec<u8> = files.flat_map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(bytes[18..20], machine.to_le_bytes());
    // And one that there is no image for.
    bench.succeed(&["build", "own", "-t", "own", "-q"]);
    let words = ["ship", "own", "--no-port", "--apply", "--yes"];
    let output = bench.output(&[&words[..], &place].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains(&format!("--platform linux/{name}")),
        "{stderr}"
    );
}

#[test]
fn what_is_measured_of_a_start_is_kept_for_it() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>hello");
    bench.succeed(&["build", "public", "-t", "site", "-q"]);
    let words = [
        "--json",
        "ship",
        "site",
        "--to",
        "kubernetes",
        "--explain",
        "--unchecked",
    ];
    let all = [&words[..], &["--measure"], &REGISTRY].concat();
    let document: Value = serde_json::from_str(&bench.succeed(&all)).unwrap();
    assert_eq!(document["memory_basis"], "measured here");
    assert!(
        document["estimate"]["start_ms"][0].as_f64().unwrap() > 0.0,
        "{document}"
    );
    // What never listens cannot be measured by its answer.
    bench.program("deaf", prints("bye\n", 0));
    bench.succeed(&["build", "deaf", "--expose", "8080", "-q"]);
    let words = [
        "ship",
        "deaf",
        "--to",
        "kubernetes",
        "--unchecked",
        "--measure",
    ];
    let output = bench.output(&[&words[..], &REGISTRY].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("measuring the image: the program ended"),
        "{stderr}"
    );
}
