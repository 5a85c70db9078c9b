//! One feature per bucket of the value's hash.

use fourfold_kernels::hash::xxh64;
use serde::{Deserialize, Serialize};

use super::bag_of_words::features;
use super::{Apply, FittedOp, Operation, only, size};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::numbers::Few;
use crate::transform::tokens::Tokens;
use crate::transform::value::{NO_CATEGORY, Value};

/// One feature per bucket of the value's hash.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HashBuckets {
    /// The number of buckets: 1 to 2^20.
    #[serde(deserialize_with = "super::read_size")]
    pub n_buckets: usize,
    /// The seed of the hash: another key gives other buckets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub key: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(key: &u64) -> bool {
    *key == 0
}

impl Transform {
    /// One feature for each of `n_buckets` buckets (1 to 2^20) of the value's hash (XXH64 of its string), for columns with very
    /// many values. Of lists (words, n-grams, ...) a feature is how many items of the row's list fall into its bucket:
    /// feature hashing, a bag of words without a vocabulary.
    #[must_use]
    pub fn hash(self, column: impl Into<String>, n_buckets: usize) -> Self {
        self.hash_with_key(column, n_buckets, 0)
    }

    /// As [`Transform::hash`] with a key (XXH64's seed), so that values that fall into one bucket here do not there.
    /// It is no secret that guards against chosen values.
    #[must_use]
    pub fn hash_with_key(self, column: impl Into<String>, n_buckets: usize, key: u64) -> Self {
        self.step(column, HashBuckets { n_buckets, key })
    }
}

impl Operation for HashBuckets {
    fn check(&self) -> Result<()> {
        size("`n_buckets` of hash", self.n_buckets, 1)
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl HashBuckets {
    fn ids(&self, tokens: &Tokens<'_>) -> Few<u32> {
        let n_buckets = self.n_buckets.max(1) as u64;
        let mut ids = Vec::with_capacity(tokens.len());
        tokens.for_each(|text| {
            ids.push(text.map_or(NO_CATEGORY, |text| {
                (xxh64(self.key, text.as_bytes()) % n_buckets) as u32
            }));
        });
        ids.into()
    }
}

impl Apply for HashBuckets {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        Ok(match only(inputs)? {
            Value::List(list) => {
                let ids = self.ids(&list.items.tokens()?);
                let count = |_, count: usize, _| count as f64;
                features(list, &ids, self.n_buckets, count)
            }
            value => Value::Categories {
                ids: self.ids(&value.tokens()?),
                width: self.n_buckets,
            },
        })
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        (0..self.n_buckets)
            .map(|bucket| format!("{column}#{bucket}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_buckets_for_which_there_is_memory() {
        let check = |n_buckets| HashBuckets { n_buckets, key: 0 }.check();
        check(1 << 20).unwrap();
        let error = check((1 << 20) + 1).unwrap_err();
        let expected = "`n_buckets` of hash is 1048577, must be 1 to 1048576";
        assert_eq!(error.message(), expected);
        let json = r#"{"op": "hash", "n_buckets": 1000000000000000000}"#;
        let error = serde_json::from_str::<FittedOp>(json).unwrap_err();
        let expected = "the number of buckets is 1000000000000000000, must be at most 1048576";
        assert_eq!(error.to_string(), expected);
        let json = r#"{"op": "one_hot_terms", "values": ["a"], "n_oov": 1000000000000000000}"#;
        let error = serde_json::from_str::<FittedOp>(json).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let transform = Transform::new().one_hot_top("x", usize::MAX);
        let error = transform.check().unwrap_err();
        assert!(error.message().ends_with("must be 1 to 1048576"), "{error}");
    }
}
