//! Help, wrong usage, the manual and completions.

use std::process::{Command, Stdio};

use crate::harness::Workbench;

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = Workbench::new().succeed(&["--help"]);
    for word in [
        "up", "build", "run", "weigh", "images", "inspect", "tag", "rm", "copy", "pull", "push",
        "tags", "login", "logout", "gc", "verify",
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(&format!("{word} "))
                    || line.trim() == word),
            "{word} is not in\n{help}"
        );
    }
    assert!(help.contains("Exit codes:"), "{help}");
    assert!(!help.contains("proxy"), "a hidden command shows in\n{help}");
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
}

#[test]
fn misspelt_command_is_answered_with_the_nearest_one() {
    insta::assert_snapshot!(Workbench::new().picture(&["imagse"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: unrecognized subcommand 'imagse'

      tip: some similar subcommands exist: 'tags', 'images'

    Usage: ounce [OPTIONS] <COMMAND>

    For more information, try '--help'.
    "#);
}

#[test]
fn name_that_is_no_reference_says_which_rule_it_breaks() {
    insta::assert_snapshot!(Workbench::new().picture(&["tag", "UPPER", "x"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: invalid value 'UPPER' for '<FROM>': "UPPER" is not an image name: a name has no upper-case letters

    For more information, try '--help'.
    "#);
}

#[test]
fn unknown_transport_of_a_place_is_refused_with_those_there_are() {
    insta::assert_snapshot!(Workbench::new().picture(&["inspect", "zip:/x"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: invalid value 'zip:/x' for '<NAME>': "zip:/x" is not an image name: the host's port is not a number up to 65535

    For more information, try '--help'.
    "#);
}

#[test]
fn without_a_home_the_error_says_what_to_set() {
    let bench = Workbench::new();
    let mut command = bench.ounce(&["images"]);
    command
        .env_remove("OUNCE_STORE")
        .env_remove("XDG_DATA_HOME")
        .env_remove("HOME");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--store DIR"), "{stderr}");
}

#[test]
fn reader_that_goes_away_ends_the_program_quietly() {
    let bench = Workbench::new();
    let mut child = bench
        .ounce(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn full_disk_under_stdout_is_an_error_of_the_host() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let bench = Workbench::new();
    let output = bench
        .ounce(&["completions", "bash"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn every_command_has_a_man_page_and_bash_takes_the_completions() {
    let bench = Workbench::new();
    bench.succeed(&["man", "--out", "man"]);
    for page in [
        "ounce.1",
        "ounce-up.1",
        "ounce-build.1",
        "ounce-run.1",
        "ounce-weigh.1",
    ] {
        let text = std::fs::read_to_string(bench.path("man").join(page)).unwrap();
        assert!(text.contains(".TH "), "{page}");
    }
    let script = bench.succeed(&["completions", "bash"]);
    let path = bench.file("ounce.bash", script);
    let checked = Command::new("bash").arg("-n").arg(path).status().unwrap();
    assert!(checked.success());
}

#[test]
fn settings_file_that_is_a_pipe_is_refused_and_not_waited_for() {
    let bench = Workbench::new();
    bench.program("hi", crate::programs::prints("hi\n", 0));
    let pipe = bench.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut child = bench
        .ounce(&["build", "hi", "--config", "pipe"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if std::time::Instant::now() > end => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    assert_eq!(status.and_then(|status| status.code()), Some(3));
}

#[test]
fn what_is_left_out_of_a_web_folder_that_is_not_packed_is_told() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    std::os::unix::fs::symlink("/etc/passwd", bench.path("public/out")).unwrap();
    let stderr = bench.output(&["build", "public", "--plain"]).stderr;
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("note: out is left out: "), "{stderr}");
}

#[test]
fn bare_command_shows_the_help_and_no_hidden_command() {
    let bench = Workbench::new();
    let output = bench.output(&[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("Start here:") && !stderr.contains("proxy"),
        "{stderr}"
    );
}

#[test]
fn argument_for_the_program_without_dashes_is_answered_with_where_it_goes() {
    let bench = Workbench::new();
    let output = bench.output(&["run", "hello", "echo"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(
        stderr.contains("hint: ") && stderr.contains(" -- ARGS"),
        "{stderr}"
    );
}

#[test]
fn wrong_usage_of_run_leaves_the_codes_below_125_to_the_program() {
    let bench = Workbench::new();
    for (words, code) in [
        (&["run", "--bad"][..], 125),
        (&["--lock-timeout", "3", "run", "--bad"], 125),
        (&["tag", "run", "--bad"], 2),
        (&["run", "--help"], 0),
    ] {
        assert_eq!(bench.output(words).status.code(), Some(code), "{words:?}");
    }
}
