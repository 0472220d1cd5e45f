//! The two stop-watches: from starting a command to the first byte of its HTTP
//! answer, and to the first byte it prints.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::stage::{Stage, free_port};

/// Longest a trial may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Pause between attempts to connect: the coarseness of the figure wherever the
/// program binds the port itself. The kernel adds its timer slack of 50 µs.
const PAUSE: Duration = Duration::from_micros(50);

/// How the server comes by its listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    /// The benchmark binds it and hands it on as descriptor 3.
    Handed,
    /// The contender binds the port.
    OwnPort,
}

/// Time from the start of `command` to the first byte on its stdout, and to its end.
pub(crate) fn first_line(mut command: Command) -> Result<(Duration, Duration)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    let mut stdout = child.stdout.take().context("no stdout")?;
    let mut first = [0_u8; 1];
    let got = stdout.read(&mut first)?;
    let first_byte = start.elapsed();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest)?;
    let status = child.wait()?;
    let whole = start.elapsed();
    let said = complaint(&mut child);
    ensure!(status.success(), "ended with {status}: {said}");
    ensure!(got == 1, "printed nothing: {said}");
    Ok((first_byte, whole))
}

/// Time from the start of `command` to the first byte of the answer to `GET path`.
/// `command` is given the port. The server is stopped by SIGTERM afterwards.
pub(crate) fn first_answer(
    stage: &mut Stage,
    socket: Socket,
    path: &str,
    command: &dyn Fn(u16) -> Result<Command>,
    stop: &dyn Fn(),
) -> Result<Duration> {
    let (port, start, mut child);
    match socket {
        Socket::Handed => {
            let handed = stage.hand_socket()?;
            port = handed.port;
            let mut command = quiet(command(port)?);
            start = Instant::now();
            child = command
                .spawn()
                .with_context(|| format!("starting {:?}", command.get_program()))?;
        }
        Socket::OwnPort => {
            port = free_port()?;
            let mut command = quiet(command(port)?);
            start = Instant::now();
            child = command
                .spawn()
                .with_context(|| format!("starting {:?}", command.get_program()))?;
        }
    }
    let answer = wait_for_answer(&mut child, port, path, start);
    end(&mut child, stop)?;
    answer.map_err(|error| match complaint(&mut child) {
        said if said.is_empty() => error,
        said => error.context(said),
    })
}

fn quiet(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn wait_for_answer(child: &mut Child, port: u16, path: &str, start: Instant) -> Result<Duration> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut attempts = 0_u32;
    loop {
        if let Some(found) = ask(&address, request.as_bytes(), start)? {
            return Ok(found);
        }
        attempts += 1;
        // A look at the child costs a system call: not at every attempt.
        if attempts.is_multiple_of(64) {
            if let Some(status) = child.try_wait()? {
                bail!("ended with {status} before it answered");
            }
            ensure!(start.elapsed() < LIMIT, "no answer within {LIMIT:?}");
        }
        thread::sleep(PAUSE);
    }
}

/// One attempt; nothing if nobody listens yet.
fn ask(address: &SocketAddr, request: &[u8], start: Instant) -> Result<Option<Duration>> {
    let mut stream = match TcpStream::connect(address) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error).context("connecting"),
    };
    stream.set_read_timeout(Some(LIMIT))?;
    let mut answer = vec![0_u8; 1];
    let first = stream
        .write_all(request)
        .and_then(|()| stream.read(&mut answer));
    let elapsed = start.elapsed();
    match first {
        Ok(1) => {}
        // Whoever accepts for the program may hang up before the program is there.
        Ok(_) => return Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).context("waiting for the answer"),
    }
    stream
        .read_to_end(&mut answer)
        .context("reading the answer")?;
    let head = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "the answer is not a 200: {head:?}"
    );
    Ok(Some(elapsed))
}

/// SIGTERM, then whatever `stop` does, then SIGKILL.
fn end(child: &mut Child, stop: &dyn Fn()) -> Result<()> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id is never 0")?;
    if child.try_wait()?.is_none() {
        let _ = kill_process(pid, Signal::TERM);
    }
    stop();
    let since = Instant::now();
    while child.try_wait()?.is_none() {
        if since.elapsed() > Duration::from_secs(5) {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The last lines a program left on stderr. Read without waiting for the end of
/// the pipe, which a process left behind could hold open.
fn complaint(child: &mut Child) -> String {
    let Some(mut stderr) = child.stderr.take() else {
        return String::new();
    };
    let _ = rustix::fs::fcntl_setfl(&stderr, rustix::fs::OFlags::NONBLOCK);
    let mut said = Vec::new();
    let mut part = [0_u8; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut part) {
        said.extend_from_slice(&part[..length]);
    }
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
