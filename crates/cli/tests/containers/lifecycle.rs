//! From `run -d` to `rm`, as users know it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::bench::{Bench, SLEEP, SOON, send, within};

#[test]
fn a_detached_container_is_listed_read_stopped_waited_for_and_removed() {
    let bench = Bench::new();
    bench.detach("web", &[], "echo out; echo error >&2; exec sleep 1000");
    let found = bench.ps("web");
    assert_eq!(
        (&found["status"], &found["starts"]),
        (&"running".into(), &1.into())
    );
    assert!(within(SOON, || {
        let output = bench.output(&["logs", "web"]);
        (output.stdout, output.stderr) == (b"out\n".into(), b"error\n".into())
    }));
    assert!(bench.succeed(&["ps"]).contains("web"));
    let begin = Instant::now();
    assert_eq!(bench.succeed(&["stop", "web"]), "web\n");
    // Without a handler for SIGTERM, which docker would wait 10 s for.
    assert!(begin.elapsed() < Duration::from_secs(8));
    let found = bench.ps("web");
    assert_eq!(
        (&found["status"], &found["exit_code"]),
        (&"exited".into(), &143.into())
    );
    assert!(!bench.succeed(&["ps"]).contains("web"));
    assert_eq!(bench.succeed(&["wait", "web"]), "143\n");
    assert_eq!(bench.succeed(&["stop", "web"]), "web\n", "a second time");
    bench.succeed(&["rm", "web"]);
    assert!(bench.ps("web").is_null());
    assert!(bench.is_quiet(), "{:?}", bench.processes());
}

#[test]
fn rm_at_the_end_leaves_nothing_and_wait_still_has_the_code() {
    let bench = Bench::new();
    bench.detach("job", &["--rm"], "sleep 0.5; exit 7");
    assert_eq!(bench.succeed(&["wait", "job"]), "7\n");
    assert!(within(SOON, || !bench.container("job").exists()));
    assert_eq!(bench.states(), 0);
    let said = bench.fail(3, &["wait", "job"]);
    assert!(said.contains("there is no container \"job\""), "{said}");
    assert!(said.contains("hint: `ounce ps -a`"), "{said}");
}

#[test]
fn what_cannot_be_started_says_why_by_dockers_codes_and_leaves_nothing() {
    let bench = Bench::new();
    let refused = |code, options: &[&str], program: &str| {
        bench.refused(code, &[&["-d", "--name"], options].concat(), &[program])
    };
    let said = refused(127, &["x"], "/nope");
    assert!(said.contains("executing /nope"), "{said}");
    let said = refused(126, &["x"], "/etc/passwd");
    assert!(said.contains("permission denied"), "{said}");
    let said = refused(125, &["x", "--workdir", "/no"], "/bin/sh");
    assert!(said.contains("entering the folder /no"), "{said}");
    let said = refused(125, &["../x"], "/bin/sh");
    assert!(said.contains("no name for a container"), "{said}");
    bench.fail(125, &["run", "-d", "absent"]);
    assert!(bench.ps("x").is_null());
    assert!(bench.is_quiet());
}

#[test]
fn one_that_fails_is_started_again_so_often_as_was_said() {
    let bench = Bench::new();
    bench.detach(
        "flaky",
        &["--restart", "on-failure:2"],
        "echo start; exit 3",
    );
    assert_eq!(bench.succeed(&["wait", "flaky"]), "3\n");
    let found = bench.ps("flaky");
    assert_eq!(
        (&found["starts"], &found["exit_code"]),
        (&3.into(), &3.into())
    );
    assert_eq!(bench.succeed(&["logs", "flaky"]), "start\nstart\nstart\n");
    bench.detach("well", &["--restart", "on-failure"], "exit 0");
    assert_eq!(bench.succeed(&["wait", "well"]), "0\n");
    assert_eq!(bench.ps("well")["starts"], 1);
    let root = bench.root();
    let words = ["run", "--restart", "always", "-d", root.to_str().unwrap()];
    assert!(bench.fail(125, &words).contains("systemd"));
}

#[test]
fn one_that_is_stopped_between_two_starts_or_by_a_signal_is_not_started_again() {
    let bench = Bench::new();
    bench.detach("loop", &["--restart", "on-failure"], "exit 1");
    // By now the pauses are 0.4 s long and more.
    assert!(within(SOON, || bench.ps("loop")["starts"].as_u64() >= Some(3)));
    assert!(within(SOON, || bench.ps("loop")["status"] == "restarting"));
    bench.succeed(&["stop", "loop"]);
    let found = bench.ps("loop");
    assert_eq!(found["status"], "exited");
    bench.detach("hit", &["--restart", "on-failure"], "exec sleep 1000");
    bench.succeed(&["kill", "hit"]);
    assert_eq!(bench.succeed(&["wait", "hit"]), "137\n");
    assert_eq!(bench.ps("hit")["starts"], 1);
    assert!(bench.is_quiet());
}

#[test]
fn signals_reach_the_programs_handler_by_name_and_number() {
    let bench = Bench::new();
    let script =
        "trap 'echo got; exit 5' USR1; trap '' INT; echo ready; while :; do sleep 0.05; done";
    bench.detach("deaf", &[], script);
    assert!(within(SOON, || bench.succeed(&["logs", "deaf"]) == "ready\n"));
    bench.succeed(&["kill", "-s", "INT", "deaf"]);
    bench.succeed(&["kill", "--signal", "SIGUSR1", "deaf"]);
    assert_eq!(bench.succeed(&["wait", "deaf"]), "5\n");
    assert_eq!(bench.succeed(&["logs", "deaf"]), "ready\ngot\n");
    let said = bench.fail(3, &["kill", "deaf"]);
    assert!(said.contains("not running: it is exited"), "{said}");
    assert!(
        bench
            .fail(2, &["kill", "-s", "NONE", "deaf"])
            .contains("NONE")
    );
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_its_time() {
    let bench = Bench::new();
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    bench.detach("deaf", &["--stop-timeout", "0.3"], script);
    assert!(within(SOON, || bench.succeed(&["logs", "deaf"]) == "ready\n"));
    let begin = Instant::now();
    bench.succeed(&["stop", "deaf"]);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(bench.succeed(&["wait", "deaf"]), "137\n");
    bench.detach("deaf2", &[], script);
    assert!(within(SOON, || bench.succeed(&["logs", "deaf2"]) == "ready\n"));
    bench.succeed(&["stop", "-t", "0", "deaf2"]);
    assert_eq!(bench.succeed(&["wait", "deaf2"]), "137\n");
}

#[test]
fn a_keeper_that_is_asked_to_end_asks_its_container_first() {
    let bench = Bench::new();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    bench.detach("web", &["--restart", "on-failure"], script);
    assert!(within(SOON, || bench.succeed(&["logs", "web"]) == "ready\n"));
    send(bench.keeper("web"), Signal::TERM);
    assert_eq!(bench.succeed(&["wait", "web"]), "0\n");
    assert_eq!(bench.succeed(&["logs", "web"]), "ready\nbye\n");
    // One without a handler, which the kernel shields, is not waited for.
    bench.detach("deaf", &["--restart", "on-failure"], "exec sleep 1000");
    let begin = Instant::now();
    send(bench.keeper("deaf"), Signal::TERM);
    assert_eq!(bench.succeed(&["wait", "deaf"]), "143\n");
    assert!(begin.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_log_is_followed_to_the_end_cut_by_lines_and_times_and_bounded() {
    let bench = Bench::new();
    bench.detach(
        "talk",
        &[],
        "for i in 1 2 3; do echo line $i; sleep 0.2; done; printf end",
    );
    assert_eq!(
        bench.succeed(&["logs", "-f", "talk"]),
        "line 1\nline 2\nline 3\nend"
    );
    assert_eq!(
        bench.succeed(&["logs", "--tail", "2", "talk"]),
        "line 3\nend"
    );
    let stamped = bench.succeed(&["logs", "-t", "talk"]);
    let (time, text) = stamped.lines().next().unwrap().split_once(' ').unwrap();
    assert_eq!(
        (text, time.len()),
        ("line 1", "2026-01-01T00:00:00.000000000Z".len())
    );
    let (last, _) = stamped.lines().nth(2).unwrap().split_once(' ').unwrap();
    assert_eq!(
        bench.succeed(&["logs", "--since", last, "talk"]),
        "line 3\nend"
    );
    assert_eq!(
        bench.succeed(&["logs", "--since", "2100-01-01T00:00:00Z", "talk"]),
        ""
    );
    // Five times what it may keep.
    bench.detach("flood", &["--log-size", "64KiB"], "seq 1 40000; echo last");
    bench.succeed(&["wait", "flood"]);
    let size = |name: &str| {
        fs::metadata(bench.container("flood").join(name))
            .unwrap()
            .len()
    };
    assert!(size("log") <= 65536 && size("log.1") <= 65536);
    let kept = bench.succeed(&["logs", "flood"]);
    assert!(kept.ends_with("40000\nlast\n"), "{}", kept.len());
    // The first may be but the end of a line.
    let mut lines = kept.lines().skip(1);
    let second: u32 = lines.next().unwrap().parse().unwrap();
    let rest: Vec<u32> = lines.filter_map(|line| line.parse().ok()).collect();
    assert!(rest.into_iter().eq(second + 1..=40000), "a line is missing");
}

#[test]
fn long_lines_come_back_whole() {
    let bench = Bench::new();
    let script = "head -c 20000 /dev/zero | tr '\\0' x; echo; echo short";
    bench.detach("long", &[], &script.replace("tr ", "/bin/busybox tr "));
    bench.succeed(&["wait", "long"]);
    let text = bench.succeed(&["logs", "long"]);
    let lengths: Vec<usize> = text.lines().map(str::len).collect();
    assert_eq!(lengths, [20000, 5]);
}

#[test]
fn a_keeper_stands_in_less_than_100_kilobytes_whatever_it_has_written() {
    let bench = Bench::new();
    bench.detach(
        "web",
        &["--log-size", "256KiB"],
        "seq 1 100000; echo done; exec sleep 1000",
    );
    assert!(within(SOON, || bench.succeed(&["logs", "-n", "1", "web"])
        == "done\n"));
    let keeper = bench.keeper("web");
    let text = fs::read_to_string(format!("/proc/{keeper}/smaps_rollup")).unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    eprintln!(
        "keeper: Rss {} KB, Pss {} KB",
        kilobytes("Rss:"),
        kilobytes("Pss:")
    );
    assert!(kilobytes("Rss:") <= 100, "{text}");
    // Neither what was open where it was started, nor anything of ounce.
    let files = fs::read_dir(format!("/proc/{keeper}/fd")).unwrap().count();
    assert!(files <= 10, "{files} files");
}

/// The answer of whoever listens there.
fn ask(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn a_published_port_is_served_over_a_restart() {
    let bench = Bench::new();
    let script = "httpd -f -p 8080 -h /www";
    bench.detach("web", &["-p", ":8080", "--restart", "on-failure"], script);
    let found = bench.ps("web");
    let address = found["ports"][0]["address"].as_str().unwrap().to_owned();
    let serves = || ask(&address).is_some_and(|answer| answer.ends_with("hello\n"));
    assert!(within(SOON, serves));
    let pid = bench.running("web")["pid"].as_i64().unwrap() as i32;
    send(pid, Signal::KILL);
    assert!(within(SOON, || bench.ps("web")["starts"] == 2));
    assert_eq!(bench.ps("web")["ports"][0]["address"], address.as_str());
    assert!(within(SOON, serves));
    bench.succeed(&["stop", "web"]);
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    // The proxy may take a second to deliver what is under way.
    assert!(within(SOON, || TcpStream::connect(&address).is_err()));
}

#[test]
fn a_named_container_in_the_foreground_is_seen_and_stopped_by_others() {
    let bench = Bench::new();
    let mut child = bench.foreground("fore");
    let again = bench.refused(125, &["--name", "fore"], SLEEP);
    assert!(again.contains("is taken"), "{again}");
    bench.succeed(&["stop", "fore"]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(bench.ps("fore")["exit_code"], 143);
    bench.succeed(&["rm", "fore"]);
    bench.refused(4, &["--rm", "--name", "fore"], &["/bin/sh", "-c", "exit 4"]);
    assert!(bench.ps("fore").is_null());
}

#[test]
fn rm_tells_containers_from_images_and_refuses_what_is_both() {
    let bench = Bench::new();
    crate::bench::copy(crate::bench::busybox(), &bench.path("app"));
    bench.succeed(&["build", "app"]);
    bench.detach("app", &[], "exec sleep 1000");
    let said = bench.fail(2, &["rm", "app"]);
    assert!(said.contains("a container and an image"), "{said}");
    assert!(said.contains("ounce rm --container app"), "{said}");
    let said = bench.fail(3, &["rm", "--container", "app"]);
    assert!(
        said.contains("is running") && said.contains("rm -f app"),
        "{said}"
    );
    bench.succeed(&["rm", "-f", "--container", "app"]);
    assert!(bench.ps("app").is_null());
    bench.succeed(&["rm", "app"]);
    let said = bench.fail(3, &["rm", "app"]);
    assert!(said.contains("ounce ps -a"), "{said}");
    assert!(bench.is_quiet());
}

#[test]
fn options_of_docker_mean_what_they_mean_there() {
    let bench = Bench::new();
    fs::write(bench.path("vars"), "# a comment\n\nA=from file\nB=2\n").unwrap();
    let script =
        "echo $A $B; hostname; pwd; id -u; echo x > /tmp/y && cat /tmp/y; echo no > /no || true";
    let options = [
        "--env-file",
        "vars",
        "-e",
        "A=1",
        "--hostname",
        "box",
        "-w",
        "/www",
        "-u",
        "1000:1000",
        "--label",
        "team=core",
        "--label",
        "bare",
        "--read-only",
    ];
    bench.detach("all", &options, script);
    bench.succeed(&["wait", "all"]);
    let output = bench.output(&["logs", "all"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "1 2\nbox\n/www\n1000\nx\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"));
    let found = bench.ps("all");
    assert_eq!(found["labels"]["team"], "core");
    assert_eq!(found["labels"]["bare"], "");
    fs::write(bench.path("vars"), "A B=2\n").unwrap();
    let root = bench.root();
    let said = bench.fail(
        125,
        &["run", "-d", "--env-file", "vars", root.to_str().unwrap()],
    );
    assert!(said.contains("--env-file vars: line 1"), "{said}");
}

#[test]
fn mounts_by_name_sizes_of_tmpfs_and_an_open_input_are_as_with_docker() {
    let bench = Bench::new();
    fs::write(bench.path("note"), "from the host\n").unwrap();
    let bind = format!(
        "type=bind,source={},target=/note,readonly",
        bench.path("note").display()
    );
    let script = "cat /note; grep -o 'size=[0-9]*k' /proc/mounts | sort -u; \
        dd if=/dev/zero of=/small/x bs=1024 count=200 2>/dev/null || echo full; cat; echo closed";
    let script = script.replace("sort", "busybox sort");
    let options = [
        "-i",
        "--mount",
        &bind,
        "--mount",
        "type=tmpfs,target=/big,tmpfs-size=3m",
        "--tmpfs",
        "/small:size=100k",
    ];
    bench.detach("box", &options, &script);
    let text = || bench.succeed(&["logs", "box"]);
    assert!(within(SOON, || text().contains("full\n")), "{}", text());
    assert!(text().starts_with("from the host\n"));
    for size in ["size=3072k", "size=100k"] {
        assert!(text().contains(size), "{}", text());
    }
    // With -i the input stays open, though nobody is there to write.
    assert_eq!(bench.ps("box")["status"], "running");
    assert!(!text().contains("closed"));
    let root = bench.root();
    let root = root.to_str().unwrap();
    let mount = "type=bind,target=/x";
    let words = ["run", "--mount", mount, root, "--", "/bin/true"];
    let said = bench.fail(125, &words);
    assert!(said.contains("it names no source"), "{said}");
}

#[test]
fn a_detached_container_with_a_terminal_is_logged_and_ends_with_its_program() {
    let bench = Bench::new();
    bench.detach(
        "tty",
        &["-it"],
        "test -t 0 && test -t 1 && test -t 2 && echo terminal; echo bye",
    );
    assert_eq!(bench.succeed(&["wait", "tty"]), "0\n");
    let text = bench.succeed(&["logs", "tty"]);
    assert_eq!(text, "terminal\r\nbye\r\n");
    assert!(bench.is_quiet(), "{:?}", bench.processes());
}
