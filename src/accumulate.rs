//! Mergeable analyses of all rows of a data set.
//!
//! An [`Accumulate`] sees the rows in batches, in any number of parts at once; the partial results merge into the
//! whole. Statistics, the fitting of transforms and metrics are all accumulators, and
//! [`Engine::accumulate`](crate::engine::Engine::accumulate) runs any of them over a plan in one pass. So is
//! yours:
//!
//! ```
//! use arrow::array::RecordBatch;
//! use fourfold::accumulate::Accumulate;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, Default, Serialize, Deserialize)]
//! struct CountRows(u64);
//!
//! impl Accumulate for CountRows {
//!     fn update(&mut self, batch: &RecordBatch) -> fourfold::Result<()> {
//!         self.0 += batch.num_rows() as u64;
//!         Ok(())
//!     }
//!
//!     fn merge(&mut self, other: Self) -> fourfold::Result<()> {
//!         self.0 += other.0;
//!         Ok(())
//!     }
//! }
//! ```

mod size;

use std::fmt::Debug;

use arrow::array::RecordBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// An analysis of rows, in parts that merge.
///
/// A value fresh from the caller is the *prototype*: every part starts as a clone of it, and the final result is
/// the prototype merged with every part, in the order of the parts. Where a part is saved or sent, it is in its
/// serialized form; what a prototype needs to work but is not a result (a model to predict with, say) is marked
/// `#[serde(skip)]`.
pub trait Accumulate: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Takes in some rows.
    ///
    /// # Errors
    /// If the rows are not what the analysis needs.
    fn update(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Takes in what another part has learned from other rows.
    ///
    /// # Errors
    /// If the other part is of another configuration.
    fn merge(&mut self, other: Self) -> Result<()>;

    /// The bytes of memory that it takes, which the engine counts against its
    /// [limit](crate::engine::Engine::memory_limit). It is asked for after the 1st, 2nd, 4th, 8th, .. batch.
    ///
    /// The default goes by the serialized form: numbers by their widths, and 24 bytes for each string, list and
    /// entry of a map beside what is in them. Override it where much is held that is not serialized.
    fn size(&self) -> usize {
        size_of_val(self) + size::serialized_size(self)
    }

    /// The part as bytes (CBOR).
    ///
    /// # Errors
    /// If it cannot be serialized.
    fn state(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).map_err(|error| {
            Error::internal("an accumulator's state cannot be written").with_source(error)
        })?;
        Ok(bytes)
    }

    /// A part from its bytes.
    ///
    /// # Errors
    /// If the bytes are not such a part.
    fn from_state(bytes: &[u8]) -> Result<Self> {
        ciborium::from_reader(bytes).map_err(|error| {
            Error::internal("an accumulator's state cannot be read").with_source(error)
        })
    }
}
