//! Copies bytes between connections from outside and connections to the
//! program inside: one thread, one epoll, two descriptors a connection.
//!
//! Sockets are watched edge-triggered and registered once, so that a short
//! exchange costs no call but its reads, writes and waits. Bytes that the
//! receiver has no room for are kept (at most one buffer a direction) and
//! nothing more is read until they are gone, so that a slow reader slows its
//! writer, as without a proxy.
//!
//! Where the sockets come from and which namespaces this runs in is left to
//! [`super`].

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, connect,
    recv, send, shutdown, socket_with, sockopt,
};

use epoll::EventFlags;

/// Connections served at a time; more wait in the listener's backlog.
pub(super) const MOST_CONNECTIONS: usize = 1024;
/// How long a program may take to listen, counted from a client's arrival.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How long data in flight may take after the container's end.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// One read; 64 KB and 256 KB carry the same on loopback.
const BUFFER_BYTES: usize = 64 << 10;
/// Reads a connection may make before the others have their turn.
const READS_A_TURN: usize = 8;
/// Connections taken from one listener before the open ones have their turn.
const ACCEPTS_A_TURN: usize = 64;

const OUTER: usize = 0;
const INNER: usize = 1;

// What an event is about. Connections have the slot and side in the low half
// and a generation in the high one, so that an event for a connection that has
// ended since is not taken for its successor's.
const LISTENER: u64 = 1 << 63;
const CONTAINER: u64 = 1 << 62;
const LIFELINE: u64 = 1 << 61;
const GENERATIONS: u32 = 1 << 28;

/// A listener and the port inside that it stands for.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) listener: OwnedFd,
    pub(super) port: u16,
}

#[derive(Debug)]
pub(super) struct Relay {
    epoll: OwnedFd,
    routes: Vec<Route>,
    /// Routes whose program was last found at ::1.
    on_ipv6: Vec<bool>,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    generation: u32,
    open: usize,
    most: usize,
    accepting: bool,
    /// When the first of the refused dials is due again.
    redial_at: Option<Instant>,
    /// When to listen again after the system had no descriptor left.
    resume: Option<Instant>,
    ready: VecDeque<usize>,
    buffer: Box<[u8]>,
    /// Held so that epoll goes on watching them.
    _watched: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Link {
    generation: u32,
    route: usize,
    ends: [End; 2],
    flows: [Flow; 2],
    dial: Option<Dial>,
    queued: bool,
}

#[derive(Debug, Default)]
struct End {
    socket: Option<OwnedFd>,
    readable: bool,
    writable: bool,
    /// The peer will send no more: a short read is no sign that all was read.
    ending: bool,
    /// Both directions are over in the kernel.
    closed: bool,
}

/// From `ends[i]` to the other one.
#[derive(Debug, Default)]
struct Flow {
    pending: Vec<u8>,
    sent: usize,
    ended: bool,
    shut: bool,
}

/// A connection to the program that is not made yet.
#[derive(Debug)]
struct Dial {
    ipv6: bool,
    /// The other family was refused just now.
    second: bool,
    give_up: Instant,
    pause: Duration,
    again: Option<Instant>,
}

enum Turn {
    Idle,
    More,
    Done,
    Reset,
}

impl Relay {
    /// `container` becomes readable at the container's end, `lifeline` at the
    /// end of the process that started this one.
    pub(super) fn new(
        routes: Vec<Route>,
        container: OwnedFd,
        lifeline: Option<OwnedFd>,
        most: usize,
    ) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut watched = Vec::new();
        let pairs = [(Some(container), CONTAINER), (lifeline, LIFELINE)];
        for (file, token) in pairs {
            let Some(file) = file else { continue };
            epoll::add(
                &epoll,
                &file,
                epoll::EventData::new_u64(token),
                EventFlags::IN | EventFlags::RDHUP,
            )?;
            watched.push(file);
        }
        for route in &routes {
            // The flag is the open file's: whoever else holds the listener shares it.
            rustix::io::ioctl_fionbio(&route.listener, true)?;
        }
        let mut relay = Self {
            epoll,
            on_ipv6: vec![false; routes.len()],
            routes,
            links: Vec::new(),
            free: Vec::new(),
            generation: 0,
            open: 0,
            most,
            accepting: false,
            redial_at: None,
            resume: None,
            ready: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            _watched: watched,
        };
        relay.accept_more(true)?;
        Ok(relay)
    }

    /// Serves until the container or the starter is gone, then lets what is in
    /// flight arrive.
    pub(super) fn run(mut self) -> Result<(), Errno> {
        let mut drain: Option<Instant> = None;
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        loop {
            let now = Instant::now();
            if let Some(end) = drain
                && (self.open == 0 || now >= end)
            {
                return Ok(());
            }
            let wake = [self.redial_at, self.resume, drain]
                .into_iter()
                .flatten()
                .min();
            let timeout = if self.ready.is_empty() {
                wake.map(|at| timespec(at.saturating_duration_since(now)))
            } else {
                Some(timespec(Duration::ZERO))
            };
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token & (CONTAINER | LIFELINE) != 0 {
                    if drain.is_none() {
                        drain = Some(Instant::now() + DRAIN_LIMIT);
                        self.stop();
                    }
                } else if token & LISTENER == 0 {
                    self.note(token, flags);
                }
            }
            // Newcomers after the known ones, so that a slot which became
            // free in this batch has no event of its past left in it.
            if drain.is_none() {
                for event in &events {
                    let token = event.data.u64();
                    if token & LISTENER != 0 {
                        self.accept((token & !LISTENER) as usize)?;
                    }
                }
            }
            self.redial();
            for _ in 0..self.ready.len() {
                let Some(slot) = self.ready.pop_front() else {
                    break;
                };
                self.turn(slot);
            }
            let rested = self.resume.is_none_or(|at| Instant::now() >= at);
            if drain.is_none() && !self.accepting && self.open < self.most && rested {
                self.resume = None;
                self.accept_more(true)?;
            }
        }
    }

    /// Takes no more connections and gives up those that have no other end.
    fn stop(&mut self) {
        // A listener that is closed refuses, and resets those that wait in its
        // backlog, unless someone else holds it.
        let _ = self.accept_more(false);
        self.routes.clear();
        for slot in 0..self.links.len() {
            if matches!(&self.links[slot], Some(link) if link.dial.is_some()) {
                self.close(slot, true);
            }
        }
    }

    fn accept_more(&mut self, yes: bool) -> Result<(), Errno> {
        if self.accepting == yes {
            return Ok(());
        }
        for (index, route) in self.routes.iter().enumerate() {
            if yes {
                epoll::add(
                    &self.epoll,
                    &route.listener,
                    epoll::EventData::new_u64(LISTENER | index as u64),
                    EventFlags::IN,
                )?;
            } else {
                epoll::delete(&self.epoll, &route.listener)?;
            }
        }
        self.accepting = yes;
        Ok(())
    }

    fn accept(&mut self, route: usize) -> Result<(), Errno> {
        for _ in 0..ACCEPTS_A_TURN {
            if self.open >= self.most {
                return self.accept_more(false);
            }
            let Some(listener) = self.routes.get(route) else {
                return Ok(());
            };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match accept_with(&listener.listener, flags) {
                Ok(socket) => self.admit(route, socket),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.resume = Some(Instant::now() + LONGEST_PAUSE);
                    return self.accept_more(false);
                }
                Err(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => return Err(Errno::BADF),
                // Else it is the error of one connection that is gone already
                // (man 2 accept, "Error handling").
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn admit(&mut self, route: usize, socket: OwnedFd) {
        // A dead peer is noticed after 90 s. These only fail on sockets that
        // are no TCP or are gone, which the first read tells.
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        let _ = sockopt::set_socket_keepalive(&socket, true);
        let _ = sockopt::set_tcp_keepidle(&socket, Duration::from_secs(60));
        let _ = sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(10));
        let _ = sockopt::set_tcp_keepcnt(&socket, 3);
        self.generation = (self.generation + 1) % GENERATIONS;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.links.push(None);
            self.links.len() - 1
        });
        let mut link = Link {
            generation: self.generation,
            route,
            ends: [End::default(), End::default()],
            flows: [Flow::default(), Flow::default()],
            dial: Some(Dial {
                ipv6: self.on_ipv6[route],
                second: false,
                give_up: Instant::now() + START_LIMIT,
                pause: FIRST_PAUSE,
                again: None,
            }),
            queued: false,
        };
        let watched = watch(&self.epoll, &socket, token(slot, OUTER, self.generation));
        link.ends[OUTER].socket = Some(socket);
        self.links[slot] = Some(link);
        self.open += 1;
        if watched.is_err() {
            self.close(slot, true);
        } else {
            self.dial(slot);
        }
    }

    /// Begins to connect to the program, or sees to another try.
    fn dial(&mut self, slot: usize) {
        loop {
            let Some(link) = self.links[slot].as_mut() else {
                return;
            };
            let (Some(dial), Some(route)) = (link.dial.as_mut(), self.routes.get(link.route))
            else {
                return self.close(slot, true);
            };
            dial.again = None;
            let tried = begin(dial.ipv6, route.port).and_then(|socket| {
                watch(&self.epoll, &socket, token(slot, INNER, link.generation))?;
                Ok(socket)
            });
            if let Ok(socket) = tried {
                link.ends[INNER] = End {
                    socket: Some(socket),
                    ..End::default()
                };
                return;
            }
            if !self.refused(slot) {
                return;
            }
        }
    }

    /// After a refusal: tells whether to try the other family at once. Else
    /// the next try is due later, or the client is refused as well.
    fn refused(&mut self, slot: usize) -> bool {
        let Some(link) = self.links[slot].as_mut() else {
            return false;
        };
        link.ends[INNER] = End::default();
        let Some(dial) = link.dial.as_mut() else {
            return false;
        };
        dial.ipv6 = !dial.ipv6;
        dial.second = !dial.second;
        if dial.second {
            return true;
        }
        let now = Instant::now();
        if now >= dial.give_up {
            self.close(slot, true);
        } else {
            let again = (now + dial.pause).min(dial.give_up);
            dial.again = Some(again);
            dial.pause = (dial.pause * 2).min(LONGEST_PAUSE);
            self.redial_at = Some(self.redial_at.map_or(again, |at| at.min(again)));
        }
        false
    }

    fn redial(&mut self) {
        let now = Instant::now();
        if self.redial_at.is_none_or(|at| now < at) {
            return;
        }
        self.redial_at = None;
        for slot in 0..self.links.len() {
            let again = self.links[slot]
                .as_ref()
                .and_then(|link| link.dial.as_ref()?.again);
            match again {
                Some(at) if now >= at => self.dial(slot),
                Some(at) => self.redial_at = Some(self.redial_at.map_or(at, |first| first.min(at))),
                None => {}
            }
        }
    }

    /// Takes note of what an event says; the work follows in [`Self::turn`].
    fn note(&mut self, token: u64, flags: EventFlags) {
        let (slot, side) = ((token as u32 >> 1) as usize, (token & 1) as usize);
        let Some(Some(link)) = self.links.get_mut(slot) else {
            return;
        };
        if u64::from(link.generation) != token >> 32 {
            return;
        }
        let over = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if link.dial.is_some() {
            if side == INNER {
                return self.dialed(slot);
            }
            if over {
                return self.close(slot, true);
            }
        }
        let end = &mut link.ends[side];
        end.readable |= over || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        end.writable |= over || flags.contains(EventFlags::OUT);
        end.ending |= over || flags.contains(EventFlags::RDHUP);
        end.closed |= over;
        if link.dial.is_none() && !link.queued {
            link.queued = true;
            self.ready.push_back(slot);
        }
    }

    /// The connection inside is made or refused.
    fn dialed(&mut self, slot: usize) {
        let Some(link) = self.links[slot].as_mut() else {
            return;
        };
        let Some(socket) = &link.ends[INNER].socket else {
            return;
        };
        if matches!(sockopt::socket_error(socket), Ok(Ok(()))) {
            if let Some(dial) = link.dial.take() {
                self.on_ipv6[link.route] = dial.ipv6;
            }
            link.ends[INNER].writable = true;
            // The event that told so may have told of data, too; a read finds out.
            link.ends[INNER].readable = true;
            link.queued = true;
            self.ready.push_back(slot);
        } else if self.refused(slot) {
            self.dial(slot);
        }
    }

    fn turn(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        link.queued = false;
        match link.turn(&mut self.buffer) {
            Turn::Idle => {}
            Turn::More => {
                link.queued = true;
                self.ready.push_back(slot);
            }
            Turn::Done => self.close(slot, false),
            Turn::Reset => self.close(slot, true),
        }
    }

    /// Ends a connection; with a reset where one side did not end it in order,
    /// so that the other does not take a torn answer for a whole one.
    fn close(&mut self, slot: usize, reset: bool) {
        let Some(link) = self.links[slot].take() else {
            return;
        };
        if reset {
            for socket in link.ends.iter().filter_map(|end| end.socket.as_ref()) {
                let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            }
        }
        self.free.push(slot);
        self.open -= 1;
    }
}

impl Link {
    fn turn(&mut self, buffer: &mut [u8]) -> Turn {
        let mut more = false;
        for from in [OUTER, INNER] {
            match self.flow(from, buffer) {
                Turn::More => more = true,
                Turn::Idle | Turn::Done => {}
                Turn::Reset => return Turn::Reset,
            }
        }
        if self.flows.iter().all(|flow| flow.shut) {
            return Turn::Done;
        }
        // Over in both directions, though we never ended ours: it was reset
        // after it had told its end, and no read or write is due to notice.
        let torn = |side: usize| {
            self.ends[side].closed && self.flows[side].ended && !self.flows[1 - side].shut
        };
        if torn(OUTER) || torn(INNER) {
            return Turn::Reset;
        }
        if more { Turn::More } else { Turn::Idle }
    }

    fn flow(&mut self, from: usize, buffer: &mut [u8]) -> Turn {
        let flow = &mut self.flows[from];
        let [outer, inner] = &mut self.ends;
        let (source, target) = if from == OUTER {
            (outer, inner)
        } else {
            (inner, outer)
        };
        let (Some(source_socket), Some(target_socket)) = (&source.socket, &target.socket) else {
            return Turn::Idle;
        };
        for _ in 0..READS_A_TURN {
            if flow.shut {
                return Turn::Idle;
            }
            if flow.ended && flow.pending.is_empty() {
                // Not connected any more: its own events tell.
                let _ = shutdown(target_socket, Shutdown::Write);
                flow.shut = true;
                return Turn::Idle;
            }
            if !target.writable {
                return Turn::Idle;
            }
            if !flow.pending.is_empty() {
                match send(
                    target_socket,
                    &flow.pending[flow.sent..],
                    SendFlags::NOSIGNAL,
                ) {
                    Ok(count) => flow.sent += count,
                    Err(Errno::AGAIN) => target.writable = false,
                    Err(Errno::INTR) => {}
                    Err(_) => return Turn::Reset,
                }
                if flow.sent == flow.pending.len() {
                    // Given back, so that idle connections hold no buffer.
                    *flow = Flow {
                        ended: flow.ended,
                        ..Flow::default()
                    };
                }
                continue;
            }
            if !source.readable {
                return Turn::Idle;
            }
            let count = match recv(source_socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => {
                    flow.ended = true;
                    continue;
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => {
                    source.readable = false;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(_) => return Turn::Reset,
            };
            if count < buffer.len() && !source.ending {
                // All was read; more makes a new event (man 7 epoll, Q9).
                source.readable = false;
            }
            let sent = match send(target_socket, &buffer[..count], SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => return Turn::Reset,
            };
            if sent < count {
                flow.pending = buffer[sent..count].to_vec();
                flow.sent = 0;
            }
        }
        Turn::More
    }
}

/// Begins to connect to the program on its loopback.
fn begin(ipv6: bool, port: u16) -> Result<OwnedFd, Errno> {
    let (family, address) = if ipv6 {
        (
            AddressFamily::INET6,
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        )
    } else {
        (
            AddressFamily::INET,
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        )
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd, token: u64) -> Result<(), Errno> {
    epoll::add(
        epoll,
        socket,
        epoll::EventData::new_u64(token),
        EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
    )
}

fn token(slot: usize, side: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | (slot as u64) << 1 | side as u64
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up to a millisecond, the resolution of older kernels: waking
    // early would spin.
    let duration = duration.max(if duration.is_zero() {
        Duration::ZERO
    } else {
        Duration::from_millis(1)
    });
    Timespec {
        tv_sec: duration.as_secs().min(3600) as i64,
        tv_nsec: duration.subsec_nanos().into(),
    }
}
