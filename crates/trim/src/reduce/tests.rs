use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A forest of folders and files: so many items, each parent before its child.
fn forest() -> impl Strategy<Value = Vec<Option<usize>>> {
    prop::collection::vec(any::<prop::sample::Index>(), 1..60).prop_map(|picks| {
        let parent = |(item, pick): (usize, &prop::sample::Index)| match pick.index(item + 1) {
            0 => None,
            parent => Some(parent - 1),
        };
        picks.iter().enumerate().map(parent).collect()
    })
}

/// Passes if all that is needed is there.
fn needs(needed: &BTreeSet<usize>, set: &Set) -> bool {
    needed.iter().all(|item| set.contains(*item))
}

/// No single item that nothing hangs below can go.
fn is_minimal(forest: &Forest, set: &Set, passes: &dyn Fn(&Set) -> bool) -> bool {
    let leaves = forest.leaves(set);
    leaves
        .iter()
        .all(|leaf| !passes(&forest.without(set, &[*leaf])))
}

struct Wide<'a>(usize, &'a dyn Fn(&Set) -> bool, &'a mut usize);

impl Oracle<()> for Wide<'_> {
    fn width(&self) -> usize {
        self.0
    }

    fn test(&mut self, sets: &[Set]) -> Result<Vec<bool>, ()> {
        *self.2 += sets.len();
        Ok(sets.iter().map(self.1).collect())
    }
}

proptest! {
    #[test]
    fn a_monotone_oracle_leaves_exactly_what_it_needs(
        parents in forest(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        seed in any::<u64>(),
        width in 1usize..5,
    ) {
        let forest = Forest::new(parents.clone(), |_| true);
        let needed: BTreeSet<_> = picks.iter().map(|pick| pick.index(forest.len())).collect();
        let mut count = 0;
        let passes = |set: &Set| needs(&needed, set);
        let mut oracle = Wide(width, &passes, &mut count);
        let reduced = reduce(&forest, seed, &mut oracle);
        prop_assert!(reduced.minimal);
        let mut expected = needed.clone();
        for mut item in needed.iter().copied() {
            while let Some(parent) = parents[item] {
                expected.insert(parent);
                item = parent;
            }
        }
        prop_assert_eq!(reduced.set.iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn an_oracle_of_any_mood_leaves_a_set_that_passes_and_is_1_minimal(
        parents in forest(),
        salt in any::<u64>(),
        percent in 0u64..100,
        seed in any::<u64>(),
        width in 1usize..4,
    ) {
        // Not monotone at all: whether a set passes is as good as random, but always the same.
        let forest = Forest::new(parents, |_| true);
        let full = Set::full(forest.len());
        let passes = |set: &Set| {
            let mut hash = salt;
            for byte in set.to_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                hash ^= hash >> 29;
            }
            *set == full || hash % 100 < percent
        };
        let mut count = 0;
        let reduced = reduce(&forest, seed, &mut Wide(width, &passes, &mut count));
        prop_assert!(reduced.minimal && passes(&reduced.set));
        prop_assert!(is_minimal(&forest, &reduced.set, &passes));
        // Each pass over what is left takes something away, or is the last.
        let items = forest.len();
        prop_assert!(count <= 8 * items * (items + 2), "{} of {}", count, items);
    }

    #[test]
    fn what_cannot_go_stays_with_all_above_it_and_is_never_tried(
        parents in forest(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let count = parents.len();
        let held: BTreeSet<_> = picks.iter().map(|pick| pick.index(count)).collect();
        let forest = Forest::new(parents, |item| !held.contains(&item));
        let mut oracle = |set: &Set| {
            assert!(needs(&held, set));
            Ok::<_, ()>(true)
        };
        let reduced = reduce(&forest, 0, &mut oracle);
        prop_assert!(needs(&held, &reduced.set));
        prop_assert_eq!(forest.leaves(&reduced.set), Vec::<usize>::new());
    }

    #[test]
    fn an_oracle_that_gives_up_leaves_the_best_that_passed(
        parents in forest(),
        most in 0usize..20,
        need in any::<prop::sample::Index>(),
    ) {
        let forest = Forest::new(parents, |_| true);
        let needed = BTreeSet::from([need.index(forest.len())]);
        let mut left = most;
        let mut oracle = |set: &Set| {
            left = left.checked_sub(1).ok_or("enough")?;
            Ok::<_, &str>(needs(&needed, set))
        };
        let reduced = reduce(&forest, 0, &mut oracle);
        prop_assert!(needs(&needed, &reduced.set));
        prop_assert_eq!(reduced.minimal, reduced.stopped.is_none());
    }
}

/// A tree like a distribution's: so many files in folders of folders.
fn distribution(files: usize) -> (Forest, Vec<usize>) {
    let mut parents: Vec<Option<usize>> = Vec::new();
    let mut leaves = Vec::new();
    let mut add = |parent| {
        parents.push(parent);
        parents.len() - 1
    };
    for _ in 0..10 {
        let top = add(None);
        for _ in 0..10 {
            let folder = add(Some(top));
            for _ in 0..files / 100 {
                leaves.push(add(Some(folder)));
            }
        }
    }
    (Forest::new(parents, |_| true), leaves)
}

#[test]
fn twenty_four_of_ten_thousand_are_found_in_few_trials() {
    let (forest, files) = distribution(10_000);
    // As a program's: most in one folder, others by twos in some far off.
    let near = (0..14).map(|index| files[4200 + index * index % 97]);
    let far = (0..10).map(|index| files[(index / 2 * 1954 + index % 2 * 7 + 13) % files.len()]);
    let needed: BTreeSet<_> = near.chain(far).collect();
    let mut count = 0;
    let passes = |set: &Set| needs(&needed, set);
    let reduced = reduce(&forest, 0, &mut Wide(1, &passes, &mut count));
    assert!(reduced.minimal);
    assert!(count <= 250, "{count}");
}

#[test]
fn near_half_of_five_hundred_cost_less_than_two_trials_each_of_all() {
    let forest = Forest::new(vec![None; 520], |_| true);
    let needed: BTreeSet<_> = (0..520).filter(|item| item * 7919 % 520 < 227).collect();
    let mut count = 0;
    let passes = |set: &Set| needs(&needed, set);
    let reduced = reduce(&forest, 0, &mut Wide(1, &passes, &mut count));
    assert_eq!(reduced.set.len(), needed.len());
    assert!(count <= 900, "{count}");
}
