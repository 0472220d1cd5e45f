//! The machine itself, and the only unsafe code: entry, registers, the jump to a program.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::ptr::{read_volatile, write_volatile};

/// Where the flash that updates use begins: the second of the machine's two.
const FLASH: usize = 0x2200_0000;
/// The serial line, a 16550.
const SERIAL: usize = 0x1000_0000;
/// SiFive's test device: resets the machine, or ends it.
const TEST: usize = 0x10_0000;
/// Where what a test gives stands: behind all programs.
const GIVEN: usize = 0x8040_0000;
/// Where programs are loaded to.
const PROGRAM: usize = 0x8010_0000;
/// What unused stack is filled with.
const PAINT: u32 = 0x5AA5_5AA5;

global_asm!(
    ".section .text.start",
    ".globl _start",
    "_start:",
    // The stack grows down from its end; it is painted, so that its use can be told.
    "la sp, _stack",
    "la t0, _bss",
    "la t1, _bss_end",
    "1: bgeu t0, t1, 2f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 1b",
    "2: la t0, _stack_end",
    "li t2, {paint}",
    "3: bgeu t0, sp, 4f",
    "sw t2, 0(t0)",
    "addi t0, t0, 4",
    "j 3b",
    // The slot that was started is still in a0.
    "4: call device_main",
    "5: j 5b",
    paint = const PAINT,
);

unsafe extern "C" {
    static _stack_end: u32;
    static _stack: u32;
    static _bss: u32;
    static _bss_end: u32;
}

/// Names the function that a program begins with: it takes the number of the slot that was started.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn device_main(slot: u32) -> ! {
            $main(slot)
        }
    };
}

/// Starts the machine anew.
pub fn reset() -> ! {
    // SAFETY: the register of the test device; 0x7777 resets.
    unsafe { write_volatile(TEST as *mut u32, 0x7777) };
    loop {
        core::hint::spin_loop();
    }
}

/// Waits for a byte of the serial line.
pub fn receive() -> u8 {
    loop {
        // SAFETY: line status, then the received byte: registers of a 16550.
        let status = unsafe { read_volatile((SERIAL + 5) as *const u8) };
        if status & 1 == 1 {
            // SAFETY: as above.
            return unsafe { read_volatile(SERIAL as *const u8) };
        }
    }
}

/// Sends a byte.
pub fn send(byte: u8) {
    // SAFETY: the register that takes a byte; QEMU's is always ready.
    unsafe { write_volatile(SERIAL as *mut u8, byte) };
}

/// Reads a byte of the flash, or in command mode its status.
pub(crate) fn flash_byte(offset: u32) -> u8 {
    // SAFETY: the caller's offset lies within the flash, which is mapped as a whole.
    unsafe { read_volatile((FLASH + offset as usize) as *const u8) }
}

/// Writes a word to the flash: a command, or data after one.
pub(crate) fn flash_write(offset: u32, word: u32) {
    // SAFETY: as for reading; `offset` is a whole number of words.
    unsafe { write_volatile((FLASH + offset as usize) as *mut u32, word) };
}

/// Copies a program to memory and jumps to it. It does not come back.
///
/// # Panics
/// The program would not fit before the end of memory.
pub fn start(offset: u32, size: u32, slot: u32) -> ! {
    assert!(size <= 2 << 20, "a program of {size} bytes");
    for at in 0..size {
        // SAFETY: the memory behind the loader is nobody's, 2 MB of it at least.
        unsafe { write_volatile((PROGRAM + at as usize) as *mut u8, flash_byte(offset + at)) };
    }
    // SAFETY: the program begins with its entry code and takes the slot's number in a0. What it consists
    // of was just written, so the processor has to read its instructions anew.
    unsafe {
        asm!("fence.i", "jr {program}", program = in(reg) PROGRAM, in("a0") slot, options(noreturn));
    }
}

/// What a test has put into memory: two pieces, their lengths before them.
pub fn given() -> [&'static [u8]; 2] {
    // SAFETY: the machine has 12 MB of memory from here on, which nobody writes; QEMU has put the lengths
    // there and as many bytes.
    unsafe {
        let lengths = (GIVEN as *const [u32; 2]).read();
        let first = (GIVEN + 8) as *const u8;
        let second = first.add(lengths[0] as usize);
        [
            core::slice::from_raw_parts(first, lengths[0] as usize),
            core::slice::from_raw_parts(second, lengths[1] as usize),
        ]
    }
}

/// How many instructions the processor has done, as far as 32 bits tell.
pub fn instructions() -> u32 {
    let count;
    // SAFETY: reads a counter.
    unsafe { asm!("csrr {count}, minstret", count = out(reg) count, options(nomem, nostack)) };
    count
}

/// Bytes of memory that a program has for itself, and of stack that it has used.
pub fn memory() -> (u32, u32) {
    // SAFETY: addresses that the linker gives; the stack's unused part is read, which nobody writes.
    unsafe {
        let fixed = (&raw const _bss_end) as u32 - (&raw const _bss) as u32;
        let (mut at, end) = (&raw const _stack_end, &raw const _stack);
        while at < end && read_volatile(at) == PAINT {
            at = at.add(1);
        }
        (fixed, end as u32 - at as u32)
    }
}
