//! A folder of web files: walked ([`mod@walk`], [`mod@follow`]), and packed into one
//! file ([`pack()`]) that the server answers from as it stands.
//!
//! What a packed file looks like is told in [`ounce_http::packed`], which reads it.

mod fields;
pub mod follow;
mod layout;
mod media;
pub mod pack;
pub mod rules;
mod variants;
pub mod walk;

pub use follow::{Followed, FollowedFile, follow};
pub use pack::{PackError, Packed, Packing, Summary, pack};
pub use rules::SiteRules;
pub use walk::{Omitted, Site, SiteError, SiteFile, walk};
