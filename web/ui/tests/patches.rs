//! Patches, applied to a page that is only modelled: what is seen is what a fresh page would show.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};

use ounce_ui::{App, Component, Event, Op, Patch, SAVE, START, Shown, View};
use proptest::prelude::*;

/// How many random pages are tried.
const CASES: u32 = 400;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    tag: String,
    text: String,
    attributes: BTreeMap<String, String>,
    children: Vec<usize>,
}

/// What a page does with patches, as `web/src/surface.ts` does it.
#[derive(Default)]
struct Page {
    arena: Vec<Node>,
    numbers: HashMap<u32, usize>,
    names: Vec<String>,
    calls: Vec<(String, u32, String)>,
    state: Option<String>,
    moves: usize,
    made: usize,
}

impl Page {
    fn new() -> Self {
        let mut page = Self::default();
        page.arena.push(Node::default());
        page.numbers.insert(0, 0);
        page
    }

    fn make(&mut self, node: Node) -> usize {
        self.arena.push(node);
        self.made += 1;
        self.arena.len() - 1
    }

    fn parent(&self, node: usize) -> Option<usize> {
        self.arena
            .iter()
            .position(|other| other.children.contains(&node))
    }

    fn detach(&mut self, node: usize) {
        if let Some(parent) = self.parent(node) {
            self.arena[parent].children.retain(|child| *child != node);
        }
    }

    /// A copy as the page makes it: without listeners and texts, its elements numbered as they stand.
    fn copied(&mut self, node: usize, number: &mut u32) -> usize {
        let from = self.arena[node].clone();
        let made = self.make(Node {
            attributes: from
                .attributes
                .into_iter()
                .filter(|(name, _)| !name.starts_with("on "))
                .collect(),
            tag: from.tag,
            ..Node::default()
        });
        self.numbers.insert(*number, made);
        *number += 1;
        for child in from.children {
            if self.arena[child].tag.is_empty() {
                continue;
            }
            let child = self.copied(child, number);
            self.arena[made].children.push(child);
        }
        made
    }

    fn insert(&mut self, parent: usize, node: usize, before: u32) {
        self.detach(node);
        let children = &self.arena[parent].children;
        let place = match before {
            0 => children.len(),
            before => {
                let before = self.numbers[&before];
                children.iter().position(|child| *child == before).unwrap()
            }
        };
        self.arena[parent].children.insert(place, node);
    }

    fn apply(&mut self, patch: &Patch) {
        let words = patch.words();
        let text: Vec<u16> = String::from_utf8(patch.text_bytes().to_vec())
            .unwrap()
            .encode_utf16()
            .collect();
        let mut from = 0;
        let mut take = |length: u32| {
            let end = from + length as usize;
            let piece = String::from_utf16(&text[from..end]).unwrap();
            from = end;
            piece
        };
        let (mut at, mut current, mut held) = (0, 0, None);
        while at < words.len() {
            let (op, a) = (words[at] & 0xff, words[at] >> 8);
            let one = words.get(at + 1).copied().unwrap_or_default();
            let two = words.get(at + 2).copied().unwrap_or_default();
            at += 1;
            let is = |wanted: Op| op == wanted as u32;
            if is(Op::Name) {
                let name = take(a);
                self.names.push(name);
            } else if is(Op::Open) || is(Op::OpenSvg) {
                let tag = self.names[a as usize].clone();
                let node = self.make(Node {
                    tag,
                    ..Node::default()
                });
                self.numbers.insert(one, node);
                self.arena[current].children.push(node);
                current = node;
                at += 1;
            } else if is(Op::Close) {
                current = self.parent(current).unwrap();
            } else if is(Op::At) {
                current = self.numbers[&a];
            } else if is(Op::Hold) {
                let fragment = self.make(Node::default());
                held = Some(fragment);
                current = fragment;
            } else if is(Op::Put) {
                current = self.numbers[&a];
                let all = std::mem::take(&mut self.arena[held.take().unwrap()].children);
                for node in all {
                    self.insert(current, node, one);
                }
                at += 1;
            } else if is(Op::Text) {
                let text = take(a);
                self.arena[current].children.clear();
                self.arena[current].text = text;
            } else if is(Op::Node) {
                let text = take(a);
                let node = self.make(Node {
                    text,
                    ..Node::default()
                });
                self.numbers.insert(one, node);
                self.arena[current].children.push(node);
                at += 1;
            } else if is(Op::Attribute) {
                let value = take(one);
                let name = self.names[a as usize].clone();
                self.arena[current].attributes.insert(name, value);
                at += 1;
            } else if is(Op::Unattribute) {
                let name = &self.names[a as usize];
                self.arena[current].attributes.remove(name).unwrap();
            } else if is(Op::Flag) {
                let name = self.names[a as usize].clone();
                if one == 0 {
                    self.arena[current].attributes.remove(&name);
                } else {
                    self.arena[current].attributes.insert(name, String::new());
                }
                at += 1;
            } else if is(Op::Class) || is(Op::ClassName) {
                let value = match is(Op::Class) {
                    true => take(a),
                    false => self.names[a as usize].clone(),
                };
                self.arena[current].attributes.remove("class");
                if !value.is_empty() {
                    self.arena[current]
                        .attributes
                        .insert("class".to_owned(), value);
                }
            } else if is(Op::Copy) {
                let mut number = one;
                let made = self.copied(self.numbers[&a], &mut number);
                self.arena[current].children.push(made);
                current = made;
                at += 1;
            } else if is(Op::On) {
                let name = format!("on {}", self.names[a as usize]);
                self.arena[current]
                    .attributes
                    .insert(name, format!("{one} {two}"));
                at += 2;
            } else if is(Op::OnAt) {
                let name = format!("on {}", self.names[a as usize]);
                let argument = words[at + 2];
                self.arena[self.numbers[&one]]
                    .attributes
                    .insert(name, format!("{two} {argument}"));
                at += 3;
            } else if is(Op::Off) {
                let name = format!("on {}", self.names[a as usize]);
                self.arena[current].attributes.remove(&name).unwrap();
            } else if is(Op::Move) {
                let node = self.numbers[&a];
                self.insert(current, node, one);
                self.moves += 1;
                at += 1;
            } else if is(Op::Remove) {
                let node = self.numbers.remove(&a).unwrap();
                self.detach(node);
            } else if is(Op::Clear) {
                self.arena[current].children.clear();
                self.arena[current].text.clear();
            } else if is(Op::Call) {
                let text = take(two);
                self.calls.push((self.names[a as usize].clone(), one, text));
                at += 2;
            } else if is(Op::State) {
                self.state = Some(take(a));
            } else {
                panic!("command {op}");
            }
        }
        assert_eq!(from, text.len(), "texts are left over");
    }

    /// As markup, for comparing and reading.
    fn shown(&self, node: usize) -> String {
        let node = &self.arena[node];
        let mut out = String::new();
        if !node.tag.is_empty() {
            out.push_str(&format!("<{}", node.tag));
            for (name, value) in &node.attributes {
                out.push_str(&format!(" {name}={value:?}"));
            }
            out.push('>');
        }
        out.push_str(&node.text);
        for child in &node.children {
            out.push_str(&self.shown(*child));
        }
        if !node.tag.is_empty() {
            out.push_str(&format!("</{}>", node.tag));
        }
        out
    }
}

/// Shows what the last event's text says: one sibling for each word.
struct Listed(String);

impl App for Listed {
    const NEW: Self = Self(String::new());

    fn event(&mut self, event: Event<'_>, page: &mut Patch) {
        self.0 = event.text.to_owned();
        if event.message == START {
            page.call("storage.get", 7, "key é");
        }
    }

    fn view(&self, view: &mut View<'_>) {
        view.element("ul", |view| {
            view.class("all");
            for word in self.0.split_whitespace() {
                sibling(word, view);
            }
        });
    }

    fn save(&self) -> String {
        self.0.clone()
    }
}

/// The same markup for each key, so that one is a copy of another.
fn row(rest: &str, view: &mut View<'_>) {
    let key = rest.bytes().next().unwrap_or(b'0') % 16;
    view.keyed(u32::from(key), "tr", |view| {
        view.class(match rest.len() % 2 {
            0 => "even",
            _ => "odd",
        });
        view.element("td", |view| {
            view.attribute("title", rest);
            view.number(i32::from(key));
        });
        view.element("td", |view| {
            view.flag("hidden", rest.len() == 3);
            view.element("a", |view| {
                view.on("click", 2, u32::from(key));
                view.text(rest);
            });
        });
    });
}

fn sibling(word: &str, view: &mut View<'_>) {
    let (kind, rest) = word.split_at(1);
    match kind {
        "t" => view.text(rest),
        "r" => row(rest, view),
        "u" => view.element("li", |view| {
            if rest.len() % 2 == 1 {
                view.flag("hidden", true);
            }
            for letter in rest.split('.') {
                view.element("b", |view| view.text(letter));
            }
        }),
        _ => {
            let key = rest.bytes().next().unwrap_or(b'0') % 16;
            view.keyed(u32::from(key), "li", |view| {
                if kind == "c" {
                    view.classes(rest);
                    view.on("click", 1, u32::from(key));
                }
                if rest.len() % 3 == 0 {
                    view.attribute("title", rest);
                }
                match rest.len() % 4 {
                    0 => {}
                    1 => view.text(rest),
                    2 => {
                        view.text("mixed");
                        view.element("i", |view| view.text(rest));
                    }
                    _ => view.element("svg", |view| {
                        view.element("path", |view| view.attribute("d", rest));
                    }),
                }
            });
        }
    }
}

fn told(component: &mut Shown<Listed>, page: &mut Page, patch: &mut Patch, text: &str) {
    // Names stay known, commands do not: what `Stage` does between events.
    let event = Event {
        message: if page.arena.len() == 1 { START } else { 1 },
        argument: 0,
        detail: 0,
        text,
    };
    let mut one = std::mem::take(patch).emptied();
    component.event(event, &mut one);
    page.apply(&one);
    *patch = one;
}

fn sequence(texts: &[String]) -> Page {
    let mut component = Shown::<Listed>::NEW;
    let (mut page, mut patch) = (Page::new(), Patch::new());
    for text in texts {
        told(&mut component, &mut page, &mut patch, text);
    }
    page
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "k[0-9a-f][a-c]{0,4}",
        2 => "c[0-9a-f][a-c]{0,4}",
        4 => "r[0-9a-f][a-c]{0,4}",
        1 => "u[a-c.]{0,4}",
        1 => "t[a-cé🎉]{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_page_that_was_changed_shows_what_a_fresh_one_shows(
        texts in prop::collection::vec(prop::collection::vec(word(), 0..12), 1..6)
    ) {
        let texts: Vec<String> = texts.iter().map(|words| words.join(" ")).collect();
        let changed = sequence(&texts);
        let fresh = sequence(&texts[texts.len() - 1..]);
        prop_assert_eq!(changed.shown(0), fresh.shown(0));
    }

    #[test]
    fn keyed_elements_are_moved_and_never_made_anew(order in Just((0..16).collect::<Vec<u32>>()).prop_shuffle()) {
        let words = |order: &[u32]| order.iter().map(|key| format!("k{key:x}")).collect::<Vec<_>>().join(" ");
        let before: Vec<u32> = (0..16).collect();
        let mut component = Shown::<Listed>::NEW;
        let (mut page, mut patch) = (Page::new(), Patch::new());
        told(&mut component, &mut page, &mut patch, &words(&before));
        page.made = 0;
        told(&mut component, &mut page, &mut patch, &words(&order));
        prop_assert_eq!(page.made, 0);
        prop_assert!(page.moves < 16);
        let fresh = sequence(&[words(&order)]);
        prop_assert_eq!(page.shown(0), fresh.shown(0));
    }
}

#[test]
fn two_rows_that_swap_take_two_moves() {
    let words = |order: &[u8]| {
        let words = order.iter().map(|key| format!("k{}", *key as char));
        words.collect::<Vec<_>>().join(" ")
    };
    let mut component = Shown::<Listed>::NEW;
    let (mut page, mut patch) = (Page::new(), Patch::new());
    told(&mut component, &mut page, &mut patch, &words(b"0123456789"));
    told(&mut component, &mut page, &mut patch, &words(b"0823456719"));
    assert_eq!(page.moves, 2);
}

#[test]
fn rows_are_copies_and_their_numbers_are_used_again() {
    let rows = "r0a r1a r2bb r3 r4a r5";
    let mut component = Shown::<Listed>::NEW;
    let (mut page, mut patch) = (Page::new(), Patch::new());
    told(&mut component, &mut page, &mut patch, rows);
    let copies = |patch: &Patch, page: &Page| {
        let fresh = sequence(&[rows.to_owned()]);
        assert_eq!(page.shown(0), fresh.shown(0));
        let copy = Op::Copy as u32;
        patch
            .words()
            .iter()
            .filter(|word| **word & 0xff == copy)
            .count()
    };
    assert!(copies(&patch, &page) >= 5);
    let most = page.numbers.keys().max().copied();
    for _ in 0..20 {
        told(&mut component, &mut page, &mut patch, "");
        told(&mut component, &mut page, &mut patch, rows);
    }
    assert!(copies(&patch, &page) >= 5);
    assert_eq!(page.numbers.keys().max().copied(), most);
}

#[test]
fn what_did_not_change_takes_no_command() {
    let mut component = Shown::<Listed>::NEW;
    let (mut page, mut patch) = (Page::new(), Patch::new());
    told(&mut component, &mut page, &mut patch, "k1ab c2 uab.c tx");
    told(&mut component, &mut page, &mut patch, "k1ab c2 uab.c tx");
    assert_eq!(patch.words(), []);
}

#[test]
fn the_page_is_asked_and_the_state_is_saved() {
    let mut component = Shown::<Listed>::NEW;
    let (mut page, mut patch) = (Page::new(), Patch::new());
    told(&mut component, &mut page, &mut patch, "k1 té");
    assert_eq!(
        page.calls,
        [("storage.get".to_owned(), 7, "key é".to_owned())]
    );
    let mut answer = patch.emptied();
    let event = Event {
        message: SAVE,
        argument: 0,
        detail: 0,
        text: "",
    };
    component.event(event, &mut answer);
    page.apply(&answer);
    assert_eq!(page.state.as_deref(), Some("k1 té"));
}
