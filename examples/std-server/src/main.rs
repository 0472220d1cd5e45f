//! A service as one writes it with the standard library alone: threads that
//! take connections, HTTP/1.1 with keep-alive, a table behind a lock, bounds
//! on all that comes from outside, and an orderly end on SIGTERM.
//!
//! `POST /words` counts the words of its body, `GET /words` tells the most
//! frequent ones of all texts so far, `GET /healthz` that it is well.
#![forbid(unsafe_code)]

mod http;
mod words;

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, io, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::http::{Request, Response};
use crate::words::Words;

/// Connections served at once; others wait in the kernel's queue.
const THREADS: usize = 32;
/// A thread reads, counts and writes: none recurses.
const STACK_BYTES: usize = 64 * 1024;

/// What all threads share.
#[derive(Default)]
struct Service {
    words: Words,
    is_ending: AtomicBool,
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("std-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let port = match env::var("PORT") {
        Ok(text) => text.parse().map_err(io::Error::other)?,
        Err(_) => 8080,
    };
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let address = listener.local_addr()?;
    let (mut end, handler) = UnixStream::pair()?;
    pipe::register(SIGTERM, handler.try_clone()?)?;
    pipe::register(SIGINT, handler)?;
    eprintln!("std-server: listening on {address}");

    let service = Service::default();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || take(&listener, &service))?;
        }
        end.read_exact(&mut [0])?;
        service.is_ending.store(true, Ordering::Relaxed);
        // Each thread that waits for a connection gets one; others see the
        // mark once they have answered.
        for _ in 0..THREADS {
            let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())));
        }
        Ok(())
    })
}

/// Takes connections, one after the other, until the end.
fn take(listener: &TcpListener, service: &Service) {
    while !service.is_ending.load(Ordering::Relaxed) {
        match listener.accept() {
            // One that breaks off is its client's affair.
            Ok((stream, _)) => {
                let _ = http::serve(&stream, &service.is_ending, |request| {
                    answer(service, request)
                });
            }
            // Out of file descriptors, for one: others end soon.
            Err(_) => thread::sleep(std::time::Duration::from_millis(50)),
        }
    }
}

fn answer(service: &Service, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/") => Response::text(200, "POST a text to /words\n"),
        ("GET" | "HEAD", "/healthz") => Response::text(200, "ok\n"),
        ("GET" | "HEAD", "/words") => Response::json(service.words.most_frequent(10)),
        ("POST", "/words") => match std::str::from_utf8(&request.body) {
            Ok(text) => Response::json(service.words.add(text)),
            Err(error) => Response::text(400, &format!("not UTF-8 {error}\n")),
        },
        (_, "/" | "/healthz" | "/words") => Response::text(405, "not so\n"),
        _ => Response::text(404, "nothing here\n"),
    }
}
