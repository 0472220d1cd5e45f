//! The crate from outside: the store, archives, hostile input.

mod store;
