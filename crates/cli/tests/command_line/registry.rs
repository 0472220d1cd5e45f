//! `pull`, `push`, `copy`, `tags`, `login` and `logout` against a registry over a real
//! socket, and `docker://` where an image is read.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use ounce_oci::{Reference, Store};
use serde_json::Value;

use crate::harness::Workbench;
use crate::held::{Held, image, registry};
use crate::server::{Server, answer};

/// A workbench whose home has no credentials, with the image `app` in its store.
fn bench() -> Workbench {
    let bench = Workbench::new();
    let store = Store::open(bench.path("store")).unwrap();
    image(&store, "app", 20_000);
    bench
}

/// `ounce` that knows nothing of this machine's credentials and proxies.
pub(crate) fn ounce(bench: &Workbench, arguments: &[&str]) -> Command {
    let mut command = bench.ounce(arguments);
    for name in [
        "REGISTRY_AUTH_FILE",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "DOCKER_CONFIG",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ] {
        command.env_remove(name);
    }
    command.env("HOME", bench.path("home"));
    command
}

/// Status, stdout and stderr, with the registry's address and the folder named.
fn picture(bench: &Workbench, server: &Server, output: &Output) -> String {
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .replace(&server.address.to_string(), "HOST")
            .replace(bench.path("").to_str().unwrap(), "[DIR]/")
    };
    format!(
        "status: {}\n-- stdout\n{}-- stderr\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn show(bench: &Workbench, server: &Server, arguments: &[&str]) -> String {
    picture(bench, server, &ounce(bench, arguments).output().unwrap())
}

pub(crate) fn json(bench: &Workbench, arguments: &[&str]) -> Value {
    let output = ounce(bench, arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn open() -> Server {
    registry(Held::default(), |_, _| None).0
}

/// A registry with a token server that knows one user by one password.
fn guarded() -> (Server, Server) {
    let realm = Server::new(|asked, out| match asked.header("authorization") {
        // user:word
        Some("Basic dXNlcjp3b3Jk") => answer(out, 200, &[], br#"{"token": "t0ken"}"#),
        _ => answer(out, 401, &[], br#"{"errors":[{"message":"unknown user"}]}"#),
    });
    let held = Held {
        token: Some(("t0ken".to_owned(), realm.url("/token"))),
        ..Held::default()
    };
    (registry(held, |_, _| None).0, realm)
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back_the_same() {
    let (bench, server) = (bench(), open());
    let to = format!("{}/team/app:1", server.address);
    insta::assert_snapshot!(show(&bench, &server, &["push", "app", &to]), @r#"
    status: 0
    -- stdout
    HOST/team/app@sha256:03d9dbff0f220389082b7be75d6e616b4eaa8ca1836aa11f7e476cb1bae75313
    -- stderr
    sent 3 blobs of 20.5 KB
    "#);
    insta::assert_snapshot!(show(&bench, &server, &["push", "app", &to]), @r#"
    status: 0
    -- stdout
    HOST/team/app@sha256:03d9dbff0f220389082b7be75d6e616b4eaa8ca1836aa11f7e476cb1bae75313
    -- stderr
    it was there already
    "#);
    insta::assert_snapshot!(show(
        &bench,
        &server,
        &["tags", &format!("docker://{}/team/app", server.address)]
    ), @r#"
    status: 0
    -- stdout
    1
    -- stderr
    "#);
    let other = Workbench::new();
    insta::assert_snapshot!(show(&other, &server, &["pull", &to]), @r#"
    status: 0
    -- stdout
    HOST/team/app:1  sha256:03d9dbff0f220389082b7be75d6e616b4eaa8ca1836aa11f7e476cb1bae75313
    -- stderr
    fetched 3 blobs of 20.5 KB
    "#);
    insta::assert_snapshot!(show(&other, &server, &["pull", &to, "mine:2"]), @r#"
    status: 0
    -- stdout
    mine:2  sha256:03d9dbff0f220389082b7be75d6e616b4eaa8ca1836aa11f7e476cb1bae75313
    -- stderr
    3 blobs of 20.5 KB there already
    "#);
    let digest =
        |bench: &Workbench, name: &str| json(bench, &["--json", "inspect", name])["digest"].clone();
    assert_eq!(digest(&bench, "app"), digest(&other, "mine:2"));
    assert_eq!(digest(&bench, "app"), digest(&other, &to));
    let pulled = json(&other, &["--json", "pull", &to]);
    assert_eq!(pulled["schema"], "ounce.pull/1");
    assert_eq!(pulled["fetched_blobs"], 0);
    // Not on a terminal: no picture of how far it is.
    let quiet = ounce(&other, &["--quiet", "pull", &to]).output().unwrap();
    assert_eq!(quiet.stderr, b"");
    other.succeed(&["verify"]);
}

#[test]
fn what_is_not_to_be_had_is_told_with_what_to_do() {
    let (bench, server) = (bench(), open());
    let name = |rest: &str| format!("{}/{rest}", server.address);
    insta::assert_snapshot!(show(&bench, &server, &["pull", &name("none:1")]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: there is no docker://HOST/none:1: manifest unknown
    hint: which tags there are: ounce tags docker://HOST/none
    "#);
    insta::assert_snapshot!(show(&bench, &server, &["push", "app"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: app:latest says not to which registry
    hint: say where: ounce push app:latest HOST/NAME:TAG
    "#);
    insta::assert_snapshot!(show(&bench, &server, &["pull", "UPPER CASE"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: invalid value 'UPPER CASE' for '<IMAGE>': "UPPER CASE" is not an image name: a name has no upper-case letters

    For more information, try '--help'.
    "#);
    let gone = Server::new(|_, _| false);
    let (guarded, _realm) = guarded();
    insta::assert_snapshot!(show(
        &bench,
        &guarded,
        &["push", "app", &format!("{}/x", guarded.address)]
    ), @r#"
    status: 5
    -- stdout
    -- stderr
    error: HOST does not let everybody use x: unknown user
    hint: if you have an account: ounce login HOST
    "#);
    insta::assert_snapshot!(show(
        &bench,
        &guarded,
        &["logout", &guarded.address.to_string()]
    ), @r#"
    status: 1
    -- stdout
    -- stderr
    error: nobody is logged in to HOST
    hint: `ounce login HOST` logs in
    "#);
    // One that closes each connection at once is no registry.
    let output = ounce(&bench, &["tags", &format!("{}/x", gone.address)])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(5),
        "{}",
        picture(&bench, &gone, &output)
    );
}

#[test]
fn a_login_is_verified_kept_for_its_owner_alone_and_used() {
    let bench = bench();
    let (server, _realm) = guarded();
    let host = server.address.to_string();
    let to = format!("{host}/team/app:1");
    let login = |password: &str| {
        let mut child = ounce(&bench, &["login", &host, "-u", "user", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        child.wait_with_output().unwrap()
    };
    let refused = login("hidden");
    let file = bench.path("home/.config/containers/auth.json");
    assert!(!file.exists());
    insta::assert_snapshot!(picture(&bench, &server, &refused), @r#"
    status: 5
    -- stdout
    -- stderr
    error: HOST does not take this user name and password: unknown user
    hint: many registries want a token of theirs in place of the password
    "#);
    insta::assert_snapshot!(picture(&bench, &server, &login("word")), @r#"
    status: 0
    -- stdout
    -- stderr
    logged in to HOST as user; kept in [DIR]/home/.config/containers/auth.json
    "#);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ounce(&bench, &["push", "app", &to]).output().unwrap();
    let tags = json(&bench, &["--json", "tags", &to]);
    assert_eq!(tags["tags"], serde_json::json!(["1"]));
    insta::assert_snapshot!(show(&bench, &server, &["logout", &host]), @r#"
    status: 0
    -- stdout
    -- stderr
    logged out of HOST; forgotten by [DIR]/home/.config/containers/auth.json
    "#);
    let output = ounce(&bench, &["pull", &to]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn without_a_terminal_a_password_has_to_come_by_stdin() {
    let (bench, server) = (bench(), open());
    let host = server.address.to_string();
    insta::assert_snapshot!(show(&bench, &server, &["login", &host]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: there is no terminal to ask for the password
    hint: ounce login HOST --username NAME --password-stdin < FILE
    "#);
    insta::assert_snapshot!(show(&bench, &server, &["login", &host, "--password-stdin"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: the user's name is missing
    hint: ounce login HOST --username NAME --password-stdin < FILE
    "#);
    insta::assert_snapshot!(show(&bench, &server, &["login", "a b", "--password-stdin"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: "a b" is no registry
    hint: ounce login HOST[:PORT]
    "#);
}

#[test]
fn a_helper_of_docker_is_asked_by_its_protocol() {
    let bench = bench();
    let (server, _realm) = guarded();
    let host = server.address.to_string();
    // It knows the user only once it has been told.
    let kept = bench.path("kept");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nstore) cat > {0} ;;\nerase) rm {0} ;;\nget) cat > /dev/null; \
         if [ -f {0} ]; then echo '{{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"word\"}}'; \
         else echo 'credentials not found in native keychain'; exit 1; fi ;;\nesac\n",
        kept.display()
    );
    bench.program("bin/docker-credential-test", script);
    let file = bench.file("docker/config.json", r#"{"credsStore": "test"}"#);
    let with_helper = |arguments: &[&str], input: &str| {
        let path = format!("{}:/usr/bin:/bin", bench.path("bin").display());
        let mut child = ounce(&bench, arguments)
            .env("PATH", path)
            .env("DOCKER_CONFIG", bench.path("docker"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let push = ["push", "app", &format!("{host}/x:1")];
    assert_eq!(with_helper(&push, "").0, 5);
    let login = ["login", &host, "-u", "user", "--password-stdin"];
    let (code, told) = with_helper(&login, "word");
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("credential helper test"), "{told}");
    assert!(
        fs::read_to_string(&kept)
            .unwrap()
            .contains("\"Secret\":\"word\"")
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        r#"{"credsStore": "test"}"#
    );
    assert_eq!(
        with_helper(&push, ""),
        (0, "sent 3 blobs of 20.5 KB\n".to_owned())
    );
    assert_eq!(with_helper(&["logout", &host], "").0, 0);
    assert!(!kept.exists());
    // One that is not there is an error, not a way in as nobody.
    fs::write(&file, r#"{"credsStore": "absent"}"#).unwrap();
    let (code, told) = with_helper(&push, "");
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("docker-credential-absent") && told.contains("hint:"),
        "{told}"
    );
}

#[test]
fn images_of_a_registry_are_weighed_inspected_copied_and_deleted_in_place() {
    let (bench, server) = (bench(), open());
    let place = format!("docker://{}/team/app:1", server.address);
    let output = ounce(&bench, &["copy", "app", &place]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        picture(&bench, &server, &output)
    );
    let other = Workbench::new();
    let inspected = json(&other, &["inspect", &place]);
    assert_eq!(inspected["platform"], "linux/amd64");
    let weighed = json(&other, &["--json", "weigh", &place]);
    let weighed = weighed.to_string();
    let bytes = format!("\"pulled_bytes\":{}", inspected["pulled_bytes"]);
    assert!(weighed.contains(&bytes), "{bytes} is not in {weighed}");
    // Neither has left anything in the store.
    assert_eq!(
        json(&other, &["--json", "images"])["images"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    for to in [
        "oci:layout:v1",
        "oci-archive:app.tar",
        "docker-archive:docker.tar",
        "copied:1",
    ] {
        let output = ounce(&other, &["copy", &place, to]).output().unwrap();
        assert!(
            output.status.success(),
            "{to}: {}",
            picture(&other, &server, &output)
        );
    }
    assert_eq!(
        json(&other, &["inspect", "oci:layout:v1"])["digest"],
        inspected["digest"]
    );
    assert_eq!(
        json(&other, &["inspect", "copied:1"])["digest"],
        inspected["digest"]
    );
    // From a folder, past the store, to another name; and away with it.
    let there = format!("docker://{}/team/other:2", server.address);
    let output = ounce(&other, &["copy", "oci:layout:v1", &there])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        picture(&other, &server, &output)
    );
    assert_eq!(
        json(&other, &["inspect", &there])["digest"],
        inspected["digest"]
    );
    let zstd = format!("{}/team/zstd", server.address);
    json(
        &bench,
        &["--json", "push", "app", &zstd, "--compression", "zstd"],
    );
    let anew = json(&other, &["inspect", &format!("docker://{zstd}")]);
    assert_eq!(anew["config"]["rootfs"], inspected["config"]["rootfs"]);
    assert_ne!(anew["digest"], inspected["digest"]);
    ounce(&other, &["rm", &there]).output().unwrap();
    assert_eq!(
        ounce(&other, &["inspect", &there])
            .output()
            .unwrap()
            .status
            .code(),
        Some(3)
    );
}

#[test]
fn names_of_the_store_that_look_like_a_registrys_are_pushed_there() {
    let (bench, server) = (bench(), open());
    let name = format!("{}/team/app:3", server.address);
    let own: Reference = "app".parse().unwrap();
    let store = Store::open(bench.path("store")).unwrap();
    store.tag(&own, &name.parse().unwrap()).unwrap();
    let pushed = json(&bench, &["--json", "push", &name]);
    assert_eq!(pushed["to"], format!("docker://{name}"));
    assert_eq!(pushed["sent_blobs"], 3);
    // Another repository gets it without its being sent again.
    let other = format!("{}/team/second:3", server.address);
    let pushed = json(&bench, &["--json", "push", "app", &other]);
    assert_eq!(pushed["mounted_blobs"], 3, "{pushed}");
}

#[test]
fn proxies_and_authorities_of_the_environment_are_heeded() {
    let bench = bench();
    let proxy = Server::new(|asked, out| {
        assert_eq!(asked.line(), "CONNECT registry.example:443");
        answer(out, 403, &[], b"")
    });
    let pull = |variables: &[(&str, &str)]| {
        let mut command = ounce(&bench, &["pull", "registry.example/x"]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let address = format!("http://{}", proxy.address);
    let refused = pull(&[("HTTPS_PROXY", &address)]);
    insta::assert_snapshot!(picture(&bench, &proxy, &refused), @r#"
    status: 5
    -- stdout
    -- stderr
    error: the proxy does not lead to https://registry.example/v2/: proxy server responded 403
    hint: look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY
    "#);
    let nowhere = bench.file("empty.pem", "");
    let untrusted = pull(&[
        ("HTTPS_PROXY", &address),
        ("SSL_CERT_FILE", nowhere.to_str().unwrap()),
    ]);
    insta::assert_snapshot!(picture(&bench, &proxy, &untrusted), @r#"
    status: 3
    -- stdout
    -- stderr
    error: reading certificates from [DIR]/empty.pem
    caused by: there is no certificate in it (PEM)
    "#);
}
