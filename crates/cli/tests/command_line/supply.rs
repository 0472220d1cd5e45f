//! Keys, signatures, what hangs on images, building twice, and secrets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::Workbench;
use crate::programs::prints;

fn with_hi() -> Workbench {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    bench.succeed(&["build", "hi"]);
    bench
}

/// With a pair of keys, `ounce.key` and `ounce.pub`.
fn with_key() -> Workbench {
    let bench = with_hi();
    bench.succeed(&["key", "new"]);
    bench
}

fn json(bench: &Workbench, arguments: &[&str]) -> Value {
    serde_json::from_str(&bench.succeed(&[&["--json"], arguments].concat())).unwrap()
}

fn stderr(bench: &Workbench, arguments: &[&str], code: i32) -> String {
    let output = bench.output(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stderr}");
    stderr
}

/// A private key, of which no file of ours holds one.
fn private_key() -> String {
    let body = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v".repeat(2);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

#[test]
fn signed_image_verifies_by_its_key_and_by_no_other() {
    let bench = with_key();
    bench.succeed(&["sign", "hi", "--key", "ounce.key", "-a", "commit=abc"]);
    let verified = json(&bench, &["verify", "hi", "--key", "ounce.pub"]);
    assert_eq!(verified["schema"], "ounce.verify-image/1");
    assert_eq!(verified["checks"][0]["passed"], true);
    assert_eq!(verified["checks"][0]["annotations"]["commit"], "abc");
    bench.succeed(&["key", "new", "other", "--algorithm", "ed25519"]);
    let told = stderr(&bench, &["verify", "hi", "--key", "other.pub"], 1);
    assert!(told.contains("it is signed by another key"), "{told}");
    for (flags, why) in [
        (&["--identity", "team/hi"][..], "was signed as \"hi\""),
        (&["-a", "commit=abd"], "said \"abc\" of commit"),
        (&["--require", "provenance,sbom"], "none hangs on the image"),
    ] {
        let asked = [&["verify", "hi", "--key", "ounce.pub"], flags].concat();
        let told = stderr(&bench, &asked, 1);
        assert!(told.contains(why), "{told}");
    }
    // The same again is not signed again.
    let again = json(
        &bench,
        &["sign", "hi", "--key", "ounce.key", "-a", "commit=abc"],
    );
    assert_eq!(again["is_new"], false);
    let hanging = json(&bench, &["referrers", "hi"]);
    assert_eq!(hanging["referrers"].as_array().unwrap().len(), 1);
}

#[test]
fn image_that_nobody_signed_is_answered_with_no() {
    let bench = with_key();
    let filters = [("sha256:[0-9a-f]{64}", "[DIGEST]"), (r"\d+ B", "[SIZE]")];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!(bench.picture(&["verify", "hi", "--key", "ounce.pub"]), @r#"
        status: 1
        -- stdout
        hi:latest [DIGEST]
          content     3 blobs, [SIZE], whole
          signature   the image is not signed
        -- stderr
        error: hi:latest is not as required: signature: the image is not signed
        hint: ounce referrers hi:latest lists what hangs on it
        "#);
    });
}

#[test]
fn changed_image_under_the_same_name_is_no_longer_signed() {
    let bench = with_key();
    bench.succeed(&["sign", "hi", "--key", "ounce.key"]);
    bench.program("hi", prints("changed\n", 0));
    bench.succeed(&["build", "hi"]);
    stderr(&bench, &["verify", "hi", "--key", "ounce.pub"], 1);
}

#[test]
fn one_build_makes_bill_provenance_and_signature_and_all_are_required() {
    let bench = with_key();
    let flags = ["--sbom", "--provenance", "--key", "ounce.key"];
    let built = json(&bench, &[&["build", "hi"], &flags[..]].concat());
    let attached = built["attached"].as_array().unwrap();
    assert_eq!(attached.len(), 3);
    assert!(attached.iter().all(|one| one["is_new"] == true));
    let asked = [
        "verify",
        "hi",
        "--key",
        "ounce.pub",
        "--require",
        "signature,sbom,provenance",
    ];
    bench.succeed(&asked);
    // The same input states the same, so nothing new hangs on the image.
    let built = json(&bench, &[&["build", "hi"], &flags[..]].concat());
    let attached = built["attached"].as_array().unwrap();
    assert!(attached.iter().all(|one| one["is_new"] == false), "{built}");
    // What is not signed does not count for a key, and counts without one.
    bench.program("other", prints("other\n", 0));
    bench.succeed(&["build", "other", "--sbom=cyclonedx", "--provenance"]);
    bench.succeed(&["verify", "other", "--require", "sbom,provenance"]);
    let told = stderr(
        &bench,
        &[
            "verify",
            "other",
            "--key",
            "ounce.pub",
            "--require",
            "sbom,provenance",
        ],
        1,
    );
    assert!(
        told.contains("sbom: none") && told.contains("provenance: none"),
        "{told}"
    );
    stderr(&bench, &["verify", "other", "--require", "signature"], 2);
}

#[test]
fn provenance_names_no_folder_of_this_machine_and_no_time_unless_asked() {
    let bench = with_hi();
    bench.file("site/index.html", "<h1>hi</h1>");
    bench.succeed(&["build", "site", "--provenance", "-t", "site"]);
    let program = bench.path("hi").display().to_string();
    bench.succeed(&["build", &program, "--provenance"]);
    for image in ["hi", "site"] {
        let rows = json(&bench, &["referrers", image]);
        let digest = rows["referrers"][0]["digest"].as_str().unwrap();
        let text = bench.succeed(&["referrers", image, "--print", digest]);
        let folder = bench.path("").display().to_string();
        assert!(!text.contains(folder.trim_end_matches('/')), "{text}");
        let stated: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stated["_type"], "https://in-toto.io/Statement/v1");
        let details = &stated["predicate"]["runDetails"];
        assert_eq!(details["metadata"], Value::Null);
        let materials = &stated["predicate"]["buildDefinition"]["resolvedDependencies"];
        assert!(materials[0]["digest"].is_object(), "{text}");
    }
    let flags = [
        "--provenance=timed",
        "--builder-id",
        "https://example.org/ci",
    ];
    bench.succeed(&[&["build", "hi", "-t", "timed"], &flags[..]].concat());
    let rows = json(&bench, &["referrers", "timed"]);
    let texts: Vec<String> = rows["referrers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            bench.succeed(&[
                "referrers",
                "timed",
                "--print",
                row["digest"].as_str().unwrap(),
            ])
        })
        .collect();
    assert!(
        texts
            .iter()
            .any(|text| text.contains("startedOn") && text.contains("example.org/ci")),
        "{texts:?}"
    );
}

#[test]
fn bill_that_hangs_on_an_image_is_the_one_that_weigh_prints() {
    let bench = with_hi();
    bench.succeed(&["attach", "hi", "--sbom", "spdx"]);
    let rows = json(&bench, &["referrers", "hi"]);
    assert_eq!(
        rows["referrers"][0]["artifact_type"],
        "application/spdx+json"
    );
    let digest = rows["referrers"][0]["digest"].as_str().unwrap();
    let text = bench.succeed(&["referrers", "hi", "--print", &digest[..20]]);
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["spdxVersion"], "SPDX-2.3");
    assert_eq!(bill["packages"][0]["versionInfo"], rows["digest"]);
    bench.succeed(&["referrers", "hi", "--remove", digest]);
    assert_eq!(
        json(&bench, &["referrers", "hi"])["referrers"],
        Value::Array(vec![])
    );
    stderr(&bench, &["referrers", "hi", "--print", digest], 3);
}

#[test]
fn document_is_attached_by_its_type_and_stated_by_its_predicate() {
    let bench = with_key();
    bench.file("scan.json", "{\"found\": 0}");
    bench.succeed(&[
        "attach",
        "hi",
        "scan.json",
        "--type",
        "application/vnd.scan+json",
    ]);
    let kind = "https://example.org/scan/v1";
    let key = ["--key", "ounce.key"];
    bench.succeed(
        &[
            &["attach", "hi", "scan.json", "--predicate", kind],
            &key[..],
        ]
        .concat(),
    );
    let text = bench.succeed(&["referrers", "hi"]);
    assert!(text.contains("application/vnd.scan+json"), "{text}");
    assert!(
        text.contains(&format!("statement ({kind}), signed")),
        "{text}"
    );
    stderr(&bench, &["attach", "hi", "scan.json"], 2);
    stderr(&bench, &["attach", "hi", "scan.json", "--type", "json"], 2);
    let signed = [
        "attach",
        "hi",
        "scan.json",
        "--type",
        "a/b",
        "--key",
        "ounce.key",
    ];
    stderr(&bench, &signed, 2);
    bench.file("no.json", "{");
    stderr(&bench, &["attach", "hi", "no.json", "--predicate", kind], 3);
}

#[test]
fn keys_are_never_overwritten_and_only_their_owner_may_read_them() {
    let bench = Workbench::new();
    bench.succeed(&["key", "new", "a"]);
    let mode = |name: &str| {
        let data = std::fs::metadata(bench.path(name)).unwrap();
        data.permissions().mode() & 0o777
    };
    assert_eq!(mode("a.key") & 0o077, 0);
    let before = std::fs::read(bench.path("a.key")).unwrap();
    stderr(&bench, &["key", "new", "a"], 2);
    assert_eq!(std::fs::read(bench.path("a.key")).unwrap(), before);
    let public = std::fs::read_to_string(bench.path("a.pub")).unwrap();
    assert_eq!(bench.succeed(&["key", "public", "a.key"]), public);
    stderr(&bench, &["key", "new", "b", "--encrypt"], 2);
    bench.file("password", "secret\n");
    bench.succeed(&["key", "new", "b", "--password-file", "password"]);
    let told = stderr(&bench, &["key", "public", "b.key"], 3);
    assert!(told.contains("COSIGN_PASSWORD"), "{told}");
    bench.file("wrong", "Secret\n");
    let told = stderr(
        &bench,
        &["key", "public", "b.key", "--password-file", "wrong"],
        3,
    );
    assert!(told.contains("password"), "{told}");
    bench.succeed(&["key", "public", "b.key", "--password-file", "password"]);
    let output = bench
        .ounce(&["key", "public", "b.key"])
        .env("COSIGN_PASSWORD", "secret")
        .output();
    assert!(output.unwrap().status.success());
}

#[test]
fn what_is_no_key_is_told_with_what_to_do() {
    let bench = with_key();
    for (path, hint) in [
        ("ounce.pub", "sign with the other file"),
        ("hi", "reading the key hi"),
        ("nothing", "ounce key new"),
    ] {
        let told = stderr(&bench, &["sign", "hi", "--key", path], 3);
        assert!(told.contains(hint), "{told}");
    }
    let told = stderr(&bench, &["verify", "hi", "--key", "ounce.key"], 3);
    assert!(told.contains("ounce key public"), "{told}");
    stderr(&bench, &["sign", "hi"], 2);
}

/// `openssl` with what ounce wrote, where there is one.
fn openssl(arguments: &[&str], folder: &Path) -> Option<bool> {
    let mut openssl = Command::new("openssl");
    let output = openssl.args(arguments).current_dir(folder).output();
    match output {
        Ok(output) => Some(output.status.success()),
        Err(_) => {
            println!("skipped: openssl is not installed");
            None
        }
    }
}

#[test]
fn keys_and_signatures_are_openssl_s_too() {
    use base64::Engine as _;
    let bench = with_hi();
    let folder = bench.path("");
    let make = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-out",
        "old.key",
    ];
    let Some(made) = openssl(&make, &folder) else {
        return;
    };
    assert!(made);
    let convert = [
        "pkcs8", "-topk8", "-nocrypt", "-in", "old.key", "-out", "new.key",
    ];
    assert_eq!(openssl(&convert, &folder), Some(true));
    let of_old = bench.succeed(&["-q", "key", "public", "old.key"]);
    let of_new = bench.succeed(&["-q", "key", "public", "new.key"]);
    assert_eq!(of_old, of_new);
    bench.file("key.pub", of_old);
    bench.succeed(&["-q", "sign", "hi", "--key", "new.key"]);
    let row = json(&bench, &["referrers", "hi"])["referrers"][0].clone();
    let digest = row["digest"].as_str().unwrap();
    let blob = |digest: &str| {
        let name = digest.trim_start_matches("sha256:");
        std::fs::read(bench.path(&format!("store/blobs/sha256/{name}"))).unwrap()
    };
    let manifest: Value = serde_json::from_slice(&blob(digest)).unwrap();
    let layer = &manifest["layers"][0];
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str();
    let engine = base64::engine::general_purpose::STANDARD;
    bench.file("signature", engine.decode(signature.unwrap()).unwrap());
    bench.file("payload", blob(layer["digest"].as_str().unwrap()));
    let verify = |payload: &str| {
        let words = [
            "dgst",
            "-sha256",
            "-verify",
            "key.pub",
            "-signature",
            "signature",
        ];
        openssl(&[&words[..], &[payload]].concat(), &folder)
    };
    assert_eq!(verify("payload"), Some(true));
    assert_eq!(verify("key.pub"), Some(false));
    let other = ["genpkey", "-algorithm", "rsa", "-out", "rsa.key"];
    assert_eq!(openssl(&other, &folder), Some(true));
    let told = stderr(&bench, &["sign", "hi", "--key", "rsa.key"], 3);
    assert!(told.contains("ecdsa on P-256"), "{told}");
}

#[test]
fn collection_keeps_what_hangs_on_a_kept_image_and_removal_takes_it_along() {
    let bench = with_key();
    bench.succeed(&["sign", "hi", "--key", "ounce.key"]);
    bench.succeed(&["tag", "hi", "hi:v1"]);
    bench.succeed(&["rm", "hi"]);
    assert_eq!(json(&bench, &["gc"])["blobs"], 0);
    bench.succeed(&["verify", "hi:v1", "--key", "ounce.pub"]);
    bench.succeed(&["rm", "hi:v1"]);
    assert_eq!(json(&bench, &["gc"])["blobs"], 6);
}

#[test]
fn copy_takes_signatures_along_when_asked_and_tells_where_it_cannot() {
    let bench = with_key();
    bench.succeed(&["sign", "hi", "--key", "ounce.key"]);
    bench.succeed(&["copy", "--referrers", "hi", "oci-archive:hi.tar"]);
    let other = |arguments: &[&str]| {
        let store = bench.path("other");
        let mut command = bench.ounce(arguments);
        command.env("OUNCE_STORE", store).output().unwrap()
    };
    assert!(
        other(&["copy", "oci-archive:hi.tar", "hi"])
            .status
            .success()
    );
    assert!(
        other(&["verify", "hi", "--key", "ounce.pub"])
            .status
            .success()
    );
    let told = stderr(
        &bench,
        &["copy", "--referrers", "hi", "docker-archive:x.tar"],
        2,
    );
    assert!(told.contains("oci-archive"), "{told}");
}

#[test]
fn built_again_elsewhere_it_is_the_same_to_the_byte() {
    let bench = with_hi();
    bench.file("site/index.html", "<h1>hi</h1>");
    bench.file("site/b/a.txt", "a".repeat(5000));
    // It is named after its folder. The compiler is the one that Rust links with.
    bench.file("named/main.c", "int main(void) { return 0; }\n");
    for what in ["hi", "site", "named"] {
        let built = json(&bench, &["build", what, "--check"]);
        assert_eq!(built["check"]["reproducible"], true);
        assert_eq!(built["check"]["digest"], built["digest"]);
    }
    let left = std::fs::read_dir(bench.path("cache/ounce/check"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

#[test]
fn program_that_differs_when_built_again_is_told_with_what_differs() {
    let bench = Workbench::new();
    bench.file(
        "project/Cargo.toml",
        "[package]\nname = \"where\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[profile.release]\npanic = \"abort\"\n",
    );
    bench.file(
        "project/src/main.rs",
        "fn main() { println!(\"{}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/where\"))); }",
    );
    let script = |text: &str| {
        let out = "std::env::var(\"OUT_DIR\").unwrap() + \"/where\"";
        bench.file(
            "project/build.rs",
            format!("fn main() {{ std::fs::write({out}, {text}).unwrap(); }}"),
        );
    };
    let build = [
        "build",
        "project",
        "--check",
        "--measure",
        "no",
        "--offline",
    ];
    script("\"nowhere\"");
    let built = json(&bench, &build);
    assert_eq!(built["check"]["reproducible"], true, "{built}");
    assert_eq!(built["check"]["how"], "elsewhere");
    script("std::env::var(\"CARGO_MANIFEST_DIR\").unwrap()");
    bench.succeed(&["key", "new"]);
    let signed = [&build[..], &["--key", "ounce.key"]].concat();
    let told = stderr(&bench, &signed, 1);
    assert!(told.contains("is not reproducible"), "{told}");
    assert!(told.contains("/where"), "{told}");
    assert!(told.contains("in-another-folder"), "{told}");
    // What is not as it should be is not signed.
    stderr(&bench, &["verify", "where", "--key", "ounce.pub"], 1);
}

#[test]
fn secrets_are_kept_out_of_layers_unless_they_are_said_to_be_none() {
    let bench = with_hi();
    bench.file("leak.pem", private_key());
    bench.file("site/index.html", "<h1>hi</h1>");
    bench.file("site/latest/notes.txt", private_key());
    let with_file = [
        "build",
        "hi",
        "-t",
        "leaky",
        "--file",
        "leak.pem:/etc/key.pem",
    ];
    insta::assert_snapshot!(bench.picture(&with_file), @r#"
    status: 3
    -- stdout
    -- stderr
    error: the image would hold a private key (/etc/key.pem)
    hint: whoever can pull the image can read it: pass it when the program starts (ounce run -e NAME, or -v FILE:PATH:ro)
    hint: if it is no secret: --allow-secret '/etc/key.pem', or allow-secrets in ounce.toml
    "#);
    for site in [&["build", "site"][..], &["build", "site", "--plain"]] {
        let told = stderr(&bench, site, 3);
        assert!(told.contains("/public/latest/notes.txt"), "{told}");
    }
    let mut program = prints("hi\n", 0);
    program.extend(private_key().into_bytes());
    bench.program("keyed", program);
    let told = stderr(&bench, &["build", "keyed"], 3);
    assert!(told.contains("a private key (/keyed)"), "{told}");
    assert!(!bench.succeed(&["images"]).contains("leaky"));
    bench.succeed(&[&with_file[..], &["--allow-secret", "/etc/*.pem"]].concat());
    bench.file(
        "project/ounce.toml",
        "allow-secrets = [\"public/**\"]\n[site]\n",
    );
    std::fs::rename(bench.path("site/latest"), bench.path("project/latest")).unwrap();
    std::fs::rename(
        bench.path("site/index.html"),
        bench.path("project/index.html"),
    )
    .unwrap();
    bench.succeed(&["build", "project"]);
}

#[test]
fn engine_that_is_not_there_is_told_with_what_starts_it() {
    let bench = with_hi();
    for (variable, place) in [
        ("DOCKER_HOST", "docker-daemon:hi"),
        ("CONTAINER_HOST", "podman:hi"),
    ] {
        let run = |host: &str| {
            let mut command = bench.ounce(&["copy", "hi", place]);
            let output = command.env(variable, host).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            (output.status.code(), stderr)
        };
        let socket = format!("unix://{}", bench.path("none.sock").display());
        let (code, told) = run(&socket);
        assert_eq!(code, Some(4), "{told}");
        assert!(
            told.contains("does not answer") && told.contains(variable),
            "{told}"
        );
        let (code, told) = run("tcp://127.0.0.1:1");
        assert_eq!(code, Some(2), "{told}");
    }
}

/// Debian's registry, ended with its value.
struct Registry {
    child: std::process::Child,
    host: String,
}

impl Registry {
    /// Started with its data beneath the workbench; `None` where it is not installed.
    fn start(bench: &Workbench) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = port.local_addr().unwrap().to_string();
        drop(port);
        let data = bench.path("registry").display().to_string();
        let config = bench.file(
            "registry.yml",
            format!(
                "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp: {{addr: '{host}'}}\n"
            ),
        );
        let mut server = Command::new("docker-registry");
        server.arg("serve").arg(config);
        server.stdout(std::process::Stdio::null());
        server.stderr(std::process::Stdio::null());
        let Ok(child) = server.spawn() else {
            println!("skipped: docker-registry is not installed");
            return None;
        };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&host).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        Some(Self { child, host })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn pulled_image_gets_its_name_only_if_it_is_signed_as_required() {
    let bench = with_key();
    let Some(registry) = Registry::start(&bench) else {
        return;
    };
    let image = format!("{}/team/hi:1", registry.host);
    let repository = format!("{}/team/hi", registry.host);
    let signing = ["--sbom", "--key", "ounce.key", "--identity", &repository];
    bench.succeed(&[&["build", "hi", "-t", "hi"], &signing[..]].concat());
    bench.succeed(&["push", "hi", &image]);
    let tags = bench.succeed(&["tags", &repository]);
    assert!(tags.lines().any(|tag| tag.ends_with(".sig")), "{tags}");
    assert!(tags.lines().any(|tag| tag.ends_with(".att")), "{tags}");
    bench.succeed(&["key", "new", "other"]);
    let elsewhere = |arguments: &[&str]| {
        let mut command = bench.ounce(arguments);
        command.env("OUNCE_STORE", bench.path("elsewhere"));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), stdout + &stderr)
    };
    for flags in [
        &["--key", "other.pub"][..],
        &["--key", "ounce.pub", "--identity", "another/name"],
        &["--key", "ounce.pub", "--require", "signature,provenance"],
    ] {
        let (code, told) = elsewhere(&[&["pull", &image, "mine"], flags].concat());
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("mine:latest is not as required"), "{told}");
    }
    let (_, images) = elsewhere(&["images"]);
    assert!(!images.contains("sha256"), "{images}");
    let asked = ["--key", "ounce.pub", "--identity", &repository];
    let required = ["--require", "signature,sbom"];
    let (code, told) = elsewhere(&[&["pull", &image, "mine"], &asked[..], &required].concat());
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = elsewhere(&["verify", "mine", "--key", "ounce.pub"]);
    assert_eq!(code, Some(0), "{told}");
    let (_, images) = elsewhere(&["images"]);
    assert!(
        images.contains("mine:latest") && !images.contains("unproved"),
        "{images}"
    );
}
