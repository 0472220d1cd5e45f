//! The one HTTP client that all servers are asked by: a GET on loopback, polled.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The path asked for: every server of ours answers it.
pub(crate) const PATH: &str = "/healthz";

/// The pause between two attempts to connect.
const PAUSE: Duration = Duration::from_micros(50);

/// A port that nothing listens on at this moment.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Asks until an answer's first byte is there; the moment it was, and the whole answer.
///
/// A connection that is refused, or closed without a byte, is tried again: a
/// proxy in front of a server that is not there yet does so.
pub(crate) fn first_answer(port: u16, patience: Duration) -> Result<(Instant, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + patience;
    let mut last = None;
    while Instant::now() < deadline {
        match ask(address, deadline) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        std::thread::sleep(PAUSE);
    }
    match last {
        Some(error) => Err(error).context("no answer in time"),
        None => bail!("no answer in time: connections close without a byte"),
    }
}

fn ask(address: SocketAddr, deadline: Instant) -> Result<Option<(Instant, String)>> {
    let mut stream = TcpStream::connect(address)?;
    if stream.local_addr()? == stream.peer_addr()? {
        // Nobody listens, and the kernel gave this end the port it asks for:
        // a connection to oneself, which would keep the server from binding.
        return Ok(None);
    }
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left))?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Ok(None);
    }
    let moment = Instant::now();
    let mut rest = Vec::from(first);
    stream.read_to_end(&mut rest)?;
    Ok(Some((moment, String::from_utf8_lossy(&rest).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_late_is_waited_for_and_a_closed_connection_is_tried_again() {
        let port = free_port().unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
            drop(listener.accept().unwrap());
            loop {
                // Whoever asks is answered: another test may try the same port.
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nyes");
            }
        });
        let (_, text) = first_answer(port, Duration::from_secs(5)).unwrap();
        assert!(text.ends_with("yes"), "{text}");
    }

    #[test]
    fn silence_is_an_error() {
        // Bound and never accepted from: no other test is given this port.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(first_answer(port, Duration::from_millis(20)).is_err());
    }
}
