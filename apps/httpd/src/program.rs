//! What a program is told at its start: arguments and environment.

use crate::entry::{self, Strings};
use core::ffi::CStr;
use ounce_http::take_until;
use rustix::fd::BorrowedFd;

/// Arguments, environment and the standard streams.
pub struct Program {
    arguments: Strings,
    environment: Strings,
}

impl Program {
    /// What `entry!` was given by the kernel.
    #[doc(hidden)]
    pub fn new(arguments: Strings, environment: Strings) -> Self {
        Self {
            arguments,
            environment,
        }
    }

    /// The arguments, without the program's name.
    pub fn arguments(&self) -> impl Iterator<Item = &'static CStr> + use<> {
        let mut arguments = self.arguments;
        arguments.next();
        arguments
    }

    /// The environment, as `NAME=value`.
    pub fn environment(&self) -> impl Iterator<Item = &'static CStr> + use<> {
        self.environment
    }

    /// Where the kernel's stack of strings ends.
    pub(crate) fn strings(&self) -> Strings {
        self.environment
    }

    /// A variable of the environment.
    #[inline(never)]
    pub fn variable(&self, name: &str) -> Option<&'static [u8]> {
        self.environment.into_iter().find_map(|entry| {
            let mut value = entry.to_bytes();
            (take_until(&mut value, b'=') == name.as_bytes()).then_some(value)
        })
    }

    /// A variable that is a number.
    pub fn number(&self, name: &str) -> Option<u32> {
        number(self.variable(name)?)
    }

    /// Writes to standard output.
    pub fn print(&self, text: &[u8]) {
        write_all(entry::standard(1), text);
    }

    /// Writes to standard error.
    pub fn complain(&self, text: &[u8]) {
        write_all(entry::standard(2), text);
    }
}

fn write_all(stream: BorrowedFd<'_>, mut text: &[u8]) {
    while !text.is_empty() {
        match rustix::io::write(stream, text) {
            // Nobody is left to tell if even this fails.
            Ok(0) | Err(_) => return,
            Ok(count) => text = text.get(count..).unwrap_or_default(),
        }
    }
}

/// A decimal number.
pub fn number(text: &[u8]) -> Option<u32> {
    u32::try_from(ounce_http::parse_decimal(text)?).ok()
}
