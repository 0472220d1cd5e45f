//! Values to text for people.

pub(crate) mod html;
pub(crate) mod table;
pub(crate) mod weigh;
