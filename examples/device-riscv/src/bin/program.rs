//! A program that updates itself: it confirms that it works, then asks the line for updates.
//!
//! `DEVICE_VERSION=MAJOR.MINOR.PATCH` is what it is built as; `DEVICE_BEHAVIOUR=hangs` builds one that
//! never confirms itself.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod device {
    use device_riscv::flash::{Fault, Flash};
    use device_riscv::{HARDWARE, KEYS, LAYOUT, PRODUCT, board, line};
    use ounce_ota::boot::JournalBoot;
    use ounce_ota::bundle::HEAD_LIMIT;
    use ounce_ota::device::Identity;
    use ounce_ota::signature::Keyring;
    use ounce_ota::{Device, Error, Slot, Standing, Update, Version, Workspace};

    device_riscv::entry!(main);

    const VERSION: &str = match option_env!("DEVICE_VERSION") {
        Some(version) => version,
        None => "1.0.0",
    };
    const BROKEN: bool = option_env!("DEVICE_BEHAVIOUR").is_some();

    type Own = Device<'static, Flash, JournalBoot, Keyring<'static>>;

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
            failed(error);
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
        let (mut device, standing) = Device::start(
            Flash,
            LAYOUT,
            JournalBoot,
            Keyring::new(&KEYS),
            identity,
            slot,
        )?;
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
        loop {
            line::say("?head");
            let mut head = [0; HEAD_LIMIT];
            let length = line::answer(&mut head);
            if length == 0 {
                continue;
            }
            match update(&mut device, &head[..length]) {
                Ok(()) => {
                    let (fixed, stack) = board::memory();
                    line::text("armed");
                    line::number("fixed", fixed);
                    line::number("stack", stack);
                    line::say("");
                    return Ok(());
                }
                Err(error) => failed(error),
            }
        }
    }

    /// The signature first: it takes as much stack as the patcher takes memory, but not at the same time.
    fn update(device: &mut Own, head: &[u8]) -> Result<(), Error<Fault>> {
        let update = consider(device, head)?;
        receive(device, &update)
    }

    #[inline(never)]
    fn consider(device: &Own, head: &[u8]) -> Result<Update, Error<Fault>> {
        Ok(device.consider(head, None)?)
    }

    /// The patcher's memory stands on the stack, so that its use tells all that updates take.
    #[inline(never)]
    fn receive(device: &mut Own, update: &Update) -> Result<(), Error<Fault>> {
        let mut workspace = Workspace::new();
        let mut download = device.download(update, &mut workspace)?;
        let mut piece = [0; 128];
        while download.wants() < download.length() {
            line::text("?data");
            line::number("from", download.wants());
            line::say("");
            let length = line::answer(&mut piece);
            download.push(&piece[..length])?;
        }
        download.finish()
    }

    fn failed(error: Error<Fault>) {
        match error {
            Error::Refused(refusal) => {
                line::text("refused");
                line::number("code", refusal.code().into());
                line::say("");
            }
            Error::Flash(_) => line::say("the flash refuses"),
            Error::Layout(_) => line::say("the layout cannot be"),
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the program is built by --target riscv32imc-unknown-none-elf");
}
