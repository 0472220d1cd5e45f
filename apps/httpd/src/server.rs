//! The event loop: many connections, one thread, no memory but a fixed table.
//!
//! A request is read with MSG_PEEK into one shared buffer and stays in the
//! kernel's socket buffer until it is whole; only then is it consumed. So a
//! connection costs 32 bytes here, however slowly its client sends. Events are
//! edge-triggered, or a request half sent would wake the loop for ever.

use crate::entry;
use crate::listen::{self, Listeners};
use crate::program::Program;
use core::mem::MaybeUninit;
use ounce_http::connection::{self, Next};
use ounce_http::date::{DATE_BYTES, imf_fixdate};
use ounce_http::head::{Head, Limits};
use ounce_http::method::{Method, Methods};
use ounce_http::path;
use ounce_http::response::{Finish, HEAD_BYTES, Response};
use ounce_http::route::{self, Route};
use ounce_http::status::Status;
use ounce_linux::clock::{Clock, seconds};
use ounce_linux::descriptor::DescriptorSlot;
use ounce_linux::signal::{self, SIGCHLD, SIGINT, SIGPIPE, SIGTERM, SignalSet};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};
use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit, wait};

/// The table's length: descriptors from here on are turned away with 503.
const TABLE: usize = 16_384;
/// One whole request.
const INPUT: usize = 32_768;
/// Answers to be sent in one go.
const OUTPUT: usize = 32_768;
/// What an answer may need: below this the output is sent first.
const ANSWER: usize = HEAD_BYTES + Limits::DEFAULT.body_bytes + 512;
/// How many clients can lag behind with an answer that the kernel did not take.
const SPILLS: usize = 16;
const PATH: usize = Limits::DEFAULT.line_bytes;
/// Descriptors kept for files being opened and for the program's own.
const RESERVE: u64 = 16;

/// Seconds from a request's first byte to its last.
const REQUEST_SECONDS: u32 = 10;
/// Seconds between requests.
const IDLE_SECONDS: u32 = 60;
/// Seconds in which a client takes no byte of an answer.
const WRITE_SECONDS: u32 = 30;
/// Seconds in which a refused client may read why.
const LINGER_SECONDS: u32 = 2;
/// Seconds from SIGTERM until what still runs is cut off.
const GRACE_SECONDS: u32 = 10;
/// Calls of sendfile(2) before others get their turn.
const TURNS: u32 = 16;
const FILE_CHUNK: u64 = 256 * 1024;

const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = 1 << 32;

/// A file to send as the body.
pub struct File {
    /// Open for reading.
    pub descriptor: OwnedFd,
    /// Its length when it was opened.
    pub length_bytes: u64,
}

/// What answers requests.
pub trait Service {
    /// Answers one request, whose path is decoded and normalised. Where it
    /// returns a file, that is the body, and the response must have announced
    /// it with [`Response::file`].
    fn answer(
        &self,
        head: &Head<'_>,
        path: &[u8],
        body: &[u8],
        response: &mut Response<'_>,
    ) -> Option<File>;
}

impl Service for &[Route] {
    fn answer(
        &self,
        head: &Head<'_>,
        path: &[u8],
        body: &[u8],
        response: &mut Response<'_>,
    ) -> Option<File> {
        match core::str::from_utf8(path) {
            Ok(path) => route::dispatch(self, *head, path, body, response),
            Err(_) => {
                response.error(Status::BadRequest);
            }
        }
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A request has begun.
    Reading,
    /// An answer is on its way.
    Writing,
    /// Answered for the last time; reads on so that the answer is not lost to
    /// a reset (RFC 9112 section 9.6).
    Lingering,
}

struct Slot {
    socket: DescriptorSlot,
    file: DescriptorSlot,
    offset: u64,
    end: u64,
    deadline: u32,
    /// One more than the index of its spill; 0 for none.
    spill: u8,
    phase: Phase,
    /// Close after what is being written.
    closes: bool,
    /// `100 Continue` has been sent for the request being read.
    continued: bool,
}

struct Spill {
    start: u32,
    end: u32,
    bytes: [u8; OUTPUT],
}

/// All that a server needs; zero where nothing is used.
pub(crate) struct Memory {
    listeners: Listeners,
    slots: [Slot; TABLE],
    spills: [Spill; SPILLS],
    input: [u8; INPUT],
    output: [u8; OUTPUT],
    path: [u8; PATH],
}

impl Memory {
    pub(crate) const ZERO: Self = Self {
        listeners: [const { DescriptorSlot::EMPTY }; listen::MAX_LISTENERS],
        slots: [const {
            Slot {
                socket: DescriptorSlot::EMPTY,
                file: DescriptorSlot::EMPTY,
                offset: 0,
                end: 0,
                deadline: 0,
                spill: 0,
                phase: Phase::Idle,
                closes: false,
                continued: false,
            }
        }; TABLE],
        spills: [const {
            Spill {
                start: 0,
                end: 0,
                bytes: [0; OUTPUT],
            }
        }; SPILLS],
        input: [0; INPUT],
        output: [0; OUTPUT],
        path: [0; PATH],
    };
}

/// Serves until SIGTERM or SIGINT; the result is the exit status. Sockets handed
/// in by `LISTEN_FDS` go before `port`.
pub fn serve_on(program: &Program, port: u16, service: &dyn Service) -> u8 {
    match run(program, port, service) {
        Ok(()) => 0,
        Err(error) => {
            program.complain(match error {
                Errno::ADDRINUSE => b"error: the port is taken\nhint: choose another with PORT\n",
                Errno::ACCESS => {
                    b"error: not allowed to listen on this port\nhint: choose PORT above 1023\n"
                }
                Errno::BADF | Errno::INVAL => {
                    b"error: LISTEN_FDS names what is no listening socket\n"
                }
                _ => b"error: the kernel refused a socket, epoll or signalfd\n",
            });
            4
        }
    }
}

fn run(program: &Program, port: u16, service: &dyn Service) -> Result<(), Errno> {
    let watched = SignalSet::EMPTY.with(SIGTERM).with(SIGINT).with(SIGCHLD);
    // sendfile(2) has no MSG_NOSIGNAL: SIGPIPE is blocked and never looked at.
    signal::block(watched.with(SIGPIPE))?;
    let signals = signal::signalfd(watched)?;
    let memory = entry::memory().ok_or(Errno::BUSY)?;
    listen::open(program, port, &mut memory.listeners)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &signals,
        EventData::new_u64(SIGNALS),
        EventFlags::IN,
    )?;
    let mut server = Server {
        memory,
        service,
        epoll,
        count: 0,
        max_count: max_connections(),
        highest: 0,
        now: 0,
        date: [0; DATE_BYTES],
        swept: 0,
        is_paused: true,
        stop_at: None,
    };
    server.tick();
    server.resume()?;
    server.serve(&signals)
}

/// As many as there are descriptors for; the soft limit is raised to the hard.
fn max_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let table = TABLE as u64;
    current.unwrap_or(table).min(table).saturating_sub(RESERVE) as usize
}

struct Server<'s> {
    memory: &'static mut Memory,
    service: &'s dyn Service,
    epoll: OwnedFd,
    count: usize,
    max_count: usize,
    /// No slot above it is in use.
    highest: usize,
    /// Seconds on the monotonic clock.
    now: u32,
    date: [u8; DATE_BYTES],
    swept: u32,
    /// The listeners are not watched, for want of descriptors.
    is_paused: bool,
    stop_at: Option<u32>,
}

impl Server<'_> {
    fn serve(&mut self, signals: &OwnedFd) -> Result<(), Errno> {
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let mut events = [MaybeUninit::uninit(); 64];
        loop {
            let is_waiting = self.count == 0 && !self.is_paused && self.stop_at.is_none();
            let timeout = if is_waiting { None } else { Some(&second) };
            let ready = match epoll::wait(&self.epoll, &mut events[..], timeout) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            self.tick();
            for event in ready.iter() {
                // The struct is packed on x86-64: copy before looking.
                let (data, flags) = (event.data, event.flags);
                match data.u64() {
                    SIGNALS => {
                        if self.take_signals(signals)? {
                            return Ok(());
                        }
                    }
                    number if number >= LISTENER => self.accept((number - LISTENER) as usize),
                    number => self.drive(number as usize, flags),
                }
            }
            self.sweep();
            if let Some(stop_at) = self.stop_at
                && (self.count == 0 || self.now >= stop_at)
            {
                return Ok(());
            }
        }
    }

    fn tick(&mut self) {
        let now = seconds(Clock::Monotonic) as u32;
        if now != self.now || self.swept == 0 {
            self.now = now;
            self.date = imf_fixdate(seconds(Clock::Realtime));
        }
    }

    /// True where the program is to end at once.
    fn take_signals(&mut self, signals: &OwnedFd) -> Result<bool, Errno> {
        while let Some(signal) = signal::read(signals)? {
            if signal == SIGCHLD {
                // As PID 1 this process inherits orphans, and nobody else waits.
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            } else if self.stop_at.is_some() {
                return Ok(true);
            } else {
                self.stop();
            }
        }
        Ok(false)
    }

    /// Takes no more connections, answers what has come, and closes the rest.
    fn stop(&mut self) {
        for index in 0..listen::MAX_LISTENERS {
            self.accept(index);
        }
        self.stop_at = Some(self.now + GRACE_SECONDS);
        self.memory
            .listeners
            .iter_mut()
            .for_each(|slot| drop(slot.take()));
        self.is_paused = false;
        for number in 0..=self.highest {
            // What has arrived but was not looked at yet is still answered.
            self.drive(number, EventFlags::IN);
            if let Some(slot) = self.slot(number)
                && slot.phase == Phase::Idle
            {
                self.close(number);
            }
        }
    }

    fn slot(&mut self, number: usize) -> Option<&mut Slot> {
        self.memory
            .slots
            .get_mut(number)
            .filter(|slot| !slot.socket.is_empty())
    }

    fn resume(&mut self) -> Result<(), Errno> {
        self.is_paused = false;
        for (index, listener) in self.memory.listeners.iter().enumerate() {
            if let Some(listener) = listener.get() {
                let data = EventData::new_u64(LISTENER + index as u64);
                epoll::add(&self.epoll, listener, data, EventFlags::IN)?;
            }
        }
        Ok(())
    }

    fn pause(&mut self) {
        self.is_paused = true;
        for listener in self.memory.listeners.iter().filter_map(DescriptorSlot::get) {
            let _ = epoll::delete(&self.epoll, listener);
        }
    }

    fn accept(&mut self, index: usize) {
        loop {
            let Some(listener) = self
                .memory
                .listeners
                .get(index)
                .and_then(DescriptorSlot::get)
            else {
                return;
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(listener, flags) {
                Ok(socket) => self.admit(socket),
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                // Level-triggered: without a pause this would wake for ever.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return self.pause();
                }
                Err(_) => return,
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        let number = socket.as_raw_fd() as usize;
        if self.count >= self.max_count || number >= TABLE {
            return self.turn_away(&socket);
        }
        let data = EventData::new_u64(number as u64);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if epoll::add(&self.epoll, &socket, data, flags).is_err() {
            return;
        }
        let deadline = self.now + REQUEST_SECONDS;
        if let Some(slot) = self.memory.slots.get_mut(number) {
            slot.socket.put(socket);
            slot.deadline = deadline;
            slot.phase = Phase::Idle;
            slot.closes = false;
            slot.continued = false;
            self.count += 1;
            self.highest = self.highest.max(number);
            self.drive(number, EventFlags::empty());
        }
    }

    /// Full: 503 at once, as far as the kernel takes it.
    fn turn_away(&mut self, socket: &OwnedFd) {
        let mut response = Response::new(&mut self.memory.output);
        response.error(Status::ServiceUnavailable);
        let finish = Finish {
            is_head: false,
            connection: Some("close"),
            date: &self.date,
        };
        let length = response.finish(&finish);
        let _ = send(
            socket,
            self.memory.output.get(..length).unwrap_or_default(),
            SendFlags::NOSIGNAL,
        );
        let _ = shutdown(socket, Shutdown::Write);
        // Unread bytes would turn the close into a reset that overtakes the 503.
        let _ = recv(socket, &mut self.memory.input[..], RecvFlags::TRUNC);
    }

    #[inline(never)]
    fn close(&mut self, number: usize) {
        let Some(slot) = self.slot(number) else {
            return;
        };
        drop(slot.file.take());
        drop(slot.socket.take());
        let spill = core::mem::take(&mut slot.spill);
        self.free_spill(spill);
        self.count -= 1;
        if self.is_paused {
            // Where it fails the next sweep tries again.
            self.is_paused = self.resume().is_err();
        }
    }

    fn free_spill(&mut self, spill: u8) {
        if let Some(spill) = self
            .memory
            .spills
            .get_mut(usize::from(spill).wrapping_sub(1))
        {
            (spill.start, spill.end) = (0, 0);
        }
    }

    /// Once a second, closes what is overdue.
    fn sweep(&mut self) {
        if self.swept == self.now {
            return;
        }
        self.swept = self.now;
        if self.is_paused {
            self.is_paused = self.resume().is_err();
        }
        let mut highest = 0;
        for number in 0..=self.highest {
            let now = self.now;
            let Some(slot) = self.slot(number) else {
                continue;
            };
            if now < slot.deadline {
                highest = number;
            } else if slot.phase == Phase::Reading {
                self.refuse(number, Status::RequestTimeout);
                highest = number;
            } else {
                self.close(number);
            }
        }
        self.highest = highest;
    }

    /// Answers with an error and closes.
    #[inline(never)]
    fn refuse(&mut self, number: usize, status: Status) {
        let mut response = Response::new(&mut self.memory.output);
        response.error(status);
        let finish = Finish {
            is_head: false,
            connection: Some("close"),
            date: &self.date,
        };
        let length = response.finish(&finish);
        if let Some(slot) = self.slot(number) {
            slot.closes = true;
        }
        self.send(number, length, false);
        self.drive(number, EventFlags::empty());
    }

    /// Does all that can be done for a connection without waiting.
    fn drive(&mut self, number: usize, flags: EventFlags) {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            return self.close(number);
        }
        let mut turns = TURNS;
        loop {
            let Some(slot) = self.slot(number) else {
                return;
            };
            let goes_on = match slot.phase {
                Phase::Idle | Phase::Reading => self.read(number, flags),
                Phase::Writing => self.write(number),
                Phase::Lingering => self.linger(number),
            };
            if !goes_on {
                return;
            }
            turns -= 1;
            if turns == 0 {
                return self.yield_turn(number);
            }
        }
    }

    /// Asks for the same event again, behind those of others.
    fn yield_turn(&mut self, number: usize) {
        let data = EventData::new_u64(number as u64);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if let Some(slot) = self.memory.slots.get(number)
            && let Some(socket) = slot.socket.get()
        {
            let _ = epoll::modify(&self.epoll, socket, data, flags);
        }
    }

    /// Looks at what has come and answers the whole requests in it. True where
    /// there is more to do.
    fn read(&mut self, number: usize, flags: EventFlags) -> bool {
        let Memory {
            slots,
            input,
            output,
            path,
            ..
        } = &mut *self.memory;
        let Some(slot) = slots.get_mut(number) else {
            return false;
        };
        let Some(socket) = slot.socket.get() else {
            return false;
        };
        let received = match recv(socket, &mut input[..], RecvFlags::PEEK) {
            Ok((_, 0)) => {
                self.close(number);
                return false;
            }
            Ok((_, received)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Err(_) => {
                self.close(number);
                return false;
            }
        };
        let mut consumed = 0;
        let mut sent = 0;
        let mut file = None;
        let mut is_partial = false;
        while !slot.closes && output.len() - sent >= ANSWER {
            let is_full = consumed == 0 && received == input.len();
            let bytes = input.get_mut(consumed..received).unwrap_or_default();
            let place = output.get_mut(sent..sent + ANSWER).unwrap_or_default();
            let mut response = Response::new(place);
            let mut is_head = false;
            let mut is_http11 = true;
            match connection::next(bytes, is_full, &Limits::DEFAULT) {
                Next::Idle => break,
                Next::More { send_continue } => {
                    is_partial = true;
                    if send_continue && !slot.continued {
                        slot.continued = true;
                        let line = b"HTTP/1.1 100 Continue\r\n\r\n";
                        if let Some(place) = output.get_mut(sent..sent + line.len()) {
                            place.copy_from_slice(line);
                            sent += line.len();
                        }
                    }
                    break;
                }
                Next::Refuse(status) => {
                    response.error(status);
                    slot.closes = true;
                }
                Next::Request(message) => {
                    is_head = message.head.method == Method::Head;
                    is_http11 = message.head.is_http11;
                    slot.closes = !message.head.keep_alive || self.stop_at.is_some();
                    slot.continued = false;
                    consumed += message.length;
                    file = answer(self.service, &message, path, &mut response);
                }
            }
            // RFC 9112 section 9.3: 1.0 clients must be told.
            let connection = match (slot.closes, is_http11) {
                (true, _) => Some("close"),
                (false, false) => Some("keep-alive"),
                (false, true) => None,
            };
            sent += response.finish(&Finish {
                is_head,
                connection,
                date: &self.date,
            });
            if is_head {
                file = None;
            }
            if file.is_some() {
                break;
            }
        }
        // MSG_TRUNC drops bytes of a TCP stream without copying them (tcp(7)).
        let discard = input.get_mut(..consumed).unwrap_or_default();
        if consumed > 0 && recv(socket, discard, RecvFlags::TRUNC).is_err() {
            self.close(number);
            return false;
        }
        if consumed > 0 || slot.phase == Phase::Idle {
            let seconds = if is_partial {
                REQUEST_SECONDS
            } else {
                IDLE_SECONDS
            };
            slot.deadline = self.now + seconds;
        }
        slot.phase = if is_partial {
            Phase::Reading
        } else {
            Phase::Idle
        };
        let has_file = file.is_some();
        if let Some(file) = file {
            slot.file.put(file.descriptor);
            (slot.offset, slot.end) = (0, file.length_bytes);
        }
        if sent > 0 {
            self.send(number, sent, has_file);
        }
        // A client that has closed its side will never complete a request.
        if is_partial && flags.contains(EventFlags::RDHUP) {
            self.close(number);
            return false;
        }
        // A request behind those answered may be whole once there is room.
        !is_partial || consumed > 0 && received == INPUT
    }

    /// Sends the output's first bytes; what the kernel does not take is kept.
    fn send(&mut self, number: usize, length: usize, has_more: bool) {
        let Memory {
            slots,
            spills,
            output,
            ..
        } = &mut *self.memory;
        let Some(slot) = slots.get_mut(number) else {
            return;
        };
        let Some(socket) = slot.socket.get() else {
            return;
        };
        let bytes = output.get(..length).unwrap_or_default();
        let more = if has_more {
            SendFlags::MORE
        } else {
            SendFlags::empty()
        };
        let taken = match send(socket, bytes, SendFlags::NOSIGNAL | more) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return self.close(number),
        };
        let rest = bytes.get(taken..).unwrap_or_default();
        let mut is_writing = has_more || slot.closes;
        if !rest.is_empty() {
            is_writing = true;
            let free = spills
                .iter_mut()
                .enumerate()
                .find(|(_, spill)| spill.end == 0);
            let Some((index, spill)) = free.filter(|_| slot.spill == 0) else {
                // All are taken by clients that do not read: so does this one.
                return self.close(number);
            };
            if let Some(place) = spill.bytes.get_mut(..rest.len()) {
                place.copy_from_slice(rest);
            }
            (spill.start, spill.end) = (0, rest.len() as u32);
            slot.spill = index as u8 + 1;
        }
        if is_writing {
            slot.phase = Phase::Writing;
            slot.deadline = self.now + WRITE_SECONDS;
        }
    }

    /// Goes on with an answer. True where it is done and there is more to do.
    fn write(&mut self, number: usize) -> bool {
        let Memory { slots, spills, .. } = &mut *self.memory;
        let Some(slot) = slots.get_mut(number) else {
            return false;
        };
        let Some(socket) = slot.socket.get() else {
            return false;
        };
        if let Some(spill) = spills.get_mut(usize::from(slot.spill).wrapping_sub(1)) {
            let rest = spill.bytes.get(spill.start as usize..spill.end as usize);
            match send(socket, rest.unwrap_or_default(), SendFlags::NOSIGNAL) {
                Ok(taken) => spill.start += taken as u32,
                Err(Errno::AGAIN | Errno::INTR) => return false,
                Err(_) => {
                    self.close(number);
                    return false;
                }
            }
            slot.deadline = self.now + WRITE_SECONDS;
            if spill.start < spill.end {
                return true;
            }
            (spill.start, spill.end) = (0, 0);
            slot.spill = 0;
        }
        if let Some(file) = slot.file.get()
            && slot.offset < slot.end
        {
            let count = (slot.end - slot.offset).min(FILE_CHUNK) as usize;
            match rustix::fs::sendfile(socket, file, Some(&mut slot.offset), count) {
                Err(Errno::AGAIN | Errno::INTR) => return false,
                // Cut short while it was sent: only closing tells the client.
                Ok(0) | Err(_) => {
                    self.close(number);
                    return false;
                }
                Ok(_) => {
                    slot.deadline = self.now + WRITE_SECONDS;
                    return true;
                }
            }
        }
        drop(slot.file.take());
        if slot.closes {
            let _ = shutdown(socket, Shutdown::Write);
            slot.phase = Phase::Lingering;
            slot.deadline = self.now + LINGER_SECONDS;
        } else {
            slot.phase = Phase::Idle;
            slot.deadline = self.now + IDLE_SECONDS;
        }
        true
    }

    /// Throws away what still comes until the client closes.
    fn linger(&mut self, number: usize) -> bool {
        let Memory { slots, input, .. } = &mut *self.memory;
        let socket = slots.get(number).and_then(|slot| slot.socket.get());
        let Some(socket) = socket else {
            return false;
        };
        match recv(socket, &mut input[..], RecvFlags::TRUNC) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok((_, received)) if received > 0 => true,
            _ => {
                self.close(number);
                false
            }
        }
    }
}

fn answer(
    service: &dyn Service,
    message: &connection::Message<'_>,
    buffer: &mut [u8],
    response: &mut Response<'_>,
) -> Option<File> {
    let head = &message.head;
    if head.path == b"*" {
        // RFC 9110 section 9.3.7: asks about the server as a whole.
        response.status(Status::NoContent);
        return None;
    }
    match path::decode(head.path, buffer) {
        Err(status) => {
            response.error(status);
            None
        }
        Ok(path) if path == b"/healthz" => {
            match head.method {
                Method::Get | Method::Head => response.text("ok\n"),
                _ => response.not_allowed(Methods::GET_HEAD),
            };
            None
        }
        Ok(path) => service.answer(head, path, message.body, response),
    }
}
