//! WebAssembly and the network: nobody is reached unless that is granted.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::wasm::{Bench, free_port, get};

/// Somebody on this machine who answers each connection with a text.
fn answering(text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(text.as_bytes());
        }
    });
    port
}

#[test]
fn a_handler_asks_others_only_over_a_network_that_it_was_granted() {
    let Some(bench) = Bench::new() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/wasm-relay");
    bench.succeed(&["build", project.to_str().unwrap(), "--tag", "relay"]);
    let other = answering("HTTP/1.1 203 Fine\r\nContent-Length: 12\r\n\r\nfrom another");
    let asked = format!("/http://127.0.0.1:{other}/path");
    let ounce = |arguments: &[&str]| {
        let output = bench.output(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap() + &told
    };
    for (network, is_granted) in [("private", false), ("host", true)] {
        let port = free_port();
        let publish = format!("{port}:8080");
        let name = format!("wasm-relay-{network}-{}", std::process::id());
        let words = [
            "run",
            "-d",
            "--name",
            &name,
            "-p",
            &publish,
            "--network",
            network,
        ];
        ounce(&[&words[..], &["relay"]].concat());
        let answer = get(&port, &asked);
        let nobody = get(&port, "/http://127.0.0.1:1/");
        let unclear = get(&port, "/ftp://127.0.0.1/");
        let logs = ounce(&["logs", &name]);
        ounce(&["stop", &name]);
        if is_granted {
            assert!(answer.starts_with("HTTP/1.1 203"), "{answer}");
            assert!(answer.contains("from another"), "{answer}");
            assert!(nobody.contains("ConnectionRefused"), "{nobody}");
            assert!(!logs.contains("granted no network"), "{logs}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
            assert!(answer.contains("HttpRequestDenied"), "{answer}");
            // Told once, with what to do.
            assert_eq!(logs.matches("granted no network").count(), 1, "{logs}");
            assert!(logs.contains("hint: ounce run --network"), "{logs}");
        }
        assert!(unclear.contains("is no http://HOST/PATH"), "{unclear}");
    }
}

/// Connects to the address it is given and prints what it is told.
const CLIENT: &str = r#"
use std::io::Read as _;
fn main() {
    let address = std::env::args().nth(1).unwrap();
    match std::net::TcpStream::connect(&address) {
        Err(error) => {
            println!("{:?}", error.kind());
            std::process::exit(1);
        }
        Ok(mut stream) => {
            use std::io::Write as _;
            stream.write_all(b"?").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            println!("{text}");
        }
    }
}
"#;

#[test]
fn a_programs_sockets_connect_only_where_a_network_was_granted() {
    let Some(bench) = Bench::new() else { return };
    let source = bench.bench.file("client.rs", CLIENT);
    let module = bench.bench.path("client.wasm");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "--target=wasm32-wasip2", "-o"]);
    assert!(rustc.args([&module, &source]).status().unwrap().success());
    bench.succeed(&["build", "client.wasm"]);
    let address = format!("127.0.0.1:{}", answering("told"));
    let granted = bench.succeed(&["run", "--network", "host", "client", "--", &address]);
    assert_eq!(granted, "told\n");
    for network in ["none", "private"] {
        let words = ["run", "--network", network, "client", "--", &address];
        let output = bench.output(&words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{network}: {told}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "PermissionDenied\n"
        );
        assert!(told.contains("granted no network"), "{network}: {told}");
        assert!(
            told.contains("hint: ounce run --network"),
            "{network}: {told}"
        );
    }
}
