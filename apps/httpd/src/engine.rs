//! The event loop: many connections, one thread, and no memory of its own for
//! any of them.
//!
//! A request stays in the kernel's socket buffer (MSG_PEEK) until it is whole
//! and answered, and is only then taken out. A file that the kernel does not
//! take at once goes on from what epoll says back with the event (which file)
//! and what the kernel keeps with the socket (how much is left). So does the
//! deadline. What is here per connection is one bit: whether it was busy in the
//! last second.
//!
//! The kernel watches over clients that take nothing (TCP_USER_TIMEOUT, see
//! `start`). What an answer says is the [`Handler`]'s.

use core::mem;
use ounce_http::status::Status;
use ounce_http::writer::HeadWriter;
use ounce_linux::bare::{
    self, CHILD_CHANGED, Change, Clock, ERROR, Event, Fd, HANGUP, Kept, OUTPUT, PEEK, PEER_DONE,
    TAKE, WATCH_ALL, WATCH_INPUT, errno,
};

/// What an event is about stands above the descriptor in its token: a file is
/// being sent.
const BODY: u32 = 1 << 24;
/// The connection ends with that file.
const CLOSES: u32 = 1 << 25;
/// The connection is over but for what the client still sends.
const LINGERS: u32 = 1 << 26;
/// A listening socket.
const LISTENER: u32 = 1 << 27;
/// The descriptor of signals.
const SIGNALS: u32 = 1 << 28;
/// What goes on is the handler's: which of its streams stands beside it.
const STREAM: u32 = 1 << 29;
/// With that file all is answered that has come.
const ANSWERED: u32 = 1 << 30;
const DESCRIPTOR: u32 = BODY - 1;
/// In a deadline: a request has begun.
const READING: u32 = 1 << 31;

/// The most sockets that can be handed in.
pub const MAX_LISTENERS: usize = 4;
/// What an answer may need: with less room the others are sent first.
pub const ANSWER_BYTES: usize = 640;
/// Answers are sent when they are as many bytes: well below a third of a send
/// buffer, which is free when epoll reports room, so that they go whole.
const BATCH_BYTES: usize = 4_096;
/// The most of a file in one turn.
const TURN_BYTES: u64 = 1 << 18;
/// How many events are fetched at a time.
const EVENTS: usize = 8;
/// Seconds in which a refused client may read why.
const LINGER_SECONDS: u32 = 2;

/// Answers that are sent together, and what follows from the last.
#[derive(Debug)]
#[repr(C)]
pub struct Batch<'b> {
    /// Where they are written.
    pub writer: HeadWriter<'b>,
    /// Bytes of the request.
    pub consumed: usize,
    /// Bytes of the answer's body.
    pub length: u64,
    /// A file to be sent behind it, from where it stands or from `offset` on;
    /// negative for none.
    pub file: Fd,
    /// For a file that is shared.
    pub offset: u32,
    /// How it was answered.
    pub status: Status,
    /// The connection ends with it.
    pub closes: bool,
    /// What else the client has sent is no request.
    pub is_refused: bool,
    /// The request was HEAD.
    pub is_head: bool,
    /// The request was of HTTP/1.1.
    pub is_http11: bool,
    /// The connection is to end with the last request that has come.
    pub is_stopping: bool,
    /// From here on the handler goes on by itself: its number for it.
    pub stream: Option<u16>,
}

/// What a stream has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To be called when the kernel has more, or takes more.
    Waits,
    /// To be called again, once others had their turn.
    Again,
    /// It is over, and the next request may come.
    Done,
    /// It is over, and so is the connection once the client has read its end.
    Closes,
    /// The connection is of no more use.
    Ends,
}

/// A stream that has been too slow.
#[derive(Clone, Copy, Debug)]
pub struct Overdue {
    /// Its connection.
    pub fd: Fd,
    /// Nothing is answered yet: 408 tells the client.
    pub is_told: bool,
}

/// What answers requests.
pub trait Handler {
    /// Answers the request at the start of `bytes`; false while it is not whole,
    /// and then nothing is written but that it is awaited (100). `is_full` says
    /// that no more of it will come.
    fn answer(&mut self, peer: Fd, bytes: &mut [u8], is_full: bool, batch: &mut Batch<'_>) -> bool;

    /// Answers with an error, after which the connection ends, as the batch says.
    fn refuse(&self, status: Status, batch: &mut Batch<'_>);

    /// The time has become this, in seconds since 1970.
    fn tick(&mut self, second: u64);

    /// Whether it sends files: a program whose handler does not, does not carry
    /// what that takes.
    const FILES: bool = true;

    /// The descriptor that all files are parts of; negative where each is its own.
    fn shared_file(&self) -> Fd;

    /// Whether it has streams: what follows is asked for only then.
    const STREAMS: bool = false;

    /// Goes on with a stream; the buffer is for its use.
    fn go_on(&mut self, _fd: Fd, _stream: u16, _buffer: &mut [u8]) -> Step {
        Step::Ends
    }

    /// Keeps what the kernel did not take of a batch, behind so many bytes, to
    /// send it as a stream: its number.
    fn keep(&mut self, _fd: Fd, _sent: usize, _batch: &mut Batch<'_>) -> Option<u16> {
        None
    }

    /// The connection of a stream has gone.
    fn forget(&mut self, _stream: u16) {}

    /// A stream that has been too slow, and is forgotten now.
    fn overdue(&mut self) -> Option<Overdue> {
        None
    }
}

/// Seconds, and how many connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a request's first byte to its last.
    pub header_seconds: u32,
    /// Between requests.
    pub idle_seconds: u32,
    /// To finish what runs when asked to stop.
    pub grace_seconds: u32,
    /// The most connections.
    pub connections: u32,
}

/// The loop's state; what is used most stands first, where it is reached by
/// short instructions.
#[derive(Debug)]
#[repr(C)]
pub struct Engine<H> {
    epoll: Fd,
    signals: Fd,
    count: u32,
    /// All connections' descriptors are below it.
    end: Fd,
    /// A bit for each descriptor.
    busy: &'static mut [u8],
    buffer: &'static mut [u8],
    /// How much of the buffer takes what is received.
    input_bytes: u32,
    /// In seconds, on the clock that never goes back.
    now: u32,
    /// 0 while it is not asked to stop.
    stop_at: u32,
    /// The listeners are watched; not, for want of descriptors.
    is_watching: bool,
    limits: Limits,
    /// Negative where there is none.
    listeners: [Fd; MAX_LISTENERS],
    handler: H,
}

impl<H: Handler> Engine<H> {
    /// An engine with this handler, which is held to these limits, for connections
    /// that come from these sockets (negative where there is none). `busy` has a
    /// bit for each descriptor that a connection can have; `buffer` takes what is
    /// received and behind it what is sent.
    pub fn new(
        handler: H,
        limits: Limits,
        listeners: [Fd; MAX_LISTENERS],
        busy: &'static mut [u8],
        buffer: &'static mut [u8],
    ) -> Self {
        Self {
            epoll: -1,
            signals: -1,
            count: 0,
            end: 0,
            now: 0,
            stop_at: 0,
            is_watching: false,
            limits,
            listeners,
            input_bytes: buffer.len().saturating_sub(ANSWER_BYTES).min(24 * 1024) as u32,
            busy,
            buffer,
            handler,
        }
    }

    /// Opens what it waits on, which cannot be had once the program is shut in.
    pub fn open(&mut self) {
        self.epoll = bare::epoll();
        self.signals = bare::signals();
        bare::watch(
            self.epoll,
            Change::Add,
            self.signals,
            WATCH_INPUT,
            SIGNALS,
            0,
        );
    }

    /// Serves until SIGTERM or SIGINT; the result is the exit status.
    #[inline(never)]
    pub fn run(&mut self) -> u8 {
        let mut events = [Event::NONE; EVENTS];
        let mut told = 0;
        loop {
            if !self.is_watching {
                self.watch_listeners(Change::Add);
            }
            let is_waiting = self.count == 0 && self.is_watching && self.stop_at == 0;
            let timeout_ms = if is_waiting { -1 } else { 1_000 };
            let ready = bare::wait(self.epoll, &mut events, timeout_ms);
            let second = bare::time(Clock::Real);
            let is_new_second = second != told;
            if is_new_second {
                told = second;
                self.now = bare::time(Clock::Steady) as u32;
                self.handler.tick(second);
            }
            let mut signals = 0;
            for &Event {
                flags,
                token,
                extra,
                ..
            } in events.iter().take(ready.max(0) as usize)
            {
                let fd = (token & DESCRIPTOR) as Fd;
                if token & LISTENER != 0 {
                    self.accept(fd);
                } else if token & SIGNALS != 0 {
                    signals += self.take_signals();
                } else if flags & (ERROR | HANGUP) != 0 {
                    self.close_both(fd, token, extra);
                } else if H::FILES && token & BODY != 0 {
                    self.go_on(fd, token, extra);
                } else if H::STREAMS && token & STREAM != 0 {
                    self.go_on_stream(fd, extra as u16);
                } else if token & LINGERS != 0 {
                    self.linger(fd);
                } else if flags & OUTPUT != 0 {
                    self.read(fd, flags);
                }
            }
            if signals > 0 {
                if self.stop_at != 0 {
                    return 0;
                }
                self.stop();
            }
            if is_new_second {
                self.sweep();
            }
            if self.stop_at != 0 && (self.count == 0 || self.now >= self.stop_at) {
                return 0;
            }
        }
    }

    /// How many asked to stop.
    #[inline(never)]
    fn take_signals(&mut self) -> u32 {
        let mut count = 0;
        loop {
            match bare::take_signal(self.signals, self.buffer) {
                0 => return count,
                CHILD_CHANGED => bare::reap(),
                _ => count += 1,
            }
        }
    }

    /// Takes no more connections, answers what has come, and closes the rest.
    fn stop(&mut self) {
        self.stop_at = self.now + self.limits.grace_seconds;
        for fd in mem::replace(&mut self.listeners, [-1; MAX_LISTENERS]) {
            if fd >= 0 {
                self.accept(fd);
                bare::close(fd);
            }
        }
        for fd in 0..self.end {
            // One that sends a file has no deadline and is not busy.
            if self.is_busy(fd) || deadline(fd) != 0 {
                self.read(fd, 0);
            }
        }
    }

    /// Once a second, closes what is overdue.
    fn sweep(&mut self) {
        while H::STREAMS
            && let Some(Overdue { fd, is_told }) = self.handler.overdue()
        {
            if is_told {
                self.refuse(fd, Status::RequestTimeout);
            }
            self.close(fd);
        }
        for fd in 0..self.end {
            if self.is_busy(fd) {
                self.set_deadline(fd, self.now + self.limits.idle_seconds);
                continue;
            }
            let deadline = deadline(fd);
            if deadline == 0 || deadline & !READING > self.now {
                continue;
            }
            // Where something has come, it is part of a request.
            let received = bare::receive(fd, self.buffer, PEEK);
            if received > 0 {
                self.refuse(fd, Status::RequestTimeout);
            }
            self.close(fd);
        }
    }

    /// Begins or ends to watch the listening sockets.
    #[inline(never)]
    fn watch_listeners(&mut self, change: Change) {
        self.is_watching = matches!(change, Change::Add);
        for fd in self.listeners {
            if fd >= 0 {
                bare::watch(self.epoll, change, fd, WATCH_INPUT, fd as u32 | LISTENER, 0);
            }
        }
    }

    #[inline(never)]
    fn accept(&mut self, listener: Fd) {
        loop {
            let fd = bare::accept(listener);
            if fd < 0 {
                match -fd as u32 {
                    errno::ECONNABORTED | errno::EINTR => continue,
                    // Level-triggered: without a pause this would wake for ever.
                    errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM => {
                        self.watch_listeners(Change::Remove);
                    }
                    _ => {}
                }
                return;
            }
            let has_place = fd as usize >> 3 < self.busy.len();
            if self.count >= self.limits.connections || !has_place {
                self.refuse(fd, Status::ServiceUnavailable);
                bare::close(fd);
                continue;
            }
            self.count += 1;
            self.end = self.end.max(fd + 1);
            self.set_busy(fd, true);
            // The request has mostly come by now (TCP_DEFER_ACCEPT): one that is
            // answered and closed is never watched.
            let count = self.count;
            self.read(fd, 0);
            if self.count == count {
                let added = bare::watch(self.epoll, Change::Add, fd, WATCH_ALL, fd as u32, 0);
                if added < 0 && added != -(errno::EEXIST as i32) {
                    self.close(fd);
                }
            }
        }
    }

    #[inline(never)]
    fn close(&mut self, fd: Fd) {
        bare::close(fd);
        self.set_busy(fd, false);
        self.count -= 1;
    }

    /// Closes a connection and the file that is being sent on it.
    fn close_both(&mut self, fd: Fd, token: u32, extra: u32) {
        if H::FILES && token & BODY != 0 && self.handler.shared_file() < 0 {
            bare::close(extra as Fd);
        }
        if H::STREAMS && token & STREAM != 0 {
            self.handler.forget(extra as u16);
        }
        self.close(fd);
    }

    /// Watches a connection anew, for this; what is already there is told again.
    #[inline(never)]
    fn rearm(&mut self, fd: Fd, token: u32, extra: u32) {
        let token = fd as u32 | token;
        // One that was accepted just now is not watched yet.
        if bare::watch(self.epoll, Change::Modify, fd, WATCH_ALL, token, extra) < 0 {
            bare::watch(self.epoll, Change::Add, fd, WATCH_ALL, token, extra);
        }
    }

    /// From now on it has until then, or for ever where that is 0.
    #[inline(never)]
    fn set_deadline(&mut self, fd: Fd, deadline: u32) {
        bare::keep(fd, Kept::First, deadline.into());
        self.set_busy(fd, false);
    }

    #[inline(never)]
    fn is_busy(&mut self, fd: Fd) -> bool {
        let place = self.busy.get(fd as usize >> 3);
        place.is_some_and(|bits| bits >> (fd & 7) & 1 != 0)
    }

    #[inline(never)]
    fn set_busy(&mut self, fd: Fd, is_busy: bool) {
        if let Some(bits) = self.busy.get_mut(fd as usize >> 3) {
            *bits = *bits & !(1 << (fd & 7)) | u8::from(is_busy) << (fd & 7);
        }
    }

    /// Answers with an error, as far as the kernel takes it, and says that
    /// nothing follows.
    #[inline(never)]
    fn refuse(&mut self, fd: Fd, status: Status) {
        let buffer = &mut *self.buffer;
        let mut batch = batch(buffer, false);
        batch.closes = true;
        self.handler.refuse(status, &mut batch);
        bare::send(fd, batch.writer.bytes(), false);
        bare::shutdown(fd);
        self.discard(fd);
    }

    /// Throws away what has come: unread, it would turn a close into a reset,
    /// which overtakes the answer (RFC 9112 section 9.6). Whether more can come.
    #[inline(never)]
    fn discard(&mut self, fd: Fd) -> bool {
        loop {
            let taken = bare::receive(fd, self.buffer, TAKE);
            if taken <= 0 {
                return taken == -(errno::EAGAIN as isize);
            }
        }
    }

    fn linger(&mut self, fd: Fd) {
        if !self.discard(fd) {
            self.close(fd);
        }
    }

    /// Looks at what has come and answers the whole requests in it, up to a
    /// connection's share.
    #[inline(never)]
    fn read(&mut self, fd: Fd, flags: u32) {
        let buffer = &mut *self.buffer;
        let place = buffer.get_mut(..self.input_bytes as usize);
        let received = bare::receive(fd, place.unwrap_or_default(), PEEK);
        if received <= 0 {
            // Nothing new; or the end, or a failure.
            let waits = received == -(errno::EAGAIN as isize) && self.stop_at == 0;
            if !waits {
                self.close(fd);
            }
            return;
        }
        let received = received as usize;
        let is_full = received == self.input_bytes as usize;
        let (input, output) = buffer.split_at_mut_checked(received).unwrap_or_default();
        let mut batch = batch(output, self.stop_at != 0 && !is_full);
        let mut consumed = 0;
        let mut is_partial = false;
        while consumed < received
            && batch.writer.written() < BATCH_BYTES
            && batch.writer.rest().len() >= ANSWER_BYTES
            && (!H::FILES || batch.file < 0)
            && batch.stream.is_none()
            && !batch.closes
        {
            let bytes = input.get_mut(consumed..).unwrap_or_default();
            if !self
                .handler
                .answer(fd, bytes, is_full && consumed == 0, &mut batch)
            {
                batch.closes = false;
                is_partial = true;
                break;
            }
            consumed += batch.consumed;
        }
        let file = if H::FILES { batch.file } else { -1 };
        if consumed > 0 || H::STREAMS && !batch.writer.bytes().is_empty() {
            let bytes = batch.writer.bytes();
            let (length, closes) = (bytes.len(), batch.closes);
            let sent = bare::send(fd, bytes, file >= 0);
            if H::STREAMS && sent != length as isize {
                batch.stream = self.handler.keep(fd, sent.max(0) as usize, &mut batch);
                if batch.stream.is_none() {
                    return self.close(fd);
                }
            } else if sent != length as isize {
                // The kernel had room, and now has none.
                let token = if file >= 0 { BODY } else { 0 };
                return self.close_both(fd, token, file as u32);
            }
            let (offset, length, is_refused) = (batch.offset, batch.length, batch.is_refused);
            let stream = batch.stream;
            let taken = input.get_mut(..consumed).unwrap_or_default();
            bare::receive(fd, taken, TAKE);
            self.set_busy(fd, true);
            if H::STREAMS
                && let Some(stream) = stream
            {
                // The handler watches over those who are slow.
                self.set_deadline(fd, 0);
                return self.rearm(fd, STREAM, stream.into());
            }
            if file >= 0 {
                let mut token = if closes { BODY | CLOSES } else { BODY };
                if consumed == received && !is_full {
                    token |= ANSWERED;
                }
                let extra = if self.handler.shared_file() < 0 {
                    file as u32
                } else {
                    offset
                };
                return self.send_file(fd, token, extra, length);
            }
            if closes {
                if !is_refused && consumed == received && !is_full {
                    return self.close(fd);
                }
                return self.close_softly(fd);
            }
        }
        if is_full || !is_partial && consumed < received {
            self.rearm(fd, 0, 0);
        } else if flags & PEER_DONE != 0 {
            // Nothing more comes.
            self.close(fd);
        } else if is_partial && (self.is_busy(fd) || deadline(fd) & READING == 0) {
            // Its first bytes: from now on it has so many seconds.
            self.set_deadline(fd, READING + self.now + self.limits.header_seconds);
        }
    }

    /// Says that nothing follows, and reads on until the client has seen it.
    fn close_softly(&mut self, fd: Fd) {
        bare::shutdown(fd);
        self.set_deadline(fd, self.now + LINGER_SECONDS);
        self.rearm(fd, LINGERS, 0);
    }

    /// Has the handler go on with a stream.
    fn go_on_stream(&mut self, fd: Fd, stream: u16) {
        let buffer = &mut *self.buffer;
        match self.handler.go_on(fd, stream, buffer) {
            Step::Waits => {}
            Step::Again => self.rearm(fd, STREAM, stream.into()),
            Step::Done => {
                self.set_busy(fd, true);
                self.rearm(fd, 0, 0);
            }
            Step::Closes => self.close_softly(fd),
            Step::Ends => self.close_both(fd, STREAM, stream.into()),
        }
    }

    /// Goes on with a file that the kernel did not take whole.
    fn go_on(&mut self, fd: Fd, token: u32, extra: u32) {
        let left = bare::kept(fd, Kept::Second);
        self.send_file(fd, token, extra, left);
    }

    /// Sends of a file what the kernel takes.
    #[inline(never)]
    fn send_file(&mut self, fd: Fd, token: u32, mut extra: u32, mut left: u64) {
        let shared = self.handler.shared_file();
        let count = left.min(TURN_BYTES) as usize;
        let mut offset = extra.into();
        let sent = if shared < 0 {
            bare::send_file(fd, extra as Fd, None, count)
        } else {
            bare::send_file(fd, shared, Some(&mut offset), count)
        };
        if sent > 0 {
            left -= sent as u64;
            if shared >= 0 {
                extra = offset as u32;
            }
        } else if sent != -(errno::EAGAIN as isize) {
            // Gone, or cut short while it was sent: only closing tells the client.
            return self.close_both(fd, token, extra);
        }
        if left > 0 {
            bare::keep(fd, Kept::Second, left);
            // The kernel watches over those who do not read.
            self.set_deadline(fd, 0);
            return self.rearm(fd, token & (BODY | CLOSES), extra);
        }
        if token & CLOSES != 0 {
            return self.close_both(fd, token, extra);
        }
        if shared < 0 {
            bare::close(extra as Fd);
        }
        self.set_busy(fd, true);
        if token & ANSWERED == 0 {
            self.rearm(fd, 0, 0);
        }
    }
}

/// When a connection is overdue, and [`READING`]; 0 where it never is.
#[inline(never)]
fn deadline(fd: Fd) -> u32 {
    bare::kept(fd, Kept::First) as u32
}

/// An empty batch in this buffer.
#[inline(never)]
fn batch(buffer: &mut [u8], is_stopping: bool) -> Batch<'_> {
    Batch {
        writer: HeadWriter::new(buffer),
        consumed: 0,
        length: 0,
        file: -1,
        offset: 0,
        status: Status::Ok,
        closes: false,
        is_refused: true,
        is_head: false,
        is_http11: true,
        is_stopping,
        stream: None,
    }
}
