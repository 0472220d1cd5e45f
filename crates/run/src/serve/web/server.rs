//! The thread's loop: sockets, connections, and who answers which request.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, acceptfrom_with, connect, socket_with, sockopt,
};

use super::control::{Command, Control};
use super::exchange::{Exchange, Found, Next};
use super::head::{Request, is_same};
use super::routes::{Route, Routes};
use crate::serve::metrics::Board;

/// Connections at a time; more wait in the listeners' queues.
const MOST: usize = 8192;
/// Connections taken from one listener before the others have their turn.
const ACCEPTS_A_TURN: usize = 64;
/// Between two looks at who has taken too long.
const SWEEP: Duration = Duration::from_millis(100);
/// How long requests may go on after the end was told.
const DRAIN: Duration = Duration::from_secs(10);

const BELL: u64 = 1 << 63;
const FRONT: u64 = 1 << 62;

/// A socket that listens, and for what.
struct Front {
    listener: OwnedFd,
    /// The address whose routes hold; none for metrics.
    address: Option<SocketAddr>,
}

struct Link {
    generation: u32,
    /// As [`Front::address`].
    front: Option<SocketAddr>,
    exchange: Exchange,
}

pub(super) struct Server {
    epoll: OwnedFd,
    control: Arc<Control>,
    board: Board,
    routes: Routes,
    fronts: HashMap<u64, Front>,
    next_front: u64,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    /// Who waits for a place with a service, first come first served.
    queue: VecDeque<(usize, u32)>,
    generation: u32,
    open: usize,
    accepting: bool,
    next_sweep: Option<Instant>,
    /// When to go, whatever is on its way.
    end: Option<Instant>,
    buffer: Vec<u8>,
}

impl Server {
    pub(super) fn new(control: Arc<Control>, board: Board) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = epoll::EventData::new_u64(BELL);
        epoll::add(&epoll, &control.bell, bell, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            control,
            board,
            routes: Routes::new(),
            fronts: HashMap::new(),
            next_front: 0,
            links: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            generation: 0,
            open: 0,
            accepting: true,
            next_sweep: None,
            end: None,
            buffer: Vec::new(),
        })
    }

    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        loop {
            let now = Instant::now();
            if let Some(end) = self.end
                && (self.open == 0 || now >= end)
            {
                return;
            }
            let left = self
                .next_sweep
                .map(|sweep| sweep.saturating_duration_since(now) + Duration::from_micros(50));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            events.clear();
            let space = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, space, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                // Nothing that this thread does can lead to any other.
                Err(_) => return,
            }
            for event in &events {
                let token = event.data.u64();
                if token & (BELL | FRONT) == 0 {
                    self.known(token, event.flags);
                }
            }
            // Newcomers after the known ones, so that a slot which became free
            // in this batch has no event of its past left in it.
            for event in &events {
                match event.data.u64() {
                    BELL => self.obey(),
                    token if token & FRONT != 0 => self.accept(token & !FRONT),
                    _ => {}
                }
            }
            self.let_in();
            if self.next_sweep.is_some_and(|sweep| sweep <= Instant::now()) {
                self.sweep();
            }
        }
    }

    fn obey(&mut self) {
        let control = Arc::clone(&self.control);
        for command in control.take() {
            match command {
                Command::Front(address, listener) => self.listen(Some(address), listener),
                Command::Metrics(listener) => self.listen(None, listener),
                Command::Routes(routes) => self.routes = routes,
                Command::Close(address) => {
                    self.fronts
                        .retain(|_, front| front.address != Some(address));
                }
                Command::End => {
                    self.end = self.end.or(Some(Instant::now() + DRAIN));
                    self.fronts.clear();
                    self.next_sweep = Some(Instant::now());
                    for index in 0..self.links.len() {
                        if let Some(link) = &mut self.links[index] {
                            link.exchange.last = true;
                            if link.exchange.rests() {
                                self.close(index);
                            }
                        }
                    }
                }
            }
        }
    }

    fn listen(&mut self, address: Option<SocketAddr>, listener: OwnedFd) {
        let _ = rustix::io::ioctl_fionbio(&listener, true);
        let id = self.next_front;
        self.next_front += 1;
        let flags = match self.accepting {
            true => epoll::EventFlags::IN,
            false => epoll::EventFlags::empty(),
        };
        let token = epoll::EventData::new_u64(FRONT | id);
        if epoll::add(&self.epoll, &listener, token, flags).is_ok() {
            self.fronts.insert(id, Front { listener, address });
        }
    }

    /// Whether newcomers are taken.
    fn accept_more(&mut self, yes: bool) {
        if self.accepting == yes {
            return;
        }
        self.accepting = yes;
        let flags = match yes {
            true => epoll::EventFlags::IN,
            false => epoll::EventFlags::empty(),
        };
        for (id, front) in &self.fronts {
            let token = epoll::EventData::new_u64(FRONT | id);
            let _ = epoll::modify(&self.epoll, &front.listener, token, flags);
        }
    }

    fn accept(&mut self, id: u64) {
        for _ in 0..ACCEPTS_A_TURN {
            if self.open >= MOST {
                return self.accept_more(false);
            }
            let Some(front) = self.fronts.get(&id) else {
                return;
            };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(&front.listener, flags) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
                    self.admit(front.address, socket, peer);
                }
                Err(Errno::AGAIN) => return,
                // Until one of ours has ended.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.next_sweep = Some(Instant::now() + SWEEP);
                    return self.accept_more(false);
                }
                Err(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => return,
                // The error of one connection that is gone already.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, front: Option<SocketAddr>, socket: OwnedFd, peer: IpAddr) {
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        self.generation = (self.generation + 1) % (1 << 29);
        let index = self.free.pop().unwrap_or_else(|| {
            self.links.push(None);
            self.links.len() - 1
        });
        let token = token(index, 0, self.generation);
        if epoll::add(&self.epoll, &socket, token, epoll::EventFlags::IN).is_err() {
            self.free.push(index);
            return;
        }
        self.links[index] = Some(Link {
            generation: self.generation,
            front,
            exchange: Exchange::new(socket, peer),
        });
        self.open += 1;
        let sweep = Instant::now() + SWEEP;
        self.next_sweep = Some(self.next_sweep.map_or(sweep, |next| next.min(sweep)));
        self.turn(index);
    }

    fn known(&mut self, token: u64, flags: epoll::EventFlags) {
        let index = (token & 0xffff_ffff) as usize >> 1;
        let generation = (token >> 32) as u32;
        let is_client = token & 1 == 0;
        match self.links.get(index) {
            Some(Some(link)) if link.generation == generation => {}
            _ => return,
        }
        // A client that has gone both ways wants no answer.
        let gone = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        match is_client && flags.intersects(gone) {
            true => self.close(index),
            false => self.turn(index),
        }
    }

    fn turn(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let (routes, board) = (&self.routes, &self.board);
        let front = link.front;
        self.buffer.resize(32 << 10, 0);
        let next = link.exchange.turn(
            &mut self.buffer,
            &mut |request| match front {
                Some(address) => find(routes.get(&address), request),
                None => metrics(board, request),
            },
            &mut |route| dial(route.address),
        );
        let waiter = (index, link.generation);
        if link.exchange.queues_for().is_some() && !self.queue.contains(&waiter) {
            self.queue.push_back(waiter);
        }
        match next {
            Next::Over => self.close(index),
            Next::Wait => self.watch(index),
        }
    }

    /// Lets those go on whose service has a place again.
    fn let_in(&mut self) {
        for _ in 0..self.queue.len() {
            let Some((index, generation)) = self.queue.pop_front() else {
                return;
            };
            let link = self.links.get(index).and_then(Option::as_ref);
            let link = link.filter(|link| link.generation == generation);
            match link.and_then(|link| link.exchange.queues_for()) {
                None => {}
                Some(route) if route.is_free() => self.turn(index),
                Some(_) => self.queue.push_back((index, generation)),
            }
        }
    }

    /// Has the kernel tell what the connection waits for, and nothing else.
    fn watch(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let generation = link.generation;
        let wants = link.exchange.wants();
        let exchange = &mut link.exchange;
        let streams = [Some(&mut exchange.client), exchange.service.as_mut()];
        for ((side, stream), wanted) in (0..).zip(streams).zip(wants) {
            let Some(stream) = stream else { continue };
            let mut flags = epoll::EventFlags::empty();
            flags.set(epoll::EventFlags::IN, wanted.0);
            flags.set(epoll::EventFlags::OUT, wanted.1);
            let token = token(index, side, generation);
            // The service's socket comes unknown, by neither flag.
            if side == 1 && stream.watched == (false, false) {
                let added = epoll::add(&self.epoll, &stream.socket, token, flags);
                if added == Err(Errno::EXIST) {
                    let _ = epoll::modify(&self.epoll, &stream.socket, token, flags);
                }
            } else if stream.watched != wanted {
                let _ = epoll::modify(&self.epoll, &stream.socket, token, flags);
            }
            stream.watched = wanted;
        }
    }

    fn close(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::take) else {
            return;
        };
        drop(link);
        self.free.push(index);
        self.open -= 1;
        if self.end.is_none() && self.open < MOST {
            self.accept_more(true);
        }
    }

    /// Ends what has taken too long.
    fn sweep(&mut self) {
        let now = Instant::now();
        for index in 0..self.links.len() {
            let Some(link) = &mut self.links[index] else {
                continue;
            };
            let exchange = &mut link.exchange;
            let pausing = |route: &Arc<Route>| route.counters.pausing_ms.load(Ordering::Relaxed);
            let is_failing = exchange.waits_for().map_or(0, pausing) > 0;
            if exchange.deadline <= now {
                match exchange.time_out() {
                    Next::Over => self.close(index),
                    Next::Wait => self.watch(index),
                }
            } else if is_failing {
                exchange.fail(503, FAILING, "Retry-After: 1\r\n");
                self.turn(index);
            } else if exchange.last && exchange.rests() {
                self.turn(index);
            }
        }
        let any = self.open > 0 || !self.accepting;
        self.next_sweep = any.then(|| now + SWEEP);
        if self.end.is_none() && self.open < MOST {
            self.accept_more(true);
        }
        if self.open == 0 {
            // At rest it keeps nothing.
            self.buffer = Vec::new();
            self.links = Vec::new();
            self.free = Vec::new();
        }
    }
}

const FAILING: &str = "the service fails to start, and is tried again\n";

fn token(index: usize, side: u64, generation: u32) -> epoll::EventData {
    epoll::EventData::new_u64(u64::from(generation) << 32 | (index as u64) << 1 | side)
}

/// Who answers a request at an address.
fn find(routes: Option<&Vec<Arc<Route>>>, request: &Request<'_>) -> Found {
    let mut path = request.target.split(|byte| *byte == b'?');
    let path = path.next().unwrap_or_default();
    if has_dots(path) {
        let text = "a path with dot segments is not routed\n".to_owned();
        return Found::Own(400, text, "");
    }
    let fits = routes.into_iter().flatten().filter_map(|route| {
        let fit = route.place.fits(&request.host, path)?;
        Some((fit, route))
    });
    let Some((_, route)) = fits.max_by_key(|(fit, _)| *fit) else {
        return Found::Own(404, "no service has this host and path\n".to_owned(), "");
    };
    match route.counters.pausing_ms.load(Ordering::Relaxed) {
        0 => Found::Service(Arc::clone(route)),
        pause => {
            route.counters.answered(503);
            let more = match pause {
                0..=1_500 => "Retry-After: 1\r\n",
                1_501..=6_000 => "Retry-After: 5\r\n",
                _ => "Retry-After: 30\r\n",
            };
            Found::Own(503, FAILING.to_owned(), more)
        }
    }
}

/// Whether a service might take the path for another one than it is routed by
/// (RFC 3986 section 5.2.4).
fn has_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| {
        let mut rest = segment;
        let mut dots = 0;
        while !rest.is_empty() {
            rest = match rest {
                [b'.', after @ ..] | [b'%', b'2', b'e' | b'E', after @ ..] => after,
                _ => return false,
            };
            dots += 1;
        }
        (1..=2).contains(&dots)
    })
}

fn metrics(board: &Board, request: &Request<'_>) -> Found {
    let path = request.target.split(|byte| *byte == b'?').next();
    if path != Some(b"/metrics") {
        return Found::Own(404, "metrics are at /metrics\n".to_owned(), "");
    }
    if !is_same(request.method, "GET") && !is_same(request.method, "HEAD") {
        return Found::Own(
            405,
            "only GET and HEAD\n".to_owned(),
            "Allow: GET, HEAD\r\n",
        );
    }
    let kind = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
    Found::Own(200, board.text(), kind)
}

/// A connection to a service; it is there at once, since its socket listens
/// whether a container runs or not.
fn dial(address: SocketAddr) -> Option<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).ok()?;
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Some(socket),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_mean_others_are_known() {
        for path in ["/..", "/a/../b", "/./a", "/%2e%2E/a", "/.%2e", "/a/."] {
            assert!(has_dots(path.as_bytes()), "{path}");
        }
        for path in ["/", "/a..b", "/...", "/.well-known/x", "/a/%2fb", "*"] {
            assert!(!has_dots(path.as_bytes()), "{path}");
        }
    }
}
