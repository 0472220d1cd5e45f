//! What a component is told.

use crate::patch::Patch;

/// The first message: [`Event::text`] is what the page gives it to start with.
pub const START: u32 = 0xffff_ffff;
/// The state is asked for: [`Patch::state`].
pub const SAVE: u32 = 0xffff_fffe;
/// The first message, instead of [`START`], to one that goes on from a saved state.
pub const RESTORE: u32 = 0xffff_fffd;
/// It is shown again.
pub const SHOW: u32 = 0xffff_fffc;
/// It is no longer to be seen.
pub const HIDE: u32 = 0xffff_fffb;

/// Something that happened, by the numbers that the component gave to [`Patch::on`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Below 2²¹ the component's own, else one of this module's.
    pub message: u32,
    /// As it was given.
    pub argument: u32,
    /// Of a key its code, of a box whether it is checked.
    pub detail: u32,
    /// Of a field its value.
    pub text: &'a str,
}

/// What a page shows and lets act. Its memory is its whole state.
pub trait Component: Sized {
    /// As it begins.
    const NEW: Self;

    /// Takes an event, [`START`] first, and writes what is to be seen otherwise.
    fn event(&mut self, event: Event<'_>, page: &mut Patch);
}
