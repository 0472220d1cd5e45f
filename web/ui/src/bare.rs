//! Access to lists whose failure is a trap without a text: the text of a panic would pull in all
//! of formatting, which is more than most components have.

/// The end of a component by its own fault.
#[cold]
pub(crate) fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("a component went past its own room, or was called while it called the page");
}

#[cfg(feature = "view")]
pub(crate) trait Bare<T> {
    /// What stands at a place.
    fn at(&self, place: usize) -> T;
    /// Puts something at a place.
    fn put(&mut self, place: usize, one: T);
    /// Some of it.
    fn part(&self, from: usize, to: usize) -> &[T];
}

#[cfg(feature = "view")]
impl<T: Copy> Bare<T> for [T] {
    #[inline]
    fn at(&self, place: usize) -> T {
        match self.get(place) {
            Some(one) => *one,
            None => trap(),
        }
    }

    #[inline]
    fn put(&mut self, place: usize, one: T) {
        match self.get_mut(place) {
            Some(there) => *there = one,
            None => trap(),
        }
    }

    #[inline]
    fn part(&self, from: usize, to: usize) -> &[T] {
        match self.get(from..to) {
            Some(part) => part,
            None => trap(),
        }
    }
}
