//! The Date field's text (RFC 9110 section 5.6.7, IMF-fixdate).

/// The length of every IMF-fixdate.
pub const DATE_BYTES: usize = 29;

const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// Writes a Unix time in seconds as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// The calendar is counted from 1 March, so that the leap day is a year's last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). Years past
/// 9999 have no such form and wrap to four digits.
pub fn imf_fixdate(unix_seconds: u64) -> [u8; DATE_BYTES] {
    // 32 bits of days are eleven million years.
    let days = (unix_seconds / 86_400) as u32;
    let second = (unix_seconds % 86_400) as u32;
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era % 25 * 400 + year_of_era + u32::from(month < 2);

    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    let weekday = (days % 7) as usize * 3;
    text[..3].copy_from_slice(&DAYS[weekday..weekday + 3]);
    digits(&mut text[5..7], day);
    let name = month as usize * 3;
    text[8..11].copy_from_slice(&MONTHS[name..name + 3]);
    digits(&mut text[12..16], year);
    digits(&mut text[17..19], second / 3_600);
    digits(&mut text[20..22], second / 60 % 60);
    digits(&mut text[23..25], second % 60);
    text
}

fn digits(place: &mut [u8], mut value: u32) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
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
        ] {
            assert_eq!(core::str::from_utf8(&imf_fixdate(seconds)), Ok(text));
        }
    }
}
