//! What the server gives up before it serves: its user, its groups, the system
//! calls and the files that it does not need. Read from outside, by the kernel.

use crate::harness::{Server, Site};
use crate::program::{is_root, is_skipped, program, skip};
use std::fs;
use std::process::Command;

#[test]
fn started_as_root_it_serves_as_nobody_in_particular() {
    if !is_root() {
        return skip("dropping root needs root");
    }
    for (options, user, group) in [
        (&[][..], "65532", "65532"),
        (&["--user", "1234:2345"], "1234", "2345"),
        (&["--user=77"], "77", "77"),
    ] {
        let server = Site::new().serve(options);
        assert_eq!(server.get("/").text(), "<p>hi\n");
        let four = |id: &str| [id; 4].join("\t");
        assert_eq!(server.status("Uid"), four(user), "{options:?}");
        assert_eq!(server.status("Gid"), four(group), "{options:?}");
        assert_eq!(server.status("Groups"), "", "{options:?}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(server.status(set), "0000000000000000", "{set}");
        }
    }
}

#[test]
fn started_as_another_user_it_stays_that_user() {
    if !is_root() {
        return skip("becoming another user needs root");
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=4321", "--regid=4322", "--clear-groups", "--"])
        .arg(program())
        .args(["--user", "1"]);
    // The stderr of the harness is open already; the site is readable by all.
    let server = Server::start(Site::new(), &mut command);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    assert_eq!(server.status("Uid"), ["4321"; 4].join("\t"));
}

#[test]
fn seccomp_is_in_force_and_can_be_left_out() {
    let server = Site::new().serve(&[]);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    assert_eq!(server.status("NoNewPrivs"), "1");
    assert_eq!(server.status("Seccomp"), "2", "a filter");
    let server = Site::new().serve(&["--no-sandbox"]);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    assert_eq!(server.status("Seccomp"), "0");
    if is_root() {
        assert_eq!(
            server.status("Uid"),
            ["65532"; 4].join("\t"),
            "the user is dropped all the same"
        );
    }
}

#[test]
fn landlock_is_in_force_before_the_first_request() {
    if is_skipped(
        Command::new("strace").arg("--version"),
        "strace is not installed",
    ) {
        return;
    }
    let site = Site::new();
    let trace = site.folder.join("trace");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o"]).arg(&trace).arg(program());
    let server = Server::start(site, &mut command);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    let calls = fs::read_to_string(&trace).expect("trace");
    let line = |name: &str| calls.lines().position(|line| line.contains(name));
    let Some(ruleset) = line("landlock_create_ruleset(") else {
        panic!("it does not ask for Landlock:\n{calls}");
    };
    if calls
        .lines()
        .nth(ruleset)
        .is_some_and(|line| line.contains("ENOSYS") || line.contains("EOPNOTSUPP"))
    {
        return skip("this kernel has no Landlock");
    }
    let restrict = line("landlock_restrict_self(").expect("a restriction");
    assert!(
        calls
            .lines()
            .nth(restrict)
            .is_some_and(|line| line.ends_with("= 0")),
        "{calls}"
    );
    let first = line("accept").expect("an accept");
    let filter = line("SECCOMP_SET_MODE_FILTER")
        .or_else(|| line("PR_SET_SECCOMP"))
        .expect("a filter");
    assert!(
        restrict < first && filter < first,
        "it accepts before it is closed in:\n{calls}"
    );
}

#[test]
fn no_memory_can_be_written_and_run() {
    for options in [&[][..], &["--tiny"]] {
        let server = Site::new().serve(options);
        server.get("/");
        let maps = fs::read_to_string(format!("/proc/{}/maps", server.child.id())).expect("maps");
        assert!(
            !maps.lines().any(|line| line
                .split(' ')
                .nth(1)
                .is_some_and(|mode| mode.starts_with("rwx") || mode.starts_with("-wx"))),
            "{maps}"
        );
    }
}

#[test]
fn it_needs_no_files_but_itself_and_the_site() {
    if !is_root() {
        return skip("chroot needs root");
    }
    let site = Site::new();
    let inside = site.folder.join("httpd");
    fs::copy(program(), &inside).expect("copy");
    let port = crate::harness::free_port();
    let mut command = Command::new("chroot");
    command
        .arg(&site.folder)
        .args(["/httpd", "--port", &port.to_string(), "/root"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let server = Server::start_as_is(site, &mut command, port);
    assert_eq!(server.get("/").text(), "<p>hi\n");
    assert_eq!(server.get("/nothing").status, 404);
}
