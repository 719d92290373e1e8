//! Content codings of whole files: encoders, and decoders that accept only content that every
//! browser decodes.

mod decode;
mod encode;
mod rejected;

pub use decode::decode;
pub use encode::{MEMORY_CODINGS, encode, encode_in_memory};
pub use rejected::Rejected;
