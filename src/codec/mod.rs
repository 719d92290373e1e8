//! Content codings of whole files: encoders at their highest levels, and decoders that accept only content that every
//! browser decodes.

mod decode;
mod encode;
mod rejected;

pub use decode::decode;
pub use encode::encode;
pub use rejected::Rejected;
