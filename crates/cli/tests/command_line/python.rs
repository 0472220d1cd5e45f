//! Python applications: wheels and sources beside the interpreter of a base.
//!
//! The base of most tests is an image with what one is known by; that a real
//! one starts its application is shown on Debian's, where that can be had.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Workbench;
use crate::programs;

/// Makes wheels: a name, a version, files, and what lies about them.
const MAKE: &str = r#"
import base64, hashlib, io, json, sys, zipfile
for one in json.load(sys.stdin):
    info = f"{one['name']}-{one['version']}.dist-info"
    files = dict(one["files"])
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {one['name']}\nVersion: {one['version']}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = ""
    for name, text in files.items():
        text = one.get("lies", {}).get(name, text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(f"{sys.argv[1]}/{one['name']}-{one['version']}-py3-none-any.whl", "w") as out:
        for name, text in files.items():
            out.writestr(zipfile.ZipInfo(name), text)
"#;

struct Project {
    bench: Workbench,
    /// Of the Python that is here: `3.11`.
    version: String,
}

impl Project {
    /// A project and a base for the Python of this machine; `None`, said aloud,
    /// where there is none with pip.
    fn new() -> Option<Self> {
        let tell = "import pip, sys; print('%d.%d' % sys.version_info[:2])";
        let told = Command::new("python3").args(["-c", tell]).output();
        let Some(told) = told.ok().filter(|told| told.status.success()) else {
            eprintln!("SKIPPED: no python3 with pip on this machine");
            return None;
        };
        let version = String::from_utf8(told.stdout).unwrap().trim().to_owned();
        let bench = Workbench::new();
        bench.program("python", programs::prints("not a Python\n", 0));
        let interpreter = bench.file("interpreter", "stands for Python");
        let library = bench.file("library", "stands for musl");
        let place = format!("{}:/usr/bin/python{version}", interpreter.display());
        let library = format!("{}:/lib/ld-musl-x86_64.so.1", library.display());
        bench.succeed(&[
            "build",
            "./python",
            "--file",
            &place,
            "--file",
            &library,
            "-e",
            "PATH=/usr/bin",
            "--output",
            "oci:base",
        ]);
        bench.file("project/ounce.toml", "[python]\nwheels = '../wheels'\n");
        std::fs::create_dir(bench.path("wheels")).unwrap();
        Some(Self { bench, version })
    }

    fn wheels(&self, wheels: serde_json::Value) {
        let mut child = Command::new("python3")
            .args(["-c", MAKE])
            .arg(self.bench.path("wheels"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = wheels.to_string();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn build<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["build", "project", "--base", "oci:base", "--offline"];
        arguments.extend(more);
        arguments
    }
}

fn greet() -> serde_json::Value {
    serde_json::json!([{
        "name": "greet",
        "version": "1.0",
        "files": {
            "greet/__init__.py": "def hello():\n    print('hello')\n",
            "greet/tests/test_greet.py": "",
            "greet/py.pyi": "",
            "greet-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greet:hello\n",
        },
    }])
}

#[test]
fn an_application_is_wheels_and_sources_beside_the_interpreter_and_the_same_again() {
    let Some(project) = Project::new() else {
        return;
    };
    let bench = &project.bench;
    project.wheels(greet());
    bench.file("project/requirements.txt", "greet==1.0\n");
    bench.file("project/app.py", "import greet\ngreet.hello()\n");
    bench.file("project/tests/test_app.py", "");
    bench.file("project/.env", "SECRET=1");
    let built = |tag: &str| -> serde_json::Value {
        let arguments = project.build(&["--tag", tag]);
        let arguments = [&["--json"], &arguments[..]].concat();
        serde_json::from_str(&bench.succeed(&arguments)).unwrap()
    };
    let first = built("one");
    let config = bench.succeed(&["inspect", "one"]);
    let python = format!("/usr/bin/python{}", project.version);
    for part in [
        &*python,
        "/app/app.py",
        "PYTHONPATH=/app:/app/lib",
        "PATH=/usr/bin",
    ] {
        assert!(config.contains(part), "{part} in {config}");
    }
    let files = bench.succeed(&["--json", "weigh", "--all-files", "one"]);
    let tag = project.version.replace('.', "");
    for path in [
        "app/app.py",
        "app/lib/greet/__init__.py",
        &format!("app/lib/greet/__pycache__/__init__.cpython-{tag}.pyc"),
        "app/lib/greet-1.0.dist-info/RECORD",
    ] {
        assert!(files.contains(&format!("{path}\"")), "{path} in {files}");
    }
    for path in ["tests", ".env", ".pyi", "ounce.toml"] {
        assert!(!files.contains(&format!("{path}\"")), "{path} in {files}");
    }
    let bill = bench.succeed(&["weigh", "--sbom", "cyclonedx", "one"]);
    assert!(bill.contains("pkg:pypi/greet@1.0"), "{bill}");
    // Elsewhere, with nothing kept.
    std::fs::remove_dir_all(bench.path("cache")).unwrap();
    std::fs::rename(bench.path("project"), bench.path("moved")).unwrap();
    std::os::unix::fs::symlink("moved", bench.path("project")).unwrap();
    assert_eq!(first["digest"], built("two")["digest"]);
}

#[test]
fn a_command_of_a_package_is_started_without_its_script() {
    let Some(project) = Project::new() else {
        return;
    };
    let bench = &project.bench;
    project.wheels(greet());
    bench.file("project/requirements.txt", "greet\n");
    let settings = "[python]\nwheels = '../wheels'\nstart = 'greet'\n";
    bench.file("project/ounce.toml", settings);
    bench.succeed(&project.build(&["--tag", "one"]));
    let config = bench.succeed(&["inspect", "one"]);
    assert!(
        config.contains("import sys; from greet import hello; sys.exit(hello())"),
        "{config}"
    );
    bench.file(
        "project/ounce.toml",
        settings.replace("'greet'", "'gunicorn'"),
    );
    let picture = bench.picture(&project.build(&[]));
    assert!(picture.starts_with("status: 3\n"), "{picture}");
    let said = "error: no wheel brings a command \"gunicorn\", only greet";
    assert!(picture.contains(said), "{picture}");
}

#[test]
fn a_package_that_has_no_wheel_is_named() {
    let Some(project) = Project::new() else {
        return;
    };
    let bench = &project.bench;
    bench.file("project/main.py", "");
    bench.file("project/requirements.txt", "uwsgi==2.0.21\n");
    let picture = bench.picture(&project.build(&[]));
    assert!(picture.starts_with("status: 3\n"), "{picture}");
    let said = format!(
        "error: uwsgi==2.0.21 has no wheel for Python {}",
        project.version
    );
    assert!(picture.contains(&said), "{picture}");
    assert!(
        picture.contains("pip wheel uwsgi --no-deps --wheel-dir wheels"),
        "{picture}"
    );
}

#[test]
fn hostile_wheels_are_refused_and_no_image_is_named() {
    let Some(project) = Project::new() else {
        return;
    };
    let bench = &project.bench;
    bench.file("project/main.py", "");
    bench.file("project/requirements.txt", "evil\n");
    let evil = |files: serde_json::Value, lies: serde_json::Value| serde_json::json!([{"name": "evil", "version": "1", "files": files, "lies": lies}]);
    let none = || serde_json::json!({});
    for (wheel, said) in [
        (
            evil(serde_json::json!({"../../escaped.py": ""}), none()),
            "\"../../escaped.py\", which leads elsewhere",
        ),
        (
            evil(serde_json::json!({"/etc/cron.d/evil": ""}), none()),
            "\"/etc/cron.d/evil\", which leads elsewhere",
        ),
        (
            evil(
                serde_json::json!({"evil.py": "import os"}),
                serde_json::json!({"evil.py": "pass"}),
            ),
            "\"evil.py\" in it is not what its RECORD says",
        ),
    ] {
        project.wheels(wheel);
        let picture = bench.picture(&project.build(&["--tag", "evil"]));
        assert!(picture.starts_with("status: 3\n"), "{picture}");
        assert!(
            picture.contains("error: installing evil-1-py3-none-any.whl"),
            "{picture}"
        );
        assert!(picture.contains(said), "{picture}");
    }
    assert!(!bench.succeed(&["images"]).contains("evil"));
    assert!(!bench.path("escaped.py").exists());
}

#[test]
fn what_cannot_be_told_is_asked_for() {
    let Some(project) = Project::new() else {
        return;
    };
    let bench = &project.bench;
    bench.file("project/requirements.txt", "");
    bench.file("project/lib.py", "");
    let picture = bench.picture(&project.build(&[]));
    assert!(picture.starts_with("status: 3\n"), "{picture}");
    assert!(
        picture.contains("error: nothing says what is started"),
        "{picture}"
    );
    assert!(
        picture.contains("hint: say it in ounce.toml: [python] and start"),
        "{picture}"
    );
    bench.file("project/main.py", "");
    let picture = bench.picture(&["build", "project", "--base", "scratch", "--offline"]);
    assert!(picture.starts_with("status: 2\n"), "{picture}");
    bench.succeed(&["build", "./python", "--output", "oci:empty"]);
    let picture = bench.picture(&["build", "project", "--base", "oci:empty", "--offline"]);
    assert!(
        picture.contains("error: the base has no Python"),
        "{picture}"
    );
    assert!(picture.contains("--base distroless-python3"), "{picture}");
}

#[test]
fn flask_on_debians_python_answers_and_its_image_is_within_25_mb() {
    let bench = Workbench::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/python-flask");
    for file in ["main.py", "requirements.txt", "ounce.toml"] {
        let bytes = std::fs::read(example.join(file)).unwrap();
        bench.file(&format!("python-flask/{file}"), bytes);
    }
    let output = bench.output(&["--json", "build", "python-flask"]);
    let said = String::from_utf8_lossy(&output.stderr);
    // Archives or index out of reach, or no pip.
    if matches!(output.status.code(), Some(4 | 5)) {
        eprintln!("SKIPPED: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    println!(
        "python-flask: {} bytes pulled",
        json["images"][0]["pulled_bytes"]
    );
    assert!(
        json["images"][0]["pulled_bytes"].as_u64().unwrap() <= 25_000_000,
        "{json}"
    );
    let served = bench.serve("python-flask");
    let head = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let added = served.ask(&format!("POST /notes {head}Content-Length: 5\r\n\r\nhello"));
    assert!(added.starts_with("HTTP/1.1 201"), "{added}");
    let listed = served.ask(&format!("GET /notes {head}\r\n"));
    assert!(listed.contains("{\"notes\":[\"hello\"]}"), "{listed}");
    served.end();
}
