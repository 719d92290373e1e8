//! What processes of the server share: counters, the lifeline, and what passes to the next image of the program.

pub mod digests;
pub mod handover;
pub mod lifeline;
pub mod scoreboard;
pub mod work_queue;
pub mod worker_memory;
