//! Faults: what is killed, full, exhausted, damaged or raced for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::bench::{Bench, SLEEP, SOON, is_root, ounce, send, within};

fn kill(pid: i32) {
    send(pid, Signal::KILL);
}

/// Mounts of the host, and control groups of ounce's that no process is in.
fn leftovers(bench: &Bench) -> (Vec<String>, Vec<String>) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mine = bench.path("");
    let mounts = mounts
        .lines()
        .filter(|line| line.contains(mine.to_str().unwrap()));
    let mounts = mounts.map(str::to_owned).collect();
    let folders = bench.running_groups();
    let groups = folders
        .into_iter()
        .filter(|folder| Path::new(folder).exists());
    (mounts, groups.collect())
}

#[test]
fn a_killed_keeper_takes_its_container_along_and_is_told_as_dead() {
    let bench = Bench::new();
    let limit: &[&str] = if is_root() { &["--pids", "50"] } else { &[] };
    bench.detach("web", limit, "sleep 1000 & exec sleep 1000");
    bench.remember_groups("web");
    kill(bench.keeper("web"));
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    assert_eq!(bench.ps("web")["status"], "dead");
    // `ps` has taken away what nobody was left to take away.
    assert_eq!(leftovers(&bench), (vec![], vec![]));
    assert!(bench.fail(3, &["wait", "web"]).contains("dead"));
    assert!(bench.fail(125, &["exec", "web", "id"]).contains("dead"));
    bench.succeed(&["stop", "web"]);
    bench.succeed(&["rm", "web"]);
    bench.detach("web", &[], "exec sleep 1000");
}

#[test]
fn a_killed_container_is_recorded_and_a_killed_ounce_in_the_foreground_leaves_nothing_running() {
    let bench = Bench::new();
    bench.detach("web", &[], "sleep 1000 & exec sleep 1000");
    kill(bench.running("web")["pid"].as_i64().unwrap() as i32);
    assert_eq!(bench.succeed(&["wait", "web"]), "137\n");
    assert_eq!(bench.ps("web")["exit_code"], 137);
    let mut child = bench.foreground("fore");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    assert_eq!(bench.ps("fore")["status"], "dead");
    bench.succeed(&["rm", "fore", "web"]);
}

/// The pseudo-random moments of the loops below: the same at each run.
struct Moments(u64);

impl Moments {
    fn next(&mut self, most_us: u64) -> Duration {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.0 >> 33) % most_us)
    }
}

#[test]
fn ounce_killed_at_any_moment_of_a_start_leaves_what_ps_and_rm_can_deal_with() {
    let bench = Bench::new();
    let mut moments = Moments(1);
    for round in 0..60 {
        let name = format!("c{round}");
        let mut child = bench
            .start(&["-d", "--name", &name], SLEEP)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moments.next(25_000));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Each is there, whole and in a state of its own, or is not there at all.
    assert!(within(SOON, || {
        let all = bench.output(&["ps", "-a", "--json"]);
        assert!(
            all.status.success(),
            "{}",
            String::from_utf8_lossy(&all.stderr)
        );
        !String::from_utf8_lossy(&all.stdout).contains("\"starting\"")
    }));
    for name in bench.succeed(&["ps", "-a", "--names"]).lines() {
        let status = bench.ps(name)["status"].as_str().unwrap().to_owned();
        assert!(
            ["running", "dead"].contains(&status.as_str()),
            "{name}: {status}"
        );
        bench.succeed(&["rm", "-f", name]);
    }
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    assert_eq!(bench.states(), 0);
    assert_eq!(leftovers(&bench), (vec![], vec![]));
}

#[test]
fn a_keeper_killed_at_any_moment_of_its_restarts_leaves_nothing_running() {
    let bench = Bench::new();
    let mut moments = Moments(2);
    for round in 0..30 {
        let name = format!("c{round}");
        // It alternates between the keeper and ounce, a few times in this time.
        bench.detach(&name, &["--restart", "on-failure"], "sleep 0.01; exit 1");
        let keeper = bench.keeper(&name);
        std::thread::sleep(moments.next(400_000));
        kill(keeper);
    }
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    for name in bench.succeed(&["ps", "-a", "--names"]).lines() {
        let status = bench.ps(name)["status"].as_str().unwrap().to_owned();
        assert!(
            ["exited", "dead"].contains(&status.as_str()),
            "{name}: {status}"
        );
        bench.succeed(&["rm", name]);
    }
    assert_eq!(leftovers(&bench), (vec![], vec![]));
}

#[test]
fn of_many_that_race_for_a_name_one_wins_and_the_others_are_told() {
    let bench = Bench::new();
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let mut command = bench.start(&["-d", "--name", "one"], SLEEP);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let ends: Vec<_> = racers
        .into_iter()
        .map(|racer| racer.wait_with_output().unwrap())
        .collect();
    let winners = ends.iter().filter(|end| end.status.success()).count();
    assert_eq!(winners, 1);
    for loser in ends.iter().filter(|end| !end.status.success()) {
        let said = String::from_utf8_lossy(&loser.stderr);
        assert_eq!(loser.status.code(), Some(125));
        assert!(said.contains("the name \"one\" is taken"), "{said}");
        assert!(said.contains("hint: choose another --name"), "{said}");
    }
    assert_eq!(bench.ps("one")["status"], "running");
    assert_eq!(bench.processes().len(), 2, "a keeper and a program");
}

#[test]
fn a_damaged_state_is_told_by_file_and_removed_by_force_with_what_runs_of_it() {
    let bench = Bench::new();
    for (file, content) in [
        ("container.json", "{\"schema\": 1"),
        ("container.json", ""),
        ("running.json", "\u{0}\u{0}"),
        ("exit", "maybe"),
    ] {
        bench.detach("sick", &[], "exec sleep 1000");
        bench.detach("well", &[], "exec sleep 1000");
        fs::write(bench.container("sick").join(file), content).unwrap();
        let output = bench.output(&["ps", "--names"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(3), &b"well\n"[..])
        );
        assert!(
            said.contains(file) && said.contains("hint: remove it"),
            "{said}"
        );
        for command in [&["stop", "sick"][..], &["inspect", "sick"], &["rm", "sick"]] {
            assert!(bench.fail(3, command).contains(file));
        }
        bench.succeed(&["rm", "-f", "sick"]);
        assert!(!bench.container("sick").exists());
        bench.succeed(&["rm", "-f", "well"]);
        assert!(bench.is_quiet(), "{:?}", bench.processes());
    }
    // One in the foreground, whose ounce is found by the folder that it has open.
    let mut child = bench.foreground("fore");
    fs::write(bench.container("fore").join("running.json"), "{").unwrap();
    bench.succeed(&["rm", "-f", "fore"]);
    assert!(!child.wait().unwrap().success());
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    // Without the file that makes it one.
    bench.detach("sick", &[], "exec sleep 1000");
    fs::remove_file(bench.container("sick").join("container.json")).unwrap();
    assert!(bench.fail(3, &["inspect", "sick"]).contains("it is gone"));
    bench.succeed(&["rm", "-f", "sick"]);
    assert!(bench.is_quiet());
}

/// Runs a test of ours in mounts of its own, where a few pages are all that the
/// runtime directory has; says so where that cannot be had.
fn on_a_small_disk(role: &str) -> bool {
    if std::env::var("OUNCE_TEST_DISK").is_ok_and(|own| own == role) {
        return true;
    }
    let folder = crate::bench::shared().join(format!("disk-{role}"));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let options = if is_root() {
        &["--mount"][..]
    } else {
        &["--mount", "--user", "--map-root-user"]
    };
    let test = format!("faults::{role}");
    let script = "mount -t tmpfs -o size=64k,nr_inodes=100 tmpfs \"$1\" && shift && exec \"$@\"";
    let output = Command::new("unshare")
        .args(options)
        .args(["sh", "-c", script, "sh"])
        .arg(&folder)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env("OUNCE_TEST_DISK", role)
        .env("OUNCE_TEST_DISK_FOLDER", &folder)
        .env("OUNCE_TEST_BIN", ounce())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[test]
fn a_full_disk_costs_lines_of_the_log_and_neither_the_program_nor_its_exit_code() {
    if !is_root() {
        eprintln!("skipped: a full disk is tried as root");
        return;
    }
    if !on_a_small_disk(
        "a_full_disk_costs_lines_of_the_log_and_neither_the_program_nor_its_exit_code",
    ) {
        return;
    }
    let bench = Bench::on(std::env::var_os("OUNCE_TEST_DISK_FOLDER").unwrap().into());
    // Writes far more than there is room for, waits for room, and goes on.
    let script =
        "seq 1 30000; echo full; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; exit 3";
    bench.detach("flood", &[], script);
    assert!(within(SOON, || bench.ps("flood")["status"] == "running"));
    let folder = bench.container("flood");
    // It has said all that by now, and waits: the full disk does not hold it up.
    let waits = || {
        let all = bench.succeed(&["exec", "flood", "ps"]);
        // The shell's own line tells its script.
        let sleeps = |line: &str| line.contains("sleep 0.05") && !line.contains("seq");
        all.lines().any(sleeps)
    };
    assert!(within(SOON, waits));
    // And the keeper has read it all: it sleeps only where there is nothing to read.
    let keeper = bench.keeper("flood");
    let sleeps = || {
        let stat = fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('S')
    };
    let rests = || {
        (0..10).all(|_| {
            std::thread::sleep(Duration::from_millis(10));
            sleeps()
        })
    };
    assert!(within(SOON, rests));
    fs::write(folder.join("probe"), [0; 16384]).unwrap_err();
    fs::remove_file(folder.join("probe")).unwrap();
    // No room is left for a new container, and that is said.
    let mut taken = 0;
    while fs::write(folder.join(format!("fill{taken}")), [0; 4096]).is_ok() {
        taken += 1;
    }
    let said = bench.refused(125, &["-d", "--name", "more"], &["/bin/true"]);
    assert!(
        said.contains("no space left") || said.contains("No space left"),
        "{said}"
    );
    assert!(
        said.contains("hint: the runtime directory is full"),
        "{said}"
    );
    assert!(bench.ps("more").is_null());
    // With room again, the log says what it missed.
    for number in 0..taken {
        fs::remove_file(folder.join(format!("fill{number}"))).unwrap();
    }
    fs::remove_file(folder.join(format!("fill{taken}"))).unwrap();
    let log = fs::OpenOptions::new()
        .write(true)
        .open(folder.join("log"))
        .unwrap();
    log.set_len(0).unwrap();
    bench.succeed(&["exec", "flood", "touch", "/tmp/go"]);
    assert_eq!(bench.succeed(&["wait", "flood"]), "3\n");
    let output = bench.output(&["logs", "flood"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("bytes of log were lost"), "{said}");
    let log = String::from_utf8_lossy(&output.stdout);
    let last = log.get(log.len().saturating_sub(200)..);
    assert!(log.ends_with("after\n"), "{last:?}\n{said}");
    bench.succeed(&["rm", "flood"]);
}

#[test]
fn an_end_is_recorded_though_not_a_byte_is_free() {
    if !is_root() {
        eprintln!("skipped: a full disk is tried as root");
        return;
    }
    if !on_a_small_disk("an_end_is_recorded_though_not_a_byte_is_free") {
        return;
    }
    let bench = Bench::on(std::env::var_os("OUNCE_TEST_DISK_FOLDER").unwrap().into());
    bench.detach(
        "job",
        &[],
        "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 5",
    );
    let folder = bench.container("job");
    for number in 0.. {
        if fs::write(folder.join(format!("fill{number}")), [0; 4096]).is_err() {
            break;
        }
    }
    bench.succeed(&["exec", "job", "touch", "/tmp/go"]);
    assert_eq!(bench.succeed(&["wait", "job"]), "5\n");
    assert_eq!(bench.ps("job")["exit_code"], 5);
    bench.succeed(&["rm", "job"]);
}

#[test]
fn without_descriptors_or_processes_a_start_says_so_and_leaves_nothing() {
    let bench = Bench::new();
    for (limit, code) in [("-n 8", 125), ("-n 12", 125), ("-n 16", 125)] {
        let output = bench.line(&[], "few", &format!("ulimit {limit}; exec OUNCE"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            // So few are enough.
            bench.succeed(&["rm", "-f", "few"]);
            continue;
        }
        assert_eq!(output.status.code(), Some(code), "{limit}: {said}");
        assert!(
            said.contains("error: ") && said.to_lowercase().contains("too many open files"),
            "{said}"
        );
        assert!(bench.ps("few").is_null(), "{limit}");
    }
    assert!(bench.is_quiet(), "{:?}", bench.processes());
}

/// What a start asks of the kernel that may take memory; not on every machine all.
const CALLS: &str = "?clone,clone3,?vfork,unshare,setns,open_tree,move_mount,fsopen,fsmount,\
    fsconfig,mount,mount_setattr,memfd_create,pipe2,socketpair,openat,openat2,mkdirat,?mkdir,\
    execve,execveat,pivot_root,landlock_create_ruleset,seccomp,ppoll,?poll,pidfd_open";
/// Every so many of these calls one fails: each of them, since a start takes 50 ms so.
const EVERY: usize = 1;

#[test]
fn without_memory_at_any_call_of_a_start_it_says_which_and_leaves_nothing() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace, which makes calls fail, is not installed");
        return;
    }
    let bench = Bench::new();
    let trace = bench.path("trace");
    let mut refused = 0;
    for number in (1..).step_by(EVERY) {
        let start = bench.start(&["--name", "one"], &["/bin/true"]);
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-qq", "-e", &format!("trace={CALLS}")])
            .args(["-e", &format!("inject={CALLS}:error=ENOMEM:when={number}")])
            .arg("-o")
            .arg(&trace)
            .arg(start.get_program())
            .args(start.get_args())
            .stdin(Stdio::null());
        for (name, value) in start.get_envs() {
            strace.env(name, value.unwrap());
        }
        let output = strace.output().unwrap();
        let calls = fs::read_to_string(&trace).unwrap();
        // The call of that number fails in each process that comes so far.
        let failed: Vec<&str> = calls
            .lines()
            .filter(|line| line.contains("(INJECTED)"))
            .collect();
        if failed.is_empty() {
            // No process makes so many.
            bench.succeed(&["rm", "-f", "one"]);
            break;
        }
        let is_only_fault = failed.len() == 1;
        let failed = failed.join("\n");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_told = said.starts_with("error: ") && said.contains("annot allocate memory");
        match output.status.code() {
            // Done without, or another way.
            Some(0) => {}
            Some(125 | 126) => {
                assert!(
                    is_told && said.contains("hint: free some memory"),
                    "{failed}\n{said}"
                );
                // Where taking back fails as well, it is there to be removed.
                let left = bench.ps("one");
                assert!(left.is_null() || !is_only_fault, "{failed}\n{said}{left}");
                refused += 1;
            }
            // The system's loader, before there is any of ours.
            Some(127) if said.contains("loading shared libraries") => {}
            code => panic!("{code:?} {failed}\n{said}"),
        }
        bench.output(&["rm", "-f", "one"]);
    }
    assert!(refused > 10, "{refused}");
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    assert_eq!(bench.states(), 0);
}

#[test]
fn a_fork_bomb_stays_within_its_limit_and_is_stopped() {
    let bench = Bench::new();
    // Without a group the limit holds as that of a user.
    let options: &[&str] = if is_root() { &["--pids", "40"] } else { &[] };
    let script = "b() { b & b & wait; }; while :; do b; done";
    bench.detach("bomb", options, script);
    std::thread::sleep(Duration::from_millis(500));
    let stats = bench.output(&["stats", "--json", "bomb"]);
    if stats.status.success() {
        let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
        let most = if is_root() { 40 } else { 1024 };
        let processes = stats["containers"][0]["processes"].as_u64().unwrap();
        assert!(processes <= most, "{processes}");
    }
    bench.succeed(&["stop", "-t", "1", "bomb"]);
    assert!(
        within(SOON, || bench.processes().is_empty()),
        "{:?}",
        bench.processes()
    );
    assert_eq!(bench.ps("bomb")["status"], "exited");
}

#[test]
fn a_runtime_directory_that_cannot_be_used_is_named_with_what_to_set() {
    let bench = Bench::new();
    fs::write(bench.path("file"), "").unwrap();
    let output = bench
        .start(&["-d"], &["/bin/true"])
        .env("OUNCE_RUNTIME_DIR", bench.path("file"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(
        said.contains("error: making ") && said.contains("file/@containers"),
        "{said}"
    );
    // Where nothing was ever started there is nothing, which is no error.
    let output = bench
        .ounce(&["ps"])
        .env("OUNCE_RUNTIME_DIR", bench.path("absent"))
        .output()
        .unwrap();
    assert!(output.status.success());
}

/// The code and the words of a shell's line.
fn line(bench: &Bench, before: &[&str], line: &str) -> (Option<i32>, String) {
    let output = bench.line(before, "one", line);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_host_that_lacks_what_a_start_needs_is_told_what_and_nothing_is_left() {
    let bench = Bench::new();
    // A user namespace of its own, whose limit is not the machine's.
    let before = ["unshare", "--user", "--map-root-user", "--mount"];
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec OUNCE";
    let (code, said) = line(&bench, &before, script);
    assert_eq!(code, Some(125), "{said}");
    assert!(
        said.contains("making a process in new namespaces"),
        "{said}"
    );
    assert!(
        said.contains("hint: this kernel allows no user namespaces"),
        "{said}"
    );
    // No /proc.
    let script = "mount -t tmpfs tmpfs /proc; exec OUNCE";
    let (code, said) = line(&bench, &before, script);
    assert_eq!(code, Some(125), "{said}");
    assert!(
        said.contains("error: ") && said.contains("hint: ounce needs /proc"),
        "{said}"
    );
    // A limit that nobody here can set.
    if !is_root() {
        let said = bench.refused(125, &["-d", "--memory", "64MB"], &["/bin/true"]);
        assert!(
            said.contains("limit on memory cannot be enforced"),
            "{said}"
        );
        assert!(said.contains("hint: "), "{said}");
    }
    assert!(bench.ps("one").is_null());
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    assert_eq!(bench.states(), 0);
}
