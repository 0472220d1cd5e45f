//! One client's connection: a request after the other, each passed on to its
//! service and answered from there. What is read is kept until it can be
//! written, and nothing more is read until then.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ounce_http::head::Framing;
use ounce_http::stream::Incoming;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::forward;
use super::head::{self, Ends};
use super::routes::Route;

/// Bytes that are kept of one direction.
const KEPT: usize = 64 << 10;
/// Rounds a body may go before other connections have their turn.
const ROUNDS_A_TURN: usize = 16;
/// How long a client may take with its head.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// How long a connection may be unused between two requests.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long nothing may come or go while a request is on its way.
const STILL_LIMIT: Duration = Duration::from_secs(60);
/// The same of a connection that has become something else.
const TUNNEL_LIMIT: Duration = Duration::from_secs(3600);
/// How long a request may wait for others of its service.
pub(super) const QUEUE_LIMIT: Duration = Duration::from_secs(10);

/// A socket with what is read from it and what is to be written to it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// Nothing more comes.
    ended: bool,
    /// Nothing more can be written.
    broken: bool,
    shut: bool,
    /// What it is watched for, as readable and writable.
    pub(super) watched: (bool, bool),
}

impl Stream {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            ended: false,
            broken: false,
            shut: false,
            watched: (true, false),
        }
    }

    fn left(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Whether something came, or the end did.
    fn read(&mut self, buffer: &mut [u8], room: bool) -> bool {
        let mut any = false;
        while room && !self.ended && self.input.len() < KEPT {
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => {
                    self.ended = true;
                    any = true;
                }
                Ok((_, count)) => {
                    self.input.extend_from_slice(&buffer[..count]);
                    any = true;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.ended = true;
                    self.broken = true;
                    any = true;
                }
            }
        }
        any
    }

    /// Whether something went.
    fn write(&mut self) -> bool {
        let mut any = false;
        while self.left() > 0 && !self.broken {
            match send(&self.socket, &self.output[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.sent += count;
                    any = true;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.broken = true,
            }
        }
        if self.broken || self.left() == 0 {
            self.sent = 0;
            // A connection that rests keeps no memory.
            match self.output.capacity() > KEPT {
                true => self.output = Vec::new(),
                false => self.output.clear(),
            }
        }
        any
    }

    fn shut(&mut self) {
        if !self.shut {
            self.shut = true;
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
    }
}

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A head is to come.
    Head,
    /// Its service has as many requests as it may.
    Queued,
    /// A request is on its way, and no answer yet.
    Asked,
    /// An answer is on its way.
    Answering,
    /// It is something else than HTTP by now.
    Tunnel,
    /// What is left is written, then it is closed.
    Closing,
}

/// How an answer is passed on.
#[derive(Debug, Clone, Copy)]
enum Body {
    Framed(Incoming),
    AtClose,
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for what it is watched for.
    Wait,
    /// It is over.
    Over,
}

/// Who answers a request.
pub(super) enum Found {
    /// This service.
    Service(Arc<Route>),
    /// We ourselves, with this status, text and further fields.
    Own(u16, String, &'static str),
}

/// One client's connection.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) client: Stream,
    pub(super) service: Option<Stream>,
    peer: IpAddr,
    stage: Stage,
    /// Of the request that is on its way.
    route: Option<Arc<Route>>,
    request: Incoming,
    /// Its head, as the service gets it.
    asked: Vec<u8>,
    method: Vec<u8>,
    keep_alive: bool,
    is_http11: bool,
    upgrades: bool,
    body: Body,
    /// When it has taken too long.
    pub(super) deadline: Instant,
    /// No further request is taken.
    pub(super) last: bool,
}

impl Exchange {
    pub(super) fn new(socket: OwnedFd, peer: IpAddr) -> Self {
        Self {
            client: Stream::new(socket),
            service: None,
            peer,
            stage: Stage::Head,
            route: None,
            request: Incoming::EMPTY,
            asked: Vec::new(),
            method: Vec::new(),
            keep_alive: false,
            is_http11: true,
            upgrades: false,
            body: Body::Framed(Incoming::EMPTY),
            deadline: Instant::now() + HEAD_LIMIT,
            last: false,
        }
    }

    /// Whether it waits for a place with its service.
    pub(super) fn queues_for(&self) -> Option<&Arc<Route>> {
        self.route.as_ref().filter(|_| self.stage == Stage::Queued)
    }

    /// Whether nothing of a request is there.
    pub(super) fn rests(&self) -> bool {
        self.stage == Stage::Head && self.client.input.is_empty() && self.client.left() == 0
    }

    /// Whether a service is asked that has not answered.
    pub(super) fn waits_for(&self) -> Option<&Arc<Route>> {
        self.route.as_ref().filter(|_| self.stage == Stage::Asked)
    }

    /// Goes on as far as it can.
    pub(super) fn turn(
        &mut self,
        buffer: &mut [u8],
        find: &mut dyn FnMut(&head::Request<'_>) -> Found,
        dial: &mut dyn FnMut(&Route) -> Option<OwnedFd>,
    ) -> Next {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let mut any = self.read(buffer);
            any |= match self.stage {
                Stage::Head => self.head(find),
                Stage::Queued => self.enter(dial),
                Stage::Asked | Stage::Answering => self.pass(),
                Stage::Tunnel => self.tunnel(),
                Stage::Closing => false,
            };
            any |= self.client.write();
            if let Some(service) = &mut self.service {
                any |= service.write();
            }
            if any {
                self.postpone();
            }
            if self.client.broken
                || self.stage == Stage::Closing && self.client.left() == 0
                || self.is_done_tunnel()
            {
                return Next::Over;
            }
            // Others want their turn: what is left is told of once more.
            let streams = matches!(self.stage, Stage::Answering | Stage::Tunnel);
            if !any || streams && rounds >= ROUNDS_A_TURN {
                return Next::Wait;
            }
        }
    }

    fn postpone(&mut self) {
        let limit = match self.stage {
            // From the first byte on it is one head, however slowly it comes.
            Stage::Head if !self.client.input.is_empty() => return,
            Stage::Head => IDLE_LIMIT,
            Stage::Queued => return,
            Stage::Asked | Stage::Answering => STILL_LIMIT,
            Stage::Tunnel => TUNNEL_LIMIT,
            Stage::Closing => HEAD_LIMIT,
        };
        self.deadline = Instant::now() + limit;
    }

    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let (Some(service), true) = (
            &mut self.service,
            matches!(self.stage, Stage::Asked | Stage::Answering | Stage::Tunnel),
        ) else {
            let before = self.client.input.is_empty();
            let any = self.stage != Stage::Closing && self.client.read(buffer, true);
            if any && before && self.stage == Stage::Head {
                self.deadline = Instant::now() + HEAD_LIMIT;
            }
            return any;
        };
        let mut any = self.client.read(buffer, service.left() < KEPT);
        any |= service.read(buffer, self.client.left() < KEPT);
        any
    }

    /// What each socket is to be watched for.
    pub(super) fn wants(&self) -> [(bool, bool); 2] {
        let room = |of: &Stream, to: Option<&Stream>| {
            !of.ended && of.input.len() < KEPT && to.is_none_or(|to| to.left() < KEPT)
        };
        let client = (
            self.stage != Stage::Closing && room(&self.client, self.service.as_ref()),
            self.client.left() > 0,
        );
        let service = self.service.as_ref().map_or((false, false), |service| {
            (room(service, Some(&self.client)), service.left() > 0)
        });
        [client, service]
    }

    fn head(&mut self, find: &mut dyn FnMut(&head::Request<'_>) -> Found) -> bool {
        if self.last && self.client.input.is_empty() {
            self.stage = Stage::Closing;
            return true;
        }
        let input = std::mem::take(&mut self.client.input);
        let taken = match head::request(&input) {
            Ok(Some(request)) => {
                let found = find(&request);
                self.take(&request, found);
                request.length
            }
            Ok(None) => {
                let ended = self.client.ended;
                self.client.input = input;
                if ended {
                    self.stage = Stage::Closing;
                }
                return ended;
            }
            Err(head::Bad(status)) => {
                self.keep_alive = false;
                self.refuse(status, "this is no request that can be understood\n", "");
                input.len()
            }
        };
        self.client.input = input;
        self.client.input.drain(..taken);
        true
    }

    fn take(&mut self, request: &head::Request<'_>, found: Found) {
        self.method = request.method.to_owned();
        self.is_http11 = request.is_http11;
        self.keep_alive = request.keep_alive && !self.last;
        self.upgrades = request.upgrade.is_some();
        // Bodies are counted, not bounded: that is for the service to do.
        self.request = Incoming::new(request.framing, u64::MAX).unwrap_or(Incoming::EMPTY);
        match found {
            Found::Own(status, text, more) => {
                // What is left of its body is not read.
                self.keep_alive &= self.request.is_end();
                self.refuse(status, &text, more);
            }
            Found::Service(route) => {
                self.asked = forward::request(request, self.peer);
                self.route = Some(route);
                self.stage = Stage::Queued;
                self.deadline = Instant::now() + QUEUE_LIMIT;
            }
        }
    }

    /// Answers without a service.
    fn refuse(&mut self, status: u16, text: &str, more: &str) {
        let is_head = self.method == b"HEAD";
        let bytes = forward::own(status, text, more, self.keep_alive, is_head);
        self.client.output.extend(bytes);
        self.finish();
    }

    /// The answer is written; what comes next is another request, or the end.
    fn finish(&mut self) {
        self.leave();
        self.service = None;
        if self.client.input.is_empty() {
            // A connection that rests keeps no memory.
            self.client.input = Vec::new();
        }
        self.stage = match self.keep_alive && !self.last {
            true => Stage::Head,
            false => Stage::Closing,
        };
    }

    fn leave(&mut self) {
        if let Some(route) = self.route.take()
            && self.stage != Stage::Queued
        {
            route.leave();
        }
    }

    /// Answers that the service did not, unless it has begun to.
    pub(super) fn fail(&mut self, status: u16, text: &str, more: &str) {
        if let Some(route) = &self.route {
            route.counters.answered(status);
        }
        // The rest of the request is not read.
        self.keep_alive = false;
        match self.stage {
            Stage::Queued | Stage::Asked => self.refuse(status, text, more),
            _ => {
                self.client.broken = true;
                self.finish();
            }
        }
    }

    /// It has taken too long.
    pub(super) fn time_out(&mut self) -> Next {
        match self.stage {
            Stage::Head if !self.client.input.is_empty() => {
                self.keep_alive = false;
                self.refuse(408, "the request took too long to come\n", "");
            }
            Stage::Queued => self.fail(
                503,
                "the service has as many requests as it may\n",
                "Retry-After: 1\r\n",
            ),
            Stage::Asked => self.fail(504, "the service does not answer\n", ""),
            _ => return Next::Over,
        }
        self.client.write();
        self.deadline = Instant::now() + HEAD_LIMIT;
        match self.client.broken || self.client.left() == 0 {
            true => Next::Over,
            false => Next::Wait,
        }
    }

    fn enter(&mut self, dial: &mut dyn FnMut(&Route) -> Option<OwnedFd>) -> bool {
        let Some(route) = self.route.clone() else {
            self.stage = Stage::Closing;
            return true;
        };
        if !route.enter() {
            return false;
        }
        self.stage = Stage::Asked;
        match dial(&route) {
            Some(socket) => {
                let mut service = Stream::new(socket);
                service.output = std::mem::take(&mut self.asked);
                // Not watched yet.
                service.watched = (false, false);
                self.service = Some(service);
            }
            None => self.fail(502, "the service cannot be reached\n", ""),
        }
        true
    }

    /// Passes on what has come of request and answer.
    fn pass(&mut self) -> bool {
        let sent = self.pass_request();
        let answered = match self.stage {
            Stage::Asked => self.pass_head(),
            _ => self.pass_body(),
        };
        match (sent, answered) {
            (Ok(sent), Ok(answered)) => sent || answered,
            (Err(status), _) => {
                self.fail(
                    status,
                    "the request's body is not as it was announced\n",
                    "",
                );
                true
            }
            (_, Err(status)) => {
                self.fail(
                    status,
                    "the service gave no answer that can be passed on\n",
                    "",
                );
                true
            }
        }
    }

    fn pass_request(&mut self) -> Result<bool, u16> {
        let Some(service) = &mut self.service else {
            return Ok(false);
        };
        let mut any = false;
        while !self.request.is_end() && service.left() < KEPT {
            let taken = self
                .request
                .take(&self.client.input)
                .map_err(|status| status.code())?;
            let consumed = taken.consumed;
            if consumed == 0 {
                break;
            }
            // What nobody takes is read all the same, up to the answer's end.
            if !service.broken {
                service
                    .output
                    .extend_from_slice(&self.client.input[..consumed]);
            }
            self.client.input.drain(..consumed);
            any = true;
        }
        // A client that went away in the middle has no answer to wait for.
        if self.client.ended && !self.request.is_end() && !any {
            self.client.broken = true;
        }
        Ok(any)
    }

    fn pass_head(&mut self) -> Result<bool, u16> {
        let Some(service) = &mut self.service else {
            return Ok(false);
        };
        let input = std::mem::take(&mut service.input);
        let answer = match head::answer(&input, &self.method) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let ended = service.ended;
                service.input = input;
                return if ended { Err(502) } else { Ok(false) };
            }
            Err(head::Bad(status)) => return Err(status),
        };
        let length = answer.length;
        match answer.status {
            101 if self.upgrades => {
                self.client.output.extend(forward::answer(&answer, true));
                self.stage = Stage::Tunnel;
            }
            101 => return Err(502),
            // One for the meantime; an old client knows none.
            100..200 => {
                if self.is_http11 {
                    self.client.output.extend(forward::answer(&answer, true));
                }
            }
            status => {
                self.body = match answer.ends {
                    Ends::Framed(Framing::Chunked) if !self.is_http11 => return Err(502),
                    Ends::Framed(framing) => {
                        Body::Framed(Incoming::new(framing, u64::MAX).map_err(|_| 502_u16)?)
                    }
                    Ends::AtClose => {
                        self.keep_alive = false;
                        Body::AtClose
                    }
                };
                if let Some(route) = &self.route {
                    route.counters.answered(status);
                }
                // A body that is still to come would have to be read for nothing.
                self.keep_alive &= self.request.is_end() && !self.last;
                let bytes = forward::answer(&answer, self.keep_alive);
                self.client.output.extend(bytes);
                self.stage = Stage::Answering;
            }
        }
        service.input = input;
        service.input.drain(..length);
        if self.stage == Stage::Answering {
            self.pass_body()?;
        }
        Ok(true)
    }

    fn pass_body(&mut self) -> Result<bool, u16> {
        let Some(service) = &mut self.service else {
            return Ok(false);
        };
        let mut any = false;
        let done = match &mut self.body {
            Body::Framed(incoming) => {
                while !incoming.is_end() && self.client.left() < KEPT {
                    let taken = incoming.take(&service.input).map_err(|_| 502_u16)?;
                    let consumed = taken.consumed;
                    if consumed == 0 {
                        break;
                    }
                    self.client
                        .output
                        .extend_from_slice(&service.input[..consumed]);
                    service.input.drain(..consumed);
                    any = true;
                }
                if !incoming.is_end() && service.ended && !any && self.client.left() < KEPT {
                    // Cut off: the client must not take it for whole.
                    return Err(502);
                }
                incoming.is_end()
            }
            Body::AtClose => {
                any = !service.input.is_empty();
                self.client.output.append(&mut service.input);
                if service.broken {
                    return Err(502);
                }
                service.ended
            }
        };
        if done && self.stage == Stage::Answering {
            self.finish();
            return Ok(true);
        }
        Ok(any)
    }

    fn tunnel(&mut self) -> bool {
        let Some(service) = &mut self.service else {
            return false;
        };
        let any = !self.client.input.is_empty() || !service.input.is_empty();
        service.output.append(&mut self.client.input);
        self.client.output.append(&mut service.input);
        if self.client.ended && service.left() == 0 {
            service.shut();
        }
        if service.ended && self.client.left() == 0 {
            self.client.shut();
        }
        any
    }

    fn is_done_tunnel(&self) -> bool {
        let Some(service) = self
            .service
            .as_ref()
            .filter(|_| self.stage == Stage::Tunnel)
        else {
            return false;
        };
        let both = self.client.ended && service.ended;
        service.broken || both && self.client.left() == 0 && service.left() == 0
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.leave();
    }
}
