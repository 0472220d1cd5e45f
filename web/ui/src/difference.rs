//! From what was seen to what is to be seen: the commands between, with the fewest moves of keyed
//! elements (those outside a longest increasing subsequence).

use alloc::vec;
use alloc::vec::Vec;

use crate::bare::Bare as _;
use crate::op::Op;
use crate::patch::Patch;
use crate::view::{
    ATTRIBUTE, CLASS, CLASSES, ELEMENT, FLAG, FOCUS, HEAD, KEYLESS, ON, SMALL, SVG, TEXT, Tree,
    VALUE,
};

/// The numbers of nodes: which are free again, and the next that never was in use.
#[derive(Debug)]
pub(crate) struct Nodes {
    free: Vec<u32>,
    used: u32,
}

impl Nodes {
    pub(crate) const fn new() -> Self {
        Self {
            free: Vec::new(),
            used: 0,
        }
    }

    /// The first of so many in a row; `None` where there are enough that are not in a row.
    fn take_row(&mut self, count: u32) -> Option<u32> {
        let count = count as usize;
        let Some(from) = self.free.len().checked_sub(count) else {
            let first = self.used + 1;
            self.used += count as u32;
            return Some(first);
        };
        let first = self.free.at(from);
        let row = self.free.part(from, self.free.len());
        if !row.iter().zip(first..).all(|(own, wanted)| *own == wanted) {
            return None;
        }
        self.free.truncate(from);
        Some(first)
    }

    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used
        })
    }
}

/// Writes the commands that make `old` into `new`, whose nodes get their numbers.
pub(crate) fn difference(old: &Tree, new: &mut Tree, nodes: &mut Nodes, patch: &mut Patch) {
    let mut walk = Walk {
        old,
        new,
        nodes,
        patch,
        current: 0,
        focus: 0,
    };
    if old.words.is_empty() {
        let (at, end) = (walk.new.content(0), walk.new.end(0));
        walk.insert(0, at, end, 0);
    } else {
        walk.content(0, 0);
    }
    if walk.focus != 0 {
        let focus = walk.focus;
        walk.at(focus);
        walk.patch.focus();
    }
}

struct Walk<'a> {
    old: &'a Tree,
    new: &'a mut Tree,
    nodes: &'a mut Nodes,
    patch: &'a mut Patch,
    /// The page's current element.
    current: u32,
    /// The element that gets the focus in the end.
    focus: u32,
}

impl Walk<'_> {
    fn at(&mut self, node: u32) {
        if self.current != node {
            self.patch.at(node);
            self.current = node;
        }
    }

    /// The number of what stands at `at`; a text's is where an element's name is.
    fn node(tree: &Tree, at: usize) -> u32 {
        tree.words
            .at(at + if tree.kind(at) == ELEMENT { 3 } else { 1 })
    }

    /// Whether what stood at `old` goes on as what stands at `new`.
    fn is_same(&self, old: usize, new: usize) -> bool {
        let kind = self.old.words.at(old);
        kind == self.new.words.at(new)
            && (kind == TEXT
                || self.old.words.part(old + 1, old + 3) == self.new.words.part(new + 1, new + 3))
    }

    /// What is the same but for what is in it.
    fn update(&mut self, old: usize, new: usize) {
        let node = Self::node(self.old, old);
        if self.old.kind(old) == TEXT {
            self.new.words.put(new + 1, node);
            if self.old.text(old) != self.new.text(new) {
                self.at(node);
                self.patch.put_as(Op::Text, self.new.text(new));
            }
            return;
        }
        self.new.words.put(new + 3, node);
        self.settings(node, old, new);
        self.content(old, new);
    }

    fn settings(&mut self, node: u32, old: usize, new: usize) {
        let (mut o, mut n) = (old + HEAD, new + HEAD);
        let (old_end, new_end) = (self.old.content(old), self.new.content(new));
        // Most often they are the same ones.
        while o < old_end && n < new_end && self.is_alike(o, n) {
            if !self.is_equal(o, n) {
                self.at(node);
                self.set(n, node);
            }
            o += SMALL;
            n += SMALL;
        }
        for at in (o..old_end).step_by(SMALL) {
            if !(n..new_end)
                .step_by(SMALL)
                .any(|other| self.is_alike(at, other))
            {
                self.at(node);
                self.unset(at);
            }
        }
        for at in (n..new_end).step_by(SMALL) {
            let other = (o..old_end)
                .step_by(SMALL)
                .find(|other| self.is_alike(*other, at));
            if !other.is_some_and(|other| self.is_equal(other, at)) {
                self.at(node);
                self.set(at, node);
            }
        }
    }

    /// Whether two settings are of the same kind and name.
    fn is_alike(&self, old: usize, new: usize) -> bool {
        self.old.words.part(old, old + 2) == self.new.words.part(new, new + 2)
    }

    fn is_equal(&self, old: usize, new: usize) -> bool {
        match self.old.kind(old) {
            ATTRIBUTE | CLASSES | VALUE => self.old.text(old) == self.new.text(new),
            _ => self.old.words.part(old + 2, old + 4) == self.new.words.part(new + 2, new + 4),
        }
    }

    /// Makes a setting of the current element.
    fn set(&mut self, at: usize, node: u32) {
        let [kind, name, one, other] = [0, 1, 2, 3].map(|word| self.new.words.at(at + word));
        match kind {
            ATTRIBUTE => {
                let units = self.patch.put(self.new.text(at));
                self.patch.command(Op::Attribute, name);
                self.patch.word(units);
            }
            CLASS => self.patch.command(Op::ClassName, one),
            CLASSES | VALUE => {
                let op = match kind {
                    CLASSES => Op::Class,
                    _ => Op::Value,
                };
                self.patch.put_as(op, self.new.text(at));
            }
            FLAG => {
                self.patch.command(Op::Flag, name);
                self.patch.word(one);
            }
            ON => {
                self.patch.command(Op::On, name);
                self.patch.word(one);
                self.patch.word(other);
            }
            FOCUS if one != 0 => self.focus = node,
            _ => {}
        }
    }

    fn unset(&mut self, at: usize) {
        let name = self.old.words.at(at + 1);
        match self.old.kind(at) {
            ATTRIBUTE => self.patch.command(Op::Unattribute, name),
            CLASS | CLASSES => self.patch.command(Op::Class, 0),
            FLAG => {
                self.patch.command(Op::Flag, name);
                self.patch.word(0);
            }
            ON => self.patch.command(Op::Off, name),
            _ => {}
        }
    }

    fn content(&mut self, old: usize, new: usize) {
        let node = Self::node(self.new, new);
        let (o, n) = (self.old.content(old), self.new.content(new));
        let (old_end, new_end) = (self.old.end(old), self.new.end(new));
        match (self.old.only_text(old), self.new.only_text(new)) {
            (Some(before), Some(after)) => {
                if before != after {
                    self.only(node, n);
                }
            }
            (None, Some(_)) => {
                self.release(o, old_end);
                self.only(node, n);
            }
            (Some(_), None) => {
                self.at(node);
                self.patch.empty();
                self.insert(node, n, new_end, 0);
            }
            (None, None) => self.children(node, o..old_end, n..new_end),
        }
    }

    /// A text becomes all that is in `node`.
    fn only(&mut self, node: u32, at: usize) {
        self.at(node);
        self.patch.put_as(Op::Text, self.new.text(at));
    }

    fn children(
        &mut self,
        parent: u32,
        old: core::ops::Range<usize>,
        new: core::ops::Range<usize>,
    ) {
        let (mut o, mut n) = (old.start, new.start);
        while o < old.end && n < new.end && self.is_same(o, n) {
            self.update(o, n);
            (o, n) = (self.old.end(o), self.new.end(n));
        }
        if o == old.end {
            self.insert(parent, n, new.end, 0);
            return;
        }
        if n == new.end && n == new.start {
            self.release(o, old.end);
            self.at(parent);
            self.patch.empty();
            return;
        }
        let mut before = starts(self.old, o, old.end);
        let mut after = starts(self.new, n, new.end);
        // What comes after all the rest that has changed.
        let mut follower = 0;
        while let (Some(&one), Some(&other)) = (before.last(), after.last()) {
            if !self.is_same(one, other) {
                break;
            }
            self.update(one, other);
            follower = Self::node(self.new, other);
            before.pop();
            after.pop();
        }
        self.arrange(parent, &before, &after, follower, o == old.start);
    }

    /// Brings siblings into a new order before `follower`: what is gone is removed, what is new made.
    fn arrange(
        &mut self,
        parent: u32,
        before: &[usize],
        after: &[usize],
        follower: u32,
        is_first: bool,
    ) {
        let from = self.sources(before, after);
        let mut stays = vec![false; before.len()];
        for place in &from {
            if *place != NONE {
                stays.put(*place, true);
            }
        }
        if is_first && follower == 0 && !stays.contains(&true) {
            for at in before {
                self.release(*at, self.old.end(*at));
            }
            self.at(parent);
            self.patch.empty();
        } else {
            for (place, at) in before.iter().enumerate() {
                if !stays.at(place) {
                    self.patch.command(Op::Remove, Self::node(self.old, *at));
                    self.release(*at, self.old.end(*at));
                }
            }
        }
        let rests = longest_increasing(&from);
        let mut next = follower;
        let mut place = after.len();
        while place > 0 {
            place -= 1;
            let at = after.at(place);
            let source = from.at(place);
            if source == NONE {
                // A run of new ones is made at once.
                let end = self.new.end(at);
                while place > 0 && from.at(place - 1) == NONE {
                    place -= 1;
                }
                self.insert(parent, after.at(place), end, next);
                next = Self::node(self.new, after.at(place));
                continue;
            }
            self.update(before.at(source), at);
            let node = Self::node(self.new, at);
            if !rests.at(place) {
                self.at(parent);
                self.patch.command(Op::Move, node);
                self.patch.word(next);
            }
            next = node;
        }
    }

    /// For each that is to be seen, which of those that were seen it is, or [`NONE`].
    fn sources(&self, before: &[usize], after: &[usize]) -> Vec<usize> {
        // Open addressing: a place for each that was seen, found by what it is.
        let size = (before.len() * 2).next_power_of_two();
        let mut table = vec![NONE; size];
        let mut seen = Vec::with_capacity(before.len());
        let mut keyless = 0;
        for (place, at) in before.iter().enumerate() {
            let identity = identity(self.old, *at, &mut keyless);
            seen.push(identity);
            let mut slot = identity.slot();
            while table.at(slot % size) != NONE {
                slot += 1;
            }
            table.put(slot % size, place);
        }
        let mut from = vec![NONE; after.len()];
        keyless = 0;
        for (place, at) in after.iter().enumerate() {
            let wanted = identity(self.new, *at, &mut keyless);
            let mut slot = wanted.slot();
            loop {
                let there = table.at(slot % size);
                if there == NONE {
                    break;
                }
                if seen.at(there) == wanted {
                    from.put(place, there);
                    // A key that comes twice is taken once.
                    seen.put(there, Identity::default());
                    break;
                }
                slot += 1;
            }
        }
        from
    }

    /// Makes all from `at` to `end` and puts it before `follower`.
    fn insert(&mut self, parent: u32, at: usize, end: usize, follower: u32) {
        if at == end {
            return;
        }
        self.patch.command(Op::Hold, 0);
        self.make(at, end);
        self.patch.command(Op::Put, parent);
        self.patch.word(follower);
        self.current = parent;
    }

    fn make(&mut self, mut at: usize, end: usize) {
        // What was made last; its like are copies of it.
        let mut model = NONE;
        while at < end {
            let kind = self.new.words.at(at);
            if model != NONE
                && let Some(count) = self.likeness(model, at)
                && let Some(first) = self.nodes.take_row(count)
            {
                self.copy(model, at, first);
                at = self.new.end(at);
                continue;
            }
            let made = at;
            let node = self.nodes.take();
            let here = self.new.end(at);
            if kind == TEXT {
                self.new.words.put(at + 1, node);
                self.patch.put_as(Op::Node, self.new.text(at));
                self.patch.word(node);
            } else {
                self.new.words.put(at + 3, node);
                let op = if kind & SVG == 0 {
                    Op::Open
                } else {
                    Op::OpenSvg
                };
                self.patch.command(op, self.new.words.at(at + 1));
                self.patch.word(node);
                let content = self.new.content(at);
                for setting in (at + HEAD..content).step_by(SMALL) {
                    // A flag that is not there need not be taken away.
                    if self.new.kind(setting) != FLAG || self.new.words.at(setting + 2) != 0 {
                        self.set(setting, node);
                    }
                }
                match self.new.only_text(at) {
                    Some(text) => self.patch.put_as(Op::Text, text),
                    None => self.make(content, here),
                }
                self.patch.close();
                model = made;
            }
            at = here;
        }
    }

    /// How many elements `other` has, if it is `model` but for its texts and the values of its
    /// settings, and large enough for a copy to be worth it.
    fn likeness(&self, model: usize, other: usize) -> Option<u32> {
        let length = self.new.end(model) - model;
        if length < LEAST_COPIED || self.new.end(other) - other != length {
            return None;
        }
        let mut elements = 0;
        let mut at = 0;
        while at < length {
            let (one, two) = (model + at, other + at);
            let kind = self.new.words.at(one);
            if kind != self.new.words.at(two) {
                return None;
            }
            let is_text = kind == TEXT;
            // A text among others has a number, which copies do not have.
            if is_text && self.new.words.at(one + 1) != 0 {
                return None;
            }
            if !is_text && self.new.words.at(one + 1) != self.new.words.at(two + 1) {
                return None;
            }
            if kind & !SVG == ELEMENT {
                if self.new.end(one) - one != self.new.end(two) - two {
                    return None;
                }
                elements += 1;
                at += HEAD;
            } else {
                at += SMALL;
            }
        }
        Some(elements)
    }

    /// Makes `at` a copy of `model`, with numbers from `first` on, and says what differs.
    fn copy(&mut self, model: usize, at: usize, first: u32) {
        self.patch.command(Op::Copy, Self::node(self.new, model));
        self.patch.word(first);
        let mut current = first;
        let mut node = first;
        let mut next = first;
        let end = self.new.end(at);
        let (mut there, mut own) = (model, at);
        while own < end {
            let kind = self.new.kind(own);
            if kind == ELEMENT {
                node = next;
                self.new.words.put(own + 3, node);
                next += 1;
                own += HEAD;
                there += HEAD;
                continue;
            }
            let is_same = match kind {
                ATTRIBUTE | CLASSES => self.new.text(own) == self.new.text(there),
                CLASS => self.new.words.at(own + 2) == self.new.words.at(there + 2),
                // A copy has none.
                TEXT => self.new.text(own).is_empty(),
                // What is no part of the markup is no part of a copy.
                _ => false,
            };
            if kind == ON && node != first {
                // The page need not look for the element before something happens in it.
                let [name, message, argument] = [1, 2, 3].map(|word| self.new.words.at(own + word));
                self.patch.command(Op::OnAt, name);
                self.patch.word(node);
                self.patch.word(message);
                self.patch.word(argument);
            } else if !is_same {
                if current != node {
                    self.patch.at(node);
                    current = node;
                }
                match kind {
                    TEXT => self.patch.put_as(Op::Text, self.new.text(own)),
                    _ => self.set(own, node),
                }
            }
            own += SMALL;
            there += SMALL;
        }
        if current != first {
            self.patch.at(first);
        }
        // Its parent is where the next goes.
        self.patch.close();
    }

    /// Numbers of what was seen from `at` to `end` are free again.
    fn release(&mut self, mut at: usize, end: usize) {
        while at < end {
            let kind = self.old.kind(at);
            if kind <= TEXT {
                let node = Self::node(self.old, at);
                // The only text of an element has none.
                if node != 0 {
                    self.nodes.free.push(node);
                }
            }
            at += if kind == ELEMENT { HEAD } else { SMALL };
        }
    }
}

/// Words that an element has at least for a copy to be cheaper than making it.
const LEAST_COPIED: usize = 3 * HEAD;

/// No place.
const NONE: usize = usize::MAX;

/// What makes a sibling itself: kind, name, key; of those without a key their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Identity(u32, u32, u32, u32);

impl Identity {
    fn slot(self) -> usize {
        // Fibonacci hashing, of what differs most.
        ((self.2 ^ self.3.rotate_left(16)).wrapping_mul(0x9e37_79b1) >> 8) as usize
    }
}

fn identity(tree: &Tree, at: usize, keyless: &mut u32) -> Identity {
    let (kind, mut name, mut key) = (tree.words.at(at), 0, KEYLESS);
    if kind != TEXT {
        (name, key) = (tree.words.at(at + 1), tree.words.at(at + 2));
    }
    let mut order = 0;
    if key == KEYLESS {
        *keyless += 1;
        order = *keyless;
    }
    Identity(kind + 1, name, key, order)
}

/// Where the siblings from `at` to `end` begin.
fn starts(tree: &Tree, mut at: usize, end: usize) -> Vec<usize> {
    let mut all = Vec::new();
    while at < end {
        all.push(at);
        at = tree.end(at);
    }
    all
}

/// Which of the places stand in one longest run of increasing sources; they need not be moved.
fn longest_increasing(from: &[usize]) -> Vec<bool> {
    // The place that ends the best run of each length so far, and what comes before each place.
    let mut ends: Vec<usize> = Vec::new();
    let mut earlier = vec![NONE; from.len()];
    for (place, source) in from.iter().enumerate() {
        if *source == NONE {
            continue;
        }
        let length = ends.partition_point(|end| from.at(*end) < *source);
        if length > 0 {
            earlier.put(place, ends.at(length - 1));
        }
        if length == ends.len() {
            ends.push(place);
        } else {
            ends.put(length, place);
        }
    }
    let mut rests = vec![false; from.len()];
    let mut place = ends.last().copied().unwrap_or(NONE);
    while place != NONE {
        rests.put(place, true);
        place = earlier.at(place);
    }
    rests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_rests() {
        let from = [3, 0, NONE, 1, 4, 2];
        let rests = longest_increasing(&from);
        let count = rests.iter().filter(|rests| **rests).count();
        assert_eq!(count, 3);
        assert!(!rests[0] && !rests[2]);
        assert_eq!(longest_increasing(&[]), Vec::<bool>::new());
    }
}
