//! The hardware, as registers in memory.

use core::fmt::{self, Write as _};
use core::ptr::{read_volatile, write_volatile};

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

const UART: *mut u32 = 0x6000_0000 as *mut u32;
const TIMER: *const u32 = 0x6001_f000 as *const u32;
const RANDOM: *const u32 = 0x6002_60b0 as *const u32;
const ETHERNET: *mut u32 = 0x6003_0000 as *mut u32;
const SENSOR: *mut u32 = 0x6004_0000 as *mut u32;
const FLASH: *const u8 = 0x3c00_0000 as *const u8;

fn read(register: *const u32, at: usize) -> u32 {
    // SAFETY: registers of the machine; nothing else is there.
    unsafe { read_volatile(register.add(at)) }
}

fn write(register: *mut u32, at: usize, value: u32) {
    // SAFETY: as for `read`.
    unsafe { write_volatile(register.add(at), value) }
}

struct Uart;

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read(UART, 1) & 1 == 0 {}
            write(UART, 0, byte.into());
        }
        Ok(())
    }
}

pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(Uart, "{:>10} {text}", microseconds() / 1_000);
}

pub(crate) fn microseconds() -> i64 {
    i64::from(read(TIMER, 0)) | i64::from(read(TIMER, 1)) << 32
}

pub(crate) fn random() -> u64 {
    u64::from(read(RANDOM, 0)) << 32 | u64::from(read(RANDOM, 0))
}

/// Temperature in hundredths of a degree, humidity in tenths of a percent.
pub(crate) fn climate() -> Option<(i32, u32)> {
    write(SENSOR, 0, 0x2c06);
    for _ in 0..1_000 {
        if read(SENSOR, 1) & 1 == 1 {
            let raw = read(SENSOR, 2);
            let temperature = ((raw & 0xffff) * 17_500 / 65_535) as i32 - 4_500;
            return Some((temperature, (raw >> 16) * 1_000 / 65_535));
        }
    }
    None
}

pub(crate) fn flash(at: usize, into: &mut [u8]) {
    for (number, byte) in into.iter_mut().enumerate() {
        // SAFETY: the flash is mapped here, 4 MB of it.
        *byte = unsafe { read_volatile(FLASH.add((at + number) & 0x3f_ffff)) };
    }
}

pub(crate) struct Ethernet {
    frame: [u8; 1_536],
}

impl Ethernet {
    pub(crate) fn new() -> Self {
        write(ETHERNET, 0, 1);
        Self { frame: [0; 1_536] }
    }
}

pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

pub(crate) struct Sending;

impl TxToken for Sending {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = [0; 1_536];
        let result = fill(&mut frame[..length]);
        for word in frame[..length].chunks(4) {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            write(ETHERNET, 4, u32::from_le_bytes(bytes));
        }
        write(ETHERNET, 5, length as u32);
        result
    }
}

impl Device for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending)> {
        let length = read(ETHERNET, 2) as usize;
        if length == 0 || length > self.frame.len() {
            return None;
        }
        for word in self.frame[..length].chunks_mut(4) {
            let bytes = read(ETHERNET, 3).to_le_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
        Some((Received(&self.frame[..length]), Sending))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending> {
        (read(ETHERNET, 1) & 1 == 1).then_some(Sending)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1_514;
        capabilities.medium = Medium::Ethernet;
        capabilities
    }
}
