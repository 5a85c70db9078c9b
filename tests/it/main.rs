//! The one integration binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; the helpers are tests too"
)]

mod bad_input;
mod cases;
mod compat;
mod compile_fail;
mod conformance;
mod continuous;
#[cfg(feature = "request-log")]
mod continuous_live;
mod custom_operation;
mod damaged;
mod data;
#[cfg(feature = "sql")]
mod derive;
mod determinism;
mod engine;
mod evaluating;
mod evaluation;
mod extras;
mod features;
mod frozen;
mod gates;
mod hold_out;
mod linear;
mod load;
mod mistakes;
mod opaque;
#[cfg(feature = "openlineage")]
mod openlineage;
mod placing;
mod planned;
mod props;
mod report;
mod rows;
mod runs;
mod runs_lineage;
mod runs_records;
mod runs_trials;
#[cfg(all(feature = "sql", feature = "compression", feature = "aws"))]
mod s3;
mod saving;
mod search;
mod search_folds;
mod search_limits;
#[cfg(feature = "request-log")]
mod serving_log;
mod skew;
mod sources;
mod statistics;
mod strict;
mod support;
mod target;
mod text;
mod tidy;
#[cfg(all(feature = "mlflow", feature = "openlineage"))]
mod tracking;
mod transform_ops;
mod trees;
mod trial;
mod validation;
mod warm_start;
mod wrapping;
