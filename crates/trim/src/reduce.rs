//! Delta debugging of a forest: which items can go without an oracle's noticing.
//!
//! Knows no files and no kernel: items are numbers, each with a parent or none,
//! and with an item goes all that hangs below it (as in Misherghi and Su, "HDD:
//! hierarchical delta debugging", 2006). Level by level from the top, the items
//! of a level are searched from their end for the longest run that can go
//! (by doubling, then halving), the one before it is needed, and so on. Nothing
//! is concluded that was not tried: what the oracle says need not be monotone.
//! In the end each item that nothing hangs below is tried alone, again and
//! again until none goes: the result is 1-minimal.

use std::collections::HashMap;

/// Items and what hangs below which.
#[derive(Debug, Clone)]
pub struct Forest {
    parents: Vec<Option<usize>>,
    depths: Vec<usize>,
    fixed: Vec<bool>,
}

/// Which items are there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Set(Vec<u64>);

/// What is left.
#[derive(Debug)]
pub struct Reduced<E> {
    /// Passed, unless nothing was tried.
    pub set: Set,
    /// Whether every item that can go was tried alone from this very set, and failed.
    pub minimal: bool,
    /// Why it ended early, if it did.
    pub stopped: Option<E>,
}

/// Says for each set whether it passes, in their order. It may be asked for more
/// than one at a time, so that it can try them at the same time.
pub trait Oracle<E> {
    /// How many sets it likes to be asked for at once; at least 1.
    fn width(&self) -> usize {
        1
    }

    /// Tries the sets.
    ///
    /// # Errors
    /// No more can be tried; what was found so far stands.
    fn test(&mut self, sets: &[Set]) -> Result<Vec<bool>, E>;
}

impl<E, F: FnMut(&Set) -> Result<bool, E>> Oracle<E> for F {
    fn test(&mut self, sets: &[Set]) -> Result<Vec<bool>, E> {
        sets.iter().map(self).collect()
    }
}

impl Set {
    /// All of so many items.
    pub fn full(count: usize) -> Self {
        let mut words = vec![u64::MAX; count.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !count.is_multiple_of(64)
        {
            *last = (1 << (count % 64)) - 1;
        }
        Self(words)
    }

    /// Whether the item is there.
    pub fn contains(&self, item: usize) -> bool {
        let word = self.0.get(item / 64);
        word.is_some_and(|word| word >> (item % 64) & 1 == 1)
    }

    /// How many are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The items, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(index, word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| index * 64 + bit)
        })
    }

    /// As bytes, to be hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn take(&mut self, item: usize) {
        if let Some(word) = self.0.get_mut(item / 64) {
            *word &= !(1 << (item % 64));
        }
    }
}

impl Forest {
    /// Each item's parent, which stands before it; and whether it can go. What
    /// cannot holds its parents.
    ///
    /// # Panics
    /// A parent that does not stand before its child: a bug of the caller's.
    pub fn new(parents: Vec<Option<usize>>, removable: impl Fn(usize) -> bool) -> Self {
        let mut depths = Vec::with_capacity(parents.len());
        for (item, parent) in parents.iter().enumerate() {
            depths.push(parent.map_or(0, |parent| {
                assert!(parent < item, "a parent stands before its child");
                depths[parent] + 1
            }));
        }
        let mut fixed: Vec<_> = (0..parents.len()).map(|item| !removable(item)).collect();
        for item in (0..parents.len()).rev() {
            if let (true, Some(parent)) = (fixed[item], parents[item]) {
                fixed[parent] = true;
            }
        }
        Self {
            parents,
            depths,
            fixed,
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// What the item hangs below.
    pub fn parent(&self, item: usize) -> Option<usize> {
        self.parents[item]
    }

    /// The set without these items and all that hangs below them.
    pub fn without(&self, set: &Set, items: &[usize]) -> Set {
        let mut less = set.clone();
        for item in items {
            less.take(*item);
        }
        let first = items.iter().copied().min().unwrap_or(self.len());
        for item in first..self.len() {
            if self.parents[item].is_some_and(|parent| !less.contains(parent)) {
                less.take(item);
            }
        }
        less
    }

    /// Of what is not in the set, the items whose parents are: with each went
    /// all that hangs below it.
    pub fn tops<'a>(&'a self, set: &'a Set) -> impl Iterator<Item = usize> + 'a {
        (0..self.len()).filter(|item| {
            let parent = self.parents[*item];
            !set.contains(*item) && parent.is_none_or(|parent| set.contains(parent))
        })
    }

    /// Items that can go and that nothing of the set hangs below.
    pub fn leaves(&self, set: &Set) -> Vec<usize> {
        let mut bare = vec![true; self.len()];
        for item in set.iter() {
            if let Some(parent) = self.parents[item] {
                bare[parent] = false;
            }
        }
        let free = |item: &usize| bare[*item] && !self.fixed[*item];
        set.iter().filter(free).collect()
    }
}

/// Looks for a 1-minimal set that passes. That the full set does is the caller's
/// to have tried. `seed` shuffles: there may be several such sets.
pub fn reduce<E>(forest: &Forest, seed: u64, oracle: &mut dyn Oracle<E>) -> Reduced<E> {
    let mut search = Search {
        forest,
        oracle,
        now: Set::full(forest.len()),
        known: HashMap::new(),
        seed,
    };
    let result = search.levels().and_then(|()| search.one_by_one());
    Reduced {
        minimal: result.is_ok(),
        stopped: result.err(),
        set: search.now,
    }
}

struct Search<'a, E> {
    forest: &'a Forest,
    oracle: &'a mut dyn Oracle<E>,
    /// Has passed.
    now: Set,
    known: HashMap<Set, bool>,
    seed: u64,
}

impl<E> Search<'_, E> {
    /// Tries sets that are not known yet.
    fn test(&mut self, sets: &[Set]) -> Result<Vec<bool>, E> {
        let fresh = |set: &&Set| **set != self.now && !self.known.contains_key(*set);
        let mut unknown: Vec<Set> = Vec::new();
        for set in sets.iter().filter(fresh) {
            if !unknown.contains(set) {
                unknown.push(set.clone());
            }
        }
        if !unknown.is_empty() {
            let results = self.oracle.test(&unknown)?;
            self.known.extend(unknown.into_iter().zip(results));
        }
        let known = |set: &Set| *set == self.now || self.known.get(set) == Some(&true);
        Ok(sets.iter().map(known).collect())
    }

    fn levels(&mut self) -> Result<(), E> {
        let deepest = self.forest.depths.iter().copied().max().unwrap_or(0);
        for depth in 0..=deepest {
            let here =
                |item: &usize| self.forest.depths[*item] == depth && !self.forest.fixed[*item];
            let mut items: Vec<_> = self.now.iter().filter(here).collect();
            shuffle(&mut items, self.seed);
            self.level(items)?;
        }
        Ok(())
    }

    /// Takes away what can go of these, the last first. `items[..end]` is what
    /// is left to be decided.
    fn level(&mut self, items: Vec<usize>) -> Result<(), E> {
        let mut end = items.len();
        // How many are guessed to go at once; all of them, to begin with.
        let mut guess = end as f64;
        while end > 0 {
            let (mut good, mut bad) = (0, None);
            let mut step = (guess as usize).clamp(1, end);
            while bad.is_none() && good < end {
                let sizes = self.probes(good, step, end);
                (good, bad) = self.try_runs(&items[..end], &sizes, good, bad)?;
                step = step.saturating_mul(1 << sizes.len().min(16));
            }
            while let Some(limit) = bad
                && limit - good > 1
            {
                let width = self.oracle.width().clamp(1, limit - good - 1);
                let step = |index| good + (limit - good) * index / (width + 1);
                let sizes: Vec<_> = (1..=width).map(step).filter(|size| *size > good).collect();
                (good, bad) = self.try_runs(&items[..end], &sizes, good, bad)?;
            }
            self.now = self.forest.without(&self.now, &items[end - good..end]);
            end -= good;
            // The one that stopped the run is needed.
            end -= usize::from(bad.is_some());
            // Needed items lie close together or far apart: the last runs tell
            // which. These weights took the fewest trials of those simulated.
            guess = (0.8 * guess.powf(0.3) * (good.max(1) as f64).powf(0.7)).max(1.0);
        }
        Ok(())
    }

    /// How many to try next when nothing has failed yet.
    fn probes(&self, good: usize, step: usize, end: usize) -> Vec<usize> {
        let width = self.oracle.width().max(1);
        let mut sizes: Vec<usize> = Vec::new();
        let (mut size, mut step) = (good, step);
        while sizes.len() < width && size < end {
            size = size.saturating_add(step).min(end);
            step = step.saturating_mul(2);
            sizes.push(size);
        }
        sizes
    }

    /// Tries to take so many away, from the end. Gives the largest number that
    /// passed below the smallest that failed, and that.
    fn try_runs(
        &mut self,
        items: &[usize],
        sizes: &[usize],
        mut good: usize,
        mut bad: Option<usize>,
    ) -> Result<(usize, Option<usize>), E> {
        let without = |size: &usize| self.forest.without(&self.now, &items[items.len() - size..]);
        let sets: Vec<_> = sizes.iter().map(without).collect();
        let results = self.test(&sets)?;
        for (size, passes) in sizes.iter().zip(results) {
            if passes {
                good = good.max(*size);
            } else {
                bad = Some(bad.map_or(*size, |bad| bad.min(*size)));
                break;
            }
        }
        Ok((good, bad))
    }

    fn one_by_one(&mut self) -> Result<(), E> {
        loop {
            let leaves = self.forest.leaves(&self.now);
            let mut gone = false;
            let width = self.oracle.width().max(1);
            for chunk in leaves.chunks(width) {
                let less = |item: &usize| self.forest.without(&self.now, &[*item]);
                let sets: Vec<_> = chunk.iter().map(less).collect();
                let results = self.test(&sets)?;
                if let Some(found) = results.iter().position(|passes| *passes) {
                    self.now = sets[found].clone();
                    gone = true;
                }
            }
            if !gone {
                return Ok(());
            }
        }
    }
}

/// Fisher and Yates' shuffle by xorshift64* (Vigna, 2016); 0 leaves the order.
fn shuffle(items: &mut [usize], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        if state == 0 {
            return;
        }
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let random = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        items.swap(last, (random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests;
