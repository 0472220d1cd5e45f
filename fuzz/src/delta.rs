//! Patches from anywhere, on an image that is here.

use ounce_delta::apply::{Apply, Fault, Images, Refused};
use ounce_delta::format::Header;
use ounce_delta::memory::{DEVICE, Device, Host, Memory};
use ounce_delta::pack::bundle::{sizes, unbundle};

/// A little RISC-V program of no sense: calls, branches, pairs that load addresses,
/// and a table of addresses after it. The seeds are patches on it.
pub fn old_image() -> Vec<u8> {
    let mut image = Vec::new();
    let mut state = 1_u32;
    for number in 0..600_u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let register = 10 + (state >> 28) % 6;
        match state >> 20 & 7 {
            // jal ra, forward
            0 => image.extend((0x0000_00ef | (state >> 10 & 0x3f) << 21).to_le_bytes()),
            // auipc and addi
            1 => {
                image.extend((0x17 | register << 7).to_le_bytes());
                let low = number % 512 << 20;
                image.extend((0x13 | register << 7 | register << 15 | low).to_le_bytes());
            }
            // beq a0, a1, forward
            2 => image.extend((0x00b5_0063 | (state >> 10 & 7) << 8).to_le_bytes()),
            // c.mv, c.addi
            3 => image.extend((0x8002 | register << 7 | 11 << 2).to_le_bytes()[..2].iter()),
            _ => image.extend((0x13 | register << 7 | (state >> 12) << 20).to_le_bytes()),
        }
    }
    image.resize(image.len().next_multiple_of(512), 0);
    for number in 0..300_u32 {
        image.extend((number * 7_919 % 1_600).to_le_bytes());
    }
    image
}

struct Slots<'a> {
    old: &'a [u8],
    new: Vec<u8>,
    most: usize,
}

impl Images for Slots<'_> {
    fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused> {
        let at = at as usize;
        let bytes = self.old.get(at..at + into.len());
        into.copy_from_slice(bytes.expect("read past the end of the old image"));
        Ok(())
    }

    fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.new.extend_from_slice(bytes);
        assert!(self.new.len() <= self.most, "more than the head states");
        Ok(())
    }
}

fn apply<M: Memory>(
    old: &[u8],
    patch: &[u8],
    piece: usize,
    memory: M,
) -> (Result<(), Fault>, Vec<u8>) {
    let most = Header::parse(patch).map_or(0, |(header, _)| header.new_bytes);
    let mut slots = Slots {
        old,
        new: Vec::new(),
        most: most as usize,
    };
    let mut patcher = Apply::new(memory);
    let pushed = patch
        .chunks(piece)
        .try_for_each(|piece| patcher.push(piece, &mut slots).map(|_| ()));
    let result = pushed.and_then(|()| patcher.finish());
    (result, slots.new)
}

/// A patch: no more comes out than it states, and the same however it comes.
pub fn patch(bytes: &[u8]) {
    let old = old_image();
    // What states a large image is refused by whoever has a slot for it.
    let Ok((header, _)) = Header::parse(bytes) else {
        let (result, new) = apply(&old, bytes, 64, Device::new());
        assert!(result.is_err() && new.is_empty());
        return;
    };
    if header.new_bytes > 1 << 20 || header.old_bytes as usize > old.len() {
        return;
    }
    let needs = header.needs;
    let whole = match needs.window_bytes <= DEVICE.window_bytes {
        true => apply(&old, bytes, bytes.len(), Device::new()),
        false => apply(&old, bytes, bytes.len(), Host::new(&needs)),
    };
    let pieces = match needs.window_bytes <= DEVICE.window_bytes {
        true => apply(&old, bytes, 7, Device::new()),
        false => apply(&old, bytes, 7, Host::new(&needs)),
    };
    if whole.0.is_ok() {
        assert_eq!(whole, pieces);
    }
}

/// A bundle: no more comes out than is allowed.
pub fn bundle(bytes: &[u8]) {
    const MOST: usize = 1 << 20;
    let old = old_image();
    let stated = sizes(bytes);
    if let Ok(new) = unbundle(&old, bytes, MOST) {
        assert!(new.len() <= MOST);
        assert_eq!(stated.map(|sizes| sizes.new_bytes), Ok(new.len()));
    }
}
