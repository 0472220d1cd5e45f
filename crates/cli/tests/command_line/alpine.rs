//! Programs on bases of Alpine's packages, from a repository made here.

#[path = "../../../build/tests/build/alpine/repository.rs"]
#[allow(dead_code)]
mod repository;
#[path = "../../../build/tests/build/alpine/system.rs"]
mod system;

use repository::{Package, Repository};

use crate::harness::Workbench;
use crate::programs::prints;

/// A workbench with a repository, a folder of keys and a program.
fn bench(busybox: &[u8]) -> (Workbench, Repository) {
    let bench = Workbench::new();
    let repository = system::repository(&bench.path("mirror/v3.22/main"), busybox);
    std::fs::rename(bench.path("mirror/v3.22/main/keys"), bench.path("keys")).unwrap();
    bench.program("hi", prints("hi\n", 0));
    (bench, repository)
}

fn mirror(bench: &Workbench) -> String {
    format!("file://{}", bench.path("mirror").display())
}

/// The host's busybox, if it runs anywhere.
fn busybox() -> Option<Vec<u8>> {
    let path = ["/bin/busybox", "/usr/bin/busybox"];
    let found = path.iter().find_map(|path| std::fs::read(path).ok())?;
    // Linked statically: it names no loader.
    let dynamic = found
        .windows(7)
        .any(|part| part == b"/ld-lin" || part == b"/ld-mus");
    (!dynamic).then_some(found)
}

#[test]
fn a_program_stands_on_alpine_and_a_shell_beside_it_runs() {
    let Some(busybox) = busybox() else {
        eprintln!("skipped: no static busybox on this machine");
        return;
    };
    let (bench, _repository) = bench(&busybox);
    let mirror = mirror(&bench);
    let from = ["--mirror", &mirror, "--keys", "keys"];
    bench.succeed(&[&["build", "hi", "--base", "alpine"][..], &from].concat());
    assert_eq!(bench.succeed(&["run", "hi"]), "hi\n");
    bench.succeed(&[&["base", "alpine-core"][..], &from].concat());
    let script = "echo $PATH; cat /lib/apk/db/installed | busybox grep ^P: ; ls -l /bin/sh";
    let said = bench.succeed(&["run", "alpine-core", "--", "sh", "-c", script]);
    assert!(
        said.starts_with(
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nP:busybox\n"
        ),
        "{said}"
    );
    assert!(said.contains("/bin/sh -> /bin/busybox"), "{said}");
    let listed = bench.succeed(&["weigh", "hi", "--json"]);
    assert!(listed.contains("alpine-baselayout-data"), "{listed}");
}

#[test]
fn a_project_pins_its_base_and_update_moves_it() {
    let (bench, mut repository) = bench(b"busybox");
    let toml = format!(
        "[base]\nname = \"alpine-core\"\n[base.alpine]\nmirror = \"{}\"\nkeys = [\"../keys\"]\n",
        mirror(&bench)
    );
    bench.file("site/ounce.toml", toml);
    bench.file("site/index.html", "hello");
    bench.succeed(&["build", "site"]);
    let lock = || std::fs::read_to_string(bench.path("site/ounce.lock")).unwrap();
    assert!(
        lock().contains("from = \"alpine v3.22 main\""),
        "{}",
        lock()
    );
    assert!(
        lock().contains("path = \"musl-1.2.5-r10.apk\""),
        "{}",
        lock()
    );
    repository.add(&Package::new("musl", "1.2.6-r0").provides("so:libc.musl-x86_64.so.1=1"));
    repository.publish();
    let before = lock();
    bench.succeed(&["build", "site"]);
    assert_eq!(lock(), before);
    let mirror = mirror(&bench);
    let update = ["update", "site", "--mirror", &mirror, "--keys", "keys"];
    let told = bench.output(&[&update[..], &["--check"]].concat());
    assert_eq!((told.status.code(), lock()), (Some(1), before));
    let said = bench.succeed(&update);
    assert!(
        said.contains("1.2.5-r10") && said.contains("1.2.6-r0"),
        "{said}"
    );
    assert!(
        lock().contains("path = \"musl-1.2.6-r0.apk\""),
        "{}",
        lock()
    );
    bench.succeed(&["build", "site"]);
}

#[test]
fn what_goes_wrong_is_told_with_what_to_do() {
    let (bench, repository) = bench(b"busybox");
    let mirror = mirror(&bench);
    let base = |more: &[&str]| {
        bench.picture(&[&["base", "alpine", "--mirror", &mirror][..], more].concat())
    };
    std::fs::create_dir(bench.path("none")).unwrap();
    insta::assert_snapshot!(base(&["--keys", "none"]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: no keys to verify Alpine's indexes with
    caused by: no key (*.rsa.pub) in none
    hint: --keys DIR, or keys in [base.alpine]: a folder with Alpine's public keys, which its package alpine-keys brings to /etc/apk/keys
    "#);
    insta::assert_snapshot!(base(&["--keys", "keys", "--with", "ngnix"]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: no set of packages makes the base
    caused by: the base needs ngnix, which no package of these repositories provides
    hint: another repository may have it: --repository main --repository community, or `repositories` in [base.alpine]
    "#);
    insta::assert_snapshot!(base(&["--keys", "keys", "--platform", "linux/mips"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: Alpine has no packages for linux/mips
    hint: Alpine is built for linux/amd64, arm64, arm/v7, arm/v6, 386, ppc64le, s390x, riscv64 and loong64
    "#);
    insta::assert_snapshot!(base(&["--keys", "keys", "--suite", "v9"]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: reading [DIR]/mirror/v9/main/x86_64/APKINDEX.tar.gz
    caused by: No such file or directory (os error 2)
    "#);
    let said = base(&["--keys", "keys", "--with", "redis"]);
    let note =
        "note: left out of redis: its post-install script would: rc-update add redis default\n";
    assert!(
        said.starts_with("status: 0") && said.contains(note),
        "{said}"
    );
    repository.write_index(&repository.index());
    insta::assert_snapshot!(base(&["--keys", "keys", "--tag", "other"]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: the index file://[DIR]/mirror/v3.22/main/x86_64/APKINDEX.tar.gz
    caused by: it is not signed
    hint: abuild-sign signs a repository's index; one without signature is not used
    "#);
}
