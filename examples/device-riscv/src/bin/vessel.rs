//! Firmware that is never updated itself: its slots hold WebAssembly modules. It runs the one that the journal
//! chooses, confirms it when it ends well, takes it back when it does not, and asks the line for the next.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod device {
    use device_riscv::flash::{Fault, Flash};
    use device_riscv::vessel::{self, End};
    use device_riscv::{HARDWARE, LAYOUT, MODULE, board, heap, line, update};
    use embedded_storage::nor_flash::ReadNorFlash as _;
    use ounce_ota::boot::{Choice, choose};
    use ounce_ota::device::Identity;
    use ounce_ota::{Error, Slot, Standing, Version};

    device_riscv::entry!(main);

    fn main(_: u32) -> ! {
        if let Err(error) = run() {
            update::failed(error);
        }
        board::reset()
    }

    fn run() -> Result<(), Error<Fault>> {
        let choice = choose(&mut Flash, &LAYOUT)?;
        let Choice::Start { slot, size, .. } = choice else {
            line::say("vessel: no slot holds a module");
            loop {
                line::answer(&mut []);
            }
        };
        // What a module is stands in the journal; the vessel knows nothing of it but for whom it is.
        let identity = Identity {
            product: MODULE,
            hardware: HARDWARE,
            version: Version::default(),
            counter: 0,
        };
        let (mut device, standing) = update::begin(identity, slot)?;
        line::text("vessel");
        line::number("slot", slot.index() as u32);
        match standing {
            Standing::Reset => return Ok(()),
            Standing::OnTrial { attempt } => line::number("attempt", attempt.into()),
            Standing::Confirmed { report } => {
                line::number("report", report.map_or(0, |report| report.code().into()));
            }
        }
        line::say("");
        let end = module(slot, size);
        line::text("module");
        line::number(end.word(), end.detail());
        line::number("heap", heap::used() as u32);
        line::number("stack", board::memory().1);
        line::say("");
        if let Standing::OnTrial { .. } = standing {
            match end {
                End::Good => device.confirm()?,
                _ => {
                    device.withdraw()?;
                    return Ok(());
                }
            }
            line::say("confirmed");
        }
        update::wait(&mut device)
    }

    /// Runs what stands in a slot.
    #[inline(never)]
    fn module(slot: Slot, size: u32) -> End {
        let (mut at, end) = (LAYOUT.slot(slot).offset, LAYOUT.slot(slot).offset + size);
        vessel::run(&mut |into| {
            let count = into.len().min((end - at) as usize);
            match Flash.read(at, &mut into[..count]) {
                Ok(()) => at += count as u32,
                Err(_) => return 0,
            }
            count
        })
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the vessel is built by --target riscv32imc-unknown-none-elf");
}
