//! draft

pub mod accumulate;
pub mod blessing;
#[cfg(feature = "datafusion")]
pub mod engine;
mod error;
#[cfg(feature = "datafusion")]
pub mod examples;
pub mod fingerprint;
pub mod metrics;
pub mod model;
pub mod schema;
mod stage;
pub mod statistics;
mod store;
pub mod transform;

pub use self::error::{Error, ErrorKind, Result};
pub use self::stage::Stage;
pub use arrow;
#[cfg(feature = "datafusion")]
pub use datafusion;
pub use ndarray;
