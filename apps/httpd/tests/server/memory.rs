//! What the server takes of memory, as the kernel counts it.

use crate::client::Client;
use crate::harness::{HANG, Site};
use crate::program::{raise_descriptors, skip};
use std::time::Duration;

#[test]
fn a_thousand_kept_connections_dirty_24_kb_at_most() {
    if raise_descriptors() < 1_200 {
        return skip("this machine allows too few descriptors for 1,000 connections");
    }
    let server = Site::new().serve(&[]);
    let mut clients: Vec<_> = (0..1_000).map(|_| server.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.send(
                "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a usual one\r\nAccept: */*\r\n\r\n",
            );
        }
        for client in &mut clients {
            assert_eq!(client.answer().expect("an answer").text(), "<p>hi\n");
        }
    }
    let dirty = server.memory_kb("Private_Dirty");
    assert!(dirty <= 24, "{dirty} KB");
}

#[test]
fn tiny_is_one_page_while_1500_requests_are_half_sent_under_load() {
    if raise_descriptors() < 1_800 {
        return skip("this machine allows too few descriptors for 1,500 connections");
    }
    let site = Site::new();
    for number in 0..100 {
        site.file(format!("list/<{number}> & more"), "x");
    }
    let server = site.serve(&["--tiny", "--header-seconds", "600", "--listing"]);
    let one_page = |when: &str| {
        let (dirty, swap) = (server.memory_kb("Private_Dirty"), server.memory_kb("Swap"));
        assert_eq!((dirty, swap), (4, 0), "{when}");
    };
    assert_eq!(server.get("/").text(), "<p>hi\n");
    one_page("after the first answer");
    let mut half: Vec<_> = (0..1_500).map(|_| server.connect()).collect();
    for (number, client) in half.iter_mut().enumerate() {
        let fields = "X-Filler: abcdefghijklmnopqrstuvwxyz\r\n".repeat(number % 20);
        client.send(format!("GET /d/ HTTP/1.1\r\nHost: a\r\n{fields}X: "));
    }
    one_page("with 1,500 half-sent");
    // Others are served meanwhile.
    let mut others: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for round in 0..100 {
        for (client, path) in others.iter_mut().zip([
            "/",
            "/text.txt",
            "/nothing",
            "/d",
            "/healthz",
            "/a%20b.css",
            "/list/",
            "/../x",
        ]) {
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3\r\n\r\n"
            ));
        }
        for client in &mut others {
            let answer = client.answer().expect("an answer under load");
            if answer.says_close() {
                *client = server.connect();
            }
        }
        if round % 20 == 0 {
            one_page("under load");
        }
    }
    one_page("after the load");
    for (number, client) in half.iter_mut().enumerate() {
        client.send("y\r\n\r\n");
        let answer = client
            .answer()
            .unwrap_or_else(|fault| panic!("half-sent {number}: {fault}"));
        assert_eq!(answer.text(), "in d\n", "{number}");
    }
    one_page("after all are answered");
}

#[test]
fn nothing_grows_with_work_done() {
    let site = Site::new();
    site.file("big.bin", vec![7; 3_000_000]);
    for number in 0..50 {
        site.file(format!("list/{number}"), "x");
    }
    let server = site.serve(&["--listing"]);
    let work = |rounds: usize| {
        for _ in 0..rounds {
            let mut client = server.connect();
            for path in [
                "/",
                "/d",
                "/list/",
                "/big.bin",
                "/nothing",
                "/%00",
                "/text.txt",
            ] {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                if client.answer().expect("an answer").says_close() {
                    client = server.connect();
                }
            }
        }
    };
    work(5);
    std::thread::sleep(Duration::from_millis(100));
    let (dirty, resident, descriptors) = (
        server.memory_kb("Private_Dirty"),
        server.memory_kb("Rss"),
        server.descriptors(),
    );
    work(100);
    assert!(server.falls_to(descriptors, HANG));
    assert!(server.memory_kb("Private_Dirty") <= dirty + 4);
    assert!(server.memory_kb("Rss") <= resident + 16);
}
