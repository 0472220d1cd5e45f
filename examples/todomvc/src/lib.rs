//! TodoMVC: a list of things to do, kept by the page, filtered by its address.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use ounce_ui::{App, Event, Patch, START, View};

mod text;
mod view;

/// Messages: what was done, or came from the page.
pub(crate) const LOADED: u32 = 1;
pub(crate) const ROUTED: u32 = 2;
pub(crate) const TYPED: u32 = 3;
pub(crate) const KEY_NEW: u32 = 4;
pub(crate) const TOGGLE: u32 = 5;
pub(crate) const TOGGLE_ALL: u32 = 6;
pub(crate) const DESTROY: u32 = 7;
pub(crate) const CLEAR: u32 = 8;
pub(crate) const EDIT: u32 = 9;
pub(crate) const KEY_EDIT: u32 = 10;
pub(crate) const LEAVE: u32 = 11;

const ENTER: u32 = 13;
const ESCAPE: u32 = 27;

/// Which are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    All,
    Active,
    Completed,
}

pub(crate) struct Todo {
    pub(crate) id: u32,
    pub(crate) title: String,
    pub(crate) done: bool,
}

/// The whole state.
pub struct Todos {
    pub(crate) all: Vec<Todo>,
    pub(crate) next: u32,
    pub(crate) filter: Filter,
    /// What stands in the field for a new one.
    pub(crate) draft: String,
    /// Which is being edited; 0: none.
    pub(crate) editing: u32,
}

ounce_ui::app!(Todos);

impl Todos {
    pub(crate) fn left(&self) -> usize {
        self.all.iter().filter(|todo| !todo.done).count()
    }

    fn add(&mut self, title: &str) {
        self.all.push(Todo {
            id: self.next,
            title: String::from(title),
            done: false,
        });
        self.next += 1;
    }

    /// Takes one away, or with 0 all that are done.
    fn remove(&mut self, id: u32) {
        self.all
            .retain(|todo| todo.id != id && (id > 0 || !todo.done));
    }

    /// Takes an edited title; an empty one removes it.
    fn edited(&mut self, id: u32, title: &str) {
        if core::mem::take(&mut self.editing) != id {
            return;
        }
        match title.trim_ascii() {
            "" => self.remove(id),
            title => {
                if let Some(todo) = self.all.iter_mut().find(|todo| todo.id == id) {
                    todo.title = String::from(title);
                }
            }
        }
    }
}

impl App for Todos {
    const NEW: Self = Self {
        all: Vec::new(),
        next: 1,
        filter: Filter::All,
        draft: String::new(),
        editing: 0,
    };

    fn event(&mut self, event: Event<'_>, page: &mut Patch) {
        match event.message {
            START => {
                page.call("storage.get", LOADED, "");
                page.call("route.watch", ROUTED, "");
                return;
            }
            LOADED => return self.restore(event.text),
            ROUTED => {
                self.filter = match event.text {
                    "/active" => Filter::Active,
                    "/completed" => Filter::Completed,
                    _ => Filter::All,
                };
                return;
            }
            TYPED => {
                self.draft = String::from(event.text);
                return;
            }
            KEY_NEW => {
                if event.detail != ENTER {
                    return;
                }
                let title = event.text.trim_ascii();
                if !title.is_empty() {
                    self.add(title);
                }
                self.draft = String::new();
            }
            TOGGLE => {
                if let Some(todo) = self.all.iter_mut().find(|todo| todo.id == event.argument) {
                    todo.done = !todo.done;
                }
            }
            TOGGLE_ALL => {
                let done = self.left() > 0;
                self.all.iter_mut().for_each(|todo| todo.done = done);
            }
            DESTROY => self.remove(event.argument),
            CLEAR => self.remove(0),
            EDIT => {
                self.editing = event.argument;
                return;
            }
            KEY_EDIT => match event.detail {
                ENTER => self.edited(event.argument, event.text),
                ESCAPE => self.editing = 0,
                _ => return,
            },
            LEAVE => self.edited(event.argument, event.text),
            _ => return,
        }
        page.call("storage.set", 0, &self.save());
    }

    fn view(&self, view: &mut View<'_>) {
        self.show(view);
    }

    fn save(&self) -> String {
        text::write(&self.all)
    }

    fn restore(&mut self, state: &str) {
        (self.all, self.next) = text::read(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(todos: &mut Todos, message: u32, argument: u32, detail: u32, text: &str) {
        let event = Event {
            message,
            argument,
            detail,
            text,
        };
        todos.event(event, &mut Patch::new());
    }

    #[test]
    fn a_title_is_trimmed_and_an_empty_one_makes_nothing() {
        let mut todos = Todos::NEW;
        told(&mut todos, KEY_NEW, 0, ENTER, "  buy milk ");
        told(&mut todos, KEY_NEW, 0, ENTER, "   ");
        told(&mut todos, KEY_NEW, 0, 65, "not yet");
        assert_eq!(todos.all.len(), 1);
        assert_eq!(todos.all[0].title, "buy milk");
    }

    #[test]
    fn an_edit_that_is_left_counts_once_and_escape_takes_it_back() {
        let mut todos = Todos::NEW;
        told(&mut todos, KEY_NEW, 0, ENTER, "one");
        told(&mut todos, EDIT, 1, 0, "");
        told(&mut todos, KEY_EDIT, 1, ESCAPE, "two");
        // Taking the field away makes it lose the focus.
        told(&mut todos, LEAVE, 1, 0, "two");
        assert_eq!(todos.all[0].title, "one");
        told(&mut todos, EDIT, 1, 0, "");
        told(&mut todos, LEAVE, 1, 0, " ");
        assert!(todos.all.is_empty());
    }

    #[test]
    fn what_was_saved_is_restored() {
        let mut todos = Todos::NEW;
        told(&mut todos, KEY_NEW, 0, ENTER, "a\tb \\ c");
        told(&mut todos, KEY_NEW, 0, ENTER, "second");
        told(&mut todos, TOGGLE, 2, 0, "");
        let mut again = Todos::NEW;
        again.restore(&todos.save());
        let facts = |todos: &Todos| -> Vec<(u32, String, bool)> {
            let all = todos.all.iter();
            all.map(|todo| (todo.id, todo.title.clone(), todo.done))
                .collect()
        };
        assert_eq!(facts(&again), facts(&todos));
        assert_eq!(again.next, 3);
    }

    #[test]
    fn a_foreign_state_is_no_trap() {
        for state in ["", "\n\n", "x", "{\"a\":1}", "99999999999\t1\tx"] {
            let mut todos = Todos::NEW;
            todos.restore(state);
            assert!(todos.all.is_empty(), "{state:?}");
        }
    }
}
