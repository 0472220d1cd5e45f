//! A component that says what is to be seen, whole, after each event.

use alloc::string::String;

use crate::difference::{Nodes, difference};
use crate::event::{Component, Event, RESTORE, SAVE};
use crate::patch::Patch;
use crate::view::{Tree, View};

/// A state, how events change it, and what is to be seen of it.
pub trait App: Sized {
    /// As it begins.
    const NEW: Self;

    /// Takes an event; `page` is for what is no view: [`Patch::call`].
    fn event(&mut self, event: Event<'_>, page: &mut Patch);

    /// Says what is to be seen.
    fn view(&self, view: &mut View<'_>);

    /// The state for the next version, in a form of its own.
    fn save(&self) -> String {
        String::new()
    }

    /// Takes over what [`save`](Self::save) of this or an earlier version wrote.
    fn restore(&mut self, _state: &str) {}
}

/// An [`App`] as a [`Component`]: what was seen last is kept, to be compared.
#[derive(Debug)]
pub struct Shown<A> {
    app: A,
    seen: Tree,
    next: Tree,
    nodes: Nodes,
}

impl<A> Shown<A> {
    /// The app itself.
    pub fn app(&self) -> &A {
        &self.app
    }
}

impl<A: App> Component for Shown<A> {
    const NEW: Self = Self {
        app: A::NEW,
        seen: Tree::new(),
        next: Tree::new(),
        nodes: Nodes::new(),
    };

    fn event(&mut self, event: Event<'_>, page: &mut Patch) {
        match event.message {
            SAVE => {
                page.state(&self.app.save());
                return;
            }
            RESTORE => self.app.restore(event.text),
            _ => self.app.event(event, page),
        }
        let mut view = View::new(&mut self.next, page);
        self.app.view(&mut view);
        view.finish();
        difference(&self.seen, &mut self.next, &mut self.nodes, page);
        core::mem::swap(&mut self.seen, &mut self.next);
    }
}
