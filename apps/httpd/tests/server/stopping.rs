//! How the server ends: what was asked is answered, within bounds, as PID 1 too.

use crate::client::Client;
use crate::harness::{HANG, Server, Site, signal_to};
use crate::program::{is_skipped, program};
use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn every_request_sent_before_sigterm_is_answered_under_load() {
    let mut server = Site::new().serve(&[]);
    let port = server.port;
    let is_stopping = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = || {
            let mut answered = 0;
            loop {
                let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
                    return answered;
                };
                let mut client = Client::new(stream);
                // The kernel may have let it in when nobody was left to accept it.
                client.patience(Duration::from_secs(10));
                let is_sent = client.send("GET / HTTP/1.0\r\n\r\n");
                // The flag goes up before the signal is sent.
                let must_be_answered = is_sent && !is_stopping.load(Ordering::SeqCst);
                match client.answer() {
                    Ok(answer) => assert_eq!(answer.text(), "<p>hi\n"),
                    Err(fault) => {
                        assert!(!must_be_answered, "a request got no answer: {fault}");
                        return answered;
                    }
                }
                answered += 1;
            }
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        // One that was never used would still wait in the kernel (TCP_DEFER_ACCEPT),
        // which tells nobody that the server has gone.
        let mut idle = server.connect();
        for _ in 0..100 {
            idle.get("/");
        }
        is_stopping.store(true, Ordering::SeqCst);
        server.signal("-TERM");
        assert_eq!(server.wait_for_exit(HANG), Some(0));
        for client in clients {
            assert!(client.join().expect("client") > 0);
        }
        assert!(idle.rest().is_empty());
    });
}

#[test]
fn what_was_sent_before_sigterm_but_not_looked_at_is_answered() {
    let site = Site::new();
    site.file("big.bin", vec![7; 3_000_000]);
    // 300 MB are read meanwhile, on a machine that may be busy.
    let mut server = site.serve(&["--grace-seconds", "120"]);
    let mut kept: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut kept {
        // Accepted and idle, with one answer behind it.
        assert_eq!(client.get("/d/").text(), "in d\n");
    }
    // Stopped, it sees nothing of what follows until SIGTERM is pending.
    server.signal("-STOP");
    for client in &mut kept {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50));
    }
    let mut waiting: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("GET /big.bin HTTP/1.0\r\n\r\n");
    }
    server.signal("-TERM");
    server.signal("-CONT");
    for client in &mut kept {
        for number in 0..50 {
            let answer = client
                .answer()
                .unwrap_or_else(|fault| panic!("{number}: {fault}"));
            assert_eq!(
                (answer.text().as_str(), answer.says_close()),
                ("<p>hi\n", number == 49),
                "{number}"
            );
        }
        assert!(client.rest().is_empty());
    }
    for client in &mut waiting {
        assert_eq!(client.answer().expect("an answer").body.len(), 3_000_000);
    }
    assert_eq!(server.wait_for_exit(HANG), Some(0));
}

/// A file too great for any socket buffer, half-read: an answer in flight.
fn in_flight(options: &[&str]) -> (Server, Client) {
    let site = Site::new();
    site.file("big.bin", vec![7; 20_000_000]);
    let server = site.serve(options);
    let mut client = server.connect_narrow();
    client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    (server, client)
}

#[test]
fn an_answer_in_flight_is_finished_and_nobody_else_is_let_in() {
    for signal in ["-TERM", "-INT"] {
        let (mut server, mut client) = in_flight(&["--grace-seconds", "20"]);
        server.signal(signal);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(
            server.wait_for_exit(Duration::from_millis(50)),
            None,
            "{signal}: it goes before its work is done"
        );
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", server.port)) {
            let mut late = Client::new(stream);
            late.patience(Duration::from_secs(1));
            late.send("GET / HTTP/1.0\r\n\r\n");
            assert!(late.answer().is_err(), "{signal}: it takes new work");
        }
        assert_eq!(client.answer().expect("the whole").body.len(), 20_000_000);
        assert_eq!(server.wait_for_exit(HANG), Some(0), "{signal}");
    }
}

#[test]
fn who_takes_too_long_is_cut_off_when_the_grace_is_over() {
    let (mut server, mut client) = in_flight(&["--grace-seconds", "1"]);
    server.signal("-TERM");
    assert!(server.wait_for_exit(HANG).is_some(), "it stays");
    assert!(client.answer().is_err());
    // And not before.
    let (mut server, mut client) = in_flight(&["--grace-seconds", "600"]);
    server.signal("-TERM");
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        assert!(start.elapsed() < HANG, "it does not see the signal");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(client.answer().is_ok());
    assert_eq!(server.wait_for_exit(HANG), Some(0));
}

#[test]
fn a_second_signal_ends_it_long_before_the_grace_is_over() {
    for (first, second) in [("-TERM", "-TERM"), ("-INT", "-TERM"), ("-TERM", "-INT")] {
        let (mut server, _client) = in_flight(&["--grace-seconds", "600"]);
        server.signal(first);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(server.wait_for_exit(Duration::from_millis(50)), None);
        server.signal(second);
        assert!(
            server.wait_for_exit(HANG).is_some(),
            "{first} and {second}: it stays"
        );
    }
}

#[test]
fn idle_connections_do_not_keep_it_and_half_sent_ones_no_longer_than_the_grace() {
    let mut server = Site::new().serve(&["--grace-seconds", "600"]);
    let _idle: Vec<_> = (0..50).map(|_| server.connect()).collect();
    let mut used = server.connect();
    used.get("/");
    server.signal("-TERM");
    assert_eq!(server.wait_for_exit(HANG), Some(0), "of idle ones");

    let mut server = Site::new().serve(&["--grace-seconds", "1", "--header-seconds", "600"]);
    let mut half = server.connect();
    half.send("GET / HTTP/1.1\r\nHo");
    std::thread::sleep(Duration::from_millis(50));
    server.signal("-TERM");
    assert_eq!(server.wait_for_exit(HANG), Some(0), "of a half-sent one");
}

/// The first process of a namespace, by the number that the machine knows; gone
/// with the test. unshare(1) would end it, but whoever changes the user is no
/// longer told of a parent's end (PR_SET_PDEATHSIG).
struct First(String);

impl Drop for First {
    fn drop(&mut self) {
        let mut kill = Command::new("kill");
        kill.args(["-KILL", &self.0]).stderr(Stdio::null());
        let _ = kill.status();
    }
}

/// As PID 1 of a namespace, which `script` leads to by `exec "$0" "$@"`.
fn start_as_pid_1(script: &str) -> Option<(Server, First)> {
    let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let why = "this machine does not let us make a PID namespace";
    if is_skipped(Command::new("unshare").args(unshare).arg("true"), why) {
        return None;
    }
    let mut command = Command::new("unshare");
    command
        .args(unshare)
        .args(["bash", "-c", script])
        .stdout(Stdio::null());
    let server = Server::start(Site::new(), command.arg(program()));
    let id = server.child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("children");
    Some((server, First(children.trim().to_owned())))
}

#[test]
fn as_pid_1_it_stops_at_sigterm_and_sigint() {
    for signal in ["-TERM", "-INT"] {
        let Some((mut server, first)) = start_as_pid_1("exec \"$0\" \"$@\"") else {
            return;
        };
        assert_eq!(server.get("/").text(), "<p>hi\n");
        signal_to(&first.0, signal);
        assert_eq!(server.wait_for_exit(HANG), Some(0), "{signal}");
    }
}

#[test]
fn as_pid_1_it_reaps_the_orphans_it_inherits() {
    // The subshell ends at once; its children outlive it and become those of
    // PID 1, which is the server by then.
    let script = "(sleep 1 & sleep 1.1 &); exec \"$0\" \"$@\"";
    let Some((server, first)) = start_as_pid_1(script) else {
        return;
    };
    let id = &first.0;
    let children = || fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let orphans = children().expect("children");
    assert_eq!(orphans.split_whitespace().count(), 2, "{orphans:?}");
    let start = Instant::now();
    while !children().expect("children").trim().is_empty() {
        assert!(start.elapsed() < HANG, "orphans are left as zombies");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.get("/").text(), "<p>hi\n");
}
