//! `ounce build` of a ready program and `ounce run` of what comes of it.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::Workbench;
use crate::programs::prints;

#[test]
fn program_image_and_folder_all_run_and_pass_their_code_on() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 42));
    bench.succeed(&["build", "hi"]);
    for what in [
        "hi",
        "./hi",
        &format!("oci-archive:{}", bench.path("hi.tar").display()),
    ] {
        if what.starts_with("oci-archive:") {
            bench.succeed(&["copy", "hi", what]);
        }
        let output = bench.output(&["run", what]);
        assert_eq!(
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).as_ref(),
                String::from_utf8_lossy(&output.stderr).as_ref()
            ),
            (Some(42), "hi\n", ""),
            "{what}"
        );
    }
}

#[test]
fn image_adds_at_most_800_bytes_to_the_compressed_program() {
    let bench = Workbench::new();
    // Bytes that no compressor makes smaller, so that what is more is ours.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(9000)
    .collect();
    let mut program = prints("hi\n", 0);
    program.extend_from_slice(&noise);
    bench.program("hi", &program);
    bench.succeed(&["build", "hi"]);
    let json: serde_json::Value = serde_json::from_str(&bench.succeed(&["inspect", "hi"])).unwrap();
    let added = json["pulled_bytes"].as_u64().unwrap() as i64 - program.len() as i64;
    assert!((0..=800).contains(&added), "the image adds {added} bytes");
}

#[test]
fn same_program_gives_the_same_digest_in_another_folder_at_another_time() {
    let digest = |mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let bench = Workbench::new();
        let path = bench.program("hi", prints("hi\n", 0));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        std::fs::File::open(&path)
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
        bench.succeed(&["build", "hi"]);
        let json: serde_json::Value =
            serde_json::from_str(&bench.succeed(&["inspect", "hi"])).unwrap();
        json["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest(0o755), digest(0o700));
}

#[test]
fn image_over_its_budget_is_the_answer_no_and_names_what_is_heavy() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    let output = bench.output(&["build", "hi", "--budget", "100B"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("over the budget of 100 B") && stderr.contains("heaviest"),
        "{stderr}"
    );
}

#[test]
fn name_that_is_not_there_fails_as_docker_does_with_125() {
    let bench = Workbench::new();
    let output = bench.output(&["run", "nosuch"]);
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn program_that_is_not_in_the_image_is_127_and_one_that_cannot_be_executed_126() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    bench.file("notes", "not a program");
    bench.succeed(&["build", "hi", "--file", "notes:/notes"]);
    assert_eq!(
        bench
            .output(&["run", "--entrypoint", "/nosuch", "hi"])
            .status
            .code(),
        Some(127)
    );
    assert_eq!(
        bench
            .output(&["run", "--entrypoint", "/notes", "hi"])
            .status
            .code(),
        Some(126)
    );
}

#[test]
fn dry_run_shows_the_steps_and_starts_nothing() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 42));
    let output = bench.output(&["run", "--dry-run", "./hi"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hi\n") || text.lines().count() > 5, "{text}");
}

#[test]
fn dynamic_program_is_refused_with_what_it_needs_and_the_ways_out() {
    let bench = Workbench::new();
    // The test program itself is linked dynamically on a glibc host.
    let own = std::env::current_exe().unwrap();
    bench.program("dynamic", std::fs::read(own).unwrap());
    let output = bench.output(&["build", "dynamic"]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("libc.so.6") && stderr.contains("hint: "),
        "{stderr}"
    );
}

#[test]
fn sigterm_to_ounce_ends_a_program_that_waits() {
    let bench = Workbench::new();
    bench.file("site/index.html", "<p>hi");
    bench.succeed(&["build", "site"]);
    let mut child = bench
        .ounce(&["run", "site", "-p", "127.0.0.1:0:8080"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    let killed = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(8), "{stderr}");
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn program_starts_in_another_folder_than_the_root() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 42));
    bench.succeed(&["build", "hi"]);
    for what in ["hi", "./hi"] {
        let output = bench.output(&["run", what, "--workdir", "/proc"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(42), "{what}: {stderr}");
    }
}

#[test]
fn volumes_and_tmpfs_need_no_place_in_the_image() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 42));
    bench.file("data/file", "x");
    bench.succeed(&["build", "hi"]);
    let folder = format!("{}:/srv/data:ro", bench.path("data").display());
    let file = format!("{}:/etc/some/file:ro", bench.path("data/file").display());
    for what in ["hi", "./hi"] {
        let arguments = [
            "run",
            what,
            "-v",
            &folder,
            "-v",
            &file,
            "--tmpfs",
            "/scratch/deep",
        ];
        let output = bench.output(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(42), "{what}: {stderr}");
    }
}

#[test]
fn memory_limit_that_would_kill_ounce_itself_is_refused() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    for limit in ["0", "64KB"] {
        let output = bench.output(&["run", "./hi", "--memory", limit]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{limit}: {stderr}");
        assert!(
            stderr.contains("memory") && stderr.contains("hint: "),
            "{stderr}"
        );
    }
}

#[test]
fn arguments_of_the_program_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 42));
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let output = bench
        .ounce(&["run", "./hi", "--"])
        .arg(odd)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(42),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn working_folder_that_the_settings_name_is_in_the_image() {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 42));
    bench.file("ounce.toml", "[image]\nworkdir = \"/srv/data\"\n");
    bench.succeed(&["build", "hi", "--config", "ounce.toml"]);
    let output = bench.output(&["run", "hi"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(42), "{stderr}");
}

#[test]
fn pool_starts_the_image_once_for_each_line_and_says_no_if_one_run_did() {
    use std::io::Write;
    let bench = Workbench::new();
    let lines = |what: &str, lines: &[u8]| {
        let mut command = bench.ounce(&["run", "--pool", "2", what]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    bench.program("hi", prints("hi\n", 0));
    bench.program("no", prints("no\n", 3));
    bench.succeed(&["build", "hi"]);
    let five = (Some(0), "hi\n".repeat(5));
    assert_eq!(lines("hi", b"a\nb c\n\n d \ne"), five);
    assert_eq!(lines("hi", b""), (Some(0), String::new()));
    assert_eq!(lines("./no", b"\n\n"), (Some(1), "no\n".repeat(2)));
    assert_eq!(lines("nosuch", b"\n"), (Some(125), String::new()));
}

#[test]
fn name_that_points_elsewhere_now_is_run_as_what_it_is_now() {
    let bench = Workbench::new();
    bench.program("one", prints("one\n", 0));
    bench.program("two", prints("two\n", 0));
    bench.succeed(&["build", "one", "-t", "app"]);
    // Old enough that the runs below keep what they have read.
    std::thread::sleep(Duration::from_millis(2100));
    for _ in 0..3 {
        assert_eq!(bench.succeed(&["run", "app"]), "one\n");
    }
    let kept = std::fs::read_dir(bench.path("cache/ounce/ready")).unwrap();
    assert_eq!(kept.count(), 1);
    bench.succeed(&["build", "two", "-t", "app"]);
    assert_eq!(bench.succeed(&["run", "app"]), "two\n");
    bench.succeed(&["rm", "app"]);
    assert_eq!(bench.output(&["run", "app"]).status.code(), Some(125));
    bench.succeed(&["gc"]);
    assert!(!bench.path("cache/ounce/ready").exists());
}
