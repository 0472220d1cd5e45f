//! What the bytes between blocks are made of: bytes as they are, matches in what came
//! in gaps before, and short matches in the old image. Chosen greedily with a look at
//! the next byte, by what each would cost at this moment.

use std::collections::HashMap;

use super::suffix::{Suffixes, common};

/// What a gap is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A byte as it is.
    Literal,
    /// Bytes that came so far back in the gaps.
    Window { distance: u32, count: u32 },
    /// Bytes of the old image, references made to fit.
    Old { at: u32, count: u32 },
}

/// Candidates of one beginning that are looked at.
const CHAIN: usize = 48;

/// Bytes by which places in the window are found.
const KEY: usize = 3;

/// A step, and what it saves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) step: Step,
    pub(crate) count: u32,
}

/// Finds matches.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    /// Of the old image, or of the old one without references.
    suffixes: &'a Suffixes<'a>,
    /// The new image, likewise.
    wanted: &'a [u8],
    /// All bytes of gaps so far.
    history: Vec<u8>,
    heads: HashMap<[u8; KEY], u32>,
    before: Vec<u32>,
    window_bytes: usize,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(suffixes: &'a Suffixes<'a>, wanted: &'a [u8], window_bytes: u32) -> Self {
        Self {
            suffixes,
            wanted,
            history: Vec::new(),
            heads: HashMap::new(),
            before: Vec::new(),
            window_bytes: window_bytes as usize,
        }
    }

    /// Remembers bytes of a gap.
    pub(crate) fn remember(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.history.push(byte);
            self.before.push(u32::MAX);
            if let Some(key) = self.history.last_chunk::<KEY>() {
                let at = self.history.len() - KEY;
                if let Some(head) = self.heads.insert(*key, at as u32) {
                    self.before[at] = head;
                }
            }
        }
    }

    /// Where in the old image the bytes at a place of the new one may stand.
    pub(crate) fn place(&self, at: usize) -> Option<u32> {
        let (place, length) = self.suffixes.longest(&self.wanted[at..]);
        (length >= 4).then_some(place as u32)
    }

    /// The longest match in the window, and one at `distance` if it is as good.
    pub(crate) fn window(&self, wanted: &[u8], distance: u32) -> [Option<Offer>; 2] {
        let here = self.history.len();
        let length = |at: usize| {
            // A match may run into itself.
            let mut count = common(&self.history[at..], wanted);
            if at + count == here {
                let period = here - at;
                while count < wanted.len() && wanted[count] == wanted[count - period] {
                    count += 1;
                }
            }
            count
        };
        let offer = |distance: u32, count: usize| Offer {
            step: Step::Window {
                distance,
                count: count as u32,
            },
            count: count as u32,
        };
        let again = here
            .checked_sub(distance as usize)
            .map(&length)
            .filter(|count| *count >= 1)
            .map(|count| offer(distance, count));
        let mut best: Option<(usize, usize)> = None;
        let mut next = wanted
            .first_chunk::<KEY>()
            .and_then(|key| self.heads.get(key));
        for _ in 0..CHAIN {
            let Some(&at) = next else { break };
            if at == u32::MAX || here - at as usize > self.window_bytes {
                break;
            }
            let count = length(at as usize);
            if best.is_none_or(|(_, best)| count > best) {
                best = Some((here - at as usize, count));
            }
            next = self.before.get(at as usize);
        }
        let best = best.map(|(distance, count)| offer(distance as u32, count));
        [best, again]
    }
}
