//! draft

pub mod accumulate;
pub mod blessing;
#[cfg(feature = "datafusion")]
pub mod data;
#[cfg(feature = "datafusion")]
pub mod engine;
mod error;
#[cfg(feature = "datafusion")]
pub mod evaluation;
#[cfg(feature = "datafusion")]
pub mod examples;
pub mod fingerprint;
pub mod metrics;
pub mod model;
pub mod schema;
#[cfg(feature = "datafusion")]
pub mod pipeline;
pub mod prelude;
pub mod progress;
pub mod serving;
mod stage;
pub mod statistics;
mod store;
#[cfg(feature = "datafusion")]
pub mod training;
pub mod transform;

pub use self::error::{Error, ErrorKind, Result};
pub use self::stage::Stage;
pub use arrow;
#[cfg(feature = "datafusion")]
pub use datafusion;
pub use ndarray;
