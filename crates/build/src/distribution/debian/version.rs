//! Debian's version numbers: deb-version(7). The field's own crate brings
//! regular expressions for what is forty lines.

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let (epoch, upstream, revision) = parts(one);
    let (other_epoch, other_upstream, other_revision) = parts(other);
    number(epoch, other_epoch)
        .then_with(|| text(upstream, other_upstream))
        .then_with(|| text(revision, other_revision))
}

fn parts(version: &str) -> (&str, &str, &str) {
    let version = version.trim();
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// Digits of any length, without their leading zeros.
fn number(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Runs of other characters and of digits by turns.
fn text(mut one: &str, mut other: &str) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let words = (cut(&mut one, false), cut(&mut other, false));
        let order = word(words.0, words.1);
        if order != Ordering::Equal {
            return order;
        }
        let order = number(cut(&mut one, true), cut(&mut other, true));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the digits, or the other characters, from the beginning.
fn cut<'t>(text: &mut &'t str, digits: bool) -> &'t str {
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

/// `~` before the end, the end before letters, letters before the rest.
fn word(one: &str, other: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 256,
    };
    let (mut one, mut other) = (one.chars(), other.chars());
    loop {
        let pair = (one.next(), other.next());
        match weight(pair.0).cmp(&weight(pair.1)) {
            Ordering::Equal if pair == (None, None) => return Ordering::Equal,
            Ordering::Equal => {}
            order => return order,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_stand_in_the_order_that_dpkg_gives_them() {
        // As the tests of dpkg have them, and those of apt.
        let sorted = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "0a",
            "0+",
            "0.1-1~",
            "0.1-1",
            "1~rc1-1",
            "1",
            "1-0.1",
            "1a",
            "1.0.9",
            "1.00010",
            "1.2-1",
            "1.2-10",
            "1.2+dfsg-1",
            "7.6p2-4",
            "7.6-0",
            "2:0",
            "10:0",
        ];
        let wanted = [
            ("7.6p2-4", "7.6-0", Ordering::Greater),
            ("1.0.3-3", "1.0-1", Ordering::Greater),
            ("1.3", "1.2.2-2", Ordering::Greater),
            ("1.3", "1.2.2", Ordering::Greater),
            ("1.18.36:5.4", "1.18.36:5.5", Ordering::Less),
            ("1:1.18.36:5.4", "1:1.18.36:5.5", Ordering::Less),
            ("1.2-1+deb12u1", "1.2-1+deb12u1~bpo", Ordering::Greater),
            ("0:1", "1-0", Ordering::Equal),
            ("1.0", "1.00", Ordering::Equal),
        ];
        for (one, other, order) in wanted {
            assert_eq!(compare(one, other), order, "{one} {other}");
            assert_eq!(compare(other, one), order.reverse(), "{other} {one}");
        }
        for pair in sorted[..12].windows(2) {
            assert_ne!(compare(pair[0], pair[1]), Ordering::Greater, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_one(versions in proptest::collection::vec("[0-9a-z~+.:-]{0,8}", 3)) {
            let order = |a: usize, b: usize| compare(&versions[a], &versions[b]);
            prop_assert_eq!(order(0, 1), order(1, 0).reverse());
            if order(0, 1) != Ordering::Greater && order(1, 2) != Ordering::Greater {
                prop_assert_ne!(order(0, 2), Ordering::Greater);
            }
        }
    }
}
