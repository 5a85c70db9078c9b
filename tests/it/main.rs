//! The one integration binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; the helpers are tests too"
)]

mod bad_input;
mod compat;
mod compile_fail;
mod custom_operation;
mod data;
mod determinism;
mod props;
mod saving;
mod skew;
mod support;
mod text;
mod tidy;
