//! The suffixes of an image in their order, to find where bytes stand in it.
//!
//! Built by induced sorting (Nong, Zhang, Chan: "Linear Suffix Array Construction
//! by Almost Pure Induced-Sorting", 2009), in linear time.

/// The suffixes of some bytes, sorted.
#[derive(Debug)]
pub(crate) struct Suffixes<'a> {
    bytes: &'a [u8],
    sorted: Vec<u32>,
    /// For each first two bytes, where their suffixes begin.
    starts: Vec<u32>,
}

impl<'a> Suffixes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let symbols: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
        let sorted = sort(&symbols, 256);
        drop(symbols);
        let mut starts = vec![0_u32; 65_537];
        for pair in bytes.windows(2) {
            starts[(usize::from(pair[0]) << 8 | usize::from(pair[1])) + 1] += 1;
        }
        // The suffix of one byte comes before all others that begin with it.
        if let Some(&last) = bytes.last() {
            starts[(usize::from(last) << 8) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Self {
            bytes,
            sorted,
            starts,
        }
    }

    /// Where the longest prefix of `wanted` stands, and how long that is.
    pub(crate) fn longest(&self, wanted: &[u8]) -> (usize, usize) {
        let &[first, second, ..] = wanted else {
            return (0, 0);
        };
        let pair = usize::from(first) << 8 | usize::from(second);
        let (start, end) = (self.starts[pair] as usize, self.starts[pair + 1] as usize);
        let bucket = &self.sorted[start..end];
        // The two neighbours of the place where it would stand have the most in common with it.
        let (mut low, mut high) = (0, bucket.len());
        let (mut low_common, mut high_common) = (0, 0);
        let mut best = (0, 0);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = bucket[middle] as usize;
            let skip = low_common.min(high_common);
            let common = skip + common(&self.bytes[at + skip..], &wanted[skip..]);
            if common > best.1 {
                best = (at, common);
            }
            if common == wanted.len() {
                break;
            }
            let less = match self.bytes.get(at + common) {
                Some(byte) => *byte < wanted[common],
                None => true,
            };
            if less {
                low = middle + 1;
                low_common = common;
            } else {
                high = middle;
                high_common = common;
            }
        }
        best
    }
}

/// How many bytes at the front are alike.
pub(crate) fn common(a: &[u8], b: &[u8]) -> usize {
    let whole = a
        .chunks_exact(8)
        .zip(b.chunks_exact(8))
        .take_while(|(a, b)| a == b)
        .count()
        * 8;
    let rest = a[whole..].iter().zip(&b[whole..]);
    whole + rest.take_while(|(a, b)| a == b).count()
}

/// Sorts the suffixes of `text`, whose symbols are below `alphabet`.
fn sort(text: &[u32], alphabet: usize) -> Vec<u32> {
    const EMPTY: u32 = u32::MAX;
    let count = text.len();
    match count {
        0 => return Vec::new(),
        1 => return vec![0],
        _ => {}
    }
    // Whether the suffix is smaller than the next one.
    let mut is_small = vec![false; count];
    for at in (0..count - 1).rev() {
        is_small[at] = match text[at].cmp(&text[at + 1]) {
            std::cmp::Ordering::Equal => is_small[at + 1],
            order => order.is_lt(),
        };
    }
    let mut large_starts = vec![0_u32; alphabet + 1];
    let mut small_starts = vec![0_u32; alphabet + 1];
    for at in 0..count {
        let symbol = text[at] as usize;
        if is_small[at] {
            large_starts[symbol + 1] += 1;
        } else {
            small_starts[symbol] += 1;
        }
    }
    for symbol in 0..=alphabet {
        small_starts[symbol] += large_starts[symbol];
        if symbol < alphabet {
            large_starts[symbol + 1] += small_starts[symbol];
        }
    }
    let induce = |sorted: &mut Vec<u32>, leftmost: &[u32]| {
        sorted.fill(EMPTY);
        let mut places = small_starts.clone();
        for &at in leftmost {
            let place = &mut places[text[at as usize] as usize];
            sorted[*place as usize] = at;
            *place += 1;
        }
        places.copy_from_slice(&large_starts);
        let last = count - 1;
        let place = &mut places[text[last] as usize];
        sorted[*place as usize] = last as u32;
        *place += 1;
        for number in 0..count {
            let at = sorted[number];
            if at != EMPTY && at >= 1 && !is_small[at as usize - 1] {
                let before = at - 1;
                let place = &mut places[text[before as usize] as usize];
                sorted[*place as usize] = before;
                *place += 1;
            }
        }
        places.copy_from_slice(&large_starts);
        for number in (0..count).rev() {
            let at = sorted[number];
            if at != EMPTY && at >= 1 && is_small[at as usize - 1] {
                let before = at - 1;
                let place = &mut places[text[before as usize] as usize + 1];
                *place -= 1;
                sorted[*place as usize] = before;
            }
        }
    };
    let mut numbers = vec![EMPTY; count + 1];
    let mut leftmost = Vec::new();
    for at in 1..count {
        if !is_small[at - 1] && is_small[at] {
            numbers[at] = leftmost.len() as u32;
            leftmost.push(at as u32);
        }
    }
    let mut sorted = vec![EMPTY; count];
    induce(&mut sorted, &leftmost);
    if leftmost.is_empty() {
        return sorted;
    }
    let in_order: Vec<u32> = sorted
        .iter()
        .copied()
        .filter(|&at| numbers[at as usize] != EMPTY)
        .collect();
    let mut names = vec![0_u32; leftmost.len()];
    let mut name = 0;
    let end_of = |at: u32| {
        let next = numbers[at as usize] as usize + 1;
        leftmost.get(next).map_or(count, |&end| end as usize)
    };
    for pair in in_order.windows(2) {
        let (mut left, mut right) = (pair[0] as usize, pair[1] as usize);
        let (left_end, right_end) = (end_of(pair[0]), end_of(pair[1]));
        let mut same = left_end - left == right_end - right;
        if same {
            while left < left_end && text[left] == text[right] {
                left += 1;
                right += 1;
            }
            same = right < count && left < count && text[left] == text[right];
        }
        name += u32::from(!same);
        names[numbers[pair[1] as usize] as usize] = name;
    }
    let order = sort(&names, name as usize + 1);
    let leftmost: Vec<u32> = order.iter().map(|&at| leftmost[at as usize]).collect();
    induce(&mut sorted, &leftmost);
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn suffixes_come_in_their_order(bytes in prop::collection::vec(0..4_u8, 0..300)) {
            let symbols: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
            let mut plainly: Vec<u32> = (0..bytes.len() as u32).collect();
            plainly.sort_by_key(|&at| &bytes[at as usize..]);
            prop_assert_eq!(sort(&symbols, 256), plainly);
        }

        #[test]
        fn the_longest_match_is_found(
            bytes in prop::collection::vec(0..3_u8, 0..200),
            wanted in prop::collection::vec(0..3_u8, 2..40),
        ) {
            let (at, length) = Suffixes::new(&bytes).longest(&wanted);
            let longest = (0..bytes.len()).map(|at| common(&bytes[at..], &wanted)).max();
            let longest = longest.unwrap_or(0);
            // A single byte is not looked for.
            prop_assert!(length == longest || longest < 2);
            prop_assert!(length == 0 || common(&bytes[at..], &wanted) == length);
        }
    }
}
