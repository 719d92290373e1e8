//! Communication between the processes of the server: counters, the lifeline, and the handover to the next image of the
//! program.

pub mod compressed_store;
pub mod decoded;
pub mod digests;
pub mod file_identity;
pub mod handover;
pub mod key_protocol;
pub mod lifeline;
pub mod login_protocol;
pub mod scoreboard;
#[cfg(test)]
mod strict_frames;
pub mod ticket_keys;
pub mod work_queue;
pub mod worker_memory;
