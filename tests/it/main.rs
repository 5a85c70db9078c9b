//! The one integration binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; the helpers are tests too"
)]

mod bad_input;
mod compile_fail;
mod data;
mod determinism;
mod props;
mod saving;
mod skew;
mod statistics;
mod support;
mod tidy;
