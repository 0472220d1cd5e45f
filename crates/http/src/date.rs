//! The Date field's text (RFC 9110 section 5.6.7, IMF-fixdate).

/// The length of every IMF-fixdate.
pub const DATE_BYTES: usize = 29;

static DAYS: [[u8; 3]; 7] = [
    *b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed",
];
/// Name and length, in a year that is no leap year.
static MONTHS: [([u8; 3], u8); 12] = [
    (*b"Jan", 31),
    (*b"Feb", 28),
    (*b"Mar", 31),
    (*b"Apr", 30),
    (*b"May", 31),
    (*b"Jun", 30),
    (*b"Jul", 31),
    (*b"Aug", 31),
    (*b"Sep", 30),
    (*b"Oct", 31),
    (*b"Nov", 30),
    (*b"Dec", 31),
];
/// The last second of the year 9999; later ones have no such form.
const LAST: u64 = 253_402_300_799;

/// Writes a Unix time in seconds as `Sun, 06 Nov 1994 08:49:37 GMT`; times past
/// the year 9999 as its last second.
///
/// It counts years and months one by one: with a date a second the few dozen
/// steps matter less than the size of a formula.
pub fn imf_fixdate(unix_seconds: u64, text: &mut [u8; DATE_BYTES]) {
    let seconds = unix_seconds.min(LAST);
    let mut day = (seconds / 86_400) as u32;
    let mut rest = (seconds % 86_400) as u32;
    *text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    if let Some(name) = DAYS.get((day % 7) as usize) {
        put(text, 0, name);
    }
    let mut year = 1_970;
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = 365 + u32::from(is_leap);
        if day < length {
            for (name, length) in &MONTHS {
                let length = u32::from(*length) + u32::from(is_leap && *length == 28);
                if day < length {
                    put(text, 8, name);
                    break;
                }
                day -= length;
            }
            break;
        }
        day -= length;
        year += 1;
    }
    put_two(text, 5, day + 1);
    put_two(text, 12, year / 100);
    put_two(text, 14, year);
    for at in [23, 20, 17] {
        put_two(text, at, rest % 60);
        rest /= 60;
    }
}

/// Writes the last two decimal digits of a number.
#[inline(never)]
fn put_two(text: &mut [u8], at: usize, value: u32) {
    let digits = [value / 10, value].map(|value| b'0' + (value % 10) as u8);
    put(text, at, &digits);
}

#[inline(never)]
fn put(text: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, &byte) in text.iter_mut().skip(at).zip(bytes) {
        *place = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_known_ones() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_704_067_199, "Sun, 31 Dec 2023 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let mut written = [0; DATE_BYTES];
            imf_fixdate(seconds, &mut written);
            assert_eq!(core::str::from_utf8(&written), Ok(text));
        }
    }
}
