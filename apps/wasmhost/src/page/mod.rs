//! A component of web pages, run without a page: what it shows first, as HTML.
//!
//! The same module that a browser runs (docs/web.md has the protocol) is told
//! that it starts; what it answers is done to a tree instead of a document.
//! The browser does the same commands again and takes the markup over.

mod patch;
mod policy;
mod tree;

use wasmtime::{Instance, Memory, Module, Store, TypedFunc, ValType};

use crate::failure::{Failure, NOT_EXECUTABLE, Stop, TRAPPED, USAGE};
use crate::state::Core;
use patch::{PatchError, Surface};

/// What a component is told first (web/ui, `START`).
const START: u32 = 0xffff_ffff;
/// The function that takes events, and what it takes: message, argument, detail
/// and the length of its text; where the head of its answer stands.
const EVENT: &str = "event";
type Event = TypedFunc<(u32, u32, u32, u32), u32>;
/// The function that makes room for a text.
const ROOM: &str = "room";
const MEMORY: &str = "memory";

/// Whether a core module is such a component.
pub(crate) fn is_page(module: &Module) -> bool {
    let event = module.get_export(EVENT);
    let is_event = event
        .as_ref()
        .and_then(|kind| kind.func())
        .is_some_and(|kind| {
            let mut kinds = kind.params().chain(kind.results());
            kind.params().len() == 4
                && kind.results().len() == 1
                && kinds.all(|kind| matches!(kind, ValType::I32))
        });
    let memory = module.get_export(MEMORY);
    is_event && memory.is_some_and(|kind| kind.memory().is_some())
}

/// Whether a WIT component exports what makes it one: its core module has the
/// same functions, for all of their types are numbers.
pub(crate) fn is_page_component(exports: &[&str]) -> bool {
    exports.contains(&EVENT)
}

/// The first core module in a component (component model, Binary.md: sections
/// are an id, a length and their content; 1 is a core module).
pub(crate) fn core_module(component: &[u8]) -> Option<&[u8]> {
    let mut rest = component.get(8..)?;
    while let [id, after @ ..] = rest {
        let (length, after) = leb(after)?;
        let (content, after) = after.split_at_checked(length)?;
        if *id == 1 {
            return Some(content);
        }
        rest = after;
    }
    None
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}

/// What a component shows first. The first word is the text that it is started
/// with; each further one, `NAME=ANSWER`, what its page answers to a call of
/// that name. All else that it asks for stays without an answer.
pub(crate) async fn first_view(
    store: &mut Store<Core>,
    instance: &Instance,
    words: &[String],
) -> Result<String, Stop> {
    let mut answers = Vec::new();
    for word in words.iter().skip(1) {
        answers.push(word.split_once('=').ok_or_else(|| unfit(word))?);
    }
    let component = Component::of(store, instance)?;
    let mut surface = Surface::new();
    let mut events = vec![(START, words.first().map_or("", String::as_str))];
    while !events.is_empty() {
        for (message, text) in std::mem::take(&mut events) {
            component.call(store, message, text, &mut surface).await?;
            for call in surface.calls() {
                let answer = answers.iter().find(|(name, _)| *name == call.name);
                events.extend(answer.map(|(_, text)| (call.message, *text)));
            }
        }
    }
    Ok(surface.tree.html())
}

struct Component {
    event: Event,
    room: Option<TypedFunc<u32, u32>>,
    memory: Memory,
}

impl Component {
    fn of(store: &mut Store<Core>, instance: &Instance) -> Result<Self, Stop> {
        let memory = instance.get_memory(&mut *store, MEMORY).ok_or_else(|| {
            Stop::Asked(Failure::new(NOT_EXECUTABLE, "the module exports no memory"))
        })?;
        Ok(Self {
            event: instance.get_typed_func(&mut *store, EVENT)?,
            room: instance.get_typed_func(&mut *store, ROOM).ok(),
            memory,
        })
    }

    /// Hands an event in, and does what it is answered with.
    async fn call(
        &self,
        store: &mut Store<Core>,
        message: u32,
        text: &str,
        surface: &mut Surface,
    ) -> Result<(), Stop> {
        let mut length = 0;
        if let Some(room) = self.room.as_ref().filter(|_| !text.is_empty()) {
            length = u32::try_from(text.len()).map_err(|_| unfit("a text of 4 GiB"))?;
            let place = room.call_async(&mut *store, length).await?;
            let to = part(self.memory.data_mut(&mut *store), place, text.len())?;
            to.copy_from_slice(text.as_bytes());
        }
        let event = (message, 0, 0, length);
        let place = self.event.call_async(&mut *store, event).await?;
        let memory = self.memory.data_mut(&mut *store);
        let head: Vec<u32> = part(memory, place, 16)?
            .chunks_exact(4)
            .map(|word| {
                word.iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
            })
            .collect();
        let &[words, count, texts, bytes] = head.as_slice() else {
            return Err(outside());
        };
        let text = part(memory, texts, bytes as usize)?;
        // As browsers read it: what is no UTF-8 is replaced.
        let text = String::from_utf8_lossy(text).into_owned();
        let words = part(memory, words, (count as usize).saturating_mul(4))?;
        surface.apply(words, &text).map_err(refused)
    }
}

/// A part of a memory.
fn part(memory: &mut [u8], place: u32, length: usize) -> Result<&mut [u8], Stop> {
    let place = place as usize;
    let end = place.checked_add(length).ok_or_else(outside)?;
    memory.get_mut(place..end).ok_or_else(outside)
}

fn outside() -> Stop {
    let text = "the component's answer lies outside of its memory";
    Stop::Asked(Failure::new(TRAPPED, text))
}

fn refused(error: PatchError) -> Stop {
    let failure = Failure::new(
        TRAPPED,
        format!("the component's patch is refused: {error}"),
    );
    Stop::Asked(
        failure.hint("a page would refuse it as well: docs/web.md says what a component may show"),
    )
}

fn unfit(word: &str) -> Stop {
    let text = format!("{word:?} is no answer to a call, which is NAME=TEXT");
    Stop::Asked(
        Failure::new(USAGE, text)
            .hint("the first argument is the text that the component starts with, '' for none"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_module_of_a_component_is_found_and_broken_ones_have_none() {
        let core = b"\0asm\x01\0\0\0";
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        // A custom section of three bytes, then the module.
        component.extend([0, 3, 1, b'x', 9, 1, 8]);
        component.extend(core);
        assert_eq!(core_module(&component), Some(&core[..]));
        for length in 0..component.len() {
            assert_eq!(core_module(&component[..length]), None);
        }
        assert_eq!(
            core_module(&[&component[..8], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0]].concat()),
            None
        );
    }
}
