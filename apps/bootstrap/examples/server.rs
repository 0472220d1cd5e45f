//! For the adapter's tests: a server that does what its path names, good or bad.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, process, thread};

fn main() {
    if env::var_os("SERVER_ENDS").is_some() {
        process::exit(7);
    }
    let port = env::var("PORT").expect("a port");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("a free port");
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        thread::spawn(move || answer(stream));
    }
}

/// One request a connection; a client that has gone is none of its business.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let path = head.split(' ').nth(1)?.split('?').next()?.to_owned();
    let mut send = |text: &str| stream.write_all(text.as_bytes()).ok();
    match path.as_str() {
        "/echo" => {
            let text = head + "\n" + &body;
            send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ))
        }
        "/chunked" => {
            send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
            )?;
            // What is sent before and after comes apart.
            thread::sleep(Duration::from_millis(20));
            send("3\r\ntwo\r\n0\r\n\r\n")
        }
        "/old" => send("HTTP/1.0 404 Not Found\r\nContent-Type: text/plain\r\n\r\nto the end"),
        "/cut" => send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        "/cut-chunks" => {
            send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n9\r\ntwo")
        }
        "/nothing" => None,
        "/garbage" => send("SSH-2.0-OpenSSH\r\n\r\n"),
        "/smuggle" => send(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        "/long" => {
            send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
            let megabyte = "a".repeat(1 << 20);
            for _ in 0..8 {
                send(&megabyte)?;
            }
            Some(())
        }
        "/slow" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        "/end" => process::exit(3),
        "/abort" => process::abort(),
        "/ready" => send("HTTP/1.1 204 No Content\r\n\r\n"),
        "/events" if body.contains("bad") => send("HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n"),
        "/events" => send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )),
        _ => send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    }
}
