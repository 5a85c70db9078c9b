//! The memory that training takes, estimated before it begins.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Dataset, TrainArgs};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{FeatureKind, Takes};

/// The assumed number of entries of a sparse row.
const ENTRIES: u64 = 16;

impl Dataset {
    /// About how many bytes reading all rows takes, as [`Dataset::table`] does: the features twice for a moment, as the
    /// parts of the files and as a whole, and labels and weights.
    #[must_use]
    pub fn table_bytes(&self, takes: Takes) -> u64 {
        let info = self.transform().info();
        let of_row: u64 = match takes.codes {
            true => (info.iter())
                .map(|feature| match feature.kind {
                    FeatureKind::Number | FeatureKind::Category => 4,
                    FeatureKind::Sparse => 8 + 8 * ENTRIES.min(feature.width as u64),
                })
                .sum(),
            false => 4 * self.n_features() as u64,
        };
        (self.n_rows() as u64).saturating_mul(2 * of_row + 32)
    }

    /// The features that trees look at: one a number or category, and one an id of sparse rows.
    pub(super) fn n_tree_features(&self) -> u64 {
        let info = self.transform().info().iter();
        info.map(|feature| match feature.kind {
            FeatureKind::Number | FeatureKind::Category => 1,
            FeatureKind::Sparse => feature.width as u64,
        })
        .sum()
    }
}

impl TrainArgs {
    /// Checks that training stays within the [engine's limit](crate::engine::Engine::memory_limit), if there is one.
    /// Trainers that hold all rows call it before they read them. `bytes` is the estimated peak of memory.
    ///
    /// ```
    /// # use fourfold::Result;
    /// use fourfold::features::Takes;
    /// use fourfold::training::TrainArgs;
    ///
    /// fn before_reading(args: &TrainArgs) -> Result<()> {
    ///     args.check_memory(args.train().table_bytes(Takes::CODES))
    /// }
    /// ```
    ///
    /// Trainings that a search runs side by side share the limit: one that would exceed it with the others waits until
    /// enough of them have ended.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if it takes more, saying how much.
    pub fn check_memory(&self, bytes: u64) -> Result<()> {
        let Some(limit) = self.memory_limit() else {
            return Ok(());
        };
        if bytes <= limit {
            if let Some(lease) = self.lease() {
                lease.take(bytes, limit);
            }
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ResourceExhausted,
            format!(
                "training on {} rows of {} features takes about {}, the engine's limit is {}: raise it, take fewer rows, \
                 or a trainer that reads batch by batch (`LinearRegression`, `StreamingLogistic`)",
                self.train().n_rows(),
                self.train().n_features(),
                shown(bytes),
                shown(limit)
            ),
        ))
    }
}

/// The memory that trainings side by side have taken together.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    taken: Mutex<u64>,
    freed: Condvar,
}

/// The part of one training, which is free again once its arguments are dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    memory: Arc<SharedMemory>,
    bytes: Mutex<u64>,
}

fn locked(number: &Mutex<u64>) -> MutexGuard<'_, u64> {
    number.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedMemory {
    /// A part for one training, of nothing yet.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        Lease {
            memory: Arc::clone(self),
            bytes: Mutex::new(0),
        }
    }
}

impl Lease {
    /// Takes bytes instead of those it had; waits until they are within the limit with what the others have. It holds
    /// nothing while it waits, so trainings never wait for each other; one alone never waits.
    fn take(&self, bytes: u64, limit: u64) {
        self.free();
        let mut taken = locked(&self.memory.taken);
        while *taken > 0 && taken.saturating_add(bytes) > limit {
            let freed = self.memory.freed.wait(taken);
            taken = freed.unwrap_or_else(PoisonError::into_inner);
        }
        *taken = taken.saturating_add(bytes);
        *locked(&self.bytes) = bytes;
    }

    fn free(&self) {
        let bytes = std::mem::take(&mut *locked(&self.bytes));
        let mut taken = locked(&self.memory.taken);
        *taken = taken.saturating_sub(bytes);
        self.memory.freed.notify_all();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free();
    }
}

/// Bytes in the unit that people read.
fn shown(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib < 1024.0 {
        true => format!("{mib:.1} MiB"),
        false => format!("{:.1} GiB", mib / 1024.0),
    }
}

#[cfg(test)]
mod tests;
