//! A server with only what a packed site in its image needs: no folders, no
//! options but the port, no log. Everything that could be chosen about answers
//! is in the file.
//!
//! It shares the event loop and the reading of requests with the others; what is
//! here is its start and its answers.

mod answer;
mod start;

pub use answer::Answers;
pub use start::start;
