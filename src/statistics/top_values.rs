//! The most frequent values of a stream in bounded memory.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use serde::{Deserialize, Serialize, Serializer};

/// Counts of values: exact while there are few distinct ones, the frequent ones for sure after that.
///
/// Misra and Gries (1982), in the mergeable form of Agarwal et al. (2012): at most twice `capacity` counters are
/// held. When they run out, all counts go down by the one at place `capacity`, and what reaches zero leaves.
/// [`TopValues::error`] says by how much a count may be too low; it is 0 until that happens, and at most
/// `n / capacity`, so any value that is more frequent than that is certainly there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize + Eq + Hash + Ord",
    deserialize = "K: Deserialize<'de> + Eq + Hash"
))]
pub struct TopValues<K: Eq + Hash> {
    capacity: usize,
    #[serde(serialize_with = "sorted")]
    counts: HashMap<K, u64>,
    error: u64,
}

impl<K: Eq + Hash + Ord + Clone> TopValues<K> {
    /// Nothing seen yet; at most `2 * capacity` distinct values will be held.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        TopValues {
            capacity: capacity.max(1),
            counts: HashMap::new(),
            error: 0,
        }
    }

    /// Takes in one value `n` times.
    pub fn add<Q>(&mut self, value: &Q, n: u64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(count) = self.counts.get_mut(value) {
            *count += n;
        } else {
            self.counts.insert(value.to_owned(), n);
            if self.counts.len() > 2 * self.capacity {
                self.reduce();
            }
        }
    }

    /// Takes in the counts of other values.
    pub fn merge(&mut self, other: Self) {
        self.error += other.error;
        for (value, n) in other.counts {
            *self.counts.entry(value).or_default() += n;
        }
        if self.counts.len() > 2 * self.capacity {
            self.reduce();
        }
    }

    fn reduce(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let place = counts.len() - self.capacity - 1;
        let (_, cut, _) = counts.select_nth_unstable(place);
        let cut = *cut;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(cut);
            *count > 0
        });
        self.error += cut;
    }

    /// By how much any count may be too low; 0 means that all counts are exact and no value is missing.
    #[must_use]
    pub fn error(&self) -> u64 {
        self.error
    }

    /// How many distinct values are held: all of them while [`TopValues::error`] is 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The `n` most frequent values with their counts: by count from the highest, equal ones by value from the
    /// smallest.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(K, u64)> {
        let mut entries: Vec<(&K, u64)> = self
            .counts
            .iter()
            .map(|(value, count)| (value, *count))
            .collect();
        entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        entries
            .into_iter()
            .take(n)
            .map(|(value, count)| (value.clone(), count))
            .collect()
    }
}

/// Equal counts have equal bytes, which a map's own order does not give: parts are merged in the order of their
/// bytes.
fn sorted<K: Serialize + Ord, S: Serializer>(
    counts: &HashMap<K, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().collect::<BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut top = TopValues::<String>::new(10);
        for value in ["a", "b", "a", "c", "b", "a"] {
            top.add(value, 1);
        }
        assert_eq!(top.error(), 0);
        let expected = [("a", 3), ("b", 2), ("c", 1)].map(|(value, n)| (value.to_owned(), n));
        assert_eq!(top.top(9), expected);
    }

    #[test]
    fn a_frequent_value_survives_a_flood_of_rare_ones() {
        let mut top = TopValues::<i64>::new(100);
        for i in 0..100_000_i64 {
            top.add(&(1_000 + i), 1);
            if i % 10 == 0 {
                top.add(&7, 1);
            }
        }
        assert!(top.len() <= 200);
        let (value, count) = top.top(1)[0];
        assert_eq!(value, 7);
        assert!(count <= 10_000 && count + top.error() >= 10_000);
        assert!(top.error() <= 110_000 / 100);
    }
}
