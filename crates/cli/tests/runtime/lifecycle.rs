//! runtime.md: operations, states, hooks, and errors.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use crate::bundle::{Bundle, complaint, possible};

#[test]
fn a_container_is_created_then_runs_then_is_stopped_and_deleted() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("echo begun; sleep 1; exit 3");
    assert_eq!(bundle.create().status.code(), Some(0));
    let state = bundle.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], bundle.id);
    assert_eq!(
        state["bundle"],
        json!(fs::canonicalize(bundle.path("")).unwrap())
    );
    let pid = state["pid"].as_i64().unwrap();
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    assert_eq!(fs::read_to_string(bundle.path("output")).unwrap(), "");
    assert!(bundle.say(&["start", &bundle.id]).status.success());
    assert_eq!(bundle.state()["status"], "running");
    let refused = complaint(&bundle.say(&["delete", &bundle.id]));
    assert!(refused.contains("it is running"), "{refused}");
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["pid"], 0);
    assert_eq!(
        fs::read_to_string(bundle.path("output")).unwrap(),
        "begun\n"
    );
    let refused = complaint(&bundle.say(&["start", &bundle.id]));
    assert!(refused.contains("it is stopped"), "{refused}");
    let refused = complaint(&bundle.say(&["kill", &bundle.id, "KILL"]));
    assert!(refused.contains("container not running"), "{refused}");
    assert!(bundle.say(&["delete", &bundle.id]).status.success());
    let refused = complaint(&bundle.say(&["state", &bundle.id]));
    assert!(refused.contains("does not exist"), "{refused}");
    assert!(
        !std::path::Path::new("/sys/fs/cgroup/pids")
            .join(&bundle.id)
            .exists()
    );
}

#[test]
fn an_id_is_taken_until_it_is_deleted() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 100");
    assert!(bundle.create().status.success());
    let refused = complaint(&bundle.say(&["create", &bundle.id]));
    assert!(refused.contains("already exists"), "{refused}");
    assert!(
        bundle
            .say(&["delete", "--force", &bundle.id])
            .status
            .success()
    );
    assert!(bundle.create().status.success());
}

#[test]
fn of_two_creates_at_once_one_succeeds() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 100");
    bundle.write();
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let mut command = bundle.command(&["create", &bundle.id]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    let won = racers
        .into_iter()
        .map(|mut racer| racer.wait().unwrap())
        .filter(std::process::ExitStatus::success);
    assert_eq!(won.count(), 1);
    assert_eq!(bundle.state()["status"], "created");
}

#[test]
fn a_failed_create_leaves_nothing_behind_and_is_logged_as_one_line_of_json() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("");
    bundle.config["process"]["args"] = json!(["no-such-program"]);
    bundle.write();
    let log = bundle.path("log");
    let output = bundle.say(&[
        "--log",
        log.to_str().unwrap(),
        "--log-format=json",
        "create",
        &bundle.id,
    ]);
    let expected = "exec: \"no-such-program\": executable file not found in $PATH";
    assert_eq!(complaint(&output), format!("error: {expected}"));
    // podman reads the file as one document.
    let logged: serde_json::Value = serde_json::from_slice(&fs::read(log).unwrap()).unwrap();
    assert_eq!(
        (&logged["level"], &logged["msg"]),
        (&json!("error"), &json!(expected))
    );
    assert!(fs::read_dir(bundle.path("state")).unwrap().next().is_none());
    bundle.config["process"]["args"] = json!(["/etc"]);
    bundle.write();
    let refused = complaint(&bundle.say(&["create", &bundle.id]));
    assert!(refused.ends_with("permission denied"), "{refused}");
}

#[test]
fn hooks_run_in_their_order_with_the_state_on_standard_input() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("echo program");
    let log = bundle.path("log");
    let log = log.to_str().unwrap();
    // The state in a line, after the hook's name.
    let hook = |name: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("echo {name} $(cat) >> {log}")]}]);
    bundle.config["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/inside"]}],
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    });
    bundle.config["root"]["readonly"] = json!(false);
    assert!(bundle.create().status.success());
    assert!(bundle.say(&["start", &bundle.id]).status.success());
    bundle.wait_for("stopped");
    let inside = fs::read_to_string(bundle.path("rootfs/tmp/inside")).unwrap();
    assert!(inside.contains("\"status\":\"created\""), "{inside}");
    assert!(bundle.say(&["delete", &bundle.id]).status.success());
    let told = fs::read_to_string(log).unwrap();
    let names: Vec<_> = told
        .lines()
        .map(|line| {
            let (name, state) = line.split_once(' ').unwrap();
            assert!(state.contains(&bundle.id), "{line}");
            name
        })
        .collect();
    let expected = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    assert_eq!(names, expected);
    assert!(
        told.lines()
            .last()
            .unwrap()
            .contains("\"status\":\"stopped\""),
        "{told}"
    );
}

#[test]
fn a_hook_that_fails_or_takes_too_long_ends_the_container() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("true");
    let failing = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 4"]}]);
    bundle.config["hooks"] = json!({"createRuntime": failing});
    let refused = complaint(&bundle.create());
    assert!(refused.contains("createRuntime hook") && refused.contains("exit status 4: why"));
    assert_eq!(bundle.state(), json!(null));
    let slow = json!([{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]);
    bundle.config["hooks"] = json!({"prestart": slow});
    let refused = complaint(&bundle.create());
    assert!(refused.contains("longer than its 1 s"), "{refused}");
    // Those after the end change nothing.
    bundle.config["hooks"] = json!({"poststop": failing});
    assert!(bundle.create().status.success());
    let output = bundle.say(&["delete", "--force", &bundle.id]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("warning: "));
}

#[test]
fn further_programs_run_in_it_with_rights_of_their_own() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 100");
    assert!(bundle.create().status.success());
    assert!(bundle.say(&["start", &bundle.id]).status.success());
    assert_eq!(bundle.exec(&[], "exit 9").0, 9);
    let (code, text) = bundle.exec(
        &["--user", "1000:7", "--cwd", "/tmp", "--env", "A=b"],
        "id -u; id -g; cd .; echo $PWD $A; kill -0 1; grep ^0 /proc/self/cgroup; kill -9 $$",
    );
    assert_eq!(code, 128 + 9, "{text}");
    assert!(text.starts_with("1000\n7\n/tmp b\n"), "{text}");
    let (code, text) = bundle.exec(&[], "exec nothing-like-this");
    assert_eq!(code, 127, "{text}");
    assert!(bundle.say(&["pause", &bundle.id]).status.success());
    assert_eq!(bundle.state()["status"], "paused");
    assert!(bundle.exec(&[], "true").1.contains("it is paused"));
    assert!(bundle.say(&["resume", &bundle.id]).status.success());
    let listed = bundle.say(&["ps", "--format", "json", &bundle.id]).stdout;
    let listed: Vec<i64> = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed, [bundle.state()["pid"].as_i64().unwrap()]);
    assert!(
        bundle
            .say(&["kill", &bundle.id, "SIGKILL"])
            .status
            .success()
    );
    bundle.wait_for("stopped");
    assert!(bundle.exec(&[], "true").1.contains("container not running"));
}

#[test]
fn what_is_created_can_be_killed_before_it_starts() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 100");
    assert!(bundle.create().status.success());
    assert!(bundle.say(&["kill", &bundle.id]).status.success());
    bundle.wait_for("stopped");
    let refused = complaint(&bundle.say(&["start", &bundle.id]));
    assert!(refused.contains("it is stopped"), "{refused}");
}

#[test]
fn later_changes_of_the_bundle_have_no_effect() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("echo first");
    assert!(bundle.create().status.success());
    bundle.config["process"]["args"] = json!(["sh", "-c", "echo second"]);
    bundle.write();
    assert!(bundle.say(&["start", &bundle.id]).status.success());
    bundle.wait_for("stopped");
    assert_eq!(
        fs::read_to_string(bundle.path("output")).unwrap(),
        "first\n"
    );
}

#[test]
fn ounce_itself_cannot_be_written_through_a_process_in_a_container() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 100");
    assert!(bundle.create().status.success());
    // What another process in the container could get hold of while ounce waits there.
    let path = format!("/proc/{}/exe", bundle.state()["pid"]);
    let held = fs::File::open(path).unwrap();
    assert!(
        bundle
            .say(&["delete", "--force", &bundle.id])
            .status
            .success()
    );
    // Other tests execute it meanwhile, so that an attempt to write would be
    // told that it is busy: what counts is the mount that it was reached by.
    let mount = rustix::fs::fstatvfs(&held).unwrap();
    assert!(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}
