//! Bases put together from Debian's real packages, judged by Debian's own
//! tools: dpkg on their records, ldconfig on the loader's cache, Python and
//! OpenSSL by running in them. Where no mirror answers, all of it is skipped.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Bench, Case};
use crate::tool::{command, read};

/// Each base: most bytes of its layer as pulled (issue 6, section 6), and how
/// many it may unpack to where that is said.
const BARS: [(&str, u64, Option<u64>); 5] = [
    ("distroless-static", 720_000, None),
    ("distroless-base", 8_200_000, None),
    ("distroless-cc", 9_200_000, None),
    ("distroless-python3", 20_300_000, None),
    ("debian-slim", 28_300_000, Some(78_300_000)),
];

/// What `debian-slim` leaves out of packages, told to dpkg.
const LEFT_OUT: [&str; 5] = ["doc", "info", "lintian", "locale", "man"];

/// ounce's code for a network that does not answer.
const NETWORK: i32 = 5;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    match reachable(case) {
        Ok(true) => {}
        Ok(false) => {
            bench.tally.skipped += 1;
            println!("  skip bases from Debian's packages: no mirror answers");
            return;
        }
        Err(error) => {
            bench.check("ounce puts a base together", &[], || Err(error));
            return;
        }
    }
    for (base, most, unpacked) in BARS {
        bench.check(&format!("{base} keeps within its bar"), &[], || {
            sizes(case, base, most, unpacked)
        });
    }
    bench.check(
        "the same lock gives the same base in another store",
        &[],
        || {
            let digest = |store: &str| -> Result<String> {
                let mut ounce = command(&[case.ounce]);
                ounce.args([
                    "--json",
                    "--store",
                    &case.path(store),
                    "base",
                    "debian-slim",
                ]);
                let text = read(ounce.args(["--offline", "--lock", &lock(case)]))?;
                let document: Value = serde_json::from_str(&text)?;
                Ok(document["digest"].as_str().context("no digest")?.to_owned())
            };
            let (one, other) = (digest("store-one")?, digest("store-other")?);
            ensure!(one == other, "{one}, then {other}");
            Ok(())
        },
    );
    bench.check(
        "dpkg lists, verifies and audits debian-slim",
        &["dpkg", "tar"],
        || dpkg(&unpacked(case, "debian-slim")?),
    );
    bench.check(
        "ldconfig reads the loader's cache and makes the same",
        &["ldconfig", "tar"],
        || ldconfig(&unpacked(case, "debian-slim")?),
    );
    bench.check(
        "Python runs in distroless-python3, with TLS, SQLite and ctypes",
        &[],
        || {
            let program = "import ssl, sqlite3, ctypes, bz2, lzma, zlib, subprocess\n\
            roots = len(ssl.create_default_context().get_ca_certs())\n\
            assert roots > 100, roots\n\
            assert sqlite3.connect(':memory:').execute('select 6 * 7').fetchone() == (42,)\n\
            print(subprocess.check_output('echo $((6 * 7))', shell=True).decode().strip())";
            let said = inside(
                case,
                "distroless-python3",
                "/usr/bin/python3",
                &["-c", program],
            )?;
            ensure!(said.trim() == "42", "it said {said:?}");
            Ok(())
        },
    );
    bench.check(
        "OpenSSL runs in debian-slim and believes its certificates",
        &[],
        || {
            let mut ounce = case.ounce(&["-q", "base", "debian-slim", "-t", "with-openssl"]);
            read(ounce.args(["--with", "openssl", "--with", "ca-certificates"]))?;
            let verify = "openssl verify /etc/ssl/certs/ISRG_Root_X1.pem";
            let said = inside(case, "with-openssl", "/bin/sh", &["-c", verify])?;
            ensure!(said.contains("OK"), "it said {said:?}");
            Ok(())
        },
    );
    bench.check(
        "a shell, dpkg, apt and Perl run in debian-slim",
        &[],
        || {
            let script = "set -e; dpkg -l >/dev/null; apt-get --version >/dev/null; \
            perl -e 'print 42'; awk 'BEGIN {print 42}' >/dev/null; getent passwd _apt";
            let said = inside(case, "debian-slim", "/bin/bash", &["-c", script])?;
            ensure!(said.starts_with("42_apt:x:42:"), "it said {said:?}");
            Ok(())
        },
    );
}

fn lock(case: &Case<'_>) -> String {
    case.path("bases.lock")
}

/// Puts the first base together; `false` where the network does not answer.
fn reachable(case: &Case<'_>) -> Result<bool> {
    let output = base(case, "distroless-static").output()?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(NETWORK) => Ok(false),
        _ => bail!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn base(case: &Case<'_>, name: &str) -> Command {
    case.ounce(&["-q", "--json", "base", name, "--lock", &lock(case)])
}

fn sizes(case: &Case<'_>, name: &str, most: u64, unpacked: Option<u64>) -> Result<()> {
    let made: Value = serde_json::from_str(&read(&mut base(case, name))?)?;
    let layer = made["layer_bytes"].as_u64().context("no layer_bytes")?;
    let weighed: Value = serde_json::from_str(&read(&mut case.ounce(&["--json", "weigh", name]))?)?;
    let content = weighed["images"][0]["unpacked_bytes"]
        .as_u64()
        .or_else(|| weighed["images"][0]["weight"]["unpacked_bytes"].as_u64());
    println!(
        "       {name}: layer {layer}, content {}, {} packages",
        content.map_or("?".to_owned(), |bytes| bytes.to_string()),
        made["packages"].as_array().map_or(0, Vec::len),
    );
    ensure!(
        layer <= most,
        "its layer has {layer} bytes, more than {most}"
    );
    if let (Some(bar), Some(bytes)) = (unpacked, content) {
        ensure!(bytes <= bar, "it unpacks to {bytes} bytes, more than {bar}");
    }
    Ok(())
}

/// A base's only layer as a folder.
fn unpacked(case: &Case<'_>, name: &str) -> Result<PathBuf> {
    let folder = case.scratch.join(&format!("root-{name}"));
    if folder.exists() {
        return Ok(folder);
    }
    let layout = case.path(&format!("layout-{name}"));
    read(&mut case.ounce(&["copy", name, &format!("oci:{layout}")]))?;
    let image: Value = serde_json::from_str(&read(&mut case.ounce(&["inspect", name]))?)?;
    let digest = image["manifest"]["layers"][0]["digest"].as_str();
    let hex = digest
        .and_then(|text| text.strip_prefix("sha256:"))
        .context("no layer")?;
    fs::create_dir_all(&folder)?;
    let mut tar = command(&["tar", "--extract", "--gzip", "--file"]);
    read(
        tar.arg(format!("{layout}/blobs/sha256/{hex}"))
            .arg("--directory")
            .arg(&folder),
    )?;
    Ok(folder)
}

fn dpkg(root: &std::path::Path) -> Result<()> {
    let at = format!("--root={}", root.display());
    let listed = read(&mut command(&["dpkg", &at, "-l"]))?;
    let installed = listed
        .lines()
        .filter(|line| line.starts_with("ii "))
        .count();
    let others = listed
        .lines()
        .skip(5)
        .filter(|line| !line.starts_with("ii "))
        .count();
    ensure!(
        installed > 50 && others == 0,
        "{installed} installed, {others} not wholly:\n{listed}"
    );
    let mut verify = command(&["dpkg", &at, "--verify"]);
    let missing = String::from_utf8(verify.output()?.stdout)?;
    let is_left_out = |line: &&str| {
        LEFT_OUT
            .iter()
            .any(|folder| line.contains(&format!(" /usr/share/{folder}/")))
    };
    let wrong: Vec<&str> = missing.lines().filter(|line| !is_left_out(line)).collect();
    ensure!(wrong.is_empty(), "dpkg --verify says {wrong:?}");
    let audit = read(&mut command(&["dpkg", &at, "--audit"]))?;
    ensure!(audit.trim().is_empty(), "dpkg --audit says {audit}");
    Ok(())
}

/// `name (kind) => path` of each library in a cache, sorted.
fn libraries(cache: &str) -> Result<Vec<String>> {
    let text = read(&mut command(&["ldconfig", "-p", "-C", cache]))?;
    let lines = text.lines().filter(|line| line.contains("=>"));
    let mut lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    lines.sort();
    Ok(lines)
}

fn ldconfig(root: &std::path::Path) -> Result<()> {
    let own = libraries(&root.join("etc/ld.so.cache").display().to_string())?;
    let theirs = root.join("theirs.cache");
    let at = root.display().to_string();
    read(&mut command(&[
        "ldconfig",
        "-r",
        &at,
        "-X",
        "-C",
        "/theirs.cache",
    ]))?;
    let expected = libraries(&theirs.display().to_string())?;
    fs::remove_file(theirs)?;
    let differ: Vec<&String> = expected
        .iter()
        .filter(|line| !own.contains(line))
        .chain(own.iter().filter(|line| !expected.contains(line)))
        .collect();
    ensure!(differ.is_empty(), "these differ: {differ:?}");
    Ok(())
}

/// What a program in a base says.
fn inside(case: &Case<'_>, image: &str, program: &str, arguments: &[&str]) -> Result<String> {
    let mut ounce = case.ounce(&["run", image, "--entrypoint", program, "--"]);
    read(ounce.args(arguments))
}
