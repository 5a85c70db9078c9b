//! The one integration binary.

mod compile_fail;
mod saving;
mod skew;
mod support;
mod tidy;
