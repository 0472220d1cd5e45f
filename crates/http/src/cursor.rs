//! Reading bytes from the wire as a grammar says, where any more may still come.
//!
//! The first fault is kept and ends the reading: what is read after it is
//! empty. So a rule is read in one go and judged once, and a text gives the same
//! result however the network has cut it up.

use crate::ascii::take_class;
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
    /// What is not read yet; empty after a fault.
    pub(crate) rest: &'a [u8],
    /// What was wrong first.
    fault: Option<Stop>,
}

impl<'a> Cursor<'a> {
    /// At the start of the bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            fault: None,
        }
    }

    /// Reads on to the first byte that is not of a class; none at all is a fault.
    pub(crate) fn take(&mut self, class: u8) -> &'a [u8] {
        let taken = take_class(&mut self.rest, class);
        if self.rest.is_empty() {
            self.fail(Stop::Partial);
        } else if taken.is_empty() {
            self.fail(Status::BadRequest.into());
        }
        taken
    }

    /// Reads on as [`Self::take`] does, and exactly this text behind it.
    pub(crate) fn take_before(&mut self, class: u8, text: &[u8]) -> &'a [u8] {
        let taken = self.take(class);
        self.expect(text);
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

    /// What was read so far is judged.
    pub(crate) fn judge(&self) -> Result<(), Stop> {
        self.fault.map_or(Ok(()), Err)
    }

    /// The same where no more bytes are read than there are.
    pub(crate) fn judge_at_limit(&self, is_at_limit: bool, too_long: Status) -> Result<(), Stop> {
        match self.judge() {
            Err(Stop::Partial) if is_at_limit => Err(too_long.into()),
            judged => judged,
        }
    }
}
