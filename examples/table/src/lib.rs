//! A table of 10,000 rows: the operations of js-framework-benchmark, keyed.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ounce_ui::{App, Event, Patch, View};

mod words;

/// Messages; the page's buttons have these numbers.
const RUN: u32 = 1;
const RUN_LOTS: u32 = 2;
const ADD: u32 = 3;
const UPDATE: u32 = 4;
const CLEAR: u32 = 5;
const SWAP: u32 = 6;
const SELECT: u32 = 7;
const REMOVE: u32 = 8;

const BUTTONS: [(&str, u32, &str); 6] = [
    ("run", RUN, "Create 1,000 rows"),
    ("runlots", RUN_LOTS, "Create 10,000 rows"),
    ("add", ADD, "Append 1,000 rows"),
    ("update", UPDATE, "Update every 10th row"),
    ("clear", CLEAR, "Clear"),
    ("swaprows", SWAP, "Swap rows"),
];

struct Row {
    id: u32,
    label: String,
}

struct Table {
    rows: Vec<Row>,
    next: u32,
    selected: u32,
    random: u32,
}

ounce_ui::app!(Table);

impl Table {
    fn random(&mut self, most: usize) -> usize {
        // Xorshift (Marsaglia, 2003): the same rows each time.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random as usize % most
    }

    fn append(&mut self, count: usize) {
        self.rows.reserve(count);
        for _ in 0..count {
            let adjective = words::ADJECTIVES[self.random(words::ADJECTIVES.len())];
            let colour = words::COLOURS[self.random(words::COLOURS.len())];
            let noun = words::NOUNS[self.random(words::NOUNS.len())];
            self.rows.push(Row {
                id: self.next,
                label: format!("{adjective} {colour} {noun}"),
            });
            self.next += 1;
        }
    }
}

impl App for Table {
    const NEW: Self = Self {
        rows: Vec::new(),
        next: 1,
        selected: 0,
        random: 2_463_534_242,
    };

    fn event(&mut self, event: Event<'_>, _: &mut Patch) {
        match event.message {
            RUN | RUN_LOTS => {
                self.rows.clear();
                self.selected = 0;
                self.append(if event.message == RUN { 1_000 } else { 10_000 });
            }
            ADD => self.append(1_000),
            UPDATE => {
                for row in self.rows.iter_mut().step_by(10) {
                    row.label.push_str(" !!!");
                }
            }
            CLEAR => {
                self.rows.clear();
                self.selected = 0;
            }
            SWAP if self.rows.len() > 998 => self.rows.swap(1, 998),
            SELECT => self.selected = event.argument,
            REMOVE => self.rows.retain(|row| row.id != event.argument),
            _ => {}
        }
    }

    fn view(&self, view: &mut View<'_>) {
        view.element("div", |view| {
            view.class("buttons");
            for (id, message, text) in BUTTONS {
                view.element("button", |view| {
                    view.attribute("id", id);
                    view.on("click", message, 0);
                    view.text(text);
                });
            }
        });
        view.element("table", |view| {
            view.class("table table-hover table-striped test-data");
            view.element("tbody", |view| {
                for row in &self.rows {
                    self.row(row, view);
                }
            });
        });
    }
}

impl Table {
    fn row(&self, row: &Row, view: &mut View<'_>) {
        view.keyed(row.id, "tr", |view| {
            if self.selected == row.id {
                view.class("danger");
            }
            view.element("td", |view| {
                view.class("col-md-1");
                view.number(row.id as i32);
            });
            view.element("td", |view| {
                view.class("col-md-4");
                view.element("a", |view| {
                    view.class("lbl");
                    view.on("click", SELECT, row.id);
                    view.text(&row.label);
                });
            });
            view.element("td", |view| {
                view.class("col-md-1");
                view.element("a", |view| {
                    view.class("remove");
                    view.on("click", REMOVE, row.id);
                    view.element("span", |view| {
                        view.class("glyphicon glyphicon-remove");
                        view.attribute("aria-hidden", "true");
                    });
                });
            });
            view.element("td", |view| view.class("col-md-6"));
        });
    }
}
