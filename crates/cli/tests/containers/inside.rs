//! What looks into a container that runs: exec, debug, stats, inspect.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::bench::{Bench, SOON, within};

#[test]
fn a_further_program_has_the_containers_namespaces_rights_and_limits() {
    let bench = Bench::new();
    bench.detach("web", &["-e", "A=1", "-w", "/www"], "exec sleep 1000");
    let inside = |link: &str| bench.succeed(&["exec", "web", "/bin/busybox", "readlink", link]);
    for space in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        let pid = bench.running("web")["pid"].clone();
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{space}")).unwrap();
        assert_eq!(
            inside(&format!("/proc/self/ns/{space}")).trim(),
            theirs.to_str().unwrap()
        );
    }
    let script = "echo $A $B; pwd; id -u; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status";
    let text = bench.succeed(&["exec", "-e", "B=2", "web", "sh", "-c", script]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["1 2", "/www", "65532"]);
    let sets: Vec<&&str> = lines[3..]
        .iter()
        .filter(|line| line.starts_with("Cap"))
        .collect();
    assert!(
        sets.len() == 5 && sets.iter().all(|line| line.ends_with("\t0000000000000000")),
        "{text}"
    );
    assert!(
        text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"),
        "{text}"
    );
    let limits = bench.succeed(&["exec", "web", "cat", "/proc/self/limits"]);
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(
        (limit("Max core file size"), limit("Max processes")),
        ("0".into(), "1024".into())
    );
}

#[test]
fn exec_passes_codes_and_streams_on_as_docker_does() {
    let bench = Bench::new();
    bench.detach("web", &[], "exec sleep 1000");
    bench.fail(9, &["exec", "web", "sh", "-c", "exit 9"]);
    let said = bench.fail(127, &["exec", "web", "nope"]);
    assert!(
        said.contains("hint: the container has no such program"),
        "{said}"
    );
    bench.fail(126, &["exec", "web", "/etc/passwd"]);
    bench.fail(137, &["exec", "web", "sh", "-c", "kill -9 $$"]);
    let said = bench.fail(125, &["exec", "absent", "id"]);
    assert!(said.contains("no container \"absent\""), "{said}");
    let mut child = bench
        .ounce(&["exec", "-i", "web", "sh", "-c", "cat; echo error >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"in").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"in"[..], &b"error\n"[..])
    );
    // Without -i there is nothing to read.
    assert_eq!(bench.succeed(&["exec", "web", "cat"]), "");
    bench.succeed(&["exec", "-d", "web", "sleep", "999"]);
    assert!(bench.succeed(&["exec", "web", "ps"]).contains("sleep 999"));
    bench.succeed(&["stop", "web"]);
    assert!(
        bench
            .fail(125, &["exec", "web", "id"])
            .contains("is exited")
    );
    assert!(bench.is_quiet(), "{:?}", bench.processes());
}

#[test]
fn a_further_program_can_have_a_terminal() {
    let bench = Bench::new();
    bench.detach("web", &[], "exec sleep 1000");
    // script(1) gives ounce one.
    let ounce = crate::bench::ounce().display();
    let line = format!("{ounce} exec -it web sh -c 'tty; stty size; exit 4'");
    let output = bench
        .ounce(&[])
        .get_envs()
        .fold(
            &mut std::process::Command::new("script"),
            |command, (name, value)| match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            },
        )
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("script, of bsdutils, is needed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("/dev/pts/0"), "{text}");
}

#[test]
fn what_it_uses_is_counted() {
    let bench = Bench::new();
    bench.detach("busy", &[], "while :; do :; done");
    bench.detach("idle", &[], "exec sleep 1000");
    let busy = || -> Value {
        let all: Value = serde_json::from_str(&bench.succeed(&["stats", "--json"])).unwrap();
        assert_eq!(all["schema"], "ounce.stats/1");
        all["containers"].clone()
    };
    assert!(within(SOON, || busy()[0]["cpu_percent"].as_f64() > Some(5.0)));
    let found = busy();
    assert_eq!(
        (&found[0]["name"], &found[1]["name"]),
        (&"busy".into(), &"idle".into())
    );
    assert_eq!(found[1]["cpu_percent"].as_f64(), Some(0.0));
    assert_eq!(found[0]["processes"], 1);
    assert!(found[1]["memory_bytes"].as_u64() > Some(4096));
    assert_eq!(found[1]["received_bytes"], 0);
    let table = bench.succeed(&["stats", "idle"]);
    assert!(
        table.contains("PROCESSES") && !table.contains("busy"),
        "{table}"
    );
    assert!(bench.fail(3, &["stats", "absent"]).contains("absent"));
}

#[test]
fn inspect_shows_what_was_wanted_and_what_became_of_it() {
    let bench = Bench::new();
    bench.detach("web", &["--label", "a=b", "--tmpfs", "/www"], "exit 3");
    bench.succeed(&["wait", "web"]);
    let found: Value = serde_json::from_str(&bench.succeed(&["inspect", "web"])).unwrap();
    assert_eq!(found["schema"], "ounce.inspect-container/1");
    assert_eq!(
        (&found["status"], &found["exit_code"]),
        (&"exited".into(), &3.into())
    );
    assert_eq!(found["container"]["labels"]["a"], "b");
    assert_eq!(found["container"]["spec"]["tmpfs"][1]["target"], "/www");
    assert_eq!(found["running"]["starts"], 1);
}

/// All of a tree that can be told from outside: names, kinds, modes, owners,
/// times and content.
fn picture(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        let mut text = format!(
            "{:o} {} {} {} {}.{} {}.{}",
            data.mode(),
            data.uid(),
            data.gid(),
            data.ino(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec()
        );
        if data.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if data.is_symlink() {
            text.push_str(fs::read_link(&path).unwrap().to_str().unwrap());
        } else {
            let sum: u64 = fs::read(&path).unwrap().iter().fold(7, |sum, byte| {
                sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte)
            });
            text.push_str(&format!(" {sum:x}"));
        }
        found.insert(path.display().to_string(), text);
    }
    found
}

#[test]
fn debug_brings_a_shell_to_a_container_without_one_and_changes_nothing_of_it() {
    let bench = Bench::new();
    // One static program and nothing else: busybox by a name that is no shell.
    let bare = bench.path("bare");
    fs::create_dir(&bare).unwrap();
    crate::bench::copy(crate::bench::busybox(), &bare.join("sleep"));
    let words = [
        "run",
        "-d",
        "--name",
        "bare",
        bare.to_str().unwrap(),
        "--",
        "/sleep",
        "1000",
    ];
    bench.succeed(&words);
    bench.fail(127, &["exec", "bare", "sh"]);
    let before = picture(&bare);
    let mounts = || {
        let pid = bench.running("bare")["pid"].clone();
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap()
    };
    let mounted = mounts();
    let script = "ls /target; cat /proc/1/comm; hostname; readlink /proc/self/ns/net; \
        touch /target/x || echo refused; exit 6";
    let output = bench.output(&["debug", "bare", "--", "sh", "-c", script]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{text}{said}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.contains(&"sleep") && lines.contains(&"refused"),
        "{text}{said}"
    );
    let pid = bench.running("bare")["pid"].clone();
    let network = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert!(lines.contains(&network.to_str().unwrap()), "{text}");
    assert_eq!(picture(&bare), before);
    assert_eq!(mounts(), mounted);
    // Nothing of the session is left, and the container runs.
    assert_eq!(
        fs::read_dir(bench.path("run/@containers")).unwrap().count(),
        1
    );
    assert_eq!(bench.ps("bare")["status"], "running");
    let said = bench.fail(125, &["debug", "absent"]);
    assert!(said.contains("absent"), "{said}");
}

#[test]
fn debug_takes_its_tools_from_an_image() {
    let bench = Bench::new();
    for name in ["busybox", "sleep"] {
        crate::bench::copy(crate::bench::busybox(), &bench.path(name));
        bench.succeed(&["build", name]);
    }
    bench.succeed(&["run", "-d", "--name", "web", "sleep", "--", "1000"]);
    let inspected: Value = serde_json::from_str(&bench.succeed(&["inspect", "web"])).unwrap();
    let root = &inspected["container"]["spec"]["root"]["folder"];
    let root = root.as_str().unwrap().to_owned();
    let before = picture(Path::new(&root));
    let script = "/busybox ls /target/sleep && /busybox cat /proc/1/comm";
    let words = [
        "debug", "--image", "busybox", "web", "--", "/busybox", "sh", "-c", script,
    ];
    assert_eq!(bench.succeed(&words), "/target/sleep\nsleep\n");
    assert_eq!(picture(Path::new(&root)), before);
    // Its unpacked image stays as long as it runs.
    bench.succeed(&["rm", "sleep"]);
    bench.succeed(&["gc"]);
    assert!(Path::new(&root).exists());
    bench.succeed(&["rm", "-f", "web"]);
    bench.succeed(&["gc"]);
    assert!(!Path::new(&root).exists());
}
