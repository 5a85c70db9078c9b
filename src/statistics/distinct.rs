//! How many distinct values a stream has, in bounded memory.

use std::fmt;
use std::hash::Hash;

use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::{Error, Result};

/// 4,096 registers: a standard error of 1.6 %, and exact counts while there are few values.
const LG_K: u8 = 12;

/// A HyperLogLog sketch (of the `datasketches` crate) that merges and serializes.
#[derive(Clone)]
pub struct DistinctSketch(HllSketch);

impl Default for DistinctSketch {
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the constant is within the allowed range 4..=21"
        )]
        DistinctSketch(HllSketch::new(LG_K, HllType::Hll8).expect("a valid size"))
    }
}

impl DistinctSketch {
    /// Takes in one value.
    pub fn update(&mut self, value: impl Hash) {
        self.0.update(value);
    }

    /// Takes in the sketch of other values.
    ///
    /// # Errors
    /// Never with sketches of this crate.
    pub fn merge(&mut self, other: &DistinctSketch) -> Result<()> {
        let mut union = HllUnion::new(LG_K).map_err(|error| {
            Error::internal("a distinct-count sketch is damaged").with_source(error)
        })?;
        union.update(&self.0);
        union.update(&other.0);
        self.0 = union.to_sketch(HllType::Hll8);
        Ok(())
    }

    /// The estimated number of distinct values; it does not depend on the order of updates and merges.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.0.composite_estimate().round() as u64
    }
}

impl fmt::Debug for DistinctSketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinctSketch(~{})", self.estimate())
    }
}

impl Serialize for DistinctSketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DistinctSketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        HllSketch::deserialize(&bytes)
            .map(DistinctSketch)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_are_exact_and_large_ones_close() {
        let mut few = DistinctSketch::default();
        (0..1_000).for_each(|i| few.update(i % 7));
        assert_eq!(few.estimate(), 7);

        let mut many = [DistinctSketch::default(), DistinctSketch::default()];
        (0..100_000_u64).for_each(|i| many[(i % 2) as usize].update(i % 50_000));
        let [mut whole, half] = many;
        whole.merge(&half).unwrap();
        assert!((whole.estimate() as f64 / 50_000.0 - 1.0).abs() < 0.05);

        let copy: DistinctSketch = {
            let mut bytes = Vec::new();
            ciborium::into_writer(&whole, &mut bytes).unwrap();
            ciborium::from_reader(bytes.as_slice()).unwrap()
        };
        assert_eq!(copy.estimate(), whole.estimate());
    }
}
