//! The listening sockets of a service: handed in (`LISTEN_FDS`), or bound here.

use crate::engine::MAX_LISTENERS;
use crate::program::Program;
use ounce_linux::bare::{self, Address, Fd, Setting, errno};

/// The first descriptor handed in (sd_listen_fds(3)).
const FIRST: Fd = 3;
/// A client that takes nothing for so long is gone.
const WRITE_SECONDS: u32 = 30;

/// Listens on the sockets that were handed in, where the environment says so for
/// this process, else on this port of all addresses; the kernel's error, or 0.
pub(crate) fn open(program: &Program, port: u16, listeners: &mut [Fd; MAX_LISTENERS]) -> i32 {
    // The environment may be meant for a parent (sd_listen_fds(3)).
    let is_ours = program
        .number("LISTEN_PID")
        .is_none_or(|process| process == bare::process_id());
    let mut count = program.number("LISTEN_FDS").unwrap_or(0);
    let mut first = FIRST;
    if count == 0 || !is_ours {
        count = 1;
        // `[::]` takes IPv4 as well; a kernel without IPv6 gets `0.0.0.0`.
        first = bound(10, port);
        if matches!(-first as u32, errno::EAFNOSUPPORT | errno::EADDRNOTAVAIL) {
            first = bound(2, port);
        }
    }
    for (fd, place) in (first..).zip(listeners).take(count as usize) {
        *place = fd;
        bare::adopt(fd);
        // One handed in listens already, unless it is something else.
        let mut result = fd;
        if result >= 0 {
            result = bare::listen(fd);
        }
        if result < 0 {
            return result;
        }
        // Accepted sockets inherit both. Sockets that are not TCP refuse: fine.
        bare::set(fd, Setting::NoDelay, 1);
        bare::set(fd, Setting::UserTimeout, WRITE_SECONDS * 1_000);
    }
    0
}

/// The address "all" of a family on this port: AF_INET is 2, AF_INET6 is 10.
pub(crate) fn all(family: u16, port: u16) -> Address {
    let mut address = Address::NONE;
    let [low, high] = family.to_ne_bytes();
    let [first, second] = port.to_be_bytes();
    address.bytes[..4].copy_from_slice(&[low, high, first, second]);
    address
}

/// A socket on all addresses of a family, or the error.
#[inline(never)]
fn bound(family: u16, port: u16) -> Fd {
    let address = all(family, port);
    let fd = bare::socket(&address, false);
    bare::set(fd, Setting::ReuseAddress, 1);
    // Of a socket of IPv4 this is no setting.
    bare::set(fd, Setting::OnlyV6, 0);
    let result = bare::bind(fd, &address);
    if fd >= 0 && result < 0 {
        bare::close(fd);
        return result;
    }
    fd
}
