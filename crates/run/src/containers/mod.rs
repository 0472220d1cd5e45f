//! Containers that have a name: what is kept of them, and what can be asked of
//! them once the `ounce` that started them is gone.
//!
//! There is no daemon. A container is a folder in the runtime directory, locked
//! by the one process that watches it: an `ounce` in the foreground, or the
//! keeper (`apps/keeper`), which `keep` executes in its own place once the
//! program runs. Who holds the lock lives, whatever numbers processes have.
//!
//! `record` is what the files say, `folder` where they are and who may touch
//! them; `keep` starts and hands over; `act` ends and waits; `logs` reads what
//! was said; `exec` runs further programs, `debug` brings tools along, and
//! `stats` counts.

pub mod act;
pub mod debug;
pub mod exec;
pub mod fault;
pub mod folder;
pub mod keep;
pub mod logs;
pub mod record;
pub mod stats;

pub use fault::StateError;
pub use folder::{Claim, Containers, Seen, Status};
pub use record::{Kind, Record, Restart, Running, Served};
