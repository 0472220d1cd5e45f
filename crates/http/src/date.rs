//! Dates as HTTP writes them (RFC 9110 section 5.6.7).

use crate::ascii::{from, is_equal};

/// The length of every IMF-fixdate.
pub const DATE_BYTES: usize = 29;

static DAYS: [[u8; 3]; 7] = [
    *b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed",
];
static MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];
/// The last second of the year 9999; later ones have no such form.
const LAST: u64 = 253_402_300_799;

/// Days from the first of March of the year 0 to the start of 1970.
const FROM_MARCH: u32 = 719_468;

/// With all that is the same in all.
const EMPTY: &[u8; DATE_BYTES] = b"Thu, 00 Jan 0000 00:00:00 GMT";

/// Writes a Unix time in seconds as `Sun, 06 Nov 1994 08:49:37 GMT`; times past
/// the year 9999 as its last second.
#[inline(never)]
pub fn imf_fixdate(unix_seconds: u64, text: &mut [u8; DATE_BYTES]) {
    let seconds = unix_seconds.min(LAST);
    let day = (seconds / 86_400) as u32;
    let mut rest = (seconds % 86_400) as u32;
    // The inverse of `first_day`, with the same years that begin in March: 146,097
    // days are 400 of them, and 1,461 are four.
    let days = day + FROM_MARCH;
    let century = (4 * days + 3) / 146_097;
    let days = days - 146_097 * century / 4;
    let year = (4 * days + 3) / 1_461;
    let days = days - 1_461 * year / 4;
    // From March on, which is 0.
    let month = (5 * days + 2) / 153;
    let days = days - (153 * month + 2) / 5;
    let mut year = 100 * century + year;
    let mut month = month + 2;
    if month > 11 {
        month -= 12;
        year += 1;
    }
    *text = *EMPTY;
    put_name(text, 0, DAYS.get(day as usize % 7));
    put_two(text, 5, days + 1);
    put_name(text, 8, MONTHS.get(month as usize));
    put_two(text, 12, year / 100);
    put_two(text, 14, year);
    let mut at = 23;
    while at > 14 {
        put_two(text, at, rest % 60);
        rest /= 60;
        at -= 3;
    }
}

/// A clock that stands before 2001 was never set.
const SET_SECONDS: u64 = 1_000_000_000;

/// Writes what Date says at this time; what starts with NUL is not to be sent,
/// since a server without a clock has no date (RFC 9110 section 6.6.1).
pub fn date_field(unix_seconds: u64, text: &mut [u8; DATE_BYTES]) {
    imf_fixdate(unix_seconds, text);
    if unix_seconds < SET_SECONDS {
        text[0] = 0;
    }
}

/// The length of both obsolete forms, from the comma on in that of RFC 850:
/// `Sun Nov  6 08:49:37 1994` (asctime), and `Sunday, 06-Nov-94 08:49:37 GMT`.
const OBSOLETE_BYTES: usize = 24;
/// Where the bytes of an IMF-fixdate stand in them, or do not.
static OF_ASCTIME: [u8; DATE_BYTES] = [
    0, 1, 2, NO, NO, 8, 9, NO, 4, 5, 6, NO, 20, 21, 22, 23, NO, 11, 12, 13, 14, 15, 16, 17, 18, NO,
    NO, NO, NO,
];
static OF_RFC850: [u8; DATE_BYTES] = [
    NO, NO, NO, 0, 1, 2, 3, NO, 5, 6, 7, NO, NO, NO, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
    21, 22, 23,
];
const NO: u8 = 255;

/// A date of an obsolete form as an IMF-fixdate; of something else, something that
/// is none. Of a year with two digits, those from 70 on are of the last century.
fn modernize(text: &[u8], modern: &mut [u8; DATE_BYTES]) {
    *modern = *EMPTY;
    let start = text.len().wrapping_sub(OBSOLETE_BYTES);
    let rest = from(text, start);
    let mut places = &OF_ASCTIME;
    if start > 0 {
        places = &OF_RFC850;
        let is_late = rest.get(9) >= Some(&b'7');
        (modern[12], modern[13]) = if is_late { (b'1', b'9') } else { (b'2', b'0') };
    }
    for (byte, &place) in modern.iter_mut().zip(places) {
        if let Some(other) = rest.get(usize::from(place)) {
            *byte = *other;
        }
    }
    if let (Some(weekday), [a, b, c, ..]) = (text.first_chunk::<3>(), &mut *modern) {
        [*a, *b, *c] = *weekday;
    }
    // Where asctime has a space.
    modern[5] = modern[5].max(b'0');
}

/// Reads a date as Unix seconds: an IMF-fixdate, or one of the two obsolete forms
/// that RFC 9110 section 5.6.7 has recipients accept; `None` for all else, for
/// times before 1970 and leap seconds, which no file of ours has.
#[inline(never)]
pub fn parse(text: &[u8]) -> Option<u64> {
    // As of every request that has no condition.
    if text.is_empty() {
        return None;
    }
    let mut modern = [0; DATE_BYTES];
    match text.try_into() {
        Ok(text) => modern = text,
        Err(_) => modernize(text, &mut modern),
    }
    let text = &modern;
    let year = (two(text, 12) * 100 + two(text, 14)).max(1_970);
    let second = (two(text, 17) * 60 + two(text, 20)) * 60 + two(text, 23);
    let month = MONTHS
        .iter()
        .position(|name| from(text, 8).starts_with(name))?;
    let day = first_day(year, month as u32 + 1) + two(text, 5);
    let seconds = (u64::from(day) * 86_400 + u64::from(second)).saturating_sub(86_400);
    // Whatever is wrong, from digits that are none to a thirtieth of February,
    // does not come out again.
    let mut same = [0; DATE_BYTES];
    imf_fixdate(seconds, &mut same);
    is_equal(text, &same).then_some(seconds)
}

/// Days from the start of 1970 to a month's first day. Month 13 is the next
/// January.
///
/// The year is taken to begin in March: then the months' lengths repeat every
/// five (31, 30, 31, 30, 31: 153 days), and the leap day is the last of all.
fn first_day(year: u32, month: u32) -> u32 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let century = year / 100;
    year * 365 + year / 4 - century + century / 4 + (month * 153 + 2) / 5 - FROM_MARCH
}

/// Writes the last two decimal digits of a number.
#[inline(never)]
fn put_two(text: &mut [u8; DATE_BYTES], at: usize, value: u32) {
    if let Some([tens, ones]) = text.get_mut(at..at + 2) {
        *tens = b'0' + (value / 10 % 10) as u8;
        *ones = b'0' + (value % 10) as u8;
    }
}

/// Writes a name of three letters.
fn put_name(text: &mut [u8; DATE_BYTES], at: usize, name: Option<&[u8; 3]>) {
    let place = text.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    if let (Some(place), Some(name)) = (place, name) {
        *place = *name;
    }
}

/// The number of two digits; anything up to 165 where they are none.
#[inline(never)]
fn two(text: &[u8; DATE_BYTES], at: usize) -> u32 {
    match from(text, at) {
        [tens, ones, ..] => u32::from(tens & 15) * 10 + u32::from(ones & 15),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_has_no_date() {
        let mut text = [0; DATE_BYTES];
        date_field(999_999_999, &mut text);
        assert_eq!(text[0], 0);
        date_field(1_000_000_000, &mut text);
        assert_eq!(&text, b"Sun, 09 Sep 2001 01:46:40 GMT");
    }

    #[test]
    fn rfc9110_5_6_7_dates_agree_with_known_ones() {
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
            let mut written = [0; DATE_BYTES];
            imf_fixdate(seconds, &mut written);
            assert_eq!(core::str::from_utf8(&written), Ok(text));
            assert_eq!(parse(text.as_bytes()), Some(seconds));
        }
        let mut written = [0; DATE_BYTES];
        imf_fixdate(u64::MAX, &mut written);
        assert_eq!(&written, b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn rfc9110_5_6_7_the_obsolete_forms_are_read() {
        for (text, seconds) in [
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Wednesday, 01-Mar-00 00:00:00 GMT", 951_868_800),
            ("Tue Feb 29 23:59:59 2000", 951_868_799),
            ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(seconds), "{text}");
        }
    }

    #[test]
    fn rfc9110_13_1_3_what_is_no_valid_date_is_none() {
        for text in [
            "",
            "0",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Monday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 6-Nov-94 08:49:37 GMT",
            "Sun Nov  6 24:49:37 1994",
            "Sun Nov 31 08:49:37 1994",
            "Mon Nov  6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 ",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nox 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 30 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sun, 0? Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
