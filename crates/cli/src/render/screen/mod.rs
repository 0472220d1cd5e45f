//! `ounce weigh --tui`: images to walk through, by folder, layer, package and
//! map. What is shown is a value that keys change; the terminal only draws it.

mod draw;
mod tree;
mod treemap;

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use ounce_linux::signal::{BlockedSignals, Signal, SignalSet, is_ignored};
use ounce_weigh::{Inventory, Weight};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use tree::{Order, Tree};

/// What is shown of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Files,
    Map,
    Layers,
    Packages,
    Kinds,
}

const VIEWS: [(View, &str); 5] = [
    (View::Files, "1 files"),
    (View::Map, "2 map"),
    (View::Layers, "3 layers"),
    (View::Packages, "4 packages"),
    (View::Kinds, "5 kinds"),
];

/// A line of the files' view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    node: usize,
    depth: usize,
}

/// One image and where one is in it.
struct Screen<'a> {
    images: &'a [(String, Weight, Inventory)],
    image: usize,
    view: View,
    order: Order,
    tree: Tree,
    open: HashSet<usize>,
    rows: Vec<Row>,
    /// Which line, in each view.
    at: [usize; VIEWS.len()],
    /// The folder that the map shows.
    mapped: usize,
    /// Only files of this layer.
    layer: Option<usize>,
    /// What is searched for; while `is_typing`, keys belong to it.
    search: String,
    is_typing: bool,
    is_done: bool,
    /// Lines that fit, as last drawn.
    height: usize,
}

impl<'a> Screen<'a> {
    fn new(images: &'a [(String, Weight, Inventory)]) -> Self {
        let mut screen = Self {
            images,
            image: 0,
            view: View::Files,
            order: Order::Compressed,
            tree: Tree::of(&images[0].2, None),
            open: HashSet::new(),
            rows: Vec::new(),
            at: [0; VIEWS.len()],
            mapped: 0,
            layer: None,
            search: String::new(),
            is_typing: false,
            is_done: false,
            height: 20,
        };
        screen.lay_out();
        screen
    }

    fn weight(&self) -> &'a Weight {
        &self.images[self.image].1
    }

    fn is_searching(&self) -> bool {
        !self.search.is_empty()
    }

    /// The place of the cursor in the view that is shown.
    fn cursor(&self) -> usize {
        self.at[self.view as usize]
    }

    /// Lines of the view that is shown.
    fn length(&self) -> usize {
        match self.view {
            View::Files => self.rows.len(),
            View::Map => self.tree.node(self.mapped).children.len(),
            View::Layers => self.weight().layers.len(),
            View::Packages => self.weight().packages.len(),
            View::Kinds => self.weight().kinds.len(),
        }
    }

    /// Another image or layer: all that depends on the tree is made anew.
    fn reload(&mut self) {
        self.tree = Tree::of(&self.images[self.image].2, self.layer);
        self.open.clear();
        self.mapped = 0;
        self.at = [0; VIEWS.len()];
        self.lay_out();
    }

    /// The lines of the files' view.
    fn lay_out(&mut self) {
        self.rows.clear();
        if self.is_searching() {
            let found = self.tree.search(&self.search, self.order);
            let rows = found.into_iter().map(|node| Row { node, depth: 0 });
            self.rows.extend(rows);
        } else {
            let row = |node, depth| Row { node, depth };
            let mut stack: Vec<Row> = Vec::new();
            let push = |node, depth, stack: &mut Vec<Row>| {
                let children = self.tree.sorted(node, self.order);
                stack.extend(children.into_iter().rev().map(|child| row(child, depth)));
            };
            push(0, 0, &mut stack);
            while let Some(one) = stack.pop() {
                self.rows.push(one);
                if self.open.contains(&one.node) {
                    push(one.node, one.depth + 1, &mut stack);
                }
            }
        }
        let at = &mut self.at[View::Files as usize];
        *at = (*at).min(self.rows.len().saturating_sub(1));
    }

    /// Puts the files' cursor onto a node, if it is shown.
    fn select(&mut self, node: usize) {
        if let Some(at) = self.rows.iter().position(|row| row.node == node) {
            self.at[View::Files as usize] = at;
        }
    }

    /// What a key does.
    fn press(&mut self, key: KeyCode, modifiers: KeyModifiers) {
        if modifiers.contains(KeyModifiers::CONTROL) && matches!(key, KeyCode::Char('c' | 'd')) {
            self.is_done = true;
            return;
        }
        if self.is_typing {
            return self.type_in(key);
        }
        match key {
            KeyCode::Char('q') => self.is_done = true,
            KeyCode::Esc if self.is_searching() => self.look_for(String::new()),
            KeyCode::Esc if self.layer.is_some() => self.only(None),
            KeyCode::Esc => self.is_done = true,
            KeyCode::Char('/') => {
                self.view = View::Files;
                self.is_typing = true;
            }
            KeyCode::Char('s') => self.resort(),
            KeyCode::Char('n') => {
                self.image = (self.image + 1) % self.images.len();
                self.layer = None;
                self.search.clear();
                self.reload();
            }
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(VIEWS.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => self.view = VIEWS[digit as usize - '1' as usize].0,
            KeyCode::Up | KeyCode::Char('k') => self.go(self.cursor().saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(self.cursor() + 1),
            KeyCode::PageUp => self.go(self.cursor().saturating_sub(self.height)),
            KeyCode::PageDown => self.go(self.cursor() + self.height),
            KeyCode::Home | KeyCode::Char('g') => self.go(0),
            KeyCode::End | KeyCode::Char('G') => self.go(usize::MAX),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l' | ' ') => self.enter(),
            KeyCode::Left | KeyCode::Backspace | KeyCode::Char('h') => self.leave(),
            _ => {}
        }
    }

    fn type_in(&mut self, key: KeyCode) {
        let mut text = self.search.clone();
        match key {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.look_for(String::new());
            }
            KeyCode::Backspace => {
                text.pop();
                self.look_for(text);
            }
            KeyCode::Char(letter) => {
                text.push(letter);
                self.look_for(text);
            }
            _ => {}
        }
    }

    fn look_for(&mut self, text: String) {
        self.search = text;
        self.at[View::Files as usize] = 0;
        self.lay_out();
    }

    fn only(&mut self, layer: Option<usize>) {
        self.layer = layer;
        self.reload();
    }

    fn turn(&mut self, by: usize) {
        self.view = VIEWS[(self.view as usize + by) % VIEWS.len()].0;
    }

    fn go(&mut self, to: usize) {
        self.at[self.view as usize] = to.min(self.length().saturating_sub(1));
    }

    fn resort(&mut self) {
        let node = self.rows.get(self.cursor()).map(|row| row.node);
        self.order = self.order.next();
        self.lay_out();
        if let Some(node) = node {
            self.select(node);
        }
    }

    /// Into what the cursor is on.
    fn enter(&mut self) {
        match self.view {
            View::Files => {
                let Some(&Row { node, .. }) = self.rows.get(self.cursor()) else {
                    return;
                };
                if self.is_searching() {
                    self.show(node);
                } else if self.tree.node(node).kind.is_none() {
                    if !self.open.remove(&node) {
                        self.open.insert(node);
                    }
                    self.lay_out();
                }
            }
            View::Map => {
                let children = self.map_children();
                if let Some(&child) = children.get(self.cursor())
                    && self.tree.node(child).kind.is_none()
                {
                    self.mapped = child;
                    self.go(0);
                }
            }
            View::Layers => {
                let layer = self.cursor();
                self.only(Some(layer));
                self.view = View::Files;
            }
            View::Packages | View::Kinds => {}
        }
    }

    /// The found node among its siblings, its folders open.
    fn show(&mut self, node: usize) {
        self.search.clear();
        let mut parent = self.tree.node(node).parent;
        while parent != 0 {
            self.open.insert(parent);
            parent = self.tree.node(parent).parent;
        }
        self.lay_out();
        self.select(node);
    }

    /// Out of it.
    fn leave(&mut self) {
        match self.view {
            View::Files => {
                let Some(&Row { node, .. }) = self.rows.get(self.cursor()) else {
                    return;
                };
                if !self.open.remove(&node) {
                    let parent = self.tree.node(node).parent;
                    self.open.remove(&parent);
                    self.lay_out();
                    self.select(parent);
                } else {
                    self.lay_out();
                }
            }
            View::Map => {
                let left = self.mapped;
                self.mapped = self.tree.node(left).parent;
                let place = self.map_children().iter().position(|&one| one == left);
                self.go(place.unwrap_or(0));
            }
            _ => {}
        }
    }

    /// What the map shows, heaviest first.
    fn map_children(&self) -> Vec<usize> {
        let order = match self.order {
            Order::Name => Order::Compressed,
            order => order,
        };
        self.tree.sorted(self.mapped, order)
    }
}

/// How long a signal may wait while no key is pressed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Signals that ask for an end. They would end us at once, and leave the
/// terminal as we have it; that of a change of size stays the library's.
const ENDS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// Shows the images until the user has seen enough, or a signal asks for an
/// end: then that is told, with the terminal as it was before.
///
/// # Errors
/// The terminal cannot be read or written.
pub(crate) fn show(
    images: &[(String, Weight, Inventory)],
    is_plain: bool,
) -> io::Result<Option<Signal>> {
    let mut screen = Screen::new(images);
    // What this process was started to ignore, as by nohup, stays ignored.
    let ends: Vec<Signal> = ENDS.into_iter().filter(|one| !is_ignored(*one)).collect();
    let signals = BlockedSignals::new(SignalSet::of(&ends))?;
    // Asked now: one that has hung up is no terminal any more.
    let from_terminal = io::stdin().is_terminal();
    let mut terminal = ratatui::try_init()?;
    let result = loop {
        let drawn = terminal.draw(|frame| draw::draw(&mut screen, frame, is_plain));
        if let Err(error) = drawn {
            break Err(error);
        }
        match next(&signals, from_terminal) {
            Ok(Next::Signal(signal)) => break Ok(Some(signal)),
            Ok(Next::Event(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                screen.press(key.code, key.modifiers);
            }
            Ok(Next::Event(_)) => {}
            Err(error) => break Err(error),
        }
        if screen.is_done {
            break Ok(None);
        }
    };
    let restored = ratatui::try_restore();
    // A terminal that hung up is not there to be restored.
    if !matches!(result, Ok(Some(_))) {
        restored?;
    }
    result
}

enum Next {
    Event(Event),
    Signal(Signal),
}

/// Waits for a key or a signal. A terminal that is gone is as its signal: the
/// library would read its end without end.
fn next(signals: &BlockedSignals, from_terminal: bool) -> io::Result<Next> {
    let input = io::stdin();
    loop {
        let mut patience = PATIENCE;
        if from_terminal {
            patience = Duration::ZERO;
            let mut files = [
                PollFd::new(&input, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            let wait = Timespec::try_from(PATIENCE).ok();
            match poll(&mut files, wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if files[0]
                .revents()
                .intersects(PollFlags::HUP | PollFlags::ERR)
            {
                return Ok(Next::Signal(Signal::HUP));
            }
        }
        if let Some(taken) = signals.take()? {
            return Ok(Next::Signal(taken.signal));
        }
        if event::poll(patience)? {
            return event::read().map(Next::Event);
        }
    }
}

#[cfg(test)]
mod tests;
