//! Services that are started by their first connection: nobody is refused,
//! whatever comes and goes behind the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::Workbench;
use crate::programs;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `ounce serve` and what it has told.
pub(crate) struct Served {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Served {
    pub(crate) fn start(bench: &Workbench, arguments: &[&str]) -> Self {
        let mut child = bench
            .ounce(&["serve", "--log", "json"])
            .env("OUNCE_RUNTIME_DIR", bench.path("runtime"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                told.lock().unwrap().push(value);
            }
        });
        Self { child, log }
    }

    /// With a file of services.
    pub(crate) fn of_file(bench: &Workbench, text: &str) -> Self {
        bench.file("ounce-serve.toml", text);
        Self::start(bench, &["ounce-serve.toml"])
    }

    pub(crate) fn events(&self, service: &str, event: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let events = log.iter().filter(|line| {
            line["event"] == event && (service.is_empty() || line["service"] == service)
        });
        events.cloned().collect()
    }

    /// Waits until this was told so often, and gives the last of them.
    pub(crate) fn wait(&self, service: &str, event: &str, count: usize) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let events = self.events(service, event);
            if events.len() >= count {
                return events[count - 1].clone();
            }
            assert!(
                Instant::now() < end,
                "no {count} × {event} of {service}: {:#?}",
                self.log.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn address(&self, service: &str) -> SocketAddr {
        let event = self.wait(service, "listening", 1);
        event["address"].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn end(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store with an image of web files.
fn with_site(text: &str) -> Workbench {
    let bench = Workbench::new();
    site(&bench, text);
    bench
}

fn site(bench: &Workbench, text: &str) {
    bench.file("public/index.html", text);
    bench.succeed(&["build", "public", "-t", "site"]);
}

/// Status and body of one answer.
fn get(address: SocketAddr, head: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other(format!("no head: {text:?}")))?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    Ok((status.unwrap_or_default(), body.to_owned()))
}

pub(crate) fn root(address: SocketAddr) -> io::Result<(u16, String)> {
    get(
        address,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn is_alive(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_i64().unwrap()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never came true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn first_connection_starts_it_and_unused_it_is_stopped() {
    let bench = with_site("one");
    let mut served = Served::start(&bench, &["site", "-p", ":80", "--idle", "200ms"]);
    let address = served.address("site");
    assert!(served.events("site", "started").is_empty());
    for round in 1..=3 {
        assert_eq!(root(address).unwrap(), (200, "one".to_owned()));
        let pid = served.wait("site", "started", round)["pid"].clone();
        let stopping = served.wait("site", "stopping", round);
        assert_eq!(stopping["why"], "idle");
        assert_eq!(served.wait("site", "stopped", round)["exit"], 0);
        assert!(!is_alive(&pid));
    }
    assert!(served.end().success());
}

#[test]
fn connection_that_is_open_keeps_it_running() {
    let bench = with_site("one");
    let served = Served::start(&bench, &["site", "-p", ":80", "--idle", "100ms"]);
    let address = served.address("site");
    let mut stream = TcpStream::connect(address).unwrap();
    served.wait("site", "started", 1);
    // Many times the idle time, with not a byte sent.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(served.events("site", "stopping").is_empty());
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    served.wait("site", "stopping", 1);
}

#[test]
fn two_hundred_at_once_to_a_stopped_service_are_all_answered() {
    let bench = with_site("one");
    let served = Served::start(&bench, &["site", "-p", ":80"]);
    let address = served.address("site");
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                assert_eq!(root(address).unwrap().0, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(answered.load(Ordering::Relaxed), 200);
    assert_eq!(served.events("site", "started").len(), 1);
}

/// Asks in a loop until told to end; every answer has to be whole.
pub(crate) fn load(address: SocketAddr, pause: Duration, over: &AtomicBool) -> usize {
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        match root(address) {
            Ok((200, _)) => count += 1,
            other => panic!("after {count}: {other:?}"),
        }
        std::thread::sleep(pause);
    }
    count
}

#[test]
fn nobody_is_refused_or_cut_off_while_it_is_started_and_stopped_all_the_time() {
    starts_and_stops("pass");
}

#[test]
fn nobody_is_cut_off_behind_a_proxy_either() {
    starts_and_stops("proxy");
}

/// It is stopped whenever nobody was there for an instant.
fn starts_and_stops(socket: &str) {
    let bench = with_site("one");
    let served = Served::of_file(
        &bench,
        &format!(
            "[[service]]\nname = \"site\"\nimage = \"site\"\nlisten = \":8080\"\n\
             idle = \"1ms\"\nsocket = \"{socket}\"\n"
        ),
    );
    let address = served.address("site");
    let over = AtomicBool::new(false);
    let answered: usize = std::thread::scope(|scope| {
        let loads: Vec<_> = [17, 23, 31]
            .into_iter()
            .map(|pause| {
                let over = &over;
                scope.spawn(move || load(address, Duration::from_millis(pause), over))
            })
            .collect();
        let end = Instant::now() + PATIENCE;
        while served.events("site", "stopped").len() < 25 && Instant::now() < end {
            if loads.iter().any(|load| load.is_finished()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
        loads.into_iter().map(|load| load.join().unwrap()).sum()
    });
    let stops = served.events("site", "stopped").len();
    assert!(stops >= 25, "only {stops} stops, {answered} answers");
    assert!(answered > 50, "{answered}");
    assert!(served.events("site", "crashed").is_empty());
}

#[test]
fn program_that_takes_no_socket_is_reached_by_a_proxy_and_stopped_as_well() {
    let bench = with_site("one");
    let served = Served::of_file(
        &bench,
        "[[service]]\nname = \"site\"\nimage = \"site\"\nlisten = \":8080\"\n\
         socket = \"proxy\"\nidle = \"200ms\"\n",
    );
    let address = served.address("site");
    for round in 1..=2 {
        assert_eq!(root(address).unwrap().0, 200);
        served.wait("site", "stopped", round);
    }
}

#[test]
fn image_that_exits_at_once_is_tried_again_after_longer_and_longer_pauses() {
    let bench = Workbench::new();
    let program = bench.program("bad", programs::prints("no\n", 7));
    let program = program.to_str().unwrap();
    let mut served = Served::start(&bench, &[program, "-p", ":80", "--always"]);
    served.wait("bad", "crashed", 4);
    let pauses: Vec<u64> = served
        .events("bad", "crashed")
        .iter()
        .take(4)
        .map(|event| {
            assert_eq!(event["exit"], 7);
            event["again_ms"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(pauses, [100, 200, 400, 800]);
    assert!(served.end().success());
}

#[test]
fn image_that_never_accepts_is_killed_and_started_anew() {
    let bench = Workbench::new();
    bench.program("deaf", programs::waits());
    let mut served = Served::of_file(
        &bench,
        "[[service]]\nname = \"deaf\"\nimage = \"./deaf\"\nlisten = \":80\"\n\
         socket = \"pass\"\nstart-timeout = \"300ms\"\nidle = \"1s\"\n",
    );
    let address = served.address("deaf");
    let _waiting = TcpStream::connect(address).unwrap();
    served.wait("deaf", "stalled", 1);
    assert!(served.wait("deaf", "crashed", 1)["again_ms"].as_u64() >= Some(100));
    served.wait("deaf", "started", 2);
    assert!(served.end().success());
}

#[test]
fn program_that_ignores_sigterm_is_killed_in_time() {
    let bench = Workbench::new();
    // It has no handler, which is as good as none: it is killed at once.
    bench.program("deaf", programs::waits());
    let mut served = Served::of_file(
        &bench,
        "[[service]]\nname = \"deaf\"\nimage = \"./deaf\"\nlisten = \":80\"\nalways = true\n",
    );
    let pid = served.wait("deaf", "started", 1)["pid"].clone();
    let begun = Instant::now();
    assert!(served.end().success());
    assert!(begun.elapsed() < Duration::from_secs(9));
    assert!(!is_alive(&pid));
}

#[test]
fn tag_that_moves_rolls_without_refusing_anybody() {
    let bench = with_site("old");
    let served = Served::start(&bench, &["site", "-p", ":80"]);
    let address = served.address("site");
    assert_eq!(root(address).unwrap().1, "old");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(address, Duration::from_millis(2), &over));
        for round in 1..=2 {
            let text = format!("new {round}");
            site(&bench, &text);
            served.wait("site", "rolled", round);
            served.wait("site", "stopped", round);
            assert_eq!(root(address).unwrap().1, text);
        }
        over.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > 0);
    });
}

#[test]
fn image_that_does_not_hold_does_not_replace_the_one_that_does() {
    let bench = with_site("good");
    let served = Served::start(&bench, &["site", "-p", ":80"]);
    let address = served.address("site");
    assert_eq!(root(address).unwrap().1, "good");
    let bad = bench.program("bad", programs::prints("no\n", 7));
    bench.succeed(&["build", bad.to_str().unwrap(), "-t", "site"]);
    served.wait("site", "roll-failed", 1);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(root(address).unwrap().1, "good");
    assert_eq!(served.events("site", "roll-failed").len(), 1);
}

#[test]
fn file_is_read_again_on_sighup_and_a_faulty_one_changes_nothing() {
    let bench = with_site("one");
    let one = "[[service]]\nname = \"a\"\nimage = \"site\"\nlisten = \":80\"\n";
    let mut served = Served::of_file(&bench, one);
    let a = served.address("a");
    assert_eq!(root(a).unwrap().0, 200);
    bench.file(
        "ounce-serve.toml",
        format!("{one}{}", one.replace("\"a\"", "\"b\"")),
    );
    served.signal(Signal::HUP);
    let event = served.wait("", "reloaded", 1);
    assert_eq!((&event["added"], &event["removed"]), (&1.into(), &0.into()));
    let b = served.address("b");
    assert_eq!(root(b).unwrap().0, 200);
    bench.file("ounce-serve.toml", "[[service]]\nnmae = 1\n");
    served.signal(Signal::HUP);
    let event = served.wait("", "reload-failed", 1);
    assert!(
        event["error"].as_str().unwrap().contains("did you mean"),
        "{event}"
    );
    assert_eq!((root(a).unwrap().0, root(b).unwrap().0), (200, 200));
    // `a` goes; its socket is closed once its container has ended.
    bench.file("ounce-serve.toml", one.replace("\"a\"", "\"b\""));
    served.signal(Signal::HUP);
    assert_eq!(served.wait("", "reloaded", 2)["removed"], 1);
    served.wait("a", "stopped", 1);
    wait_until(|| TcpStream::connect(a).is_err());
    assert_eq!(root(b).unwrap().0, 200);
    assert!(served.end().success());
}

#[test]
fn renamed_service_takes_the_socket_over() {
    let bench = with_site("one");
    let port = free_port();
    let text = format!("[[service]]\nname = \"a\"\nimage = \"site\"\nlisten = {port}\n");
    let served = Served::of_file(&bench, &text);
    let address = served.address("a");
    assert_eq!(root(address).unwrap().0, 200);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(address, Duration::from_millis(1), &over));
        bench.file("ounce-serve.toml", text.replace("\"a\"", "\"b\""));
        served.signal(Signal::HUP);
        served.wait("a", "stopped", 1);
        served.wait("b", "started", 1);
        std::thread::sleep(Duration::from_millis(100));
        over.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > 0);
    });
}

#[test]
fn least_used_makes_room_where_only_so_many_may_run() {
    let bench = with_site("one");
    let one = |name: &str| {
        format!("[[service]]\nname = \"{name}\"\nimage = \"site\"\nlisten = \":80\"\n")
    };
    let text = format!("max-running = 1\n{}{}", one("a"), one("b"));
    let served = Served::of_file(&bench, &text);
    let (a, b) = (served.address("a"), served.address("b"));
    for round in 1..=3 {
        assert_eq!(root(a).unwrap().0, 200);
        assert_eq!(root(b).unwrap().0, 200);
        served.wait("b", "started", round);
    }
    assert_eq!(served.events("a", "stopping")[0]["why"], "evicted");
    assert_eq!(served.wait("b", "delayed", 1)["limit"], "max-running");
}

#[test]
fn starts_are_as_many_a_second_as_they_may_be() {
    let bench = with_site("one");
    let text: String = (0..6)
        .map(|number| {
            format!("[[service]]\nname = \"s{number}\"\nimage = \"site\"\nlisten = \":80\"\nalways = true\n")
        })
        .collect();
    let begun = Instant::now();
    let served = Served::of_file(&bench, &format!("start-rate = 2\n{text}"));
    for number in 0..6 {
        served.wait(&format!("s{number}"), "started", 1);
    }
    // Two at once, and two more in each of two seconds.
    assert!(begun.elapsed() >= Duration::from_millis(1900));
    assert_eq!(served.wait("", "delayed", 1)["limit"], "start-rate");
}

#[test]
fn requests_are_routed_by_host_and_path_with_bodies_and_keep_alive() {
    let bench = with_site("one");
    bench.file("other/index.html", "other");
    bench.file("other/api/x.txt", "from api");
    bench.succeed(&["build", "other", "-t", "other"]);
    let (port, metrics) = (free_port(), free_port());
    let bad = bench.program("bad", programs::prints("no\n", 7));
    let text = format!(
        "metrics = \"127.0.0.1:{metrics}\"\n[defaults]\nidle = \"300ms\"\n\
         [[service]]\nname = \"site\"\nimage = \"site\"\nlisten = {port}\npath = \"/\"\n\
         [[service]]\nname = \"api\"\nimage = \"other\"\nlisten = {port}\npath = \"/api\"\n\
         [[service]]\nname = \"host\"\nimage = \"other\"\nlisten = {port}\nhost = \"*.example\"\nconcurrency = 1\n\
         [[service]]\nname = \"bad\"\nimage = \"{}\"\nlisten = {port}\npath = \"/bad\"\n",
        bad.display()
    );
    let mut served = Served::of_file(&bench, &text);
    let address = served.address("site");
    let asked = |target: &str, host: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        get(address, &head).unwrap()
    };
    assert_eq!(asked("/", "a"), (200, "one".to_owned()));
    assert_eq!(asked("/api/x.txt", "a"), (200, "from api".to_owned()));
    assert_eq!(asked("/", "B.Example:1"), (200, "other".to_owned()));
    assert_eq!(asked("/api/../", "a").0, 400);
    // Cut off by the first end of it; told after that.
    assert!([502, 503].contains(&asked("/bad", "a").0));
    wait_until(|| asked("/bad", "a").0 == 503);
    assert_eq!(get(address, "GET / HTTP/1.1\r\n\r\n").unwrap().0, 400);
    // Several on one connection, one after the other and all at once.
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let all = format!("{request}{request}{last}");
    stream.write_all(all.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert_eq!(text.matches("Connection: keep-alive").count(), 2, "{text}");
    // More at once than it may have: they wait for each other.
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(asked("/", "a.example").0, 200));
        }
    });
    // Unused, all is stopped, though the client's connection is kept.
    let mut kept = TcpStream::connect(address).unwrap();
    kept.write_all(request.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    assert!(kept.read(&mut buffer).unwrap() > 0);
    served.wait("host", "stopped", 1);
    kept.write_all(request.as_bytes()).unwrap();
    assert!(kept.read(&mut buffer).unwrap() > 0, "and is started again");
    let scraped = format!("127.0.0.1:{metrics}").parse().unwrap();
    let head = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (status, text) = get(scraped, head).unwrap();
    assert_eq!(status, 200);
    check_metrics(&text);
    assert!(
        text.contains("ounce_serve_requests_total{service=\"api\",code=\"2xx\"} 1"),
        "{text}"
    );
    assert!(served.end().success());
}

/// As promtool does: every sample belongs to a described family, every line is well formed.
fn check_metrics(text: &str) {
    let mut families: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.iter().all(|(other, _)| other != name), "{line}");
            families.push((name.to_owned(), kind.to_owned()));
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let (family, kind) = families
                .iter()
                .find(|(family, _)| name.starts_with(family.as_str()))
                .unwrap_or_else(|| panic!("{line}"));
            match kind.as_str() {
                "histogram" => assert!(
                    ["_bucket", "_sum", "_count"].contains(&&name[family.len()..]),
                    "{line}"
                ),
                _ => assert_eq!(name, family),
            }
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        }
    }
    assert!(families.len() > 5);
}

#[test]
fn kill_of_serve_takes_its_containers_with_it() {
    let bench = with_site("one");
    let mut served = Served::start(&bench, &["site", "-p", ":80"]);
    let address = served.address("site");
    assert_eq!(root(address).unwrap().0, 200);
    let pid = served.wait("site", "started", 1)["pid"].clone();
    assert!(is_alive(&pid));
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    wait_until(|| !is_alive(&pid));
    wait_until(|| TcpStream::connect(address).is_err());
}

#[test]
fn ps_shows_it_and_one_that_was_killed_leaves_its_name() {
    let bench = with_site("one");
    let ps = |all: bool| -> Value {
        let mut ps = bench.ounce(&["ps", "--json"]);
        if all {
            ps.arg("-a");
        }
        let output = ps
            .env("OUNCE_RUNTIME_DIR", bench.path("runtime"))
            .output()
            .unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let note = || ps(false)["containers"][0]["note"].clone();
    let mut served = Served::start(&bench, &["site", "-p", ":80", "--idle", "500ms"]);
    let address = served.address("site");
    assert_eq!(ps(false)["containers"][0]["name"], "serve-site");
    assert_eq!(note(), "idle");
    assert_eq!(root(address).unwrap().0, 200);
    wait_until(|| note() == "running");
    wait_until(|| note() == "idle");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    assert_eq!(ps(false)["containers"], Value::Array(vec![]));
    assert_eq!(ps(true)["containers"][0]["name"], "serve-site");
    let mut served = Served::start(&bench, &["site", "-p", ":80"]);
    served.address("site");
    assert_eq!(ps(true)["containers"].as_array().unwrap().len(), 1);
    assert!(served.end().success());
    assert_eq!(ps(true)["containers"], Value::Array(vec![]));
}

#[test]
fn two_serves_of_one_port_are_told_apart() {
    let bench = with_site("one");
    let served = Served::start(&bench, &["site", "-p", ":80"]);
    let address = served.address("site");
    let port = address.port().to_string();
    let second = bench.output(&["serve", "site", "-p", &port]);
    let text = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(4), "{text}");
    assert!(
        text.contains(&format!("127.0.0.1:{port} is in use by ounce")),
        "{text}"
    );
    assert_eq!(root(address).unwrap().0, 200);
}

#[test]
fn what_cannot_be_served_is_told_before_anything_is() {
    let bench = with_site("one");
    insta::assert_snapshot!(bench.picture(&["serve", "sitte", "-p", "0:80"]), @r"
    status: 3
    -- stdout
    -- stderr
    error: service sitte: there is no image sitte:latest
    hint: did you mean site:latest?
    ");
    insta::assert_snapshot!(bench.picture(&["serve", "site"]), @r"
    status: 2
    -- stdout
    -- stderr
    error: 1 image and 0 published ports: each image needs its own port
    hint: ounce serve hello -p 8080, or a file of services: ounce serve ounce-serve.toml
    ");
    insta::assert_snapshot!(bench.picture(&["serve", "none.toml"]), @r"
    status: 3
    -- stdout
    -- stderr
    error: none.toml: No such file or directory (os error 2)
    hint: docs/serve.md tells what stands in it
    ");
    insta::assert_snapshot!(bench.picture(&["serve", "none.toml", "site"]), @r"
    status: 2
    -- stdout
    -- stderr
    error: none.toml stands beside others: a file of services is served alone
    ");
    bench.file(
        "a.toml",
        "[[service]]\nname = \"a\"\nimage = \"site\"\nlissten = 80\n",
    );
    insta::assert_snapshot!(bench.picture(&["serve", "a.toml"]), @r"
    status: 3
    -- stdout
    -- stderr
    error: a.toml:4:1: unknown key `service.lissten`: did you mean `service.listen`?
    hint: what may stand here: name, listen, host, path, image, idle, always, concurrency, start-rate, health, key, args, env, memory, cpus, pids, network, socket, user, workdir, volumes, tmpfs, output, stop-timeout, start-timeout
    ");
    insta::assert_snapshot!(bench.picture(&["serve", "a.toml", "--idle", "1s"]), @r"
    status: 2
    -- stdout
    -- stderr
    error: --idle is for an image; a.toml says it for each of its services
    hint: [defaults] in the file holds for all of them
    ");
    bench.file(
        "b.toml",
        "[[service]]\nname = \"a\"\nimage = \"site\"\nlisten = \":80\"\n",
    );
    insta::assert_snapshot!(bench.picture(&["serve", "b.toml", "--check"]), @r"
    status: 0
    -- stdout
    1 service, all as it should be
    -- stderr
    ");
}

#[test]
fn example_file_of_the_documentation_is_read() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/serve.md");
    let page = std::fs::read_to_string(page).unwrap();
    let files: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!files.is_empty());
    let bench = with_site("one");
    for text in files {
        // What is written of names and paths there is not here.
        bench.file("doc.toml", text);
        let output = bench.output(&["serve", "doc.toml", "--check"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() || said.contains("service ") && !said.contains("doc.toml:"),
            "{said}\n{text}"
        );
    }
}
