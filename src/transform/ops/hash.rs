//! One feature per bucket of the value's hash.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::{Apply, FittedOp, Operation, at_least, only};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::value::{NO_CATEGORY, Value};

/// One feature per bucket of the value's hash.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hash {
    /// How many buckets.
    pub n_buckets: usize,
}

impl Transform {
    /// One feature for each of `n_buckets` buckets of the value's hash (XXH64 of its text), for columns with very
    /// many values.
    #[must_use]
    pub fn hash(self, column: impl Into<String>, n_buckets: usize) -> Self {
        self.step(column, Hash { n_buckets })
    }
}

impl Operation for Hash {
    fn check(&self) -> Result<()> {
        at_least("`n_buckets` of hash", self.n_buckets, 1)
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Hash {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let tokens = only(inputs)?.tokens()?;
        let n_buckets = self.n_buckets.max(1) as u64;
        let mut ids = Vec::with_capacity(tokens.len());
        tokens.for_each(|text| {
            ids.push(text.map_or(NO_CATEGORY, |text| {
                (XxHash64::oneshot(0, text.as_bytes()) % n_buckets) as u32
            }));
        });
        Ok(Value::Categories {
            ids,
            width: self.n_buckets,
        })
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        (0..self.n_buckets)
            .map(|bucket| format!("{column}#{bucket}"))
            .collect()
    }
}
