//! A number and a button that counts it up.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

use ounce_ui::{Component, Event, Patch, START};

const CLICKED: u32 = 1;

struct Counter(i32);

ounce_ui::component!(Counter);

impl Component for Counter {
    const NEW: Self = Self(0);

    fn event(&mut self, event: Event<'_>, page: &mut Patch) {
        match event.message {
            START => {
                page.open_as("button", 1);
                page.on("click", CLICKED, 0);
            }
            CLICKED => {
                page.at(1);
                self.0 += 1;
            }
            _ => return,
        }
        page.number(self.0);
    }
}
