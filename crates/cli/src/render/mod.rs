//! Values to text for people.

pub mod table;
