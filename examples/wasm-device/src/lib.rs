//! The program of a device as a module: it counts primes, says how many, and ends.
//!
//! It asks for one capability, to write to standard output. The device gives it a serial line for that, a
//! server or a browser what they have. `MODULE_VERSION` is what it says it is; `MODULE_BEHAVIOUR` is `traps`,
//! `loops`, `fails` or `reaches` (for a file), for those who want to see what becomes of such a module.
#![cfg_attr(target_arch = "wasm32", no_std)]

const VERSION: &str = match option_env!("MODULE_VERSION") {
    Some(version) => version,
    None => "1.0.0",
};

const BEHAVIOUR: &[u8] = match option_env!("MODULE_BEHAVIOUR") {
    Some(behaviour) => behaviour.as_bytes(),
    None => b"",
};

/// Numbers below this are looked at.
const LIMIT: usize = 1_000;

/// The imports: preview 1 of WASI.
#[cfg(target_arch = "wasm32")]
mod wasi {
    /// Bytes to be written (`ciovec`).
    #[repr(C)]
    struct Bytes {
        address: *const u8,
        length: usize,
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn fd_write(file: u32, bytes: *const Bytes, count: usize, written: *mut usize) -> u32;
        fn fd_close(file: u32) -> u32;
        fn proc_exit(code: u32) -> !;
    }

    /// Writes to standard output.
    pub(super) fn write(text: &[u8]) {
        let bytes = Bytes {
            address: text.as_ptr(),
            length: text.len(),
        };
        let mut written = 0;
        // SAFETY: what the host reads and writes is there until it returns.
        unsafe { fd_write(1, &raw const bytes, 1, &raw mut written) };
    }

    /// Closes a file, which a device has none of.
    pub(super) fn close() {
        // SAFETY: a number; the host knows whether there is such a file.
        unsafe { fd_close(3) };
    }

    /// Ends.
    pub(super) fn exit(code: u32) -> ! {
        // SAFETY: it does not come back.
        unsafe { proc_exit(code) }
    }
}

/// Where a WASI command begins.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
extern "C" fn _start() {
    match BEHAVIOUR {
        b"traps" => core::arch::wasm32::unreachable(),
        b"loops" => loop {
            core::hint::black_box(0);
        },
        b"fails" => wasi::exit(3),
        b"reaches" => wasi::close(),
        _ => {}
    }
    let mut line = [0; 64];
    let mut length = 0;
    let mut put = |text: &[u8]| {
        for byte in text {
            if let Some(place) = line.get_mut(length) {
                *place = *byte;
                length += 1;
            }
        }
    };
    put(b"module ");
    put(VERSION.as_bytes());
    put(b": ");
    let mut digits = [b'0'; 3];
    let mut count = primes();
    for digit in digits.iter_mut().rev() {
        *digit += (count % 10) as u8;
        count /= 10;
    }
    put(&digits);
    put(b" primes\n");
    wasi::write(line.get(..length).unwrap_or_default());
}

/// How many primes there are below the limit, by the sieve of Eratosthenes.
pub fn primes() -> usize {
    let mut composite = [false; LIMIT];
    let mut count = 0;
    for number in 2..LIMIT {
        if !composite[number] {
            count += 1;
            for multiple in (number * number..LIMIT).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    count
}

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
