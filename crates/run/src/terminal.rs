//! Temporary.
#![allow(missing_docs)]
use crate::{Container, Exit};
use ounce_linux::mask::{BlockedSignals, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
#[derive(Debug)]
pub struct Session {
    signals: BlockedSignals,
}
impl Session {
    pub fn begin(_tty: bool) -> io::Result<Self> {
        Ok(Self {
            signals: BlockedSignals::new(SignalSet::of(&[
                Signal::TERM,
                Signal::INT,
                Signal::HUP,
                Signal::QUIT,
                Signal::USR1,
                Signal::USR2,
            ]))?,
        })
    }
    pub fn streams(&self) -> Option<[BorrowedFd<'_>; 3]> {
        None
    }
    pub fn follow(
        &self,
        container: &mut Container,
        _: &mut dyn FnMut(u8) -> Option<u8>,
    ) -> io::Result<Exit> {
        loop {
            if let Some(exit) = container.try_wait()? {
                return Ok(exit);
            }
            while let Some(taken) = self.signals.take()? {
                let _ = container.kill(taken.signal);
            }
            let mut fds = [
                PollFd::from_borrowed_fd(container.pidfd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            let _ = poll(&mut fds, None);
        }
    }
}
