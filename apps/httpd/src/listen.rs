//! The listening sockets of a service: handed in (`LISTEN_FDS`), or bound here.

use crate::engine::MAX_LISTENERS;
use crate::program::Program;
use ounce_linux::bare::{self, Address, Fd, Setting, errno};

/// The first descriptor handed in (sd_listen_fds(3)).
const FIRST: Fd = 3;
/// A client that takes nothing for so long is gone.
const WRITE_SECONDS: u32 = 30;

/// Sockets handed in, where the environment says so for this process; else one
/// on this port, on all addresses. The error is the kernel's.
pub(crate) fn open(program: &Program, port: u16) -> Result<[Fd; MAX_LISTENERS], i32> {
    let mut places = [-1; MAX_LISTENERS];
    // The environment may be meant for a parent (sd_listen_fds(3)).
    let is_ours = program
        .number("LISTEN_PID")
        .is_none_or(|process| process == bare::process_id());
    let count = match program.number("LISTEN_FDS") {
        Some(count) if is_ours => count as usize,
        _ => 0,
    };
    for (place, fd) in places.iter_mut().zip(FIRST..).take(count) {
        bare::adopt(fd);
        // It listens already, unless it is something else: then this fails.
        checked(bare::listen(fd))?;
        *place = fd;
    }
    if count == 0 {
        let [first, ..] = &mut places;
        // `[::]` takes IPv4 as well; a kernel without IPv6 gets `0.0.0.0`.
        *first = match bound(10, port) {
            Err(error) if matches!(-error as u32, errno::EAFNOSUPPORT | errno::EADDRNOTAVAIL) => {
                bound(2, port)?
            }
            other => other?,
        };
    }
    for fd in places {
        // Accepted sockets inherit both. Sockets that are not TCP refuse: fine.
        bare::set(fd, Setting::NoDelay, 1);
        bare::set(fd, Setting::UserTimeout, WRITE_SECONDS * 1_000);
    }
    Ok(places)
}

/// The address "all" of a family on this port: AF_INET is 2, AF_INET6 is 10.
pub(crate) fn all(family: u16, port: u16) -> Address {
    let mut address = Address::NONE;
    let [low, high] = family.to_ne_bytes();
    let [first, second] = port.to_be_bytes();
    address.bytes[..4].copy_from_slice(&[low, high, first, second]);
    address
}

#[inline(never)]
fn bound(family: u16, port: u16) -> Result<Fd, i32> {
    let address = all(family, port);
    let fd = checked(bare::socket(&address, false))?;
    bare::set(fd, Setting::ReuseAddress, 1);
    // Of a socket of IPv4 this is no setting.
    bare::set(fd, Setting::OnlyV6, 0);
    checked(bare::bind(fd, &address))?;
    checked(bare::listen(fd))?;
    Ok(fd)
}

fn checked(result: i32) -> Result<i32, i32> {
    if result < 0 { Err(result) } else { Ok(result) }
}
