//! A directory tree that a subcommand processes: opened by descriptors, never by following a link, on all processors, with a
//! progress bar on a terminal.

mod directory;
mod progress;
mod walk;

pub use directory::Directory;
pub use progress::bar;
pub use walk::{Choice, Job, find, on_all_processors};
