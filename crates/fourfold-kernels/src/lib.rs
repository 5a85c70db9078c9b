//! The hot loops of [fourfold](https://docs.rs/fourfold): code that runs once per value, over plain slices.
//!
//! This crate exists so that one line of a profile optimizes all of it, in fourfold's own dev profile and in that of an
//! application:
//!
//! ```toml
//! [profile.dev.package.fourfold-kernels]
//! opt-level = 3
//! ```
//!
//! Architecture invariant: nothing here knows DataFusion, files, configuration or user types; inputs and outputs are
//! slices, vectors, Arrow arrays and small structs. Functions trust their callers: fourfold checks shapes and values before it calls.
//! Results are the same on any number of threads.
//!
//! It is an implementation detail of fourfold: its API may change in any release.

pub mod columns;
pub mod distinct;
pub mod hash;
pub mod linear;
pub mod losses;
pub mod narrow;
pub mod occurrences;
pub mod parallel;
pub mod row_hashes;
pub mod scores;
pub mod sketches;
pub mod slice_line;
pub mod terms;
pub mod text;
pub mod trees;

/// Whether this crate is compiled at level 2 or above, or for size.
pub const OPTIMIZED: bool = !matches!(env!("FOURFOLD_KERNELS_OPT_LEVEL").as_bytes(), b"0" | b"1");
