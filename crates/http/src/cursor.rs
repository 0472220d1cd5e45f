//! Reading bytes from the wire as a grammar says, where any more may still come.
//!
//! The first fault is kept and ends the reading: what is read after it is
//! empty. So a rule is read in one go and judged once, and a text gives the same
//! result however the network has cut it up.

use crate::ascii::span;
use crate::status::Status;

/// Why reading ended before the end of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What is there is faultless, but not whole.
    Partial,
    /// It is to be refused with this status; the connection must be closed after
    /// it, since nobody knows where the next request would begin.
    Refuse(Status),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Refuse(status)
    }
}

/// A place in the bytes.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    /// What is not read yet, up to the limit; empty after a fault.
    pub(crate) rest: &'a [u8],
    /// How many bytes are past the limit, if it is reached.
    beyond: Option<usize>,
    fault: Option<Stop>,
}

impl<'a> Cursor<'a> {
    /// At the start of the bytes, of which no more than `max_bytes` are read.
    pub(crate) fn new(bytes: &'a [u8], max_bytes: usize) -> Self {
        Self {
            rest: bytes.get(..max_bytes).unwrap_or(bytes),
            beyond: bytes.len().checked_sub(max_bytes),
            fault: None,
        }
    }

    /// How many bytes are not read, those past the limit among them.
    pub(crate) fn unread(&self) -> usize {
        self.rest.len() + self.beyond.unwrap_or(0)
    }

    /// Reads on to the first byte that is not of a class; none at all is a fault.
    #[inline(never)]
    pub(crate) fn take(&mut self, class: u8) -> &'a [u8] {
        let (taken, rest) = span(self.rest, class);
        if rest.is_empty() {
            self.fail(Stop::Partial);
        } else if taken.is_empty() {
            self.fail(Status::BadRequest.into());
        } else {
            self.rest = rest;
        }
        taken
    }

    /// Reads exactly this text.
    #[inline(never)]
    pub(crate) fn expect(&mut self, text: &[u8]) {
        let mut both = self.rest.iter().zip(text);
        if !both.all(|(a, b)| a == b) {
            self.fail(Status::BadRequest.into());
        } else {
            match self.rest.get(text.len()..) {
                Some(rest) => self.rest = rest,
                None => self.fail(Stop::Partial),
            }
        }
    }

    /// Notes a fault, unless there is one.
    #[inline(never)]
    pub(crate) fn fail(&mut self, fault: Stop) {
        self.rest = &[];
        self.fault = self.fault.or(Some(fault));
    }

    /// What was read so far is judged. Where bytes are missing and no more of
    /// them are read, that is `too_long`.
    pub(crate) fn judge(&self, too_long: Status) -> Result<(), Stop> {
        match self.fault {
            None => Ok(()),
            Some(Stop::Partial) if self.beyond.is_some() => Err(too_long.into()),
            Some(fault) => Err(fault),
        }
    }
}
