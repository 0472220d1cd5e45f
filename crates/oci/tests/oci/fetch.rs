//! Downloads from servers that do wrong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ounce_oci::Digest;
use ounce_oci::fetch::{Client, Download, FetchError, Options, Proxies, What};

use crate::held::{bytes, options};
use crate::server::{Server, answer, head, range};

fn client() -> Client {
    Client::new(options())
}

fn fetch(client: &Client, download: &Download) -> Result<Vec<u8>, FetchError> {
    client.to_memory(download, &mut |_| {})
}

#[test]
fn a_line_that_drops_in_the_middle_is_taken_up_where_it_broke() {
    let content = bytes(300_000);
    let (digest, served) = (Digest::of(&content), content.clone());
    let server = Server::new(move |asked, out| {
        let from = range(asked).unwrap_or(0);
        let to = (from + 110_000).min(served.len());
        if from == 0 {
            head(out, 200, &[], Some(served.len() as u64));
        } else {
            let part = format!("bytes {from}-{}/{}", served.len() - 1, served.len());
            let left = (served.len() - from) as u64;
            head(out, 206, &[("Content-Range", &part)], Some(left));
        }
        let _ = out.write_all(&served[from..to]);
        to == served.len()
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/file");
    let download = Download::new(server.url("/file")).digest(digest);
    let mut events = Vec::new();
    client()
        .to_file(&download, &file, &mut |event| events.push(event.what))
        .unwrap();
    assert_eq!(fs::read(&file).unwrap(), content);
    let ranges: Vec<_> = server.asked().iter().map(range).collect();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[0], None);
    assert!(
        ranges[1].unwrap() >= 100_000 && ranges[2] > ranges[1],
        "{ranges:?}"
    );
    let waits = events
        .iter()
        .filter(|what| matches!(what, What::Waiting { .. }));
    assert_eq!(waits.count(), 2);
    assert_eq!(events.last(), Some(&What::Done { bytes: 300_000 }));
    // Nothing but the file is left, and it is not fetched again.
    let names: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1);
    client().to_file(&download, &file, &mut |_| {}).unwrap();
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn what_a_broken_download_has_left_is_taken_up_by_the_next_process() {
    let content = bytes(200_000);
    let (digest, served) = (Digest::of(&content), content.clone());
    let served_whole = AtomicUsize::new(0);
    let server = Server::new(move |asked, out| match range(asked) {
        Some(from) if served_whole.load(Ordering::Relaxed) >= 4 => {
            let part = format!("bytes {from}-199999/200000");
            let _ = answer(out, 206, &[("Content-Range", &part)], &served[from..]);
            true
        }
        _ => {
            // Never more than the first half, four times.
            let from = range(asked).unwrap_or(0);
            let status = if from == 0 { 200 } else { 206 };
            let part = format!("bytes {from}-199999/200000");
            head(
                out,
                status,
                &[("Content-Range", &part)],
                Some(200_000 - from as u64),
            );
            let _ = out.write_all(&served[from..100_000.max(from)]);
            served_whole.fetch_add(1, Ordering::Relaxed);
            false
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let download = Download::new(server.url("/file"))
        .digest(digest)
        .size(200_000);
    let options = Options {
        tries: 3,
        ..options()
    };
    let error = Client::new(options)
        .to_file(&download, &file, &mut |_| {})
        .unwrap_err();
    assert!(matches!(error, FetchError::Connection { .. }), "{error:?}");
    assert!(!file.exists());
    assert_eq!(
        fs::metadata(folder.path().join("file.part")).unwrap().len(),
        100_000
    );
    client().to_file(&download, &file, &mut |_| {}).unwrap();
    assert_eq!(fs::read(&file).unwrap(), content);
    assert_eq!(range(server.asked().last().unwrap()), Some(100_000));
}

#[test]
fn what_was_left_of_another_version_is_thrown_away() {
    let content = bytes(5_000);
    let (digest, served) = (Digest::of(&content), content.clone());
    let server = Server::new(move |asked, out| match range(asked) {
        Some(from) => {
            let part = format!("bytes {from}-4999/5000");
            answer(out, 206, &[("Content-Range", &part)], &served[from..])
        }
        None => answer(out, 200, &[], &served),
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.part"), "of another day").unwrap();
    let file = folder.path().join("file");
    let download = Download::new(server.url("/file")).digest(digest);
    client().to_file(&download, &file, &mut |_| {}).unwrap();
    assert_eq!(fs::read(&file).unwrap(), content);
    let ranges: Vec<_> = server.asked().iter().map(range).collect();
    assert_eq!(ranges, [Some(14), None]);
}

#[test]
fn parts_of_two_versions_are_never_joined() {
    // No digest is known; the second answer is of a newer version, and says so
    // by its tag, or there is none and no part is asked for.
    for tags in [Some(["\"1\"", "\"2\""]), None] {
        let count = AtomicUsize::new(0);
        let server = Server::new(move |asked, out| {
            let turn = count.fetch_add(1, Ordering::Relaxed);
            let tag = tags.map(|tags| ("ETag", tags[turn.min(1)]));
            let headers: Vec<_> = tag.into_iter().collect();
            if turn == 0 {
                head(out, 200, &headers, Some(1_000));
                let _ = out.write_all(&[1; 500]);
                return false;
            }
            assert_eq!(asked.header("if-range"), tags.map(|tags| tags[0]));
            assert_eq!(range(asked).is_some(), tags.is_some());
            answer(out, 200, &headers, &[2; 1_000])
        });
        let got = fetch(&client(), &Download::new(server.url("/"))).unwrap();
        assert_eq!(got, [2; 1_000]);
    }
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let server = Server::new(|_, out| answer(out, 200, &[], b"something else"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    let download = Download::new(server.url("/file")).digest(Digest::of(b"the right thing"));
    let error = client().to_file(&download, &file, &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::Corrupt { .. }), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // It is no matter of luck: one request.
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn too_much_too_little_and_no_end_are_refused() {
    let server = Server::new(|asked, out| match asked.path() {
        "/endless" => {
            head(out, 200, &[], None);
            while out.write_all(&[7; 4096]).is_ok() {}
            false
        }
        "/stated" => head(out, 200, &[], Some(1 << 40)),
        "/short" => answer(out, 200, &[], &[0; 99]),
        "/shorter" => {
            head(out, 200, &[], None);
            let _ = out.write_all(&[0; 99]);
            false
        }
        "/long" => {
            head(out, 200, &[], None);
            let _ = out.write_all(&[0; 101]);
            false
        }
        _ => answer(out, 200, &[], &[0; 101]),
    });
    let ask = |path: &str| Download::new(server.url(path));
    let error = |download: Download| fetch(&client(), &download).unwrap_err();
    for path in ["/endless", "/stated"] {
        let error = error(ask(path).limit(100_000));
        assert!(
            matches!(error, FetchError::TooLarge { .. }),
            "{path}: {error:?}"
        );
    }
    for path in ["/short", "/long", "/longer"] {
        let error = error(ask(path).size(100));
        assert!(
            matches!(error, FetchError::Size { .. }),
            "{path}: {error:?}"
        );
    }
    // This may have been the line.
    let error = error(ask("/shorter").size(100));
    assert!(matches!(error, FetchError::Connection { .. }), "{error:?}");
}

#[test]
fn a_secret_goes_to_no_other_server() {
    let other = Server::new(|_, out| answer(out, 200, &[], b"here"));
    let (there, count) = (other.url("/there?sig=x"), AtomicUsize::new(0));
    let server = Server::new(move |_, out| match count.fetch_add(1, Ordering::Relaxed) {
        0 => answer(out, 307, &[("Location", "/nearer")], b"moved"),
        _ => answer(out, 302, &[("Location", &there)], b""),
    });
    let download = Download::new(server.url("/")).authorization("Bearer secret");
    assert_eq!(fetch(&client(), &download).unwrap(), b"here");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!(asked.header("authorization"), Some("Bearer secret"));
    }
    assert_eq!(other.asked()[0].header("authorization"), None);
    assert!(!format!("{download:?}").contains("secret"));
}

#[test]
fn redirects_end() {
    let server = Server::new(|_, out| answer(out, 301, &[("Location", "/again?x=secret")], b""));
    let error = fetch(&client(), &Download::new(server.url("/"))).unwrap_err();
    assert!(matches!(error, FetchError::Redirects { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 9);
    for location in [
        "ftp://a.example/",
        "http://",
        "",
        "http://u:secret@a.example/",
    ] {
        let server = Server::new(move |_, out| answer(out, 302, &[("Location", location)], b""));
        let error = fetch(&client(), &Download::new(server.url("/"))).unwrap_err();
        assert!(matches!(error, FetchError::Url(_)), "{location}: {error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_server_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let count = AtomicUsize::new(0);
    let server = Server::new(move |asked, out| match asked.path() {
        "/stumbles" => match count.fetch_add(1, Ordering::Relaxed) {
            0 => answer(out, 500, &[], b""),
            1 => answer(out, 429, &[("Retry-After", "1")], b""),
            2 => false,
            _ => answer(out, 200, &[], b"well"),
        },
        "/later" => answer(out, 429, &[("Retry-After", "3600")], b""),
        "/never" => answer(out, 503, &[], b""),
        _ => answer(
            out,
            404,
            &[("Content-Type", "text/plain")],
            b"not here\nsecond line",
        ),
    });
    let begun = Instant::now();
    let got = fetch(&client(), &Download::new(server.url("/stumbles"))).unwrap();
    assert_eq!(got, b"well");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let error = fetch(&client(), &Download::new(server.url("/none"))).unwrap_err();
    assert!(
        error.to_string().ends_with("answers 404: not here"),
        "{error}"
    );
    let error = fetch(&client(), &Download::new(server.url("/later"))).unwrap_err();
    assert!(matches!(error, FetchError::Throttled { .. }), "{error:?}");
    let error = fetch(&client(), &Download::new(server.url("/never"))).unwrap_err();
    assert!(
        matches!(error, FetchError::Status { status: 503, .. }),
        "{error:?}"
    );
    let asked = |path: &str| {
        server
            .asked()
            .iter()
            .filter(|asked| asked.target == path)
            .count()
    };
    assert_eq!(
        [asked("/none"), asked("/later"), asked("/never")],
        [1, 1, 4]
    );
}

#[test]
fn nobody_is_waited_for_without_end() {
    let server = Server::new(|asked, out| match asked.path() {
        "/mute" => {
            thread::sleep(Duration::from_secs(20));
            false
        }
        "/slow-head" => {
            for byte in b"HTTP/1.1 200 OK\r\nX-Padding: ".iter().chain(&[b'x'; 200]) {
                if out.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
            false
        }
        "/silent" => {
            head(out, 200, &[], Some(100));
            let _ = out.write_all(b"x");
            thread::sleep(Duration::from_secs(20));
            false
        }
        _ => {
            head(out, 200, &[], Some(10_000));
            for _ in 0..200 {
                if out.write_all(b"x").is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
            false
        }
    });
    let client = Client::new(Options {
        tries: 1,
        ..options()
    });
    for (path, is_trickle) in [
        ("/mute", false),
        ("/slow-head", false),
        ("/silent", false),
        ("/trickle", true),
    ] {
        let begun = Instant::now();
        let error = fetch(&client, &Download::new(server.url(path))).unwrap_err();
        match is_trickle {
            true => assert!(matches!(error, FetchError::TooSlow { .. }), "{error:?}"),
            false => assert!(
                matches!(error, FetchError::Timeout { .. }),
                "{path}: {error:?}"
            ),
        }
        // Far from the 20 s it would take, on a machine that has other work.
        assert!(begun.elapsed() < Duration::from_secs(8), "{path}");
    }
}

#[test]
fn what_is_no_http_is_an_error() {
    for text in [
        &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"",
    ] {
        let server = Server::new(move |_, out| {
            let _ = out.write_all(text);
            false
        });
        let client = Client::new(Options {
            tries: 1,
            ..options()
        });
        let error = fetch(&client, &Download::new(server.url("/"))).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    // A head without an end.
    let server = Server::new(|_, out| {
        let _ = out.write_all(b"HTTP/1.1 200 OK\r\n");
        while out
            .write_all(b"X-Padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n")
            .is_ok()
        {}
        false
    });
    let client = Client::new(Options {
        tries: 1,
        ..options()
    });
    let error = fetch(&client, &Download::new(server.url("/"))).unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "{error:?}");
}

#[test]
fn a_list_comes_over_several_connections_and_its_first_failure_ends_it() {
    let busy = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = busy.clone();
    let server = Server::new(move |asked, out| {
        let now = busy.0.fetch_add(1, Ordering::SeqCst) + 1;
        busy.1.fetch_max(now, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        busy.0.fetch_sub(1, Ordering::SeqCst);
        match asked.path() {
            "/bad" => answer(out, 404, &[], b""),
            path => answer(out, 200, &[], path.as_bytes()),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let list: Vec<_> = (0..12)
        .map(|at| {
            let name = format!("/{at}");
            let download = Download::new(server.url(&name)).digest(Digest::of(name.as_bytes()));
            (download, folder.path().join(at.to_string()))
        })
        .collect();
    let mut done = Vec::new();
    client()
        .to_files(&list, 3, &mut |event| {
            if matches!(event.what, What::Done { .. }) {
                done.push(event.item);
            }
        })
        .unwrap();
    done.sort_unstable();
    assert_eq!(done, (0..12).collect::<Vec<_>>());
    let most = seen.1.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most} at once");

    let mut list = list;
    list.insert(
        1,
        (Download::new(server.url("/bad")), folder.path().join("bad")),
    );
    let error = client().to_files(&list, 2, &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, FetchError::Status { status: 404, .. }),
        "{error:?}"
    );
    assert!(!folder.path().join("bad").exists() && !folder.path().join("bad.part").exists());
}

#[test]
fn a_proxy_is_asked_for_what_is_not_near() {
    let proxy = Server::new(|asked, out| {
        assert_eq!(asked.line(), "CONNECT far.example:80");
        answer(out, 407, &[], b"")
    });
    let client = Client::new(Options {
        proxies: Proxies {
            http: Some(format!("http://user:secret@{}", proxy.address)),
            ..Proxies::default()
        },
        tries: 1,
        ..options()
    });
    let error = fetch(&client, &Download::new("http://far.example/x")).unwrap_err();
    assert!(
        matches!(error, FetchError::ProxyRefused { .. }),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("secret"));
    let given = proxy.asked()[0]
        .header("proxy-authorization")
        .map(str::to_owned);
    assert_eq!(given.as_deref(), Some("Basic dXNlcjpzZWNyZXQ="));
    // This machine's own is reached without it.
    let near = Server::new(|_, out| answer(out, 200, &[], b"near"));
    assert_eq!(
        fetch(&client, &Download::new(near.url("/"))).unwrap(),
        b"near"
    );
}

/// A SOCKS5 proxy (RFC 1928, 1929) that leads everybody to `server`, whatever they ask
/// for, if their password is `secret`, and remembers what they asked for.
fn socks(server: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut take = |count: usize| {
                let mut bytes = vec![0; count];
                client.read_exact(&mut bytes).unwrap();
                (bytes, client.try_clone().unwrap())
            };
            let (head, mut out) = take(2);
            let _methods = take(head[1].into());
            out.write_all(&[5, 2]).unwrap();
            let _version = take(1);
            let mut text = || {
                let (length, _) = take(1);
                String::from_utf8(take(length[0].into()).0).unwrap()
            };
            let (_user, password) = (text(), text());
            if password != "secret" {
                let _ = out.write_all(&[1, 1]);
                continue;
            }
            out.write_all(&[1, 0]).unwrap();
            // Version, connect, reserved, by name.
            let (request, _) = take(4);
            assert_eq!(request, [5, 1, 0, 3]);
            let (length, _) = take(1);
            let host = String::from_utf8(take(length[0].into()).0).unwrap();
            let (port, _) = take(2);
            let port = u16::from_be_bytes([port[0], port[1]]);
            log.lock().unwrap().push(format!("{host}:{port}"));
            if host == "forbidden.example" {
                let _ = out.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
                continue;
            }
            out.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            let mut server = TcpStream::connect(server).unwrap();
            let (mut there, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut there, &mut server));
            thread::spawn(move || std::io::copy(&mut back, &mut client));
        }
    });
    (address, asked)
}

#[test]
fn a_socks_proxy_finds_the_host_itself_and_its_refusal_is_told() {
    let server = Server::new(|asked, out| {
        assert_eq!(asked.header("host"), Some("far.example"));
        answer(out, 200, &[], b"from afar")
    });
    let (proxy, asked) = socks(server.address);
    let client = |password: &str| {
        Client::new(Options {
            proxies: Proxies {
                http: Some(format!("socks5h://user:{password}@{proxy}")),
                ..Proxies::default()
            },
            tries: 1,
            ..options()
        })
    };
    let far = Download::new("http://far.example/x");
    assert_eq!(fetch(&client("secret"), &far).unwrap(), b"from afar");
    assert_eq!(asked.lock().unwrap()[..], ["far.example:80"]);
    let why = |client: &Client, url: &str| match fetch(client, &Download::new(url)) {
        Err(FetchError::ProxyRefused { url, why }) => format!("{url}: {why}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        why(&client("secret"), "http://forbidden.example/"),
        "http://forbidden.example/: connection not allowed by ruleset"
    );
    assert_eq!(
        why(&client("wrong"), "http://far.example/"),
        "http://far.example/: password authentication failed"
    );
    assert_eq!(asked.lock().unwrap().len(), 2);
}
