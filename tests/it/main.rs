//! The one integration binary.

mod bad_input;
mod compile_fail;
mod data;
mod determinism;
mod props;
mod saving;
mod skew;
mod support;
mod tidy;
