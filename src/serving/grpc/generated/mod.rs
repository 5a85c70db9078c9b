//! What `tests/codegen` makes of `inference.proto`.

pub(super) mod inference;

/// The protocol's description, for reflection.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!("inference.bin");
