//! A switch: the fourth image of a page that shows a hundred components.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

use ounce_ui::{Component, Event, Patch, START};

const FLIPPED: u32 = 1;

struct Switch {
    is_on: bool,
}

ounce_ui::component!(Switch);

impl Component for Switch {
    const NEW: Self = Self { is_on: false };

    fn event(&mut self, event: Event<'_>, page: &mut Patch) {
        match event.message {
            START => {
                page.open_as("button", 1);
                page.on("click", FLIPPED, 0);
            }
            FLIPPED => {
                page.at(1);
                self.is_on = !self.is_on;
            }
            _ => return,
        }
        page.class(if self.is_on { "on" } else { "off" });
        page.text(if self.is_on { "on" } else { "off" });
    }
}
