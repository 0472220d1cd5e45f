//! What updates cost: the patcher, SHA-256 and Ed25519, without flash, line or journal. Never run.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod device {
    use device_riscv::board::{receive, send};
    use device_riscv::{KEYS, board};
    use ounce_delta::apply::{Apply, Images, Refused};
    use ounce_delta::memory::Device;
    use ounce_ota::signature::{Keyring, Verify as _};
    use sha2::{Digest as _, Sha256};

    device_riscv::entry!(main);

    /// Images behind the line: as little code as can be.
    struct Line;

    impl Images for Line {
        fn read_old(&mut self, _: u32, into: &mut [u8]) -> Result<(), Refused> {
            into.fill_with(receive);
            Ok(())
        }

        fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused> {
            bytes.iter().copied().for_each(send);
            Ok(())
        }
    }

    fn main(_: u32) -> ! {
        let message: [u8; 64] = core::array::from_fn(|_| receive());
        let good = Keyring::new(&KEYS).verify(receive(), &message, &message);
        let digest = Sha256::digest(message);
        let mut apply = Apply::new(Device::new());
        let pushed = apply.push(&message, &mut Line).is_ok();
        send(u8::from(good) ^ u8::from(pushed) ^ digest[0]);
        board::reset()
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is built by --target riscv32imc-unknown-none-elf, to be weighed");
}
