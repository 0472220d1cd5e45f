//! The wire to a server next door: a blocking socket of IPv4.

use ounce_lambda::exchange::NEVER;
use ounce_lambda::{Cut, Wire};
use ounce_linux::bare::{self, Address, Clock, Fd, Kept, Setting, errno};

/// A connection, or the place of one.
#[derive(Debug)]
pub struct Socket {
    address: Address,
    fd: Fd,
}

/// Seconds in which a peer may take nothing of what is sent.
const SEND_SECONDS: u64 = 10;
/// `AF_INET`.
const V4: u8 = 2;

impl Socket {
    /// To a host and a port; not connected yet.
    pub fn to([a, b, c, d]: [u8; 4], port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        let mut address = Address::NONE;
        if let [family, _, port @ .., _, _, _, _, _, _, _, _] = &mut address.bytes[..16] {
            *family = V4;
            port.copy_from_slice(&[high, low, a, b, c, d]);
        }
        Self { address, fd: -1 }
    }

    /// Ends the connection.
    pub fn close(&mut self) {
        bare::close(self.fd);
        self.fd = -1;
    }
}

impl Wire for Socket {
    fn connect(&mut self) -> Result<(), Cut> {
        self.close();
        self.fd = bare::socket(&self.address, true);
        bare::set(self.fd, Setting::NoDelay, 1);
        // On a socket that blocks this is how long sending may take.
        bare::keep(self.fd, Kept::Second, SEND_SECONDS);
        if bare::connect(self.fd, &self.address) < 0 {
            return Err(Cut::Unreachable);
        }
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8], has_more: bool) -> Result<(), Cut> {
        while !bytes.is_empty() {
            let sent = bare::send(self.fd, bytes, has_more);
            bytes = bytes.get(moved(sent)?..).unwrap_or_default();
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], until_ms: u64) -> Result<usize, Cut> {
        if until_ms != NEVER {
            let left = until_ms.saturating_sub(self.now_ms());
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            if bare::wait_input(self.fd, left) == 0 {
                return Err(Cut::Silent);
            }
        }
        moved(bare::receive(self.fd, buffer, 0))
    }

    fn now_ms(&mut self) -> u64 {
        now_ms()
    }
}

/// Milliseconds since 1970.
#[inline(never)]
pub fn now_ms() -> u64 {
    let [seconds, nanoseconds] = bare::moment(Clock::Real);
    seconds * 1_000 + nanoseconds / 1_000_000
}

/// What a call says to have moved.
fn moved(result: isize) -> Result<usize, Cut> {
    match usize::try_from(result) {
        Ok(count) => Ok(count),
        Err(_) if -result == errno::EAGAIN as isize => Err(Cut::Silent),
        Err(_) => Err(Cut::Lost),
    }
}
