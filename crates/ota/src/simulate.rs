//! A NOR flash in memory, whose power can be cut in the middle of every write and erase.
//!
//! Writes only clear bits, erases work on whole sectors, and both are checked: a driver's rules broken
//! are an error, never a silent success. A cut leaves one of five results. Of a write of units:
//! nothing written; the first half; all but the last unit; each bit or not, by chance; or all of it, but
//! *unstable*: at every power-up each bit that was on its way is read as cleared or not, until the sector
//! is erased. Of an erase: nothing; the first half; all but the last unit; each bit or not; or *weak*:
//! all seems erased, but at every power-up some bits fall back.
//!
//! A flash that records makes a copy of itself for each result of each operation, as a cut there would
//! have left it: a run of a scenario gives all its cuts at once.

use std::vec::Vec;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Why an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power was cut: nothing works until [`Flash::power_up`].
    Cut,
    /// Not within the flash.
    OutOfBounds,
    /// Not on whole units or sectors.
    NotAligned,
    /// A unit was written twice since it was erased, which flash with error correction refuses.
    Rewritten,
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Cut | Self::Rewritten => NorFlashErrorKind::Other,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
        }
    }
}

/// What a cut leaves of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// Nothing was done.
    Lost,
    /// The first half was.
    Half,
    /// All but the last unit was.
    AllButLast,
    /// Each bit was or was not.
    Random,
    /// All was, but not for good: unstable bits of a write, a weak erase.
    Unstable,
}

impl Torn {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lost,
        Self::Half,
        Self::AllButLast,
        Self::Random,
        Self::Unstable,
    ];
}

/// A generator of 64 bits (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Debug, Clone, Copy)]
pub struct Random(u64);

impl Random {
    /// Begins a sequence; neighbouring seeds give unlike ones (SplitMix64, Steele and others, 2014).
    pub fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((state ^ state >> 31) | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.draw() >> 8) % limit.max(1)
    }
}

/// Bits that are not for good: each may be read as 0 or 1 after a power-up.
#[derive(Debug, Clone)]
struct Unstable {
    offset: usize,
    /// The bits that are.
    mask: Vec<u8>,
    /// They fall back to 0 once in 64 times, not every other time.
    weak: bool,
}

/// A copy of the flash as a cut left it.
#[derive(Debug, Clone)]
pub struct Branch<const WRITE: usize, const ERASE: usize> {
    /// The how manieth operation was cut, from 0.
    pub operation: u64,
    /// Whether that was an erase.
    pub erase: bool,
    /// What was left of it.
    pub torn: Torn,
    /// The flash.
    pub flash: Flash<WRITE, ERASE>,
}

/// A flash that writes units of `WRITE` bytes and erases sectors of `ERASE`.
#[derive(Debug, Clone)]
pub struct Flash<const WRITE: usize, const ERASE: usize> {
    bytes: Vec<u8>,
    unstable: Vec<Unstable>,
    operations: u64,
    /// How often each sector was erased.
    pub erases: Vec<u32>,
    /// What the world outside knows: it goes with the copies.
    pub note: u64,
    random: Random,
    dead: bool,
    cut: Option<(u64, Torn)>,
    branches: Option<Vec<Branch<WRITE, ERASE>>>,
}

impl<const WRITE: usize, const ERASE: usize> Flash<WRITE, ERASE> {
    /// An erased flash of so many sectors.
    pub fn new(sectors: usize) -> Self {
        Self {
            bytes: std::vec![0xFF; sectors * ERASE],
            unstable: Vec::new(),
            operations: 0,
            erases: std::vec![0; sectors],
            note: 0,
            random: Random::new(0),
            dead: false,
            cut: None,
            branches: None,
        }
    }

    /// What stands on it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Puts bytes onto it, as a programmer in the factory does.
    pub fn put(&mut self, offset: u32, bytes: &[u8]) {
        let offset = offset as usize;
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// How many writes and erases there were.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Begins to record a copy for each cut that could be.
    pub fn record(&mut self) {
        self.branches = Some(Vec::new());
    }

    /// Ends recording; the copies, in order.
    pub fn branches(&mut self) -> Vec<Branch<WRITE, ERASE>> {
        self.branches.take().unwrap_or_default()
    }

    /// Cuts the power at an operation, counted from now.
    pub fn cut_at(&mut self, operation: u64, torn: Torn) {
        self.cut = Some((self.operations + operation, torn));
    }

    /// Whether the power is cut.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Gives power again; `seed` decides how unstable bits are read this time.
    pub fn power_up(&mut self, seed: u64) {
        self.dead = false;
        if self.unstable.is_empty() {
            return;
        }
        let mut random = Random::new(seed);
        for Unstable { offset, mask, weak } in &self.unstable {
            for (byte, mask) in self.bytes[*offset..].iter_mut().zip(mask) {
                let mut zeros = random.draw() as u8;
                if *weak {
                    // One in 64.
                    for shift in [8, 16, 24, 32, 40] {
                        zeros &= (random.draw() >> shift) as u8;
                    }
                }
                *byte = (*byte | mask) & !(zeros & mask);
            }
        }
    }

    /// Seeds what chance decides.
    pub fn seed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Counts an operation; the result that a cut now has, if there is one.
    fn begin(&mut self, erase: bool, tear: &dyn Fn(&mut Self, Torn)) -> Result<(), Fault> {
        if self.dead {
            return Err(Fault::Cut);
        }
        if let Some(mut branches) = self.branches.take() {
            for torn in Torn::ALL {
                let mut flash = self.clone();
                flash.seed(self.random.draw());
                tear(&mut flash, torn);
                flash.dead = true;
                flash.operations = 0;
                branches.push(Branch {
                    operation: self.operations,
                    erase,
                    torn,
                    flash,
                });
            }
            self.branches = Some(branches);
        }
        let now = self.operations;
        self.operations += 1;
        if let Some((at, torn)) = self.cut
            && at == now
        {
            tear(self, torn);
            self.cut = None;
            self.dead = true;
            return Err(Fault::Cut);
        }
        Ok(())
    }

    fn check(&self, offset: usize, length: usize, unit: usize) -> Result<(), Fault> {
        if offset + length > self.bytes.len() {
            return Err(Fault::OutOfBounds);
        }
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(Fault::NotAligned);
        }
        Ok(())
    }

    fn tear_write(&mut self, offset: usize, data: &[u8], torn: Torn) {
        let units = data.len() / WRITE;
        let whole = match torn {
            Torn::Lost => 0,
            Torn::Half => units / 2 * WRITE,
            Torn::AllButLast => units.saturating_sub(1) * WRITE,
            Torn::Random => {
                let some: Vec<u8> = data
                    .iter()
                    .map(|data| data | self.random.draw() as u8)
                    .collect();
                return self.clear(offset, &some);
            }
            Torn::Unstable => {
                let old = self.bytes[offset..offset + data.len()].iter();
                let mask = old.zip(data).map(|(old, data)| old & !data).collect();
                self.unstable.push(Unstable {
                    offset,
                    mask,
                    weak: false,
                });
                return;
            }
        };
        self.clear(offset, &data[..whole]);
    }

    /// Clears bits for good.
    fn clear(&mut self, offset: usize, data: &[u8]) {
        for (byte, data) in self.bytes[offset..].iter_mut().zip(data) {
            *byte &= data;
        }
        for bits in &mut self.unstable {
            for (at, mask) in bits.mask.iter_mut().enumerate() {
                if let Some(data) = (bits.offset + at)
                    .checked_sub(offset)
                    .and_then(|at| data.get(at))
                {
                    *mask &= data;
                }
            }
        }
    }

    fn tear_erase(&mut self, offset: usize, torn: Torn) {
        let whole = match torn {
            Torn::Lost => return,
            Torn::Half => ERASE / 2,
            Torn::AllButLast => ERASE - WRITE,
            Torn::Random => {
                for byte in &mut self.bytes[offset..offset + ERASE] {
                    *byte |= self.random.draw() as u8;
                }
                return;
            }
            Torn::Unstable => {
                let mask = self.bytes[offset..offset + ERASE]
                    .iter()
                    .map(|byte| !byte)
                    .collect();
                self.steady(offset, ERASE);
                self.bytes[offset..offset + ERASE].fill(0xFF);
                self.unstable.push(Unstable {
                    offset,
                    mask,
                    weak: true,
                });
                return;
            }
        };
        self.bytes[offset..offset + whole].fill(0xFF);
    }

    /// What was erased to the end is stable.
    fn steady(&mut self, offset: usize, length: usize) {
        self.unstable
            .retain(|bits| bits.offset < offset || bits.offset >= offset + length);
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for Flash<WRITE, ERASE> {
    type Error = Fault;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for Flash<WRITE, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.dead {
            return Err(Fault::Cut);
        }
        let offset = offset as usize;
        let from = self
            .bytes
            .get(offset..offset + bytes.len())
            .ok_or(Fault::OutOfBounds)?;
        bytes.copy_from_slice(from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for Flash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        let (from, to) = (from as usize, to as usize);
        self.check(from, to.saturating_sub(from), ERASE)?;
        for offset in (from..to).step_by(ERASE) {
            self.begin(true, &|flash, torn| flash.tear_erase(offset, torn))?;
            self.steady(offset, ERASE);
            self.bytes[offset..offset + ERASE].fill(0xFF);
            self.erases[offset / ERASE] += 1;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, data: &[u8]) -> Result<(), Fault> {
        let offset = offset as usize;
        self.check(offset, data.len(), WRITE)?;
        self.begin(false, &|flash, torn| flash.tear_write(offset, data, torn))?;
        if self.bytes[offset..offset + data.len()]
            .iter()
            .any(|byte| *byte != 0xFF)
        {
            return Err(Fault::Rewritten);
        }
        self.clear(offset, data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Flash<4, 64>;

    #[test]
    fn what_was_written_is_read_and_may_not_be_written_again() {
        let mut flash = Small::new(2);
        flash.write(64, &[1, 2, 3, 4]).unwrap();
        let mut bytes = [0; 4];
        flash.read(64, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert_eq!(flash.write(64, &[1, 2, 3, 4]), Err(Fault::Rewritten));
        flash.erase(64, 128).unwrap();
        assert_eq!((flash.bytes()[64], flash.erases[1]), (0xFF, 1));
        assert_eq!(flash.write(62, &[0; 4]), Err(Fault::NotAligned));
        assert_eq!(flash.write(128, &[0; 4]), Err(Fault::OutOfBounds));
        assert_eq!(flash.erase(0, 32), Err(Fault::NotAligned));
    }

    #[test]
    fn each_cut_leaves_what_its_name_says() {
        let left = |torn| {
            let mut flash = Small::new(1);
            flash.cut_at(0, torn);
            assert_eq!(flash.write(0, &[0; 16]), Err(Fault::Cut));
            assert_eq!(flash.read(0, &mut [0; 1]), Err(Fault::Cut));
            flash.power_up(1);
            flash.bytes[..16].to_vec()
        };
        assert_eq!(left(Torn::Lost), [0xFF; 16]);
        assert_eq!(left(Torn::Half), [[0; 8], [0xFF; 8]].concat());
        assert_eq!(
            left(Torn::AllButLast),
            [[0; 4], [0; 4], [0; 4], [0xFF; 4]].concat()
        );
        let random = left(Torn::Random);
        assert!(random != [0; 16] && random != [0xFF; 16]);
    }

    #[test]
    fn unstable_bits_change_from_start_to_start_until_they_are_erased() {
        let mut flash = Small::new(1);
        flash.cut_at(0, Torn::Unstable);
        assert_eq!(flash.write(0, &[0; 16]), Err(Fault::Cut));
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..16 {
            flash.power_up(seed);
            seen.insert(flash.bytes[..16].to_vec());
        }
        assert!(seen.len() > 8);
        flash.erase(0, 64).unwrap();
        flash.write(0, &[0; 16]).unwrap();
        flash.power_up(99);
        assert_eq!(flash.bytes[..16], [0; 16]);
    }

    #[test]
    fn a_weak_erase_lets_some_bits_fall_back() {
        let mut flash = Small::new(1);
        flash.write(0, &[0; 64]).unwrap();
        flash.cut_at(0, Torn::Unstable);
        assert_eq!(flash.erase(0, 64), Err(Fault::Cut));
        let mut fallen = 0;
        for seed in 0..64 {
            flash.power_up(seed);
            fallen += flash
                .bytes
                .iter()
                .map(|byte| byte.count_zeros())
                .sum::<u32>();
        }
        // 64 starts of 512 bits, one in 64 each.
        assert!((256..1024).contains(&fallen), "{fallen}");
    }

    #[test]
    fn a_recording_flash_keeps_a_copy_for_every_cut() {
        let mut flash = Small::new(1);
        flash.record();
        flash.write(0, &[0; 8]).unwrap();
        flash.erase(0, 64).unwrap();
        let branches = flash.branches();
        assert_eq!(branches.len(), 10);
        assert_eq!(
            branches[1].flash.bytes()[..8],
            [0, 0, 0, 0, 255, 255, 255, 255]
        );
        assert!(branches[5].erase && branches[5].flash.is_dead());
    }
}
