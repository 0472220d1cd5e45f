//! One connection's turn: reads what has come, answers the whole requests in it
//! and sends, as far as it goes without waiting.
//!
//! A request is read with MSG_PEEK into one shared buffer and stays in the
//! kernel's socket buffer until it is whole; only then is it consumed. So a
//! connection costs 32 bytes here, however slowly its client sends.

use crate::memory::{Desk, INPUT, Phase, Slot};
use crate::service::{Service, answer};
use crate::stream::{Halt, receive, send};
use ounce_http::connection::{self, Next};
use ounce_http::head::Limits;
use ounce_http::method::Method;
use ounce_http::response::{Finish, HEAD_BYTES, Response};
use ounce_http::status::Status;
use rustix::fd::BorrowedFd;
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown};

/// What an answer may need: below this the output is sent first.
const ANSWER: usize = HEAD_BYTES + Limits::DEFAULT.body_bytes + 512;

/// Seconds from a request's first byte to its last.
pub(crate) const REQUEST_SECONDS: u32 = 10;
/// Seconds between requests.
const IDLE_SECONDS: u32 = 60;
/// Seconds in which a client takes no byte of an answer.
const WRITE_SECONDS: u32 = 30;
/// Seconds in which a refused client may read why.
const LINGER_SECONDS: u32 = 2;
/// Steps of one connection before others get their turn.
const TURNS: u32 = 16;
const FILE_CHUNK: u64 = 256 * 1024;

/// What a step of a connection has come to: it goes on, or it halts.
pub(crate) type Step = Result<(), Halt>;

impl Desk {
    /// Does what can be done for a connection without waiting, up to its share.
    /// `is_half_closed` says that the client sends no more.
    pub(crate) fn turn(
        &mut self,
        slot: &mut Slot,
        service: &mut dyn Service,
        is_half_closed: bool,
    ) -> Step {
        for _ in 0..TURNS {
            match slot.phase {
                Phase::Idle | Phase::Reading => self.read(slot, service, is_half_closed),
                Phase::Writing => self.write(slot),
                Phase::Lingering => self.linger(slot),
            }?;
        }
        Ok(())
    }

    /// Writes an error and the announcement to close into the output.
    #[inline(never)]
    pub(crate) fn refusal(&mut self, status: Status) -> &[u8] {
        let mut response = Response::new(&mut self.output);
        response.error(status);
        let length = response.finish(&Finish {
            is_head: false,
            is_http11: true,
            connection: Some("close"),
            date: &self.date,
        });
        self.output.get(..length).unwrap_or_default()
    }

    /// Answers with an error; the connection closes after it.
    pub(crate) fn refuse(&mut self, slot: &mut Slot, status: Status) -> Step {
        let length = self.refusal(status).len();
        slot.closes = true;
        self.send(slot, length)
    }

    /// Looks at what has come and answers the whole requests in it.
    fn read(&mut self, slot: &mut Slot, service: &mut dyn Service, is_half_closed: bool) -> Step {
        let received = receive(socket(slot)?, &mut self.input, RecvFlags::PEEK)?;
        if received == 0 {
            return Err(Halt::Ends);
        }
        let mut consumed = 0;
        let mut sent = 0;
        let mut is_partial = false;
        while !slot.closes && slot.file.is_empty() {
            let is_full = consumed == 0 && received == INPUT;
            let bytes = self.input.get_mut(consumed..received).unwrap_or_default();
            let Some(place) = self.output.get_mut(sent..sent + ANSWER) else {
                break;
            };
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
                        if let Some(place) = place.first_chunk_mut() {
                            *place = *line;
                            sent += line.len();
                        }
                    }
                    break;
                }
                Next::Refuse(status) => {
                    response.error(status);
                    slot.closes = true;
                }
                Next::Request(mut message) => {
                    is_head = message.head.method == Method::Head;
                    is_http11 = message.head.is_http11;
                    consumed += message.length;
                    // While stopping, all that has come is answered, and then no more.
                    let is_last = self.is_stopping && consumed == received && received < INPUT;
                    slot.closes = !message.head.keep_alive || is_last;
                    slot.continued = false;
                    let file = answer(service, &mut message, &mut self.path, &mut response);
                    if let Some(file) = file
                        && !is_head
                    {
                        slot.file.put(file.descriptor);
                        (slot.offset, slot.end) = (0, file.length_bytes);
                    }
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
                is_http11,
                connection,
                date: &self.date,
            });
        }
        if consumed > 0 {
            // The answered requests are dropped from the socket's buffer.
            let discard = self.input.get_mut(..consumed).unwrap_or_default();
            receive(socket(slot)?, discard, RecvFlags::TRUNC)?;
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
        if sent > 0 {
            self.send(slot, sent)?;
        }
        if is_partial {
            if is_half_closed {
                // The request will never be whole.
                return Err(Halt::Ends);
            }
            // What is behind the requests answered may be whole once there is room.
            if consumed == 0 || received < INPUT {
                return Err(Halt::Waits);
            }
        }
        Ok(())
    }

    /// Sends the output's first bytes; what the kernel does not take is kept.
    #[inline(never)]
    fn send(&mut self, slot: &mut Slot, length: usize) -> Step {
        let bytes = self.output.get(..length).unwrap_or_default();
        let has_file = !slot.file.is_empty();
        let more = if has_file {
            SendFlags::MORE
        } else {
            SendFlags::empty()
        };
        let taken = match send(socket(slot)?, bytes, more) {
            Err(Halt::Waits) => 0,
            taken => taken?,
        };
        let rest = bytes.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            let mut spills = self.spills.iter_mut().zip(1..);
            // Where none is free, other clients that do not read have them all:
            // this one is as bad.
            let (spill, number) = spills
                .find(|(spill, _)| spill.end == 0)
                .filter(|_| slot.spill == 0)
                .ok_or(Halt::Ends)?;
            let place = spill.bytes.get_mut(..rest.len());
            place.ok_or(Halt::Ends)?.copy_from_slice(rest);
            (spill.start, spill.end) = (0, rest.len() as u32);
            slot.spill = number;
        }
        if has_file || slot.closes || slot.spill != 0 {
            slot.phase = Phase::Writing;
            slot.deadline = self.now + WRITE_SECONDS;
        }
        Ok(())
    }

    /// Goes on with an answer.
    fn write(&mut self, slot: &mut Slot) -> Step {
        let spill = usize::from(slot.spill).wrapping_sub(1);
        if let Some(spill) = self.spills.get_mut(spill) {
            let rest = spill.bytes.get(spill.start as usize..spill.end as usize);
            let rest = rest.unwrap_or_default();
            spill.start += send(socket(slot)?, rest, SendFlags::empty())? as u32;
            slot.deadline = self.now + WRITE_SECONDS;
            if spill.start >= spill.end {
                self.free_spill(slot);
            }
            return Ok(());
        }
        if let (Some(socket), Some(file)) = (slot.socket.get(), slot.file.get())
            && slot.offset < slot.end
        {
            let count = (slot.end - slot.offset).min(FILE_CHUNK) as usize;
            let sent = rustix::fs::sendfile(socket, file, Some(&mut slot.offset), count)?;
            if sent == 0 {
                // Cut short while it was sent: only closing tells the client.
                return Err(Halt::Ends);
            }
            slot.deadline = self.now + WRITE_SECONDS;
            return Ok(());
        }
        drop(slot.file.take());
        if slot.closes {
            let _ = shutdown(socket(slot)?, Shutdown::Write);
            slot.phase = Phase::Lingering;
            slot.deadline = self.now + LINGER_SECONDS;
        } else {
            slot.phase = Phase::Idle;
            slot.deadline = self.now + IDLE_SECONDS;
        }
        Ok(())
    }

    /// Throws away what still comes until the client closes.
    fn linger(&mut self, slot: &Slot) -> Step {
        match receive(socket(slot)?, &mut self.input, RecvFlags::TRUNC)? {
            0 => Err(Halt::Ends),
            _ => Ok(()),
        }
    }

    /// Gives back the spill that a connection has, if it has one.
    #[inline(never)]
    pub(crate) fn free_spill(&mut self, slot: &mut Slot) {
        let number = usize::from(core::mem::take(&mut slot.spill));
        if let Some(spill) = self.spills.get_mut(number.wrapping_sub(1)) {
            spill.end = 0;
        }
    }
}

/// The connection's socket; a slot that is driven has one.
fn socket(slot: &Slot) -> Result<BorrowedFd<'_>, Halt> {
    slot.socket.get().ok_or(Halt::Ends)
}
