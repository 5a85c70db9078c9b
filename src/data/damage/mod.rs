//! Files that are damaged, or made to do damage.
//!
//! The readers of Arrow and Parquet trust what a file claims of itself: a wrong offset is a panic, and a buffer that
//! claims 2^60 bytes ends the process, which nothing can catch. So what files claim is checked before they are decoded:
//! [`ipc`], [`parquet`] and [`pages`] compare every range with the size of the file, and every length that memory is allocated
//! for with what its compressed bytes can hold and with the engine's memory limit. What panics in decoding all the
//! same becomes an error in [`guard`].

mod bytes;
pub(super) mod guard;
pub(super) mod ipc;
pub(super) mod pages;
pub(super) mod parquet;
mod types;

use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;

use crate::error::Error;

/// The most bytes that a file may claim for one batch or page where the engine has no limit.
const UNLIMITED: u64 = 1 << 34;

/// The maximum size of one allocation in bytes.
pub(super) fn memory_limit(runtime: &RuntimeEnv) -> u64 {
    match runtime.memory_pool.memory_limit() {
        MemoryLimit::Finite(n) => n as u64,
        MemoryLimit::Infinite | MemoryLimit::Unknown => UNLIMITED,
    }
}

/// `damaged` and why, of a file.
fn damaged(file: &str, why: impl AsRef<str>) -> Error {
    Error::data(format!(
        "`{file}` cannot be read: it is damaged: {}",
        why.as_ref()
    ))
}
