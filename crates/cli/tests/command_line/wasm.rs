//! WebAssembly: modules to images, images in the engine, and hostile modules.
//!
//! What runs one needs the engine, `apps/wasmhost`, which takes minutes to
//! build: `cargo xtask wasmhost` does it, and `cargo xtask test` before all
//! tests. Without it these tests say that they are skipped.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::Workbench;
use crate::held::{Held, registry};

/// The engine's program.
fn engine() -> Option<PathBuf> {
    let named = std::env::var_os("OUNCE_WASMHOST").map(PathBuf::from);
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../apps/wasmhost/target")
        .join(target)
        .join("release/ounce-wasmhost");
    let found = named.unwrap_or(built);
    if found.is_file() {
        return Some(found.canonicalize().unwrap());
    }
    // Past the harness, which keeps what passing tests print.
    let line = b"skipped: ounce-wasmhost is not built (cargo xtask wasmhost)\n";
    std::io::stdout().write_all(line).unwrap();
    None
}

/// A bench whose ounce finds the engine.
pub(crate) struct Bench {
    pub(crate) bench: Workbench,
    engine: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Option<Self> {
        let engine = engine()?;
        Some(Self {
            bench: Workbench::new(),
            engine,
        })
    }

    pub(crate) fn ounce(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.ounce(arguments);
        command
            .env("OUNCE_WASMHOST", &self.engine)
            .env("OUNCE_RUNTIME_DIR", self.bench.path("runtime"));
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.ounce(arguments).output().unwrap()
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "ounce {arguments:?}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Status and stderr of what must not succeed.
    pub(crate) fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.output(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), told)
    }
}

/// An unsigned number as WebAssembly has it.
pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub(crate) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}

pub(crate) fn name(text: &str) -> Vec<u8> {
    [leb(text.len()), text.as_bytes().to_vec()].concat()
}

/// A module that starts with this code: an import of type 0 if one is named (four
/// numbers in, one out), one page of memory with this data at 8, and at 0 the
/// address and length of it.
fn module(import: Option<(&str, &str)>, code: &[u8], data: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    let types = b"\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\0\0";
    bytes.extend(section(1, types));
    let mut start = 0;
    if let Some((module, field)) = import {
        start = 1;
        let import = [vec![1], name(module), name(field), vec![0, 0]].concat();
        bytes.extend(section(2, &import));
    }
    bytes.extend(section(3, &[1, 1]));
    bytes.extend(section(5, &[1, 0, 1]));
    let exports = [
        vec![2],
        name("_start"),
        vec![0, start],
        name("memory"),
        vec![2, 0],
    ];
    bytes.extend(section(7, &exports.concat()));
    for section in more {
        bytes.extend(section);
    }
    let body = [vec![0], code.to_vec(), vec![0x0b]].concat();
    let code = [vec![1], leb(body.len()), body].concat();
    bytes.extend(section(10, &code));
    let mut memory = 8_u32.to_le_bytes().to_vec();
    memory.extend((data.len() as u32).to_le_bytes());
    memory.extend(data.as_bytes());
    let data = [vec![1, 0, 0x41, 0, 0x0b], leb(memory.len()), memory].concat();
    bytes.extend(section(11, &data));
    bytes
}

/// Prints this by WASI preview 1: `fd_write(1, 0, 1, 100)`.
fn prints(text: &str) -> Vec<u8> {
    let code = b"\x41\x01\x41\0\x41\x01\x41\xe4\0\x10\0\x1a";
    let write = Some(("wasi_snapshot_preview1", "fd_write"));
    module(write, code, text, &[])
}

#[test]
fn a_module_becomes_an_image_that_runs_and_is_the_same_each_time() {
    let Some(bench) = Bench::new() else { return };
    bench.bench.file("hi.wasm", prints("hello from wasm\n"));
    let built = bench.succeed(&["--json", "build", "hi.wasm"]);
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    assert_eq!(built["images"][0]["platform"], "wasip1/wasm");
    assert_eq!(bench.succeed(&["run", "hi"]), "hello from wasm\n");
    // The second start reads what the first has kept.
    assert_eq!(bench.succeed(&["run", "hi"]), "hello from wasm\n");
    assert_eq!(bench.succeed(&["run", "./hi.wasm"]), "hello from wasm\n");
    let again = bench.succeed(&["--json", "build", "hi.wasm", "--tag", "other"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(built["digest"], again["digest"]);
}

#[test]
fn code_that_was_made_ahead_of_time_runs_the_same_and_none_else_is_taken() {
    let Some(bench) = Bench::new() else { return };
    bench.bench.file("hi.wasm", prints("ahead\n"));
    bench.succeed(&["build", "hi.wasm"]);
    assert_eq!(bench.succeed(&["run", "hi"]), "ahead\n");
    // What the first start has begun, or this, whoever is faster.
    let cache = bench.bench.path("cache/ounce/wasm");
    let mut code = None;
    for _ in 0..600 {
        code = std::fs::read_dir(&cache).ok().and_then(|folders| {
            let mut files = folders.flat_map(|folder| {
                std::fs::read_dir(folder.unwrap().path())
                    .into_iter()
                    .flatten()
                    .map(|file| file.unwrap().path())
            });
            files.find(|file| file.extension().is_some_and(|ending| ending == "code"))
        });
        if code.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let code = code.expect("code is made beside the first start");
    assert_eq!(bench.succeed(&["run", "hi"]), "ahead\n");
    let plan = bench.succeed(&["run", "--dry-run", "hi"]);
    assert!(plan.contains(".ounce-compiled"), "{plan}");
    // Not the engine's: it is made again, and the start does not fail.
    std::fs::remove_file(&code).unwrap();
    std::fs::write(&code, b"\x7fELF nonsense").unwrap();
    assert_eq!(bench.succeed(&["run", "hi"]), "ahead\n");
    // Somebody else's: not even looked at.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&code, std::fs::Permissions::from_mode(0o666)).unwrap();
    let plan = bench.succeed(&["run", "--dry-run", "hi"]);
    assert!(!plan.contains(".ounce-compiled"), "{plan}");
}

#[test]
fn broken_modules_are_told_before_anything_is_written() {
    let Some(bench) = Bench::new() else { return };
    let whole = prints("whole\n");
    bench.bench.file("cut.wasm", &whole[..whole.len() - 5]);
    bench
        .bench
        .file("magic.wasm", b"\0asn\x01\0\0\0".repeat(20));
    // A function body that the validator refuses: it adds two numbers it has not.
    bench
        .bench
        .file("code.wasm", module(None, b"\x6a\x1a", "", &[]));
    for file in ["cut.wasm", "magic.wasm", "code.wasm"] {
        let (code, told) = bench.refused(&["build", file]);
        assert_eq!(code, 3, "{file}: {told}");
        assert!(told.starts_with("error: "), "{file}: {told}");
        assert!(told.contains(file), "{file}: {told}");
    }
    assert_eq!(
        bench
            .succeed(&["--json", "images"])
            .matches("digest")
            .count(),
        0
    );
    let (code, told) = bench.refused(&["run", "./cut.wasm"]);
    assert_eq!(code, 126, "{told}");
    assert!(told.contains("at byte"), "{told}");
    let (code, told) = bench.refused(&["run", "./code.wasm"]);
    assert_eq!(code, 126, "{told}");
    assert!(
        told.contains("not valid") && !told.contains("panick"),
        "{told}"
    );
}

#[test]
fn a_module_that_was_changed_in_the_store_is_not_run() {
    let Some(bench) = Bench::new() else { return };
    bench.bench.file("hi.wasm", prints("changed\n"));
    bench.succeed(&["build", "hi.wasm"]);
    let blobs = bench.bench.path("store/blobs/sha256");
    let module = std::fs::read_dir(blobs).unwrap().find_map(|blob| {
        let path = blob.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        bytes.starts_with(b"\0asm").then_some((path, bytes))
    });
    let (path, mut bytes) = module.unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let (code, told) = bench.refused(&["run", "hi"]);
    assert_eq!(code, 125, "{told}");
    assert!(told.contains("is corrupt"), "{told}");
}

#[test]
fn hostile_modules_end_with_a_clear_word_and_a_code_of_their_own() {
    let Some(bench) = Bench::new() else { return };
    let grow = b"\x03\x40\x41\xe8\x07\x40\0\x41\x7f\x46\x04\x40\0\x0b\x0c\0\x0b";
    let trap = b"\0";
    let recursion = b"\x10\0";
    let start = section(8, &[0]);
    /// Name, module, options, exit code, and a word of the error.
    type Case = (
        &'static str,
        Vec<u8>,
        &'static [&'static str],
        i32,
        &'static str,
    );
    let cases: [Case; 6] = [
        (
            "loop",
            module(None, b"\x03\x40\x0c\0\x0b", "", &[]),
            &["--deadline", "0.3"],
            124,
            "300 ms",
        ),
        ("trap", module(None, trap, "", &[]), &[], 134, "unreachable"),
        (
            "atstart",
            module(None, trap, "", &[start]),
            &[],
            134,
            "unreachable",
        ),
        (
            "grow",
            module(None, grow, "", &[]),
            &[],
            134,
            "may have 1073741824",
        ),
        (
            "deep",
            module(None, recursion, "", &[]),
            &[],
            134,
            "too deep",
        ),
        (
            "imports",
            module(Some(("env", "absent")), b"", "", &[]),
            &[],
            126,
            "env.absent",
        ),
    ];
    for (name, bytes, options, expected, word) in cases {
        bench.bench.file(&format!("{name}.wasm"), bytes);
        bench.succeed(&["build", &format!("{name}.wasm")]);
        let words = [&["run"], options, &[name]].concat();
        let (code, told) = bench.refused(&words);
        assert_eq!(code, expected, "{name}: {told}");
        assert!(told.starts_with("error: "), "{name}: {told}");
        assert!(told.contains(word), "{name}: {told}");
        assert!(!told.contains("a bug in"), "{name}: {told}");
    }
}

#[test]
fn one_function_is_called_with_numbers_and_a_wrong_one_is_told() {
    let Some(bench) = Bench::new() else { return };
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend(section(1, b"\x01\x60\x02\x7f\x7f\x01\x7f"));
    bytes.extend(section(3, &[1, 0]));
    bytes.extend(section(7, &[vec![1], name("add"), vec![0, 0]].concat()));
    bytes.extend(section(10, b"\x01\x07\0\x20\0\x20\x01\x6a\x0b"));
    bench.bench.file("add.wasm", bytes);
    bench.succeed(&["build", "add.wasm"]);
    let sum = bench.succeed(&["run", "--entrypoint", "add", "add", "--", "3", "-5"]);
    assert_eq!(sum, "-2\n");
    for (words, expected, word) in [
        (&["run", "add"][..], 126, "it exports add"),
        (&["run", "--entrypoint", "sub", "add"], 126, "exports add"),
        (
            &["run", "--entrypoint", "add", "add", "--", "1"],
            125,
            "takes 2",
        ),
        (
            &["run", "--entrypoint", "add", "add", "--", "1", "x"],
            125,
            "\"x\"",
        ),
    ] {
        let (code, told) = bench.refused(words);
        assert_eq!(code, expected, "{told}");
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn without_the_engine_the_error_says_where_it_belongs() {
    let bench = Workbench::new();
    bench.file("hi.wasm", prints("hi\n"));
    let run = |arguments: &[&str]| {
        let mut command = bench.ounce(arguments);
        command.env("OUNCE_WASMHOST", bench.path("nowhere"));
        command.output().unwrap()
    };
    let built = run(&["build", "hi.wasm"]);
    assert!(!built.status.success());
    let output = run(&["run", "./hi.wasm"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("OUNCE_WASMHOST"), "{told}");
}

#[test]
fn weigh_tells_what_a_module_can_reach_and_what_is_in_it() {
    let bench = Workbench::new();
    bench.file("hi.wasm", prints("hi\n"));
    let mut build = bench.ounce(&["build", "hi.wasm"]);
    assert!(build.output().unwrap().status.success());
    let text = bench.succeed(&["weigh", "hi"]);
    for word in [
        "wasip1/wasm",
        "a WebAssembly module, stripped",
        "wasi_snapshot_preview1.fd_write",
        "CAN REACH",
        "_start",
        "LARGEST FUNCTIONS",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["--json", "weigh", "hi"])).unwrap();
    let facts = &json["images"][0]["program"]["wasm"];
    assert_eq!(facts["imports"][0]["kind"], "function");
    assert_eq!(facts["data_bytes"], 11);
    // An artifact of the CNCF's layout, one raw layer.
    let inspect = bench.succeed(&["inspect", "hi"]);
    assert!(
        inspect.contains("application/vnd.wasm.config.v0+json"),
        "{inspect}"
    );
    assert!(inspect.contains("\"application/wasm\""), "{inspect}");
}

#[test]
fn what_a_module_has_no_place_for_is_refused() {
    let bench = Workbench::new();
    bench.file("hi.wasm", prints("hi\n"));
    bench.file("extra", "x");
    for words in [
        &["build", "hi.wasm", "--file", "extra=/extra"][..],
        &["build", "hi.wasm", "--base", "distroless"],
        &["build", "hi.wasm", "--passwd"],
        &["build", "hi.wasm", "--platform", "linux/amd64"],
    ] {
        let output = bench.output(words);
        assert!(
            matches!(output.status.code(), Some(2 | 3)),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_component_that_handles_requests_is_served_and_one_that_loops_is_ended() {
    let Some(bench) = Bench::new() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/wasm-http");
    bench.succeed(&["build", project.to_str().unwrap(), "--tag", "http"]);
    let weighed = bench.succeed(&["weigh", "http"]);
    assert!(weighed.contains("wasi:http/incoming-handler"), "{weighed}");
    let name = format!("wasm-http-{}", std::process::id());
    let ounce = |arguments: &[&str]| bench.succeed(arguments);
    let port = free_port();
    let publish = format!("{port}:8080");
    ounce(&[
        "run",
        "-d",
        "--name",
        &name,
        "-p",
        &publish,
        "--deadline",
        "2",
        "http",
    ]);
    let answer = get(&port, "/you");
    let slow = get(&port, "/loop");
    let after = get(&port, "/again");
    ounce(&["stop", &name]);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("Hello, /you"),
        "{answer}"
    );
    assert!(slow.starts_with("HTTP/1.1 504"), "{slow}");
    assert!(after.contains("Hello, /again"), "{after}");
}

#[test]
fn a_registry_and_a_layout_give_the_image_back_and_other_forms_are_refused() {
    let bench = Workbench::new();
    bench.file("hi.wasm", prints("hi\n"));
    let mut build = bench.ounce(&["build", "hi.wasm"]);
    assert!(build.output().unwrap().status.success());
    let (server, _) = registry(Held::default(), |_, _| None);
    let remote = format!("{}/app:1", server.address);
    let digest = |bench: &Workbench, what: &str| {
        let text = bench.succeed(&["inspect", what]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["digest"].as_str().unwrap().to_owned()
    };
    bench.succeed(&["push", "hi", &remote]);
    let other = Workbench::new();
    other.succeed(&["pull", &remote, "back"]);
    assert_eq!(digest(&other, "back"), digest(&bench, "hi"));
    bench.succeed(&["copy", "hi", "oci:layout:hi"]);
    assert_eq!(digest(&bench, "oci:layout:hi"), digest(&bench, "hi"));
    for words in [
        &["copy", "hi", "docker-archive:hi.tar"][..],
        &["trim", "hi", "--output", "less"],
    ] {
        let output = bench.output(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{words:?}: {told}");
        assert!(told.starts_with("error: "), "{told}");
    }
}

#[test]
fn a_handler_is_started_by_its_first_connection_and_stopped_when_nobody_asks() {
    let Some(bench) = Bench::new() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/wasm-http");
    bench.succeed(&["build", project.to_str().unwrap(), "--tag", "http"]);
    let port = free_port();
    let mut command = bench.ounce(&["serve", "http", "-p", &port, "--idle", "1s"]);
    let mut serving = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let told = std::io::BufReader::new(serving.stderr.take().unwrap());
    let mut told = std::io::BufRead::lines(told).map(Result::unwrap);
    let mut wait = |word: &str| {
        let line = told.find(|line| line.contains(word));
        assert!(line.is_some(), "{word}");
    };
    wait("127.0.0.1");
    for path in ["/first", "/second"] {
        let answer = get(&port, path);
        assert!(answer.ends_with(&format!("Hello, {path}\n")), "{answer}");
        wait("started");
        wait("stopped with exit code 0");
    }
    let pid = rustix::process::Pid::from_child(&serving);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(serving.wait().unwrap().success());
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port().to_string()
}

/// The whole answer to a request.
pub(crate) fn get(port: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_component_is_made_of_a_crate_and_its_function_is_called() {
    let Some(bench) = Bench::new() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/wasm-hello");
    let built = bench.succeed(&[
        "--json",
        "build",
        project.to_str().unwrap(),
        "--tag",
        "greet",
    ]);
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    assert_eq!(built["images"][0]["platform"], "wasip2/wasm");
    let said = bench.succeed(&["run", "--entrypoint", "greet", "greet", "--", "World"]);
    assert_eq!(said, "Hello, World!\n");
    let weighed = bench.succeed(&["weigh", "greet"]);
    assert!(weighed.contains("it imports nothing"), "{weighed}");
}
