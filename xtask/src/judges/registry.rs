//! A real registry between ounce and the tools that people have: what one pushes
//! the other pulls, digests kept; through a door that is open, one with users, one
//! with TLS of an authority that is not the machine's, and one that asks for certificates.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Bench, Case, NAME};
use crate::peers::podman::Storage;
use crate::peers::registry::{Door, NEEDS, Registry, USER};
use crate::tool::{command, find, read};

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for (door, what) in [
        (Door::Open, "an open registry"),
        (Door::Users, "a registry with users"),
        (Door::Tls, "a registry with TLS"),
        (Door::Certificate, "a registry that asks for certificates"),
    ] {
        let missing = NEEDS.iter().find(|need| find(need).is_none());
        let registry = match missing {
            Some(_) => None,
            None => Some(Registry::start(door)),
        };
        let with = |work: &dyn Fn(&Visit<'_>) -> Result<()>| -> Result<()> {
            let registry = registry.as_ref().context("no registry")?;
            let registry = registry
                .as_ref()
                .map_err(|error| anyhow::anyhow!("{error:#}"))?;
            work(&Visit {
                case,
                registry,
                door,
            })
        };
        let with_peer =
            |peer: &'static str| -> Vec<&'static str> { NEEDS.into_iter().chain([peer]).collect() };
        bench.check(&format!("ounce pushes to {what}"), &NEEDS, || with(&pushes));
        bench.check(
            &format!("skopeo finds and copies from {what} what ounce pushed, digests kept"),
            &with_peer("skopeo"),
            || with(&skopeo_pulls),
        );
        bench.check(
            &format!("podman pulls from {what} what ounce pushed"),
            &with_peer("podman"),
            || with(&podman_pulls),
        );
        bench.check(
            &format!("ounce pulls from {what} what skopeo pushed, to the same digest"),
            &with_peer("skopeo"),
            || with(&skopeo_pushes),
        );
        bench.check(
            &format!("ounce pulls and runs from {what} what podman pushed"),
            &with_peer("podman"),
            || with(&podman_pushes),
        );
        if door == Door::Users {
            bench.check(
                "a login by ounce serves skopeo, and one by skopeo ounce",
                &with_peer("skopeo"),
                || with(&logins),
            );
        }
        if door == Door::Open {
            bench.check(
                "an image goes to another repository there without being sent again",
                &NEEDS,
                || with(&mounts),
            );
            bench.check(
                "skopeo lists the tags that ounce lists, and deleting takes one away",
                &with_peer("skopeo"),
                || with(&tags),
            );
            bench.check(
                "skopeo and podman read layers that ounce compressed by zstd at the push",
                &with_peer("podman"),
                || with(&zstd),
            );
            bench.check(
                "an image comes from there by a delta that hangs on it, and is the same",
                &NEEDS,
                || with(&deltas),
            );
        }
    }
}

/// One registry, and how its door is passed.
struct Visit<'a> {
    case: &'a Case<'a>,
    registry: &'a Registry,
    door: Door,
}

impl Visit<'_> {
    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.registry.host())
    }

    fn login(&self) -> String {
        self.case.path("registry-login.json")
    }

    /// `ounce` with what the door asks for.
    fn ounce(&self, arguments: &[&str]) -> Command {
        self.through(self.case.ounce(arguments))
    }

    /// The same on a store of its own.
    fn ounce_on(&self, store: &str, arguments: &[&str]) -> Command {
        let mut ounce = command(&[self.case.ounce]);
        ounce.args(["--store", store]).args(arguments);
        self.through(ounce)
    }

    fn through(&self, mut ounce: Command) -> Command {
        match self.door {
            Door::Open => {}
            Door::Users => {
                ounce.env("REGISTRY_AUTH_FILE", self.login());
            }
            Door::Tls => {
                ounce.env("SSL_CERT_FILE", self.registry.authority());
            }
            Door::Certificate => {
                ounce.env("XDG_CONFIG_HOME", self.registry.configuration());
            }
        }
        ounce
    }

    /// Options of skopeo and podman for one side of a copy: `src`, `dest`, or none.
    fn door(&self, side: &str) -> Vec<String> {
        let side = match side {
            "" => String::new(),
            side => format!("{side}-"),
        };
        let certificates = self.registry.authority();
        let folder = certificates.parent().map(|folder| folder.display());
        match self.door {
            Door::Open => vec![format!("--{side}tls-verify=false")],
            Door::Users => vec![
                format!("--{side}tls-verify=false"),
                format!("--{side}creds={}:{}", USER.0, USER.1),
            ],
            Door::Tls | Door::Certificate => folder
                .map(|folder| format!("--{side}cert-dir={folder}"))
                .into_iter()
                .collect(),
        }
    }

    fn skopeo_copy(&self, options: &[String], from: &str, to: &str) -> Result<()> {
        read(
            command(&["skopeo", "copy", "--quiet", "--insecure-policy", "--all"])
                .arg("--preserve-digests")
                .args(options)
                .args([from, to]),
        )
        .map(drop)
    }

    /// What an image's name means in the registry, by skopeo.
    fn digest_there(&self, name: &str) -> Result<String> {
        let text = read(
            command(&["skopeo", "inspect"])
                .args(self.door(""))
                .arg(format!("docker://{name}")),
        )?;
        Ok(field(&serde_json::from_str(&text)?, "Digest")?.to_owned())
    }

    fn digest_here(&self, name: &str) -> Result<String> {
        let text = read(&mut self.case.ounce(&["--json", "inspect", name]))?;
        Ok(field(&serde_json::from_str(&text)?, "digest")?.to_owned())
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("no {name} in {value}"))
}

fn pushes(visit: &Visit<'_>) -> Result<()> {
    let to = visit.name("judged/hello:1");
    if visit.door == Door::Users {
        let refused = visit.ounce(&["push", NAME, &to]).output()?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(5), "not refused: {said}");
        ensure!(said.contains("ounce login"), "no hint in {said}");
        log_in(visit)?;
    }
    if visit.door == Door::Tls {
        let refused = visit.case.ounce(&["push", NAME, &to]).output()?;
        ensure!(
            refused.status.code() == Some(5),
            "an authority that nobody trusts is trusted"
        );
    }
    if visit.door == Door::Certificate {
        let mut nobody = visit.case.ounce(&["push", NAME, &to]);
        let refused = nobody
            .env("SSL_CERT_FILE", visit.registry.authority())
            .output()?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(5), "not refused: {said}");
        ensure!(said.contains("certs.d"), "no hint in {said}");
    }
    read(&mut visit.ounce(&["push", NAME, &to]))?;
    let text = read(&mut visit.ounce(&["--json", "push", NAME, &to]))?;
    let again: Value = serde_json::from_str(&text)?;
    ensure!(again["unchanged"] == true, "sent twice: {again}");
    Ok(())
}

/// Logs in by a password on stdin.
fn log_in(visit: &Visit<'_>) -> Result<()> {
    let secret = visit.case.path("registry-password");
    let host = visit.registry.host();
    for (password, code) in [("wrong", 5), (USER.1, 0)] {
        fs::write(&secret, format!("{password}\n"))?;
        let mut login = visit.ounce(&["login", &host, "-u", USER.0, "--password-stdin"]);
        let ended = login.stdin(fs::File::open(&secret)?).output()?;
        ensure!(
            ended.status.code() == Some(code),
            "login with {password:?} ended with {}: {}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    Ok(())
}

fn skopeo_pulls(visit: &Visit<'_>) -> Result<()> {
    let name = visit.name("judged/hello:1");
    let (ours, there) = (visit.digest_here(NAME)?, visit.digest_there(&name)?);
    ensure!(ours == there, "{ours} became {there}");
    let folder = visit.case.path(&format!("from-registry-{:?}", visit.door));
    visit.skopeo_copy(
        &visit.door("src"),
        &format!("docker://{name}"),
        &format!("dir:{folder}"),
    )
}

fn podman_pulls(visit: &Visit<'_>) -> Result<()> {
    let storage = Storage::new()?;
    let name = visit.name("judged/hello:1");
    let options = visit.door("");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let words = [&["pull", "--quiet"], &options[..], &[&name]].concat();
    read(&mut storage.podman(&words))?;
    let text = read(&mut storage.podman(&["image", "inspect", &name]))?;
    let value: Value = serde_json::from_str(&text)?;
    let (ours, theirs) = (
        visit.digest_here(NAME)?,
        field(&value[0], "Digest")?.to_owned(),
    );
    ensure!(ours == theirs, "{ours} became {theirs}");
    Ok(())
}

fn skopeo_pushes(visit: &Visit<'_>) -> Result<()> {
    let name = visit.name("judged/by-skopeo:1");
    let from = format!("oci:{}:judged", visit.case.path("layout"));
    visit.skopeo_copy(&visit.door("dest"), &from, &format!("docker://{name}"))?;
    let fresh = visit.case.path(&format!("pulled-{:?}", visit.door));
    // Into a store that has nothing of it.
    let text = read(&mut visit.ounce_on(&fresh, &["--json", "pull", &name]))?;
    let pulled: Value = serde_json::from_str(&text)?;
    let ours = visit.digest_here(NAME)?;
    ensure!(field(&pulled, "digest")? == ours, "not {ours}: {pulled}");
    ensure!(pulled["fetched_blobs"] != 0, "nothing came: {pulled}");
    let text = read(&mut visit.ounce_on(&fresh, &["--json", "verify"]))?;
    let verified: Value = serde_json::from_str(&text)?;
    ensure!(
        verified["faults"].as_array().is_some_and(Vec::is_empty),
        "{verified}"
    );
    let text = read(&mut visit.ounce_on(&fresh, &["--json", "pull", &name]))?;
    let again: Value = serde_json::from_str(&text)?;
    ensure!(again["fetched_blobs"] == 0, "fetched twice: {again}");
    Ok(())
}

fn podman_pushes(visit: &Visit<'_>) -> Result<()> {
    let storage = Storage::new()?;
    let name = visit.name("judged/by-podman:1");
    let archive = format!("oci-archive:{}", visit.case.path("oci.tar"));
    let loaded = read(&mut storage.podman(&["pull", "--quiet", &archive]))?;
    let options = visit.door("");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let words = [&["push", "--quiet"], &options[..], &[loaded.trim(), &name]].concat();
    read(&mut storage.podman(&words))?;
    let place = format!("docker://{name}");
    let mut ends = Vec::new();
    for image in [NAME, &place] {
        let ended = visit
            .ounce(&["--quiet", "run", image, "--", "--help"])
            .output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(
            ended.status.code().is_some_and(|code| code < 125),
            "{image}: {}: {said}",
            ended.status
        );
        ends.push((ended.status.code(), ended.stdout, said));
    }
    ensure!(ends[0] == ends[1], "{ends:?}");
    Ok(())
}

fn logins(visit: &Visit<'_>) -> Result<()> {
    let host = visit.registry.host();
    let name = format!("docker://{}", visit.name("judged/hello:1"));
    read(
        command(&["skopeo", "inspect", "--tls-verify=false", "--authfile"])
            .args([&visit.login(), &name]),
    )?;
    let other = visit.case.path("skopeo-login.json");
    read(
        command(&[
            "skopeo",
            "login",
            "--tls-verify=false",
            "--authfile",
            &other,
        ])
        .args(["--username", USER.0, "--password", USER.1, &host]),
    )?;
    read(&mut visit.ounce(&["tags", &visit.name("judged/hello"), "--authfile", &other]))?;
    read(&mut visit.ounce(&["logout", &host, "--authfile", &other]))?;
    let refused = visit
        .ounce(&["tags", &visit.name("judged/hello"), "--authfile", &other])
        .output()?;
    ensure!(
        refused.status.code() == Some(5),
        "still let in after logout"
    );
    Ok(())
}

fn mounts(visit: &Visit<'_>) -> Result<()> {
    // By its name in the store ounce knows that the registry has it.
    let known = visit.name("judged/hello:1");
    read(&mut visit.ounce(&["tag", NAME, &known]))?;
    let to = visit.name("judged/elsewhere:1");
    let text = read(&mut visit.ounce(&["--json", "push", NAME, &to]))?;
    let pushed: Value = serde_json::from_str(&text)?;
    ensure!(
        pushed["sent_blobs"] == 0 && pushed["mounted_blobs"] != 0,
        "{pushed}"
    );
    ensure!(visit.digest_there(&to)? == visit.digest_here(NAME)?);
    Ok(())
}

fn tags(visit: &Visit<'_>) -> Result<()> {
    let repository = visit.name("judged/hello");
    read(&mut visit.ounce(&["push", NAME, &format!("{repository}:2")]))?;
    let text = read(&mut visit.ounce(&["--json", "tags", &repository]))?;
    let ours: Value = serde_json::from_str(&text)?;
    let text = read(
        command(&["skopeo", "list-tags"])
            .args(visit.door(""))
            .arg(format!("docker://{repository}")),
    )?;
    let theirs: Value = serde_json::from_str(&text)?;
    ensure!(ours["tags"] == theirs["Tags"], "{ours} and {theirs}");
    // What hangs on the image has tags there as well, made of its digest.
    let all = ours["tags"].as_array().into_iter().flatten();
    let hangs = |tag: &&Value| tag.as_str().is_some_and(|tag| tag.starts_with("sha256-"));
    ensure!(all.filter(|tag| !hangs(tag)).count() == 2, "{ours}");
    read(&mut visit.ounce(&["push", NAME, &visit.name("judged/gone:1")]))?;
    read(&mut visit.ounce(&["rm", &format!("docker://{}", visit.name("judged/gone:1"))]))?;
    let gone = visit
        .ounce(&["pull", &visit.name("judged/gone:1")])
        .output()?;
    ensure!(gone.status.code() == Some(3), "it is still there");
    Ok(())
}

fn zstd(visit: &Visit<'_>) -> Result<()> {
    let name = visit.name("judged/zstd:1");
    read(&mut visit.ounce(&["push", NAME, &name, "--compression", "zstd"]))?;
    let text = read(
        command(&["skopeo", "inspect", "--raw"])
            .args(visit.door(""))
            .arg(format!("docker://{name}")),
    )?;
    ensure!(text.contains("layer.v1.tar+zstd"), "{text}");
    let storage = Storage::new()?;
    read(&mut storage.podman(&["pull", "--quiet", "--tls-verify=false", &name]))?;
    Ok(())
}

/// This registry knows no referrers: the delta is found by the tag of the digest.
fn deltas(visit: &Visit<'_>) -> Result<()> {
    let site = visit.case.path("delta-site");
    fs::create_dir_all(&site)?;
    for (version, text) in [("1", "one"), ("2", "two, which is later")] {
        fs::write(format!("{site}/index.html"), text)?;
        let tag = format!("site:{version}");
        read(&mut visit.ounce(&["build", &site, "-t", &tag]))?;
    }
    let (one, two) = (visit.name("judged/delta:1"), visit.name("judged/delta:2"));
    read(&mut visit.ounce(&["push", "site:1", &one]))?;
    let text = read(&mut visit.ounce(&["--json", "push", "site:2", &two, "--delta-from", "1"]))?;
    let pushed: Value = serde_json::from_str(&text)?;
    ensure!(pushed["deltas"][0]["pushed"] == true, "{pushed}");
    let device = visit.case.path("delta-device");
    read(&mut visit.ounce_on(&device, &["pull", &one]))?;
    let text = read(&mut visit.ounce_on(&device, &["--json", "pull", &two]))?;
    let pulled: Value = serde_json::from_str(&text)?;
    ensure!(
        pulled["deltas"][0]["from"] == pushed["deltas"][0]["from_digest"],
        "{pulled}"
    );
    ensure!(pulled["digest"] == pushed["digest"], "{pulled}");
    read(&mut visit.ounce_on(&device, &["verify"]))?;
    Ok(())
}
