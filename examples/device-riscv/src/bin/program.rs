//! A program that updates itself: it confirms that it works, then asks the line for updates.
//!
//! `DEVICE_VERSION=MAJOR.MINOR.PATCH` is what it is built as; `DEVICE_BEHAVIOUR=hangs` builds one that
//! never confirms itself.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod device {
    use device_riscv::flash::Fault;
    use device_riscv::{HARDWARE, PRODUCT, board, line, update};
    use ounce_ota::device::Identity;
    use ounce_ota::{Error, Slot, Standing, Version};

    device_riscv::entry!(main);

    const VERSION: &str = match option_env!("DEVICE_VERSION") {
        Some(version) => version,
        None => "1.0.0",
    };
    const BROKEN: bool = option_env!("DEVICE_BEHAVIOUR").is_some();

    fn version() -> Version {
        let mut parts = VERSION.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0u32);
        Version {
            major: next() as u16,
            minor: next() as u16,
            patch: next(),
        }
    }

    fn main(slot: u32) -> ! {
        let slot = Slot::of(slot).unwrap_or(Slot::A);
        if let Err(error) = run(slot) {
            update::failed(error);
        }
        board::reset()
    }

    fn run(slot: Slot) -> Result<(), Error<Fault>> {
        let version = version();
        let identity = Identity {
            product: PRODUCT,
            hardware: HARDWARE,
            version,
            counter: version.patch,
        };
        let (mut device, standing) = update::begin(identity, slot)?;
        line::text("program ");
        line::text(VERSION);
        line::number("slot", slot.index() as u32);
        match standing {
            Standing::Reset => return Ok(()),
            Standing::Confirmed { report } => {
                line::number("report", report.map_or(0, |report| report.code().into()));
                line::say(" confirmed");
            }
            Standing::OnTrial { attempt } => {
                line::number("attempt", attempt.into());
                line::say(" on trial");
                if BROKEN {
                    return Ok(());
                }
                device.confirm()?;
                line::say("confirmed");
            }
        }
        update::wait(&mut device)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the program is built by --target riscv32imc-unknown-none-elf");
}
