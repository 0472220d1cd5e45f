//! Which names the page knows already, and their numbers.

/// The most names that a component may have.
pub const NAMES: usize = if cfg!(feature = "alloc") { 256 } else { 16 };

/// A name's place and length, in a table: the texts themselves need not be compared.
#[derive(Debug)]
pub(crate) struct Names {
    slots: [(usize, usize); NAMES],
    #[cfg(feature = "alloc")]
    numbers: [u8; NAMES],
    #[cfg(feature = "alloc")]
    used: u32,
}

/// What is known of a name.
pub(crate) enum Known {
    Yes(u32),
    /// It has this number from now on.
    New(u32),
}

impl Names {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [(0, 0); NAMES],
            #[cfg(feature = "alloc")]
            numbers: [0; NAMES],
            #[cfg(feature = "alloc")]
            used: 0,
        }
    }

    /// Without a heap there are few: they are looked through, and numbered by their place.
    #[cfg(not(feature = "alloc"))]
    pub(crate) fn number(&mut self, name: &'static str) -> Option<Known> {
        let wanted = (name.as_ptr() as usize, name.len());
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if *slot == wanted {
                return Some(Known::Yes(number as u32));
            }
            if slot.1 == 0 {
                *slot = wanted;
                return Some(Known::New(number as u32));
            }
        }
        None
    }

    /// `None`: there are [`NAMES`] already.
    #[cfg(feature = "alloc")]
    pub(crate) fn number(&mut self, name: &'static str) -> Option<Known> {
        let wanted = (name.as_ptr() as usize, name.len());
        let first = (wanted.0 ^ (wanted.0 >> 6)).wrapping_add(wanted.1);
        for step in 0..NAMES {
            let slot = first.wrapping_add(step) % NAMES;
            if self.slots[slot] == wanted {
                return Some(Known::Yes(u32::from(self.numbers[slot])));
            }
            if self.slots[slot].1 == 0 {
                let number = self.used;
                self.used += 1;
                self.slots[slot] = wanted;
                self.numbers[slot] = number as u8;
                return Some(Known::New(number));
            }
        }
        None
    }
}
