//! Conditional and range requests: whether a GET or HEAD is answered with the
//! whole, a part, or word that the client has it already (RFC 9110 sections 13
//! and 14).

use crate::ascii::{from, is_equal, is_same, saturating_decimal, take_item, take_until};
use crate::date;
use crate::head::{Head, Known};
use crate::method::Method;
use crate::status::Status;

/// What is known of the representation that a 200 would send.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its entity tag, with quotes and strong (RFC 9110 section 8.8.3). What has
    /// none is not asked about.
    pub etag: &'a [u8],
    /// When it was modified, in Unix seconds; 0 where nobody knows.
    pub modified_seconds: u64,
    /// Its length.
    pub length_bytes: u64,
}

/// What to answer: 200, 206, 304, 412 or 416, and what of the representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The status.
    pub status: Status,
    /// The first byte to send.
    pub start: u64,
    /// One past the last byte to send; for a status that sends none of it, as
    /// `start`.
    pub end: u64,
}

/// Decides in the order of RFC 9110 section 13.2.2. The method must be GET or
/// HEAD; others have no conditions here.
pub fn decide(head: &Head<'_>, facts: &Facts<'_>) -> Decision {
    let mut decision = Decision {
        status: Status::Ok,
        start: 0,
        end: facts.length_bytes,
    };
    // Steps 1 and 2, then 3 and 4.
    if is_unchanged(head, facts, Known::IfMatch, Known::IfUnmodifiedSince) == Some(false) {
        decision.status = Status::PreconditionFailed;
    } else if is_unchanged(head, facts, Known::IfNoneMatch, Known::IfModifiedSince) == Some(true) {
        decision.status = Status::NotModified;
    } else if head.method == Method::Get && is_current(head, facts) {
        // Step 5. Section 14.2: of other methods than GET, ignored.
        read_range(head.value(Known::Range), &mut decision);
    }
    if !matches!(decision.status, Status::Ok | Status::PartialContent) {
        (decision.start, decision.end) = (0, 0);
    }
    decision
}

/// Whether the representation is one that the client named, by a list of tags
/// or else by a date; `None` where it named none.
#[inline(never)]
fn is_unchanged(head: &Head<'_>, facts: &Facts<'_>, tags: Known, date: Known) -> Option<bool> {
    if head.has(tags) {
        let is_weak = tags == Known::IfNoneMatch;
        return Some(lists_tag(head.value(tags), facts.etag, is_weak));
    }
    // Sections 13.1.3 and 13.1.4: ignored without a valid date, and without a
    // date to compare with.
    let date = date::parse(head.value(date))?;
    (facts.modified_seconds > 0).then_some(facts.modified_seconds <= date)
}

/// Whether a list of entity tags, or `*`, holds ours. Weak comparison (RFC 9110
/// section 8.8.3.2) looks at the opaque part alone; a strong one never holds for
/// a weak tag.
///
/// A comma within a tag takes it apart wrongly; but the parts then lack a quote,
/// and are no tag of ours.
pub fn lists_tag(mut list: &[u8], etag: &[u8], is_weak: bool) -> bool {
    while let Some(mut tag) = take_item(&mut list) {
        if is_weak && tag.starts_with(b"W/") {
            tag = from(tag, 2);
        }
        if is_equal(tag, etag) || is_equal(tag, b"*") {
            return true;
        }
    }
    false
}

/// RFC 9110 section 13.1.5: whether If-Range names the very tag, or the very
/// date, or is not there.
fn is_current(head: &Head<'_>, facts: &Facts<'_>) -> bool {
    let validator = head.value(Known::IfRange);
    let date = date::parse(validator).unwrap_or(0);
    !head.has(Known::IfRange)
        || is_equal(validator, facts.etag)
        || date > 0 && date == facts.modified_seconds
}

/// RFC 9110 section 14.1.2: one range of bytes. Several are answered with the
/// whole (section 14.2 lets a server ignore any), which costs less than a
/// multipart body. So is what is malformed.
pub fn read_range(mut range: &[u8], decision: &mut Decision) {
    let length = decision.end;
    let unit = take_until(&mut range, b'=');
    let whole = range;
    let first = take_until(&mut range, b'-');
    let has_dash = first.len() < whole.len();
    let (start, end) = match (saturating_decimal(first), saturating_decimal(range)) {
        (Some(start), Some(last)) if start <= last => (start, length.min(last.saturating_add(1))),
        (Some(start), None) if range.is_empty() => (start, length),
        // Nothing at all has no last bytes that could be told.
        (None, Some(suffix)) if first.is_empty() && (length > 0 || suffix == 0) => {
            (length.saturating_sub(suffix), length)
        }
        _ => return,
    };
    if has_dash && is_same(unit, b"bytes") {
        decision.status = if start < length {
            Status::PartialContent
        } else {
            Status::RangeNotSatisfiable
        };
        (decision.start, decision.end) = (start, end);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::head::{Limits, parse};
    use std::format;

    const FACTS: Facts<'_> = Facts {
        etag: b"\"v1\"",
        modified_seconds: 784_111_777,
        length_bytes: 10,
    };
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn decide_with(method: &str, fields: &str, facts: &Facts<'_>) -> (u16, u64, u64) {
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head = parse(text.as_bytes(), &Limits::DEFAULT);
        let decision = decide(&head.expect("a good head"), facts);
        (decision.status.code(), decision.start, decision.end)
    }

    fn status(fields: &str) -> u16 {
        decide_with("GET", fields, &FACTS).0
    }

    fn range(range: &str) -> (u16, u64, u64) {
        decide_with("GET", &format!("Range: {range}\r\n"), &FACTS)
    }

    #[test]
    fn rfc9110_13_1_1_if_match_compares_strongly() {
        for (tags, expected) in [
            ("\"v1\"", 200),
            ("*", 200),
            ("\"v0\", \"v1\"", 200),
            ("W/\"v1\"", 412),
            ("\"v0\"", 412),
            ("v1", 412),
        ] {
            assert_eq!(status(&format!("If-Match: {tags}\r\n")), expected, "{tags}");
        }
    }

    #[test]
    fn rfc9110_13_1_2_if_none_match_compares_weakly_and_takes_lists() {
        for (tags, expected) in [
            ("\"v1\"", 304),
            ("W/\"v1\"", 304),
            ("*", 304),
            ("\"a,b\" , W/\"v1\"", 304),
            ("\"v0\",\t\"v1\"", 304),
            (",\"v1\"", 304),
            ("\"v2\"", 200),
            ("v1", 200),
            ("\"v1", 200),
            ("w/\"v1\"", 200),
            ("", 200),
        ] {
            assert_eq!(
                status(&format!("If-None-Match: {tags}\r\n")),
                expected,
                "{tags}"
            );
        }
        assert_eq!(decide_with("HEAD", "If-None-Match: *\r\n", &FACTS).0, 304);
    }

    #[test]
    fn rfc9110_13_1_3_if_modified_since_is_ignored_beside_if_none_match_and_without_dates() {
        for (date, expected) in [
            (SAME, 304),
            (LATER, 304),
            (EARLIER, 200),
            ("yesterday", 200),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 304),
            ("Sun Nov  6 08:49:37 1994", 304),
            ("Sun Nov  6 08:49:36 1994", 200),
        ] {
            assert_eq!(
                status(&format!("If-Modified-Since: {date}\r\n")),
                expected,
                "{date}"
            );
        }
        let both = format!("If-Modified-Since: {SAME}\r\nIf-None-Match: \"v0\"\r\n");
        assert_eq!(status(&both), 200);
        let both = format!("If-Modified-Since: {EARLIER}\r\nIf-None-Match: \"v1\"\r\n");
        assert_eq!(status(&both), 304);
        let undated = Facts {
            modified_seconds: 0,
            ..FACTS
        };
        let asked = format!("If-Modified-Since: {SAME}\r\n");
        assert_eq!(decide_with("GET", &asked, &undated).0, 200);
    }

    #[test]
    fn rfc9110_13_1_4_if_unmodified_since_is_ignored_beside_if_match() {
        for (date, expected) in [(SAME, 200), (LATER, 200), (EARLIER, 412), ("x", 200)] {
            assert_eq!(
                status(&format!("If-Unmodified-Since: {date}\r\n")),
                expected,
                "{date}"
            );
        }
        let both = format!("If-Unmodified-Since: {EARLIER}\r\nIf-Match: \"v1\"\r\n");
        assert_eq!(status(&both), 200);
    }

    #[test]
    fn rfc9110_13_2_2_conditions_come_in_order() {
        let failed_first = "If-Match: \"v0\"\r\nIf-None-Match: \"v1\"\r\nRange: bytes=0-0\r\n";
        assert_eq!(status(failed_first), 412);
        let had_before_range = "If-None-Match: \"v1\"\r\nRange: bytes=0-0\r\n";
        assert_eq!(status(had_before_range), 304);
        let met = "If-Match: \"v1\"\r\nIf-None-Match: \"v0\"\r\nRange: bytes=0-0\r\n";
        assert_eq!(status(met), 206);
    }

    #[test]
    fn rfc9110_13_1_5_if_range_wants_the_very_tag_or_date() {
        for (validator, expected) in [
            ("\"v1\"", 206),
            ("W/\"v1\"", 200),
            ("\"v0\"", 200),
            ("*", 200),
            ("", 200),
            (SAME, 206),
            (EARLIER, 200),
            (LATER, 200),
        ] {
            let fields = format!("Range: bytes=1-2\r\nIf-Range: {validator}\r\n");
            assert_eq!(status(&fields), expected, "{validator}");
        }
        assert_eq!(status("If-Range: \"v1\"\r\n"), 200);
    }

    #[test]
    fn rfc9110_14_1_2_ranges_are_cut_to_the_length() {
        assert_eq!(range("bytes=0-0"), (206, 0, 1));
        assert_eq!(range("bytes=2-5"), (206, 2, 6));
        assert_eq!(range("Bytes=9-"), (206, 9, 10));
        assert_eq!(range("bytes=0-99"), (206, 0, 10));
        assert_eq!(range("bytes=5-18446744073709551615"), (206, 5, 10));
        assert_eq!(range("bytes=-3"), (206, 7, 10));
        assert_eq!(range("bytes=-99"), (206, 0, 10));
    }

    #[test]
    fn rfc9110_15_5_17_ranges_past_the_end_are_not_satisfiable() {
        for text in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(range(text), (416, 0, 0), "{text}");
        }
        let empty = Facts {
            length_bytes: 0,
            ..FACTS
        };
        let asked = |range| decide_with("GET", &format!("Range: {range}\r\n"), &empty).0;
        assert_eq!((asked("bytes=0-"), asked("bytes=-0")), (416, 416));
        // Satisfiable by section 14.1.2, but no Content-Range could tell it.
        assert_eq!(asked("bytes=-5"), 200);
    }

    #[test]
    fn rfc9110_14_2_other_ranges_are_ignored() {
        for text in [
            "bytes=5-2",
            "bytes=0-0,2-3",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes",
            "lines=0-1",
            "bytes=1-2x",
            "bytes =0-1",
            "bytes= 0-1",
            "bytes=+1-2",
            "bytes=--1",
            "",
        ] {
            assert_eq!(range(text), (200, 0, 10), "{text}");
        }
        assert_eq!(
            decide_with("HEAD", "Range: bytes=0-0\r\n", &FACTS),
            (200, 0, 10)
        );
    }
}
