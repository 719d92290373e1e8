//! The compression of field sections (HPACK, RFC 7541).
//!
//! The decoder accepts whatever a client may send. The encoder uses the static table and literals alone: what it makes for a file
//! is the same for all connections, and can be kept.

mod decoder;
mod dynamic_table;
pub mod encoder;
mod huffman;
mod integer;
mod static_table;

pub use decoder::{DecodeError, Decoder};

/// The size of the dynamic table that this server lets clients use, in bytes as RFC 7541 §4.1 counts them. It is the default of
/// SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §6.5.2).
pub const TABLE_BYTES: u16 = 4096;

#[cfg(test)]
mod tests;
