//! A table of routes on the event loop: from received bytes to a handler and
//! back to bytes to send. `/healthz` and `OPTIONS *` are answered here.

use crate::engine::{Batch, Handler, Overdue, Step};
use crate::streams::{OUTPUT_BYTES, Streams};
use ounce_http::connection;
use ounce_http::date::{DATE_BYTES, date_field};
use ounce_http::head::{Framing, Head, Limits, Stop};
use ounce_http::method::{Method, Methods};
use ounce_http::path;
use ounce_http::response::{Manner, Response};
use ounce_http::route::{self, App, Body, Found, Service};
use ounce_http::status::Status;
use ounce_http::stream::{Incoming, Outgoing};
use ounce_http::utf8;
use ounce_linux::bare::{self, Fd, PEEK, TAKE, errno};

/// The longest body that a handler is given whole.
pub const MAX_BODY_BYTES: usize = 15_360;

/// What a request may be: with a body of [`MAX_BODY_BYTES`] it fits in what the
/// loop looks at, 24 KB.
const LIMITS: Limits = Limits {
    head_bytes: 8_192,
    body_bytes: MAX_BODY_BYTES,
};
/// The path and the query, decoded.
const SCRATCH_BYTES: usize = LIMITS.head_bytes;
/// What the loop needs: a request, the answers before it, its answer, and the
/// path behind that.
pub(crate) const BUFFER_BYTES: usize = 24_576 + 4_096 + OUTPUT_BYTES + SCRATCH_BYTES;

/// A piece of a streamed answer and what frames it.
const PIECE_BYTES: usize = 8_192;
/// Pieces of one stream before others get their turn.
const TURNS: u32 = 16;

/// What the loop asks.
pub(crate) struct Running<'s, S> {
    app: App<'s, S>,
    date: [u8; DATE_BYTES],
    streams: &'static mut Streams,
}

/// What came of a request.
struct Turn {
    /// Its bytes, or all where what follows is not read.
    consumed: usize,
    /// What follows is not read.
    is_refused: bool,
    /// Its body is still to come.
    is_partial: bool,
    /// The client waits to be asked for it.
    is_asked: bool,
    /// Who answered.
    row: usize,
    /// Who receives the body.
    stream: Option<u16>,
}

/// No row answers.
const NO_ROW: usize = usize::MAX;
/// A second try is welcome.
const BUSY: &str = "Too many are served at once.";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl<'s, S: Service> Running<'s, S> {
    #[inline(never)]
    pub(crate) fn new(app: App<'s, S>, streams: &'static mut Streams) -> Self {
        Self {
            app,
            date: [0; DATE_BYTES],
            streams,
        }
    }

    /// Answers a request whose head is whole, as far as its body is there.
    #[inline(never)]
    fn request(
        &mut self,
        fd: Fd,
        head: &Head<'_>,
        rest: &mut [u8],
        scratch: &mut [u8],
        response: &mut Response<'_>,
        turn: &mut Turn,
    ) -> Result<(), Status> {
        let take = |turn: &mut Turn, wire_length| {
            turn.consumed = head.length + wire_length;
            turn.is_refused = false;
        };
        if head.framing == Framing::Length(0) {
            // The next request follows at once, whatever the answer.
            take(turn, 0);
        }
        if head.path == b"*" {
            // RFC 9110 section 9.3.7: asks about the server as a whole.
            response.status(Status::NoContent);
            return Ok(());
        }
        let (place, scratch) = scratch
            .split_at_mut_checked(head.path.len())
            .unwrap_or_default();
        let path = utf8(path::decode(head.path, place)?).ok_or(Status::BadRequest)?;
        // Whatever the rows say.
        let is_health = path == "/healthz";
        let found = if is_health {
            Found::None(Methods::GET_HEAD)
        } else {
            self.app.find(head.method, path)
        };
        let (row, max_bytes) = match found {
            Found::Answers(row, max_bytes) => (row, max_bytes),
            Found::Receives(row, max_bytes) if App::<S>::RECEIVES => {
                let incoming = Incoming::new(head.framing, max_bytes)?;
                let Some((number, stream)) = self.streams.take(fd) else {
                    busy(response);
                    return Ok(());
                };
                turn.is_asked = head.expects_continue && rest.is_empty() && !incoming.is_end();
                stream.incoming = incoming;
                stream.row = row;
                stream.is_incoming = true;
                stream.is_http11 = head.is_http11;
                stream.closes = !head.keep_alive;
                let place = number.into();
                if self.app.begin(row, place, head, path, scratch, response) {
                    take(turn, 0);
                    turn.stream = Some(number);
                } else {
                    self.streams.free(number);
                }
                return Ok(());
            }
            _ => (NO_ROW, u64::MAX),
        };
        let max_bytes = max_bytes.min(MAX_BODY_BYTES as u64) as usize;
        match connection::body(head, rest, max_bytes) {
            Ok(body) => {
                take(turn, body.wire_length);
                turn.row = row;
                let body = rest.get_mut(..body.length).unwrap_or_default();
                self.app.answer(row, head, path, body, scratch, response);
            }
            // Nobody needs it: then the connection ends with the answer.
            Err(_) if row == NO_ROW => {}
            Err(Stop::Refuse(status)) => return Err(status),
            Err(Stop::Partial) => {
                turn.is_partial = true;
                turn.is_asked = head.expects_continue && rest.is_empty();
            }
        }
        if let Found::None(allow) = found {
            if is_health && matches!(head.method, Method::Get | Method::Head) {
                response.text("ok\n");
            } else {
                route::refuse(head.method, allow, response);
            }
        }
        Ok(())
    }

    /// Takes in what has come of a body.
    fn take_in(&mut self, fd: Fd, number: u16, input: &mut [u8]) -> Step {
        let Some(stream) = self.streams.get(number) else {
            return Step::Ends;
        };
        let mut received = 0;
        if !stream.incoming.is_end() {
            received = match bare::receive(fd, input, PEEK) {
                count @ 1.. => count as usize,
                error if error == -(errno::EAGAIN as isize) => return Step::Waits,
                _ => return Step::Ends,
            };
        }
        let mut at = 0;
        let row = stream.row;
        let (room, _) = stream.bytes.split_at_mut(OUTPUT_BYTES);
        let mut response = Response::new(room);
        response.set_http11(stream.is_http11);
        let is_answered = loop {
            let rest = input.get(at..received).unwrap_or_default();
            match stream.incoming.take(rest) {
                Err(status) => {
                    self.app
                        .receive(row, number as usize, Body::Breaks, &mut response);
                    response.refuse(status);
                    stream.closes = true;
                    break true;
                }
                Ok(taken) => {
                    at += taken.consumed;
                    let mut goes_on = true;
                    if !taken.content.is_empty() {
                        let piece = Body::Piece(taken.content);
                        goes_on = self.app.receive(row, number as usize, piece, &mut response);
                        // The rest of it will not be read.
                        stream.closes |= !goes_on;
                    }
                    if goes_on && taken.is_end {
                        self.app
                            .receive(row, number as usize, Body::Ends, &mut response);
                    }
                    if !goes_on || taken.is_end {
                        break true;
                    }
                    if taken.consumed == 0 {
                        break false;
                    }
                }
            }
        };
        let mut length = 0;
        if is_answered {
            stream.closes |= response.closes();
            length = response.finish(&Manner {
                date: &self.date,
                is_head: false,
                is_http11: stream.is_http11,
                closes: stream.closes,
            });
            stream.outgoing = response.outgoing().unwrap_or(Outgoing::EMPTY);
            stream.is_incoming = false;
        }
        (stream.start, stream.end) = (0, length);
        stream.progress(at);
        bare::receive(fd, input.get_mut(..at).unwrap_or_default(), TAKE);
        Step::Again
    }

    /// Sends what is there to be sent, or has more of it written.
    fn put_out(&mut self, fd: Fd, number: u16) -> Step {
        let Some(stream) = self.streams.get(number) else {
            return Step::Ends;
        };
        let rest = stream.bytes.get(stream.start..stream.end);
        let rest = rest.unwrap_or_default();
        if !rest.is_empty() {
            return match bare::send(fd, rest, false) {
                count @ 1.. => {
                    stream.start += count as usize;
                    stream.progress(count as usize);
                    Step::Again
                }
                error if error == -(errno::EAGAIN as isize) => Step::Waits,
                _ => Step::Ends,
            };
        }
        if stream.outgoing.is_done() {
            let closes = stream.closes;
            self.streams.free(number);
            return if closes { Step::Closes } else { Step::Done };
        }
        let row = stream.row;
        let place = stream.bytes.get_mut(..PIECE_BYTES).unwrap_or_default();
        let app = &mut self.app;
        let filled = stream
            .outgoing
            .fill(place, &mut |at, piece| app.piece(row, at, piece));
        match filled {
            Ok(range) => {
                (stream.start, stream.end) = (range.start, range.end);
                Step::Again
            }
            Err(_) => Step::Ends,
        }
    }
}

#[inline(never)]
fn busy(response: &mut Response<'_>) {
    response.field("Retry-After", b"1");
    response.problem(Status::ServiceUnavailable, BUSY);
}

impl<S: Service> Handler for Running<'_, S> {
    const STREAMS: bool = App::<S>::RECEIVES || App::<S>::STREAMS;
    const FILES: bool = false;

    #[inline(never)]
    fn answer(&mut self, peer: Fd, bytes: &mut [u8], is_full: bool, batch: &mut Batch<'_>) -> bool {
        let length = bytes.len();
        let start = batch.writer.written();
        let (mut is_head, mut is_http11, mut closes) = (false, true, true);
        let room = batch.writer.rest();
        let (out, scratch) = room.split_at_mut_checked(OUTPUT_BYTES).unwrap_or_default();
        let mut response = Response::new(out);
        let mut turn = Turn {
            consumed: length,
            is_refused: true,
            is_partial: false,
            is_asked: false,
            row: NO_ROW,
            stream: None,
        };
        let (head_bytes, rest) = connection::split(bytes);
        let mut head = Head::new();
        let mut refused = match head.read(head_bytes, &LIMITS) {
            Ok(()) => {
                closes = !head.keep_alive;
                is_head = head.method == Method::Head;
                is_http11 = head.is_http11;
                self.request(peer, &head, rest, scratch, &mut response, &mut turn)
            }
            Err(Stop::Refuse(status)) => Err(status),
            Err(Stop::Partial) if is_full => Err(Status::RequestHeaderFieldsTooLarge),
            Err(Stop::Partial) => return false,
        };
        if turn.is_partial && is_full {
            refused = Err(Status::ContentTooLarge);
        } else if turn.is_partial || App::<S>::RECEIVES && turn.stream.is_some() {
            if turn.is_asked {
                batch.writer.put(CONTINUE);
            }
            batch.stream = turn.stream;
            batch.consumed = turn.consumed;
            return !turn.is_partial;
        }
        if let Err(status) = refused {
            response.refuse(status);
        }
        closes |=
            turn.is_refused || response.closes() || batch.is_stopping && turn.consumed == length;
        let manner = Manner {
            date: &self.date,
            is_head,
            is_http11,
            closes,
        };
        let mut written = response.finish(&manner);
        let mut stream = None;
        if Self::STREAMS
            && let Some(outgoing) = response.outgoing()
            && !is_head
        {
            if let Some((number, place)) = self.streams.take(peer) {
                place.outgoing = outgoing;
                place.row = turn.row;
                place.closes = closes;
                stream = Some(number);
            } else {
                busy(&mut response);
                written = response.finish(&manner);
            }
        }
        batch.writer.go_to(start + written);
        batch.stream = stream;
        batch.consumed = turn.consumed;
        batch.closes = closes;
        batch.is_refused = turn.is_refused;
        true
    }

    fn refuse(&self, status: Status, batch: &mut Batch<'_>) {
        let start = batch.writer.written();
        let mut response = Response::new(batch.writer.rest());
        if status == Status::ServiceUnavailable {
            busy(&mut response);
        } else {
            response.refuse(status);
        }
        let written = response.finish(&Manner {
            date: &self.date,
            is_head: false,
            is_http11: true,
            closes: true,
        });
        batch.writer.go_to(start + written);
    }

    fn tick(&mut self, second: u64) {
        date_field(second, &mut self.date);
        self.streams.tick();
    }

    fn shared_file(&self) -> Fd {
        -1
    }

    fn go_on(&mut self, fd: Fd, number: u16, buffer: &mut [u8]) -> Step {
        for _ in 0..TURNS {
            let is_incoming = self.streams.get(number).is_some_and(|it| it.is_incoming);
            let step = if App::<S>::RECEIVES && is_incoming {
                self.take_in(fd, number, buffer)
            } else {
                self.put_out(fd, number)
            };
            if step != Step::Again {
                return step;
            }
        }
        Step::Again
    }

    fn keep(&mut self, fd: Fd, sent: usize, batch: &mut Batch<'_>) -> Option<u16> {
        let (number, stream) = if let Some(number) = batch.stream {
            (number, self.streams.get(number)?)
        } else {
            let (number, stream) = self.streams.take(fd)?;
            stream.closes = batch.closes;
            (number, stream)
        };
        let rest = batch.writer.bytes().get(sent..).unwrap_or_default();
        // Where a body is received, that has not been asked for, then.
        let is_kept = !stream.is_incoming && stream.keep(rest);
        if !is_kept {
            self.forget(number);
        }
        is_kept.then_some(number)
    }

    fn forget(&mut self, number: u16) {
        if App::<S>::RECEIVES
            && let Some(stream) = self.streams.get(number)
            && stream.is_incoming
        {
            let row = stream.row;
            let mut response = Response::new(&mut stream.bytes);
            self.app
                .receive(row, number as usize, Body::Breaks, &mut response);
        }
        self.streams.free(number);
    }

    fn overdue(&mut self) -> Option<Overdue> {
        let (number, fd) = self.streams.overdue()?;
        let is_told = self.streams.get(number).is_some_and(|it| it.is_incoming);
        self.forget(number);
        Some(Overdue { fd, is_told })
    }
}
