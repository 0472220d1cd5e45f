//! The boot loader: it chooses a slot by the journal, and starts what is there.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod device {
    use device_riscv::flash::Flash;
    use device_riscv::{LAYOUT, board, line};
    use ounce_ota::boot::{Choice, choose};

    device_riscv::entry!(main);

    fn main(_: u32) -> ! {
        match choose(&mut Flash, &LAYOUT) {
            Ok(Choice::Start {
                slot,
                size,
                attempt,
            }) => {
                line::text("loader");
                line::number("slot", slot.index() as u32);
                line::number("attempt", attempt.unwrap_or(0).into());
                line::say("");
                board::start(LAYOUT.slot(slot).offset, size, slot.index() as u32)
            }
            Ok(Choice::Nothing) => line::say("loader: no slot holds a program"),
            Err(_) => line::say("loader: the flash refuses"),
        }
        loop {
            core::hint::spin_loop();
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the boot loader is built by --target riscv32imc-unknown-none-elf");
}
