//! Observers: what serving shows and records of the rows and the answers.
//!
//! An [`Observer`](super::Observer) is called on the thread that answered. Those here copy a sample of what they see into
//! a bounded queue and do their work on a thread of their own: what there is no room for is dropped and counted, and no
//! request waits.

mod drift;
mod queue;
mod record;
#[cfg(feature = "request-log")]
mod request_log;
mod sampling;
#[cfg(test)]
mod tests;

pub use self::drift::{DriftMeasure, DriftMonitor, DriftOptions, DriftReport};
#[cfg(feature = "request-log")]
pub use self::request_log::{RequestLog, RequestLogCounts, RequestLogOptions};
