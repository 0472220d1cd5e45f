//! What the server lives through, with the others served meanwhile and nothing
//! left behind: neither descriptors nor memory.

use crate::client::{Client, End, Fault};
use crate::harness::{HANG, Server, Site, free_port};
use crate::program::{program, raise_descriptors, skip};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A connection from an address of its own among those of loopback: each has
/// ports of its own.
fn connect_from(last: u8, port: u16) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&from.into()).expect("bind");
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(&to.into()).expect("connect");
    Client::new(socket.into())
}

#[test]
fn ten_thousand_connections_are_served_and_cost_16_bytes_each() {
    if raise_descriptors() < 10_500 {
        return skip("this machine allows too few descriptors for 10,000 connections");
    }
    let server = Site::new().serve(&["--max-connections", "10500"]);
    server.get("/");
    std::thread::sleep(Duration::from_millis(50));
    let (descriptors, dirty) = (server.descriptors(), server.memory_kb("Private_Dirty"));
    let mut clients: Vec<_> = (0..10_000)
        .map(|number| connect_from(2 + (number % 200) as u8, server.port))
        .collect();
    for client in &mut clients {
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client
            .answer()
            .unwrap_or_else(|fault| panic!("{number}: {fault}"));
        assert_eq!(answer.body, b"ok\n");
    }
    assert!(server.descriptors() >= descriptors + 10_000);
    // 10,000 × 16 bytes are 157 KB; a page at either end may be begun.
    let grown = server.memory_kb("Private_Dirty") - dirty;
    assert!(grown <= 157 + 8, "10,000 connections cost {grown} KB");
    for client in clients.iter_mut().step_by(97) {
        assert_eq!(client.get("/").text(), "<p>hi\n");
    }
    assert_eq!(server.get("/").text(), "<p>hi\n");
    drop(clients);
    assert!(
        server.falls_to(descriptors, HANG),
        "{} descriptors stay",
        server.descriptors()
    );
    assert_eq!(server.get("/").text(), "<p>hi\n");
}

#[test]
fn connections_past_the_cap_get_503_and_the_others_are_served() {
    let server = Site::new().serve(&["--max-connections", "50"]);
    // The connection that found it ready is gone by then.
    std::thread::sleep(Duration::from_millis(100));
    let mut held: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for client in &mut held {
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let mut statuses = Vec::new();
    for (number, client) in held.iter_mut().enumerate() {
        let answer = client
            .answer()
            .unwrap_or_else(|fault| panic!("{number}: {fault}"));
        if answer.status == 503 {
            assert!(answer.says_close(), "{answer:?}");
            assert!(client.end(HANG).is_ok_and(|end| end != End::Open));
        }
        statuses.push(answer.status);
    }
    let served = statuses.iter().filter(|&&status| status == 200).count();
    assert_eq!(served, 50, "{statuses:?}");
    held[3].get("/d/");
    drop(held);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.get("/").text(), "<p>hi\n");
}

#[test]
fn few_descriptors_are_no_end() {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let port = free_port();
    let mut command = Command::new("bash");
    command
        .args(["-c", "ulimit -n 40; exec \"$0\" --port \"$1\" \"$2\""])
        .arg(program())
        .arg(port.to_string())
        .arg(site.root());
    let server = Server::start_as_is(site, &mut command, port);
    std::thread::sleep(Duration::from_millis(100));
    let before = server.descriptors();
    for round in 0..3 {
        // More connections than descriptors, some with a file open besides.
        let mut held: Vec<_> = (0..80).map(|_| server.connect_narrow()).collect();
        for (number, client) in held.iter_mut().enumerate() {
            let path = if number % 2 == 0 { "/huge.bin" } else { "/d/" };
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        std::thread::sleep(Duration::from_millis(300));
        let mut answered = 0;
        for client in held.iter_mut().skip(1).step_by(2) {
            client.patience(Duration::from_millis(200));
            match client.answer() {
                Ok(answer) => {
                    assert!([200, 503].contains(&answer.status), "{answer:?}");
                    answered += 1;
                }
                // Not accepted yet, or dropped: both are within its rights.
                Err(Fault::Silent | Fault::Closed) => {}
                Err(fault) => panic!("round {round}: {fault}"),
            }
        }
        assert!(answered > 0, "round {round}: nobody is answered");
        drop(held);
        assert!(
            server.falls_to(before, HANG),
            "round {round}: {} of {before} stay",
            server.descriptors()
        );
        assert_eq!(server.get("/").text(), "<p>hi\n", "round {round}");
    }
    // It waits for work, it does not spin.
    let ticks = |server: &Server| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.child.id())).expect("stat");
        let rest = stat.rsplit(") ").next().unwrap_or_default().to_owned();
        let numbers: Vec<u64> = rest
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        numbers[10..12].iter().sum::<u64>()
    };
    let _held: Vec<_> = (0..60).map(|_| server.connect()).collect();
    // It sleeps for a second at most, and who spins does not sleep.
    let sleeps = |server: &Server| -> u64 {
        let count = server.status("voluntary_ctxt_switches");
        count.parse().expect("a count")
    };
    let (begin, end) = (ticks(&server), sleeps(&server) + 3);
    let start = Instant::now();
    while sleeps(&server) < end {
        assert!(start.elapsed() < HANG, "it does not sleep");
        std::thread::sleep(SECOND / 50);
    }
    let used = ticks(&server) - begin;
    assert!(used <= 20, "{used} ticks used while nobody asks");
}

#[test]
fn storms_of_resets_leave_nothing_behind() {
    let site = Site::new();
    site.file("big.bin", vec![7; 3_000_000]);
    let server = site.serve(&[]);
    server.get("/");
    std::thread::sleep(Duration::from_millis(50));
    let (descriptors, dirty) = (server.descriptors(), server.memory_kb("Private_Dirty"));
    for number in 0..4_000_usize {
        let mut client = server.connect();
        socket2::SockRef::from(&client.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("linger");
        match number % 5 {
            0 => {}
            1 => _ = client.send("GET / HTTP/1.1\r\nHo"),
            2 => _ = client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"),
            3 => _ = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20)),
            _ => {
                client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
                let _ = client.stream.read(&mut [0; 1_000]);
            }
        }
        // Dropped with a reset.
        if number % 400 == 0 {
            assert_eq!(server.get("/").text(), "<p>hi\n", "{number}");
        }
    }
    assert!(
        server.falls_to(descriptors, HANG),
        "{} of {descriptors} stay",
        server.descriptors()
    );
    let grown = server.memory_kb("Private_Dirty").saturating_sub(dirty);
    assert!(grown <= 16, "{grown} KB more than before");
    assert_eq!(server.get("/").text(), "<p>hi\n");
}

#[test]
fn who_sends_no_more_still_gets_what_was_asked() {
    let site = Site::new();
    site.file("big.bin", vec![7; 3_000_000]);
    let server = site.serve(&["--header-seconds", "600", "--idle-seconds", "600"]);
    let descriptors = server.descriptors();
    let mut client = server.connect();
    client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(client.answer().expect("the first").body.len(), 3_000_000);
    assert_eq!(client.answer().expect("the second").text(), "<p>hi\n");
    assert!(
        client.end(HANG).is_ok_and(|end| end == End::Closed),
        "and then the end"
    );
    // A request that will never be whole, and none at all: long before a deadline.
    for bytes in ["GET / HTTP/1.1\r\nHo", ""] {
        let mut client = server.connect();
        client.send(bytes);
        client.stream.shutdown(Shutdown::Write).expect("shutdown");
        let end = client.end(HANG).expect("nothing is said");
        assert!(end != End::Open, "{bytes:?}");
    }
    drop(client);
    assert!(server.falls_to(descriptors, HANG));
}

#[test]
fn files_past_4_gb_are_served_to_the_byte() {
    let site = Site::new();
    let path = site.root().join("huge.bin");
    let file = File::create(&path).expect("file");
    file.set_len(5 << 30).expect("length");
    // Marks on both sides of where 31 and 32 bits end, and at the end.
    for (at, mark) in [
        (1_u64 << 31, b"half"),
        (1 << 32, b"full"),
        ((5 << 30) - 2, b"last"),
    ] {
        file.write_at(mark, at - 2).expect("mark");
    }
    let server = site.serve(&[]);
    let head = server.ask("HEAD /huge.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.field("Content-Length"), Some("5368709120"));
    for (range, body) in [
        ("2147483646-2147483649", "half"),
        ("4294967294-4294967297", "full"),
        ("5368709116-5368709119", "last"),
        ("5368709116-", "last"),
        ("-4", "last"),
        ("4294967296-4294967297", "ll"),
    ] {
        let answer = server.get_with("/huge.bin", &format!("Range: bytes={range}\r\n"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (206, body),
            "{range}"
        );
        assert!(
            answer
                .field("Content-Range")
                .is_some_and(|range| range.ends_with("/5368709120"))
        );
    }
    // 40 MB across the line, in one answer.
    let answer = server.get_with("/huge.bin", "Range: bytes=4274967294-4314967293\r\n");
    assert_eq!(answer.body.len(), 40_000_000);
    assert_eq!(&answer.body[20_000_000..20_000_004], b"full");
    assert_eq!(answer.body.iter().filter(|&&byte| byte != 0).count(), 4);
}

#[test]
fn slow_readers_of_a_huge_file_hold_nobody_up_and_are_dropped() {
    let site = Site::new();
    site.sparse("huge.bin", 3 << 30);
    let server = site.serve(&["--write-seconds", "1"]);
    server.get("/");
    std::thread::sleep(Duration::from_millis(50));
    let (descriptors, dirty) = (server.descriptors(), server.memory_kb("Private_Dirty"));
    let mut stalled: Vec<_> = (0..200).map(|_| server.connect_narrow()).collect();
    for client in &mut stalled {
        client.send("GET /huge.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // One that reads a little all the time is no stalled one.
    let mut slow = server.connect_narrow();
    slow.send("GET /huge.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    let start = Instant::now();
    let mut bytes = vec![0; 100_000];
    // Accepted behind them: once this is answered, all have their answers begun.
    assert_eq!(server.get("/").text(), "<p>hi\n");
    // Until the stalled ones are gone.
    while server.descriptors() > descriptors + 2 {
        assert!(
            start.elapsed() < HANG,
            "{} of {descriptors} stay",
            server.descriptors()
        );
        assert_eq!(server.get("/").text(), "<p>hi\n");
        assert!(
            slow.stream
                .read(&mut bytes)
                .expect("the slow reader is kept")
                > 0
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(slow.stream.read(&mut bytes).is_ok_and(|count| count > 0));
    let grown = server.memory_kb("Private_Dirty").saturating_sub(dirty);
    assert!(grown <= 16, "{grown} KB more than before");
    for client in stalled.iter_mut().step_by(20) {
        assert!(client.rest().len() < 1 << 30);
    }
}

#[test]
fn files_that_change_while_sent_end_as_they_must() {
    const LENGTH: usize = 30_000_000;
    let site = Site::new();
    for name in ["shrinks", "empties", "grows", "goes", "changes"] {
        site.file(name, vec![7; LENGTH]);
    }
    let server = site.serve(&["--write-seconds", "3"]);
    let root = server.site.root();
    let ask = |name: &str| {
        let mut client = server.connect_narrow();
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n"));
        std::thread::sleep(Duration::from_millis(100));
        client
    };
    for (name, length) in [("shrinks", 20_000_000), ("empties", 0)] {
        let mut client = ask(name);
        File::options()
            .write(true)
            .open(root.join(name))
            .expect("file")
            .set_len(length)
            .expect("length");
        // What was announced cannot come: the connection must not go on as if it had.
        match client.answer() {
            Err(Fault::Malformed(what)) => assert!(what.contains("missing"), "{name}: {what}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut client = ask("grows");
    let mut file = File::options()
        .append(true)
        .open(root.join("grows"))
        .expect("file");
    std::io::Write::write_all(&mut file, &[8; 1_000]).expect("grow");
    let answer = client.answer().expect("as long as announced");
    assert!(answer.body.len() == LENGTH && answer.body.iter().all(|&byte| byte == 7));
    assert_eq!(client.get("/").text(), "<p>hi\n");
    let mut client = ask("goes");
    fs::remove_file(root.join("goes")).expect("remove");
    assert_eq!(client.answer().expect("it is open").body.len(), LENGTH);
    assert_eq!(client.get("/goes").status, 404);
    let mut client = ask("changes");
    fs::write(root.join("new"), "new").expect("write");
    fs::rename(root.join("new"), root.join("changes")).expect("rename");
    let answer = client.answer().expect("the old one");
    assert!(answer.body.len() == LENGTH && answer.body.iter().all(|&byte| byte == 7));
    assert_eq!(client.get("/changes").text(), "new");
}

/// Sends a piece at a time to many connections until each is closed by the
/// server, while others are served: what each got.
fn drip(server: &Server, count: usize, first: &str, piece: &str) -> Vec<Vec<u8>> {
    let start = Instant::now();
    let mut clients: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(first);
    }
    let mut got = vec![Vec::new(); count];
    let mut is_gone = vec![false; count];
    while is_gone.contains(&false) {
        assert!(start.elapsed() < HANG, "some are open still");
        for (number, client) in clients.iter_mut().enumerate() {
            if is_gone[number] {
                continue;
            }
            client.send(piece);
            client.stream.set_nonblocking(true).expect("nonblocking");
            let mut bytes = [0; 2_000];
            match client.stream.read(&mut bytes) {
                Ok(0) => is_gone[number] = true,
                Ok(count) => got[number].extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => is_gone[number] = true,
            }
            client.stream.set_nonblocking(false).expect("blocking");
        }
        assert_eq!(server.get("/").text(), "<p>hi\n");
        std::thread::sleep(Duration::from_millis(100));
    }
    got
}

#[test]
fn slow_heads_and_slow_bodies_end_at_their_deadline_and_others_stay() {
    let server = Site::new().serve(&["--header-seconds", "1", "--idle-seconds", "600"]);
    std::thread::sleep(Duration::from_millis(50));
    let descriptors = server.descriptors();
    let mut kept = server.connect();
    kept.get("/");
    let mut silent = server.connect();
    std::thread::scope(|scope| {
        let drip = |first: &'static str, piece: &'static str| {
            let server = &server;
            scope.spawn(move || drip(server, 100, first, piece))
        };
        let heads = drip("GET / HTTP/1.1\r\n", "X: y\r\n");
        let bytes = drip("", "G");
        let bodies = drip(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
            "x",
        );
        let chunks = drip(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
        );
        for (name, drip, statuses) in [
            ("heads", heads, &["408"][..]),
            ("bytes", bytes, &["408", "501"]),
            ("bodies", bodies, &["408", "200", "413"]),
            ("chunks", chunks, &["408", "405", "413"]),
        ] {
            for answer in drip.join().expect(name) {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let status = answer.get(9..12).unwrap_or_default();
                assert!(statuses.contains(&status), "{name}: {answer:?}");
            }
        }
    });
    assert_eq!(kept.get("/").text(), "<p>hi\n");
    assert_eq!(silent.get("/").text(), "<p>hi\n");
    drop((kept, silent));
    assert!(
        server.falls_to(descriptors, HANG),
        "{} of {descriptors} stay",
        server.descriptors()
    );
}

#[test]
fn silence_ends_at_its_deadline_and_who_has_begun_to_ask_stays() {
    let server = Site::new().serve(&["--header-seconds", "600", "--idle-seconds", "1"]);
    let mut half = server.connect();
    half.send("GET / HTTP/1.1\r\nHo");
    let silent = drip(&server, 100, "", "");
    assert!(
        silent.iter().all(Vec::is_empty),
        "who asked nothing is told nothing"
    );
    for answer in drip(&server, 100, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "") {
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"<p>hi\n"));
    }
    half.send("st: a\r\n\r\n");
    assert_eq!(half.answer().expect("an answer").text(), "<p>hi\n");
}

#[test]
fn who_is_refused_and_goes_on_sending_can_read_why() {
    let server = Site::new().serve(&[]);
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000000\r\n",
        "BREW / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n",
    ] {
        for _ in 0..10 {
            let mut client = server.connect();
            client.send(request);
            client.send(vec![b'x'; 400_000]);
            let answer = client
                .answer()
                .unwrap_or_else(|fault| panic!("{request:?}: {fault}"));
            assert!(answer.status >= 400, "{request:?}: {answer:?}");
        }
    }
    // But not for ever.
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000000\r\n\r\n");
    let start = Instant::now();
    while client.send([b'x'; 1_000]) {
        std::thread::sleep(Duration::from_millis(20));
        assert!(start.elapsed() < HANG, "it is read for ever");
    }
}

#[test]
fn thousands_of_broken_requests_do_no_harm() {
    let server = Site::new().serve(&[]);
    let descriptors = server.descriptors();
    let seeds = [
        "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5, br\r\nRange: bytes=0-4\r\n\r\n",
        "POST /d/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "GET http://a/text.txt?x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/\"y\"\r\nIf-Range: \"x\"\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    ];
    // A linear congruence: the same requests at each run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..3_000 {
        let mut bytes = seeds[next(seeds.len())].as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(5) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.insert(at, b"\r\n\0 :,;\t%\"\xff"[next(11)]),
                2 if bytes.len() > 1 => _ = bytes.remove(at),
                3 => bytes.truncate(at.max(1)),
                _ => {
                    let piece = bytes[at..bytes.len().min(at + 20)].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let mut client = server.connect();
        client.send(&bytes);
        client.stream.shutdown(Shutdown::Write).expect("shutdown");
        loop {
            match client.answer_to(bytes.starts_with(b"HEAD ")) {
                Ok(_) => {}
                Err(Fault::Closed) => break,
                Err(fault) => panic!(
                    "round {round}, {:?}: {fault}",
                    String::from_utf8_lossy(&bytes)
                ),
            }
        }
    }
    assert!(
        server.falls_to(descriptors, HANG),
        "{} of {descriptors} stay",
        server.descriptors()
    );
}
