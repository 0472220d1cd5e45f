//! Texts of numbers and of the time, without an allocation.

/// A text that is put together; what does not fit is left out.
pub(crate) struct Line<const SIZE: usize> {
    bytes: [u8; SIZE],
    length: usize,
}

impl<const SIZE: usize> Line<SIZE> {
    /// Nothing yet; all zeros, so that as a static it takes no place in the file.
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; SIZE],
        length: 0,
    };

    /// What was put.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// How much more fits.
    pub(crate) fn room(&self) -> usize {
        SIZE - self.length
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let rest = self.bytes.get_mut(self.length..).unwrap_or_default();
        for (to, from) in rest.iter_mut().zip(bytes) {
            *to = *from;
            self.length += 1;
        }
        self
    }

    /// Adds a number, with zeros before it up to so many digits.
    pub(crate) fn number(&mut self, mut number: u64, digits: usize) -> &mut Self {
        let mut text = [b'0'; 20];
        let mut place = text.len();
        while number > 0 {
            place -= 1;
            if let Some(byte) = text.get_mut(place) {
                *byte = b'0' + (number % 10) as u8;
            }
            number /= 10;
        }
        let least = text.len().saturating_sub(digits);
        self.put(text.get(place.min(least)..).unwrap_or_default())
    }

    /// Adds a moment as RFC 3339 has it, in UTC.
    pub(crate) fn moment(&mut self, [seconds, nanoseconds]: [u64; 2]) -> &mut Self {
        let (days, rest) = (seconds / 86400, seconds % 86400);
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = (shifted_month + 2) % 12 + 1;
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        self.number(year, 4);
        let parts = [
            (b'-', month),
            (b'-', of_year - (153 * shifted_month + 2) / 5 + 1),
            (b'T', rest / 3600),
            (b':', rest / 60 % 60),
            (b':', rest % 60),
        ];
        for (before, number) in parts {
            self.put(&[before]).number(number, 2);
        }
        self.put(b".").number(nanoseconds, 9).put(b"Z")
    }
}
