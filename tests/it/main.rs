//! The one integration binary.

mod bad_input;
mod data;
mod determinism;
mod props;
mod support;
