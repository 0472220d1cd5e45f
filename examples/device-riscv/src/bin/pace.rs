//! How many instructions a byte of the new image takes: by QEMU, which counts them (`-icount shift=0`).
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod device {
    use device_riscv::board::{given, instructions, memory};
    use device_riscv::{board, line};
    use ounce_delta::apply::{Apply, Images, Refused};
    use sha2::{Digest as _, Sha256};

    device_riscv::entry!(main);

    /// The old image in memory; of the new one nothing is kept, its digest tells whether it is right.
    struct Old(&'static [u8]);

    impl Images for Old {
        fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused> {
            let at = at as usize;
            let bytes = self.0.get(at..at + into.len()).ok_or(Refused)?;
            into.copy_from_slice(bytes);
            Ok(())
        }

        fn write_new(&mut self, _: &[u8]) -> Result<(), Refused> {
            Ok(())
        }
    }

    fn main(_: u32) -> ! {
        let [old, patch] = given();
        let before = instructions();
        let (bytes, is_good) = apply(old, patch);
        let patcher = instructions().wrapping_sub(before);
        let before = instructions();
        let digest = Sha256::digest(old);
        let hash = instructions().wrapping_sub(before);
        let (_, stack) = memory();
        line::text("applied");
        line::number("good", is_good.into());
        line::number("bytes", bytes);
        line::number("patcher", patcher);
        line::number("old", old.len() as u32);
        line::number("hash", hash);
        line::number(
            "state",
            size_of::<Apply<ounce_delta::memory::Device>>() as u32,
        );
        line::number("stack", stack);
        line::number("digest", digest[0].into());
        line::say("");
        board::reset()
    }

    /// The bytes of the new image, and whether it is right.
    #[inline(never)]
    fn apply(old: &'static [u8], patch: &[u8]) -> (u32, bool) {
        let mut apply = Apply::device();
        let mut old = Old(old);
        for piece in patch.chunks(256) {
            if apply.push(piece, &mut old).is_err() {
                return (0, false);
            }
        }
        (apply.progress().written_bytes, apply.finish().is_ok())
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is built by --target riscv32imc-unknown-none-elf, to be counted");
}
