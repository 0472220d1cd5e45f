//! Asks a server that is only just starting, and times its first byte.
//!
//! HTTP is done by hand, since all that matters is when the first byte comes
//! and what the status line says; it is plain HTTP/1.1 over loopback.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long one read waits before it is asked whether the program still runs.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long to wait between two tries while nobody listens yet.
const PAUSE: Duration = Duration::from_micros(200);

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// From the start given to the first byte of the answer.
    pub(crate) elapsed: Duration,
    /// The status code.
    pub(crate) status: u16,
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The path cannot stand in a request line.
    #[error("{0:?} is not a path to ask for: it starts with / and has no blanks")]
    Path(String),
    /// The program ended before it answered.
    #[error("the program ended before it answered")]
    Ended,
    /// Nothing came in time.
    #[error("no answer from {address} within {} ms", waited.as_millis())]
    TimedOut {
        /// Who was asked.
        address: SocketAddr,
        /// How long.
        waited: Duration,
    },
    /// The first bytes were not a status line.
    #[error("the answer from {address} is not HTTP: it begins with {start:?}")]
    NotHttp {
        /// Who was asked.
        address: SocketAddr,
        /// What came.
        start: String,
    },
}

/// Asks `address` for `path` until an answer comes, `wait` has passed since
/// `start`, or `running` says no.
///
/// # Errors
/// As [`NoAnswer`] has them.
pub(crate) fn first_answer(
    address: SocketAddr,
    path: &str,
    start: Instant,
    wait: Duration,
    running: &mut dyn FnMut() -> bool,
) -> Result<Answer, NoAnswer> {
    if !is_path(path) {
        return Err(NoAnswer::Path(path.to_owned()));
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let deadline = start + wait;
    loop {
        match ask(address, &request, start, deadline, running) {
            Ok(Some(answer)) => return Ok(answer),
            // Nobody listens yet, or the connection was cut by a server (or
            // a proxy) that is not ready: once more.
            Ok(None) => {}
            Err(error) => return Err(error),
        }
        if !running() {
            return Err(NoAnswer::Ended);
        }
        if Instant::now() >= deadline {
            return Err(NoAnswer::TimedOut {
                address,
                waited: wait,
            });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether this can stand in a request line.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
}

fn ask(
    address: SocketAddr,
    request: &str,
    start: Instant,
    deadline: Instant,
    running: &mut dyn FnMut() -> bool,
) -> Result<Option<Answer>, NoAnswer> {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else {
        return Ok(None);
    };
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| stream.write_all(request.as_bytes()));
    if prepared.is_err() {
        return Ok(None);
    }
    let mut head = Vec::with_capacity(512);
    let mut elapsed = None;
    while head.len() < b"HTTP/1.1 200".len() {
        let mut buffer = [0; 512];
        match stream.read(&mut buffer) {
            Ok(0) if head.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(count) => {
                elapsed.get_or_insert_with(|| start.elapsed());
                head.extend_from_slice(&buffer[..count]);
            }
            Err(error) if is_timeout(&error) => {
                if !running() {
                    return Err(NoAnswer::Ended);
                }
                if Instant::now() >= deadline {
                    return Err(NoAnswer::TimedOut {
                        address,
                        waited: deadline - start,
                    });
                }
            }
            Err(_) => return Ok(None),
        }
    }
    let elapsed = elapsed.unwrap_or_else(|| start.elapsed());
    match status(&head) {
        Some(status) => Ok(Some(Answer { elapsed, status })),
        None => {
            let start = String::from_utf8_lossy(&head).chars().take(40).collect();
            Err(NoAnswer::NotHttp { address, start })
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5).filter(|_| rest[1] == b' ')?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(answer);
        });
        address
    }

    fn ask_once(address: SocketAddr, path: &str) -> Result<Answer, NoAnswer> {
        first_answer(
            address,
            path,
            Instant::now(),
            Duration::from_secs(5),
            &mut || true,
        )
    }

    #[test]
    fn status_of_the_first_answer_is_told() {
        assert_eq!(
            ask_once(serve(b"HTTP/1.1 404 Not Found\r\n\r\n"), "/")
                .unwrap()
                .status,
            404
        );
    }

    #[test]
    fn answer_that_is_not_http_is_shown() {
        let error = ask_once(serve(b"SSH-2.0-OpenSSH"), "/").unwrap_err();
        assert!(error.to_string().contains("SSH-2.0"), "{error}");
    }

    #[test]
    fn program_that_ended_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let result = first_answer(
            address,
            "/",
            Instant::now(),
            Duration::from_secs(60),
            &mut || false,
        );
        assert!(matches!(result, Err(NoAnswer::Ended)));
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let result = first_answer(
            address,
            "/",
            Instant::now(),
            Duration::from_millis(60),
            &mut || true,
        );
        assert!(matches!(result, Err(NoAnswer::TimedOut { .. })));
    }

    #[test]
    fn path_with_a_line_break_is_not_sent() {
        let address = "127.0.0.1:1".parse().unwrap();
        assert!(matches!(
            ask_once(address, "/ HTTP/1.1\r\nX: y"),
            Err(NoAnswer::Path(_))
        ));
    }
}
