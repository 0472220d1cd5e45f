//! The load generator: many connections from one thread, closed loop (the next
//! request when the last is answered), deep pipelines, a connection a request,
//! or an open loop that asks at fixed times however slowly the answers come.
//!
//! Every answer's head is read and its body counted; one that is not the whole
//! file ends the trial. It speaks to loopback only.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

/// Longest that nothing at all may be answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// Load that is not counted: connections open, caches fill, the server gets into its stride.
const WARM_UP: Duration = Duration::from_millis(30);

/// What is asked, and how.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) port: u16,
    pub(crate) path: &'static str,
    /// The length that every answer's body must have.
    pub(crate) body_bytes: usize,
    pub(crate) connections: usize,
    /// Requests sent together, before the first of their answers.
    pub(crate) depth: usize,
    /// Asks for `Connection: close`.
    pub(crate) closes: bool,
    /// Requests a second in an open loop; nothing: a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) time: Duration,
}

/// What came back while it was counted.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) count: u64,
    pub(crate) time: Duration,
    /// Of an open loop: from when each request was due until its answer was whole.
    pub(crate) latencies: Vec<Duration>,
}

impl Load {
    /// Applies the load. `watch` is called when counting begins (true) and ends.
    pub(crate) fn run(&self, watch: &mut dyn FnMut(bool) -> Result<()>) -> Result<Answers> {
        let mut generator = Generator::new(self)?;
        generator.go(Instant::now() + WARM_UP)?;
        watch(true)?;
        generator.count = 0;
        generator.latencies.clear();
        let begun = Instant::now();
        generator.go(begun + self.time)?;
        let time = begun.elapsed();
        watch(false)?;
        ensure!(generator.count > 0, "not one answer within {time:?}");
        Ok(Answers {
            count: generator.count,
            time,
            latencies: generator.latencies,
        })
    }
}

/// One connection.
struct Wire {
    socket: Option<OwnedFd>,
    /// Connected, as far as is known.
    is_open: bool,
    /// Requests sent and not answered.
    awaited: usize,
    /// Bytes of the present answer's body still to come.
    body_left: usize,
    /// The server closes after the present answer.
    is_last: bool,
    /// The beginning of a head whose end has not come.
    carry: Vec<u8>,
    /// When the requests awaited were due, in an open loop.
    due: VecDeque<Instant>,
}

struct Generator<'l> {
    load: &'l Load,
    address: SocketAddr,
    request: Vec<u8>,
    epoll: OwnedFd,
    wires: Vec<Wire>,
    buffer: Vec<u8>,
    known: Option<Known>,
    count: u64,
    last_answer: Instant,
    latencies: Vec<Duration>,
    next_due: Instant,
    /// Due, and every connection is busy.
    queue: VecDeque<Instant>,
    idle: Vec<usize>,
}

/// An answer's head as it came last: the next one looks the same.
struct Known {
    start: [u8; 12],
    length: usize,
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    body_bytes: usize,
    closes: bool,
}

impl<'l> Generator<'l> {
    fn new(load: &'l Load) -> Result<Self> {
        let connection = if load.closes {
            "Connection: close\r\n"
        } else {
            ""
        };
        let one = format!(
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{connection}\r\n",
            load.path, load.port
        );
        let now = Instant::now();
        let mut generator = Self {
            load,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, load.port)),
            request: one.repeat(load.depth).into_bytes(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wires: Vec::new(),
            buffer: vec![0; 256 * 1024],
            known: None,
            count: 0,
            last_answer: now,
            latencies: Vec::new(),
            next_due: now,
            queue: VecDeque::new(),
            idle: Vec::new(),
        };
        for number in 0..load.connections {
            generator.wires.push(Wire {
                socket: None,
                is_open: false,
                awaited: 0,
                body_left: 0,
                is_last: false,
                carry: Vec::new(),
                due: VecDeque::new(),
            });
            if load.rate.is_some() {
                generator.idle.push(number);
            }
            if load.rate.is_none() || !load.closes {
                generator.connect(number)?;
            }
        }
        Ok(generator)
    }

    /// Opens a connection, and asks on it if there is something to ask.
    fn connect(&mut self, number: usize) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &self.address) {
            // The handshake over loopback is done when the call comes back, whatever it says;
            // unless the server's queue is full.
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).context("connecting"),
        }
        let asks = self.load.rate.is_none() || !self.wires[number].due.is_empty();
        let mut is_open = false;
        if asks {
            match send(&socket, &self.request, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    ensure!(sent == self.request.len(), "a request was sent in part");
                    is_open = true;
                }
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error).context("sending on a new connection"),
            }
        }
        let asked = if is_open {
            EventFlags::IN
        } else {
            EventFlags::IN | EventFlags::OUT
        };
        let data = EventData::new_u64(number as u64);
        epoll::add(&self.epoll, &socket, data, asked)?;
        let wire = &mut self.wires[number];
        wire.socket = Some(socket);
        wire.is_open = is_open;
        wire.awaited = if is_open { self.load.depth } else { 0 };
        wire.body_left = 0;
        wire.is_last = false;
        wire.carry.clear();
        Ok(())
    }

    fn ask(&mut self, number: usize) -> Result<()> {
        let wire = &mut self.wires[number];
        let socket = wire.socket.as_ref().context("no connection to ask on")?;
        match send(socket, &self.request, SendFlags::NOSIGNAL) {
            Ok(sent) => ensure!(sent == self.request.len(), "a request was sent in part"),
            // Closed by the server before it was asked: asked again on a new one.
            Err(Errno::PIPE | Errno::CONNRESET) => return self.connect(number),
            Err(error) => return Err(error).context("sending"),
        }
        wire.awaited = self.load.depth;
        Ok(())
    }

    /// Runs until `end`.
    fn go(&mut self, end: Instant) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        self.last_answer = Instant::now();
        self.next_due = self.next_due.max(self.last_answer);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            ensure!(
                now - self.last_answer < PATIENCE,
                "nothing was answered for {PATIENCE:?}"
            );
            // An open loop keeps its processor awake, to ask in time.
            let wait = match self.load.rate {
                Some(rate) => {
                    self.ask_what_is_due(now, rate)?;
                    Duration::ZERO
                }
                None => (end - now).min(Duration::from_millis(100)),
            };
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(wait.subsec_nanos()),
            };
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&wait),
            ) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("waiting for answers"),
            }
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                self.ready(data.u64() as usize, flags)?;
            }
        }
    }

    fn ask_what_is_due(&mut self, now: Instant, rate: f64) -> Result<()> {
        let pause = Duration::from_secs_f64(1.0 / rate);
        while self.next_due <= now {
            self.queue.push_back(self.next_due);
            self.next_due += pause;
        }
        while !self.queue.is_empty() {
            let Some(number) = self.idle.pop() else { break };
            let due = self.queue.pop_front().unwrap_or(now);
            self.wires[number].due.push_back(due);
            let wire = &self.wires[number];
            if wire.socket.is_none() {
                self.connect(number)?;
            } else if wire.is_open {
                self.ask(number)?;
            }
        }
        Ok(())
    }

    fn ready(&mut self, number: usize, flags: EventFlags) -> Result<()> {
        let wire = &mut self.wires[number];
        let Some(socket) = &wire.socket else {
            return Ok(());
        };
        if !wire.is_open {
            if flags.contains(EventFlags::ERR) {
                bail!("the server does not take connections");
            }
            let data = EventData::new_u64(number as u64);
            epoll::modify(&self.epoll, socket, data, EventFlags::IN)?;
            self.wires[number].is_open = true;
            if self.load.rate.is_none() || !self.wires[number].due.is_empty() {
                self.ask(number)?;
            }
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.receive(number, &mut buffer);
        self.buffer = buffer;
        result
    }

    fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let wire = &mut self.wires[number];
        let socket = wire.socket.as_ref().context("no connection to read from")?;
        let received = match recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, received)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            // A reset between answers is an end like another.
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(error).context("receiving"),
        };
        if received == 0 {
            return self.ended(number);
        }
        let bytes = &buffer[..received];
        if wire.carry.is_empty() {
            self.take(number, bytes)
        } else {
            let mut carry = std::mem::take(&mut wire.carry);
            carry.extend_from_slice(bytes);
            self.take(number, &carry)
        }
    }

    /// Counts the answers in `bytes`.
    fn take(&mut self, number: usize, mut bytes: &[u8]) -> Result<()> {
        loop {
            let wire = &mut self.wires[number];
            if wire.body_left > 0 {
                let part = wire.body_left.min(bytes.len());
                wire.body_left -= part;
                bytes = &bytes[part..];
                if wire.body_left > 0 {
                    return Ok(());
                }
                if self.answered(number)? {
                    return Ok(());
                }
                continue;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            ensure!(wire.awaited > 0, "bytes came that were not asked for");
            let Some((head, length)) = self.head(bytes)? else {
                self.wires[number].carry = bytes.to_vec();
                return Ok(());
            };
            ensure!(
                head.body_bytes == self.load.body_bytes,
                "a body of {} bytes instead of {}",
                head.body_bytes,
                self.load.body_bytes
            );
            let wire = &mut self.wires[number];
            wire.is_last = head.closes;
            wire.body_left = head.body_bytes;
            bytes = &bytes[length..];
        }
    }

    /// An answer is whole. True where nothing more is to be read here.
    fn answered(&mut self, number: usize) -> Result<bool> {
        self.count += 1;
        let wire = &mut self.wires[number];
        wire.awaited -= 1;
        if let Some(due) = wire.due.pop_front() {
            self.last_answer = Instant::now();
            self.latencies.push(self.last_answer - due);
        } else if self.count.is_multiple_of(16) || self.load.closes {
            self.last_answer = Instant::now();
        }
        if wire.is_last {
            // The rest is the server's FIN.
            return Ok(true);
        }
        if wire.awaited == 0 {
            if self.load.rate.is_some() {
                self.idle.push(number);
            } else {
                self.ask(number)?;
            }
        }
        Ok(false)
    }

    /// The server has closed.
    fn ended(&mut self, number: usize) -> Result<()> {
        let wire = &mut self.wires[number];
        ensure!(wire.body_left == 0, "closed in the middle of an answer");
        let was_last = wire.is_last;
        wire.socket = None;
        wire.is_open = false;
        if self.load.rate.is_some() {
            // What was asked and not answered is asked again.
            if wire.due.is_empty() {
                if was_last {
                    wire.is_last = false;
                    self.idle.push(number);
                }
                return Ok(());
            }
        }
        self.connect(number)
    }

    /// The head that `bytes` begin with, and its length.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>> {
        if let Some(known) = &self.known
            && bytes.starts_with(&known.start)
            && bytes.get(known.length - 4..known.length) == Some(b"\r\n\r\n")
        {
            return Ok(Some((known.head, known.length)));
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(bytes.len() < 16 * 1024, "a head without end");
            return Ok(None);
        };
        let head = parse(&bytes[..end])?;
        let length = end + 4;
        if let (Some(start), false) = (bytes.first_chunk(), head.closes) {
            self.known = Some(Known {
                start: *start,
                length,
                head,
            });
        }
        Ok(Some((head, length)))
    }
}

/// Reads an answer's head (RFC 9112, sections 4 and 6.3).
fn parse(head: &[u8]) -> Result<Head> {
    let text = std::str::from_utf8(head).context("the head is not text")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ');
    let version = words.next().unwrap_or_default();
    ensure!(
        words.next() == Some("200") && version.starts_with("HTTP/1."),
        "the answer is not a 200: {first:?}"
    );
    let mut body_bytes = None;
    let mut closes = version == "HTTP/1.0";
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Head {
        body_bytes: body_bytes.context("the answer tells no length")?,
        closes,
    })
}

/// Binds the calling thread, and what it starts, to one processor.
pub(crate) fn bind_to(processor: usize) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// The first and the last processor this process may use.
pub(crate) fn processors() -> io::Result<(usize, usize)> {
    let set = rustix::thread::sched_getaffinity(None)?;
    let mut own = (0..rustix::thread::CpuSet::MAX_CPU).filter(|number| set.is_set(*number));
    let first = own.next().unwrap_or(0);
    Ok((first, own.next_back().unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers each request's end with `answer`, closing after `each` of them.
    fn serve(answer: &'static [u8], each: usize) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || talk(stream, answer, each));
            }
        });
        port
    }

    fn talk(mut stream: TcpStream, answer: &[u8], each: usize) {
        let mut bytes = [0; 4096];
        let mut told = 0;
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            let ends = bytes[..length]
                .windows(4)
                .filter(|four| four == b"\r\n\r\n")
                .count();
            for _ in 0..ends {
                // In two pieces, cut in the head.
                let (front, back) = answer.split_at(9);
                if stream.write_all(front).is_err() || stream.write_all(back).is_err() {
                    return;
                }
                told += 1;
                if told == each {
                    return;
                }
            }
        }
    }

    fn load(port: u16) -> Load {
        Load {
            port,
            path: "/",
            body_bytes: 3,
            connections: 4,
            depth: 1,
            closes: false,
            rate: None,
            time: Duration::from_millis(300),
        }
    }

    const OPEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn answers_are_counted_while_the_watch_runs() {
        let mut calls = Vec::new();
        let answers = load(serve(OPEN, 0)).run(&mut |begins| {
            calls.push(begins);
            Ok(())
        });
        assert!(answers.unwrap().count > 4);
        assert_eq!(calls, [true, false]);
    }

    #[test]
    fn pipelines_are_answered_to_their_end() {
        let answers = Load {
            depth: 16,
            ..load(serve(OPEN, 0))
        }
        .run(&mut |_| Ok(()));
        assert!(answers.unwrap().count > 16);
    }

    #[test]
    fn a_connection_that_is_closed_is_opened_again() {
        for (answer, each) in [(LAST, 1), (OPEN, 3)] {
            let answers = load(serve(answer, each)).run(&mut |_| Ok(()));
            assert!(answers.unwrap().count > 8);
        }
    }

    #[test]
    fn an_open_loop_asks_at_its_rate_and_tells_each_latency() {
        let answers = Load {
            rate: Some(1000.0),
            ..load(serve(OPEN, 0))
        }
        .run(&mut |_| Ok(()))
        .unwrap();
        assert_eq!(answers.count, answers.latencies.len() as u64);
        // Never more than what was due, warm-up's backlog included.
        assert!((1..=331).contains(&answers.count), "{}", answers.count);
    }

    #[test]
    fn wrong_answers_end_the_trial_and_say_what_was_wrong() {
        for (answer, part) in [
            (
                &b"HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabc"[..],
                "404",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
                "4 bytes",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nabc", "no length"),
        ] {
            let error = load(serve(answer, 0)).run(&mut |_| Ok(())).unwrap_err();
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }

    #[test]
    fn heads_tell_length_and_close() {
        let found = parse(b"HTTP/1.0 200 OK\r\nContent-LENGTH:  7").unwrap();
        assert_eq!((found.body_bytes, found.closes), (7, true));
        let found = parse(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7");
        assert!(!found.unwrap().closes);
        assert!(parse(b"HTTP/1.1 200").is_err());
    }
}
