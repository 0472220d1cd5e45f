//! ESP-IDF's boot loader as far as it chooses what to start, after `bootloader_utility.c` of ESP-IDF 5
//! with rollback enabled and without a factory partition. Its own writes can be cut as any.

use embedded_storage::nor_flash::NorFlash;
use ounce_ota::esp::image::{Chip, measure};
use ounce_ota::esp::otadata::{ENTRY, Entry, active, state};
use ounce_ota::{Layout, Region, Slot};

/// The chip that the simulated device has.
pub(crate) const CHIP: Chip = Chip::Esp32C3;

/// As the boot loader has it: the bytes of an entry, whether its sum is right or not.
#[derive(Clone, Copy)]
struct Raw([u8; ENTRY]);

impl Raw {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn put(&mut self, at: usize, word: u32) {
        self.0[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

fn write<F: NorFlash>(
    flash: &mut F,
    otadata: Region,
    index: usize,
    raw: &Raw,
) -> Result<(), F::Error> {
    let from = otadata.offset + (index * F::ERASE_SIZE) as u32;
    flash.erase(from, from + F::ERASE_SIZE as u32)?;
    flash.write(from, &raw.0)
}

/// The slot that is started; `None`: the boot loader finds no program and stops.
pub(crate) fn choose<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    otadata: Region,
) -> Result<Option<Slot>, F::Error> {
    let mut raw = [Raw([0; ENTRY]); 2];
    for (index, raw) in raw.iter_mut().enumerate() {
        flash.read(otadata.offset + (index * F::ERASE_SIZE) as u32, &mut raw.0)?;
    }
    for (index, raw) in raw.iter_mut().enumerate() {
        // It looks at the state only, whatever the sum.
        if raw.word(24) == state::PENDING {
            raw.put(24, state::ABORTED);
            write(flash, otadata, index, raw)?;
        }
    }
    let entries = raw.map(|raw| Entry::decode(&raw.0));
    let mut initial = false;
    let chosen = match active(&entries) {
        Some(index) => {
            let entry = entries[index].unwrap();
            if entry.state == state::NEW {
                raw[index].put(24, state::PENDING);
                write(flash, otadata, index, &raw[index])?;
            }
            entry.slot()
        }
        None => {
            initial = entries.iter().all(Option::is_none);
            Slot::A
        }
    };
    // try_load_partition: the chosen one, then those before it, then those behind it.
    for slot in [chosen, chosen.other()] {
        if measure(flash, layout.slot(slot), CHIP.id())?.is_some() {
            if initial {
                let sequence = slot.index() as u32 + 1;
                let raw = Raw(Entry {
                    sequence,
                    state: state::VALID,
                }
                .encode());
                write(flash, otadata, 0, &raw)?;
            }
            return Ok(Some(slot));
        }
    }
    Ok(None)
}
