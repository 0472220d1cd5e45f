//! Images made through the store, read and unpacked.

mod image;
