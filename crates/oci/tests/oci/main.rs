//! The crate from outside: the store, its death at any moment, places, and
//! hostile input. None of it needs another tool.

mod crash;
mod hostile;
mod place;
mod store;
