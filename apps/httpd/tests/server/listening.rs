//! Where the server listens: IPv4 and IPv6, inherited sockets, shared ports.

use crate::client::Client;
use crate::harness::{HANG, Server, Site, free_port};
use crate::program::{program, skip};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

fn text_at(address: &str, port: u16) -> Option<String> {
    let stream = TcpStream::connect((address, port)).ok()?;
    Some(Client::new(stream).get("/").text())
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        skip("this machine has no IPv6");
    }
    has
}

#[test]
fn by_default_both_families_are_served() {
    if !has_ipv6() {
        return;
    }
    let server = Site::new().serve(&[]);
    for address in ["127.0.0.1", "127.0.0.2", "::1"] {
        assert_eq!(
            text_at(address, server.port).as_deref(),
            Some("<p>hi\n"),
            "{address}"
        );
    }
}

#[test]
fn an_address_is_served_alone() {
    let server = Site::new().serve(&["--address", "127.0.0.1"]);
    assert!(text_at("127.0.0.1", server.port).is_some());
    assert!(text_at("127.0.0.2", server.port).is_none());
    let server = Site::new().serve(&["--address=0.0.0.0"]);
    assert!(text_at("127.0.0.9", server.port).is_some());
    if !has_ipv6() {
        return;
    }
    assert!(text_at("::1", server.port).is_none());
    let site = Site::new();
    let port = free_port();
    let said = std::fs::File::create(site.folder.join("stderr")).expect("file");
    let child = Command::new(program())
        .args(["--address", "::1", "--port", &port.to_string()])
        .arg(site.root())
        .stderr(said)
        .spawn()
        .expect("start");
    let server = Server { child, port, site };
    let start = Instant::now();
    while text_at("::1", port).is_none() {
        assert!(start.elapsed() < HANG, "{}", server.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(text_at("127.0.0.1", port).is_none());
}

/// Starts the program with these sockets from descriptor 3 on, by a shell that
/// sets the variables; `$$` is the number that exec keeps.
fn inherit(site: Site, sockets: Vec<TcpListener>, variables: &str) -> Server {
    let port = sockets[0].local_addr().expect("address").port();
    let mut sockets = sockets.into_iter().map(OwnedFd::from);
    let first = sockets.next().expect("one");
    let second = sockets.next();
    let moves = if second.is_some() {
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null"
    } else {
        "exec 3<&0 0</dev/null"
    };
    let said = std::fs::File::create(site.folder.join("stderr")).expect("file");
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!(
            "{moves}; {variables} exec \"$0\" --port {} \"$1\"",
            free_port()
        ))
        .arg(program())
        .arg(site.root())
        .stdin(first)
        .stderr(said);
    if let Some(second) = second {
        command.stdout(second);
    }
    let child = command.spawn().expect("start");
    Server { child, port, site }
}

#[test]
fn inherited_sockets_are_served_as_listen_fds_says() {
    let socket = || TcpListener::bind("127.0.0.1:0").expect("bind");
    for variables in ["LISTEN_PID=$$ LISTEN_FDS=1", "LISTEN_FDS=1"] {
        let mut server = inherit(Site::new(), vec![socket()], variables);
        assert_eq!(server.get("/d/").text(), "in d\n", "{variables}");
        server.signal("-TERM");
        assert_eq!(server.wait_for_exit(HANG), Some(0));
    }
    let (first, second) = (socket(), socket());
    let other = second.local_addr().expect("address").port();
    let server = inherit(
        Site::new(),
        vec![first, second],
        "LISTEN_PID=$$ LISTEN_FDS=2",
    );
    for _ in 0..20 {
        assert_eq!(server.get("/d/").text(), "in d\n");
        assert_eq!(text_at("127.0.0.1", other).as_deref(), Some("<p>hi\n"));
    }
}

#[test]
fn sockets_of_another_process_are_not_taken() {
    // LISTEN_PID of somebody else: the port of the command line is what is left.
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = socket.local_addr().expect("address").port();
    let server = inherit(Site::new(), vec![socket], "LISTEN_PID=1 LISTEN_FDS=1");
    std::thread::sleep(Duration::from_millis(200));
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the socket is open still");
    let mut client = Client::new(stream);
    client.patience(Duration::from_millis(300));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.answer().is_err(), "{}", server.said());
}

#[test]
fn the_name_listen_fds_stands_whole_in_the_program() {
    let bytes = std::fs::read(program()).expect("program");
    assert!(
        bytes.windows(10).any(|ten| ten == b"LISTEN_FDS"),
        "it cannot be seen to take sockets"
    );
}

#[test]
fn a_shared_port_is_handed_over_without_a_gap() {
    let first = Site::new().serve(&["--reuse-port"]);
    let port = first.port.to_string();
    let start = |extra: &[&str]| {
        let site = Site::new();
        let mut command = Command::new(program());
        command.args(["--port", &port]).args(extra).arg(site.root());
        Server::start_as_is(site, &mut command, first.port)
    };
    let _second = start(&["--reuse-port"]);
    std::thread::sleep(Duration::from_millis(100));
    let mut first = first;
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let port_number = first.port;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    let mut lost = 0;
                    while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                        match TcpStream::connect(("127.0.0.1", port_number)) {
                            Ok(stream) => {
                                let mut client = Client::new(stream);
                                client.send("GET / HTTP/1.0\r\n\r\n");
                                match client.answer() {
                                    Ok(answer) => {
                                        assert_eq!(answer.text(), "<p>hi\n");
                                        answered += 1;
                                    }
                                    Err(_) => lost += 1,
                                }
                            }
                            Err(_) => lost += 1,
                        }
                    }
                    (answered, lost)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        first.signal("-TERM");
        assert_eq!(first.wait_for_exit(HANG), Some(0));
        std::thread::sleep(Duration::from_millis(200));
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            let (answered, lost) = client.join().expect("client");
            // The kernel resets what is in the queue of a socket that closes: a
            // request at most a client, and only in that moment.
            assert!(
                answered > 20 && lost <= 2,
                "{answered} answered, {lost} lost"
            );
        }
    });
    assert_eq!(
        text_at("127.0.0.1", port_number).as_deref(),
        Some("<p>hi\n")
    );
}

#[test]
fn a_port_is_free_again_at_once() {
    let site = Site::new();
    let mut server = site.serve(&[]);
    let port = server.port.to_string();
    // Connections that the server closed are in TIME_WAIT now.
    for _ in 0..5 {
        server.ask("GET / HTTP/1.0\r\n\r\n");
    }
    server.signal("-TERM");
    assert_eq!(server.wait_for_exit(HANG), Some(0));
    let site = Site::new();
    let mut command = Command::new(program());
    command.args(["--port", &port]).arg(site.root());
    let again = Server::start_as_is(site, &mut command, server.port);
    assert_eq!(again.get("/").text(), "<p>hi\n");
}
