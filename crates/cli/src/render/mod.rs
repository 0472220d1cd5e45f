//! Values to text for people.

pub(crate) mod table;
